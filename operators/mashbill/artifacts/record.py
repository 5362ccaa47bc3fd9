"""Typed records: what rooms tell one another, each read and written here under a name that is spelt once.

A record is a frozen pydantic model with a file of its own. What it was made without is not written, so that a
record says nothing about what nobody asked.
"""

import json
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, RootModel, ValidationError

from mashbill.artifacts.artifact import Artifact
from mashbill.artifacts.store import place_at
from mashbill.errors import DataError

Root = TypeVar("Root")
Place = Artifact | Path
"""Where a record's file lies: an artifact, or a folder, which may be one's too."""


def has_file(place: Place, name: str) -> bool:
    """Whether an artifact or a folder has a file of that name."""
    opened = place_at(place)
    return opened.has(name) if isinstance(opened, Artifact) else (opened / name).exists()


def file_in(place: Place, name: str) -> Path:
    """The local path of a file of an artifact, which is fetched and checked, or of a folder.

    Raises:
        DataError: the artifact has no such file, or the file is gone or damaged.
    """
    opened = place_at(place)
    return opened.file(name) if isinstance(opened, Artifact) else opened / name


class Part(BaseModel):
    """A named group of values within a record."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class _Filed(BaseModel):
    FILE: ClassVar[str] = ""

    @classmethod
    def read(cls, place: Place) -> Self:
        """The record that an artifact or a folder holds.

        Raises:
            DataError: its file is missing, or is no such record.
        """
        path = file_in(place, cls.FILE)
        try:
            return cls.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, ValidationError) as error:
            reason = " ".join(str(error).split())
            raise DataError(
                str(path), f"cannot be read ({reason:.200})", "rerun the stage that wrote it"
            ) from error

    def write(self, folder: Path) -> None:
        """Write the record into a folder, under its own name."""
        text = json.dumps(self.as_json(), ensure_ascii=False, indent=1)
        (folder / self.FILE).write_text(text, encoding="utf-8")

    def as_json(self) -> Any:
        """The record as JSON values."""
        return self.model_dump(exclude_unset=True)


class Record(_Filed):
    """A record with fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RecordOf(_Filed, RootModel[Root], Generic[Root]):
    """A record that is a mapping or a list of parts."""

    model_config = ConfigDict(frozen=True)
