"""What a person reads before the cluster is spent: the decision, the mixture beside natural, what is expected
of either, and what the final model is forecast to come to, as markdown."""

from collections.abc import Sequence

from mashbill.mixtures import Choice, Decision
from mashbill.mixtures.choice import CHOSEN, NATURAL
from mashbill.mixtures.forecast import Forecast

ROWS = 40
"""Domains in the table at most, the heaviest; the others are summed."""
MILLION, BILLION = 1_000_000, 1_000_000_000


def approval_text(
    choice: Choice, decision: Decision, forecast: Forecast | None = None, *, where: Sequence[str] = ()
) -> str:
    """The page that the approval shows.

    Args:
        choice: of the mixture.
        decision: of the gate.
        forecast: of the final model, where there is one.
        where: addresses of what it rests on.
    """
    parts = [
        f"**{decision.reason[:1].upper()}{decision.reason[1:]}**",
        _predictions(choice),
        _mixture(choice),
        _final(forecast),
        _cautions(choice, forecast),
        "\n".join(f"- `{address}`" for address in where),
    ]
    return "\n\n".join(part for part in parts if part)


def _predictions(choice: Choice) -> str:
    rows = [
        [name, f"{one.loss:.4f}", f"{one.interval[0]:.4f} to {one.interval[1]:.4f}"]
        for name, one in choice.predictions.items()
    ]
    return _table(["mixture", "predicted loss, bits per byte", "interval"], rows)


def _mixture(choice: Choice) -> str:
    natural = choice.mixtures.get(NATURAL, {})
    domains = sorted(choice.mixture, key=lambda name: -choice.mixture[name])
    rows = []
    for name in domains[:ROWS]:
        known = choice.sensitivity.get(name)
        as_good = f"{known.as_good[0]:.1%} to {known.as_good[1]:.1%}" if known else ""
        epochs = f"{choice.epochs[name]:.2f}" if name in choice.epochs else ""
        rows.append([name, f"{choice.mixture[name]:.1%}", f"{natural.get(name, 0):.1%}", as_good, epochs])
    if others := domains[ROWS:]:
        sums = [sum(mixture.get(name, 0) for name in others) for mixture in (choice.mixture, natural)]
        rows.append([f"{len(others)} others", *(f"{share:.1%}" for share in sums), "", ""])
    return _table(["domain", CHOSEN, NATURAL, "as good", "epochs"], rows)


def _final(forecast: Forecast | None) -> str:
    if forecast is None:
        return "There is no forecast of the final model."
    size = f"{forecast.parameters / MILLION:,.0f} M parameters, {forecast.tokens / BILLION:,.2f} B tokens"
    if forecast.final is None:
        return f"Final model ({size}): no forecast, as {forecast.refused}."
    low, high = forecast.final.interval
    return (
        f"Final model ({size}): forecast {forecast.final.loss:.4f} bits per byte, "
        f"{low:.4f} to {high:.4f} with {forecast.final.coverage:.0%} coverage."
    )


def _cautions(choice: Choice, forecast: Forecast | None) -> str:
    words = [*choice.limits, *(forecast.cautions if forecast else ())]
    if choice.outside_sampled:
        words.append("the choice lies farther from every proxy's mixture than those lie from one another")
    return "\n".join(f"- {word}" for word in words)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
