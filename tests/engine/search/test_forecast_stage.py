"""The forecast stage: small models are trained on the choice, and what they come to is put on record."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from builders.choices import write_choice
from builders.corpus import folder_as_artifact
from builders.laws_of_loss import by_hand
from builders.proxy_groups import SHAPE, result, stage_run, two_domains
from mashbill.artifacts import Artifact, StageRun
from mashbill.config import ForecastConfig, MixConfig, ModelShape, SweepConfig, TrainingConfig
from mashbill.errors import ConfigError
from mashbill.mixtures import Forecast
from mashbill.mixtures.forecast import LawConstants
from mashbill.models.sizes import parameter_count
from mashbill.proxies.result import ProxyResult
from mashbill.proxies.sizes import planned_sizes
from mashbill.search.forecast import (
    collect_forecast,
    forecast_parts,
    train_forecast_part,
    with_plain_training,
)
from mashbill.tokens import TokenStore

TARGET = {"a": 0.75, "b": 0.25}
FINAL = ModelShape(layers=3, width=64, heads=4, kv_heads=4, feed_forward=128, context=16)
TRAINING = TrainingConfig(
    model=FINAL, tokens=20_480, batch_sequences=16, max_epochs=1_000, evaluations=2, learning_rate=1e-3
)
LADDER = ForecastConfig(sizes=4, smallest=0.05, largest=0.5, budgets=(0.125, 0.5), evaluations=3)
LAW = LawConstants(E=0.7, alpha=20.0, beta=30.0, b=-0.4)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    return two_domains(tmp_path_factory.mktemp("store"))


def ready(
    folder: Path,
    store: TokenStore,
    *,
    part: str | None = None,
    parts: Mapping[str, Artifact] | None = None,
    **sections: object,
) -> StageRun:
    (folder / "mix").mkdir(parents=True)
    mix = write_choice(folder / "mix", {"a": 0.6, "b": 0.4}, TARGET)
    inputs = {"tokenize": folder_as_artifact("tokenize", store.folder), "mix": mix}
    given: dict[str, object] = {
        "training": TRAINING,
        "forecast": LADDER,
        "mix": MixConfig(target=TARGET),
        "sweep": SweepConfig(tokens=10_000),
    }
    return stage_run(folder, inputs, part=part, parts=parts, **{**given, **sections})


def parts_by_law(folder: Path, run: StageRun, store: TokenStore) -> dict[str, Artifact]:
    """Parts whose target losses follow the law, and lie a tenth higher at a third of the run."""
    found = {}
    for planned in planned_sizes(with_plain_training(run.config), store.vocabulary):
        loss = by_hand(LAW, parameter_count(planned.proxy.model, store.vocabulary), planned.tokens)
        steps = planned.tokens // planned.batch_tokens
        points = [(max(1, steps // 3), 1.1), (2 * steps // 3, 1.04), (steps, 1.0)]
        rows = [
            {"step": step, "tokens": step * planned.batch_tokens, "a": high * loss, "b": high * loss}
            for step, high in points
        ]
        found[planned.name] = written(folder / planned.name, result(*rows))
    return found


def written(folder: Path, *results: ProxyResult) -> Artifact:
    for seed, one in enumerate(results):
        one.write(folder / "proxies" / f"{seed:04d}", seed)
    artifact = folder_as_artifact("forecast", folder)
    failed = sum(bool(one.failed) for one in results)
    artifact.manifest.counts.update(proxies=len(results), failed=failed, tokens=100)
    return artifact


def test_one_size_is_trained_on_the_choice_and_measured_on_the_targets_sets(
    store: TokenStore, tmp_path: Path
) -> None:
    run = ready(tmp_path, store, part="size-1-0", mix=MixConfig(target={"b": 1.0}))
    assert forecast_parts(run.config, run.inputs)[:3] == ["size-0-0", "size-0-1", "size-1-0"]
    counts = train_forecast_part(run)
    assert counts["proxies"] == 1
    found = ProxyResult.read(run.output / "proxies" / "0000")
    assert [set(point) for point in found.trajectory] == [{"step", "tokens", "b"}] * 3
    planned = next(p for p in planned_sizes(run.config, store.vocabulary) if p.name == "size-1-0")
    assert found.tokens == planned.tokens == counts["tokens"]


def test_a_law_in_the_runs_is_the_forecast_of_the_final_model(store: TokenStore, tmp_path: Path) -> None:
    empty = ready(tmp_path / "0", store)
    run = ready(tmp_path / "1", store, parts=parts_by_law(tmp_path / "parts", empty, store))
    counts = collect_forecast(run)
    found = Forecast.read(run.output)
    assert found.final is not None
    parameters = parameter_count(FINAL, store.vocabulary)
    assert (found.parameters, found.tokens, found.steps) == (parameters, 20_480, 80)
    assert found.final.loss == pytest.approx(by_hand(LAW, parameters, 20_480), rel=2e-3)
    assert found.final.constants.b == pytest.approx(LAW.b, rel=0.02)
    assert counts["loss"] == pytest.approx(found.final.loss, abs=1e-4)
    assert found.final.tokens_factor == pytest.approx(2.0, rel=0.01)
    assert found.final.band is not None
    early = found.final.band.band_at(27)
    assert early is not None
    assert early == pytest.approx((1.1 * found.final.loss, 1.1 * found.final.loss), rel=0.03)
    assert sum(one.origin == "ladder" for one in found.runs) == 8
    assert found.unknown
    assert found.target == TARGET


def test_the_sweeps_prediction_stands_beside_and_counts_where_it_is_of_the_same_kind(
    store: TokenStore, tmp_path: Path
) -> None:
    """Proxies of a batch and a rate of their own are no runs of the law; those of the ladder's are."""
    empty = ready(tmp_path / "0", store)
    parts = parts_by_law(tmp_path / "parts", empty, store)
    found = {}
    rate = TRAINING.learning_rate * FINAL.width / SHAPE.width
    ours = empty.config.proxy.model_copy(
        update={"model": SHAPE, "batch_sequences": 11, "learning_rate": rate, "min_learning_rate": rate / 10}
    )
    for name, proxy in (("other", empty.config.proxy), ("alike", ours)):
        run = ready(tmp_path / name, store, parts=parts, proxy=proxy)
        collect_forecast(run)
        (found[name],) = [one for one in Forecast.read(run.output).runs if one.origin == "sweep"]
    assert (found["other"].fitted, found["alike"].fitted) == (False, True)
    assert found["other"].loss == 3.0
    assert found["other"].tokens == 10_000


