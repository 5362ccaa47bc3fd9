"""Results of stages: directories with a manifest, found again by fingerprint."""

from mashbill.artifacts.artifact import OUTSIDE, Artifact
from mashbill.artifacts.fingerprint import fingerprint
from mashbill.artifacts.json_file import write_json
from mashbill.artifacts.manifest import FileEntry, Manifest
from mashbill.artifacts.output import Output, telling
from mashbill.artifacts.pace import Pace
from mashbill.artifacts.progress import Progress, ProgressFile, ProgressState, read_progress
from mashbill.artifacts.published import Published
from mashbill.artifacts.record import Part, Place, Record, RecordOf, file_in, has_file
from mashbill.artifacts.sealed import SealedFile
from mashbill.artifacts.stage_run import Counts, StageRun
from mashbill.artifacts.store import ArtifactStore, open_store, place_at

__all__ = [
    "OUTSIDE",
    "Artifact",
    "ArtifactStore",
    "Counts",
    "FileEntry",
    "Manifest",
    "Output",
    "Pace",
    "Part",
    "Place",
    "Progress",
    "ProgressFile",
    "ProgressState",
    "Published",
    "Record",
    "RecordOf",
    "SealedFile",
    "StageRun",
    "file_in",
    "fingerprint",
    "has_file",
    "open_store",
    "place_at",
    "read_progress",
    "telling",
    "write_json",
]
