"""Tables: only what is asked for is read, and a bad value costs its record."""

import csv
import io
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from builders.checkout import ROOT
from builders.readers import read

TEXTS = ["first text", "second text", "third text"]


def parquet(folder: Path, columns: dict[str, Any]) -> Path:
    pq.write_table(pa.table(columns), folder / "it.parquet")
    return folder / "it.parquet"


def metadata(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [json.loads("{" + (row["metadata"] or "") + "}") for row in rows]


@pytest.mark.parametrize(
    "values, kept",
    [
        (pa.array([["a", "b"], ["c"], []]), ['["a", "b"]', '["c"]', "[]"]),
        (pa.array([{"url": "x", "n": 1}] * 3), ['{"url": "x", "n": 1}'] * 3),
        (pa.array([1.5, None, 2]), ["1.5", None, "2"]),
        (pa.array([True, False, None]), ["true", "false", None]),
        (pa.array(["a", 'q"\\\n', "é"]), ["a", 'q"\\\n', "é"]),
        (pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
        (pa.array([b"\x01", b"\xff", None]), ["01", "ff", None]),
        (pa.array([10**12, None, 0], pa.timestamp("ms")), ["2001-09-09 01:46:40.000", None, None]),
    ],
)
def test_metadata_of_any_type_is_text_or_json(tmp_path: Path, values: pa.Array, kept: list[str]) -> None:
    found = read(parquet(tmp_path, {"text": TEXTS, "extra": values}), metadata_fields=("extra",))
    assert found.texts == TEXTS
    got = [one.get("extra") for one in metadata(found.rows)]
    if pa.types.is_timestamp(values.type):
        assert got[0] == kept[0]
    else:
        assert got == kept


def test_one_field_of_metadata_that_some_lack_costs_no_record(tmp_path: Path) -> None:
    found = read(parquet(tmp_path, {"text": TEXTS, "url": ["a", None, None]}), metadata_fields=("url",))
    assert metadata(found.rows) == [{"url": "a"}, {}, {}]


def test_ids_of_any_type_are_text(tmp_path: Path) -> None:
    raw = [uuid.UUID(int=i + 31).bytes for i in range(3)]
    found = read(parquet(tmp_path, {"text": TEXTS, "id": pa.array(raw, pa.binary(16))}), id_field="id")
    assert [row["id"] for row in found.rows] == [one.hex() for one in raw]
    found = read(parquet(tmp_path, {"text": TEXTS, "id": [[1], [2], [3]]}), id_field="id")
    assert [row["id"] for row in found.rows] == ["[1]", "[2]", "[3]"]


def test_nothing_but_text_becomes_a_document(tmp_path: Path) -> None:
    found = read(parquet(tmp_path, {"text": pa.array([b"good", None, b"caf\xe9", None], pa.binary())}))
    assert found.texts == ["good"]
    assert sorted(found.reasons) == ["invalid_utf8", "missing_text", "missing_text"]
    for values in ([1, 2], [[1], [2]], [{"a": 1}] * 2, [None, None], [1.5, 2]):
        found = read(parquet(tmp_path, {"text": values}))
        assert (found.texts, found.reasons) == ([], ["missing_text"] * 2)


def test_text_that_only_claims_to_be_unicode_costs_its_record(tmp_path: Path) -> None:
    claimed = pa.array([b"good", b"\xff\xfe", b"fine"], pa.binary()).view(pa.string())
    found = read(parquet(tmp_path, {"text": claimed}))
    assert found.texts == ["good", "fine"]
    assert [(one.row, one.reason) for one in found.rejected] == [(1, "invalid_utf8")]


def test_a_column_that_is_there_twice_is_named(tmp_path: Path) -> None:
    columns = [pa.array(TEXTS), pa.array(TEXTS)]
    pq.write_table(pa.table(columns, names=["text", "text"]), tmp_path / "it.parquet")
    (rejected,) = read(tmp_path / "it.parquet").rejected
    assert rejected.excerpt == "has the column text twice"


def test_a_column_that_nobody_named_costs_nothing(tmp_path: Path) -> None:
    path = parquet(tmp_path, {"text": TEXTS, "other": ["x" * 1_000] * 3})
    about = pq.ParquetFile(path).metadata.row_group(0).column(1)
    content = bytearray(path.read_bytes())
    start = about.dictionary_page_offset or about.data_page_offset
    content[start : start + about.total_compressed_size] = b"\xff" * about.total_compressed_size
    path.write_bytes(content)
    assert read(path).texts == TEXTS
    rows = [
        ["id", "text", "count"],
        *([str(i), f"text {i}", str(i)] for i in range(9)),
        ["9", "text 9", "many"],
    ]
    (tmp_path / "it.csv").write_text("\n".join(",".join(row) for row in rows))
    assert len(read(tmp_path / "it.csv").texts) == 10


cells = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\ufeff") | st.sampled_from('",;\t\n\r'), min_size=1
).filter(lambda text: text.strip() != "")


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=20),
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
)
@example([("0", "0", "0\r")], ";", "\n", True)
@example([("0", "a; b\n", "\n")], "|", "\r", False)
def test_a_csv_that_a_library_wrote_is_read_as_it_was(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str, str]],
    delimiter: str,
    ending: str,
    with_end: bool,
) -> None:
    sink = io.StringIO(newline="")
    quoting = (
        csv.QUOTE_ALL if any(c in cell for row in rows for cell in row for c in "\r\n") else csv.QUOTE_MINIMAL
    )
    writer = csv.writer(sink, delimiter=delimiter, lineterminator=ending, quoting=quoting)
    writer.writerows([("key", "text", "more"), *rows])
    content = sink.getvalue().encode()
    path = tmp_path_factory.getbasetemp() / "it.csv"
    path.write_bytes(content if with_end else content.removesuffix(ending.encode()))
    found = read(path, id_field="key", metadata_fields=("more",))
    assert not found.rejected
    got = [(row["id"], row["text"]) for row in found.rows]
    assert got == [(key, text) for key, text, _ in rows]


