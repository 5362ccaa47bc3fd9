"""Results of mix and gate that a person is asked about, without the proxies behind them."""

from pathlib import Path
from typing import Any

from builders.choices import write_choice
from mashbill.artifacts import Artifact, open_store
from mashbill.artifacts.manifest import Manifest
from mashbill.config import PipelineConfig
from mashbill.mixtures import Decision

MIXTURE = {"web": 0.7, "papers": 0.3}
REASON = "predicted gain over natural 0.0012 bits per byte, interval -0.0030 to 0.0054: within the noise"


def doubtful(config: PipelineConfig, folder: Path) -> dict[str, Artifact]:
    """A mix and a gate whose decision is to ask, in the store of a config.

    Args:
        config: whose store they go to.
        folder: where they are written first.
    """
    mix = folder / "mix"
    mix.mkdir()
    write_choice(mix, MIXTURE, {"web": 1.0}, beside={"natural": {"web": 0.5, "papers": 0.5}}, gain=0.0012)
    gate = folder / "gate"
    gate.mkdir()
    Decision(decision="ask", reason=REASON, gain=0.0012, gain_interval=(-0.003, 0.0054)).write(gate)
    return {"mix": committed(config, "mix", mix, {}), "gate": committed(config, "gate", gate, {})}


def committed(
    config: PipelineConfig,
    stage: str,
    folder: Path,
    inputs: dict[str, str],
    counts: dict[str, Any] | None = None,
) -> Artifact:
    """A folder's files as a stage's result in the store of a config."""
    store = open_store(config)
    fingerprint = stage.ljust(16, "0")
    output = store.output(stage, fingerprint)
    for path in folder.iterdir():
        path.rename(output.folder / path.name)
    manifest = Manifest(
        stage=stage,
        fingerprint=fingerprint,
        version=1,
        settings={},
        inputs=inputs,
        counts=counts or {},
        started="2026-01-01T00:00:00+00:00",
        seconds=0.0,
        mashbill="0",
    )
    return store.commit(output, manifest)
