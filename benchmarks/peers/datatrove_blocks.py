"""datatrove's blocks, timed in their own environment: ``python datatrove_blocks.py JOB.json`` prints figures
as JSON.

The job names the work, the input (jsonl with id and text), how often to repeat, and where decisions go.
"""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import (
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FastTextClassifierFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.tokens import DocumentTokenizer
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils import text as datatrove_text

FILTERS: dict[str, list[Callable[[], Any]]] = {
    "gopher": [GopherRepetitionFilter, GopherQualityFilter],
    "gopher_quality": [GopherQualityFilter],
    "gopher_repetition": [GopherRepetitionFilter],
    "c4": [C4QualityFilter],
    "fineweb": [FineWebQualityFilter],
}


def main() -> None:
    """Run the job."""
    job = json.loads(Path(sys.argv[1]).read_text())
    figures = filters(job) if job["work"] in FILTERS else [pipeline(job) for _ in range(job["repeats"])]
    print("FIGURES", json.dumps(figures))


def filters(job: dict[str, Any]) -> list[dict[str, float]]:
    """A sequence of filters over documents in memory; each filter sees every document, and the first reason
    counts."""
    rows = [json.loads(line) for line in Path(job["input"]).read_text().split("\n") if line]
    datatrove_text.split_into_words("load the tokenizer")
    figures = []
    for _ in range(job["repeats"]):
        blocks = [make() for make in FILTERS[job["work"]]]
        datatrove_text.split_into_parts.cache_clear()
        decisions = []
        wall, cpu = time.perf_counter(), time.process_time()
        for row in rows:
            document = Document(text=row["text"], id=row["id"])
            decisions.append(
                next(
                    (reason for reason in (_reason(block, document) for block in blocks) if reason != "kept"),
                    "kept",
                )
            )
        figures.append({"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall})
    Path(job["decisions"]).write_text(json.dumps(decisions))
    return figures


def _reason(block: Any, document: Document) -> str:
    try:
        verdict = block.filter(document)
    except ZeroDivisionError:
        return "failed"
    return "kept" if verdict is True else verdict[1]


def pipeline(job: dict[str, Any]) -> dict[str, float]:
    """Whole pipelines with files in and out, one task in this process."""
    work = Path(tempfile.mkdtemp())
    wall, cpu = time.perf_counter(), time.process_time()
    {"fasttext": fasttext, "minhash": minhash, "whole": whole}[job["work"]](job, work)
    figures = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    kept = sum(path.read_text().count("\n") for path in (work / "out").rglob("*.jsonl"))
    shutil.rmtree(work)
    return {**figures, "kept": kept}


def run(steps: list[Any], work: Path, name: str) -> None:
    """One executor, one task, in this process."""
    LocalPipelineExecutor(
        steps, tasks=1, workers=1, logging_dir=str(work / "logs" / name), skip_completed=False
    ).run()


def reader(job: dict[str, Any]) -> JsonlReader:
    """The input."""
    path = Path(job["input"])
    return JsonlReader(str(path.parent), glob_pattern=path.name)


def writer(work: Path) -> JsonlWriter:
    """The output, uncompressed."""
    return JsonlWriter(str(work / "out"), compression=None)


def fasttext(job: dict[str, Any], work: Path) -> None:
    """Read, score, write what passes."""
    run(
        [
            reader(job),
            FastTextClassifierFilter(job["model"], keep_labels=("1", 0.5), newline_replacement=" "),
            writer(work),
        ],
        work,
        "fasttext",
    )


def minhash(job: dict[str, Any], work: Path) -> None:
    """The four steps of MinHash deduplication."""
    config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
    names = [str(work / name) for name in ("signatures", "buckets", "remove")]
    run([reader(job), MinhashDedupSignature(names[0], config=config)], work, "1")
    LocalPipelineExecutor(
        [MinhashDedupBuckets(names[0], names[1], config=config)],
        tasks=config.num_buckets,
        workers=1,
        logging_dir=str(work / "logs" / "2"),
    ).run()
    run([MinhashDedupCluster(names[1], names[2], config=config)], work, "3")
    run([reader(job), MinhashDedupFilter(names[2]), writer(work)], work, "4")


def whole(job: dict[str, Any], work: Path) -> None:
    """Filter, deduplicate, score and tokenize."""
    filtered = work / "filtered"
    run(
        [
            reader(job),
            GopherRepetitionFilter(),
            GopherQualityFilter(),
            JsonlWriter(str(filtered), compression=None),
        ],
        work,
        "filter",
    )
    files = sorted(filtered.rglob("*.jsonl"))
    minhash({**job, "input": str(files[0])}, work)
    kept = sorted((work / "out").rglob("*.jsonl"))
    steps = [
        JsonlReader(str(kept[0].parent), glob_pattern=kept[0].name),
        FastTextClassifierFilter(job["model"], keep_labels=("1", 0.5), newline_replacement=" "),
        DocumentTokenizer(
            str(work / "tokens"),
            tokenizer_name_or_path=job["tokenizer"],
            eos_token=None,
            shuffle_documents=False,
        ),
    ]
    run(steps, work, "tokenize")


if __name__ == "__main__":
    main()
