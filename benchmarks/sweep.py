"""Throughput of a sweep: ours, against the loop one would write with transformers, one proxy at a time and
one process a proxy.

    make demo
    python benchmarks/sweep.py [--proxies 8] [--tokens 65536] [--repeats 3] [--device cpu|cuda]

Every way trains the same number of proxies of the demo's shape on the demo's tokens and measures every
validation set at the end, in a process tree of its own, start-up counted. On a GPU ours is a stack, and
beside transformers' loop stands our own one at a time.
"""

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from measure import require_gpu
from page import ROOT, Page

WAYS = {
    "plain": "transformers' Llama in a plain loop, one proxy after the other, torch's own threads",
    "processes": "the same loop, one process a proxy, one thread each, as many at once as there are cores",
    "bf16": "the same in processes, in bf16 where the hardware multiplies in it (torch.autocast)",
    "alone": "mashbill, one proxy at a time",
    "ours": "mashbill",
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default=str(ROOT / "dags" / "configs" / "demo.toml"))
    parser.add_argument("--proxies", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=65_536)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--way", choices=list(WAYS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        globals()[f"train_{arguments.way}"](arguments)
        return
    if arguments.device == "cuda":
        require_gpu("leave --device out")
    settings(arguments)  # ends here where the tokens are missing
    ways = ["plain", "processes", "bf16", "ours"] if arguments.device == "cpu" else ["plain", "alone", "ours"]
    figures: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(arguments.repeats):
        for way in ways:
            figures[way].append(measure(way))
    trained = arguments.proxies * arguments.tokens
    page = Page(
        "sweep" if arguments.device == "cpu" else "sweep_gpu",
        f"Sweep of {arguments.proxies} proxies, {arguments.tokens:,} tokens each, {arguments.device}",
    )
    page.table(
        ["way", "tokens a second (spread)", "tokens a CPU second", "ours against it, wall", "ours, CPU"]
    )
    ours = [statistics.median(column) for column in zip(*figures["ours"], strict=True)]
    for way in ways:
        walls, cpus = zip(*figures[way], strict=True)
        rate = (
            f"{trained / statistics.median(walls):,.0f} "
            f"({trained / max(walls):,.0f}-{trained / min(walls):,.0f})"
        )
        ratios = [f"{statistics.median(walls) / ours[0]:.1f}x", f"{statistics.median(cpus) / ours[1]:.1f}x"]
        page.row([WAYS[way], rate, f"{trained / statistics.median(cpus):,.0f}", *ratios])
    page.save()


def measure(way: str) -> tuple[float, float]:
    """Wall and CPU seconds of one way, in a process tree of its own."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, __file__, *sys.argv[1:], "--way", way]
    subprocess.run(command, check=True, env={**os.environ, "TOKENIZERS_PARALLELISM": "false"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - started, cpu


def settings(arguments: argparse.Namespace) -> tuple[Any, Any]:
    """The demo's config and token shards."""
    from mashbill.artifacts import open_store
    from mashbill.config import load_config
    from mashbill.tokens import TokenStore

    config = load_config(arguments.config, {"proxy.device": arguments.device})
    tokens = open_store(config).newest("tokenize")
    if tokens is None:
        sys.exit(
            "the demo's tokens are missing; run `make demo`, or `mashbill run tokenize --config "
            "dags/configs/demo.toml`"
        )
    return config, TokenStore(tokens.path)


def train_plain(arguments: argparse.Namespace) -> None:
    """transformers' model in the loop one would write, one proxy after the other."""
    for seed in range(arguments.proxies):
        transformers_loop(arguments, seed)


def train_bf16(arguments: argparse.Namespace) -> None:
    """The same, a process each, as exact as ours is."""
    train_processes(arguments, precision="auto")


def train_processes(arguments: argparse.Namespace, precision: str = "fp32") -> None:
    """The same, a process each."""
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), context, max_tasks_per_child=1) as pool:
        loop = partial(transformers_loop, arguments, precision=precision)
        list(pool.map(loop, range(arguments.proxies)))


def transformers_loop(arguments: argparse.Namespace, seed: int, precision: str = "fp32") -> None:
    """One proxy, in transformers' own precision or in that of ours."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from mashbill.models.architecture import config_of
    from mashbill.models.optimisation import resolve_precision

    dtype = resolve_precision(precision, arguments.device)
    products = partial(torch.autocast, arguments.device, dtype, enabled=dtype != torch.float32)
    config, store = settings(arguments)
    proxy, shape = config.proxy, config.proxy.model
    torch.manual_seed(seed)
    model = LlamaForCausalLM(LlamaConfig(**config_of(shape, store.vocabulary, store.end_of_text))).to(
        arguments.device
    )
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=proxy.learning_rate, betas=(0.9, 0.95), weight_decay=proxy.weight_decay
    )
    tokens = torch.from_numpy(store.train_tokens(store.domains[0])[: arguments.tokens].astype("int64"))
    if len(tokens) < arguments.tokens:
        sys.exit(
            f"{store.domains[0]} has {len(tokens):,} tokens; take fewer, so that every way trains as many"
        )
    for start in range(0, arguments.tokens, proxy.batch_sequences * shape.context):
        batch = (
            tokens[start : start + proxy.batch_sequences * shape.context]
            .view(-1, shape.context)
            .to(arguments.device)
        )
        with products():
            loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), proxy.gradient_clip)
        optimiser.step()
        optimiser.zero_grad()
    with torch.no_grad(), products():
        for name in store.set_names:
            tokens = torch.from_numpy(store.validation(name).tokens.astype("int64"))
            windows = (
                tokens[: len(tokens) // shape.context * shape.context]
                .view(-1, shape.context)
                .to(arguments.device)
            )
            for first in range(0, len(windows), 4_096 // shape.context):
                batch = windows[first : first + 4_096 // shape.context]
                float(model(input_ids=batch, labels=batch).loss)


def train_alone(arguments: argparse.Namespace) -> None:
    """Ours, one at a time."""
    train_ours(arguments, stack=1)


def train_ours(arguments: argparse.Namespace, stack: int | str = "auto") -> None:
    """The sweep's own groups: worker processes on a CPU, stacks on a GPU."""
    from mashbill.artifacts import StageRun
    from mashbill.mixtures import MixtureTable
    from mashbill.proxies.group import train_group

    config, store = settings(arguments)
    natural = store.natural()
    import numpy as np

    weights = np.repeat(np.array([list(natural.values())]), arguments.proxies, axis=0)
    mixtures = MixtureTable(np.arange(arguments.proxies), tuple(natural), weights)
    proxy = config.proxy.model_copy(update={"stack": stack})
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "output").mkdir()
        run = StageRun.here(
            config,
            {},
            output=Path(folder) / "output",
            scratch=Path(folder) / "scratch",
            progress=lambda share, words: None,
        )
        os.environ["OMP_NUM_THREADS"] = "1"
        trained = train_group(
            run,
            store,
            mixtures,
            rows=range(arguments.proxies),
            configs=[proxy],
            tokens=arguments.tokens,
            evaluations=1,
            tag=0,
            processes=(os.cpu_count() or 1) if arguments.device == "cpu" else 1,
        )
    print(json.dumps(trained.counts), file=sys.stderr)


if __name__ == "__main__":
    main()
