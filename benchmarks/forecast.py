"""Is a forecast right? A ladder of small models on the demo's chosen mixture, and larger ones held against
what it says of them beforehand: five sizes on the demo's tokens, and two on half of them.

    make demo
    python benchmarks/forecast.py [--work .demo/forecast]

Their batch and learning rate follow the ladder's rules, so that
one ladder speaks of all. Models that are done are reused. One core, about a quarter of an hour.
"""

import argparse
from pathlib import Path

import numpy as np
from page import ROOT, Page

from mashbill.artifacts import Artifact, open_store
from mashbill.config import ModelShape, PipelineConfig, load_config
from mashbill.errors import RunError
from mashbill.forecast.predict import LadderRun, predict
from mashbill.forecast.trajectory import Trajectory
from mashbill.mixtures import Choice
from mashbill.mixtures.forecast import FinalLoss, SmallRun
from mashbill.models.sizes import parameter_count
from mashbill.proxies.proxy import Member, train_members
from mashbill.proxies.result import ProxyResult, is_finished
from mashbill.proxies.sizes import PlannedSize, planned_sizes, settings_at
from mashbill.tokens import TokenStore

SHAPES = {
    (layers, width): ModelShape(
        layers=layers, width=width, heads=width // 32, kv_heads=width // 32, feed_forward=inner, context=128
    )
    for layers, width, inner in ((2, 128, 384), (3, 128, 384), (3, 160, 448), (4, 160, 448), (4, 192, 512))
}
LARGER = (
    ((2, 128), 1.0),
    ((3, 160), 0.5),
    ((3, 160), 1.0),
    ((4, 192), 0.5),
    ((4, 192), 1.0),
    ((3, 128), 1.0),
    ((4, 160), 1.0),
)
"""Shape, and share of the demo's tokens, of the models that are forecast."""
SEEDS = 2
"""Of each of them: seeds of models this small differ by a hundredth."""


class Trainer:
    """Trains models on the demo's chosen mixture, each once."""

    def __init__(self, config: PipelineConfig, work: Path) -> None:
        self.config, self.work = config, work
        self.store, self.choice = TokenStore(_newest(config, "tokenize")), Choice.read(_newest(config, "mix"))

    def run(self, planned: PlannedSize, seed: int) -> tuple[SmallRun, Trajectory]:
        """One model: what it was, and its losses on the target."""
        name = f"{planned.proxy.model.layers}x{planned.proxy.model.width}-{planned.tokens}-{seed}"
        folder = self.work / name
        if not is_finished(folder):
            member = Member(self.choice.mixture, 7_000 + 31 * planned.place + seed, planned.proxy, folder)
            (result,) = train_members(
                self.store,
                [member],
                tokens=planned.tokens,
                evaluations=self.config.forecast.evaluations,
                scratch=folder,
                progress=lambda share, words: None,
                sets=tuple(self.choice.target),
            )
            result.write(folder, seed)
            print(f"{name}: {result.target_loss(self.choice.target):.4f}, {result.seconds:.0f} s", flush=True)
        return self._of(planned, seed, ProxyResult.read(folder))

    def _of(self, planned: PlannedSize, seed: int, result: ProxyResult) -> tuple[SmallRun, Trajectory]:
        small = SmallRun(
            parameters=parameter_count(planned.proxy.model, self.store.vocabulary),
            tokens=planned.tokens,
            batch_tokens=planned.batch_tokens,
            learning_rate=planned.proxy.learning_rate,
            seed=seed,
            loss=result.target_loss(self.choice.target),
            fitted=True,
        )
        losses = [sum(w * point[s] for s, w in self.choice.target.items()) for point in result.trajectory]
        steps = np.array([point["step"] for point in result.trajectory])
        training = self.config.training
        curve = Trajectory(
            parameters=small.parameters,
            tokens=small.tokens,
            batch_tokens=small.batch_tokens,
            warmup_share=training.warmup_share,
            last_rate=training.min_learning_rate / training.learning_rate,
            steps_measured=steps,
            losses=np.array(losses),
        )
        return small, curve


