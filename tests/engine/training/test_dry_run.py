"""The dry run: TinyLlama's figures, what would stop a training, and fields that do nothing."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builders.corpus import corpus_config, run_stages, write_jsonl
from builders.shell import mashbill
from mashbill.cli.recipe import known_of
from mashbill.config import PipelineConfig
from mashbill.tokens import TokenStore
from mashbill.training.dry_run import DryRun, Known, dry_run

LARGE = """
[tokens]
vocabulary = 32_000
[training]
model = { layers = 22, width = 2048, heads = 32, kv_heads = 4, feed_forward = 5632, context = 2048 }
tokens = 25_000_000_000
processes_per_node = 8
"""
UP_TO_TOKENS = """
[deduplication]
near = false
[quality]
positives = ["r"]
sample_documents = 100
dimension = 8
buckets = 1_000
[bootstrap]
models = 0
[selection]
min_documents = 20
[tokens]
vocabulary = 300
validation_share = 0.2
max_validation_bytes = 2_000
"""
NOTHING = Known()


def config(folder: Path, *lines: str, extra: str = "") -> PipelineConfig:
    settings = "\n".join([LARGE, *lines, extra])
    return corpus_config(folder, {"a": "a.jsonl", "b": "b.jsonl"}, extra=settings)


def write_texts(folder: Path) -> None:
    """Two domains and a reference."""
    kinds = {"a": "The number {0} comes before the next.", "b": "{0} times {0} is more.", "r": "A text, {0}."}
    for name, words in kinds.items():
        write_jsonl(folder / f"{name}.jsonl", [words.format(i) for i in range(300)])


def look(folder: Path, *lines: str, extra: str = "", known: Known = NOTHING) -> DryRun:
    return dry_run(config(folder, *lines, extra=extra), known)


def settings_of(found: DryRun) -> list[str]:
    return [problem.setting for problem in found.problems]


def test_the_1b_config_amounts_to_tinyllama_on_8_gpus() -> None:
    done = mashbill("train", "--dry-run", "--config", "dags/configs/1b.toml", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["parameters"] == 1_100_048_384
    assert found["parameters"] - found["non_embedding_parameters"] == 2 * 32_000 * 2048
    assert found["flops_per_token"] == pytest.approx(7.314e9, rel=1e-4)
    assert found["training_flops"] == pytest.approx(1.83e20, rel=2e-3)
    assert found["expense"]["seconds"] / 3600 == pytest.approx(16, abs=0.2)
    assert found["expense"]["tokens_per_second"] / 8 == pytest.approx(54_000, rel=0.01)
    assert found["expense"]["cost"] == pytest.approx(found["expense"]["processor_hours"] * 2.5)
    assert found["numbers"]["learning_rate"]["value"] == pytest.approx(1.09e-3, rel=0.01)
    assert found["numbers"]["learning_rate"]["source"] == "Step Law, arXiv 2503.04715"
    assert found["batch_tokens"] == 524_288
    memory = found["memory"]["zero 1"]
    assert (memory["weights"] + memory["gradients"] + memory["optimiser"]) / 2**30 == pytest.approx(
        5.6, abs=0.06
    )
    assert memory["total"] < 80e9
    assert found["storage"]["checkpoint_bytes"] == 12 * found["parameters"]
    assert found["problems"] == []
    assert found["idle"] == []


def test_a_person_reads_the_same_figures() -> None:
    done = mashbill("train", "--dry-run", "--config", "dags/configs/1b.toml")
    assert (done.returncode, done.stderr) == (0, "")
    for words in (
        "1.83e20 FLOP",
        "16 h 3 min on 8 H100",
        "at 40% MFU",
        "33.4 GB",
        "1,100,048,384",
        "Step Law",
    ):
        assert words in " ".join(done.stdout.split()).replace(" │ │ │ ", " "), words


@pytest.mark.slow
def test_artifacts_in_a_store_tell_tokens_and_epochs_as_those_on_disk_do(root: str, tmp_path: Path) -> None:
    write_texts(tmp_path)
    found = []
    for artifacts in (str(tmp_path / "artifacts"), root):
        made = corpus_config(tmp_path, {"a": "a.jsonl", "b": "b.jsonl"}, {"r": "r.jsonl"}, UP_TO_TOKENS)
        made = made.model_copy(update={"artifacts": artifacts})
        assert known_of(made, None) == Known()
        run_stages(made, "tokenize")
        found.append(known_of(made, None))
    assert found[0] == found[1]
    assert found[0].tokens is not None
    assert found[0].tokens["a"] > found[0].tokens["b"]
    amounts = dry_run(made, found[1]).figures
    assert amounts is not None
    epochs = {d: amounts.tokens_by_domain[d] / tokens for d, tokens in found[0].tokens.items()}
    assert amounts.epochs_by_domain == pytest.approx(epochs)


@pytest.mark.parametrize("bucket", ["nowhere", None])
def test_a_store_that_cannot_be_looked_at_is_told_and_stops_no_dry_run(
    bucket: str | None, root: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if bucket is None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        monkeypatch.setattr("mashbill.storage.retries.TRIES", 1)
    given = config(tmp_path).model_copy(update={"artifacts": f"s3://{bucket or root[5:]}/at-all"})
    known = known_of(given, None)
    assert known.tokens is None
    assert known.unseen.startswith("what is there of tokens is left open, as it cannot be looked at: s3://")
    assert dry_run(given, known) == replace(dry_run(given, NOTHING), unseen=known.unseen)


def test_problems_are_told_all_at_once_a_line_each(tmp_path: Path) -> None:
    lines = ["nodes = 2", "batch_sequences = 100", "micro_batch_sequences = 64", "learning_rate = 1e-5"]
    config(tmp_path, *lines, extra='[training.hardware]\nname = "a100-40gb"')
    done = mashbill("train", "--dry-run", "--config", tmp_path / "config.toml", "--json")
    assert done.returncode == 2
    told = [line.removeprefix("error: ").partition(":")[0] for line in done.stderr.splitlines()]
    assert told == ["training.batch_sequences", "training.min_learning_rate", "training.rendezvous"]
    found = json.loads(done.stdout)
    assert [problem["setting"] for problem in found["problems"]] == told


@pytest.mark.parametrize(
    "lines, extra, known, said",
    [
        (["nodes = 2"], "", {}, "training.rendezvous: is missing for 2 nodes; set host:port"),
        (
            ["nodes = 2", 'rendezvous = "first"'],
            "",
            {},
            "training.rendezvous: is first, which is no host:port",
        ),
        (["batch_sequences = 65"], "", {}, "training.batch_sequences: 65 is no multiple of 8 processes x 8"),
        (["batch_tokens = 500_000"], "", {}, "training.batch_tokens: 500000 is no multiple of 2048"),
        (["deepspeed = { zero_optimizaton = {} }"], "", {}, "training.deepspeed.zero_optimizaton: is no"),
        (['deepspeed = "none.json"'], "", {}, "training.deepspeed: "),
        (
            ["micro_batch_sequences = 32", "batch_sequences = 256"],
            '[training.hardware]\nname = "h100"',
            {},
            "training.hardware: a rank needs 110 GB, and H100 has 80.0 GB, of which 10% are kept free; set "
            "training.micro_batch_sequences = 16, or activation checkpointing",
        ),
        ([], "", {"tokens": {"a": 10**9, "b": 10**9}}, "training.max_epochs: a would be read 12.50 times"),
        ([], "", {"tokens": {"a": 10**10, "b": 2_000}}, "training.model.context: is 2048, and b has 2000"),
        (
            [],
            "",
            {"tokens": {"a": 10**10}, "mixture": {"a": 0.5, "b": 0.5}},
            "training.mixtures: names b, which has no tokens; run tokenize again",
        ),
    ],
)
def test_what_would_stop_a_training_is_found_before(
    lines: list[str], extra: str, known: dict[str, Any], said: str, tmp_path: Path
) -> None:
    usual = [] if any(line.startswith("batch") for line in lines) else ["batch_sequences = 256"]
    found = look(tmp_path, *usual, *lines, extra=extra, known=Known(**known))
    told = [f"{problem.setting}: {problem.what}; {problem.mend}" for problem in found.problems]
    assert any(one.startswith(said) for one in told), told
    assert not any("\n" in one for one in told)


def test_tokens_of_what_is_known_give_epochs_and_the_vocabulary_gives_parameters(tmp_path: Path) -> None:
    known = Known(tokens={"a": 10**10, "b": 5 * 10**9}, mixture={"a": 0.5, "b": 0.5}, vocabulary=1_000)
    found = look(tmp_path, "batch_sequences = 256", known=known)
    assert found.figures is not None
    assert found.figures.epochs_by_domain == pytest.approx({"a": 1.25, "b": 2.5}, rel=1e-4)
    assert found.figures.parameters == found.non_embedding_parameters + 1_000 * 2048
    assert found.found["training.max_epochs"] == "b is read most often, 2.50 times"


@pytest.mark.parametrize(
    "lines, idle",
    [
        (['rate_schedule = "wsd"', "min_learning_rate = 1e-5"], ["min_learning_rate"]),
        (["decay_share = 0.2"], ["decay_share"]),
        (["power = { amplitude = 3.0 }"], ["power.amplitude"]),
        (['rate_schedule = "power"', "power = { amplitude = 3.0 }"], []),
        (['rate_schedule = "power"', "learning_rate = 1e-3"], ["learning_rate"]),
        (["zero_stage = 0", 'offload = { optimizer = "cpu" }'], ["offload.optimizer"]),
        (["zero_stage = 2", 'offload = { parameters = "cpu" }'], ["offload.parameters"]),
        (["zero_stage = 3", 'offload = { parameters = "cpu" }'], []),
        (["zero_stage = 3", 'offload = { parameters = "cpu", folder = "f" }'], ["offload.folder"]),
        (['rendezvous = "first:29500"'], ["rendezvous"]),
        (["nodes = 2", 'rendezvous = "first:29500"'], []),
        (["hardware = { price = 2.0 }"], ["hardware.price"]),
        (['hardware = { name = "h100", price = 2.0, mfu = 0.5 }'], []),
        (['hardware = { name = "h100", peak_tflops = 700.0, memory_gb = 94.0 }'], []),
        (["warmup_tokens = 1_000_000_000", "warmup_from = 1e-4"], []),
        (["weight_decay = 0.05", "gradient_clip = 0.5"], []),
    ],
)
def test_a_field_that_does_nothing_is_named(lines: list[str], idle: list[str], tmp_path: Path) -> None:
    found = look(tmp_path, "batch_sequences = 256", *lines)
    assert found.problems == []
    named = [words.removeprefix("training.").partition(" ")[0] for words in found.idle]
    assert named == idle


def test_a_field_that_does_nothing_says_with_what_it_would(tmp_path: Path) -> None:
    (words,) = look(tmp_path, "batch_sequences = 256", 'rendezvous = "first:29500"').idle
    assert words == "training.rendezvous changes nothing here: it does with training.nodes = 2, and that is 1"
    lines = ["batch_sequences = 256", 'rate_schedule = "wsd"', "min_learning_rate = 1e-5"]
    (words,) = look(tmp_path, *lines).idle
    assert words.endswith("it does with training.rate_schedule = 'cosine', and that is 'wsd'")


@pytest.mark.slow
def test_what_was_made_on_this_machine_is_known(tmp_path: Path) -> None:
    write_texts(tmp_path)
    made = corpus_config(tmp_path, {"a": "a.jsonl", "b": "b.jsonl"}, {"r": "r.jsonl"}, UP_TO_TOKENS)
    assert known_of(made, None) == NOTHING
    store = TokenStore(run_stages(made, "tokenize")["tokenize"])
    known = known_of(made, None)
    assert known.vocabulary == store.vocabulary
    assert known.tokens == {d: len(store.train_tokens(d)) for d in ("a", "b")}
    other = made.model_copy(update={"tokens": made.tokens.model_copy(update={"vocabulary": 290})})
    assert known_of(other, None) == NOTHING
