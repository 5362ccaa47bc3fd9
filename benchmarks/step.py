"""A training step: ours against Hugging Face's LlamaForCausalLM (sdpa) in the same loop, on one core.

    python benchmarks/step.py [--repeats 3] [--steps 4] [--compiled]

Shape, batch, precision (autocast to bf16 where the processor multiplies in it) and optimiser are the same;
each measurement is a process of its own, so that its peak of memory is its own. Both are measured in a plain
loop with torch's AdamW and under DeepSpeed's ZeRO 1; ours is also compared with itself, compiled by torch
block by block and as a whole.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from measure import peak_bytes
from page import Page

VOCABULARY, BATCH, CONTEXT = 32_000, 4, 512
SHAPE = {"layers": 4, "width": 256, "heads": 8, "kv_heads": 4, "feed_forward": 704, "context": CONTEXT}
LOOPS = {"plain": "a plain loop", "deepspeed": "DeepSpeed, ZeRO 1"}
WAYS = ("none", "blocks", "whole")
FASTER, SMALLER = 1.15, 0.7
Figures = dict[str, float]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--compiled", action="store_true", help="ours compiled by torch, too")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print("FIGURES" + json.dumps(measured(*arguments.one, steps=arguments.steps)))
        return
    title = (
        f"A step of {BATCH} x {CONTEXT} tokens, {VOCABULARY:,} in the vocabulary, width {SHAPE['width']}, "
        f"{SHAPE['layers']} layers, one core"
    )
    page = Page("step", title)
    compare_loops(page, arguments)
    if arguments.compiled:
        compare_compilation(page, arguments.steps)
    page.save()


def compare_loops(page: Page, arguments: argparse.Namespace) -> None:
    """Ours against theirs, in each loop."""
    page.table(
        [
            "loop",
            "ours, tokens a CPU second (spread)",
            "theirs",
            "ratio",
            "wall",
            "peak memory of theirs",
            "wanted",
        ]
    )
    said = []
    for loop, words in LOOPS.items():
        runs = {whose: [] for whose in ("ours", "theirs")}  # type: dict[str, list[Figures]]
        for _ in range(arguments.repeats):
            for whose, figures in runs.items():
                figures.append(apart(loop, whose, "none", arguments.steps))
        ours, theirs = (_median(runs[whose]) for whose in ("ours", "theirs"))
        faster, smaller = ours["cpu"] / theirs["cpu"], ours["peak"] / theirs["peak"]
        reached = faster >= FASTER and smaller <= SMALLER
        page.row(
            [
                words,
                _spread(runs["ours"]),
                _spread(runs["theirs"]),
                f"{faster:.2f}x",
                f"{ours['wall'] / theirs['wall']:.2f}x",
                f"{smaller:.2f}x ({ours['peak'] / 1e6:,.0f} against {theirs['peak'] / 1e6:,.0f} MB)",
                f"{FASTER}x, {SMALLER}x of memory: {'reached' if reached else 'MISSED'}",
            ]
        )
        said.append((words, loop, faster, smaller))
    for words, loop, faster, smaller in said:
        rates = f"{faster:.2f} times the tokens a CPU second in {smaller:.2f} of the memory"
        page.say(f"In {words} ours makes {rates}.", **{f"{loop}_faster": faster, f"{loop}_smaller": smaller})


def compare_compilation(page: Page, steps: int) -> None:
    """Ours as it is, compiled by block, and as a whole, once each, as compiling takes its time."""
    page.table(["compiled", "tokens a CPU second", "against none", "first step, seconds", "peak, MB"])
    runs = {how: apart("plain", "ours", how, steps) for how in WAYS}
    for how, found in runs.items():
        faster = found["cpu"] / runs["none"]["cpu"]
        cells = [f"{faster:.2f}x", f"{found['first']:.1f}", f"{found['peak'] / 1e6:,.0f}"]
        page.row([how, f"{found['cpu']:,.0f}", *cells])


def apart(loop: str, whose: str, how: str, steps: int) -> Figures:
    """One measurement in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
    command = [sys.executable, __file__, "--steps", str(steps), "--one", loop, whose, how]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        sys.exit(f"{loop}, {whose}, {how} failed:\n{done.stderr[-2_000:]}")
    line = next(line for line in done.stdout.splitlines() if line.startswith("FIGURES"))
    figures: Figures = json.loads(line.removeprefix("FIGURES"))
    return figures