@pytest.mark.parametrize("most, kept", [(512_000_000, 201), (1_000_000, 200)])
def test_a_row_larger_than_a_block_is_a_row_up_to_what_may_be(tmp_path: Path, most: int, kept: int) -> None:
    with (tmp_path / "it.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text"])
        writer.writerows([f"a{i}", f"short text {i}"] for i in range(40))
        writer.writerow(["novel", 'a "long"\nnovel. ' * 1_300_000])
        writer.writerows([f"z{i}", f"text after the novel {i}"] for i in range(160))
    found = read(tmp_path / "it.csv", id_field="id", max_record_bytes=most)
    assert len(found.texts) == kept
    assert found.rows[-1]["id"] == "z159"
    assert found.reasons == ["too_large"] * (201 - kept)


def test_a_quote_left_open_costs_its_line(tmp_path: Path) -> None:
    rows = [
        "id,text",
        *(f"{i},text {i}" for i in range(20)),
        '20,"a quote',
        *(f"{i},t{i}" for i in range(21, 60)),
    ]
    (tmp_path / "it.csv").write_text("\n".join(rows) + "\n")
    found = read(tmp_path / "it.csv", id_field="id")
    assert [row["id"] for row in found.rows] == [str(i) for i in range(60) if i != 20]
    assert [(one.row, one.reason) for one in found.rejected] == [(20, "malformed_csv")]


def test_rows_of_another_number_of_fields_and_of_bad_bytes_cost_themselves(tmp_path: Path) -> None:
    content = b"id,text\n0,good\n1\n2,caf\xe9\n3,a,b\n\n4,fine\n\xff\xfe,\xff\n"
    (tmp_path / "it.csv").write_bytes(content)
    found = read(tmp_path / "it.csv", id_field="id")
    assert [(row["row"], row["id"], row["text"]) for row in found.rows] == [
        (0, "0", "good"),
        (4, "4", "fine"),
    ]
    assert sorted((one.row, one.reason) for one in found.rejected) == [
        (1, "malformed_csv"), (2, "invalid_utf8"), (3, "malformed_csv"), (5, "invalid_utf8"),
    ]  # fmt: skip


def test_a_csv_without_the_column_says_which_it_has(tmp_path: Path) -> None:
    (tmp_path / "it.csv").write_text("id;body\n1;text\n")
    (rejected,) = read(tmp_path / "it.csv").rejected
    assert rejected.excerpt == "has no column text; its columns are id, body"


kinds = st.sampled_from(["string", "large_string", "binary", "large_binary", "string_view", "dictionary"])


