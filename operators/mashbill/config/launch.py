"""Settings of where stages run: ``[launch.train]`` sends one to a cluster, and no result depends on it."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from mashbill.config.section import PROTECTED, Location, Name, Section

Backend = Literal["local", "job", "jobset", "trainjob", "ray", "rayjob", "ssh"]
KUBERNETES = frozenset({"job", "jobset", "trainjob", "rayjob"})
Kept = Annotated[Name, PROTECTED]
"""A name of what a job may see or load, which whoever starts a run may not change either."""
AMOUNT = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"
Amount = Annotated[str, Field(pattern=AMOUNT)]
"""A quantity as Kubernetes writes it: 500m, 16, 64Gi."""
_SECRET = re.compile(
    r"(^|_)(SECRET|PASSWORD|PASSWD|TOKEN|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY)(_|$)(?!.*(FILE|PATH|DIR|URI)$)",
    re.I,
)
"""Names of variables whose values are nobody else's; those that say where such a value lies are not."""
_WITH_PASSWORD = re.compile(r"://[^/@\s:]+:[^/@\s]+@")


class VolumeConfig(Section):
    """A volume claim that pods see."""

    claim: Kept = Field(description="Name of the PersistentVolumeClaim.")
    path: Location = Field(description="Where the containers see it.")
    read_only: bool = Field(False, description="Whether it may only be read.")


class KubernetesConfig(Section):
    """How pods are made and placed."""

    context: Location | None = Field(
        None, description="Context of the kubeconfig; without it the pod's own identity, or the current one."
    )
    namespace: Location | None = Field(None, description="Namespace; without it the context's, or the pod's.")
    service_account: Location | None = Field(None, description="Service account of the pods.")
    pull_secrets: tuple[Kept, ...] = Field((), description="Secrets that images are pulled with.")
    environment_from: tuple[Kept, ...] = Field(
        (), description="Secrets whose keys are variables of the containers, as those of S3."
    )
    volumes: tuple[VolumeConfig, ...] = Field((), description="Volume claims that pods see.")
    shared_memory: Amount = Field("2Gi", description="Size of /dev/shm.")
    scratch: Amount | None = Field(
        None, description="Size limit of the node's disk that a pod works on; None is the node's own."
    )
    gpu_resource: str = Field("nvidia.com/gpu", description="Name of the resource that a GPU is.")
    resources: dict[str, str] = Field(
        {}, description="Further resources of a pod, such as rdma/ib = 1; requested and limited alike."
    )
    node_selector: dict[str, str] = Field({}, description="Labels that nodes must have.")
    affinity: dict[str, Any] = Field({}, description="Affinity of the pods, as in a pod's spec.")
    tolerations: tuple[dict[str, Any], ...] = Field((), description="Taints of nodes that pods bear.")
    topology: str | None = Field(
        None,
        description="Label of nodes whose value all pods of a job share: Kueue's required topology where a "
        "queue is named, else a pod affinity.",
    )
    priority_class: Name | None = Field(None, description="Priority class of the pods.")
    grace_seconds: int = Field(
        300, ge=1, description="Seconds between being asked to end and being killed: long enough to save."
    )
    ttl_seconds: int = Field(86_400, ge=0, description="Seconds that an ended job stays to be looked at.")
    template: Location | None = Field(
        None, description="YAML file of a pod template of one's own, merged under what is made here."
    )
    runtime: Kept = Field("torch-distributed", description="Training runtime that a TrainJob refers to.")


class RayJobConfig(Section):
    """Which Ray cluster a job goes to."""

    address: Location | None = Field(
        None, description="Address of a running cluster's job API, http://host:8265."
    )
    version: str | None = Field(
        None, description="Ray's version in the image of a RayJob; None is that which is installed here."
    )
    shared: tuple[Location, ...] = Field(
        (), description="Folders that all nodes of a running cluster have as this machine has them."
    )
    workers: int = Field(1, ge=0, description="Worker pods of a RayJob's cluster, beside its head.")


class LocalConfig(Section):
    """How jobs of this machine are kept."""

    folder: Location = Field(
        ".mashbill-jobs", description="Folder for logs and marks of jobs; relative to the home."
    )


