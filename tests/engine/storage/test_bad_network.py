"""A bucket behind a network that refuses, delays and cuts answers off: what is asked for is had, or told."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from builders import curation
from builders.proxy import KINDS, Cut, Fault, Faults, Held, Refused, at_random
from mashbill.errors import RunError
from mashbill.storage import open_storage, retries, s3_bucket

MANY = {f"many/{i:04}.txt": f"text {i}" for i in range(12)}
LARGE = bytes(range(256)) * 33_000  # more than is sent in one piece


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST_SECONDS", 0.001)


def first_times(kind: str, *faults: Fault) -> Faults:
    """Faults of the first requests of a kind; the others pass."""
    left = list(faults)
    return lambda asked, _: left.pop(0) if asked == kind and left else None


def file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def keys_in(root: str) -> set[str]:
    """Keys of a bucket, asked without the network's faults."""
    bucket = root.removeprefix("s3://").partition("/")[0]
    listed = boto3.client("s3").list_objects_v2(Bucket=bucket).get("Contents", ())
    return {entry["Key"].removeprefix("artifacts/") for entry in listed}


FAULTS = [Refused(), Refused(500, "InternalError"), Refused(429, ""), Cut(None), Cut(0.0), Cut(0.6)]


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
def test_each_kind_of_request_is_asked_again(
    fault: Fault, root: str, tmp_path: Path, behind: Callable[[Faults], Any]
) -> None:
    left = dict.fromkeys(KINDS, 2)

    def twice(kind: str, _: str) -> Fault | None:
        left[kind] -= 1
        return fault if left[kind] >= 0 else None

    proxy = behind(twice)
    storage = open_storage(root, tmp_path)
    for key, text in MANY.items():
        storage.put(file(tmp_path / "one", text.encode()), key)
    assert storage.keys("many") == sorted(MANY)
    assert storage.exists("many/0003.txt")
    assert not storage.exists("many/lost.txt")
    assert storage.read("many/0003.txt") == b"text 3"
    assert bytes(storage.part("many/0003.txt", 1, 3)) == b"ext"
    sum_of = hashlib.sha256(b"text 3").hexdigest()
    assert storage.fetch("many/0003.txt", size=6, sha256=sum_of).read_bytes() == b"text 3"
    storage.put(file(tmp_path / "large", LARGE), "large")
    storage.adopt(storage, "large", "copies/large")
    storage.adopt(storage, "many/0003.txt", "copies/small")
    assert [storage.read(f"copies/{name}") for name in ("large", "small")] == [LARGE, b"text 3"]
    storage.discard("many")
    assert storage.keys("") == ["copies/large", "copies/small", "large"]
    assert {kind for kind, _ in proxy.met} == set(KINDS)
    assert sum(proxy.met.values()) == 2 * len(KINDS)


@pytest.mark.parametrize("share", [None, 0.0, 0.5])
def test_a_commit_whose_answer_is_lost_is_this_ones(
    share: float | None, root: str, tmp_path: Path, behind: Callable[[Faults], Any]
) -> None:
    lost, written = [Cut(share)], list[str]()

    def manifest_lost(kind: str, path: str) -> Fault | None:
        written.extend([Path(path).name] if kind == "put" else [])
        return lost.pop() if lost and kind == "put" and "manifest" in path else None

    behind(manifest_lost)
    storage = open_storage(root, tmp_path)
    for name, first in (("a", True), ("b", False)):
        folder = tmp_path / name
        folder.mkdir()
        file(folder / "data", name.encode())
        file(folder / "manifest.json", name.encode())
        assert storage.commit(folder, "stage/one", "manifest.json", attempt=name) is first
    assert storage.read("stage/one/manifest.json") == b"a"
    assert written[:2] == ["data", "manifest.json"], "what it names is there before it"


