"""Final models whose losses are known by heart: the measured target is theirs, and gains have the sign that
the better model says."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from builders.choices import write_choice
from builders.corpus import corpus_config, folder_as_artifact
from builders.known_models import WORDS, bigram_bits, bigram_model, bigram_table
from builders.tasks import write_task
from builders.token_stores import BYTES_A_TOKEN, VOCABULARY, markov_stream, write_store
from mashbill.artifacts import Counts, StageRun
from mashbill.config import EvaluationConfig, ModelShape
from mashbill.errors import RunError
from mashbill.evaluation.check import check_tasks, task_identity
from mashbill.evaluation.evaluate import evaluate, evaluate_parts, measure_model
from mashbill.evaluation.model import load_exported, logit_difference
from mashbill.evaluation.record import Evaluation
from mashbill.mixtures import Prediction, Recipe, Recipes, Schedule, ScheduleChoice
from mashbill.mixtures.schedule_choice import phases_of
from mashbill.models.huggingface import save_model
from mashbill.models.transformer import Transformer
from mashbill.tokens import TokenStore

LAW = bigram_table(21)
EVEN = np.full((VOCABULARY, VOCABULARY), 1 / VOCABULARY)
TABLES = {"natural": EVEN, "chosen": 0.5 * LAW + 0.5 * EVEN, "scheduled": LAW}
"""Of the text's own law they know nothing, a half and all."""
SETS = {"a": 1, "b": 2, "r": 3}
TARGET = {"r": 0.75, "a": 0.25}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    held = {name: markov_stream(LAW, 100 + 50 * seed, seed) for name, seed in SETS.items()}
    domains = {name: (markov_stream(LAW, 200, 9), held[name]) for name in ("a", "b")}
    return write_store(tmp_path_factory.mktemp("store"), domains, {"r": held["r"]})


def known_target(store: TokenStore, table: np.ndarray) -> float:
    """Bits per byte of the weighted target, added up by hand."""
    bits = {}
    for name in TARGET:
        tokens = store.validation(name).tokens
        bits[name] = bigram_bits(table, tokens) / (BYTES_A_TOKEN * len(tokens))
    return 0.75 * bits["r"] + 0.25 * bits["a"]


def evaluated(store: TokenStore, folder: Path, names: tuple[str, ...], **settings: object) -> StageRun:
    """The stage, ready to run on models of these names."""
    for name in names:
        model = folder / "train" / "models" / name
        save_model(bigram_model(TABLES[name], 16), model, store.tokenizer_path)
    (folder / "mix").mkdir()
    mixture = {"a": 0.5, "b": 0.5}
    mix = write_choice(folder / "mix", mixture, TARGET, gain=0.123)
    schedule = Schedule(("a", "b"), np.array([0.5, 0.5]), np.array([[1.0, 0.0], [0.0, 1.0]]))
    ScheduleChoice(
        phases=2,
        schedule=phases_of(schedule),
        mean=schedule.mean,
        taken=True,
        reason="for a test",
        predicted=Prediction(loss=2.5, interval=(2.4, 2.6)),
    ).write(folder / "mix")
    config = corpus_config(folder, {"a": "a.jsonl", "b": "b.jsonl"}, {"r": "r.jsonl"})
    update = {
        "mix": config.mix.model_copy(update={"target": TARGET}),
        "evaluation": EvaluationConfig(**settings),
    }  # type: ignore[arg-type]
    inputs = {
        "tokenize": folder_as_artifact("tokenize", store.folder),
        "mix": mix,
        "schedule": folder_as_artifact("schedule", folder / "mix"),
        "train": folder_as_artifact("train", folder / "train"),
    }
    output = folder / "output"
    output.mkdir()
    return StageRun.here(
        config.model_copy(update=update), inputs, output=output, scratch=folder, progress=lambda *_: None
    )


