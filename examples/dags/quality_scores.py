"""Another team's DAG: their own files are scored, and their own task counts what is good."""

from airflow.sdk import dag, task

from mashbill.operators import ScoreQuality


@dag(schedule=None, params={"lake": "s3://lake", "classifier": "s3://models/edu.bin"})
def quality_scores() -> None:
    @task
    def good(scores: str) -> int:
        import pyarrow.dataset as ds

        return ds.dataset(f"{scores}/scores").count_rows(filter=ds.field("margin") > 0)

    files = {"documents": "{{ params.lake }}/clean/*.parquet", "output": "{{ params.lake }}/scores"}
    scored = ScoreQuality(task_id="score", classifier="{{ params.classifier }}", text_field="body", **files)
    good(scored.output)


quality_scores()
