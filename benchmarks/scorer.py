"""The collapsed fastText scorer: scoring against fastText's own predict, loading against its load, and a
whole filter task (load, read, score, write what passes) against datatrove's, at several sizes.

python benchmarks/scorer.py [--megabytes 12] [--sizes 1 10 40] [--repeats 5]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import fasttext
import numpy as np
import pyarrow as pa
import pyarrow.json as pj
import pyarrow.parquet as pq
from measure import COLUMNS, Figures, compare, peer, rate, sample, size_of, timed, write_jsonl
from page import Page

from mashbill.classifiers import FastTextScorer
from mashbill.classifiers.tables import ENDING

MODELS: dict[str, tuple[dict[str, Any], float]] = {
    "2 labels, dim 100, bigrams": ({"dim": 100, "wordNgrams": 2, "bucket": 2_000_000}, 6),
    "2 labels, dim 256, bigrams": ({"dim": 256, "wordNgrams": 2, "bucket": 500_000}, 6),
    "2 labels, dim 100, subwords 3-5": ({"dim": 100, "minn": 3, "maxn": 5, "bucket": 500_000}, 8),
}
LABEL = "__label__1"
PEER_REPEATS = 3
LOAD = """
import json, os, sys, time
import fasttext, pyarrow
from mashbill.classifiers import FastTextScorer
from mashbill.classifiers import fasttext_kernels, fasttext_pairs, fasttext_rows
path, table, repeats = sys.argv[1], sys.argv[2], int(sys.argv[3])
ways = {
    "library": lambda: fasttext.load_model(path),
    "nothing kept": lambda: FastTextScorer.load(path, keep_table=False),
    "kept": lambda: FastTextScorer.load(path),
    "there": lambda: FastTextScorer.load(path),
}
for way in [way for _ in range(repeats) for way in ways]:
    if way == "kept" and os.path.exists(table):
        os.unlink(table)
    if os.fork() == 0:
        cpu, wall = time.process_time(), time.perf_counter()
        ways[way]()
        print(json.dumps({"way": way, "cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}))
        sys.stdout.flush()
        os._exit(0)
    os.wait()
"""


def train(documents: list[dict[str, str]], path: Path, settings: dict[str, Any]) -> Path:
    """A classifier of two halves of the domains: its weights do not matter here, its size does."""
    half = set(sorted({d["domain"] for d in documents})[::2])
    lines = [f"__label__{int(d['domain'] in half)} {' '.join(d['text'].split())}\n" for d in documents]
    path.with_suffix(".txt").write_text("".join(lines))
    examples = str(path.with_suffix(".txt"))
    fasttext.train_supervised(examples, epoch=1, thread=1, verbose=0, **settings).save_model(str(path))
    return path


def table_of(model: Path) -> Path:
    """Where the collapsed table of a model is kept."""
    return model.with_name(model.name + ENDING)


def official(model: Any, lines: list[str]) -> np.ndarray:
    """fastText's own predict, document by document, as its Python binding is used."""
    found = ({label: p for p, label in model.f.predict(line, 2, 0.0, "strict")} for line in lines)
    return np.array([f.get(LABEL, np.nan) for f in found])


def scoring(
    page: Page, models: dict[str, Path], documents: list[dict[str, str]], repeats: int
) -> tuple[float, float]:
    """Scoring of documents in memory by models in memory; MB a CPU second of the first, ours and theirs."""
    texts = pa.array([d["text"] for d in documents], pa.large_string())
    lines = [d["text"].replace("\n", " ") + "\n" for d in documents]
    page.table(COLUMNS)
    differences, rates = [], []
    for what, path in models.items():
        model, scorer = fasttext.load_model(str(path)), FastTextScorer.load(path)
        ours = timed(partial(scorer.score, texts, label=LABEL), repeats)
        theirs = timed(partial(official, model, lines), PEER_REPEATS)
        size = (size_of(documents), len(documents))
        compare(page, what, size, ours=ours, theirs=theirs, target=MODELS[what][1])
        differences.append(
            float(np.nanmax(np.abs(scorer.score(texts, label=LABEL) - official(model, lines))))
        )
        rates.append((rate(size[0], ours)[0], rate(size[0], theirs)[0]))
    page.say(
        f"The largest difference of a probability from fastText's own is {max(differences):.0e}.",
        largest_difference=max(differences),
    )
    return rates[0]


def loading(page: Page, models: dict[str, Path], repeats: int) -> dict[str, Figures]:
    """Seconds of loading each model, in a process of its own each time, imports apart; those of the first."""
    page.say("Loading a model, CPU seconds (spread), each in a process of its own whose imports are done:")
    columns = ["model", "file", "table", "first time, table kept", "first time, nothing kept", "table there"]
    page.table([*columns, "fastText's load_model"])
    first: dict[str, Figures] = {}
    for what, path in models.items():
        table = table_of(path)
        found = loads(path, repeats)
        first = first or found
        sizes = [f"{place.stat().st_size / 1e6:.0f} MB" for place in (path, table)]
        ways = ("kept", "nothing kept", "there", "library")
        page.row([what, *sizes, *(spread(found[way]) for way in ways)])
    return first


def loads(path: Path, repeats: int) -> dict[str, Figures]:
    """Seconds of loading a model in fresh processes, by the way; its file is in the disk's cache."""
    command = [sys.executable, "-c", LOAD, str(path), str(table_of(path)), str(repeats)]
    lines = subprocess.run(command, capture_output=True, check=True, text=True).stdout.splitlines()
    figures = [json.loads(line) for line in lines]
    return {way: [f for f in figures if f["way"] == way] for way in {f["way"] for f in figures}}


def spread(figures: Figures) -> str:
    """Median, least and greatest CPU seconds."""
    seconds = sorted(figure["cpu"] for figure in figures)
    return f"{statistics.median(seconds):.3f} ({seconds[0]:.3f}-{seconds[-1]:.3f})"


def median(figures: Figures) -> float:
    """Median CPU seconds."""
    return statistics.median(figure["cpu"] for figure in figures)


def pays(page: Page, first: dict[str, Figures], rates: tuple[float, float]) -> None:
    """From which size on loading and scoring costs less than fastText's."""
    gain = 1 / rates[1] - 1 / rates[0]
    sizes = {way: (median(first[way]) - median(first["library"])) / gain for way in ("kept", "there")}
    words = {
        way: f"from {max(size, 0):.0f} MB" if size > 0 else "from the first document"
        for way, size in sizes.items()
    }
    page.say(
        f"With the first model the collapse pays for itself {words['kept']} on where there is no table yet, "
        f"{words['there']} on where there is one.",
        pays_first=max(sizes["kept"], 0.0),
        pays_again=max(sizes["there"], 0.0),
    )


def filter_task(scorer: FastTextScorer, source: Path, kept: Path, threshold: float) -> pa.Table:
    """Read, score, write what passes with its score."""
    table = pj.read_json(source, read_options=pj.ReadOptions(use_threads=False, block_size=1 << 28))
    scores = scorer.score(table["text"].combine_chunks().cast(pa.large_string()), label=LABEL)
    passing = table.append_column("score", pa.array(scores)).filter(pa.array(scores >= threshold))
    pq.write_table(passing, kept, compression="zstd")
    return passing


def tasks(page: Page, model: Path, sizes: list[float], repeats: int) -> None:
    """The whole filter task at each size, loads in and apart."""
    page.say(
        "The whole filter task by the first model: load, read jsonl, score, write what passes as parquet "
        "(zstd; id, domain, text, score). Peer: datatrove."
    )
    page.table(COLUMNS)
    alike = []
    for megabytes in sizes:
        documents = sample(megabytes)
        size = (size_of(documents), len(documents))
        source, kept = model.with_name("documents.jsonl"), model.with_name("kept.parquet")
        write_jsonl(source, documents)
        scorer = FastTextScorer.load(model)
        scores = scorer.score([d["text"] for d in documents], label=LABEL)
        threshold = float(np.nanmedian(scores))
        theirs, ids = peer("fasttext", documents, PEER_REPEATS, model=str(model), threshold=threshold)
        apart = [{**figure, "cpu": figure["cpu"] - figure["load"]} for figure in theirs]

        def task(source: Path = source, kept: Path = kept, threshold: float = threshold) -> None:
            filter_task(FastTextScorer.load(model), source, kept, threshold)

        there = timed(task, repeats)
        first = timed(task, repeats, table_of(model).unlink)
        steady = timed(partial(filter_task, scorer, source, kept, threshold), repeats)
        target = 15 if megabytes >= 10 else 1
        name = f"{size[0]:.1f} MB"
        compare(page, f"{name}, table there", size, ours=there, theirs=theirs, target=target)
        compare(page, f"{name}, first time", size, ours=first, theirs=theirs, target=1)
        compare(page, f"{name}, loads apart on both sides", size, ours=steady, theirs=apart, target=target)
        mine = pq.read_table(kept, columns=["id"])["id"].to_pylist()
        alike.append(f"{len(mine):,} and {len(ids):,} ({len(set(mine) & set(ids)):,} the same)")
    page.say(f"Documents that passed, ours and datatrove's: {'; '.join(alike)}.")


def main() -> None:
    """Measure every model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=12)
    parser.add_argument("--sizes", type=float, nargs="+", default=[1, 10, 40])
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    documents = sample(arguments.megabytes)
    size = f"{len(documents):,} documents, {size_of(documents):.1f} MB"
    page = Page("scorer", f"fastText scoring, {size}; peer: fastText's C++ predict")
    with tempfile.TemporaryDirectory() as name:
        models = {
            what: train(documents[:4_000], Path(name) / f"model-{i}.bin", settings)
            for i, (what, (settings, _)) in enumerate(MODELS.items())
        }
        rates = scoring(page, models, documents, arguments.repeats)
        pays(page, loading(page, models, arguments.repeats), rates)
        tasks(page, next(iter(models.values())), arguments.sizes, arguments.repeats)
    page.save()


if __name__ == "__main__":
    main()
