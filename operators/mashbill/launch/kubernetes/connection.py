"""A cluster's API, by the official client: JSON goes out and comes back as it is."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from mashbill.config.launch import KubernetesConfig
from mashbill.errors import ConfigError, MashbillError, RunError, line_of, one_line
from mashbill.launch.backend import Handle
from mashbill.launch.kubernetes.objects import Object
from mashbill.launch.unreached import unreached

CONNECT_SECONDS, ANSWER_SECONDS = 5, 30
ANONYMOUS = "system:anonymous"
"""Who the API takes someone for who gave it no token."""
IN_CLUSTER = "in-cluster"
"""What the identity of a pod is called where a context of a kubeconfig is named otherwise."""
MOST_KEPT = 8
_KEPT: "dict[tuple[str, str, str, int], Connection]" = {}
"""By context, namespace, kubeconfig and process: a fork has connections of its own."""
_UNREADABLE = (OSError, ValueError, TypeError, yaml.YAMLError)
"""What the client raises of a kubeconfig that is cut short or names files that are not there."""
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class Refused(Exception):
    """The API answered with an error.

    Attributes:
        status: of HTTP.
        reason: Kubernetes' word for it.
        message: for people.
    """

    def __init__(self, status: int, body: bytes) -> None:
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        answer = answer if isinstance(answer, dict) else {}
        self.status, self.reason = status, str(answer.get("reason") or "")
        self.message = str(answer.get("message") or body[:200].decode(errors="replace") or f"HTTP {status}")
        super().__init__(f"{status} {self.message}")

    @property
    def passing(self) -> bool:
        """Whether trying again may help."""
        return self.status in (408, 410, 429) or self.status >= 500


@dataclass(frozen=True)
class Place:
    """A namespace of a cluster.

    Attributes:
        context: of the kubeconfig; ``IN_CLUSTER`` is a pod's own identity.
        namespace: in which jobs are.
        server: address of the API.
    """

    context: str
    namespace: str
    server: str = ""

    def __str__(self) -> str:
        return f"namespace {self.namespace} of {self.server} (context {self.context})"

    @classmethod
    def of(cls, pods: KubernetesConfig) -> "Place":
        """What a config names, with what it leaves open as kubectl would have it.

        Raises:
            ConfigError: there is no kubeconfig, or no such context in it.
        """
        if pods.context is None and os.environ.get("KUBERNETES_SERVICE_HOST"):
            own = _ACCOUNT / "namespace"
            namespace = own.read_text(encoding="utf-8").strip() if own.is_file() else "default"
            return cls(IN_CLUSTER, pods.namespace or namespace)
        name, context = _context(pods.context)
        return cls(name, pods.namespace or str(context.get("namespace") or "default"))


def no_answer(place: Place, error: BaseException) -> MashbillError:
    """A cluster that is not reached, in one line: by what a retry may mend, or only a person."""
    found = unreached(error)
    server = f"the cluster of context {place.context} at {place.server}"
    mend = f"{found.mend}: see kubectl cluster-info"
    return replace(found, mend=mend).error("kubernetes.context", server, error)


def no_api(place: Place, answered: str) -> ConfigError:
    """A server that is none of Kubernetes."""
    what = f"{place.server} answers, and is no Kubernetes API ({line_of(answered, 100) or 'an empty answer'})"
    return ConfigError(
        "kubernetes.context", what, "correct the server of the context, or log in to its proxy"
    )


def another_cluster(handle: Handle, place: Place) -> RunError:
    """A job that isn't there, as this is not the cluster that it was submitted to."""
    what = f"was submitted to {handle.place['server']}, and context {place.context} is {place.server} now"
    return RunError(f"job {handle.name}", what, "set KUBECONFIG or the context as it was")


def as_error(refused: Refused, what: str, place: Place) -> MashbillError:
    """An API's refusal as what the user can do about it.

    Args:
        refused: what it said.
        what: was refused, as ``job x``.
        place: where.
    """
    said = one_line(refused, 400)
    if refused.status == 401 or (refused.status == 403 and ANONYMOUS in refused.message):
        mend = "its token may have run out: log in anew, or name another context"
        return ConfigError("kubernetes.context", f"{place} does not know who this is ({said})", mend)
    if refused.status == 429:
        return RunError(
            what, f"was not taken by {place}, which has too much to do ({said})", "try again later"
        )
    if refused.passing or refused.status == 409:
        return RunError(what, f"was not taken by {place} ({said})", "try again")
    if refused.status < 400:
        return no_api(place, said)
    if refused.status == 403 and "exceeded quota" in refused.message:
        mend = "wait until others' jobs end, or ask for more quota"
        return RunError(what, f"has no room in the quota of {place} ({said})", mend)
    if refused.status == 403:
        return ConfigError(what, f"is forbidden in {place} ({said})", "ask for the right")
    return ConfigError(what, f"is refused by {place} ({said})", "mend what it names")


