"""The report's figures: matplotlib to inline SVG, one palette, transparent, readable on light and on dark."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from mashbill.config.training import SCHEDULED
from mashbill.mixtures.forecast import Band
from mashbill.mixtures.schedule_choice import Phase

PANELS = 25  # domains that a figure with one panel each shows
COLORS = {
    "chosen": "#c2611f",
    "natural": "#4b7a9e",
    SCHEDULED: "#5d8a4a",
    "uniform": "#8a8f98",
    "kept": "#c2611f",
    "dropped": "#9aa3ad",
    "sweep": "#4b7a9e",
    "rounds": "#c2611f",
    "earlier": "#9aa3ad",
}
OTHER = "#7d6b91"
INK = "#7d8590"
LEGEND: dict[str, Any] = {"frameon": False, "labelcolor": INK}
STYLE = {
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "mashbill",
    "svg.fonttype": "none",
}


def mixture_bars(domains: Sequence[Mapping[str, Any]]) -> str:
    """Chosen against natural weights, largest first."""
    rows = sorted(domains, key=lambda d: d["chosen"])
    figure, axes = _new(7.2, 0.34 * len(rows) + 0.8)
    y = np.arange(len(rows))
    axes.barh(y + 0.2, [d["chosen"] for d in rows], 0.38, color=COLORS["chosen"], label="chosen")
    axes.barh(y - 0.2, [d["natural"] for d in rows], 0.38, color=COLORS["natural"], label="natural")
    axes.set_yticks(y, [d["name"] for d in rows])
    axes.set_xlabel("weight in the mixture")
    axes.legend(**LEGEND, loc="lower right")
    return _svg(figure)


def predicted_and_measured(rows: Sequence[Mapping[str, Any]]) -> str:
    """Predicted target loss with interval, and the measured one where a model was trained."""
    figure, axes = _new(7.2, 0.5 * len(rows) + 0.8)
    for y, row in enumerate(reversed(rows)):
        color = COLORS.get(row["name"], OTHER)
        axes.plot(row["interval"], [y, y], color=color, linewidth=5, alpha=0.3, solid_capstyle="round")
        axes.plot(row["loss"], y, "o", color=color, label="predicted for a proxy" if y == 0 else None)
        if row["measured"] is not None:
            axes.plot(
                row["measured"],
                y,
                "D",
                color=color,
                markerfacecolor="none",
                label="measured on the final model" if y == len(rows) - 1 else None,
            )
    axes.set_yticks(range(len(rows)), [row["name"] for row in reversed(rows)])
    axes.set_xlabel("target loss, bits per byte (lower is better)")
    axes.margins(y=0.3)
    axes.legend(**LEGEND, loc="best")
    return _svg(figure)


def quality_histograms(quality: Mapping[str, Any]) -> str:
    """Margins of kept and dropped documents, a small panel a domain."""
    domains = quality["domains"]
    columns = min(4, len(domains))
    rows = -(-len(domains) // columns)
    figure, grid = _new(9.4, 1.5 * rows + 0.3, rows, columns=columns)
    for axes, (name, entry) in zip(np.ravel(grid), domains.items(), strict=False):
        edges = np.array(entry["edges"])
        for side, bottom in (("kept", np.zeros(len(edges) - 1)), ("dropped", np.array(entry["kept"]))):
            axes.bar(
                edges[:-1], entry[side], np.diff(edges), bottom, align="edge", color=COLORS[side], label=side
            )
        axes.set_title(name, fontsize=9, loc="left")
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    for axes in np.ravel(grid)[len(domains) :]:
        axes.set_axis_off()
    np.ravel(grid)[0].legend(**LEGEND, fontsize=7, handlelength=1)
    figure.supxlabel("classifier's margin (logit)", fontsize=9, color=INK)
    return _svg(figure)


def sweep_scatter(
    domains: Sequence[str], runs: Mapping[str, tuple[np.ndarray, np.ndarray]], chosen: Mapping[str, float]
) -> str:
    """Target loss against each domain's weight, over all runs; a line marks the chosen weight. Of many
    domains, the largest.

    Args:
        domains: names, in the weights' order.
        runs: [runs, domains] weights and [runs] target losses, by where the runs come from.
        chosen: the chosen mixture.
    """
    shown = sorted(sorted(range(len(domains)), key=lambda i: -chosen[domains[i]])[:PANELS])
    columns = min(5, len(shown))
    rows = -(-len(shown) // columns)
    figure, grid = _new(9.4, 1.7 * rows + 0.5, rows, columns=columns, sharey=True)
    for axes, i in zip(np.ravel(grid), shown, strict=False):
        axes.axvline(chosen[domains[i]], color=COLORS["chosen"], linewidth=1)
        for name, (weights, loss) in runs.items():
            axes.plot(weights[:, i], loss, "o", color=COLORS[name], markersize=3, alpha=0.8, label=name)
        axes.set_title(domains[i], fontsize=9, loc="left")
        axes.xaxis.set_major_locator(MaxNLocator(3))
    for axes in np.ravel(grid)[len(shown) :]:
        axes.set_axis_off()
    if len(runs) > 1:
        handles, labels = np.ravel(grid)[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, **LEGEND, loc="outside upper right", ncols=len(runs), fontsize=8, markerscale=1.6
        )
    figure.supxlabel("weight in the mixture", fontsize=9, color=INK)
    figure.supylabel("target loss, bits per byte", fontsize=9, color=INK)
    return _svg(figure)


def weights_by_phase(phases: Sequence[Phase], constant: Mapping[str, float]) -> str:
    """Each domain's weight over the run, a step a phase; a dotted line marks the best single mixture."""
    domains = list(constant)
    columns = min(5, len(domains))
    rows = -(-len(domains) // columns)
    figure, grid = _new(9.4, 1.5 * rows + 0.3, rows, columns=columns, sharey=True)
    edges = np.cumsum([0.0, *(phase.share for phase in phases)])
    highest = max(max(weights.values()) for weights in (*(phase.mixture for phase in phases), constant))
    for axes, name in zip(np.ravel(grid), domains, strict=False):
        axes.axhline(constant[name], color=COLORS["chosen"], linewidth=1, linestyle=":")
        axes.stairs(
            [phase.mixture[name] for phase in phases],
            edges,
            baseline=None,
            color=COLORS[SCHEDULED],
            linewidth=1.6,
        )
        axes.set_title(name, fontsize=9, loc="left")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.08 * highest)
    for axes in np.ravel(grid)[len(domains) :]:
        axes.set_axis_off()
    figure.supxlabel("share of the run", fontsize=9, color=INK)
    figure.supylabel("weight", fontsize=9, color=INK)
    return _svg(figure)


