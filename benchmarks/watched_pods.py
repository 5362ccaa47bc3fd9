"""What following jobs on Kubernetes costs the process that waits for them, as Airflow's triggerer does.

    python benchmarks/watched_pods.py [--jobs 2000] [--seconds 30] [--changes 10]

A Kubernetes API of the tests, in a process of its own, has so many jobs of a pod each. All are followed in
one event loop: first while nothing happens, then while some pods a second change. The figure is the share of
a core that the following process takes; the API's is not in it.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from page import ROOT, Page

sys.path.insert(0, str(ROOT / "tests"))
from builders.kube import KubernetesApi, kubernetes_api
from builders.orders import order
from builders.pods import placed_in, pod_of, running, told
from mashbill.launch.backend import Handle
from mashbill.launch.kubernetes.job import JobBackend
from mashbill.launch.kubernetes.manifests import job

TARGET = 0.10


def serve(folder: Path, jobs: int) -> None:
    """Have a cluster with running jobs; change so many pods as each line of the standard input says."""
    with kubernetes_api(folder) as api:
        handles = [_running(api, number).text() for number in range(jobs)]
        (folder / "handles").write_text("\n".join(handles))
        print(api.kubeconfig, flush=True)
        for number, line in enumerate(sys.stdin):
            for index in range(int(line)):
                name = pod_of(_document((number * 7 + index) % jobs))["metadata"]["name"]
                told(api, "pods", name, {"message": f"change {number}"})


def _document(number: int) -> dict[str, Any]:
    document: dict[str, Any] = job(order(name=f"proxy-{number}", token=f"t{number}"))
    document["metadata"]["namespace"] = "default"
    return document


def _running(api: KubernetesApi, number: int) -> Handle:
    (made,) = api.put(_document(number))
    placed_in(api, pod_of(_document(number), status=running()))
    place = {"context": "admin", "namespace": "default", "server": api.url}
    name = made["metadata"]["name"]
    return Handle("job", name, f"t{number}", made["metadata"]["uid"], place)


async def follow(
    handles: list[Handle], server: subprocess.Popen[str], seconds: int, changes: int
) -> list[float]:
    """Share of a core at the start in seconds, then in quiet, then with changes."""
    backend, first, told_of = JobBackend(), asyncio.Event(), 0

    async def one(handle: Handle) -> None:
        nonlocal told_of
        async for state in backend.watch(handle):
            assert state.phase == "running", state
            told_of += 1
            if told_of == len(handles):
                first.set()

    before = time.process_time()
    following = [asyncio.create_task(one(handle)) for handle in handles]
    await first.wait()
    found = [time.process_time() - before]
    for each in (0, changes):
        before = time.process_time()
        for _ in range(seconds):
            assert server.stdin is not None
            server.stdin.write(f"{each}\n")
            server.stdin.flush()
            await asyncio.sleep(1)
        found.append((time.process_time() - before) / seconds)
    for task in following:
        task.cancel()
    await asyncio.gather(*following, return_exceptions=True)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2_000)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--changes", type=int, default=10)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve, given.jobs)
        return
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, __file__, "--serve", name, "--jobs", str(given.jobs)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            os.environ["KUBECONFIG"] = server.stdout.readline().strip()
            handles = [Handle.of(line) for line in Path(name, "handles").read_text().splitlines()]
            start, quiet, busy = asyncio.run(follow(handles, server, given.seconds, given.changes))
            assert server.stdin is not None
            server.stdin.close()
    page = Page("watched_pods", f"Following {given.jobs:,} jobs of a pod each in one event loop")
    page.table(["while", "share of a core", "target"])
    for what, share in (("nothing changes", quiet), (f"{given.changes} pods a second change", busy)):
        verdict = "reached" if share < TARGET else "MISSED"
        page.row([what, f"{share:.1%}", f"{TARGET:.0%} {verdict}"])
    page.say(f"Until all were known {start:.1f} CPU seconds went by.")
    page.save()


if __name__ == "__main__":
    main()
