"""The report stage: one self-contained HTML page about the whole run, and its main figures as JSON."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mashbill.artifacts import Artifact, Counts, StageRun
from mashbill.mixtures import LossTable, MixtureTable
from mashbill.reports.gather import gather, summary

Runs = tuple[np.ndarray, np.ndarray]
"""[runs, domains] weights and [runs] target losses."""
TEMPLATES = Path(__file__).parent / "templates"


def report(run: StageRun) -> Counts:
    """Write ``report.html`` and ``summary.json``."""
    facts = gather(run.config, run.inputs)
    run.progress(0.3, "drawing")
    page = render(facts, draw(facts, run.inputs))
    (run.output / "report.html").write_text(page, encoding="utf-8")
    short = summary(facts)
    (run.output / "summary.json").write_text(json.dumps(short, ensure_ascii=False, indent=1))
    return {
        "bytes": len(page.encode()),
        "gain_predicted": short["gain_predicted"],
        "gain_measured": short["gain_measured"],
    }


def render(facts: Mapping[str, Any], figures: Mapping[str, str]) -> str:
    """The page; everything that comes from text is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["thousands"] = lambda value: f"{value:,.0f}"
    style = Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))  # noqa: S704  (ours)
    drawn = {name: Markup(svg) for name, svg in figures.items()}  # noqa: S704  (matplotlib escapes its labels)
    return environment.get_template("report.html").render(**facts, figures=drawn, style=style)


def draw(facts: Mapping[str, Any], inputs: Mapping[str, Artifact]) -> dict[str, str]:
    """Every figure, as inline SVG by name."""
    import pandas as pd

    from mashbill.reports import figures

    target = facts["choice"]["target"]
    domains, runs = sampled(inputs, target)
    quality = json.loads((inputs["select"].path / "quality.json").read_text())
    drawn = {
        "mixture": figures.mixture_bars(facts["weights"]),
        "losses": figures.predicted_and_measured(facts["predicted_against_measured"]),
        "quality": figures.quality_histograms(quality),
        "sweep": figures.sweep_scatter(domains, runs, facts["choice"]["mixture"]),
        "validation": figures.validation_scatter(facts["validation"]["predictions"]["target"]),
    }
    if facts["schedule"]["phases"] > 1:
        drawn["schedule"] = figures.weights_by_phase(
            facts["schedule"]["candidate"], facts["schedule"]["constant"]
        )
    if facts["clusters"]["threshold_curve"]:
        similarity, probability = zip(*facts["clusters"]["threshold_curve"], strict=True)
        drawn["threshold"] = figures.lines(
            {"chosen": (similarity, probability)}, "Jaccard similarity", "found", legend=False
        )
    trajectories = pd.read_csv(inputs["sweep"].path / "trajectories.csv")
    trajectories["target"] = sum(weight * trajectories[name] for name, weight in target.items())
    paths = {str(index): (group["tokens"], group["target"]) for index, group in trajectories.groupby("index")}
    drawn["trajectories"] = figures.lines(paths, "tokens", "target loss of the proxies, bits per byte")
    curves = pd.read_csv(inputs["train"].path / "curves.csv")
    smooth = {name: (g["tokens"], g["loss"].ewm(span=20).mean()) for name, g in curves.groupby("mixture")}
    drawn["curves"] = figures.lines(smooth, "tokens", "training loss, nats a token (smoothed)")
    evaluations = pd.read_csv(inputs["train"].path / "evaluations.csv")
    evaluations["target"] = sum(weight * evaluations[name] for name, weight in target.items())
    measured = {name: (g["tokens"], g["target"]) for name, g in evaluations.groupby("mixture")}
    drawn["evaluations"] = figures.lines(measured, "tokens", "target loss, bits per byte")
    strength = inputs["score"].path / "strength.parquet"
    if strength.exists():
        drawn["strength"] = figures.strength_histogram(pd.read_parquet(strength)["strength"].to_numpy())
    return drawn


def sampled(
    inputs: Mapping[str, Artifact], target: Mapping[str, float]
) -> tuple[tuple[str, ...], dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Domains, and the runs by where they come from: an earlier search, the sweep, its rounds."""
    domains = MixtureTable.read(inputs["sweep"].path / "mixtures.csv").domains
    tables = {
        "earlier": (inputs["plan"].path / "kept_mixtures.csv", inputs["plan"].path / "kept_losses.csv"),
        "sweep": (inputs["sweep"].path / "mixtures.csv", inputs["sweep"].path / "losses.csv"),
        "rounds": (inputs["refine"].path / "mixtures.csv", inputs["refine"].path / "losses.csv"),
    }
    runs = {}
    for name, (mixtures, losses) in tables.items():
        if mixtures.exists():
            measured = LossTable.read(losses)
            weights = np.array([target.get(column, 0.0) for column in measured.columns])
            runs[name] = (MixtureTable.read(mixtures).having(domains).weights, measured.losses @ weights)
    return domains, runs
