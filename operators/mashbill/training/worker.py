"""One process of the final training: ``python -m mashbill.training.worker JOB.json`` under torchrun.

DeepSpeed holds the optimiser (ZeRO) and the gradients; which sequence is read at which step is a function of
(seed, index), so that a run resumed from a checkpoint, on any number of processes, reads what an
uninterrupted one would.
"""

import csv
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from mashbill.artifacts import ProgressFile
from mashbill.config import TrainingConfig
from mashbill.launch.child import end_with
from mashbill.launch.torchrun import PROGRESS
from mashbill.mixtures import MixtureLoader, Schedule
from mashbill.models.huggingface import save_weights
from mashbill.models.measurement import bits_per_byte
from mashbill.models.optimisation import learning_rate_at, weight_decay_groups
from mashbill.models.transformer import Transformer
from mashbill.tokens import TokenStore
from mashbill.training.layouts import (
    CHECKPOINTS,
    SHAPES,
    Checkpoint,
    deepspeed_state,
    put_into,
    shapes_of,
    step_of,
)
from mashbill.training.recipe import deepspeed_config, training_steps

UNUSED_OP = "deepspeed_shm_comm"
"""Serves inference alone. On a CPU DeepSpeed would compile it at the start, and wait forever for the lock of
a compilation that was killed."""
CURVE = ("step", "tokens", "loss", "learning_rate", "tokens_per_second")


