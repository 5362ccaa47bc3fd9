"""How pods end, and what a client sees of it."""

import signal
from pathlib import Path

from kubernetes import client
from kubernetes.config import new_client_from_config

from builders.cluster import Cluster, Machine, cluster
from builders.cluster.kinds import Object, condition, status_of
from builders.cluster.nodes import GPU
from builders.cluster.samples import indexed, pod, python, template

SAVES = """
import signal, sys
def save(number, frame):
    print("saved", flush=True)
    sys.exit(75)
signal.signal(signal.SIGTERM, save)
print("ready", flush=True)
signal.pause()
"""
DEAF = """
import signal
print("ready", flush=True)
while True:
    signal.pause()
"""


def running(one: Object) -> bool:
    return status_of(one).get("phase") == "Running"


def over(one: Object) -> bool:
    return status_of(one).get("phase") in ("Succeeded", "Failed")


def terminated(one: Object) -> Object:
    """How the first container ended."""
    return status_of(one)["containerStatuses"][0]["state"]["terminated"]


def seen(c: Cluster, name: str, *, says: str = "ready") -> Object:
    """A pod once it has said something."""
    c.wait_for("Pod", name, running)
    c.wait_until(lambda: says in c.log(name))
    return c.pods(name)[0]


def test_an_exit_code_is_the_pods_and_its_log_is_served(c: Cluster) -> None:
    c.create(pod("train", python("print('one'); print('two'); raise SystemExit(7)")))
    found = c.wait_for("Pod", "train", over)
    assert status_of(found)["phase"] == "Failed"
    assert (terminated(found)["exitCode"], terminated(found)["reason"]) == (7, "Error")
    core = client.CoreV1Api(new_client_from_config(str(c.kubeconfig)))

    def log(**options: int) -> str:
        answer = core.read_namespaced_pod_log("train", "default", _preload_content=False, **options)
        return answer.data.decode()

    assert log() == "one\ntwo\n"
    assert log(tail_lines=1) == "two\n"


def test_the_last_words_are_the_message_where_that_is_wanted(c: Cluster) -> None:
    c.create(
        pod(
            "train",
            python("raise ValueError('loss is NaN')"),
            terminationMessagePolicy="FallbackToLogsOnError",
        )
    )
    found = c.wait_for("Pod", "train", over)
    assert terminated(found)["message"].endswith("ValueError: loss is NaN")


def test_a_process_with_more_memory_than_its_limit_is_killed(c: Cluster) -> None:
    hungry = python("import signal; held = bytearray(300_000_000); signal.pause()")
    c.create(pod("train", hungry, resources={"limits": {"memory": "100Mi"}}))
    found = c.wait_for("Pod", "train", over)
    assert (terminated(found)["exitCode"], terminated(found)["reason"]) == (137, "OOMKilled")


def test_a_killed_process_ends_with_all_that_it_started(c: Cluster) -> None:
    c.create(pod("train", ["sh", "-c", "sleep 1234 & echo ready; wait"]))
    seen(c, "train")
    c.kill("train")
    found = c.wait_for("Pod", "train", over)
    assert (terminated(found)["exitCode"], terminated(found)["reason"]) == (137, "Error")
    assert not c.processes()


def test_a_deleted_pod_has_its_grace_to_save(c: Cluster) -> None:
    c.create(pod("train", python(SAVES)))
    found = seen(c, "train")
    c.api.delete("Pod", ("default", "train"))
    c.wait_until(lambda: not c.pods("train"))
    log = c.folder / "logs" / f"default_train_{found['metadata']['uid']}" / "main" / "0.log"
    assert log.read_text() == "ready\nsaved\n"


def test_who_does_not_listen_is_killed_when_the_grace_is_over(c: Cluster) -> None:
    c.create(pod("train", python(DEAF), spec={"terminationGracePeriodSeconds": 1}))
    seen(c, "train")
    c.api.delete("Pod", ("default", "train"))
    c.wait_until_gone("Pod", "train")
    assert not c.processes()


def test_a_program_that_is_not_in_the_image(c: Cluster) -> None:
    c.create(pod("train", ["masbhill", "part"]))
    found = c.wait_for("Pod", "train", over)
    assert (terminated(found)["exitCode"], terminated(found)["reason"]) == (128, "StartError")
    assert 'exec: "masbhill": executable file not found in $PATH' in terminated(found)["message"]


def test_an_evicted_pod_says_so(c: Cluster) -> None:
    c.create(pod("train", python(DEAF)))
    seen(c, "train")
    c.evict("train")
    found = c.wait_for("Pod", "train", over)
    assert (status_of(found)["phase"], status_of(found)["reason"]) == ("Failed", "Evicted")
    assert status_of(found)["message"].startswith("The node was low on resource: memory.")
    assert (condition(found, "DisruptionTarget") or {})["reason"] == "TerminationByKubelet"


