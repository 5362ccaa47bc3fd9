"""What ingest takes of sources at their extremes: very many small objects of a store, one stream that nobody
can split, and lines of a store, whose bytes are counted before they are read.

    python benchmarks/many_files.py objects [--count 100000] [--folder FOLDER]
    python benchmarks/many_files.py stream [--gigabytes 50] [--folder FOLDER]
    python benchmarks/many_files.py lines [--gigabytes 2] [--folder FOLDER]

Objects are moto's, in a process of its own; what it takes is said too, as it shares the machine. The stream
is one gzip of many members, whose documents are paragraphs of random words, each a few times over. Lines come
from a small server of byte ranges, as moto reads an object whole for each range. Ingest runs in a process of
its own.
"""

import argparse
import gzip
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from page import Page

BUCKET, OBJECT_BYTES = "lake", 10_000
MEMBER_BYTES, DOCUMENT_BYTES, TIMES = 100_000_000, 40_000, 8
FILE_BYTES = 500_000_000
TICKS = os.sysconf("SC_CLK_TCK")
WORDS = [
    a + b + c
    for a in ("ba", "co", "di", "fu", "ge", "la")
    for b in "nrst"
    for c in ("", "a", "el", "ing", "or")
]
CONFIG = """
artifacts = "artifacts"
[corpus]
domains = [
  {{ name = "it", sources = [{{ path = "{path}" }}] }},
  {{ name = "other", sources = [{{ path = "other.jsonl" }}] }},
]
"""
MOTO = """
import sys
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer
bucket, count, size, port = sys.argv[1], *map(int, sys.argv[2:])
store = s3_backends["123456789012"]["aws"]
store.create_bucket(bucket, "eu-west-1")
for i in range(count):
    text = (f"object {i} has some words that it repeats. " * (size // 30))[:size]
    store.put_object(bucket, f"raw/{i // 1000:05}/{i:08}.txt", text.encode())
server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
server.start()
print("ready", flush=True)
sys.stdin.read()
"""
RANGES = Path(__file__).with_name("range_server.py")
INGEST = """
import json, logging, resource, sys, time
from measure import peak_bytes
from mashbill.config import load_config
from mashbill.corpus import ingest
from mashbill.corpus.sources import source_files
from mashbill.stages import job_of, stages_up_to
logging.basicConfig(level=logging.WARNING)
config, (stage,) = load_config(sys.argv[1]), stages_up_to("ingest")
seconds = {"listing": 0.0, "counting": 0.0}
def timed(name, function):
    def call(*args, **more):
        began = time.perf_counter()
        try:
            return function(*args, **more)
        finally:
            seconds[name] += time.perf_counter() - began
    return call
ingest.source_files = timed("listing", ingest.source_files)
everywhere = ingest._everywhere
def counted(run, work, items, **more):
    call = timed("counting", everywhere) if work is ingest.records_in else everywhere
    return call(run, work, items, **more)
ingest._everywhere = counted
before, began = peak_bytes(), time.perf_counter()
made = job_of(stage, config, {}).run()
seconds["all"] = time.perf_counter() - began
used = resource.getrusage(resource.RUSAGE_SELF)
print("FIGURES", json.dumps({
    **seconds, "peak": peak_bytes(), "before": before, "cpu": used.ru_utime + used.ru_stime,
    "documents": made.manifest.counts["documents_out"], "bytes": made.manifest.counts["bytes_out"],
}))
"""


def ingested(folder: Path, path: str, **environment: str) -> tuple[dict[str, float], list[str]]:
    """What ingest takes of a source, and its warnings."""
    (folder / "other.jsonl").write_text('{"text": "one more"}\n')
    (folder / "config.toml").write_text(CONFIG.format(path=path))
    command = [sys.executable, "-c", INGEST, str(folder / "config.toml")]
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": paths, **environment}
    result = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    if result.returncode:
        sys.exit(result.stderr[-3_000:])
    line = next(line for line in result.stdout.splitlines() if line.startswith("FIGURES"))
    warnings = [line for line in result.stderr.splitlines() if line.startswith("WARNING")]
    return json.loads(line.removeprefix("FIGURES")), warnings


