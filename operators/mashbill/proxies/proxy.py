"""Training proxies: small transformers, each on a mixture, measured on every validation set as they go.

One loop serves a proxy alone on a core and a stack of them on a GPU. What each reads, and from which weights
it starts, is a function of its own seed, so that it becomes the same model in any company. A checkpoint now
and then lets a killed loop go on where it was.
"""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mashbill.artifacts import Progress
from mashbill.config import ProxyConfig
from mashbill.mixtures import MixtureLoader, Schedule
from mashbill.models.allocator import keep_freed_memory
from mashbill.models.capacity import device_of
from mashbill.models.huggingface import save_weights
from mashbill.models.optimisation import learning_rate_at
from mashbill.models.transformer import Transformer
from mashbill.proxies.learners import FINE, Learner, LearnerState, SingleLearner, StackedLearner
from mashbill.proxies.result import ProxyResult
from mashbill.tokens import TokenStore

log = logging.getLogger(__name__)
CHECKPOINT_SECONDS = 30.0
LOOK_STEPS = 20  # between looks at the losses, which wait for the device
CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Member:
    """One of the proxies that are trained together.

    Attributes:
        mixture: weight of each domain, or a schedule.
        seed: seed of weights and order.
        config: its optimisation; shape, batch and precision are those of all that are trained together.
        folder: where its model is written.
    """

    mixture: Mapping[str, float] | Schedule
    seed: int
    config: ProxyConfig
    folder: Path


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
    """Train one proxy and write it as a Hugging Face folder; see ``train_members``."""
    member = Member(mixture, seed, config, folder)
    return train_members(
        store, [member], tokens=tokens, evaluations=evaluations, scratch=folder, progress=progress
    )[0]


def train_members(
    store: TokenStore,
    members: Sequence[Member],
    *,
    tokens: int,
    evaluations: int,
    scratch: Path,
    progress: Progress,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    sets: Sequence[str] = (),
) -> list[ProxyResult]:
    """Train proxies, all at once where there are several, and write each as a Hugging Face folder.

    Args:
        store: the token shards.
        members: what to train.
        tokens: tokens of each, rounded to whole batches.
        evaluations: times the validation sets are measured, the last at the end; those on schedules at every
            phase's end, too.
        scratch: folder for the checkpoint, which a killed attempt left or this one leaves if it is killed.
        progress: called at every evaluation and now and then between.
        checkpoint_seconds: time between checkpoints.
        sets: validation sets that are measured; none means all.
    Returns:
        One result a member; one that diverged says so, and the others are as if it had not been there.
    """
    return _Training(
        store,
        members,
        tokens,
        evaluations=evaluations,
        scratch=scratch,
        checkpoint_seconds=checkpoint_seconds,
        sets=sets,
    ).run(progress)