def test_a_pod_may_run_only_so_long(c: Cluster) -> None:
    c.create(
        pod("train", python(DEAF), spec={"activeDeadlineSeconds": 1, "terminationGracePeriodSeconds": 0})
    )
    found = c.wait_for("Pod", "train", over)
    assert status_of(found)["reason"] == "DeadlineExceeded"


def test_an_eviction_that_a_client_asks_for_is_a_disruption(c: Cluster) -> None:
    meta = {"name": "train", "finalizers": ["test.example/seen"]}
    c.create({**pod("train", python(SAVES)), "metadata": meta})
    seen(c, "train")
    core = client.CoreV1Api(new_client_from_config(str(c.kubeconfig)))
    asked = client.V1Eviction(metadata=client.V1ObjectMeta(name="train", namespace="default"))
    core.create_namespaced_pod_eviction("train", "default", asked)
    found = c.wait_for("Pod", "train", over)
    assert (condition(found, "DisruptionTarget") or {})["reason"] == "EvictionByEvictionAPI"
    assert terminated(found)["exitCode"] == 75
    c.api.patch("Pod", ("default", "train"), {"metadata": {"finalizers": None}})
    c.wait_until_gone("Pod", "train")


def test_pods_of_a_lost_node_go_and_those_of_one_that_is_gone_have_failed(c: Cluster) -> None:
    meta = {"name": "train", "finalizers": ["test.example/seen"]}
    c.create({**pod("train", python(DEAF)), "metadata": meta})
    node = seen(c, "train")["spec"]["nodeName"]
    c.lose_node(node)
    found = c.wait_for("Pod", "train", lambda one: one["metadata"].get("deletionTimestamp"))
    assert (condition(found, "DisruptionTarget") or {})["reason"] == "DeletionByTaintManager"
    assert running(found)
    assert not c.processes()
    c.remove_node(node)
    c.wait_for("Pod", "train", lambda one: status_of(one)["phase"] == "Failed")


def test_more_important_pods_take_the_room_of_less_important_ones(tmp_path: Path) -> None:
    with cluster(tmp_path, [Machine("node-a", gpus=1)]) as c:
        for name, value in (("low", 1), ("high", 1000)):
            kind = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass"}
            c.create({**kind, "metadata": {"name": name}, "value": value})
        gpu = {"limits": {GPU: "1"}}
        c.create(pod("modest", python(SAVES), spec={"priorityClassName": "low"}, resources=gpu))
        seen(c, "modest")
        c.create(pod("urgent", spec={"priorityClassName": "high"}, resources=gpu))
        c.wait_for("Pod", "urgent", over)
        c.wait_until_gone("Pod", "modest")
        c.wait_until(lambda: ("Preempted", "Preempted by a pod on node node-a") in c.events("modest"))


def test_an_idle_pod_runs_until_a_test_ends_it(c: Cluster) -> None:
    c.create(pod("train", image="registry.k8s.io/pause:3.10"))
    c.wait_for("Pod", "train", running)
    c.finish("train", 3)
    assert terminated(c.wait_for("Pod", "train", over))["exitCode"] == 3


def test_a_container_that_fails_again_and_again_backs_off(c: Cluster) -> None:
    c.create(pod("train", ["false"], spec={"restartPolicy": "Always"}))

    def backing_off(one: Object) -> bool:
        state = (status_of(one).get("containerStatuses") or [{"state": {}}])[0]["state"]
        return state.get("waiting", {}).get("reason") == "CrashLoopBackOff"

    found = c.wait_for("Pod", "train", backing_off)
    status = status_of(found)["containerStatuses"][0]
    assert status["lastState"]["terminated"]["exitCode"] == 1
    assert status["restartCount"] >= 1
    assert running(found)


def test_signals_reach_the_first_process(c: Cluster) -> None:
    c.create(pod("train", python(SAVES)))
    seen(c, "train")
    c.kill("train", number=signal.SIGTERM)
    assert terminated(c.wait_for("Pod", "train", over))["exitCode"] == 75


def test_pods_of_a_drained_node_are_disrupted_and_run_elsewhere(c: Cluster) -> None:
    rule = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    pods = template(python(SAVES))
    c.create(indexed("train", pods, 1, backoffLimit=0, podFailurePolicy={"rules": [rule]}))
    node = seen(c, "train")["spec"]["nodeName"]
    c.drain_node(node)
    c.wait_for("Pod", "train", lambda one: running(one) and one["spec"]["nodeName"] != node)
