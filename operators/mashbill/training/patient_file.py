"""A file of lines beside a training, which stops nothing where the disk is full: its lines wait, in order,
until there is room."""

import os
from collections.abc import Callable
from pathlib import Path

from mashbill.errors import RunError, one_line


class PatientFile:
    """Adds lines to a file, whole or not at all.

    Args:
        path: the file; what stands in it stays, but for a last line without its end.
        headed: whether its first line is a head, which stays.
        tell: told in words of the first line that has to wait.

    Attributes:
        waiting: lines that there was no room for yet.
    """

    def __init__(self, path: Path, tell: Callable[[str], None], *, headed: bool = False) -> None:
        self.path, self.tell, self.headed, self.head = path, tell, headed, ""
        self.waiting: list[str] = []
        self._keep(lambda line: True)

    def add(self, line: str, head: str = "") -> None:
        """Add a line, with those that wait.

        Args:
            line: without its end.
            head: the first line, where the file is new.
        """
        self.head = head
        self.waiting.append(line)
        try:
            self._write()
        except OSError as error:
            if len(self.waiting) == 1:
                what = f"{self.path} cannot be written ({one_line(error)})"
                self.tell(f"{what}: its lines wait, and training goes on")

    def settle(self) -> None:
        """Write what waits, for the last time.

        Raises:
            RunError: there is still no room.
        """
        try:
            self._write()
        except OSError as error:
            what = f"lacks {len(self.waiting)} lines, which cannot be written ({one_line(error)})"
            raise RunError(str(self.path), what, "free the disk, and run again") from error

    def keep_while(self, keeps: Callable[[str], bool]) -> None:
        """Drop the first line that is not to be kept, and all after it; the head stays."""
        self._keep(keeps)
        self.waiting = [line for line in self.waiting if keeps(line)]

    def _keep(self, keeps: Callable[[str], bool]) -> None:
        """Cut the file off, for which a full disk has room."""
        if not self.path.exists():
            return
        whole = 0
        for number, line in enumerate(self.path.read_bytes().splitlines(keepends=True)):
            is_kept = (number == 0 and self.headed) or keeps(line.decode("utf-8", "replace").rstrip("\n"))
            if not line.endswith(b"\n") or not is_kept:
                break
            whole += len(line)
        os.truncate(self.path, whole)

    def _write(self) -> None:
        """Write all that waits; a line that was cut off as the disk was full is taken away again.

        Raises:
            OSError: not all of it could be written.
        """
        if not self.waiting:
            return
        with self.path.open("ab", buffering=0) as file:
            while self.waiting:
                start = file.tell()
                head = f"{self.head}\n" if self.head and not start else ""
                line = f"{head}{self.waiting[0]}\n".encode()
                try:
                    written = file.write(line)
                    while written < len(line):
                        written += file.write(line[written:])
                except OSError:
                    os.truncate(self.path, start)
                    raise
                del self.waiting[0]
