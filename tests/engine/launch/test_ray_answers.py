"""Answers of a Ray job API that has trouble: they say nothing of whether a job is there."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
import ray

from builders.http_server import serving
from mashbill.config import LaunchConfig
from mashbill.errors import ConfigError, RunError
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
def answering(
    answers: Mapping[str, tuple[int, Any]],
    before: Mapping[str, list[tuple[int, Any]]] | None = None,
    heard: list[Any] | None = None,
) -> Iterator[str]:
    """A server that gives an answer for the end of each path, and 404 for others.

    Args:
        answers: status and body by the end of a path.
        before: what is answered first, one by one; no job is there until one was taken.
        heard: where what it hears is kept.
    """
    taken: list[str] = [] if before else ["before"]
    first = {end: list(given) for end, given in (before or {}).items()}

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            waiting = next((given for end, given in first.items() if given and self.path.endswith(end)), None)
            later = next((given for end, given in answers.items() if self.path.endswith(end)), (404, "none"))
            found = waiting.pop(0) if waiting else later
            if not taken and found is later and self.path.endswith(NAME):
                found = (404, "none")
            if self.command == "POST" and found[0] == 200:
                taken.append(self.path)
            body = found[1].encode() if isinstance(found[1], str) else json.dumps(found[1]).encode()
            self.send_response(found[0])
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            if heard is not None:
                heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"null"))
            self.do_GET()

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    with serving(Answers) as port:
        yield f"http://127.0.0.1:{port}"


def handle_at(address: str) -> Handle:
    return Handle("ray", NAME, "one", uid="one", place={"address": address})


def test_a_job_whose_name_has_404_is_gone_only_where_the_answer_is_404() -> None:
    trouble = (500, f"cannot look {NAME} up")
    answers = {"/api/version": (200, VERSION), NAME: trouble}
    with answering(answers) as address, pytest.raises(RunError, match="for the moment"):
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
    with answering(there, heard=heard) as address:
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


@pytest.mark.parametrize(
    "told, phase, message, why, machine",
    [
        ({"status": "PENDING", "message": "no\nCPU is free"}, "queued", "no CPU is free", "", ""),
        ({"status": "PENDING"}, "queued", "", "", ""),
        ({"status": "RUNNING", "message": "it runs"}, "running", "", "", ""),
        ({"driver_node_id": "0123456789ab"}, "failed", "", "exit code 1", "Ray node 01234567"),
        ({"driver_exit_code": None, "message": "out of memory"}, "failed", "", "out of memory", ""),
        ({"driver_exit_code": None, "error_type": "JOB_ENTRYPOINT"}, "failed", "", "JOB_ENTRYPOINT", ""),
        ({"metadata": {TOKEN: "two"}}, "gone", "was removed from the cluster", "", ""),
    ],
)
def test_what_ray_says_of_a_job_is_told(
    told: dict[str, Any], phase: str, message: str, why: str, machine: str
) -> None:
    with answering({"/api/version": (200, VERSION), NAME: (200, {**FAILED, **told})}) as address:
        state: JobState = BACKEND.state(handle_at(address))
    assert (state.phase, state.message) == (phase, message)
    if state.failure is None:
        assert (why, machine) == ("", "")
    else:
        assert (state.failure.why, state.failure.machine) == (why, machine)


def test_a_job_of_that_name_is_taken_for_ours_by_its_token_alone() -> None:
    for token, message in (("one", ""), ("two", "for another order; wait for it, or stop and delete it")):
        told = {**FAILED, "status": "RUNNING", "metadata": {TOKEN: token}}
        with answering({"/api/version": (200, VERSION), NAME: (200, told)}) as address:
            if message:
                with pytest.raises(ConfigError, match=message):
                    BACKEND.submit(order_at(address))
            else:
                assert BACKEND.submit(order_at(address)) == handle_at(address)


@pytest.mark.parametrize("status, asked", [("RUNNING", 1), ("PENDING", 1), ("SUCCEEDED", 0), ("FAILED", 0)])
def test_only_what_has_not_ended_is_asked_to_stop(status: str, asked: int) -> None:
    heard: list[Any] = []
    told = {**FAILED, "status": status}
    there = {"/api/version": (200, VERSION), "/stop": (200, {"stopped": True}), NAME: (200, told)}
    with answering(there, heard=heard) as address:
        BACKEND.cancel(handle_at(address))
    assert len(heard) == asked


def test_what_is_refused_while_it_is_stopped_or_submitted_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mashbill.launch.ray_api.SUBMIT_PATIENCE_SECONDS", 0.0)
    running = {**FAILED, "status": "RUNNING", "driver_exit_code": None}
    answers = {"/api/version": (200, VERSION), "/stop": (500, "no"), NAME: (200, running)}
    with answering(answers) as address, pytest.raises(RunError, match=f"job {NAME}"):
        BACKEND.cancel(handle_at(address))
    answers = {"/api/version": (200, VERSION), "/api/jobs/": (500, "full")}
    with (
        answering(answers) as address,
        pytest.raises(RunError, match=r"HTTP 500: .*full.*; waited 0 s for it"),
    ):
        BACKEND.submit(order_at(address))


def order_at(address: str) -> Order:
    takes = LaunchConfig.model_validate({"backend": "ray", "ray": {"address": address}})
    return Order(NAME, "one", ("true",), takes)


BUSY = "No available agent to submit job, please try again later."
HANDED_ON = "Traceback\nRuntimeError: Request failed with status code {}: Traceback\n{}"


@pytest.mark.parametrize(
    "refusals",
    [
        {"/api/jobs/": [(500, BUSY), (500, BUSY)]},
        {"/api/version": [(503, "no upstream"), (502, "")], "/api/jobs/": [(429, "slow down")]},
        {NAME: [(500, "GCS is not reached")], "/api/jobs/": [(504, "late")]},
        {"/api/jobs/": [(500, HANDED_ON.format(500, "RpcError: UNAVAILABLE"))]},
    ],
)
def test_a_cluster_that_has_just_started_is_waited_for_and_each_wait_is_told(
    refusals: dict[str, list[tuple[int, Any]]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("mashbill.launch.ray_api.FIRST_WAIT_SECONDS", 0.01)
    many = sum(map(len, refusals.values()))
    accepted = {"/api/version": (200, VERSION), "/api/jobs/": (200, {"job_id": "1", "submission_id": NAME})}
    with answering({**accepted, NAME: (200, {**FAILED, "status": "PENDING"})}, refusals) as address:
        assert BACKEND.submit(order_at(address)).token == "one"
    waits = [line for line in caplog.messages if "waits for the Ray cluster" in line]
    assert len(waits) == many
    assert all(f"job {NAME}" in line and "for at most" in line and "\n" not in line for line in waits)


@pytest.mark.parametrize(
    "answers, says",
    [
        ({"/api/jobs/": (400, "Traceback\nValueError: no such resource")}, "no such resource"),
        ({"/api/jobs/": (500, HANDED_ON.format(400, "ValueError: no such field"))}, "no such field"),
        ({"/api/jobs/": (501, "")}, "HTTP 501"),
        ({"/api/version": (404, "")}, "ray.address"),
        ({"/api/version": (401, "who")}, "RAY_AUTH_TOKEN"),
        ({"/api/version": (403, "no")}, "RAY_AUTH_TOKEN"),
        ({"/api/version": (200, "a page")}, "no Ray job API"),
        ({"/api/version": (200, {**VERSION, "ray_version": "1.0"})}, "same version"),
    ],
)
def test_a_refusal_for_good_is_told_at_once_and_not_waited_for(
    answers: dict[str, tuple[int, Any]], says: str, caplog: pytest.LogCaptureFixture
) -> None:
    refused = pytest.raises(ConfigError, match=re.escape(says))
    with answering({"/api/version": (200, VERSION), **answers}) as address, refused as told:
        BACKEND.submit(order_at(address))
    assert "\n" not in str(told.value)
    assert not caplog.messages


@pytest.mark.parametrize(
    "answer, kind",
    [
        ((200, []), None),
        ((401, "who"), ConfigError),
        ((403, "no"), ConfigError),
        ((404, "no"), ConfigError),
        ((429, "slow"), RunError),
        ((500, "trouble"), RunError),
        ((503, "starts"), RunError),
    ],
)
def test_a_look_at_a_cluster_tells_what_a_person_mends_from_what_another_try_may(
    answer: tuple[int, Any], kind: type[Exception] | None
) -> None:
    with answering({"/api/version": (200, VERSION), "/api/jobs/": answer}) as address:
        found = BACKEND.check(order_at(address).takes)
    assert [type(error) for error in found] == ([] if kind is None else [kind])
    assert "\n" not in "".join(map(str, found))


@pytest.mark.parametrize(
    "address, kind",
    [
        ("http://127.0.0.1:9", RunError),
        ("http://no-such-host.invalid:8265", RunError),
        ("auto", ConfigError),
        ("ray://127.0.0.1:10001", ConfigError),
        ("http://", ConfigError),
    ],
)
def test_an_address_that_is_none_is_told_from_one_that_does_not_answer(
    address: str, kind: type[Exception]
) -> None:
    (found,) = BACKEND.check(order_at(address).takes)
    assert type(found) is kind, found
    assert str(found).startswith("ray.address: ")
