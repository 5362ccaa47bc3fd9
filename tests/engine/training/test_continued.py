"""A final training that goes on from an earlier one's model, on disk or in a store."""

from pathlib import Path

import boto3
import pytest

from builders.corpus import run_stage
from builders.final_training import losses, prepare, with_training
from mashbill.models.folder import read_json

pytestmark = pytest.mark.slow


def uploaded(folder: Path, root: str) -> str:
    """A folder's files in the store; its address."""
    bucket, _, _ = root.removeprefix("s3://").partition("/")
    for path in folder.iterdir():
        boto3.client("s3").upload_file(str(path), bucket, f"models/first/{path.name}")
    return f"s3://{bucket}/models/first"


def test_it_goes_on_from_an_earlier_runs_model_wherever_that_lies(root: str, tmp_path: Path) -> None:
    inputs = prepare(tmp_path)
    alone = {"processes_per_node": 1, "micro_batch_sequences": 8}
    first = run_stage(with_training(tmp_path, tmp_path / "first", **alone), "train", inputs)
    model = first.path / "models" / "chosen"
    curves, made = [], []
    again = {"warmup_share": 0.3, "learning_rate": 1e-3, "warmup_from": 3e-4, "mixtures": ("natural",)}
    for name, place in (("disk", str(model)), ("store", uploaded(model, root))):
        config = with_training(tmp_path, tmp_path / name, initial=place, **alone, **again)
        made.append(run_stage(config, "train", inputs))
        curves.append(losses(made[-1]))
    assert curves[0] == curves[1]
    before = losses(first)
    assert before[0] - before[-1] > 0.5
    assert curves[0][0] == pytest.approx(before[-1], abs=0.4)  # the mixture is another
    assert curves[0][-1] < curves[0][0]
    assert made[0].fingerprint != made[1].fingerprint
    exported = read_json(made[0].path / "models" / "natural" / "config.json")
    assert exported == read_json(model / "config.json")
