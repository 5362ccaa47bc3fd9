"""The chart, under real helm, against Kubernetes' own schemas and those of the custom resources."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubeflow_trainer_api import models

from builders.chart import (
    CHART,
    CUSTOM,
    EVERYTHING,
    EXAMPLES,
    NAMESPACE,
    Document,
    cases,
    faults,
    helm,
    jobs_template,
    named,
    notes,
    of_kind,
    pod_specs,
    refused,
    rendered,
    schema,
    values,
)
from builders.checkout import CONFIGS

VERSIONS = ("1.29.0", "1.33.0", "1.37.0")
EACH = pytest.mark.parametrize("case", sorted(cases()))
VERSION = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
RAY_FIELDS = {
    "": {"rayVersion", "headGroupSpec", "workerGroupSpecs"},
    "headGroupSpec": {"serviceType", "rayStartParams", "template"},
    "workerGroupSpecs": {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"},
}
"""Fields of KubeRay's ray.io/v1 that are used; its own schema is in no registry that tests reach."""


@EACH
def test_lint_is_strict_and_clean(case: str) -> None:
    result = helm("lint", "--strict", str(CHART), *cases()[case])
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid_kubernetes(version: str, tmp_path: Path) -> None:
    for name, arguments in cases().items():
        documents = rendered(*arguments, "--kube-version", version)
        assert faults(documents, tmp_path, version) == "", name
    job = named(rendered(*EVERYTHING), "Job", "lab-mashbill-1")
    job["spec"]["imagined"] = 1
    assert "imagined" in faults([job], tmp_path, version)


def test_older_clusters_are_refused() -> None:
    assert "kubeVersion: >=1.29" in refused("--kube-version", "1.28.0")


@EACH
def test_pods_of_custom_resources_keep_every_field(case: str) -> None:
    model = models.IoK8sApiCoreV1PodTemplateSpec
    for cluster in of_kind(rendered(*cases()[case]), "RayCluster"):
        assert cluster["apiVersion"] == "ray.io/v1"
        spec = cluster["spec"]
        assert spec.keys() == RAY_FIELDS[""]
        groups = spec["workerGroupSpecs"]
        assert spec["headGroupSpec"].keys() == RAY_FIELDS["headGroupSpec"]
        for group in groups:
            assert group.keys() == RAY_FIELDS["workerGroupSpecs"]
            assert group["minReplicas"] == group["replicas"] == group["maxReplicas"]
        for template in (spec["headGroupSpec"]["template"], *(group["template"] for group in groups)):
            found = model.from_dict(template)
            assert found is not None
            assert found.to_dict() == template
        for parameters in (spec["headGroupSpec"], *groups):
            assert all(isinstance(value, str) for value in parameters["rayStartParams"].values())


@EACH
def test_queues_are_as_kueue_has_them(case: str) -> None:
    queues = of_kind(rendered(*cases()[case]), "LocalQueue")
    assert bool(queues) == (case in {"everything", "s3-kueue"})
    for queue in queues:
        assert queue["apiVersion"] == "kueue.x-k8s.io/v1beta2"
        assert {"clusterQueue"} <= queue["spec"].keys() <= {"clusterQueue", "stopPolicy"}
        assert queue["spec"].get("stopPolicy", "None") in {"None", "Hold", "HoldAndDrain"}


@EACH
def test_no_object_of_another_kind_escapes_the_schemas(case: str) -> None:
    groups = {document["apiVersion"].partition("/")[0] for document in rendered(*cases()[case])}
    assert groups <= {"v1", "batch", "rbac.authorization.k8s.io", "networking.k8s.io"} | CUSTOM


