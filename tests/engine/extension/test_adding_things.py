"""Adding a filter, a regressor, a stage, an operator or a storage touches the files that CONTRIBUTING names,
and no other: each is added to a copy of the package, and run there as a user would."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from builders.checkout import REGMIX, ROOT
from builders.corpus import write_jsonl

pytestmark = pytest.mark.slow
PACKAGE = ROOT / "operators" / "mashbill"


@dataclass(frozen=True)
class Copy:
    """A copy of the package that things are added to."""

    source: Path

    @property
    def package(self) -> Path:
        return self.source / "mashbill"

    def insert(self, file: str, before: str, text: str) -> None:
        """Put text before the first place where some other stands."""
        path = self.package / file
        content = path.read_text()
        assert before in content, f"{file} has changed; adapt this test to it"
        path.write_text(content.replace(before, text + before, 1))

    def write(self, file: str, text: str) -> None:
        path = self.package / file
        assert not path.exists()
        path.write_text(text)

    def changed(self) -> set[str]:
        """Files that are new or differ from the package's."""
        files = {path.relative_to(self.package) for path in self.package.rglob("*.py")}
        assert files >= {path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")}
        return {str(file) for file in files if _content(PACKAGE / file) != _content(self.package / file)}

    def run(self, *arguments: str) -> str:
        """What Python answers that imports the copy."""
        environment = {**os.environ, "PYTHONPATH": str(self.source), "AIRFLOW_HOME": str(self.source / "af")}
        environment["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
        done = subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            cwd=self.source,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def shell(self, *arguments: str) -> str:
        """What a command of the copy's shell answers."""
        return self.run("-m", "mashbill.cli.main", *arguments)


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    shutil.copytree(PACKAGE, tmp_path / "source" / "mashbill")
    return Copy(tmp_path / "source")


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str, str], str]:
    """Writes a config with two domains, and tells its path."""
    write_jsonl(tmp_path / "a.jsonl", ["A quiet text of few words.", "LOUD TEXT, ALL OF IT!", "Another one."])
    write_jsonl(tmp_path / "b.jsonl", ["More words, quite other ones.", "The last of them."])

    def write(top: str, sections: str) -> str:
        path = tmp_path / "config.toml"
        domains = ", ".join(f'{{ name = "{d}", sources = [{{ path = "{d}.jsonl" }}] }}' for d in "ab")
        path.write_text(f"{top}\n[corpus]\ndomains = [{domains}]\n{sections}\n")
        return str(path)

    return write


