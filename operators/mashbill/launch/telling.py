"""How a node of a job tells whoever waits for it how it gets on.

A thread writes to the job's record now and then, and a store that does not answer stops no work.
"""

import json
import logging
import shutil
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from mashbill.artifacts import ProgressState
from mashbill.artifacts.progress import read_progress_file
from mashbill.errors import MashbillError, RunError, one_line
from mashbill.launch.records import Attempt
from mashbill.launch.told import ERROR, LOG, PROGRESS, name_of, text_of
from mashbill.launch.trainer_status import TrainerStatus
from mashbill.storage import LOCAL

log = logging.getLogger(__name__)
LOOK_SECONDS, FAR_SECONDS, LOG_SECONDS, SAID_SECONDS = 1.0, 10.0, 60.0, 30.0
"""Between looks at log files; between writing progress to a remote store, and the log to any; between saying
how far it is."""
OTHERS = "node-"
"""How folders of other nodes begin, within that of the first."""
KEPT_BYTES = 4_000_000
"""Of a node's log, its end."""


class Telling:
    """Tells how a node gets on within a block, and of an error that ends it.

    Args:
        attempt: the job's record; None where there is none, and all is said on the error stream alone.
        node: which node this is; the first tells how far the job is.
        stage: what it works at, for the error.
        trainer: hears of the first node how far the job is; None where nobody asked for that.
    """

    def __init__(
        self, attempt: Attempt | None, node: int, stage: str, *, trainer: TrainerStatus | None = None
    ) -> None:
        self.node, self.stage = node, stage
        self.trainer = trainer if node == 0 else None
        self.record = None if attempt is None else _Record(attempt, node)
        self.said = _Said()
        self.level = logging.getLogger().level  # as it was, and is again afterwards
        self.files = _LogFiles()
        self.last_said, self.began = float("-inf"), time.time()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._tell, daemon=True)

    def __enter__(self) -> Self:
        logging.getLogger().addHandler(self.said)
        logging.getLogger().setLevel(logging.INFO)
        self.thread.start()
        if self.trainer is not None:
            self.trainer.start(self._figures)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop.set()
        self.thread.join()
        if self.trainer is not None:
            self.trainer.close(finished=kind is None)
        self._gather(last=True)
        if isinstance(error, Exception):
            self._failed(error)
        if self.record is not None:
            self.record.keep(self.said.end(), last=True)
        logging.getLogger().removeHandler(self.said)
        logging.getLogger().setLevel(self.level)
        self.said.close()
        self.files.close()

    def progress(self, done: float, words: str) -> None:
        """Say how far the job is."""
        reached = ProgressState(min(max(done, 0.0), 1.0), words, time.time())
        if self.record is not None and self.node == 0:
            self.record.reached = reached
        if self.trainer is not None:
            self.trainer.reach(reached.done)
        if time.monotonic() - self.last_said > SAID_SECONDS or done >= 1:
            self.last_said = time.monotonic()
            log.info("%3.0f%% %s", 100 * reached.done, words)

    def gather_from(self, folder: Path) -> None:
        """Have what processes write into log files of a folder from now on among what this node says."""
        self.files.watch(folder)

    def _failed(self, error: Exception) -> None:
        told = error
        if not isinstance(told, MashbillError):
            self.said.say("".join(traceback.format_exception(error)).encode())
            words = f"failed on node {self.node} ({type(error).__name__}: {one_line(error)})"
            told = RunError(f"stage {self.stage}", words, "see its log")
        log.error("%s", told)
        if self.record is not None:
            self.record.write(name_of(self.node, ERROR), text_of(told))

    def _figures(self) -> Mapping[str, float]:
        """What processes of this node that write their progress beside their logs measured last."""
        states = [read_progress_file(path) for path in self.files.named(PROGRESS)]
        told = [state for state in states if state is not None and state.time >= self.began]
        return max(told, key=lambda state: state.time).figures if told else {}

    def _tell(self) -> None:
        while not self.stop.wait(LOOK_SECONDS):
            self._gather()
            if self.record is not None:
                self.record.keep(self.said.end())

    def _gather(self, *, last: bool = False) -> None:
        for text in self.files.added(last=last):
            self.said.say(text)


