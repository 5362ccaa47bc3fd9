"""What the scheduler does: a node with room for each pod, or the reason why there is none, in its words."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from builders.cluster.changes import Bind, Change, Delete, Note, Patch, Wanted
from builders.cluster.job_accounts import terminal
from builders.cluster.kinds import (
    Object,
    condition,
    key_of,
    labels_of,
    leaving,
    matches,
    status_of,
    uid_of,
    with_condition,
)
from builders.cluster.quantities import Amounts, amounts, requests_of

SOURCE = "default-scheduler"
HOSTNAME = "kubernetes.io/hostname"
PREEMPTING = f"{SOURCE}: preempting to accommodate a higher priority pod"


@dataclass
class Cluster:
    """What the scheduler sees.

    Attributes:
        nodes: all of them.
        pods: all of them.
        claims: whether a volume claim is there, by its name, in the namespace of the pod.
        namespaces: labels of namespaces by name, for affinities.
    """

    nodes: Sequence[Object]
    pods: Sequence[Object]
    claim: Callable[[str, str], bool] = lambda _namespace, _name: True


def schedule(pod: Object, cluster: Cluster) -> Wanted:
    """Where a pod goes, or what it waits for.

    Args:
        pod: one without a node.
        cluster: as it is now.
    """
    if pod["spec"].get("schedulingGates"):
        message = "Scheduling is blocked due to non-empty scheduling gates"
        return Wanted(_told(pod, "SchedulingGated", message, event=False))
    missing = _missing_claim(pod, cluster)
    if missing or not cluster.nodes:
        count = len(cluster.nodes)
        message = (
            _refusal(Counter({missing: 0}), count, count)
            if missing
            else "no nodes available to schedule pods"
        )
        return Wanted(_told(pod, "Unschedulable", message))
    room = {node["metadata"]["name"]: _free(node, cluster.pods) for node in cluster.nodes}
    why: dict[str, list[str]] = {}
    for node in cluster.nodes:
        why[node["metadata"]["name"]] = list(_obstacles(pod, node, room[node["metadata"]["name"]], cluster))
    fitting = [node for node in cluster.nodes if not why[node["metadata"]["name"]]]
    if fitting:
        best = min(fitting, key=lambda node: (_used(node, cluster.pods), node["metadata"]["name"]))
        name = best["metadata"]["name"]
        message = f"Successfully assigned {'/'.join(key_of(pod))} to {name}"
        return Wanted([Bind(key_of(pod), name), Note(pod, "Scheduled", message, SOURCE)])
    victims = _victims(pod, cluster, why)
    reasons = Counter(reason for found in why.values() for reason in found)
    helpless = sum(
        not all(one.startswith(("Insufficient", "Too many")) for one in found) for found in why.values()
    )
    refused = _told(pod, "Unschedulable", _refusal(reasons, len(cluster.nodes), helpless))
    return Wanted([*refused, *(change for victim in victims for change in _preempted(victim))])


def _refusal(reasons: Mapping[str, int], nodes: int, helpless: int) -> str:
    """Why no node will do, as the scheduler says it."""
    found = sorted(f"{count} {reason}" if count else reason for reason, count in reasons.items())
    none = f"0/{nodes} nodes are available"
    vain = []
    if nodes - helpless:
        vain.append(f"{nodes - helpless} No preemption victims found for incoming pod")
    if helpless:
        vain.append(f"{helpless} Preemption is not helpful for scheduling")
    return f"{none}: {', '.join(found)}. preemption: {none}: {', '.join(sorted(vain))}."


def _told(pod: Object, reason: str, message: str, *, event: bool = True) -> list[Change]:
    found = condition(pod, "PodScheduled")
    if found and found.get("message") == message:
        return []
    new = {"type": "PodScheduled", "status": "False", "reason": reason, "message": message}
    conditions = with_condition(status_of(pod).get("conditions") or [], new)
    status = {"phase": "Pending", "conditions": conditions}
    changes: list[Change] = [Patch("Pod", key_of(pod), {"status": status}, status=True)]
    if event:
        changes.append(Note(pod, "FailedScheduling", message, SOURCE, warning=True))
    return changes


def _missing_claim(pod: Object, cluster: Cluster) -> str:
    for volume in pod["spec"].get("volumes") or []:
        claim = volume.get("persistentVolumeClaim")
        if claim and not cluster.claim(key_of(pod)[0], claim["claimName"]):
            return f'persistentvolumeclaim "{claim["claimName"]}" not found'
    return ""


def occupying(node: str, pods: Iterable[Object]) -> list[Object]:
    """Pods that take room on a node."""
    return [pod for pod in pods if pod["spec"].get("nodeName") == node and not terminal(pod)]


def _free(node: Object, pods: Iterable[Object]) -> Amounts:
    room = amounts(status_of(node).get("allocatable"))
    for pod in occupying(node["metadata"]["name"], pods):
        room.subtract(requests_of(pod))
    return room


def _used(node: Object, pods: Iterable[Object]) -> int:
    return len(occupying(node["metadata"]["name"], pods))


def _obstacles(pod: Object, node: Object, room: Amounts, cluster: Cluster) -> Iterable[str]:
    """Why a node will not do: the first kind of reason that there is, as filters run in turn."""
    if node["spec"].get("unschedulable"):
        yield "node(s) were unschedulable"
        return
    taint = next((one for one in node["spec"].get("taints") or [] if not _tolerated(pod, one)), None)
    if taint:
        yield f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"
        return
    if not _wants(pod, node):
        yield "node(s) didn't match Pod's node affinity/selector"
        return
    lacking = [name for name, amount in requests_of(pod).items() if amount > room[name]]
    if lacking:
        yield from ("Too many pods" if name == "pods" else f"Insufficient {name}" for name in sorted(lacking))
        return
    if not _together(pod, node, cluster):
        yield "node(s) didn't match pod affinity rules"
    elif not _apart(pod, node, cluster):
        yield "node(s) didn't match pod anti-affinity rules"


def _tolerated(pod: Object, taint: Object) -> bool:
    if taint["effect"] == "PreferNoSchedule":
        return True
    for one in pod["spec"].get("tolerations") or []:
        if one.get("effect") not in (None, "", taint["effect"]):
            continue
        if one.get("operator", "Equal") == "Exists" and one.get("key") in (None, "", taint["key"]):
            return True
        if one.get("key") == taint["key"] and one.get("value", "") == taint.get("value", ""):
            return True
    return False


def _wants(pod: Object, node: Object) -> bool:
    labels = {HOSTNAME: node["metadata"]["name"], **labels_of(node)}
    affinity = ((pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    terms = affinity["nodeSelectorTerms"] if affinity else [{}]
    named = labels | {"metadata.name": node["metadata"]["name"]}
    return matches(labels, pod["spec"].get("nodeSelector")) and any(
        all(
            _expressed(named, one)
            for one in [*term.get("matchExpressions", []), *term.get("matchFields", [])]
        )
        for term in terms
    )


def _expressed(labels: Mapping[str, str], wanted: Object) -> bool:
    value, values = labels.get(wanted["key"]), wanted.get("values") or []
    operator = wanted["operator"]
    if operator in ("Gt", "Lt"):
        apart = int(value or 0) - int(values[0])
        return value is not None and (apart > 0 if operator == "Gt" else apart < 0)
    return {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }[operator]


def selected(labels: Mapping[str, str], selector: Object | None) -> bool:
    """Whether labels are what a selector with expressions wants."""
    wanted = selector or {}
    return matches(labels, wanted.get("matchLabels")) and all(
        _expressed(labels, one) for one in wanted.get("matchExpressions") or []
    )


def _terms(pod: Object, kind: str) -> list[Object]:
    affinity = (pod["spec"].get("affinity") or {}).get(kind) or {}
    return affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or []


def _domains(pod: Object, term: Object, cluster: Cluster) -> set[str]:
    """Values of a term's topology that pods which it selects are in."""
    nodes = {node["metadata"]["name"]: node for node in cluster.nodes}
    found = set()
    for other in cluster.pods:
        node = nodes.get(other["spec"].get("nodeName", ""))
        same = key_of(other)[0] in (term.get("namespaces") or [key_of(pod)[0]])
        if node and same and not terminal(other) and selected(labels_of(other), term.get("labelSelector")):
            found.add(_domain(node, term["topologyKey"]))
    return found


