"""How a job is said to be, from objects as clusters have them."""

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from builders.orders import order
from builders.pods import STARTED, ended, pod_of, running, unplaced, waiting
from mashbill.launch.backend import JobState
from mashbill.launch.kubernetes.kinds import JOB, JOBSET, TRAINJOB, Kind
from mashbill.launch.kubernetes.manifests import job, jobset
from mashbill.launch.kubernetes.patches import trainjob
from mashbill.launch.kubernetes.states import Seen, state_of

NOW = datetime(2026, 11, 28, 10, 10, tzinfo=UTC)
KINDS = {"job": JOB, "jobset": JOBSET, "trainjob": TRAINJOB}
MAKERS: dict[str, Any] = {"job": job, "jobset": jobset, "trainjob": trainjob}


def made(backend: str = "job", status: dict[str, Any] | None = None, **takes: Any) -> dict[str, Any]:
    """A job's object as a cluster has it."""
    document: dict[str, Any] = MAKERS[backend](order(backend, **takes))
    document["metadata"] |= {"uid": "uid-1", "resourceVersion": "7", "creationTimestamp": STARTED}
    document["metadata"]["namespace"] = "default"
    return document | {"status": status or {}}


def held(kind: str, reason: str = "", message: str = "") -> dict[str, Any]:
    """A status with one condition that holds."""
    told = {
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": STARTED,
    }
    return {"conditions": [told]}


def state(document: dict[str, Any], *pods: dict[str, Any], log: str = "", **more: Any) -> JobState:
    kind: Kind = next(kind for kind in KINDS.values() if kind.name == document["kind"])
    return state_of(Seen(kind, document, pods, more.pop("now", NOW), **more), log)


FAILED = held("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")


@pytest.mark.parametrize(
    "backend, condition", [("job", "Complete"), ("jobset", "Completed"), ("trainjob", "Complete")]
)
def test_a_job_that_is_done_has_succeeded(backend: str, condition: str) -> None:
    assert state(made(backend, held(condition))).phase == "succeeded"


def test_a_job_that_is_about_to_be_done_has_not_ended() -> None:
    document = made()
    for interim in ("SuccessCriteriaMet", "FailureTarget"):
        document["status"] = held(interim)
        assert not state(document, pod_of(document, status=running())).ended


@pytest.mark.parametrize("backend", KINDS)
def test_a_job_in_kueues_queue_for_days_is_queued(backend: str) -> None:
    document = made(backend, queue="research")
    said = (
        "couldn't assign flavors to pod set main: insufficient unused quota for nvidia.com/gpu, 8 more needed"
    )
    conditions = [{"type": "QuotaReserved", "status": "False", "reason": "Pending", "message": said}]
    workload = {"status": {"conditions": conditions}}
    told = state(document, workload=workload, now=NOW + timedelta(days=9))
    assert told.phase == "queued"
    assert told.message == f"waits in queue research for 9 days: {said}"
    document["metadata"]["creationTimestamp"] = "2026-11-01T10:00:00Z"
    document["status"] = held("Suspended")  # it ran before, and was taken back
    assert state(document).message == "waits in queue research for 10 min"


def test_a_job_that_kueue_took_back_is_queued_whatever_its_pods_did() -> None:
    document = made(queue="research", nodes=2, status=held("Suspended"))
    assert (
        state(document, pod_of(document, status=ended(137)), pod_of(document, 1, ended(75))).phase == "queued"
    )


def test_pods_that_no_node_takes_are_waited_for_and_it_is_said_how_long() -> None:
    document = made(gpus=8)
    said = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    told = state(document, pod_of(document, status=unplaced(said)))
    assert (told.phase, told.message) == ("queued", f"node 0 has no machine for 10 min: {said}")


def test_a_quota_that_is_used_up_is_waited_for() -> None:
    said = 'pods "train-1b-0-0-" is forbidden: exceeded quota: team, requested: requests.nvidia.com/gpu=8'
    told = state(made(), events=[warning("FailedCreate", said)])
    assert told.phase == "queued"
    assert "exceeded quota: team" in told.message


