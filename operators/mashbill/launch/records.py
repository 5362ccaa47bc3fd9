"""What is kept in the store of each job: that it was going to be submitted, what it was submitted as, and how
it ended.

The intention is written before the job is submitted, and only if nobody wrote one: of two that submit the
same work one wins, and the other takes its job up. Whoever is killed leaves an intention with a token, by
which the job is found again if there is one.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mashbill.errors import DataError
from mashbill.launch.backend import Handle, JobState, Order
from mashbill.storage import Storage
from mashbill.storage.owned import passing

RECORDS = "jobs"
"""Folder of the store that records lie in, by stage, fingerprint and work."""
ORDER, HANDLE, END, UNWANTED = "order.json", "handle.json", "end.json", "unwanted"


@dataclass(frozen=True)
class Attempt:
    """One job, and what is known of it.

    Attributes:
        storage: where its record is.
        key: folder of the record; the job itself leaves there how far it is, why it failed, and its logs.
    """

    storage: Storage
    key: str

    @property
    def number(self) -> int:
        """Which attempt at its work it is, from 1."""
        return int(self.key.rpartition("/")[2])

    @property
    def order(self) -> Order:
        """What was to be submitted."""
        return Order.of(self._needed(ORDER))

    @property
    def handle(self) -> Handle | None:
        """What it was submitted as; None where that is not known."""
        text = self.read(HANDLE)
        return None if text is None else Handle.of(text)

    @property
    def end(self) -> JobState | None:
        """How it ended; None where nobody has seen that."""
        text = self.read(END)
        return None if text is None else JobState.of(text)

    @property
    def unwanted(self) -> bool:
        """Whether someone wants it to end."""
        return self.storage.exists(f"{self.key}/{UNWANTED}")

    def keep_unwanted(self) -> None:
        """Keep that it is to end."""
        self.write(UNWANTED, "")

    def keep_handle(self, handle: Handle) -> None:
        """Keep what it was submitted as."""
        self.write(HANDLE, handle.text())

    def keep_end(self, state: JobState) -> None:
        """Keep how it ended."""
        self.write(END, state.text())

    def ended_as(self, state: JobState) -> JobState:
        """How it ended, as it is kept from now on: as whoever saw it first says, since later ones may find
        nothing left of it."""
        kept = self.end
        if kept is None:
            self.keep_end(state)
        return kept or state

    def read(self, name: str) -> str | None:
        """The text of a file of the record, or None."""
        try:
            return self.storage.read(f"{self.key}/{name}").decode("utf-8", "replace")
        except KeyError:
            return None

    def write(self, name: str, text: str) -> None:
        """Write a file of the record, over what is there."""
        write_text(self.storage, f"{self.key}/{name}", text)

    def _needed(self, name: str) -> str:
        text = self.read(name)
        if text is None:
            where = f"{self.storage.root}/{self.key}/{name}"
            raise DataError(where, "is not there", "name a job that mashbill jobs list shows")
        return text


@dataclass(frozen=True)
class Work:
    """Something that one job does at a time.

    Attributes:
        storage: where records are.
        key: folder of the attempts at it.
    """

    storage: Storage
    key: str

    def attempts(self) -> list[Attempt]:
        """The attempts at it, the first one first."""
        numbers = sorted(
            int(number)
            for key in self.storage.keys(self.key)
            if key.endswith(f"/{ORDER}") and (number := key.split("/")[-2]).isdigit()
        )
        return [self.attempt(number) for number in numbers]

    def attempt(self, number: int) -> Attempt:
        """The attempt of that number."""
        return Attempt(self.storage, f"{self.key}/{number}")

    def begin(self, number: int, order: Order) -> bool:
        """Write that an order is going to be submitted; False where another wrote so before."""
        folder = _passing(self.storage)
        (folder / ORDER).write_text(order.text(), encoding="utf-8")
        return self.storage.commit(folder, f"{self.key}/{number}", ORDER)


def all_work(storage: Storage, under: str = RECORDS) -> Iterator[Work]:
    """All work of which there are records under a folder."""
    keys = {key.rsplit("/", 2)[0] for key in storage.keys(under) if key.endswith(f"/{ORDER}")}
    for key in sorted(keys):
        yield Work(storage, key)


def write_text(storage: Storage, key: str, text: str) -> None:
    """Write a text at a key, whole, over what is there."""
    path = _passing(storage) / "text"
    path.write_text(text, encoding="utf-8")
    storage.put(path, key)
    path.parent.rmdir()


def _passing(storage: Storage) -> Path:
    """A new local folder, from which a commit is cheap; those of killed processes are removed."""
    folder = passing(storage.workspace() / "records") / uuid.uuid4().hex
    folder.mkdir()
    return folder