class SSHConfig(Section):
    """Which hosts a job goes to."""

    hosts: tuple[Location, ...] = Field((), description="One a node, as user@host or user@host:port.")
    identity: Location | None = Field(None, description="Private key; without it what the agent has.")
    python: Location = Field("python3", description="Python of the hosts that mashbill is installed in.")
    folder: Location = Field(
        ".mashbill-jobs", description="Folder of the hosts for logs and marks of jobs; relative to the home."
    )


class LaunchConfig(Section):
    """Where a stage, or each of its parts, runs, and what it takes there."""

    backend: Backend = Field(
        "local",
        description="local: this machine. job, jobset, trainjob: Kubernetes. ray: a running Ray cluster's "
        "job API. rayjob: a Ray cluster made by KubeRay. ssh: hosts.",
    )
    nodes: int = Field(1, ge=1, description="Nodes of a job, for ssh one a host; more are for train.")
    processes: int | None = Field(
        None,
        ge=1,
        description="Processes a node; without it one a GPU; else one a core, for train "
        "training.processes_per_node.",
    )
    gpus: int = Field(0, ge=0, description="GPUs a node.")
    cpus: Amount | None = Field(None, description="Cores a node.")
    memory: Amount | None = Field(None, description="Memory a node.")
    image: Location | None = Field(None, description="Image of the containers.")
    queue: Name | None = Field(None, description="Kueue's local queue; the job waits until it admits it.")
    time_limit_seconds: int | None = Field(None, ge=1, description="Seconds that a job may run.")
    max_restarts: int = Field(
        3, ge=0, description="Times that a failed job is started again; pre-emption does not count."
    )
    max_jobs: int = Field(
        32, ge=1, description="Jobs that the parts of a stage share at most, each runs its own in turn."
    )
    environment: dict[str, Location] = Field(
        {}, description="Variables of the processes, such as NCCL's; nothing secret, as they are stored."
    )
    port: int = Field(29_400, ge=1, le=65_535, description="Port at which the nodes of a job meet.")
    local: LocalConfig = Field(LocalConfig(), description="How jobs of this machine are kept.")
    kubernetes: KubernetesConfig = Field(KubernetesConfig(), description="How pods are made and placed.")
    ray: RayJobConfig = Field(RayJobConfig(), description="Which Ray cluster.")
    ssh: SSHConfig = Field(SSHConfig(), description="Which hosts.")

    @field_validator("environment")
    @classmethod
    def _holds_no_secret(cls, given: dict[str, str]) -> dict[str, str]:
        for name, value in given.items():
            if _SECRET.search(name) or _WITH_PASSWORD.search(value):
                raise ValueError(
                    f"{name} is a secret, and what stands here is stored with the job; put it into a secret "
                    "that kubernetes.environment_from names, or into the environment of the hosts"
                )
        return given

    @model_validator(mode="after")
    def _has_what_its_backend_needs(self) -> Self:
        if self.backend in KUBERNETES and not self.image:
            raise ValueError(f"backend is {self.backend} and image is not set; name one that has mashbill")
        if self.backend == "ray" and not self.ray.address:
            raise ValueError("backend is ray and ray.address is not set; name the cluster's job API")
        if self.backend == "ssh" and self.ssh.hosts and "nodes" not in self.model_fields_set:
            self.__dict__["nodes"] = len(self.ssh.hosts)
            self.__pydantic_fields_set__.add("nodes")
        if self.backend == "ssh" and len(self.ssh.hosts) != self.nodes:
            raise ValueError(
                f"backend is ssh with {len(self.ssh.hosts)} hosts for {self.nodes} nodes; name one a node"
            )
        return self


def by_stage(launch: Any) -> Any:
    """What stands in ``launch``, if it is stages.

    Raises:
        ValueError: a setting of a stage stands there, as in ``[launch]`` with ``backend``.
    """
    for name, value in launch.items() if isinstance(launch, Mapping) else ():
        if name in LaunchConfig.model_fields and not isinstance(value, Mapping | LaunchConfig):
            raise ValueError(f"{name} stands in [launch]; name the stage that it is of, as in [launch.train]")
    return launch
