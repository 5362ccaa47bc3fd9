"""Stages, or parts of them, as jobs elsewhere: submitted once, taken up again, collected.

The artifact store is how a result comes back; nothing else of a job is needed. Whoever waits may be killed at
any moment: the next one takes up the jobs that are there.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

from mashbill.artifacts import Artifact
from mashbill.config import LaunchConfig
from mashbill.errors import RunError
from mashbill.launch.backend import Order
from mashbill.launch.needs import jobs_of
from mashbill.launch.records import RECORDS, Work, all_work
from mashbill.launch.submission import (
    BackendOf,
    Submitted,
    backend_of,
    cancel,
    submit_or_take_up,
    take_up,
)
from mashbill.stages.given_run import keep_run
from mashbill.stages.job import StageJob

WHOLE = "whole"
LONGEST_WORDS, DIGITS, LONGEST_LABEL = 28, 8, 60
STAGE, PART, FINGERPRINT = "mashbill.dev/stage", "mashbill.dev/part", "mashbill.dev/fingerprint"
"""Labels of a job."""


@dataclass(frozen=True)
class Elsewhere:
    """A stage whose work is done by jobs.

    Attributes:
        job: the stage, with its config and inputs.
        takes: what each job takes.
        backend_of: gives the backend of an order.
    """

    job: StageJob
    takes: LaunchConfig
    backend_of: BackendOf = backend_of

    @classmethod
    def of(cls, job: StageJob) -> Self | None:
        """The stage, where its config sends it elsewhere."""
        takes = job.config.launch.get(job.stage.name)
        return None if takes is None else cls(job, takes)

    def batches(self) -> list[tuple[str, ...]]:
        """Which parts share a job, finished ones among them: one batch without parts where the stage does not
        split, none where its result is there."""
        if self.job.find() is not None:
            return []
        parts = self.job.part_names()
        return jobs_of(parts, self.takes, self.job.stage.needs) if parts else [()]

    def submit(self, parts: Sequence[str]) -> Submitted | None:
        """The job that makes some parts, or the whole stage where it does not split: the one that is under
        way, whoever submitted it, or a new one.

        Args:
            parts: those of one of ``batches``.
        Returns:
            None where the results are there.
        Raises:
            ConfigError: the backend refuses it for good, or what it needs is not installed.
            RunError: the backend does not answer.
        """
        work = Work(self.job.store.storage, f"{self._records}/{_label(parts)}")
        return submit_or_take_up(
            work,
            ordered=partial(self._order, parts, work.key),
            done=lambda: self.is_there(parts),
            backend_of=self.backend_of,
        )

    def submit_all(self) -> list[Submitted]:
        """Jobs for everything that is still to be made: those under way, however they were cut, and new ones
        for what none of them makes."""
        batches = self.batches()
        running = self.under_way() if batches else []
        return self._with_jobs_for(batches, running)

    def submit_some(self, parts: Sequence[str]) -> list[Submitted]:
        """Jobs for some parts that are still to be made: those under way that make any of them, however they
        were cut, and a new one for what none of them makes."""
        if self.is_there(parts):
            return []
        return self._with_jobs_for([tuple(parts)], self.under_way(parts))

    def _with_jobs_for(self, batches: Sequence[tuple[str, ...]], running: list[Submitted]) -> list[Submitted]:
        taken = {part for one in running for part in parts_of(one.attempt.order)}
        for batch in batches:
            left = tuple(part for part in batch if part not in taken)
            if left or not batch:
                submitted = self.submit(left)
                running += [submitted] if submitted is not None and submitted not in running else []
        return running

    def under_way(self, making: Sequence[str] = ()) -> list[Submitted]:
        """Its jobs that were submitted before and have not ended.

        Args:
            making: parts; jobs that make none of them are left out, and not looked at. Without any, all.
        """
        found: list[Submitted] = []
        known = set(self.job.part_names())
        for work in all_work(self.job.store.storage, self._records):
            last = work.attempts()[-1]
            parts = parts_of(last.order)
            if making and not set(parts) & set(making):
                continue
            if last.handle is None and not known.issuperset(parts):  # the work is cut another way now
                cancel(last, self.backend_of)
            submitted = take_up(last, partial(self._order, parts, work.key), self.backend_of)
            found += [submitted] if submitted is not None else []
        return found

    def is_there(self, parts: Sequence[str]) -> bool:
        """Whether what a job makes is there."""
        if self.job.find() is not None:
            return True
        return bool(parts) and all(self.job.find_part(part) is not None for part in parts)

    def collect(self) -> Artifact:
        """The result, of which the parts are put together here.

        Raises:
            RunError: what jobs should have made is not there.
        """
        if self.job.part_names():
            return self.job.collect()
        made = self.job.reused()
        if made is None:
            raise self._missing("")
        return made

    def collect_some(self, parts: Sequence[str]) -> list[Artifact]:
        """Some parts, or the whole in place of one where that is all there is; none is made here.

        Raises:
            RunError: what jobs should have made is not there.
        """
        made = []
        for part in parts:
            found = self.job.find_part(part) or self.job.find()
            if found is None:
                raise self._missing(f"its part {part} ")
            made.append(found)
        return made

    def _missing(self, part: str) -> RunError:
        what = f"{part}is not in {self.job.store.storage.root}, where its job should have put it"
        return RunError(f"stage {self.job.stage.name}", what, "look at the job's log, and run again")

    @property
    def _records(self) -> str:
        return f"{RECORDS}/{self.job.store.key(self.job.stage.name, self.job.fingerprint)}"

    def _order(self, parts: Sequence[str], work: str, number: int, token: str) -> Order:
        stage, address, record = self.job.stage.name, keep_run(self.job), f"{work}/{number}"
        command = ("mashbill", "part", stage, *parts, "--run", address, "--record", record)
        labels = {
            STAGE: stage,
            PART: _label(parts)[:LONGEST_LABEL].rstrip("-_."),
            FINGERPRINT: self.job.fingerprint[:16],
        }
        return Order(
            _name(f"{self.job.store.storage.root}/{record}"),
            token,
            command,
            takes=self.takes,
            environment=dict(self.takes.environment),
            labels=labels,
        )


def parts_of(order: Order) -> tuple[str, ...]:
    """The parts that an order makes; none where it makes a whole stage."""
    return order.command[3 : order.command.index("--run")]


def _label(parts: Sequence[str]) -> str:
    """What some parts are called together."""
    if len(parts) <= 1:
        return parts[0] if parts else WHOLE
    return f"{parts[0]}-and-{len(parts) - 1}-{_digest(' '.join(parts))}"


def _name(record: str) -> str:
    """The name of a job, given the address of its record: lowercase letters, digits and dashes."""
    work, _, attempt = record.rpartition("/")
    stage, _, part = work.rsplit("/", 2)
    words = re.sub(r"[^a-z0-9]+", "-", f"{stage.rpartition('/')[2]}-{part}".lower())[:LONGEST_WORDS]
    return f"{words.strip('-')}-{_digest(work)}-{attempt}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
