"""A setting that takes a path takes an s3:// address: what it names is found, copied and identified alike."""

from pathlib import Path

import boto3
import pytest

from builders.corpus import corpus_config, documents, run_stages, write_jsonl
from mashbill.config import PipelineConfig, load_config
from mashbill.errors import ConfigError, DataError
from mashbill.storage import Copies, local_path, path_identity

SETTING = "quality.classifier"


def configured(folder: Path, extra: str = "") -> PipelineConfig:
    """A config of two domains, with a scratch folder in its root."""
    for name in "ab":
        texts = [f"{name} {i % 20} with some more words in it" for i in range(40)]
        write_jsonl(folder / f"{name}.jsonl", texts)
    return corpus_config(folder, {"a": "a.jsonl", "b": "b.jsonl"}, extra=extra)


@pytest.fixture(params=["disk", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where files are put: a folder, or a prefix of a bucket."""
    if request.param == "disk":
        return str(tmp_path / "given")
    root: str = request.getfixturevalue("root")
    return root.removesuffix("/artifacts") + "/given"


def put(address: str, text: str) -> None:
    """Write a file at a path or an address."""
    if address.startswith("s3://"):
        bucket, _, key = address.removeprefix("s3://").partition("/")
        boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=text.encode())
        return
    Path(address).parent.mkdir(parents=True, exist_ok=True)
    Path(address).write_text(text)


def test_a_key_that_leads_elsewhere_is_copied_nowhere(root: str, tmp_path: Path) -> None:
    config, place = configured(tmp_path), root.removesuffix("/artifacts") + "/given"
    put(f"{place}/model/config.json", "{}")
    put(f"{place}/model/../../../../../led-elsewhere", "text")
    with pytest.raises(DataError, match="leaves"):
        local_path(config, "quality.family", f"{place}/model")
    assert not list(tmp_path.parent.rglob("led-elsewhere*"))


def test_a_file_comes_with_what_belongs_beside_it(place: str, tmp_path: Path) -> None:
    config = configured(tmp_path)
    beside = ("model.bin.json", "model.bin.txt")
    put(f"{place}/model.bin", "weights")
    put(f"{place}/model.bin.json", "rule")
    put(f"{place}/model.bin.old", "another")
    path = local_path(config, SETTING, f"{place}/model.bin", beside=beside)
    assert path.name == "model.bin"
    assert (path.read_text(), path.with_name("model.bin.json").read_text()) == ("weights", "rule")
    before = path_identity(config, SETTING, f"{place}/model.bin", beside=beside)
    assert [len(entry) for entry in before] == [3, 3]
    assert path_identity(config, SETTING, f"{place}/model.bin", beside=beside) == before
    other = "role" if place.startswith("s3") else "longer rule"  # a disk's clock may not tell one size apart
    put(f"{place}/model.bin.json", other)
    assert path_identity(config, SETTING, f"{place}/model.bin", beside=beside) != before
    again = local_path(config, SETTING, f"{place}/model.bin", beside=beside)
    assert again.with_name("model.bin.json").read_text() == other


def test_a_folder_comes_whole(place: str, tmp_path: Path) -> None:
    config = configured(tmp_path)
    put(f"{place}/model/config.json", "{}")
    put(f"{place}/model/deep/weights", "1")
    put(f"{place}/model-2/config.json", "none of it")
    folder = local_path(config, "quality.family", f"{place}/model/")
    files = {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}
    assert (folder.name, files) == ("model", {"config.json": "{}", "deep/weights": "1"})
    before = path_identity(config, "quality.family", f"{place}/model")
    put(f"{place}/model/deep/more", "2")
    assert len(path_identity(config, "quality.family", f"{place}/model")) == len(before) + 1


ODD_KEYS = (
    "a=b+c d%20%.bin",
    "é/☕.bin",
    "/begins.bin",
    "a//b.bin",
    "q?[1]*#&.bin",
    "back\\slash\there.bin",
    f"{'n' * 300}.bin",
    f"d/{'é' * 200}.bin",
    " in blanks ",
    "..x/.hidden",
    "$HOME/~/x.part",
)


@pytest.mark.parametrize("key", ODD_KEYS)
def test_any_key_is_copied_with_what_belongs_beside_it(key: str, root: str, tmp_path: Path) -> None:
    config, bucket = configured(tmp_path), root.removesuffix("/artifacts")
    for ending in ("", ".json", ".old"):
        put(f"{bucket}/{key}{ending}", f"text{ending}")
    beside = (Path(key).name + ".json",)
    path = local_path(config, SETTING, f"{bucket}/{key}", beside=beside)
    assert (path.read_text(), path.with_name(path.name + ".json").read_text()) == ("text", "text.json")
    assert path.suffix == Path(key).suffix
    named = [entry[0] for entry in path_identity(config, SETTING, f"{bucket}/{key}", beside=beside)]
    assert named == [f"{bucket}/{key}", f"{bucket}/{key}.json"]


def test_a_slash_at_the_end_means_the_folder_and_a_bucket_is_one(root: str, tmp_path: Path) -> None:
    config, bucket = configured(tmp_path), root.removesuffix("/artifacts")
    for key, text in (("m", "a file"), ("m/", ""), ("m/one", "1"), ("m-2", "another")):
        put(f"{bucket}/{key}", text)
    assert local_path(config, SETTING, f"{bucket}/m").read_text() == "a file"
    folder = local_path(config, "quality.family", f"{bucket}/m/")
    assert [(file.name, file.read_text()) for file in folder.iterdir()] == [("one", "1")]
    with pytest.raises(ConfigError, match="nothing is at"):
        local_path(config, "quality.family", f"{bucket}/m-2/")
    boto3.client("s3").delete_object(Bucket=bucket.removeprefix("s3://"), Key="m")
    assert local_path(config, "quality.family", f"{bucket}/m").name == "m"
    for given in (bucket, f"{bucket}/"):
        whole = local_path(config, "quality.family", given)
        assert (whole / "m" / "one").read_text() == "1"
        assert (whole / "m-2").read_text() == "another"


def test_what_is_not_there_is_told_by_its_setting(place: str, tmp_path: Path) -> None:
    config = configured(tmp_path)
    put(f"{place}/other", "x")
    for ask in (local_path, path_identity):
        with pytest.raises(ConfigError, match=r"quality\.classifier: .*lost\.bin.*; correct the path"):
            ask(config, SETTING, f"{place}/lost.bin")
    with pytest.raises(ConfigError, match="neither a path nor an address of a storage"):
        local_path(config, SETTING, "gs://bucket/model.bin")


def test_work_in_progress_is_on_a_disk(tmp_path: Path) -> None:
    configured(tmp_path)
    for field in ("scratch", "root"):
        with pytest.raises(ConfigError, match=f"{field} is s3://lake/x, an address; give a local folder"):
            load_config(tmp_path / "config.toml", {field: "s3://lake/x"})


def test_a_finished_corpus_on_s3_wins_over_a_later_one(root: str, tmp_path: Path) -> None:
    finished, later = tmp_path / "finished", tmp_path / "later"
    finished.mkdir()
    later.mkdir()
    remote = {"artifacts": root, "scratch": str(tmp_path / "scratch")}
    first = run_stages(configured(finished).model_copy(update=remote), "deduplicate")["deduplicate"]
    write_jsonl(later / "new.jsonl", ["a 3 with some more words in it", "what nobody has read before"])
    extra = f'[deduplication]\nagainst = ["{first.address}"]'
    write_jsonl(later / "more.jsonl", ["and more that is new"])
    config = corpus_config(later, {"n": "new.jsonl", "m": "more.jsonl"}, extra=extra)
    assert [d["text"] for d in documents(run_stages(config, "deduplicate")["deduplicate"], "n")] == [
        "what nobody has read before"
    ]
    copies = [p.name for p in (later / ".mashbill").rglob("*") if p.is_file()]
    assert {Path(name).suffix for name in copies} == {".npy", ".json"}, "only the index is copied"


def test_what_settings_name_is_kept_while_it_is_used_and_counts_among_the_copies(
    root: str, tmp_path: Path
) -> None:
    config, place = configured(tmp_path), root.removesuffix("/artifacts") + "/given"
    config = config.model_copy(update={"scratch": str(tmp_path / "scratch"), "scratch_bytes": 100})
    names = ("one.bin", "two.bin", "three.bin")
    for name in names:
        put(f"{place}/{name}", "x" * 40)
    with Copies.under(tmp_path / "scratch").held_within():
        held = [local_path(config, SETTING, f"{place}/{name}") for name in names]
        assert all(path.exists() for path in held), "more than the limit, as all are in use"
    put(f"{place}/four.bin", "x" * 40)
    last = local_path(config, SETTING, f"{place}/four.bin")
    there = list((tmp_path / "scratch" / "given").rglob("*.bin"))
    assert last in there
    assert len(there) == 2
