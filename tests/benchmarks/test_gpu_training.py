"""The benchmark of the step on a GPU runs, on a tiny model, where there is none."""

import re
import subprocess
import sys

import pytest
import torch

from builders.checkout import ROOT
from mashbill.config import ModelShape

FIGURES = ROOT / "docs" / "figures.json"
SMALL = ("--small", "--device", "cpu", "--steps", "1", "--accumulate", "2")
TERA = 1e12


def run(script: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(ROOT / "benchmarks" / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def rows(printed: str) -> dict[str, list[str]]:
    """Cells of each row by its first, without the column's names."""
    lines = [line.strip("| ").split(" | ") for line in printed.splitlines() if line.startswith("| ")]
    return {first: cells for first, *cells in lines[1:]}


@pytest.mark.slow
def test_every_way_is_timed_on_a_small_model_and_nothing_is_kept() -> None:
    kept = FIGURES.read_bytes()
    done = run("gpu_training.py", *SMALL, "--peak-tflops", "0.01", "--recompute", "0", "--documents", "0")
    assert done.returncode == 0, done.stderr
    found = rows(done.stdout)
    assert [first.split(", ")[1] for first in found] == ["zero1", "zero0", "ddp", "peer"]
    shape = ModelShape(layers=2, width=64, heads=4, kv_heads=2, feed_forward=128, context=64)
    products = (
        2 * (64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 128) + 32_000 * 64
    )  # weights a token is multiplied by
    norms = 5 * 64
    flops = 6 * (products + norms) + 12 * 2 * 64 * shape.context
    for rate, mfu, *_ in found.values():
        tokens = float(re.split("[ (]", rate)[0].replace(",", ""))
        assert float(mfu.rstrip("%")) / 100 == pytest.approx(tokens * flops / (0.01 * TERA), abs=1e-3)
    assert "times the tokens a second of peer" in done.stdout
    assert FIGURES.read_bytes() == kept


@pytest.mark.slow
def test_documents_and_recomputing_are_timed_too_and_the_peer_says_what_it_has_not() -> None:
    done = run("gpu_training.py", *SMALL, "--way", "zero1,peer", "--documents", "1", "--recompute", "1")
    assert done.returncode == 0, done.stderr
    ours, peer = rows(done.stdout).values()
    assert float(ours[0].split(" ")[0].replace(",", "")) > 0
    assert peer[0] == "the peer has no such case"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("command", [["gpu_training.py"], ["sweep.py", "--device", "cuda"]])
def test_without_a_gpu_a_line_says_so(command: list[str]) -> None:
    done = run(*command)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"\w+: there is no GPU here; run it where there is one, or .+\n", done.stderr)


def test_a_billion_parameters_are_not_tried_on_a_cpu() -> None:
    done = run("gpu_training.py", "--device", "cpu")
    assert (done.returncode, done.stderr) == (1, "gpu_training: 1.1B is too much for a CPU; add --small\n")