def measured(run: StageRun) -> Counts:
    """The whole stage: a part a model, and their collection."""
    parts = {}
    for name in evaluate_parts(run.config, run.inputs):
        output, scratch = run.scratch / "parts" / name, run.scratch / "scratch" / name
        output.mkdir(parents=True)
        scratch.mkdir(parents=True)
        given = {"output": output, "scratch": scratch, "progress": run.progress, "part": name}
        measure_model(StageRun.here(run.config, run.inputs, **given))
        parts[name] = folder_as_artifact("evaluate", output)
    return evaluate(replace(run, parts=parts))


def test_models_are_measured_as_their_tables_say_and_gains_have_their_signs(
    store: TokenStore, tmp_path: Path
) -> None:
    run = evaluated(store, tmp_path, ("natural", "chosen", "scheduled"), generate_tokens=0)
    counts = measured(run)
    facts = json.loads((run.output / "evaluation.json").read_text())
    known = {name: known_target(store, table) for name, table in TABLES.items()}
    assert known["natural"] > known["chosen"] + 0.1 > known["scheduled"] + 0.15
    assert facts["measured"] == pytest.approx(known, rel=5e-3)
    assert {name: model["target"] for name, model in facts["models"].items()} == facts["measured"]
    for name, table in TABLES.items():
        for held in SETS:
            tokens = store.validation(held).tokens
            bits = bigram_bits(table, tokens) / (BYTES_A_TOKEN * len(tokens))
            assert facts["models"][name]["bits_per_byte"][held] == pytest.approx(bits, rel=5e-3)
        assert facts["models"][name]["samples"] == [{"prompt": "The", "text": ""}]
    assert facts["gain_measured"] == pytest.approx(known["natural"] - known["chosen"], abs=5e-3)
    assert facts["gain_measured"] > 0
    assert facts["schedule_gain_measured"] == pytest.approx(known["chosen"] - known["scheduled"], abs=5e-3)
    assert facts["gain_predicted"] == 0.123
    assert facts["predicted"] == {"chosen": 3.0, "natural": 3.0, "scheduled": 2.5}
    assert counts["gain_measured"] == facts["gain_measured"]
    assert counts["bits_per_byte_natural"] == round(facts["measured"]["natural"], 4)