def warning(reason: str, message: str, about: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "type": "Warning",
        "reason": reason,
        "message": message,
        "involvedObject": about or {"name": "train-1b-0"},
    }


@pytest.mark.parametrize(
    "message",
    [
        'pods "x-" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false',
        'pods "x-" is forbidden: looking up service account lab/trainer: serviceaccount "trainer" not found',
    ],
)
def test_pods_that_can_never_be_made_are_not_waited_for(message: str) -> None:
    told = state(made(), events=[warning("FailedCreate", message)])
    assert told.phase == "failed"
    assert message in told.message


@pytest.mark.parametrize(
    "reason, message, why",
    [
        (
            "ErrImagePull",
            'rpc error: code = NotFound desc = failed to pull and unpack image "x": not found',
            "not found",
        ),
        (
            "ErrImagePull",
            "pull access denied, repository does not exist or may require authorization",
            "pull access denied, repository does not exist or may require authorization",
        ),
        (
            "ErrImagePull",
            'failed to resolve reference "x": failed to authorize: 401 Unauthorized',
            "failed to authorize: 401 Unauthorized",
        ),
        (
            "InvalidImageName",
            "couldn't parse image name: invalid reference format",
            "couldn't parse image name: invalid reference format",
        ),
        (
            "ImagePullBackOff",
            'Back-off pulling image "x": ErrImagePull: failed to pull and unpack image "x": '
            'failed to resolve reference "x": registry.example/mashbill:0.2: manifest unknown',
            "manifest unknown",
        ),
        (
            "ErrImageNeverPull",
            "Container image is not present with pull policy of Never",
            "Container image is not present with pull policy of Never",
        ),
        ("ErrImageNeverPull", "", "ErrImageNeverPull"),
    ],
)
def test_an_image_that_is_not_there_ends_the_wait_at_once(reason: str, message: str, why: str) -> None:
    document = made()
    since = (NOW - timedelta(seconds=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    told = state(document, pod_of(document, status=waiting(reason, message, since=since)))
    assert told.phase == "failed"
    assert told.message == (
        f"node 0, train-1b-0-0-axyz0 on gpu-0: image can't be pulled: registry.example/mashbill:0.2: {why}"
    )
    assert told.failure is not None
    assert told.failure.setting == "image"


@pytest.mark.parametrize(
    "reason, message",
    [
        ("ErrImagePull", "dial tcp: lookup registry.example: i/o timeout"),
        ("CreateContainerConfigError", 'secret "s3" not found'),
    ],
)
def test_what_may_mend_itself_is_waited_for_a_minute(reason: str, message: str) -> None:
    document = made()
    pod = pod_of(document, status=waiting(reason, message))
    start = datetime.fromisoformat(STARTED)
    soon = state(document, pod, now=start + timedelta(seconds=59))
    assert soon.phase == "starting"
    assert message in soon.message
    late = state(document, pod, now=start + timedelta(seconds=61))
    assert late.phase == "failed"
    assert message in late.message
    assert late.failure is not None
    assert not late.failure.setting


@pytest.mark.parametrize("backend", KINDS)
def test_a_job_runs_when_all_of_its_nodes_do(backend: str) -> None:
    document, pods = made(backend, nodes=2), made(nodes=2)
    first = pod_of(pods, 0, running())
    creating = pod_of(pods, 1, waiting("ContainerCreating"))
    assert state(document, first).phase == "starting"
    assert state(document, first, creating).phase == "starting"
    assert "1 of 2 nodes run" in state(document, first, creating).message
    assert state(document, first, pod_of(pods, 1, running())).phase == "running"
    assert state(document, first, pod_of(pods, 1, ended(0))).phase == "running"
    leaving = pod_of(pods, 1, running())
    leaving["metadata"]["deletionTimestamp"] = STARTED
    assert state(document, first, leaving).phase == "starting"


@pytest.mark.parametrize("backend", ["job", "jobset"])
def test_a_node_that_has_saved_and_waits_to_be_replaced_is_paused(backend: str) -> None:
    document = made(backend)
    told = state(document, pod_of(document, status=ended(75)))
    assert told.phase == "paused"
    assert "was asked to end, and has saved" in told.message
    again = pod_of(document, status=running(), attempt=1)
    assert state(document, pod_of(document, status=ended(75)), again).phase == "running"


def test_a_disrupted_node_is_no_failure() -> None:
    document = made()
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "PreemptionByScheduler",
        "message": "by x",
    }
    pod = pod_of(document, status=ended(137, conditions=[condition]))
    told = state(document, pod)
    assert told.phase == "paused"
    assert "disrupted: PreemptionByScheduler: by x" in told.message


EVICTED = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}
SHUT_DOWN = {
    "phase": "Failed",
    "reason": "Terminated",
    "message": "Pod was terminated in response to node shutdown",
}


