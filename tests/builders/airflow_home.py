"""An Airflow that is killed and started again in tests, and takes soon for dead what is."""

import signal
from contextlib import suppress
from pathlib import Path

import psutil

from airflow_server import AirflowServer

SOON = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "10",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "10",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
}


def impatient_server(home: Path, dags: Path) -> AirflowServer:
    """An Airflow that looks often for what died."""
    server = AirflowServer(home, dags, 2)
    server.environment |= SOON
    return server


def kill(server: AirflowServer) -> None:
    """Kill all of an Airflow with -9."""
    for process in server.processes():
        with suppress(psutil.Error):
            process.send_signal(signal.SIGKILL)
