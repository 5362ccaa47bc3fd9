"""A Kubernetes cluster through Airflow's connection: it becomes a context of the kubeconfig of this process,
in a file that nobody else may read, and under a name that no other has.

Worker and triggerer each make it from the connection; what they hand on is the context's name.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mashbill.config import LaunchConfig
from mashbill.config.launch import KUBERNETES
from mashbill.errors import ConfigError
from mashbill.storage.storage import written_whole

KUBECONFIG, DEFAULT = "KUBECONFIG", "~/.kube/config"
PREFIX = "extra__kubernetes__"
DIGITS = 12
FILES = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
"""Fields of a kubeconfig's clusters and users that name files."""


def over_connection(takes: LaunchConfig, kubernetes_conn_id: str | None) -> LaunchConfig:
    """What a job takes, on the cluster of a connection; without one, and without Kubernetes, as it is.

    Args:
        takes: what it takes.
        kubernetes_conn_id: id of a connection of type ``kubernetes``.
    Raises:
        ConfigError: there is none of that id, or it says no cluster.
    """
    if kubernetes_conn_id is None or takes.backend not in KUBERNETES:
        return takes
    context, namespace = cluster_of(kubernetes_conn_id)
    pods = takes.kubernetes
    update = {"context": context, "namespace": pods.namespace or namespace}
    return takes.model_copy(update={"kubernetes": pods.model_copy(update=update)})


def cluster_of(kubernetes_conn_id: str) -> tuple[str | None, str | None]:
    """The context that a connection becomes, and its namespace; no context is the identity of this pod.

    Raises:
        ConfigError: there is none of that id, or it says no cluster.
    """
    extra = _extra(kubernetes_conn_id)
    namespace = extra.get("namespace") or None
    if str(extra.get("in_cluster", "")).lower() == "true":
        return None, namespace
    where = f"kubernetes_conn_id {kubernetes_conn_id!r}"
    config = _config(extra, where)
    wanted = extra.get("cluster_context") or config.get("current-context")
    named = {one["name"]: one["context"] for one in config.get("contexts") or ()}
    if wanted not in named:
        what = f"names the context {wanted!r}, and its kubeconfig has {', '.join(named) or 'none'}"
        raise ConfigError(where, what, "mend cluster_context, or the kubeconfig")
    used = named[wanted]
    alone = {kind: _named(config, kind, used.get(kind[:-1]), where=where) for kind in ("clusters", "users")}
    server = str(alone["clusters"].get("server"))  # credentials may be others tomorrow
    name = f"airflow-{kubernetes_conn_id}-{hashlib.sha256(server.encode()).hexdigest()[:DIGITS]}"
    _add(name, alone, namespace or used.get("namespace"))
    return name, namespace or used.get("namespace")


def _extra(kubernetes_conn_id: str) -> Mapping[str, Any]:
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        extra = BaseHook.get_connection(kubernetes_conn_id).extra_dejson
    except AirflowNotFoundException as error:
        mend = "add a connection of type kubernetes with that id, or name another"
        raise ConfigError(
            f"kubernetes_conn_id {kubernetes_conn_id!r}", "is no connection of Airflow's", mend
        ) from error
    return {name.removeprefix(PREFIX): value for name, value in extra.items() if value not in (None, "")}


def _config(extra: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The kubeconfig that a connection holds, or names."""
    import yaml

    given, folder = extra.get("kube_config"), None
    if given is None and "kube_config_path" in extra:
        path = Path(extra["kube_config_path"]).expanduser().absolute()
        folder = path.parent
        try:
            given = path.read_text(encoding="utf-8")
        except OSError as error:
            what = f"names {path}, which cannot be read here ({error.strerror})"
            raise ConfigError(where, what, "mend kube_config_path, or give kube_config") from error
    if given is None:
        mend = "give it in_cluster, kube_config or kube_config_path"
        raise ConfigError(where, "says no cluster", mend)
    try:
        found = yaml.safe_load(given) if isinstance(given, str) else given
    except yaml.YAMLError as error:  # whose own words would quote what may be secret
        raise ConfigError(where, "holds a kubeconfig that is no YAML", "mend kube_config") from error
    if not isinstance(found, dict):
        raise ConfigError(where, "holds no kubeconfig", "mend kube_config")
    return found if folder is None else _rooted(found, folder)


def _named(config: Mapping[str, Any], kind: str, name: str | None, *, where: str) -> dict[str, Any]:
    """The cluster or the user of that name.

    Raises:
        ConfigError: the kubeconfig has none.
    """
    for one in config.get(kind) or ():
        if one.get("name") == name:
            return dict(one.get(kind[:-1]) or {})
    what = f"names the {kind[:-1]} {name!r} in its context, and its kubeconfig has none of that name"
    raise ConfigError(where, what, "mend the kubeconfig")


def _rooted(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A kubeconfig whose files are named from the root: they are relative to its own folder."""
    for kind in ("clusters", "users"):
        rows = config.get(kind) or ()
        config[kind] = [{**one, kind[:-1]: _with_files(one.get(kind[:-1]) or {}, folder)} for one in rows]
    return config


def _with_files(section: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    found = {**section, **{name: str(folder / section[name]) for name in FILES if section.get(name)}}
    program = section.get("exec")
    if program and os.sep in str(program.get("command", "")):
        found["exec"] = {**program, "command": str(folder / program["command"])}
    return found


def _add(name: str, alone: Mapping[str, Any], namespace: str | None) -> None:
    """Have a context be among those of this process."""
    folder = Path(tempfile.gettempdir()) / f"mashbill-{os.getuid()}" / "kubeconfigs"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / f"{name}.json"
    context = {"cluster": name, "user": name, **({"namespace": namespace} if namespace else {})}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": alone["clusters"]}],
        "users": [{"name": name, "user": alone["users"]}],
        "contexts": [{"name": name, "context": context}],
        "current-context": name,
    }
    if folder.stat().st_uid != os.getuid():
        raise ConfigError(
            str(folder), "belongs to another user", "remove it, or set TMPDIR to a folder of yours"
        )
    text = json.dumps(config)
    if not file.exists() or file.read_text(encoding="utf-8") != text:
        with written_whole(file) as part:
            part.touch(mode=0o600)
            part.write_text(text, encoding="utf-8")
    known = (os.environ.get(KUBECONFIG) or str(Path(DEFAULT).expanduser())).split(os.pathsep)
    if str(file) not in known:
        os.environ[KUBECONFIG] = os.pathsep.join([*(one for one in known if Path(one).exists()), str(file)])
