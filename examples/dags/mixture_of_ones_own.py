"""Another team's DAG: shards of their own files, and a model on a mixture chosen from their own tables."""

from typing import Any

from airflow.sdk import dag, task

from mashbill.operators import ChooseMixture, TokenizeDocuments, TrainModel

PARAMS: dict[str, Any] = {"lake": "s3://lake", "model": "tinyllama-1.1b", "tokens": 25_000_000_000}


@dag(schedule=None, params=PARAMS, render_template_as_native_obj=True)
def mixture_of_ones_own() -> None:
    """Tokenize, choose a mixture, and train; their own task looks at the choice between."""

    @task
    def weights(choice: str) -> dict[str, float]:
        import pandas as pd

        found: dict[str, float] = pd.read_csv(f"{choice}/mixture.csv", index_col="index").iloc[0].to_dict()
        return found

    shards = TokenizeDocuments(
        task_id="tokenize",
        documents={name: f"{{{{ params.lake }}}}/{name}/*.jsonl" for name in ("web", "papers")},
        tokenizer="{{ params.lake }}/tokenizer.json",
        output="{{ params.lake }}/shards",
    )
    choice = ChooseMixture(
        task_id="mix",
        mixtures="{{ params.lake }}/m.csv",
        losses="{{ params.lake }}/l.csv",
        target={"web": 0.5, "papers": 0.5},
        available=shards.output,
        tokens="{{ params.tokens }}",
        max_epochs=100,
        regressor="gp",
        output="{{ params.lake }}/mix",
    )
    TrainModel(
        task_id="train",
        tokens="{{ ti.xcom_pull('tokenize') }}",
        mixture=weights(choice.output),
        model="{{ params.model }}",
        training_tokens="{{ params.tokens }}",
        max_epochs=100,
        output="{{ params.lake }}/model",
    )


mixture_of_ones_own()
