"""Custom resources: Kueue's and Ray's, and any that a test defines."""

from typing import Any

import pytest
from kubernetes import client, watch

from builders.kube import kubernetes_api
from builders.kube.clients import client_of, refusal
from builders.kube.samples import pod_spec

QUEUES = ("kueue.x-k8s.io", "v1beta1")
RAY = ("ray.io", "v1", "default")


def ray_cluster() -> dict[str, Any]:
    workers = {
        "groupName": "small",
        "replicas": 2,
        "minReplicas": 0,
        "maxReplicas": 4,
        "template": {"spec": pod_spec()},
    }
    return {
        "rayVersion": "2.60.0",
        "headGroupSpec": {"rayStartParams": {"dashboard-host": "0.0.0.0"}, "template": {"spec": pod_spec()}},
        "workerGroupSpecs": [{**workers, "rayStartParams": {}}],
    }


def ray_job(name: str, **more: Any) -> dict[str, Any]:
    spec = {
        "entrypoint": "mashbill part dedup 0",
        "rayClusterSpec": ray_cluster(),
        "shutdownAfterJobFinishes": True,
    }
    return {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": name}, "spec": {**spec, **more}}


def test_queues_are_kept_and_their_fields_checked(custom: client.CustomObjectsApi) -> None:
    quota = {"name": "nvidia.com/gpu", "nominalQuota": 64}
    group = {"coveredResources": ["nvidia.com/gpu"], "flavors": [{"name": "a100", "resources": [quota]}]}
    head = {"apiVersion": "kueue.x-k8s.io/v1beta1", "metadata": {"name": "research"}}
    cluster = {**head, "kind": "ClusterQueue", "spec": {"resourceGroups": [group], "namespaceSelector": {}}}
    custom.create_cluster_custom_object(*QUEUES, "clusterqueues", cluster)
    local = {**head, "kind": "LocalQueue", "spec": {"clusterQueue": "research"}}
    custom.create_namespaced_custom_object(*QUEUES, "default", "localqueues", local)
    wrong = {**local, "metadata": {"name": "b"}, "spec": {"clusterqueue": "research"}}
    code, _, message = refusal(
        custom.create_namespaced_custom_object, *QUEUES, "default", "localqueues", wrong
    )
    assert (code, message.rpartition(": ")[2]) == (400, 'unknown field "spec.clusterqueue"')
    stopped = {**local, "metadata": {"name": "c"}, "spec": {"stopPolicy": "Pause"}}
    assert (
        refusal(custom.create_namespaced_custom_object, *QUEUES, "default", "localqueues", stopped)[0] == 422
    )


def test_both_versions_of_a_group_are_of_the_same_objects(custom: client.CustomObjectsApi) -> None:
    local = {"apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "LocalQueue", "metadata": {"name": "research"}}
    newer, older = ((QUEUES[0], version, "default", "localqueues") for version in ("v1beta2", "v1beta1"))
    custom.create_namespaced_custom_object(*newer, {**local, "spec": {"clusterQueue": "a"}})
    read = custom.get_namespaced_custom_object(*older, "research")
    assert (read["apiVersion"], read["spec"]) == ("kueue.x-k8s.io/v1beta1", {"clusterQueue": "a"})
    custom.patch_namespaced_custom_object(*older, "research", {"spec": {"clusterQueue": "b"}})
    (item,) = custom.list_namespaced_custom_object(*newer)["items"]
    assert (item["apiVersion"], item["spec"]) == ("kueue.x-k8s.io/v1beta2", {"clusterQueue": "b"})
    version = item["metadata"]["resourceVersion"]
    custom.patch_namespaced_custom_object(*newer, "research", {"spec": {"clusterQueue": "c"}})
    stream = watch.Watch().stream(
        custom.list_namespaced_custom_object, *older, resource_version=version, timeout_seconds=1
    )
    assert [event["object"]["apiVersion"] for event in stream] == ["kueue.x-k8s.io/v1beta1"]


def test_ray_job_is_checked_down_to_its_pods(custom: client.CustomObjectsApi) -> None:
    made = custom.create_namespaced_custom_object(*RAY, "rayjobs", ray_job("dedup"))
    assert made["metadata"]["generation"] == 1
    wrong = ray_job("other")
    wrong["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["imagined"] = 1
    code, _, message = refusal(custom.create_namespaced_custom_object, *RAY, "rayjobs", wrong)
    path = "spec.rayClusterSpec.headGroupSpec.template.spec.containers[0].imagined"
    assert (code, message.rpartition(": ")[2]) == (400, f'unknown field "{path}"')
    assert (
        refusal(custom.create_namespaced_custom_object, *RAY, "rayjobs", ray_job("a", backoffLimit="two"))[0]
        == 422
    )
    status = {"status": {"jobStatus": "RUNNING", "jobDeploymentStatus": "Running"}}
    changed = custom.patch_namespaced_custom_object_status(*RAY, "rayjobs", "dedup", status)
    assert changed["status"] == status["status"]
    assert changed["metadata"]["generation"] == 1


def test_status_of_a_custom_resource_is_changed_at_its_own_path_only(custom: client.CustomObjectsApi) -> None:
    custom.create_namespaced_custom_object(*RAY, "rayjobs", {**ray_job("a"), "status": {"jobStatus": "X"}})
    read = custom.get_namespaced_custom_object(*RAY, "rayjobs", "a")
    assert "status" not in read
    read |= {"status": {"jobStatus": "X"}}
    read["spec"]["backoffLimit"] = 3
    changed = custom.replace_namespaced_custom_object(*RAY, "rayjobs", "a", read)
    assert ("status" in changed, changed["spec"]["backoffLimit"]) == (False, 3)
    changed |= {"status": {"jobStatus": "Y"}}
    changed["spec"]["backoffLimit"] = 9
    changed["metadata"]["labels"] = {"a": "b"}
    changed = custom.replace_namespaced_custom_object_status(*RAY, "rayjobs", "a", changed)
    assert (changed["status"], changed["spec"]["backoffLimit"]) == ({"jobStatus": "Y"}, 3)
    assert "labels" not in changed["metadata"]


def definition(**schema: Any) -> dict[str, Any]:
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "barrels", "singular": "barrel", "kind": "Barrel", "listKind": "BarrelList"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "barrels.mashbill.dev"},
        "spec": {"group": "mashbill.dev", "names": names, "scope": "Namespaced", "versions": [version]},
    }


def test_kind_is_served_as_long_as_it_is_defined(custom: client.CustomObjectsApi) -> None:
    place = ("mashbill.dev", "v1", "default", "barrels")
    barrel = {
        "apiVersion": "mashbill.dev/v1",
        "kind": "Barrel",
        "metadata": {"name": "a"},
        "spec": {"litres": 200},
    }
    assert refusal(custom.list_namespaced_custom_object, *place)[0] == 404
    definitions = client.ApiextensionsV1Api(custom.api_client)
    spec = {"type": "object", "properties": {"litres": {"type": "integer"}}, "required": ["litres"]}
    given = definition(type="object", properties={"spec": spec})
    made = definitions.create_custom_resource_definition(given)
    conditions = definitions.read_custom_resource_definition(made.metadata.name).status.conditions
    assert {c.type for c in conditions} == {"NamesAccepted", "Established"}
    custom.create_namespaced_custom_object(*place, barrel)
    wrong = {**barrel, "metadata": {"name": "b"}, "spec": {"litres": 9, "gallons": 53}}
    code, _, message = refusal(custom.create_namespaced_custom_object, *place, wrong)
    assert (code, message.rpartition(": ")[2]) == (400, 'unknown field "spec.gallons"')
    wrong["spec"] = {"litres": "many"}
    code, _, message = refusal(custom.create_namespaced_custom_object, *place, wrong)
    assert message == (
        'Barrel.mashbill.dev "b" is invalid: spec.litres: Invalid value: "string": '
        'spec.litres in body must be of type integer: "string"'
    )
    definitions.delete_custom_resource_definition(made.metadata.name)
    assert refusal(custom.list_namespaced_custom_object, *place)[0] == 404


def test_bounds_and_defaults_of_a_definition_hold(custom: client.CustomObjectsApi) -> None:
    place = ("mashbill.dev", "v1", "default", "barrels")
    litres = {"type": "integer", "minimum": 1, "maximum": 300}
    wood = {"type": "string", "default": "oak", "pattern": "^[a-z]+$"}
    staves = {"type": "array", "items": {"type": "string"}, "minItems": 1}
    spec = {"type": "object", "default": {}, "properties": {"litres": litres, "wood": wood, "staves": staves}}
    definitions = client.ApiextensionsV1Api(custom.api_client)
    definitions.create_custom_resource_definition(definition(type="object", properties={"spec": spec}))
    barrel = {"apiVersion": "mashbill.dev/v1", "kind": "Barrel", "metadata": {"name": "a"}}
    assert custom.create_namespaced_custom_object(*place, barrel)["spec"] == {"wood": "oak"}
    for given, words in (
        ({"litres": 0}, "spec.litres in body should be greater than or equal to 1"),
        ({"litres": 301}, "spec.litres in body should be less than or equal to 300"),
        ({"wood": "Oak"}, "spec.wood in body should match '^[a-z]+$'"),
        ({"staves": []}, "spec.staves in body should have at least 1 items"),
    ):
        told = refusal(custom.create_namespaced_custom_object, *place, {**barrel, "spec": given})
        assert (told[0], told[2].partition(words)[1]) == (422, words)


@pytest.mark.parametrize("without", ["jobsets.jobset.x-k8s.io", "trainjobs.trainer.kubeflow.org"])
def test_cluster_may_lack_what_is_to_be_installed(without: str) -> None:
    from builders.kube.custom import INSTALLED

    with kubernetes_api(custom=[name for name in INSTALLED if name != without]) as api:
        custom = client.CustomObjectsApi(client_of(api))
        plural, _, group = without.partition(".")
        version = INSTALLED[without]["spec"]["versions"][0]["name"]
        told = refusal(custom.list_namespaced_custom_object, group, version, "default", plural)
        assert told == (404, "NotFound", "the server could not find the requested resource")
