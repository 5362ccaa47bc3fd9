"""What the real server refuses, and in which words: answers known from it, one by one."""

import json
import ssl
import urllib.request
from typing import Any

import pytest
from kubernetes import client

from builders.kube import KubernetesApi
from builders.kube.clients import causes, client_of, refusal
from builders.kube.samples import job, pod, pod_spec


def test_stale_update_is_a_conflict(batch: client.BatchV1Api) -> None:
    made = batch.create_namespaced_job("default", job("train"))
    batch.patch_namespaced_job("train", "default", {"metadata": {"labels": {"a": "b"}}})
    made.metadata.labels = {"c": "d"}
    told = refusal(batch.replace_namespaced_job, "train", "default", made)
    words = (
        'Operation cannot be fulfilled on jobs.batch "train": the object has been modified; please apply '
        "your changes to the latest version and try again"
    )
    assert told == (409, "Conflict", words)


def test_another_objects_uid_is_a_conflict(core: client.CoreV1Api) -> None:
    core.create_namespaced_pod("default", pod("p"))
    options = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid="other"))
    code, reason, message = refusal(core.delete_namespaced_pod, "p", "default", body=options)
    assert (code, reason) == (409, "Conflict")
    assert "Precondition failed: UID in precondition: other, UID in object meta: " in message


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"template": {"spec": {"containers": [{"name": "main", "image": "lab:2"}]}}}, "spec.template"),
        ({"completions": 3}, "spec.completions"),
        ({"completionMode": "Indexed"}, "spec.completionMode"),
        (
            {
                "podFailurePolicy": {
                    "rules": [
                        {
                            "action": "Ignore",
                            "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                        }
                    ]
                }
            },
            "spec.podFailurePolicy",
        ),
    ],
)
def test_what_is_fixed_of_a_job_stays(batch: client.BatchV1Api, change: Any, field: str) -> None:
    batch.create_namespaced_job("default", job("train"))
    found = causes(batch.patch_namespaced_job, "train", "default", {"spec": change})
    assert ("FieldValueInvalid", field) in found


def test_scale_suspension_and_deadline_of_a_job_may_change(batch: client.BatchV1Api) -> None:
    batch.create_namespaced_job("default", job("train"))
    change = {"parallelism": 3, "suspend": True, "activeDeadlineSeconds": 60, "backoffLimit": 9}
    changed = batch.patch_namespaced_job("train", "default", {"spec": change})
    assert (changed.spec.parallelism, changed.metadata.generation) == (3, 2)


def test_suspended_job_may_be_placed_until_it_starts(batch: client.BatchV1Api) -> None:
    batch.create_namespaced_job("default", job("train", suspend=True))
    placed = {"spec": {"template": {"spec": {"nodeSelector": {"pool": "a"}}}}}
    batch.patch_namespaced_job("train", "default", placed)
    image = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "lab:2"}]}}}}
    found = causes(batch.patch_namespaced_job, "train", "default", image)
    assert found == [("FieldValueInvalid", "spec.template")]
    batch.patch_namespaced_job_status("train", "default", {"status": {"startTime": "2026-01-01T00:00:00Z"}})
    placed["spec"]["template"]["spec"]["nodeSelector"]["pool"] = "b"
    assert causes(batch.patch_namespaced_job, "train", "default", placed)


def broken(**spec: Any) -> dict[str, Any]:
    return job("train", **spec)


def with_pod(**spec: Any) -> dict[str, Any]:
    return job("train", template={"spec": pod_spec(**spec)})


