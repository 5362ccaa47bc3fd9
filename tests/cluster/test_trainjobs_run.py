"""TrainJobs become JobSets of the runtime that they refer to, and say what those say."""

import json

import pytest

from builders.cluster import Cluster
from builders.cluster.kinds import condition, holds, status_of
from builders.cluster.samples import python, template, trainjob

PET = ("PET_NNODES", "PET_NPROC_PER_NODE", "PET_NODE_RANK", "PET_MASTER_ADDR", "PET_MASTER_PORT")
TELL = f"import json, os; print(json.dumps([os.environ[name] for name in {PET}]))"
SUM = """
import torch, torch.distributed as group
group.init_process_group("gloo")
ranks = torch.tensor([group.get_rank() + 1.0])
group.all_reduce(ranks)
print("sum", ranks.item())
"""


def test_each_node_is_told_what_torchrun_reads(c: Cluster) -> None:
    c.create(trainjob("train", python(TELL), 2))
    found = c.wait_for("TrainJob", "train", lambda one: holds(one, "Complete"))
    for rank in (0, 1):
        told = json.loads(c.log(f"train-node-0-{rank}"))
        assert told == ["2", "1", str(rank), "train-node-0-0.train", "29400"]
    assert status_of(found)["jobsStatus"][0]["succeeded"] == 1


@pytest.mark.slow
def test_two_nodes_meet_as_torchrun_is_told(c: Cluster) -> None:
    script = ["sh", "-c", 'printf %s "$SUM" > sum.py && exec torchrun sum.py']
    spec = trainjob("train", script, 2)
    spec["spec"]["trainer"]["env"] = [{"name": "SUM", "value": SUM}]
    c.create(spec)
    c.wait_for("TrainJob", "train", lambda one: holds(one, "Complete"))
    assert "sum 3.0" in c.log("train-node-0-0")


def test_a_failure_is_the_jobsets(c: Cluster) -> None:
    c.pace.restart = c.pace.backoff = 0.01
    c.create(trainjob("train", ["false"]))
    found = c.wait_for("TrainJob", "train", lambda one: holds(one, "Failed"))
    failed = condition(found, "Failed") or {}
    assert failed["reason"] == "FailedJobs"
    assert "(first failed job: train-node-0)" in failed["message"]


def test_patches_of_the_runtime_reach_the_pods(c: Cluster) -> None:
    pod = {
        "nodeSelector": {"kubernetes.io/hostname": "node-b"},
        "containers": [{"name": "node", "env": [{"name": "NCCL_DEBUG", "value": "INFO"}]}],
    }
    job = {"spec": {"template": {"spec": pod}}}
    template = {"spec": {"replicatedJobs": [{"name": "node", "template": job}]}}
    patch = {"manager": "mashbill.dev/launch", "trainingRuntimeSpec": {"template": template}}
    command = python("import os; print(os.environ['NCCL_DEBUG'])")
    c.create(trainjob("train", command, runtimePatches=[patch]))
    c.wait_for("TrainJob", "train", lambda one: holds(one, "Complete"))
    assert c.log("train-node-0-0") == "INFO\n"
    assert c.pods("train")[0]["spec"]["nodeName"] == "node-b"


def test_a_suspended_one_makes_no_pods(c: Cluster) -> None:
    c.create(trainjob("train", ["true"], suspend=True))
    c.wait_for("TrainJob", "train", lambda one: holds(one, "Suspended"))
    c.wait_for("JobSet", "train", lambda one: holds(one, "Suspended"))
    assert not c.pods("train")
    c.api.patch("TrainJob", ("default", "train"), {"spec": {"suspend": False}})
    found = c.wait_for("TrainJob", "train", lambda one: holds(one, "Complete"))
    assert not holds(found, "Suspended")


def test_a_runtime_that_went_after_the_trainjob_was_made(c: Cluster) -> None:
    spec = {"replicatedJobs": [{"name": "node", "template": {"spec": {"template": template()}}}]}
    kind = {"apiVersion": "trainer.kubeflow.org/v1alpha1", "kind": "TrainingRuntime"}
    c.create({**kind, "metadata": {"name": "mine"}, "spec": {"template": {"spec": spec}}})
    c.hold_controllers()
    made = trainjob("train", ["true"])
    made["spec"]["runtimeRef"] = {"name": "mine", "kind": "TrainingRuntime"}
    c.create(made)
    c.api.delete("TrainingRuntime", ("default", "mine"))
    c.wait_until_gone("TrainingRuntime", "mine")
    c.release_controllers()
    found = c.wait_for("TrainJob", "train", lambda one: holds(one, "Failed"))
    assert (condition(found, "Failed") or {})["reason"] == "TrainingRuntimeNotSupported"


TELLS = """
import json, os, ssl, urllib.request
name = "KUBEFLOW_TRAINER_SERVER_"
token = open(os.environ[name + "TOKEN"]).read()
status = {"progressPercentage": 40, "estimatedRemainingSeconds": 90}
request = urllib.request.Request(
    os.environ[name + "URL"],
    json.dumps({"trainerStatus": {**status, "metrics": [{"name": "loss", "value": "2.5"}]}}).encode(),
    {"Authorization": "Bearer " + token, "Content-Type": "application/json"},
)
context = ssl.create_default_context(cafile=os.environ[name + "CA_CERT"])
print(urllib.request.urlopen(request, context=context).status)
"""


def test_a_trainer_tells_how_far_it_is(c: Cluster) -> None:
    c.create(trainjob("train", python(TELLS)))
    found = c.wait_for("TrainJob", "train", lambda one: holds(one, "Complete"))
    told = status_of(found)["trainerStatus"]
    assert (told["progressPercentage"], told["estimatedRemainingSeconds"]) == (40, 90)
    assert told["metrics"] == [{"name": "loss", "value": "2.5"}]
    assert told["lastUpdatedTime"]
