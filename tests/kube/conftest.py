"""What the tests of the Kubernetes API share: one of it a test."""

from collections.abc import Iterator

import pytest
from kubernetes import client

from builders.kube import KubernetesApi, kubernetes_api
from builders.kube.clients import client_of


@pytest.fixture
def api() -> Iterator[KubernetesApi]:
    with kubernetes_api() as api:
        yield api


@pytest.fixture
def core(api: KubernetesApi) -> client.CoreV1Api:
    return client.CoreV1Api(client_of(api))


@pytest.fixture
def batch(api: KubernetesApi) -> client.BatchV1Api:
    return client.BatchV1Api(client_of(api))


@pytest.fixture
def custom(api: KubernetesApi) -> client.CustomObjectsApi:
    return client.CustomObjectsApi(client_of(api))
