"""The DAG files: they parse without heavy imports, and are what a user of the UI expects."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from builders.checkout import ROOT

HEAVY = (
    "torch",
    "daft",
    "lightgbm",
    "transformers",
    "fasttext",
    "numba",
    "sklearn",
    "matplotlib",
    "deepspeed",
    "openlineage",
    "boto3",
)
PROBE = """
import json, sys, time
import airflow.sdk, airflow.providers.standard.operators.hitl, airflow.providers.standard.operators.branch
sys.path.insert(0, {folder!r})
started = time.process_time()
module = __import__({name!r})
seconds = time.process_time() - started
from airflow.sdk import DAG

made = getattr(module, {name!r})()
print(json.dumps({{
    "seconds": seconds,
    "heavy": [m for m in {heavy!r} if m in sys.modules],
    "tasks": sorted(t.task_id for t in made.tasks),
    "params": {{
        k: {{**p.schema, "description": p.description}}
        for k, p in ((k, made.params.get_param(k)) for k in made.params)
    }},
    "retries": sorted({{t.retries for t in made.tasks}}),
    "one_at_a_time": sorted(t.task_id for t in made.tasks if t.max_active_tis_per_dagrun == 1),
    "tags": sorted(made.tags),
    "doc": bool(made.doc_md),
}}))
"""


def probe(name: str, home: Path) -> dict[str, object]:
    """Import a DAG file in a process of its own, and say what it made."""
    code = PROBE.format(folder=str(ROOT / "dags"), name=name, heavy=HEAVY)
    environment = {**os.environ, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


@pytest.mark.parametrize(
    "name, present, absent",
    [
        (
            "pretraining",
            {"ingest", "sweep_parts", "sweep_part", "schedule", "gate", "approve", "train_part", "report"},
            set(),
        ),
        ("curation", {"ingest", "bootstrap_part", "tokenize"}, {"plan"}),
        ("mixture_search", {"ingest", "sweep_part", "schedule", "gate"}, {"train"}),
    ],
)
def test_dag_parses_light_with_a_form(name: str, present: set[str], absent: set[str], tmp_path: Path) -> None:
    found = probe(name, tmp_path)
    assert found["heavy"] == []
    tasks = set(found["tasks"])  # type: ignore[call-overload]
    assert present <= tasks
    assert not absent & tasks
    assert not {task for task in tasks if task.endswith("_plan")}  # which is the name of a stage
    params = found["params"]
    assert isinstance(params, dict)
    assert params["selection.keep_share"]["maximum"] == 1.0
    assert params["sweep.tokens"]["minimum"] == 1000
    assert params["plan.mixtures"]["type"] == ["null", "string", "integer"]
    assert (params["plan.mixtures"]["minimum"], params["plan.mixtures"]["pattern"]) == (2, "^(auto|[0-9]+)$")
    assert params["gate.within_noise"]["enum"] == [None, "refuse", "ask", "train"]
    assert all(params[key]["description"] for key in params)
    assert found["doc"]
    assert "mashbill" in found["tags"]  # type: ignore[operator]


def test_only_parts_that_share_no_machine_or_read_one_another_run_one_at_a_time(tmp_path: Path) -> None:
    assert probe("pretraining", tmp_path)["one_at_a_time"] == ["refine_part", "train_part"]


def test_provider_is_discovered(tmp_path: Path) -> None:
    airflow = Path(sys.executable).parent / "airflow"
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    done = subprocess.run(
        [airflow, "providers", "list", "-o", "json"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    listed = json.loads(done.stdout[done.stdout.index("[") :])
    assert "airflow-provider-mashbill" in {row["package_name"] for row in listed}