def test_where_too_few_sizes_end_there_is_no_forecast_and_the_run_goes_on(
    store: TokenStore, tmp_path: Path
) -> None:
    empty = ready(tmp_path / "0", store)
    parts = parts_by_law(tmp_path / "parts", empty, store)
    for name in ("size-2-0", "size-2-1", "size-3-0", "size-3-1"):
        parts[name] = written(tmp_path / "failed" / name, result(failed="loss is no number at step 3"))
    run = ready(tmp_path / "1", store, parts=parts)
    counts = collect_forecast(run)
    found = Forecast.read(run.output)
    assert found.final is None
    assert found.refused.startswith("forecast: 2 sizes finished, and a law needs 3; raise forecast.sizes")
    assert counts["failed"] == 4
    assert sum(one.loss is None for one in found.runs) == 4


def test_switched_off_it_trains_nothing_and_says_so(store: TokenStore, tmp_path: Path) -> None:
    run = ready(tmp_path, store, forecast=ForecastConfig(sizes=0))
    assert forecast_parts(run.config, run.inputs) == []
    collect_forecast(run)
    found = Forecast.read(run.output)
    assert (found.final, found.refused, found.runs) == (None, "forecast.sizes is 0", ())


def forecast_of(folder: Path, store: TokenStore, **training: object) -> Forecast:
    """The forecast of a training with some settings changed, from runs that follow the law."""
    given = TrainingConfig(**{**TRAINING.model_dump(exclude_unset=True), **training})
    empty = ready(folder / "0", store, training=given)
    run = ready(folder / "1", store, training=given, parts=parts_by_law(folder / "parts", empty, store))
    collect_forecast(run)
    return Forecast.read(run.output)


