"""Results of mix and gate that a person is asked about, without the proxies behind them, and a person who
answers through Airflow's API."""

import time
import urllib.error
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_server import AirflowServer
from builders.choices import write_choice
from mashbill.artifacts import Artifact, open_store
from mashbill.artifacts.manifest import Manifest
from mashbill.config import PipelineConfig
from mashbill.mixtures import Decision

PATIENCE_SECONDS = 600
MIXTURE = {"web": 0.7, "papers": 0.3}
REASON = "predicted gain over natural 0.0012 bits per byte, interval -0.0030 to 0.0054: within the noise"


def doubtful(config: PipelineConfig, folder: Path) -> dict[str, Artifact]:
    """A mix and a gate whose decision is to ask, in the store of a config.

    Args:
        config: whose store they go to.
        folder: where they are written first.
    """
    mix = folder / "mix"
    mix.mkdir()
    write_choice(mix, MIXTURE, {"web": 1.0}, beside={"natural": {"web": 0.5, "papers": 0.5}}, gain=0.0012)
    gate = folder / "gate"
    gate.mkdir()
    Decision(decision="ask", reason=REASON, gain=0.0012, gain_interval=(-0.003, 0.0054)).write(gate)
    return {"mix": committed(config, "mix", mix, {}), "gate": committed(config, "gate", gate, {})}


def committed(
    config: PipelineConfig,
    stage: str,
    folder: Path,
    inputs: dict[str, str],
    counts: dict[str, Any] | None = None,
) -> Artifact:
    """A folder's files as a stage's result in the store of a config."""
    store = open_store(config)
    fingerprint = stage.ljust(16, "0")
    output = store.output(stage, fingerprint)
    for path in folder.iterdir():
        path.rename(output.folder / path.name)
    manifest = Manifest(
        stage=stage,
        fingerprint=fingerprint,
        version=1,
        settings={},
        inputs=inputs,
        counts=counts or {},
        started="2026-01-01T00:00:00+00:00",
        seconds=0.0,
        mashbill="0",
    )
    return store.commit(output, manifest)


@dataclass
class Asked:
    """One run, and how it went.

    Attributes:
        state: of the task in the end; tries: how many it took.
        answers: that a person had to give.
        body: what the person read.
    """

    state: str = ""
    tries: int = 0
    answers: int = 0
    body: str = ""


class Person:
    """Who answers through Airflow's API.

    Args:
        server: of Airflow.
    """

    def __init__(self, server: AirflowServer) -> None:
        self.server = server

    def run(self, dag: str, answers: list[str], after: float = 0.0) -> Asked:
        """Trigger a run, and answer each time that there is a question, so long after it is there."""
        run = self.server.trigger(dag, {})
        return self.follow(dag, run, answers, after)

    def follow(self, dag: str, run: str, answers: list[str], after: float = 0.0) -> Asked:
        """Answer until the task has ended."""
        asked, since = Asked(), 0.0
        place = f"dags/{dag}/dagRuns/{run}/taskInstances/approve"
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            task = self.server.call("GET", place)
            asked.state, asked.tries = task["state"], task["try_number"]
            if asked.state in {"success", "failed"}:
                return asked
            question = self.question(place)
            if question and not question["response_received"] and answers:
                since = since or time.monotonic()
                if time.monotonic() - since >= after and self.answer(place, answers[0]):
                    asked.body, asked.answers, since = question["body"], asked.answers + 1, 0.0
            time.sleep(0.05)
        raise AssertionError(f"it took too long: {asked}")

    def question(self, place: str) -> dict[str, Any] | None:
        """The question, or None where there is none yet."""
        try:
            found: dict[str, Any] = self.server.call("GET", f"{place}/-1/hitlDetails")
        except urllib.error.HTTPError as error:
            error.close()
            return None
        return found

    def answer(self, place: str, option: str) -> bool:
        """Answer; False where that is not taken."""
        answer = {"chosen_options": [option], "params_input": {}}
        try:
            self.server.call("PATCH", f"{place}/-1/hitlDetails", answer)
        except urllib.error.HTTPError as error:
            error.close()
            return False
        return True
