"""A DAG's tasks one after the other, each rendered and executed as a worker does, without a server.

python -m builders.tasks_in_order FOLDER MODULE PARAMS
"""

import json
import sys
from typing import Any

from airflow.sdk.definitions._internal.types import is_arg_set

DEFAULT = "return_value"


class Instance:
    """What a task knows of itself and of others' answers.

    Args:
        task_id: of the task; answers: of all tasks, by task and key.
    """

    def __init__(self, task_id: str, answers: dict[tuple[str, str], Any]) -> None:
        self.task_id, self.answers = task_id, answers

    def xcom_push(self, key: str, value: Any) -> None:
        self.answers[self.task_id, key] = json.loads(json.dumps(value))

    def xcom_pull(
        self, task_ids: Any = None, key: str = DEFAULT, default: Any = None, map_indexes: Any = None
    ) -> Any:
        del map_indexes
        return self.answers.get((task_ids, key), default if is_arg_set(default) else None)


def run(dag: Any, params: dict[str, Any]) -> dict[str, Any]:
    """The answers of all tasks, in an order in which none waits."""
    answers: dict[tuple[str, str], Any] = {}
    for task in dag.topological_sort():
        instance = Instance(task.task_id, answers)
        context = {"ti": instance, "params": params, "dag": dag, "task": task, "ds": "2026-11-28"}
        task.render_template_fields(context)
        instance.xcom_push(DEFAULT, task.execute(context))
    return {f"{task}.{key}" if key != DEFAULT else task: value for (task, key), value in answers.items()}


def main() -> None:
    """Run a DAG's tasks, and print their answers."""
    folder, module, params = sys.argv[1:]
    sys.path.insert(0, folder)
    dag = getattr(__import__(module), module)()
    print(json.dumps(run(dag, json.loads(params))))


if __name__ == "__main__":
    main()
