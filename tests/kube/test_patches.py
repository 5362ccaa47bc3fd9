"""Patches: what each kind of them makes of an object, and who manages which fields after an apply."""

import json
from typing import Any

import pytest
from kubernetes import client

from builders.kube import KubernetesApi
from builders.kube.clients import client_of, refusal
from builders.kube.samples import config_map, job, jobset, pod

MAPS = "/api/v1/namespaces/default/configmaps"
JOBS = "/apis/batch/v1/namespaces/default/jobs"
FORMS = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}


def patch(api: KubernetesApi, path: str, form: str, body: Any, **query: str) -> dict[str, Any]:
    """Patch an object, whatever the client would have chosen."""
    headers = {"Content-Type": FORMS[form], "Accept": "application/json"}
    answer = client_of(api).call_api(
        path,
        "PATCH",
        header_params=headers,
        query_params=list(query.items()),
        body=body,
        auth_settings=["BearerToken"],
        _preload_content=False,
        _return_http_data_only=True,
    )
    return json.loads(answer.data)


def apply(api: KubernetesApi, path: str, item: Any, manager: str, **query: str) -> dict[str, Any]:
    return patch(api, f"{path}/{item['metadata']['name']}", "apply", item, fieldManager=manager, **query)


def managed(item: dict[str, Any]) -> dict[str, Any]:
    return {one["manager"]: one["fieldsV1"] for one in item["metadata"]["managedFields"]}


def test_merge_patch_is_that_of_its_rfc(api: KubernetesApi, core: client.CoreV1Api) -> None:
    core.create_namespaced_config_map("default", config_map("c", a="1", b="2"))
    changed = patch(api, f"{MAPS}/c", "merge", {"data": {"a": "3", "b": None, "c": "4"}})
    assert changed["data"] == {"a": "3", "c": "4"}


def test_json_patch_is_that_of_its_rfc(api: KubernetesApi, core: client.CoreV1Api) -> None:
    core.create_namespaced_config_map(
        "default", config_map("c", **{"a": "1", "b/c": "2"}) | {"data": {"a": "1", "b.c": "2"}}
    )
    steps = [
        {"op": "test", "path": "/data/a", "value": "1"},
        {"op": "move", "from": "/data/b.c", "path": "/data/moved"},
        {"op": "copy", "from": "/data/a", "path": "/data/copied"},
        {"op": "replace", "path": "/data/a", "value": "9"},
        {"op": "add", "path": "/metadata/labels", "value": {"x/y": "z"}},
        {"op": "remove", "path": "/metadata/labels/x~1y"},
    ]
    changed = patch(api, f"{MAPS}/c", "json", steps)
    assert changed["data"] == {"a": "9", "moved": "2", "copied": "1"}
    told = refusal(patch, api, f"{MAPS}/c", "json", [{"op": "test", "path": "/data/a", "value": "1"}])
    assert told[:2] == (422, "Invalid")
    assert refusal(patch, api, f"{MAPS}/c", "json", [{"op": "remove", "path": "/data/lost"}])[0] == 422


def test_strategic_patch_merges_lists_by_their_keys(api: KubernetesApi, batch: client.BatchV1Api) -> None:
    given = job("train", suspend=True)
    given["spec"]["template"]["spec"] |= {"tolerations": [{"key": "gpu", "operator": "Exists"}]}
    given["spec"]["template"]["spec"]["containers"][0]["env"] = [
        {"name": "A", "value": "1"},
        {"name": "B", "value": "2"},
    ]
    created = batch.create_namespaced_job("default", given)
    condition = {"type": "Suspended", "status": "True"}
    patch(api, f"{JOBS}/train/status", "strategic", {"status": {"conditions": [condition]}})
    changed = patch(
        api,
        f"{JOBS}/train/status",
        "strategic",
        {"status": {"conditions": [{"type": "Other", "status": "False"}]}},
    )
    assert [one["type"] for one in changed["status"]["conditions"]] == ["Suspended", "Other"]
    changed = patch(
        api,
        f"{JOBS}/train/status",
        "strategic",
        {
            "status": {
                "conditions": [{"$patch": "delete", "type": "Suspended"}, {"type": "Other", "status": "True"}]
            }
        },
    )
    assert changed["status"]["conditions"] == [{"type": "Other", "status": "True"}]
    metadata = {"$patch": "replace", "name": "train", "namespace": "default", "uid": created.metadata.uid}
    assert "labels" not in patch(api, f"{JOBS}/train", "strategic", {"metadata": metadata})["metadata"]


def test_strategic_patch_of_a_pods_containers_touches_the_one_it_names(
    api: KubernetesApi, core: client.CoreV1Api
) -> None:
    two = [{"name": "main", "image": "a:1"}, {"name": "side", "image": "b:1"}]
    core.create_namespaced_pod("default", pod("p", containers=two))
    body = {
        "spec": {
            "containers": [{"name": "side", "image": "b:2"}],
            "$setElementOrder/containers": [{"name": "main"}, {"name": "side"}],
        }
    }
    changed = patch(api, "/api/v1/namespaces/default/pods/p", "strategic", body)
    assert [(c["name"], c["image"]) for c in changed["spec"]["containers"]] == [
        ("main", "a:1"),
        ("side", "b:2"),
    ]