@settings(max_examples=120, deadline=None)
@given(st.lists(st.none() | cells, min_size=1, max_size=30), kinds, st.integers(1, 9), st.booleans())
def test_what_is_read_is_kept_or_rejected_whatever_the_type(
    tmp_path_factory: pytest.TempPathFactory, values: list[str | None], kind: str, group: int, stream: bool
) -> None:
    folder = tmp_path_factory.getbasetemp()
    raw = pa.array([v if v is None else v.encode() for v in values], pa.large_binary())
    if kind == "dictionary":
        column = raw.cast(pa.string()).dictionary_encode()
    elif kind == "string_view":
        column = pa.array(values, pa.string_view())
    else:
        column = raw.cast(getattr(pa, kind)())
    table = pa.table({"text": column, "n": list(range(len(values)))})
    new = pa.ipc.new_stream if stream else pa.ipc.new_file
    with pa.OSFile(str(folder / "it.arrow"), "wb") as sink, new(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=group)
    paths = [folder / "it.arrow"]
    if kind != "string_view":
        pq.write_table(table, folder / "it.parquet", row_group_size=group)
        paths.append(folder / "it.parquet")
    for path in paths:
        found = read(path)
        assert found.texts == [value for value in values if value is not None]
        missing = [i for i, value in enumerate(values) if value is None]
        assert [(one.row, one.reason) for one in found.rejected] == [(i, "missing_text") for i in missing]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([0, None, 1], pa.timestamp("s", "Mars/Phobos")),
        pa.array([[10**15], None, [1]], pa.list_(pa.timestamp("s"))),
        pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), pa.array(["a", "b"])),
    ],
    ids=["unknown zone", "year that Python has not", "run ends"],
)
def test_no_value_of_the_metadata_costs_a_text(tmp_path: Path, values: pa.Array) -> None:
    table = pa.table({"text": TEXTS, "extra": values})
    with pa.ipc.new_file(str(tmp_path / "it.arrow"), table.schema) as writer:
        writer.write_table(table)
    found = read(tmp_path / "it.arrow", metadata_fields=("extra",))
    assert (found.texts, found.reasons) == (TEXTS, [])
    assert metadata(found.rows)[2]["extra"]


@pytest.mark.parametrize("plain_footer", [False, True])
def test_an_encrypted_column_is_refused_and_ends_no_process(tmp_path: Path, plain_footer: bool) -> None:
    table = pa.table({"text": TEXTS, "body": TEXTS})
    pq.write_table(table, tmp_path / "plain.parquet")
    code = f"""
import base64, sys
import pyarrow as pa, pyarrow.parquet as pq, pyarrow.parquet.encryption as encryption

class Keys(encryption.KmsClient):
    def __init__(self, _): super().__init__()
    def wrap_key(self, key, _): return base64.b64encode(key)
    def unwrap_key(self, key, _): return base64.b64decode(key)

table = pq.read_table(sys.argv[1])
keys = {{"k": ["text"]}}
how = encryption.EncryptionConfiguration("k", column_keys=keys, plaintext_footer={plain_footer})
made = encryption.CryptoFactory(Keys).file_encryption_properties(encryption.KmsConnectionConfig(), how)
with pq.ParquetWriter(sys.argv[2], table.schema, encryption_properties=made) as writer:
    writer.write_table(table)
from builders.readers import read
from pathlib import Path
found = read(Path(sys.argv[2]))
print(found.texts, found.reasons, "crypt" in found.rejected[0].excerpt)
if {plain_footer}:
    print(read(Path(sys.argv[2]), text_field="body").texts)
"""
    command = [sys.executable, "-c", code, tmp_path / "plain.parquet", tmp_path / "it.parquet"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.splitlines() == ["[] ['unreadable'] True", *([str(TEXTS)] if plain_footer else [])]


@pytest.mark.parametrize(
    "row",
    ['1,"He said \\"hi\\" there"', '1,"abc"def', '1,"never closed', '1,"a quote, \\"so\\", and more"'],
)
def test_a_row_with_something_behind_a_closing_quote_is_refused_alone(tmp_path: Path, row: str) -> None:
    rest = "".join(f'{i},"text {i}"\n' for i in range(2, 9))
    (tmp_path / "it.csv").write_text(f"id,text\n{row}\n{rest}")
    found = read(tmp_path / "it.csv", id_field="id")
    assert [one["id"] for one in found.rows] == [str(i) for i in range(2, 9)]
    assert found.texts == [f"text {i}" for i in range(2, 9)]
    assert [(one.row, one.reason, one.excerpt.strip()) for one in found.rejected] == [
        (0, "malformed_csv", row)
    ]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_header_that_comes_again_is_no_document(tmp_path: Path, mark: str, end: str) -> None:
    rows = ["id,text", "1,a", f"{mark}id,text", "2,b id,text", ""]
    (tmp_path / "it.csv").write_text(end.join(rows), newline="")
    found = read(tmp_path / "it.csv")
    assert (found.texts, found.reasons) == (["a"], ["malformed_csv"] * 2)  # the last has three fields
    assert [one.row for one in found.rejected] == [1, 2]


@pytest.mark.parametrize("before", ["\n\n", "sep=;\n", "\r\n"])
def test_a_header_may_have_blank_lines_or_a_spreadsheets_mark_before_it(tmp_path: Path, before: str) -> None:
    (tmp_path / "it.csv").write_text(f"{before}id;text\n1;a\n", newline="")
    assert read(tmp_path / "it.csv").texts == ["a"]


def test_a_csv_without_the_column_lost_as_many_bytes_as_it_has(tmp_path: Path) -> None:
    (tmp_path / "it.csv").write_text("1,a\n2,b\n")
    (rejected,) = read(tmp_path / "it.csv").rejected
    assert (rejected.reason, rejected.bytes) == ("unreadable", 8)
