"""Whether the sweep's order of mixtures holds on a larger model and on a longer run: the ``ladder`` stage,
for the demo's sweep.

    make demo
    python benchmarks/ladder.py
"""

import argparse
import os
from typing import Any

from page import ROOT, Page

from mashbill.config import load_config
from mashbill.proxies.ladder import Ladder
from mashbill.stages.local_run import finished_stages, job_of, run_stage_here
from mashbill.stages.table import stage_named

LARGER = {"layers": 6, "width": 256, "heads": 8, "kv_heads": 8, "feed_forward": 704, "context": 128}
RUNGS: list[dict[str, Any]] = [{"model": LARGER, "tokens": 147_456}, {"tokens": 786_432}]


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default=str(ROOT / "dags" / "configs" / "demo.toml"))
    arguments = parser.parse_args()
    config = load_config(arguments.config, {"ladder.rungs": RUNGS})
    job = job_of(stage_named("ladder"), config, finished_stages(config))
    ladder = Ladder.read(job.find() or run_stage_here(job, lambda: None))
    page = Page("ladder", f"{len(ladder.rungs[0].losses)} mixtures of the demo's sweep, trained again")
    page.table(["parameters", "tokens", "rank correlation with the sweep's proxies"])
    for place, rung in enumerate(ladder.rungs):
        agreement = f"{ladder.agreement[0][place]:.2f}" if place else "the sweep"
        page.row([f"{rung.parameters:,}", f"{rung.tokens:,}", agreement])
    page.save()


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main()
