"""Before the cluster is spent: by a threshold, or by a person who is shown what is to be decided.

An answer is never lost. Airflow 3.3 fails a task whose answer comes before its scheduler has heard that the
worker which asked has ended: within about a second of the question. The answer is kept with the task, so the
try that follows takes it up and asks nobody again. On SQLite it may also note an answer and not wake the task
up, so the task wakes up by itself now and then (docs/decisions/0032).
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from airflow.providers.standard.exceptions import HITLRejectException
from airflow.providers.standard.operators.branch import BaseBranchOperator
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, TaskAwaitingInput

from mashbill.artifacts import Artifact, open_store
from mashbill.operators.answer_trigger import EarlierAnswer
from mashbill.operators.base import NOTHING, Overrides, config_with, own_params
from mashbill.operators.connections import s3_access
from mashbill.operators.failures import final_errors

ASKED, UNTIL, LOOKS = "mashbill_asked", "mashbill_until", "mashbill_looks"
"""What is kept with the task: in which round it asked, how long it waits, how often it has woken up."""
FOR_EVER = datetime.max.replace(tzinfo=UTC)
WAITS = (timedelta(seconds=20), timedelta(minutes=3), timedelta(minutes=30), timedelta(hours=1))
"""After which it wakes up, and looks; the last again and again."""
TRIES = 3
WAIT = timedelta(seconds=5)
NOBODY = "the default, as nobody answered in time"


@dataclass(frozen=True)
class Gate:
    """How the final training is let through.

    Args:
        asks: "in_doubt": a person, where the gate stage says ask (its threshold is ``gate.min_gain``).
            "always": a person, every time. "never": nobody; where the gate says ask, the training fails.
        timeout: that a person has to answer; None is for ever.
        default: what happens when nobody has: "approve" or "reject"; None fails the task.
        approvers: ids of the users who may answer; empty means all who may in Airflow.
        notifiers: Airflow's notifiers that are called when the question is there.
    """

    asks: Literal["in_doubt", "always", "never"] = "in_doubt"
    timeout: timedelta | None = None
    default: Literal["approve", "reject"] | None = None
    approvers: tuple[str, ...] = ()
    notifiers: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        if self.default and self.timeout is None:
            raise ValueError(f"Gate(default={self.default!r}): nothing times out; give a timeout")
        if self.timeout is not None and self.timeout <= timedelta(0):
            raise ValueError(f"Gate(timeout={self.timeout!r}): is no time to answer in; give more")


class ReadsResults(BaseOperator):
    """A task that reads results of a pipeline and makes none.

    Args:
        config, overrides, allow, aws_conn_id: as of the stages' operators (templated, but for allow).
        inputs: addresses of the results by stage; empty where there is none (templated).
    """

    template_fields: Collection[str] = ("config", "overrides", "inputs", "aws_conn_id")

    def __init__(
        self,
        *,
        config: str,
        overrides: Overrides | None = None,
        allow: Collection[str] = (),
        aws_conn_id: str | None = None,
        inputs: Mapping[str, Any],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.config, self.overrides, self.allow = config, overrides or {}, tuple(allow)
        self.inputs, self.aws_conn_id = dict(inputs), aws_conn_id

    @contextmanager
    def opened(self) -> Iterator[dict[str, Artifact]]:
        """The results that there are, by stage, until the end of the block; what of them cannot be mended by
        a retry fails the task there."""
        with final_errors(), s3_access(self.aws_conn_id):
            store = open_store(config_with(self.config, self.overrides, self.allow))
            yield {
                name: store.open(str(address))
                for name, address in self.inputs.items()
                if address not in NOTHING
            }


class AskWhereInDoubt(ReadsResults, BaseBranchOperator):
    """Go by way of a person's approval where the gate asks for it.

    Args:
        asks: as of ``Gate``.
        approval: task id of the approval.
        go_on: task id that follows either way.
        kwargs: as of ``ReadsResults``; inputs: of gate.
    """

    def __init__(self, *, approval: str, go_on: str, asks: str = "in_doubt", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.params = own_params(self.params)
        self.approval, self.go_on, self.asks = approval, go_on, asks

    def choose_branch(self, context: Any) -> str:
        """The approval's task id, or the one after it."""
        from mashbill.mixtures import Decision

        del context
        with self.opened() as results:
            decision = Decision.read(results["gate"])
        self.log.info("the gate says %s: %s", decision.decision, decision.reason)
        if self.asks == "never" and decision.decision == "ask":
            mend = "set gate.within_noise to train or refuse, or Gate(asks=...) to in_doubt"
            raise AirflowFailException(f"gate: {decision.reason}, and nobody is asked; {mend}")
        return self.approval if decision.decision == "ask" or self.asks == "always" else self.go_on