def named(thing: str, **names: str) -> set[str]:
    """The files that CONTRIBUTING says a thing touches, placeholders filled in."""
    rows = re.findall(rf"^\| {thing} \|(.*)\|$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    assert len(rows) == 1, f"CONTRIBUTING does not say what a {thing} touches"
    files = re.findall(r"`([\w/.]+\.py)`", rows[0])
    for placeholder, name in names.items():
        files = [file.replace(placeholder, name) for file in files]
    return set(files)


FILTER = '''"""Documents in capitals."""

import numpy as np
import pyarrow as pa

from mashbill.config.filters import CapitalsFilter
from mashbill.filters.filter import Filter, Verdict


class Capitals(Filter):
    """Documents of too many capitals."""

    name, reasons = "capitals", ("kept", "capitals")

    def __init__(self, settings: CapitalsFilter) -> None:
        self.most = settings.max_share

    def __call__(self, texts: pa.Array, metadata: pa.Array) -> Verdict:
        """Decide on documents."""
        shares = [sum(map(str.isupper, text)) / len(text) for text in texts.to_pylist()]
        return Verdict((np.array(shares) > self.most).astype(np.uint8), None, {})
'''


def test_a_filter_is_its_settings_and_a_file(copy: Copy, config: Callable[[str, str], str]) -> None:
    copy.insert(
        "config/filters.py",
        "class FiltersConfig(",
        'class CapitalsFilter(FilterSection):\n    """Documents in capitals."""\n\n'
        '    max_share: Share = Field(0.5, description="Most capitals.")\n\n\n',
    )
    field = '    capitals: CapitalsFilter = Field(CapitalsFilter(), description="Capitals.")\n'
    copy.insert("config/filters.py", "    length: LengthFilter =", field)
    copy.write("filters/capitals.py", FILTER)
    assert copy.changed() == named("filter", NAME="capitals")
    path = config("", '[filters]\napply = ["length", "capitals"]\n[filters.length]\nmin_characters = 15')
    done = json.loads(copy.shell("run", "filter", "--config", path, "--json"))
    assert done["filter"]["counts"]["removed"] == {"capitals": 1, "too_short": 1}


REGRESSOR = '''"""The mean of what was measured."""

import numpy as np


class Average:
    """Takes every mixture for the mean one."""

    name = "average"

    @staticmethod
    def least_runs(domains: int) -> int:
        """Nineteen, whatever the domains."""
        return 19

    def fit(self, weights: np.ndarray, losses: np.ndarray) -> "Average":
        """Learn the means."""
        self.means = losses.mean(axis=0)
        return self

    def predict(self, weights: np.ndarray) -> np.ndarray:
        """[mixtures, targets] losses."""
        return np.tile(self.means, (len(weights), 1))

    def state(self) -> dict[str, np.ndarray]:
        """The means."""
        return {"means": self.means}

    @classmethod
    def from_state(cls, state: dict[str, np.ndarray]) -> "Average":
        """The means again."""
        made = cls()
        made.means = state["means"]
        return made
'''


def test_a_regressor_is_a_name_and_a_file(copy: Copy, tmp_path: Path) -> None:
    copy.insert("config/search.py", '"ensemble"]', '"average", ')
    copy.write("regression/laws/average.py", REGRESSOR)
    assert copy.changed() == named("regressor", NAME="average")
    given = {}
    for name, kind in (("mixtures", "mixture"), ("losses", "pile_loss")):
        lines = (REGMIX / f"train_{kind}_1m.csv").read_text().splitlines(keepends=True)
        (tmp_path / f"{name}.csv").write_text("".join(lines[:21]))
        given[name] = str(tmp_path / f"{name}.csv")
    files = ["--mixtures", given["mixtures"], "--losses", given["losses"], "--target", "*pile_cc*"]
    model = ["--regressor", "average", "--output", str(tmp_path / "model"), "--json"]
    fitted = json.loads(copy.shell("mixtures", "fit", *files, *model))
    assert (fitted["regressor"], fitted["runs"]) == ("average", 20)
    predictions = tmp_path / "predictions.csv"
    asked = ["--model", str(tmp_path / "model"), "--mixtures", given["mixtures"]]
    copy.shell("mixtures", "predict", *asked, "--output", str(predictions))
    assert len({line.partition(",")[2] for line in predictions.read_text().splitlines()[1:]}) == 1
    assert "average" in copy.shell("mixtures", "fit", "--help")


STAGE_ROW = """    Stage(
        name="census",
        summary="Count what there is.",
        sections=("census",),
        inputs=("ingest",),
        run="mashbill.corpus.census:count",
    ),
"""
STAGE_BODY = '''"""A count of documents."""

import json

from mashbill.artifacts import Counts, StageRun

OUTPUTS = {"census.json": "the count"}


def count(run: StageRun) -> Counts:
    """Count each document as often as the config says."""
    found = run.inputs["ingest"].manifest.counts["documents_out"] * run.config.census.times
    (run.output / "census.json").write_text(json.dumps(found))
    return {"documents": found}
'''
STAGE_SECTION = '''"""Settings of the census."""

from pydantic import Field

from mashbill.config.section import Section


class CensusConfig(Section):
    """How documents are counted."""

    times: int = Field(1, ge=1, description="Times each document counts.")
'''
OPERATOR = '''class {name}({base}):
    """{summary}"""

    stage = "{stage}"


'''
TASKS = """
import json
from airflow.sdk import DAG
from mashbill import operators
from mashbill.provider_info import get_provider_info
with DAG("d") as dag:
    operators.CurationTaskGroup(config="config.toml")
tasks = {t.task_id: type(t).__name__ for t in dag.tasks}
group = [t.task_id for t in dag.task_group.children["curation"].iter_tasks()]
print(json.dumps([tasks, group, operators.__all__, get_provider_info()["operators"][0]["python-modules"]]))
"""


def test_a_stage_is_its_body_its_row_its_section_and_its_operator(
    copy: Copy, config: Callable[[str, str], str]
) -> None:
    copy.write("corpus/census.py", STAGE_BODY)
    copy.insert("stages/table.py", ")\n\n_MIXTURE = (", STAGE_ROW)
    copy.write("config/census.py", STAGE_SECTION)
    copy.insert(
        "config/pipeline.py",
        "from mashbill.config.corpus",
        "from mashbill.config.census import CensusConfig\n",
    )
    field = '    census: CensusConfig = Field(CensusConfig(), description="What is counted.")\n'
    copy.insert("config/pipeline.py", "    tokens: TokensConfig =", field)
    operator = OPERATOR.format(name="TakeCensus", base="StageOperator", summary="Count.", stage="census")
    copy.insert("operators/curation.py", "class SelectDocuments(", operator)
    assert copy.changed() == named("stage", NAME="census", ROOM="corpus", GROUP="curation")
    path = config("", "[census]\ntimes = 3")
    done = json.loads(copy.shell("run", "census", "--config", path, "--json"))
    assert set(done) == {"ingest", "census"}
    assert done["census"]["counts"] == {"documents": 15}
    assert json.loads((Path(done["census"]["address"]) / "census.json").read_text()) == 15
    listed = {stage["name"]: stage for stage in json.loads(copy.shell("stages", "--json"))}
    assert listed["census"]["inputs"] == ["ingest"]
    assert "census" in listed["report"]["inputs"]
    tasks, group, exported, _ = json.loads(copy.run("-c", TASKS).splitlines()[-1])
    assert tasks["census"] == "TakeCensus"
    assert "census" in group
    assert "TakeCensus" in exported


def test_an_operator_is_a_class(copy: Copy) -> None:
    operator = OPERATOR.format(name="IngestNightly", base="IngestDocuments", summary="At night.", stage="")
    copy.insert("operators/curation.py", "class FilterDocuments(", operator)
    assert copy.changed() == named("operator", GROUP="curation")
    tasks, _, exported, modules = json.loads(copy.run("-c", TASKS).splitlines()[-1])
    assert "IngestNightly" in exported
    assert tasks["ingest"] == "IngestDocuments"
    assert "mashbill.operators.curation" in modules


STORAGE = '''"""Storage in a vault: a folder of the scratch folder."""

from pathlib import Path

from mashbill.storage.local import LocalStorage


class VaultStorage(LocalStorage):
    """Objects under ``vault://name``."""

    scheme = "vault"

    def __init__(self, root: str, scratch: Path) -> None:
        super().__init__(str(scratch / "vault" / root.removeprefix("vault://")), scratch)
'''


def test_a_storage_is_a_file(copy: Copy, config: Callable[[str, str], str], tmp_path: Path) -> None:
    copy.write("storage/vault.py", STORAGE)
    assert copy.changed() == named("storage", SCHEME="vault")
    vault = tmp_path / ".mashbill" / "vault"
    (vault / "raw").mkdir(parents=True)
    path = Path(config('artifacts = "vault://lake"', ""))
    (tmp_path / "a.jsonl").rename(vault / "raw" / "a.jsonl")
    path.write_text(path.read_text().replace('"a.jsonl"', '"vault://raw/*.jsonl"'))
    first = json.loads(copy.shell("run", "ingest", "--config", str(path), "--json"))
    assert first["ingest"]["counts"]["documents_out"] == 5
    assert first["ingest"]["address"].startswith(str(vault / "lake"))
    marked = Path(first["ingest"]["address"]) / "manifest.json"
    made = marked.stat().st_mtime_ns
    again = json.loads(copy.shell("run", "ingest", "--config", str(path), "--json"))
    assert (again, marked.stat().st_mtime_ns) == (first, made)
    write_jsonl(vault / "raw" / "more.jsonl", ["One more text."])
    third = json.loads(copy.shell("run", "ingest", "--config", str(path), "--json"))
    assert third["ingest"]["counts"]["documents_out"] == 6
