"""The API as controllers use it: plain objects over HTTP, by the official client."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kubernetes.client import ApiException, Configuration
from kubernetes.config import new_client_from_config
from kubernetes.watch.watch import iter_resp_lines
from urllib3.exceptions import HTTPError

from builders.cluster.kinds import KINDS, Key, Kind, Object

MERGE = "application/merge-patch+json"
CONNECTIONS = 32
Told = Callable[[str, str, Any], None]
"""Takes a kind, what happened (ALL, ADDED, MODIFIED, DELETED), and the object, or all of them."""


class Api:
    """What an API server has.

    Args:
        kubeconfig: how it is reached.
    """

    def __init__(self, kubeconfig: Path) -> None:
        configuration = Configuration()
        configuration.connection_pool_maxsize = CONNECTIONS
        self.client = new_client_from_config(str(kubeconfig), client_configuration=configuration)

    def get(self, kind: str, key: Key) -> Object | None:
        """An object; None where there is none of this name."""
        try:
            return self._call("GET", KINDS[kind].path(key))
        except ApiException as error:
            if error.status == 404:
                return None
            raise

    def all(self, kind: str, namespace: str | None = None) -> list[Object]:
        """All objects of a kind, or those of a namespace."""
        where = KINDS[kind].path(None if namespace is None else (namespace, ""))
        return self._listed(KINDS[kind], where)[0]

    def create(self, body: Object) -> Object:
        """Make an object."""
        kind = KINDS[body["kind"]]
        namespace = body["metadata"].get("namespace", "")
        return self._call("POST", kind.path((namespace, "")), body)

    def patch(self, kind: str, key: Key, body: Object, *, under: str = "") -> Object:
        """Merge a body into an object, or into what is under it, as its status."""
        return self._call("PATCH", KINDS[kind].path(key, under), body)

    def post(self, kind: str, key: Key, body: Object, *, under: str) -> Object:
        """Post to what is under an object."""
        return self._call("POST", KINDS[kind].path(key, under), body)

    def ask(self, path: str, body: Object) -> Object:
        """The answer to a question, which is posted and never stored."""
        return self._call("POST", path, body)

    def token(self, account: Key) -> str:
        """A token of a service account, as a kubelet asks for one."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {}, "spec": {}}
        return self.post("ServiceAccount", account, body, under="/token")["status"]["token"]

    def delete(self, kind: str, key: Key, options: Object | None = None) -> Object:
        """Delete an object, as options say."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", **(options or {})}
        return self._call("DELETE", KINDS[kind].path(key), body)

    def _listed(self, kind: Kind, where: str) -> tuple[list[Object], str]:
        answer = self._call("GET", where)
        own = {"apiVersion": kind.version, "kind": kind.name}
        return [{**item, **own} for item in answer["items"]], answer["metadata"]["resourceVersion"]

    def _call(self, method: str, path: str, body: Object | None = None) -> Object:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = MERGE if method == "PATCH" else "application/json"
        return self.client.call_api(
            path,
            method,
            header_params=headers,
            body=body,
            response_types_map={200: "object", 201: "object", 202: "object"},
            auth_settings=["BearerToken"],
            _return_http_data_only=True,
            _request_timeout=30,
        )

    def follow(self, kind: str, told: Told, stopped: threading.Event) -> None:
        """Tell of all objects of a kind, then of each change, until it is stopped; what breaks is taken up.

        Args:
            kind: its name.
            told: is called with every change, in order.
            stopped: ends it, once the connection says something or closes.
        """
        while not stopped.is_set():
            try:
                items, version = self._listed(KINDS[kind], KINDS[kind].path())
                told(kind, "ALL", items)
                for happened, thing in self._changes(KINDS[kind], version, stopped):
                    told(kind, happened, thing)
            except ApiException as error:
                if error.status == 404:
                    told(kind, "ALL", [])
                stopped.wait(0.5 if error.status == 404 else 0.05)
            except (HTTPError, OSError, ValueError):
                stopped.wait(0.05)

    def _changes(self, kind: Kind, version: str, stopped: threading.Event) -> Iterator[tuple[str, Object]]:
        while not stopped.is_set():
            answer = self.client.call_api(
                kind.path(),
                "GET",
                query_params=[
                    ("watch", "true"),
                    ("resourceVersion", version),
                    ("allowWatchBookmarks", "true"),
                ],
                header_params={"Accept": "application/json"},
                auth_settings=["BearerToken"],
                _preload_content=False,
                _return_http_data_only=True,
                _request_timeout=(5, 600),
            )
            try:
                for line in filter(None, iter_resp_lines(answer)):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        return
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        yield event["type"], event["object"]
                    if stopped.is_set():
                        return
            finally:
                answer.close()
