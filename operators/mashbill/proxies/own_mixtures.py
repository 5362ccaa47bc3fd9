"""Training a proxy on each row of a CSV of mixtures, outside the pipeline: what ``mashbill proxies train``
does."""

import hashlib
import json
from pathlib import Path

from mashbill.artifacts import Counts, Progress, write_json
from mashbill.config import ProxyConfig, SweepConfig
from mashbill.errors import DataError
from mashbill.mixtures import ScheduleTable
from mashbill.models.capacity import capacity
from mashbill.proxies.group import PROXIES, plan_members, write_tables
from mashbill.proxies.result import ProxyResult, folder_name
from mashbill.proxies.stacks import Budget, train_planned
from mashbill.tokens import TokenStore

OWN_TAG = 308


def train_mixtures(
    path: Path,
    tokens: Path,
    output: Path,
    *,
    proxy: ProxyConfig,
    sweep: SweepConfig,
    seed: int,
    processes: int,
    progress: Progress,
) -> Counts:
    """Train the proxies; those that a killed call finished are not trained again.

    Args:
        path: CSV of mixtures, or of schedules (with columns phase and share).
        tokens: folder that the tokenize stage wrote.
        output: folder for ``mixtures.csv``, ``losses.csv``, ``trajectories.csv`` and a model folder each.
        proxy, sweep: shape, optimisation and budget.
        seed: seed of weights and orders.
        processes: worker processes, one a core; on a GPU one, whatever is given.
        progress: called as each proxy is trained.
    Raises:
        DataError: the table is wrong, names a domain that has no tokens, or is not the one that the output
            was begun with.
    """
    store, schedules = TokenStore(tokens), ScheduleTable.read(path)
    mixtures = schedules.means()
    if mixtures.index.dtype == object:
        what = f"has names of runs ({mixtures.index[0]!r:.40}), and proxies are numbered"
        raise DataError(f"{path}: index", what, "number the rows in a column index")
    unknown = [name for name in mixtures.domains if name not in store.domains]
    if unknown:
        raise DataError(
            f"{path}: column {unknown[0]}",
            f"has no tokens in {tokens}",
            f"choose among {', '.join(store.domains)}",
        )
    identity = {
        "mixtures": path.read_text(encoding="utf-8"),
        "proxy": proxy.what_is_computed(),
        "tokens": sweep.tokens,
        "evaluations": sweep.evaluations,
        "seed": seed,
        "text": hashlib.sha256(store.index_path.read_bytes()).hexdigest(),
    }
    _begin(output, identity)
    members = plan_members(
        mixtures, range(len(mixtures.index)), [proxy], seed=(seed, OWN_TAG), schedules=schedules
    )
    folders = output / PROXIES
    stack, workers = capacity(proxy, store.vocabulary, processes)
    budget = Budget(store.folder, folders, sweep.tokens, sweep.evaluations)
    train_planned(members, budget, stack=stack, processes=workers, progress=progress)
    results = [ProxyResult.read(folders / folder_name(int(index))) for index in mixtures.index]
    return write_tables(mixtures, results, store.set_names, output=output)


def _begin(output: Path, identity: dict[str, object]) -> None:
    """Note what is trained here, so that another table's proxies are not taken for it."""
    note = output / "run.json"
    if note.exists() and json.loads(note.read_text()) != identity:
        raise DataError(
            str(output), "holds proxies of other mixtures or settings", "give another folder, or delete it"
        )
    output.mkdir(parents=True, exist_ok=True)
    write_json(note, identity)
