"""The chart's README and the page on it: generated parts are fresh, and its commands do what they say."""

import re
import runpy
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builders.chart import tools
from builders.checkout import DOCS, ROOT
from builders.cluster import Cluster, Machine, cluster, unsharing
from builders.installed import Releases
from builders.kube.tools import kubectl_binary

PAGE = DOCS / "how-to" / "chart.md"
ELSEWHERE = ("docker ", "helm repo add", "helm install airflow", "python docker/lock.py")
"""Commands that need a registry of images or charts, or all of PyPI's answers."""
DEMO = """
artifacts = "/opt/mashbill/artifacts/demo"
scratch = "/scratch/demo"
[corpus]
domains = [
  { name = "crawl", sources = [{ path = "/opt/mashbill/configs/demo.toml", format = "txt" }] },
  { name = "books", sources = [{ path = "/opt/mashbill/configs/demo.toml", format = "txt" }] },
]
[[corpus.references]]
name = "reference"
sources = [{ path = "/opt/mashbill/configs/demo.toml", format = "txt" }]
"""
VALUES = """
artifacts: { volume: { enabled: true, size: 1Gi } }
test: { resources: { requests: { cpu: 100m, memory: 64Mi } } }
"""


@pytest.fixture(scope="module")
def generator() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "generate_chart.py"))


def test_readme_of_the_chart_is_up_to_date(generator: dict[str, Any]) -> None:
    readme = ROOT / "helm" / "mashbill" / "README.md"
    assert readme.read_text(encoding="utf-8") == generator["readme"](), "run docs/generate_chart.py"


def test_table_of_rights_is_up_to_date(generator: dict[str, Any]) -> None:
    assert PAGE.read_text(encoding="utf-8") == generator["howto"](), "run docs/generate_chart.py"


def test_a_value_without_a_word_on_it_is_refused(generator: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"pods\.user has no comment"):
        list(generator["_commented"]("# Pods.\npods:\n  user: 1\n"))


def commands() -> list[str]:
    """The page's commands, in order, each on one line."""
    blocks = re.findall(r"(?:^(?: {4}| {8})\S.*\n)+(?:^ {6,}\S.*\n)*", PAGE.read_text(encoding="utf-8"), re.M)
    text = "".join(blocks).replace("\\\n", " ")
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def test_every_command_is_of_a_tool_that_is_known() -> None:
    found = commands()
    assert len(found) >= 12
    assert {command.split()[0] for command in found} == {"docker", "helm", "kubectl", "python"}


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Cluster]:
    if not unsharing():
        pytest.skip("pods need namespaces of their own here: root, or a kernel that lets users have them")
    with cluster(tmp_path / "cluster", (Machine("node-a"), Machine("node-b"))) as found:
        yield found


@pytest.mark.slow
def test_commands_do_what_the_page_says(here: Cluster, tmp_path: Path) -> None:
    (tmp_path / "helm").symlink_to(ROOT / "helm")
    (tmp_path / "my-values.yaml").write_text(VALUES)
    (tmp_path / "demo.toml").write_text(DEMO)
    here.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "research"}})
    programs = {"helm": str(tools().helm_binary()), "kubectl": str(kubectl_binary())}
    environment = Releases(here.kubeconfig, tmp_path).environment
    for command in commands():
        if command.startswith(ELSEWHERE):
            continue
        tool, *words = shlex.split(command)
        result = subprocess.run(
            [programs[tool], *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, (command, result.stdout, result.stderr)
    ours = {"configmaps", "serviceaccounts", "roles.rbac.authorization.k8s.io", "persistentvolumeclaims"}
    left = [thing["metadata"]["name"] for kind in sorted(ours) for thing in here.server.all(kind)]
    assert not [name for name in left if name.startswith("mashbill")]
    assert here.server.get("secrets", "lake", "research") is not None
