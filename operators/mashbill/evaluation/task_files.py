"""Task files: questions on this machine or in a store, in the harness' own format, so that no network is
needed.

``NAME.yaml`` says how lm-evaluation-harness makes questions of examples, and lies beside the JSON lines that
hold them. What the harness would trip over while models run is refused here, by file and line.
"""

import difflib
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from mashbill.config.section import Settings
from mashbill.errors import ConfigError, DataError, one_line
from mashbill.storage import sha256_of

SUFFIX = ".yaml"
KINDS = ("multiple_choice", "loglikelihood", "loglikelihood_rolling", "generate_until")
LOCAL = "json"
"""The harness' word for data in JSON lines."""
ID = "id"
SHOWN = 12
Row = dict[str, Any]


@dataclass(frozen=True)
class Examples:
    """One split of a task's data: rows, each a line of a file."""

    path: Path
    rows: list[Row]


@dataclass(frozen=True)
class TaskFile:
    """A task that lies on this machine.

    Attributes:
        name: of the task, and of its file.
        path: of the yaml file.
        settings: what it says, for the harness.
        splits: its examples.
    """

    name: str
    path: Path
    settings: Settings
    splits: Mapping[str, Examples]

    @property
    def kind(self) -> str:
        """What the harness calls such questions."""
        return str(self.settings["output_type"])

    @property
    def examples(self) -> Examples:
        """Those that are asked."""
        return self.splits[self.settings.get("test_split") or self.settings["validation_split"]]

    @cached_property
    def digest(self) -> str:
        """Changes with its settings or its examples."""
        files = [self.path, *sorted(examples.path for examples in self.splits.values())]
        return hashlib.sha256(" ".join(map(sha256_of, files)).encode()).hexdigest()[:16]

    @property
    def metadata(self) -> Settings:
        """What it says of itself: licence and source among it."""
        found = self.settings.get("metadata")
        return found if isinstance(found, dict) else {}

    @property
    def licence(self) -> str:
        """Of its examples, as the file says."""
        return str(self.metadata.get("licence", "not said"))

    def texts(self) -> Iterator[str]:
        """The text of each example: its questions and answers, for decontamination."""
        for row in self.examples.rows:
            yield "\n".join(text for name, value in row.items() if name != ID for text in _texts(value))


def task_names(folder: Path) -> list[str]:
    """Names of the tasks in a folder."""
    return sorted(path.stem for path in folder.glob(f"*{SUFFIX}"))


def read_tasks(folder: Path, names: Sequence[str], where: str) -> list[TaskFile]:
    """The tasks of these names.

    Args:
        folder: of task files.
        names: wanted, each once.
        where: what names them, for the error.
    Raises:
        ConfigError: there is none of a name.
        DataError: a file is none, or an example cannot be asked.
    """
    known = task_names(folder)
    for name in names:
        if name not in known:
            raise ConfigError(where, f"names {name!r}, which is no task of {folder}", nearest(name, known))
    return [read_task(folder / f"{name}{SUFFIX}") for name in names]


