"""The collapsed fastText scorer against fastText's own predict, and against datatrove's whole filter task.

python benchmarks/scorer.py [--megabytes 20] [--repeats 5]
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import fasttext
import numpy as np
import pyarrow as pa
import pyarrow.json as pj
from measure import COLUMNS, compare, peer, sample, size_of, timed
from page import Page

from mashbill.classifiers import FastTextScorer

MODELS: dict[str, tuple[dict[str, Any], float]] = {
    "2 labels, dim 100, bigrams": ({"dim": 100, "wordNgrams": 2, "bucket": 2_000_000}, 6),
    "2 labels, dim 256, bigrams": ({"dim": 256, "wordNgrams": 2, "bucket": 500_000}, 6),
    "2 labels, dim 100, subwords 3-5": ({"dim": 100, "minn": 3, "maxn": 5, "bucket": 500_000}, 8),
}


def train(documents: list[dict[str, str]], folder: Path, settings: dict[str, Any]) -> Path:
    """A classifier of two halves of the domains: its weights do not matter here, its size does."""
    half = set(sorted({d["domain"] for d in documents})[::2])
    lines = [f"__label__{int(d['domain'] in half)} {' '.join(d['text'].split())}\n" for d in documents]
    (folder / "train.txt").write_text("".join(lines))
    model = fasttext.train_supervised(str(folder / "train.txt"), epoch=1, thread=1, verbose=0, **settings)
    model.save_model(str(folder / "model.bin"))
    return folder / "model.bin"


def official(model: Any, lines: list[str]) -> np.ndarray:
    """fastText's own predict, document by document, as its Python binding is used."""
    found = ({label: p for p, label in model.f.predict(line, 2, 0.0, "strict")} for line in lines)
    return np.array([f.get("__label__1", np.nan) for f in found])


def main() -> None:
    """Measure every model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    documents = sample(arguments.megabytes)
    size = size_of(documents)
    texts = pa.array([d["text"] for d in documents], pa.large_string())
    lines = [d["text"].replace("\n", " ") + "\n" for d in documents]
    page = Page(
        "scorer",
        f"fastText scoring, {len(documents):,} documents, {size:.1f} MB; peer: fastText's C++ predict",
    )
    page.table(COLUMNS)
    sizes, differences = (size, len(documents)), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for what, (settings, target) in MODELS.items():
            path = train(documents[:4_000], folder, settings)
            model, scorer = fasttext.load_model(str(path)), FastTextScorer.load(path)
            ours = timed(lambda scorer=scorer: scorer.score(texts, label="__label__1"), arguments.repeats)
            theirs = timed(lambda model=model: official(model, lines), 2)
            compare(page, what, sizes, ours=ours, theirs=theirs, target=target)
            difference = np.abs(scorer.score(texts, label="__label__1") - official(model, lines))
            differences.append(float(np.nanmax(difference)))
        path = train(documents[:4_000], folder, MODELS["2 labels, dim 100, bigrams"][0])
        scorer = FastTextScorer.load(path)
        source = folder / "documents.jsonl"
        write_jsonl(source, documents)

        def task() -> None:
            table = pj.read_json(source, read_options=pj.ReadOptions(use_threads=False, block_size=1 << 28))
            keep = (
                scorer.score(table["text"].combine_chunks().cast(pa.large_string()), label="__label__1") > 0.5
            )
            import pyarrow.parquet as pq

            pq.write_table(table.filter(pa.array(keep)), folder / "kept.parquet", compression="zstd")

        theirs, _ = peer("fasttext", documents, 2, model=str(path))
        what = "the whole filter task: read, score, write; peer: datatrove"
        compare(page, what, sizes, ours=timed(task, arguments.repeats), theirs=theirs, target=15)
    page.say(f"The largest difference of a probability from fastText's own is {max(differences):.0e}.")
    page.save()


def write_jsonl(path: Path, documents: list[dict[str, str]]) -> None:
    """One document a line."""
    import json

    path.write_text("".join(json.dumps(d) + "\n" for d in documents))


if __name__ == "__main__":
    main()
