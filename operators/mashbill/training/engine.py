"""DeepSpeed's engine as the training loop uses it: one optimiser step on a global batch, taken or not.

No part of DeepSpeed is compiled: the optimiser is torch's fused AdamW, and the op that DeepSpeed would build
on a CPU serves inference alone.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from mashbill.config import TrainingConfig
from mashbill.errors import RunError
from mashbill.models.attention import Documents
from mashbill.models.optimisation import weight_decay_groups
from mashbill.models.sizes import ADAM_BETAS
from mashbill.models.transformer import Transformer, compiled
from mashbill.training.recipe import deepspeed_config

UNUSED_OP = "deepspeed_shm_comm"
EPSILON = 1e-8
Allowed = Callable[[float], bool]
"""Told the gradient's norm before clipping; whether the step is to be taken."""


class AskingAdamW(torch.optim.AdamW):
    """AdamW that asks before it takes a step.

    DeepSpeed calls it once for each group that it cut, with the gradient's norm known and the same on all
    processes, so that a step that is not to be taken changes nothing on any.

    Args:
        groups: of parameters, with their weight decay.
        clip: largest norm of the gradient, where this process has all of it; 0 where DeepSpeed clips.
    """

    def __init__(self, groups: Sequence[dict[str, Any]], clip: float) -> None:
        super().__init__(groups, lr=0.0, betas=ADAM_BETAS, eps=EPSILON, fused=True)
        self.clip = clip
        self.ask: Callable[[float | None], bool] = lambda norm: True

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Take the step, or leave everything as it is."""
        norm = None
        if self.clip:
            weights = [weight for group in self.param_groups for weight in group["params"]]
            norm = float(torch.nn.utils.clip_grad_norm_(weights, self.clip))
        return super().step(closure) if self.ask(norm) else None


def start_processes(accelerator: str) -> None:
    """Meet the other processes of the training.

    Raises:
        RunError: they, or the one that they meet at, are not there.
    """
    import deepspeed

    deepspeed.ops.__compatible_ops__[UNUSED_OP] = False
    try:
        deepspeed.init_distributed(dist_backend="nccl" if accelerator == "cuda" else "gloo")
    except (RuntimeError, ValueError) as error:
        where = "training.rendezvous"
        raise RunError(where, f"the processes do not meet ({error})", "open its port to all nodes") from error


@dataclass(frozen=True)
class Micro:
    """A micro-batch that went forward.

    Attributes:
        loss: mean over all targets, with z-loss, for backward.
        nats: sum of the cross-entropy of the targets that count, without gradient.
        counted: targets that count: not the first token of a document, where documents are kept apart.
    """

    loss: torch.Tensor
    nats: torch.Tensor
    counted: float


class Engine:
    """A model under DeepSpeed.

    Args:
        model: the model.
        training: the recipe.
        device: what this process computes on.
        end_of_text: id of the token that ends documents.

    Attributes:
        shapes: of the parameters by name.
        norm: of the gradient at the last step, before clipping.
    """

    def __init__(
        self, model: Transformer, training: TrainingConfig, device: torch.device, *, end_of_text: int
    ) -> None:
        import deepspeed

        self.training, self.device, self.end_of_text = training, device, end_of_text
        model.recompute_every = training.recompute_every
        if training.compile != "none":
            compiled(model, training.compile)
        settings = deepspeed_config(training)
        settings.pop("optimizer", None)
        whole = training.zero_stage == 0
        if whole:  # weights stay in full precision, and products are in bf16
            settings |= {"bf16": {"enabled": False}, "gradient_clipping": 0.0}
        if training.zero_stage == 1 and device.type == "cpu" and training.offload.optimizer == "none":
            # copies of gradients in one buffer are for a GPU's memory; here they cost 4% of a step
            settings["zero_optimization"].setdefault("contiguous_gradients", False)
        if training.zero_stage == 3:
            deepspeed.zero.register_external_parameter(model, model.lm_head.weight)
        self.shapes = {name: list(parameter.shape) for name, parameter in model.named_parameters()}
        groups = weight_decay_groups(model, training.weight_decay)
        self.optimiser = AskingAdamW(groups, clip=training.gradient_clip if whole else 0.0)
        self.engine: Any = deepspeed.initialize(model=model, optimizer=self.optimiser, config=settings)[0]
        self.optimiser.ask = self._ask
        self.autocast = whole and training.precision == "bf16"
        self.norm, self._asked = math.nan, True
        self._allowed: Allowed = lambda norm: True

    @property
    def module(self) -> Transformer:
        """The model itself."""
        model: Transformer = self.engine.module
        return model

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the next step."""
        for group in self.engine.optimizer.param_groups:
            group["lr"] = rate

    def forward(self, rows: torch.Tensor) -> "Micro":
        """The loss of [sequences, context + 1] tokens, which are on a CPU."""
        inputs, targets = rows[:, :-1].contiguous(), rows[:, 1:].contiguous()
        documents, counted = None, float(targets.numel())
        if self.training.document_masking:
            apart = Documents.of(inputs, self.end_of_text)
            counted, documents = float(apart.counted.sum()), apart.to(self.device)
        with self._precision():
            loss, plain = self.engine(
                inputs.to(self.device),
                targets.to(self.device),
                documents=documents,
                z_loss=self.training.z_loss,
            )
        # as a share of all targets, so that the gradient does not depend on how a batch is cut
        return Micro(loss * (counted / targets.numel()), plain.detach().float() * counted, counted)

    def backward(self, micro: "Micro") -> None:
        """Add the gradient of one micro-batch; ``step`` follows."""
        self.engine.backward(micro.loss)

    def step(self, allowed: Allowed | None = None) -> bool:
        """After a micro-batch; after the last of a batch the optimiser's step.

        Args:
            allowed: decides on the optimiser's step, alike on all processes; called once, at the last.
        Returns:
            Whether it was taken; True before the last.
        """
        self.norm, self._asked = math.nan, True
        undecided = [True]

        def once(norm: float) -> bool:
            if undecided:
                undecided.clear()
                self.norm, self._asked = norm, allowed(norm) if allowed else True
            return self._asked

        self._allowed = once
        self.engine.step()
        if allowed and undecided and getattr(self.engine.optimizer, "overflow", False):
            self._asked = once(math.inf) and False  # DeepSpeed itself left it out
        return self._asked

    def full_weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Name and weights of each parameter in full precision, gathered by all processes together."""
        from deepspeed.utils import safe_get_full_fp32_param

        for name, parameter in self.module.named_parameters():
            full = safe_get_full_fp32_param(parameter)
            yield name, (parameter if full is None else full).detach().float().cpu()

    def _ask(self, norm: float | None) -> bool:
        known = self.engine.optimizer._global_grad_norm if norm is None else norm
        return self._allowed(float(known))

    def _precision(self) -> AbstractContextManager[Any]:
        if not self.autocast:
            return nullcontext()
        products: AbstractContextManager[Any] = torch.autocast(self.device.type, torch.bfloat16)
        return products


def sum_over_processes(values: torch.Tensor) -> torch.Tensor:
    """The sum of what all processes hold, in place."""
    dist.all_reduce(values)
    return values
