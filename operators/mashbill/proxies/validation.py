"""The validate stage: the compared mixtures trained again with fresh seeds, at several sizes, and ranked by
measured loss.

The choice and its neighbours stand beside one another by predicted loss; here each is measured. One seed
gives every mixture the same first weights and the same order of each domain, so that mixtures are compared
pair by pair and what a seed does to all of them drops out.
"""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from mashbill.artifacts import Artifact, Counts, StageRun
from mashbill.config import ModelShape, PipelineConfig
from mashbill.mixtures import Choice, MixtureTable, Validation
from mashbill.mixtures.choice import NATURAL
from mashbill.mixtures.validation import MeasuredMixture, ReversedPair, ValidatedSize
from mashbill.models.sizes import parameter_count
from mashbill.proxies.group import proxy_result, train_group
from mashbill.tokens import TokenStore

OUTPUTS = {
    Validation.FILE: "by size: measured and predicted loss and rank of each mixture, and how well the "
    "orders agree"
}
VALIDATION_TAG = (
    100_301  # plus the size; far from the sweep's, the rounds' and the ladder's, so that no seed is theirs
)


def validation_parts(config: PipelineConfig, inputs: Mapping[str, Artifact]) -> list[str]:
    """One a size and mixture: all its seeds."""
    if not config.validation.seeds:
        return []
    return [
        f"size-{size}-{name}"
        for size in range(len(_sizes(config)))
        for name in _mixtures(config, Choice.read(inputs["mix"]))
    ]


def train_again(run: StageRun) -> Counts:
    """Train one mixture at one size, once a seed."""
    config, store = run.config, TokenStore(run.inputs["tokenize"])
    number, name = (run.part or "").removeprefix("size-").split("-", 1)
    shape, tokens = _sizes(config)[int(number)]
    mixture = _mixtures(config, Choice.read(run.inputs["mix"]))[name]
    seeds = np.arange(config.validation.seeds)
    weights = np.array([mixture[domain] for domain in store.domains])
    table = MixtureTable(
        seeds, store.domains, np.tile(weights, (len(seeds), 1))
    )  # a seed's index is its place, whatever the mixture
    proxy = config.proxy.model_copy(update={"model": shape})
    return train_group(
        run,
        store,
        table,
        rows=range(len(seeds)),
        configs=[proxy],
        tokens=tokens,
        evaluations=1,
        tag=VALIDATION_TAG + int(number),
    ).counts


def collect_validation(run: StageRun) -> Counts:
    """Measured against predicted, by size; models that diverged are counted."""
    config, store = run.config, TokenStore(run.inputs["tokenize"])
    choice, sizes = Choice.read(run.inputs["mix"]), []
    if run.parts:
        names = list(_mixtures(config, choice))
        predicted = np.array([choice.predictions[name].loss for name in names])
        for number, (shape, tokens) in enumerate(_sizes(config)):
            parts = [run.parts[f"size-{number}-{name}"] for name in names]
            seeds = range(config.validation.seeds)
            losses = np.array(
                [[proxy_result(part, seed).target_loss(choice.target) for seed in seeds] for part in parts]
            )
            parameters = parameter_count(shape, store.vocabulary)
            sizes.append(compare(names, predicted, losses, parameters=parameters, tokens=tokens))
    Validation(target=choice.target, sizes=tuple(sizes)).write(run.output)
    totals = {
        key: sum(part.manifest.counts[key] for part in run.parts.values())
        for key in ("proxies", "failed", "tokens")
    }
    agreements = [size.spearman for size in sizes if size.spearman is not None]
    least = {"least_agreement": round(min(agreements), 3)} if agreements else {}
    return {**totals, "sizes": len(sizes), **least}


