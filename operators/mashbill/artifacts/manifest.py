"""The manifest: what an artifact is, from what it was made, and the checksums of its files."""

import hashlib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

MANIFEST = "manifest.json"


class FileEntry(BaseModel):
    """One file of an artifact."""

    model_config = ConfigDict(frozen=True)
    path: str
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
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    return tuple(
        FileEntry(path=str(p.relative_to(folder)), bytes=p.stat().st_size, sha256=_sha256(p)) for p in paths
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
