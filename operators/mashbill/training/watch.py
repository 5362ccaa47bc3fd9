"""A watch over the processes of a training: one that hangs is named and its stack written, instead of all
waiting for it in silence.

Each process says where it is (reading, computing, waiting for the others) in the store that they met at. One
that hangs does not wait for the others: it is those that are not waiting, or wait for an earlier step, who
hang. Python's own timer writes the stack of each, even of one that is stuck outside Python.
"""

import faulthandler
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch.distributed import distributed_c10d

READING, COMPUTING, WAITING = "reading text", "computing", "waiting for the others"
HUNG_EXIT = 76
NAMED = 4  # of those that hang
LOOKS = 10  # in the time after which a training counts as hung
ANSWER = timedelta(seconds=5)
STACKS = "stacks-{:05}.txt"


@dataclass(frozen=True)
class Sign:
    """What a process says of itself.

    Attributes:
        place: what it does.
        step: at which step.
        beats: how often it has said so; one that is frozen says nothing more.
    """

    place: str
    step: int
    beats: int


class Watch:
    """Watches over this process, and tells the others where it is.

    Args:
        seconds: without a step, after which the training counts as hung.
        folder: local, where the stack is written.
        tell: told in words who hangs, before this process ends.
    """

    def __init__(self, seconds: float, folder: Path, tell: Callable[[str], None]) -> None:
        self.seconds, self.tell, self.rank, self.world = seconds, tell, dist.get_rank(), dist.get_world_size()
        self.place, self.step, self.since, self.beats = READING, 0, time.monotonic(), 0
        self.stack = (folder / STACKS.format(self.rank)).open("w")
        met_at: Any = distributed_c10d._get_default_store()
        self.store = distributed_c10d.PrefixStore("watch", met_at.clone())
        self.store.set_timeout(ANSWER)
        self._say()
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def at(self, place: str, step: int) -> None:
        """Say where this process is."""
        faulthandler.dump_traceback_later(self.seconds, file=self.stack)
        self.place, self.step, self.since = place, step, time.monotonic()

    def stop(self) -> None:
        """Watch no more."""
        faulthandler.cancel_dump_traceback_later()
        self.stopped.set()
        self.thread.join()
        self.stack.close()

    def _look(self) -> None:
        pause = self.seconds / LOOKS
        while not self.stopped.wait(pause):
            self._say()
            if time.monotonic() - self.since > self.seconds:
                before = self._signs()
                for _ in range(2):  # in which each that is alive says something
                    self.stopped.wait(pause)
                    self._say()
                self.tell(hung(before, self._signs(), self.seconds))
                self.stack.flush()
                os._exit(HUNG_EXIT)

    def _say(self) -> None:
        self.beats += 1
        with suppress(RuntimeError):  # who keeps the store is gone, which all notice by other means
            self.store.set(str(self.rank), json.dumps((self.place, self.step, self.beats)))

    def _signs(self) -> dict[int, Sign]:
        """What each process said last."""
        found = {}
        for rank in range(self.world):
            try:
                found[rank] = Sign(*json.loads(self.store.get(str(rank))))
            except RuntimeError:
                continue
        return found


def hung(before: Mapping[int, Sign], now: Mapping[int, Sign], seconds: float) -> str:
    """Who hangs, in words.

    Args:
        before: what each process said last, by rank.
        now: the same a while later.
        seconds: for which no step was taken.
    """
    frozen = [rank for rank, sign in now.items() if before.get(rank) == sign]
    last = max(sign.step for sign in now.values())
    behind = [rank for rank, sign in now.items() if sign.place != WAITING or sign.step < last]
    if not frozen and not behind:
        return f"no step for {seconds:g} seconds: all processes wait for one another; look at the network"
    named = [
        f"rank {rank} ({'frozen' if rank in frozen else now[rank].place} at step {now[rank].step})"
        for rank in frozen or behind
    ]
    more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
    return f"no step for {seconds:g} seconds: the others wait for {', '.join(named[:NAMED])}{more}"