def connection_to(place: Place) -> "Connection":
    """A connection that this process keeps: to make one may start a program that fetches a token."""
    key = (place.context, place.namespace, os.environ.get("KUBECONFIG", ""), os.getpid())
    if key not in _KEPT:
        if len(_KEPT) == MOST_KEPT:
            forget_connections()
        _KEPT[key] = Connection(place)
    return _KEPT[key]


def forget_connections() -> None:
    """Close what is kept."""
    while _KEPT:
        _KEPT.popitem()[1].close()


class Connection:
    """The API of one namespace.

    Args:
        place: where it is.
    Raises:
        ConfigError: the client is not installed, or the kubeconfig has no such context.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._log_in()

    def _log_in(self) -> None:
        from kubernetes.client import ApiClient

        configuration = _configuration(self.place)
        self.client = ApiClient(configuration)
        self.place = replace(self.place, server=str(configuration.host).rstrip("/"))

    def call(
        self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Object | None = None
    ) -> Object:
        """One request.

        Raises:
            Refused: the API answers with an error.
            ConfigError: it is no API of Kubernetes, or will not be asked by this machine.
            RunError: it does not answer.
        """
        text = self.text(method, path, query=query, body=body)
        try:
            answer: Object = json.loads(text or "{}")
        except ValueError as error:
            raise no_api(self.place, text) from error
        return answer

    def text(
        self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Object | None = None
    ) -> str:
        """One request whose answer is a text, as ``call``."""
        asked = list((query or {}).items())
        status, data = self._request(method, path, asked=asked, body=body)
        if status == 401:  # a token that has run out is fetched anew
            self.close()
            self._log_in()
            status, data = self._request(method, path, asked=asked, body=body)
        if not 200 <= status < 300:
            raise Refused(status, data)
        return data.decode(errors="replace")

    def _request(
        self, method: str, path: str, *, asked: list[tuple[str, Any]], body: Object | None
    ) -> tuple[int, bytes]:
        from urllib3 import Timeout
        from urllib3.exceptions import HTTPError

        headers = {**self.client.default_headers, "Accept": "application/json, */*"}
        headers["Content-Type"] = "application/json"
        self.client.update_params_for_auth(headers, asked, ["BearerToken"])
        try:
            answer = self.client.rest_client.pool_manager.request(
                method,
                f"{self.place.server}{path}" + (f"?{urlencode(asked)}" if asked else ""),
                body=None if body is None else json.dumps(body),
                headers=headers,
                timeout=Timeout(connect=CONNECT_SECONDS, read=ANSWER_SECONDS),
                retries=False,
            )
            return int(answer.status), bytes(answer.data)
        except (HTTPError, OSError) as error:
            raise no_answer(self.place, error) from error

    def found(self, path: str, *, query: Mapping[str, Any] | None = None) -> Object | None:
        """What is there; None where there is nothing."""
        try:
            return self.call("GET", path, query=query)
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def close(self) -> None:
        """End its connections."""
        self.client.rest_client.pool_manager.clear()
        self.client.close()


def _configuration(place: Place) -> Any:
    from kubernetes import config
    from kubernetes.client import Configuration

    made = type.__call__(Configuration)
    try:
        if place.context == IN_CLUSTER:
            config.load_incluster_config(client_configuration=made)
        else:
            path = os.environ.get("KUBECONFIG") or None
            config.load_kube_config(config_file=path, context=place.context, client_configuration=made)
    except (config.ConfigException, *_UNREADABLE) as error:
        raise _no_config(place.context, error) from error
    return made


def _context(name: str | None) -> tuple[str, Object]:
    """A context's name and settings; without a name the current one's."""
    from kubernetes import config

    try:
        contexts, current = config.list_kube_config_contexts(os.environ.get("KUBECONFIG") or None)
    except (config.ConfigException, *_UNREADABLE) as error:
        raise _no_config(name, error) from error
    if name is None:
        return str(current["name"]), dict(current.get("context") or {})
    found = next((context for context in contexts if context["name"] == name), None)
    if found is None:
        what = f"{name} is none of the kubeconfig's contexts ({', '.join(c['name'] for c in contexts)})"
        raise ConfigError("kubernetes.context", what, "name one of them, or set KUBECONFIG")
    return name, dict(found.get("context") or {})


def _no_config(context: str | None, error: Exception) -> ConfigError:
    named = "no context can" if context is None else f"{context} can't"
    what = f"{named} be used ({one_line(error, 120)})"
    return ConfigError("kubernetes.context", what, "set KUBECONFIG, or run kubectl config use-context")
