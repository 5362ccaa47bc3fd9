"""Controllers without a cluster: objects in, changes out, against known answers."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.cluster import jobs, jobsets
from builders.cluster.changes import Create, Delete, Patch, Wanted, difference
from builders.cluster.environment import expanded
from builders.cluster.images import full_name
from builders.cluster.job_accounts import matched_rule, parsed_indexes, written_indexes
from builders.cluster.jobset_failures import apply_failure_policy
from builders.cluster.kinds import Object, merged
from builders.cluster.names import hosts_file
from builders.cluster.pace import Pace
from builders.cluster.samples import indexed, job, jobset, labelled, pod, stored, template

NAMES = st.text("abc", max_size=1)
JSON = st.recursive(st.integers(0, 3), lambda inner: st.dictionaries(NAMES, inner), max_leaves=6)


def created(wanted: Wanted) -> list[Object]:
    return [change.body for change in wanted.changes if isinstance(change, Create)]


def status_patch(wanted: Wanted) -> Object:
    """What becomes of the status."""
    return next(
        change.body["status"] for change in wanted.changes if isinstance(change, Patch) and change.status
    )


def failed_pod(*codes: int, condition: str = "") -> Object:
    states = [
        {"name": f"c{at}", "state": {"terminated": {"exitCode": code}}} for at, code in enumerate(codes)
    ]
    conditions = [{"type": condition, "status": "True"}] if condition else []
    return stored(pod("p"), phase="Failed", containerStatuses=states, conditions=conditions)


@given(st.sets(st.integers(0, 200)))
def test_indexes_are_read_as_they_were_written(indexes: set[int]) -> None:
    assert parsed_indexes(written_indexes(indexes)) == sorted(indexes)


def test_indexes_are_written_as_the_job_controller_writes_them() -> None:
    assert written_indexes([0, 1, 2, 5, 7, 8]) == "0-2,5,7-8"


def merge_patched(old: Any, patch: Any) -> Any:
    """RFC 7396, as it is written there."""
    if not isinstance(patch, dict):
        return patch
    result = dict(old) if isinstance(old, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patched(result.get(name), value)
    return result


@given(st.dictionaries(st.text("abc", max_size=1), JSON), st.dictionaries(st.text("abc", max_size=1), JSON))
def test_a_merge_patch_makes_one_object_of_the_other(old: Object, new: Object) -> None:
    assert merge_patched(old, difference(old, new)) == new


@pytest.mark.parametrize(
    ("rule", "ended", "matches"),
    [
        ({"onExitCodes": {"operator": "In", "values": [75]}}, failed_pod(75), True),
        ({"onExitCodes": {"operator": "In", "values": [75]}}, failed_pod(1), False),
        ({"onExitCodes": {"operator": "In", "values": [75]}}, failed_pod(0, 75), True),
        ({"onExitCodes": {"operator": "NotIn", "values": [1, 2]}}, failed_pod(3), True),
        ({"onExitCodes": {"operator": "NotIn", "values": [1, 2]}}, failed_pod(0), False),
        ({"onExitCodes": {"containerName": "c1", "operator": "In", "values": [9]}}, failed_pod(9, 1), False),
        ({"onPodConditions": [{"type": "DisruptionTarget"}]}, failed_pod(condition="DisruptionTarget"), True),
        ({"onPodConditions": [{"type": "DisruptionTarget"}]}, failed_pod(137), False),
    ],
)
def test_a_rule_of_the_failure_policy_matches(rule: Object, ended: Object, matches: bool) -> None:
    one = job("train", template(), podFailurePolicy={"rules": [{"action": "Ignore", **rule}]})
    assert (matched_rule(one, ended)[0] == "Ignore") is matches


def test_the_first_rule_that_matches_is_the_one() -> None:
    rules = [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]},
        {"action": "FailJob", "onExitCodes": {"operator": "NotIn", "values": [0]}},
    ]
    one = job("train", template(), podFailurePolicy={"rules": rules})
    assert matched_rule(one, failed_pod(137, condition="DisruptionTarget"))[0] == "Ignore"
    assert matched_rule(one, failed_pod(1))[0] == "FailJob"


def test_no_more_pods_than_are_wanted_at_once_and_each_index_has_one() -> None:
    one = stored(indexed("parts", template(), 5))
    one["spec"]["parallelism"] = 2
    first = created(jobs.reconcile(one, [], Pace()))
    assert [body["spec"]["hostname"] for body in first] == ["parts-0", "parts-1"]
    running = [stored(body, phase="Running") for body in first]
    assert not created(jobs.reconcile(one, running, Pace()))
    done = {**running[0], "status": {"phase": "Succeeded"}}
    assert [
        body["spec"]["hostname"] for body in created(jobs.reconcile(one, [done, running[1]], Pace()))
    ] == ["parts-2"]


def test_the_wait_before_the_next_pod_doubles_with_each_failure() -> None:
    now = [0.0]
    pace = Pace(backoff=10, now=lambda: now[0])
    one = stored(indexed("parts", template(), 1))
    pods: list[Object] = []
    waits = []
    for _ in range(4):
        began = now[0]
        while not (bodies := created(wanted := jobs.reconcile(one, pods, pace))):
            now[0] += wanted.again or 0
        waits.append(now[0] - began)
        pods.append(stored(bodies[0], phase="Failed"))
    assert waits == [0, 10, 20, 40]


def test_a_finished_job_that_is_to_go_goes_when_its_time_is_over() -> None:
    now = [0.0]
    pace = Pace(now=lambda: now[0])
    complete = [{"type": "Complete", "status": "True"}]
    one = stored(job("train", template(), ttlSecondsAfterFinished=60), conditions=complete)
    assert jobs.reconcile(one, [], pace).again == 60
    now[0] = 61
    assert [type(change) for change in jobs.reconcile(one, [], pace).changes] == [Delete]


def test_a_finished_jobset_that_is_to_go_goes_when_its_time_is_over() -> None:
    now = [0.0]
    pace = Pace(now=lambda: now[0])
    completed = [{"type": "Completed", "status": "True"}]
    one = stored(jobset("train", template(), ttlSecondsAfterFinished=60), conditions=completed)
    assert jobsets.reconcile(one, [], {}, pace).again == 60
    now[0] = 61
    (gone,) = jobsets.reconcile(one, [], {}, pace).changes
    assert isinstance(gone, Delete)
    assert gone.kind == "JobSet"


def failed_job(reason: str, message: str = "", name: str = "node") -> Object:
    labels = {"jobset.sigs.k8s.io/replicatedjob-name": name}
    failed = {
        "type": "Failed",
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": "0",
    }
    body = job(f"train-{name}-0", template(), labels=labels)
    return stored(body, conditions=[failed])


@pytest.mark.parametrize(
    ("rule", "failed", "restarts", "counted", "over"),
    [
        (None, failed_job("BackoffLimitExceeded"), 1, 1, ""),
        ({"action": "FailJobSet"}, failed_job("PodFailurePolicy"), 0, 0, "FailJobSetFailurePolicyAction"),
        ({"action": "RestartJobSetAndIgnoreMaxRestarts"}, failed_job("PodFailurePolicy"), 1, 0, ""),
        (
            {"action": "FailJobSet", "onJobFailureReasons": ["DeadlineExceeded"]},
            failed_job("PodFailurePolicy"),
            1,
            1,
            "",
        ),
        (
            {"action": "FailJobSet", "onJobFailureMessagePatterns": ["exit code 4[0-9]"]},
            failed_job("PodFailurePolicy", "Container main failed with exit code 42"),
            0,
            0,
            "FailJobSetFailurePolicyAction",
        ),
        (
            {"action": "FailJobSet", "targetReplicatedJobs": ["driver"]},
            failed_job("PodFailurePolicy"),
            1,
            1,
            "",
        ),
    ],
)
def test_the_failure_policy_of_a_jobset(
    rule: Object | None, failed: Object, restarts: int, counted: int, over: str
) -> None:
    policy = {"maxRestarts": 1, "rules": [{"name": "r", **rule}] if rule else []}
    status: Object = {"restarts": 0, "restartsCountTowardsMax": 0, "conditions": []}
    apply_failure_policy(jobset("train", template(), failurePolicy=policy), [failed], status, Wanted())
    assert (status["restarts"], status["restartsCountTowardsMax"]) == (restarts, counted)
    assert [one["reason"] for one in status["conditions"]] == ([over] if over else [])


def test_a_jobset_that_has_used_up_its_restarts_fails() -> None:
    status: Object = {"restarts": 3, "restartsCountTowardsMax": 1, "conditions": []}
    one = jobset("train", template(), failurePolicy={"maxRestarts": 1})
    apply_failure_policy(one, [failed_job("BackoffLimitExceeded")], status, Wanted())
    assert status["restarts"] == 3
    assert status["terminalState"] == "Failed"
    message = "jobset failed due to reaching max number of restarts (first failed job: train-node-0)"
    assert status["conditions"][0]["message"] == message


def two_kinds(**of_second: Any) -> Object:
    """A JobSet of drivers and workers."""
    one = jobset("train", template())
    spec = one["spec"]["replicatedJobs"][0]["template"]
    one["spec"]["replicatedJobs"] = [
        {"name": "driver", "template": spec},
        {"name": "worker", "replicas": 2, "template": spec, **of_second},
    ]
    return stored(one)


def names(wanted: Wanted) -> list[str]:
    return [body["metadata"]["name"] for body in created(wanted) if body["kind"] == "Job"]


def reconciled(one: Object, *own: Object) -> Wanted:
    return jobsets.reconcile(one, own, {}, Pace())


def test_jobs_wait_for_those_that_they_depend_on() -> None:
    one = two_kinds(dependsOn=[{"name": "driver", "status": "Ready"}])
    first = reconciled(one)
    assert names(first) == ["train-driver-0"]
    driver = stored(next(body for body in created(first) if body["kind"] == "Job"), active=1)
    assert names(reconciled(one, driver)) == []
    ready = {**driver, "status": {"active": 1, "ready": 1}}
    assert names(reconciled(one, ready)) == ["train-worker-0", "train-worker-1"]


def test_any_of_the_named_jobs_is_enough_where_the_success_policy_says_so() -> None:
    one = two_kinds()
    one["spec"]["successPolicy"] = {"operator": "Any", "targetReplicatedJobs": ["worker"]}
    bodies = [body for body in created(reconciled(one)) if body["kind"] == "Job"]
    own = [stored(body, active=1) for body in bodies]
    assert "terminalState" not in status_patch(reconciled(one, *own))
    own[2]["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    assert status_patch(reconciled(one, *own))["terminalState"] == "Completed"


def test_a_restart_removes_the_jobs_of_before_and_waits_until_their_names_are_free() -> None:
    one = stored(jobset("train", template()))
    old = stored(created(reconciled(one))[-1])
    assert old["kind"] == "Job"
    again = {**one, "status": {"restarts": 1}}
    wanted = reconciled(again, old)
    assert [change.key for change in wanted.changes if isinstance(change, Delete)] == [
        ("default", "train-node-0")
    ]
    assert names(wanted) == []
    assert names(reconciled(again)) == ["train-node-0"]


SERVICE = {
    "kind": "Service",
    "metadata": {"name": "train", "namespace": "default"},
    "spec": {"clusterIP": "None", "selector": {"job": "train"}, "publishNotReadyAddresses": True},
}


def looked_up(text: str, name: str) -> set[str]:
    """Addresses of a name in a hosts file."""
    lines = [line.split() for line in text.splitlines()]
    return {line[0] for line in lines if name in line[1:]}


def test_pods_are_known_by_name_only_through_a_service_that_selects_them() -> None:
    first, second = (labelled(f"p{at}", hostname=f"h{at}", subdomain="train") for at in (0, 1))
    for at, one in enumerate((first, second)):
        one["status"] |= {"podIP": f"127.1.0.{at}"}
    text = hosts_file(first, [first, second], [SERVICE])
    assert (
        looked_up(text, "h1.train") == looked_up(text, "h1.train.default.svc.cluster.local") == {"127.1.0.1"}
    )
    assert looked_up(text, "train.default.svc") == {"127.1.0.0", "127.1.0.1"}
    assert looked_up(text, "h0") == {"127.1.0.0"}
    assert not looked_up(text, "h1")
    elsewhere = {**second, "metadata": {**second["metadata"], "labels": {}}}
    assert not looked_up(hosts_file(first, [first, elsewhere], [SERVICE]), "h1.train")
    assert not looked_up(hosts_file(first, [first, second], []), "h1.train")
    other = {**second, "spec": {**second["spec"], "subdomain": "other"}}
    assert not looked_up(hosts_file(first, [first, other], [SERVICE]), "h1.train")


def test_pods_that_are_not_ready_are_known_only_where_the_service_says_so() -> None:
    one = labelled("p", hostname="h", subdomain="train")
    one["status"] |= {"podIP": "127.1.0.1"}
    shy = {**SERVICE, "spec": {**SERVICE["spec"], "publishNotReadyAddresses": False}}
    assert not looked_up(hosts_file(one, [one], [shy]), "h.train")
    one["status"] |= {"conditions": [{"type": "Ready", "status": "True"}]}
    assert looked_up(hosts_file(one, [one], [shy]), "h.train")


@pytest.mark.parametrize(
    ("text", "result"),
    [("$(A)-$(B)", "1-$(B)"), ("$$(A)", "$(A)"), ("$A", "$A"), ("$$$$", "$$"), ("$(A", "$(A")],
)
def test_references_to_variables(text: str, result: str) -> None:
    assert expanded(text, {"A": "1"}) == result


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("team/app:1", "docker.io/team/app:1"),
        ("registry.example/app", "registry.example/app:latest"),
        ("localhost:5000/app:2", "localhost:5000/app:2"),
    ],
)
def test_an_images_whole_name(name: str, full: str) -> None:
    assert full_name(name) == full


def test_lists_of_what_has_a_name_are_merged_by_it() -> None:
    under = {"containers": [{"name": "a", "image": "1"}, {"name": "b"}], "x": [1]}
    over = {"containers": [{"name": "a", "image": "2"}, {"name": "c"}], "x": [2]}
    assert merged(under, over) == {
        "containers": [{"name": "a", "image": "2"}, {"name": "b"}, {"name": "c"}],
        "x": [2],
    }
