"""Backends by their names: a backend's module is imported when it is used, as what it needs may not be
installed."""

from importlib import import_module
from importlib.util import find_spec

from mashbill.config.launch import Backend as Name
from mashbill.errors import ConfigError
from mashbill.launch.backend import Backend

_MODULES: dict[Name, tuple[str, str]] = {
    "local": ("mashbill.launch.local:LocalBackend", ""),
    "job": ("mashbill.launch.kubernetes.job:JobBackend", "kubernetes"),
    "jobset": ("mashbill.launch.kubernetes.jobset:JobSetBackend", "kubernetes"),
    "trainjob": ("mashbill.launch.kubernetes.trainjob:TrainJobBackend", "kubernetes"),
    "ray": ("mashbill.launch.ray:RayBackend", "ray"),
    "rayjob": ("mashbill.launch.kubernetes.rayjob:RayJobBackend", "kubernetes"),
    "ssh": ("mashbill.launch.ssh:SSHBackend", "ssh"),
}
"""``module:class`` of each backend, and the extra that it needs."""
_ASKED_LATE = {"ray": "ray", "ssh": "asyncssh"}
"""Packages that a backend's module imports when it is asked for something, and not before."""


def backend_named(name: Name) -> Backend:
    """The backend of that name.

    Raises:
        ConfigError: what it needs is not installed.
    """
    place, extra = _MODULES[name]
    module, _, made = place.partition(":")
    try:
        late = _ASKED_LATE.get(name)
        if late and find_spec(late) is None:
            raise ModuleNotFoundError(name=late)
        backend: Backend = getattr(import_module(module), made)()
    except ImportError as error:
        missing = error.name or str(error)
        mend = f"pip install airflow-provider-mashbill[{extra}]" if extra else "install mashbill anew"
        raise ConfigError(f"backend {name}", f"needs {missing}, which is not installed", mend) from error
    return backend
