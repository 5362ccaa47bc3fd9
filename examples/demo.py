"""The demo: the whole pipeline on real text, as a DAG under a real Airflow on this machine.

python examples/demo.py run     prepare the text, run dags/pretraining.py, show progress, print the result
python examples/demo.py ui      leave Airflow's web UI up, with the demo's DAG and its runs
"""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

sys.path.insert(0, str(Path(__file__).parent))

from airflow_server import AirflowServer
from mashbill.artifacts import open_store, read_progress
from mashbill.cli.run import print_summary
from mashbill.config import PipelineConfig, load_config
from mashbill.errors import MashbillError
from mashbill.stages import finished_stages
from processes import exit_on_signals, run_to_the_end

ROOT = Path(__file__).parents[1]
DAG = "pretraining"
FINAL = {"success", "failed", "skipped", "upstream_failed", "removed"}
POLL_SECONDS = 1.0
console = Console()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["run", "ui"])
    parser.add_argument(
        "--config", type=Path, default=ROOT / "dags" / "configs" / "demo.toml", help="TOML config file"
    )
    parser.add_argument(
        "--home", type=Path, default=ROOT / ".demo" / "airflow", help="folder of Airflow's database and logs"
    )
    parser.add_argument("--no-text", action="store_true", help="do not prepare the demo's text")
    arguments = parser.parse_args()
    exit_on_signals()
    try:
        if arguments.command == "ui":
            serve(arguments.home)
        else:
            if not arguments.no_text:
                prepare_text()
            run(load_config(arguments.config), arguments.config.absolute(), arguments.home)
    except MashbillError as error:
        sys.exit(f"error: {error}")


def prepare_text() -> None:
    """Download and extract the demo's text, unless it is there."""
    script = ROOT / "examples" / "demo_corpus" / "prepare.py"
    demo = ROOT / ".demo"
    command = [
        sys.executable,
        str(script),
        "--output",
        str(demo / "text"),
        "--packages",
        str(demo / "packages"),
    ]
    if run_to_the_end(command):
        sys.exit("the demo's text could not be prepared; see above")


def run(config: PipelineConfig, path: Path, home: Path) -> None:
    """Run the DAG, unless its report is there, and print what came of it."""
    started = time.monotonic()
    report = finished_stages(config).get("report")
    if report is None:
        with AirflowServer(home, ROOT / "dags", os.cpu_count() or 2, configs=path.parent) as server:
            console.print(
                f"Airflow is up at {server.url} ({time.monotonic() - started:.0f} s)", highlight=False
            )
            follow(
                server,
                server.trigger(DAG, {"config": str(path.absolute())}),
                open_store(config).storage.workspace(),
            )
        report = finished_stages(config)["report"]
        console.print(f"pipeline finished in {time.monotonic() - started:.0f} s", highlight=False)
    print_summary(report)


def follow(server: AirflowServer, run_id: str, workspace: Path) -> None:
    """Print each task's progress as it happens, until the run ends.

    Raises:
        SystemExit: a task failed, or the scheduler died.
    """
    states: dict[str, str] = {}
    printed: dict[str, tuple[int, float]] = {}
    while True:
        tasks = server.tasks(DAG, run_id)
        for task in sorted(tasks, key=lambda t: t["start_date"] or "~"):
            _tell_state(task, states)
        _print_progress(workspace, printed)
        state = server.call("GET", f"dags/{DAG}/dagRuns/{run_id}")["state"]
        if state == "success":
            return
        if state == "failed":
            _explain(server, run_id, tasks)
        if not server.scheduler_lives():
            sys.exit("the scheduler died; run again: what is finished is kept")
        time.sleep(POLL_SECONDS)


def serve(home: Path) -> None:
    """Leave the web UI up until a signal ends us."""
    with AirflowServer(home, ROOT / "dags", parallelism=os.cpu_count() or 2) as server:
        console.print(f"Airflow's UI: {server.url}/dags/{DAG}   (Ctrl-C ends it)", highlight=False)
        while server.scheduler_lives():
            time.sleep(1)


def _tell_state(task: dict[str, Any], states: dict[str, str]) -> None:
    name = _name(task)
    state = task["state"] or "none"
    if states.get(name) == state or state not in FINAL | {"running", "up_for_retry", "awaiting_input"}:
        return
    states[name] = state
    seconds = f"{task['duration']:.0f} s" if state == "success" and task["duration"] else ""
    console.print(f"{time.strftime('%H:%M:%S')}  {name:32} {state:14} {seconds}", highlight=False)


def _print_progress(workspace: Path, printed: dict[str, tuple[int, float]]) -> None:
    """One line when a stage has moved on by a tenth, or has been silent for 20 seconds."""
    for name, state in read_progress(workspace).items():
        tenth, last = printed.get(name, (-1, 0.0))
        now = time.monotonic()
        if int(state.done * 10) > tenth or now - last > 20:
            printed[name] = (int(state.done * 10), now)
            console.print(
                f"[dim]{time.strftime('%H:%M:%S')}    {name:30} {state.done:4.0%}  {state.message}",
                highlight=False,
                soft_wrap=True,
            )


def _explain(server: AirflowServer, run_id: str, tasks: list[dict[str, Any]]) -> None:
    """Name the failed tasks, show the end of the first one's log, and exit."""
    failed = [task for task in tasks if task["state"] == "failed"]
    for task in failed[:1]:
        log = sorted(
            Path(server.home, "logs").glob(f"dag_id={DAG}/run_id={run_id}/task_id={task['task_id']}/**/*.log")
        )
        for line in log[-1].read_text(errors="replace").splitlines()[-15:] if log else []:
            console.print(line[:2_000], highlight=False, markup=False)
    sys.exit(f"failed: {', '.join(map(_name, failed)) or 'the run was ended from outside'}")


def _name(task: dict[str, Any]) -> str:
    index = task["rendered_map_index"] or (task["map_index"] if task["map_index"] >= 0 else "")
    return f"{task['task_id']} {index}".strip()


if __name__ == "__main__":
    main()