def restricted_faults(spec: Document) -> list[str]:
    """What Kubernetes' "restricted" pod security standard forbids of a pod."""
    pod = spec.get("securityContext", {})
    found = [name for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    found += [
        v["name"]
        for v in spec["volumes"]
        if not v.keys() & {"emptyDir", "configMap", "persistentVolumeClaim"}
    ]
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        own = container.get("securityContext", {})
        both = {**pod, **own}
        checks = {
            "privileged": own.get("privileged", False) is False,
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
            "capabilities": own.get("capabilities") == {"drop": ["ALL"]},
            "runAsNonRoot": both.get("runAsNonRoot") is True,
            "runAsUser": both.get("runAsUser") != 0,
            "seccompProfile": both.get("seccompProfile", {}).get("type") in {"RuntimeDefault", "Localhost"},
            "hostPort": not any("hostPort" in port for port in container.get("ports", [])),
        }
        found += [f"{container['name']}: {name}" for name, good in checks.items() if not good]
    return found


@EACH
def test_pods_are_such_as_the_restricted_standard_admits(case: str) -> None:
    specs = dict(pod_specs(rendered(*cases()[case])))
    assert bool(specs) == (case != "existing")
    assert {where: found for where, spec in specs.items() if (found := restricted_faults(spec))} == {}


@EACH
def test_root_is_read_only_and_scratch_is_not(case: str) -> None:
    for where, spec in pod_specs(rendered(*cases()[case])):
        kept = {volume["name"] for volume in spec["volumes"] if "emptyDir" in volume}
        assert all("sizeLimit" in volume["emptyDir"] for volume in spec["volumes"] if "emptyDir" in volume), (
            where
        )
        for container in spec["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, where
            places = {mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] in kept}
            variables = {variable["name"]: variable.get("value") for variable in container["env"]}
            assert places == {"/tmp", "/scratch", "/dev/shm"}, where
            assert variables["HOME"] in places, where
            assert str(variables["MASHBILL_SCRATCH"]).startswith("/scratch/"), where


@EACH
def test_every_container_says_what_it_takes(case: str) -> None:
    for where, spec in pod_specs(rendered(*cases()[case])):
        for container in spec["containers"]:
            resources = container["resources"]
            assert resources["requests"].keys() == {"cpu", "memory"}, where
            assert "memory" in resources["limits"], where


def test_only_what_submits_gets_a_token() -> None:
    documents = rendered(*EVERYTHING)
    tokens = {
        a["metadata"]["name"]: a["automountServiceAccountToken"] for a in of_kind(documents, "ServiceAccount")
    }
    assert tokens == {"lab-mashbill-airflow": True, "lab-mashbill-jobs": False}
    for where, spec in pod_specs(documents):
        submits = where.startswith("Job ")
        assert spec["serviceAccountName"] == f"lab-mashbill-{'airflow' if submits else 'jobs'}"
        assert spec.get("automountServiceAccountToken", True) is submits


def test_config_reaches_the_pod_word_for_word() -> None:
    documents = rendered(*EVERYTHING)
    configs = named(documents, "ConfigMap", "lab-mashbill-configs")
    assert configs["data"]["smoke.toml"] == (CONFIGS / "smoke.toml").read_text()
    job = named(documents, "Job", "lab-mashbill-1")
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert "--config=/opt/mashbill/configs/smoke.toml" in container["args"]
    assert "/opt/mashbill/configs" in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_what_looks_like_yaml_in_a_config_stays_text(tmp_path: Path) -> None:
    odd = tmp_path / "odd.toml"
    odd.write_text('name = "{{ .Values }}"\n# - a: b\n\n\tx = "é\\u0000"\r\nlast = 1   \n\n', newline="")
    documents = rendered("--set-file", f"configs.odd\\.toml={odd}")
    assert (
        named(documents, "ConfigMap", "lab-mashbill-configs")["data"]["odd.toml"] == odd.read_bytes().decode()
    )


def test_both_namespaces_get_the_configs_and_airflow_s_the_template() -> None:
    documents = rendered(*cases()["s3-kueue"])
    places = {
        (d["metadata"]["name"], d["metadata"].get("namespace")) for d in of_kind(documents, "ConfigMap")
    }
    assert places == {
        ("lab-mashbill-configs", NAMESPACE),
        ("lab-mashbill-configs", "airflow"),
        ("lab-mashbill-jobs", "airflow"),
    }


def test_secrets_are_named_and_never_held() -> None:
    for arguments in cases().values():
        documents = rendered(*arguments)
        assert of_kind(documents, "Secret") == []
    [job] = of_kind(rendered(*EVERYTHING), "Job")
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert container["envFrom"] == [{"secretRef": {"name": "aws"}}]


def test_claim_outlives_the_release_unless_it_is_another_s() -> None:
    [claim] = of_kind(rendered(*EVERYTHING), "PersistentVolumeClaim")
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert of_kind(rendered(*cases()["existing"]), "PersistentVolumeClaim") == []


def test_what_is_there_already_is_not_made() -> None:
    kinds = {document["kind"] for document in rendered(*cases()["existing"])}
    assert kinds == {"ConfigMap"}


def test_template_of_jobs_pods_adds_what_a_config_has_no_field_for() -> None:
    template = yaml.safe_load(jobs_template(rendered(*EVERYTHING)))["spec"]
    assert template["securityContext"]["runAsUser"] == 50000
    assert template["nodeSelector"] == {"pool": "gpu"}
    [container] = template["containers"]
    assert {variable["name"] for variable in container["env"]} == {
        "AWS_ENDPOINT_URL",
        "AWS_REGION",
        "NCCL_DEBUG",
    }


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("image.pullPolicy=Sometimes", "at '/image/pullPolicy'"),
        ("image.repository=mashbill:1", "at '/image/repository'"),
        ("image.digest=sha256:12", "at '/image/digest'"),
        ("artifacts.volume.size=lots", "at '/artifacts/volume/size'"),
        ("artifacts.volume.mountPath=artifacts", "at '/artifacts/volume/mountPath'"),
        ("artifacts.s3.endpointUrl=http://key:secret@minio", "at '/artifacts/s3/endpointUrl'"),
        ("jobs.enabled=true", "'jobs' not allowed"),
        ("pods.runAsUser=1", "'runAsUser' not allowed"),
        ("pods.user=0", "at '/pods/user'"),
        ("rbac.backends={pods}", "at '/rbac/backends/0'"),
        ("job.workers=0", "at '/job/workers'"),
        ("ray.version=latest", "at '/ray/version'"),
        ("queues[0].name=research", "missing property 'clusterQueue'"),
        ("networkPolicies.ports={70000}", "at '/networkPolicies/ports/0'"),
        ("configs.demo=x", "'demo'"),
        ("test.configs={demo}", "at '/test/configs/0'"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(wrong: str, words: str) -> None:
    assert words in refused("--set", wrong)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            "job.enabled=true,job.config=lost.toml",
            'job.config: "lost.toml" is not among configs; give it with --set-file',
        ),
        (
            "test.configs={lost.toml}",
            'test.configs: "lost.toml" is not among configs; give it with --set-file',
        ),
        (
            "serviceAccounts.jobs.create=false",
            "serviceAccounts.jobs: create is false and name is empty; name",
        ),
        (
            "serviceAccounts.airflow.create=false",
            "serviceAccounts.airflow: create is false and name is empty; name",
        ),
        ("serviceAccounts.jobs.name=lab-mashbill-airflow", "jobs would have its rights; give it another"),
        (
            "quota.requests\\.cpu=4",
            "quota: counts requests.cpu, so that a pod which says none is refused; give",
        ),
        ("quota.memory=4Gi", "quota: counts memory, so that"),
        ("quota.limits\\.cpu=4,limits.enabled=true", "limits.enabled and limits.limits.cpu"),
        (
            "pods.environment.AWS_SECRET_ACCESS_KEY=x",
            "pods.environment.AWS_SECRET_ACCESS_KEY: a secret would be",
        ),
        ("pods.environment.hf_token=x", "pods.environment.hf_token: a secret would be"),
        ("pods.environment.WANDB_API_KEY=x", "pods.environment.WANDB_API_KEY: a secret would be"),
        (
            "pods.environment.HTTPS_PROXY=http://ann:hunter2@proxy:3128",
            "pods.environment.HTTPS_PROXY: a secret would be",
        ),
    ],
)
def test_values_that_are_wrong_together_are_refused_in_one_line(wrong: str, words: str) -> None:
    said = refused("--set", wrong)
    assert words in said
    assert "hunter2" not in said
    assert re.search(r"execution error at [^:]+:\d+:\d+\): ", said)


