"""Two cores against one, and ten times the input against one: the curation engine's scaling, by itself.

python benchmarks/cores.py [--megabytes 15] [--repeats 3]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import machine, sample, size_of
from whole_path import prepare

ONE = """
import os, sys, time, json
cores = int(sys.argv[2])
os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:cores]))
os.environ["RAYON_NUM_THREADS"] = str(cores)
os.environ["TOKENIZERS_PARALLELISM"] = "true"
os.cpu_count = lambda: cores
sys.path.insert(0, sys.argv[3])
from measure import peak_megabytes
from whole_path import run
from mashbill.config import load_config
config = load_config(sys.argv[1])
run(config)
started = time.perf_counter()
done = run(config)
wall = time.perf_counter() - started
seconds = {name: artifact.manifest.seconds for name, artifact in done.items()}
print(json.dumps({"wall": wall, "peak": peak_megabytes(), **seconds}))
"""


def measure(config: Path, cores: int, repeats: int) -> list[dict[str, float]]:
    """Fresh processes, each warmed up by a run of its own."""
    command = [sys.executable, "-c", ONE, str(config), str(cores), str(Path(__file__).parent)]
    return [
        json.loads(
            subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
        )
        for _ in range(repeats)
    ]


def median(figures: list[dict[str, float]], key: str) -> float:
    """Median over the runs."""
    return statistics.median(f[key] for f in figures)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=15)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    print(f"\n### Cores and size\n\n{machine()}\n")
    with tempfile.TemporaryDirectory() as name:
        folders = {}
        for size in (arguments.megabytes, 10 * arguments.megabytes):
            folders[size] = Path(name) / str(size)
            folders[size].mkdir()
            prepare(folders[size], sample(size), buckets=100_000)
            config = folders[size] / "config.toml"
            text = config.read_text().replace("[corpus]", "[corpus]\npartition_bytes = 2_000_000")
            text = text.replace("[quality]", "dry_run = true\n[quality]").replace(
                '"threshold"', '"threshold"\nthreshold = -1e9'
            )
            config.write_text(
                text
            )  # nothing is removed by rules or by score, so that every stage sees all text
        small = folders[arguments.megabytes] / "config.toml"
        one, two = measure(small, 1, arguments.repeats), measure(small, 2, arguments.repeats)
        print(
            f"{size_of(sample(arguments.megabytes)):.1f} MB in partitions of 2 MB, wall seconds (median "
            f"of {arguments.repeats}):\n"
        )
        print("| stage | one core | two cores | ratio |\n|---|---|---|---|")
        for key in [k for k in one[0] if k not in {"peak", "bootstrap"}]:
            print(
                f"| {key} | {median(one, key):.2f} | {median(two, key):.2f} | "
                f"{median(one, key) / max(median(two, key), 1e-9):.2f}x |"
            )
        large = measure(folders[10 * arguments.megabytes] / "config.toml", 2, 1)
        peak, ten = median(two, "peak"), median(large, "peak")
        print(
            f"\nPeak memory: {peak:.0f} MB, at ten times the input {ten:.0f} MB: {ten / peak:.2f}x "
            "(target 1.3x)."
        )


if __name__ == "__main__":
    main()
