"""What a container has around it: variables, volumes, a name, ports, and nothing of other pods."""

import json

from builders.checkout import ROOT
from builders.cluster import Cluster, Machine
from builders.cluster.kinds import Object, status_of
from builders.cluster.samples import claim, config_map, container, pod, python, secret

LISTENS = """
import socket, sys
listener = socket.create_server(("", 29400))
print("listening", flush=True)
connection, _ = listener.accept()
connection.sendall(socket.gethostname().encode())
"""


def over(one: Object) -> bool:
    return status_of(one).get("phase") in ("Succeeded", "Failed")


def ran(c: Cluster, name: str = "train") -> str:
    """What a pod said, once it has ended well."""
    found = c.wait_for("Pod", name, over)
    assert status_of(found)["phase"] == "Succeeded", (status_of(found), c.log(name))
    return c.log(name)


def field(path: str) -> Object:
    return {"fieldRef": {"fieldPath": path}}


def test_variables_come_from_wherever_a_spec_says(c: Cluster) -> None:
    c.create(secret("lake", KEY="hidden", other="x"))
    c.create(config_map("settings", LEVEL="INFO"))
    env = [
        {"name": "PLAIN", "value": "1"},
        {"name": "MADE", "value": "$(PLAIN)-$(LEVEL)-$(NOWHERE)-$$(PLAIN)"},
        {"name": "POD", "valueFrom": field("metadata.name")},
        {"name": "NODE", "valueFrom": field("spec.nodeName")},
        {"name": "IP", "valueFrom": field("status.podIP")},
        {"name": "TEAM", "valueFrom": field("metadata.labels['team']")},
        {"name": "CPUS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        {"name": "MAYBE", "valueFrom": {"secretKeyRef": {"name": "no", "key": "no", "optional": True}}},
    ]
    given = {"env": env, "envFrom": [{"secretRef": {"name": "lake"}}, {"configMapRef": {"name": "settings"}}]}
    body = pod(
        "train",
        python("import json, os; print(json.dumps(dict(os.environ)))"),
        spec={"nodeSelector": {"kubernetes.io/hostname": "node-b"}},
        resources={"limits": {"cpu": "1500m"}},
        **given,
    )
    body["metadata"]["labels"] = {"team": "research"}
    c.create(body)
    told = json.loads(ran(c))
    address = status_of(c.pods("train")[0])["podIP"]
    assert {name: told.get(name) for name in ("KEY", "LEVEL", "POD", "NODE", "IP", "TEAM", "CPUS")} == {
        "KEY": "hidden",
        "LEVEL": "INFO",
        "POD": "train",
        "NODE": "node-b",
        "IP": address,
        "TEAM": "research",
        "CPUS": "2",
    }
    assert told["MADE"] == "1-INFO-$(NOWHERE)-$(PLAIN)"
    assert "MAYBE" not in told
    assert "PYTEST_CURRENT_TEST" not in told


def test_containers_of_a_pod_share_its_volumes_and_init_containers_are_first(c: Cluster) -> None:
    mounts = [{"name": "work", "mountPath": "/srv/work/deep"}]
    first = container(["sh", "-c", "echo prepared > /srv/work/deep/a"], volumeMounts=mounts)
    spec = {
        "initContainers": [{**first, "name": "prepare"}],
        "volumes": [{"name": "work", "emptyDir": {}}],
    }
    c.create(pod("train", ["cat", "/srv/work/deep/a"], spec=spec, volumeMounts=mounts))
    assert ran(c) == "prepared\n"


def test_a_claim_outlives_its_pods_and_an_empty_volume_does_not(c: Cluster) -> None:
    c.create(claim("data"))
    spec = {
        "volumes": [
            {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
            {"name": "scratch", "emptyDir": {}},
        ]
    }
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in ("data", "scratch")]
    script = "for d in data scratch; do ls /$d; touch /$d/$d; done"
    for name in ("first", "second"):
        c.create(pod(name, ["sh", "-c", script], spec=spec, volumeMounts=mounts))
        assert ran(c, name) == ("" if name == "first" else "data\n")


def test_volumes_lie_over_folders_of_the_image_that_is_still_there(c: Cluster) -> None:
    spec = {"volumes": [{"name": "empty", "emptyDir": {"medium": "Memory"}}]}
    mounts = [{"name": "empty", "mountPath": path} for path in ("/tmp", "/dev/shm", "/root/.cache/x")]
    script = "import mashbill, os; print(sorted(os.listdir('/root/.cache/x')) == sorted(os.listdir('/tmp')))"
    c.create(pod("train", python(script), spec=spec, volumeMounts=mounts))
    assert ran(c) == "True\n"


def test_one_file_of_a_config_map_in_a_folder_of_the_image_and_a_volume_to_be_read_only(c: Cluster) -> None:
    c.create(config_map("pipeline", p__toml="seed = 1", other="2"))
    spec = {"volumes": [{"name": "pipeline", "configMap": {"name": "pipeline"}}]}
    mounts = [
        {"name": "pipeline", "mountPath": "/etc/p.toml", "subPath": "p.toml"},
        {"name": "pipeline", "mountPath": "/etc/all", "readOnly": True},
    ]
    script = (
        "cat /etc/p.toml; ls /etc/all; touch /etc/all/new 2>/dev/null || echo refused; test -e /etc/passwd"
    )
    c.create(pod("train", ["sh", "-c", script], spec=spec, volumeMounts=mounts))
    assert ran(c) == "seed = 1other\np.toml\nrefused\n"


def test_a_read_only_root_can_be_written_into_nowhere_but_in_volumes(c: Cluster) -> None:
    spec = {"volumes": [{"name": name, "emptyDir": {}} for name in ("tmp", "deep")]}
    mounts = [{"name": "tmp", "mountPath": "/tmp"}, {"name": "deep", "mountPath": "/srv/a/b"}]
    places = "/tmp /srv/a/b /srv/a /etc /root . $ROOT"
    script = f"for p in {places}; do touch $p/new 2>/dev/null && echo $p; done; echo x >/dev/null"
    closed = {"readOnlyRootFilesystem": True}
    env = [{"name": "ROOT", "value": str(ROOT)}]
    c.create(
        pod("train", ["sh", "-c", script], spec=spec, volumeMounts=mounts, securityContext=closed, env=env)
    )
    assert ran(c) == "/tmp\n/srv/a/b\n"


def test_a_working_folder_is_the_containers_own(c: Cluster) -> None:
    for name in ("first", "second"):
        c.create(pod(name, ["sh", "-c", "pwd; ls; touch here"], workingDir="/workspace/run"))
        assert ran(c, name) == "/workspace/run\n"


def test_two_pods_listen_on_the_same_port_and_each_is_reached_by_its_address(c: Cluster) -> None:
    addresses = []
    for name in ("first", "second"):
        c.create(pod(name, python(LISTENS)))
        c.wait_for("Pod", name, lambda one: status_of(one).get("phase") == "Running")
        addresses.append(status_of(c.pods(name)[0])["podIP"])
    c.wait_until(lambda: [c.log("first"), c.log("second")] == ["listening\n"] * 2)
    one = "socket.create_connection((address, 29400)).recv(99).decode()"
    asks = f"import socket, sys; print([{one} for address in sys.argv[1:]])"
    c.create(pod("asks", python(asks, *addresses)))
    assert ran(c, "asks") == "['first', 'second']\n"


def test_a_pod_reaches_what_listens_in_it_by_localhost(c: Cluster) -> None:
    reached = (
        "import socket; found = []\n"
        "for where in ('', 'localhost', '127.0.0.1'):\n"
        "    listener = socket.create_server((where, 0))\n"
        "    socket.create_connection(('localhost', listener.getsockname()[1]), timeout=5)\n"
        "    found.append(where)\n"
        "print(found)"
    )
    c.create(pod("train", python(reached)))
    assert ran(c) == "['', 'localhost', '127.0.0.1']\n"


def test_processes_see_only_their_containers(c: Cluster) -> None:
    c.create(pod("other", ["sleep", "600"]))
    c.wait_for("Pod", "other", lambda one: status_of(one).get("phase") == "Running")
    c.create(
        pod("train", python("import os; print(os.getpid(), [p for p in os.listdir('/proc') if p.isdigit()])"))
    )
    assert ran(c) == "1 ['1']\n"


def test_further_resources_of_nodes_are_asked_for_like_gpus(c: Cluster) -> None:
    c.create(pod("train", resources={"limits": {"rdma/ib": "1"}}))
    c.wait_for("Pod", "train", lambda one: "Insufficient rdma/ib" in str(status_of(one)))
    c.add_node(Machine("node-c", resources={"rdma/ib": "2"}))
    ran(c)


ASKS = """
from kubernetes import client, config
config.load_incluster_config()
review = client.V1SelfSubjectReview()
print(client.AuthenticationV1Api().create_self_subject_review(review).status.user_info.username)
try:
    client.CoreV1Api().list_namespaced_pod("default")
except client.ApiException as error:
    print(error.status)
"""


def test_a_pod_reaches_the_api_as_its_service_account_and_may_do_nothing(c: Cluster) -> None:
    c.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "jobs"}})
    c.create(pod("train", python(ASKS), spec={"serviceAccountName": "jobs"}))
    assert ran(c) == "system:serviceaccount:default:jobs\n403\n"
