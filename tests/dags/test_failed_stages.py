"""What Airflow's scheduler makes of the whole DAG where stages fail: the report is written without those that
nothing else reads, and the run is failed all the same.

Real trigger rules on a real database; that a task ran is written into it, in place of running it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from builders.airflow_code import said
from builders.checkout import ROOT

PROBE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from airflow.models.dagbundle import DagBundleModel
from airflow.models.taskmap import TaskMap
from airflow.models.serialized_dag import SerializedDagModel
from airflow.serialization.serialized_objects import DagSerialization, LazyDeserializedDAG
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.utils import timezone
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
import pretraining

dag = pretraining.pretraining()
dag.fileloc = pretraining.__file__
with create_session() as session:
    session.add(DagBundleModel(name="files"))
    session.flush()
    SerializedDAG.bulk_write_to_db("files", None, [dag], session=session)
    SerializedDagModel.write_dag(LazyDeserializedDAG.from_dag(dag), bundle_name="files", session=session)
    session.commit()
    known = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    found = {}
    for number, failing in enumerate(json.loads(sys.argv[2])):
        run = known.create_dagrun(
            run_id=f"run-{number}", run_after=timezone.utcnow(), run_type=DagRunType.MANUAL, session=session,
            triggered_by=DagRunTriggeredByType.TEST, state=DagRunState.RUNNING,
        )
        run.dag = known
        while True:
            decided = run.task_instance_scheduling_decisions(session=session)
            if not decided.schedulable_tis and not decided.changed_tis:
                break
            for ti in decided.schedulable_tis:
                ti.state = "failed" if ti.task_id in failing else "success"
                ti.end_date = ti.start_date = timezone.utcnow()
                if ti.task_id.endswith("_parts"):
                    named = {"dag_id": ti.dag_id, "run_id": ti.run_id, "task_id": ti.task_id}
                    session.add(TaskMap(map_index=-1, length=1, keys=None, **named))
            session.flush()
        run.update_state(session=session)
        tis = run.get_task_instances(session=session)
        found[",".join(failing)] = [str(run.state), {ti.task_id: str(ti.state) for ti in tis}]
print(json.dumps(found))
"""
EVERYTHING = {"success", "skipped"}
OPTIONAL = ("ladder", "validate", "forecast", "evaluate")


@pytest.mark.airflow
def test_the_report_is_written_without_a_stage_that_failed_and_the_run_is_failed(tmp_path: Path) -> None:
    airflow = Path(sys.executable).parent / "airflow"
    home = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    subprocess.run([airflow, "db", "migrate"], check=True, capture_output=True, env=home)
    parts = [[f"{stage}_parts"] for stage in OPTIONAL]
    cases = [[], *([stage] for stage in OPTIONAL), *parts, [*OPTIONAL], ["train"], ["approve"], ["mix"]]
    found = said(PROBE, str(ROOT / "dags"), json.dumps(cases), home=tmp_path)
    for failed, (run, states) in found.items():
        made = states["report"], states["train"]
        if failed in {"mix"}:
            assert (*made, run) == ("upstream_failed", "upstream_failed", "failed"), failed
        elif failed in {"train", "approve"}:
            assert (made[0], run) == ("success", "failed"), failed
        else:
            assert (*made, run) == ("success", "success", "failed" if failed else "success"), failed
    assert set(found[""][1].values()) <= EVERYTHING
