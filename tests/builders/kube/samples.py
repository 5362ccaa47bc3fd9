"""Small objects that tests begin from."""

from typing import Any

from builders.kube.store import Object


def pod_spec(**more: Any) -> Object:
    """A pod that runs once."""
    return {"restartPolicy": "Never", "containers": [{"name": "main", "image": "lab:1"}], **more}


def pod(name: str, **more: Any) -> Object:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod_spec(**more)}


def job(name: str, **more: Any) -> Object:
    spec = {"template": {"spec": pod_spec()}, **more}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def jobset(name: str, nodes: int = 2, **more: Any) -> Object:
    """A JobSet of one indexed job."""
    spec = {"completions": nodes, "parallelism": nodes, "template": {"spec": pod_spec()}}
    replicated = [{"name": "node", "replicas": 1, "template": {"spec": spec}}]
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {"name": name},
        "spec": {"replicatedJobs": replicated, **more},
    }


def runtime(name: str = "torch-distributed") -> Object:
    """A training runtime of one replicated job."""
    template = jobset(name)["spec"]
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "ClusterTrainingRuntime",
        "metadata": {"name": name},
        "spec": {"mlPolicy": {"numNodes": 1, "torch": {}}, "template": {"spec": template}},
    }


def trainjob(name: str, **more: Any) -> Object:
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {"name": name},
        "spec": {"runtimeRef": {"name": "torch-distributed"}, "trainer": {"numNodes": 2}, **more},
    }


def secret(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def config_map(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
