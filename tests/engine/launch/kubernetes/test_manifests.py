"""What an order becomes is what Kubernetes takes, with everything in it that was asked for."""

import itertools
import re
from typing import Any

import pytest
import yaml

from builders.manifests import refused
from builders.orders import order
from mashbill.errors import ConfigError
from mashbill.launch.backend import Order
from mashbill.launch.kubernetes.manifests import job, jobset, service
from mashbill.launch.kubernetes.patches import trainjob

MAKERS = {"job": job, "jobset": jobset, "trainjob": trainjob}
EVERYTHING: dict[str, Any] = {
    "nodes": 2,
    "gpus": 8,
    "cpus": "64",
    "memory": "512Gi",
    "processes": 4,
    "time_limit_seconds": 86_401,
    "max_restarts": 5,
    "environment": {"NCCL_DEBUG": "INFO", "NCCL_IB_HCA": "mlx5"},
    "kubernetes": {
        "service_account": "trainer",
        "pull_secrets": ["registry"],
        "environment_from": ["s3", "wandb"],
        "volumes": [{"claim": "checkpoints", "path": "/checkpoints"}],
        "shared_memory": "64Gi",
        "scratch": "2Ti",
        "resources": {"rdma/ib": "8"},
        "node_selector": {"gpu": "h100"},
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "Exists"}]}]
                }
            }
        },
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "topology": "cloud.example/rack",
        "grace_seconds": 600,
        "ttl_seconds": 3_600,
    },
}


def manifest(backend: str, **takes: Any) -> dict[str, Any]:
    made: dict[str, Any] = MAKERS[backend](order(backend, **takes))
    return made


def pods(document: dict[str, Any]) -> dict[str, Any]:
    """The pod template of a Job or a JobSet, or the patch of a TrainJob's."""
    spec = document["spec"]
    if document["kind"] == "JobSet":
        spec = spec["replicatedJobs"][0]["template"]["spec"]
    if document["kind"] == "TrainJob":
        spec = spec["runtimePatches"][0]["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"][0]
        spec = spec["template"]["spec"]
    template: dict[str, Any] = spec["template"]
    return template


def environment(document: dict[str, Any]) -> dict[str, Any]:
    container = (
        document["spec"]["trainer"]
        if document["kind"] == "TrainJob"
        else pods(document)["spec"]["containers"][0]
    )
    return {v["name"]: v.get("value", v.get("valueFrom")) for v in container["env"]}


@pytest.mark.parametrize("backend", MAKERS)
@pytest.mark.parametrize("takes", [{}, EVERYTHING, EVERYTHING | {"queue": "research"}], ids=len)
def test_kubernetes_takes_the_manifest_and_drops_nothing(backend: str, takes: dict[str, Any]) -> None:
    assert refused(manifest(backend, **takes)) == ""