class _Training:
    """The state of one loop."""

    def __init__(
        self,
        store: TokenStore,
        members: Sequence[Member],
        tokens: int,
        *,
        evaluations: int,
        scratch: Path,
        checkpoint_seconds: float,
        sets: Sequence[str],
    ) -> None:
        torch.set_num_threads(1)
        keep_freed_memory()
        config = members[0].config
        self.store, self.members, self.checkpoint_seconds = store, members, checkpoint_seconds
        self.sets = sets or store.set_names
        self.context, self.batch = config.model.context, config.batch_sequences
        self.steps = max(1, round(tokens / (self.context * self.batch)))
        self.measured_at = {round(self.steps * (i + 1) / evaluations) for i in range(evaluations)}
        for member in members:
            self.measured_at |= (
                set(member.mixture.ends(self.steps)) if isinstance(member.mixture, Schedule) else set()
            )
        self.loaders = [self._loader(member) for member in members]
        self.trajectories: list[list[dict[str, float]]] = [[] for _ in members]
        self.step, self.seconds = 0, 0.0
        self.path = scratch / CHECKPOINT
        self.learner = new_learner(store, members)
        kept = self._checkpoint()
        if kept is not None:
            self.learner.load(kept)

    def _loader(self, member: Member) -> MixtureLoader:
        tokens = {domain: self.store.train_tokens(domain) for domain in self.store.domains}
        return MixtureLoader(
            tokens, member.mixture, context=self.context, sequences=self.steps * self.batch, seed=member.seed
        )

    def run(self, progress: Progress) -> list[ProxyResult]:
        """Train to the end."""
        started = saved = time.monotonic() - self.seconds
        alive = True
        while self.step < self.steps and alive:
            places = np.arange(self.step * self.batch, (self.step + 1) * self.batch)
            self.learner.learn(
                np.stack([loader.sequences_at(places) for loader in self.loaders]), self._rates()
            )
            self.step += 1
            if self.step in self.measured_at:
                self._measure()
            if self.step % LOOK_STEPS == 0 or self.step in self.measured_at:
                alive = bool((self.learner.failed_at() == FINE).any())
                progress(self.step / self.steps, f"step {self.step} of {self.steps}, {self._loss_in_words()}")
            self.seconds = time.monotonic() - started
            if time.monotonic() - saved > self.checkpoint_seconds and self.step < self.steps:
                self._save()
                saved = time.monotonic()
        return self._finish()

    def _loss_in_words(self) -> str:
        """The mean training loss of those that go on."""
        losses = self.learner.losses()
        finite = losses[np.isfinite(losses)]
        return f"loss {finite.mean():.2f}" if len(finite) else "diverged"

    def _rates(self) -> np.ndarray:
        settings = [member.config for member in self.members]
        return np.array(
            [
                learning_rate_at(
                    self.step,
                    self.steps,
                    c.learning_rate,
                    minimum=c.min_learning_rate,
                    warmup_share=c.warmup_share,
                )
                for c in settings
            ]
        )

    def _measure(self) -> None:
        sets = [(name, self.store.validation(name)) for name in self.sets]
        measured = {name: self.learner.measure(v.tokens, v.bytes) for name, v in sets}
        for i, (trajectory, failed) in enumerate(
            zip(self.trajectories, self.learner.failed_at(), strict=True)
        ):
            if failed == FINE:
                values = {name: float(bits[i]) for name, bits in measured.items()}
                trajectory.append(
                    {"step": self.step, "tokens": self.step * self.batch * self.context, **values}
                )

    def _finish(self) -> list[ProxyResult]:
        """Write the models, and forget the checkpoint."""
        results, failures = [], self.learner.failed_at()
        for i, (member, trajectory) in enumerate(zip(self.members, self.trajectories, strict=True)):
            failed = int(failures[i])
            tokens = (self.steps if failed == FINE else failed + 1) * self.batch * self.context
            why = "" if failed == FINE else f"loss is no number at step {failed}"
            results.append(ProxyResult(trajectory, tokens, self.seconds / len(self.members), why))
            if failed == FINE:
                state, shape = self.learner.member_state(i), member.config.model
                store = self.store
                save_weights(
                    state,
                    shape,
                    store.vocabulary,
                    folder=member.folder,
                    tokenizer_path=store.tokenizer_path,
                    end_of_text=store.end_of_text,
                )
        self.path.unlink(missing_ok=True)
        return results

    def _identity(self) -> list[Any]:
        """What a checkpoint must have been made for."""
        read = [
            m.mixture.as_json() if isinstance(m.mixture, Schedule) else dict(m.mixture) for m in self.members
        ]
        return [
            self.steps,
            type(self.learner).__name__,
            [
                [json.dumps(r), m.seed, json.dumps(m.config.what_is_computed())]
                for r, m in zip(read, self.members, strict=True)
            ],
        ]

    def _save(self) -> None:
        state = {
            "identity": self._identity(),
            "step": self.step,
            "seconds": self.seconds,
            "trajectories": self.trajectories,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".part")
        torch.save({**state, "learner": self.learner.state()}, temporary)
        temporary.replace(self.path)

    def _checkpoint(self) -> LearnerState | None:
        """The learner's state of the checkpoint that a killed loop left, whose step the loop goes on from.

        None where there is none, or it is of other proxies.
        """
        if not self.path.exists():
            return None
        kept = torch.load(self.path, map_location="cpu", weights_only=True)
        if kept["identity"] != self._identity():
            log.warning(
                "proxy %s: a checkpoint at step %d is left behind, as it is of other proxies or was made "
                "with another proxy.stack or proxy.device",
                self.path.parent.name,
                kept["step"],
            )
            return None
        self.step, self.seconds = kept["step"], kept["seconds"]
        self.trajectories = kept["trajectories"]
        learner: LearnerState = kept["learner"]
        return learner


def new_learner(store: TokenStore, members: Sequence[Member]) -> Learner:
    """Proxies at their first step: alone on a CPU where there is one, else a stack."""
    config, device = members[0].config, device_of(members[0].config)
    models = [Transformer(config.model, store.vocabulary, member.seed) for member in members]
    if len(models) == 1 and device == "cpu":
        return SingleLearner(models[0], config)
    return StackedLearner(models, [member.config for member in members], device)
