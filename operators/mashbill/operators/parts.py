"""Operators of a stage's parts: their names, and one or some of them, to be mapped over."""

from collections.abc import Collection, Sequence
from typing import Any

from airflow.sdk import BaseOperatorLink
from airflow.sdk.configuration import conf

from mashbill.artifacts import Artifact
from mashbill.launch.needs import shared_among
from mashbill.launch.submission import Submitted
from mashbill.operators.base import StageOperator
from mashbill.operators.connections import s3_access
from mashbill.operators.failures import final_errors
from mashbill.stages import STAGES, StageJob, part_label
from mashbill.stages.elsewhere import Elsewhere

MAPPED, TASKS = 1_024, 32
"""Tasks at most where Airflow's configuration says nothing: that it maps, and that we do, as a scheduler and
a grid of many tasks are slow."""


class ListParts(StageOperator):
    """Names of the parts of a stage, finished ones among them; none where its result is there.

    Of more parts than tasks, it returns lists of neighbours, each for one task; so it does of parts that read
    those before them, which are one list.

    Args:
        stage: name of the stage.
        most: tasks at most; None is Airflow's setting ``[mashbill] mapped_tasks``. Airflow's own
            ``[core] max_map_length`` holds as well.
    """

    operator_extra_links: Collection[BaseOperatorLink] = ()

    def __init__(self, *, stage: str, most: int | None = None, **kwargs: Any) -> None:
        self.stage, self.most = stage, most  # type: ignore[misc]
        super().__init__(**kwargs)

    def execute(self, context: Any) -> list[str] | list[list[str]]:
        """Name the parts."""
        del context
        with final_errors(), s3_access(self.aws_conn_id):
            names = [] if self._is_done() else self.job().part_names()
        most = 1 if STAGES[self.stage].needs.in_order else self._most()
        if len(names) <= most:
            return names
        shared = [list(lot) for lot in shared_among(names, most)]
        self.log.info("%s parts of %s in %s tasks", len(names), self.stage, len(shared))
        return shared

    def _most(self) -> int:
        asked = self.most or conf.getint("mashbill", "mapped_tasks", fallback=TASKS)
        return max(1, min(asked, conf.getint("core", "max_map_length", fallback=MAPPED)))


class RunPart(StageOperator):
    """Run one part of a stage, or some, one after the other; returns the address of the last. Map it over
    ``ListParts``. Parts that are sent elsewhere share a job.

    Args:
        stage: name of the stage.
        part: name of the part, or names (templated).
    """

    template_fields: Collection[str] = (
        "config",
        "overrides",
        "inputs",
        "part",
        "arguments",
        "aws_conn_id",
        "kubernetes_conn_id",
    )
    operator_extra_links: Collection[BaseOperatorLink] = ()

    def __init__(self, *, stage: str, part: str | Sequence[str], **kwargs: Any) -> None:
        self.stage, self.part = stage, part  # type: ignore[misc]
        super().__init__(**kwargs)

    def execute(self, context: Any) -> Any:
        """Run the parts whose results are not there."""
        context["part"] = part_label(self._names)
        with final_errors(), s3_access(self.aws_conn_id):
            job = self.job()
            elsewhere = Elsewhere.of(job)
            if elsewhere is not None:
                self.end_those_of_before(context, elsewhere)
                return self.run_elsewhere(context, elsewhere)
            return self._last(job, [job.run_part(name) for name in self._names])

    def submitted(self, elsewhere: Elsewhere) -> list[Submitted]:
        """The jobs of these parts: one, unless an earlier run cut them otherwise and its jobs are under
        way."""
        return elsewhere.submit_some(tuple(self._names))

    def finish(self, context: Any, elsewhere: Elsewhere) -> Any:
        """The address of the last part."""
        context["part"] = part_label(self._names)
        return self._last(elsewhere.job, elsewhere.collect_some(self._names))

    def _last(self, job: StageJob, made: Sequence[Artifact]) -> str:
        self.read, self.made = tuple(job.inputs.values()), tuple(made)
        return self.made[-1].address

    @property
    def _names(self) -> list[str]:
        return [self.part] if isinstance(self.part, str) else list(self.part)
