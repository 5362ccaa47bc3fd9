"""Another team's DAG: their own files are scored in the middle of their own tasks."""

from airflow.sdk import dag, task

from mashbill.operators import ScoreQuality


@dag(schedule=None, params={"lake": "s3://lake", "classifier": "s3://models/edu.bin"})
def quality_scores() -> None:
    """Find what is new, score it, and keep what is good."""

    @task
    def newest(params: dict[str, str]) -> str:
        return f"{params['lake']}/clean/*.parquet"

    @task
    def good(scores: str) -> int:
        import pyarrow.dataset as ds

        return ds.dataset(f"{scores}/scores").count_rows(filter=ds.field("margin") > 0)

    scored = ScoreQuality(
        task_id="score",
        documents=newest(),
        classifier="{{ params.classifier }}",
        output="{{ params.lake }}/scores",
        text_field="body",
    )
    good(scored.output)


quality_scores()
