"""The manifest: what an artifact is, from what it was made, and the checksums of its files."""

from collections.abc import Container
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

from mashbill.storage import checked_key, sha256_of

MANIFEST = "manifest.json"


class FileEntry(BaseModel):
    """One file of an artifact; ``rows`` where it holds rows that somebody counts on."""

    model_config = ConfigDict(frozen=True)
    path: Annotated[str, AfterValidator(checked_key)]
    bytes: int
    sha256: str
    rows: int | None = None


class Manifest(BaseModel):
    """Written last: no manifest, no artifact. Files lie under ``attempt``, which is empty on a disk; where
    ``elsewhere`` gives an artifact's address, they are its files, which are referred to."""

    model_config = ConfigDict(frozen=True)
    stage: str
    part: str | None = None
    fingerprint: str
    version: int
    settings: dict[str, Any]
    inputs: dict[str, str]
    counts: dict[str, Any]
    attempt: str = ""
    elsewhere: str = ""
    files: tuple[FileEntry, ...] = ()
    started: str
    seconds: float
    mashbill: str

    def as_text(self) -> str:
        """The manifest as it is written."""
        return self.model_dump_json(indent=1, exclude_defaults=True)


def describe_files(folder: Path, told: Container[str] = ()) -> tuple[FileEntry, ...]:
    """Sizes and checksums of every file in a folder, sorted by path.

    Args:
        folder: a local folder.
        told: names of files that are left out.
    """
    found = (p for p in folder.rglob("*") if p.is_file() and p != folder / MANIFEST)
    paths = sorted(p for p in found if str(p.relative_to(folder)) not in told)
    return tuple(
        FileEntry(path=str(p.relative_to(folder)), bytes=p.stat().st_size, sha256=sha256_of(p)) for p in paths
    )
