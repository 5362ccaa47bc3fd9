"""From raw text to a trained model: curation, mixture search, training, evaluation, report.

Trigger it from the UI with a form, or give it a schedule. What is done already is reused: clearing or
rerunning is safe.
"""

from datetime import timedelta
from pathlib import Path

from airflow.sdk import dag

from mashbill.operators import PretrainingPipeline
from mashbill.operators.params import form, overrides_template

CONFIG = str(Path(__file__).parent / "configs" / "demo.toml")
SCHEDULE = None
"""A cron expression, a preset such as "@weekly", or a list of assets; None means triggered by hand."""


@dag(
    schedule=SCHEDULE,
    params=form(CONFIG),
    doc_md=__doc__,
    tags=["mashbill", "pretraining data"],
    default_args={"retries": 1, "retry_delay": timedelta(seconds=20)},
    max_active_runs=1,
    catchup=False,
    render_template_as_native_obj=True,
)
def pretraining() -> None:
    """All of it in one group."""
    PretrainingPipeline(config="{{ params.config }}", overrides=overrides_template())


pretraining()
