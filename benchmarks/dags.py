"""What a DAG of the whole pipeline costs Airflow: seconds to parse it, how large it is once serialized, and
how many tasks a sweep of 512 proxies is.

python benchmarks/dags.py [--repeats 5]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

from page import ROOT, Page

FILES = ("curation", "mixture_search", "pretraining")
PROXIES = 512
PARSE = """
import json, sys, time
import airflow.sdk, airflow.providers.standard.operators.branch, airflow.providers.standard.operators.hitl
from airflow.serialization.serialized_objects import DagSerialization

sys.path.insert(0, sys.argv[1])
started = time.process_time()
dag = getattr(__import__(sys.argv[2]), sys.argv[2])()
first = time.process_time() - started
started = time.process_time()
getattr(sys.modules[sys.argv[2]], sys.argv[2])()
again = time.process_time() - started
from mashbill.launch.needs import shared_among
from mashbill.operators.parts import TASKS

tasks = len(list(shared_among([f"group-{i:04d}" for i in range(int(sys.argv[3]))], TASKS)))
size = len(json.dumps(DagSerialization.to_dict(dag)))
print(json.dumps({"first": first, "again": again, "size": size, "tasks": len(dag.tasks), "mapped": tasks}))
"""


def parsed(name: str, home: str) -> dict[str, float]:
    """What one fresh process says of a DAG file."""
    command = [sys.executable, "-c", PARSE, str(ROOT / "dags"), name, str(PROXIES)]
    around = {**os.environ, "AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=around)
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    page = Page("dags", f"DAG files, median of {repeats} fresh processes, CPU seconds")
    page.table(["file", "tasks", "with its imports, s", "once imported, s", "serialized, kB"])
    with tempfile.TemporaryDirectory() as home:
        for name in FILES:
            runs = [parsed(name, home) for _ in range(repeats)]
            first, again = (statistics.median(run[key] for run in runs) for key in ("first", "again"))
            size = runs[0]["size"] / 1_000
            page.row([name, f"{runs[0]['tasks']:.0f}", f"{first:.2f}", f"{again:.3f}", f"{size:.0f}"])
    mapped = runs[0]["mapped"]
    page.say(f"A sweep of {PROXIES} proxies, each a part, is {mapped:.0f} mapped tasks.", mapped=mapped)
    page.save()


if __name__ == "__main__":
    main()
