"""Scores for another team's files, where they lie: its own columns, on a disk and in a bucket."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from builders.alone import Lake, classifier, lines_of, parquet_of, run_alone, texts
from builders.corpus import folder_as_artifact
from mashbill.classifiers import FastTextScorer
from mashbill.errors import ConfigError, DataError, MashbillError


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return classifier(tmp_path_factory.mktemp("model"))


@pytest.fixture(params=["disk", "bucket"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    root = request.getfixturevalue("root") if request.param == "bucket" else str(tmp_path / "lake")
    return Lake(root)


def filled(lake: Lake) -> list[str]:
    """Two parquet files whose text is in ``body``; the texts in the order of the files."""
    bodies = texts(40)
    for name, some in (("a", bodies[:25]), ("b", bodies[25:])):
        ids = [f"{name}-{i}" for i in range(len(some))]
        lake.put(f"clean/{name}.parquet", parquet_of({"body": some, "key": ids, "rank": range(len(some))}))
    return bodies


def scored(lake: Lake) -> list[dict[str, object]]:
    """All rows of scores, in the order of the files."""
    return [
        row for name in lake.names("scores/scores/") if name.endswith(".parquet") for row in lake.table(name)
    ]


def test_documents_of_ones_own_columns_are_scored_where_they_lie(
    lake: Lake, model: Path, tmp_path: Path
) -> None:
    bodies = filled(lake)
    edu = lake.put("models/edu.bin", model.read_bytes())
    before = {name: lake.read(name) for name in lake.names()}
    made = run_alone(
        "score",
        documents=f"{lake.root}/clean/*.parquet",
        classifier=edu,
        output=f"{lake.root}/scores",
        text_field="body",
        id_field="key",
        scratch=str(tmp_path / "scratch"),
    )
    assert made.address == f"{lake.root}/scores"
    rows = scored(lake)
    expected = FastTextScorer.load(model).margins(pa.array(bodies, pa.large_string()), label="__label__1")
    assert np.allclose([row["margin"] for row in rows], expected)
    assert [row["id"] for row in rows] == [f"{n}-{i}" for n, c in (("a", 25), ("b", 15)) for i in range(c)]
    assert made.manifest.counts["documents_out"] == 40
    assert {name: lake.read(name) for name in before} == before
    kept = [name for name in lake.names("scores/") if name not in before]
    whole = ["classifier.bin", "manifest.json", "quality.json", "scores/documents/part-00000.parquet"]
    assert kept == [f"scores/{name}" for name in [*whole, "statistics.parquet"]]


def arguments(lake: Lake, model: Path, tmp_path: Path) -> dict[str, Any]:
    """What the operator is given."""
    filled(lake)
    return {
        "documents": f"{lake.root}/clean/*.parquet",
        "classifier": str(model),
        "output": f"{lake.root}/scores",
        "text_field": "body",
        "scratch": str(tmp_path / "scratch"),
    }


def stamps(lake: Lake) -> dict[str, float]:
    """When each file of the result was written."""
    return {p: Path(lake.root, p).stat().st_mtime_ns for p in lake.names("scores/")}


def test_what_is_there_is_not_made_again_and_what_changed_is(model: Path, tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    given = arguments(lake, model, tmp_path)
    first = run_alone("score", **given)
    before = stamps(lake)
    assert run_alone("score", **given).fingerprint == first.fingerprint
    assert stamps(lake) == before
    Path(lake.root, "scores/scores/documents/part-00000.parquet").unlink()
    run_alone("score", **given)
    assert stamps(lake).keys() == before.keys()  # what somebody lost is there again
    lake.put("clean/c.parquet", parquet_of({"body": texts(5, seed=3)}))
    made = run_alone("score", **given)
    assert made.fingerprint != first.fingerprint
    assert len(scored(lake)) == 45
    assert run_alone("score", **{**given, "documents": {"x": f"{lake.root}/clean"}}).names("scores") == [
        "scores/x/part-00000.parquet"
    ]
    assert lake.names("scores/scores/documents") == []  # nothing of an earlier result is left
    work = Path(lake.root, "scores", ".mashbill", "score")
    assert not work.exists() or not list(work.rglob("*.parquet"))


def test_every_kind_of_file_by_domain_and_ids_that_come_twice_are_left_out_and_counted(
    model: Path, tmp_path: Path
) -> None:
    lake = Lake(str(tmp_path / "lake"))
    web, papers = texts(30, seed=1), texts(8, seed=2)
    ids = [f"w{i}" for i in range(29)] + ["w0"]
    packed = gzip.compress(lines_of({"key": ids, "body": web}))
    places = {
        "web": [lake.put("web/one.jsonl.gz", packed)],
        "papers": {"path": lake.put("papers.csv", pandas_csv(papers)), "text_field": "abstract"},
    }
    made = run_alone(
        "score",
        documents=places,
        classifier=str(model),
        output=f"{lake.root}/scores",
        text_field="body",
        id_field="key",
    )
    scorer = FastTextScorer.load(model)
    for domain, bodies in (("web", web[:29]), ("papers", papers)):
        rows = lake.table(f"scores/scores/{domain}/part-00000.parquet")
        expected = scorer.margins(pa.array(bodies, pa.large_string()), label="__label__1")
        assert np.allclose([row["margin"] for row in rows], expected)
        assert [row["bytes"] for row in rows] == [len(body) for body in bodies]
    assert made.manifest.counts["documents_out"] == 37
    (kept,) = Path(lake.root, "scores", ".mashbill", "documents").glob("*/manifest.json")
    assert json.loads(kept.read_text())["counts"]["rejected"] == {"duplicate_id": 1}


def pandas_csv(bodies: list[str]) -> bytes:
    """A table of another shape."""
    return "".join(["key,abstract\n", *(f"p{i},{body}\n" for i, body in enumerate(bodies))]).encode()


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a glob with nothing": (
        {"documents": "{lake}/none/*.parquet"},
        "documents: no file matches {lake}/none/*.parquet; correct the path",
    ),
    "a column that is not there": ({"text_field": "content"}, "missing_text: columns: body, key, rank"),
    "no classifier": ({"classifier": "{lake}/clean/a.parquet"}, "classifier: {lake}/clean/a.parquet"),
    "a classifier that is not there": (
        {"classifier": "gone.bin", "root": "{lake}"},
        "gone.bin does not exist",
    ),
    "another label": ({"positive_label": "__label__9"}, "positive_label: '__label__9' is no label of"),
    "nothing to score by": ({"classifier": None}, "classifier: says nothing to score by"),
    "two ways to score": ({"positives": ["web"]}, "which are different ways to a score"),
    "a name of no set": ({"classifier": None, "positives": ["web"]}, "names 'web', which is neither"),
    "a column of ids that is not there": ({"id_field": "uid"}, "id_field: no record"),
    "an output in a file": ({"output": "{lake}/clean/a.parquet/x"}, "output: "),
    "an output that holds other things": ({"output": "{lake}/clean"}, "output: {lake}/clean holds "),
    "an output of another operator": ({"output": "{lake}/tokens"}, "holds a result of tokenize, and not"),
    "documents of no such kind": ({"documents": "ftp://lake/a"}, "documents"),
    "a number in words": ({"positive_label": 3}, "positive_label: is 3, where text is needed"),
}


def write_manifest(folder: Path, stage: str) -> None:
    """What another operator published, as far as its manifest."""
    folder.mkdir()
    made = folder_as_artifact(stage, folder).manifest
    (folder / "manifest.json").write_text(made.as_text())


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_line_before_work(case: str, model: Path, tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    given = arguments(lake, model, tmp_path)
    write_manifest(Path(lake.root, "tokens"), "tokenize")
    changed, words = BAD[case]
    changed = {k: v.format(lake=lake.root) if isinstance(v, str) else v for k, v in changed.items()}
    with pytest.raises((ConfigError, DataError)) as refused:
        run_alone("score", **{**given, **changed})
    said = str(refused.value)
    assert said.startswith("Task score: ")
    assert words.format(lake=lake.root) in said
    assert "\n" not in said
    assert lake.names("scores/") == []


def test_a_bucket_that_may_not_be_written_is_told_before_work(root: str, model: Path, tmp_path: Path) -> None:
    given = arguments(Lake(str(tmp_path / "lake")), model, tmp_path)
    with pytest.raises(MashbillError) as refused:
        run_alone("score", **{**given, "output": "s3://no-such-bucket-of-ours/scores"})
    assert "no-such-bucket-of-ours" in str(refused.value)
    with pytest.raises(ConfigError, match="whole bucket"):
        run_alone("score", **{**given, "output": root.rpartition("/")[0]})
