"""The page on Kubernetes: its configs become what Kubernetes takes, and its lines are what is said."""

import re
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from builders.checkout import DOCS
from builders.manifests import refused
from builders.orders import order
from builders.pods import STARTED, ended, pod_of, running, unplaced, waiting
from mashbill.errors import ConfigError
from mashbill.launch.kubernetes.kinds import JOB
from mashbill.launch.kubernetes.manifests import job, jobset
from mashbill.launch.kubernetes.patches import trainjob
from mashbill.launch.kubernetes.states import Seen, state_of

PAGE = (DOCS / "how-to" / "kubernetes.md").read_text()
MAKERS: dict[str, Any] = {"job": job, "jobset": jobset, "trainjob": trainjob}
CONFIGS = [
    tomllib.loads(text)["launch"]["train"] for text in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
]
(TEMPLATE,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
LINES = [line.strip() for line in PAGE.splitlines() if line.startswith("    ")]
EVICTED = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}


@pytest.mark.parametrize("takes", CONFIGS, ids=lambda takes: takes["backend"])
def test_its_configs_become_what_kubernetes_takes(
    takes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pod.yaml").write_text(TEMPLATE)
    made = MAKERS[takes["backend"]](order(**takes))
    assert refused(made) == ""
    if "template" in takes.get("kubernetes", {}):
        given = yaml.safe_load(TEMPLATE)["spec"]
        assert made["spec"]["template"]["spec"]["runtimeClassName"] == given["runtimeClassName"]


def test_its_line_on_a_template_is_what_is_said(tmp_path: Path) -> None:
    path = tmp_path / "pod.yaml"
    path.write_text("spec: { restartPolicy: Always }")
    with pytest.raises(ConfigError) as told:
        job(order(kubernetes={"template": str(path)}))
    assert str(told.value) in LINES


def said(*pods: dict[str, Any], log: str = "", days: int = 0, **takes: Any) -> str:
    document = job(order(**takes))
    document["metadata"] |= {"creationTimestamp": STARTED, "resourceVersion": "1"}
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "limit"}
    bad = any(pod["status"]["phase"] == "Failed" for pod in pods)
    document["status"] = {"conditions": [failed]} if bad else {}
    told = {"type": "QuotaReserved", "status": "False"}
    told["message"] = "insufficient unused quota for nvidia.com/gpu, 8 more needed"
    now = datetime(2026, 11, 28, 10, 10, tzinfo=UTC) + timedelta(days=days)
    return state_of(Seen(JOB, document, pods, now, workload={"status": {"conditions": [told]}}), log).message


def test_its_lines_are_what_is_said_of_jobs() -> None:
    document = job(order(nodes=4, memory="64Gi"))
    statuses = [
        ended(137, "OOMKilled"),
        EVICTED,
        ended(1),
        ended(2),
        waiting("ErrImagePull", "manifest unknown"),
    ]
    logs = ["", "", "Watchdog caught collective operation timeout", "", ""]
    for status, log in zip(statuses, logs, strict=True):
        assert said(pod_of(document, 3, status), log=log, nodes=4) in LINES
    assert said(days=9, queue="research") in LINES
    assert (
        said(pod_of(document, 0, unplaced("0/3 nodes are available: 3 Insufficient nvidia.com/gpu.")))
        in LINES
    )
    pods = pod_of(document, 0, running()), pod_of(document, 1, waiting("ContainerCreating"))
    assert said(*pods, nodes=2) in LINES
