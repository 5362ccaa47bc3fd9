"""Training one proxy: a small transformer on one mixture, measured on every validation set as it goes.

A killed proxy starts again from its beginning (it costs seconds to minutes), a finished one is kept by its group.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mashbill.artifacts import Progress
from mashbill.config import ProxyConfig
from mashbill.mixtures import MixtureLoader, Schedule
from mashbill.models.huggingface import save_model
from mashbill.models.measuring import bits_per_byte
from mashbill.models.optimisation import learning_rate_at, resolve_precision, weight_decay_groups
from mashbill.models.sizes import ADAM_BETAS
from mashbill.models.transformer import Transformer
from mashbill.tokens import TokenStore


@dataclass(frozen=True)
class ProxyResult:
    """What became of one proxy.

    Attributes:
        trajectory: step, tokens and bits per byte of every set, at each evaluation.
        tokens: tokens trained on.
        seconds: time it took.
        failed: why it failed; empty where it didn't.
    """

    trajectory: list[dict[str, float]]
    tokens: int
    seconds: float
    failed: str = ""


def train_proxy(
    store: TokenStore,
    mixture: Mapping[str, float] | Schedule,
    config: ProxyConfig,
    *,
    tokens: int,
    evaluations: int,
    seed: int,
    folder: Path,
    progress: Progress,
) -> ProxyResult:
    """Train one proxy and write it as a Hugging Face folder.

    Args:
        store: the token shards.
        mixture: weight of each domain, or a schedule; the sets are then measured at every phase's end, too.
        config: shape and optimisation.
        tokens: tokens to train on, rounded to whole batches.
        evaluations: times the validation sets are measured, the last at the end.
        seed: seed of weights and order.
        folder: where the model is written.
        progress: told of every evaluation and now and then between.
    """
    torch.set_num_threads(1)
    context, batch = config.model.context, config.batch_sequences
    steps = max(1, round(tokens / (context * batch)))
    model = Transformer(config.model, store.vocabulary, seed)
    loader = MixtureLoader({d: store.train_tokens(d) for d in store.domains}, mixture, context=context, sequences=steps * batch, seed=seed)
    optimiser = torch.optim.AdamW(weight_decay_groups(model, config.weight_decay), lr=config.learning_rate, betas=ADAM_BETAS, fused=True)
    measured_at = {round(steps * (i + 1) / evaluations) for i in range(evaluations)}
    measured_at |= set(mixture.ends(steps)) if isinstance(mixture, Schedule) else set()
    trajectory: list[dict[str, float]] = []
    started = time.monotonic()
    for step in range(steps):
        rate = learning_rate_at(step, steps, config.learning_rate, config.min_learning_rate, config.warmup_share)
        loss = _step(model, optimiser, loader.sequences_at(np.arange(step * batch, (step + 1) * batch)), config, rate)
        if not math.isfinite(loss):
            return ProxyResult(trajectory, (step + 1) * batch * context, time.monotonic() - started, f"loss is {loss} at step {step}")
        if step % 20 == 0:
            progress(step / steps, f"step {step} of {steps}, loss {loss:.2f}")
        if step + 1 in measured_at:
            measured = {s: bits_per_byte(model, v.tokens, v.bytes) for s, v in ((s, store.validation(s)) for s in store.set_names)}
            trajectory.append({"step": step + 1, "tokens": (step + 1) * batch * context, **measured})
    save_model(model, folder, store.tokenizer_path, store.end_of_text)
    return ProxyResult(trajectory, steps * batch * context, time.monotonic() - started)


def _step(model: Transformer, optimiser: torch.optim.Optimizer, sequences: np.ndarray, config: ProxyConfig, rate: float) -> float:
    batch = torch.from_numpy(sequences)
    dtype = resolve_precision(config.precision)
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        loss = model.loss(batch[:, :-1], batch[:, 1:])
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), config.gradient_clip)
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return float(loss.detach())


def result_as_json(result: ProxyResult) -> dict[str, Any]:
    """A result as JSON values."""
    return {"trajectory": result.trajectory, "tokens": result.tokens, "seconds": result.seconds, "failed": result.failed}