def test_what_an_answer_holds_back_is_removed_in_the_end_or_named(
    root: str, tmp_path: Path, behind: Callable[[Faults], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(root, tmp_path)
    for key, text in MANY.items():
        storage.put(file(tmp_path / "one", text.encode()), key)
    behind(first_times("delete", Held(), Held("SlowDown")))
    monkeypatch.setattr(s3_bucket, "REMOVED_AT_ONCE", 5)
    open_storage(root, tmp_path / "again").discard("many")
    assert not keys_in(root)
    storage.put(file(tmp_path / "one", b"text"), "many/0001.txt")
    behind(first_times("delete", Held("AccessDenied")))
    with pytest.raises(RunError, match=r"many/0001\.txt: may not be removed: the right s3:DeleteObject is"):
        open_storage(root, tmp_path / "again").discard("many")


def test_what_an_answer_holds_back_for_good_is_told(
    root: str, tmp_path: Path, behind: Callable[[Faults], Any]
) -> None:
    storage = open_storage(root, tmp_path)
    storage.put(file(tmp_path / "one", b"text"), "many/0001.txt")
    behind(lambda kind, _: Held("SlowDown") if kind == "delete" else None)
    with pytest.raises(
        RunError, match=r"many/0001\.txt: cannot be removed: the store refused 8 times \(SlowDown"
    ):
        open_storage(root, tmp_path / "again").discard("many")
    assert keys_in(root) == {"many/0001.txt"}


@pytest.mark.parametrize("fault", [Refused(), Cut(None)], ids=repr)
def test_a_store_that_never_answers_is_one_line(
    fault: Fault, root: str, tmp_path: Path, behind: Callable[[Faults], Any]
) -> None:
    open_storage(root, tmp_path).put(file(tmp_path / "one", b"text"), "one")
    behind(lambda kind, path: fault)
    storage = open_storage(root, tmp_path / "again")
    asks: list[Callable[[], object]] = [
        lambda: storage.read("one"),
        lambda: storage.keys("many"),
        lambda: storage.put(file(tmp_path / "one", b"text"), "two"),
        lambda: storage.put(file(tmp_path / "one", LARGE), "large"),
        lambda: storage.adopt(storage, "one", "three"),
        lambda: storage.part("one", 0, 2),
        lambda: storage.fetch("one", size=4, sha256="0" * 64),
        lambda: storage.discard("one"),
    ]
    for ask in asks:
        with pytest.raises(RunError, match=r"^s3://lake[^\n]+$") as caught:
            ask()
        assert caught.value.mend


@pytest.mark.parametrize(
    "fault, times",
    [(Refused(), 8), (Cut(None), 8), (Refused(501, "NotImplemented"), 1), (Refused(403, "AccessDenied"), 1)],
    ids=repr,
)
def test_a_request_is_sent_eight_times_and_once_where_no_later_one_is_answered_otherwise(
    fault: Fault, times: int, root: str, tmp_path: Path, behind: Callable[[Faults], Any]
) -> None:
    proxy = behind(lambda kind, path: fault)
    with pytest.raises(RunError):
        open_storage(root, tmp_path).read("one")
    assert proxy.asked["get"] == times


def test_waits_double_up_to_a_cap_and_are_drawn_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST_SECONDS", 0.5)
    for attempt, longest in enumerate([0.5, 1, 2, 4, 8, 16, 20, 20, 20], 1):
        drawn = [retries.seconds_before(attempt) for _ in range(200)]
        assert longest / 2 <= min(drawn) < longest * 0.6
        assert longest * 0.9 < max(drawn) <= longest


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_curation_through_a_bad_network_gives_the_same_files(
    seed: int, root: str, tmp_path: Path, behind: Callable[[Faults], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    curation.write(tmp_path)
    monkeypatch.setenv("MASHBILL_SCRATCH", str(tmp_path / "scratch"))
    expected = curation.run(tmp_path, str(tmp_path / "alone"))
    proxy = behind(at_random(seed, 0.15))
    assert curation.run(tmp_path, root) == expected
    assert {kind for kind, _ in proxy.met} >= {"list", "get", "head", "put"}
    assert not [key for key in keys_in(root) if ".work/" in key]
