"""datatrove's blocks, timed in their own environment: ``python datatrove_blocks.py JOB.json`` prints figures
as JSON.

The job names the work, the input (jsonl with id, domain and text), how often to repeat, and where decisions
go. Everything is done once on a few documents before the clock starts: imports are not in the figures.
"""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
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
from datatrove.pipeline.writers import JsonlWriter, ParquetWriter
from datatrove.utils import text as datatrove_text

FILTERS: dict[str, list[Callable[[], Any]]] = {
    "gopher": [GopherRepetitionFilter, GopherQualityFilter],
    "gopher_quality": [GopherQualityFilter],
    "gopher_repetition": [GopherRepetitionFilter],
    "c4": [C4QualityFilter],
    "fineweb": [FineWebQualityFilter],
}


WARM_UP = 200  # documents
ENTERED: dict[str, list[tuple[str, int]]] = {}
"""Id and bytes of every document that entered a stage."""
LOADED: list[float] = []
"""CPU seconds of loading a model."""


class Classifier(FastTextClassifierFilter):
    """datatrove's filter, which says how long its model took to load."""

    @property
    def model(self) -> Any:
        """The model, loaded when it is first asked for."""
        if self._model is None:
            started = time.process_time()
            super().model  # noqa: B018
            LOADED.append(time.process_time() - started)
        return self._model


def main() -> None:
    """Run the job."""
    job = json.loads(Path(sys.argv[1]).read_text())
    if job["work"] in FILTERS:
        figures = filters(job)
    else:
        with tempfile.TemporaryDirectory() as folder:
            lines = Path(job["input"]).read_text().split("\n")[:WARM_UP]
            (Path(folder) / "few.jsonl").write_text("\n".join(lines) + "\n")
            pipeline({**job, "input": f"{folder}/few.jsonl", "threshold": 0.0})
        figures = [pipeline(job) for _ in range(job["repeats"])]
    print("FIGURES", json.dumps(figures))


def filters(job: dict[str, Any]) -> list[dict[str, float]]:
    """A sequence of filters over documents in memory; as in a pipeline, a filter sees what those before it
    kept."""
    rows = [json.loads(line) for line in Path(job["input"]).read_text().split("\n") if line]
    datatrove_text.split_into_words("load the tokenizer")
    figures = []
    for _ in range(job["repeats"]):
        blocks = [make() for make in FILTERS[job["work"]]]
        documents = [Document(text=row["text"], id=row["id"]) for row in rows]
        datatrove_text.split_into_parts.cache_clear()
        decisions = []
        wall, cpu = time.perf_counter(), time.process_time()
        for document in documents:
            reasons = (_reason(block, document) for block in blocks)
            decisions.append(next((reason for reason in reasons if reason != "kept"), "kept"))
        figures.append({"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall})
    Path(job["decisions"]).write_text(json.dumps(decisions))
    return figures


def _reason(block: Any, document: Document) -> str:
    try:
        verdict = block.filter(document)
    except ZeroDivisionError:
        return "failed"
    return "kept" if verdict is True else verdict[1]


def pipeline(job: dict[str, Any]) -> dict[str, Any]:
    """Whole pipelines with files in and out, one task in this process: seconds, those of loading a model, and
    documents and bytes that entered each stage. The ids that entered the last are the decisions."""
    work = Path(tempfile.mkdtemp())
    ENTERED.clear()
    LOADED.clear()
    wall, cpu = time.perf_counter(), time.process_time()
    {"fasttext": fasttext, "minhash": minhash, "whole": whole}[job["work"]](job, work)
    figures = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall, "load": sum(LOADED)}
    entered = {stage: [len(rows), sum(size for _, size in rows)] for stage, rows in ENTERED.items()}
    Path(job["decisions"]).write_text(json.dumps([name for name, _ in ENTERED[list(ENTERED)[-1]]]))
    tokens = sum(path.stat().st_size // 2 for path in work.rglob("*.ds"))
    shutil.rmtree(work)
    return {**figures, "entered": entered, "tokens": tokens}


def entering(stage: str) -> Callable[..., Iterator[Document]]:
    """A step that notes what goes into the next."""

    def note(data: Iterable[Document], rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        del rank, world_size
        rows = ENTERED.setdefault(stage, [])
        for document in data:
            rows.append((document.id, len(document.text.encode())))
            yield document

    return note


def run(steps: list[Any], work: Path, name: str) -> None:
    """One executor, one task, in this process."""
    LocalPipelineExecutor(
        steps, tasks=1, workers=1, logging_dir=str(work / "logs" / name), skip_completed=False
    ).run()


def reader(path: Path) -> JsonlReader:
    """The input, or what a step before has written."""
    return JsonlReader(str(path.parent), glob_pattern=path.name)


def table_writer(work: Path, *columns: str) -> ParquetWriter:
    """Parquet as ours is written: zstd, the given columns, and no index for remote readers."""

    def row(self: ParquetWriter, document: Document) -> dict[str, Any]:
        del self
        everything = {**document.metadata, "id": document.id, "text": document.text}
        everything["score"] = document.metadata.get("__label__1")
        return {column: everything[column] for column in columns}

    return ParquetWriter(
        str(work / "out"),
        compression="zstd",
        adapter=row,
        use_content_defined_chunking=False,
        write_page_index=False,
    )


def classifier(job: dict[str, Any]) -> Classifier:
    """The filter by a model's probability."""
    return Classifier(job["model"], keep_labels=("1", job["threshold"]), newline_replacement=" ")


def fasttext(job: dict[str, Any], work: Path) -> None:
    """Read, score, write what passes with its score."""
    writer = table_writer(work, "id", "domain", "text", "score")
    run([reader(Path(job["input"])), classifier(job), entering("write"), writer], work, "fasttext")


def minhash(job: dict[str, Any], work: Path) -> None:
    """The four steps of MinHash deduplication, and the documents that stay, written."""
    writer = table_writer(work, "id", "domain", "text")
    deduplicate(Path(job["input"]), work, [entering("write"), writer])


def deduplicate(path: Path, work: Path, last: list[Any]) -> None:
    """The four steps of MinHash deduplication."""
    config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
    names = [str(work / name) for name in ("signatures", "buckets", "remove")]
    run([reader(path), entering("deduplicate"), MinhashDedupSignature(names[0], config=config)], work, "1")
    LocalPipelineExecutor(
        [MinhashDedupBuckets(names[0], names[1], config=config)],
        tasks=config.num_buckets,
        workers=1,
        logging_dir=str(work / "logs" / "2"),
    ).run()
    run([MinhashDedupCluster(names[1], names[2], config=config)], work, "3")
    run([reader(path), MinhashDedupFilter(names[2]), *last], work, "4")


def whole(job: dict[str, Any], work: Path) -> None:
    """Filter, deduplicate, score and tokenize, with files between as datatrove's examples have them."""
    steps: list[Any] = [reader(Path(job["input"])), entering("filter")]
    steps += [GopherRepetitionFilter(), GopherQualityFilter()]
    run([*steps, JsonlWriter(str(work / "filtered"), compression=None)], work, "filter")
    tokenizer = DocumentTokenizer(
        str(work / "tokens"),
        tokenizer_name_or_path=job["tokenizer"],
        eos_token=None,
        shuffle_documents=False,
    )
    last = [entering("score"), classifier(job), entering("tokenize"), tokenizer]
    deduplicate(next((work / "filtered").rglob("*.jsonl")), work, last)


if __name__ == "__main__":
    main()
