"""The loop that all controllers of the cluster run in: what has changed is looked at, what is wanted is done.

It is one thread: what was written is known at once, before a watch tells of it, so that no controller does a
thing twice. Only what watches and what waits for processes is beside it, and puts what it saw into the queue.
"""

import heapq
import itertools
import queue
import threading
import time
import traceback
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from builders.cluster.api import Api
from builders.cluster.changes import Bind, Change, Create, Delete, Note, Patch, Wanted
from builders.cluster.kinds import Key, Object, controller_of, key_of, now_text, short_hash, uid_of
from builders.cluster.pace import Pace

Result = TypeVar("Result")
Work = tuple[str, Hashable]
"""A controller's name, and what it is to look at."""
PASSING = (404, 409, 429, 500, 503, 504)
"""Answers that another try can change: objects that came or went, a server that has trouble."""
PATIENCE = 0.2
"""Seconds before what the API refused is tried again."""


class Store:
    """Objects of each kind as they were last seen."""

    def __init__(self) -> None:
        self._kinds: dict[str, dict[Key, Object]] = {}
        self._owned: dict[tuple[str, str], set[Key]] = {}
        self.changed = threading.Condition()

    def of(self, kind: str) -> dict[Key, Object]:
        """By namespace and name."""
        return self._kinds.setdefault(kind, {})

    def all(self, kind: str) -> list[Object]:
        """All of a kind."""
        return list(self.of(kind).values())

    def owned(self, kind: str, owner: Object) -> list[Object]:
        """Those that an object made."""
        objects = self.of(kind)
        return [objects[key] for key in sorted(self._owned.get((kind, uid_of(owner)), ()))]

    def _owner(self, kind: str, thing: Object) -> set[Key]:
        owner = controller_of(thing) or {"uid": ""}
        return self._owned.setdefault((kind, owner["uid"]), set())

    def put(self, kind: str, thing: Object) -> bool:
        """Keep an object, unless a newer one is known; tells whether it was kept."""
        old = self.of(kind).get(key_of(thing))
        if old and _version(old) >= _version(thing):
            return False
        with self.changed:
            if old:
                self._owner(kind, old).discard(key_of(thing))
            self.of(kind)[key_of(thing)] = thing
            self._owner(kind, thing).add(key_of(thing))
            self.changed.notify_all()
        return True

    def remove(self, kind: str, thing: Object) -> bool:
        """Forget an object, unless another has its name by now."""
        old = self.of(kind).get(key_of(thing))
        if not old or (uid_of(old) != uid_of(thing) and _version(old) > _version(thing)):
            return False
        with self.changed:
            self._owner(kind, old).discard(key_of(thing))
            del self.of(kind)[key_of(thing)]
            self.changed.notify_all()
        return True


def _version(thing: Object) -> int:
    return int(thing["metadata"]["resourceVersion"])