@contextmanager
def served(*command: str) -> Iterator[tuple[int, dict[str, str]]]:
    """A server's process, for the time of the block, and the settings of who asks it.

    Args:
        command: that starts it, a port to be added; it says that it is ready, and ends with its input.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pipes: Mapping[str, Any] = {
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.DEVNULL,
    }
    with subprocess.Popen([sys.executable, *command, str(port)], **pipes) as process:
        assert process.stdin
        assert process.stdout
        if process.stdout.readline() != b"ready\n":
            sys.exit("the server does not start")
        settings = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_DEFAULT_REGION": "eu-west-1"}
        yield process.pid, {**settings, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
        process.stdin.close()


def cpu_seconds(process: int) -> float:
    """CPU seconds that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_bytes(process: int) -> int:
    """Memory that a process has."""
    pages = Path(f"/proc/{process}/statm").read_text(encoding="utf-8").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def objects(folder: Path, count: int) -> None:
    """Many small objects of a store."""
    with served("-c", MOTO, BUCKET, str(count), str(OBJECT_BYTES)) as (server, settings):
        page = Page("many_files", f"{count:,} objects of {OBJECT_BYTES // 1_000} kB in S3 (moto), ingested")
        size, before = resident_bytes(server), cpu_seconds(server)
        found, _ = ingested(folder, f"s3://{BUCKET}/raw", **settings)
        used = cpu_seconds(server) - before
    assert found["documents"] == count + 1
    page.table(("objects", "seconds", "of them listing", "CPU seconds", "peak memory", "objects a second"))
    page.row(
        (
            f"{count:,}",
            f"{found['all']:.0f}",
            f"{found['listing']:.1f}",
            f"{found['cpu']:.0f}",
            f"{found['peak'] / 1e9:.2f} GB",
            f"{count / found['all']:.0f}",
        )
    )
    page.say(
        f"The server, on the same cores, used {used:.0f} CPU seconds and {size / 1e9:.1f} GB of its own.",
        server_seconds=used,
    )
    page.save()


def stream(folder: Path, gigabytes: float) -> None:
    """One large gzip of lines."""
    dice = random.Random(0)
    lines, size = [], 0
    while size < MEMBER_BYTES:
        paragraph = " ".join(dice.choices(WORDS, k=DOCUMENT_BYTES // TIMES // 5))
        lines.append(json.dumps({"text": " ".join([paragraph] * TIMES)}) + "\n")
        size += len(lines[-1])
    member = gzip.compress("".join(lines).encode(), 6)
    times = round(gigabytes * 1e9 / size)
    with (folder / "it.jsonl.gz").open("wb") as file:
        for _ in range(times):
            file.write(member)
    packed = (folder / "it.jsonl.gz").stat().st_size
    page = Page("one_stream", f"One gzip of {times * size / 1e9:.0f} GB of lines, ingested as a stream")
    found, warnings = ingested(folder, "it.jsonl.gz")
    assert found["documents"] == times * len(lines) + 1
    page.table(("stream", "packed", "seconds", "MB a second", "CPU seconds", "peak memory"))
    page.row(
        (
            f"{times * size / 1e9:.0f} GB",
            f"{packed / 1e9:.2f} GB",
            f"{found['all']:.0f}",
            f"{times * size / 1e6 / found['all']:.0f}",
            f"{found['cpu']:.0f}",
            f"{found['peak'] / 1e9:.2f} GB",
        )
    )
    told = [line for line in warnings if "cannot be split" in line]
    page.say(f"It is told before: {'yes' if told else 'no'}, in a warning that names the file.")
    page.save()
    print("\n".join(told), file=sys.stderr)


def lines(folder: Path, gigabytes: float) -> None:
    """Lines of a disk and of a store, whose bytes are counted first."""
    dice = random.Random(0)
    texts = [" ".join(dice.choices(WORDS, k=600)) for _ in range(5_000)]
    (folder / "raw").mkdir()
    for i in range(max(1, round(gigabytes * 1e9 / FILE_BYTES))):
        with (folder / "raw" / f"{i}.jsonl").open("w") as file:
            while file.tell() < FILE_BYTES:
                file.writelines(json.dumps({"text": text}) + "\n" for text in texts)
    total = sum(path.stat().st_size for path in (folder / "raw").iterdir())
    page = Page("lines_twice", f"{total / 1e9:.1f} GB of lines, counted and then read")
    page.table(("where", "seconds", "of them counting", "share", "CPU seconds"))
    with served(str(RANGES), str(folder)) as (_, settings):
        for where, path in (("a disk", "raw"), ("a store, by ranges", "s3://here/raw")):
            found, _ = ingested(folder, path, **settings)
            share = found["counting"] / found["all"]
            cells = (f"{found['all']:.1f}", f"{found['counting']:.1f}", f"{share:.1%}", f"{found['cpu']:.1f}")
            page.row((where, *cells))
    page.save()


def main() -> None:
    """Measure one of them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("objects", "stream", "lines"))
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--gigabytes", type=float)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as made:
        if options.what == "objects":
            objects(Path(made), options.count)
        elif options.what == "stream":
            stream(Path(made), options.gigabytes or 50)
        else:
            lines(Path(made), options.gigabytes or 2)


if __name__ == "__main__":
    main()