class Worker:
    """The training of one rank.

    Args:
        job: what ``run_train_part`` wrote: training section, seed, phases, token folder, scratch and
            output folders.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        import deepspeed

        self.training, seed = TrainingConfig.model_validate(job["training"]), job["seed"]
        self.scratch, self.output = Path(job["scratch"]), Path(job["output"])
        self.progress = ProgressFile(self.scratch / PROGRESS)
        self.cuda = job["accelerator"] == "cuda"
        deepspeed.ops.__compatible_ops__[UNUSED_OP] = False
        deepspeed.init_distributed(dist_backend="nccl" if self.cuda else "gloo")
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        self.device = f"cuda:{os.environ['LOCAL_RANK']}" if self.cuda else "cpu"
        if not self.cuda:
            torch.set_num_threads(1)
        self.store = TokenStore(Path(job["tokens"]))
        self.steps, self.context = training_steps(self.training), self.training.model.context
        self.loader = MixtureLoader(
            {d: self.store.train_tokens(d) for d in self.store.domains},
            Schedule.from_json(job["phases"]),
            context=self.context,
            sequences=self.steps * self.training.batch_sequences,
            seed=seed,
            shuffle_tokens=self.training.shuffle_tokens,
        )
        model = Transformer(self.training.model, self.store.vocabulary, seed)
        if self.training.zero_stage == 3:
            deepspeed.zero.register_external_parameter(model, model.lm_head.weight)
        groups = weight_decay_groups(model, self.training.weight_decay)
        self.shapes = shapes_of(model, groups)
        self.engine: Any = deepspeed.initialize(
            model=model, model_parameters=groups, config=deepspeed_config(self.training)
        )[0]
        self.step = self._resume()

    def run(self) -> None:
        """Train to the end, with checkpoints and evaluations on the way, and export."""
        measured_at = {
            round(self.steps * (i + 1) / self.training.evaluations) for i in range(self.training.evaluations)
        }
        batch_tokens = self.training.batch_sequences * self.context
        while self.step < self.steps:
            started = time.monotonic()
            rate = learning_rate_at(
                self.step,
                self.steps,
                self.training.learning_rate,
                minimum=self.training.min_learning_rate,
                warmup_share=self.training.warmup_share,
            )
            loss = self._train_step(rate, step=self.step)
            self.step += 1
            seconds = time.monotonic() - started
            self._record(
                "curve",
                CURVE,
                [self.step, self.step * batch_tokens, loss, rate, round(batch_tokens / seconds)],
            )
            if self.rank == 0:
                self.progress(self.step / self.steps, f"step {self.step} of {self.steps}, loss {loss:.3f}")
            if self.step in measured_at:
                self._evaluate(batch_tokens)
            if self.step % self.training.checkpoint_steps == 0 and self.step < self.steps:
                self.engine.save_checkpoint(
                    str(self.scratch / CHECKPOINTS),
                    tag=f"step{self.step}",
                    client_state={"step": self.step, SHAPES: self.shapes},
                )
        self._export()

    def _train_step(self, rate: float, *, step: int) -> float:
        """One optimiser step on this rank's slice of a step's global batch; returns the mean loss over
        ranks."""
        share = self.training.batch_sequences // self.world
        first = step * self.training.batch_sequences + self.rank * share
        sequences = torch.from_numpy(self.loader.sequences_at(np.arange(first, first + share))).to(
            self.device
        )
        for group in self.engine.optimizer.param_groups:
            group["lr"] = rate
        total = torch.zeros((), device=self.device)
        micro = self.training.micro_batch_sequences
        for rows in torch.split(sequences, micro):
            loss = self.engine(rows[:, :-1].contiguous(), rows[:, 1:].contiguous())
            self.engine.backward(loss)
            self.engine.step()
            total += loss.detach().float() * len(rows) / share
        dist.all_reduce(total)
        return float(total) / self.world

    def _evaluate(self, batch_tokens: int) -> None:
        """Bits per byte of every set; every rank computes them, as ZeRO 3 needs all ranks in each forward."""
        sets = self.store.set_names
        values = [
            bits_per_byte(self.engine.module, v.tokens, v.bytes, device=self.device)
            for v in map(self.store.validation, sets)
        ]
        self._record("evaluations", ("step", "tokens", *sets), [self.step, self.step * batch_tokens, *values])

    def _export(self) -> None:
        """Gather the fp32 master weights of every ZeRO stage, and write a Hugging Face folder."""
        from deepspeed.utils import safe_get_full_fp32_param

        state: dict[str, torch.Tensor] = {}
        for name, parameter in self.engine.module.named_parameters():
            full = safe_get_full_fp32_param(parameter)
            state[name] = (parameter if full is None else full).detach().float().cpu()
        if self.rank == 0:
            shape = self.training.model
            save_weights(
                state,
                shape,
                self.store.vocabulary,
                folder=self.output / "model",
                tokenizer_path=self.store.tokenizer_path,
                end_of_text=self.store.end_of_text,
            )

    def _resume(self) -> int:
        """Load the last checkpoint, if there is one; returns the step to go on from."""
        folder = self.scratch / CHECKPOINTS
        if step_of(folder) is None:
            return self._forget_after(0)
        checkpoint = Checkpoint.last(folder)
        if checkpoint.reads_on(self.training.zero_stage, self.world):
            with torch.serialization.safe_globals(deepspeed_state()):
                self.engine.load_checkpoint(str(folder))
        else:
            self._train_step(0.0, step=checkpoint.step)  # gives the optimiser moments to be overwritten
            put_into(self.engine, checkpoint)
        return self._forget_after(checkpoint.step)

    def _forget_after(self, step: int) -> int:
        """Drop records of steps that will be taken again."""
        if self.rank == 0:
            for path in (self.scratch / "curve.csv", self.scratch / "evaluations.csv"):
                if path.exists():
                    head, *rows = path.read_text().splitlines()
                    kept = [row for row in rows if int(row.split(",")[0]) <= step]
                    path.write_text("\n".join([head, *kept]) + "\n")
        return step

    def _record(self, table: str, head: tuple[str, ...], row: list[Any]) -> None:
        if self.rank == 0:
            path = self.scratch / f"{table}.csv"
            new = not path.exists()
            with path.open("a", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                if new:
                    writer.writerow(head)
                writer.writerow(row)


def main() -> None:
    """Run the job named on the command line."""
    end_with(os.getppid())  # torchrun
    worker = Worker(json.loads(Path(sys.argv[1]).read_text()))
    worker.run()
    dist.barrier()
    sys.stdout.flush()
    os._exit(
        0
        # everything is on disk; gloo's threads now and then abort an orderly end ("terminate called without
        # an active exception")
    )


if __name__ == "__main__":
    main()
