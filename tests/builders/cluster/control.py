"""The controllers of a cluster, and which of them has to look at what when an object changes."""

from collections.abc import Callable, Iterator
from typing import Any

from builders.cluster import jobs, jobsets, queues, trainjobs
from builders.cluster.api import Api
from builders.cluster.changes import Delete, Patch, Wanted
from builders.cluster.job_accounts import TRACKING, terminal, tracked
from builders.cluster.kinds import (
    Key,
    Object,
    controller_of,
    holds,
    key_of,
    labels_of,
    leaving,
    status_of,
    uid_of,
    with_condition,
)
from builders.cluster.kubelet import Kubelet
from builders.cluster.loop import Loop, Work
from builders.cluster.names import hosts_file
from builders.cluster.pace import Pace
from builders.cluster.progress import StatusServer
from builders.cluster.scheduler import Cluster as Seen
from builders.cluster.scheduler import disrupted, schedule
from builders.cluster.statuses import Run

WATCHED = (
    "Node",
    "Pod",
    "Service",
    "PersistentVolumeClaim",
    "Job",
    "JobSet",
    "TrainJob",
    "TrainingRuntime",
    "ClusterTrainingRuntime",
    "LocalQueue",
    "Workload",
)
MEMORY_SECONDS = 0.25
JOBS, JOBSETS = "kubernetes.io/job-controller", "jobset.sigs.k8s.io/jobset-controller"
"""Who manages Jobs and JobSets that name no other."""
MADE_BY = {"Job": "job", "JobSet": "jobset", "TrainJob": "trainjob"}


