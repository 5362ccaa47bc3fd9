"""One step of training, of one proxy alone or of several at once: what the loop in ``proxy.py`` drives.

The single learner is a plain module under torch's AdamW: on a CPU, where a small model keeps a core busy. The
stacked learner is for a GPU, where its step is captured in a CUDA graph after a few warm-up steps, so that a
whole step is one launch.
"""

from collections.abc import Sequence
from typing import Any, Protocol, TypedDict

import numpy as np
import torch

from mashbill.config import ProxyConfig
from mashbill.models.measurement import bits_per_byte, stacked_bits_per_byte
from mashbill.models.optimisation import resolve_precision, weight_decay_groups
from mashbill.models.sizes import ADAM_BETAS
from mashbill.models.stack import Stack
from mashbill.models.stack_optimiser import StackedAdamW
from mashbill.models.transformer import Transformer

WARMUP_STEPS = 3  # before a CUDA graph is captured
FINE = -1


class LearnerState(TypedDict):
    """What a checkpoint keeps: of a stack, the first two are tensors, as is the step each model failed at."""

    step: int | torch.Tensor
    failed: int | torch.Tensor
    model: dict[str, torch.Tensor]
    optimiser: Any


class Learner(Protocol):
    """Models in training."""

    def learn(self, sequences: np.ndarray, rates: np.ndarray) -> None:
        """One step, from [models, batch, context + 1] tokens and [models] learning rates."""

    def losses(self) -> np.ndarray:
        """[models] training losses of the last step, in nats."""

    def failed_at(self) -> np.ndarray:
        """[models] the step whose loss was no number; -1 where all were."""

    def measure(self, tokens: np.ndarray, text_bytes: int) -> np.ndarray:
        """[models] bits per byte of a token stream."""

    def member_state(self, member: int) -> dict[str, torch.Tensor]:
        """One model's weights by Hugging Face's names."""

    def state(self) -> LearnerState:
        """What a checkpoint keeps."""

    def load(self, state: LearnerState) -> None:
        """Go on from a checkpoint."""


class SingleLearner:
    """One proxy.

    Args:
        model: with its initial weights.
        config: optimisation.
    """

    def __init__(self, model: Transformer, config: ProxyConfig) -> None:
        self.model, self.config = model, config
        groups = weight_decay_groups(model, config.weight_decay)
        self.optimiser = torch.optim.AdamW(groups, lr=config.learning_rate, betas=ADAM_BETAS, fused=True)
        self.dtype = resolve_precision(config.precision)
        self.step, self.loss, self.failed = 0, float("nan"), FINE

    def learn(self, sequences: np.ndarray, rates: np.ndarray) -> None:
        """One step; none where an earlier loss was no number."""
        if self.failed != FINE:
            return
        batch = torch.from_numpy(sequences[0])
        with torch.autocast("cpu", self.dtype, enabled=self.dtype != torch.float32):
            loss = self.model.loss(batch[:, :-1], batch[:, 1:])
        self.loss = float(loss.detach())
        if not np.isfinite(self.loss):
            self.failed = self.step
            return
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip)
        for group in self.optimiser.param_groups:
            group["lr"] = float(rates[0])
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.step += 1

    def losses(self) -> np.ndarray:
        """[1] training loss of the last step."""
        return np.array([self.loss])

    def failed_at(self) -> np.ndarray:
        """[1] the step whose loss was no number; -1 where all were."""
        return np.array([self.failed])

    def measure(self, tokens: np.ndarray, text_bytes: int) -> np.ndarray:
        """[1] bits per byte of a token stream."""
        return np.array([bits_per_byte(self.model, tokens, text_bytes)])

    def member_state(self, member: int) -> dict[str, torch.Tensor]:
        """The model's weights."""
        del member
        return self.model.state_dict()

    def state(self) -> LearnerState:
        """What a checkpoint keeps."""
        return {
            "step": self.step,
            "failed": self.failed,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    def load(self, state: LearnerState) -> None:
        """Go on from a checkpoint."""
        self.step, self.failed = int(state["step"]), int(state["failed"])
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])


