"""What JobSet's webhook and definition refuse, and what of a JobSet may change."""

from copy import deepcopy
from typing import Any

import pytest
from kubernetes import client

from builders.kube.clients import causes
from builders.kube.samples import jobset

JOBSETS = ("jobset.x-k8s.io", "v1alpha2", "default", "jobsets")


def test_update_of_a_custom_resource_needs_its_version(custom: client.CustomObjectsApi) -> None:
    made = custom.create_namespaced_custom_object(*JOBSETS, jobset("set"))
    del made["metadata"]["resourceVersion"]
    found = causes(custom.replace_namespaced_custom_object, *JOBSETS, "set", made)
    assert found == [("FieldValueInvalid", "metadata.resourceVersion")]


def test_custom_resource_of_a_wrong_type_names_what_it_must_be(custom: client.CustomObjectsApi) -> None:
    given = jobset("set")
    given["spec"]["replicatedJobs"][0]["replicas"] = "two"
    found = causes(custom.create_namespaced_custom_object, *JOBSETS, given)
    assert found[0][0] == "FieldValueTypeInvalid"


def broken_jobset(**more: Any) -> dict[str, Any]:
    return jobset("set", **more)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (
            broken_jobset(successPolicy={"operator": "All", "targetReplicatedJobs": ["lost"]}),
            "spec.successPolicy.targetReplicatedJobs[0]",
        ),
        (
            broken_jobset(failurePolicy={"maxRestarts": 1, "restartStrategy": "Never"}),
            "spec.failurePolicy.restartStrategy",
        ),
        (
            broken_jobset(failurePolicy={"maxRestarts": 1, "rules": [{"name": "a", "action": "Retry"}]}),
            "spec.failurePolicy.rules[0].action",
        ),
        (jobset("s" * 60), "spec.replicatedJobs[0].name"),
    ],
)
def test_invalid_jobset_is_refused_at_the_field(
    custom: client.CustomObjectsApi, given: dict[str, Any], field: str
) -> None:
    assert field in [f for _, f in causes(custom.create_namespaced_custom_object, *JOBSETS, given)]


def test_replicated_jobs_are_fixed(custom: client.CustomObjectsApi) -> None:
    made = custom.create_namespaced_custom_object(*JOBSETS, jobset("set"))
    changed = deepcopy(made)
    changed["spec"]["replicatedJobs"][0]["replicas"] = 3
    found = causes(custom.replace_namespaced_custom_object, *JOBSETS, "set", changed)
    assert found == [("FieldValueInvalid", "spec.replicatedJobs")]
    made["spec"]["suspend"] = True
    assert custom.replace_namespaced_custom_object(*JOBSETS, "set", made)["metadata"]["generation"] == 2
