"""Text into ids: the table of pieces against the tokenizers library on one thread, with the same ids.

    make demo
    python benchmarks/tokenizing.py [--megabytes 60] [--vocabulary 32000] [--repeats 3]

Ours is measured with an empty table, kernels compiled, and with a table that has met the text.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import pyarrow as pa
from measure import sample, size_of
from page import Page
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

from mashbill.tokens.encoded import Encoded
from mashbill.tokens.encoder import Encoder
from mashbill.tokens.split_patterns import GPT4

BATCH = 512
TRAINED_ON = 4_000


def trained(texts: list[str], vocabulary: int, pattern: str) -> Any:
    """A byte-level BPE trained on some texts."""
    tokenizer = Tokenizer(models.BPE())
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern == "GPT-2")
    split = pre_tokenizers.Split(Regex(GPT4), "isolated")
    tokenizer.pre_tokenizer = to_bytes if pattern == "GPT-2" else pre_tokenizers.Sequence([split, to_bytes])
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def seconds_of(work: Callable[[], Encoded]) -> tuple[float, Encoded]:
    """Seconds of a core, and what came of it."""
    started = time.process_time()
    found = work()
    return time.process_time() - started, found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=60)
    parser.add_argument("--vocabulary", type=int, default=32_000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    documents = sample(arguments.megabytes)
    texts = [d["text"] for d in documents]
    size, batches = size_of(documents), range(0, len(texts), BATCH)
    columns = [pa.array(texts[i : i + BATCH], pa.large_string()) for i in batches]
    title = f"Tokenization, {size:.1f} MB into a vocabulary of {arguments.vocabulary:,}, the same ids"
    page = Page("tokenizing", title)
    page.table(
        [
            "pattern",
            "tokenizers, MB a CPU second (spread)",
            "ours, table empty",
            "ratio",
            "table warm",
            "ratio ",
        ]
    )
    for pattern in ("GPT-2", "GPT-4"):
        tokenizer = trained(texts[:TRAINED_ON], arguments.vocabulary, pattern)

        def by_library(tokenizer: Any = tokenizer) -> Encoded:
            rows = [
                tokenizer.encode_batch_fast(texts[i : i + BATCH], add_special_tokens=False) for i in batches
            ]
            return Encoded.joined([Encoded.of([one.ids for one in row]) for row in rows])

        Encoder(tokenizer).encode(columns[0])  # compiles
        speeds: dict[str, list[float]] = {"library": [], "cold": [], "warm": []}
        for _ in range(arguments.repeats):
            encoder = Encoder(tokenizer)
            runs = {}
            for name in ("cold", "warm"):
                runs[name] = seconds_of(lambda: Encoded.joined([encoder.encode(c) for c in columns]))  # noqa: B023
            runs["library"] = seconds_of(by_library)
            for name, (seconds, found) in runs.items():
                speeds[name].append(size / seconds)
                if not np.array_equal(found.ids, runs["library"][1].ids):
                    raise SystemExit(f"{name}: other ids than the library's")
        middle = {name: statistics.median(all_) for name, all_ in speeds.items()}
        spread = {
            name: f"{middle[name]:.1f} ({min(all_):.1f}-{max(all_):.1f})" for name, all_ in speeds.items()
        }
        cold, warm = (f"{middle[name] / middle['library']:.1f}x" for name in ("cold", "warm"))
        page.row([pattern, spread["library"], spread["cold"], cold, spread["warm"], warm])
    page.save()


if __name__ == "__main__":
    main()