def compare(
    names: list[str], predicted: np.ndarray, losses: np.ndarray, *, parameters: int, tokens: int
) -> ValidatedSize:
    """Measured target losses beside predicted ones.

    Args:
        names: of the mixtures.
        predicted: [mixtures] bits per byte.
        losses: [mixtures, seeds] bits per byte; NaN where a model diverged.
        parameters, tokens: of the models.
    """
    finished = ~np.isnan(losses)
    measured = np.flatnonzero(finished.any(axis=1))
    mean = np.array([losses[i, finished[i]].mean() if i in measured else np.nan for i in range(len(names))])
    natural = losses[names.index(NATURAL)] if NATURAL in names else np.full(losses.shape[1], np.nan)
    by_measured, by_predicted = _ranks(mean, measured), _ranks(predicted, measured)
    rows = []
    for i in [*measured[np.argsort(mean[measured], kind="stable")], *np.flatnonzero(~finished.any(axis=1))]:
        kept = losses[i, finished[i]]
        rows.append(
            MeasuredMixture(
                name=names[i],
                mean=float(mean[i]) if len(kept) else None,
                least=float(kept.min()) if len(kept) else None,
                greatest=float(kept.max()) if len(kept) else None,
                diverged=int((~finished[i]).sum()),
                predicted=float(predicted[i]),
                measured_rank=by_measured[i],
                predicted_rank=by_predicted[i],
                agrees=by_measured[i] == by_predicted[i],
                **({} if names[i] == NATURAL else _against(natural, losses[i])),
            )
        )
    return ValidatedSize(
        parameters=parameters,
        tokens=tokens,
        seeds=losses.shape[1],
        mixtures=tuple(rows),
        spearman=_spearman(predicted[measured], mean[measured]),
        reversed=_reversed(names, predicted, losses, mean=mean),
    )


def _against(natural: np.ndarray, losses: np.ndarray) -> dict[str, Any]:
    """[seeds] losses of a mixture against natural's, seed by seed."""
    gains = (natural - losses)[~np.isnan(natural - losses)]
    error = float(gains.std(ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else None
    return {
        "gain": float(gains.mean()) if len(gains) else None,
        "gain_error": error,
        "wins": int((gains > 0).sum()) if len(gains) else None,
        "compared": len(gains),
    }


def _reversed(
    names: list[str], predicted: np.ndarray, losses: np.ndarray, *, mean: np.ndarray
) -> tuple[ReversedPair, ...]:
    """Pairs that were predicted one way round and measured the other, the widest apart in prediction
    first."""
    pairs = []
    for a, b in itertools.permutations(range(len(names)), 2):
        if predicted[a] < predicted[b] and mean[a] > mean[b]:
            differences = (losses[a] - losses[b])[~np.isnan(losses[a] - losses[b])]
            pairs.append(
                ReversedPair(
                    predicted_better=names[a],
                    measured_better=names[b],
                    predicted_gap=float(predicted[b] - predicted[a]),
                    seeds=int((differences > 0).sum()),
                    compared=len(differences),
                )
            )
    return tuple(sorted(pairs, key=lambda pair: -pair.predicted_gap))


def _ranks(values: np.ndarray, among: np.ndarray) -> list[int | None]:
    """[mixtures] rank of each from 1, lowest first; None for those that are left out."""
    return [1 + int((values[among] < values[i]).sum()) if i in among else None for i in range(len(values))]


def _spearman(one: np.ndarray, other: np.ndarray) -> float | None:
    from scipy.stats import spearmanr

    if len(np.unique(one)) < 2 or len(np.unique(other)) < 2:
        return None
    return float(spearmanr(one, other).statistic)


def _sizes(config: PipelineConfig) -> list[tuple[ModelShape, int]]:
    """Shape and training tokens of each size, the proxy's first."""
    wanted = config.validation
    tokens = wanted.tokens or config.sweep.tokens
    return [
        (config.proxy.model, tokens),
        *((shape, wanted.model_tokens or tokens) for shape in wanted.models),
    ]


def _mixtures(config: PipelineConfig, choice: Choice) -> dict[str, dict[str, float]]:
    """The mixtures to train, by name."""
    known = choice.mixtures
    return {name: known[name] for name in config.validation.mixtures or known}
