"""What became of a proxy: the record that its folder holds, read by whatever compares proxies."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mashbill.artifacts import write_json

RESULT = "result.json"  # written last: a folder that has one is a finished proxy


@dataclass
class ProxyResult:
    """What became of one proxy.

    Attributes:
        trajectory: step, tokens and bits per byte of every set, at each evaluation.
        tokens: tokens trained on.
        seconds: its share of the time it took.
        failed: why it failed; empty where it didn't.
    """

    trajectory: list[dict[str, float]]
    tokens: int
    seconds: float
    failed: str

    @classmethod
    def read(cls, folder: Path) -> "ProxyResult":
        """The result of the proxy in a folder."""
        record = json.loads((folder / RESULT).read_text())
        return cls(record["trajectory"], record["tokens"], record["seconds"], record["failed"])

    def write(self, folder: Path, index: int) -> None:
        """Put the result beside the proxy's model, with the index of its mixture."""
        record = {
            "index": index,
            "trajectory": self.trajectory,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "failed": self.failed,
        }
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / RESULT, record)

    def target_loss(self, target: Mapping[str, float]) -> float:
        """Bits per byte of a weighted mean of sets at the end; NaN where the proxy failed."""
        if self.failed:
            return float("nan")
        return float(sum(weight * self.trajectory[-1][name] for name, weight in target.items()))


def is_finished(folder: Path) -> bool:
    """Whether the proxy of a folder was trained to its end."""
    return (folder / RESULT).exists()


def folder_name(index: int, place: int = 0) -> str:
    """Name of a proxy's folder: its index, and which config it was trained with, unless that is the first."""
    return f"{index:04d}.{place}" if place else f"{index:04d}"


def final_losses(results: Sequence[ProxyResult], sets: Sequence[str]) -> np.ndarray:
    """[proxies, sets] bits per byte at the end of each; NaN where it failed."""
    rows = [[np.nan if r.failed else r.trajectory[-1][name] for name in sets] for r in results]
    return np.array(rows, np.float64).reshape(len(results), len(sets))
