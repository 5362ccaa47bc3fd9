"""The final training under real torchrun and DeepSpeed, two processes: ZeRO stages agree, a killed worker
costs no step."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from builders.checkout import TESTS
from builders.corpus import run_stage
from builders.final_training import losses, prepare, with_training
from mashbill.artifacts import Artifact
from mashbill.config.final_run import CheckpointsConfig
from mashbill.models.measurement import bits_per_byte
from mashbill.tokens import TokenStore

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Artifact]]:
    """Tokens, a mixture and a decision to train."""
    folder = tmp_path_factory.mktemp("training")
    return folder, prepare(folder)


def test_zero_stages_and_one_process_train_the_same_model(
    prepared: tuple[Path, dict[str, Artifact]], tmp_path: Path
) -> None:
    folder, inputs = prepared
    curves = {}
    for stage, processes in ((0, 1), (1, 2), (3, 2)):
        config = with_training(
            folder, tmp_path / f"zero{stage}", zero_stage=stage, processes_per_node=processes
        )
        artifact = run_stage(config, "train", inputs)
        curves[stage] = losses(artifact)
        with (artifact.path / "curves.csv").open() as file:
            rows = list(csv.DictReader(file))
        behind = [float(row["slowest_rank_seconds"]) - float(row["median_rank_seconds"]) for row in rows]
        assert (max(behind) > 0) == (processes > 1)
        assert all(int(row["slowest_rank"]) < processes for row in rows)
    assert len(curves[0]) == 20
    assert curves[0][-1] < curves[0][0] - 0.5
    assert curves[1] == pytest.approx(curves[0], abs=2e-4)
    assert curves[3] == pytest.approx(curves[0], abs=2e-4)


def test_training_killed_with_all_its_processes_goes_on_as_if_nothing_had_been(
    prepared: tuple[Path, dict[str, Artifact]], tmp_path: Path
) -> None:
    folder, inputs = prepared
    whole = losses(run_stage(with_training(folder, tmp_path / "whole"), "train", inputs))
    config = with_training(folder, tmp_path / "killed")
    checkpoints = tmp_path / "killed" / ".work"
    script = (
        "import sys, pickle; sys.path.insert(0, sys.argv[1]); from builders.corpus import run_stage;"
        "run_stage(*pickle.loads(bytes.fromhex(sys.argv[2])))"
    )
    import pickle

    job = pickle.dumps((config, "train", inputs)).hex()
    process = subprocess.Popen([sys.executable, "-c", script, str(TESTS), job], start_new_session=True)
    deadline = time.monotonic() + 120
    while (
        not list(checkpoints.rglob("checkpoint.json"))
        and process.poll() is None
        and time.monotonic() < deadline
    ):
        time.sleep(0.05)
    assert process.poll() is None, "it ended before the first checkpoint"
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for member in family:
        os.kill(member.pid, signal.SIGKILL)
    process.wait()
    resumed = losses(run_stage(config, "train", inputs))
    assert resumed == pytest.approx(whole, abs=1e-6)


def test_exported_model_loads_in_transformers_with_our_logits(
    prepared: tuple[Path, dict[str, Artifact]], tmp_path: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from mashbill.models.huggingface import load_model

    folder, inputs = prepared
    config = with_training(folder, tmp_path, zero_stage=2)
    asked = config.tokens.model_copy(update={"vocabulary": 5_000})  # the text gave fewer
    artifact = run_stage(config.model_copy(update={"tokens": asked}), "train", inputs)
    recipe = json.loads((artifact.path / "recipes.json").read_text())["chosen"]
    assert recipe["mixture"] == {"a": 0.6, "b": 0.4}
    assert recipe["tokens_by_domain"] == {"a": 3_072, "b": 2_048}
    (part,) = artifact.path.with_name(f"{artifact.path.name}.parts").iterdir()
    counts = json.loads((part / "manifest.json").read_text())["counts"]
    assert (counts["steps"], counts["tokens"], counts["loss"]) == (20, 5_120, losses(artifact)[-1])
    model_folder = artifact.path / "models" / "chosen"
    tokens = torch.arange(20).reshape(1, 20)
    theirs = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    ours = load_model(model_folder)
    assert counts["parameters"] == sum(weight.numel() for weight in ours.parameters())
    with torch.no_grad():
        assert torch.allclose(ours(tokens), theirs(tokens).logits, atol=1e-4)
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    written = theirs.generate(
        **tokenizer("The number", return_tensors="pt"), max_new_tokens=5, do_sample=False
    )
    assert len(tokenizer.decode(written[0])) > len("The number")


def test_a_scheduled_model_reads_phase_after_phase(
    prepared: tuple[Path, dict[str, Artifact]], tmp_path: Path
) -> None:
    folder, inputs = prepared
    config = with_training(folder, tmp_path / "scheduled", mixtures=("scheduled",), processes_per_node=1)
    config = config.model_copy(update={"schedule": config.schedule.model_copy(update={"phases": 2})})
    artifact = run_stage(config, "train", inputs)
    recipe = json.loads((artifact.path / "recipes.json").read_text())["scheduled"]
    assert recipe["mixture"] == pytest.approx({"a": 0.6, "b": 0.4})
    assert [phase["mixture"]["a"] for phase in recipe["phases"]] == [1.0, 0.2]
    with (artifact.path / "evaluations.csv").open() as file:
        middle, end = list(csv.DictReader(file))
    learnt = {name: float(middle[name]) - float(end[name]) for name in ("a", "b")}
    assert learnt["b"] > learnt["a"]  # b comes in the second half


def test_milestones_stay_with_the_model_as_it_was_at_their_steps(
    prepared: tuple[Path, dict[str, Artifact]], tmp_path: Path
) -> None:
    from mashbill.models.huggingface import load_model

    folder, inputs = prepared
    kept = CheckpointsConfig(keep=1, milestone_steps=10)
    settings = {"mixtures": ("chosen", "natural"), "processes_per_node": 1, "document_masking": True}
    config = with_training(folder, tmp_path / "milestones", checkpoints=kept, **settings)
    artifact = run_stage(config, "train", inputs)
    store = TokenStore(inputs["tokenize"])
    with (artifact.path / "evaluations.csv").open() as file:
        rows = {row["mixture"]: row for row in csv.DictReader(file) if row["step"] == "10"}
    assert rows.keys() == {"chosen", "natural"}
    for name, row in rows.items():
        (milestone,) = (artifact.path / "milestones" / name).iterdir()
        assert milestone.name == "step0000000010"
        model = load_model(milestone)
        for held_out in store.set_names:
            found = store.validation(held_out)
            apart = bits_per_byte(model, found.tokens, found.bytes, end_of_text=store.end_of_text)
            assert float(row[held_out]) == pytest.approx(apart, rel=1e-4)
            if found.documents > 1:
                assert apart != pytest.approx(bits_per_byte(model, found.tokens, found.bytes), rel=1e-3)
    assert not list(tmp_path.rglob("checkpoint.json")), "what a training goes on from goes when it is there"
