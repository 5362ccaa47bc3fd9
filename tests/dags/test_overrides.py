"""What whoever triggers a run may choose: a config file that is there, and settings that are no paths. The
operators refuse the rest when their task runs, whatever the form let pass."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from builders.checkout import CONFIGS, ROOT

PROBE = """
import json, sys
sys.path.insert(0, {folder!r})
module = __import__("pretraining")
from airflow.sdk.definitions.param import process_params
from airflow.sdk.exceptions import AirflowFailException
from mashbill.operators import CurationTaskGroup
from mashbill.operators.params import overrides_template
from airflow.sdk import DAG

dag = module.pretraining()
asked, overrides, allow = json.loads(sys.argv[1])
with DAG("allowing") as allowing:
    CurationTaskGroup(config=asked["config"], overrides=overrides_template(), allow=allow)

def outcome(task):
    task.config, task.overrides = asked["config"], [{{"plan.reuse": None}}, overrides]
    try:
        task.execute({{}})
    except AirflowFailException as error:
        return str(error)
    except Exception as error:
        return type(error).__name__
    return "ran"

try:
    process_params(dag, dag.get_task("ingest"), asked, suppress_exception=False)
    form = "passed"
except Exception as error:
    form = type(error).__name__
print(json.dumps({{
    "form": form,
    "choices": dag.params.get_param("config").schema["enum"],
    "task": outcome(dag.get_task("bootstrap_parts")),
    "allowing": outcome(allowing.get_task("bootstrap_parts")),
    "part": [d.get_task("bootstrap_part").partial_kwargs["allow"] for d in (dag, allowing)],
    "templated": [task.task_id for task in dag.tasks if "allow" in task.template_fields],
}}))
"""


def probe(
    home: Path, config: Path, overrides: dict[str, Any], allow: list[str], configs: str = ""
) -> dict[str, Any]:
    """What the form says of a run, and what becomes of a task of it, in a process of its own."""
    asked = {"config": str(config), "overrides": overrides}
    environment = {**os.environ, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    environment["AIRFLOW__MASHBILL__CONFIGS"] = configs
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            PROBE.format(folder=str(ROOT / "dags")),
            json.dumps([asked, overrides, allow]),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


@pytest.mark.parametrize(
    "field, value",
    [("artifacts", "/tmp/planted"), ("root", "/"), ("quality", {"classifier": "/tmp/bad.bin"})],
)
def test_a_run_of_the_shipped_dags_chooses_no_paths(field: str, value: Any, tmp_path: Path) -> None:
    found = probe(tmp_path, CONFIGS / "demo.toml", {field: value}, [field])
    name = "quality.classifier" if field == "quality" else field
    assert found["task"].startswith(f"overrides: {name}: is a path or an address")
    assert found["task"].endswith("let the DAG's author name it in allow")
    assert not found["allowing"].startswith("overrides: ")  # it goes on, and misses its inputs
    assert found["part"] == [[], [field]]
    assert found["templated"] == []


def test_a_run_chooses_among_config_files_that_are_there(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "planted.toml"
    elsewhere.parent.mkdir()
    elsewhere.write_text((CONFIGS / "demo.toml").read_text())
    found = probe(tmp_path, elsewhere, {}, [])
    assert found["form"] == "ParamValidationError"
    assert found["choices"][0] == str(CONFIGS / "demo.toml")
    assert set(found["choices"]) == {str(path) for path in CONFIGS.glob("*.toml")}
    assert probe(tmp_path, CONFIGS / "smoke.toml", {}, [])["form"] == "passed"
    told = probe(tmp_path, elsewhere, {}, [], configs=str(elsewhere.parent))
    assert told["form"] == "passed"
    assert str(elsewhere) in told["choices"]