class StackedLearner:
    """Several proxies of one shape.

    Args:
        models: with their initial weights.
        configs: optimisation of each; batch, shape and precision are the first's.
        device: where they are trained.
    """

    def __init__(self, models: Sequence[Transformer], configs: Sequence[ProxyConfig], device: str) -> None:
        self.stack = Stack(models).to(device)
        self.optimiser = StackedAdamW(
            self.stack.parameters(),
            [c.weight_decay for c in configs],
            [c.gradient_clip for c in configs],
            betas=ADAM_BETAS,
        )
        self.kind, self.dtype = device.partition(":")[0], resolve_precision(configs[0].precision, device)
        shape = (len(models), configs[0].batch_sequences, configs[0].model.context + 1)
        self.batch = torch.zeros(shape, dtype=torch.int64, device=device)
        self.rates = torch.zeros(len(models), device=device)
        self.loss = torch.full((len(models),), float("nan"), device=device)
        self.step = torch.zeros((), dtype=torch.int64, device=device)
        self.failed = torch.full((len(models),), FINE, device=device)
        self.warm, self.graph = 0, None if self.kind == "cpu" else torch.cuda.CUDAGraph()
        self.staged = [] if self.kind == "cpu" else [_Staged(shape) for _ in range(2)]

    def learn(self, sequences: np.ndarray, rates: np.ndarray) -> None:
        """One step of all; a model whose loss is no number goes on as it is, and spoils no other."""
        if self.staged:
            self.staged[self.warm % 2].send(sequences, self.batch)
        else:
            self.batch.copy_(torch.from_numpy(sequences))
        self.rates.copy_(torch.from_numpy(np.asarray(rates, np.float32)))
        if self.graph is None:
            self._step()
        elif self.warm < WARMUP_STEPS:
            self._step_aside()
        else:
            if self.warm == WARMUP_STEPS:
                with torch.cuda.graph(self.graph):  # captures, and runs nothing
                    self._step()
            self.graph.replay()
        self.warm += 1

    def _step(self) -> None:
        with torch.autocast(self.kind, self.dtype, enabled=self.dtype != torch.float32):
            loss = self.stack.loss(self.batch[..., :-1], self.batch[..., 1:])
        loss.sum().backward()  # type: ignore[no-untyped-call]
        self.optimiser.step(self.rates)
        self.loss.copy_(loss.detach())
        diverged = ~torch.isfinite(self.loss) & (self.failed == FINE)
        self.failed.copy_(torch.where(diverged, self.step, self.failed))
        self.step += 1

    def _step_aside(self) -> None:
        """A step on a stream of its own, as a capture's warm-up has to be."""
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            self._step()
        torch.cuda.current_stream().wait_stream(aside)

    def losses(self) -> np.ndarray:
        """[models] training losses of the last step."""
        return self.loss.cpu().numpy()

    def failed_at(self) -> np.ndarray:
        """[models] the step whose loss was no number; -1 where all were."""
        return self.failed.cpu().numpy()

    def measure(self, tokens: np.ndarray, text_bytes: int) -> np.ndarray:
        """[models] bits per byte of a token stream."""
        return stacked_bits_per_byte(self.stack, tokens, text_bytes, device=self.batch.device)

    def member_state(self, member: int) -> dict[str, torch.Tensor]:
        """One model's weights."""
        return self.stack.member_state(member)

    def state(self) -> LearnerState:
        """What a checkpoint keeps."""
        return {
            "step": self.step,
            "failed": self.failed,
            "model": self.stack.state_dict(),
            "optimiser": self.optimiser.state(),
        }

    def load(self, state: LearnerState) -> None:
        """Go on from a checkpoint."""
        self.step.copy_(torch.as_tensor(state["step"]))
        self.failed.copy_(torch.as_tensor(state["failed"]))
        self.stack.load_state_dict(state["model"])
        self.optimiser.load(state["optimiser"])


class _Staged:
    """Pinned memory on the way to the GPU: with two of them, the next batch is read while the GPU is at the
    last."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.buffer = torch.empty(shape, dtype=torch.int64, pin_memory=True)
        self.sent = torch.cuda.Event()  # type: ignore[no-untyped-call]

    def send(self, sequences: np.ndarray, batch: torch.Tensor) -> None:
        """Fill the buffer, as soon as what it held has been copied, and have it copied when the GPU gets
        there."""
        self.sent.synchronize()
        self.buffer.copy_(torch.from_numpy(sequences))
        batch.copy_(self.buffer, non_blocking=True)
        self.sent.record()
