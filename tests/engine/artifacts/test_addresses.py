"""Addresses lead to artifacts under the root, and nowhere else."""

from pathlib import Path

import pytest

from builders.corpus import corpus_config
from mashbill.artifacts import Artifact, ArtifactStore, Manifest
from mashbill.errors import ConfigError, DataError
from mashbill.search.earlier import find_earlier
from mashbill.storage import open_storage


def commit(store: ArtifactStore, part: str | None = None) -> Artifact:
    output = store.output("mix", "f" * 32)
    (output.folder / "file.txt").write_text("text")
    facts = {"started": "2026-01-01T00:00:00+00:00", "seconds": 0.1, "mashbill": "0", "counts": {}}
    made = {"stage": "mix", "fingerprint": "f" * 32, "version": 1, "settings": {}, "inputs": {}}
    return store.commit(
        output,
        Manifest(
            **made,
            **facts,
            part=part,
        ),
    )


@pytest.fixture
def roots(tmp_path: Path) -> tuple[ArtifactStore, ArtifactStore]:
    """A store, and another beside it that is not to be read; each with an artifact."""
    stores = tuple(ArtifactStore(str(tmp_path / name), tmp_path) for name in ("root", "elsewhere"))
    for store in stores:
        commit(store)
    return stores[0], stores[1]


KEY = "mix/ffffffffffffffff"


@pytest.mark.parametrize(
    "address",
    [
        "{root}/../elsewhere/" + KEY,
        "{root}/mix/../../elsewhere/" + KEY,
        "{root}/./../elsewhere/" + KEY,
        "{root}//../elsewhere/" + KEY,
        "{root}/mix/..\\..\\elsewhere/" + KEY,
        "{root}/%2e%2e/elsewhere/" + KEY,
        "{root}/..%2felsewhere/" + KEY,
        "{root}/mix/\0",
        "{root}/mix/\n",
        "{root}/",
        "{root}",
        "{elsewhere}/" + KEY,
        "../elsewhere/" + KEY,
        KEY,
        "",
        "s3://bucket/" + KEY,
        "file://{elsewhere}/" + KEY,
        "{root}x/" + KEY,
    ],
)
def test_an_address_that_leads_out_of_the_root_is_refused(
    address: str, roots: tuple[ArtifactStore, ArtifactStore]
) -> None:
    root, elsewhere = (store.storage.root for store in roots)
    with pytest.raises(DataError, match=r"leaves|not under|no artifact"):
        roots[0].open(address.format(root=root, elsewhere=elsewhere))


def test_an_address_is_normalised(roots: tuple[ArtifactStore, ArtifactStore]) -> None:
    root = roots[0].storage.root
    for address in (f"{root}/{KEY}/", f"{root}//mix/./ffffffffffffffff"):
        assert roots[0].open(address).address == f"{root}/{KEY}"


def test_a_symbolic_link_out_of_the_root_is_refused(roots: tuple[ArtifactStore, ArtifactStore]) -> None:
    root, elsewhere = (Path(store.storage.root) for store in roots)
    (root / "fit").symlink_to(elsewhere / "mix")
    with pytest.raises(DataError, match=r"is a symbolic link to .*elsewhere.*, outside"):
        roots[0].open(f"{root}/fit/ffffffffffffffff")
    inside = roots[0].open(f"{root}/{KEY}")
    (root / KEY / "file.txt").unlink()
    (root / KEY / "file.txt").symlink_to(elsewhere / KEY / "file.txt")  # the same bytes
    with pytest.raises(DataError, match="is a symbolic link to"):
        inside.file("file.txt")


def test_a_root_may_be_a_symbolic_link(roots: tuple[ArtifactStore, ArtifactStore], tmp_path: Path) -> None:
    (tmp_path / "linked").symlink_to(roots[0].storage.root)
    store = ArtifactStore(str(tmp_path / "linked"), tmp_path)
    assert store.open(f"{tmp_path}/linked/{KEY}").file("file.txt").read_text() == "text"


@pytest.mark.parametrize("part", ["../x", "a/b", "..", ".", "", ".hidden", "a\\b", "a\0b", "/etc"])
def test_a_part_is_a_folder_of_its_stage(part: str, tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path / "root"), tmp_path)
    for place in (store.find, store.scratch_folder):
        with pytest.raises(ConfigError, match="stage mix: part"):
            place("mix", "f" * 32, part)
    with pytest.raises(ConfigError, match="stage mix: part"):
        store.progress_path("mix", part)
    with pytest.raises(ConfigError, match="stage mix: part"):
        commit(store, part)


@pytest.mark.parametrize("key", ["../elsewhere/x", "mix/../../elsewhere/x", "/etc/passwd"])
@pytest.mark.parametrize("address", ["{folder}/root", "s3://bucket/artifacts"])
def test_a_storage_has_no_place_outside_its_root(
    key: str, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    storage = open_storage(address.format(folder=tmp_path), tmp_path / "scratch")
    with pytest.raises(DataError, match="leaves"):
        storage.place(key)
    with pytest.raises(DataError, match="leaves"):
        storage.fetch(key, size=1, sha256="0")


@pytest.mark.parametrize(
    "reuse", ["{elsewhere}/" + KEY, "{root}/../elsewhere/" + KEY, "root/../elsewhere/" + KEY]
)
def test_an_earlier_search_is_one_of_the_artifacts(
    reuse: str, roots: tuple[ArtifactStore, ArtifactStore], tmp_path: Path
) -> None:
    root, elsewhere = (store.storage.root for store in roots)
    extra = f'[plan]\nreuse = "{reuse.format(root=root, elsewhere=elsewhere)}"'
    config = corpus_config(tmp_path, {name: f"{name}.jsonl" for name in "ab"}, extra=extra)
    config = config.model_copy(update={"artifacts": root})
    with pytest.raises(ConfigError, match=r"plan\.reuse .*(not under|leaves) the artifact root"):
        find_earlier(config, {})
