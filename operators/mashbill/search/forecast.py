"""The forecast stage: a ladder of small models on the chosen mixture, and what they say of the final one.

It stands between the choice and the final run, which it changes nothing of: it says beforehand what that
will come to, and by which steps it should have come how far. Where it cannot say, it says why, and the run
goes on.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from mashbill.artifacts import Artifact, Counts, StageRun
from mashbill.config import PipelineConfig
from mashbill.config.check import Check
from mashbill.errors import DataError
from mashbill.forecast.predict import UNKNOWN, LadderRun, cautions, predict
from mashbill.forecast.trajectory import Trajectory
from mashbill.mixtures import Choice, Forecast
from mashbill.mixtures.choice import CHOSEN
from mashbill.mixtures.forecast import FinalLoss, SmallRun
from mashbill.models.sizes import flops_per_token, parameter_count
from mashbill.proxies.result import ProxyResult
from mashbill.proxies.sizes import planned_sizes, settings_at, train_size, trained_runs
from mashbill.tokens import TokenStore
from mashbill.training.numbers import numbers_of
from mashbill.training.recipe import settled

FORECAST_TAG = 309
ALIKE = 1.5
"""How many times another a batch or a learning rate may be for two runs to be told of by one law."""
OFF = "forecast.sizes is 0"
OUTPUTS = {Forecast.FILE: "the final loss and its interval, the loss by step, and what they rest on"}


def check_forecast(config: PipelineConfig) -> Iterator[Check]:
    """How many small models are trained, and what that costs."""
    if config.forecast.sizes or config.forecast.shapes:
        yield Check("forecast.sizes", lambda: _cost(config))


def forecast_parts(config: PipelineConfig, inputs: Mapping[str, Artifact]) -> list[str]:
    """The sizes and budgets."""
    vocabulary = TokenStore(inputs["tokenize"]).vocabulary
    return [one.name for one in planned_sizes(with_plain_training(config), vocabulary)]


def train_forecast_part(run: StageRun) -> Counts:
    """Train one size at one budget."""
    plain = replace(run, config=with_plain_training(run.config))
    return train_size(plain, Choice.read(run.inputs["mix"]).mixture)


def with_plain_training(config: PipelineConfig) -> PipelineConfig:
    """The same config with batch, learning rate and warm-up standing plainly, as the ladder takes them, where
    a law or a number of tokens gives them.

    Raises:
        ConfigError: a law does not hold here, or numbers do not go together.
    """
    training, numbers = settled(config.training), numbers_of(config.training)
    if training.warmup_tokens is not None:
        share = min(1.0, numbers["warmup_steps"].value / numbers["steps"].value)
        training = training.model_copy(update={"warmup_tokens": None, "warmup_share": share})
    return config.model_copy(update={"training": training})


def collect_forecast(run: StageRun) -> Counts:
    """Forecast the final model, or say why there is no telling."""
    config, store = with_plain_training(run.config), TokenStore(run.inputs["tokenize"])
    choice = Choice.read(run.inputs["mix"])
    final = _final(config, store.vocabulary)
    runs = [
        LadderRun(small, _curve(small, result, config))
        for planned in planned_sizes(config, store.vocabulary)
        for small, result in trained_runs(
            planned, run.parts[planned.name], config, vocabulary=store.vocabulary
        )
    ]
    if runs and not np.isnan(choice.predicted.loss):  # as it is of a mixture that is given by hand
        runs.append(LadderRun(_sweeps(config, choice, store.vocabulary), None))
    found, refused = _predicted(runs, final, config)
    Forecast(
        mixture=CHOSEN,
        target=choice.target,
        parameters=final.parameters,
        tokens=final.steps * final.batch_tokens,
        steps=final.steps,
        batch_tokens=final.batch_tokens,
        learning_rate=config.training.learning_rate,
        final=found,
        refused=refused,
        runs=tuple(one.run for one in runs),
        cautions=(*(cautions(found, runs) if found else ()), *_of_this_run(config, choice)),
        unknown=UNKNOWN,
    ).write(run.output)
    totals = {
        key: sum(part.manifest.counts[key] for part in run.parts.values())
        for key in ("proxies", "failed", "tokens")
    }
    if found is None:
        return {**totals, "refused": refused}
    return {
        **totals,
        "loss": round(found.loss, 4),
        "low": round(found.interval[0], 4),
        "high": round(found.interval[1], 4),
    }


def _predicted(
    runs: list[LadderRun], final: Trajectory, config: PipelineConfig
) -> tuple[FinalLoss | None, str]:
    """The forecast, or why there is none."""
    if not runs:
        return None, OFF
    seed = int(np.random.SeedSequence([config.seed, FORECAST_TAG]).generate_state(1)[0])
    try:
        return predict(runs, final, coverage=config.forecast.coverage, seed=seed), ""
    except DataError as error:
        return None, str(error)


def _final(config: PipelineConfig, vocabulary: int) -> Trajectory:
    """The final model, as far as it is known beforehand."""
    training = config.training
    batch_tokens = training.batch_sequences * training.model.context
    return Trajectory(
        parameters=parameter_count(training.model, vocabulary),
        tokens=training.tokens,
        batch_tokens=batch_tokens,
        warmup_share=training.warmup_share,
        last_rate=training.min_learning_rate / training.learning_rate,
        steps_measured=np.empty(0),
        losses=np.empty(0),
    )


def _curve(run: SmallRun, result: ProxyResult, config: PipelineConfig) -> Trajectory | None:
    """The losses of a run on its way."""
    if run.loss is None:
        return None
    losses = [sum(w * point[name] for name, w in config.target.items()) for point in result.trajectory]
    return Trajectory(
        parameters=run.parameters,
        tokens=run.tokens,
        batch_tokens=run.batch_tokens,
        warmup_share=config.training.warmup_share,
        last_rate=config.training.min_learning_rate / config.training.learning_rate,
        steps_measured=np.array([point["step"] for point in result.trajectory]),
        losses=np.array(losses),
    )


def _sweeps(config: PipelineConfig, choice: Choice, vocabulary: int) -> SmallRun:
    """What the sweep's proxies say of the chosen mixture at their size: a run more, where they were trained
    as the ladder's runs are; else beside them."""
    proxy, tokens = config.proxy, config.sweep.tokens
    share = min(1.0, tokens / config.training.tokens)
    ours = settings_at(config, proxy.model, share)
    same = (proxy.model.context, proxy.model.tied) == (
        config.training.model.context,
        config.training.model.tied,
    )
    ratios = (ours.batch_sequences / proxy.batch_sequences, ours.learning_rate / proxy.learning_rate)
    alike = same and all(1 / ALIKE <= ratio <= ALIKE for ratio in ratios)
    return SmallRun(
        parameters=parameter_count(proxy.model, vocabulary),
        tokens=tokens,
        batch_tokens=proxy.batch_sequences * proxy.model.context,
        learning_rate=proxy.learning_rate,
        seed=0,
        loss=choice.predicted.loss,
        fitted=alike,
        origin="sweep",
    )


