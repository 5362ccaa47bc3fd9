"""Tells Kubeflow's trainer how far a job is, where it gave its containers an address for that: what it is
told stands in the job's TrainJob.

A thread posts what has changed, now and then; a server that is away stops no work, nor its end for long.

Source: Kubeflow Trainer, proposal 2779; bounds are those of its ``TrainerStatus``.
"""

import json
import logging
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from mashbill.errors import one_line

log = logging.getLogger(__name__)
URL, TOKEN, AUTHORITY = (f"KUBEFLOW_TRAINER_SERVER_{name}" for name in ("URL", "TOKEN", "CA_CERT"))
"""Variables: an address, and files of a token, which changes, and of the certificate of who signed the
server's."""
LOOK_SECONDS, EVERY_SECONDS, AGAIN_SECONDS = 1.0, 10.0, 60.0
"""Between looks for something new, between posts, and after one that failed."""
ANSWER_SECONDS = 5.0
LONGEST, MOST_SECONDS = 64, 2**31 - 1
Figures = Mapping[str, float]


class TrainerStatus:
    """Posts how far a job is.

    Args:
        url: where to.
        token: file of what shows who posts.
        authority: file of the certificate to trust; None is those that the system trusts.
    """

    def __init__(self, url: str, token: Path, authority: Path | None) -> None:
        self.url, self.token, self.authority = url, token, authority
        self.figures: Callable[[], Figures] = dict
        self.left = TimeLeft()
        self.done: float | None = None
        self.posted: float | None = None
        self.next = float("-inf")
        self.failing = False
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._tell, daemon=True)

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self | None:
        """That which variables name; None where they name none."""
        url, token, authority = (environment.get(name) for name in (URL, TOKEN, AUTHORITY))
        return cls(url, Path(token), Path(authority) if authority else None) if url and token else None

    def start(self, figures: Callable[[], Figures]) -> None:
        """Post from now on.

        Args:
            figures: gives what is known beside, by name; called by a thread.
        """
        self.figures = figures
        self.thread.start()

    def reach(self, done: float) -> None:
        """The job is so far, in [0, 1]; this only notes it."""
        self.left.reach(done, time.monotonic())
        self.done = done

    def close(self, *, finished: bool) -> None:
        """Post the last, and wait for that no longer than an answer may take."""
        if finished:
            self.left.reach(1.0, time.monotonic())
            self.done = 1.0
        self.stop.set()
        self.thread.join(ANSWER_SECONDS)

    def _tell(self) -> None:
        last = False
        while not last:
            last = self.stop.wait(LOOK_SECONDS)
            now, done = time.monotonic(), self.done
            if done is None or done == self.posted or (now < self.next and not last):
                continue
            self._post(done)
            self.posted = done
            self.next = now + (AGAIN_SECONDS if self.failing else EVERY_SECONDS)

    def _post(self, done: float) -> None:
        try:
            self._ask(body_of(done, self.left.seconds, self.figures()))
        except (OSError, HTTPException, ValueError) as error:
            if not self.failing:
                words = "Kubeflow's trainer cannot be told how far this is (%s: %s); work goes on"
                log.warning(words, self.url, one_line(error))
            self.failing = True
        else:
            self.failing = False

    def _ask(self, body: str) -> None:
        place = urlsplit(self.url)
        if place.scheme != "https" or place.hostname is None:
            raise ValueError("is no https address, which a token may be sent to")
        context = ssl.create_default_context(cafile=self.authority)
        connection = HTTPSConnection(place.hostname, place.port, timeout=ANSWER_SECONDS, context=context)
        token = self.token.read_text(encoding="utf-8").strip()
        head = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        try:
            connection.request("POST", place.path, body, head)
            answer = connection.getresponse()
            if answer.status >= 300:
                raise OSError(f"{answer.status} {answer.read(200).decode('utf-8', 'replace')}")
        finally:
            connection.close()


class TimeLeft:
    """Seconds to the end of work, from how fast it went since its first sign: what an earlier run had done
    when this one began counts for nothing, nor what was done before it fell back."""

    def __init__(self) -> None:
        self.seconds: float | None = None
        self.since: tuple[float, float] | None = None
        self.last = 0.0

    def reach(self, done: float, now: float) -> None:
        """So far at a time, in seconds."""
        if (self.since is None and done > 0) or done < self.last:
            self.since, self.seconds = (done, now), None
        if done >= 1:
            self.seconds = 0.0
        elif self.since is not None and done > self.since[0]:
            before, then = self.since
            self.seconds = (now - then) * (1 - done) / (done - before)
        self.last = done


def body_of(done: float, left: float | None, figures: Figures) -> str:
    """What is posted, as JSON; each post takes the place of the one before."""
    status: dict[str, Any] = {
        "progressPercentage": int(100 * min(max(done, 0.0), 1.0)),
        "lastUpdatedTime": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    }
    if left is not None:
        status["estimatedRemainingSeconds"] = min(round(left), MOST_SECONDS)
    if figures:
        status["metrics"] = [
            {"name": name[:LONGEST], "value": str(value) if isinstance(value, int) else f"{value:.5g}"}
            for name, value in figures.items()
        ]
    return json.dumps({"trainerStatus": status})