def _domain(node: Object, key: str) -> str:
    return {HOSTNAME: node["metadata"]["name"], **labels_of(node)}.get(key, "")


def _together(pod: Object, node: Object, cluster: Cluster) -> bool:
    for term in _terms(pod, "podAffinity"):
        domains = _domains(pod, term, cluster)
        first = not domains and selected(labels_of(pod), term.get("labelSelector"))
        domain = _domain(node, term["topologyKey"])
        if not domain or not (first or domain in domains):
            return False
    return True


def _apart(pod: Object, node: Object, cluster: Cluster) -> bool:
    terms = _terms(pod, "podAntiAffinity")
    return not any(_domain(node, one["topologyKey"]) in _domains(pod, one, cluster) for one in terms)


def _priority(pod: Object) -> int:
    return pod["spec"].get("priority") or 0


def _victims(pod: Object, cluster: Cluster, why: Mapping[str, Sequence[str]]) -> list[Object]:
    """Pods of less priority that make room on one node when they go; none where that would not help."""
    if pod["spec"].get("preemptionPolicy") == "Never":
        return []
    for node in cluster.nodes:
        name = node["metadata"]["name"]
        if not all(one.startswith(("Insufficient", "Too many")) for one in why[name]):
            continue
        here = occupying(name, cluster.pods)
        if any(leaving(one) and _priority(one) < _priority(pod) for one in here):
            return []
        going: list[Object] = []
        for one in sorted((one for one in here if _priority(one) < _priority(pod)), key=_priority):
            going.append(one)
            room = _free(node, [other for other in cluster.pods if other not in going])
            if all(amount <= room[resource] for resource, amount in requests_of(pod).items()):
                return going
    return []


def _preempted(victim: Object) -> list[Change]:
    changes = disrupted(victim, "PreemptionByScheduler", PREEMPTING)
    node = victim["spec"]["nodeName"]
    changes.append(Delete("Pod", key_of(victim), uid_of(victim)))
    changes.append(Note(victim, "Preempted", f"Preempted by a pod on node {node}", SOURCE))
    return changes


def disrupted(pod: Object, reason: str, message: str) -> list[Change]:
    """Say of a pod that it goes through no fault of its own."""
    new = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}
    conditions = with_condition(status_of(pod).get("conditions") or [], new)
    return [Patch("Pod", key_of(pod), {"status": {"conditions": conditions}}, status=True)]
