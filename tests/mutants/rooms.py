"""What is mutated, and which folders of tests lie close to it."""

from pathlib import Path

from builders.checkout import ROOT

OPERATORS = ROOT / "operators"
TESTS = ROOT / "tests"
WORK = ROOT / ".mutants"
"""Copies of the package, what tests execute and what became of each mutant; may be deleted at any time."""

CLOSEST = {
    "mixtures": ("mixtures", "regression", "search"),
    "regression": ("regression", "search"),
    "search": ("search", "regression"),
    "quality": ("quality",),
    "proxies": ("proxies", "search"),
    "tokens": ("tokens",),
    "training": ("training",),
    "evaluation": ("evaluation",),
    "forecast": ("forecast", "search"),
    "launch": ("launch", "training"),
    "models/measurement.py": ("models", "proxies", "quality"),
    "models/optimisation.py": ("models", "proxies", "training"),
    "models/attention.py": ("models",),
    "models/sizes.py": ("models", "training"),
    "models/schedules.py": ("models", "training"),
    "dedup": ("dedup",),
}
"""Rooms and modules of the package, each with the folders of ``tests/engine`` that are closest to it."""
SLOW_TOO = ("training", "search", "regression")
"""Folders whose slow tests count: much there starts processes, or needs two searches or a schedule."""


def modules(only: str | None = None) -> list[str]:
    """Modules that are mutated, as ``room/module.py``; those alone whose path begins with ``only``."""
    package = OPERATORS / "mashbill"
    found = []
    for place in CLOSEST:
        path = package / place
        files = [path] if path.is_file() else sorted(path.rglob("*.py"))
        found += [file.relative_to(package).as_posix() for file in files if file.name != "__init__.py"]
    return [module for module in found if module.startswith(only or "")]


def room_of(module: str) -> str:
    """The row of ``CLOSEST`` that a module belongs to."""
    return next(place for place in CLOSEST if module == place or module.startswith(place + "/"))


def test_files(places: set[str]) -> list[Path]:
    """Files of tests in the folders closest to some rooms."""
    folders = sorted({folder for place in places for folder in CLOSEST[place]})
    return [path for folder in folders for path in sorted((TESTS / "engine" / folder).glob("test_*.py"))]
