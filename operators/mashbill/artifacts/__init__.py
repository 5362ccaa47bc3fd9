"""Results of stages: directories with a manifest, found again by fingerprint."""

from mashbill.artifacts.artifact import Artifact
from mashbill.artifacts.fingerprint import fingerprint
from mashbill.artifacts.links import link_tree
from mashbill.artifacts.manifest import FileEntry, Manifest
from mashbill.artifacts.progress import Progress, ProgressFile, read_progress
from mashbill.artifacts.stage_run import Counts, StageRun
from mashbill.artifacts.store import ArtifactStore, open_store

__all__ = [
    "Artifact",
    "ArtifactStore",
    "Counts",
    "FileEntry",
    "Manifest",
    "Progress",
    "ProgressFile",
    "StageRun",
    "fingerprint",
    "link_tree",
    "open_store",
    "read_progress",
]