def test_a_model_that_read_documents_apart_is_measured_so(store: TokenStore, tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    nothing: dict[str, float] = {}
    numbers = {"parameters": 1, "world_size": 1, "steps": 1, "batch_tokens": 1, "gradient_accumulation": 1}
    flops = {"flops_per_token": 1.0, "training_flops": 1.0}
    by_name = (
        "memory_per_rank_bytes",
        "tokens_by_domain",
        "epochs_by_domain",
        "mixture",
        "numbers",
        "deepspeed",
    )
    given = {**numbers, **flops, **dict.fromkeys((*by_name, "versions"), nothing), "phases": []}
    masked = Recipe.model_validate({**given, "document_masking": True})
    Recipes({"scheduled": masked, "chosen": Recipe.model_validate(given)}).write(tmp_path / "train")
    run = evaluated(store, tmp_path, ("chosen", "scheduled"), generate_tokens=0)
    measured(run)
    models = json.loads((run.output / "evaluation.json").read_text())["models"]
    for name, first_tokens_count in (("chosen", True), ("scheduled", False)):
        for held in SETS:
            tokens = store.validation(held).tokens
            pairs = np.stack([tokens[:-1], tokens[1:]], 1)
            counted = pairs[first_tokens_count | (pairs[:, 0] != store.end_of_text)]
            bits = -np.log2(TABLES[name][counted[:, 0], counted[:, 1]]).sum() / (BYTES_A_TOKEN * len(tokens))
            assert models[name]["bits_per_byte"][held] == pytest.approx(bits, rel=5e-3)
            assert first_tokens_count or len(counted) < len(pairs)


def test_what_was_not_trained_has_no_gain(store: TokenStore, tmp_path: Path) -> None:
    run = evaluated(store, tmp_path, ("chosen",), generate_tokens=0)
    assert measured(run)["gain_measured"] is None
    facts = json.loads((run.output / "evaluation.json").read_text())
    assert facts["differences"] == []
    assert not (run.output / "examples.parquet").exists()
    assert facts["schedule_gain_measured"] is None
    assert set(facts["measured"]) == {"chosen"}
    assert set(facts["predicted"]) == {"chosen", "natural"}


def test_an_export_that_transformers_reads_otherwise_is_refused(
    store: TokenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = LlamaRMSNorm.forward
    monkeypatch.setattr(LlamaRMSNorm, "forward", lambda norm, stream: 1.1 * theirs(norm, stream))
    run = evaluated(store, tmp_path, ("chosen",), generate_tokens=0)
    with pytest.raises(RunError, match=r"has logits that differ by .* under transformers"):
        measured(run)


def test_logits_that_are_off_by_more_than_rounding_are_refused(store: TokenStore, tmp_path: Path) -> None:
    save_model(bigram_model(LAW, 16), tmp_path, store.tokenizer_path)
    model, _ = load_exported(tmp_path)

    def difference(by: float) -> float:
        def moved(ids: object) -> SimpleNamespace:
            return SimpleNamespace(logits=model(ids).logits + by)

        return logit_difference(tmp_path, moved, store.validation("a").tokens)

    assert difference(5e-4) == pytest.approx(5e-4, rel=0.1)
    with pytest.raises(RunError, match=r"has logits that differ by 0\.002"):
        difference(2e-3)


def test_samples_are_the_models_own_after_the_prompt_and_fit_the_context(
    store: TokenStore, tmp_path: Path
) -> None:
    cycle = np.full((VOCABULARY, VOCABULARY), 1e-9)
    cycle[np.arange(VOCABULARY), [1, 2, 3, 4, 5, 6, 7, 1]] = 1.0  # a is followed by b, c, é, ab, ☕, d, a
    TABLES["cycle"] = cycle / cycle.sum(axis=1, keepdims=True)
    run = evaluated(store, tmp_path, ("cycle", "natural"), generate_tokens=40, prompts=("a", "abc"))
    measured(run)
    models = json.loads((run.output / "evaluation.json").read_text())["models"]
    assert [sample["prompt"] for sample in models["cycle"]["samples"]] == ["a", "abc"]
    assert models["cycle"]["samples"][0]["text"] == "bcéab☕dabcéab☕dab"  # 15 tokens: the context is 16
    assert models["cycle"]["samples"][1]["text"] == "éab☕dabcéab☕dabc"  # 14: ab and c are in the prompt
    short = evaluated(store, tmp_path / "short", ("cycle",), generate_tokens=3, prompts=("a",))
    measured(short)
    models_of_short = json.loads((short.output / "evaluation.json").read_text())["models"]
    assert models_of_short["cycle"]["samples"][0]["text"] == "bcé"
    free = [sample["text"] for sample in models["natural"]["samples"]]
    again = evaluated(store, tmp_path / "again", ("natural",), generate_tokens=40, prompts=("a", "abc"))
    measured(again)
    models = json.loads((again.output / "evaluation.json").read_text())["models"]
    assert [sample["text"] for sample in models["natural"]["samples"]] == free


QUIZ = [("c", ["a", "d"], 1), ("d", ["b", "é", "c"], 0), ("a", ["c", "☕"], 0), ("b", ["d", "c"], 1)]


def quiz_bits(table: np.ndarray, question: str, answer: str) -> float:
    """Bits per byte of a one-letter answer after a letter."""
    return float(-np.log2(table[WORDS[question], WORDS[answer]])) / len(answer.encode())


def test_tasks_are_asked_of_every_model_and_compared_with_natural(store: TokenStore, tmp_path: Path) -> None:
    rows = [{"context": q, "choices": answers, "gold": gold} for q, answers, gold in QUIZ]
    write_task(tmp_path / "tasks", "quiz", rows)
    settings = {"tasks": ("quiz",), "tasks_path": str(tmp_path / "tasks"), "generate_tokens": 0}
    run = evaluated(store, tmp_path, ("natural", "chosen", "scheduled"), **settings)
    counts = measured(run)
    found = Evaluation.read(run.output)
    bits = {
        name: np.array([quiz_bits(table, q, answers[gold]) for q, answers, gold in QUIZ])
        for name, table in TABLES.items()
        if name in found.models
    }
    for name, known in bits.items():
        (result,) = found.models[name].tasks
        assert result.measures["bits_per_byte"].mean == pytest.approx(known.mean(), rel=1e-4)
        assert result.measures["bits_per_byte"].error == pytest.approx(
            known.std(ddof=1) / 2, rel=1e-3, abs=1e-6
        )
        assert counts[f"quiz_accuracy_{name}"] == result.measures["accuracy"].mean
    gaps = {(one.model, one.measure): one.difference for one in found.differences}
    assert {model for model, _ in gaps} == {"chosen", "scheduled"}
    for name in ("chosen", "scheduled"):
        gap = bits[name] - bits["natural"]
        assert gaps[name, "bits_per_byte"].mean == pytest.approx(gap.mean(), rel=1e-4)
        assert gaps[name, "bits_per_byte"].error == pytest.approx(gap.std(ddof=1) / 2, rel=1e-3)
    table = pd.read_parquet(run.output / "examples.parquet")
    chosen = table[(table["model"] == "chosen") & (table["measure"] == "bits_per_byte")]
    assert list(chosen["example"]) == [0, 1, 2, 3]
    assert chosen["value"].to_numpy() == pytest.approx(bits["chosen"], rel=1e-4)


def test_the_result_hangs_on_the_files_of_its_own_tasks_alone(tmp_path: Path) -> None:
    rows = [{"context": "c", "choices": ["a", "d"], "gold": 1}]
    for name in ("quiz", "other"):
        write_task(tmp_path / "tasks", name, rows)
    config = corpus_config(tmp_path, {"a": "a", "b": "b"}).model_copy(
        update={"evaluation": EvaluationConfig(tasks=("quiz",), tasks_path="tasks")}
    )
    before = task_identity(config)
    write_task(tmp_path / "tasks", "other", rows * 2)
    assert task_identity(config) == before
    write_task(tmp_path / "tasks", "quiz", rows * 2)
    assert task_identity(config) != before
    (check,) = check_tasks(config)
    assert check.look() == "quiz (2 examples, not said)"
    shared = {"data_files": {"test": "other.jsonl"}}
    write_task(tmp_path / "tasks", "quiz", rows, dataset_kwargs=shared)
    before = task_identity(config)
    write_task(tmp_path / "tasks", "other", rows * 3)
    assert task_identity(config) != before
    without = config.model_copy(update={"evaluation": EvaluationConfig()})
    assert task_identity(without) is None
    assert not list(check_tasks(without))


def test_a_model_whose_blocks_grow_is_read_without_the_code_beside_it(
    store: TokenStore, tmp_path: Path
) -> None:
    sizes = {"layers": 2, "width": 16, "heads": 4, "kv_heads": 2, "feed_forward": 512, "context": 16}
    shape = ModelShape(**sizes, attention_from=0.5)  # type: ignore[arg-type]
    model = Transformer(shape, VOCABULARY, 3)
    save_model(model, tmp_path / "grows", store.tokenizer_path)
    (code,) = (tmp_path / "grows").glob("*.py")
    code.write_text("raise SystemExit('what was read has run')\n")
    theirs, _ = load_exported(tmp_path / "grows")
    tokens = store.validation("a").tokens[:16]
    assert logit_difference(tmp_path / "grows", theirs, tokens) < 1e-4
