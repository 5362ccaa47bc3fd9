"""Shards that are open in this process: mapped from a file here, which is fetched first where they lie
elsewhere, by one process of the machine for all.

A shard that is held is there until it is let go; then its copy may be evicted, as others need its room.
"""

import fcntl
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mashbill.artifacts import Artifact, Place, SealedFile, file_in, place_at
from mashbill.errors import DataError
from mashbill.storage import Copies, damaged

MEND = "rerun tokenize"
FETCHING = "fetching"
HEAD_BYTES = 1_000_000
"""Of a shard of which only the beginning is wanted, at most as much is asked for alone."""


@dataclass
class OpenShard:
    """A shard that somebody holds, or waits for.

    Attributes:
        holders: how often it is held.
        tokens: [tokens] mapped, once it is there.
        copy: what keeps its copy here.
    """

    holders: int = 0
    tokens: np.ndarray | None = None
    copy: ExitStack = field(default_factory=ExitStack)
    opening: threading.Lock = field(default_factory=threading.Lock)


class OpenShards:
    """Shards of one artifact or folder, opened and closed by their numbers.

    Args:
        place: an artifact or a folder with the shards.
        dtype: of a token.
        shards: files and how many tokens each has.
    """

    def __init__(
        self, place: Place, dtype: np.dtype[np.unsignedinteger], shards: Sequence[tuple[str, int]]
    ) -> None:
        self.place, self.dtype, self.shards = place_at(place), dtype, shards
        self._held: dict[int, OpenShard] = {}
        self._kept: dict[int, np.ndarray] = {}
        self._changing = threading.Lock()

    @property
    def room(self) -> int | None:
        """Tokens that copies have room for; None where no copies are made."""
        copies = getattr(self.place.storage, "copies", None) if isinstance(self.place, Artifact) else None
        return copies.limit // self.dtype.itemsize if isinstance(copies, Copies) else None

    def check(self) -> None:
        """Look at every shard: what is here is opened, of what lies elsewhere its size is asked for.

        Raises:
            DataError: one is gone, or is another than was committed.
        """
        elsewhere: list[SealedFile] = []
        for number, (name, _) in enumerate(self.shards):
            sealed = self.place.sealed(name) if isinstance(self.place, Artifact) else None
            if sealed is None or Path(sealed.path).exists():
                self._mapped(number, file_in(self.place, name))
            else:
                elsewhere.append(sealed)
        folders = {sealed.key.rpartition("/")[0]: sealed.storage for sealed in elsewhere}
        found = {file.key: file.bytes for key, storage in folders.items() for file in storage.match(key)}
        for sealed in elsewhere:
            if sealed.key not in found:
                raise damaged(f"{sealed.storage.root}/{sealed.key}", "is gone")
            if found[sealed.key] != sealed.bytes:
                what = f"holds {found[sealed.key]:,} bytes where its manifest says {sealed.bytes:,}"
                raise damaged(f"{sealed.storage.root}/{sealed.key}", what)

    def hold(self, number: int) -> None:
        """Fetch and map a shard, unless it is; whoever asks meanwhile waits for it.

        Raises:
            DataError: it is gone, or holds other bytes.
            RunError: it cannot be fetched.
        """
        with self._changing:
            shard = self._held.setdefault(number, OpenShard())
            shard.holders += 1
        try:
            with shard.opening:
                if shard.tokens is None:
                    shard.tokens = self._mapped(number, self._fetched(number, shard.copy))
        except BaseException:
            self.let_go(number)
            raise

    def let_go(self, number: int) -> None:
        """Undo one ``hold``."""
        with self._changing:
            shard = self._held[number]
            shard.holders -= 1
            if shard.holders == 0:
                del self._held[number]
        if shard.holders == 0:
            shard.tokens = None
            shard.copy.close()

    def tokens(self, number: int) -> np.ndarray:
        """[tokens] a shard; one that nobody holds is opened, and stays as long as this process reads."""
        held = self._held.get(number)
        if held is not None and held.tokens is not None:
            return held.tokens
        if number not in self._kept:
            self._kept[number] = self._mapped(number, file_in(self.place, self.shards[number][0]))
        return self._kept[number]

    def head(self, number: int, count: int) -> np.ndarray:
        """[count] the first tokens of a shard, of which no more is fetched where it is not here."""
        name, tokens = self.shards[number]
        held = self._held.get(number)
        opened = number in self._kept or (held is not None and held.tokens is not None)
        size = count * self.dtype.itemsize
        if opened or count == tokens or size > HEAD_BYTES or not isinstance(self.place, Artifact):
            return self.tokens(number)[:count]
        sealed = self.place.sealed(name)
        if not Path(sealed.path).exists():
            return np.frombuffer(sealed.storage.part(sealed.key, 0, size), self.dtype)
        with sealed.reading() as path:
            return np.fromfile(path, self.dtype, count)

    def _fetched(self, number: int, copy: ExitStack) -> Path:
        """Where a shard is on this machine, to stay as long as ``copy`` is open."""
        name, _ = self.shards[number]
        if not isinstance(self.place, Artifact):
            return self.place / name
        sealed = self.place.sealed(name)
        with fetched_by_one(sealed):
            return copy.enter_context(sealed.reading())

    def _mapped(self, number: int, path: Path) -> np.ndarray:
        """[tokens] a shard's file."""
        _, count = self.shards[number]
        try:
            found = path.stat().st_size
        except FileNotFoundError as error:
            raise DataError(str(path), "is not there, and the index names it", MEND) from error
        if found != count * self.dtype.itemsize:
            what = f"holds {found:,} bytes where the index says {count:,} tokens of {self.dtype}"
            raise DataError(str(path), what, MEND)
        return np.memmap(path, dtype=self.dtype, mode="r")


@contextmanager
def fetched_by_one(sealed: SealedFile) -> Iterator[None]:
    """A block that the processes of a machine enter one after the other where a file is not here yet: the
    first fetches it, and the others find it."""
    if Path(sealed.path).exists():
        yield
        return
    lock = sealed.storage.workspace() / FETCHING / sealed.sha256[:2]  # some files share one, and no matter
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
