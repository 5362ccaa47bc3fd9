"""Answers of a Ray job API that has trouble: they say nothing of whether a job is there."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
import ray

from mashbill.config import LaunchConfig
from mashbill.errors import RunError
from mashbill.launch.backend import TOKEN, Handle, JobState, Order
from mashbill.launch.registry import backend_named

NAME = "score-whole-a404beef-1"
BACKEND = backend_named("ray")
FAILED = {
    "type": "SUBMISSION",
    "entrypoint": "mashbill",
    "status": "FAILED",
    "submission_id": NAME,
    "metadata": {TOKEN: "one"},
    "driver_exit_code": 1,
}
VERSION = {"version": "4", "ray_version": ray.__version__, "ray_commit": ray.__commit__, "session_name": "s"}


@contextmanager
def answering(answers: Mapping[str, tuple[int, Any]], heard: list[Any] | None = None) -> Iterator[str]:
    """A server that gives an answer for the end of each path, and 404 for others; it keeps what it hears."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = next((given for end, given in answers.items() if self.path.endswith(end)), (404, "none"))
            body = json.dumps(found[1]).encode()
            self.send_response(found[0])
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            if heard is not None:
                heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.do_GET()

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def handle_at(address: str) -> Handle:
    return Handle("ray", NAME, "one", uid="one", place={"address": address})


def test_a_job_whose_name_has_404_is_gone_only_where_the_answer_is_404() -> None:
    trouble = (500, f"cannot look {NAME} up")
    answers = {"/api/version": (200, VERSION), NAME: trouble}
    with answering(answers) as address, pytest.raises(RunError, match="cannot be looked at"):
        BACKEND.state(handle_at(address))
    with answering({"/api/version": (200, VERSION)}) as address:
        assert BACKEND.state(handle_at(address)).phase == "gone"


def test_a_job_whose_log_is_lost_with_its_node_has_failed_all_the_same() -> None:
    said = (200, {"logs": "\n".join(f"line {number}" for number in range(40))})
    answers = {"/api/version": (200, VERSION), f"{NAME}/logs": said, NAME: (200, FAILED)}
    with answering(answers) as address:
        assert BACKEND.logs(handle_at(address), lines=2) == "line 38\nline 39"
        assert BACKEND.logs(handle_at(address), rank=1) == ""
    answers[f"{NAME}/logs"] = (500, "the node is dead")
    with answering(answers) as address:
        state: JobState = BACKEND.state(handle_at(address))
        assert BACKEND.logs(handle_at(address)) == ""
    assert state.phase == "failed"
    assert state.failure is not None
    assert (state.failure.exit_code, state.failure.last_words) == (1, "")


def test_what_a_job_takes_is_asked_of_the_cluster() -> None:
    heard: list[Any] = []
    there = {
        "/api/version": (200, VERSION),
        "/api/jobs/": (200, {"job_id": NAME, "submission_id": NAME}),
        NAME: (404, "none"),
    }
    with answering(there, heard) as address:
        takes = {"backend": "ray", "ray": {"address": address}, "cpus": "1500m", "gpus": 2, "memory": "3Mi"}
        given = Order(
            NAME, "one", ("echo", "a b"), LaunchConfig.model_validate(takes), {"A": "1"}, {"stage": "score"}
        )
        with pytest.raises(RunError, match="was removed as soon as it was there"):
            BACKEND.submit(given)
    (asked,) = heard
    amounts = {name: asked[f"entrypoint_{name}"] for name in ("num_cpus", "num_gpus", "memory")}
    assert amounts == {"num_cpus": 1.5, "num_gpus": 2, "memory": 3 * 2**20}
    assert (asked["submission_id"], asked["entrypoint"]) == (NAME, "echo 'a b'")
    assert asked["metadata"] == {TOKEN: "one", "stage": "score"}
    variables = {"A": "1", "MASHBILL_NODE": "0", "MASHBILL_NODES": "1"}
    assert asked["runtime_env"]["env_vars"] == variables


@pytest.mark.parametrize(
    "status, code, phase",
    [
        ("PENDING", None, "queued"),
        ("RUNNING", None, "running"),
        ("STOPPED", None, "gone"),
        ("SUCCEEDED", 0, "succeeded"),
        ("FAILED", 75, "failed"),
    ],
)
def test_rays_words_are_phases(status: str, code: int | None, phase: str) -> None:
    told = {**FAILED, "status": status, "driver_exit_code": code}
    with answering({"/api/version": (200, VERSION), NAME: (200, told)}) as address:
        state: JobState = BACKEND.state(handle_at(address))
    assert (state.phase, state.message == "was asked to end and has saved") == (phase, code == 75)


def test_what_is_refused_while_it_is_stopped_or_submitted_is_one_line() -> None:
    running = {**FAILED, "status": "RUNNING", "driver_exit_code": None}
    answers = {"/api/version": (200, VERSION), "/stop": (500, "no"), NAME: (200, running)}
    with answering(answers) as address, pytest.raises(RunError, match=f"job {NAME}"):
        BACKEND.cancel(handle_at(address))
    takes = LaunchConfig.model_validate({"backend": "ray", "ray": {"address": "http://127.0.0.1:1"}})
    with answering({"/api/version": (200, VERSION), "/api/jobs/": (500, "full")}) as address:
        here = takes.model_copy(update={"ray": takes.ray.model_copy(update={"address": address})})
        with pytest.raises(RunError, match=r"was refused"):
            BACKEND.submit(Order(NAME, "one", ("true",), here))
