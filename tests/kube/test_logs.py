"""Logs of pods that run elsewhere are asked of their node, as the real server asks a kubelet."""

import http.server
from collections.abc import Iterator

import pytest
from kubernetes import client

from builders.http_server import serving
from builders.kube import KubernetesApi
from builders.kube.clients import refusal
from builders.kube.samples import pod


@pytest.fixture
def kubelet() -> Iterator[tuple[int, list[str]]]:
    """A server in a kubelet's place: its port, and the paths that it was asked for."""
    asked: list[str] = []

    class Kubelet(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"from the node\n")

        def log_message(self, *arguments: object) -> None:
            pass

    with serving(Kubelet) as port:
        yield port, asked


def place(api: KubernetesApi, port: int) -> None:
    """A node whose kubelet listens at a port, and a pod that runs there."""
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }
    api.put({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "status": status})
    given = pod("p", nodeName="n")
    given["metadata"]["namespace"] = "default"
    api.put(given)


def started(core: client.CoreV1Api) -> None:
    names = {"name": "main", "image": "lab:1", "imageID": "", "ready": True, "restartCount": 0}
    state = {**names, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}
    core.patch_namespaced_pod_status("p", "default", {"status": {"containerStatuses": [state]}})


def test_log_is_asked_of_the_node(
    api: KubernetesApi, core: client.CoreV1Api, kubelet: tuple[int, list[str]]
) -> None:
    place(api, kubelet[0])
    told = refusal(core.read_namespaced_pod_log, "p", "default")
    words = 'container "main" in pod "p" is waiting to start: ContainerCreating'
    assert told == (400, "BadRequest", words)
    started(core)
    read = core.read_namespaced_pod_log("p", "default", tail_lines=5, _preload_content=False)
    assert read.data == b"from the node\n"
    assert kubelet[1] == ["/containerLogs/default/p/main?tailLines=5"]


def test_node_that_does_not_answer_is_an_error_of_the_server(
    api: KubernetesApi, core: client.CoreV1Api
) -> None:
    place(api, 1)
    started(core)
    code, reason, message = refusal(core.read_namespaced_pod_log, "p", "default")
    assert (code, reason) == (500, "InternalError")
    assert message.startswith('Get "http://127.0.0.1:1/containerLogs/default/p/main"')


def test_log_of_this_process_is_cut_as_asked(api: KubernetesApi, core: client.CoreV1Api) -> None:
    place(api, 1)
    uid = api.get("pods", "p", "default")["metadata"]["uid"]
    api.logs.write(uid, "main", "one\ntwo\nthree")

    def read(**more: object) -> bytes:
        return core.read_namespaced_pod_log("p", "default", _preload_content=False, **more).data

    assert read() == b"one\ntwo\nthree\n"
    assert read(tail_lines=2) == b"two\nthree\n"
    assert read(tail_lines=0) == b""
    assert read(limit_bytes=5) == b"one\nt"
    assert read(since_seconds=3600) == b"one\ntwo\nthree\n"
    assert read(previous=True) == b""