@pytest.mark.parametrize(
    "status, log, why",
    [
        (ended(137, "OOMKilled"), "", "OOMKilled (limit 64Gi)"),
        (ended(137), "", "exit code 137: killed"),
        (ended(1), "", "exit code 1"),
        (ended(2), "", "exit code 2: a setting or the data is wrong"),
        (ended(139), "", "exit code 139: segmentation fault"),
        (ended(128, "StartError", message='exec: "mashbil": not found'), "", "the command can't be started"),
        (EVICTED, "", "evicted: The node was low on resource: memory."),
        (SHUT_DOWN, "", "Terminated: Pod was terminated in response to node shutdown"),
        (
            ended(1),
            "[Rank 3] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=42)",
            "NCCL time-out",
        ),
        (ended(1), "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate", "GPU out of memory"),
        (ended(1), "OSError: [Errno 28] No space left on device", "disk full"),
        (ended(1), "ncclSystemError: System call (e.g. socket, malloc) failed", "NCCL error"),
    ],
)
def test_a_failure_says_which_pod_node_and_rank_and_why(status: dict[str, Any], log: str, why: str) -> None:
    document = made(status=FAILED, nodes=4, memory="64Gi")
    told = state(
        document, *(pod_of(document, i, ended(0)) for i in range(3)), pod_of(document, 3, status), log=log
    )
    failure = told.failure
    assert failure is not None
    assert (failure.where, failure.machine, failure.rank) == ("train-1b-0-3-axyz3", "gpu-3", 3)
    assert failure.why.startswith(why)
    assert failure.last_words.endswith(log)
    assert told.message.startswith(f"node 3, train-1b-0-3-axyz3 on gpu-3: {why}")
    assert "\n" not in told.message


def test_the_first_rank_to_fail_is_named_and_not_those_that_it_took_along() -> None:
    document = made("jobset", held("Failed", "ReachedMaxRestarts"), nodes=3)
    culprit = ended(1, at="2026-11-28T10:05:02Z")
    along = [ended(143, at="2026-11-28T10:05:01Z"), ended(134, at="2026-11-28T10:05:03Z")]
    pods = [pod_of(document, 0, along[0]), pod_of(document, 1, culprit), pod_of(document, 2, along[1])]
    told = state(document, *pods)
    assert told.failure is not None
    assert told.failure.rank == 1
    first = ended(137, "OOMKilled", at="2026-11-28T10:05:00Z")
    told = state(document, pod_of(document, 0, first), pods[1])
    assert told.failure is not None
    assert (told.failure.rank, told.failure.exit_code) == (0, 137)  # killed for its memory it follows nobody
    told = state(document, pod_of(document, 0, ended(137, at="2026-11-28T10:05:00Z")), pods[1])
    assert told.failure is not None
    assert told.failure.rank == 1


