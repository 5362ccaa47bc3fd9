"""Things that are found, not listed: a class gives its name in an attribute, and adding its file adds it.

What is found so: filters by their section, regressors by their name, storages by their scheme.
"""

import pkgutil
from importlib import import_module
from types import ModuleType


def modules_in(package: ModuleType) -> list[str]:
    """Full names of a package's modules, sorted; none is imported."""
    return sorted(f"{package.__name__}.{module.name}" for module in pkgutil.iter_modules(package.__path__))


def classes_in(module: str, attribute: str) -> dict[str, type]:
    """Classes that a module defines, by the name they give themselves.

    Args:
        module: full name of the module, which is imported.
        attribute: the class attribute that holds the name; classes that do not set it, or set it empty, do
            not count.
    """
    found: dict[str, type] = {}
    for value in vars(import_module(module)).values():
        name = vars(value).get(attribute, "") if isinstance(value, type) else ""
        if name and value.__module__ == module:
            found[name] = value
    return found