def measured(loop: str, whose: str, how: str, *, steps: int) -> Figures:
    """Tokens a CPU second and a second of so many steps after the first, and the peak of memory in bytes."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    step = STEPS[loop](_model(whose, how), _loss(whose))
    batches = torch.randint(0, VOCABULARY, (steps + 1, BATCH, CONTEXT + 1))
    started = time.perf_counter()
    step(batches[0])
    first = time.perf_counter() - started
    wall, cpu = time.perf_counter(), time.process_time()
    for batch in batches[1:]:
        step(batch)
    tokens = steps * BATCH * CONTEXT
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {"cpu": tokens / cpu, "wall": tokens / wall, "first": first, "peak": float(peak_bytes())}


def _model(whose: str, how: Any) -> Any:
    from mashbill.config import ModelShape
    from mashbill.models.transformer import Transformer, compiled

    shape = ModelShape.model_validate(SHAPE)
    if whose == "ours":
        return compiled(Transformer(shape, VOCABULARY), how)
    from transformers import LlamaConfig, LlamaForCausalLM

    from mashbill.models.architecture import config_of

    return LlamaForCausalLM(LlamaConfig(**config_of(shape, VOCABULARY, 0), attn_implementation="sdpa"))


def _loss(whose: str) -> Callable[[Any, Any], Any]:
    """The loss of a model on [batch, tokens + 1] ids."""
    if whose == "ours":
        return lambda model, ids: model(ids[:, :-1], ids[:, 1:])

    def loss(model: Any, ids: Any) -> Any:
        inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
        return model(input_ids=inputs, labels=targets, shift_labels=targets).loss

    return loss


def _plain(model: Any, loss_of: Callable[[Any, Any], Any]) -> Callable[[Any], None]:
    import torch

    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1)

    def step(ids: Any) -> None:
        with _products():
            loss = loss_of(model, ids)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()

    return step


def _products() -> contextlib.AbstractContextManager[Any]:
    import torch

    from mashbill.models.optimisation import resolve_precision

    dtype = resolve_precision("auto")
    return torch.autocast("cpu", dtype, enabled=dtype != torch.float32)


def _deepspeed(model: Any, loss_of: Callable[[Any, Any], Any]) -> Callable[[Any], None]:
    import deepspeed

    os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    os.environ.setdefault("MASTER_PORT", str(20_000 + os.getpid() % 20_000))
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False  # it would be compiled, and is not used
    deepspeed.init_distributed(dist_backend="gloo")
    optimiser = {"lr": 1e-3, "betas": [0.9, 0.95], "weight_decay": 0.1, "torch_adam": True}
    settings = {
        "train_batch_size": BATCH,
        "gradient_clipping": 1.0,
        "optimizer": {"type": "AdamW", "params": optimiser},
        "zero_optimization": {"stage": 1},
        "bf16": {"enabled": True},
        "steps_per_print": 10**9,
    }
    engine = deepspeed.initialize(model=model, model_parameters=model.parameters(), config=settings)[0]

    def step(ids: Any) -> None:
        engine.backward(loss_of(engine, ids))
        engine.step()

    return step


STEPS = {"plain": _plain, "deepspeed": _deepspeed}


def _median(figures: list[Figures]) -> Figures:
    return {name: statistics.median(one[name] for one in figures) for name in figures[0]}


def _spread(figures: list[Figures]) -> str:
    rates = sorted(one["cpu"] for one in figures)
    return f"{statistics.median(rates):,.0f} ({rates[0]:,.0f}-{rates[-1]:,.0f})"


if __name__ == "__main__":
    main()
