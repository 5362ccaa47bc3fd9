"""What is read of an artifact is what was committed: each file's bytes are compared with the manifest, once a
process, and what lies beside its files is not read."""

import os
import shutil
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pyarrow as pa
import pytest

from builders.checkout import ROOT
from mashbill.artifacts import Artifact, ArtifactStore, Manifest, file_in, place_at
from mashbill.documents import DOCUMENT_SCHEMA, DocumentStore
from mashbill.errors import DataError
from mashbill.storage import checksums


def commit(store: ArtifactStore, files: dict[str, str], stage: str = "mix") -> Artifact:
    """An artifact of some files."""
    output = store.output(stage, "f" * 32)
    for name, text in files.items():
        (output.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (output.folder / name).write_text(text)
    facts = {"started": "2026-01-01T00:00:00+00:00", "seconds": 0.1, "mashbill": "0", "counts": {}}
    made = {"stage": stage, "fingerprint": "f" * 32, "version": 1, "settings": {}, "inputs": {}}
    return store.commit(output, Manifest(**made, **facts))


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    store = ArtifactStore(str(tmp_path / "root"), tmp_path)
    return commit(store, {"choice.json": "{}", "models/a/config.json": "one", "models/b/config.json": "two"})


def change(artifact: Artifact, name: str) -> Path:
    """Change one byte of a file, and neither its size nor its time."""
    path = Path(artifact.address, name)
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    checksums._known.clear()  # as a process does that has not read it
    return path


@pytest.mark.parametrize("name", ["choice.json", "models/a/config.json"])
def test_a_changed_byte_is_refused_with_file_artifact_and_mend(artifact: Artifact, name: str) -> None:
    path = change(artifact, name)
    for read in (artifact.file, lambda name: file_in(Path(artifact.address), name)):
        with pytest.raises(DataError) as refused:
            read(name)
        said = str(refused.value)
        assert said.startswith(f"{path}: has SHA-256 ")
        assert f"the manifest of {artifact.address}" in said
        assert said.endswith(
            "; discard the artifact and rerun the stage that makes it, as mashbill run --repair does"
        )


def test_a_folder_is_read_only_where_every_file_is_as_committed(artifact: Artifact) -> None:
    assert {path.name for path in artifact.folder("models").iterdir()} == {"a", "b"}
    change(artifact, "models/b/config.json")
    opened = ArtifactStore(str(Path(artifact.address).parents[1]), Path()).open(artifact.address)
    opened.folder("models/a")
    for prefix in ("models", "models/b", ""):
        with pytest.raises(DataError, match=r"b/config\.json: has SHA-256"):
            opened.folder(prefix)


@pytest.mark.parametrize("stranger", ["models/a/adapter_config.json", "models/a/x.bin.0123abcd.part", "link"])
def test_a_folder_with_a_file_that_is_not_the_artifacts_is_refused(artifact: Artifact, stranger: str) -> None:
    path = Path(artifact.address, stranger)
    if stranger == "link":
        path.symlink_to("/etc")
    else:
        path.write_text("{}")
    with pytest.raises(DataError, match=rf"{stranger}: is not in the manifest of .*; take it out"):
        artifact.folder("")
    assert artifact.file("choice.json").read_text() == "{}"


def test_what_a_copy_in_the_making_left_is_no_stranger(artifact: Artifact) -> None:
    Path(artifact.address, "models/a/config.json.0123abcd.part").write_text("half")
    assert artifact.folder("models").is_dir()


def test_a_file_is_read_once_a_process_to_know_it(
    artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    digest = checksums.hashlib.file_digest
    monkeypatch.setattr(
        checksums.hashlib, "file_digest", lambda file, name: read.append(file.name) or digest(file, name)
    )
    os.utime(Path(artifact.address, "choice.json"), (1e9, 1e9))
    again = place_at(Path(artifact.address))
    assert isinstance(again, Artifact)
    for one in (artifact, again, artifact):
        one.file("choice.json")
    assert len(read) == 1
    now = time.time_ns()
    for content in ("[]", "{}", "[]"):  # what was written just now may be written again in the same tick
        Path(artifact.address, "choice.json").write_text(content)
        os.utime(Path(artifact.address, "choice.json"), ns=(now, now))
        with nullcontext() if content == "{}" else pytest.raises(DataError, match="has SHA-256"):
            again.file("choice.json")
    assert len(read) == 4


def test_partitions_are_the_manifests_and_are_checked_where_they_are_read(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path / "root"), tmp_path)
    output = store.output("filter", "e" * 32)
    rows = {name: [name] for name in DOCUMENT_SCHEMA.names}
    for number in range(2):
        DocumentStore.into(output).write(pa.table(rows, schema=DOCUMENT_SCHEMA), "web", number)
    facts = {"started": "2026-01-01T00:00:00+00:00", "seconds": 0.1, "mashbill": "0", "counts": {}}
    made = {"stage": "filter", "fingerprint": "e" * 32, "version": 1, "settings": {}, "inputs": {}}
    artifact = store.commit(output, Manifest(**made, **facts))
    folder = Path(artifact.address, "documents", "web")
    shutil.copyfile(folder / "part-00000.parquet", folder / "part-00007.parquet")
    first, second = DocumentStore.of(artifact).partitions("web")
    assert [first.number, second.number] == [0, 1]
    change(artifact, "documents/web/part-00001.parquet")
    assert first.count() == 1
    assert second.count() == 1  # as the manifest says
    for read in (second.read, lambda: list(second.batches(["id"], 9))):
        with pytest.raises(DataError, match=r"part-00001\.parquet: has SHA-256"):
            read()
    with pytest.raises(DataError, match=r"part-00001\.parquet: has SHA-256"):
        DocumentStore.into(tmp_path / "next").adopt("web", DocumentStore.of(artifact))


CHILD = """
import sys
from pathlib import Path
from mashbill.artifacts import file_in
print(file_in(Path(sys.argv[1]), "choice.json").read_text())
"""


def test_another_process_checks_for_itself(artifact: Artifact) -> None:
    folder = artifact.here()
    change(artifact, "choice.json")
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode != 0
    assert "choice.json: has SHA-256" in done.stderr


@pytest.mark.parametrize("name", ["../choice.json", "/etc/passwd", "a/../../b", "", "a//b", "a\\b", "a\nb"])
def test_a_manifest_names_no_file_elsewhere(artifact: Artifact, name: str) -> None:
    path = Path(artifact.address, "manifest.json")
    text = path.read_text()
    assert '"choice.json"' in text
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n")
    path.write_text(text.replace('"choice.json"', f'"{escaped}"'))
    with pytest.raises(DataError, match="is not a manifest"):
        place_at(Path(artifact.address))