def test_of_a_pods_containers_ours_says_why() -> None:
    document = made(status=FAILED)
    pod = pod_of(document, status=ended(1))
    beside = copy.deepcopy(pod["status"]["containerStatuses"][0]) | {"name": "logs"}
    beside["state"]["terminated"]["exitCode"] = 143
    pod["status"]["containerStatuses"].insert(0, beside)
    told = state(document, pod)
    assert told.failure is not None
    assert told.failure.exit_code == 1


def test_the_pod_that_the_policy_names_is_the_one() -> None:
    message = (
        "Container mashbill for pod default/train-1b-0-1-axyz1 failed with exit code 2 matching FailJob rule"
    )
    document = made(status=held("Failed", "PodFailurePolicy", message), nodes=12)
    pods = [pod_of(document, i, ended(1, at="2026-11-28T10:00:00Z")) for i in (0, 11)]
    told = state(document, *pods, pod_of(document, 1, ended(2, at="2026-11-28T10:09:00Z")))
    assert told.failure is not None
    assert (told.failure.rank, told.failure.exit_code) == (1, 2)


def test_the_last_attempt_says_why_and_earlier_ones_are_counted() -> None:
    document = made(status=FAILED)
    first = pod_of(document, 0, ended(137, "OOMKilled"))
    last = pod_of(document, 0, ended(1), attempt=1)
    told = state(document, last, first)
    assert told.failure is not None
    assert told.failure.why.startswith("exit code 1; restarted once, the last after node 0")
    assert "OOMKilled" in told.failure.why


def test_what_kubernetes_kept_of_a_log_is_there_where_the_log_is_gone() -> None:
    document = made(status=FAILED)
    told = state(document, pod_of(document, status=ended(1, message="step 7\nValueError: no")))
    assert told.failure is not None
    assert told.failure.last_words == "step 7\nValueError: no"


@pytest.mark.parametrize("backend", KINDS)
def test_a_job_that_ran_too_long_says_so(backend: str) -> None:
    document = made(
        backend, held("Failed", "DeadlineExceeded", "Job was active longer than specified deadline")
    )
    assert state(document).message.endswith(
        "ran longer than it may: Job was active longer than specified deadline"
    )


def test_a_job_that_failed_without_a_pod_tells_what_the_cluster_did() -> None:
    document = made(status=FAILED)
    told = state(document, events=[warning("FailedCreate", "no more room")])
    assert "BackoffLimitExceeded" in told.message
    assert "no more room" in told.message


def test_a_jobsets_restarts_are_told_with_those_that_count() -> None:
    document = made("jobset", {"restarts": 5, "restartsCountTowardsMax": 2}, max_restarts=3)
    told = state(document, pod_of(document, status=running()))
    assert told.message == "restarted 5 times, 2 of 3 counted"


def test_what_a_trainer_reports_is_in_the_message() -> None:
    metrics = [{"name": "loss", "value": "2.31"}]
    status = {
        "trainerStatus": {"progressPercentage": 40, "estimatedRemainingSeconds": 7_200, "metrics": metrics}
    }
    document = made("trainjob", status)
    pod = pod_of(made("job"), status=running())
    assert state(document, pod).message == "40%, 2 h left, loss 2.31"


def test_a_job_that_is_being_removed_is_not_gone_yet() -> None:
    document = made()
    document["metadata"]["deletionTimestamp"] = STARTED
    told = state(document, pod_of(document, status=running()))
    assert (told.phase, told.message) == ("running", "being removed")


def test_nothing_that_was_seen_is_changed() -> None:
    document = made(nodes=2, status=FAILED)
    pods = [pod_of(document, 1, ended(1)), pod_of(document, 0, ended(137, "OOMKilled"))]
    before = copy.deepcopy((document, pods))
    state(document, *pods)
    assert (document, pods) == before


@pytest.mark.parametrize("oddity", [{}, {"status": None}, {"metadata": {}, "status": {"conditions": None}}])
def test_objects_that_lack_what_they_should_have_do_not_break_it(oddity: dict[str, Any]) -> None:
    assert state({"kind": "Job", "metadata": {}, **oddity}, {"metadata": {}}).phase == "starting"
