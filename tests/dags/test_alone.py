"""Operators alone in another team's DAG: what is refused when it is parsed, and that its tasks run."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.alone import Lake, classifier, lines_of, parquet_of, texts
from builders.checkout import ROOT, TESTS
from builders.tokenizers import byte_tokenizer

EXAMPLES = ROOT / "examples" / "dags"
HEAVY = ("torch", "pandas", "numpy", "pyarrow", "numba", "lightgbm", "transformers")
DOCSTRINGS = """
import inspect, json, re, sys, textwrap
from airflow.sdk import DAG
from mashbill import operators

made = {{}}
for name in operators.__all__:
    operator = getattr(operators, name)
    found = re.search(r"Example:\\n((?:    .*\\n)+)", (operator.__doc__ or "") + "\\n")
    if found is None:
        continue
    with DAG(name) as dag:
        exec(textwrap.dedent(found.group(1)), vars(operators).copy())
    (task,) = dag.tasks
    described = re.findall(r"^    (\\w+): ", operator.__doc__.partition("Args:")[2], re.M)
    signature = list(inspect.signature(operator.__init__).parameters)
    made[name] = [task.task_id, sorted(task.arguments), described, signature]
print(json.dumps([made, [m for m in {heavy!r} if m in sys.modules]]))
"""
FORMS = """
import json, sys
from airflow.sdk import DAG
from mashbill import operators

answers = []
for name, arguments in json.loads(sys.argv[1]):
    with DAG("one"):
        try:
            getattr(operators, name)(task_id="one", **arguments)
            answers.append("")
        except Exception as error:
            answers.append(f"{type(error).__name__}: {error}")
print(json.dumps(answers))
"""
MAPPED = """
import json
from airflow.sdk import DAG
from mashbill.operators import ScoreQuality

with DAG("mapped", default_args={"classifier": "edu.bin", "retries": 2}) as dag:
    one = ScoreQuality(task_id="one", documents="a", output="b")
    many = ScoreQuality.partial(task_id="many", classifier="edu.bin", text_field="body").expand_kwargs(
        [{"documents": "a", "output": "x"}, {"documents": "b", "output": "y"}]
    )
    after = ScoreQuality(task_id="after", documents={"web": one.output}, output="{{ ds }}")
unmapped = many.unmap({"documents": "a", "output": "x"})
print(json.dumps([one.arguments, one.retries, unmapped.arguments, sorted(after.upstream_task_ids)]))
"""
PARTS = """
import json, sys
from mashbill.operators import ListParts, RunPart, SweepProxies
from builders.tasks_in_order import Instance

