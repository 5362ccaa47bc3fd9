"""Forecasts as their stage writes them, for what reads them."""

from pathlib import Path
from typing import Any

from mashbill.artifacts.manifest import Manifest, describe_files
from mashbill.mixtures import Forecast
from mashbill.mixtures.forecast import Band, CurveForm, FinalLoss, LawConstants, SmallRun

FINAL = FinalLoss(
    loss=1.5,
    interval=(1.45, 1.55),
    coverage=0.9,
    constants=LawConstants(E=0.5, alpha=20.0, beta=30.0, b=-0.3),
    prior="",
    noise=0.004,
    held_out=None,
    parameters_factor=4.0,
    tokens_factor=2.0,
    curve=CurveForm(name="trend", errors={"trend": 0.01, "share": 0.02}),
    band=Band(steps=(25, 125), expected=(2.0, 1.5), low=(1.9, 1.45), high=(2.1, 1.55)),
)
RUN = SmallRun(
    parameters=1_000, tokens=10_000, batch_tokens=512, learning_rate=1e-3, seed=0, loss=2.0, fitted=True
)


def forecast_of(**changes: Any) -> Forecast:
    """A forecast of 1.5 bits."""
    values: dict[str, Any] = {
        "mixture": "chosen",
        "target": {"r": 1.0},
        "parameters": 4_000,
        "tokens": 64_000,
        "steps": 125,
        "batch_tokens": 512,
        "learning_rate": 1e-3,
        "final": FINAL,
        "refused": "",
        "runs": (RUN,),
        "cautions": (),
        "unknown": (),
    }
    return Forecast(**{**values, **changes})


def write_forecast(root: Path, *, mix: str = "", started: str = "2026-01-01", **changes: Any) -> Forecast:
    """A finished forecast among artifacts, made of a choice at an address."""
    found = forecast_of(**changes)
    folder = root / "forecast" / f"{len(list(root.glob('forecast/*'))):016x}"
    folder.mkdir(parents=True)
    found.write(folder)
    manifest = Manifest(
        stage="forecast",
        part=None,
        fingerprint=folder.name.ljust(64, "0"),
        version=1,
        settings={},
        inputs={"mix": mix},
        counts={},
        files=describe_files(folder),
        started=started,
        seconds=0.0,
        mashbill="0",
    )
    (folder / "manifest.json").write_text(manifest.as_text())
    return found
