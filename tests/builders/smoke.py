"""A home for the smoke config: the pipeline on a few megabytes of real text."""

import shutil
import subprocess
import sys
from pathlib import Path

from builders.checkout import CONFIGS, ROOT


def smoke_home(folder: Path, *, group_size: int = 4) -> Path:
    """Write the smoke config and its text into a folder, as they lie in a checkout; smaller groups of proxies
    make a sweep of more parts."""
    config = (CONFIGS / "smoke.toml").read_text().replace("group_size = 4", f"group_size = {group_size}")
    (folder / "dags" / "configs").mkdir(parents=True)
    smoke_config(folder).write_text(config)
    script = [sys.executable, str(ROOT / "examples" / "smoke_text.py")]
    subprocess.run([*script, "--output", str(folder / ".demo" / "smoke" / "text")], check=True)
    return folder


def smoke_config(home: Path) -> Path:
    """Where the smoke config of a home is."""
    return home / "dags" / "configs" / "smoke.toml"


def finished_parts(home: Path, stage: str) -> dict[str, float]:
    """When each finished part of a stage was committed."""
    manifests = (home / ".demo" / "smoke" / "artifacts" / stage).glob("*.parts/*/manifest.json")
    return {path.parent.name: path.stat().st_mtime for path in manifests}


def forget_part(home: Path, stage: str, name: str) -> None:
    """Remove a finished part of a stage."""
    for folder in (home / ".demo" / "smoke" / "artifacts" / stage).glob(f"*.parts/{name}"):
        shutil.rmtree(folder)
