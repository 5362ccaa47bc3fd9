"""Schemas of Kueue's and KubeRay's custom resources, as far as launching jobs meets them.

The fields' names and types are those of Kueue v1beta1 and v1beta2 and KubeRay v1; pod templates are checked
by Kubernetes' own schema.
"""

from typing import Any

from builders.kube.schemas import POD_TEMPLATE

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
YES: Schema = {"type": "boolean"}
TEMPLATE: Schema = {"$ref": f"#/$defs/{POD_TEMPLATE}"}


def any_object() -> Schema:
    """Whatever it holds."""
    return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def of(required: tuple[str, ...] = (), /, **properties: Schema) -> Schema:
    """An object of these properties and no others."""
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": list(required)} if required else schema


def several(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def texts() -> Schema:
    """Strings by name."""
    return {"type": "object", "additionalProperties": TEXT}


def _top(spec: Schema, *, needs_spec: bool = False) -> Schema:
    names = {"apiVersion": TEXT, "kind": TEXT, "metadata": any_object(), "spec": spec, "status": any_object()}
    return of(("spec",) if needs_spec else (), **names)


_QUANTITY: Schema = {"x-kubernetes-int-or-string": True}
_RESOURCE = of(
    ("name", "nominalQuota"),
    name=TEXT,
    nominalQuota=_QUANTITY,
    borrowingLimit=_QUANTITY,
    lendingLimit=_QUANTITY,
)
_GROUP = of(
    ("coveredResources", "flavors"),
    coveredResources=several(TEXT),
    flavors=several(of(("name", "resources"), name=TEXT, resources=several(_RESOURCE))),
)
_PREEMPTION = of(
    reclaimWithinCohort={**TEXT, "enum": ["Never", "LowerPriority", "Any"]},
    withinClusterQueue={**TEXT, "enum": ["Never", "LowerPriority", "LowerOrNewerEqualPriority"]},
    borrowWithinCohort=any_object(),
)
_STOPPED: Schema = {**TEXT, "enum": ["None", "Hold", "HoldAndDrain"]}


def _queues(old: bool) -> dict[str, Schema]:
    """Kueue's kinds, in v1beta1 or in v1beta2."""
    cohort = {"cohort": TEXT, "admissionChecks": several(TEXT)} if old else {"cohortName": TEXT}
    cluster_queue = of(
        resourceGroups=several(_GROUP),
        queueingStrategy={**TEXT, "enum": ["StrictFIFO", "BestEffortFIFO"]},
        namespaceSelector=any_object(),
        flavorFungibility=any_object(),
        preemption=_PREEMPTION,
        admissionChecksStrategy=any_object(),
        stopPolicy=_STOPPED,
        fairSharing=any_object(),
        admissionScope=any_object(),
        **cohort,
    )
    flavor = of(
        nodeLabels=texts(),
        nodeTaints=several(any_object()),
        tolerations=several(any_object()),
        topologyName=TEXT,
    )
    by_class = (
        {"priorityClassName": TEXT, "priorityClassSource": TEXT}
        if old
        else {"priorityClassRef": any_object()}
    )
    workload = of(
        podSets=several(any_object()),
        queueName=TEXT,
        priority=WHOLE,
        active=YES,
        maximumExecutionTimeSeconds=WHOLE,
        **by_class,
    )
    local_queue = of(clusterQueue=TEXT, stopPolicy=_STOPPED, fairSharing=any_object())
    return {
        "LocalQueue": _top(local_queue),
        "ClusterQueue": _top(cluster_queue),
        "ResourceFlavor": _top(flavor),
        "Workload": _top(workload),
    }


KUEUE = {
    kind: {"v1beta2": _queues(old=False)[kind], "v1beta1": _queues(old=True)[kind]}
    for kind in _queues(old=True)
}
"""Schemas by kind and version."""
_HEAD = of(
    ("template",),
    serviceType=TEXT,
    headService=any_object(),
    enableIngress=YES,
    rayStartParams=texts(),
    resources=texts(),
    labels=texts(),
    template=TEMPLATE,
)
_WORKERS = of(
    ("groupName", "template"),
    groupName=TEXT,
    replicas=WHOLE,
    minReplicas=WHOLE,
    maxReplicas=WHOLE,
    idleTimeoutSeconds=WHOLE,
    numOfHosts=WHOLE,
    suspend=YES,
    rayStartParams=texts(),
    resources=texts(),
    labels=texts(),
    scaleStrategy=any_object(),
    template=TEMPLATE,
)
_CLUSTER_SPEC = of(
    ("headGroupSpec",),
    headGroupSpec=_HEAD,
    workerGroupSpecs=several(_WORKERS),
    rayVersion=TEXT,
    enableInTreeAutoscaling=YES,
    autoscalerOptions=any_object(),
    headServiceAnnotations=texts(),
    suspend=YES,
    managedBy=TEXT,
    gcsFaultToleranceOptions=any_object(),
    authOptions=any_object(),
    upgradeStrategy=any_object(),
)
RAY = {
    "RayCluster": _top(_CLUSTER_SPEC),
    "RayJob": _top(
        of(
            entrypoint=TEXT,
            runtimeEnvYAML=TEXT,
            jobId=TEXT,
            metadata=texts(),
            rayClusterSpec=_CLUSTER_SPEC,
            clusterSelector=texts(),
            submissionMode={**TEXT, "enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
            submitterPodTemplate=TEMPLATE,
            submitterConfig=any_object(),
            shutdownAfterJobFinishes=YES,
            ttlSecondsAfterFinished=WHOLE,
            activeDeadlineSeconds=WHOLE,
            preRunningDeadlineSeconds=WHOLE,
            waitingTtlSeconds=WHOLE,
            backoffLimit=WHOLE,
            entrypointNumCpus={"type": "number"},
            entrypointNumGpus={"type": "number"},
            entrypointResources=TEXT,
            deletionStrategy=any_object(),
            suspend=YES,
            managedBy=TEXT,
        )
    ),
}
