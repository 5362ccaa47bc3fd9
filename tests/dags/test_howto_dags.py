"""The Python of the pages about Airflow is DAGs that parse."""

import json
import re

import pytest

from builders.airflow_code import said
from builders.checkout import DOCS

SNIPPETS = re.findall(r"```python\n(.*?)```", (DOCS / "how-to" / "airflow.md").read_text(), re.DOTALL)
RUN = """
import json, sys
from airflow.sdk import DAG

found = []
for snippet in json.loads(sys.argv[1]):
    names = {}
    exec(snippet, names)
    found.append({name: len(dag.tasks) for name, dag in _dags(names).items()})
print(json.dumps(found))
"""
DAGS = """
import gc
def _dags(names):
    from airflow.sdk.definitions.dag import DAG as Kind
    return {dag.dag_id: dag for dag in gc.get_objects() if isinstance(dag, Kind)}
"""


def test_every_snippet_makes_a_dag(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("howto")
    found = said(DAGS + RUN, json.dumps(SNIPPETS), home=home)
    assert [sorted(dags) for dags in found][-1] == ["code_arrived", "on_gpus", "pretraining", "team"]
    assert found[-1]["pretraining"] > found[-1]["team"] > 30
