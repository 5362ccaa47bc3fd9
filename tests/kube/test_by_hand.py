"""The Kubernetes API of the tests, started from the shell to try things on by hand."""

import os
import signal
import subprocess
import sys

import pytest

from builders.checkout import ROOT, TESTS
from builders.kube.tools import kubectl_binary


@pytest.mark.slow
def test_it_is_served_until_it_is_interrupted() -> None:
    command = [sys.executable, "-m", "builders.kube"]
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    with subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        config = server.stdout.readline().strip().removeprefix("export KUBECONFIG=")
        asked = [str(kubectl_binary()), f"--kubeconfig={config}", "get", "namespaces", "-o", "name"]
        told = subprocess.run(asked, capture_output=True, text=True, check=False)
        server.send_signal(signal.SIGINT)
        assert server.wait(20) == 0
    assert "namespace/default" in told.stdout, told.stderr
