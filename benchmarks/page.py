"""A benchmark's page: what it prints, and what docs/figures.json keeps of it.

The documentation's tables are written from that file (``docs/generate_benchmarks.py``), and a test holds its
sentences against it, so a figure in the documentation is one that a benchmark wrote.
"""

import datetime
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "docs" / "figures.json"


class Page:
    """Prints a benchmark's title, tables and sentences as Markdown, and keeps them.

    Args:
        name: the benchmark's, under which its figures are kept.
        title: what was measured, on how much.
    """

    def __init__(self, name: str, title: str) -> None:
        self.name = name
        self.kept: dict[str, Any] = {
            "title": title,
            "command": " ".join([f"benchmarks/{Path(sys.argv[0]).name}", *_without_paths(sys.argv[1:])]),
            "commit": _commit(),
            "date": datetime.date.today().isoformat(),
            "machine": machine(),
            "blocks": [],
        }
        print(f"\n### {title}\n\n{self.kept['machine']}\n")

    def table(self, columns: Sequence[str]) -> None:
        """Begin a table."""
        self.kept["blocks"].append({"columns": list(columns), "rows": []})
        print(f"\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")

    def row(self, cells: Sequence[str]) -> None:
        """A row of the last table; the first cell names it."""
        self.kept["blocks"][-1]["rows"].append(list(cells))
        print(f"| {' | '.join(cells)} |", flush=True)

    def say(self, sentence: str, **figures: float) -> None:
        """A sentence, and the figures in it by name, so that other sentences may be held against them."""
        self.kept["blocks"].append({"text": sentence, "figures": figures})
        print(f"\n{sentence}", flush=True)

    def save(self) -> None:
        """Keep the page in docs/figures.json, in place of the last one of that name."""
        everything = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
        everything[self.name] = self.kept
        FIGURES.write_text(
            json.dumps(everything, indent=1, ensure_ascii=False, sort_keys=True) + "\n", "utf-8"
        )
        print(
            f"\nkept in {FIGURES.relative_to(ROOT)}; docs/generate_benchmarks.py writes the page",
            file=sys.stderr,
        )


def _without_paths(arguments: Sequence[str]) -> list[str]:
    """Arguments that mean the same on every machine: an option with an absolute path is left out."""
    paths = [i for i, argument in enumerate(arguments) if argument.startswith("/")]
    return [a for i, a in enumerate(arguments) if i not in paths and i + 1 not in paths]


def machine() -> str:
    """Processor, cores and Python, in a line."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.split(":")[1].strip() for line in lines if "model name" in line), "unknown")
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}"


def _commit() -> str:
    """The checkout's, with a plus where files differ from it."""
    commit = _git("rev-parse", "--short", "HEAD")
    return f"{commit}+" if _git("status", "--porcelain", "--untracked-files=no") else commit


def _git(*words: str) -> str:
    command = ["git", "-C", str(ROOT), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or ""
