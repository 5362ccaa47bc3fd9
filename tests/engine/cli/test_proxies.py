"""``mashbill proxies train``: proxies on one's own mixtures, from the shell, as a user runs it."""

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

from builders.corpus import easy_and_hard
from builders.shell import MASHBILL, mashbill

CONFIG = """
[tokens]
vocabulary = 300
"""
SMALL = [
    "--set=proxy.model.layers=1",
    "--set=proxy.model.width=16",
    "--set=proxy.model.heads=2",
    "--set=proxy.model.kv_heads=2",
    "--set=proxy.model.feed_forward=32",
    "--set=proxy.model.context=32",
    "--set=sweep.tokens=10000",
    "--set=sweep.evaluations=2",
]


def proxies(*arguments: object) -> subprocess.CompletedProcess[str]:
    return mashbill("proxies", "train", *arguments)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return easy_and_hard(tmp_path_factory.mktemp("tokens"), CONFIG)[1]["tokenize"].path


def table(path: Path, rows: list[dict[str, Any]]) -> Path:
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


@pytest.mark.slow
def test_mixtures_become_losses_and_a_second_call_trains_nothing(tokens: Path, tmp_path: Path) -> None:
    rows = [{"index": 3 * i, "easy": 1 - 0.4 * i, "hard": 0.4 * i} for i in range(3)]
    given = [
        "--mixtures",
        table(tmp_path / "m.csv", rows),
        "--tokens",
        tokens,
        "--output",
        tmp_path / "runs",
        *SMALL,
        "--json",
    ]
    result = proxies(*given)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["proxies"] == 3
    losses = pd.read_csv(tmp_path / "runs" / "losses.csv")
    assert losses["index"].tolist() == [0, 3, 6]
    assert losses["easy"].idxmin() == 0  # the most of it, the lowest loss
    assert losses["hard"].idxmin() == 2
    assert len(pd.read_csv(tmp_path / "runs" / "trajectories.csv")) == 6
    finished = results(tmp_path)
    assert proxies(*given).returncode == 0
    assert results(tmp_path) == finished
    others = [proxies(*given, f"--set={key}") for key in ("proxy.learning_rate=0.01", "sweep.evaluations=3")]
    shutil.copytree(tokens, tmp_path / "shards")
    index = tmp_path / "shards" / "tokens.json"
    index.write_text(index.read_text() + " ")  # as of other text
    elsewhere = [tmp_path / "shards" if argument is tokens else argument for argument in given]
    changed = proxies(*elsewhere)
    assert (changed.returncode, "bytes where its manifest says" in changed.stderr) == (2, True)
    index.with_name("manifest.json").unlink()  # shards that are no artifact
    others.append(proxies(*elsewhere))
    for other in others:
        assert (other.returncode, "holds proxies of other mixtures or settings" in other.stderr) == (2, True)


@pytest.mark.slow
def test_schedules_are_trained_on_phase_by_phase(tokens: Path, tmp_path: Path) -> None:
    phases = [(0, 1, 1.0), (0, 2, 0.0), (1, 1, 0.0), (1, 2, 1.0)]
    rows = [
        {"index": i, "phase": phase, "share": 0.5, "easy": easy, "hard": 1 - easy}
        for i, phase, easy in phases
    ]
    result = proxies(
        "--mixtures",
        table(tmp_path / "s.csv", rows),
        "--tokens",
        tokens,
        "--output",
        tmp_path / "runs",
        *SMALL,
    )
    assert result.returncode == 0, result.stderr
    means = pd.read_csv(tmp_path / "runs" / "mixtures.csv")
    assert means["easy"].tolist() == pytest.approx([0.5, 0.5])
    losses = pd.read_csv(tmp_path / "runs" / "losses.csv")
    assert abs(losses["easy"][1] - losses["easy"][0]) > 0.1  # the same text in another order
    halfway = pd.read_csv(tmp_path / "runs" / "trajectories.csv").groupby("index").first()
    assert (
        halfway["easy"][0] < halfway["easy"][1] - 0.3
    )  # one has read nothing else by then, the other none of it


@pytest.mark.slow
def test_a_killed_process_costs_no_finished_proxy(tokens: Path, tmp_path: Path) -> None:
    rows = [{"index": i, "easy": 0.1 + 0.1 * i, "hard": 0.9 - 0.1 * i} for i in range(6)]
    given = [
        "--mixtures",
        table(tmp_path / "m.csv", rows),
        "--tokens",
        tokens,
        "--output",
        tmp_path / "runs",
        *SMALL,
        "--workers",
        2,
    ]
    command = [*MASHBILL, "proxies", "train", *map(str, given)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while not (kept := results(tmp_path)) and process.poll() is None:
        time.sleep(0.05)
    trainer = next(
        p for p in psutil.Process(process.pid).children() if "mashbill.proxies.stack_process" in p.cmdline()
    )
    trainer.kill()
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 1
    assert "error: proxies: a process that trains them failed" in said
    assert "finished proxies are kept" in said
    assert proxies(*given).returncode == 0
    finished = results(tmp_path)
    assert len(finished) == 6
    assert {path: finished[path] for path in kept} == kept
    assert sorted(path.name for path in (tmp_path / "runs" / "proxies").iterdir()) == [
        f"{i:04d}" for i in range(6)
    ]


def results(folder: Path) -> dict[Path, int]:
    """When each finished proxy was written."""
    return {path: path.stat().st_mtime_ns for path in (folder / "runs" / "proxies").glob("*/result.json")}


@pytest.mark.parametrize(
    "row, extra, fragments",
    [
        ({"index": 0, "easy": 0.5, "web": 0.5}, [], ["m.csv: column web", "has no tokens", "easy, hard"]),
        ({"index": 0, "easy": 0.5, "hard": 0.2}, [], ["m.csv: index 0", "sum"]),
        ({"index": 0, "easy": 0.5, "hard": 0.5}, ["--set=proxy.rate=1"], ["proxy.rate", "is not a setting"]),
    ],
    ids=["unknown domain", "sum", "setting"],
)
def test_bad_input_exits_2_with_one_line(
    row: dict[str, Any], extra: list[str], fragments: list[str], tokens: Path, tmp_path: Path
) -> None:
    result = proxies(
        "--mixtures",
        table(tmp_path / "m.csv", [row]),
        "--tokens",
        tokens,
        "--output",
        tmp_path / "runs",
        *extra,
    )
    assert result.returncode == 2, result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert all(fragment in errors[0] for fragment in fragments), errors[0]
    assert not (tmp_path / "runs").exists()
