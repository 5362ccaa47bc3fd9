"""Why a pod failed, in a few words: what Kubernetes says of it, and what its log does."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from mashbill.launch.backend import PAUSED_EXIT, Failure
from mashbill.launch.kubernetes.objects import Object, at, condition, name_of, rank_of

WORDS_OF_CODES = {
    2: "a setting or the data is wrong",
    PAUSED_EXIT: "was asked to end, and has saved",
    126: "the command can't be run",
    127: "no such command in the image",
    134: "aborted",
    137: "killed",
    139: "segmentation fault",
    143: "was asked to end",
}
_FOLLOWS_ANOTHERS = frozenset({PAUSED_EXIT, 134, 137, 143})
"""Exit codes of a node that ends because another has."""
SAID = (
    (r"Watchdog caught collective operation timeout", "NCCL time-out"),
    (r"NCCL.{0,80}tim(e|ed)[ -]?out", "NCCL time-out"),
    (r"ncclSystemError|ncclRemoteError|ncclInternalError|ncclUnhandledCudaError|NCCL error", "NCCL error"),
    (r"CUDA out of memory|torch\.(cuda\.)?OutOfMemoryError", "GPU out of memory"),
    (r"uncorrectable ECC error|CUDA error: (an illegal|unspecified|device-side)|Xid", "GPU error"),
    (r"No space left on device", "disk full"),
    (r"Name or service not known|name resolution|no way to \S+", "no way to the first node"),
    (r"RendezvousTimeoutError|RendezvousConnectionError|RendezvousClosedError", "nodes did not meet"),
)
"""What a log says, and what it is called."""
_EXCUSED = "DisruptionTarget"


def newest(pods: Iterable[Object]) -> list[Object]:
    """The last pod of each rank, by rank."""
    found: dict[int | None, Object] = {}
    for pod in sorted(pods, key=lambda pod: str(at(pod, "metadata", "creationTimestamp"))):
        found[rank_of(pod)] = pod
    return [found[rank] for rank in sorted(found, key=lambda rank: -1 if rank is None else rank)]


def ended_badly(pod: Object) -> bool:
    """Whether a pod has failed, or is about to: its container has ended with an error."""
    return at(pod, "status", "phase") == "Failed" or terminated(pod) is not None


def excused(pod: Object) -> bool:
    """Whether its end was none of its own doing: it was disrupted, or asked to end and has saved."""
    end = terminated(pod)
    return condition(pod, _EXCUSED) is not None or (end is not None and end.get("exitCode") == PAUSED_EXIT)


def terminated(pod: Object) -> Object | None:
    """How the container of a pod ended that ended with an error; our own before others."""
    ends = [(status, end) for status in statuses(pod) if (end := at(status, "state", "terminated"))]
    bad = [(status, end) for status, end in ends if end.get("exitCode")]
    bad.sort(key=lambda pair: pair[0].get("name") not in ("mashbill", "node"))
    return bad[0][1] if bad else None


def statuses(pod: Object) -> list[Object]:
    """Of a pod's containers, those that prepare first."""
    status = at(pod, "status") or {}
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def culprit(pods: Sequence[Object], told: str = "") -> Object | None:
    """The pod that a job failed by: which its condition names, else the first of the last pods to fail, those
    left aside that ended because another had.

    Args:
        pods: of the job.
        told: the message of its condition.
    """
    failing = [pod for pod in newest(pods) if ended_badly(pod)]
    named = [pod for pod in pods if re.search(rf"[/ ]{re.escape(name_of(pod))}\b(?!-)", told)]
    if named and ended_badly(named[0]):
        return named[0]
    return min(failing, key=_order, default=None)


def _order(pod: Object) -> tuple[bool, str, int]:
    end = terminated(pod) or {}
    oom = end.get("reason") == "OOMKilled"
    follows = not oom and (excused(pod) or end.get("exitCode") in _FOLLOWS_ANOTHERS)
    return bool(follows), str(end.get("finishedAt") or "9999"), rank_of(pod) or 0


def failure_of(pod: Object) -> Failure:
    """What is known of a failed pod without its log; its last words where Kubernetes kept some."""
    end = terminated(pod) or {}
    code = end.get("exitCode")
    return Failure(
        where=name_of(pod),
        machine=str(at(pod, "spec", "nodeName") or ""),
        rank=rank_of(pod),
        why=_why(pod, end),
        exit_code=code if isinstance(code, int) else None,
        last_words=str(end.get("message") or "").strip(),
    )


def with_log(failure: Failure, log: str) -> Failure:
    """A failure, with the end of the pod's log, and what is known by it."""
    words = log.strip() or failure.last_words
    said = next((name for pattern, name in SAID if re.search(pattern, words)), None)
    why = failure.why if said is None or failure.exit_code == 0 else f"{said} ({failure.why})"
    return replace(failure, why=why, last_words=words)


def why_exited(code: int) -> str:
    """What an exit code means."""
    words = WORDS_OF_CODES.get(code)
    return f"exit code {code}" + (f": {words}" if words else "")


def line_of(failure: Failure) -> str:
    """A failure in one line: which node, pod and machine, and why."""
    node = "" if failure.rank is None else f"node {failure.rank}, "
    machine = f" on {failure.machine}" if failure.machine else ""
    return f"{node}{failure.where}{machine}: {failure.why}"


def _why(pod: Object, end: Object) -> str:
    reason, message = at(pod, "status", "reason"), _short(at(pod, "status", "message"))
    if reason == "Evicted":
        return f"evicted: {message}"
    if end.get("reason") == "OOMKilled":
        return "OOMKilled" + _limit(pod)
    disrupted = condition(pod, _EXCUSED)
    if disrupted:
        return f"disrupted: {disrupted.get('reason')}: {_short(disrupted.get('message'))}".rstrip(": ")
    if reason:
        return f"{reason}: {message}".rstrip(": ")
    if end.get("reason") in ("ContainerCannotRun", "StartError"):
        return f"the command can't be started: {_short(end.get('message'))}"
    code = end.get("exitCode")
    if code is None:
        return "failed, and Kubernetes says nothing of it"
    return why_exited(code)


def _limit(pod: Object) -> str:
    limits = [
        at(container, "resources", "limits", "memory") for container in at(pod, "spec", "containers") or ()
    ]
    found = next((limit for limit in limits if limit), None)
    return f" (limit {found})" if found else ""


def _short(text: object, longest: int = 300) -> str:
    words = " ".join(str(text or "").split())
    return words if len(words) <= longest else f"{words[: longest - 3]}..."
