"""A JSON file is replaced whole or not at all."""

import json
import subprocess
import sys
from pathlib import Path

WRITE_ON_A_FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from mashbill.artifacts import write_json
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # a write past it ends half-way, as on a full disk
write_json(Path(sys.argv[1]), "x" * 5000)
"""


def test_a_write_that_breaks_off_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    path.write_text(json.dumps({"step": 3}))
    broken = subprocess.run(
        [sys.executable, "-c", WRITE_ON_A_FULL_DISK, path], capture_output=True, text=True, check=False
    )
    assert "File too large" in broken.stderr
    assert json.loads(path.read_text()) == {"step": 3}
