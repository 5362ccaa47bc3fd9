"""Which files a source stands for, what it passes over, and what documents are called by them."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest

from builders.corpus import documents, rejections, run_stages, write_jsonl
from mashbill.artifacts import Artifact
from mashbill.config import PipelineConfig, Source, load_config
from mashbill.corpus.listing import format_of, listed
from mashbill.corpus.names import FileNames
from mashbill.corpus.sources import SourceFile
from mashbill.errors import ConfigError, DataError
from mashbill.storage import Pattern, StoredFile

LENIENT = "max_rejected_share = 1.0"
Put = Callable[[str, bytes], None]


def configured(folder: Path, *sources: str, extra: str = LENIENT) -> PipelineConfig:
    """A config of a domain with these sources, in TOML, beside another."""
    write_jsonl(folder / "other.jsonl", ["a fine document"])
    of_it = ", ".join(f"{{ {source} }}" for source in sources)
    (folder / "config.toml").write_text(
        f'artifacts = "artifacts"\n[corpus]\n{extra}\ndomains = [{{ name = "it", sources = [{of_it}] }}, '
        '{ name = "other", sources = [{ path = "other.jsonl" }] }]'
    )
    return load_config(folder / "config.toml")


def ingest(folder: Path, *sources: str, extra: str = LENIENT) -> Artifact:
    return run_stages(configured(folder, *sources, extra=extra), "ingest")["ingest"]


def by_id(artifact: Artifact) -> dict[str, str]:
    return {d["id"]: d["text"] for d in documents(artifact, "it")}


def rows(*texts: str, **fields: object) -> bytes:
    return "".join(json.dumps({"text": text, **fields}) + "\n" for text in texts).encode()


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What is said of sources; what each domain lost is said beside it."""
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    return [message for message in said if not message.startswith("domain ")]


@pytest.fixture(params=["disk", "s3"])
def raw(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Put]:
    """Where sources are, and what puts a file there."""
    if request.param == "disk":

        def write(name: str, data: bytes) -> None:
            (tmp_path / "raw" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "raw" / name).write_bytes(data)

        return "raw", write
    root: str = request.getfixturevalue("root")
    bucket = root.removeprefix("s3://").split("/")[0]

    def put(name: str, data: bytes) -> None:
        boto3.client("s3").put_object(Bucket=bucket, Key=f"raw/{name}", Body=data)

    return f"s3://{bucket}/raw", put


def test_files_of_one_name_and_content_are_told_apart_by_their_folders(
    raw: tuple[str, Put], tmp_path: Path
) -> None:
    address, put = raw
    for lang in ("en", "fr"):
        put(f"lang={lang}/0.jsonl", rows("the same text", "another"))
        put(f"lang={lang}/text.txt", b"a book")
    ingested = ingest(tmp_path, f'path = "{address}"')
    assert by_id(ingested) == {
        f"it/lang={lang}/{rest}": text
        for lang in ("en", "fr")
        for rest, text in (("0.jsonl#0", "the same text"), ("0.jsonl#1", "another"), ("text.txt#0", "a book"))
    }
    assert ingested.manifest.counts["rejected"] == {}
    base = address if "://" in address else str(tmp_path / "raw")
    assert {d["source"] for d in documents(ingested, "it")} == {
        f"{base}/lang={lang}/{name}" for lang in ("en", "fr") for name in ("0.jsonl", "text.txt")
    }
    again = ingest(tmp_path, f'path = "{address}/*/*"')
    assert by_id(again) == by_id(ingested), "folder and glob call files the same"


