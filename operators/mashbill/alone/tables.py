"""Tables and mappings as another team has them: tokens by domain, mixtures and losses of runs."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import TypeAdapter, ValidationError

from mashbill.alone.arguments import plain
from mashbill.alone.given import Given
from mashbill.artifacts import Artifact
from mashbill.config import PipelineConfig
from mashbill.errors import ConfigError, DataError
from mashbill.mixtures import MixtureTable
from mashbill.mixtures.amounts import read_amounts
from mashbill.mixtures.choice import MIXTURE
from mashbill.mixtures.mixture import Table
from mashbill.storage import local_path
from mashbill.tokens import TokenStore
from mashbill.tokens.shards import INDEX

Rows = TypeVar("Rows", bound=Table)
NUMBERS = TypeAdapter(dict[str, float])
JSON = ".json"
TOKENIZE = "TokenizeDocuments"


def shards_of(given: Given, config: PipelineConfig, name: str = "tokens") -> Artifact:
    """The token shards that an argument gives.

    Raises:
        ConfigError: there are none.
    """
    return given.made(name, config, holds=INDEX, by=TOKENIZE)


def amounts_of(given: Given, config: PipelineConfig, name: str = "available") -> dict[str, float]:
    """Tokens of each domain.

    Raises:
        ConfigError: nothing is there; DataError: a number is none.
    """
    value = plain(given.values[name])
    if isinstance(value, Mapping):
        found = _numbers(given, name, value)
    else:
        place = str(value)
        made = given.published(place, config)
        if made is not None and made.has(INDEX):
            store = TokenStore(made)
            return dict(zip(store.domains, store.train_amounts().tolist(), strict=True))
        path = local_path(config, name, place)
        found = _numbers(given, name, _json(given, name, path)) if path.suffix == JSON else read_amounts(path)
    for domain, amount in found.items():
        if not 0 < amount < float("inf"):
            where = f"{given.where(name)}: domain {domain}"
            raise DataError(where, f"has {amount:g} tokens", "give a number above 0 or leave the domain out")
    return found


def mixture_of(given: Given, config: PipelineConfig, name: str = "mixture") -> dict[str, float]:
    """The weights of one mixture, which sum to 1.

    Raises:
        ConfigError: nothing is there; DataError: it is none.
    """
    value = plain(given.values[name])
    if not isinstance(value, Mapping):
        path = local_path(config, name, str(value))
        if path.is_dir():
            path = path / MIXTURE
            if not path.exists():
                what = f"{value} has no {MIXTURE}"
                raise ConfigError(given.where(name), what, "give what ChooseMixture wrote, or weights")
        if path.suffix != JSON:
            table = MixtureTable.read(path)
            if len(table.index) > 1:
                what = f"{value} has {len(table.index)} mixtures, and one is trained on"
                raise DataError(given.where(name), what, "keep one row")
            return table.row(0)
        value = _json(given, name, path)
    weights = _numbers(given, name, value)
    table = MixtureTable(np.arange(1), tuple(weights), np.array([list(weights.values())]), given.where(name))
    table.check()
    return table.row(0)


def table_of(given: Given, config: PipelineConfig, name: str, *, kind: type[Rows], file: str) -> Rows:
    """The table that an argument gives: a CSV, or rows by run, or in order.

    Args:
        given: the arguments; config: whose root relative paths start from; name: of the argument.
        kind: of table.
        file: its name in what another operator wrote.
    Raises:
        ConfigError: nothing is there; DataError: it is no such table.
    """
    value = plain(given.values[name])
    if isinstance(value, Mapping | Sequence) and not isinstance(value, str):
        return _of_rows(given, name, value, kind=kind)
    place = str(value)
    made = given.published(place, config)
    if made is not None:
        if not made.has(file):
            what = f"{place} is a result of {made.manifest.stage}, and has no {file}"
            raise ConfigError(given.where(name), what, "give a table, or the address of what has one")
        return kind.read(made.file(file))
    path = local_path(config, name, place)
    return (
        _of_rows(given, name, _json(given, name, path), kind=kind) if path.suffix == JSON else kind.read(path)
    )


def refuse_strangers(
    given: Given, name: str, domains: Sequence[str], *, known: Sequence[str], whose: str
) -> None:
    """Refuse names of domains that something else lacks.

    Args:
        given: the arguments; name: of that which names them.
        domains: that are named; known: that there are; whose: who has these, in words.
    """
    for domain in domains:
        if domain not in known:
            what = f"names {domain!r}, which {whose} lack; they have {', '.join(known)}"
            raise DataError(given.where(name), what, "name the domains alike")


def _of_rows(given: Given, name: str, value: Any, *, kind: type[Rows]) -> Rows:
    """A table of rows by run, or of rows in order, each by column."""
    by_run = value if isinstance(value, Mapping) else dict(enumerate(value))
    rows = {run: _numbers(given, f"{name}: run {run}", row) for run, row in by_run.items()}
    columns = tuple(dict.fromkeys(column for row in rows.values() for column in row))
    if not columns:
        raise DataError(given.where(name), "has no run", "add the runs")
    missing = 0.0 if kind is MixtureTable else np.nan
    values = np.array([[row.get(column, missing) for column in columns] for row in rows.values()])
    table = kind(_index_of(list(rows)), columns, values, given.where(name))
    table.check()
    return table


def _index_of(runs: Sequence[Any]) -> np.ndarray:
    """[runs] their numbers, which JSON gives as text, or their names; as a CSV's are read."""
    said = [str(run) for run in runs]
    numbered = all(one.isdecimal() and one == str(int(one)) for one in said)
    return np.array([int(one) for one in said]) if numbered else np.array(said, dtype=object)


def _numbers(given: Given, name: str, value: Any) -> dict[str, float]:
    try:
        return NUMBERS.validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"]))
        where = f"{given.where(name)}: {at}" if at else given.where(name)
        raise DataError(
            where, f"is {first['input']!r:.60}, and no number", "give a number by name"
        ) from error


def _json(given: Given, name: str, path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{given.where(name)}: {path}", f"is no JSON ({error})", "mend the file") from error
