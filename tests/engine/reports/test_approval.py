"""What a person reads before the cluster is spent."""

from pathlib import Path

import pytest

from builders.choices import write_choice
from mashbill.mixtures import Choice, Decision, Sensitivity
from mashbill.mixtures.forecast import Forecast
from mashbill.reports.approval import ROWS, approval_text

REASON = "predicted gain over natural 0.0012 bits per byte, interval -0.0030 to 0.0054: within the noise"


def choice(folder: Path, mixture: dict[str, float], natural: dict[str, float]) -> Choice:
    folder.mkdir()
    return Choice.read(write_choice(folder, mixture, {"web": 1.0}, beside={"natural": natural}))


def decision() -> Decision:
    return Decision(decision="ask", reason=REASON, gain=0.0012, gain_interval=(-0.003, 0.0054))


def cells(text: str, head: str) -> list[list[str]]:
    """Rows of the table whose head begins so."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {head}"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_it_begins_with_the_gates_reason_and_shows_predictions_with_intervals(
    tmp_path: Path,
) -> None:
    text = approval_text(
        choice(tmp_path / "m", {"web": 1.0}, {"web": 1.0}), decision(), where=["s3://lake/mix"]
    )
    assert text.splitlines()[0] == f"**P{REASON[1:]}**"
    assert cells(text, "mixture") == [
        ["chosen", "3.0000", "2.9000 to 3.1000"],
        ["natural", "3.0000", "2.9000 to 3.1000"],
    ]
    assert "There is no forecast" in text
    assert text.endswith("- `s3://lake/mix`")


def test_the_mixture_stands_beside_natural_heaviest_first_with_what_is_as_good(tmp_path: Path) -> None:
    made = choice(tmp_path / "m", {"papers": 0.25, "web": 0.75}, {"web": 0.5, "papers": 0.5})
    known = Sensitivity(weight=0.75, without=1, halved=0.5, doubled=0.1, as_good=(0.6, 0.9))
    made = made.model_copy(update={"sensitivity": {"web": known}, "epochs": {"web": 1.25}})
    rows = cells(approval_text(made, decision()), "domain")
    assert rows == [["web", "75.0%", "50.0%", "60.0% to 90.0%", "1.25"], ["papers", "25.0%", "50.0%", "", ""]]


@pytest.mark.parametrize("domains", [ROWS, ROWS + 1, 5 * ROWS])
def test_of_many_domains_no_share_is_lost(tmp_path: Path, domains: int) -> None:
    weights = {f"d{i:03}": 2 * (i + 1) / (domains * (domains + 1)) for i in range(domains)}
    rows = cells(approval_text(choice(tmp_path / "m", weights, weights), decision()), "domain")
    assert len(rows) == min(domains, ROWS + 1)
    shares = [float(row[1].rstrip("%")) for row in rows]
    assert sum(shares) == pytest.approx(100, abs=0.05 * len(rows))
    assert rows[0][0] == f"d{domains - 1:03}"


def test_a_forecast_that_was_refused_says_why(tmp_path: Path) -> None:
    refused = Forecast(
        mixture="chosen",
        target={"web": 1.0},
        parameters=85_000_000,
        tokens=2_000_000_000,
        steps=10,
        batch_tokens=100,
        learning_rate=1e-3,
        final=None,
        refused="too few sizes finished",
        runs=(),
        cautions=("the runs are far smaller",),
    )
    text = approval_text(choice(tmp_path / "m", {"web": 1.0}, {"web": 1.0}), decision(), refused)
    assert "85 M parameters, 2.00 B tokens" in text
    assert "too few sizes finished" in text
    assert "- the runs are far smaller" in text