GIVEN: dict[str, Any] = {
    "image": {"digest": f"sha256:{'0' * 64}", "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "registry"}],
    "serviceAccounts": {
        "airflow": {"annotations": {"cloud/role": "submitter"}},
        "jobs": {"annotations": {"cloud/role": "reader"}},
    },
    "artifacts": {
        "volume": {
            "enabled": True,
            "storageClassName": "fast",
            "size": "7Gi",
            "mountPath": "/lake",
            "accessModes": ["ReadWriteOnce"],
        },
        "s3": {"region": "eu-9"},
    },
    "pods": {
        "user": 777,
        "group": 778,
        "priorityClassName": "batch",
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "nodeSelector": {"pool": "gpu"},
        "sharedMemory": "3Gi",
        "scratch": "51Gi",
        "resources": {"requests": {"cpu": "3", "memory": "9Gi"}, "limits": {"memory": "9Gi"}},
        "environment": {"TOKENIZERS_PARALLELISM": "false", "AWS_WEB_IDENTITY_TOKEN_FILE": "/run/token"},
    },
    "configs": {"a.toml": "seed = 1", "b.toml": "seed = 2"},
    "job": {
        "enabled": True,
        "config": "a.toml",
        "stage": "sweep",
        "workers": 5,
        "backoffLimit": 9,
        "ttlSecondsAfterFinished": 99,
    },
    "ray": {
        "enabled": True,
        "version": "2.61.0",
        "head": {"resources": {"requests": {"cpu": "1", "memory": "5Gi"}, "limits": {"memory": "5Gi"}}},
        "workers": {
            "replicas": 6,
            "resources": {"requests": {"cpu": "7", "memory": "31Gi"}, "limits": {"memory": "31Gi"}},
        },
    },
    "limits": {
        "enabled": True,
        "requests": {"memory": "2Gi"},
        "limits": {"memory": "3Gi"},
        "maximum": {"cpu": "4"},
    },
    "queues": [{"name": "research", "clusterQueue": "gpus", "stopPolicy": "Hold"}],
    "quota": {"pods": "100"},
    "test": {"configs": ["b.toml"], "resources": {"requests": {"cpu": "1", "memory": "6Gi"}}},
}
"""Values that are none of the defaults."""


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> list[Document]:
    path = tmp_path_factory.mktemp("values") / "values.yaml"
    path.write_text(yaml.safe_dump(GIVEN))
    return rendered("-f", str(path))


def test_what_values_say_of_pods_is_in_every_pod(given: list[Document]) -> None:
    wanted = GIVEN["pods"]
    specs = dict(pod_specs(given))
    assert len(specs) == 4
    for where, spec in specs.items():
        assert spec["imagePullSecrets"] == GIVEN["imagePullSecrets"], where
        assert {name: spec[name] for name in ("priorityClassName", "tolerations", "nodeSelector")} == {
            name: wanted[name] for name in ("priorityClassName", "tolerations", "nodeSelector")
        }, where
        security = spec["securityContext"]
        assert [security[n] for n in ("runAsUser", "runAsGroup", "fsGroup")] == [777, 778, 778], where
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        assert volumes["scratch"]["emptyDir"] == {"sizeLimit": "51Gi"}, where
        assert volumes["shared-memory"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "3Gi"}, where
        for container in spec["containers"]:
            assert container["image"] == f"mashbill-trainer@{GIVEN['image']['digest']}", where
            assert container["imagePullPolicy"] == "Always", where
            mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
            assert mounts["artifacts"] == "/lake", where
            plain = {variable["name"]: variable["value"] for variable in container["env"]}
            assert plain.items() >= {**wanted["environment"], "AWS_REGION": "eu-9"}.items(), where


def test_what_values_say_of_one_object_is_in_that(given: list[Document]) -> None:
    [job], [cluster] = of_kind(given, "Job"), of_kind(given, "RayCluster")
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert (job["spec"]["backoffLimit"], job["spec"]["ttlSecondsAfterFinished"]) == (9, 99)
    assert container["command"] == ["mashbill", "run", "sweep"]
    assert container["args"] == ["--config=/opt/mashbill/configs/a.toml", "--set=workers=5"]
    assert container["resources"] == GIVEN["pods"]["resources"]
    [group], head = cluster["spec"]["workerGroupSpecs"], cluster["spec"]["headGroupSpec"]
    assert (cluster["spec"]["rayVersion"], group["replicas"]) == ("2.61.0", 6)
    assert head["rayStartParams"]["num-cpus"] == "0"  # its first pod does no work on documents
    for template, name in ((head["template"], "head"), (group["template"], "workers")):
        assert template["spec"]["containers"][0]["resources"] == GIVEN["ray"][name]["resources"]
    [claim] = of_kind(given, "PersistentVolumeClaim")
    assert (claim["spec"]["storageClassName"], claim["spec"]["accessModes"]) == ("fast", ["ReadWriteOnce"])
    assert claim["spec"]["resources"] == {"requests": {"storage": "7Gi"}}
    for who, role in (("airflow", "submitter"), ("jobs", "reader")):
        account = named(given, "ServiceAccount", f"lab-mashbill-{who}")
        assert account["metadata"]["annotations"] == {"cloud/role": role}
    [queue], [quota] = of_kind(given, "LocalQueue"), of_kind(given, "ResourceQuota")
    assert queue["spec"] == {"clusterQueue": "gpus", "stopPolicy": "Hold"}
    assert quota["spec"] == {"hard": {"pods": "100"}}
    [limits] = of_kind(given, "LimitRange")[0]["spec"]["limits"]
    assert limits["max"] == {"cpu": "4"}
    assert [limits[name]["memory"] for name in ("defaultRequest", "default")] == ["2Gi", "3Gi"]


@pytest.mark.parametrize(
    "wanted, image",
    [
        ("image.tag=v9", "mashbill-trainer:v9"),
        ("image.repository=registry.example/lab,image.tag=v9", "registry.example/lab:v9"),
        ("image.tag=", f"mashbill-trainer:{VERSION}"),
    ],
)
def test_the_image_is_of_its_tag_or_of_the_charts_version(wanted: str, image: str) -> None:
    for where, spec in pod_specs(rendered("--set", f"ray.enabled=true,{wanted}")):
        assert {container["image"] for container in spec["containers"]} == {image}, where


def test_configs_that_are_named_are_tested_alone(given: list[Document]) -> None:
    [pod] = of_kind(given, "Pod")
    checked = [word for one in pod["spec"]["containers"] for word in one.get("args", []) if "config" in word]
    assert checked == ["--config=/opt/mashbill/configs/b.toml"]
    assert all(one["resources"]["requests"]["memory"] == "6Gi" for one in pod["spec"]["containers"])
    existing = rendered("--set", "artifacts.volume.enabled=true,artifacts.volume.existingClaim=lake")
    for where, spec in pod_specs(existing):
        claims = [v["persistentVolumeClaim"] for v in spec["volumes"] if "persistentVolumeClaim" in v]
        assert claims == [{"claimName": "lake"}], where


def test_two_queues_of_one_name_are_refused() -> None:
    twice = "queues[0].name=a,queues[0].clusterQueue=c,queues[1].name=a,queues[1].clusterQueue=d"
    assert 'queues: "a" is there twice' in refused("--set", twice)


def test_schema_describes_every_value_and_allows_no_other() -> None:
    definitions = schema()["definitions"]

    def problems(given: Any, of: Document, at: str) -> list[str]:
        of = definitions[of["$ref"].rpartition("/")[2]] if "$ref" in of else of
        if not isinstance(given, dict) or "properties" not in of:
            return []
        found = [] if of.get("additionalProperties") is False else [f"{at}: open"]
        found += [f"{at}.{key}: not described" for key in given.keys() - of["properties"].keys()]
        found += [
            f"{at}.{key}: has no default" for key in of["properties"].keys() - given.keys() - {"global"}
        ]
        for key in given.keys() & of["properties"].keys():
            found += problems(given[key], of["properties"][key], f"{at}.{key}")
        return found

    allowed = {".serviceAccounts.airflow.labels"}
    assert set(problems(values(), schema(), "")) - allowed == set()


def test_examples_give_nothing_that_is_the_default_already() -> None:
    def same(given: Any, default: Any, at: str) -> list[str]:
        if isinstance(given, dict) and isinstance(default, dict) and default:
            return [p for key in given for p in same(given[key], default.get(key), f"{at}.{key}")]
        return [at] if given == default else []

    repeated = {path.name: same(yaml.safe_load(path.read_text()), values(), "") for path in EXAMPLES}
    stated = {".image.tag", ".ray.version"}
    assert {name: set(found) - stated for name, found in repeated.items() if set(found) - stated} == {}


@EACH
def test_notes_speak_of_what_is_switched_on_and_of_nothing_else(case: str) -> None:
    said = notes(*cases()[case])
    kinds = {document["kind"] for document in rendered(*cases()[case])}
    assert ("Ray cluster" in said) == ("RayCluster" in kinds)
    assert ("Queues:" in said) == ("LocalQueue" in kinds)
    assert ("outside ports" in said) == ("NetworkPolicy" in kinds)
    assert ("without Airflow as job" in said) == ("Job" in kinds)
    assert ("helm test" in said) == ("Pod" in kinds)
    assert ("grant it" in said) == ("Role" not in kinds)
    assert ("stays when the release is uninstalled" in said) == ("PersistentVolumeClaim" in kinds)
    assert ("No place for artifacts" in said) == (case == "defaults")
    assert "pod-security.kubernetes.io/enforce=restricted" in said
