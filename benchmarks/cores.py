"""Two cores against one: how the curation engine spreads its work, by itself.

    python benchmarks/cores.py [--gigabytes 0.4] [--repeats 3]

The text is that of scale.py, in partitions of the default size.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from page import Page
from scale import write_corpus

PRICE = 0.045  # of a large cloud machine on demand: put your own in its place
NO_STAGE = {"wall", "text", "bootstrap"}
ONE = """
import os, sys, time, json
cores = int(sys.argv[2])
os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:cores]))
os.environ["RAYON_NUM_THREADS"] = str(cores)
os.environ["TOKENIZERS_PARALLELISM"] = "true"
os.cpu_count = lambda: cores
sys.path.insert(0, sys.argv[3])
from whole_path import run
from mashbill.config import load_config
warm, config = load_config(sys.argv[4]), load_config(sys.argv[1])
run(warm)
started = time.perf_counter()
done = run(config)
wall = time.perf_counter() - started
seconds = {name: artifact.manifest.seconds for name, artifact in done.items()}
text = done["ingest"].manifest.counts["bytes_out"]
print(json.dumps({"wall": wall, "text": text, **seconds}))
"""


def measure(config: Path, cores: int, repeats: int, *, warm: Path) -> list[dict[str, float]]:
    """Fresh processes, each warmed up by a run of less text."""
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", ONE, str(config), str(cores), here, str(warm)]
    return [
        json.loads(
            subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
        )
        for _ in range(repeats)
    ]


def median(figures: list[dict[str, float]], key: str) -> float:
    """Median over the runs."""
    return statistics.median(f[key] for f in figures)


def cost(page: Page, megabytes: float, seconds: float) -> None:
    """What a terabyte would take, from the seconds that one core needs for so much text."""
    hours = 1e6 / (megabytes / seconds) / 3_600
    page.say(
        f"{megabytes / seconds:.1f} MB a core second through every stage. If that scales linearly, a "
        f"terabyte takes {hours:.0f} core hours: {hours / 64:.1f} h on 64 cores, {hours * PRICE:.1f} dollars "
        f"at {PRICE} dollars a core hour.",
        core_hours=hours,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=0.4)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    page = Page("cores", "Two cores against one")
    with tempfile.TemporaryDirectory() as name:
        small, large = Path(name, "small"), Path(name, "large")
        for folder, size in ((small, arguments.gigabytes / 10), (large, arguments.gigabytes)):
            folder.mkdir()
            write_corpus(folder, size)
        warm, config = small / "config.toml", large / "config.toml"
        one, two = (measure(config, cores, arguments.repeats, warm=warm) for cores in (1, 2))
    megabytes = median(one, "text") / 1e6
    page.say(f"{megabytes:.0f} MB, wall seconds (median of {arguments.repeats}):")
    page.table(["stage", "one core", "two cores", "ratio"])
    for key in [k for k in one[0] if k not in NO_STAGE - {"wall"}]:
        single, both = median(one, key), median(two, key)
        page.row([key, f"{single:.2f}", f"{both:.2f}", f"{single / max(both, 1e-9):.2f}x"])
    cost(page, megabytes, sum(median(one, key) for key in one[0] if key not in NO_STAGE))
    page.save()


if __name__ == "__main__":
    main()