@pytest.mark.parametrize(
    ("training", "words"),
    [
        ({"mixtures": ("natural",)}, "leaves the chosen mixture out"),
        ({"initial": "s3://models/first"}, "goes on from the weights of s3://models/first, and every run of"),
        ({"rate_schedule": "wsd"}, "rate_schedule is wsd, and the runs' learning rates followed a cosine"),
        ({"warmup_from": 2e-4}, "warms up from 0.0002, and the runs warmed up from 0"),
    ],
    ids=["without the choice", "continued", "another schedule", "warmed up again"],
)
def test_what_the_ladder_knows_nothing_of_is_said(
    store: TokenStore, tmp_path: Path, training: dict[str, object], words: str
) -> None:
    assert any(words in said for said in forecast_of(tmp_path / "it", store, **training).cautions)
    assert not any(words in said for said in forecast_of(tmp_path / "plain", store).cautions)


def test_a_batch_and_a_rate_by_law_are_those_of_the_ladder_too(store: TokenStore, tmp_path: Path) -> None:
    """By Step Law's own constants, at the run's own parameters and tokens."""
    tokens = 1_000_000_000
    shape = ModelShape(layers=12, width=640, heads=10, kv_heads=10, feed_forward=1_728, context=16)
    law = {"recipe": "step-law", "micro_batch_sequences": 1, "processes_per_node": 1}
    bare = {name: TrainingConfig.model_fields[name].default for name in ("batch_sequences", "learning_rate")}
    found = forecast_of(tmp_path, store, model=shape, tokens=tokens, **law, **bare)
    assert found.batch_tokens == pytest.approx(0.58 * tokens**0.571, abs=16)
    assert found.steps == round(tokens / found.batch_tokens)
    blocks = 12 * (4 * 640 * 640 + 3 * 640 * 1_728)
    assert found.learning_rate == pytest.approx(1.79 * blocks**-0.713 * tokens**0.307, rel=0.01)
    half = [run for run in found.runs if run.tokens > 0.4 * tokens]
    assert [run.batch_tokens for run in half] == [
        pytest.approx(0.58 * (tokens / 2) ** 0.571, rel=0.001) for _ in range(4)
    ]
    rates = [run.learning_rate for run in sorted(half, key=lambda run: run.parameters)]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] > found.learning_rate


def test_a_warm_up_in_tokens_is_as_long_a_share_in_the_ladder(store: TokenStore, tmp_path: Path) -> None:
    run = ready(tmp_path, store, training=TRAINING.model_copy(update={"warmup_tokens": 5_120}))
    for planned in planned_sizes(with_plain_training(run.config), store.vocabulary):
        assert planned.proxy.warmup_share == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"sizes": 2}, "2 sizes say nothing of a larger one; give at least 3, or sizes = 0"),
        ({"shapes": [{}, {"layers": 3}]}, "2 sizes say nothing"),
        ({"budgets": [0.5]}, "give at least two budgets"),
        ({"budgets": [0.5, 0.5]}, "name one twice"),
        ({"budgets": [0.5, 1.5]}, "less than or equal to 1"),
        ({"smallest": 0.5, "largest": 0.1}, "swap them"),
        ({"smallest": 0.0}, "greater than 0"),
    ],
)
def test_ladders_that_can_say_nothing_are_refused_before_anything_runs(
    settings: Mapping[str, object], words: str
) -> None:
    with pytest.raises((ConfigError, ValueError), match=words):
        ForecastConfig.model_validate(settings)


def test_seeds_of_the_ladder_are_those_of_no_other_size(store: TokenStore, tmp_path: Path) -> None:
    """The same shape at two budgets starts from weights of its own."""
    ends = []
    for name in ("size-0-0", "size-0-1"):
        run = ready(tmp_path / name, store, part=name, forecast=LADDER.model_copy(update={"seeds": 2}))
        assert train_forecast_part(run)["proxies"] == 2
        ends += [
            ProxyResult.read(run.output / "proxies" / f"{seed:04d}").trajectory[0]["a"] for seed in (0, 1)
        ]
    assert len(np.unique(ends)) == 4
