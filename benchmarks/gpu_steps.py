"""The steps that gpu_training.py times: ours under DeepSpeed, under DistributedDataParallel, the peer's."""

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from measure import peak_bytes

VOCABULARY, END_OF_TEXT, DOCUMENT_TOKENS, WARM = 32_000, 0, 700, 2
SMALL = {"layers": 2, "width": 64, "heads": 4, "kv_heads": 2, "feed_forward": 128, "context": 64}
STAGES = {"zero1": 1, "zero0": 0, "ddp": 0, "peer": 1}
Figures = dict[str, Any]
Step = Callable[[Any], float]
"""Takes a step on [micro-batches, sequences, context + 1] ids; the last loss."""


@dataclass(frozen=True)
class Case:
    """What is measured.

    Attributes:
        shape: of the model, by name; way: who takes the step, and under what.
        compile: none, blocks or whole; micro: sequences at once.
        recompute: of so many layers one is computed again; documents: 1 where they are kept apart.
    """

    shape: str
    way: str
    compile: str
    micro: int
    recompute: int
    documents: int

    @property
    def words(self) -> str:
        """It in a cell."""
        return ", ".join(str(value) for value in self.__dict__.values())


def measured(case: Case, arguments: argparse.Namespace) -> Figures:
    """Tokens a second of each step, MFU, peak of memory in bytes, seconds of the first step.

    A case that the peer does not have, or for which memory is too small, says so as trouble.
    """
    import torch

    if case.way == "peer" and (case.documents or case.recompute > 1 or "openelm" in case.shape):
        return {"trouble": "the peer has no such case"}
    on_gpu = arguments.device == "cuda"
    training = _training(case, arguments)
    try:
        step = WAYS.get(case.way, _ours)(case, training, torch.device(arguments.device))
        batches = _text(case, training, arguments)
        seconds = []
        for batch in batches:
            started = time.perf_counter()
            loss = step(batch)
            if on_gpu:
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - started)
    except torch.cuda.OutOfMemoryError:
        return {"trouble": "more memory than there is"}
    tokens = batches[0][..., 1:].numel()
    rates = [tokens / one for one in seconds[WARM:]]
    return {
        "rates": rates,
        "mfu": _mfu(sorted(rates)[len(rates) // 2], batches, case=case, arguments=arguments),
        "peak": float(torch.cuda.max_memory_reserved() if on_gpu else peak_bytes()),
        "first": seconds[0],
        "loss": loss,
    }


def _training(case: Case, arguments: argparse.Namespace) -> Any:
    from mashbill.config import ModelShape, TrainingConfig

    shape = ModelShape.model_validate(SMALL if case.shape == "small" else {"preset": case.shape})
    sequences = case.micro * arguments.accumulate
    return TrainingConfig(
        model=shape,
        tokens=max(1_000, sequences * shape.context * 1_000),
        batch_sequences=sequences,
        micro_batch_sequences=case.micro,
        precision="bf16",
        zero_stage=STAGES[case.way],
        compile=case.compile,
        recompute_every=case.recompute,
        document_masking=bool(case.documents),
        processes_per_node=1,
    )


def _text(case: Case, training: Any, arguments: argparse.Namespace) -> Any:
    """[steps, micro-batches, sequences, context + 1] ids; documents as long as text's are on average."""
    import torch

    made = torch.Generator().manual_seed(0)
    count, length = WARM + arguments.steps, training.model.context
    size = (count, arguments.accumulate, case.micro, length + 1)
    ids = torch.randint(1, VOCABULARY, size, generator=made)
    ends = torch.rand(size, generator=made) < 1 / min(DOCUMENT_TOKENS, length / 2)
    return ids.masked_fill(ends, END_OF_TEXT) if case.documents else ids


def _mfu(rate: float, batches: Any, *, case: Case, arguments: argparse.Namespace) -> float | None:
    import torch

    from mashbill.config.recipe import HardwareConfig
    from mashbill.models.sizes import flops_per_token, mean_span
    from mashbill.training.hardware import peak_of_device
    from mashbill.training.metrics import model_flops_utilisation

    shape, span = _training(case, arguments).model, None
    if case.documents:
        ends = (batches[..., :-1] == END_OF_TEXT).reshape(-1, shape.context)
        ends[:, -1] = True
        places = ends.flatten().nonzero().flatten()
        span = mean_span(torch.diff(places, prepend=torch.tensor([-1])).tolist(), shape.context)
    name = torch.cuda.get_device_name() if arguments.device == "cuda" else "cpu"
    peak = peak_of_device(name, HardwareConfig(peak_tflops=arguments.peak_tflops))
    flops = flops_per_token(shape, VOCABULARY, span=span)
    return model_flops_utilisation(rate, flops, peak_flops=peak, processors=1)


def _start(device: Any) -> None:
    from mashbill.training.engine import start_processes

    os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    os.environ |= {"MASTER_PORT": "0", **({"DS_ACCELERATOR": "cpu"} if device.type == "cpu" else {})}
    start_processes(device.type)


def _ours(case: Case, training: Any, device: Any) -> Step:
    del case  # the recipe has all of it
    from mashbill.models.transformer import Transformer
    from mashbill.training.engine import Engine

    _start(device)
    model = Transformer(training.model, VOCABULARY)
    engine = Engine(model, training, device, end_of_text=END_OF_TEXT)
    engine.set_rate(1e-4)

    def step(batch: Any) -> float:
        for rows in batch:
            micro = engine.forward(rows)
            engine.backward(micro)
            engine.step()
        return float(micro.nats) / micro.counted

    return step


def _ddp(case: Case, training: Any, device: Any) -> Step:
    import torch
    from torch.nn.parallel import DistributedDataParallel

    from mashbill.models.attention import Documents
    from mashbill.models.optimisation import weight_decay_groups
    from mashbill.models.transformer import Transformer, compiled

    _start(device)
    model = Transformer(training.model, VOCABULARY).to(device)
    model.recompute_every = case.recompute
    parallel = DistributedDataParallel(compiled(model, training.compile), gradient_as_bucket_view=True)
    optimiser = _adamw(weight_decay_groups(model, training.weight_decay))

    def step(batch: Any) -> float:
        for i, rows in enumerate(batch):
            inputs, targets = rows[:, :-1].contiguous(), rows[:, 1:].contiguous()
            apart = Documents.of(inputs, END_OF_TEXT).to(device) if case.documents else None
            parallel.require_backward_grad_sync = i == len(batch) - 1
            with torch.autocast(device.type, torch.bfloat16):
                loss = parallel(inputs.to(device), targets.to(device), documents=apart)
            (loss / len(batch)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), training.gradient_clip)
        optimiser.step()
        optimiser.zero_grad()
        return float(loss)

    return step


def _peer(case: Case, training: Any, device: Any) -> Step:
    import deepspeed
    from transformers import LlamaConfig, LlamaForCausalLM

    from mashbill.models.architecture import config_of
    from mashbill.training.recipe import deepspeed_config

    _start(device)
    described = LlamaConfig(**config_of(training.model, VOCABULARY, END_OF_TEXT), attn_implementation="sdpa")
    with device:
        model = LlamaForCausalLM(described)
    if case.recompute:
        model.gradient_checkpointing_enable()
    if case.compile != "none":
        model.compile()
    settings = deepspeed_config(training)
    settings.pop("optimizer", None)
    optimiser = _adamw(model.parameters())
    engine: Any = deepspeed.initialize(model=model, optimizer=optimiser, config=settings)[0]

    def step(batch: Any) -> float:
        for rows in batch:
            inputs, targets = (part.contiguous().to(device) for part in (rows[:, :-1], rows[:, 1:]))
            loss = engine(input_ids=inputs, labels=targets, shift_labels=targets).loss
            engine.backward(loss)
            engine.step()
        return float(loss)

    return step


def _adamw(weights: Any) -> Any:
    import torch

    return torch.optim.AdamW(weights, lr=1e-4, betas=(0.9, 0.95), fused=True)


WAYS: dict[str, Callable[[Case, Any, Any], Step]] = {"ddp": _ddp, "peer": _peer}
