"""A proxy that is trained while its mixture changes: batches by domain, and a loss that can be weighted by
domain."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from mashbill.config import ProxyConfig
from mashbill.errors import DataError
from mashbill.mixtures import MixtureLoader
from mashbill.models.allocator import keep_freed_memory
from mashbill.models.capacity import device_of
from mashbill.models.measurement import bits_per_byte
from mashbill.models.optimisation import learning_rate_at, resolve_precision, weight_decay_groups
from mashbill.models.sizes import ADAM_BETAS
from mashbill.models.transformer import Transformer
from mashbill.tokens import TokenStore

DRAW_TAG = 305


@dataclass(frozen=True)
class MethodMixture:
    """What a method came to.

    Attributes:
        mixture: [domains].
        history: [updates, domains] the mixture over the run.
        tokens: trained on in all.
    """

    mixture: np.ndarray
    history: np.ndarray
    tokens: int


class ReweightedProxy:
    """A model in training, fed with any domain at any step.

    Args:
        store: the token shards.
        config: shape and optimisation.
        tokens: of the whole training.
        seed: of the weights and of the order of each domain.
    """

    def __init__(self, store: TokenStore, config: ProxyConfig, tokens: int, *, seed: int) -> None:
        torch.set_num_threads(1)
        keep_freed_memory()
        self.device = device_of(config)
        self.store, self.config, self.seed = store, config, seed
        self.batch = config.batch_sequences
        self.steps, self.step = max(1, round(tokens / (config.model.context * self.batch))), 0
        self.model = Transformer(config.model, store.vocabulary, seed).to(self.device)
        groups = weight_decay_groups(self.model, config.weight_decay)
        self.optimiser = torch.optim.AdamW(groups, lr=config.learning_rate, betas=ADAM_BETAS, fused=True)
        length = self.steps * self.batch
        self.loaders = [
            MixtureLoader(
                {d: store.train_tokens(d)},
                {d: 1.0},
                context=config.model.context,
                sequences=length,
                seed=seed,
            )
            for d in store.domains
        ]
        self.read = np.zeros(len(self.loaders), np.int64)

    def take(self, domains: Sequence[int]) -> torch.Tensor:
        """[sequences, context + 1] the next text of each domain."""
        rows = []
        for domain in domains:
            rows.append(self.loaders[domain].sequences_at(self.read[domain : domain + 1])[0])
            self.read[domain] += 1
        return torch.from_numpy(np.stack(rows)).to(self.device)

    def draw(self, mixture: np.ndarray) -> list[int]:
        """[batch] the domain of each sequence of the next batch, drawn from a mixture."""
        random = np.random.default_rng([self.seed, DRAW_TAG, self.step])
        return random.choice(len(mixture), self.batch, p=mixture / mixture.sum()).tolist()

    def losses(self, batch: torch.Tensor) -> torch.Tensor:
        """[sequences, context] cross-entropy of each target in nats, with gradients."""
        dtype = resolve_precision(self.config.precision, self.device)
        with torch.autocast(self.device, dtype, enabled=dtype != torch.float32):
            logits = self.model(batch[:, :-1])
        return functional.cross_entropy(
            logits.float().flatten(0, 1), batch[:, 1:].flatten(), reduction="none"
        ).view(len(batch), -1)

    def learn(self, loss: torch.Tensor) -> None:
        """One step of the optimiser.

        Raises:
            DataError: the loss is no number.
        """
        if not math.isfinite(float(loss.detach())):
            raise DataError("baselines", f"diverged at step {self.step}", "lower proxy.learning_rate")
        config = self.config
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.gradient_clip)
        rate = learning_rate_at(
            self.step,
            self.steps,
            config.learning_rate,
            minimum=config.min_learning_rate,
            warmup_share=config.warmup_share,
        )
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.step += 1

    def validation_losses(self) -> np.ndarray:
        """[domains] cross-entropy of each domain's validation text, in nats a token."""
        texts = [self.store.validation(name).tokens for name in self.store.domains]
        return np.array(
            [
                math.log(2) * bits_per_byte(self.model, tokens, len(tokens) - 1, device=self.device)
                for tokens in texts
            ]
        )


def mean_by_domain(
    values: torch.Tensor, domains: Sequence[int], count: int
) -> tuple[torch.Tensor, np.ndarray]:
    """[domains] mean over the sequences of each domain, and [domains] which are there; 0 where none is."""
    place = torch.tensor(domains, device=values.device)
    total = torch.zeros(count, device=values.device).index_add(0, place, values.mean(1))
    there = torch.bincount(place, minlength=count)
    return total / there.clamp_min(1), (there > 0).cpu().numpy()