def test_custom_resources_have_no_strategic_patch(
    api: KubernetesApi, custom: client.CustomObjectsApi
) -> None:
    place = ("jobset.x-k8s.io", "v1alpha2", "default", "jobsets")
    custom.create_namespaced_custom_object(*place, jobset("set"))
    path = "/apis/jobset.x-k8s.io/v1alpha2/namespaces/default/jobsets/set"
    assert refusal(patch, api, path, "strategic", {"spec": {"suspend": True}})[:2] == (
        415,
        "UnsupportedMediaType",
    )
    assert patch(api, path, "merge", {"spec": {"suspend": True}})["spec"]["suspend"] is True


def test_apply_makes_and_then_changes_what_it_names(api: KubernetesApi) -> None:
    made = apply(api, MAPS, config_map("c", a="1", b="2"), "lab")
    assert managed(made) == {"lab": {"f:data": {"f:a": {}, "f:b": {}}}}
    changed = apply(api, MAPS, config_map("c", a="3"), "lab")
    assert changed["data"] == {"a": "3"}
    again = apply(api, MAPS, config_map("c", a="3"), "lab")
    assert again["metadata"]["resourceVersion"] == changed["metadata"]["resourceVersion"]


def test_field_of_another_manager_is_a_conflict_unless_forced(api: KubernetesApi) -> None:
    apply(api, MAPS, config_map("c", a="1", b="2"), "one")
    with pytest.raises(client.ApiException) as refused:
        apply(api, MAPS, config_map("c", a="9"), "two")
    body = json.loads(refused.value.body)
    assert (body["code"], body["reason"]) == (409, "Conflict")
    assert body["message"] == 'Apply failed with 1 conflict: conflict with "one": .data.a'
    assert body["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".data.a"}
    ]
    taken = apply(api, MAPS, config_map("c", a="9"), "two", force="true")
    assert managed(taken) == {"one": {"f:data": {"f:b": {}}}, "two": {"f:data": {"f:a": {}}}}
    left = apply(api, MAPS, config_map("c"), "two")
    assert left["data"] == {"b": "2"}


def test_same_value_is_owned_by_both_and_goes_with_the_last(api: KubernetesApi) -> None:
    apply(api, MAPS, config_map("c", a="1"), "one")
    apply(api, MAPS, config_map("c", a="1"), "two")
    assert apply(api, MAPS, config_map("c"), "one")["data"] == {"a": "1"}
    assert (
        "data" not in apply(api, MAPS, config_map("c"), "two")
        or not apply(api, MAPS, config_map("c"), "two")["data"]
    )


def test_who_updates_a_field_manages_it(api: KubernetesApi, core: client.CoreV1Api) -> None:
    apply(api, MAPS, config_map("c", a="1", b="2"), "lab")
    core.patch_namespaced_config_map("c", "default", {"data": {"a": "5"}}, field_manager="hand")
    read = api.get("configmaps", "c", "default")
    assert managed(read) == {"lab": {"f:data": {"f:b": {}}}, "hand": {"f:data": {"f:a": {}}}}
    with pytest.raises(client.ApiException) as refused:
        apply(api, MAPS, config_map("c", a="1", b="2"), "lab")
    assert 'conflict with "hand" using v1: .data.a' in json.loads(refused.value.body)["message"]


def test_item_of_a_keyed_list_is_owned_by_who_applied_it(api: KubernetesApi) -> None:
    def with_env(*names: str) -> dict[str, Any]:
        container = {
            "name": "main",
            "image": "lab:1",
            "env": [{"name": name, "value": "1"} for name in names],
        }
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web"},
            "spec": {
                "selector": {"matchLabels": {"a": "b"}},
                "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}},
            },
        }

    path = "/apis/apps/v1/namespaces/default/deployments"
    apply(api, path, with_env("A", "B"), "one")
    both = apply(api, path, with_env("C"), "two")
    names = [one["name"] for one in both["spec"]["template"]["spec"]["containers"][0]["env"]]
    assert names == ["A", "B", "C"]
    left = apply(api, path, with_env("B"), "one")
    assert [one["name"] for one in left["spec"]["template"]["spec"]["containers"][0]["env"]] == ["B", "C"]
    assert left["metadata"]["generation"] == 3


def test_apply_needs_a_manager_and_a_valid_object(api: KubernetesApi) -> None:
    told = refusal(patch, api, f"{MAPS}/c", "apply", config_map("c", a="1"))
    assert told[:2] == (422, "Invalid")
    assert "fieldManager: Required value: is required for apply patch" in told[2]
    assert refusal(apply, api, JOBS, job("train", parallelism=-1), "lab")[:2] == (422, "Invalid")
    assert refusal(apply, api, JOBS, job("train", imagined=-1), "lab")[:2] == (400, "BadRequest")
