"""A Kubernetes API in this process, over HTTP: ``with kubernetes_api() as api``."""

import asyncio
import concurrent.futures
import contextlib
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from aiohttp import web

from builders.kube.access import AUTHENTICATED, account_user
from builders.kube.calls import Call, User
from builders.kube.certificates import server_context
from builders.kube.cluster import ADMIN, SYSTEM, Cluster
from builders.kube.custom import INSTALLED
from builders.kube.faults import Faults
from builders.kube.logs import Logs
from builders.kube.objects import Writer
from builders.kube.server import Server
from builders.kube.store import Object
from builders.kube.tools import schemas_folder
from builders.kube.watching import Watch

T = TypeVar("T")


class KubernetesApi:
    """An API that runs in a thread of its own.

    Attributes:
        token: of the cluster's administrator.
        kubeconfig: a file that names both.
        faults: what goes wrong on command.
        logs: of containers that run in this process.
        audit: every request that was authenticated.
    """

    def __init__(self, folder: Path, custom: Iterable[str] = tuple(INSTALLED)) -> None:
        schemas_folder()  # whose first time is a download, which may take longer than an answer
        self.folder = folder
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="kubernetes-api", daemon=True)
        self._thread.start()
        self.cluster = self.act(lambda: Cluster(custom))
        self.server = Server(self.cluster)
        self.port = self.plain_port = 0
        self._context = server_context(folder)
        self.start()
        self.token = self.cluster.access.issue(ADMIN)
        self.kubeconfig = self.kubeconfig_of(self.token, "admin")

    @property
    def url(self) -> str:
        """Where it is, with TLS: kubectl and helm present no token without."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def plain_url(self) -> str:
        """The same without TLS, for clients that do not mind and tests that count the cost."""
        return f"http://127.0.0.1:{self.plain_port}"

    @property
    def certificate(self) -> Path:
        """Authority that clients of ``url`` trust."""
        return self.folder / "ca.crt"

    @property
    def faults(self) -> Faults:
        return self.cluster.faults

    @property
    def logs(self) -> Logs:
        return self.cluster.logs

    @property
    def system(self) -> Writer:
        """Who writes as the cluster itself."""
        return SYSTEM

    @property
    def audit(self) -> list[Call]:
        return self.server.audit

    def account_token(self, namespace: str, name: str) -> str:
        """A token of a service account."""
        return self.cluster.access.issue(account_user(namespace, name))

    def user_token(self, name: str, *groups: str) -> str:
        """A token of a person, who may do what is bound to the name or the groups."""
        return self.cluster.access.issue(User(name, (*groups, AUTHENTICATED)))

    def kubeconfig_of(self, token: str, name: str, namespace: str = "default") -> Path:
        """A kubeconfig that presents a token."""
        context = {"cluster": "test", "user": name, "namespace": namespace}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "test",
                    "cluster": {"server": self.url, "certificate-authority": str(self.certificate)},
                }
            ],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": name, "context": context}],
            "current-context": name,
        }
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return path

    def put(self, *items: Object) -> list[Object]:
        """Create objects as the administrator, without a request."""
        return self.act(lambda: [self.cluster.put(item) for item in items])

    def all(self, resource: str) -> list[Object]:
        """Every object of a kind, as ``jobs.batch``."""
        return self.act(lambda: self.cluster.store.all(resource))

    def get(self, resource: str, name: str, namespace: str = "") -> Object | None:
        """One object, or None."""
        return self.act(lambda: self.cluster.store.get(resource, (namespace, name)))

    def compact(self) -> None:
        """Forget all changes up to now: what goes on from an earlier version is told 410."""
        self.act(self.cluster.store.compact)

    def expire_watches(self) -> int:
        """Tell every open watch that its version is too old, and forget the changes; how many there were."""
        self.compact()
        return self._with_watches(Watch.expire)

    def drop_watches(self, how: Literal["dropped", "ended"] = "dropped") -> int:
        """Cut every open watch off, or end it as a time-out does; how many there were."""
        return self._with_watches(lambda watch: watch.end(how))

    def bookmark(self) -> int:
        """Send a bookmark to every watch that wants them; how many watches there were."""
        return self._with_watches(Watch.bookmark)

    def watches(self) -> list[Call]:
        """Requests whose watches are open."""
        return self.act(lambda: [watch.call for watch in self.server.watches])

    def stop(self) -> None:
        """No one answers any more, as when the server is down; objects stay for ``start``."""
        self._wait(self._close())

    def start(self) -> None:
        """Answer, at the same address as before."""
        self._wait(self._open())

    def close(self) -> None:
        """End it for good.

        Raises:
            ExceptionGroup: it failed at some request, by a fault of its own.
        """
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if self.server.crashes:
            raise ExceptionGroup("the Kubernetes API failed", self.server.crashes)

    def _with_watches(self, act: Callable[[Watch], None]) -> int:
        def each() -> int:
            watches = list(self.server.watches)
            for watch in watches:
                act(watch)
            return len(watches)

        return self.act(each)

    async def _open(self) -> None:
        self._runner = web.ServerRunner(web.Server(self.server.handle), shutdown_timeout=0.1)
        await self._runner.setup()
        for port, context in ((self.port, self._context), (self.plain_port, None)):
            site = web.TCPSite(self._runner, "127.0.0.1", port, ssl_context=context, reuse_address=True)
            await site.start()
        self.port, self.plain_port = (address[1] for address in self._runner.addresses)

    async def _close(self) -> None:
        for watch in list(self.server.watches):
            watch.end("dropped")
        assert self._runner.server
        for connection in self._runner.server.connections:
            if connection.transport:
                connection.transport.abort()
        await self._runner.cleanup()
        await asyncio.sleep(0)

    def _wait(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def act(self, act: Callable[[], T]) -> T:
        """Do something in the API's thread, and give what came of it."""
        future: concurrent.futures.Future[T] = concurrent.futures.Future()

        def run() -> None:
            try:
                future.set_result(act())
            except BaseException as error:
                future.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return future.result(30)


@contextlib.contextmanager
def kubernetes_api(
    folder: Path | None = None, custom: Iterable[str] = tuple(INSTALLED)
) -> Iterator[KubernetesApi]:
    """A Kubernetes API for the time of a block.

    Args:
        folder: for kubeconfigs; one of its own without it.
        custom: names of the definitions that are installed; all of ``INSTALLED`` unless told otherwise.
    """
    with contextlib.ExitStack() as stack:
        place = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kube-")))
        api = KubernetesApi(place, custom)
        stack.callback(api.close)
        yield api