class ApproveTraining(ReadsResults, ApprovalOperator):
    """Ask a person, who is shown the decision, the mixture's table with intervals, and the forecast. A "no",
    or no answer in time, fails the task for good.

    Args:
        gate: time-out, default and approvers.
        kwargs: as of ``ReadsResults``; inputs: of mix and gate, and of forecast where there is one; and of
            Airflow's ApprovalOperator, which asks.
    """

    template_fields: Collection[str] = ("subject", *ReadsResults.template_fields)

    def __init__(self, *, gate: Gate | None = None, **kwargs: Any) -> None:
        gate = gate or Gate()
        super().__init__(
            assigned_users=[{"id": one, "name": one} for one in gate.approvers] or None,
            notifiers=list(gate.notifiers),
            fail_on_reject=True,
            **kwargs,
        )
        self.timeout, self.default = gate.timeout, gate.default
        self.retries, self.retry_delay = max(self.retries or 0, TRIES), WAIT

    def execute(self, context: Any) -> Any:
        """Ask; where an earlier try of the same run asked already, take up what was answered."""
        kept, run = context["task_state_store"], context["ti"].max_tries  # clearing the task raises max_tries
        if kept.get(ASKED) == run:
            trigger = EarlierAnswer(context["ti"].id)
            self.defer(trigger=trigger, method_name=self.take_up.__name__)
        kept.set(ASKED, run)
        return self.ask(context)

    def take_up(self, context: Any, event: dict[str, Any]) -> Any:
        """Go on with an earlier try's answer, or ask where there was none."""
        return self.execute_complete(context, event) if event.get("chosen_options") else self.ask(context)

    def ask(self, context: Any) -> Any:
        """Show the question, and leave the worker until it is answered."""
        with self.opened() as results:
            self.body = _question(results)
        until = datetime.now(UTC) + self.timeout if self.timeout else FOR_EVER
        context["task_state_store"].set(UNTIL, until.isoformat())
        self.response_timeout = self._next_look(context, 0)
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Go on where the answer is yes; where there is none yet, wait on."""
        if event.get("error_type") == "timeout":
            event = self._unanswered(context)
        try:
            return super().execute_complete(context, event)
        except HITLRejectException as error:
            user = (event.get("responded_by_user") or {}).get("name", NOBODY)
            raise AirflowFailException(f"approval: the training was rejected by {user}") from error

    def _unanswered(self, context: Any) -> dict[str, Any]:
        """The default, once nobody may answer any more; until then the task leaves its worker again."""
        kept = context["task_state_store"]
        if datetime.now(UTC) < datetime.fromisoformat(kept.get(UNTIL)):
            wait = self._next_look(context, int(kept.get(LOOKS)) + 1)
            raise TaskAwaitingInput(method_name=self.execute_complete.__name__, timeout=wait)
        if self.default is None:
            what = f"approval: nobody answered within {self.timeout}"
            raise AirflowFailException(f"{what}; clear the task to ask again")
        chosen = self.APPROVE if self.default == "approve" else self.REJECT
        return {
            "chosen_options": [chosen],
            "params_input": {},
            "responded_at": datetime.now(UTC),
            "responded_by_user": None,
        }

    def _next_look(self, context: Any, looks: int) -> timedelta:
        """How long to wait until the task looks again."""
        kept = context["task_state_store"]
        kept.set(LOOKS, looks)
        left = datetime.fromisoformat(kept.get(UNTIL)) - datetime.now(UTC)
        return min(WAITS[min(looks, len(WAITS) - 1)], max(left, timedelta(seconds=1)))


def _question(results: Mapping[str, Artifact]) -> str:
    """What the person reads."""
    from mashbill.mixtures import Choice, Decision
    from mashbill.mixtures.forecast import Forecast
    from mashbill.reports.approval import approval_text

    forecast = Forecast.read(results["forecast"]) if "forecast" in results else None
    choice, decision = Choice.read(results["mix"]), Decision.read(results["gate"])
    return approval_text(choice, decision, forecast, where=tuple(one.address for one in results.values()))
