"""A DAG that goes on from another team's Llama: on a mixture of its own, warmed up again, and told for what
it is."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from builders.airflow_code import said
from builders.alone import Lake, lines_of, texts
from builders.checkout import TESTS
from builders.tokenizers import byte_tokenizer
from mashbill.mixtures import Forecast
from mashbill.models.folder import read_json

pytestmark = pytest.mark.slow
CONTEXT, STEPS, WARMUP = 32, 20, 8
SHAPE = {"layers": 1, "width": 32, "heads": 2, "kv_heads": 2, "feed_forward": 64, "context": CONTEXT}
PEAK, BEGUN = 2e-3, 5e-4
DAG = """
from airflow.sdk import dag
from mashbill.operators import ForecastLoss, TokenizeDocuments, TrainModel

SHAPE, MIXTURE = {shape!r}, {{"web": 0.2, "papers": 0.8}}
TRAINING = dict(model=SHAPE, batch_sequences=8, max_epochs=1_000, learning_rate={peak}, warmup_from={begun},
                warmup_tokens={warmup}, initial="{{{{ params.lake }}}}/llama")

@dag(schedule=None, params={{"lake": ""}}, render_template_as_native_obj=True)
def continued():
    shards = TokenizeDocuments(
        task_id="tokenize",
        documents={{name: f"{{{{{{{{ params.lake }}}}}}}}/{{name}}.jsonl" for name in ("web", "papers")}},
        tokenizer="{{{{ params.lake }}}}/llama/tokenizer.json",
        validation_share=0.1,
        output="{{{{ params.lake }}}}/shards",
    )
    told = ForecastLoss(
        task_id="forecast", tokens=shards.output, mixture=MIXTURE, target={{"web": 1.0}},
        shapes=[{{**SHAPE, "width": width}} for width in (8, 16, 24)], budgets=[0.5, 1.0], evaluations=1,
        training={{**TRAINING, "tokens": {tokens}}}, proxy={{"model": SHAPE, "device": "cpu"}},
        output="{{{{ params.lake }}}}/forecast",
    )
    model = TrainModel(
        task_id="train", tokens=shards.output, mixture=MIXTURE, training_tokens={tokens},
        micro_batch_sequences=8, processes_per_node=1, evaluations=1, precision="fp32", accelerator="cpu",
        max_restarts=0, output="{{{{ params.lake }}}}/model", **TRAINING,
    )
    told >> model
"""


def llama(folder: Path, lines: list[str]) -> float:
    """Write a Llama that transformers made, and trained on lines a little; its loss on them, in nats."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = byte_tokenizer()
    ids = tokenizer.encode("\n".join(lines)).ids
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=64,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        eos_token_id=256,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    batch = torch.tensor(ids[: len(ids) // CONTEXT * CONTEXT]).view(-1, CONTEXT)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return float(loss.detach())


def test_a_llama_of_anothers_is_trained_on_with_its_weights_and_warmed_up_again(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    lines = {name: texts(60, seed=seed) for seed, name in enumerate(("web", "papers"))}
    for name, written in lines.items():
        lake.put(f"{name}.jsonl", lines_of({"text": written}))
    known = llama(Path(lake.root, "llama"), lines["web"] + lines["papers"])
    code = DAG.format(
        shape=SHAPE, peak=PEAK, begun=BEGUN, warmup=WARMUP * 8 * CONTEXT, tokens=STEPS * 8 * CONTEXT
    )
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "continued.py").write_text(code)
    params = json.dumps({"lake": lake.root})
    search = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    code = "from builders.tasks_in_order import main; main()"
    answers = said(code, str(tmp_path / "dags"), "continued", params, home=tmp_path, PYTHONPATH=search)

    with Path(answers["train"], "curves.csv").open() as file:
        curve = list(csv.DictReader(file))
    losses = np.array([float(row["loss"]) for row in curve])
    rates = np.array([float(row["learning_rate"]) for row in curve])
    assert known < 3.0 < np.log(257)
    assert losses[0] == pytest.approx(known, abs=0.25)
    assert losses.max() < known + 0.5
    assert BEGUN < rates[0] < rates[WARMUP - 1] == pytest.approx(PEAK)
    assert (np.diff(rates[:WARMUP]) > 0).all()
    assert (np.diff(rates[WARMUP:]) < 0).all()
    made = read_json(Path(answers["train"], "models", "chosen", "config.json"))
    first = read_json(Path(lake.root, "llama", "config.json"))
    alike = ("hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size", "tie_word_embeddings")
    assert {name: made[name] for name in alike} == {name: first[name] for name in alike}
    before, after = (
        load_file(folder / "model.safetensors")["model.embed_tokens.weight"]
        for folder in (Path(lake.root, "llama"), Path(answers["train"], "models", "chosen"))
    )
    assert 0.9 < torch.cosine_similarity(before.flatten(), after.flatten(), dim=0) < 0.99999

    told = Forecast.model_validate_json(Path(answers["forecast"], Forecast.FILE).read_text())
    assert any(f"goes on from the weights of {lake.root}/llama, and every run" in c for c in told.cautions)
    assert any("warms up from 0.0005" in words for words in told.cautions)
