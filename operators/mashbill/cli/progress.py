"""How far work is, as the shell shows it: a bar on a terminal; where there is none, as in the log of a build,
a line now and then."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

SAY_SECONDS, LEAST_SECONDS, SAY_SHARE = 30.0, 2.0, 0.1
"""A line is said of work when so many seconds are behind its last one; or sooner, though not at once, when it
is so much further."""


class Shown:
    """Shows pieces of work within a block; bars are gone after it, and lines stay.

    Args:
        console: where; None is the error stream.
        clock: seconds that pass.
    """

    def __init__(
        self, console: Console | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.console = console or Console(stderr=True)
        self.clock = clock
        self.in_lines = not self.console.is_terminal or self.console.is_dumb_terminal
        self.bars = Progress(
            TextColumn("{task.description:12}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[words]}", markup=False),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=self.in_lines,
        )

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    def say(self, words: str) -> None:
        """Say a line, which stays."""
        self.console.print(words, markup=False, highlight=False, soft_wrap=True)

    def work(self, name: str, *, head: str | None = None) -> "Work":
        """Some work begins.

        Args:
            name: before its bar.
            head: before its lines, where that is not its name; an empty one has no lines said of it.
        """
        return Work(self, name, f"{name:12}" if head is None else head)


class Work:
    """One piece of work: called with the share that is done, in [0, 1], and a few words. That it has ended is
    told by whoever did it."""

    def __init__(self, shown: Shown, name: str, head: str) -> None:
        self.shown, self.head = shown, head
        self.task = shown.bars.add_task(name, total=1.0, words="")
        self.said_at, self.said_share = shown.clock(), 0.0

    def __call__(self, done: float, words: str) -> None:
        """It is so far."""
        self.shown.bars.update(self.task, completed=done, words=words)
        if not self.shown.in_lines or not self.head or done >= 1:
            return
        now = self.shown.clock()
        passed, further = now - self.said_at, done - self.said_share >= SAY_SHARE
        if passed >= (LEAST_SECONDS if further else SAY_SECONDS):
            self.said_at, self.said_share = now, done
            self.shown.say(f"{self.head} {100 * done:3.0f}% {words}")

    def remove(self) -> None:
        """Show no more of it."""
        self.shown.bars.remove_task(self.task)
