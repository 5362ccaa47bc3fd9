"""A group of proxies: what one task trains, and how groups are gathered into one table of losses.

Each proxy's result is kept in the scratch folder as soon as it is finished, so that a killed group goes on with the next.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mashbill.artifacts import Artifact, Counts, Progress, StageRun
from mashbill.config import ProxyConfig
from mashbill.errors import DataError
from mashbill.mixtures import LossTable, MixtureTable, ScheduleTable
from mashbill.tokens import TokenStore

MIN_PROXIES = 2


def group_names(proxies: int, group_size: int) -> list[str]:
    """Names of the groups that so many proxies fall into."""
    return [f"group-{i:04d}" for i in range(-(-proxies // group_size))]


def group_rows(name: str, proxies: int, group_size: int) -> range:
    """Rows of the mixture table that a group trains."""
    first = int(name.removeprefix("group-")) * group_size
    return range(first, min(proxies, first + group_size))


def train_group(
    run: StageRun,
    store: TokenStore,
    mixtures: MixtureTable,
    rows: range,
    config: ProxyConfig,
    *,
    tokens: int,
    evaluations: int,
    tag: int,
    schedules: ScheduleTable | None = None,
) -> Counts:
    """Train the proxies of some rows, one after the other on this core.

    Args:
        run: the part; ``proxies/<index>`` folders are written, each with ``result.json``.
        store: the token shards.
        mixtures: all mixtures.
        rows: which of them to train.
        config: shape and optimisation.
        tokens: tokens of each proxy.
        evaluations: times the validation sets are measured.
        tag: tells families with the same seed apart.
        schedules: what is trained on where phases differ; ``mixtures`` are their means, row by row.
    """
    from mashbill.proxies.proxy import result_as_json, train_proxy

    counts = {"proxies": 0, "tokens": 0, "seconds": 0.0, "failed": 0}
    for done, row in enumerate(rows):
        index = int(mixtures.index[row])
        kept = run.scratch / f"{index:04d}"
        if not (kept / "result.json").exists():
            shutil.rmtree(kept, ignore_errors=True)
            kept.mkdir(parents=True)
            told = _scaled(run.progress, done, len(rows), index)
            seed = int(np.random.SeedSequence([run.config.seed, tag, index]).generate_state(1)[0])
            mixture = mixtures.row(row) if schedules is None else schedules.schedule(row)
            result = train_proxy(store, mixture, config, tokens=tokens, evaluations=evaluations, seed=seed, folder=kept, progress=told)
            _write_json(kept / "result.json", {"index": index, **result_as_json(result)})
        shutil.copytree(kept, run.output / "proxies" / f"{index:04d}")
        record = json.loads((kept / "result.json").read_text())
        counts["proxies"] += 1
        counts["tokens"] += record["tokens"]
        counts["seconds"] += record["seconds"]
        counts["failed"] += bool(record["failed"])
    return {**counts, "seconds": round(counts["seconds"], 2)}


def collect_groups(parts: Mapping[str, Artifact], mixtures: MixtureTable, sets: tuple[str, ...], output: Path) -> Counts:
    """Gather the groups' proxies into ``proxies/``, ``losses.csv`` and ``trajectories.csv``; failed ones have NaN.

    Raises:
        DataError: fewer than two proxies finished.
    """
    import pandas as pd

    folders = {int(p.name): p for artifact in parts.values() for p in (artifact.path / "proxies").iterdir()}
    losses = np.full((len(mixtures.index), len(sets)), np.nan)
    points: list[dict[str, Any]] = []
    tokens, seconds, failed = 0, 0.0, 0
    for row, index in enumerate(mixtures.index):
        record = json.loads((folders[int(index)] / "result.json").read_text())
        tokens, seconds = tokens + record["tokens"], seconds + record["seconds"]
        points += [{"index": int(index), **point} for point in record["trajectory"]]
        if record["failed"]:
            failed += 1
        else:
            losses[row] = [record["trajectory"][-1][name] for name in sets]
            shutil.copytree(folders[int(index)], output / "proxies" / f"{index:04d}")
    if len(mixtures.index) - failed < MIN_PROXIES:
        raise DataError("proxies", f"{failed} of {len(mixtures.index)} diverged", "lower proxy.learning_rate")
    mixtures.write(output / "mixtures.csv")
    LossTable(mixtures.index, sets, losses).write(output / "losses.csv")
    pd.DataFrame(points).to_csv(output / "trajectories.csv", index=False)
    rate = round(tokens / max(seconds, 1e-9))
    return {"proxies": len(mixtures.index), "failed": failed, "tokens": tokens, "tokens_per_second_and_process": rate}


def _scaled(progress: Progress, done: int, of: int, index: int) -> Progress:
    return lambda share, words: progress((done + share) / of, f"proxy {index}: {words}")


def _write_json(path: Path, value: Any) -> None:
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(value))
    temporary.replace(path)
