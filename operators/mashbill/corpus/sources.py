"""Sources: which files a path, folder, glob, S3 address or hub id stands for, and what identifies them."""

import fnmatch
import glob
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mashbill.config import Domain, PipelineConfig, Source
from mashbill.errors import ConfigError, DataError

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
FORMATS = "jsonl, parquet, arrow, csv, txt, warc, datasets or hub"


def file_format(path: Path, source: Source) -> str:
    """The format of a file: the source's, or what its ending says.

    Raises:
        ConfigError: the ending is unknown.
    """
    if source.format != "auto":
        return source.format
    if source.path.startswith("hf://"):
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
    """The files of a source, sorted; a datasets folder is one, and so is a hub id. S3 objects are fetched.

    Args:
        config: the whole config, whose root relative paths start from.
        source: the source.
        where: its place in the config, for errors.
    Raises:
        ConfigError: nothing matches.
        DataError: an object was deleted between listing and reading.
    """
    if source.format == "hub" or source.path.startswith("hf://"):
        return [Path(source.path.removeprefix("hf://"))]
    if source.path.startswith("s3://"):
        return _fetch(config, source, where)
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
    """Changes when a file of a source is added, removed or written: paths, sizes and times, or S3's tags."""
    identity: list[Any] = []
    for _, domain, source, where in all_sources(config):
        if source.path.startswith("s3://"):
            identity += [[domain.name, key, size, tag] for key, size, tag in _objects(source, where)]
            continue
        if source.format == "hub" or source.path.startswith("hf://"):
            identity.append([domain.name, source.path, source.split])
            continue
        for path in source_files(config, source, where):
            members = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
            identity += [[domain.name, str(p), p.stat().st_size, p.stat().st_mtime_ns] for p in members]
    return identity


def _objects(source: Source, where: str) -> list[tuple[str, int, str]]:
    """Key, size and tag of the objects that an s3:// address, prefix or glob stands for."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, pattern = source.path.removeprefix("s3://").partition("/")
    prefix = pattern.split("*", 1)[0].split("?", 1)[0].split("[", 1)[0]
    try:
        pages = boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        listed = [entry for page in pages for entry in page.get("Contents", ())]
    except (ClientError, BotoCoreError) as error:
        raise ConfigError(
            f"{where}.path",
            f"{source.path} cannot be listed ({error})",
            "check bucket, endpoint and credentials",
        ) from error
    folder = pattern.rstrip("/") + "/*"
    found = [
        e
        for e in listed
        if e["Key"] == pattern or fnmatch.fnmatch(e["Key"], pattern) or fnmatch.fnmatch(e["Key"], folder)
    ]
    if not found:
        raise ConfigError(
            f"{where}.path", f"no object matches {source.path}", "list the prefix or remove the source"
        )
    return sorted((e["Key"], e["Size"], e["ETag"].strip('"')) for e in found)


def _fetch(config: PipelineConfig, source: Source, where: str) -> list[Path]:
    """Local copies of a source's objects, kept by tag."""
    import boto3
    from botocore.exceptions import ClientError

    bucket = source.path.removeprefix("s3://").partition("/")[0]
    client = boto3.client("s3")
    files = []
    for key, _, tag in _objects(source, where):
        path = Path(config.resolve(config.scratch)) / "sources" / bucket / tag / Path(key).name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(path.name + ".part")
            try:
                client.download_file(bucket, key, str(part))
            except ClientError as error:
                raise DataError(
                    f"s3://{bucket}/{key}",
                    f"was listed and cannot be read ({error})",
                    "restore it, or rerun without it",
                ) from error
            part.rename(path)
        files.append(path)
    return files


def _is_dataset(path: Path) -> bool:
    return any((path / name).exists() for name in ("dataset_info.json", "dataset_dict.json", "state.json"))


def _ending(name: str) -> str:
    for ending in COMPRESSED:
        name = name.removesuffix(ending)
    return Path(name).suffix.lower()
