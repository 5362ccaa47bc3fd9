"""Why a job's pods do not run yet, and whether they ever can."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime

from mashbill.launch.backend import Failure
from mashbill.launch.kubernetes.failures import statuses
from mashbill.launch.kubernetes.objects import Object, at, how_long, name_of, rank_of, time_of

PATIENCE_SECONDS = 60
"""How long what may mend itself is waited for: a registry that does not answer, a secret to be made."""
IMAGE = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "SignatureValidationFailed",
}
SETTING = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
_NO_IMAGE = re.compile(
    r"not ?found|manifest unknown|denied|unauthorized|forbidden|401|403|404|invalid reference|"
    r"InvalidImageName|couldn't parse|ErrImageNeverPull|no match for platform",
    re.IGNORECASE,
)
_STEPS = re.compile(
    r"rpc error: code = \w+ desc = |\b(ErrImagePull|ImagePullBackOff): |"
    r"(Back-off pulling|Failed to pull|failed to pull and unpack) image \"[^\"]*\"(: ?|$)|"
    r"failed to resolve reference \"[^\"]*\"(: ?|$)"
)
_NEVER = re.compile(
    r'violates PodSecurity|serviceaccount "[^"]*" not found|is invalid:|Forbidden: .*immutable'
)
_QUOTA = re.compile(r"exceeded quota|insufficient quota", re.IGNORECASE)


def hopeless(pods: Sequence[Object], events: Sequence[Object], now: datetime) -> Failure | None:
    """What keeps a pod, or all of them, from ever starting; None where waiting may help."""
    for pod in pods:
        reason, message = _waits(pod)
        waited = _seconds_since(
            at(pod, "status", "startTime") or at(pod, "metadata", "creationTimestamp"), now
        )
        if reason in IMAGE:
            said = f"{message} {_said_of(pod, events)}"
            never = _NO_IMAGE.search(f"{reason} {said}") is not None
            if never or waited >= PATIENCE_SECONDS:
                image = _image(pod)
                why = f"image can't be pulled: {image}: {_brief(_pulling(said, image)) or reason}"
                return _of(pod, why, "image" if never else "")
        elif reason in SETTING and waited >= PATIENCE_SECONDS:
            return _of(pod, f"container can't be made: {_brief(message) or reason}")
    refused = next((event for event in _warnings(events) if _NEVER.search(str(event.get("message")))), None)
    if refused is not None and not pods:
        where = str(at(refused, "involvedObject", "name") or "")
        return Failure(where, "", None, f"pods can't be made: {_brief(refused.get('message'))}")
    return None


def unplaced(pods: Iterable[Object], now: datetime) -> str:
    """Which pod no node takes, why, and for how long; empty where each has its node."""
    for pod in pods:
        for found in at(pod, "status", "conditions") or ():
            if found.get("type") == "PodScheduled" and found.get("status") == "False":
                since = found.get("lastTransitionTime") or at(pod, "metadata", "creationTimestamp")
                waited = how_long(_seconds_since(since, now))
                return f"{_who(pod)} has no machine for {waited}: {_brief(found.get('message'))}"
    return ""


def no_quota(events: Iterable[Object]) -> str:
    """What a namespace's quota says; empty where it says nothing."""
    found = next((e for e in _warnings(events) if _QUOTA.search(str(e.get("message")))), None)
    return "" if found is None else f"no room in the quota: {_brief(found.get('message'))}"


def not_started(pods: Iterable[Object], events: Sequence[Object]) -> str:
    """What the first pod that has a machine and does not run waits for."""
    for pod in pods:
        reason, message = _waits(pod)
        if at(pod, "status", "phase") == "Pending":
            said = _said_of(pod, events)
            words = ": ".join(word for word in (reason, _brief(message or said)) if word)
            return f"{_who(pod)} on {at(pod, 'spec', 'nodeName') or 'no machine'} waits" + (
                f": {words}" if words else ""
            )
    return last_warning(events)


def last_warning(events: Iterable[Object]) -> str:
    """What the cluster warned of last; of a Job of pods, rather than of what made that."""
    found = _warnings(events)
    of_jobs = [event for event in found if at(event, "involvedObject", "kind") == "Job"]
    last = next(iter(of_jobs or found), None)
    return "" if last is None else f"{last.get('reason')}: {_brief(last.get('message'))}"


def in_queue(workload: Object | None) -> str:
    """What Kueue says of a job that it has not admitted; empty where it says nothing."""
    for found in at(workload, "status", "conditions") or ():
        if found.get("type") == "QuotaReserved" and found.get("status") == "False":
            return _brief(found.get("message"))
    return ""


def _waits(pod: Object) -> tuple[str, str]:
    """Reason and message of the first container that waits."""
    for status in statuses(pod):
        waiting = at(status, "state", "waiting")
        if waiting and waiting.get("reason") not in (None, "PodInitializing", "ContainerCreating"):
            return str(waiting["reason"]), str(waiting.get("message") or "")
    return "", ""


def _image(pod: Object) -> str:
    waiting = (s for s in statuses(pod) if at(s, "state", "waiting", "reason") in IMAGE)
    names = {str(status.get("name")) for status in waiting}
    containers = [*(at(pod, "spec", "initContainers") or ()), *(at(pod, "spec", "containers") or ())]
    return next((str(c.get("image")) for c in containers if c.get("name") in names), "")


def _pulling(said: str, image: str) -> str:
    """What is said of pulling an image, without the steps to it that are told each time."""
    words = _STEPS.sub("", said).replace(f"{image}: ", "")
    return words if words.strip() else said


def _said_of(pod: Object, events: Iterable[Object]) -> str:
    """The last warning about a pod."""
    uid = at(pod, "metadata", "uid")
    said = [event for event in _warnings(events) if at(event, "involvedObject", "uid") == uid]
    return str(said[0].get("message") or "") if said else ""


def _warnings(events: Iterable[Object]) -> list[Object]:
    """Warnings, the newest first."""
    found = [event for event in events if event.get("type") == "Warning"]
    return sorted(found, key=lambda e: str(e.get("lastTimestamp") or e.get("eventTime") or ""), reverse=True)


def _of(pod: Object, why: str, setting: str = "") -> Failure:
    machine = str(at(pod, "spec", "nodeName") or "")
    return Failure(name_of(pod), machine, rank_of(pod), why, setting=setting)


def _who(pod: Object) -> str:
    rank = rank_of(pod)
    return f"pod {name_of(pod)}" if rank is None else f"node {rank}"


def _seconds_since(text: object, now: datetime) -> float:
    since = time_of(text)
    return 0.0 if since is None else (now - since).total_seconds()


def _brief(text: object, longest: int = 240) -> str:
    words = " ".join(str(text or "").split())
    return words if len(words) <= longest else f"{words[: longest - 3]}..."
