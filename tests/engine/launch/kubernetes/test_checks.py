"""What a cluster will not do is told before anything is submitted, a line each."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import yaml

from builders.http_server import serving
from builders.kube import KubernetesApi, kubernetes_api
from builders.kube.samples import runtime
from builders.orders import order
from mashbill.errors import ConfigError, MashbillError, RunError
from mashbill.launch.kubernetes import checks
from mashbill.launch.kubernetes.cluster_jobs import ClusterJobs
from mashbill.launch.kubernetes.job import JobBackend
from mashbill.launch.kubernetes.jobset import JobSetBackend
from mashbill.launch.kubernetes.rights import RIGHTS, rights_of
from mashbill.launch.kubernetes.trainjob import TrainJobBackend

BACKENDS: dict[str, type[ClusterJobs]] = {
    "job": JobBackend,
    "jobset": JobSetBackend,
    "trainjob": TrainJobBackend,
}


def node(name: str, *, gpus: int = 0, **labels: str) -> dict[str, Any]:
    amounts = {"cpu": "64", "memory": "512Gi", "pods": "110"} | (
        {"nvidia.com/gpu": str(gpus)} if gpus else {}
    )
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {},
        "status": {"capacity": amounts, "allocatable": amounts},
    }


def check(backend: str = "job", **takes: Any) -> list[str]:
    return [str(error) for error in BACKENDS[backend]().check(order(backend, **takes).takes)]


def granted(api: KubernetesApi, monkeypatch: pytest.MonkeyPatch, *rules: dict[str, Any]) -> None:
    """Be someone who may do these things in the namespace, and nothing else."""
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role"}
    subject = {"kind": "User", "name": "ann", "apiGroup": "rbac.authorization.k8s.io"}
    reference = {"kind": "Role", "name": "jobs", "apiGroup": "rbac.authorization.k8s.io"}
    metadata = {"name": "jobs", "namespace": "default"}
    api.put(role | {"metadata": metadata, "rules": list(rules)})
    api.put(role | {"kind": "RoleBinding", "metadata": metadata, "subjects": [subject], "roleRef": reference})
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig_of(api.user_token("ann"), "ann")))


def rules_of(backend: str, *, needed_only: bool) -> list[dict[str, Any]]:
    return [
        {"apiGroups": [right.group], "resources": [right.resource], "verbs": list(right.verbs)}
        for right in rights_of(backend, needed_only=needed_only)
        if right.scope == "namespace"
    ]


@pytest.mark.parametrize("backend", BACKENDS)
def test_all_is_well_where_everything_is_there(api: KubernetesApi, backend: str) -> None:
    api.put(runtime(), node("a", gpus=8, gpu="h100"))
    assert check(backend) == []
    assert check(backend, gpus=8, kubernetes={"node_selector": {"gpu": "h100"}}) == []
    assert api.all("jobs.batch") == []


def test_all_nodes_are_looked_at_however_many_pages_they_are(
    api: KubernetesApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "_PAGE", "1")
    api.put(node("a"), node("b", gpu="h100"), node("c", gpus=8))
    assert check(gpus=8) == []
    (line,) = check(gpus=8, kubernetes={"node_selector": {"gpu": "h100"}})
    assert "the most that a node has is 0" in line  # of those that the labels leave


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_needed_rights_are_enough(
    api: KubernetesApi, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.put(runtime())
    granted(api, monkeypatch, *rules_of(backend, needed_only=True))
    assert check(backend, gpus=8, queue=None, kubernetes={"service_account": "nobody"}) == []
    made = BACKENDS[backend]()
    handle = made.submit(order(backend, nodes=2))
    assert made.state(handle).phase in ("starting", "queued")
    assert made.logs(handle) == ""
    made.cancel(handle)


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_right_that_is_missing_is_named_with_how_to_see_it(
    api: KubernetesApi, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.put(runtime())
    granted(api, monkeypatch)
    lines = check(backend)
    needed = rights_of(backend, needed_only=True)
    assert len(lines) == len(needed)
    for right, line in zip(needed, lines, strict=True):
        assert f"may not {', '.join(right.verbs)} {right.resource.partition('/')[0]}" in line
        assert "kubectl auth can-i" in line
        assert "\n" not in line


def test_one_verb_that_is_missing_is_named_alone(api: KubernetesApi, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = rules_of("job", needed_only=True)
    rules[0]["verbs"].remove("delete")
    granted(api, monkeypatch, *rules)
    (line,) = check()
    assert "may not delete jobs.batch in namespace default" in line


@pytest.mark.parametrize(
    "takes, named",
    [
        ({"kubernetes": {"namespace": "nowhere"}}, "kubernetes.namespace: namespace nowhere"),
        (
            {"kubernetes": {"service_account": "nobody"}},
            "kubernetes.service_account: there is no service account nobody",
        ),
        ({"kubernetes": {"environment_from": ["s3"]}}, "kubernetes.environment_from: there is no secret s3"),
        (
            {"kubernetes": {"pull_secrets": ["registry"]}},
            "kubernetes.pull_secrets: there is no secret registry",
        ),
        (
            {"kubernetes": {"priority_class": "high"}},
            "kubernetes.priority_class: there is no priority class high",
        ),
        (
            {"kubernetes": {"volumes": [{"claim": "lost", "path": "/data"}]}},
            "kubernetes.volumes: there is no volume claim lost",
        ),
        ({"queue": "research"}, "queue: there is no local queue research"),
        ({"gpus": 16}, "gpus: 16 nvidia.com/gpu are asked for, and the most that a node has is 8"),
        ({"gpus": 1, "kubernetes": {"gpu_resource": "amd.com/gpu"}}, "gpus: 1 amd.com/gpu are asked for"),
        (
            {"kubernetes": {"node_selector": {"gpu": "b200"}}},
            "kubernetes.node_selector: none of 2 nodes has gpu=b200",
        ),
        ({"gpus": 1, "kubernetes": {"node_selector": {"gpu": "none"}}}, "the most that a node has is 0"),
        ({"kubernetes": {"resources": {"rdma/ib": "1"}}}, "kubernetes.resources: 1 rdma/ib are asked for"),
        ({"kubernetes": {"template": "/none.yaml"}}, "kubernetes.template: /none.yaml can't be read"),
        ({"kubernetes": {"context": "lab"}}, "kubernetes.context: lab is none"),
    ],
)
def test_what_is_not_there_is_named_with_its_field(
    api: KubernetesApi, takes: dict[str, Any], named: str
) -> None:
    api.put(node("a", gpus=8, gpu="h100"), node("b", gpu="none"))
    (line,) = check(**takes)
    assert line.startswith(named) or named in line
    assert "; " in line
    assert "\n" not in line


@pytest.mark.parametrize("backend", ["jobset", "trainjob"])
def test_a_kind_that_is_not_installed_is_named(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with kubernetes_api(custom=()) as bare:
        monkeypatch.setenv("KUBECONFIG", str(bare.kubeconfig))
        lines = check(backend)
    assert any(f"backend {backend}: " in line and "is not installed" in line for line in lines)


def test_a_queue_without_kueue_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with kubernetes_api(custom=()) as bare:
        monkeypatch.setenv("KUBECONFIG", str(bare.kubeconfig))
        (line,) = check(queue="research")
    assert line.startswith("queue: Kueue (kueue.x-k8s.io) is not installed")


def test_a_runtime_that_is_not_there_is_named(api: KubernetesApi) -> None:
    (line,) = check("trainjob", kubernetes={"runtime": "deepspeed"})
    assert line.startswith("kubernetes.runtime: there is no ClusterTrainingRuntime deepspeed")


def test_a_cluster_that_does_not_answer_is_one_line(api: KubernetesApi) -> None:
    api.stop()
    (line,) = check()
    assert f"context admin at {api.url} does not answer" in line
    api.start()


@pytest.mark.parametrize(
    "code, kind, says",
    [
        (401, ConfigError, "log in anew"),
        (403, ConfigError, "ask for the right"),
        (302, ConfigError, "no Kubernetes API"),
        (429, RunError, "too much to do"),
        (500, RunError, "try again"),
        (503, RunError, "try again"),
    ],
)
def test_a_refusal_that_only_a_person_can_mend_is_told_from_one_that_passes(
    api: KubernetesApi, code: int, kind: type[MashbillError], says: str
) -> None:
    api.faults.refuse(code, times=None, which=lambda call: call.resource == "selfsubjectaccessreviews")
    (found,) = JobBackend().check(order().takes)
    assert type(found) is kind
    assert says in str(found)
    assert "\n" not in str(found)


def test_a_connection_that_breaks_off_or_a_server_that_is_away_may_be_tried_again(api: KubernetesApi) -> None:
    api.faults.drop(times=None)
    (found,) = JobBackend().check(order().takes)
    assert isinstance(found, RunError)
    api.faults.clear()
    api.stop()
    (found,) = JobBackend().check(order().takes)
    assert isinstance(found, RunError)
    api.start()
    assert JobBackend().check(order().takes) == []


@pytest.mark.parametrize(
    "change, kind, says",
    [
        ({"server": "https://no-such-host.invalid:6443"}, RunError, "has a name that"),
        ({"server": "https://127.0.0.1:9"}, RunError, "nothing listens there"),
        ({"certificate-authority-data": None}, ConfigError, "issuer is not trusted"),
        ({"server": "PAGE"}, ConfigError, "is no Kubernetes API"),
    ],
)
def test_a_context_of_another_server_is_told_by_what_is_wrong_with_it(
    api: KubernetesApi,
    change: dict[str, str | None],
    kind: type[MashbillError],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = yaml.safe_load(api.kubeconfig.read_text())
    cluster = given["clusters"][0]["cluster"]
    with pages() as page:
        for key, value in change.items():
            cluster.pop(key, None)
            if value is not None:
                cluster[key] = page if value == "PAGE" else value
        if "certificate-authority-data" in change:
            cluster.pop("certificate-authority", None)
        (tmp_path / "config").write_text(yaml.safe_dump(given))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        (found,) = JobBackend().check(order().takes)
    assert type(found) is kind, found
    assert says in str(found)
    assert str(found).startswith("kubernetes.context: ")
    assert "\n" not in str(found)


@contextmanager
def pages() -> Iterator[str]:
    """A server whose every answer is a page for people, as that of a proxy which wants a login."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"<html>log in</html>"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    with serving(Page) as port:
        yield f"http://127.0.0.1:{port}"