def test_what_is_passed_over_is_told_and_counted(
    raw: tuple[str, Put], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    address, put = raw
    for name in ("a.jsonl", "deep/b.ndjson", "c.JSON"):
        put(name, rows(f"text of {name}"))
    for name in (".hidden.jsonl", "_SUCCESS", "_old/x.jsonl", "deep/notes.md", "deep/x.jsonl.tmp"):
        put(name, b"not to be read")
    for given in (address, f"{address}/", f"{address}/**"):
        caplog.clear()
        ingested = ingest(tmp_path, f'path = "{given}"')
        assert sorted(by_id(ingested).values()) == [
            "text of a.jsonl",
            "text of c.JSON",
            "text of deep/b.ndjson",
        ]
        assert ingested.manifest.counts["passed_over"] == {"hidden": 3, "unknown_ending": 2}
        (told,) = warned(caplog)
        assert told == (
            "corpus.domains[0].sources[0].path: passes over 3 hidden (.hidden.jsonl, _SUCCESS, _old/x.jsonl)"
            ", 2 with an ending that names no format (deep/notes.md, deep/x.jsonl.tmp); name a hidden file "
            "itself to read it, or set the source's format to read such files"
        )
    assert by_id(ingest(tmp_path, f'path = "{address}/_old", format = "txt"')) == {
        "it/x.jsonl#0": "not to be read"
    }


def test_a_source_of_which_all_is_passed_over_says_why(raw: tuple[str, Put], tmp_path: Path) -> None:
    address, put = raw
    put("notes.md", b"x")
    put("_SUCCESS", b"")
    with pytest.raises(
        ConfigError,
        match=r"sources\[0\]\.path: .* stands for no file that is read: 1 hidden \(_SUCCESS\), 1 with an "
        r"ending that names no format \(notes\.md\); name a hidden file itself to read it, or set",
    ):
        ingest(tmp_path, f'path = "{address}"')


def test_a_format_that_is_given_is_that_of_every_ending(raw: tuple[str, Put], tmp_path: Path) -> None:
    address, put = raw
    put("app.log", rows("one"))
    put("no-ending", rows("two"))
    put(".hidden", rows("three"))
    assert by_id(ingest(tmp_path, f'path = "{address}", format = "jsonl"')) == {
        "it/app.log#0": "one",
        "it/no-ending#0": "two",
    }


def test_a_name_with_brackets_is_itself(raw: tuple[str, Put], tmp_path: Path) -> None:
    address, put = raw
    put("a [v2]/x.jsonl", rows("in brackets"))
    put("a v/x.jsonl", rows("without"))
    for given in ("a [v2]/x.jsonl", "a [v2]", "a [v2]/*.jsonl"):
        assert by_id(ingest(tmp_path, f'path = "{address}/{given}"')) == {"it/x.jsonl#0": "in brackets"}
    assert by_id(ingest(tmp_path, f'path = "{address}/a [vw]"')) == {"it/a v/x.jsonl#0": "without"}


@pytest.mark.parametrize(
    "name, kind",
    [
        ("a.jsonl", "jsonl"), ("a.JSONL.GZ", "jsonl"), ("a.json.zst", "jsonl"), ("a.jsonl.bz2", "jsonl"),
        ("a.Jsonl.XZ", "jsonl"), ("a.txt.gz", "txt"), ("a.tsv", "csv"), ("a.TSV.gz", "csv"),
        ("a.snappy.parquet", "parquet"), ("a.warc.wet.gz", "warc"), ("a.gz", None), ("jsonl", None),
        (".jsonl", None), ("a.jsonl.tmp", None), ("a", None), ("a.jsonl.gz.part", None), ("x_$folder$", None),
    ],
)  # fmt: skip
def test_an_ending_names_a_format_in_any_case_and_compression(name: str, kind: str | None) -> None:
    assert format_of(name) == kind


def test_tabs_part_the_fields_of_a_tsv(tmp_path: Path) -> None:
    (tmp_path / "it.TSV").write_text("id\ttext\na\tone, with a comma\n")
    assert by_id(ingest(tmp_path, 'path = "it.TSV", id_field = "id"')) == {"a": "one, with a comma"}


def test_saved_datasets_are_found_in_folders(raw: tuple[str, Put], tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    address, put = raw
    saved = {split: Dataset.from_dict({"text": [f"{split} 0", f"{split} 1"]}) for split in ("train", "test")}
    DatasetDict(saved).save_to_disk(str(tmp_path / "saved"))
    for path in (tmp_path / "saved").rglob("*"):
        if path.is_file():
            put(f"sets/one/{path.relative_to(tmp_path / 'saved')}", path.read_bytes())
    put("sets/state.json", rows("a text of a state"))
    texts = ["train 0", "train 1", "test 0", "test 1"]
    one = {f"it/one#{i}": text for i, text in enumerate(texts)}
    assert by_id(ingest(tmp_path, f'path = "{address}/sets/one"')) == one
    assert by_id(ingest(tmp_path, f'path = "{address}/sets/*"')) == one | {
        "it/state.json#0": "a text of a state"
    }
    assert by_id(ingest(tmp_path, f'path = "{address}/sets", format = "datasets"')) == one


def listed_names(kind: str, given: str, *keys: str) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    files = [StoredFile(key, 1, "1") for key in keys]
    found = listed(files, Pattern.among(given, keys), kind)
    return [entry.name for entry in found.entries], dict(found.passed)


def test_what_describes_a_dataset_is_no_text() -> None:
    keys = ("hub/dataset_info.json", "hub/0.arrow")
    assert listed_names("auto", "hub", *keys) == (["0.arrow"], {"about_a_dataset": ("dataset_info.json",)})
    assert listed_names("datasets", "hub", *keys) == (
        [],
        {"no_saved_dataset": ("dataset_info.json", "0.arrow")},
    )
    assert listed_names("auto", "hub/dataset_info.json", "hub/dataset_info.json") == (
        ["dataset_info.json"],
        {},
    )


def test_a_link_that_leads_nowhere_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.jsonl").write_bytes(rows("here"))
    (tmp_path / "raw" / "b.jsonl").symlink_to(tmp_path / "gone")
    assert list(by_id(ingest(tmp_path, 'path = "raw"')).values()) == ["here"]
    assert "1 behind a link that leads nowhere (b.jsonl)" in caplog.text


def names(*read: tuple[str, str] | tuple[str, str, str] | tuple[str, str, str, str]) -> list[str]:
    """What files of (root, name, field, split) are called, one after the other."""
    given, found = FileNames(), []
    for root, name, *rest in read:
        field, split = [*rest, "text", "train"][: len(rest)] + ["text", "train"][len(rest) :]
        file = SourceFile(Path(root, name), name, f"{root}/{name}", root)
        found.append(given.name(file, Source(path=root, text_field=field, split=split)))
    return found


@pytest.mark.parametrize(
    "read, called",
    [
        ([("/d/en", "0"), ("/d/fr", "0")], ["0", "fr/0"]),
        ([("/d/en", "0"), ("/d/fr", "1")], ["0", "fr/1"]),
        ([("/d/1/en", "0"), ("/d/2/en", "0"), ("/d/3/en", "0")], ["0", "en/0", "3/en/0"]),
        ([("/d", "0"), ("/d", "1"), ("/d", "0")], ["0", "1", "0"]),
        ([("/d", "0"), ("/d", "0", "title"), ("/d", "0", "title", "test")], ["0", "0:title", "0:test:title"]),
        ([("/d", "en/0"), ("/d/en", "0")], ["en/0", "en/0"]),
        ([("/d/en", "0"), ("/d", "en/0")], ["0", "0"]),
        ([("/d/1/en", "3/en/0"), ("/d/2/en", "1"), ("/d/3/en", "0")], ["3/en/0", "en/1", "d/3/en/0"]),
        ([("/d/en", "en/0"), ("/d/2/en", "0")], ["en/0", "2/en/0"]),
        ([("s3://a/raw", "0"), ("s3://b/raw", "0"), ("s3://c/raw", "0")], ["0", "raw/0", "c/raw/0"]),
        ([("/raw", "0"), ("s3://raw", "0"), ("/x", "0")], ["0", "raw/0", "x/0"]),
    ],
)
def test_names_tell_roots_apart_by_as_few_folders_as_it_takes(
    read: list[tuple[str, str]], called: list[str]
) -> None:
    assert names(*read) == called
    assert names(*[(f"{root}".replace("/d", "/home/me/d", 1), *rest) for root, *rest in read]) == called


def test_files_and_datasets_that_are_given_themselves_are_told_apart_by_their_folders(
    raw: tuple[str, Put], tmp_path: Path
) -> None:
    from datasets import Dataset

    address, put = raw
    Dataset.from_dict({"text": ["saved"]}).save_to_disk(str(tmp_path / "saved"))
    for folder in "xy":
        put(f"{folder}/a.jsonl", rows(f"in {folder}"))
        for path in (tmp_path / "saved").iterdir():
            put(f"{folder}/saved/{path.name}", path.read_bytes())
    given = [f'path = "{address}/{folder}/{name}"' for name in ("a.jsonl", "saved") for folder in "xy"]
    assert by_id(ingest(tmp_path, *given)) == {
        "it/a.jsonl#0": "in x",
        "it/y/a.jsonl#0": "in y",
        "it/saved#0": "saved",
        "it/y/saved#0": "saved",
    }


def test_ids_do_not_depend_on_the_machine_or_on_other_files(tmp_path: Path) -> None:
    found = []
    for home, others in (("one", ()), ("two/deeper", ("raw/0.jsonl", "raw/en/b.jsonl", "more/0.jsonl"))):
        folder = tmp_path / home
        for name in ("raw/en/a.jsonl", "raw/fr/a.jsonl", "more/a.jsonl", *others):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(rows(f"text of {name}"))
        found.append({text: i for i, text in by_id(ingest(folder, 'path = "raw"', 'path = "more"')).items()})
    alone, beside = found
    assert len(beside) == len(alone) + 3
    assert {text: beside[text] for text in alone} == alone


def test_ids_that_begin_again_are_told_and_mended(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "raw").mkdir()
    for name in "abc":
        lines = [json.dumps({"id": i, "text": f"text {i} of {name}"}) + "\n" for i in range(5)]
        (tmp_path / "raw" / f"{name}.jsonl").write_text("".join(lines))
    plain = 'path = "raw", id_field = "id"'
    assert ingest(tmp_path, plain).manifest.counts["rejected"] == {"duplicate_id": 10}
    assert warned(caplog) == [
        "corpus.domains[0].sources[0]: 10 records are refused (duplicate_id) in b.jsonl, c.jsonl, as another "
        "file has their ids, with other texts; set prefix_ids = true where ids begin again in each file, or "
        "leave id_field out"
    ]
    with pytest.raises(DataError, match=r"duplicate_id 10.*; set prefix_ids = true"):
        ingest(tmp_path, plain, extra="")
    caplog.clear()
    mended = by_id(ingest(tmp_path, f"{plain}, prefix_ids = true", extra=""))
    assert mended == {f"{name}.jsonl#{i}": f"text {i} of {name}" for name in "abc" for i in range(5)}
    assert not warned(caplog)


def test_a_file_that_is_there_twice_is_not_taken_for_ids_that_begin_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a.jsonl", "copy.jsonl"):
        write_jsonl(tmp_path / name, ["one", "two"])
    (tmp_path / "copy.jsonl").write_bytes((tmp_path / "a.jsonl").read_bytes())
    ingested = ingest(tmp_path, 'path = "a.jsonl", id_field = "id"', 'path = "copy.jsonl", id_field = "id"')
    assert by_id(ingested) == {"a-0": "one", "a-1": "two"}
    assert [row["source"] for row in rejections(ingested)] == [str(tmp_path / "copy.jsonl")] * 2
    (told,) = warned(caplog)
    assert "sources[1]: 2 records are refused (duplicate_id) in copy.jsonl, as another file has them" in told
    assert "prefix_ids" not in told


def test_an_id_twice_in_a_file_tells_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "it.jsonl").write_bytes(rows("one", "two", id="x"))
    assert by_id(ingest(tmp_path, 'path = "it.jsonl", id_field = "id"')) == {"x": "one"}
    assert not warned(caplog)


def test_a_prefix_without_ids_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "it.jsonl").write_bytes(rows("one"))
    assert by_id(ingest(tmp_path, 'path = "it.jsonl", prefix_ids = true')) == {"it/it.jsonl#0": "one"}
    assert (
        "sources[0].prefix_ids: has no effect, as no record has an id of its own; give id_field"
        in caplog.text
    )
