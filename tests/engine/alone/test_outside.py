"""Documents by reference are those that ingest would have copied, row for row; a changed file is told."""

import gzip
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builders.alone import lines_of, parquet_of
from builders.corpus import corpus_config, run_stages
from mashbill.alone.documents import REFERRED
from mashbill.config import PipelineConfig
from mashbill.corpus.outside import with_documents
from mashbill.documents import DOCUMENTS, REFERENCES, DocumentStore
from mashbill.errors import DataError
from mashbill.stages import StageJob
from mashbill.storage import scratch_of


def corpus(folder: Path) -> PipelineConfig:
    """Large files that are cut, small ones that are put together, ids that come twice, and records that are
    no documents."""
    draw = random.Random(0)
    bodies = [" ".join(draw.choices(("one", "two", "three"), k=60)) for _ in range(900)]
    ids = [f"d{i % 850}" for i in range(900)]
    rows = {"key": ids, "body": bodies, "topic": [f"t{i % 3}" for i in range(900)]}
    (folder / "large.jsonl").write_bytes(lines_of(rows) + b'{"key": "x"}\n')
    pq.write_table(pa.table(rows), folder / "large.parquet", row_group_size=100, compression="none")
    (folder / "small").mkdir()
    for i in range(4):
        part = {name: values[i * 10 : i * 10 + 10] for name, values in rows.items()}
        (folder / "small" / f"{i}.jsonl.gz").write_bytes(gzip.compress(lines_of(part)))
        (folder / "small" / f"{i}.parquet").write_bytes(parquet_of(part))
    fields = 'text_field = "body", id_field = "key", metadata_fields = ["topic"], license = "cc0"'
    made = 'text_field = "body"'
    sets = {"a": f"large.jsonl, {fields}", "b": f"large.parquet, {made}", "c": f"small, {made}"}
    extra = "partition_bytes = 100_000\nmax_rejected_share = 0.5\n"
    return corpus_config(folder, sets, {"r": f"small/1.parquet, {fields}"}, extra)


def test_what_is_read_by_reference_is_what_ingest_writes(tmp_path: Path) -> None:
    config = corpus(tmp_path)
    ingested = run_stages(config, "ingest")["ingest"]
    referred = StageJob(REFERRED, config, {}).run()
    assert not [name for name in referred.names() if name.startswith("documents/")]
    read = DocumentStore.of(with_documents(referred, scratch_of(config)))
    for kind, names in ((DOCUMENTS, config.domain_names), (REFERENCES, config.reference_names)):
        assert read.sets(kind) == tuple(sorted(names))
        for name in names:
            ours = read.read(name, kind=kind)
            assert ours.equals(DocumentStore.of(ingested).read(name, kind=kind)), name
            parts = read.partitions(name, kind=kind)
            assert [part.count() for part in parts] == [len(part.read(["id"])) for part in parts]
            few = [batch for part in parts for batch in part.batches(["id"], 7)]
            assert max(map(len, few)) <= 7
            assert [row for batch in few for row in batch["id"].to_pylist()] == ours["id"].to_pylist()
    assert len(read.partitions("a")) > 1 < len(read.partitions("b"))
    assert referred.manifest.counts == ingested.manifest.counts


def test_a_file_that_was_written_anew_is_told_and_not_read_for_the_old(tmp_path: Path) -> None:
    config = corpus(tmp_path)
    referred = StageJob(REFERRED, config, {}).run()
    read = DocumentStore.of(with_documents(referred, scratch_of(config)))
    (tmp_path / "large.jsonl").write_bytes(lines_of({"key": ["a"], "body": ["another text"]}))
    with pytest.raises(DataError, match=r"documents where .* were counted; rerun once nothing writes to it"):
        read.read("a")
    assert StageJob(REFERRED, config, {}).fingerprint != referred.fingerprint
