"""Curation by single operators: each on another team's files, or on what the one before wrote."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from builders.alone import Lake, lines_of, parquet_of, run_alone, texts
from builders.tokenizers import byte_tokenizer
from mashbill.errors import ConfigError, DataError, MashbillError
from mashbill.tokens import TokenStore

SETTINGS: dict[str, Any] = {"validation_share": 0.1, "max_validation_bytes": 4_000}


@pytest.fixture(params=["disk", "bucket"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    root = request.getfixturevalue("root") if request.param == "bucket" else str(tmp_path / "lake")
    return Lake(root)


@pytest.fixture
def here(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def scratch(tmp_path: Path) -> str:
    return str(tmp_path / "scratch")


def filled(lake: Lake) -> dict[str, list[str]]:
    """Two domains; the second repeats a text of the first, and one is short."""
    bodies = {"web": texts(60, seed=1), "papers": [*texts(40, seed=2), texts(60, seed=1)[0], "short"]}
    lake.put("raw/web.parquet", parquet_of({"body": bodies["web"], "n": range(60)}))
    lake.put("raw/papers.jsonl", lines_of({"body": bodies["papers"], "n": range(42)}))
    return bodies


def test_token_shards_hold_the_texts_as_the_given_tokenizer_says(lake: Lake, tmp_path: Path) -> None:
    bodies = filled(lake)["web"]
    byte_tokenizer().save(str(tmp_path / "tokenizer.json"))
    tokenizer = lake.put("models/tokenizer.json", (tmp_path / "tokenizer.json").read_bytes())
    made = run_alone(
        "tokenize",
        documents=f"{lake.root}/raw/web.parquet",
        text_field="body",
        tokenizer=tokenizer,
        output=f"{lake.root}/shards",
        scratch=scratch(tmp_path),
        **SETTINGS,
    )
    read = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    index = json.loads(lake.read("shards/tokens.json"))
    assert index["sets"].keys() == {"documents"}
    dtype, found = np.dtype(index["dtype"]), []
    for split in ("train", "validation"):
        ids = np.frombuffer(lake.read(f"shards/shards/documents/{split}-00000.bin"), dtype)
        ends = np.flatnonzero(ids == index["end_of_text"])
        found += [part.tolist()[:-1] for part in np.split(ids, ends + 1)[:-1]]
    assert sorted(found) == sorted(read.encode(body).ids for body in bodies)
    assert made.manifest.counts["by_domain"]["documents"]["documents_out"] == 60
    assert TokenStore(made).domains == ("documents",)


def test_operators_follow_one_another_by_what_they_wrote(here: Lake, tmp_path: Path) -> None:
    lake = here
    bodies = filled(lake)
    places = {name: f"{lake.root}/raw/{name}.*" for name in bodies}
    at = {name: f"{lake.root}/{name}" for name in ("in", "rules", "once", "scores", "best", "shards")}
    ingested = run_alone("ingest", documents=places, text_field="body", output=at["in"])
    assert ingested.manifest.counts["documents_out"] == 102
    filtered = run_alone(
        "filter", documents=at["in"], output=at["rules"], apply=["length"], length={"min_characters": 10}
    )
    assert filtered.manifest.counts["documents_out"] == 101
    once = run_alone("deduplicate", documents=at["rules"], output=at["once"], near=False)
    assert once.manifest.counts["removed"] == {"exact": 1}
    scored = run_alone(
        "score",
        documents=at["once"],
        output=at["scores"],
        positives=["papers"],
        dimension=4,
        buckets=1_000,
        sample_documents=60,
    )
    assert scored.manifest.counts["documents_out"] == 100
    best = run_alone("select", documents=at["once"], scores=at["scores"], output=at["best"], keep_share=0.5)
    assert 40 <= best.manifest.counts["documents_out"] <= 60
    shards = run_alone("tokenize", documents=at["best"], output=at["shards"], vocabulary=300, **SETTINGS)
    assert TokenStore(shards).domains == ("papers", "web")
    assert shards.manifest.counts["documents_out"] == best.manifest.counts["documents_out"]
    kept = {row["id"] for name in lake.names("once/documents") for row in lake.table(name)}
    assert {row["id"] for name in lake.names("best/documents") for row in lake.table(name)} <= kept


def test_rules_are_applied_to_files_where_they_lie_and_may_not_repeat_given_sets(
    here: Lake, tmp_path: Path
) -> None:
    bodies = filled(here)
    quiz = here.put("quiz.jsonl", lines_of({"question": [bodies["web"][3]]}))
    made = run_alone(
        "filter",
        documents=f"{here.root}/raw/web.parquet",
        evaluations={"quiz": {"path": quiz, "text_field": "question"}},
        text_field="body",
        output=f"{here.root}/rules",
    )
    assert made.manifest.counts["removed"] == {"passage_of_quiz": 1}
    left = here.table("rules/documents/documents/part-00000.parquet")
    assert [row["text"] for row in left] == [body for body in bodies["web"] if body != bodies["web"][3]]
    once = run_alone(
        "deduplicate",
        documents=f"{here.root}/raw/web.parquet",
        references={"r": {"path": quiz, "text_field": "question"}},
        text_field="body",
        near=False,
        output=f"{here.root}/once",
    )
    assert once.manifest.counts["removed"] == {"exact_of_r": 1}


@pytest.mark.parametrize("form", ["parquet", "csv", "jsonl"])
def test_scores_of_ones_own_are_joined_by_id_in_any_order(form: str, here: Lake, tmp_path: Path) -> None:
    bodies = texts(30)
    here.put("raw.parquet", parquet_of({"text": bodies, "key": [f"k{i}" for i in range(30)]}))
    order = np.random.default_rng(0).permutation(30)
    ids, quality = [f"k{i}" for i in order], [float(i) for i in order]
    content = {
        "parquet": parquet_of({"key": ids, "quality": quality}),
        "jsonl": lines_of({"key": ids, "quality": quality}),
        "csv": ("key,quality\n" + "".join(f"{k},{q}\n" for k, q in zip(ids, quality, strict=True))).encode(),
    }[form]
    given = {
        "documents": f"{here.root}/raw.parquet",
        "id_field": "key",
        "scores": here.put(f"scores.{form}", content),
        "score_field": "quality",
        "output": f"{here.root}/best",
        "method": "threshold",
        "threshold": 19.5,
        "min_documents": 1,
    }
    run_alone("select", **given)
    left = here.table("best/documents/documents/part-00000.parquet")
    assert [row["id"] for row in left] == [f"k{i}" for i in range(20, 30)]
    with pytest.raises(DataError, match="has no column margin, but key, quality; name it as score_field"):
        run_alone("select", **{**given, "score_field": None})
    here.put("scores.parquet", parquet_of({"key": ids[1:], "quality": quality[1:]}))
    with pytest.raises(DataError, match=f"'{ids[0]}' and 0 more of its partition have no score"):
        run_alone("select", **{**given, "scores": f"{here.root}/scores.parquet"})


def test_a_family_of_one_domain_and_what_is_no_result_are_refused(here: Lake) -> None:
    filled(here)
    given = {"documents": f"{here.root}/raw/web.parquet", "text_field": "body"}
    with pytest.raises(ConfigError, match="documents: have one domain"):
        run_alone("bootstrap", **given, output=f"{here.root}/family")
    with pytest.raises(ConfigError, match=r"proxies: .* is no result; give the address that Boot"):
        run_alone("score", **given, proxies=f"{here.root}/raw", output=f"{here.root}/scores")


def test_paths_begin_at_the_root_that_is_given(here: Lake) -> None:
    filled(here)
    where = {"documents": "raw/web.parquet", "output": "kept"}
    made = run_alone("filter", text_field="body", apply=[], root=here.root, **where)
    assert made.address == f"{here.root}/kept"


def test_a_number_that_a_template_gives_as_text_is_that_number(here: Lake) -> None:
    filled(here)
    given = {"documents": f"{here.root}/raw/web.parquet", "text_field": "body", "apply": []}
    asked = [7, "7", "7.0", "7e0", "8"]
    made = [
        run_alone("filter", seed=seed, output=f"{here.root}/{i}", **given) for i, seed in enumerate(asked)
    ]
    same = [one.fingerprint == made[0].fingerprint for one in made]
    assert same == [True, True, True, True, False]


def test_a_result_that_was_moved_is_read_where_it_is_now(here: Lake) -> None:
    filled(here)
    run_alone("ingest", documents=f"{here.root}/raw/web.parquet", text_field="body", output=f"{here.root}/in")
    kept = {"output": f"{here.root}/rules", "apply": ["length"]}
    before = run_alone("filter", documents=f"{here.root}/in", length={"min_characters": 1}, **kept)
    Path(here.root, "in").rename(Path(here.root, "moved"))
    after = run_alone("filter", documents=f"{here.root}/moved", length={"min_characters": 2}, **kept)
    assert before.manifest.counts["documents_out"] == after.manifest.counts["documents_out"] == 60


def test_all_that_will_not_do_is_told_by_the_names_of_arguments(here: Lake) -> None:
    filled(here)
    gone = {name: {"path": f"{here.root}/{name}.jsonl", "text_field": "q"} for name in ("quiz", "exam")}
    with pytest.raises(MashbillError) as told:
        run_alone(
            "filter",
            documents=f"{here.root}/raw/web.parquet",
            text_field="body",
            evaluations=gone,
            output=f"{here.root}/out",
        )
    lines = str(told.value).splitlines()
    assert len(lines) == 2
    for line, name in zip(lines, gone, strict=True):
        assert line.startswith("Task filter: evaluations")
        assert f"{here.root}/{name}.jsonl" in line
