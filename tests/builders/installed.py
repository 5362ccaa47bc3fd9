"""Releases of the chart, by real helm, on the Kubernetes API of the tests."""

import os
import subprocess
from pathlib import Path

from builders.chart import CHART, tools
from builders.kube.clients import kubectl


class Releases:
    """What helm does on a cluster.

    Args:
        server: the API, with its administrator's kubeconfig.
        folder: for helm's own files.
    """

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        kept = {f"HELM_{name}_HOME": str(folder / name.lower()) for name in ("CACHE", "CONFIG", "DATA")}
        self.environment = {**os.environ, **kept, "KUBECONFIG": str(kubeconfig)}

    def helm(self, *arguments: str) -> str:
        """What helm says of what went well.

        Raises:
            AssertionError: it did not.
        """
        result = self.tried(*arguments)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def tried(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """What helm answers."""
        command = [str(tools().helm_binary()), *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)

    def install(self, name: str, namespace: str, *arguments: str) -> str:
        """A release of the chart, in a namespace that is made if it is not there."""
        return self.helm("install", name, str(CHART), "-n", namespace, "--create-namespace", *arguments)


__all__ = ["Releases", "kubectl"]
