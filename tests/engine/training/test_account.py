"""What the first process of a training says while it runs."""

from pathlib import Path

from mashbill.artifacts.progress import read_progress_file
from mashbill.config.recipe import MetricsConfig
from mashbill.launch.torchrun import PROGRESS
from mashbill.training.account import Account
from mashbill.training.pace import Pace


def test_its_progress_has_the_figures_of_the_last_step(tmp_path: Path) -> None:
    pace = Pace(steps=40, batch_tokens=1_000, flops_per_token=1e6, peak_flops=None, processors=1)
    account = Account(tmp_path, MetricsConfig(), pace, keeps=True)
    account.stepped(10, loss=2.5, norm=1.0, rate=0.1, waited=0.0, seconds=0.5, by_rank=[0.5])
    state = read_progress_file(tmp_path / PROGRESS)
    assert state is not None
    assert state.done == 0.25
    assert state.figures == {"step": 10, "tokens": 10_000, "loss": 2.5, "tokens_per_second": 2_000}
