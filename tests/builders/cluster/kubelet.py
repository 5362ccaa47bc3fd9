"""What the nodes' kubelets do: pods that are bound to a node are made to run there, and ended when asked.

A pod's containers are processes of this machine, one sandbox each. What is missing (an image, a secret, a
volume) is waited for, and said in the pod's status and events, in the kubelet's words.
"""

import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from builders.cluster.changes import Delete, Note, Wanted, status_change
from builders.cluster.containers import BACKING_OFF, Container
from builders.cluster.environment import ConfigError, Read, command_of, environment_of
from builders.cluster.images import Image, PullError, pulled, refusal
from builders.cluster.job_accounts import terminal
from builders.cluster.kinds import Key, Object, key_of, leaving, uid_of
from builders.cluster.listening import FOLDER, listening_alone
from builders.cluster.names import Addresses, host_name
from builders.cluster.pace import Pace
from builders.cluster.quantities import memory_limit
from builders.cluster.sandbox import Sandbox
from builders.cluster.starting import check_user, is_there, mounts_of, not_there, with_address
from builders.cluster.statuses import Run, pod_status
from builders.cluster.volumes import MountError, prepared

SOURCE = "kubelet"
GRACE = 30
SERVER = ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT")
LONGEST_BACKOFF = 300


@dataclass
class Kubelet:
    """The kubelets of all nodes.

    Attributes:
        folder: for disks of pods, claims and logs.
        logs: where the API finds logs of containers.
        images: those that there are, by patterns of names.
        addresses: of pods.
        pace: of the cluster's time.
        server: host and port of the API, as pods reach it.
        read: reads an object of a namespace, by kind, namespace and name.
        token: gives a token of a service account.
        mark: has a pod looked at, from any thread.
        hosts: what a pod's hosts file says.
        said: takes what a container says: uid, container, line.
        began_anew: is told of a container that starts once more, by uid and container.
        held: whether a pod is not made yet, as a test wants it.
        lost: nodes that answer no more.
    """

    folder: Path
    logs: Path
    images: dict[str, Image]
    addresses: Addresses
    pace: Pace
    server: tuple[str, int]
    said: Callable[[str, str, str], None]
    began_anew: Callable[[str, str], None]
    held: Callable[[Object], bool] = lambda _pod: False
    lost: set[str] = field(default_factory=set)
    runs: dict[str, Run] = field(default_factory=dict)
    read: Callable[[str, Key], Object | None] = field(init=False)
    token: Callable[[Key], str] = field(init=False)
    mark: Callable[[Key], None] = field(init=False)
    hosts: Callable[[Object, Run], str] = field(init=False)

    def look(self, pod: Object) -> Wanted:
        """Do what a pod needs now, and tell what its status is."""
        if pod["spec"]["nodeName"] in self.lost:
            return Wanted()
        gone = Delete("Pod", key_of(pod), uid_of(pod), grace=0)
        run = self.runs.get(uid_of(pod))
        if terminal(pod):
            self.forget(uid_of(pod))
            return Wanted([gone] if leaving(pod) else [])
        if run is None:
            run = self._accepted(pod)
        wanted = Wanted()
        self._observe_deadline(pod, run, wanted)
        if leaving(pod) or run.verdict:
            self._end(pod, run, wanted)
        else:
            self._advance(pod, run, wanted)
        status = pod_status(pod, run)
        wanted.changes += status_change(pod, status)
        if leaving(pod) and status["phase"] in ("Succeeded", "Failed"):
            wanted.changes.append(gone)
        return wanted

    def forget(self, uid: str) -> None:
        """End what a pod runs, and forget it."""
        run = self.runs.pop(uid, None)
        if run:
            for container in run.containers.values():
                container.kill()

    def evict(self, pod: Object, run: Run, message: str) -> None:
        """Have a pod's node end it, as something runs out there."""
        run.verdict = ("Evicted", message)
        run.disrupted = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "TerminationByKubelet",
            "message": message,
        }
        self.mark(key_of(pod))

    def lose(self, node: str, pods: list[Object]) -> None:
        """Have a node die with all that runs on it; nobody says so."""
        self.lost.add(node)
        for pod in pods:
            if pod["spec"].get("nodeName") == node:
                self.forget(uid_of(pod))

    def forget_others(self, key: Key, uid: str | None) -> None:
        """End what pods of a name ran that are gone, all but the one of this uid."""
        for other in [other for other, run in self.runs.items() if run.key == key and other != uid]:
            self.forget(other)

    def end_those_without_memory(self, pods: list[Object]) -> None:
        """End containers that have more memory than their limit."""
        for pod in pods:
            run = self.runs.get(uid_of(pod))
            for spec in pod["spec"]["containers"] if run else []:
                limit = memory_limit(spec)
                container = run.containers[spec["name"]]
                if limit is not None and container.memory() > limit:
                    container.killer = "OOMKilled"
                    container.signal(signal.SIGKILL)

    def _accepted(self, pod: Object) -> Run:
        namespace, name = key_of(pod)
        folder = self.folder / "pods" / uid_of(pod)
        (folder / "root").mkdir(parents=True)
        specs = pod["spec"].get("initContainers", []) + pod["spec"]["containers"]
        logs = self.logs / f"{namespace}_{name}_{uid_of(pod)}"
        key = key_of(pod)
        uid = uid_of(pod)
        containers = {
            one["name"]: Container(
                one["name"],
                logs / one["name"],
                lambda: self.mark(key),
                lambda line, name=one["name"]: self.said(uid, name, line),
            )
            for one in specs
        }
        if pod["spec"].get("initContainers"):
            for one in pod["spec"]["containers"]:
                containers[one["name"]].waiting = ("PodInitializing", "")
        run = Run(key, self.addresses.another(), self.addresses.node, folder, containers)
        self.runs[uid] = run
        return run

    def _observe_deadline(self, pod: Object, run: Run, wanted: Wanted) -> None:
        limit = pod["spec"].get("activeDeadlineSeconds")
        if limit is None or run.verdict:
            return
        left = limit - self.pace.since(f"{uid_of(pod)}/active")
        if left > 0:
            wanted.look_again(left)
        else:
            message = "Pod was active on the node longer than the specified deadline"
            run.verdict = ("DeadlineExceeded", message)

    def _end(self, pod: Object, run: Run, wanted: Wanted) -> None:
        """Ask its containers to end; end them when the time for that is over."""
        begun = [one for one in run.containers.values() if one.begun]
        if not run.ending:
            run.ending = True
            for container in begun:
                message = f"Stopping container {container.name}"
                wanted.changes.append(Note(pod, "Killing", message, SOURCE))
                container.signal(signal.SIGTERM)
        grace = pod["metadata"].get("deletionGracePeriodSeconds")
        if run.verdict and run.verdict[0] == "Evicted":
            grace = 0
        if grace is None:
            grace = pod["spec"].get("terminationGracePeriodSeconds", GRACE)
        left = grace - self.pace.since(f"{uid_of(pod)}/ending")
        if begun and left > 0:
            wanted.look_again(left)
        for container in begun if left <= 0 else ():
            container.signal(signal.SIGKILL)

    def _advance(self, pod: Object, run: Run, wanted: Wanted) -> None:
        """Start what can be started, in order."""
        if self.held(pod):
            return
        policy = pod["spec"].get("restartPolicy", "Always")
        for spec in pod["spec"].get("initContainers", []):
            container = run.containers[spec["name"]]
            if container.ended and container.ended["exitCode"] and policy != "Never":
                self._again(pod, container, wanted)
            self._start(pod, spec, run, wanted)
            if not container.ended or container.ended["exitCode"]:
                return
        for spec in pod["spec"]["containers"]:
            container = run.containers[spec["name"]]
            if container.ended and (
                policy == "Always" or (policy == "OnFailure" and container.ended["exitCode"])
            ):
                self._again(pod, container, wanted)
            self._start(pod, spec, run, wanted)

    def _again(self, pod: Object, container: Container, wanted: Wanted) -> None:
        """Have a container that ended start once more, after a wait that grows."""
        wait = min(self.pace.restart * 2**container.restarts, LONGEST_BACKOFF)
        left = wait - self.pace.since(f"{uid_of(pod)}/{container.name}/{container.restarts}")
        if left <= 0:
            container.restart()
            self.began_anew(uid_of(pod), container.name)
            return
        wanted.look_again(left)
        namespace, name = key_of(pod)
        where = f"container={container.name} pod={name}_{namespace}({uid_of(pod)})"
        if container.restarts:
            own = f"{name}_{namespace}({uid_of(pod)})"
            message = f"Back-off restarting failed container {container.name} in pod {own}"
            wanted.changes.append(Note(pod, "BackOff", message, SOURCE, warning=True))
            container.last = container.ended
            container.waiting = (
                BACKING_OFF,
                f"back-off {10 * 2**container.restarts}s restarting failed {where}",
            )

    def _start(self, pod: Object, spec: Object, run: Run, wanted: Wanted) -> None:
        container = run.containers[spec["name"]]
        if container.ended or container.begun:
            return
        try:
            if run.volumes is None:
                claims = self.folder / "claims"
                run.volumes = prepared(
                    pod, (run.folder / "volumes", claims), self._reader(pod), self._token(pod)
                )
            image = self._image(pod, spec, container, wanted)
            check_user(pod, spec, image)
            variables = environment_of(spec, with_address(pod, run), self._reader(pod))
        except MountError as error:
            wanted.changes.append(Note(pod, "FailedMount", str(error), SOURCE, warning=True))
            wanted.look_again(self.pace.restart)
            return
        except PullError as error:
            told, container.waiting = refusal(spec["image"], container.waiting, error)
            wanted.changes += [Note(pod, *one, SOURCE, warning=one[0] != "BackOff") for one in told]
            wanted.look_again(self.pace.restart)
            return
        except ConfigError as error:
            container.waiting = ("CreateContainerConfigError", str(error))
            wanted.changes.append(Note(pod, "Failed", f"Error: {error}", SOURCE, warning=True))
            wanted.look_again(self.pace.restart)
            return
        self._create(pod, (spec, image), run, variables)
        for reason in ("Created", "Started"):
            wanted.changes.append(Note(pod, reason, f"{reason} container {container.name}", SOURCE))

    def _reader(self, pod: Object) -> Read:
        return lambda kind, name: self.read(kind, (key_of(pod)[0], name))

    def _token(self, pod: Object) -> Callable[[], str]:
        account = (key_of(pod)[0], pod["spec"].get("serviceAccountName", "default"))
        return lambda: self.token(account)

    def _image(self, pod: Object, spec: Object, container: Container, wanted: Wanted) -> Image:
        names = [one["name"] for one in pod["spec"].get("imagePullSecrets") or []]
        there = {name for name in names if self.read("Secret", (key_of(pod)[0], name))}
        image = pulled(spec["image"], self.images, there)
        message = f'Container image "{spec["image"]}" already present on machine'
        wanted.changes.append(Note(pod, "Pulled", message, SOURCE))
        return image

    def _create(self, pod: Object, what: tuple[Object, Image], run: Run, variables: dict[str, str]) -> None:
        spec, image = what
        container = run.containers[spec["name"]]
        if image.idle:
            container.idle()
            return
        server = dict(zip(SERVER, map(str, self.server), strict=True))
        given = {"HOSTNAME": host_name(pod), **server, **listening_alone(run.address)}
        own = {**given, **image.environment, **variables}
        words = command_of(spec, image.entrypoint, own)
        mounts = mounts_of(spec, run, own)
        if not is_there(words, own.get("PATH", ""), mounts):
            container.fail_to_start(not_there(words))
            return
        hosts = run.folder / "hosts"
        hosts.write_text(self.hosts(pod, run))
        work = run.folder / "disk" / spec["name"]
        work.mkdir(parents=True, exist_ok=True)
        visible = (*image.folders, FOLDER.resolve(), run.folder)
        closed = bool((spec.get("securityContext") or {}).get("readOnlyRootFilesystem"))
        sandbox = Sandbox(run.folder / "root", hosts, host_name(pod), mounts, visible, closed)
        container.start(sandbox, words, own, spec.get("workingDir") or str(work))
