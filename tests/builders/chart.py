"""The Helm chart as real helm renders it, and the values files that come with it."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from builders.checkout import CONFIGS, ROOT

CHART = ROOT / "helm" / "mashbill"
EXAMPLES = sorted((ROOT / "helm" / "examples").glob("*.yaml"))
AIRFLOW_VALUES = ROOT / "helm" / "airflow-values.yaml"
NAMESPACE = "pretraining"
CUSTOM = {"ray.io", "kueue.x-k8s.io"}
"""API groups whose schemas Kubernetes has not."""
FILES = {"demo-volume": "demo.toml", "s3-kueue": "1b.toml"}
"""The config that a values file is installed with."""
EVERYTHING = (
    *("--set-file", f"configs.smoke\\.toml={CONFIGS / 'smoke.toml'}"),
    *("--set", "job.enabled=true,job.config=smoke.toml,ray.enabled=true,rbac.cluster=true"),
    *("--set", "artifacts.volume.enabled=true,artifacts.s3.credentialsSecret=aws,artifacts.s3.region=eu-1"),
    *("--set", "artifacts.s3.endpointUrl=http://minio.storage:9000,imagePullSecrets[0].name=registry"),
    *("--set", "pods.nodeSelector.pool=gpu,pods.environment.NCCL_DEBUG=WARN,pods.priorityClassName=batch"),
    *("--set", "pods.tolerations[0].key=gpu,pods.tolerations[0].operator=Exists"),
    *("--set", "queues[0].name=research,queues[0].clusterQueue=gpus,queues[0].stopPolicy=Hold"),
    *("--set", "networkPolicies.enabled=true,limits.enabled=true,limits.maximum.memory=64Gi,quota.pods=100"),
)
"""Everything switched on."""
Document = dict[str, Any]
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def tools() -> ModuleType:
    """Where helm and the schemas come from."""
    path = ROOT / "tests" / "helm" / "tools.py"
    spec = importlib.util.spec_from_file_location("helm_tools", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What helm answers."""
    command = [str(tools().helm_binary()), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def cases() -> dict[str, tuple[str, ...]]:
    """Arguments of helm by the name of the case: defaults, each example, everything at once."""
    found: dict[str, tuple[str, ...]] = {"defaults": (), "everything": EVERYTHING}
    for path in EXAMPLES:
        config = FILES.get(path.stem)
        given = (
            ("--set-file", f"configs.{config.replace('.', chr(92) + '.')}={CONFIGS / config}")
            if config
            else ()
        )
        found[path.stem] = ("-f", str(path), *given)
    return found


def rendered(*arguments: str, release: str = "lab", namespace: str = NAMESPACE) -> list[Document]:
    """The objects that a release of these values is made of, the test's pod among them."""
    text = _template(release, namespace, arguments)
    return [document for document in yaml.load_all(text, Loader=LOADER) if document]


@cache
def _template(release: str, namespace: str, arguments: tuple[str, ...]) -> str:
    result = helm("template", release, str(CHART), "--namespace", namespace, *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


def refused(*arguments: str) -> str:
    """What helm says of values that will not do."""
    result = helm("template", "lab", str(CHART), "--namespace", NAMESPACE, *arguments)
    assert result.returncode != 0, arguments
    return result.stderr


def notes(*arguments: str, namespace: str = NAMESPACE) -> str:
    """What is said to whoever installs."""
    result = helm("install", "lab", str(CHART), "--dry-run=client", "-n", namespace, *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout.partition("NOTES:\n")[2]


def of_kind(documents: Iterable[Document], kind: str) -> list[Document]:
    """The documents of a kind."""
    return [document for document in documents if document["kind"] == kind]


def named(documents: Iterable[Document], kind: str, name: str) -> Document:
    """The one document of a kind and name."""
    [found] = [d for d in of_kind(documents, kind) if d["metadata"]["name"] == name]
    return found


def pod_specs(documents: Iterable[Document]) -> Iterator[tuple[str, Document]]:
    """Every pod's spec, with what it is of."""
    for document in documents:
        spec = document.get("spec", {})
        where = f"{document['kind']} {document['metadata']['name']}"
        if document["kind"] == "Pod":
            yield where, spec
        elif document["kind"] == "Job":
            yield where, spec["template"]["spec"]
        elif document["kind"] == "RayCluster":
            yield f"{where}: head", spec["headGroupSpec"]["template"]["spec"]
            for group in spec["workerGroupSpecs"]:
                yield f"{where}: {group['groupName']}", group["template"]["spec"]


def jobs_template(documents: Iterable[Document]) -> str:
    """The text of the template of jobs' pods."""
    [found] = [d for d in of_kind(documents, "ConfigMap") if "pod.yaml" in d["data"]]
    return str(found["data"]["pod.yaml"])


def faults(documents: Iterable[Document], folder: Path, version: str) -> str:
    """What Kubernetes' own schemas of one version find wrong with built-in kinds; empty where all is well."""
    known = [d for d in documents if d["apiVersion"].partition("/")[0] not in CUSTOM]
    path = folder / "objects.yaml"
    path.write_text(yaml.safe_dump_all(known))
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "kubernetes_validate",
        "-k",
        version,
        "--strict",
        str(path),
    ]
    environment = {**os.environ, "PYTHONPATH": str(tools().schemas_folder())}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    words = result.stdout + result.stderr
    passed = len(re.findall(r"^INFO", words, re.M))
    return "" if result.returncode == 0 and passed == len(known) else words


def schema() -> Document:
    """The schema of the values."""
    found: Document = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    return found


def values() -> Document:
    """The values that hold where nothing else is said."""
    found: Document = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    return found
