"""Training the tokenizer: on counts of pieces against the tokenizers library on texts, the same tokenizer.

    make demo
    python benchmarks/training_tokenizer.py [--megabytes 20 50] [--vocabulary 4096 32000] [--repeats 1]

Each run is a process of its own, whose time and peak memory are the system's, the sample among it; kernels
are compiled before.
"""

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from measure import peak_bytes, sample
from page import Page
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from mashbill.config import TokensConfig
from mashbill.tokens.shards import END_OF_TEXT
from mashbill.tokens.tokenizer import train_tokenizer

WAYS = ("the tokenizers library", "ours")


class Texts:
    """A partition of the sample."""

    def __init__(self, texts: list[str]) -> None:
        self.table = pa.table({"text": pa.array(texts, pa.large_string())})

    def batches(self, columns: list[str], rows: int) -> Iterator[pa.RecordBatch]:
        """Its texts, some at a time."""
        yield from self.table.select(columns).to_batches(rows)


def by_library(texts: Texts, vocabulary: int) -> Any:
    """A byte-level BPE trained by the library."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    batches = (batch.column(0).to_pylist() for batch in texts.batches(["text"], 256))
    tokenizer.train_from_iterator(batches, trainer)
    return tokenizer


def ours(texts: Texts, vocabulary: int) -> Any:
    """As the pipeline trains it."""
    documents: Any = {"sample": [texts]}
    return train_tokenizer(documents, TokensConfig(vocabulary=vocabulary, training_bytes=10**12))


def run_one(way: str, megabytes: float, vocabulary: int) -> None:
    """Train once and print what it took."""
    texts = Texts([document["text"] for document in sample(megabytes)])
    if way == "ours":
        ours(Texts(["compiles the kernels"]), 300)
    before, started = time.process_time(), time.perf_counter()
    tokenizer = ours(texts, vocabulary) if way == "ours" else by_library(texts, vocabulary)
    figures = {"cpu": time.process_time() - before, "wall": time.perf_counter() - started}
    peak = peak_bytes() / 1e6
    made = hashlib.sha256(tokenizer.to_str(pretty=True).encode()).hexdigest()
    print(json.dumps({**figures, "peak": peak, "made": made}))


def measured(way: str, megabytes: float, vocabulary: int) -> dict[str, Any]:
    """What one way takes, in a process of its own."""
    command = [sys.executable, __file__, "--way", way]
    command += ["--megabytes", str(megabytes), "--vocabulary", str(vocabulary)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, nargs="+", default=[20, 50])
    parser.add_argument("--vocabulary", type=int, nargs="+", default=[4_096, 32_000])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        run_one(arguments.way, arguments.megabytes[0], arguments.vocabulary[0])
        return
    page = Page("training-tokenizer", "Training a byte-level BPE, the same tokenizer byte for byte")
    page.table(["text, vocabulary, way", "CPU seconds (spread)", "seconds", "peak memory", "CPU ratio"])
    for megabytes in arguments.megabytes:
        for vocabulary in arguments.vocabulary:
            library = 0.0
            made = set()
            for way in WAYS:
                runs = [measured(way, megabytes, vocabulary) for _ in range(arguments.repeats)]
                made |= {run["made"] for run in runs}
                cpu, wall, peak = (
                    statistics.median(run[key] for run in runs) for key in ("cpu", "wall", "peak")
                )
                library = library or cpu
                low, high = (pick(run["cpu"] for run in runs) for pick in (min, max))
                name = f"{megabytes:.0f} MB, {vocabulary:,}, {way}"
                spread = f"{cpu:.1f} ({low:.1f}-{high:.1f})"
                page.row([name, spread, f"{wall:.1f}", f"{peak:,.0f} MB", f"{library / cpu:.1f}x"])
            if len(made) > 1:
                raise SystemExit(f"{megabytes:.0f} MB, {vocabulary:,}: the tokenizers differ")
    page.save()


if __name__ == "__main__":
    main()
