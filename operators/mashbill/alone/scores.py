"""Scores of documents, whoever made them: ScoreQuality's as they are, others' joined to the documents by
id."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from mashbill.alone.arguments import sets_of
from mashbill.alone.given import Given, referring, stand_in
from mashbill.artifacts import Artifact, Counts
from mashbill.config import PipelineConfig, Source
from mashbill.corpus.listing import format_of
from mashbill.corpus.outside import with_documents
from mashbill.corpus.sources import SourceFile, source_files
from mashbill.documents import DocumentStore
from mashbill.errors import DataError
from mashbill.quality.scores import SCORES
from mashbill.storage import scratch_of

ID, FIELD = "id", "margin"
READERS = {
    "parquet": pq.read_table,
    "csv": pyarrow.csv.read_csv,
    "jsonl": pyarrow.json.read_json,
}


def scores_of(given: Given, config: PipelineConfig, documents: Artifact) -> Artifact:
    """The scores of documents, in their order.

    Raises:
        DataError: a column is missing, a score is none, or a document has none.
    """
    place = given.get("scores")
    made = given.published(place, config) if isinstance(place, str) else None
    if made is not None and made.names(SCORES.name):
        of = made.manifest.inputs.get("deduplicate", "").rpartition("/")[2]
        if documents.fingerprint.startswith(of) and of:
            return referring(config, "score", made)
        place = f"{made.address}/{SCORES.name}/**/*.parquet"
    files = list(_files(config, place))
    field, id_field = given.get("score_field") or FIELD, given.get("id_field") or ID
    identity = [documents.fingerprint, field, [[f.address, f.bytes, _version(f)] for f in files]]

    def write(folder: Path) -> Counts:
        table = pa.concat_tables(_table(given, file, id_field=id_field, field=field) for file in files)
        return _write_in_order(config, documents, table, folder=folder)

    return stand_in(config, "score", identity, write=write)


def _files(config: PipelineConfig, place: Any) -> Iterator[SourceFile]:
    for number, one in enumerate(sets_of(place, "scores")["scores"]):
        yield from source_files(config, Source(path=one), f"scores[{number}]").files


def _version(file: SourceFile) -> Any:
    if file.copies:
        return [stored.version for stored, _ in file.copies]
    return file.path.stat().st_mtime_ns


def _table(given: Given, file: SourceFile, *, id_field: str, field: str) -> pa.Table:
    """[documents] id and margin of a file."""
    with file.opened() as path:
        reader = READERS.get(format_of(path.name) or "")
        if reader is None:
            mend = "give parquet, CSV or JSON lines"
            raise DataError(f"{given.where('scores')}: {file.address}", "is no table", mend)
        try:
            table = reader(path)
        except (pa.ArrowException, OSError) as error:
            what = f"cannot be read ({' '.join(str(error).split()):.200})"
            raise DataError(f"{given.where('scores')}: {file.address}", what, "write it anew") from error
    names = table.column_names
    for name, argument in ((id_field if id_field in names else ID, "id_field"), (field, "score_field")):
        if name not in names:
            what = f"has no column {name}, but {', '.join(names)}"
            raise DataError(f"{given.where('scores')}: {file.address}", what, f"name it as {argument}")
    ids = table[id_field if id_field in names else ID].cast(pa.string())
    try:
        margins = table[field].cast(pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        where = f"{given.where('scores')}: {file.address}: column {field}"
        raise DataError(where, f"is {table[field].type}, and no number", "name another") from error
    return pa.table({ID: ids, FIELD: margins})


def _write_in_order(config: PipelineConfig, documents: Artifact, scores: pa.Table, *, folder: Path) -> Counts:
    """Write the scores of each partition of documents, whose ids tell which they are."""
    store, read = DocumentStore.into(folder), DocumentStore.of(with_documents(documents, scratch_of(config)))
    ids, count = scores[ID].combine_chunks(), 0
    margins = scores[FIELD].to_numpy()
    for partition in read.partitions(*read.sets()):
        table = partition.read(["id", "domain", "text"])
        places = pc.index_in(table["id"], value_set=ids)
        if places.null_count:
            first = table["id"].filter(pc.is_null(places))[0].as_py()
            what = f"{first!r:.100} and {places.null_count - 1:,} more of its partition have no score"
            raise DataError(f"scores: domain {partition.domain}", what, "score all documents by the same ids")
        found = margins[places.to_numpy()]
        if np.isnan(found).any():
            raise DataError(f"scores: domain {partition.domain}", "has a score that is no number", "mend it")
        sizes = pc.binary_length(table["text"]).cast(pa.int64())
        columns = {"id": table["id"], "domain": table["domain"], "margin": found, "bytes": sizes}
        store.write(pa.table(columns), partition.domain, partition.number, kind=SCORES)
        count += len(table)
    return {"documents_out": count}
