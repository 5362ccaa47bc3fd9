"""Artifacts on S3: the same stages, the same results, commits that happen once. The server is moto's."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from builders.corpus import corpus_config, documents, run_stages, write_jsonl
from mashbill.corpus import sources
from mashbill.errors import ConfigError, DataError
from mashbill.storage import open_storage
from mashbill.storage.storage import Storage


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def root(endpoint: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    settings = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    bucket = "lake" + str(abs(hash(request.node.name)) % 10**9)
    boto3.client("s3").create_bucket(
        Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    return f"s3://{bucket}/artifacts"


def folder(path: Path, text: str) -> Path:
    (path / "deep").mkdir(parents=True)
    (path / "deep" / "data.txt").write_text(text)
    (path / "manifest.json").write_text(text)
    return path


@pytest.fixture(params=["local", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    where = request.getfixturevalue("root") if request.param == "s3" else str(tmp_path / "root")
    return open_storage(where, tmp_path / "scratch")


def test_first_commit_wins_and_is_whole(storage: Storage, tmp_path: Path) -> None:
    assert not storage.exists("stage/one/manifest.json")
    assert storage.commit(folder(tmp_path / "a", "first"), "stage/one", "manifest.json")
    assert not storage.commit(folder(tmp_path / "b", "second"), "stage/one", "manifest.json")
    assert storage.read("stage/one/manifest.json") == b"first"
    assert storage.keys("stage") == ["stage/one/deep/data.txt", "stage/one/manifest.json"]
    assert {path.read_text() for path in storage.fetch("stage/one").rglob("*") if path.is_file()} == {"first"}
    assert not (tmp_path / "a").exists()


def test_discarded_key_is_gone(storage: Storage, tmp_path: Path) -> None:
    storage.commit(folder(tmp_path / "a", "first"), "stage/one", "manifest.json")
    storage.fetch("stage/one")
    storage.discard("stage/one")
    assert not storage.exists("stage/one/manifest.json")
    with pytest.raises(KeyError):
        storage.read("stage/one/manifest.json")


def test_pipeline_on_s3_gives_what_it_gives_on_disk(root: str, tmp_path: Path) -> None:
    for name in "ab":
        write_jsonl(
            tmp_path / f"{name}.jsonl", [f"document {name} {i // 2} with some words in it" for i in range(40)]
        )
    sources = {name: f'{name}.jsonl, id_field = "id"' for name in "ab"}
    local = corpus_config(tmp_path, sources)
    remote = local.model_copy(update={"artifacts": root, "scratch": str(tmp_path / "scratch")})
    on_disk, on_s3 = (
        run_stages(local, "deduplicate")["deduplicate"],
        run_stages(remote, "deduplicate")["deduplicate"],
    )
    assert on_s3.address == f"{root}/deduplicate/{on_disk.fingerprint[:16]}"
    assert documents(on_s3, "a") == documents(on_disk, "a")
    again = run_stages(remote, "deduplicate")["deduplicate"]
    assert again.manifest.started == on_s3.manifest.started


def test_sources_on_s3_are_globbed_and_a_change_makes_ingest_stale(root: str, tmp_path: Path) -> None:
    bucket = root.removeprefix("s3://").split("/")[0]
    client = boto3.client("s3")
    for name in ("one", "two"):
        write_jsonl(tmp_path / f"{name}.jsonl", [f"text {name}"])
        client.upload_file(str(tmp_path / f"{name}.jsonl"), bucket, f"raw/{name}.jsonl")
    client.put_object(Bucket=bucket, Key="raw/notes.md", Body=b"no text")
    write_jsonl(tmp_path / "b.jsonl", ["local"])
    config = corpus_config(tmp_path, {"a": f"s3://{bucket}/raw/*.jsonl", "b": "b.jsonl"})
    first = run_stages(config, "ingest")["ingest"]
    assert sorted(d["text"] for d in documents(first, "a")) == ["text one", "text two"]
    client.put_object(Bucket=bucket, Key="raw/two.jsonl", Body=b'{"text": "changed"}')
    second = run_stages(config, "ingest")["ingest"]
    assert second.fingerprint != first.fingerprint
    assert sorted(d["text"] for d in documents(second, "a")) == ["changed", "text one"]
    with pytest.raises(ConfigError, match="no object matches"):
        run_stages(corpus_config(tmp_path, {"a": f"s3://{bucket}/lost/*", "b": "b.jsonl"}), "ingest")


def test_object_deleted_after_listing_is_named(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = root.removeprefix("s3://").split("/")[0]
    client = boto3.client("s3")
    client.put_object(Bucket=bucket, Key="raw/gone.jsonl", Body=b'{"text": "here"}')
    write_jsonl(tmp_path / "b.jsonl", ["local"])
    config = corpus_config(tmp_path, {"a": f"s3://{bucket}/raw/", "b": "b.jsonl"})
    source = config.corpus.domains[0].sources[0]
    listed = sources._objects(source, "here")
    client.delete_object(Bucket=bucket, Key="raw/gone.jsonl")
    monkeypatch.setattr(sources, "_objects", lambda *_: listed)
    with pytest.raises(DataError, match=r"raw/gone\.jsonl: was listed and cannot be read"):
        sources.source_files(config, source, "here")
