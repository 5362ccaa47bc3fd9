"""What documents' metadata says: the values of one field, and whether a domain's documents have it at all."""

import json
import logging
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from mashbill.config import EngineConfig
from mashbill.documents import Partition
from mashbill.errors import ConfigError
from mashbill.filters.filter import Filter
from mashbill.partitions import growing_lots, spread

ROWS = 16_384
"""Documents whose metadata is read at once."""
log = logging.getLogger(__name__)


def field_values(metadata: pa.Array, field: str) -> pa.Array:
    """[documents] the values of a field, as text; null where a document has none, or a list.

    Args:
        metadata: [documents] JSON objects.
        field: its name, or the names on the way to it, joined by dots.
    """
    pieces = [_values(metadata.slice(start, ROWS), field) for start in range(0, len(metadata), ROWS)]
    return pa.concat_arrays(pieces) if pieces else pa.array([], pa.large_string())


def check_fields(filters: Iterable[Filter], partitions: Sequence[Partition], engine: EngineConfig) -> None:
    """Look whether the documents of each domain have the metadata that filters decide by; tasks read a
    domain's until one has.

    Args:
        filters: those that are applied.
        partitions: of the domains they are applied to.
        engine: where they are read.
    Raises:
        ConfigError: no document of any domain has what a filter decides by.
    """
    domains = list(dict.fromkeys(partition.domain for partition in partitions))
    for rule in filters:
        field = rule.metadata_field
        if field is None or not domains:
            continue
        without = _without(field, partitions, engine)
        where = f"filters.{rule.name}"
        what = f"decides by {field} in documents' metadata, which no document of {', '.join(without)} has"
        mend = f"name {field} in metadata_fields of their sources"
        if without == domains:
            raise ConfigError(where, what, f"{mend}, or take {rule.name} out of filters.apply")
        if without:
            log.warning(
                "%s: %s, so it removes none; %s, or leave them out of filters.domains", where, what, mend
            )


def _without(field: str, partitions: Sequence[Partition], engine: EngineConfig) -> list[str]:
    """Domains none of whose documents has a field: of most, the first partition tells that one has."""
    by_domain: dict[str, list[Partition]] = {}
    for partition in partitions:
        by_domain.setdefault(partition.domain, []).append(partition)
    work = partial(_any_has, field)
    return [
        domain
        for domain, parts in by_domain.items()
        if not any(found for lot in growing_lots(parts) for found in spread(engine, work, lot))
    ]


def _any_has(field: str, partition: Partition) -> bool:
    batches = partition.batches(["metadata"], ROWS)
    return any(field_values(batch["metadata"], field).null_count < len(batch) for batch in batches)


def _values(metadata: pa.Array, field: str) -> pa.Array:
    """Values of some documents, by compiled code where it reads them."""
    import pyarrow.json as pj

    lines = "\n".join(text or "{}" for text in metadata.to_pylist()).encode()
    schema = pa.schema([(field, pa.large_string())])
    parse = pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    read = pj.ReadOptions(use_threads=False, block_size=len(lines) + 1)
    try:
        found = pj.read_json(pa.BufferReader(lines), read_options=read, parse_options=parse)
        compiled = found[field].combine_chunks()
        if len(compiled) == len(metadata) and ("." not in field or compiled.null_count < len(compiled)):
            return compiled
    except pa.ArrowInvalid:  # a value that is no text
        pass
    values = [_value(json.loads(line), field) for line in lines.decode().split("\n")]
    return pa.array(values, pa.large_string())


def _value(record: Any, field: str) -> str | None:
    """The value of a field of one document, at any depth; what holds it may be JSON in text."""
    if isinstance(record, str) and record.startswith("{"):
        try:
            record = json.loads(record)
        except ValueError:
            return None
    if not isinstance(record, dict):
        return None
    if field in record:
        value = record[field]
        return None if value is None or isinstance(value, list | dict) else str(value)
    first, _, rest = field.partition(".")
    return _value(record.get(first), rest) if rest else None
