"""Write docker/*.lock: what the images install, each distribution with its version and its hash.

pip resolves the extras of an image under constraints.txt, for the Python and the machine that this runs on
(CPython 3.11 on x86-64 Linux, as the images), and says which file of PyPI it would take and what its hash is.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent
OURS = "airflow-provider-mashbill"
BUILD = ("hatchling", "setuptools", "wheel")
WORKER = (
    ".[airflow,datasets,kubernetes,ray,s3,unicode,web]",
    "apache-airflow==3.3.2",
    *(f"apache-airflow-providers-{name}" for name in ("amazon", "celery", "fab", "git")),
    *(f"apache-airflow-providers-{name}" for name in ("openlineage", "postgres")),
)
TRAINER = (".[datasets,evaluate,ray,s3,tensorboard,train,unicode,web]",)
WITHOUT_TORCH = re.compile(r"(torch|triton|nvidia-.*|cuda-.*|sympy|mpmath)")
"""What the worker's image goes without: torch, and what is large and asked for by torch alone."""
HEAD = "# Written by docker/lock.py for CPython 3.11 on x86-64 Linux; do not edit.\n"


@dataclass(frozen=True)
class Pin:
    """A distribution, as a requirements file of pip has it."""

    name: str
    version: str
    sha256: str
    source: bool

    def text(self) -> str:
        """Its lines."""
        return f"{self.name}=={self.version} \\\n    --hash=sha256:{self.sha256}\n"


def pins(report: dict[str, Any]) -> list[Pin]:
    """What a report of pip says it would install, but for this project itself."""
    found = []
    for item in report["install"]:
        name = re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower()
        if name != OURS:
            download = item["download_info"]
            sha256 = download["archive_info"]["hashes"]["sha256"]
            source = not download["url"].endswith(".whl")
            found.append(Pin(name, item["metadata"]["version"], sha256, source))
    return sorted(found, key=lambda pin: pin.name)


def resolved(requirements: Sequence[str]) -> list[Pin]:
    """What pip would install of PyPI alone, whatever this machine is set up to use."""
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        command += ["--report", str(report), "-c", "constraints.txt", *requirements]
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PIP_") or k == "PIP_CERT"}
        environment = {**kept, "PIP_CONFIG_FILE": os.devnull}
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
        return pins(json.loads(report.read_text(encoding="utf-8")))


def write(name: str, found: Iterable[Pin]) -> None:
    """Write one lock."""
    text = HEAD + "".join(pin.text() for pin in found)
    (HERE / f"{name}.lock").write_text(text, encoding="utf-8")


def main() -> None:
    """Write all of them."""
    write("build", resolved(BUILD))
    write("worker", [pin for pin in resolved(WORKER) if not WITHOUT_TORCH.fullmatch(pin.name)])
    trainer = resolved(TRAINER)
    write("trainer", [pin for pin in trainer if not pin.source])
    write("trainer-source", [pin for pin in trainer if pin.source])


if __name__ == "__main__":
    main()
