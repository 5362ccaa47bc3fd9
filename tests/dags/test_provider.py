"""What the provider tells Airflow of itself: by Airflow's own schema, and nothing left out."""

from pathlib import Path
from typing import Any

import pytest

from builders.airflow_code import said
from builders.checkout import ROOT
from mashbill.provider_info import get_provider_info

PROBE = """
import inspect, json, pkgutil
from importlib import import_module
import airflow
import mashbill.operators
from airflow.sdk import BaseOperator, BaseOperatorLink
from airflow.triggers.base import BaseTrigger
from jsonschema import validate
from mashbill.provider_info import get_provider_info

schema = json.load(open(airflow.__path__[0] + "/provider_info.schema.json"))
validate(get_provider_info(), schema)
found = {"operators": set(), "triggers": set(), "links": set()}
kinds = {"operators": BaseOperator, "triggers": BaseTrigger, "links": BaseOperatorLink}
for module in pkgutil.iter_modules(mashbill.operators.__path__):
    name = f"mashbill.operators.{module.name}"
    for value in vars(import_module(name)).values():
        for kind, base in kinds.items():
            if inspect.isclass(value) and issubclass(value, base) and value.__module__ == name:
                found[kind].add(f"{name}.{value.__name__}" if kind == "links" else name)
print(json.dumps({kind: sorted(names) for kind, names in found.items()}))
"""


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What there is; that the description holds to Airflow's schema is seen before."""
    found: dict[str, Any] = said(PROBE, home=tmp_path_factory.mktemp("provider"))
    return found


def test_every_operator_trigger_and_link_is_declared(there: dict[str, Any]) -> None:
    info = get_provider_info()
    for kind in ("operators", "triggers"):
        declared = [name for one in info[kind] for name in one["python-modules"]]
        assert sorted(declared) == there[kind]
    assert sorted(info["extra-links"]) == there["links"]


def test_every_guide_is_there() -> None:
    for integration in get_provider_info()["integrations"]:
        for guide in integration["how-to-guide"]:
            assert (ROOT / guide.lstrip("/")).is_file(), guide


def test_airflow_reads_the_options_and_their_defaults(tmp_path: Path) -> None:
    code = "import json; from airflow.configuration import conf; print(json.dumps([{}]))"
    asked = "conf.getint('mashbill', 'mapped_tasks'), conf.get('mashbill', 'configs')"
    assert said(code.format(asked), home=tmp_path) == [32, ""]
