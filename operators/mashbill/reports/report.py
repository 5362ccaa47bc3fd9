"""The report stage: one self-contained HTML page about the whole run, and its main figures as JSON."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mashbill.artifacts import Artifact, Counts, StageRun
from mashbill.documents import PASSAGE, repeats
from mashbill.mixtures import SweepRuns
from mashbill.mixtures.sweep_runs import has_runs, read_kept_runs, read_trajectories
from mashbill.quality.family import STRENGTH
from mashbill.quality.selection import FACTS
from mashbill.reports.gather import Facts, Summary, gather, summary
from mashbill.reports.tasks import compared_models, task_notes, task_rows
from mashbill.training.train import CURVES, EVALUATIONS

Runs = tuple[np.ndarray, np.ndarray]
"""[runs, domains] weights and [runs] target losses."""
PAGE = "report.html"
OUTPUTS = {PAGE: "the page", Summary.FILE: "its main figures"}
TEMPLATES = Path(__file__).parent / "templates"


def report(run: StageRun) -> Counts:
    """Write the page and its main figures."""
    facts = gather(run.config, run.inputs)
    run.progress(0.3, "drawing")
    page = render(facts, draw(facts, run.inputs))
    (run.output / PAGE).write_text(page, encoding="utf-8")
    short = summary(facts)
    short.write(run.output)
    size = len(page.encode())
    return {"bytes": size, "gain_predicted": short.gain_predicted, "gain_measured": short.gain_measured}


def render(facts: Facts, figures: Mapping[str, str]) -> str:
    """The page; everything that comes from text is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["thousands"] = lambda value: f"{value:,.0f}"
    style = Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))  # noqa: S704  (ours)
    drawn = {name: Markup(svg) for name, svg in figures.items()}  # noqa: S704  (matplotlib escapes its labels)
    said = {
        **vars(facts),
        "weights": facts.weights,
        "task_rows": task_rows(facts.evaluation),
        "task_notes": task_notes(facts.evaluation),
        "compared": compared_models(facts.evaluation),
    }
    return environment.get_template(PAGE).render(
        **said, figures=drawn, style=style, passage=repeats(PASSAGE, "")
    )


def draw(facts: Facts, inputs: Mapping[str, Artifact]) -> dict[str, str]:
    """Every figure, as inline SVG by name."""
    import pandas as pd

    from mashbill.reports import figures

    target = facts.choice.target
    domains, runs = sampled(inputs, target)
    quality = json.loads(inputs["select"].file(FACTS).read_text(encoding="utf-8"))
    out_of_fold = facts.regression.predictions["target"]
    drawn = {
        "mixture": figures.mixture_bars(facts.weights),
        "losses": figures.predicted_and_measured(facts.predicted_against_measured),
        "quality": figures.quality_histograms(quality),
        "sweep": figures.sweep_scatter(domains, runs, facts.choice.mixture),
        "regression": figures.prediction_scatter(out_of_fold.measured, out_of_fold.predicted),
    }
    if facts.schedule.phases > 1:
        drawn["schedule"] = figures.weights_by_phase(facts.schedule.candidate, facts.schedule.constant)
    if facts.clusters["threshold_curve"]:
        similarity, probability = zip(*facts.clusters["threshold_curve"], strict=True)
        drawn["threshold"] = figures.lines(
            {"chosen": (similarity, probability)}, "Jaccard similarity", "found", legend=False
        )
    trajectories = read_trajectories(inputs["sweep"])
    frame = trajectories.frame.assign(target=trajectories.target_losses(target))
    paths = {str(index): (group["tokens"], group["target"]) for index, group in frame.groupby("index")}
    drawn["trajectories"] = figures.lines(paths, "tokens", "target loss of the proxies, bits per byte")
    drawn |= draw_training(facts, inputs)
    if inputs["score"].has(STRENGTH):
        strength = pd.read_parquet(inputs["score"].file(STRENGTH))["strength"]
        drawn["strength"] = figures.strength_histogram(strength.to_numpy())
    return drawn


def draw_training(facts: Facts, inputs: Mapping[str, Artifact]) -> dict[str, str]:
    """Figures of the final models, and of the forecast."""
    import pandas as pd

    from mashbill.reports import figures

    drawn, measured = {}, {}
    if "train" in inputs:
        curves = pd.read_csv(inputs["train"].file(CURVES))
        smooth = {name: (g["tokens"], g["loss"].ewm(span=20).mean()) for name, g in curves.groupby("mixture")}
        drawn["curves"] = figures.lines(smooth, "tokens", "training loss, nats a token (smoothed)")
        evaluations = pd.read_csv(inputs["train"].file(EVALUATIONS))
        evaluations["target"] = sum(
            weight * evaluations[name] for name, weight in facts.choice.target.items()
        )
        measured = {name: (g["tokens"], g["target"]) for name, g in evaluations.groupby("mixture")}
        drawn["evaluations"] = figures.lines(measured, "tokens", "target loss, bits per byte")
    final = facts.forecast.final
    if final and final.band:
        across, up = measured.get(facts.forecast.mixture, ((), ()))
        points = list(zip(across, up, strict=True))
        drawn["forecast"] = figures.forecast_band(final.band, facts.forecast.batch_tokens, points)
    return drawn


def sampled(
    inputs: Mapping[str, Artifact], target: Mapping[str, float]
) -> tuple[tuple[str, ...], dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Domains, and the runs by where they come from: an earlier search, the sweep, its rounds."""
    found = {"earlier": read_kept_runs(inputs["plan"]), "sweep": SweepRuns.read(inputs["sweep"])}
    if has_runs(inputs["refine"]):
        found["rounds"] = SweepRuns.read(inputs["refine"])
    domains = SweepRuns.read(inputs["sweep"]).mixtures.domains
    runs = {name: table for name, table in found.items() if table is not None}
    return domains, {
        name: (table.mixtures.having(domains).weights, table.target_losses(target))
        for name, table in runs.items()
    }