ALWAYS = {"restartPolicy": "Always"}
TWICE = [{"name": "main", "image": "a"}, {"name": "main", "image": "b"}]
MOUNTED = [{"name": "main", "image": "a", "volumeMounts": [{"name": "lost", "mountPath": "/a"}]}]
GREEDY = [{"name": "main", "image": "a", "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}]
GPU = [{"name": "main", "image": "a", "resources": {"requests": {"nvidia.com/gpu": "1"}}}]
CODES = {"operator": "In", "values": [0]}


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        (broken(parallelism=-1), ("FieldValueInvalid", "spec.parallelism")),
        (broken(completionMode="Indexed", parallelism=2), ("FieldValueRequired", "spec.completions")),
        (broken(completionMode="Odd"), ("FieldValueNotSupported", "spec.completionMode")),
        (broken(template={}), ("FieldValueRequired", "spec.template.spec.containers")),
        ({**job("train"), "spec": {}}, ("FieldValueRequired", "spec.template")),
        (with_pod(**ALWAYS), ("FieldValueRequired", "spec.template.spec.restartPolicy")),
        (with_pod(containers=TWICE), ("FieldValueDuplicate", "spec.template.spec.containers[1].name")),
        (
            with_pod(containers=MOUNTED),
            ("FieldValueNotFound", "spec.template.spec.containers[0].volumeMounts[0].name"),
        ),
        (
            with_pod(containers=GREEDY),
            ("FieldValueInvalid", "spec.template.spec.containers[0].resources.requests"),
        ),
        (
            with_pod(containers=GPU),
            ("FieldValueRequired", "spec.template.spec.containers[0].resources.limits"),
        ),
        (with_pod(subdomain="A_b"), ("FieldValueInvalid", "spec.template.spec.subdomain")),
        (
            with_pod(tolerations=[{"key": "a", "operator": "Exists", "value": "b"}]),
            ("FieldValueInvalid", "spec.template.spec.tolerations[0].operator"),
        ),
        (
            broken(podFailurePolicy={"rules": [{"action": "Ignore", "onExitCodes": CODES}]}),
            ("FieldValueInvalid", "spec.podFailurePolicy.rules[0].onExitCodes.values[0]"),
        ),
        (
            broken(podFailurePolicy={"rules": [{"action": "Ignore"}]}),
            ("FieldValueInvalid", "spec.podFailurePolicy.rules[0]"),
        ),
        (broken(selector={"matchLabels": {"a": "b"}}), ("FieldValueInvalid", "spec.selector")),
    ],
)
def test_invalid_job_is_refused_at_the_field(
    batch: client.BatchV1Api, given: dict[str, Any], cause: tuple[str, str]
) -> None:
    assert cause in causes(batch.create_namespaced_job, "default", given)


def test_invalid_names_labels_and_owners_are_refused(
    core: client.CoreV1Api, batch: client.BatchV1Api
) -> None:
    assert causes(core.create_namespaced_pod, "default", pod("Upper")) == [
        ("FieldValueInvalid", "metadata.name")
    ]
    nameless = pod("")
    assert causes(core.create_namespaced_pod, "default", nameless) == [
        ("FieldValueRequired", "metadata.name")
    ]
    labelled = pod("p")
    labelled["metadata"]["labels"] = {"a": "not a label", "b": "x" * 64}
    assert [f for _, f in causes(core.create_namespaced_pod, "default", labelled)] == ["metadata.labels"] * 2
    owned = pod("p")
    owned["metadata"]["ownerReferences"] = [{"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": ""}]
    assert causes(core.create_namespaced_pod, "default", owned)[0][1] == "metadata.ownerReferences[0].uid"
    assert "must be no more than 63 bytes" in refusal(core.create_namespaced_pod, "default", labelled)[2]
    found = causes(batch.create_namespaced_job, "default", job("a" * 64))
    assert ("FieldValueInvalid", "spec.template.labels") in found


def test_wrong_type_is_no_object_of_its_kind(batch: client.BatchV1Api) -> None:
    code, reason, message = refusal(batch.create_namespaced_job, "default", broken(parallelism="two"))
    assert (code, reason) == (400, "BadRequest")
    assert message.startswith('Job in version "v1" cannot be handled as a Job: json: cannot unmarshal string')
    code, _, message = refusal(batch.create_namespaced_job, "default", {**job("a"), "kind": "CronJob"})
    assert code == 400
    quantity = [{"name": "main", "image": "a", "resources": {"limits": {"memory": "64 GB"}}}]
    code, _, message = refusal(batch.create_namespaced_job, "default", with_pod(containers=quantity))
    assert code == 400
    assert "quantities must match the regular expression" in message