def nearest(name: str, known: Collection[str]) -> str:
    """The mend of a name that is none."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}?"
    if not known:
        return "fill the folder with mashbill tasks fetch"
    listed = sorted(known)
    return f"choose one of {', '.join(listed[:SHOWN])}{' and others' if len(listed) > SHOWN else ''}"


def read_task(path: Path) -> TaskFile:
    """One task, with all its examples looked at.

    Raises:
        DataError: the file is none, or an example cannot be asked.
    """
    settings = _settings(path)
    splits = {split: Examples(file, _rows(file)) for split, file in _data_files(path, settings).items()}
    asked = settings.get("test_split") or settings.get("validation_split")
    if asked not in splits:
        what = f"asks examples of split {asked!r}, and has {', '.join(splits)}"
        raise DataError(f"{path}: test_split", what, "name one of them")
    task = TaskFile(path.stem, path, settings, splits)
    for examples in splits.values():
        for line, row in enumerate(examples.rows, 1):
            _check_row(task, row, f"{examples.path}:{line}")
    return task


def files_of(path: Path) -> list[str]:
    """Names of a task's files, relative to their folder; its examples are not read.

    Raises:
        DataError: the task's file is none.
    """
    data = _data_files(path, _settings(path)).values()
    return [path.name, *sorted({file.relative_to(path.parent).as_posix() for file in data})]


def _settings(path: Path) -> dict[str, Any]:
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, RecursionError) as error:
        mend = "correct that line; functions are not run, so write templates"
        raise DataError(str(path), f"is no YAML ({one_line(error)})", mend) from error
    except (OSError, ValueError) as error:
        raise DataError(str(path), f"cannot be read ({one_line(error)})", "copy it again") from error
    if not isinstance(settings, dict):
        raise DataError(
            str(path), "is no task: it holds no settings", "write one setting a line, NAME: VALUE"
        )
    if settings.get("output_type") not in KINDS:
        what = f"is {settings.get('output_type')!r}"
        raise DataError(f"{path}: output_type", what, f"choose one of {', '.join(KINDS)}")
    if settings.get("dataset_path") != LOCAL:
        what = f"is {settings.get('dataset_path')!r}, which is not on this machine"
        mend = f"write {LOCAL}, with dataset_kwargs.data_files; or ask a task of the hub as hub:NAME"
        raise DataError(f"{path}: dataset_path", what, mend)
    for field in ("doc_to_text", "doc_to_target"):
        rolling = settings["output_type"] == "loglikelihood_rolling" and field == "doc_to_text"
        if settings.get(field) in (None, "") and not rolling:
            raise DataError(f"{path}: {field}", "is missing", "name a field of the examples, or a template")
    if settings["output_type"] == "multiple_choice" and not settings.get("doc_to_choice"):
        raise DataError(f"{path}: doc_to_choice", "is missing", "name the field of the choices, or list them")
    return settings


def _data_files(path: Path, settings: Mapping[str, Any]) -> dict[str, Path]:
    """The file of each split, beside the yaml file."""
    where, mend = f"{path}: dataset_kwargs.data_files", "name a file of JSON lines beside it for each split"
    given = (settings.get("dataset_kwargs") or {}).get("data_files")
    files = {"train": given} if isinstance(given, str) else given
    if not isinstance(files, dict) or not files:
        raise DataError(where, f"is {given!r}", mend)
    found = {}
    for split, file in files.items():
        inside = isinstance(file, str) and ".." not in Path(file).parts and not Path(file).is_absolute()
        if not inside or not (path.parent / file).is_file():
            raise DataError(where, f"names {file!r} for {split}, which is no file beside it", mend)
        found[str(split)] = path.parent / file
    return found


def _rows(path: Path) -> list[Row]:
    rows = []
    try:
        lines = path.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(str(path), f"cannot be read ({one_line(error)})", "copy it again") from error
    if not any(line.strip() for line in lines):
        raise DataError(str(path), "has no example", "copy it again, or leave the task out")
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}:{number}", f"is no JSON ({error})", "correct that line") from error
        if not isinstance(row, dict):
            raise DataError(f"{path}:{number}", "is no JSON object", 'write {"field": value, ...}')
        rows.append(row)
    return rows


def _check_row(task: TaskFile, row: Row, where: str) -> None:
    """Refuse an example that cannot be asked, as far as its fields tell without the harness' templates."""
    settings = task.settings
    fields = {field: settings.get(field) for field in ("doc_to_text", "doc_to_target", "doc_to_choice")}
    first = task.examples.rows[0]
    named = {of: name for of, name in fields.items() if isinstance(name, str) and name in first}
    for name in named.values():
        if row.get(name) is None:
            raise DataError(f"{where}: {name}", "is missing", "write it as in the other lines")
    if task.kind == "multiple_choice":
        listed = fields["doc_to_choice"]
        if "doc_to_choice" in named:
            check_choices(row[named["doc_to_choice"]], f"{where}: {named['doc_to_choice']}")
            choices = row[named["doc_to_choice"]]
        elif isinstance(listed, list):
            choices = listed
        else:
            return
        of = "doc_to_text" if isinstance(row.get(str(fields["doc_to_text"])), int) else "doc_to_target"
        if of in named:
            check_gold(row[named[of]], choices, f"{where}: {named[of]}")
        named.pop(of, None)
    for of, name in named.items():
        if of != "doc_to_choice" and (not isinstance(row[name], str) or not row[name]):
            raise DataError(f"{where}: {name}", f"is {row[name]!r:.60}, where text is needed", "write some")


def check_choices(choices: Any, where: str) -> None:
    """Refuse choices of which none could be chosen.

    Raises:
        DataError: they are no list of at least two texts.
    """
    if not isinstance(choices, list) or len(choices) < 2:
        what = "has no choice" if not choices else f"is {choices!r:.60}, which is no list of choices"
        raise DataError(where, what, "give at least two")
    for number, choice in enumerate(choices):
        if not isinstance(choice, str) or not choice:
            raise DataError(f"{where}[{number}]", f"is {choice!r:.60}, where text is needed", "write some")


def check_gold(gold: Any, choices: Sequence[str], where: str) -> None:
    """Refuse a right answer that is none of the choices.

    Raises:
        DataError: it is none.
    """
    for one in gold if isinstance(gold, list) and gold else [gold]:
        inside = isinstance(one, int) and not isinstance(one, bool) and 0 <= one < len(choices)
        if not inside and one not in choices:
            what = f"is {one!r:.60}, and there are {len(choices)} choices"
            raise DataError(where, what, f"give a number from 0 to {len(choices) - 1}")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
