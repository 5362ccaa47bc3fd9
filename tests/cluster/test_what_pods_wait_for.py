"""What keeps a pod from running, as a client of a real cluster sees it; it runs once that is mended."""

from builders.cluster import Cluster, Machine, of_this_environment
from builders.cluster.kinds import Object, condition, status_of
from builders.cluster.nodes import GPU
from builders.cluster.samples import claim, config_map, pod, python, secret


def waiting(one: Object) -> Object:
    """What the first container waits for."""
    statuses = status_of(one).get("containerStatuses") or [{}]
    return statuses[0].get("state", {}).get("waiting") or {}


def succeeded(one: Object) -> bool:
    return status_of(one).get("phase") == "Succeeded"


def unschedulable(one: Object) -> str:
    """Why no node will do; empty where one does."""
    found = condition(one, "PodScheduled")
    return found["message"] if found and found.get("reason") == "Unschedulable" else ""


def gpus(count: int) -> Object:
    return {"limits": {GPU: str(count)}}


def test_an_image_that_is_not_there(c: Cluster) -> None:
    c.create(pod("train", image="registry.example/nowhere:1"))
    why = (
        'failed to pull and unpack image "registry.example/nowhere:1": failed to resolve reference '
        '"registry.example/nowhere:1": registry.example/nowhere:1: not found'
    )
    first = c.wait_for("Pod", "train", lambda one: waiting(one).get("reason") == "ErrImagePull")
    assert waiting(first)["message"] == why
    assert status_of(first)["phase"] == "Pending"
    later = c.wait_for("Pod", "train", lambda one: waiting(one).get("reason") == "ImagePullBackOff")
    assert waiting(later)["message"].startswith('Back-off pulling image "registry.example/nowhere:1"')
    c.wait_until(
        lambda: ("Failed", f'Failed to pull image "registry.example/nowhere:1": {why}') in c.events("train")
    )
    c.images["registry.example/nowhere:1"] = of_this_environment()
    c.wait_for("Pod", "train", succeeded)


def test_an_image_whose_name_is_none(c: Cluster) -> None:
    c.create(pod("train", image="Registry.example/Train:1"))
    found = c.wait_for("Pod", "train", lambda one: waiting(one).get("reason") == "InvalidImageName")
    assert "couldn't parse image name" in waiting(found)["message"]


def test_an_image_that_wants_a_secret(c: Cluster) -> None:
    c.images["private.example/*"] = of_this_environment(secret="registry")
    spec = {"imagePullSecrets": [{"name": "registry"}]}
    c.create(pod("train", spec=spec, image="private.example/train:1"))
    found = c.wait_for("Pod", "train", lambda one: waiting(one).get("reason") == "ErrImagePull")
    assert waiting(found)["message"].endswith("401 Unauthorized")
    c.create(secret("registry", password="hidden"))
    c.wait_for("Pod", "train", succeeded)


def test_a_secret_that_is_not_there_and_a_key_that_it_lacks(c: Cluster) -> None:
    source = {"secretKeyRef": {"name": "lake", "key": "password"}}
    variables = [{"name": "PASSWORD", "valueFrom": source}]
    c.create(pod("train", python("import os; print(os.environ['PASSWORD'])"), env=variables))
    found = c.wait_for("Pod", "train", lambda one: waiting(one).get("reason") == "CreateContainerConfigError")
    assert waiting(found)["message"] == 'secret "lake" not found'
    c.wait_until(lambda: ("Failed", 'Error: secret "lake" not found') in c.events("train"))
    c.create(secret("lake", user="me"))
    lacking = "couldn't find key password in Secret default/lake"
    c.wait_for("Pod", "train", lambda one: waiting(one).get("message") == lacking)
    c.api.patch("Secret", ("default", "lake"), {"stringData": {"password": "hidden"}})
    c.wait_for("Pod", "train", succeeded)
    assert c.log("train") == "hidden\n"


