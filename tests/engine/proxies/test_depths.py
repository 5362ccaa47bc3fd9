"""Depths of the proxy's size in the ladder: trained on the sweep's best mixture, and ranked on record."""

from pathlib import Path

import numpy as np
import pytest

from builders.corpus import folder_as_artifact
from builders.proxy_groups import PROXY, part_of, result, stage_run, two_domains
from mashbill.artifacts import Artifact
from mashbill.config import LadderConfig, MixConfig, ModelShape, SweepConfig
from mashbill.mixtures import LossTable, MixtureTable, SweepRuns
from mashbill.proxies.ladder import Ladder, collect_ladder, ladder_parts, train_rung
from mashbill.proxies.result import ProxyResult
from mashbill.tokens import TokenStore

SECTIONS = {
    "ladder": LadderConfig(depths=(1, 2, 4), depth_seeds=2),
    "mix": MixConfig(target={"a": 1.0}),
    "sweep": SweepConfig(tokens=2_000),
    "proxy": PROXY.model_copy(
        update={"model": ModelShape(layers=2, width=48, heads=2, kv_heads=2, feed_forward=96, context=16)}
    ),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    return two_domains(tmp_path_factory.mktemp("store"))


def inputs(folder: Path, store: TokenStore) -> dict[str, Artifact]:
    """A sweep whose second mixture, all of domain b, has the lowest target loss."""
    weights = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    losses = np.array([[3.0, 3.0], [1.0, 9.0], [2.0, 2.0]])
    runs = SweepRuns(
        MixtureTable(np.arange(3), ("a", "b"), weights), LossTable(np.arange(3), ("a", "b"), losses)
    )
    folder.mkdir(parents=True)
    runs.write(folder)
    sweep = folder_as_artifact("sweep", folder)
    sweep.manifest.counts["settings"] = 0
    return {"tokenize": folder_as_artifact("tokenize", store.folder), "sweep": sweep}


def test_a_depth_is_trained_once_a_seed_on_the_best_mixture_alone(store: TokenStore, tmp_path: Path) -> None:
    """Models that read b alone know b better than a."""
    found = inputs(tmp_path / "sweep", store)
    run = stage_run(tmp_path, found, part="depth-4", **SECTIONS)
    assert ladder_parts(run.config, found) == ["depth-1", "depth-2", "depth-4"]
    assert train_rung(run)["proxies"] == 2
    ends = [ProxyResult.read(run.output / "proxies" / f"{seed:04d}").trajectory[-1] for seed in (0, 1)]
    assert ends[0]["a"] != ends[1]["a"]
    assert all(end["b"] < end["a"] for end in ends)


def test_depths_are_on_record_the_best_first(store: TokenStore, tmp_path: Path) -> None:
    of_depth = {"depth-1": (2.0, 2.1), "depth-2": (1.0, 1.1), "depth-4": (1.1, 1.2)}
    parts = {
        name: part_of(
            tmp_path / name,
            {
                f"{seed:04d}": result({"step": 1, "tokens": 5, "a": loss, "b": 9.0})
                for seed, loss in enumerate(losses)
            },
            tokens=10,
        )
        for name, losses in of_depth.items()
    }
    run = stage_run(tmp_path, inputs(tmp_path / "sweep", store), parts=parts, **SECTIONS)
    counts = collect_ladder(run)
    record = Ladder.read(run.output)
    assert [(row.layers, row.mean, row.worse) for row in record.depths] == [
        (2, pytest.approx(1.05), False),
        (4, pytest.approx(1.15), False),
        (1, pytest.approx(2.05), True),
    ]
    assert (record.rungs, counts["best_depth"], counts["tokens"]) == ((), 2, 30)


def test_a_depth_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="name one twice"):
        LadderConfig(depths=(2, 2))
