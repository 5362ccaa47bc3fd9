"""Stages that their config sends elsewhere: submitted by a worker, waited for by the triggerer, taken up
again by whoever comes after one that was killed.

What was submitted is kept in the artifact store, before and after (``launch/submission.py``), so that no kill
loses a job or submits it twice. With deferral off a worker waits, and Airflow's own memory of the job
(``ResumableJobMixin``) is kept beside.
"""

import asyncio
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from airflow.sdk import ResumableJobMixin
from airflow.sdk.configuration import conf

from mashbill.errors import ConfigError, DataError, MashbillError
from mashbill.launch.backend import JobState
from mashbill.launch.submission import Submitted, cancel_all
from mashbill.operators.connections import s3_access
from mashbill.operators.failures import final_errors
from mashbill.operators.jobs_trigger import CONNECTIONS, ERROR, JOBS, STATES, Connections, JobsEnded
from mashbill.stages.elsewhere import Elsewhere
from mashbill.stages.following import Seen, failure_of, follow
from mashbill.storage import scratch_of

SENT, CLEARED = "mashbill_sent", "max_tries"
"""What is kept with the task: its jobs, and in which round they were submitted."""
Jobs = list[dict[str, str]]
"""Submitted jobs as plain values, as the triggerer and Airflow's store keep them."""


