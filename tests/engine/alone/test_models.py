"""Models by single operators: on shards and a mixture that are given."""

import json
from pathlib import Path
from typing import Any

import pytest

from builders.alone import Lake, lines_of, run_alone, texts
from mashbill.artifacts import Published
from mashbill.errors import MashbillError
from mashbill.mixtures import Forecast, Recipes

SHAPE = {"layers": 1, "width": 32, "heads": 2, "kv_heads": 2, "feed_forward": 64, "context": 32}
TRAINING: dict[str, Any] = {
    "model": SHAPE,
    "training_tokens": 2_560,
    "batch_sequences": 8,
    "micro_batch_sequences": 4,
    "processes_per_node": 1,
    "max_epochs": 1_000,
    "evaluations": 1,
    "precision": "fp32",
    "accelerator": "cpu",
    "max_restarts": 0,
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Shards of two domains."""
    lake = Lake(str(tmp_path_factory.mktemp("lake")))
    documents = {
        name: lake.put(f"{name}.jsonl", lines_of({"text": texts(60, seed=s)})) for s, name in DOMAINS
    }
    run_alone(
        "tokenize", documents=documents, output=f"{lake.root}/shards", vocabulary=300, validation_share=0.1
    )
    return lake


DOMAINS = ((1, "web"), (2, "papers"))


@pytest.mark.slow
def test_a_model_is_trained_on_a_mixture_that_is_given_and_measured(lake: Lake, tmp_path: Path) -> None:
    mixture = lake.put("mixture.json", json.dumps({"web": 0.25, "papers": 0.75}).encode())
    made = run_alone(
        "train", tokens=f"{lake.root}/shards", mixture=mixture, output=f"{lake.root}/model", **TRAINING
    )
    assert Recipes.read(made).root["chosen"].mixture == {"web": 0.25, "papers": 0.75}
    assert Path(lake.root, "model/models/chosen/config.json").exists()
    found = run_alone(
        "evaluate",
        tokens=f"{lake.root}/shards",
        models=f"{lake.root}/model",
        output=f"{lake.root}/measured",
        accelerator="cpu",
        generate_tokens=0,
    )
    evaluation = json.loads(found.file("evaluation.json").read_text())
    bits = evaluation["models"]["chosen"]["bits_per_byte"]
    assert evaluation["measured"]["chosen"] == pytest.approx((bits["web"] + bits["papers"]) / 2)
    folders = run_alone(
        "evaluate",
        tokens=f"{lake.root}/shards",
        models={"ours": f"{lake.root}/model/models/chosen"},
        target={"web": 1.0},
        output=f"{lake.root}/again",
        accelerator="cpu",
        generate_tokens=0,
    )
    again = json.loads(folders.file("evaluation.json").read_text())
    assert again["measured"]["ours"] == pytest.approx(bits["web"])


@pytest.mark.slow
def test_shards_in_a_bucket_are_read_there_by_every_process_of_a_training(
    lake: Lake, root: str, tmp_path: Path
) -> None:
    remote = Lake(f"{root}/shards")
    for path in (
        p for p in Path(lake.root, "shards").rglob("*") if p.is_file() and ".mashbill" not in str(p)
    ):
        remote.put(str(path.relative_to(f"{lake.root}/shards")), path.read_bytes())
    settings = {**TRAINING, "mixture": {"web": 0.25, "papers": 0.75}}
    far = run_alone(
        "train",
        tokens=remote.root,
        output=str(tmp_path / "far"),
        scratch=str(tmp_path / "scratch"),
        **settings,
    )
    near = run_alone("train", tokens=f"{lake.root}/shards", output=str(tmp_path / "near"), **settings)
    weights = "models/chosen/model.safetensors"
    assert far.file(weights).read_bytes() == near.file(weights).read_bytes()


@pytest.mark.slow
def test_a_forecast_is_made_of_a_mixture_that_nothing_predicted(lake: Lake) -> None:
    made = run_alone(
        "forecast",
        tokens=f"{lake.root}/shards",
        mixture={"web": 0.5, "papers": 0.5},
        target={"web": 1.0},
        output=f"{lake.root}/forecast",
        shapes=[{**SHAPE, "width": width} for width in (8, 16, 24)],
        budgets=[0.5, 1.0],
        evaluations=1,
        training={"model": SHAPE, "tokens": 2_560, "batch_sequences": 8, "max_epochs": 1_000},
        proxy={"model": SHAPE, "device": "cpu"},
    )
    found = Forecast.read(made)
    assert len([run for run in found.runs if run.origin == "ladder"]) == 6
    assert found.final is not None or found.refused


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a domain that the shards lack": (
        {"mixture": {"web": 0.5, "books": 0.5}},
        "mixture: names 'books', which the shards lack; they have web, papers; name the domains alike",
    ),
    "no shards": (
        {"tokens": "{lake}/none"},
        "tokens: {lake}/none is no result; give the address that Tokenize",
    ),
    "documents for shards": (
        {"tokens": "{lake}/web.jsonl"},
        "is no result; give the address",
    ),
    "weights that sum to 2": ({"mixture": {"web": 1.0, "papers": 1.0}}, "sums to 2; make the row's weights"),
    "a mixture that is none": ({"mixture": "{lake}/shards"}, "has no mixture.csv"),
    "a model of no such name": (
        {"model": "llama-9000b"},
        "model.preset: is 'llama-9000b'; choose 't",
    ),
    "a shape that does not go up": ({"model": {**SHAPE, "heads": 3}}, "width 32 must be an even multiple"),
    "a learning rate in words": ({"learning_rate": "high"}, "learning_rate: is 'high', where a number"),
    "both ways to say the batch": ({"batch_tokens": 256}, "batch_tokens and batch_sequences are both set"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_of_a_training_gets_one_line_before_work(case: str, lake: Lake, tmp_path: Path) -> None:
    changed, words = BAD[case]
    changed = {k: v.format(lake=lake.root) if isinstance(v, str) else v for k, v in changed.items()}
    given = {"tokens": f"{lake.root}/shards", "mixture": {"web": 0.5, "papers": 0.5}, **TRAINING, **changed}
    with pytest.raises(MashbillError) as refused:
        run_alone("train", **given, output=str(tmp_path / "model"))
    said = str(refused.value)
    assert said.startswith("Task train: ")
    assert words.format(lake=lake.root) in said
    assert "\n" not in said
    assert Published(str(tmp_path / "model"), tmp_path).found() is None