def test_what_was_found_before_a_cluster_broke_off_is_told_beside_that(api: KubernetesApi) -> None:
    api.faults.refuse(503, times=None, which=lambda call: call.resource == "nodes")
    found = JobBackend().check(order(gpus=1, kubernetes={"service_account": "nobody"}).takes)
    assert [type(error) for error in found] == [ConfigError, RunError]


def test_a_check_asks_nothing_but_what_the_table_of_rights_has(
    api: KubernetesApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor do submitting, looking and cancelling."""
    api.put(runtime(), node("a", gpus=8))
    for name, make in BACKENDS.items():
        takes = {"gpus": 1, "nodes": 2, "queue": "research", "kubernetes": {"environment_from": ["s3"]}}
        check(name, **takes)
        backend = make()
        handle = backend.submit(order(name, **takes))
        backend.state(handle)
        backend.logs(handle)
        backend.cancel(handle)
        have = {
            (right.group, right.resource, verb)
            for right in RIGHTS
            if name in right.backends
            for verb in right.verbs
        }
        made = {
            (call.group, f"{call.resource}/{call.subresource}".rstrip("/"), call.verb)
            for call in api.audit
            if call.resourceful and call.group != "authorization.k8s.io"
        }
        assert made <= have
        api.audit.clear()