def _newest(config: PipelineConfig, stage: str) -> Artifact:
    made = open_store(config).newest(stage)
    if made is None:
        raise RunError(f"stage {stage}", "has no result", "run make demo first")
    return made


def larger(config: PipelineConfig, vocabulary: int) -> list[PlannedSize]:
    """The models that are forecast, trained by the ladder's rules."""
    found = []
    for place, (shape, share) in enumerate(LARGER):
        proxy = settings_at(config, SHAPES[shape], share)
        batch = proxy.batch_sequences * proxy.model.context
        tokens = round(config.training.tokens * share / batch) * batch
        found.append(PlannedSize(f"larger-{place}", 100 + place, proxy, tokens, SEEDS))
    return found


def _within(said: FinalLoss, step: int, loss: float) -> bool:
    band = said.band.band_at(int(step)) if said.band else None
    return band is not None and band[0] <= loss <= band[1]


def main() -> None:
    """Train, forecast and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default=str(ROOT / "dags" / "configs" / "demo.toml"))
    parser.add_argument("--work", default=str(ROOT / ".demo" / "forecast"))
    arguments = parser.parse_args()
    config = load_config(arguments.config)
    trainer = Trainer(config, Path(arguments.work))
    vocabulary = trainer.store.vocabulary
    planned = planned_sizes(config, vocabulary)
    ladder = [LadderRun(*trainer.run(one, seed)) for one in planned for seed in range(one.seeds)]
    page = Page(
        "forecast", f"Larger models of the demo's chosen mixture, forecast from {len(ladder)} smaller runs"
    )
    page.table(
        [
            "model",
            "tokens",
            "forecast",
            "90% interval",
            "measured, by seed",
            "error of the mean",
            "in its band",
        ]
    )
    errors: dict[bool, list[float]] = {True: [], False: []}
    inside = dict.fromkeys(errors, 0)
    for one, (_, share) in zip(larger(config, vocabulary), LARGER, strict=True):
        runs = [trainer.run(one, seed) for seed in range(one.seeds)]
        said = predict(ladder, runs[0][1], coverage=0.9, seed=0)
        low, high = said.interval
        losses = np.array([small.loss for small, _ in runs])
        error = said.loss / losses.mean() - 1
        errors[share == 1].append(abs(error))
        inside[share == 1] += int(((low <= losses) & (losses <= high)).sum())
        kept = [
            _within(said, step, loss)
            for _, curve in runs
            for step, loss in zip(curve.steps_measured, curve.losses, strict=True)
        ]
        page.row(
            [
                f"{runs[0][0].parameters:,} parameters, {one.proxy.model.layers} layers",
                f"{one.tokens:,}",
                f"{said.loss:.4f}",
                f"{low:.4f}-{high:.4f}",
                ", ".join(f"{loss:.4f}" for loss in losses),
                f"{100 * error:+.2f}%",
                f"{sum(kept)} of {len(kept)}",
            ]
        )
    biggest = max(ladder, key=lambda one: one.run.parameters).run
    page.say(
        f"The largest run of the ladder has {biggest.parameters:,} parameters. On the demo's tokens "
        f"{inside[True]} of {SEEDS * len(errors[True])} runs lie in their interval; "
        f"the largest error of a mean is {100 * max(errors[True]):.2f}%, "
        f"on average {100 * np.mean(errors[True]):.2f}%.",
        inside=inside[True],
        largest_error=100 * max(errors[True]),
        mean_error=100 * float(np.mean(errors[True])),
    )
    page.say(
        f"On half of them, less than a token for three parameters, it is {100 * max(errors[False]):.2f}%, "
        f"and {inside[False]} of {SEEDS * len(errors[False])} runs lie in their interval.",
        half_inside=inside[False],
        half_error=100 * max(errors[False]),
    )
    if said.curve:
        forms = ", ".join(f"{name} {100 * off:.2f}%" for name, off in said.curve.errors.items())
        page.say(
            f"Forms of the curve, by their errors on sizes left out: {forms}; {said.curve.name} was taken."
        )
    page.save()


if __name__ == "__main__":
    main()
