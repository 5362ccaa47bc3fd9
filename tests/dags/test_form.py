"""The form that a run is triggered with: what it shows of the config's fields, and that it refuses what will
not do before any task starts, naming the field."""

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
import pretraining
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import ParamValidationError
from mashbill.operators.params import form

dag = pretraining.pretraining()
shown = {{key: dag.params.get_param(key) for key in dag.params}}

def refusal(params, asked):
    filled = ParamsDict(params)
    try:
        for key, value in asked.items():
            filled[key] = value
        filled.validate()
    except ParamValidationError as error:
        return str(error)
    return ""

def field(param):
    return {{**param.schema, "default": param.value, "description": param.description}}

print(json.dumps({{
    "shown": {{key: field(param) for key, param in shown.items()}},
    "refusals": [refusal(form({config!r}, allow=allow), asked) for asked, allow in json.loads(sys.argv[1])],
}}))
"""


def probed(home: Path, *asked: tuple[dict[str, Any], list[str]]) -> dict[str, Any]:
    """What the form shows, and what it says to each set of values, in a process of its own."""
    code = PROBE.format(folder=str(ROOT / "dags"), config=str(CONFIGS / "demo.toml"))
    environment = {**os.environ, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    command = [sys.executable, "-c", code, json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    found: dict[str, Any] = probed(tmp_path_factory.mktemp("form"))["shown"]
    return found


def test_presets_come_first_each_with_its_first_sentence(shown: dict[str, Any]) -> None:
    files = shown["config"]["enum"]
    assert [Path(path).stem for path in files[:3]] == ["demo", "research", "1b"]
    assert shown["config"]["default"] == str(CONFIGS / "demo.toml")
    words = shown["config"]["values_display"]
    assert words.keys() == set(files)
    assert words[files[1]].startswith("research: Research on one GPU")


def test_every_field_has_a_group_a_title_and_words_and_may_stay_empty(shown: dict[str, Any]) -> None:
    fields = {key: field for key, field in shown.items() if key not in {"config", "overrides"}}
    assert len(fields) == 7
    for key, field in fields.items():
        assert field["section"]
        assert field["title"]
        assert key in field["description"]
        assert field["default"] is None
        assert "null" in field["type"]
    groups = [field["section"] for field in fields.values()]
    assert groups == sorted(groups, key=groups.index)  # no group is left and come back to
    assert fields["selection.keep_share"]["section"] == "What is kept"
    assert "Its own default: 0.5" in fields["selection.keep_share"]["description"]


def test_a_bad_value_is_refused_before_any_task_and_its_field_is_named(tmp_path: Path) -> None:
    bad = [
        ({"selection.keep_share": 2}, "selection.keep_share"),
        ({"selection.keep_share": "half"}, "selection.keep_share"),
        ({"plan.mixtures": 1}, "plan.mixtures"),
        ({"plan.mixtures": "some"}, "plan.mixtures"),
        ({"gate.within_noise": "perhaps"}, "gate.within_noise"),
        ({"overrides": {"sweep.tokens": 10}}, "sweep.tokens"),
        ({"overrides": {"quality.epoch": 5}}, "quality.epoch"),
        ({"overrides": {"filters.length.min_characters": -1}}, "filters.length.min_characters"),
        ({"overrides": {"artifacts": "/elsewhere"}}, "artifacts"),
        ({"overrides": {"proxy.model.depth": 3}}, "proxy.model.depth"),
        ({"overrides": []}, "overrides"),
        ({"config": "/etc/passwd"}, "config"),
    ]
    said = probed(tmp_path, *((asked, []) for asked, _ in bad))["refusals"]
    for (asked, name), words in zip(bad, said, strict=True):
        assert name in words, asked


def test_what_the_config_takes_the_form_takes(tmp_path: Path) -> None:
    good: list[tuple[dict[str, Any], list[str]]] = [
        ({"selection.keep_share": 0.5, "plan.mixtures": "auto"}, []),
        ({"plan.mixtures": 64}, []),
        ({"overrides": {"sweep": {"tokens": 20_000}}}, []),
        ({"overrides": {"mix.target": {"web": 1.0}, "mix.ceilings.web": 0.5, "seed": 3}}, []),
        ({"overrides": {"filters.length.min_characters": 30}}, []),
        ({"overrides": {"corpus.domains": [], "artifacts": "/elsewhere"}}, ["artifacts"]),
        ({"overrides": {"quality.classifier": "/a.bin"}}, ["quality.classifier"]),
    ]
    assert probed(tmp_path, *good)["refusals"] == [""] * len(good)
