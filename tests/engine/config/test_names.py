"""No two things of a run have one folder or one column: a config in which they would is refused by name."""

from pathlib import Path

import pytest

from mashbill.config import load_config
from mashbill.errors import ConfigError


def write(folder: Path, more: str, **sets: list[str]) -> Path:
    """A config with sets of these names."""
    named = {"domains": ["a", "b"], "references": ["r"], **sets}
    rows = {
        field: ", ".join(f'{{ name = "{name}", sources = [{{ path = "{name}.jsonl" }}] }}' for name in names)
        for field, names in named.items()
    }
    text = "[corpus]\n" + "".join(f"{field} = [{row}]\n" for field, row in rows.items())
    (folder / "config.toml").write_text(text + more)
    return folder / "config.toml"


BINS = "[selection]\nbins = 2\n"


@pytest.mark.parametrize(
    "sets, more, message",
    [
        (
            {"references": ["a.q1"]},
            BINS,
            "quality bin 1 of domain 'a' (selection.bins is 2) has the name 'a.q1', and so has "
            "corpus.references[0]: rename one of them",
        ),
        ({"domains": ["a", "a.q2"]}, BINS, "has the name 'a.q2', and so has corpus.domains[1]"),
        ({"evaluations": ["b.q1"]}, BINS, "has the name 'b.q1', and so has corpus.evaluations[0]"),
        ({"domains": ["a", "A.Q1"]}, BINS, "'a.q1', which but for case is 'A.Q1'"),
        ({"references": ["a"]}, "", "corpus.references[0] has the name 'a', and so has corpus.domains[0]"),
        ({"evaluations": ["r"]}, "", "has the name 'r', and so has corpus.references[0]"),
        ({"domains": ["Books", "books"]}, "", "'books', which but for case is 'Books'"),
        ({"references": ["r", "R"]}, "", "'R', which but for case is 'r'"),
        ({"domains": ["a", "index"]}, "", "corpus.domains[1] has the name 'index'"),
        ({"references": ["step"]}, "", "corpus.references[0] has the name 'step'"),
        ({"domains": ["tokens", "b"]}, "", "corpus.domains[0] has the name 'tokens'"),
        ({"references": ["mixture"]}, "", "corpus.references[0] has the name 'mixture'"),
        ({"domains": ["share", "phase"]}, "", "corpus.domains[0] has the name 'share'"),
        ({}, "[baselines.given]\nNatural = { a = 1.0 }", "'Natural', which but for case is 'natural'"),
        ({}, "[baselines.given]\nscheduled = { a = 1.0 }", "has the name 'scheduled'"),
        ({}, "[baselines.given]\ndoremi = { a = 1.0 }", "so has the mixture doremi"),
        (
            {},
            "[baselines.given]\nmine = { a = 1.0 }\nMine = { b = 1.0 }",
            "baselines.given.Mine has the name 'Mine', which but for case is 'mine'",
        ),
        ({}, "[baselines]\nmethods = ['online', 'online']", "baselines.methods names 'online' twice"),
        ({}, "[training]\nmixtures = ['chosen', 'chosen']", "training.mixtures names 'chosen' twice"),
        ({}, "[validation]\nmixtures = ['natural', 'natural']", "validation.mixtures names 'natural' twice"),
        ({}, "[quality]\npositives = ['a', 'a']", "quality.positives names 'a' twice"),
        ({}, "[quality]\nability_references = ['r', 'r']", "quality.ability_references names 'r' twice"),
        (
            {},
            "[quality]\nfamily = ['one/model', 's3://lake/two/model/']",
            "family[1] has the name 'model', and so has family[0]",
        ),
    ],
)
def test_names_that_would_be_one_folder_or_column_are_refused(
    sets: dict[str, list[str]], more: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, more, **sets))
    assert message in str(caught.value).replace("; rename", ": rename")
    assert "\n" not in str(caught.value)


def test_names_that_only_look_alike_are_taken(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, "", domains=["a", "a.q1"], references=["target", "a-q1"]))
    assert config.mixture_names == ("a", "a.q1")
    config = load_config(write(tmp_path, BINS, domains=["a", "a.q3"], references=["index.q1"]))
    assert config.mixture_names == ("a.q1", "a.q2", "a.q3.q1", "a.q3.q2")


def test_no_table_has_a_column_that_a_set_may_be_called(tmp_path: Path) -> None:
    """Whoever adds a column to a table of mixtures or losses must refuse its name to sets."""
    import numpy as np

    from mashbill.config.names import COLUMNS
    from mashbill.mixtures import MixtureTable, ScheduleTable, TrajectoryTable

    mixtures = MixtureTable.numbered(("a", "b"), np.full((1, 2), 0.5))
    tables = {
        "mixtures": mixtures,
        "schedules": ScheduleTable.of(mixtures),
        "trajectories": TrajectoryTable.of([{"index": 0, "step": 1, "tokens": 2, "a": 3.0, "b": 3.0}]),
    }
    for name, table in tables.items():
        table.write(tmp_path / name)
        header = (tmp_path / name).read_text().splitlines()[0].split(",")
        assert set(header) - {"a", "b"} <= set(COLUMNS)
