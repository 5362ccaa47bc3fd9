"""An artifact is there whole or not at all, is found by what made it, and survives killed attempts."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mashbill.artifacts import ArtifactStore, Manifest, fingerprint
from mashbill.artifacts.statistics import write_statistics
from mashbill.errors import DataError, RunError


def commit(
    store: ArtifactStore, text: str, identity: str = "f" * 32, part: str | None = None, *, year: int = 2026
) -> str:
    output = store.output("ingest", identity, part)
    (output.folder / "data").mkdir()
    (output.folder / "data" / "file.txt").write_text(text)
    manifest = Manifest(
        stage="ingest",
        part=part,
        fingerprint=identity,
        version=1,
        settings={},
        inputs={},
        counts={"n": 1},
        started=f"{year}-01-01T00:00:00+00:00",
        seconds=0.1,
        mashbill="0",
    )
    return store.commit(output, manifest).address


def test_committed_artifact_is_found_and_opened_by_address(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path), tmp_path)
    assert store.find("ingest", "f" * 32) is None
    address = commit(store, "hello")
    found = store.find("ingest", "f" * 32)
    assert found is not None
    assert (found.path / "data" / "file.txt").read_text() == "hello"
    assert store.open(address).manifest.files[0].bytes == 5
    assert not list(tmp_path.glob(".work/output-*"))


def test_second_writer_yields_to_the_first(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path), tmp_path)
    commit(store, "first")
    again = store.open(commit(store, "second"))
    assert (again.path / "data" / "file.txt").read_text() == "first"


def test_unfinished_attempt_is_no_artifact(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path), tmp_path)
    output = store.output("ingest", "f" * 32)
    (output.folder / "half").write_text("written")
    assert store.find("ingest", "f" * 32) is None
    with pytest.raises(DataError, match="has no manifest"):
        store.open(f"{tmp_path}/ingest/{'f' * 16}")


def test_discard_removes_the_whole_with_its_parts(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path), tmp_path)
    commit(store, "whole")
    commit(store, "part", part="a")
    assert store.find("ingest", "f" * 32, "a") is not None
    store.discard("ingest", "f" * 32)
    assert store.find("ingest", "f" * 32) is None
    assert store.find("ingest", "f" * 32, "a") is None


def test_the_newest_result_is_a_whole_one_that_was_begun_last(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path), tmp_path)
    assert store.newest("ingest") is None
    addresses = [commit(store, "x", f"{year}" * 8, year=year) for year in (2025, 2027, 2026)]
    commit(store, "part", "2028" * 8, "a", year=2028)
    found = store.newest("ingest")
    assert found is not None
    assert found.address == addresses[1]
    assert store.manifests("ingest").keys() == set(addresses)


def test_damaged_manifest_is_named(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path), tmp_path)
    address = commit(store, "x")
    Path(address, "manifest.json").write_text(json.dumps({"stage": 1}))
    with pytest.raises(DataError, match="is not a manifest"):
        store.open(address)


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.floats(allow_nan=False))))
def test_fingerprint_depends_on_content_not_on_order(settings: dict[str, object]) -> None:
    backwards = dict(reversed(settings.items()))
    one = fingerprint("a", 1, settings, inputs={"x": "1"})
    assert one == fingerprint("a", 1, backwards, inputs={"x": "1"})
    assert one != fingerprint("a", 2, settings, inputs={"x": "1"})
    assert one != fingerprint("a", 1, settings, inputs={"x": "2"})


def test_statistics_are_a_table_and_must_add_up(tmp_path: Path) -> None:
    row = {"documents_in": 5, "documents_out": 3}
    counts = {**row, "by_domain": {"a": row}, "removed": {"short": 1}, "rejected": {"malformed_json": 1}}
    write_statistics("filter", counts, tmp_path)
    rows = pq.read_table(tmp_path / "statistics.parquet").to_pylist()
    assert {"stage": "filter", "domain": "a", "measure": "documents_out", "reason": "", "value": 3} in rows
    assert {"stage": "filter", "domain": "", "measure": "removed", "reason": "short", "value": 1} in rows
    with pytest.raises(RunError, match="cannot account for 1 documents"):
        write_statistics("filter", {**counts, "removed": {}}, tmp_path)
