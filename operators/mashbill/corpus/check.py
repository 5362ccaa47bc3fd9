"""A look at every source before ingest: that there are files, and that each is of a format that is known."""

from collections.abc import Iterator
from functools import partial

from mashbill.config import PipelineConfig, Source
from mashbill.config.check import Check
from mashbill.corpus.listing import HUB
from mashbill.corpus.sources import all_sources, stored_files
from mashbill.errors import ConfigError
from mashbill.storage import scheme_of

MEND = "correct the path or remove the source"


def check_sources(config: PipelineConfig) -> Iterator[Check]:
    """Sources of domains, references and evaluation sets."""
    for _, domain, source, where in all_sources(config):
        yield Check(f"{where}.path", partial(_look, config, source, where, name=domain.name))


def _look(config: PipelineConfig, source: Source, where: str, *, name: str) -> str:
    if scheme_of(source.path) == HUB or source.format == "hub":
        return f"{name}: {source.path}, which ingest reads from the hub"
    sizes = stored_files(config, source, where)
    if not sum(sizes.values()):
        what = f"{name} has no document: all files of {source.path} are empty"
        raise ConfigError(f"{where}.path", what, MEND)
    return f"{name}: {len(sizes):,} file{'s' * (len(sizes) != 1)}, {sum(sizes.values()):,} bytes"
