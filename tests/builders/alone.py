"""What another team has: a lake of parquet and lines of its own columns, a classifier, a tokenizer."""

import io
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq

from mashbill.alone import AloneWork
from mashbill.artifacts import Artifact
from mashbill.config import QualityConfig
from mashbill.quality.classifier import train_classifier

GOOD = ["theorem", "lemma", "induction", "proof", "length", "follows"]
BAD = ["buy", "cheap", "watches", "click", "offers", "prizes"]


def texts(count: int, seed: int = 0) -> list[str]:
    """Texts, good and bad in turn, no two alike."""
    draw = random.Random(seed)
    return [f"{seed}.{i} " + " ".join(draw.choices((GOOD, BAD)[i % 2], k=30)) for i in range(count)]


def parquet_of(rows: Mapping[str, Sequence[Any]]) -> bytes:
    """A parquet file."""
    sink = io.BytesIO()
    pq.write_table(pa.table(dict(rows)), sink, row_group_size=7)
    return sink.getvalue()


def lines_of(rows: Mapping[str, Sequence[Any]]) -> bytes:
    """A file of JSON lines."""
    names = list(rows)
    return "".join(
        json.dumps(dict(zip(names, values, strict=True))) + "\n"
        for values in zip(*rows.values(), strict=True)
    ).encode()


def classifier(folder: Path) -> Path:
    """A fastText classifier that tells good texts from bad."""
    path = folder / "edu.bin"
    config = QualityConfig(dimension=8, buckets=1_000, epochs=20)
    good, bad = texts(200, seed=9)[::2], texts(200, seed=9)[1::2]
    train_classifier(good, bad, config, seed=0, path=path)
    return path


class Lake:
    """A place for files, on a disk or in a bucket.

    Args:
        root: folder or address.
    """

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")

    def put(self, name: str, content: bytes) -> str:
        """Write a file; its path or address."""
        address = f"{self.root}/{name}"
        if address.startswith("s3://"):
            bucket, _, key = address.removeprefix("s3://").partition("/")
            boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=content)
        else:
            Path(address).parent.mkdir(parents=True, exist_ok=True)
            Path(address).write_bytes(content)
        return address

    def read(self, name: str) -> bytes:
        """The bytes of a file."""
        address = f"{self.root}/{name}"
        if not address.startswith("s3://"):
            return Path(address).read_bytes()
        bucket, _, key = address.removeprefix("s3://").partition("/")
        body: bytes = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    def names(self, prefix: str = "") -> list[str]:
        """Names of the files, hidden ones left out, sorted."""
        if self.root.startswith("s3://"):
            bucket, _, key = self.root.removeprefix("s3://").partition("/")
            pages = (
                boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{key}/")
            )
            found = [one["Key"].removeprefix(f"{key}/") for page in pages for one in page.get("Contents", ())]
        else:
            found = [str(p.relative_to(self.root)) for p in Path(self.root).rglob("*") if p.is_file()]
        return sorted(n for n in found if n.startswith(prefix) and "/." not in f"/{n}")

    def table(self, name: str) -> list[dict[str, Any]]:
        """Rows of a parquet file."""
        rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(self.read(name))).to_pylist()
        return rows


def run_alone(stage: str, **arguments: Any) -> Artifact:
    """A stage on plain arguments, as its operator runs it."""
    return AloneWork(stage, arguments, f"Task {stage}").run()
