"""A look at every source before ingest: that there are files, and that each is of a format that is known."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from mashbill.config import PipelineConfig, Source
from mashbill.config.check import Check
from mashbill.corpus.sources import HUB, all_sources, file_format, source_files
from mashbill.errors import ConfigError
from mashbill.storage import LOCAL, remote_files, scheme_of

MEND = "correct the path or remove the source"


def check_sources(config: PipelineConfig) -> Iterator[Check]:
    """Sources of domains, references and evaluation sets."""
    for _, domain, source, where in all_sources(config):
        yield Check(f"{where}.path", partial(_look, config, source, where, name=domain.name))


def _look(config: PipelineConfig, source: Source, where: str, *, name: str) -> str:
    scheme = scheme_of(source.path)
    if scheme == HUB or source.format == "hub":
        return f"{name}: {source.path}, which ingest reads from the hub"
    if scheme != LOCAL:
        found = remote_files(config, f"{where}.path", source.path).files
        if not found:
            raise ConfigError(
                f"{where}.path", f"no object matches {source.path}", "list the prefix or remove the source"
            )
        sizes = {Path(file.key): file.bytes for file in found}
    else:
        sizes = {path: _bytes(path) for path in source_files(config, source, where)}
    for path in sizes:
        file_format(path, source)
    if not sum(sizes.values()):
        what = f"{name} has no document: all files of {source.path} are empty"
        raise ConfigError(f"{where}.path", what, MEND)
    return f"{name}: {len(sizes):,} file{'s' * (len(sizes) != 1)}, {sum(sizes.values()):,} bytes"


def _bytes(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    with path.open("rb"):  # that it may be read
        return path.stat().st_size
