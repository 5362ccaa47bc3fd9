"""The manifest: what an artifact is, from what it was made, and the checksums of its files."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

from mashbill.storage import checked_key, sha256_of

MANIFEST = "manifest.json"


class FileEntry(BaseModel):
    """One file of an artifact."""

    model_config = ConfigDict(frozen=True)
    path: Annotated[str, AfterValidator(checked_key)]
    bytes: int
    sha256: str


class Manifest(BaseModel):
    """Written last: no manifest, no artifact."""

    model_config = ConfigDict(frozen=True)
    stage: str
    part: str | None = None
    fingerprint: str
    version: int
    settings: dict[str, Any]
    inputs: dict[str, str]
    counts: dict[str, Any]
    files: tuple[FileEntry, ...]
    started: str
    seconds: float
    mashbill: str


def describe_files(folder: Path) -> tuple[FileEntry, ...]:
    """Sizes and checksums of every file in a folder, sorted by path."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and p != folder / MANIFEST)
    return tuple(
        FileEntry(path=str(p.relative_to(folder)), bytes=p.stat().st_size, sha256=sha256_of(p)) for p in paths
    )
