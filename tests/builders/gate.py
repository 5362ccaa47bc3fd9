"""A gate before an S3 server that stops at a request until it is told to go on, and notes what is written.

python -m builders.gate HOST PORT SERVER
"""

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO

from builders.proxy import Fault, Refused, proxied

GO, LOST, NOTED, ENDED = "go", "lost", "noted", "ended"
CHANGES = ("put", "copy", "delete")


@dataclass
class Gate:
    """The gate, from who starts it.

    Attributes:
        process: which it is.
        passed: requests that changed something and have gone through, by kind and address.
    """

    process: subprocess.Popen[str]
    passed: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def stopped_at(
        self, *words: str, after: int, by: "subprocess.Popen[bytes]", lost: bool = False
    ) -> Iterator[str]:
        """Stop each request whose kind and address hold some words, after some that may pass; the first that
        is stopped. At the end of the block all go on, or are lost.

        Args:
            words: without blanks.
            after: how many pass.
            by: process whose requests they are.
            lost: whether what was stopped never arrives.
        Raises:
            AssertionError: it ended before.
        """
        self._tell(" ".join([str(after), *words]))
        ended = f"{ENDED} {by.pid}"

        def tell_its_end() -> None:
            by.wait()
            self._tell(ended)

        threading.Thread(target=tell_its_end, daemon=True).start()
        try:
            yield self._read_to("stopped", before=ended)
        finally:
            self._tell(LOST if lost else GO)

    def written(self) -> Counter[str]:
        """What has gone through until now."""
        self._tell(NOTED)
        self._read_to(NOTED)
        return self.passed

    def _tell(self, line: str) -> None:
        _pipe(self.process.stdin).write(f"{line}\n")
        _pipe(self.process.stdin).flush()

    def _read_to(self, wanted: str, before: str = "") -> str:
        for line in _pipe(self.process.stdout):
            assert line.strip() != before, "there was no such request"
            kind, _, about = line.strip().partition(" ")
            if kind == wanted:
                return about
            if kind == "passed":
                self.passed[about] += 1
        raise AssertionError(f"the gate ended before {wanted}")


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


class Stops:
    """What the gate does with a request."""

    def __init__(self) -> None:
        self.lock, self.open = threading.Lock(), threading.Event()
        self.words: Sequence[str] = ()
        self.left, self.lost = 0, False

    def fault(self, kind: str, about: str) -> Fault | None:
        """None, once the request may pass, or that it may not."""
        if kind not in CHANGES:
            return None
        whole = f"{kind} {about}"
        with self.lock:
            stops = bool(self.words) and all(word in whole for word in self.words)
            self.left -= stops
            stopped = stops and self.left < 0
            print("stopped" if stopped else "passed", "_".join(whole.split()), flush=True)
        if not stopped:
            return None
        self.open.wait()
        return Refused() if self.lost else None

    def told(self, line: str) -> None:
        """What stands in a line of the one who started the gate."""
        with self.lock:
            if line == NOTED or line.startswith(ENDED):
                print(line, flush=True)
            elif line in {GO, LOST}:
                self.words, self.lost = (), line == LOST
                self.open.set()
            else:
                after, *self.words = line.split()
                self.left, self.open = int(after), threading.Event()


def main() -> None:
    """Stand before the server until nobody tells anything any more."""
    host, port, server = sys.argv[1:]
    stops = Stops()
    with proxied(f"http://{server}", stops.fault, at=(host, int(port))):
        for line in sys.stdin:
            stops.told(line.strip())
        stops.open.set()


if __name__ == "__main__":
    main()
