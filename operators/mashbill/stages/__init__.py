"""The stages of the pipeline: one table, and the code that runs its rows."""

from mashbill.stages.job import StageJob
from mashbill.stages.labels import part_label
from mashbill.stages.local_run import finished_stages, job_of, run_stage_here, stages_up_to
from mashbill.stages.stage import Stage
from mashbill.stages.table import GROUPS, STAGES, stage_named

__all__ = [
    "GROUPS",
    "STAGES",
    "Stage",
    "StageJob",
    "finished_stages",
    "job_of",
    "part_label",
    "run_stage_here",
    "stage_named",
    "stages_up_to",
]
