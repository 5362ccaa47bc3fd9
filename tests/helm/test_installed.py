"""The chart on the Kubernetes API of the tests: real helm installs, upgrades, tests and removes it, and the
accounts may do what the table of rights says.

What a cluster's storage and network make of the objects is not seen. Pods run as processes of this machine.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.chart import CHART, EVERYTHING, NAMESPACE
from builders.cluster import Cluster, Machine, cluster, unsharing
from builders.cluster.samples import pod
from builders.installed import Releases
from builders.kube import KubernetesApi, kubernetes_api
from builders.kube.clients import kubectl
from builders.kube.custom import INSTALLED
from builders.orders import order
from mashbill.launch.kubernetes.cluster_jobs import ClusterJobs
from mashbill.launch.kubernetes.job import JobBackend
from mashbill.launch.kubernetes.jobset import JobSetBackend
from mashbill.launch.kubernetes.rights import RIGHTS

pytestmark = pytest.mark.slow
ALL_RIGHTS = ("--set", "rbac.cluster=true,rbac.trainJobStatus=true,artifacts.s3.credentialsSecret=aws")
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
KINDS = "configmap,serviceaccount,role,rolebinding,job,pvc,networkpolicy,quota,limits,localqueue,raycluster"
EVERYBODY = {"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"}
CONFIG = """
artifacts = "/opt/mashbill/artifacts/lab"
scratch = "/scratch/lab"
[corpus]
domains = [
  { name = "crawl", sources = [{ path = "/opt/mashbill/artifacts/raw.jsonl" }] },
  { name = "books", sources = [{ path = "/opt/mashbill/artifacts/raw.jsonl" }] },
]
references = [{ name = "reference", sources = [{ path = "/opt/mashbill/artifacts/raw.jsonl" }] }]
"""


@pytest.fixture
def api() -> Iterator[KubernetesApi]:
    with kubernetes_api() as here:
        yield here


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Cluster]:
    if not unsharing():
        pytest.skip("pods need namespaces of their own here: root, or a kernel that lets users have them")
    with cluster(tmp_path / "cluster", (Machine("node-a"), Machine("node-b"))) as found:
        yield found


def restricted(api: KubernetesApi) -> None:
    """Make the namespace, with the label that the notes give."""
    metadata = {"name": NAMESPACE, "labels": RESTRICTED}
    api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})


def names(api: KubernetesApi, namespace: str = NAMESPACE) -> set[str]:
    """What of ours is in a namespace, as kubectl names it."""
    result = kubectl(api, "get", KINDS, "-n", namespace, "-o", "name", "-l", "app.kubernetes.io/instance=lab")
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


def test_release_is_installed_upgraded_and_taken_away(api: KubernetesApi, tmp_path: Path) -> None:
    releases = Releases(api.kubeconfig, tmp_path)
    said = releases.install("lab", NAMESPACE, *EVERYTHING)
    assert "helm test lab -n pretraining --logs" in said
    first = names(api)
    assert {name.partition("/")[0].partition(".")[0] for name in first} == {
        *("configmap", "serviceaccount", "role", "rolebinding", "job", "persistentvolumeclaim"),
        *("networkpolicy", "resourcequota", "limitrange", "localqueue", "raycluster"),
    }
    releases.helm("upgrade", "lab", str(CHART), "-n", NAMESPACE, *EVERYTHING, "--set", "quota.pods=7")
    assert names(api) - first == {"job.batch/lab-mashbill-2"}
    assert first - names(api) == {"job.batch/lab-mashbill-1"}
    quota = api.get("resourcequotas", "lab-mashbill", NAMESPACE)
    assert quota is not None
    assert quota["spec"]["hard"] == {"pods": "7"}
    releases.helm("uninstall", "lab", "-n", NAMESPACE)
    assert names(api) == {"persistentvolumeclaim/lab-mashbill-artifacts"}
    releases.install("lab", NAMESPACE, *EVERYTHING)


def test_an_upgrade_takes_away_what_is_switched_off(api: KubernetesApi, tmp_path: Path) -> None:
    releases = Releases(api.kubeconfig, tmp_path)
    releases.install("lab", NAMESPACE, *EVERYTHING)
    releases.helm("upgrade", "lab", str(CHART), "-n", NAMESPACE, "--reset-values")
    left = {name.partition("/")[0].partition(".")[0] for name in names(api)}
    assert left == {"configmap", "serviceaccount", "role", "rolebinding", "persistentvolumeclaim"}


def test_kinds_that_a_cluster_lacks_are_named_and_nothing_is_made(tmp_path: Path) -> None:
    with kubernetes_api(custom=[name for name in INSTALLED if "localqueue" not in name]) as api:
        releases = Releases(api.kubeconfig, tmp_path)
        queue = ["--set", "queues[0].name=research,queues[0].clusterQueue=gpus"]
        queue += ["--disable-openapi-validation"]  # else helm asks for OpenAPI v2, which is not served here
        command = ("install", "lab", str(CHART), "-n", NAMESPACE, "--create-namespace", *queue)
        result = releases.tried(*command)
        assert result.returncode != 0
        assert 'no matches for kind "LocalQueue" in version "kueue.x-k8s.io/v1beta2"' in result.stderr
        assert not [c for c in api.all("configmaps") if c["metadata"]["name"].startswith("lab")]


def listed(api: KubernetesApi, account: str) -> dict[str, tuple[set[str], set[str]]]:
    """What ``kubectl auth can-i --list`` says of an account: by resource, its verbs and names."""
    token = api.account_token(NAMESPACE, account)
    config = api.kubeconfig_of(token, account, NAMESPACE)
    result = kubectl(api, "auth", "can-i", "--list", "-n", NAMESPACE, "--no-headers", config=config)
    assert result.returncode == 0, result.stderr
    found: dict[str, tuple[set[str], set[str]]] = {}
    for line in result.stdout.splitlines():
        row = re.fullmatch(r"(\S*)\s+\[(.*?)\]\s+\[(.*?)\]\s+\[(.*?)\]", line.strip())
        if row and row[1] and row[1].partition(".")[0] not in EVERYBODY:
            verbs, known = found.setdefault(row[1], (set(), set()))
            verbs |= set(row[4].split())
            known |= set(row[3].split())
    return found


def test_kubectl_says_of_airflow_s_account_what_the_table_says(api: KubernetesApi, tmp_path: Path) -> None:
    Releases(api.kubeconfig, tmp_path).install("lab", NAMESPACE, *ALL_RIGHTS)
    table = {f"{r.resource}.{r.group}".rstrip("."): set(r.verbs) for r in RIGHTS}
    found = listed(api, "lab-mashbill-airflow")
    assert {resource: verbs for resource, (verbs, _) in found.items()} == table
    assert {resource: known for resource, (_, known) in found.items() if known} == {
        "secrets": {"aws"},
        "namespaces": {NAMESPACE},
    }


def test_kubectl_says_of_the_jobs_account_that_it_may_write_a_status(
    api: KubernetesApi, tmp_path: Path
) -> None:
    Releases(api.kubeconfig, tmp_path).install("lab", NAMESPACE, *ALL_RIGHTS)
    status = "trainjobs.trainer.kubeflow.org/status"
    assert listed(api, "lab-mashbill-jobs") == {status: ({"patch"}, set())}


@pytest.mark.parametrize(
    ("account", "question", "answer"),
    [
        ("airflow", "create jobs.batch", "yes"),
        ("airflow", "watch jobsets.jobset.x-k8s.io", "yes"),
        ("airflow", "get pods --subresource=log", "yes"),
        ("airflow", "get secrets/aws", "yes"),
        ("airflow", "get secrets/other", "no"),
        ("airflow", "list secrets", "no"),
        ("airflow", "create pods", "no"),
        ("airflow", "create pods --subresource=exec", "no"),
        ("airflow", "patch jobs.batch", "no"),
        ("airflow", "create rolebindings.rbac.authorization.k8s.io", "no"),
        ("jobs", "patch trainjobs.trainer.kubeflow.org --subresource=status", "yes"),
        ("jobs", "patch trainjobs.trainer.kubeflow.org", "no"),
        ("jobs", "get pods", "no"),
        ("jobs", "get secrets/aws", "no"),
        ("jobs", "create jobs.batch", "no"),
    ],
)
def test_kubectl_answers_single_questions(
    api: KubernetesApi, tmp_path: Path, account: str, question: str, answer: str
) -> None:
    Releases(api.kubeconfig, tmp_path).install("lab", NAMESPACE, *ALL_RIGHTS)
    token = api.account_token(NAMESPACE, f"lab-mashbill-{account}")
    config = api.kubeconfig_of(token, account, NAMESPACE)
    result = kubectl(api, "auth", "can-i", *question.split(), "-n", NAMESPACE, config=config)
    assert result.stdout.strip().splitlines()[-1] == answer, result.stderr


@pytest.mark.parametrize("backend", [JobBackend, JobSetBackend], ids=["job", "jobset"])
def test_airflow_s_account_submits_follows_and_ends_a_job(
    here: Cluster, backend: type[ClusterJobs], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restricted(here.server)
    Releases(here.kubeconfig, tmp_path).install("lab", NAMESPACE, "--set", "rbac.cluster=true")
    token = here.server.account_token(NAMESPACE, "lab-mashbill-airflow")
    monkeypatch.setenv("KUBECONFIG", str(here.server.kubeconfig_of(token, "airflow", NAMESPACE)))
    wanted = order(
        backend.name,
        command=("sh", "-c", "echo node $MASHBILL_NODE is here"),
        nodes=2,
        kubernetes={"namespace": NAMESPACE, "service_account": "lab-mashbill-jobs"},
    )
    jobs = backend()
    assert jobs.check(wanted.takes) == []
    handle = jobs.submit(wanted)
    here.wait_until(lambda: jobs.state(handle).phase == "succeeded")
    assert "node 1 is here" in jobs.logs(handle, rank=1)
    jobs.cancel(handle)
    here.wait_until(lambda: jobs.state(handle).phase == "gone")
    table = {(right.group, right.resource, verb) for right in RIGHTS for verb in right.verbs}
    user = f"system:serviceaccount:{NAMESPACE}:lab-mashbill-airflow"
    asked = {
        (call.group, f"{call.resource}/{call.subresource}".rstrip("/"), call.verb)
        for call in here.server.audit
        if call.user == user and call.resourceful
    }
    reviews = {call for call in asked if call[0] == "authorization.k8s.io"}
    assert asked - reviews <= table
    assert len(asked) > 5


def test_helm_test_says_what_is_missing_and_passes_when_it_is_there(here: Cluster, tmp_path: Path) -> None:
    restricted(here.server)
    releases = Releases(here.kubeconfig, tmp_path)
    (tmp_path / "lab.toml").write_text(CONFIG)
    volume = "artifacts.volume.enabled=true,rbac.backends={job}"
    small = "test.resources.requests.cpu=100m,test.resources.requests.memory=64Mi,artifacts.volume.size=1Gi"
    given = ("--set", volume, "--set", small, "--set-file", f"configs.lab\\.toml={tmp_path / 'lab.toml'}")
    releases.install("lab", NAMESPACE, *given)
    refused = releases.tried("test", "lab", "-n", NAMESPACE, "--logs", "--timeout", "120s")
    assert refused.returncode != 0
    said = refused.stdout + refused.stderr
    assert "/opt/mashbill/artifacts may be written" in said
    assert "raw.jsonl" in said
    test = here.server.get("pods", "lab-mashbill-test", NAMESPACE)
    assert test is not None
    [volume] = [c for c in test["spec"]["containers"] if c["name"] == "volume"]
    words = ["sh", "-c", """echo '{"text": "some words"}' > /opt/mashbill/artifacts/raw.jsonl"""]
    kept = (
        "restartPolicy",
        "serviceAccountName",
        "securityContext",
        "volumes",
        "automountServiceAccountToken",
    )
    spec = {name: test["spec"][name] for name in kept}
    writer = pod("writer", spec={**spec, "containers": [{**volume, "command": words, "args": []}]})
    writer["metadata"]["namespace"] = NAMESPACE
    here.create(writer)
    here.wait_for("Pod", "writer", lambda p: p["status"].get("phase") == "Succeeded", namespace=NAMESPACE)
    passed = releases.helm("test", "lab", "-n", NAMESPACE, "--logs", "--timeout", "120s")
    assert re.search(r"Phase:\s+Succeeded", passed)


def test_all_pods_of_the_chart_are_admitted_where_only_restricted_ones_are(
    api: KubernetesApi, tmp_path: Path
) -> None:
    restricted(api)
    releases = Releases(api.kubeconfig, tmp_path)
    releases.install("lab", NAMESPACE, *EVERYTHING)
    job, cluster_ = api.get("jobs.batch", "lab-mashbill-1", NAMESPACE), api.all("rayclusters.ray.io")[0]
    assert job is not None
    groups = (cluster_["spec"]["headGroupSpec"], *cluster_["spec"]["workerGroupSpecs"])
    for number, template in enumerate([job["spec"]["template"], *(group["template"] for group in groups)]):
        spec = {**template["spec"]}
        spec.pop("priorityClassName", None)
        made = kubectl(
            api,
            "create",
            "-f",
            "-",
            given={"apiVersion": "v1", "kind": "Pod", "metadata": placed(number), "spec": spec},
        )
        assert made.returncode == 0, made.stderr
    spec["securityContext"]["runAsNonRoot"] = False
    spec["containers"][0]["securityContext"]["capabilities"] = {}
    refused = kubectl(
        api,
        "create",
        "-f",
        "-",
        given={"apiVersion": "v1", "kind": "Pod", "metadata": placed(9), "spec": spec},
    )
    assert "violates PodSecurity" in refused.stderr


def placed(number: int) -> dict[str, str]:
    return {"name": f"pod-{number}", "namespace": NAMESPACE}


def test_a_container_that_says_nothing_gets_the_defaults_and_the_quota_counts_them(
    api: KubernetesApi, tmp_path: Path
) -> None:
    given = "limits.enabled=true,limits.requests.cpu=1,limits.maximum.memory=8Gi,quota.requests\\.cpu=2"
    Releases(api.kubeconfig, tmp_path).install("lab", NAMESPACE, "--set", given)

    def made(number: int, **resources: dict[str, str]) -> str:
        container = {"name": "main", "image": "lab:1", "resources": resources}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": placed(number),
            "spec": {"containers": [container]},
        }
        return kubectl(api, "create", "-f", "-", given=pod).stderr

    assert made(1) == ""
    first = api.get("pods", "pod-1", NAMESPACE)
    assert first is not None
    resources = first["spec"]["containers"][0]["resources"]
    assert resources == {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "4Gi"}}
    assert "maximum memory usage per Container is 8Gi" in made(2, limits={"memory": "9Gi"})
    assert made(3, requests={"cpu": "1"}) == ""
    assert "exceeded quota: lab-mashbill" in made(4)


def as_airflow(api: KubernetesApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be whom Airflow's workers are."""
    token = api.account_token(NAMESPACE, "lab-mashbill-airflow")
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig_of(token, "airflow", NAMESPACE)))


def test_without_rights_to_look_jobs_are_submitted_all_the_same(
    api: KubernetesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Releases(api.kubeconfig, tmp_path).install("lab", NAMESPACE, "--set", "rbac.looks=false")
    as_airflow(api, monkeypatch)
    pods = {"namespace": NAMESPACE, "service_account": "lab-mashbill-jobs"}
    for backend in (JobBackend(), JobSetBackend()):
        wanted = order(backend.name, name=f"a-{backend.name}", gpus=1, queue="lost", kubernetes=pods)
        assert backend.check(wanted.takes) == []
        assert backend.submit(wanted).uid


def test_a_backend_that_the_role_leaves_out_is_told_of_before_anything_is_submitted(
    api: KubernetesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Releases(api.kubeconfig, tmp_path).install("lab", NAMESPACE, "--set", "rbac.backends={jobset}")
    as_airflow(api, monkeypatch)
    takes = order("job", kubernetes={"namespace": NAMESPACE}).takes
    said = "\n".join(map(str, JobBackend().check(takes)))
    assert "create jobs.batch" in said
    assert api.all("jobs.batch") == []