class Loop:
    """Runs controllers until it is stopped.

    Args:
        api: where objects are.
        kinds: those that are watched.
        look: what a controller wants after a look at something: called with both names of a `Work`.
        concerned: what is to be looked at when an object has changed or is gone.
        pace: of the cluster's time.
    """

    def __init__(
        self,
        api: Api,
        kinds: tuple[str, ...],
        *,
        look: Callable[[str, Any], Wanted],
        concerned: Callable[[Object], Iterator[Work]],
        pace: Pace,
    ) -> None:
        self.api, self.pace = api, pace
        self.store = Store()
        self.faults: list[str] = []
        self._look, self._concerned = look, concerned
        self._queue: queue.SimpleQueue[tuple[str, str, Any]] = queue.SimpleQueue()
        self._marked: dict[Work, None] = {}
        self._due: list[tuple[float, int, Work]] = []
        self._number = itertools.count()
        self._told: dict[str, tuple[Key, int]] = {}
        self._stopped = threading.Event()
        self._paused = False
        self._unlisted = set(kinds)
        self._threads = [
            threading.Thread(target=api.follow, args=(kind, self._hear, self._stopped), daemon=True)
            for kind in kinds
        ]
        self._threads.append(threading.Thread(target=self._run, daemon=True))

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the controllers; what watches ends when the API closes its connections."""
        self._stopped.set()
        self._hear("", "WAKE", None)
        self._threads[-1].join(30)

    def call(self, function: Callable[[], Result]) -> Result:
        """Have the loop's thread run a function, and give its result."""
        future: Future[Result] = Future()
        self._hear("", "CALL", (function, future))
        return future.result(60)

    def pause(self, *, on: bool) -> None:
        """Do nothing, and only take in what changes, until it is told to go on."""
        self.call(lambda: setattr(self, "_paused", on))

    def mark(self, *work: Work) -> None:
        """Have things looked at, from any thread."""
        for one in work:
            self._hear("", "MARK", one)

    def later(self, seconds: float, work: Work) -> None:
        """Have a thing looked at after some real seconds; in the loop's thread."""
        heapq.heappush(self._due, (time.monotonic() + seconds, next(self._number), work))

    def _hear(self, kind: str, happened: str, thing: Any) -> None:
        self._queue.put((kind, happened, thing))

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._take_in()
            while self._due and self._due[0][0] <= time.monotonic():
                self._marked[heapq.heappop(self._due)[2]] = None
            for work in [] if self._waits else list(self._marked):
                self._marked.pop(work, None)
                self._work(work)

    @property
    def _waits(self) -> bool:
        """Whether nothing is to be done: it is paused, or does not know yet what there is."""
        return self._paused or bool(self._unlisted)

    def _take_in(self) -> None:
        """Wait for news, and take in all that there is."""
        wait = max(self._due[0][0] - time.monotonic(), 0) if self._due else None
        try:
            self._handle(*self._queue.get(timeout=0 if self._marked and not self._waits else wait))
            while True:
                self._handle(*self._queue.get_nowait())
        except queue.Empty:
            return

    def _handle(self, kind: str, happened: str, thing: Any) -> None:
        if happened == "CALL":
            function, future = thing
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)
        elif happened == "MARK":
            self._marked[thing] = None
        elif happened == "ALL":
            self._unlisted.discard(kind)
            there = {uid_of(one) for one in thing}
            for one in self.store.all(kind):
                if uid_of(one) not in there:
                    self._seen(one, gone=True)
            for one in thing:
                self._seen(one)
        elif happened in ("ADDED", "MODIFIED", "DELETED"):
            self._seen(thing, gone=happened == "DELETED")

    def _seen(self, thing: Object, *, gone: bool = False) -> None:
        changed = (self.store.remove if gone else self.store.put)(thing["kind"], thing)
        if changed:
            self._marked.update(dict.fromkeys(self._concerned(thing)))

    def _work(self, work: Work) -> None:
        try:
            wanted = self._look(*work)
            if wanted.again is not None:
                self.later(wanted.again * self.pace.second, work)
            for change in wanted.changes:
                self.carry_out(change)
        except ApiException as error:
            if error.status not in PASSING:
                self.faults.append(f"{work}: {error.status} {error.body}")
            self.later(PATIENCE, work)
        except (HTTPError, OSError):
            self.later(PATIENCE, work)
        except Exception:
            self.faults.append(f"{work}: {traceback.format_exc()}")
            self.later(PATIENCE, work)

    def carry_out(self, change: Change) -> None:
        """Do one change, and know of it; in the loop's thread."""
        match change:
            case Create(body):
                self._seen(self._own(self.api.create(body), body["kind"]))
            case Patch(kind, key, body, status):
                answer = self.api.patch(kind, key, body, under="/status" if status else "")
                self._seen(self._own(answer, kind))
            case Delete(kind, key, uid, propagation, grace):
                options = {"propagationPolicy": propagation, "preconditions": {"uid": uid}}
                if grace is not None:
                    options["gracePeriodSeconds"] = grace
                self._forget_missing(kind, key, options)
            case Bind(key, node):
                target = {"apiVersion": "v1", "kind": "Node", "name": node}
                body = {"apiVersion": "v1", "kind": "Binding", "target": target}
                meta = {"metadata": {"name": key[1], "namespace": key[0]}}
                self.api.post("Pod", key, {**body, **meta}, under="/binding")
                pod = self.api.get("Pod", key)
                if pod:
                    self._seen(self._own(pod, "Pod"))
            case Note():
                self._note(change)

    def _forget_missing(self, kind: str, key: Key, options: Object) -> None:
        try:
            answer = self.api.delete(kind, key, options)
        except ApiException as error:
            if error.status not in (404, 409):
                raise
            return
        if answer.get("kind") == kind and answer["metadata"].get("deletionTimestamp"):
            self._seen(self._own(answer, kind))

    @staticmethod
    def _own(thing: Object, kind: str) -> Object:
        return {**thing, "kind": kind}

    def _note(self, note: Note) -> None:
        """Write an event, or count it up where it was written before."""
        about = note.about
        namespace, name = key_of(about)
        same = short_hash(uid_of(about), note.reason, note.message, note.source)
        known = self._told.get(same)
        if known:
            self._told[same] = (known[0], known[1] + 1)
            self.api.patch("Event", known[0], {"count": known[1] + 1, "lastTimestamp": now_text()})
            return
        key = (namespace or "default", f"{name}.{same}{next(self._number):x}")
        reference = {"apiVersion": about["apiVersion"], "kind": about["kind"], "name": name}
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"namespace": key[0], "name": key[1]},
            "involvedObject": {**reference, "namespace": namespace, "uid": uid_of(about)},
            "reason": note.reason,
            "message": note.message,
            "type": "Warning" if note.warning else "Normal",
            "source": {"component": note.source},
            "reportingComponent": note.source,
            "firstTimestamp": now_text(),
            "lastTimestamp": now_text(),
            "count": 1,
        }
        self.api.create(body)
        self._told[same] = (key, 1)
