"""The page on running stages elsewhere: its commands do what they say, in its order."""

import re
import shlex
from pathlib import Path
from typing import get_args

import pytest

from builders.checkout import DOCS
from builders.corpus import corpus_config, write_jsonl
from builders.shell import mashbill
from mashbill.config.launch import Backend

PAGE = (DOCS / "how-to" / "launch.md").read_text()
COMMANDS = re.findall(r"^    mashbill (.*)$", PAGE, re.MULTILINE)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the page supposes: a config whose first stage runs elsewhere."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in "abr":
        write_jsonl(tmp_path / f"{name}.jsonl", [f"The number {i} in {name}." for i in range(50)])
    sets = {"a": "a.jsonl", "b": "b.jsonl"}
    corpus_config(tmp_path, sets, {"r": "r.jsonl"}, extra="[launch.ingest]\n")
    (tmp_path / "config.toml").rename(tmp_path / "my.toml")
    return tmp_path


def test_its_commands_do_what_they_say(home: Path) -> None:
    assert len(COMMANDS) == 10
    shown = []
    for command in COMMANDS:
        names = re.findall(r"job +(\S+) on local", "".join(shown))
        runs = sorted((home / "artifacts" / "runs").glob("*.json"))
        given = {"NAME": "".join(names[:1]), "RUN": "".join(map(str, runs[:1]))}
        given["my.toml"] = str(home / "my.toml")
        ended = mashbill(*(given.get(word, word) for word in shlex.split(command)))
        assert ended.returncode == 0, (command, ended.stderr)
        shown.append(ended.stdout + ended.stderr)
    checked, submitted, listed, ran, everything, followed, said, cancelled, forgotten, made = shown
    assert "launch.ingest: local will do" in checked
    (name,) = set(re.findall(r"ingest-whole-[0-9a-f]{8}-1", submitted))
    assert f"to wait for it: mashbill jobs follow {name}" in submitted
    assert name in listed or "no job is under way" in listed
    assert "documents_in " in ran or "reused" in ran
    assert '"phase": "succeeded"' in everything
    assert followed.startswith(f"{name}: succeeded\n")
    assert "starting" in said
    assert cancelled == f"{name}: ended\n"
    assert forgotten == f"{name}: forgotten\n"
    assert made.strip().startswith(str(home / "artifacts" / "ingest"))


def test_it_has_every_backend() -> None:
    told = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`[^|]*)\|", PAGE, re.MULTILINE)))
    assert sorted(told) == sorted(get_args(Backend))
