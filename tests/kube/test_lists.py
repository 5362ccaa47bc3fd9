"""Lists: selectors, pages of one moment, versions that are gone or still to come."""

import json

import pytest
from kubernetes import client

from builders.kube import KubernetesApi
from builders.kube.clients import refusal
from builders.kube.samples import job, pod


def labelled(name: str, **labels: str) -> dict[str, object]:
    made = pod(name)
    made["metadata"]["labels"] = labels
    return made


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("stage=train", {"a", "b"}),
        ("stage==train,rank!=0", {"b"}),
        ("stage!=train", {"c", "d"}),
        ("rank in (0, 1)", {"a", "b"}),
        ("rank notin (0)", {"b", "c", "d"}),
        ("rank", {"a", "b"}),
        ("!rank", {"c", "d"}),
        ("stage in (train,score),rank notin (1)", {"a", "c"}),
        ("rank>0", {"b"}),
        ("", {"a", "b", "c", "d"}),
    ],
)
def test_labels_select(core: client.CoreV1Api, selector: str, found: set[str]) -> None:
    for name, labels in {
        "a": {"stage": "train", "rank": "0"},
        "b": {"stage": "train", "rank": "1"},
        "c": {"stage": "score"},
        "d": {},
    }.items():
        core.create_namespaced_pod("default", labelled(name, **labels))
    items = core.list_namespaced_pod("default", label_selector=selector).items
    assert {item.metadata.name for item in items} == found


def test_fields_select_and_others_are_refused(core: client.CoreV1Api, batch: client.BatchV1Api) -> None:
    core.create_namespace({"metadata": {"name": "lab"}})
    core.create_namespaced_pod("default", pod("a"))
    core.create_namespaced_pod("lab", pod("b"))
    core.patch_namespaced_pod_status("b", "lab", {"status": {"phase": "Running"}})

    def found(selector: str) -> set[str]:
        return {
            item.metadata.name for item in core.list_pod_for_all_namespaces(field_selector=selector).items
        }

    assert found("status.phase=Running") == {"b"}
    assert found("status.phase!=Running") == {"a"}
    assert found("metadata.namespace=lab,metadata.name=b") == {"b"}
    assert found("spec.nodeName=") == {"a", "b"}
    code, reason, message = refusal(core.list_namespaced_pod, "default", field_selector="spec.image=a")
    assert (code, reason) == (400, "BadRequest")
    assert message.endswith("field label not supported: spec.image")
    assert refusal(batch.list_namespaced_job, "default", label_selector="a in b")[0] == 400


def test_pages_are_of_one_moment(core: client.CoreV1Api) -> None:
    for number in range(7):
        core.create_namespaced_pod("default", pod(f"p{number}"))
    first = core.list_namespaced_pod("default", limit=3)
    assert first.metadata.remaining_item_count == 4
    core.delete_namespaced_pod("p5", "default")
    core.create_namespaced_pod("default", pod("p9"))
    names, token = [item.metadata.name for item in first.items], first.metadata._continue
    while token:
        page = core.list_namespaced_pod("default", limit=3, _continue=token)
        assert page.metadata.resource_version == first.metadata.resource_version
        names, token = names + [item.metadata.name for item in page.items], page.metadata._continue
    assert names == [f"p{number}" for number in range(7)]


def test_page_whose_moment_is_forgotten_is_gone_and_says_how_to_go_on(
    api: KubernetesApi, core: client.CoreV1Api
) -> None:
    for number in range(4):
        core.create_namespaced_pod("default", pod(f"p{number}"))
    token = core.list_namespaced_pod("default", limit=2).metadata._continue
    api.compact()
    with pytest.raises(client.ApiException) as refused:
        core.list_namespaced_pod("default", limit=2, _continue=token)
    body = json.loads(refused.value.body)
    assert (body["code"], body["reason"]) == (410, "Expired")
    rest = core.list_namespaced_pod("default", _continue=body["metadata"]["continue"])
    assert [item.metadata.name for item in rest.items] == ["p2", "p3"]


def test_version_that_is_to_come_is_told_to_wait_for(core: client.CoreV1Api) -> None:
    with pytest.raises(client.ApiException) as refused:
        core.list_namespaced_pod("default", resource_version="999999")
    body = json.loads(refused.value.body)
    assert (body["code"], body["reason"]) == (504, "Timeout")
    assert body["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
    assert refusal(core.list_namespaced_pod, "default", resource_version="abc")[0] == 400


def test_exact_version_is_gone_once_something_has_changed(core: client.CoreV1Api) -> None:
    version = core.create_namespaced_pod("default", pod("a")).metadata.resource_version
    exact = {"resource_version": version, "resource_version_match": "Exact"}
    assert len(core.list_namespaced_pod("default", **exact).items) == 1
    core.create_namespaced_pod("default", pod("b"))
    assert refusal(core.list_namespaced_pod, "default", **exact)[:2] == (410, "Expired")
    exact["resource_version_match"] = "NotOlderThan"
    assert len(core.list_namespaced_pod("default", **exact).items) == 2
    assert refusal(core.list_namespaced_pod, "default", resource_version_match="Exact")[0] == 400


def test_generated_names_differ_and_begin_alike(batch: client.BatchV1Api) -> None:
    given = job("")
    given["metadata"] = {"generateName": "train-"}
    names = {batch.create_namespaced_job("default", given).metadata.name for _ in range(20)}
    assert len(names) == 20
    assert {(name[:6], len(name)) for name in names} == {("train-", 11)}


def test_versions_grow_with_every_change_of_the_cluster(
    core: client.CoreV1Api, batch: client.BatchV1Api
) -> None:
    one = core.create_namespaced_pod("default", pod("p"))
    two = batch.create_namespaced_job("default", job("j"))
    listed = core.list_namespaced_pod("default")
    versions = [int(one.metadata.resource_version), int(two.metadata.resource_version)]
    assert versions == sorted(set(versions))
    assert int(listed.metadata.resource_version) >= versions[1]


def test_change_that_changes_nothing_has_no_version_of_its_own(batch: client.BatchV1Api) -> None:
    made = batch.create_namespaced_job("default", job("j"))
    again = batch.patch_namespaced_job("j", "default", {"spec": {"suspend": False}})
    assert again.metadata.resource_version == made.metadata.resource_version
    assert again.metadata.generation == 1
