"""A training under way is measured at its last checkpoint, on any layout, and goes on none the wiser."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from builders.corpus import corpus_config, stage_job, write_jsonl
from builders.final_training import checkpoints_in, prepare, with_training
from builders.shell import mashbill
from builders.tasks import write_task
from mashbill.models.folder import look_at_model
from mashbill.models.huggingface import load_model
from mashbill.training.export import export_checkpoint, last_step, training_of

pytestmark = pytest.mark.slow

STEPS = 60
SETTINGS = {"tokens": STEPS * 8 * 32, "checkpoint_steps": 20, "max_epochs": 1_000}


class Killed(Exception):
    """Stands for a moment in the middle of a training."""


@pytest.fixture(scope="module", params=[1, 3], ids="zero{}".format)
def training(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scratch folder of a training of two processes that has passed a checkpoint."""
    folder = tmp_path_factory.mktemp("training")
    inputs = prepare(folder)
    config = with_training(folder, folder / "artifacts", zero_stage=request.param, **SETTINGS)
    job = stage_job(config, "train", inputs)
    scratch = job.store.scratch_folder("train", job.fingerprint, "chosen")

    def kill(share: float, words: str) -> None:
        if (checkpoints_in(scratch).last() or 0) >= 20:
            raise Killed

    job.progress = kill
    with pytest.raises(Killed):
        job.run()
    return scratch


def test_the_export_holds_the_weights_of_the_checkpoint(training: Path, tmp_path: Path) -> None:
    assert training_of(training) == training_of(training / "checkpoints") == training
    step = export_checkpoint(training, tmp_path / "model")
    assert step == last_step(training)
    assert 20 <= step < STEPS
    assert look_at_model(tmp_path / "model").startswith("a llama model")
    exported = load_file(tmp_path / "model" / "model.safetensors")
    files = (training / "checkpoints").glob(f"step{step:010}/*.safetensors")
    held = [(key.split(":"), value) for file in files for key, value in load_file(file).items()]
    for name, weight in exported.items():
        cuts = [(int(key[1]), value) for key, value in held if (key[0], key[2]) == ("weight", name)]
        whole = torch.cat([value for _, value in sorted(cuts, key=lambda cut: cut[0])])
        torch.testing.assert_close(weight.flatten(), whole, rtol=0, atol=0)
    assert load_model(tmp_path / "model").vocabulary == exported["model.embed_tokens.weight"].shape[0]


def test_the_shell_measures_a_training_under_way(training: Path, tmp_path: Path) -> None:
    rows = [{"context": "The number", "choices": [" 3", " comes"], "gold": 0}] * 3
    write_task(tmp_path / "tasks", "counting", rows)
    for name in ("a", "b"):
        write_jsonl(tmp_path / f"{name}.jsonl", [f"{name} and {name}"])
    extra = '[evaluation]\ntasks = ["counting"]\ntasks_path = "tasks"\n'
    corpus_config(tmp_path, {"a": "a.jsonl", "b": "b.jsonl"}, extra=extra)
    older = tmp_path / ".mashbill" / "evaluated" / "exports"
    done = mashbill("evaluate", training, "--config", tmp_path / "config.toml", "--json")
    assert done.returncode == 0, done.stderr
    assert f"is measured after step {last_step(training)}" in done.stderr
    (model,) = json.loads(done.stdout)["models"]
    assert model["tasks"][0]["examples"] == 3
    assert model["tasks"][0]["measures"]["bits_per_byte"]["mean"] > 0
    assert [path.name.rpartition("-")[2] for path in older.iterdir()] == [f"step{last_step(training)}"]


def test_a_folder_that_is_no_training_is_none(tmp_path: Path) -> None:
    assert training_of(tmp_path) is None
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step0000000003").mkdir()
    assert training_of(tmp_path) is None
