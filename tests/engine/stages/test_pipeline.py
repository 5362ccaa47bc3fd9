"""The whole pipeline from the shell, on a few megabytes of real text: it ends with a report, and a kill costs
little."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from builders.alone import run_alone
from builders.shell import MASHBILL
from builders.smoke import finished_parts, forget_part, smoke_config, smoke_home
from mashbill.artifacts import Artifact, StageRun, place_at
from mashbill.config import PipelineConfig, load_config
from mashbill.errors import ConfigError, DataError, RunError
from mashbill.stages import STAGES, StageJob, finished_stages, job_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the smoke config and its text."""
    return smoke_home(tmp_path_factory.mktemp("smoke"))


def command(home: Path, stage: str) -> list[str]:
    return [*MASHBILL, "run", stage, "--config", str(smoke_config(home)), "--json"]


@dataclass(frozen=True)
class Resumed:
    """A home whose sweep was killed, then lost a worker, and ended all the same.

    Attributes:
        home: with the smoke config, its text and its artifacts.
        before: the sweep's finished groups when it was killed, and when each was committed.
        after: the same at the end.
        status: exit status of the sweep that lost a worker.
        answer: what it printed.
        said: what it said on the error stream.
    """

    home: Path
    before: dict[str, float]
    after: dict[str, float]
    status: int
    answer: str
    said: str


