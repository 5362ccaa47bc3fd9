"""``mashbill score``: fastText scores for files of text, without a pipeline."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from mashbill.cli.answers import check_output, show, warn
from mashbill.cli.progress import Shown
from mashbill.config import Source
from mashbill.errors import ConfigError, DataError

if TYPE_CHECKING:
    from mashbill.classifiers import FastTextScorer

SHOWN = 3


def score_files(inputs: list[Path], classifier: Path, output: Path, *, label: str, text_field: str) -> None:
    """Write probability and margin of every document, one parquet file an input file, rows in the file's
    order.

    Records that cannot be read are left out and counted; a file without a document is told.

    Raises:
        ConfigError: an input is not there, two have one name, or the classifier or its label is none.
        DataError: no file has a document.
    """
    from mashbill.classifiers.fasttext_scorer import FastTextScorer

    check_output(output, folder=True)
    _check_inputs(inputs)
    scorer = FastTextScorer.load(classifier)
    if label not in scorer.labels:
        raise ConfigError(
            f"--label {label}",
            f"is no label of {classifier}",
            f"choose one of {', '.join(scorer.labels[:10])}",
        )
    output.mkdir(parents=True, exist_ok=True)
    documents, rejected, without = 0, 0, []
    with Shown() as shown:
        work = shown.work("scoring")
        for place, path in enumerate(inputs):
            work(place / len(inputs), str(path))
            scored, reasons = _score_file(path, scorer, output, label=label, text_field=text_field)
            documents, rejected = documents + scored, rejected + reasons.total()
            if not scored:
                told = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common(SHOWN))
                without.append(f"{path}: has no document ({told or 'it is empty'})")
    mend = f"give files whose {text_field} holds text, or name the field with --text-field"
    if not documents:
        where, _, what = without[0].partition(": ")
        raise DataError(where, what, mend)
    warn(*without)
    show(f"{documents:,} documents scored, {rejected:,} records rejected: {output}")


def _check_inputs(inputs: list[Path]) -> None:
    names = [path.name for path in inputs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError("INPUT", f"two files are named {twice[0]}", "score them into different folders")
    for path in inputs:
        if not path.exists():
            raise ConfigError(str(path), "does not exist", "correct the path")


def _score_file(
    path: Path, scorer: "FastTextScorer", output: Path, *, label: str, text_field: str
) -> tuple[int, Counter[str]]:
    """Documents scored of a file, and how many records were rejected for which reason."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from mashbill.corpus.readers import read_source_file

    tables, reasons = [], Counter[str]()
    for batch, refused, *_ in read_source_file(path, Source(path=str(path), text_field=text_field)):
        reasons.update(record.reason for record in refused)
        text = batch["text"]
        columns = {
            "row": batch["row"],
            "probability": scorer.score(text, label=label),
            "margin": scorer.margins(text, label=label),
        }
        tables.append(pa.table(columns))
    scored = sum(map(len, tables))
    if tables:
        pq.write_table(pa.concat_tables(tables), output / f"{path.name}.parquet", compression="zstd")
    return scored, reasons
