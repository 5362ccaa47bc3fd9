"""Where the numbers of a recipe come from: laws against their published values, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from builders.corpus import corpus_config
from mashbill.config import ModelShape, TrainingConfig
from mashbill.errors import ConfigError
from mashbill.training.laws import step_law_batch_tokens, step_law_rate
from mashbill.training.numbers import gradient_accumulation, numbers_of
from mashbill.training.recipe import rates, settled

TINYLLAMA = ModelShape(
    layers=22, width=2048, heads=32, kv_heads=4, feed_forward=5632, context=2048, tied=False
)
SMALL = ModelShape(layers=2, width=64, heads=4, kv_heads=2, feed_forward=128, context=128)


def by_law(**settings: Any) -> TrainingConfig:
    law = {"model": TINYLLAMA, "tokens": 25_000_000_000, "recipe": "step-law", "processes_per_node": 8}
    return TrainingConfig(**{**law, **settings})


def by_hand(**settings: Any) -> TrainingConfig:
    hand = {"model": SMALL, "tokens": 1_280_000, "batch_sequences": 100, "micro_batch_sequences": 5}
    return TrainingConfig(**{**hand, **settings})


@pytest.mark.parametrize("tokens, rate, batch", [(25e9, 1.06e-3, 0.50e6), (100e9, 1.63e-3, 1.11e6)])
def test_step_law_gives_its_published_values(tokens: float, rate: float, batch: float) -> None:
    assert step_law_rate(1.03e9, tokens) == pytest.approx(rate, rel=0.02)  # of constants with three figures
    assert step_law_batch_tokens(tokens) == pytest.approx(batch, rel=0.01)


def test_step_law_counts_no_embeddings_and_says_so() -> None:
    numbers = numbers_of(by_law())
    assert numbers["learning_rate"].value == pytest.approx(step_law_rate(968_976_384, 25e9))
    assert "968,976,384 without embeddings" in numbers["learning_rate"].note
    assert "arXiv 2503.04715" in numbers["learning_rate"].source
    assert numbers["min_learning_rate"].value == 1e-5
    assert (numbers["weight_decay"].source, numbers["tokens"].source) == ("default", "config")


@pytest.mark.parametrize(
    "ranks, micro, sequences", [(8, 8, 256), (8, 4, 256), (6, 8, 240), (7, 5, 245), (64, 4, 256), (1, 1, 245)]
)
def test_a_batch_by_law_is_rounded_to_what_divides_and_says_so(
    ranks: int, micro: int, sequences: int
) -> None:
    training = by_law(processes_per_node=ranks, micro_batch_sequences=micro)
    batch = numbers_of(training)["batch_sequences"]
    assert batch.value == sequences  # 501,940 tokens are 245.1 sequences
    assert gradient_accumulation(training) == sequences / ranks / micro
    assert f"rounded to {sequences * 2048:,} for {ranks} processes x {micro} sequences" in batch.note


def test_what_is_given_by_hand_stands_beside_the_law() -> None:
    numbers = numbers_of(by_law(batch_tokens=131_072 * 8))
    assert (numbers["batch_sequences"].value, numbers["batch_sequences"].source) == (512, "config")
    assert "Step Law" in numbers["learning_rate"].source
    numbers = numbers_of(by_law(min_learning_rate=3e-5))
    assert (numbers["min_learning_rate"].value, numbers["min_learning_rate"].source) == (3e-5, "config")
    numbers = numbers_of(by_law(learning_rate=4e-4))
    assert (numbers["learning_rate"].value, numbers["learning_rate"].source) == (4e-4, "config")
    assert numbers["batch_sequences"].value == 256


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"model": SMALL}, "training.recipe: step-law holds from about 50,000,000 parameters without"),
        ({"model": ModelShape()}, "training.recipe: step-law holds from"),
        ({"tokens": 3_000_000}, "training.recipe: step-law holds from about 1,000,000,000 tokens on"),
        (
            {"nodes": 64, "micro_batch_sequences": 16},
            "training.micro_batch_sequences: 512 processes x 16 sequences are 16,777,216 tokens, and Step",
        ),
    ],
    ids=["a proxy", "the default shape", "few tokens", "too many processes"],
)
def test_step_law_is_refused_where_it_is_absurd(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        numbers_of(by_law(**settings))
    assert str(raised.value).startswith(said)
    assert "\n" not in str(raised.value)


def test_a_settled_recipe_is_the_same_with_no_law_left() -> None:
    for training in (by_law(), by_law(rate_schedule="wsd"), by_hand(rate_schedule="power"), by_hand()):
        plain = settled(training)
        assert plain.recipe == "hand"
        again = TrainingConfig.model_validate(plain.model_dump(mode="json"))
        found, told = rates(training), rates(again)
        assert [told.rate_at(s) for s in range(0, found.steps, 97)] == [
            found.rate_at(s) for s in range(0, found.steps, 97)
        ]
        assert again.batch_sequences * again.model.context == numbers_of(training)["batch_tokens"].value
        assert settled(again) == again


def test_a_batch_in_tokens_is_that_many_whole_sequences() -> None:
    training = by_hand(batch_sequences=16, batch_tokens=12_800)
    assert numbers_of(training)["batch_sequences"].value == 100
    assert numbers_of(training)["steps"].value == 100
    with pytest.raises(ConfigError, match=r"batch_tokens: 13000 is no multiple of 128.*; set 12800, which"):
        numbers_of(by_hand(batch_sequences=16, batch_tokens=13_000))
    with pytest.raises(ConfigError, match=r"training\.batch_tokens: 99 is no multiple of 2 processes x 5"):
        gradient_accumulation(by_hand(batch_sequences=16, batch_tokens=99 * 128))


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"batch_tokens": 12_800}, "batch_tokens and batch_sequences are both set"),
        ({"warmup_tokens": 10, "warmup_share": 0.1}, "warmup_tokens and warmup_share are both set"),
        ({"recipe": "step-law", "rate_schedule": "power"}, "both give the learning rate"),
    ],
)
def test_nothing_is_said_twice(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        by_hand(**settings)


@pytest.mark.parametrize("share, steps", [(0.0, 1), (0.014, 1), (0.016, 2), (0.096, 10), (0.104, 10)])
def test_a_share_of_the_steps_is_the_nearest_whole_number_of_them(share: float, steps: int) -> None:
    training = by_hand(rate_schedule="wsd", warmup_share=share, decay_share=max(share, 0.001))
    numbers = numbers_of(training)  # of 100 steps
    assert (numbers["warmup_steps"].value, numbers["decay_steps"].value) == (steps, steps)
    found = rates(training)
    assert [found.rate_at(step) == 3e-3 for step in (steps - 1, 100 - steps, 100 - steps + 1)] == [1, 1, 0]


def test_warm_up_in_tokens_takes_whole_batches() -> None:
    for tokens, steps in ((0, 1), (1, 1), (12_800, 1), (12_801, 2), (128_000, 10)):
        training = by_hand(warmup_tokens=tokens)
        assert numbers_of(training)["warmup_steps"].value == steps
        assert rates(training).rate_at(steps - 1) == 3e-3
        assert steps == 1 or rates(training).rate_at(steps - 2) < 3e-3


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"warmup_tokens": 2_000_000}, "training.warmup_tokens: warm-up takes 157 steps and decay 0 of 100"),
        (
            {"rate_schedule": "wsd", "warmup_share": 0.61, "decay_share": 0.4},
            "training.warmup_share: warm-up takes 61 steps and decay 40 of 100",
        ),
        ({"learning_rate": 1e-4}, "training.min_learning_rate: 0.0003 is above the peak of 0.0001"),
    ],
)
def test_a_schedule_that_does_not_fit_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        rates(by_hand(**settings))
    assert str(raised.value).startswith(said)


def test_warm_up_and_decay_may_be_the_whole_run() -> None:
    found = rates(by_hand(rate_schedule="wsd", warmup_share=0.6, decay_share=0.4))
    assert (found.steps, found.warmup, found.rate_at(59), found.rate_at(60)) == (100, 60, 3e-3, 3e-3)


def test_a_laws_batch_is_rounded_to_at_most_twice_of_it() -> None:
    wanted = 501_940  # 0.58 D^0.571
    numbers = numbers_of(by_law(micro_batch_sequences=61))
    assert numbers["batch_tokens"].value == 8 * 61 * 2_048 <= 2 * wanted
    with pytest.raises(ConfigError, match=r"are 1,015,808 tokens, and Step Law's batch is 501,940"):
        numbers_of(by_law(micro_batch_sequences=62))


def test_a_run_of_few_steps_has_a_schedule() -> None:
    for schedule in ("cosine", "wsd", "power"):
        for tokens in (1_000, 12_800, 25_600, 38_400):
            found = rates(by_hand(tokens=tokens, rate_schedule=schedule))
            assert all(found.rate_at(step) > 0 for step in range(found.steps)), (schedule, tokens)


def test_the_power_schedule_is_scaled_to_the_models_width() -> None:
    narrow, wide = (
        rates(by_hand(rate_schedule="power", model=SMALL.model_copy(update={"width": w}))) for w in (64, 256)
    )
    assert narrow.rate_at(50) == pytest.approx(4 * wide.rate_at(50))
    capped = by_hand(rate_schedule="power", power={"max_rate": 1e-4})
    highest = max(rates(capped).rate_at(step) for step in range(100))
    assert numbers_of(capped)["learning_rate"].value == pytest.approx(highest)


@pytest.mark.parametrize("schedule", ["cosine", "wsd", "power"])
def test_a_run_goes_from_where_warm_up_starts_to_the_least_rate_that_is_told(schedule: str) -> None:
    training = by_hand(rate_schedule=schedule, warmup_from=1e-3, warmup_share=0.1)
    found, numbers = rates(training), numbers_of(training)
    top = found.rate_at(9)
    assert found.rate_at(0) == pytest.approx(1e-3 + (top - 1e-3) / 10)
    least = numbers["min_learning_rate"].value
    assert least == (3e-4 if schedule == "cosine" else 0.0)
    assert found.rate_at(100) == pytest.approx(least)


def test_processes_are_part_of_what_is_computed_only_where_a_law_rounds_the_batch_to_them(
    tmp_path: Path,
) -> None:
    config = corpus_config(tmp_path, {"a": "a.jsonl", "b": "b.jsonl"})

    def computed(training: TrainingConfig) -> Any:
        return config.model_copy(update={"training": training}).what_is_computed()

    assert computed(by_hand(nodes=1)) == computed(by_hand(nodes=2))
    assert computed(by_law(nodes=1)) != computed(by_law(nodes=2))
    assert computed(by_law(batch_tokens=2**20, nodes=1)) == computed(by_law(batch_tokens=2**20, nodes=2))
