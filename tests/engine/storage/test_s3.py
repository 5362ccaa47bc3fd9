"""Artifacts on S3: the same stages, the same results, commits that happen once. The server is moto's."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest

from builders.corpus import corpus_config, documents, run_stages, write_jsonl
from mashbill.artifacts import Artifact, ArtifactStore, Manifest, open_store
from mashbill.corpus import sources
from mashbill.errors import ConfigError, DataError
from mashbill.stages import finished_stages
from mashbill.storage import Storage, StoredFile, open_storage, remote_files


def folder(path: Path, text: str) -> Path:
    (path / "deep").mkdir(parents=True)
    (path / "deep" / "data.txt").write_text(text)
    (path / "manifest.json").write_text(text)
    return path


def fetch(storage: Storage, key: str, text: str) -> Path:
    """A local file with an object that should hold a text."""
    return storage.fetch(key, size=len(text), sha256=hashlib.sha256(text.encode()).hexdigest())


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
    assert fetch(storage, "stage/one/deep/data.txt", "first").read_text() == "first"
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    "pattern, found",
    [
        ("stage/one/manifest.json", ["stage/one/manifest.json"]),
        ("stage/one", ["stage/one/deep/data.txt", "stage/one/manifest.json"]),
        ("stage/*/*.json", ["stage/one/manifest.json"]),
        ("stage/on", []),
    ],
)
def test_a_key_a_folder_or_a_glob_finds_files(
    storage: Storage, pattern: str, found: list[str], tmp_path: Path
) -> None:
    def copied(file: StoredFile) -> str:
        path = tmp_path / "copies" / file.version / file.key
        storage.copy(file, path)
        return path.read_text()

    storage.commit(folder(tmp_path / "a", "first"), "stage/one", "manifest.json")
    matched = storage.match(pattern)
    assert [file.key for file in matched] == found
    assert all((file.bytes, copied(file)) == (5, "first") for file in matched)
    storage.discard("stage/one")
    storage.commit(folder(tmp_path / "b", "other"), "stage/one", "manifest.json")
    again = storage.match(pattern)
    assert all(new.version != old.version for new, old in zip(again, matched, strict=True))
    assert all(copied(file) == "other" for file in again)


def test_a_file_that_is_gone_is_told(storage: Storage, tmp_path: Path) -> None:
    storage.commit(folder(tmp_path / "a", "first"), "stage/one", "manifest.json")
    (file,) = storage.match("stage/one/manifest.json")
    storage.discard("stage/one")
    with pytest.raises(DataError, match=r"one/manifest\.json: was listed and cannot be read"):
        storage.copy(file, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_an_address_of_no_storage_is_refused(tmp_path: Path) -> None:
    for address in ("gs://bucket/artifacts", "storage://x", "../local://x"):
        with pytest.raises(ConfigError, match="neither a path nor an address of a storage"):
            open_storage(address, tmp_path)


def test_discarded_key_is_gone(storage: Storage, tmp_path: Path) -> None:
    storage.commit(folder(tmp_path / "a", "first"), "stage/one", "manifest.json")
    copy = fetch(storage, "stage/one/deep/data.txt", "first")
    storage.discard("stage/one")
    assert not copy.exists()
    assert not storage.exists("stage/one/manifest.json")
    with pytest.raises(KeyError):
        storage.read("stage/one/manifest.json")


def test_uploads_that_were_not_finished_are_given_up_but_for_those_that_are_kept(
    root: str, tmp_path: Path
) -> None:
    bucket, _, prefix = root.removeprefix("s3://").partition("/")
    client = boto3.client("s3")
    for key in ("stage/one/live/x", "stage/one/dead/x", "stage/two/live/x"):
        client.create_multipart_upload(Bucket=bucket, Key=f"{prefix}/{key}")
    open_storage(root, tmp_path).sweep("stage/one", ("stage/one/live/",))
    left = client.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert [upload["Key"] for upload in left] == [f"{prefix}/stage/one/live/x", f"{prefix}/stage/two/live/x"]


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
    found = remote_files(config, "here", source.path)
    client.delete_object(Bucket=bucket, Key="raw/gone.jsonl")
    monkeypatch.setattr(type(found.storage), "match", lambda *_: list(found.files))
    (file,) = sources.source_files(config, source, "here").files
    with pytest.raises(DataError, match=r"raw/gone\.jsonl: was listed and cannot be read"), file.opened():
        pass


@pytest.fixture
def gets() -> Iterator[list[str]]:
    """Keys of the objects that are downloaded, in order."""
    found: list[str] = []
    boto3.setup_default_session()
    boto3.DEFAULT_SESSION.events.register(
        "before-parameter-build.s3.GetObject", lambda params, **_: found.append(params["Key"])
    )
    yield found
    boto3.setup_default_session()


def commit(store: ArtifactStore, files: dict[str, str]) -> Artifact:
    """An artifact of some files."""
    output = store.output("mix", "f" * 32)
    for name, text in files.items():
        (output.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (output.folder / name).write_text(text)
    facts = {"started": "2026-01-01T00:00:00+00:00", "seconds": 0.1, "mashbill": "0", "counts": {}}
    made = {"stage": "mix", "fingerprint": "f" * 32, "version": 1, "settings": {}, "inputs": {}}
    return store.commit(output, Manifest(**made, **facts))


FILES = {"choice.json": "{}", "mixture.csv": "a,b", "models/a/x.bin": "one", "models/b/x.bin": "two"}


def test_looking_for_results_reads_manifests_alone(root: str, tmp_path: Path, gets: list[str]) -> None:
    for name in "ab":
        write_jsonl(tmp_path / f"{name}.jsonl", [f"document {name} {i} with some words" for i in range(9)])
    config = corpus_config(tmp_path, {name: f"{name}.jsonl" for name in "ab"})
    remote = config.model_copy(update={"artifacts": root, "scratch": str(tmp_path / "scratch")})
    done = run_stages(remote, "deduplicate")
    gets.clear()
    assert finished_stages(remote).keys() == done.keys()
    store = open_store(remote)
    newest = store.newest("filter")
    assert newest is not None
    assert newest.address == done["filter"].address
    assert store.open(done["ingest"].address).manifest.counts == done["ingest"].manifest.counts
    assert gets
    assert {Path(key).name for key in gets} == {"manifest.json"}


def test_a_file_is_one_object_and_is_fetched_once(root: str, tmp_path: Path, gets: list[str]) -> None:
    store = ArtifactStore(root, tmp_path)
    artifact = store.open(commit(store, FILES).address)
    gets.clear()
    assert artifact.has("choice.json")
    assert [artifact.file("choice.json").read_text() for _ in range(2)] == ["{}", "{}"]
    assert gets == [f"artifacts/{artifact.key}/{artifact.manifest.attempt}/choice.json"]
    folder = artifact.folder("models")
    assert {str(path.relative_to(folder)) for path in folder.rglob("*.bin")} == {"a/x.bin", "b/x.bin"}
    assert len(gets) == 3
    assert {str(p.relative_to(artifact.path)) for p in artifact.path.rglob("*") if p.is_file()} == set(FILES)
    assert len(gets) == 4
    again = ArtifactStore(root, tmp_path).find("mix", "f" * 32)
    assert again is not None
    assert again.file("mixture.csv").read_text() == "a,b"
    assert len(gets) == 5  # its manifest


def test_many_that_ask_at_once_get_whole_files(root: str, tmp_path: Path) -> None:
    made = commit(ArtifactStore(root, tmp_path), {"file": "0123456789" * 10_000})

    def read(_: int) -> str:
        return ArtifactStore(root, tmp_path / "elsewhere").open(made.address).file("file").read_text()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(read, range(16))) == {"0123456789" * 10_000}
    assert [path.name for path in (tmp_path / "elsewhere" / "copies").rglob("*") if path.is_file()] == [
        "file"
    ]


@pytest.mark.parametrize("kind", ["local", "s3"])
def test_a_damaged_file_is_named(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    where = request.getfixturevalue("root") if kind == "s3" else str(tmp_path / "root")
    store = ArtifactStore(where, tmp_path)
    artifact = commit(store, {"choice.json": "{}"})
    address = "/".join(filter(None, [artifact.address, artifact.manifest.attempt, "choice.json"]))
    if kind == "s3":
        bucket, _, key = address.removeprefix("s3://").partition("/")
        boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=b"[]")
    else:
        Path(address).write_text("{")
    with pytest.raises(DataError, match=r"choice\.json: .*; discard the artifact and rerun") as caught:
        artifact.file("choice.json")
    assert caught.value.where == address
    store.storage.discard(artifact.key)
    with pytest.raises(DataError, match=r"choice\.json: is gone"):
        artifact.file("choice.json")
    with pytest.raises(DataError, match=r"has no file other\.json"):
        artifact.file("other.json")


def test_a_copy_that_broke_off_is_fetched_again(root: str, tmp_path: Path) -> None:
    artifact = commit(ArtifactStore(root, tmp_path), {"choice.json": "{}"})
    artifact.file("choice.json").write_text("")
    assert artifact.file("choice.json").read_text() == "{}"
