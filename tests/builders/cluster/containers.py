"""A container: a process in a sandbox, what it says in a log as the kubelet keeps it, and how it ended."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from builders.cluster.kinds import Object, now_text
from builders.cluster.sandbox import Sandbox

KILLED = 128 + signal.SIGKILL
BACKING_OFF = "CrashLoopBackOff"
LAST_LINES, LAST_BYTES = 80, 2_048
"""How much of a log goes into the message of a container that failed, where its spec wants that."""


@dataclass
class Container:
    """One container of a pod, through all its starts.

    Attributes:
        name: of the container.
        logs: folder of its logs, one file a start, named by its number.
        tell: is called when it has started, and when it has ended, from another thread.
        say: is called with each line that it says, from another thread.
        waiting: why it does not run yet, as reason and message.
        ended: how it ended, as in a status.
        last: how it ended before this start.
        restarts: starts after the first.
        killer: what ended it, where that was not itself: OOMKilled.
    """

    name: str
    logs: Path
    tell: Callable[[], None]
    say: Callable[[str], None]
    waiting: tuple[str, str] | None = ("ContainerCreating", "")
    ended: Object | None = None
    last: Object | None = None
    restarts: int = 0
    killer: str = ""
    running: bool = False
    _since: str = ""
    _process: subprocess.Popen[bytes] | None = None
    _attendant: threading.Thread | None = None

    @property
    def log(self) -> Path:
        """The log of its last start."""
        return self.logs / f"{self.restarts}.log"

    @property
    def begun(self) -> bool:
        """Whether it has been started and has not ended."""
        return self.ended is None and self.waiting is None

    def start(
        self, sandbox: Sandbox, words: Sequence[str], variables: Mapping[str, str], folder: str
    ) -> None:
        """Start its process.

        Args:
            sandbox: in which.
            words: the command.
            variables: the environment.
            folder: where it begins.
        """
        self._begin()
        reader, writer = os.pipe()
        self._process = subprocess.Popen(
            sandbox.command(words, folder),
            env=dict(variables),
            stdin=writer,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
        )
        os.close(writer)
        arguments = (self._process, reader, self.log)
        self._attendant = threading.Thread(target=self._attend, args=arguments, daemon=True)
        self._attendant.start()

    def idle(self) -> None:
        """Run without a process."""
        self._begin()
        self.running = True
        self.log.touch()

    def fail_to_start(self, message: str) -> None:
        """End before it began, as what is started is not there."""
        self._begin()
        self.log.touch()
        self._end(128, "StartError", message)

    def restart(self) -> None:
        """Forget how it ended, to be started once more."""
        self.last, self.ended = self.ended, None
        self.restarts += 1
        self.killer = ""
        self.waiting = ("ContainerCreating", "")

    def signal(self, number: int) -> None:
        """Send a signal to its first process; the kernel ends the others with it."""
        process = self._process
        if process is None:
            if self.begun:
                self._end(128 + number)
                self.tell()
            return
        with suppress(psutil.Error, IndexError):
            psutil.Process(process.pid).children()[0].send_signal(number)
            return
        if number == signal.SIGKILL:
            process.kill()

    def finish(self, code: int) -> None:
        """End one that has no process, with an exit code."""
        if self._process is None and self.begun:
            self._end(code)
            self.tell()

    def kill(self) -> None:
        """End it at once, and wait for that."""
        process = self._process
        self.signal(signal.SIGKILL)
        if process is not None:
            process.kill()
        if self._attendant is not None:
            self._attendant.join(30)

    def memory(self) -> int:
        """Bytes that its processes have for themselves."""
        if self._process is None or not self.begun:
            return 0
        total = 0
        with suppress(psutil.Error):
            for process in psutil.Process(self._process.pid).children(recursive=True):
                total += _own_memory(process.pid)
        return total

    def state(self) -> Object:
        """As in a pod's status."""
        backing_off = self.waiting is not None and self.waiting[0] == BACKING_OFF
        if self.ended is not None and not backing_off:
            return {"terminated": self.ended}
        if self.waiting is not None:
            reason, message = self.waiting
            return {"waiting": {"reason": reason, **({"message": message} if message else {})}}
        if not self.running:
            return {"waiting": {"reason": "ContainerCreating"}}
        return {"running": {"startedAt": self._since}}

    def last_words(self) -> str:
        """The end of its log, without the times."""
        lines = self.log.read_text(errors="replace").splitlines()[-LAST_LINES:]
        return "\n".join(lines)[-LAST_BYTES:]

    def _begin(self) -> None:
        self.waiting = None
        self._since = now_text()
        self.logs.mkdir(parents=True, exist_ok=True)

    def _attend(self, process: subprocess.Popen[bytes], reader: int, log: Path) -> None:
        """Wait until it has started, keep what it says, and tell how it ended."""
        started = os.read(reader, 1)
        if started:
            self.running = True
            self.tell()
        assert process.stdout is not None
        with process.stdout as said, log.open("wb") as file:
            self._keep(said, file)
        code = process.wait()
        os.close(reader)
        self._end(code if code >= 0 else 128 - code)
        self.tell()

    def _keep(self, said: IO[bytes], log: IO[bytes]) -> None:
        for line in said:
            log.write(line)
            log.flush()
            self.say(line.decode(errors="replace"))

    def _end(self, code: int, reason: str = "", message: str = "") -> None:
        self.running = False
        self._process = None
        if self.killer == "OOMKilled":
            code = KILLED
        self.ended = {
            "exitCode": code,
            "reason": self.killer or reason or ("Error" if code else "Completed"),
            "startedAt": self._since,
            "finishedAt": now_text(),
            **({"message": message} if message else {}),
        }


def _own_memory(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0
