"""``mashbill score``: fastText scores for files of text, without a pipeline."""

from pathlib import Path

from rich.console import Console
from rich.progress import track

from mashbill.config import Source
from mashbill.errors import ConfigError


def score_files(inputs: list[Path], classifier: Path, output: Path, *, label: str, text_field: str) -> None:
    """Write probability and margin of every document, one parquet file an input file, rows in the file's
    order.

    Records that cannot be read are left out and counted.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from mashbill.classifiers.fasttext_scorer import FastTextScorer
    from mashbill.corpus.readers import read_source_file

    names = [path.name for path in inputs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError("INPUT", f"two files are named {twice[0]}", "score them into different folders")
    scorer = FastTextScorer.load(classifier)
    output.mkdir(parents=True, exist_ok=True)
    documents = rejected = 0
    for path in track(inputs, "scoring", console=Console(stderr=True), transient=True):
        tables = []
        for batch, refused, *_ in read_source_file(path, Source(path=str(path), text_field=text_field)):
            rejected += len(refused)
            text = batch["text"]
            tables.append(
                pa.table(
                    {
                        "row": batch["row"],
                        "probability": scorer.score(text, label=label),
                        "margin": scorer.margins(text, label=label),
                    }
                )
            )
        if tables:
            table = pa.concat_tables(tables)
            pq.write_table(table, output / f"{path.name}.parquet", compression="zstd")
            documents += len(table)
    Console().print(
        f"{documents:,} documents scored, {rejected:,} records rejected: {output}", highlight=False
    )
