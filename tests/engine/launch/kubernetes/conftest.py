"""A Kubernetes API of the tests that KUBECONFIG names."""

from collections.abc import Iterator

import pytest

from builders.kube import KubernetesApi, kubernetes_api
from mashbill.launch.kubernetes.connection import forget_connections


@pytest.fixture(autouse=True)
def connections() -> Iterator[None]:
    yield
    forget_connections()


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesApi]:
    with kubernetes_api() as api:
        monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig))
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        yield api
