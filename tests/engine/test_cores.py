"""A process uses the cores that it may use, not those that the machine has."""

import threading
from pathlib import Path

import pytest

from mashbill.cores import cores_here
from mashbill.partitions.spread import on_threads

MACHINE = 64


@pytest.fixture(autouse=True)
def large_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: MACHINE)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(MACHINE)))


def groups_of(folder: Path, files: dict[str, str]) -> Path:
    """A folder as cgroups are mounted."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{text}\n")
    return folder


@pytest.mark.parametrize(
    "own, files, cores",
    [
        ("0::/", {"cpu.max": "400000 100000"}, 4),
        ("0::/", {"cpu.max": "max 100000"}, MACHINE),
        ("0::/", {"cpu.max": "150000 100000"}, 2),
        ("0::/", {"cpu.max": "5000 100000"}, 1),
        ("0::/", {"cpu.max": "9900000 100000"}, MACHINE),
        ("0::/", {"cpu.max": "150000 50000"}, 3),
        ("0::/", {"cpu.max": "100000 0"}, MACHINE),
        ("0::/", {"cpu.max": ""}, MACHINE),
        ("0::/", {}, MACHINE),
        ("0::/pods/mine", {"pods/mine/cpu.max": "200000 100000"}, 2),
        ("0::/pods/mine", {"pods/mine/cpu.max": "max 100000", "pods/cpu.max": "300000 100000"}, 3),
        ("0::/pods/mine", {"pods/mine/cpu.max": "800000 100000", "pods/cpu.max": "500000 100000"}, 5),
        ("0::/pods/mine", {"pods/other/cpu.max": "100000 100000"}, MACHINE),
        ("0::/not/seen/here", {"cpu.max": "700000 100000"}, 7),
        ("0::/../../other", {"cpu.max": "200000 100000"}, 2),
        ("2:cpu:/", {"cpu/cpu.cfs_quota_us": "600000", "cpu/cpu.cfs_period_us": "100000"}, 6),
        ("2:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, MACHINE),
        (
            "4:cpu,cpuacct:/pod\n3:memory:/pod",
            {"cpu,cpuacct/pod/cpu.cfs_quota_us": "250000", "cpu,cpuacct/pod/cpu.cfs_period_us": "100000"},
            3,
        ),
    ],
)
def test_a_container_s_limit_is_read_from_its_groups(
    tmp_path: Path, own: str, files: dict[str, str], cores: int
) -> None:
    told = tmp_path / "cgroup"
    told.write_text(f"{own}\n")
    assert cores_here(groups_of(tmp_path / "groups", files), told) == cores


def test_without_groups_it_is_the_cores_that_the_process_may_run_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cores_here(tmp_path / "none", tmp_path / "none") == MACHINE
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {1, 5, 9})
    assert cores_here(tmp_path / "none", tmp_path / "none") == 3
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert cores_here(tmp_path / "none", tmp_path / "none") == 1


def test_work_is_spread_over_no_more_threads_than_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    assert len(set(on_threads(lambda _: threading.get_ident(), range(50)))) == 1


def test_no_more_items_are_taken_than_are_soon_worked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    items = iter(range(50))
    assert next(on_threads(lambda item: item, items)) == 0
    assert next(items) <= 4
