"""JSON as people write it: lines, arrays, printed objects, other encodings."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.readers import read

ROWS = [{"id": i, "text": f"text number {i} — ☕"} for i in range(4)]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
TEXTS = [row["text"] for row in ROWS]


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(ROWS, indent=1),
        json.dumps(ROWS),
        "  [\n" + ",\n".join(json.dumps(row) for row in ROWS) + "\n]\n",
        "\n".join(json.dumps(row, indent=2) for row in ROWS),
        LINES,
        "\n\n" + LINES.replace("\n", "\r\n") + "\r\n",
        "\ufeff" + LINES,
    ],
)
def test_an_array_or_printed_objects_hold_the_same_records_as_lines(tmp_path: Path, content: str) -> None:
    (tmp_path / "it.json").write_text(content)
    found = read(tmp_path / "it.json", id_field="id")
    assert [(row["id"], row["text"]) for row in found.rows] == [(str(row["id"]), row["text"]) for row in ROWS]
    assert not found.rejected


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le-bom"]
)
@pytest.mark.parametrize("packed", [False, True])
def test_the_encoding_is_what_the_bytes_say(tmp_path: Path, encoding: str, packed: bool) -> None:
    mark = "\ufeff" if encoding.endswith("-bom") else ""
    content = (mark + LINES).encode(encoding.removesuffix("-bom"))
    (tmp_path / "it.jsonl").write_bytes(gzip.compress(content) if packed else content)
    assert read(tmp_path / "it.jsonl").texts == TEXTS
    (tmp_path / "it.csv").write_bytes(
        (mark + "text\n" + "\n".join(TEXTS)).encode(encoding.removesuffix("-bom"))
    )
    assert read(tmp_path / "it.csv").texts == TEXTS


def test_a_bad_element_of_an_array_costs_itself_and_a_missing_end_is_said(tmp_path: Path) -> None:
    good = json.dumps(ROWS[0], indent=1)
    (tmp_path / "it.json").write_text(f'[{good},\n{{"text": "bad" "x"}},\n{good}')
    found = read(tmp_path / "it.json")
    assert found.texts == [ROWS[0]["text"]] * 2
    assert found.reasons == ["malformed_json"] * 2


def test_a_list_in_a_line_is_no_array_of_records(tmp_path: Path) -> None:
    (tmp_path / "it.jsonl").write_text("[1, 2]\n" + LINES)
    found = read(tmp_path / "it.jsonl")
    assert found.texts == TEXTS
    assert found.reasons == ["missing_text"]


def test_nested_values_are_kept_as_json(tmp_path: Path) -> None:
    extra = {"url": "http://a/", "n": 1, "ok": True, "x": None, "é": [1.5, "q\"'"]}
    (tmp_path / "it.jsonl").write_text(json.dumps({"text": "a", "extra": extra, "flag": False, "no": None}))
    found = read(tmp_path / "it.jsonl", metadata_fields=("extra", "flag", "no"), id_field="flag")
    kept = json.loads("{" + found.rows[0]["metadata"] + "}")
    assert json.loads(kept["extra"]) == extra
    assert (kept["flag"], "no" in kept, found.rows[0]["id"]) == ("false", False, "false")


def test_a_field_that_some_records_lack_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "it.jsonl").write_text('{"text": "0", "url": "a", "n": "1"}\n{"text": "1"}\n{"text": "2"}\n')
    found = read(tmp_path / "it.jsonl", metadata_fields=("url", "n"))
    assert [row["metadata"] for row in found.rows] == ['"url": "a", "n": "1"', None, None]
    found = read(tmp_path / "it.jsonl", metadata_fields=("url",))
    assert [row["metadata"] for row in found.rows] == ['"url": "a"', None, None]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.fixed_dictionaries({}, optional={"text": values, "id": values, "url": values}), max_size=12),
    st.booleans(),
)
def test_every_record_is_kept_as_written_or_rejected(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], array: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "it.json"
    path.write_text(json.dumps(rows, indent=1) if array else "".join(json.dumps(r) + "\n" for r in rows))
    found = read(path, id_field="id", metadata_fields=("url",))
    texts = [r["text"] for r in rows if isinstance(r.get("text"), str)]
    good = [text for text in texts if _is_unicode(text) and text.strip()]
    assert found.texts == good
    assert len(found.rejected) == len(rows) - len(good)


def _is_unicode(text: str) -> bool:
    return text.encode("utf-8", "replace").decode() == text


@pytest.mark.parametrize(
    "content",
    [
        LINES.replace("\n", "\r"),
        LINES.replace("\n", ""),
        LINES.replace("\n", ",\n"),
        "".join(f"\x1e{line}\n" for line in LINES.splitlines()),
        LINES.replace("{", "{ ", 1).replace(", ", ",\n  ").replace("\n{", "\n{ "),
    ],
    ids=[
        "carriage returns",
        "nothing between",
        "commas",
        "record separators",
        "a field beside the brace",
    ],
)
def test_objects_are_told_apart_whatever_is_between_them(tmp_path: Path, content: str) -> None:
    (tmp_path / "it.json").write_text(content, newline="")
    found = read(tmp_path / "it.json", id_field="id")
    assert [(row["id"], row["text"]) for row in found.rows] == [(str(row["id"]), row["text"]) for row in ROWS]
    assert not found.rejected


def test_a_record_without_the_text_shows_the_fields_that_it_has(tmp_path: Path) -> None:
    (tmp_path / "it.jsonl").write_text('{"body": "a"}\n{"text": "good"}\n{"text": null, "n": 1}\n')
    found = read(tmp_path / "it.jsonl")
    assert found.texts == ["good"]
    assert [(one.row, one.excerpt, one.bytes) for one in found.rejected] == [
        (0, '{"body": "a"}', 13),
        (2, '{"text": null, "n": 1}', 22),
    ]
    assert set(found.reasons) == {"missing_text"}


def test_one_element_of_an_array_may_be_too_large(tmp_path: Path) -> None:
    (tmp_path / "it.json").write_text(json.dumps([{"text": "x" * 5_000}, {"text": "short"}]))
    found = read(tmp_path / "it.json", max_record_bytes=1_000)
    assert (found.texts, found.reasons) == (["short"], ["too_large"])


def test_control_characters_of_the_metadata_are_kept(tmp_path: Path) -> None:
    row = {"text": "a", "m": "x\x01\b\x1f y"}
    (tmp_path / "it.jsonl").write_text(json.dumps(row) + "\n")
    (found,) = read(tmp_path / "it.jsonl", metadata_fields=("m", "m")).rows
    assert json.loads("{" + found["metadata"] + "}", object_pairs_hook=list) == [("m", row["m"])]
