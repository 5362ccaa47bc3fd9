"""What the backends ask of Kubernetes' API: one table, by which ``check`` looks before anything is submitted,
and from which the chart's roles are made."""

from dataclasses import dataclass
from typing import Literal

Scope = Literal["namespace", "cluster"]
JOB, JOBSET, TRAINJOB, RAYJOB = "job", "jobset", "trainjob", "rayjob"
EVERY = (JOB, JOBSET, TRAINJOB, RAYJOB)


@dataclass(frozen=True)
class Right:
    """A right, as a rule of a role has it.

    Attributes:
        group: API group; empty is the core's.
        resource: its plural, with a subresource behind a slash.
        verbs: what is done with it.
        backends: which of them do it.
        needed: whether a job can't be submitted or followed without it. What is not needed tells more: a
            queue that is not there before a job waits in it, a GPU that no node has.
        scope: of a namespace, or of the cluster.
        purpose: what for, in a few words.
    """

    group: str
    resource: str
    verbs: tuple[str, ...]
    backends: tuple[str, ...]
    purpose: str
    needed: bool = True
    scope: Scope = "namespace"


_OF_A_JOB = ("create", "get", "list", "watch", "delete")

RIGHTS = (
    Right("batch", "jobs", _OF_A_JOB, (JOB,), "submit, follow, cancel"),
    Right("", "services", ("create", "get", "delete"), (JOB,), "where the nodes of a job meet"),
    Right("jobset.x-k8s.io", "jobsets", _OF_A_JOB, (JOBSET,), "submit, follow, cancel"),
    Right("trainer.kubeflow.org", "trainjobs", _OF_A_JOB, (TRAINJOB,), "submit, follow, cancel"),
    Right("ray.io", "rayjobs", _OF_A_JOB, (RAYJOB,), "submit, follow, cancel"),
    Right("", "pods", ("get", "list", "watch"), EVERY, "which pod waits or failed, and why"),
    Right("", "pods/log", ("get",), EVERY, "the last words of a rank"),
    Right("", "events", ("list",), EVERY, "why there are no pods, or why they do not start"),
    Right("", "serviceaccounts", ("get",), EVERY, "whether it is there", needed=False),
    Right("", "secrets", ("get",), EVERY, "whether they are there; never what they hold", needed=False),
    Right("", "persistentvolumeclaims", ("get",), EVERY, "whether they are there", needed=False),
    Right("kueue.x-k8s.io", "localqueues", ("get",), EVERY, "whether the queue is there", needed=False),
    Right("kueue.x-k8s.io", "workloads", ("list",), EVERY, "what a queued job waits for", needed=False),
    Right(
        "trainer.kubeflow.org",
        "trainingruntimes",
        ("get",),
        (TRAINJOB,),
        "whether the runtime is there",
        needed=False,
    ),
    Right(
        "trainer.kubeflow.org",
        "clustertrainingruntimes",
        ("get",),
        (TRAINJOB,),
        "whether the runtime is there",
        needed=False,
        scope="cluster",
    ),
    Right("", "nodes", ("list",), EVERY, "whether any has the GPU", needed=False, scope="cluster"),
    Right("", "namespaces", ("get",), EVERY, "whether it is there", needed=False, scope="cluster"),
    Right(
        "scheduling.k8s.io",
        "priorityclasses",
        ("get",),
        EVERY,
        "whether it is there",
        needed=False,
        scope="cluster",
    ),
)


def rights_of(backend: str, *, needed_only: bool = False) -> tuple[Right, ...]:
    """What one backend asks."""
    return tuple(right for right in RIGHTS if backend in right.backends and (right.needed or not needed_only))