def _of_this_run(config: PipelineConfig, choice: Choice) -> Iterator[str]:
    """What else weakens a forecast of this config's final model."""
    most = max(choice.epochs, key=lambda name: choice.epochs[name], default=None)
    if most is not None and choice.epochs[most] > 1:
        times, budget = choice.epochs[most], max(config.forecast.budgets)
        yield (
            f"the final run reads {most} {times:.1f} times, and the runs {times * budget:.1f} times at most: "
            "text loses with each reading, which no run saw so often"
        )
    training = config.training
    if CHOSEN not in training.mixtures:
        yield "training.mixtures leaves the chosen mixture out, which the forecast is of"
    if training.initial:
        yield (
            f"the final run goes on from the weights of {training.initial}, and every run of the ladder "
            "began from random ones: the forecast is of a training that begins anew, and tells nothing of "
            "this one"
        )
    if training.rate_schedule != "cosine":
        yield (
            f"training.rate_schedule is {training.rate_schedule}, and the runs' learning rates followed a "
            "cosine: the loss on the way is that of another schedule, and the last may differ"
        )
    if training.warmup_from:
        yield f"the final run warms up from {training.warmup_from:g}, and the runs warmed up from 0"


def _cost(given: PipelineConfig) -> str:
    config, vocabulary = with_plain_training(given), given.tokens.vocabulary
    planned = planned_sizes(config, vocabulary)
    spent = sum(one.seeds * one.tokens * flops_per_token(one.proxy.model, vocabulary) for one in planned)
    whole = config.training.tokens * flops_per_token(config.training.model, vocabulary)
    return f"{sum(one.seeds for one in planned)} runs, {100 * spent / whole:.1f}% of a final model's FLOPs"