def test_pods_change_in_few_fields_only(core: client.CoreV1Api) -> None:
    core.create_namespaced_pod("default", pod("p"))
    core.patch_namespaced_pod("p", "default", {"spec": {"containers": [{"name": "main", "image": "lab:2"}]}})
    code, _, message = refusal(core.patch_namespaced_pod, "p", "default", {"spec": {"nodeName": "n"}})
    assert code == 422
    assert message.startswith(
        'Pod "p" is invalid: spec: Forbidden: pod updates may not change fields other than'
    )


def test_pod_of_no_account_or_priority_is_forbidden(core: client.CoreV1Api) -> None:
    told = refusal(core.create_namespaced_pod, "default", pod("p", serviceAccountName="lost"))
    words = (
        'pods "p" is forbidden: error looking up service account default/lost: '
        'serviceaccount "lost" not found'
    )
    assert told == (403, "Forbidden", words)
    told = refusal(core.create_namespaced_pod, "default", pod("p", priorityClassName="lost"))
    assert told == (403, "Forbidden", 'pods "p" is forbidden: no PriorityClass with name lost was found')


def test_ended_job_says_so_in_the_order_that_the_server_wants(batch: client.BatchV1Api) -> None:
    batch.create_namespaced_job("default", job("train"))
    complete = {"type": "Complete", "status": "True"}
    met = {"type": "SuccessCriteriaMet", "status": "True"}
    moment = {"completionTime": "2026-01-01T00:00:00Z", "startTime": "2026-01-01T00:00:00Z"}
    patch = batch.patch_namespaced_job_status
    assert causes(patch, "train", "default", {"status": {"conditions": [complete], **moment}})
    assert causes(patch, "train", "default", {"status": {"conditions": [complete, met]}})
    patch("train", "default", {"status": {"conditions": [complete, met], **moment, "succeeded": 1}})
    assert causes(patch, "train", "default", {"status": {"succeeded": 0}})


def test_every_answer_has_the_media_type_and_status_of_the_real_one(api: KubernetesApi) -> None:
    clients = client_of(api)
    for method, path, form, code in (
        ("POST", "/api/v1/namespaces/default/pods", "text/plain", 400),
        ("PATCH", "/api/v1/namespaces/default/pods/p", "application/json", 404),
        ("PATCH", "/api/v1/namespaces/default", "application/json", 415),
        ("DELETE", "/api/v1/nodes/n/log", "application/json", 404),
        ("PUT", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews/a", "application/json", 405),
        ("GET", "/apis/batch/v2/jobs", "", 404),
        ("GET", "/apis/unknown.example/v1/things", "", 404),
        ("GET", "/nowhere", "", 404),
    ):
        with pytest.raises(client.ApiException) as refused:
            clients.call_api(
                path, method, header_params={"Content-Type": form}, body="x", auth_settings=["BearerToken"]
            )
        assert (refused.value.status, path) == (code, path)
        assert json.loads(refused.value.body)["kind"] == "Status"


def test_token_of_nobody_is_unauthorized_and_none_is_anonymous(api: KubernetesApi) -> None:
    told = refusal(client.CoreV1Api(client_of(api, "made-up")).list_node)
    assert told == (401, "Unauthorized", "Unauthorized")
    request = urllib.request.Request(f"{api.url}/api/v1/nodes")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, context=ssl.create_default_context(cafile=api.certificate))
    message = json.loads(refused.value.read())["message"]
    words = 'User "system:anonymous" cannot list resource "nodes" in API group "" at the cluster scope'
    assert (refused.value.code, message) == (403, f"nodes is forbidden: {words}")
