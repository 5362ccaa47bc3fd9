"""Arguments of a stage that stands alone: the config's fields, by name, with their descriptions and bounds.

What is said in a DAG's file is looked at when that is parsed, by the same models that read a config; what a
template gives is looked at once it is rendered.
"""

import ast
import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from mashbill.alone.row import Row
from mashbill.config import CorpusConfig, ModelShape, PipelineConfig, Source
from mashbill.config.section import Settings
from mashbill.config.wrong import settings_errors
from mashbill.errors import ConfigError, Problems

OUTPUT = "output"
OUTPUT_DESCRIPTION = (
    "Folder or s3:// address where the result is written, under plain names; it holds nothing else."
)
OF_SOURCES = "source"
"""Section that arguments of how files are read belong to: those of every source."""
EVERYWHERE = ("root", "scratch", "scratch_bytes", "seed", "workers", "engine")
"""Settings outside the stages' sections that every stage takes."""
DOCUMENTS = ("documents", "references", "evaluations")
CORPUS = ("domains", "references", "evaluations")
"""Inputs of documents, and the fields of the corpus that they are."""


@dataclass(frozen=True)
class Argument:
    """One argument.

    Attributes:
        name: of it.
        kind: its type.
        description: what it is.
        setting: dotted name of the setting that it is; empty for an input and for ``output``.
        required: whether it must be given.
        default: what holds where it is not.
    """

    name: str
    kind: Any
    description: str
    setting: str = ""
    required: bool = False
    default: Any = None


class Arguments:
    """Those of a stage.

    Args:
        row: of the stage.
    """

    def __init__(self, row: Row) -> None:
        self.row = row
        self.by_name = {one.name: one for one in _arguments(row)}
        self.by_setting = {one.setting: one for one in self.by_name.values() if one.setting}

    def refuse_unknown(self, names: Sequence[str], who: str) -> None:
        """Refuse names of no argument.

        Args:
            names: those that are given.
            who: the operator, for the error.
        Raises:
            ConfigError: one is none.
        """
        for name in names:
            if name not in self.by_name:
                close = difflib.get_close_matches(name, self.by_name, n=1)
                mend = f"did you mean {close[0]}?" if close else "leave it out"
                raise ConfigError(f"{who}: {name}", "is no argument", mend)

    def check(self, given: Mapping[str, Any], who: str, *, rendered: bool = True) -> None:
        """Refuse what no stage could be run with; nothing is read for that.

        Args:
            given: values by name; what comes of a template later is left out where it is not rendered.
            who: the operator, for the error.
            rendered: whether all are there.
        Raises:
            ConfigError: one is missing, or a value will not do; all of it, where there is more than one.
        """
        found = [
            ConfigError(f"{who}: {name}", "is required and missing", "give it")
            for name, one in self.by_name.items()
            if rendered and one.required and given.get(name) is None
        ]
        found += self._wrong_inputs(given, who)
        try:
            PipelineConfig.model_validate(self.raw(given, self._sets_in(given)))
        except ValidationError as error:
            told = [one for one in error.errors() if self._is_known(one, rendered=rendered)]
            known = {one.where for one in found}
            wrong = settings_errors(told, lambda field: f"{who}: {self.name_of(field)}")
            found += [one for one in wrong if one.where not in known]
        if found:
            raise found[0] if len(found) == 1 else Problems(found)

    def _sets_in(self, given: Mapping[str, Any]) -> Settings:
        """Sets of documents for a first look: those that are given, or a name alone."""
        nothing = {"domains": [{"name": DOCUMENTS[0], "sources": [{"path": "."}]}]}
        inputs = [one.name for one in self.row.inputs]
        return {**nothing, **corpus_of({name: given.get(name) for name in inputs}, {})}

    def _wrong_inputs(self, given: Mapping[str, Any], who: str) -> Iterator[ConfigError]:
        for one in self.by_name.values():
            if one.setting or given.get(one.name) is None:
                continue
            try:
                _adapter(one.kind).validate_python(plain(given[one.name]))
            except ValidationError as error:
                kinds = error.errors()  # of each kind that it may be
                deepest = max(kinds, key=lambda one: len(one["loc"]))
                yield from settings_errors([deepest], partial(_of_input, f"{who}: {one.name}"))

    def _is_known(self, error: ErrorDetails, *, rendered: bool) -> bool:
        """Whether an error stands whatever templates may give: what sections say of one another is known once
        all is rendered."""
        if not error["loc"]:
            return False  # what sections say of one another is known with the sets that there are
        of_section = error["type"] == "value_error" and len(error["loc"]) == 1
        return rendered or not (of_section or error["type"] == "missing")

    def name_of(self, field: str) -> str:
        """What a dotted setting is called among the arguments."""
        if field == "artifacts":  # they are made beside the output
            return OUTPUT
        for setting in sorted(self.by_setting, key=len, reverse=True):
            rest = field.removeprefix(setting)
            if field.startswith(setting) and rest[:1] in {"", ".", "["}:
                return f"{self.by_setting[setting].name}{rest}"
        for name, of in zip(DOCUMENTS, CORPUS, strict=True):
            if field.startswith(f"corpus.{of}"):
                last = field.rpartition(".")[2]
                named = last if last in Source.model_fields and last != "path" else name
                return named if named in self.by_name else next(iter(self.by_name))
        return field

    def raw(self, given: Mapping[str, Any], corpus: Mapping[str, Any] | CorpusConfig) -> Settings:
        """A config's values, as a file would have them.

        Args:
            given: values of arguments by name.
            corpus: the sets of documents.
        """
        values: dict[str, Any] = {"corpus": dict(corpus) if isinstance(corpus, Mapping) else corpus}
        for name, value in given.items():
            setting = self.by_name[name].setting
            if value is None or not setting or setting.startswith(f"{OF_SOURCES}."):
                continue
            *sections, field = setting.split(".")
            section = values
            for part in sections:
                section = section.setdefault(part, {})
            kind = self.by_name[name].kind
            said = plain(value, kind)
            if kind is ModelShape and isinstance(said, str):
                said = {"preset": said}  # a published model's name alone
            both = isinstance(said, Mapping) and isinstance(section.get(field), Mapping)
            section[field] = {**said, **section[field]} if both else said
        return values

    def sources(self, given: Mapping[str, Any]) -> Settings:
        """What is given of how files are read, for every source."""
        start = f"{OF_SOURCES}."
        return {
            one.setting.removeprefix(start): plain(given[name], one.kind)
            for name, one in self.by_name.items()
            if one.setting.startswith(start) and given.get(name) is not None
        }