arguments, answers = json.loads(sys.argv[1]), {}
named = {"stage": "sweep", "arguments": arguments}
names = ListParts(task_id="parts", **named).execute({})
made = [RunPart(task_id="part", part=name, **named).execute({}) for name in names]
address = SweepProxies(task_id="sweep", **arguments).execute({"ti": Instance("sweep", answers)})
print(json.dumps([names, len(made), address, ListParts(task_id="again", **named).execute({})]))
"""


def said(code: list[str], *arguments: str, home: Path) -> Any:
    """What a process with Airflow prints last, as JSON."""
    around = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, *code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=around)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_every_example_of_a_docstring_makes_a_task_and_nothing_heavy_is_imported(tmp_path: Path) -> None:
    made, heavy = said(["-c", DOCSTRINGS.format(heavy=HEAVY)], home=tmp_path)
    assert heavy == []
    assert len(made) == 22
    for name, (task, arguments, described, signature) in made.items():
        assert task
        assert arguments
        assert set(arguments) <= set(described), name
        assert set(described) <= set(signature), name


WHOLE = {"documents": "a", "output": "b", "classifier": "c"}
REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "nothing": ("ScoreQuality", {}, "documents: is required and missing; give it, or a config"),
    "no output": ("ScoreQuality", {"documents": "a"}, "output: is required and missing"),
    "both forms": ("ScoreQuality", {**WHOLE, "config": "c.toml"}, "is given beside config"),
    "overrides": ("ScoreQuality", {**WHOLE, "overrides": {"seed": 1}}, "overrides: goes with a config"),
    "inputs": ("ScoreQuality", {**WHOLE, "inputs": {"ingest": "x"}}, "inputs: goes with a config"),
    "a misspelt name": ("ScoreQuality", {**WHOLE, "clasifier": "d"}, "did you mean classifier?"),
    "a bound": ("ScoreQuality", {**WHOLE, "extreme_share": 0.7}, "extreme_share: is 0.7, and must be less"),
    "two ways": ("ScoreQuality", {**WHOLE, "positives": ["x"]}, "which are different ways to a score"),
    "a choice": ("SelectDocuments", {**WHOLE, "method": "best"}, "is no argument"),
    "a choice of select": (
        "SelectDocuments",
        {"documents": "a", "scores": "s", "output": "o", "method": "best"},
        "method: is 'best'; choose 'share', 'threshold' or 'temperature'",
    ),
    "a bound beside a template": (
        "ScoreQuality",
        {**WHOLE, "documents": "{{ x }}", "seed": -1},
        "seed: is -1, and must be greater than or equal to 0",
    ),
    "a model of no such name": (
        "TrainModel",
        {"tokens": "t", "mixture": "m", "output": "o", "model": "llama"},
        "model.preset: is 'llama'",
    ),
    "a backend of no such name": (
        "TrainModel",
        {"tokens": "t", "mixture": "m", "output": "o", "launch": {"backend": "slurm"}},
        "launch.backend: is 'slurm'",
    ),
    "a filter of no such name": (
        "FilterDocuments",
        {"documents": "a", "output": "o", "apply": ["gofer"]},
        "apply: names 'gofer', which is no filter",
    ),
    "a report of nothing": ("WriteReport", {}, "results: is required and missing; give it, or a config"),
}
TAKEN = {
    "a template where a number is": ("SelectDocuments", {"keep_share": "{{ params.share }}"}),
    "templates of a section that hangs together": (
        "ScoreQuality",
        {"ensemble": ["b"], "classifier": "{{ c }}"},
    ),
    "a template within": ("ChooseMixture", {"target": {"web": "{{ params.web }}"}}),
}


def test_what_is_wrong_in_a_dags_file_is_told_when_it_is_parsed(tmp_path: Path) -> None:
    asked = [[name, arguments] for name, arguments, _ in REFUSED.values()]
    answers = said(["-c", FORMS], json.dumps(asked), home=tmp_path)
    for case, answer, (name, _, words) in zip(REFUSED, answers, REFUSED.values(), strict=True):
        assert answer.startswith(f"ConfigError: {name}"), (case, answer)
        assert words in answer, (case, answer)
        assert "\n" not in answer, case


def test_what_a_template_gives_is_not_judged_before(tmp_path: Path) -> None:
    needed = {
        "ScoreQuality": {"documents": "a", "output": "o"},
        "SelectDocuments": {"documents": "a", "scores": "s", "output": "o"},
        "ChooseMixture": {"mixtures": "m", "losses": "l", "available": "a", "output": "o"},
    }
    asked = [[name, {**needed[name], **arguments}] for name, arguments in TAKEN.values()]
    assert said(["-c", FORMS], json.dumps(asked), home=tmp_path) == [""] * len(asked)


def test_arguments_are_mapped_over_and_taken_from_defaults(tmp_path: Path) -> None:
    one, retries, unmapped, upstream = said(["-c", MAPPED], home=tmp_path)
    assert one == {"documents": "a", "output": "b", "classifier": "edu.bin"}
    assert retries == 2
    assert unmapped == {"documents": "a", "output": "x", "classifier": "edu.bin", "text_field": "body"}
    assert upstream == ["one"]


def scored_lake(folder: Path) -> dict[str, str]:
    """What the first example finds, as its params."""
    lake = Lake(str(folder / "lake"))
    lake.put("clean/a.parquet", parquet_of({"body": texts(40)}))
    return {"lake": lake.root, "classifier": str(classifier(folder))}


def test_another_teams_files_are_scored_in_the_middle_of_their_own_tasks(tmp_path: Path) -> None:
    params = json.dumps(scored_lake(tmp_path))
    code = ["-m", "builders.tasks_in_order", str(EXAMPLES), "quality_scores"]
    answers = said(code, params, home=tmp_path)
    assert answers["score"] == f"{tmp_path}/lake/scores"
    assert answers["score.counts"]["documents_out"] == 40
    assert answers["good"] == 20  # every other text is
    assert said(code, params, home=tmp_path) == answers


@pytest.mark.airflow
def test_airflow_itself_runs_another_teams_dag(tmp_path: Path) -> None:
    params = scored_lake(tmp_path)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import json, quality_scores as q;"
        "run = q.quality_scores().test(run_conf=json.loads(sys.argv[2]));"
        "good = run.get_task_instance('good').xcom_pull(task_ids='good');"
        "print(json.dumps([run.state.value, good]))"
    )
    home = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    airflow = Path(sys.executable).parent / "airflow"
    folder = tmp_path / "dags"  # of files that Airflow knows
    folder.mkdir()
    shutil.copy(EXAMPLES / "quality_scores.py", folder)
    subprocess.run([airflow, "db", "migrate"], check=True, capture_output=True, env=home)
    assert said(["-c", code], str(folder), json.dumps(params), home=tmp_path) == ["success", 20]


@pytest.mark.slow
def test_another_team_goes_from_files_and_tables_to_a_model(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    for seed, name in enumerate(("web", "papers")):
        lake.put(f"{name}/one.jsonl", lines_of({"text": texts(60, seed=seed)}))
    byte_tokenizer().save(str(tmp_path / "lake" / "tokenizer.json"))
    weights = np.random.default_rng(0).dirichlet(np.ones(2), 16)
    for name, values in (("m", weights), ("l", 3 - np.sqrt(weights))):
        rows = [f"{i},{a:.6f},{b:.6f}" for i, (a, b) in enumerate(values)]
        lake.put(f"{name}.csv", "\n".join(["index,web,papers", *rows, ""]).encode())
    shape = {"layers": 1, "width": 32, "heads": 2, "kv_heads": 2, "feed_forward": 64, "context": 32}
    params = json.dumps({"lake": lake.root, "model": shape, "tokens": 8_000})
    code = ["-m", "builders.tasks_in_order", str(EXAMPLES), "mixture_of_ones_own"]
    answers = said(code, params, home=tmp_path)
    assert answers["weights"] == pytest.approx({"web": 0.5, "papers": 0.5}, abs=0.02)
    assert answers["train"] == f"{lake.root}/model"
    assert Path(lake.root, "model/models/chosen/config.json").exists()


@pytest.mark.slow
def test_parts_of_a_stage_alone_are_mapped_and_collected(tmp_path: Path) -> None:
    from builders.alone import run_alone

    lake = Lake(str(tmp_path / "lake"))
    places = {
        n: lake.put(f"{n}.jsonl", lines_of({"text": texts(60, seed=len(n))})) for n in ("web", "papers")
    }
    run_alone(
        "tokenize", documents=places, output=f"{lake.root}/shards", vocabulary=300, validation_share=0.1
    )
    shape = {"layers": 1, "width": 16, "heads": 2, "kv_heads": 2, "feed_forward": 32, "context": 32}
    arguments = {
        "tokens": f"{lake.root}/shards",
        "mixtures": [{"web": share, "papers": 1 - share} for share in (0.1, 0.5, 0.9)],
        "training_tokens": 2_000,
        "evaluations": 1,
        "group_size": 1,
        "proxy": {"model": shape, "device": "cpu"},
        "output": f"{lake.root}/sweep",
    }
    names, made, address, left = said(["-c", PARTS], json.dumps(arguments), home=tmp_path)
    assert len(names) == made == 3
    assert address == f"{lake.root}/sweep"
    assert left == []
    assert len(Path(address, "losses.csv").read_text().splitlines()) == 4
