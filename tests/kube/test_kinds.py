"""Kinds around the work: services, secrets, config maps, claims, workloads, nodes, leases."""

import base64
from typing import Any

import pytest
from kubernetes import client

from builders.kube import KubernetesApi
from builders.kube.clients import client_of, refusal
from builders.kube.samples import config_map, pod_spec, secret


def service(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def test_service_gets_an_address_unless_it_is_headless(core: client.CoreV1Api) -> None:
    ports = [{"port": 29400}]
    made = core.create_namespaced_service("default", service("web", ports=ports))
    assert made.spec.cluster_ip.startswith("10.")
    assert (made.spec.ports[0].target_port, made.spec.ports[0].protocol) == (29400, "TCP")
    headless = core.create_namespaced_service(
        "default", service("train", clusterIP="None", selector={"a": "b"}, publishNotReadyAddresses=True)
    )
    assert (headless.spec.cluster_ip, headless.spec.ports) == ("None", None)
    assert refusal(core.create_namespaced_service, "default", service("c"))[:2] == (422, "Invalid")
    assert (
        refusal(core.patch_namespaced_service, "web", "default", {"spec": {"clusterIP": "10.0.0.9"}})[0]
        == 422
    )


def test_secret_is_read_back_as_data_only(core: client.CoreV1Api) -> None:
    made = core.create_namespaced_secret("default", secret("s3", key="value"))
    assert (made.string_data, base64.b64decode(made.data["key"])) == (None, b"value")
    assert made.type == "Opaque"
    assert refusal(core.patch_namespaced_secret, "s3", "default", {"type": "other"})[0] == 422


def test_what_is_immutable_stays_so(core: client.CoreV1Api) -> None:
    core.create_namespaced_config_map("default", {**config_map("c", a="b"), "immutable": True})
    for change in ({"data": {"a": "c"}}, {"immutable": False}):
        code, _, message = refusal(core.patch_namespaced_config_map, "c", "default", change)
        assert code == 422
        assert "field is immutable when `immutable` is set" in message
    core.patch_namespaced_config_map("c", "default", {"metadata": {"labels": {"a": "b"}}})


def test_claim_says_what_it_wants_and_keeps_to_it(core: client.CoreV1Api) -> None:
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Ti"}}}
    claim = {"metadata": {"name": "artifacts"}, "spec": spec}
    made = core.create_namespaced_persistent_volume_claim("default", claim)
    assert made.status.phase == "Pending"
    bare = {"metadata": {"name": "b"}, "spec": {"accessModes": ["ReadWriteMany"]}}
    assert (
        "spec.resources[storage]"
        in refusal(core.create_namespaced_persistent_volume_claim, "default", bare)[2]
    )
    change = {"spec": {"accessModes": ["ReadWriteOnce"]}}
    assert refusal(core.patch_namespaced_persistent_volume_claim, "artifacts", "default", change)[0] == 422


def deployment(**spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod_spec(restartPolicy="Always")}
    whole = {"selector": {"matchLabels": {"a": "b"}}, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": whole}


def test_deployment_is_scaled_at_its_subresource(api: KubernetesApi) -> None:
    apps = client.AppsV1Api(client_of(api))
    assert apps.create_namespaced_deployment("default", deployment()).spec.replicas == 1
    assert apps.read_namespaced_deployment_scale("web", "default").spec.replicas == 1
    scaled = apps.patch_namespaced_deployment_scale("web", "default", {"spec": {"replicas": 3}})
    assert scaled.spec.replicas == 3
    read = apps.read_namespaced_deployment("web", "default")
    assert (read.spec.replicas, read.metadata.generation) == (3, 2)
    wrong = deployment(selector={"matchLabels": {"a": "c"}}) | {"metadata": {"name": "other"}}
    code, _, message = refusal(apps.create_namespaced_deployment, "default", wrong)
    assert code == 422
    assert message.endswith("`selector` does not match template `labels`")


def test_node_keeps_the_status_it_is_made_with(core: client.CoreV1Api) -> None:
    status = {"capacity": {"nvidia.com/gpu": "8"}, "allocatable": {"nvidia.com/gpu": "8"}}
    core.create_node({"metadata": {"name": "n"}, "status": status})
    assert core.read_node("n").status.allocatable == {"nvidia.com/gpu": "8"}
    core.patch_node("n", {"spec": {"unschedulable": True}})
    assert [n.metadata.name for n in core.list_node(field_selector="spec.unschedulable=true").items] == ["n"]


def test_lease_is_taken_by_who_has_its_version(api: KubernetesApi) -> None:
    leases = client.CoordinationV1Api(client_of(api))
    spec = {"holderIdentity": "one", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z"}
    made = leases.create_namespaced_lease("default", {"metadata": {"name": "lead"}, "spec": spec})
    other = leases.read_namespaced_lease("lead", "default")
    made.spec.holder_identity = "two"
    leases.replace_namespaced_lease("lead", "default", made)
    other.spec.holder_identity = "three"
    assert refusal(leases.replace_namespaced_lease, "lead", "default", other)[:2] == (409, "Conflict")


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public", "kube-node-lease"])
def test_every_namespace_has_its_account_and_certificate(core: client.CoreV1Api, name: str) -> None:
    assert core.read_namespaced_service_account("default", name)
    assert "BEGIN CERTIFICATE" in core.read_namespaced_config_map("kube-root-ca.crt", name).data["ca.crt"]
    assert core.read_namespace(name).metadata.labels["kubernetes.io/metadata.name"] == name