def test_an_image_of_root_where_that_is_forbidden(c: Cluster) -> None:
    c.create(pod("train", image="busybox:1", spec={"securityContext": {"runAsNonRoot": True}}))
    found = c.wait_for("Pod", "train", lambda one: waiting(one).get("reason") == "CreateContainerConfigError")
    why = "container has runAsNonRoot and image will run as root"
    assert waiting(found)["message"].startswith(f'{why} (pod: "train_default(')


def test_a_config_map_that_no_one_made_for_a_volume(c: Cluster) -> None:
    volumes = [{"name": "pipeline", "configMap": {"name": "pipeline"}}]
    mounts = [{"name": "pipeline", "mountPath": "/etc/mashbill"}]
    command = python("print(open('/etc/mashbill/p.toml').read())")
    c.create(pod("train", command, spec={"volumes": volumes}, volumeMounts=mounts))
    why = 'MountVolume.SetUp failed for volume "pipeline" : configmap "pipeline" not found'
    c.wait_until(lambda: ("FailedMount", why) in c.events("train"))
    assert waiting(c.pods("train")[0])["reason"] == "ContainerCreating"
    c.create(config_map("pipeline", p__toml="seed = 1"))
    c.wait_for("Pod", "train", succeeded)
    assert c.log("train") == "seed = 1\n"


def test_a_claim_that_is_not_there(c: Cluster) -> None:
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    c.create(pod("train", spec={"volumes": volumes}))
    found = c.wait_for("Pod", "train", unschedulable)
    assert unschedulable(found).startswith('0/2 nodes are available: persistentvolumeclaim "data" not found.')
    c.create(claim("data"))
    c.wait_for("Pod", "train", succeeded)


def test_a_cluster_that_is_full(c: Cluster) -> None:
    c.fill()
    c.create(pod("train", resources=gpus(4)))
    found = c.wait_for("Pod", "train", unschedulable)
    none = "0/2 nodes are available"
    why = f"{none}: 2 Insufficient {GPU}. preemption: {none}: 2 No preemption victims found for incoming pod."
    assert unschedulable(found) == why
    c.wait_until(lambda: c.events("train") == [("FailedScheduling", why)])
    assert "nodeName" not in found["spec"]
    c.empty()
    c.wait_for("Pod", "train", succeeded)


def test_gpus_of_a_kind_that_no_node_has(c: Cluster) -> None:
    c.create(pod("train", spec={"nodeSelector": {"gpu": "h100"}}, resources=gpus(1)))
    none = "0/2 nodes are available"
    wrong = "2 node(s) didn't match Pod's node affinity/selector"
    why = f"{none}: {wrong}. preemption: {none}: 2 Preemption is not helpful for scheduling."
    assert unschedulable(c.wait_for("Pod", "train", unschedulable)) == why
    c.add_node(Machine("node-c", gpus=8, labels={"gpu": "h100"}))
    assert c.wait_for("Pod", "train", succeeded)["spec"]["nodeName"] == "node-c"


def test_several_reasons_are_counted_each(c: Cluster) -> None:
    taint = {"key": "team", "value": "vision", "effect": "NoSchedule"}
    c.add_node(Machine("node-c", gpus=8, taints=[taint]))
    c.create(pod("train", resources=gpus(8)))
    none = "0/3 nodes are available"
    found = c.wait_for("Pod", "train", lambda one: "0/3" in unschedulable(one))
    assert unschedulable(found) == (
        f"{none}: 1 node(s) had untolerated taint {{team: vision}}, 2 Insufficient {GPU}. preemption: "
        f"{none}: 1 Preemption is not helpful for scheduling, 2 No preemption victims found for incoming pod."
    )
    tolerating = {"tolerations": [{"key": "team", "operator": "Exists"}]}
    c.create(pod("other", spec=tolerating, resources=gpus(8)))
    assert c.wait_for("Pod", "other", succeeded)["spec"]["nodeName"] == "node-c"


def test_a_pod_that_is_held_is_being_made(c: Cluster) -> None:
    c.hold_pods("train")
    c.create(pod("train"))
    found = c.wait_for("Pod", "train", waiting)
    assert waiting(found) == {"reason": "ContainerCreating"}
    assert status_of(found)["phase"] == "Pending"
    c.release_pods()
    c.wait_for("Pod", "train", succeeded)
