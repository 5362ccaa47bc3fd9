"""What is said after an installation can be done as it stands: its lines are a config."""

import re
import tomllib
from typing import Any

import pytest
import yaml

from builders.chart import cases, notes, of_kind, rendered
from mashbill.config.launch import LaunchConfig

EACH = pytest.mark.parametrize("case", sorted(cases()))


def settings(case: str) -> dict[str, Any]:
    """The TOML that the notes of a case show, by stage."""
    text = notes(*cases()[case])
    lines = re.findall(r"^  (\[launch\..*\]|\w+ = .*)$", text, re.M)
    found: dict[str, Any] = tomllib.loads("\n".join(lines))["launch"]
    return found


@EACH
def test_lines_for_a_config_are_settings_that_exist(case: str) -> None:
    for stage, given in settings(case).items():
        LaunchConfig.model_validate(given)
        assert stage in {"train", "deduplicate"}


@EACH
def test_lines_name_what_the_release_has(case: str) -> None:
    documents = rendered(*cases()[case])
    train = LaunchConfig.model_validate(settings(case)["train"])
    pods = train.kubernetes
    assert pods.namespace == "pretraining"
    accounts = {a["metadata"]["name"] for a in of_kind(documents, "ServiceAccount")} or {"batch"}
    assert pods.service_account in accounts
    assert pods.service_account != "lab-mashbill-airflow"
    queues = [queue["metadata"]["name"] for queue in of_kind(documents, "LocalQueue")]
    assert train.queue == (queues[0] if queues else None)
    claims = {claim["metadata"]["name"] for claim in of_kind(documents, "PersistentVolumeClaim")}
    assert {volume.claim for volume in pods.volumes} in (claims, {"lake"})
    if case == "everything":
        assert pods.pull_secrets == ("registry",)
        assert pods.environment_from == ("aws",)
        assert pods.priority_class == "batch"


@EACH
def test_backend_of_the_lines_is_one_that_airflow_may_submit_to(case: str) -> None:
    backend = settings(case)["train"]["backend"]
    kinds = {"job": "jobs", "jobset": "jobsets", "trainjob": "trainjobs"}
    roles = [
        r for r in of_kind(rendered(*cases()[case]), "Role") if r["metadata"]["name"].endswith("airflow")
    ]
    allowed = {resource for role in roles for rule in role["rules"] for resource in rule["resources"]}
    assert kinds[backend] in allowed or case == "existing"


def test_address_of_ray_is_that_of_the_service_that_kuberay_makes() -> None:
    [cluster] = of_kind(rendered(*cases()["ray"]), "RayCluster")
    ray = LaunchConfig.model_validate(settings("ray")["deduplicate"]).ray
    assert ray.address == f"http://{cluster['metadata']['name']}-head-svc.pretraining:8265"
    [container] = cluster["spec"]["headGroupSpec"]["template"]["spec"]["containers"]
    assert {"name": "dashboard", "containerPort": 8265, "protocol": "TCP"} in container["ports"]


@EACH
def test_lines_for_airflow_s_chart_are_yaml_that_name_the_account(case: str) -> None:
    shown = re.findall(r"^  ((?:workers|triggerer): \{.*)$", notes(*cases()[case]), re.M)
    given = yaml.safe_load("\n".join(shown))
    name = "airflow-worker" if case == "existing" else "lab-mashbill-airflow"
    account = {"create": False, "name": name}
    assert given == {
        "workers": {"kubernetes": {"serviceAccount": account}},
        "triggerer": {"serviceAccount": account},
    }
