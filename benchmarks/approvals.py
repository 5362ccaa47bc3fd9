"""Whether an answer to a question of Airflow's is ever lost: of its own operator and of ours, answered at
moments drawn around the question, where its scheduler may fail the task that asked.

python benchmarks/approvals.py [--runs 30] [--latest 0.6]
"""

import argparse
import random
import tempfile
from pathlib import Path

from page import ROOT, Page

DAGS = """
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG
from mashbill.operators import ApproveTraining

inputs = {{"mix": {mix!r}, "gate": {gate!r}}}
with DAG("ours", schedule=None):
    ApproveTraining(task_id="approve", subject="Train?", config={config!r}, inputs=inputs)
with DAG("airflows", schedule=None):
    ApprovalOperator(task_id="approve", subject="Train?", body="?")
"""


def main() -> None:
    """Measure."""
    import sys

    sys.path += [str(ROOT / "tests"), str(ROOT / "examples")]
    from airflow_server import AirflowServer
    from builders.approvals import Person, doubtful
    from builders.corpus import corpus_config, write_jsonl

    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--latest", type=float, default=0.6)
    asked = parser.parse_args()
    title = f"Answers to {asked.runs} questions, each at some moment up to {asked.latest:g} s after it"
    page = Page("approvals", title)
    page.table(["operator", "runs", "failed", "second answers needed", "took another try"])
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in ("web", "papers"):
            write_jsonl(folder / f"{name}.jsonl", [f"{name} {i}" for i in range(3)])
        config = corpus_config(folder, {name: f"{name}.jsonl" for name in ("web", "papers")})
        made = {stage: artifact.address for stage, artifact in doubtful(config, folder).items()}
        (folder / "dags").mkdir()
        (folder / "dags" / "both.py").write_text(DAGS.format(config=str(folder / "config.toml"), **made))
        with AirflowServer(folder / "airflow", folder / "dags", 2) as server:
            for dag, name in (("airflows", "ApprovalOperator"), ("ours", "ApproveTraining")):
                drawn = random.Random(0)
                moments = [drawn.uniform(0, asked.latest) for _ in range(asked.runs)]
                runs = [Person(server).run(dag, ["Approve"], moment) for moment in moments]
                failed = sum(one.state == "failed" for one in runs)
                again = sum(one.answers > 1 for one in runs)
                tried = sum(one.tries > 1 for one in runs)
                page.row([name, *map(str, (len(runs), failed, again, tried))])
    page.save()


if __name__ == "__main__":
    main()
