"""What goes wrong on command happens to the calls it is meant for, and to them only."""

import time

import pytest
import urllib3
from kubernetes import client

from builders.kube import KubernetesApi
from builders.kube.clients import refusal
from builders.kube.samples import job, pod


@pytest.mark.parametrize(
    ("code", "reason"), [(429, "TooManyRequests"), (500, "InternalError"), (503, "ServiceUnavailable")]
)
def test_refusals_are_as_many_as_commanded(
    api: KubernetesApi, core: client.CoreV1Api, code: int, reason: str
) -> None:
    fault = api.faults.refuse(code, times=2, retry_after=3)
    for _ in range(2):
        with pytest.raises(client.ApiException) as refused:
            core.list_namespaced_pod("default")
        assert refused.value.status == code
        assert f'"reason":"{reason}"' in refused.value.body
        assert refused.value.headers.get("Retry-After") == (None if code == 500 else "3")
    core.list_namespaced_pod("default")
    assert [call.verb for call in fault.happened] == ["list", "list"]


def test_call_that_is_dropped_before_it_is_done_did_nothing(
    api: KubernetesApi, batch: client.BatchV1Api
) -> None:
    api.faults.drop(which=lambda call: call.verb == "create")
    with pytest.raises(urllib3.exceptions.ProtocolError):
        batch.create_namespaced_job("default", job("train"))
    assert not batch.list_namespaced_job("default").items
    batch.create_namespaced_job("default", job("train"))


def test_call_whose_answer_is_lost_was_done(api: KubernetesApi, batch: client.BatchV1Api) -> None:
    api.faults.drop(which=lambda call: call.verb == "create", done=True)
    with pytest.raises(urllib3.exceptions.ProtocolError):
        batch.create_namespaced_job("default", job("train"))
    assert refusal(batch.create_namespaced_job, "default", job("train"))[1] == "AlreadyExists"


def test_late_answer_comes(api: KubernetesApi, core: client.CoreV1Api) -> None:
    api.faults.delay(0.3, which=lambda call: call.resource == "pods")
    begin = time.monotonic()
    core.list_namespace()
    core.list_namespaced_pod("default")
    assert time.monotonic() - begin >= 0.3


def test_fault_without_an_end_lasts_until_it_is_ended(api: KubernetesApi, core: client.CoreV1Api) -> None:
    fault = api.faults.refuse(503, times=None, which=lambda call: call.resource == "pods")
    for _ in range(5):
        assert refusal(core.list_namespaced_pod, "default")[0] == 503
    core.list_namespace()
    fault.end()
    core.list_namespaced_pod("default")
    api.faults.refuse(500, times=None)
    api.faults.clear()
    core.list_namespaced_pod("default")


def test_server_that_was_down_is_where_it_was_with_what_it_had(
    api: KubernetesApi, core: client.CoreV1Api
) -> None:
    core.create_namespaced_pod("default", pod("p"))
    url = api.url
    api.stop()
    with pytest.raises(urllib3.exceptions.HTTPError):
        core.list_namespaced_pod("default")
    api.start()
    assert api.url == url
    assert [item.metadata.name for item in core.list_namespaced_pod("default").items] == ["p"]
