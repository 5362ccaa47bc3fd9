"""Real helm, kubectl and Kubernetes' schemas: tests/helm/tools.py, under a name to import."""

import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

from builders.checkout import TESTS


@cache
def _tools() -> ModuleType:
    spec = importlib.util.spec_from_file_location("helm_tools", TESTS / "helm" / "tools.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def schemas_folder() -> Path:
    """A folder to put on PYTHONPATH for ``kubernetes_validate``."""
    return _tools().schemas_folder()


def kubectl_binary() -> Path:
    return _tools().kubectl_binary()


def helm_binary() -> Path:
    return _tools().helm_binary()
