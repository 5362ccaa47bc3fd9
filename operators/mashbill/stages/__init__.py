"""The stages of the pipeline: one table, and the code that runs its rows."""

from mashbill.stages.running import StageJob, open_store
from mashbill.stages.stage import Stage
from mashbill.stages.table import STAGES, stage_named

__all__ = ["STAGES", "Stage", "StageJob", "open_store", "stage_named"]
