"""That kernels are compiled is told: the first run after an installation takes longer than those after it."""

import os
import re
import subprocess
import sys
from pathlib import Path

from builders.checkout import ROOT

WORDS = "compiling kernels, which are kept: the first use of a stage takes longer\n"
SHELL = """
from mashbill.cli import main
from mashbill.filters import hashes
from mashbill.kernels import numba

main.app = lambda: {work}
main.main()
"""
TWO_OF_OURS = "(hashes.table_mask(3), hashes.combine(1, 2))"
ANOTHERS = "numba.njit(lambda number: number + 1)(1)"


def said(work: str, cache: Path) -> str:
    """What stands on the error stream of the shell after some work, with kernels cached in a folder."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", SHELL.format(work=work)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stderr


def test_compiling_is_told_once_and_only_where_no_cache_has_the_kernel(tmp_path: Path) -> None:
    assert said(TWO_OF_OURS, tmp_path) == WORDS
    assert said(TWO_OF_OURS, tmp_path) == ""
    assert said(ANOTHERS, tmp_path / "other") == ""


def test_nothing_is_compiled_that_is_not_told() -> None:
    package = ROOT / "operators" / "mashbill"
    importing = re.compile(r"^\s*(import|from) numba", re.MULTILINE)
    found = [path.name for path in package.rglob("*.py") if importing.search(path.read_text())]
    assert found == ["kernels.py"]
