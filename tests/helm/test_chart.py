"""The chart, under real helm and against Kubernetes' own schemas."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from builders.checkout import ROOT
from builders.shell import MASHBILL

CHART = ROOT / "helm" / "mashbill"
CONFIG = ROOT / "dags" / "configs" / "smoke.toml"
EVERYTHING = [
    *("--set-file", f"configs.smoke\\.toml={CONFIG}"),
    *("--set", "job.enabled=true,job.config=smoke.toml"),
    *(
        "--set",
        "artifacts.volume.enabled=true,artifacts.s3.credentialsSecret=aws,artifacts.s3.endpointUrl=http://s3.local",
    ),
    *("--set", "imagePullSecrets[0].name=registry,worker.nodeSelector.pool=gpu"),
]


@pytest.fixture(scope="session")
def tools() -> ModuleType:
    spec = importlib.util.spec_from_file_location("helm_tools", Path(__file__).with_name("tools.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def helm(tools: ModuleType, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(tools.helm_binary()), *arguments], capture_output=True, text=True, check=False)


def rendered(tools: ModuleType, *arguments: str) -> list[dict[str, Any]]:
    result = helm(tools, "template", "lab", str(CHART), "--namespace", "pretraining", *arguments)
    assert result.returncode == 0, result.stderr
    return [document for document in yaml.safe_load_all(result.stdout) if document]


def test_lint_is_strict_and_clean(tools: ModuleType) -> None:
    for arguments in ([], EVERYTHING):
        result = helm(tools, "lint", "--strict", str(CHART), *arguments)
        assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
def test_every_object_is_valid_kubernetes(tools: ModuleType, tmp_path: Path) -> None:
    documents = rendered(tools, *EVERYTHING)
    worker = next(d for d in documents if d["metadata"]["name"] == "lab-mashbill-worker")
    documents.append(yaml.safe_load(worker["data"]["pod_template.yaml"]))
    assert [d["kind"] for d in documents].count("Job") == 1
    path = tmp_path / "all.yaml"
    path.write_text(yaml.safe_dump_all(documents))
    environment = {**os.environ, "PYTHONPATH": str(tools.schemas_folder())}
    command = [sys.executable, "-W", "ignore", "-m", "kubernetes_validate", "--strict", str(path)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    path.write_text(yaml.safe_dump({**documents[-1], "spec": {**documents[-1]["spec"], "imagined": 1}}))
    assert subprocess.run(command, env=environment, capture_output=True, check=False).returncode != 0


def test_config_reaches_the_pod_word_for_word(tools: ModuleType) -> None:
    documents = rendered(tools, *EVERYTHING)
    configs = next(d for d in documents if d["metadata"]["name"] == "lab-mashbill-configs")
    assert configs["data"]["smoke.toml"].strip() == CONFIG.read_text().strip()
    job = next(d for d in documents if d["kind"] == "Job")
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert "--config=/opt/mashbill/configs/smoke.toml" in container["args"]
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {
        "/dev/shm",
        "/opt/mashbill/configs",
        "/opt/mashbill/artifacts",
    }


def test_job_runs_a_command_that_the_shell_knows(tools: ModuleType, tmp_path: Path) -> None:
    job = next(d for d in rendered(tools, *EVERYTHING) if d["kind"] == "Job")
    container = job["spec"]["template"]["spec"]["containers"][0]
    command = [*MASHBILL, *container["command"][1:], *container["args"]]
    lost = str(tmp_path / "lost.toml")
    result = subprocess.run(
        [argument.replace("/opt/mashbill/configs/smoke.toml", lost) for argument in command],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: {lost}: No such file"), result.stderr


def test_job_without_its_config_says_what_to_do(tools: ModuleType) -> None:
    result = helm(tools, "template", "lab", str(CHART), "--set", "job.enabled=true,job.config=lost.toml")
    assert result.returncode != 0
    assert "lost.toml" in result.stderr
    assert "--set-file" in result.stderr


@pytest.mark.parametrize(
    "wrong",
    ["image.pullPolicy=Sometimes", "artifacts.volume.size=lots", "jobs.enabled=true", "job.workers=0"],
)
def test_wrong_values_are_refused_by_the_schema(tools: ModuleType, wrong: str) -> None:
    result = helm(tools, "template", "lab", str(CHART), "--set", wrong)
    assert result.returncode != 0
    assert wrong.partition(".")[0] in result.stderr


def test_rights_are_of_one_namespace(tools: ModuleType) -> None:
    kinds = {d["kind"] for d in rendered(tools)}
    assert "Role" in kinds
    assert not kinds & {"ClusterRole", "ClusterRoleBinding"}
    assert all(d["kind"] != "Role" for d in rendered(tools, "--set", "rbac.create=false"))


def test_schema_describes_every_value() -> None:
    def keys(values: Any, schema: dict[str, Any], at: str = "") -> list[str]:
        if not isinstance(values, dict) or "properties" not in schema:
            return []
        missing = [f"{at}{key}" for key in values if key not in schema["properties"]]
        for key in set(values) & set(schema["properties"]):
            missing += keys(values[key], schema["properties"][key], f"{at}{key}.")
        return missing

    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert keys(values, json.loads((CHART / "values.schema.json").read_text())) == []
