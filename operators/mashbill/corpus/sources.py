"""Sources: which files a path, folder, glob, remote address or hub id stands for, and what tells that they
changed."""

import glob
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mashbill.config import Domain, PipelineConfig, Source
from mashbill.errors import ConfigError
from mashbill.storage import LOCAL, inside, remote_files, scheme_of
from mashbill.storage.given import RemoteFiles

ENDINGS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".csv": "csv",
    ".txt": "txt",
    ".warc": "warc",
    ".wet": "warc",
}
COMPRESSED = (".gz", ".zst")
HUB = "hf"
FORMATS = "jsonl, parquet, arrow, csv, txt, warc, datasets or hub"


def file_format(path: Path, source: Source) -> str:
    """The format of a file: the source's, or what its ending says.

    Raises:
        ConfigError: the ending is unknown.
    """
    if source.format != "auto":
        return source.format
    if scheme_of(source.path) == HUB:
        return "hub"
    if path.is_dir():
        return "datasets"
    found = ENDINGS.get(_ending(path.name))
    if found is None:
        raise ConfigError(
            f"{path}", "has an ending that names no format", f"set the source's format to {FORMATS}"
        )
    return found


def source_files(config: PipelineConfig, source: Source, where: str) -> list[Path]:
    """The files of a source, sorted; a datasets folder is one, and so is a hub id. Remote files are fetched.

    Args:
        config: the whole config, whose root relative paths start from.
        source: the source.
        where: its place in the config, for errors.
    Raises:
        ConfigError: nothing matches.
        DataError: a remote file was deleted between listing and reading.
    """
    if _is_on_hub(source):
        return [Path(source.path.removeprefix(f"{HUB}://"))]
    if _is_remote(source):
        return _copies(config, _remote_files(config, source, where))
    pattern = config.resolve(source.path)
    found = [Path(p) for p in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207  (pathlib does not glob absolute patterns)
    files: list[Path] = []
    for path in found:
        if path.is_dir() and not _is_dataset(path) and source.format != "datasets":
            known = [p for p in sorted(path.rglob("*")) if p.is_file() and _ending(p.name) in ENDINGS]
            files += known
        else:
            files.append(path)
    if not files:
        raise ConfigError(
            f"{where}.path", f"no file matches {pattern}", "correct the path or remove the source"
        )
    return files


def all_sources(config: PipelineConfig) -> Iterator[tuple[str, Domain, Source, str]]:
    """Kind (documents, references or evaluations), domain, source and the source's place in the config, in
    the config's order."""
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
    """Changes when a file of a source is added, removed or written: paths, sizes and times, or a storage's
    versions."""
    identity: list[Any] = []
    for _, domain, source, where in all_sources(config):
        if _is_on_hub(source):
            identity.append([domain.name, source.path, source.split])
            continue
        if _is_remote(source):
            found = _remote_files(config, source, where)
            identity += [[domain.name, file.key, file.bytes, file.version] for file in found.files]
            continue
        for path in source_files(config, source, where):
            members = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
            identity += [[domain.name, str(p), p.stat().st_size, p.stat().st_mtime_ns] for p in members]
    return identity


def _remote_files(config: PipelineConfig, source: Source, where: str) -> RemoteFiles:
    """The files that a remote address, folder or glob stands for."""
    found = remote_files(config, f"{where}.path", source.path)
    if not found.files:
        raise ConfigError(
            f"{where}.path", f"no object matches {source.path}", "list the prefix or remove the source"
        )
    return found


def _copies(config: PipelineConfig, found: RemoteFiles) -> list[Path]:
    """Local copies of remote files, kept by their versions."""
    folder = Path(config.resolve(config.scratch), "sources", found.host)
    paths = [inside(folder, f"{file.version}/{Path(file.key).name}") for file in found.files]
    for file, path in zip(found.files, paths, strict=True):
        found.storage.copy(file, path)
    return paths


def _is_on_hub(source: Source) -> bool:
    return source.format == "hub" or scheme_of(source.path) == HUB


def _is_remote(source: Source) -> bool:
    return scheme_of(source.path) not in {LOCAL, HUB}


def _is_dataset(path: Path) -> bool:
    return any((path / name).exists() for name in ("dataset_info.json", "dataset_dict.json", "state.json"))


def _ending(name: str) -> str:
    for ending in COMPRESSED:
        name = name.removesuffix(ending)
    return Path(name).suffix.lower()
