"""The first task of a DAG: a look at everything that the config names, before the first stage runs."""

from collections.abc import Collection, Sequence
from typing import Any

from airflow.sdk import BaseOperatorLink

from mashbill.operators.base import StageOperator
from mashbill.operators.connections import s3_access
from mashbill.operators.failures import final_errors
from mashbill.stages import STAGES


class CheckConfig(StageOperator):
    """Look at files, models and addresses that the config names; fails with all that will not do, and
    returns how many were looked at.

    Args:
        stages: names of the stages that will run; what another reads is not looked at. Empty means all.
    """

    template_fields: Collection[str] = ("config", "overrides", "aws_conn_id", "kubernetes_conn_id")
    operator_extra_links: Collection[BaseOperatorLink] = ()

    def __init__(self, *, stages: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stages = tuple(stages)

    def execute(self, context: Any) -> int:
        """Look at them."""
        del context
        from mashbill.stages.check import check_config, refuse_problems

        stages = [stage for stage in STAGES.values() if not self.stages or stage.name in self.stages]
        with final_errors(), s3_access(self.aws_conn_id):
            findings = check_config(self.pipeline_config(), stages)
            for finding in findings:
                self.log.info("%s: %s", finding.setting, finding.found or finding.problem)
            refuse_problems(findings)
        return len(findings)
