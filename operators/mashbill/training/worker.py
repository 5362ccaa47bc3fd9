"""One process of the final training: ``python -m mashbill.training.worker JOB.json`` under torchrun."""

import logging
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import torch
import torch.distributed as dist

from mashbill.errors import MashbillError, RunError, one_line
from mashbill.launch.child import end_with
from mashbill.launch.torchrun import ASKED_TO_END, PAUSED
from mashbill.mixtures import MixtureLoader, Schedule
from mashbill.models.huggingface import save_weights
from mashbill.models.measurement import bits_per_byte
from mashbill.models.sizes import flops_per_token, parameter_count
from mashbill.storage import open_storage
from mashbill.training.account import Account
from mashbill.training.checkpoint import Checkpoints
from mashbill.training.engine import Engine, start_processes
from mashbill.training.first_model import first_model
from mashbill.training.hardware import peak_of_device
from mashbill.training.job import Job
from mashbill.training.loop import Loop, Paused
from mashbill.training.numbers import numbers_of
from mashbill.training.pace import Pace
from mashbill.training.recipe import training_steps
from mashbill.training.recovery import Recovery
from mashbill.training.saving import Saver
from mashbill.training.watch import Watch

log = logging.getLogger(__name__)


class Worker:
    """The training of one rank.

    Args:
        job: what all ranks are told.
    """

    def __init__(self, job: Job) -> None:
        self.job, self.training = job, job.training
        start_processes(job.accelerator)
        self.leads = not job.training.node and os.environ["LOCAL_RANK"] == "0"
        """Whether what is read later is written here: on the first node, which need not have rank 0."""
        if job.accelerator == "cuda":
            self.device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        else:
            self.device = torch.device("cpu")
            torch.set_num_threads(1)
        self.scratch = Path(job.scratch)
        self.store = job.token_store()
        self.steps, context = training_steps(self.training), self.training.model.context
        loader = MixtureLoader(
            {d: self.store.train_tokens(d) for d in self.store.domains},
            Schedule.from_json(job.phases),
            context=context,
            sequences=self.steps * self.training.batch_sequences,
            seed=job.seed,
            shuffle_tokens=self.training.shuffle_tokens,
        )
        self.engine = Engine(
            first_model(job, self.store),
            self.training,
            self.device,
            end_of_text=self.store.end_of_text,
        )
        account = Account(
            self.scratch, self.training.metrics, self._pace(), keeps=self.leads, facts=self._facts()
        )
        account.hold_against(job.band, job.target)
        self.watch = Watch(
            self.training.watch.hang_seconds,
            self.scratch,
            lambda words: account.alarm(self.loop.course.step, "hung", words),
        )
        storage = open_storage(job.checkpoints, Path(job.copies))
        saver = Saver(Checkpoints(storage), self.training.checkpoints, self.scratch / "saves")
        identity = {"text": job.tokens_fingerprint}
        self.loop = Loop(
            self.engine,
            loader,
            self.training,
            steps=self.steps,
            account=account,
            recovery=Recovery(self.engine, self.training, saver, account=account, identity=identity),
            watch=self.watch,
            ask=self.scratch / ASKED_TO_END,
        )

    def _pace(self) -> Pace:
        name = torch.cuda.get_device_name(self.device) if self.job.accelerator == "cuda" else "cpu"
        shape = self.training.model
        return Pace(
            steps=self.steps,
            batch_tokens=self.training.batch_sequences * shape.context,
            flops_per_token=flops_per_token(shape, self.store.vocabulary),
            peak_flops=peak_of_device(name, self.training.hardware),
            processors=dist.get_world_size(),
        )

    def _facts(self) -> dict[str, float | str]:
        """What is trained and how, as servers of metrics keep it beside a run."""
        return {
            **{name: figure.value for name, figure in numbers_of(self.training).items()},
            "parameters": parameter_count(self.training.model, self.store.vocabulary),
            "rate_schedule": self.training.rate_schedule,
            "zero_stage": self.training.zero_stage,
            "processes": dist.get_world_size(),
            "seed": self.job.seed,
        }

    def run(self) -> None:
        """Train to the end and export.

        Raises:
            Paused: it was asked to end.
        """
        self.loop.run(self._bits_per_byte)
        self._export()
        self.loop.account.close()
        self.watch.stop()

    def _bits_per_byte(self) -> Mapping[str, float]:
        """Bits per byte of every set, documents apart where training keeps them so; every rank computes them,
        as ZeRO 3 needs all ranks in each forward."""
        apart = self.store.end_of_text if self.training.document_masking else None
        return {
            name: bits_per_byte(
                self.engine.module, found.tokens, found.bytes, device=str(self.device), end_of_text=apart
            )
            for name, found in ((name, self.store.validation(name)) for name in self.store.set_names)
        }

    def _export(self) -> None:
        """Gather the weights in full precision of every ZeRO stage, and write a Hugging Face folder."""
        state = dict(self.engine.full_weights())
        if self.leads:
            save_weights(
                state,
                self.training.model,
                self.store.vocabulary,
                folder=Path(self.job.output) / "model",
                tokenizer_path=self.store.tokenizer_path,
                end_of_text=self.store.end_of_text,
            )


def main() -> None:
    """Run the job named on the command line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    end_with(os.getppid())  # torchrun
    job, code = Job.read(Path(sys.argv[1]).parent), 0
    try:
        Worker(job).run()
        dist.barrier()
    except Paused as paused:
        (Path(job.scratch) / PAUSED).write_text(str(paused))  # and it ends well, so that none is restarted
    except MashbillError as error:
        log.error("%s: %s", type(error).__name__, error)
        code = error.exit_code
    except OSError as error:
        mend = "mend that (is a disk full?), and run again to go on from the last checkpoint"
        log.error("RunError: %s", RunError("training", f"cannot go on ({one_line(error)})", mend))
        code = RunError.exit_code
    except Exception:
        log.exception("training failed")
        code = 1
    with suppress(OSError):  # the disk of the log may be full
        sys.stdout.flush()
    os._exit(code)  # gloo's threads now and then abort an orderly end, and everything is on disk


if __name__ == "__main__":
    main()
