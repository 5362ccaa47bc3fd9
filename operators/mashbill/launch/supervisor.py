"""A process that runs the nodes of one job of this machine and outlives whoever submitted it: ``-m
mashbill.launch.supervisor FOLDER``.

It holds a lock as long as it or one of its nodes lives, so that nobody has to trust a process id. It begins
once: a second one for the same job, or one that comes after it has ended, does nothing.
"""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

from mashbill.artifacts import write_json
from mashbill.launch.backend import FINAL_EXIT, NODE, NODES, PAUSED_EXIT, RENDEZVOUS, Order

ORDER, LOCK, STARTED, ENDED, RESTARTS, CANCELLED = (
    "order.json",
    "lock",
    "started.json",
    "ended.json",
    "restarts",
    "cancelled",
)
LOOK_SECONDS, TAKING_SECONDS = 0.1, 10.0
GRACE_SECONDS = 30.0
"""Between being asked to end and being killed: long enough to save."""
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Ended:
    """How a job ended.

    Attributes:
        code: of the node that failed first; 0 where none did.
        node: which node that was.
        why: a few words.
    """

    code: int
    node: int
    why: str = ""


def log_of(folder: Path, node: int) -> Path:
    """The file of what a node says."""
    return folder / f"node-{node}.log"


class Supervisor:
    """Runs the nodes of a job until they have ended, again where they failed and may be started again.

    Args:
        folder: of the job.
        lock: descriptor that the nodes hold too.
    """

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder, self.lock = folder, lock
        self.order = Order.of((folder / ORDER).read_text(encoding="utf-8"))
        self.nodes: list[subprocess.Popen[bytes]] = []
        self.asked: float | None = None
        signal.signal(signal.SIGTERM, self._ask)

    def run(self) -> Ended:
        """Run to the end."""
        takes = self.order.takes
        until = time.monotonic() + (takes.time_limit_seconds or float("inf"))
        for restart in range(takes.max_restarts + 1):
            (self.folder / RESTARTS).write_text(str(restart))
            self._start()
            ended = self._wait(until)
            self._end()
            final = ended.code in {0, FINAL_EXIT, PAUSED_EXIT}
            if final or self.asked is not None or time.monotonic() > until:
                break
        return ended

    def _start(self) -> None:
        port = _free_port()
        here = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        of = self.order.takes.nodes
        for number in range(of):
            told = {NODE: str(number), NODES: str(of), RENDEZVOUS: f"{LOOPBACK}:{port}"}
            with log_of(self.folder, number).open("ab") as log:
                self.nodes.append(
                    subprocess.Popen(
                        self.order.command,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        cwd=self.folder,
                        env={**os.environ, "PATH": here, **told, **self.order.environment},
                        start_new_session=True,
                        pass_fds=(self.lock,),
                    )
                )

    def _wait(self, until: float) -> Ended:
        """Wait until all nodes have ended, or one has failed, or the time is over."""
        while True:
            codes = [node.poll() for node in self.nodes]
            failed = [number for number, code in enumerate(codes) if code]
            if failed and (codes[failed[0]] != PAUSED_EXIT or None not in codes):
                code = codes[failed[0]] or 0
                return Ended(code, failed[0], _why(code))
            if all(code == 0 for code in codes):
                return Ended(0, 0)
            if time.monotonic() > until:
                return Ended(
                    -signal.SIGTERM, 0, f"ran for longer than {self.order.takes.time_limit_seconds} s"
                )
            if self.asked is not None and time.monotonic() > self.asked + GRACE_SECONDS:
                return Ended(-signal.SIGKILL, 0, "did not end when it was asked to")
            time.sleep(LOOK_SECONDS)

    def _end(self) -> None:
        """End the nodes that still run: asked first, then killed."""
        self._signal(signal.SIGTERM)
        until = (self.asked or time.monotonic()) + GRACE_SECONDS
        for node in self.nodes:
            with suppress(subprocess.TimeoutExpired):
                node.wait(max(0.0, until - time.monotonic()))
        self._signal(signal.SIGKILL)
        for node in self.nodes:
            node.wait()
        self.nodes.clear()

    def _signal(self, number: signal.Signals) -> None:
        for node in self.nodes:
            with suppress(ProcessLookupError):  # what a node started may live longer than it
                os.killpg(node.pid, number)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.asked = self.asked or time.monotonic()
        self._signal(signal.SIGTERM)


def _why(code: int) -> str:
    if code == -signal.SIGKILL:
        return "was killed, as for a lack of memory"
    return f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        return int(free.getsockname()[1])


def _take(folder: Path) -> int | None:
    """The lock of a job that is still to be begun; None where another supervisor has it or had it.

    Who looks whether the job runs has the lock for a moment: it is tried again.
    """
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    until = time.monotonic() + TAKING_SECONDS
    while time.monotonic() < until and not (folder / STARTED).exists():
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return None if (folder / STARTED).exists() else lock
        time.sleep(LOOK_SECONDS / 10)
    return None


def main() -> None:
    """Go to the background as soon as the job has begun, and run it to its end."""
    folder = Path(sys.argv[1])
    begun, told = os.pipe()
    if os.fork():
        os.close(told)
        sys.exit(0 if os.read(begun, 1) else 1)
    os.close(begun)
    os.setsid()
    lock = _take(folder)
    if lock is not None:
        write_json(folder / STARTED, {"pid": os.getpid(), "time": time.time()})
    with suppress(BrokenPipeError):  # whoever submitted has been killed, which the job does not mind
        os.write(told, b"1")
    os.close(told)
    log = os.open(folder / "supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor in (0, 1, 2):
        os.dup2(log if descriptor else os.open(os.devnull, os.O_RDONLY), descriptor)
    if lock is None:
        return
    try:
        ended = Supervisor(folder, lock).run()
    except OSError as error:
        ended = Ended(1, 0, f"its command cannot be run ({error})")
    write_json(folder / ENDED, asdict(ended))


def read_ended(folder: Path) -> Ended | None:
    """How a job ended; None where it has not, or its supervisor was killed."""
    try:
        return Ended(**json.loads((folder / ENDED).read_text()))
    except FileNotFoundError:
        return None


if __name__ == "__main__":
    main()
