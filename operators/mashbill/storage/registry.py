"""Storages by the scheme of an address: ``s3://lake/raw`` is kept by the class in ``s3.py`` of this package.

An address without a scheme is a local path. Artifacts, sources and settings that take a path all come here,
so a storage whose file is added serves them all.
"""

from importlib.util import find_spec
from pathlib import Path

from mashbill.discovery import classes_in
from mashbill.errors import ConfigError
from mashbill.storage.storage import Storage

LOCAL = "local"


def scheme_of(address: str) -> str:
    """The scheme of an address; local where it has none."""
    scheme, mark, _ = address.partition("://")
    return scheme if mark else LOCAL


def open_storage(root: str, scratch: Path) -> Storage:
    """The storage at a folder, or at an address such as ``s3://bucket/prefix``.

    Args:
        root: where the objects live.
        scratch: local folder for work in progress and copies, used where the root is remote.
    Raises:
        ConfigError: no storage has that scheme.
    """
    scheme = scheme_of(root)
    module = f"mashbill.storage.{scheme}"
    found = classes_in(module, "scheme") if scheme.isidentifier() and find_spec(module) else {}
    if scheme not in found:
        raise ConfigError(root, "is neither a path nor an address of a storage", "give a folder, or s3://...")
    storage: Storage = found[scheme](root, scratch)
    return storage