class _Record:
    """What one node writes to the record of its job."""

    def __init__(self, attempt: Attempt, node: int) -> None:
        self.attempt, self.node = attempt, node
        self.reached: ProgressState | None = None
        self.written: ProgressState | None = None
        self.pause = 0.0 if attempt.storage.scheme == LOCAL else FAR_SECONDS
        self.progress_at, self.log_at = float("-inf"), time.monotonic()
        self.failing = False

    def keep(self, said: Callable[[], bytes], *, last: bool = False) -> None:
        """Write what has changed, if it is time."""
        now, reached = time.monotonic(), self.reached
        if reached is not None and reached != self.written and (last or now - self.progress_at >= self.pause):
            self.progress_at, self.written = now, reached
            self.write(PROGRESS, json.dumps(asdict(reached)))
        if last or now - self.log_at >= LOG_SECONDS:
            self.log_at = now
            self.write(name_of(self.node, LOG), said().decode("utf-8", "replace"))

    def write(self, name: str, text: str) -> None:
        """Write a file; where that fails, it is said once, and work goes on."""
        try:
            self.attempt.write(name, text)
        except (MashbillError, OSError) as error:
            if not self.failing:
                log.warning("the job's record cannot be written (%s); work goes on", one_line(error))
            self.failing = True
        else:
            self.failing = False


OF_STORES = ("botocore", "boto3", "s3transfer", "urllib3", "aiobotocore", "fsspec")
"""Libraries that say, of every client, where they found its credentials."""


class _Said(logging.Handler):
    """What a node says, on the error stream and in a file; of libraries of stores, warnings alone."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        self.folder = Path(tempfile.mkdtemp(prefix="mashbill-job-"))
        self.file = (self.folder / "said").open("ab")

    def emit(self, record: logging.LogRecord) -> None:
        """Say a line."""
        if record.levelno < logging.WARNING and record.name.split(".")[0] in OF_STORES:
            return
        self.say(f"{self.format(record)}\n".encode())

    def say(self, text: bytes) -> None:
        """Say something."""
        with suppress(OSError, ValueError):
            sys.stderr.buffer.write(text)
            sys.stderr.flush()
        with suppress(OSError, ValueError):
            self.file.write(text)
            self.file.flush()

    def end(self) -> Callable[[], bytes]:
        """Gives the end of what was said."""

        def read() -> bytes:
            with (self.folder / "said").open("rb") as file:
                file.seek(max(0, file.seek(0, 2) - KEPT_BYTES))
                return file.read()

        return read

    def close(self) -> None:
        """Remove the file."""
        self.file.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        super().close()


class _LogFiles:
    """Log files in some folders, read as they grow; one that is open is read to its end when it is removed
    too."""

    def __init__(self) -> None:
        self.folders: list[Path] = []
        self.starts: dict[Path, int] = {}
        self.opened: dict[Path, BinaryIO] = {}
        self.begun: dict[Path, bytes] = {}

    def watch(self, folder: Path) -> None:
        """Read those of a folder, from where they end now."""
        self.starts |= {path: path.stat().st_size for path in _logs_in(folder)}
        self.folders.append(folder)

    def named(self, name: str) -> list[Path]:
        """Files of a name that lie there."""
        return [path for folder in list(self.folders) for path in _own(folder, name)]

    def added(self, *, last: bool) -> list[bytes]:
        """The lines that were added since the last look; what is no whole line yet comes with the rest of it,
        or last of all."""
        for folder in self.folders:
            for path in _logs_in(folder):
                if path not in self.opened:
                    with suppress(OSError):
                        self.opened[path] = path.open("rb")
                        self.opened[path].seek(self.starts.get(path, 0))
        return [lines for path in self.opened if (lines := self._lines(path, last=last))]

    def _lines(self, path: Path, *, last: bool) -> bytes:
        text = self.begun.pop(path, b"") + self.opened[path].read()
        if last:
            return text if text.endswith(b"\n") or not text else text + b"\n"
        whole = max(text.rfind(b"\n"), text.rfind(b"\r")) + 1
        self.begun[path] = text[whole:]
        return text[:whole]

    def close(self) -> None:
        """Read no more."""
        for file in self.opened.values():
            file.close()


def _logs_in(folder: Path) -> list[Path]:
    return _own(folder, "*.log")


def _own(folder: Path, pattern: str) -> list[Path]:
    """Files of a node, those of others on the same disk left out."""
    found = sorted(folder.rglob(pattern))
    return [path for path in found if not path.relative_to(folder).parts[0].startswith(OTHERS)]
