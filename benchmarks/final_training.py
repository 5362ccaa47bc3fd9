"""ZeRO 1 beside DistributedDataParallel, what a checkpoint costs, and how long a training takes to begin.

    python benchmarks/final_training.py [--repeats 3] [--steps 40]

Two processes on this machine's CPU, in full precision, with the same model, text, optimiser and clipping, in
turn.
The second part is a training by its own worker under torchrun, with a checkpoint every few steps.
"""

import argparse
import csv
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from page import ROOT, Page

sys.path.insert(0, str(ROOT / "tests"))
from builders.token_stores import VOCABULARY, write_store
from mashbill.config import ModelShape, TrainingConfig
from mashbill.config.final_run import CheckpointsConfig
from mashbill.models.optimisation import weight_decay_groups
from mashbill.models.sizes import ADAM_BETAS, parameter_count
from mashbill.models.transformer import Transformer
from mashbill.training.engine import EPSILON, Engine, start_processes
from mashbill.training.job import Job

SHAPE = ModelShape(layers=4, width=256, heads=4, kv_heads=4, feed_forward=768, context=256)
TOKENS, BATCH = 8_192, 8  # of the vocabulary; sequences of a process and step
TRAINING = TrainingConfig(
    model=SHAPE,
    tokens=10**6,
    batch_sequences=2 * BATCH,
    micro_batch_sequences=BATCH,
    precision="fp32",
    zero_stage=1,
    processes_per_node=2,
)
WARM = 5


def started(*arguments: str) -> "subprocess.Popen[str]":
    """Two processes under torchrun."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        *arguments,
    ]
    environment = {"DS_ACCELERATOR": "cpu", "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **environment},
    )


def torchrun(*arguments: str) -> str:
    """What two processes print."""
    process = started(*arguments)
    printed, _ = process.communicate()
    if process.returncode:
        sys.exit(f"torchrun {' '.join(arguments)} failed")
    return printed


def steps_by(kind: str, steps: int) -> None:
    """Take steps in one of two processes, and print what they took."""
    start_processes("cpu")
    torch.set_num_threads(1)
    model = Transformer(SHAPE, TOKENS, 0)
    rows = torch.randint(0, TOKENS, (BATCH, SHAPE.context + 1), generator=torch.Generator().manual_seed(1))
    if kind == "zero":
        engine = Engine(model, TRAINING, torch.device("cpu"), end_of_text=0)
        engine.set_rate(1e-4)

        def step() -> None:
            engine.backward(engine.forward(rows))
            engine.step()
    else:
        parallel = torch.nn.parallel.DistributedDataParallel(model)
        groups = weight_decay_groups(model, TRAINING.weight_decay)
        optimiser = torch.optim.AdamW(groups, lr=1e-4, betas=ADAM_BETAS, eps=EPSILON, fused=True)

        def step() -> None:
            parallel(rows[:, :-1].contiguous(), rows[:, 1:].contiguous()).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), TRAINING.gradient_clip)
            optimiser.step()
            optimiser.zero_grad()

    for _ in range(WARM):
        step()
    started, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    for _ in range(steps):
        step()
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    tokens = steps * BATCH * SHAPE.context
    if torch.distributed.get_rank() == 0:
        print(json.dumps({"wall": tokens / wall, "cpu": tokens / cpu}), flush=True)
    torch.distributed.barrier()
    os._exit(0)


def measured_steps(page: Page, repeats: int, steps: int) -> None:
    """ZeRO 1 and DistributedDataParallel in turn."""
    found: dict[str, list[dict[str, float]]] = {"ddp": [], "zero": []}
    for _ in range(repeats):
        for kind, runs in found.items():
            runs.append(json.loads(torchrun(__file__, "--of", kind, "--steps", str(steps)).splitlines()[-1]))
    page.say(
        f"{parameter_count(SHAPE, TOKENS):,} parameters, {BATCH} x {SHAPE.context} tokens a process and step."
    )
    page.table(["", "tokens a second and process (spread)", "tokens a CPU second (spread)"])
    middle = {}
    for kind, name in (("ddp", "DistributedDataParallel"), ("zero", "DeepSpeed, ZeRO 1")):
        columns = []
        for unit in ("wall", "cpu"):
            values = [run[unit] for run in found[kind]]
            middle[kind, unit] = statistics.median(values)
            columns.append(f"{middle[kind, unit]:,.0f} ({min(values):,.0f}-{max(values):,.0f})")
        page.row([name, *columns])
    wall, cpu = (middle["zero", unit] / middle["ddp", unit] for unit in ("wall", "cpu"))
    page.say(
        f"ZeRO 1 makes {wall:.2f} times the tokens a second, {cpu:.2f} times those of a CPU second.",
        zero_cpu=cpu,
    )


def measured_training(page: Page) -> None:
    """A training with checkpoints, by its own worker."""
    every, steps = 10, 80
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stream = np.random.default_rng(0).integers(1, VOCABULARY, 200_000)
        store = write_store(folder / "store", {"a": (stream, stream[:300])})
        (folder / "scratch").mkdir()
        (folder / "output").mkdir()
        training = TRAINING.model_copy(
            update={
                "tokens": steps * 2 * BATCH * SHAPE.context,
                "checkpoint_steps": every,
                "evaluations": 1,
                "checkpoints": CheckpointsConfig(keep=1),
            }
        )
        Job(
            training=training,
            seed=0,
            phases=[{"share": 1.0, "mixture": {"a": 1.0}}],
            tokens=str(store.folder),
            scratch=str(folder / "scratch"),
            output=str(folder / "output"),
            checkpoints=str(folder / "scratch"),
            copies=str(folder / "copies"),
            accelerator="cpu",
        ).write(folder)
        begun = time.monotonic()
        process = started("-m", "mashbill.training.worker", str(folder / Job.FILE))
        curve = folder / "scratch" / "curve.csv"
        while process.poll() is None and not (curve.exists() and curve.read_text().count("\n") > 1):
            time.sleep(0.05)
        first = time.monotonic() - begun
        process.communicate()
        rows = list(csv.DictReader(curve.open()))
        saves = list(csv.DictReader((folder / "scratch" / "saves.csv").open()))
    stalls = [float(row["stalled_seconds"]) for row in saves]
    step = statistics.median(float(row["step_seconds"]) for row in rows[WARM:])
    share = statistics.median(stalls) / (500 * step)
    typical, least, most = statistics.median(stalls), min(stalls), max(stalls)
    often = f"{100 * share:.2f}% of the time at one every 500 steps of {step:.2f} s"
    words = f"A checkpoint stops training for {typical:.3f} s ({least:.3f}-{most:.3f}), {often}."
    page.say(words, stall_seconds=most)
    page.say(
        f"From launch to the end of the first step: {first:.1f} s, nothing compiled.", launch_seconds=first
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--of", default="")
    arguments = parser.parse_args()
    if arguments.of:
        steps_by(arguments.of, arguments.steps)
    page = Page("final_training", "The final training's step, checkpoints and launch, two processes on a CPU")
    measured_steps(page, arguments.repeats, arguments.steps)
    measured_training(page)
    page.save()


if __name__ == "__main__":
    main()
