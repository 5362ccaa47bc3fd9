"""The operators' page is what the classes say, and its snippets make tasks."""

import os
import re
import subprocess
import sys
from pathlib import Path

from builders.checkout import DOCS, ROOT

PAGE = DOCS / "how-to" / "operators.md"
SNIPPETS = """
import re, sys
from airflow.sdk import DAG
from mashbill import operators

text = open(sys.argv[1], encoding="utf-8").read()
for snippet in re.findall(r"```python\\n(.*?)```", text, re.S):
    with DAG("one"):
        exec(snippet, vars(operators).copy())
"""


def said(code: str, *arguments: str, home: Path) -> str:
    """What a process with Airflow prints."""
    around = {**os.environ, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=around)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_is_up_to_date(tmp_path: Path) -> None:
    code = "import runpy, sys; sys.stdout.write(runpy.run_path(sys.argv[1])['page']())"
    generated = said(code, str(DOCS / "generate_operators.py"), home=tmp_path)
    assert generated.endswith(PAGE.read_text(encoding="utf-8")), "run docs/generate_operators.py"


def test_its_snippets_make_tasks(tmp_path: Path) -> None:
    said(SNIPPETS, str(PAGE), home=tmp_path)


def test_the_readme_shows_a_dag_that_the_tests_run() -> None:
    dag = (ROOT / "examples" / "dags" / "quality_scores.py").read_text(encoding="utf-8")
    shown = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    assert dag in shown
