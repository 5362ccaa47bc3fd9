"""Lines beside a training wait for room on a disk that is really full, and are whole and in order."""

from pathlib import Path

from builders.disks import PAGE, small_disk
from mashbill.training.patient_file import PatientFile


def rows(*numbers: int) -> str:
    return "".join(f"{number},{'x' * 90}\n" for number in numbers)


def add(file: PatientFile, *numbers: int) -> None:
    for number in numbers:
        file.add(f"{number},{'x' * 90}", "step,words")


def test_lines_that_find_no_room_wait_in_order_and_are_told_once(tmp_path: Path) -> None:
    told: list[str] = []
    with small_disk(tmp_path / "disk", 16 * PAGE) as disk:
        path = disk.folder / "curve.csv"
        file = PatientFile(path, told.append, headed=True)
        add(file, 0, 1)
        disk.fill()
        add(file, *range(2, 100))  # some find room in the page that is begun
        there = path.read_text()
        assert there == "step,words\n" + rows(*range(len(there.splitlines()) - 1))
        assert 2 < len(there.splitlines()) < 60
        assert len(told) == 1
        assert "curve.csv cannot be written" in told[0]
        disk.free()
        add(file, 100)
        assert path.read_text() == "step,words\n" + rows(*range(101))


def test_a_new_file_on_a_full_disk_begins_with_its_head_when_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4 * PAGE) as disk:
        disk.fill()
        file = PatientFile(disk.folder / "curve.csv", lambda words: None, headed=True)
        add(file, 1, 2)
        disk.free()
        file.settle()
        assert (disk.folder / "curve.csv").read_text() == "step,words\n" + rows(1, 2)


def test_going_back_needs_no_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 8 * PAGE) as disk:
        path = disk.folder / "curve.csv"
        file = PatientFile(path, lambda words: None, headed=True)
        add(file, *range(1, 41))
        disk.fill()
        add(file, *range(41, 90))
        file.keep_while(lambda row: int(row.split(",")[0]) <= 20)
        assert path.read_text() == "step,words\n" + rows(*range(1, 21))
        assert file.waiting == []


def test_a_last_line_without_its_end_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    path.write_text("step,words\n" + rows(1, 2) + "3,xx")
    file = PatientFile(path, lambda words: None, headed=True)
    add(file, 3)
    assert path.read_text() == "step,words\n" + rows(1, 2, 3)