def prediction_scatter(measured: Sequence[float], predicted: Sequence[float]) -> str:
    """Out-of-fold predictions of [runs] target losses against measured ones."""
    figure, axes = _new(3.6, 3.2)
    ends = [min(*measured, *predicted), max(*measured, *predicted)]
    axes.plot(ends, ends, color=INK, linewidth=0.8, linestyle=":")
    axes.plot(measured, predicted, "o", color=COLORS["chosen"], markersize=4, alpha=0.8)
    axes.set_xlabel("measured, bits per byte")
    axes.set_ylabel("predicted, out of fold")
    return _svg(figure)


def lines(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]], x: str, y: str, *, legend: bool = True
) -> str:
    """Named curves of (x, y) values."""
    figure, axes = _new(4.6, 3.0)
    for name, (across, up) in series.items():
        axes.plot(
            across,
            up,
            color=COLORS.get(name, INK),
            linewidth=1.4 if name in COLORS else 0.7,
            alpha=1 if name in COLORS else 0.5,
            label=name if name in COLORS else None,
        )
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    if axes.get_xlim()[1] > 1_000:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    if legend and any(name in COLORS for name in series):
        axes.legend(**LEGEND)
    return _svg(figure)


def forecast_band(band: Band, batch_tokens: int, measured: Sequence[tuple[float, float]]) -> str:
    """What was expected of a final model on its way, and [points] tokens and losses that were measured."""
    figure, axes = _new(4.6, 3.0)
    tokens = np.array(band.steps) * batch_tokens
    color = COLORS["natural"]
    axes.fill_between(tokens, band.low, band.high, color=color, alpha=0.25, linewidth=0, label="forecast")
    axes.plot(tokens, band.expected, color=color, linewidth=1.0, linestyle="--")
    if measured:
        axes.plot(*zip(*measured, strict=True), "o-", color=COLORS["chosen"], markersize=3, label="measured")
    axes.set_xlabel("tokens")
    axes.set_ylabel("target loss, bits per byte")
    if axes.get_xlim()[1] > 1_000:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.legend(**LEGEND)
    return _svg(figure)


def strength_histogram(strength: np.ndarray) -> str:
    """Predictive strength of the sampled documents."""
    figure, axes = _new(4.6, 2.4)
    axes.hist(strength[~np.isnan(strength)], 30, color=COLORS["natural"])
    axes.set_xlabel("predictive strength")
    axes.set_ylabel("documents")
    return _svg(figure)


def _new(
    width: float, height: float, rows: int = 1, *, columns: int = 1, sharey: bool = False
) -> tuple[Figure, Any]:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots(rows, columns, sharey=sharey)


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
