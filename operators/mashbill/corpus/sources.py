"""Sources: which files a path, folder or glob stands for, and what identifies them."""

import glob
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mashbill.config import Domain, PipelineConfig, Source
from mashbill.errors import ConfigError

ENDINGS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".parquet": "parquet", ".txt": "txt"}
COMPRESSED = (".gz", ".zst")


def file_format(path: Path, source: Source) -> str:
    """The format of a file: the source's, or what its ending says.

    Raises:
        ConfigError: the ending is unknown.
    """
    if source.format != "auto":
        return source.format
    if path.is_dir():
        return "datasets"
    name = path.name
    for ending in COMPRESSED:
        name = name.removesuffix(ending)
    found = ENDINGS.get(Path(name).suffix.lower())
    if found is None:
        raise ConfigError(f"{path}", "has an ending that names no format", "set the source's format to jsonl, parquet, txt or datasets")
    return found


def source_files(config: PipelineConfig, source: Source, where: str) -> list[Path]:
    """The files of a source, sorted; a datasets folder is one.

    Args:
        config: the whole config, whose root relative paths start from.
        source: the source.
        where: its place in the config, for errors.
    Raises:
        ConfigError: nothing matches.
    """
    pattern = config.resolve(source.path)
    found = [Path(p) for p in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207  (pathlib does not glob absolute patterns)
    files: list[Path] = []
    for path in found:
        if path.is_dir() and not _is_dataset(path) and source.format != "datasets":
            known = [p for p in sorted(path.rglob("*")) if p.is_file() and _has_known_ending(p)]
            files += known
        else:
            files.append(path)
    if not files:
        raise ConfigError(f"{where}.path", f"no file matches {pattern}", "correct the path or remove the source")
    return files


def all_sources(config: PipelineConfig) -> Iterator[tuple[str, Domain, Source, str]]:
    """Kind (documents, references or evaluations), domain, source and the source's place in the config, in the config's order."""
    corpus = config.corpus
    kinds = (
        ("documents", "domains", corpus.domains),
        ("references", "references", corpus.references),
        ("evaluations", "evaluations", corpus.evaluations),
    )
    for kind, field, domains in kinds:
        for i, domain in enumerate(domains):
            for j, source in enumerate(domain.sources):
                yield kind, domain, source, f"corpus.{field}[{i}].sources[{j}]"


def source_identity(config: PipelineConfig) -> list[Any]:
    """Changes when a file of a source is added, removed or written: paths, sizes and times."""
    identity: list[Any] = []
    for _, domain, source, where in all_sources(config):
        for path in source_files(config, source, where):
            members = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
            identity += [[domain.name, str(p), p.stat().st_size, p.stat().st_mtime_ns] for p in members]
    return identity


def _is_dataset(path: Path) -> bool:
    return any((path / name).exists() for name in ("dataset_info.json", "dataset_dict.json", "state.json"))


def _has_known_ending(path: Path) -> bool:
    name = path.name
    for ending in COMPRESSED:
        name = name.removesuffix(ending)
    return Path(name).suffix.lower() in ENDINGS
