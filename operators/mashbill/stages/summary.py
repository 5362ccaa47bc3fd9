"""What an artifact is, for those who only look at it: schedulers and catalogues, which want counts, columns
and what of it is new, and open no file."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mashbill.artifacts import Artifact
from mashbill.artifacts.manifest import FileEntry, Manifest

PARTITIONED = {
    "ingest": "documents",
    "filter": "documents",
    "deduplicate": "documents",
    "select": "documents",
    "tokenize": "shards",
}
"""Folder whose folders are the domains, by stage."""
CHOICE = "mix"
DIGITS = 16
MODELS = "train"


@dataclass(frozen=True)
class ArtifactSummary:
    """What is known of an artifact from its manifest.

    Attributes:
        stage: that made it.
        address: where it is.
        fingerprint: its identity.
        counts: those that are numbers or words.
        rows: of its files that hold rows; None where none does. Documents alone are counted where it has any.
        bytes: of its files; files: how many.
        columns: name and type of each column of its rows.
        partitions: fingerprint of each part that others wait for: a domain's documents or tokens, a mixture.
    """

    stage: str
    address: str
    fingerprint: str
    counts: Mapping[str, int | float | str]
    rows: int | None
    bytes: int
    files: int
    columns: tuple[tuple[str, str], ...]
    partitions: Mapping[str, str]

    @classmethod
    def of(cls, artifact: Artifact) -> "ArtifactSummary":
        """From its manifest alone."""
        manifest = artifact.manifest
        folder = PARTITIONED.get(manifest.stage)
        counted = [f for f in manifest.files if f.rows is not None and _top(f.path) in {folder, "documents"}]
        counted = counted or [f for f in manifest.files if f.rows is not None]
        return cls(
            stage=manifest.stage,
            address=artifact.address,
            fingerprint=artifact.fingerprint,
            counts={k: v for k, v in manifest.counts.items() if isinstance(v, int | float | str)},
            rows=sum(f.rows or 0 for f in counted) if counted else None,
            bytes=sum(f.bytes for f in manifest.files),
            files=len(manifest.files),
            columns=_columns(counted),
            partitions=_partitions(artifact, folder),
        )


def _partitions(artifact: Artifact, folder: str | None) -> dict[str, str]:
    manifest = artifact.manifest
    if manifest.stage in {CHOICE, MODELS}:
        trained_on = manifest.inputs.get(CHOICE, "").rpartition("/")[2]
        mixture = trained_on if manifest.stage == MODELS and trained_on else artifact.fingerprint[:DIGITS]
        return {mixture: artifact.fingerprint}
    found: dict[str, list[FileEntry]] = {}
    held_out, binned = _held_out(manifest), manifest.settings.get("selection", {}).get("bins", 1) > 1
    for file in manifest.files:
        top, _, rest = file.path.partition("/")
        name, _, inner = rest.partition("/")
        if top == folder and inner and name not in held_out:
            domain = name.rpartition(".q")[0] if binned else name
            found.setdefault(domain or name, []).append(file)
    return {name: _identity(files) for name, files in sorted(found.items())}


def _held_out(manifest: Manifest) -> set[str]:
    """Names of the sets that are no domain."""
    corpus = manifest.settings.get("corpus", {})
    return {given["name"] for kind in ("references", "evaluations") for given in corpus.get(kind, ())}


def _identity(files: Iterable[FileEntry]) -> str:
    """One digest of what files hold, whatever else the artifact has."""
    lines = sorted(f"{file.path} {file.sha256}" for file in files)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:DIGITS]


def _columns(counted: Iterable[FileEntry]) -> tuple[tuple[str, str], ...]:
    from mashbill.documents.kinds import DOCUMENTS

    if any(_top(file.path) == DOCUMENTS.name for file in counted):
        return tuple((field.name, str(field.type)) for field in DOCUMENTS.schema)
    return ()


def _top(path: str) -> str:
    return path.partition("/")[0]