def test_kubernetes_takes_the_service_and_its_owner_is_the_job() -> None:
    made = service(order(nodes=2), "uid-1")
    assert refused(made) == ""
    assert made["metadata"]["ownerReferences"][0]["uid"] == "uid-1"
    assert made["spec"]["publishNotReadyAddresses"]
    template = pods(manifest("job", nodes=2))
    assert made["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    assert template["spec"]["subdomain"] == made["metadata"]["name"]


@pytest.mark.parametrize(
    "backend, meets_at",
    [
        ("job", "train-1b-0-0.train-1b-0:29400"),
        ("jobset", "train-1b-0-node-0-0.train-1b-0:29400"),
        ("trainjob", "train-1b-0-node-0-0.train-1b-0:29400"),
    ],
)
def test_nodes_learn_which_they_are_and_where_they_meet(backend: str, meets_at: str) -> None:
    variables = environment(manifest(backend, nodes=3))
    assert variables["MASHBILL_NODES"] == "3"
    assert variables["MASHBILL_RENDEZVOUS"] == meets_at
    path = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    assert variables["MASHBILL_NODE"] == {"fieldRef": {"fieldPath": path}}


def test_one_node_meets_nobody() -> None:
    assert "MASHBILL_RENDEZVOUS" not in environment(manifest("job"))


@pytest.mark.parametrize("backend", ["job", "jobset"])
def test_what_a_job_takes_is_in_it_and_in_its_template(backend: str) -> None:
    made = manifest(
        backend, **EVERYTHING | {"kubernetes": EVERYTHING["kubernetes"] | {"priority_class": "high"}}
    )
    assert made["spec"]["ttlSecondsAfterFinished"] == 3_600
    jobs = made["spec"] if backend == "job" else made["spec"]["replicatedJobs"][0]["template"]["spec"]
    assert jobs["activeDeadlineSeconds"] == 86_401
    template = pods(made)
    spec = template["spec"]
    container = spec["containers"][0]
    assert container["resources"] == {
        "requests": {"nvidia.com/gpu": "8", "memory": "512Gi", "rdma/ib": "8", "cpu": "64"},
        "limits": {"nvidia.com/gpu": "8", "memory": "512Gi", "rdma/ib": "8"},
    }
    volumes = {v["name"]: v for v in spec["volumes"]}
    mounts = {m["mountPath"]: volumes[m["name"]] for m in container["volumeMounts"]}
    assert mounts["/dev/shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "64Gi"}
    assert mounts["/scratch"]["emptyDir"] == {"sizeLimit": "2Ti"}
    assert mounts["/checkpoints"]["persistentVolumeClaim"] == {"claimName": "checkpoints"}
    assert [s["secretRef"]["name"] for s in container["envFrom"]] == ["s3", "wandb"]
    assert environment(made).items() >= EVERYTHING["environment"].items()
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["priorityClassName"] == "high"
    assert spec["serviceAccountName"] == "trainer"
    assert spec["automountServiceAccountToken"] is False
    assert spec["terminationGracePeriodSeconds"] == 600
    assert spec["nodeSelector"] == {"gpu": "h100"}
    assert spec["tolerations"] == EVERYTHING["kubernetes"]["tolerations"]
    near = spec["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert near[0]["topologyKey"] == "cloud.example/rack"
    assert near[0]["labelSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert "nodeAffinity" in spec["affinity"]


def test_a_trainjob_carries_of_its_pods_what_a_jobset_does() -> None:
    made, other = manifest("trainjob", **EVERYTHING), manifest("jobset", **EVERYTHING)
    assert made["spec"]["activeDeadlineSeconds"] == 86_401
    theirs, ours = pods(other)["spec"], pods(made)["spec"]
    of_the_runtime = {"restartPolicy", "automountServiceAccountToken", "enableServiceLinks", "containers"}
    assert ours.keys() - {"containers"} == theirs.keys() - of_the_runtime
    assert all(ours[name] == theirs[name] for name in ours.keys() - {"containers"})
    container, patch, trainer = theirs["containers"][0], ours["containers"][0], made["spec"]["trainer"]
    assert all(patch[name] == container[name] for name in ("securityContext", "volumeMounts"))
    assert trainer["resourcesPerNode"] == container["resources"]
    assert trainer["env"][: len(container["env"])] == container["env"]
    assert (trainer["numNodes"], trainer["numProcPerNode"], trainer["image"]) == (2, 4, container["image"])


@pytest.mark.parametrize("backend", MAKERS)
def test_a_queued_job_is_born_suspended_and_kueue_sees_to_its_place(backend: str) -> None:
    made = manifest(backend, **EVERYTHING, queue="research")
    assert made["spec"]["suspend"] is True
    assert made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "research"
    annotations = pods(made)["metadata"]["annotations"]
    assert annotations["kueue.x-k8s.io/podset-required-topology"] == "cloud.example/rack"
    assert "podAffinity" not in pods(made)["spec"].get("affinity", {})
    assert "suspend" not in manifest(backend)["spec"]


@pytest.mark.parametrize("backend", MAKERS)
def test_pods_are_restricted_and_can_write_where_they_must(backend: str) -> None:
    spec = pods(manifest(backend))["spec"]
    container = spec["containers"][0]
    assert spec["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
    }
    assert {m["mountPath"] for m in container["volumeMounts"]} == {"/scratch", "/tmp", "/dev/shm"}


def actions(made: dict[str, Any]) -> dict[str, str]:
    """What a Job's pod failure policy does with an end, by the end."""
    found = {}
    for rule in made["podFailurePolicy"]["rules"]:
        if "onExitCodes" in rule:
            found |= {str(code): rule["action"] for code in rule["onExitCodes"]["values"]}
        else:
            found |= {pattern["type"]: rule["action"] for pattern in rule["onPodConditions"]}
    return found


def test_a_node_that_was_disrupted_or_goes_on_later_counts_nothing() -> None:
    spec = manifest("job", max_restarts=4)["spec"]
    assert actions(spec) == {"DisruptionTarget": "Ignore", "75": "Ignore", "2": "FailJob"}
    assert spec["backoffLimit"] == 4
    assert spec["podReplacementPolicy"] == "Failed"  # two pods of one node would write over one another
    several = manifest("job", nodes=8, max_restarts=4)["spec"]
    assert (several["backoffLimitPerIndex"], several["maxFailedIndexes"]) == (4, 0)


OF_A_CONTAINER = (
    "Container mashbill for pod lab/x-node-0-1-abc failed with exit code {} matching FailJob rule"
)
MESSAGES = {
    "DisruptionTarget": "Pod lab/x-0-abc has condition DisruptionTarget matching FailJob rule at index 0",
    "75": OF_A_CONTAINER.format(75),
    "2": OF_A_CONTAINER.format(2),
}
"""As Kubernetes' Job controller words them."""


def action_on(policy: dict[str, Any], reason: str, message: str) -> str:
    """What JobSet's controller does with a failed Job: the first rule that matches reason and message."""
    for rule in policy["rules"]:
        patterns = rule.get("onJobFailureMessagePatterns", [""])
        if reason in rule["onJobFailureReasons"] and any(re.search(p, message) for p in patterns):
            return str(rule["action"])
    return "RestartJobSet"


def test_a_jobset_restarts_for_nothing_after_a_disruption_and_fails_on_a_wrong_setting() -> None:
    spec = manifest("jobset", max_restarts=4)["spec"]
    jobs = spec["replicatedJobs"][0]["template"]["spec"]
    assert jobs["backoffLimit"] == 0
    assert set(actions(jobs).values()) == {"FailJob"}
    policy = spec["failurePolicy"]
    assert policy["maxRestarts"] == 4
    assert policy["restartStrategy"] == "BlockingRecreate"  # no new node meets one of the last try
    assert spec["network"]["publishNotReadyAddresses"]  # nodes meet before they are ready
    done = {end: action_on(policy, "PodFailurePolicy", message) for end, message in MESSAGES.items()}
    for_nothing = "RestartJobSetAndIgnoreMaxRestarts"
    assert done == {"DisruptionTarget": for_nothing, "75": for_nothing, "2": "FailJobSet"}
    assert action_on(policy, "BackoffLimitExceeded", "Job has reached the specified backoff limit") == (
        "RestartJobSet"
    )
    assert action_on(policy, "DeadlineExceeded", "Job was active longer than specified deadline") == (
        "FailJobSet"
    )


@pytest.mark.parametrize("backend", MAKERS)
def test_nothing_of_a_command_is_taken_for_a_variable(backend: str) -> None:
    given = order(
        backend, command=("sh", "-c", "echo $(HOME) $$ $PATH"), environment={"A": "$(B)", "C": "$D"}
    )
    made: dict[str, Any] = MAKERS[backend](given)
    trainer = made["spec"].get("trainer")
    words = (
        trainer["command"] + trainer["args"] if trainer else pods(made)["spec"]["containers"][0]["command"]
    )
    assert words == ["sh", "-c", "echo $$(HOME) $$$$ $$PATH"]
    assert environment(made)["A"] == "$$(B)"
    assert environment(made)["C"] == "$D"


@pytest.mark.parametrize("backend", MAKERS)
@pytest.mark.parametrize("nodes", [1, 10, 11])
def test_a_name_is_refused_exactly_where_a_pods_would_be_too_long(backend: str, nodes: int) -> None:
    middle = "" if backend == "job" else "-node-0"
    longest = 63 - len(f"{middle}-{nodes - 1}-abcde")
    MAKERS[backend](order(backend, name="a" * longest, nodes=nodes))
    with pytest.raises(ConfigError, match="1 characters too long"):
        MAKERS[backend](order(backend, name="a" * (longest + 1), nodes=nodes))


@pytest.mark.parametrize("name", ["Train", "1b", "a_b", "a-", "", "a.b", "é"])
def test_what_is_no_name_in_kubernetes_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="no name in Kubernetes"):
        job(order(name=name))


def test_labels_are_what_kubernetes_takes_and_annotations_what_was_given() -> None:
    given = order()
    odd = {"part": "laws/α=0.3, seed 7", "long": "x" * 80, "fine": "a.b_c-1"}
    made = job(Order(given.name, given.token, given.command, given.takes, labels=odd))
    assert refused(made) == ""
    found = made["metadata"]["labels"]
    assert found["mashbill.dev/fine"] == "a.b_c-1"
    assert all(len(value) <= 63 and value.isascii() for value in found.values())
    kept = made["metadata"]["annotations"]
    assert {name: kept[f"mashbill.dev/{name}"] for name in odd} == odd
    other = job(Order(given.name, given.token, given.command, given.takes, labels={"long": "x" * 81}))
    assert other["metadata"]["labels"]["mashbill.dev/long"] != found["mashbill.dev/long"]


def test_a_volume_of_ones_own_takes_scratchs_place() -> None:
    volumes = [{"claim": "fast", "path": "/scratch", "read_only": False}]
    made = manifest("job", kubernetes={"volumes": volumes})
    assert refused(made) == ""
    container = pods(made)["spec"]["containers"][0]
    mounted = [m["name"] for m in container["volumeMounts"] if m["mountPath"] == "/scratch"]
    assert mounted == ["claim-0"]
    assert "scratch" not in [v["name"] for v in pods(made)["spec"]["volumes"]]


@pytest.mark.parametrize("backend", MAKERS)
def test_a_volume_that_may_only_be_read_is_mounted_so(backend: str) -> None:
    volumes = [{"claim": "raw", "path": "/raw", "read_only": True}, {"claim": "lake", "path": "/lake"}]
    spec = pods(manifest(backend, kubernetes={"volumes": volumes}))["spec"]
    claims = {v["name"]: v["persistentVolumeClaim"] for v in spec["volumes"] if "emptyDir" not in v}
    mounts = {m["mountPath"]: m for m in spec["containers"][0]["volumeMounts"]}
    for path, claim, only in (("/raw", "raw", True), ("/lake", "lake", False)):
        assert claims[mounts[path]["name"]]["claimName"] == claim
        assert claims[mounts[path]["name"]].get("readOnly", False) is only
        assert mounts[path].get("readOnly", False) is only


def test_a_trainjob_that_cannot_carry_a_setting_says_which() -> None:
    with pytest.raises(ConfigError, match=r"kubernetes.priority_class: .*spec.priorityClassName"):
        manifest("trainjob", kubernetes={"priority_class": "high"})


def test_a_trainjobs_pods_see_the_known_keys_of_secrets() -> None:
    made = manifest("trainjob", kubernetes={"environment_from": ["s3", "tracker"]})
    variables = environment(made)
    wanted = {"name": "tracker", "key": "AWS_SECRET_ACCESS_KEY", "optional": True}
    assert variables["AWS_SECRET_ACCESS_KEY"] == {"secretKeyRef": wanted}
    assert len(made["spec"]["trainer"]["env"]) == len(variables)


def test_manifests_of_one_order_are_the_same_and_yaml() -> None:
    for backend, takes in itertools.product(MAKERS, ({}, EVERYTHING)):
        made = manifest(backend, **takes)
        assert made == manifest(backend, **takes)
        assert yaml.safe_load(yaml.safe_dump(made)) == made
