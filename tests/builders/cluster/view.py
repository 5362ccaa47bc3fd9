"""What a client of the cluster does in tests: makes objects, looks at them, waits for what is wanted."""

import time
from collections.abc import Callable
from typing import TypeVar

from builders.cluster.api import Api
from builders.cluster.kinds import Object, key_of, status_of, uid_of
from builders.cluster.loop import Store
from builders.kube.logs import Logs

Found = TypeVar("Found")
NAMESPACE = "default"
PATIENCE = 300.0
"""Real seconds: enough for torch to be imported where many others work."""
EVERYWHERE = ("Node", "Namespace", "ClusterTrainingRuntime", "PriorityClass")


class View:
    """The cluster as its clients see it.

    Attributes:
        api: as controllers use it.
        faults: what went wrong in the controllers themselves: nothing, unless they have a fault.
    """

    def __init__(self, api: Api, store: Store, logs: Logs, faults: list[str]) -> None:
        self.api, self.faults = api, faults
        self._store, self._logs = store, logs

    def create(self, body: Object) -> Object:
        """Make an object; in the default namespace where it names none."""
        if body["kind"] not in EVERYWHERE:
            body = {**body, "metadata": {"namespace": NAMESPACE, **body["metadata"]}}
        return self.api.create(body)

    def get(self, kind: str, name: str, namespace: str = NAMESPACE) -> Object | None:
        """An object as the API has it; None where there is none."""
        return self.api.get(kind, (namespace, name))

    def pods(self, prefix: str = "", namespace: str = NAMESPACE) -> list[Object]:
        """Pods whose names begin so."""
        return [pod for pod in self.api.all("Pod", namespace) if key_of(pod)[1].startswith(prefix)]

    def wait_for(
        self,
        kind: str,
        name: str,
        wanted: Callable[[Object], object],
        *,
        namespace: str = NAMESPACE,
        patience: float = PATIENCE,
    ) -> Object:
        """An object once it is as wanted.

        Args:
            kind: of it.
            name: of it; of pods and workloads, what the name begins with.
            wanted: tells whether it is so.
            namespace: where it is.
            patience: real seconds after which it never will.
        Raises:
            AssertionError: it has not become so.
        """
        prefixed = kind in ("Pod", "Workload")
        seen: list[Object] = []

        def found() -> Object | None:
            seen[:] = [
                one
                for key, one in list(self._store.of(kind).items())
                if key[0] == namespace and (key[1].startswith(name) if prefixed else key[1] == name)
            ]
            return next((one for one in seen if wanted(one)), None)

        return self._waited(found, lambda: f"{kind} {name}: {[status_of(one) for one in seen]}", patience)

    def wait_until_gone(self, kind: str, name: str, namespace: str = NAMESPACE) -> None:
        """Wait until there is no object of this name; of pods, none whose name begins so."""

        def gone() -> bool:
            keys = [key for key in list(self._store.of(kind)) if key[0] == namespace]
            return not any(key[1].startswith(name) if kind == "Pod" else key[1] == name for key in keys)

        self._waited(gone, lambda: f"{kind} {name} is still there", PATIENCE)

    def wait_until(self, happens: Callable[[], object], patience: float = PATIENCE) -> None:
        """Wait until something is so; it is looked at whenever any object changes."""
        self._waited(happens, lambda: f"it has not happened; pods: {self._phases()}", patience)

    def _phases(self) -> dict[str, str]:
        return {key[1]: status_of(pod).get("phase", "") for key, pod in list(self._store.of("Pod").items())}

    def _waited(self, found: Callable[[], Found | None], why: Callable[[], str], patience: float) -> Found:
        until = time.monotonic() + patience
        changed = self._store.changed
        with changed:
            while True:
                result = found()
                if result:
                    return result
                left = until - time.monotonic()
                assert left > 0, f"{why()}\n" + "\n".join(self.faults)
                changed.wait(min(left, 1.0))

    def log(self, pod: str, container: str = "", namespace: str = NAMESPACE) -> str:
        """What a pod has said."""
        found = self.wait_for("Pod", pod, lambda _: True, namespace=namespace)
        name = container or found["spec"]["containers"][0]["name"]
        return self._logs.text(uid_of(found), name, {}).decode()

    def events(self, name: str, namespace: str = NAMESPACE) -> list[tuple[str, str]]:
        """Reasons and messages of events about objects whose names begin so."""
        return [
            (event["reason"], event["message"])
            for event in self.api.all("Event", namespace)
            if event["involvedObject"]["name"].startswith(name)
        ]