class RunsElsewhere(ResumableJobMixin):
    """What an operator does whose stage runs elsewhere.

    Args:
        deferrable: whether the triggerer waits, and no worker slot is held; None is Airflow's setting
            ``[operators] default_deferrable``.
        durable: with deferral off, whether Airflow keeps which jobs were submitted.
    """

    external_id_key = "mashbill_jobs"
    aws_conn_id: str | None
    kubernetes_conn_id: str | None
    _sent: Elsewhere
    _followed: Sequence[Submitted] = ()
    _result: Any = None

    def __init__(self, *, deferrable: bool | None = None, durable: bool = True, **kwargs: Any) -> None:
        super().__init__(durable=durable, **kwargs)
        default = conf.getboolean("operators", "default_deferrable", fallback=False)
        self.deferrable = default if deferrable is None else deferrable

    @abstractmethod
    def elsewhere(self) -> Elsewhere:
        """The stage, with where its config sends it."""

    @abstractmethod
    def submitted(self, elsewhere: Elsewhere) -> list[Submitted]:
        """The jobs that are to be waited for: those under way, and new ones."""

    @abstractmethod
    def finish(self, context: Any, elsewhere: Elsewhere) -> Any:
        """What the operator returns, when its jobs have succeeded."""

    def run_elsewhere(self, context: Any, elsewhere: Elsewhere) -> Any:
        """Submit, and wait in the triggerer or here."""
        self._sent = elsewhere
        if not self.deferrable:
            return self.execute_resumable(context)
        jobs = self._followed = self.submitted(elsewhere)
        if not jobs:
            return self.finish(context, elsewhere)
        plain = self._told(context, jobs)
        connections = {"aws_conn_id": self.aws_conn_id, "kubernetes_conn_id": self.kubernetes_conn_id}
        self.defer(  # type: ignore[attr-defined]
            trigger=JobsEnded.over(plain, connections),
            method_name=self.resume.__name__,
            kwargs={JOBS: plain, CONNECTIONS: connections},
        )
        return None

    def resume(
        self, context: Any, event: dict[str, Any], *, jobs: Jobs, connections: Connections | None = None
    ) -> Any:
        """Go on when the jobs have ended.

        Args:
            context: of the task.
            event: of the trigger.
            jobs: that were waited for.
            connections: by which they were reached; who ends the jobs of a task that is failed by hand
                reads them (``by_hand.py``).
        Raises:
            AirflowFailException: one failed by its settings or its data.
            MashbillError: one failed otherwise, or could not be followed; a retry takes it up or begins anew.
        """
        del connections
        with final_errors(), s3_access(self.aws_conn_id):
            elsewhere = self.elsewhere()
            if ERROR in event:
                raise MashbillError(*event[ERROR])
            states = [JobState.of(text) for text in event[STATES]]
            self._refuse_failed(self._jobs(elsewhere, jobs), states)
            return self.finish(context, elsewhere)

    def submit_job(self, context: Any) -> Any:
        """Submit, for whoever waits here."""
        self._followed = self.submitted(self._sent)
        return self._told(context, self._followed)

    def get_job_status(self, external_id: Any, context: Any) -> str:
        """Whether the jobs that an earlier try submitted are under way."""
        del context
        running = {one.attempt.key for one in self._sent.under_way()}
        return "active" if all(one["key"] in running for one in external_id) else "ended"

    def is_job_active(self, status: str) -> bool:
        """Whether they may be waited for."""
        return status == "active"

    def is_job_succeeded(self, status: str) -> bool:
        """Never: what has ended is looked for in the artifact store, by submitting what is not there."""
        del status
        return False

    def poll_until_complete(self, external_id: Any, context: Any) -> Any:
        """Wait here until they have ended; what the operator returns, to which a job is taken up again."""
        self._followed = self._jobs(self._sent, external_id)
        states = asyncio.run(follow(self._followed, self._tell, backend_of=self._sent.backend_of))
        self._refuse_failed(self._followed, states)
        self._result = self.finish(context, self._sent)
        return self._result

    def get_job_result(self, external_id: Any, context: Any) -> Any:
        """What the operator returns."""
        del external_id, context
        return self._result

    def on_kill(self) -> None:
        """End what a worker that waits is asked to end; nothing where it submitted nothing."""
        if self._followed:
            cancel_all([one.attempt for one in self._followed], self._sent.backend_of)

    def end_those_of_before(self, context: Any, elsewhere: Elsewhere) -> None:
        """End what the task submitted before it was cleared: its trigger may never have run, and the work may
        be cut otherwise now.

        Raises:
            MashbillError: a backend does not answer; a retry ends them.
        """
        kept = context.get("task_state_store")
        sent = kept.get(SENT) if kept is not None else None
        if sent and sent[CLEARED] != context["ti"].max_tries:  # which clearing raises
            before = [one.attempt for one in self._jobs(elsewhere, sent[JOBS])]
            known = [attempt for attempt in before if attempt.handle is not None]  # not in an emptied store
            cancel_all(known, elsewhere.backend_of)

    def _told(self, context: Any, jobs: Sequence[Submitted]) -> Jobs:
        """The jobs as plain values, which are kept with the task."""
        plain, kept = [one.as_json() for one in jobs], context.get("task_state_store")
        for one in jobs:
            self.log.info("waiting for job %s (%s)", one.handle.name, one.handle.backend)
        if kept is not None:
            kept.set(SENT, {CLEARED: context["ti"].max_tries, JOBS: plain})
        return plain

    def _jobs(self, elsewhere: Elsewhere, jobs: Jobs) -> list[Submitted]:
        scratch = scratch_of(elsewhere.job.config)
        return Submitted.all_of(jobs, scratch)

    def _tell(self, seen: Seen) -> None:
        self.log.info("%s", seen.line)

    def _refuse_failed(self, jobs: Sequence[Submitted], states: Sequence[JobState]) -> None:
        """Raise the error of the jobs that failed, one that no retry can mend first; the last words of the
        node that failed are in the task's log."""
        errors = []
        for one, state in zip(jobs, states, strict=True):
            error = failure_of(one, state)
            if error is not None:
                errors.append(error)
                for line in (state.failure.last_words if state.failure else "").splitlines():
                    self.log.error("%s: %s", one.handle.name, line)
        final = [error for error in errors if isinstance(error, ConfigError | DataError)]
        if errors:
            raise (final or errors)[0]


def required(elsewhere: Elsewhere | None) -> Elsewhere:
    """What is needed of a stage that was sent elsewhere.

    Raises:
        ConfigError: its config does not do so any more.
    """
    if elsewhere is None:
        mend = "clear the task, so that it begins anew"
        raise ConfigError("launch", "sends the stage nowhere any more, and its jobs were waited for", mend)
    return elsewhere
