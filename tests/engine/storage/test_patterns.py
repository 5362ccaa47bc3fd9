"""One set of rules for a path, a folder and a glob, on a disk and in a bucket."""

import os
from pathlib import Path

import boto3
import pytest

from mashbill.errors import RunError
from mashbill.storage import LEADS_NOWHERE, Pattern, StoredFile, open_storage
from mashbill.storage.patterns import in_order

KEYS = (
    "a [v2]/x.jsonl", "a v/x.jsonl", "a.jsonl", "ab.jsonl", "deep/er/a.jsonl", "deep/a.jsonl", "deep/b.txt",
    "deep.jsonl/part-0", "x[1].jsonl", "x1.jsonl", ".git/a.jsonl", "_tmp/0/a.jsonl", "deep/_SUCCESS",
    "deep/.b.jsonl", "deep/_old/a.jsonl", "hive/lang=en/0.parquet", "hive/lang=fr/0.parquet",
    "sub/b [1]/c.txt", "sub/b 1/c.txt",
)  # fmt: skip
TABLE = {
    "a.jsonl": ["a.jsonl"],
    "a [v2]/x.jsonl": ["a [v2]/x.jsonl"],
    "a [v2]": ["a [v2]/x.jsonl"],
    "a [v2]/*.jsonl": ["a [v2]/x.jsonl"],
    "* [[]v2]/x.jsonl": ["a [v2]/x.jsonl"],
    "a [vw]/x.jsonl": ["a v/x.jsonl"],
    "a?[wx]*/x.jsonl": [],
    "x[1].jsonl": ["x[1].jsonl"],
    "x[12].jsonl": ["x1.jsonl"],
    "?.jsonl": ["a.jsonl"],
    "*.jsonl": ["a.jsonl", "ab.jsonl", "deep.jsonl/part-0", "x1.jsonl", "x[1].jsonl"],
    "*/a.jsonl": [".git/a.jsonl", "deep/a.jsonl"],
    "*/*/a.jsonl": ["_tmp/0/a.jsonl", "deep/_old/a.jsonl", "deep/er/a.jsonl"],
    "deep/**/a.jsonl": ["deep/_old/a.jsonl", "deep/a.jsonl", "deep/er/a.jsonl"],
    "**/b.txt": ["deep/b.txt"],
    "deep/*/": [
        "deep/.b.jsonl", "deep/_SUCCESS", "deep/_old/a.jsonl", "deep/a.jsonl", "deep/b.txt",
        "deep/er/a.jsonl",
    ],
    "dee": [],
    "hive": ["hive/lang=en/0.parquet", "hive/lang=fr/0.parquet"],
    "hive/": ["hive/lang=en/0.parquet", "hive/lang=fr/0.parquet"],
    "hive/lang=*": ["hive/lang=en/0.parquet", "hive/lang=fr/0.parquet"],
    "hive/lang=e*/*.parquet": ["hive/lang=en/0.parquet"],
    "A.JSONL": [],
    "s*/b [1]/c.txt": ["sub/b 1/c.txt", "sub/b [1]/c.txt"],
    "s*/b [[]1]/c.txt": ["sub/b [1]/c.txt"],
}  # fmt: skip
HIDDEN = {
    "deep": ["deep/.b.jsonl", "deep/_SUCCESS", "deep/_old/a.jsonl"],
    "**/a.jsonl": [".git/a.jsonl", "_tmp/0/a.jsonl", "deep/_old/a.jsonl"],
    ".git": [],
    ".git/*": [],
    "_*/*/a.jsonl": [],
    "deep/.*": [],
    "deep/_old": [],
    "*/_old/*": [],
    "*/_SUCCESS": [],
}


@pytest.mark.parametrize("given", TABLE)
def test_a_pattern_stands_for_the_same_files_on_a_disk_in_a_bucket_and_by_names_alone(
    given: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    pattern = Pattern.among(given, KEYS)
    assert sorted(filter(pattern.takes, KEYS)) == TABLE[given]
    for key in KEYS:
        (tmp_path / "root" / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / key).write_text("x")
    disk = [file.key for file in open_storage(str(tmp_path / "root"), tmp_path).match(given)]
    assert sorted(disk) == TABLE[given]
    root: str = request.getfixturevalue("root")
    bucket, _, prefix = root.removeprefix("s3://").partition("/")
    for key in (*KEYS, "hive/", "hive/lang=en/"):
        boto3.client("s3").put_object(Bucket=bucket, Key=f"{prefix}/{key}", Body=b"x")
    assert [file.key for file in open_storage(root, tmp_path).match(given)] == disk, "in the same order"


@pytest.mark.parametrize("given", HIDDEN)
def test_what_is_not_spelt_out_is_hidden_by_a_dot_or_an_underscore(given: str) -> None:
    pattern = Pattern.among(given, KEYS)
    assert sorted(key for key in KEYS if pattern.takes(key) and pattern.hides(key)) == HIDDEN[given]


@pytest.mark.parametrize(
    "given, key, name",
    [
        ("raw", "raw/en/a.jsonl", "en/a.jsonl"),
        ("raw/", "raw/en/a.jsonl", "en/a.jsonl"),
        ("raw/*/a.jsonl", "raw/en/a.jsonl", "en/a.jsonl"),
        ("raw/**", "raw/en/a.jsonl", "en/a.jsonl"),
        ("raw/en/a.jsonl", "raw/en/a.jsonl", "a.jsonl"),
        ("", "raw/en/a.jsonl", "raw/en/a.jsonl"),
        ("*", "raw/en/a.jsonl", "raw/en/a.jsonl"),
        ("raw [1]/*", "raw [1]/a.jsonl", "a.jsonl"),
    ],
)
def test_a_name_starts_where_the_spelt_part_ends(given: str, key: str, name: str) -> None:
    pattern = Pattern.among(given, [key])
    assert pattern.takes(key)
    assert pattern.name(key) == name


def test_files_come_folder_by_folder() -> None:
    keys = ["a-b/x", "a", "a/x", "a/b/x", "b"]
    files = in_order(StoredFile(key, 1, "1") for key in keys)
    assert [file.key for file in files] == ["a", "a/b/x", "a/x", "a-b/x", "b"]


def test_links_are_followed_without_going_in_circles(tmp_path: Path) -> None:
    (tmp_path / "root" / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.jsonl").write_text("x")
    (tmp_path / "root" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "deep" / "up").symlink_to(tmp_path / "root")
    (tmp_path / "root" / "lost.jsonl").symlink_to(tmp_path / "nowhere")
    found = open_storage(str(tmp_path / "root"), tmp_path).match("")
    assert [file.key for file in found] == ["linked/a.jsonl", "lost.jsonl"]
    assert [file.version == LEADS_NOWHERE for file in found] == [False, True]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_listed_is_told(tmp_path: Path) -> None:
    (tmp_path / "root" / "shut").mkdir(parents=True)
    (tmp_path / "root" / "shut").chmod(0)
    with pytest.raises(RunError, match="shut: cannot be listed"):
        open_storage(str(tmp_path / "root"), tmp_path).match("")


def test_only_folders_on_the_way_are_walked() -> None:
    pattern = Pattern("raw", ("en-*", "*.jsonl"))
    folders = {
        "raw": True,
        "raw/en-1": True,
        "raw/de-1": False,
        "raw/en-1/deep": False,
        "raw/en-1/x.jsonl": True,
    }
    assert {folder: pattern.may_lead_to(folder) for folder in folders} == folders
    assert Pattern("raw", ("**", "x")).may_lead_to("raw/any/where")