@pytest.fixture(scope="module")
def resumed(home: Path) -> Resumed:
    subprocess.run(command(home, "plan"), check=True, capture_output=True)
    process = subprocess.Popen(
        command(home, "sweep"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not finished_parts(home, "sweep") and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    first, *others = finished_parts(home, "sweep")
    for name in others:  # on a slow machine more may have ended at once: then nothing would be left to do
        forget_part(home, "sweep", name)
    before = {first: finished_parts(home, "sweep")[first]}
    with subprocess.Popen(
        command(home, "sweep"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        kill_a_worker(process)
        answer, said = process.communicate(timeout=300)
    return Resumed(home, before, finished_parts(home, "sweep"), process.returncode, answer, said)


def test_killed_sweep_goes_on_without_retraining_finished_groups(resumed: Resumed) -> None:
    assert resumed.before, "no group finished"
    assert resumed.status == 0, resumed.said
    assert "a worker process died" in resumed.said
    assert {name: resumed.after[name] for name in resumed.before} == resumed.before
    assert json.loads(resumed.answer)["sweep"]["counts"]["proxies"] == 8


def kill_a_worker(process: subprocess.Popen[str]) -> None:
    """Kill one of a run's worker processes as soon as there is one."""
    while process.poll() is None:
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            line = Path(f"/proc/{child}/cmdline")
            if line.exists() and "spawn_main" in line.read_text():
                os.kill(int(child), signal.SIGKILL)
                return
        time.sleep(0.02)
    pytest.fail(f"the run ended before a worker was there: {process.communicate()[1]}")


def test_pipeline_runs_from_text_to_report(resumed: Resumed) -> None:
    result = subprocess.run(command(resumed.home, "all"), capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    stages = json.loads(result.stdout)
    for stage in ("deduplicate", "select"):
        counts = stages[stage]["counts"]
        assert counts["documents_in"] == counts["documents_out"] + sum(counts["removed"].values())
    ingest = stages["ingest"]["counts"]
    assert ingest["documents_in"] == ingest["documents_out"] + sum(ingest["rejected"].values())
    report = Path(stages["report"]["address"])
    summary = json.loads((report / "summary.json").read_text())
    assert sum(summary["mixture"].values()) == pytest.approx(1, abs=1e-6)
    assert set(summary["measured"]) == {"chosen", "natural"}
    assert "<svg" in (report / "report.html").read_text()
    signs_agree(summary, {name: Path(stages[name]["address"]) for name in ("mix", "train")})


def signs_agree(summary: dict[str, Any], stages: dict[str, Path]) -> None:
    """The report's gains point the way that the models' last losses, as training wrote them, differ."""
    target = json.loads((stages["mix"] / "choice.json").read_text())["target"]
    curves = pd.read_csv(stages["train"] / "evaluations.csv").sort_values("tokens").groupby("mixture").last()
    measured = {name: sum(w * row[s] for s, w in target.items()) for name, row in curves.iterrows()}
    assert summary["measured"] == pytest.approx(
        {name: measured[name] for name in summary["measured"]}, abs=0.02
    )
    gain = summary["measured"]["natural"] - summary["measured"]["chosen"]
    assert summary["gain_measured"] == pytest.approx(gain, abs=1e-6)
    predicted = summary["predicted"]["natural"] - summary["predicted"]["chosen"]
    assert summary["gain_predicted"] == pytest.approx(predicted, abs=1e-6)
    assert predicted >= 0  # the choice is predicted to be no worse than natural


def test_second_run_reuses_everything(resumed: Resumed) -> None:
    home = resumed.home
    first = subprocess.run(command(home, "all"), capture_output=True, text=True, check=True)
    again = subprocess.run(command(home, "all"), capture_output=True, text=True, check=True)
    assert first.stdout == again.stdout
    assert again.stderr.count("reused") == len(json.loads(again.stdout))


def test_a_training_goes_on_from_an_earlier_runs_model_and_the_report_says_what_no_forecast_knows(
    home: Path,
) -> None:
    def ran(*assignments: str) -> dict[str, Path]:
        sets = [part for one in assignments for part in ("--set", one)]
        done = subprocess.run([*command(home, "all"), *sets], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return {name: Path(stage["address"]) for name, stage in json.loads(done.stdout).items()}

    def losses(stages: dict[str, Path]) -> pd.Series:
        curves = pd.read_csv(stages["train"] / "curves.csv")
        return curves[curves["mixture"] == "chosen"]["loss"].reset_index(drop=True)

    first = ran()
    model = first["train"] / "models" / "chosen"
    again = ran(f"training.initial={model}", "training.learning_rate=1e-3")
    assert {name for name in first if first[name] != again[name]} >= {
        "forecast",
        "train",
        "evaluate",
        "report",
    }
    assert [first[name] for name in ("tokenize", "sweep")] == [again[name] for name in ("tokenize", "sweep")]
    before, after = losses(first), losses(again)
    assert abs(after[0] - before.iloc[-1]) < 0.5 * (before[0] - before.iloc[-1])
    said = " ".join((again["report"] / "report.html").read_text().split())
    assert f"went on from the weights of {model}, which no run of the forecast knew" in said


def test_report_tells_of_few_models_and_of_what_repeats_the_reference(resumed: Resumed) -> None:
    result = subprocess.run(command(resumed.home, "all"), capture_output=True, text=True, check=True)
    stages = json.loads(result.stdout)
    page = (Path(stages["report"]["address"]) / "report.html").read_text()
    assert "3 models have 3 pairs that differ" in page
    for domain in stages["filter"]["counts"]["removed_by_domain"]:
        assert f"<tr><td>{domain}</td><td>reference</td>" in page


def test_the_report_alone_is_that_of_the_pipeline_and_tells_what_there_is_none_of(
    resumed: Resumed, tmp_path: Path
) -> None:
    subprocess.run(command(resumed.home, "all"), check=True, capture_output=True)
    _, done = artifacts_of(resumed.home)
    whole = json.loads(Path(done["report"].address, "summary.json").read_text())
    last = [done[name].address for name in ("evaluate", "forecast", "validate", "ladder", "baselines")]
    alone = run_alone("report", results=last, output=str(tmp_path / "alone"))
    assert json.loads(Path(alone.address, "summary.json").read_text()) == whole
    assert "or was left out" not in Path(alone.address, "report.html").read_text()
    for missing, given in WITHOUT.items():
        addresses = {name: done[name].address for name in given}
        made = run_alone("report", results=addresses, output=str(tmp_path / missing))
        page = Path(made.address, "report.html").read_text()
        assert f"the stage {missing} failed, or was left out." in page
        assert json.loads(Path(made.address, "summary.json").read_text())["mixture"] == whole["mixture"]
    with pytest.raises(ConfigError, match="results: lead to no result of refine; name its address too"):
        run_alone("report", results=done["ladder"].address, output=str(tmp_path / "none"))


WITHOUT = {
    "forecast": ("evaluate", "validate", "ladder"),
    "evaluate": ("train", "forecast", "ladder"),
    "train": ("gate", "schedule"),
}
"""Results that a report is written of, and one that is neither among them nor among those before."""
UNREAD = {
    "ladder": {"sweep"},  # the smoke config has no rungs,
    "refine": {"plan"},  # reuses no earlier search
    "fit": {"plan"},
    "mix": {"plan", "sweep"},
    "train": {"schedule", "gate"},  # and trains no model on a schedule
    "evaluate": {"schedule"},
    "report": {"bootstrap", "tokenize", "plan", "baselines"},
}
"""Inputs of which a stage reads the manifest at most, on the smoke config."""
COLLECTED = {("evaluate", "mix")}
"""Inputs that are read when parts are collected, and by none of them."""


def artifacts_of(home: Path) -> tuple[PipelineConfig, dict[str, Artifact]]:
    """The config, and every stage's result, opened anew."""
    config = load_config(smoke_config(home))
    return config, finished_stages(config)


@contextmanager
def changed(artifact: Artifact, names: Iterable[str]) -> Iterator[None]:
    """One byte of each of these files is another."""
    whole = {Path(artifact.address, name): Path(artifact.address, name).read_bytes() for name in names}
    for path, content in whole.items():
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        yield
    finally:
        for path, content in whole.items():
            path.write_bytes(content)


def refusal(job: StageJob, folder: Path, part: str | None, parts: Mapping[str, Artifact]) -> str:
    """What a stage, or a part of it, says of what it reads; nothing is committed."""
    for name in ("output", "scratch/whole"):
        (folder / name).mkdir(parents=True)
    output, scratch = folder / "output", folder / "scratch" / "whole"
    run = StageRun.here(
        job.view,
        job.inputs,
        output=output,
        scratch=scratch,
        progress=lambda share, words: None,
        part=part,
        parts=parts,
    )
    try:
        job.stage.load_run(part=part is not None)(run)
    except (DataError, RunError) as error:
        return str(error)
    return f"{job.stage.name} read it"


def test_a_changed_byte_in_any_file_of_any_artifact_is_refused(resumed: Resumed) -> None:
    subprocess.run(command(resumed.home, "all"), check=True, capture_output=True)
    root = resumed.home / ".demo" / "smoke" / "artifacts"
    folders = [path.parent for path in root.glob("[!.]*/**/manifest.json")]
    assert len(folders) > len(STAGES)
    for folder in folders:
        artifact = place_at(folder)
        assert isinstance(artifact, Artifact)
        artifact.folder("")  # it holds nothing but its files
        for name in artifact.names():
            if not Path(folder, name).stat().st_size:
                continue
            with changed(artifact, [name]), pytest.raises(DataError) as refused:
                artifact.file(name)
            assert str(refused.value).startswith(f"{folder / name}: has SHA-256")


def test_a_stage_refuses_what_is_not_as_it_was_committed(resumed: Resumed, tmp_path: Path) -> None:
    subprocess.run(command(resumed.home, "all"), check=True, capture_output=True)
    refused = 0
    for stage in STAGES.values():
        for name in [name for name in stage.inputs if name not in UNREAD.get(stage.name, ())]:
            config, done = artifacts_of(resumed.home)
            job = job_of(stage, config, done)
            part = next(iter(job.part_names()), None)
            files = done[name].names("shards" if (stage.name, name) == ("train", "tokenize") else "")
            place, parts = tmp_path / f"{stage.name}-{name}", {}
            if (stage.name, name) in COLLECTED:
                part, parts = None, {n: made for n in job.part_names() if (made := job.find_part(n))}
            with changed(done[name], files):
                said = refusal(job, place, part, parts)
            assert "has SHA-256" in said, name
            assert done[name].address in said
            refused += 1
        config, done = artifacts_of(resumed.home)
        job = job_of(stage, config, done)
        for part in job.part_names()[:1]:
            parts = {name: found for name in job.part_names() if (found := job.find_part(name))}
            place = tmp_path / f"{stage.name}-parts"
            with changed(parts[part], parts[part].names()):
                said = refusal(job, place, None, parts)
            assert "has SHA-256" in said
            refused += 1
    assert refused > 2 * len(STAGES)