@cache
def arguments_of(row: Row) -> Arguments:
    """The arguments of a row."""
    return Arguments(row)


def plain(value: Any, kind: Any = None) -> Any:
    """A value as it was meant, where a template gave text in place of a mapping, a list, or a number.

    Args:
        value: as it is given.
        kind: its type, where that says whether text may be meant.
    """
    if isinstance(value, str) and kind is not str and value.strip()[:1] in {"{", "["}:
        for read in (json.loads, ast.literal_eval):
            try:
                found = read(value)
            except (ValueError, SyntaxError):
                continue
            if isinstance(found, dict | list | tuple):
                return found
    if isinstance(value, str) and kind is not None and str not in (kind, *get_args(kind)):
        try:
            return int(float(value)) if float(value).is_integer() and not value.isdigit() else value
        except (ValueError, OverflowError):
            return value
    return value


def sets_of(given: Any, name: str) -> dict[str, list[Any]]:
    """Places by set, of what is given as documents.

    Args:
        given: a place, some, or some by set.
        name: of the set where none is named.
    """
    value = plain(given)
    by_set = value if isinstance(value, Mapping) else {name: value}
    return {
        str(one): list(places) if isinstance(places, list | tuple) else [places]
        for one, places in by_set.items()
    }


def corpus_of(given: Mapping[str, Any], sources: Mapping[str, Any]) -> Settings:
    """The sets of documents as a config has them.

    Args:
        given: values of arguments.
        sources: how files are read.
    """
    found = {}
    for argument, field in zip(DOCUMENTS, CORPUS, strict=True):
        if given.get(argument) is not None:
            found[field] = [
                {"name": name, "sources": [_source(place, sources) for place in places]}
                for name, places in sets_of(given[argument], DOCUMENTS[0]).items()
            ]
    return found


def _source(place: Any, sources: Mapping[str, Any]) -> dict[str, Any]:
    return {**sources, **(place if isinstance(place, Mapping) else {"path": place})}


def _of_input(where: str, field: str) -> str:
    """What errors call a value within an input."""
    del field
    return where


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _arguments(row: Row) -> Iterator[Argument]:
    """Inputs, the output, settings of the stage, of files and of how it runs."""
    for one in row.inputs:
        yield Argument(one.name, one.kind, one.description, required=one.required)
    yield Argument(OUTPUT, str, OUTPUT_DESCRIPTION, required=True)
    renamed = set(row.settings.values()) | row.without
    for name, setting in row.settings.items():
        yield _setting(name, setting)
    for section in row.sections:
        for field in _section(PipelineConfig, section).model_fields:
            if f"{section}.{field}" not in renamed:
                yield _setting(field, f"{section}.{field}")
    if any(one.name in DOCUMENTS for one in row.inputs):
        for name, read_by in Source.model_fields.items():
            if name != "path":
                yield _as_argument(name, f"{OF_SOURCES}.{name}", read_by)
    for name in EVERYWHERE:
        yield _setting(name, name)


def _setting(name: str, setting: str) -> Argument:
    model: type[BaseModel] = PipelineConfig
    *sections, field = setting.split(".")
    for section in sections:
        model = _section(model, section)
    return _as_argument(name, setting, model.model_fields[field])


def _as_argument(name: str, setting: str, field: FieldInfo) -> Argument:
    default = field.get_default(call_default_factory=True)
    return Argument(name, field.annotation, field.description or "", setting, default=default)


def _section(model: type[BaseModel], name: str) -> type[BaseModel]:
    annotation = model.model_fields[name].annotation
    found = [one for one in (annotation, *get_args(annotation)) if isinstance(one, type)]
    return next(one for one in found if issubclass(one, BaseModel))
