"""The values for Airflow's official chart: they fit its keys, Airflow's own options, and a release of ours.

The chart itself is in no registry that tests reach, and is not rendered. ``airflow-chart-keys.json`` has the
keys of the sections that are used here, as the chart's values and release notes up to 1.22.0 name them.
"""

import ast
import importlib.util
import json
import runpy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from builders.chart import AIRFLOW_VALUES, Document, cases, named, of_kind, rendered
from builders.checkout import ROOT
from builders.images import stages
from mashbill.provider_info import get_provider_info

KNOWN = json.loads((ROOT / "tests" / "data" / "airflow-chart-keys.json").read_text(encoding="utf-8"))
RELEASE, NAMESPACE = "mashbill", "airflow"
FREE = {"config", "resources", "kwargs", "pod", "containers", "env", "volumes", "volumeMounts"}
"""What Kubernetes or Airflow has the keys of, not the chart."""


@cache
def given() -> Document:
    """The values."""
    found: Document = yaml.safe_load(AIRFLOW_VALUES.read_text(encoding="utf-8"))
    return found


@cache
def ours(*arguments: str) -> tuple[Document, ...]:
    """A release of ours beside it."""
    return tuple(rendered(*arguments, release=RELEASE, namespace=NAMESPACE))


def airflow_folder(module: str = "airflow") -> Path:
    spec = importlib.util.find_spec(module)
    assert spec
    assert spec.submodule_search_locations
    return Path(next(iter(spec.submodule_search_locations)))


def test_every_key_is_one_that_the_chart_has() -> None:
    def unknown(part: Any, at: str) -> list[str]:
        if not isinstance(part, dict) or at.rpartition(".")[2] in FREE:
            return []
        assert at in KNOWN, f"the keys of {at} are not listed"
        found = [f"{at}.{key}".lstrip(".") for key in part if key not in KNOWN[at]]
        return found + [p for key, value in part.items() for p in unknown(value, f"{at}.{key}".lstrip("."))]

    assert unknown(given(), "") == []


def test_every_option_of_the_config_is_one_that_airflow_has() -> None:
    options = yaml.safe_load(
        (airflow_folder() / "config_templates" / "config.yml").read_text(encoding="utf-8")
    )
    cncf = airflow_folder("airflow.providers.cncf.kubernetes") / "get_provider_info.py"
    options |= runpy.run_path(str(cncf))["get_provider_info"]()["config"]
    for section, chosen in given()["config"].items():
        assert chosen.keys() <= options[section]["options"].keys(), section
        assert all(isinstance(value, str) for value in chosen.values()), section


def test_variable_names_an_option_of_ours() -> None:
    [variable] = given()["env"]
    _, section, option = variable["name"].lower().split("__")
    assert section in get_provider_info()["config"]
    assert option in get_provider_info()["config"][section]["options"]
    mounted = {mount["mountPath"] for mount in given()["volumeMounts"]}
    assert variable["value"] in mounted


def test_accounts_are_those_of_our_release() -> None:
    account = {"create": False, "name": "mashbill-airflow"}
    named(ours(), "ServiceAccount", account["name"])
    for part in (given()["triggerer"], given()["workers"]["kubernetes"], given()["workers"]["celery"]):
        assert part["serviceAccount"] == account


def test_volumes_are_configmaps_of_our_release() -> None:
    documents = ours(*cases()["demo-volume"])
    for volume in given()["volumes"]:
        named(documents, "ConfigMap", volume["configMap"]["name"])
    without = {d["metadata"]["name"] for d in of_kind(ours(), "ConfigMap")}
    needed = {v["configMap"]["name"] for v in given()["volumes"] if not v["configMap"].get("optional")}
    assert needed <= without
    assert [v["name"] for v in given()["volumes"]] == [m["name"] for m in given()["volumeMounts"]]


def test_pods_run_as_the_user_whose_files_jobs_share() -> None:
    [template] = [d["data"]["pod.yaml"] for d in of_kind(ours(), "ConfigMap") if "pod.yaml" in d["data"]]
    jobs = yaml.safe_load(template)["spec"]["securityContext"]
    pod = given()["securityContexts"]["pod"]
    assert {key: jobs[key] for key in pod} == pod


def test_image_is_the_one_that_is_built_here() -> None:
    base = stages("worker")[-1].base
    version = given()["airflowVersion"]
    assert base.startswith(f"apache/airflow:slim-{version}-")
    chosen = given()["images"]["airflow"]
    assert (chosen["repository"], chosen["tag"]) == (
        given()["defaultAirflowRepository"],
        given()["defaultAirflowTag"],
    )
    assert f"apache-airflow=={version} " in (ROOT / "docker" / "worker.lock").read_text()


def test_what_the_chart_s_defaults_need_is_in_the_image() -> None:
    lock = (ROOT / "docker" / "worker.lock").read_text()
    for provider in ("fab", "celery", "git", "postgres", "cncf-kubernetes", "openlineage"):
        assert f"apache-airflow-providers-{provider}==" in lock, provider
    for driver in ("psycopg2-binary", "asyncpg"):
        assert f"{driver}==" in lock, driver


def test_dags_of_the_image_are_where_it_puts_them() -> None:
    bundles = {bundle["name"]: bundle for bundle in given()["dagProcessor"]["dagBundleConfigList"]}
    path = bundles["mashbill"]["kwargs"]["path"]
    assert f"dags {path}" in stages("worker")[-1].of("COPY")


def test_local_bundle_takes_what_it_is_given() -> None:
    [bundle] = [b for b in given()["dagProcessor"]["dagBundleConfigList"] if b["name"] == "mashbill"]
    names = set()
    for module in ("local", "base"):
        tree = ast.parse((airflow_folder("airflow.dag_processing.bundles") / f"{module}.py").read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                names |= {argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)}
    assert bundle["kwargs"].keys() <= names


@pytest.mark.parametrize("word", ["password", "token", "secret"])
def test_no_secret_stands_in_the_values(word: str) -> None:
    def leaves(part: Any, at: str) -> list[str]:
        if isinstance(part, dict):
            return [leaf for key, value in part.items() for leaf in leaves(value, f"{at}.{key}")]
        return [at]

    for leaf in leaves(given(), ""):
        assert word not in leaf.lower() or leaf.endswith(("SecretName", ".secretName")), leaf
