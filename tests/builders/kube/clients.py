"""The real clients, pointed at a Kubernetes API of the tests."""

import json
import subprocess
from typing import Any

import pytest
from kubernetes import client

from builders.kube.api import KubernetesApi
from builders.kube.store import Object
from builders.kube.tools import kubectl_binary


def client_of(api: KubernetesApi, token: str | None = None) -> client.ApiClient:
    """The Python client, with the administrator's token unless told otherwise."""
    configuration = client.Configuration(host=api.url)
    configuration.ssl_ca_cert = str(api.certificate)
    configuration.api_key["authorization"] = f"Bearer {token or api.token}"
    configuration.retries = False
    return client.ApiClient(configuration)


def refusal(call: Any, *arguments: Any, **named: Any) -> tuple[int, str, str]:
    """Code, reason and message that a call of the Python client is refused with."""
    with pytest.raises(client.ApiException) as refused:
        call(*arguments, **named)
    body = json.loads(refused.value.body)
    assert body["code"] == refused.value.status
    assert (body["kind"], body["status"]) == ("Status", "Failure")
    return refused.value.status, body["reason"], body["message"]


def causes(call: Any, *arguments: Any) -> list[tuple[str, str]]:
    """Reason and field of each cause of a 422."""
    with pytest.raises(client.ApiException) as refused:
        call(*arguments)
    assert refused.value.status == 422, refused.value.body
    return [
        (cause["reason"], cause["field"]) for cause in json.loads(refused.value.body)["details"]["causes"]
    ]


def kubectl(
    api: KubernetesApi, *arguments: str, given: Object | str | None = None, config: Any = None
) -> subprocess.CompletedProcess[str]:
    """The real kubectl; ``given`` is what it reads from its standard input."""
    command = [str(kubectl_binary()), f"--kubeconfig={config or api.kubeconfig}"]
    command += [f"--cache-dir={api.folder / 'kubectl'}", *arguments]
    text = given if isinstance(given, str) or given is None else json.dumps(given)
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)