class Control:
    """All controllers.

    Args:
        api: where objects are.
        kubelet: of all nodes.
        pace: of the cluster's time.
        admission: what a test has decided for queues.
    """

    def __init__(self, api: Api, kubelet: Kubelet, pace: Pace, admission: queues.Admission) -> None:
        self.api, self.kubelet, self.pace, self.admission = api, kubelet, pace, admission
        self.loop = Loop(api, WATCHED, look=self._look, concerned=self._concerned, pace=pace)
        self.store = self.loop.store
        self._looks: dict[str, Callable[[Any], Wanted]] = {
            "job": self._job,
            "jobset": self._jobset,
            "trainjob": self._trainjob,
            "queue": self._queue,
            "schedule": self._schedule,
            "pod": self._pod,
            "names": self._names,
            "node": self._node,
            "memory": self._memory,
        }
        self.statuses = StatusServer(api, kubelet.folder / "statuses")
        kubelet.read, kubelet.token = api.get, api.token
        kubelet.mark = lambda key: self.loop.mark(("pod", key))
        kubelet.hosts = self._hosts

    def start(self) -> None:
        """Begin."""
        self.loop.start()
        self.loop.mark(("memory", ""))

    def stop(self) -> None:
        """End the controllers, and all that pods run."""
        self.loop.stop()
        self.statuses.close()
        for uid in list(self.kubelet.runs):
            self.kubelet.forget(uid)

    def _look(self, controller: str, what: Any) -> Wanted:
        return self._looks[controller](what)

    def _concerned(self, thing: Object) -> Iterator[Work]:
        """What is to be looked at when an object has changed or is gone."""
        kind, key = thing["kind"], key_of(thing)
        owner = controller_of(thing)
        if owner and owner["kind"] in MADE_BY:
            yield MADE_BY[owner["kind"]], (key[0], owner["name"])
        if kind in MADE_BY:
            yield MADE_BY[kind], key
            if queues.is_queued(thing):
                yield "queue", (kind, key)
        elif kind == "Pod":
            yield from self._of_pod(thing)
        elif kind in ("Node", "PersistentVolumeClaim"):
            yield from self._unscheduled()
            if kind == "Node":
                yield "node", key[1]
        elif kind in ("TrainingRuntime", "ClusterTrainingRuntime"):
            yield from (("trainjob", one) for one in self.store.of("TrainJob"))
        elif kind == "LocalQueue":
            yield from self.queued()
        elif kind == "Workload" and owner:
            yield "queue", (owner["kind"], (key[0], owner["name"]))
        elif kind == "Service":
            yield "names", key[0]

    def _of_pod(self, pod: Object) -> Iterator[Work]:
        key = key_of(pod)
        there = self.store.of("Pod").get(key)
        yield ("pod" if pod["spec"].get("nodeName") else "schedule"), key
        if terminal(pod) or there is None:
            yield from self._unscheduled()
        if self._known_by_name(pod):
            yield "names", key[0]

    def _known_by_name(self, pod: Object) -> bool:
        services = [one for one in self.store.of("Service") if one[0] == key_of(pod)[0]]
        return bool(services) and bool(status_of(pod).get("podIP"))

    def _unscheduled(self) -> Iterator[Work]:
        for key, pod in self.store.of("Pod").items():
            if not pod["spec"].get("nodeName") and not leaving(pod):
                yield "schedule", key

    def queued(self) -> Iterator[Work]:
        """All that a queue decides on."""
        for kind in queues.QUEUED:
            for key, thing in self.store.of(kind).items():
                if queues.is_queued(thing):
                    yield "queue", (kind, key)

    def _job(self, key: Key) -> Wanted:
        job = self.store.of("Job").get(key)
        if job is None:
            return Wanted([change for pod in self.store.all("Pod") for change in _freed(pod, key)])
        if job["spec"].get("managedBy", JOBS) != JOBS:
            return Wanted()
        return jobs.reconcile(job, self.store.owned("Pod", job), self.pace)

    def _jobset(self, key: Key) -> Wanted:
        jobset = self.store.of("JobSet").get(key)
        if jobset is None or jobset["spec"].get("managedBy", JOBSETS) != JOBSETS:
            return Wanted()
        return jobsets.reconcile(jobset, self.store.owned("Job", jobset), self.store.of("Service"), self.pace)

    def _trainjob(self, key: Key) -> Wanted:
        train = self.store.of("TrainJob").get(key)
        if train is None:
            return Wanted()
        reference = train["spec"]["runtimeRef"]
        kind = reference.get("kind", "ClusterTrainingRuntime")
        where = (key[0] if kind == "TrainingRuntime" else "", reference["name"])
        jobset = self.store.of("JobSet").get(key)
        if jobset and (controller_of(jobset) or {}).get("uid") != uid_of(train):
            jobset = None
        runtime = self.store.of(kind).get(where) or self.api.get(kind, where)
        address = self.statuses.address(key)
        return trainjobs.reconcile(train, runtime, jobset, pace=self.pace, address=address)

    def _queue(self, what: tuple[str, Key]) -> Wanted:
        kind, key = what
        thing = self.store.of(kind).get(key)
        if thing is None or not queues.is_queued(thing):
            return Wanted()
        queue = self.store.of("LocalQueue").get((key[0], labels_of(thing)[queues.QUEUE]))
        workload = self.store.of("Workload").get(queues.workload_key(thing))
        return queues.reconcile(thing, queue, workload, self.admission)

    def _schedule(self, key: Key) -> Wanted:
        pod = self.store.of("Pod").get(key)
        if pod is None or pod["spec"].get("nodeName") or terminal(pod) or leaving(pod):
            return Wanted()
        claims = self.store.of("PersistentVolumeClaim")
        nodes = self.store.all("Node")
        return schedule(pod, Seen(nodes, self.store.all("Pod"), lambda *claim: claim in claims))

    def _pod(self, key: Key) -> Wanted:
        pod = self.store.of("Pod").get(key)
        self.kubelet.forget_others(key, uid_of(pod) if pod else None)
        if pod is None or not pod["spec"].get("nodeName"):
            return Wanted()
        return self.kubelet.look(pod)

    def _hosts(self, pod: Object, run: Run) -> str:
        placed = {**pod, "status": {**status_of(pod), "podIP": run.address}}
        return hosts_file(placed, self.store.all("Pod"), self.store.all("Service"))

    def _names(self, namespace: str) -> Wanted:
        """Write the hosts files of a namespace's pods anew; they are mounted, so each stays the same file."""
        for pod in self.store.all("Pod"):
            run = self.kubelet.runs.get(uid_of(pod))
            hosts = run.folder / "hosts" if run else None
            if hosts and hosts.exists() and key_of(pod)[0] == namespace:
                text = self._hosts(pod, run)
                if hosts.read_text() != text:
                    hosts.write_text(text)
        return Wanted()

    def _memory(self, _: str) -> Wanted:
        running = [pod for pod in self.store.all("Pod") if uid_of(pod) in self.kubelet.runs]
        self.kubelet.end_those_without_memory(running)
        return Wanted(again=MEMORY_SECONDS / self.pace.second)

    def _node(self, name: str) -> Wanted:
        """Move pods off a node that is lost, and forget those of one that is gone."""
        node = self.store.of("Node").get(("", name))
        here = [pod for pod in self.store.all("Pod") if pod["spec"].get("nodeName") == name]
        if node is None:
            return Wanted([change for pod in here for change in _collected(pod)])
        if name not in self.kubelet.lost:
            return Wanted()
        left = self.pace.unreachable - self.pace.since(f"{uid_of(node)}/lost")
        if left > 0:
            return Wanted(again=left)
        wanted = Wanted()
        for pod in here:
            if not leaving(pod) and not terminal(pod):
                message = "Taint manager: deleting due to NoExecute taint"
                wanted.changes += disrupted(pod, "DeletionByTaintManager", message)
                wanted.changes.append(Delete("Pod", key_of(pod), uid_of(pod)))
        return wanted


def _freed(pod: Object, job: Key) -> Iterator[Patch]:
    """Take a pod's finalizer off where its Job is gone."""
    owner = controller_of(pod)
    if tracked(pod) and owner and owner["kind"] == "Job" and (key_of(pod)[0], owner["name"]) == job:
        rest = [one for one in pod["metadata"]["finalizers"] if one != TRACKING]
        yield Patch("Pod", key_of(pod), {"metadata": {"finalizers": rest or None}})


def _collected(pod: Object) -> Iterator[Patch | Delete]:
    """What the pod collector does with a pod whose node is no more."""
    if not terminal(pod):
        conditions = status_of(pod).get("conditions") or []
        if not holds(pod, "DisruptionTarget"):
            message = "PodGC: node no longer exists"
            new = {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "DeletionByPodGC",
                "message": message,
            }
            conditions = with_condition(conditions, new)
        status = {"phase": "Failed", "conditions": conditions}
        yield Patch("Pod", key_of(pod), {"status": status}, status=True)
    yield Delete("Pod", key_of(pod), uid_of(pod), grace=0)
