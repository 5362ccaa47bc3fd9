"""Code that is run with Airflow in a process of its own: what it prints last, as JSON."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def said(code: str, *arguments: str, home: Path, **environment: str) -> Any:
    """What a process with Airflow prints last.

    Args:
        code: of Python.
        arguments: of the process.
        home: its AIRFLOW_HOME.
        environment: more variables.
    """
    around = {**os.environ, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False", **environment}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=around)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])
