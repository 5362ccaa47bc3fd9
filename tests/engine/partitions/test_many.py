"""A hundred thousand partitions are planned, numbered and told in less than a gigabyte."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from builders.checkout import TESTS

PARTITIONS, MOST_BYTES = 100_000, 1_000_000_000
SCRIPT = """
import sys
from pathlib import Path
from builders.memory import peak_bytes
from mashbill.artifacts import ArtifactStore, FileEntry, Manifest, Output, Pace
from mashbill.config import EngineConfig
from mashbill.dedup.numbers import Numbered, Numbering
from mashbill.documents import DocumentStore
from mashbill.partitions import spread
folder, count = Path(sys.argv[1]), int(sys.argv[2])
place = folder / "filter" / ("f" * 16)
place.mkdir(parents=True)
name = "documents/web/part-{:05d}.parquet"
files = tuple(FileEntry(path=name.format(i), bytes=1, sha256=f"{i:064x}", rows=40_000) for i in range(count))
made = {"stage": "filter", "fingerprint": "f" * 32, "version": 1, "settings": {}, "inputs": {}, "counts": {}}
facts = {"started": "2026-01-01T00:00:00+00:00", "seconds": 0.1, "mashbill": "0"}
(place / "manifest.json").write_text(Manifest(**made, **facts, files=files).as_text())
del files
partitions = DocumentStore.of(ArtifactStore(str(folder), folder).open(str(place))).partitions("web")
numbered = [Numbered(i, "web", one, 40_000 * i, one.count(), False) for i, one in enumerate(partitions)]
numbering, output, pace = Numbering(numbered, 4_096), Output.at(folder / "output"), Pace(count)
def work(item):
    entry = FileEntry(path=f"documents/web/{item.number}", bytes=1, sha256=f"{item.number:064x}", rows=1)
    output.tell([entry])
    return item.rows
total = 0
for rows in spread(EngineConfig(), work, numbering.corpus):
    total += rows
    pace.after(1)
assert total == numbering.documents == 40_000 * count
assert sum(len(numbering.in_range(range_)) for range_ in range(4_096)) == count
(folder / "output").mkdir()
assert len(output.described()) == count
print(peak_bytes())
"""


@pytest.mark.slow
def test_the_driver_of_a_hundred_thousand_partitions_stays_small(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), str(PARTITIONS)]
    paths = {**os.environ, "PYTHONPATH": str(TESTS)}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=paths)
    assert result.returncode == 0, result.stderr[-2_000:]
    assert int(result.stdout) < MOST_BYTES
