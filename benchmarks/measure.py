"""What every benchmark shares: the demo's real text, timing by CPU seconds and wall time, peers in their own
environment."""

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from page import ROOT, Page

COLUMNS = (
    "work",
    "ours, MB a CPU second (spread)",
    "documents a CPU second",
    "peer, MB a CPU second (spread)",
    "ratio",
    "target",
)
TEXT = ROOT / ".demo" / "text"
PEERS = ROOT / ".demo" / "peers"
REFERENCES = {"openwebtext", "encyclopedia"}

Figures = list[dict[str, Any]]


def sample(megabytes: float, seed: int = 0, only: Sequence[str] = ()) -> list[dict[str, str]]:
    """Documents of every domain of the demo, or of some, so many bytes of each, in a random order: id, domain
    and text. A domain that has less gives all of it."""
    if not TEXT.exists():
        sys.exit("the demo's text is missing; run `make demo` or examples/demo_corpus/prepare.py first")
    domains = sorted(path for path in TEXT.glob("*.jsonl") if path.stem not in REFERENCES)
    domains = [path for path in domains if not only or path.stem in only]
    chosen: list[dict[str, str]] = []
    for path in domains:
        lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line]
        random.Random(seed).shuffle(lines)
        size = 0
        for line in lines:
            if size >= megabytes * 1e6 / len(domains):
                break
            record = json.loads(line)
            chosen.append({"id": f"{path.stem}/{record['id']}", "domain": path.stem, "text": record["text"]})
            size += len(record["text"].encode())
    random.Random(seed).shuffle(chosen)
    return chosen


def size_of(documents: Sequence[dict[str, str]]) -> float:
    """Text in megabytes."""
    return sum(len(d["text"].encode()) for d in documents) / 1e6


def write_jsonl(path: Path, documents: Sequence[dict[str, str]]) -> None:
    """One document a line."""
    path.write_text("".join(json.dumps(d) + "\n" for d in documents))


def timed(work: Callable[[], Any], repeats: int, before: Callable[[], Any] = lambda: None) -> Figures:
    """CPU and wall seconds of each run, after one that warms up; what must be done before each is not in
    them."""
    work()
    figures = []
    for _ in range(repeats):
        before()
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        figures.append({"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall})
    return figures


def peer(
    work: str, documents: Sequence[dict[str, str]], repeats: int, **job: Any
) -> tuple[Figures, list[str]]:
    """datatrove's figures for the same documents, and its decisions: the reason of each where the work is a
    filter, else the ids that came through."""
    python = peer_environment()
    with tempfile.TemporaryDirectory() as folder:
        path, decisions = Path(folder) / "input" / "documents.jsonl", Path(folder) / "decisions.json"
        path.parent.mkdir()
        write_jsonl(path, documents)
        description = {
            "work": work,
            "input": str(path),
            "repeats": repeats,
            "decisions": str(decisions),
            **job,
        }
        (Path(folder) / "job.json").write_text(json.dumps(description))
        command = [
            str(python),
            str(Path(__file__).parent / "peers" / "datatrove_blocks.py"),
            str(Path(folder) / "job.json"),
        ]
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "PYTHONPATH": "",
        }
        result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if result.returncode:
            sys.exit(f"datatrove failed:\n{result.stderr[-2_000:]}")
        figures = next(line for line in result.stdout.splitlines() if line.startswith("FIGURES"))
        return json.loads(figures.removeprefix("FIGURES")), json.loads(
            decisions.read_text()
        ) if decisions.exists() else []


def peer_environment() -> Path:
    """The peers' own Python, made on first use."""
    python = PEERS / "bin" / "python"
    if not python.exists():
        print("installing the peers into .demo/peers", file=sys.stderr)
        venv.create(PEERS, with_pip=True)
        command = [
            str(python),
            "-m",
            "pip",
            "install",
            "-q",
            "-r",
            str(Path(__file__).parent / "peers" / "requirements.txt"),
        ]
        subprocess.run(command, check=True)
    return python


def rate(megabytes: float, figures: Figures, of: str = "cpu") -> tuple[float, float, float]:
    """Median, least and greatest MB per second."""
    rates = sorted(megabytes / figure[of] for figure in figures)
    return statistics.median(rates), rates[0], rates[-1]


def compare(
    page: Page, name: str, size: tuple[float, int], *, ours: Figures, theirs: Figures, target: float
) -> float:
    """One row: ours, theirs, the ratio by CPU second, and whether the target is reached.

    Args:
        page: of the benchmark.
        name: of the work.
        size: megabytes and documents.
        ours, theirs: seconds of each run.
        target: least ratio that was wanted.
    """
    megabytes, documents = size
    fast, low, high = rate(megabytes, ours)
    slow, slow_low, slow_high = rate(megabytes, theirs)
    ratio = fast / slow
    verdict = "reached" if ratio >= target else "MISSED"
    page.row(
        [
            name,
            f"{fast:.1f} ({low:.1f}-{high:.1f})",
            f"{fast * documents / megabytes:,.0f}",
            f"{slow:.2f} ({slow_low:.2f}-{slow_high:.2f})",
            f"{ratio:.1f}x",
            f"{target:g}x {verdict}",
        ]
    )
    return ratio


def require_gpu(instead: str) -> None:
    """End with a line where there is no GPU; it says what may be done instead."""
    import torch

    if not torch.cuda.is_available():
        sys.exit(f"{Path(sys.argv[0]).stem}: there is no GPU here; run it where there is one, or {instead}")


def peak_bytes() -> int:
    """Most memory this process has held since it began to run its program; the system's count of resources
    would include that of the process it was forked from."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(kilobytes) * 1_024


def peak_megabytes() -> float:
    """The same in megabytes."""
    return peak_bytes() / 1e6
