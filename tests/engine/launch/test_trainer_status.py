"""Whoever gave a job's containers an address hears how far the job is; one that is away stops nothing."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from kubeflow_trainer_api.models import TrainerV1alpha1TrainerStatus

from builders.http_server import serving
from builders.kube.certificates import server_context
from mashbill.artifacts import ProgressFile
from mashbill.launch import trainer_status
from mashbill.launch.telling import Telling
from mashbill.launch.trainer_status import TimeLeft, TrainerStatus, body_of

PATH = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/research/trainjobs/train/status"


@dataclass
class Server:
    """What a server heard, and where it is.

    Attributes:
        environment: of a container that is to tell it.
        heard: path, token and status of each post.
        code: of its answers.
    """

    environment: dict[str, str] = field(default_factory=dict)
    heard: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    code: int = 200


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            made.heard.append((self.path, self.headers["Authorization"], said["trainerStatus"]))
            self.send_response(made.code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with serving(Handler, server_context(tmp_path)) as port:
        (tmp_path / "token").write_text("secret\n")
        names = (trainer_status.URL, trainer_status.TOKEN, trainer_status.AUTHORITY)
        values = (f"https://127.0.0.1:{port}{PATH}", str(tmp_path / "token"), str(tmp_path / "ca.crt"))
        made.environment = dict(zip(names, values, strict=True))
        yield made


def test_it_hears_how_far_a_job_is_and_what_was_measured(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "node"
    with Telling(None, 0, "train", trainer=TrainerStatus.of(server.environment)) as telling:
        telling.gather_from(folder)
        ProgressFile(folder / "try" / "progress.json")(0.4, "step 2 of 5", {"step": 2, "loss": 2.345678})
        ProgressFile(folder / "node-1" / "progress.json")(0.9, "another's", {"step": 99})
        telling.progress(0.4, "step 2 of 5")
    path, token, status = server.heard[-1]
    assert (path, token) == (PATH, "Bearer secret")
    assert (status["progressPercentage"], status["estimatedRemainingSeconds"]) == (100, 0)
    assert status["metrics"] == [{"name": "step", "value": "2"}, {"name": "loss", "value": "2.3457"}]
    read = TrainerV1alpha1TrainerStatus.from_dict(status)
    assert read is not None
    assert read.last_updated_time is not None
    assert abs(read.last_updated_time.timestamp() - time.time()) < 3_600


def test_a_job_that_fails_is_as_far_as_it_came(server: Server) -> None:
    def fails() -> None:
        with Telling(None, 0, "train", trainer=TrainerStatus.of(server.environment)) as telling:
            telling.progress(0.4, "step 2 of 5")
            raise ValueError("no luck")

    with pytest.raises(ValueError, match="no luck"):
        fails()
    assert [status["progressPercentage"] for _, _, status in server.heard] == [40]


def test_steps_are_not_posted_each(server: Server) -> None:
    with Telling(None, 0, "train", trainer=TrainerStatus.of(server.environment)) as telling:
        for step in range(1_000):
            telling.progress(step / 1_000, f"step {step}")
    assert 1 <= len(server.heard) <= 3


def test_other_nodes_tell_nothing(server: Server) -> None:
    with Telling(None, 1, "train", trainer=TrainerStatus.of(server.environment)) as telling:
        telling.progress(0.4, "step 2 of 5")
    assert not server.heard


@pytest.mark.parametrize("lacks", [0, 1])
def test_without_an_address_or_a_token_nobody_is_told(server: Server, lacks: int) -> None:
    del server.environment[list(server.environment)[lacks]]
    assert TrainerStatus.of(server.environment) is None


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("URL", "https://127.0.0.1:1/status", "refused"),
        ("URL", "http://127.0.0.1:1/status", "is no https address"),
        ("URL", "https://nobody.invalid/status", "nobody.invalid"),
        ("TOKEN", "/no/token", "No such file"),
        ("CA_CERT", "/no/certificate", "No such file"),
        ("CODE", "403", "403"),
    ],
)
def test_what_cannot_be_told_is_said_once_and_work_goes_on(
    server: Server, caplog: pytest.LogCaptureFixture, name: str, value: str, words: str
) -> None:
    server.code = int(value) if name == "CODE" else 200
    given = server.environment | {f"KUBEFLOW_TRAINER_SERVER_{name}": value}
    with Telling(None, 0, "train", trainer=TrainerStatus.of(given)) as telling:
        telling.progress(0.4, "step 2 of 5")
    said = [record.message for record in caplog.records if "cannot be told" in record.message]
    assert len(said) == 1
    assert words in said[0]


def test_time_left_is_by_the_speed_of_this_run_alone() -> None:
    left = TimeLeft()
    told = []
    for done, now in ((0.0, 0.0), (0.5, 60.0), (0.6, 70.0), (0.55, 80.0), (0.75, 90.0), (1.0, 100.0)):
        left.reach(done, now)
        told.append(left.seconds)
    assert told == [None, None, pytest.approx(40), None, pytest.approx(12.5), 0]


def test_what_is_posted_keeps_within_the_trainer_s_bounds() -> None:
    figures = {"n" * 80: 0.1, "tokens": 123_456_789_012}
    status = json.loads(body_of(1.7, 1e12, figures))["trainerStatus"]
    assert status["progressPercentage"] == 100
    assert status["estimatedRemainingSeconds"] == 2_147_483_647
    assert status["metrics"] == [
        {"name": "n" * 64, "value": "0.1"},
        {"name": "tokens", "value": "123456789012"},
    ]
    assert "metrics" not in body_of(0.5, None, {})
