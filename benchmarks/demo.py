"""What the demo's newest run came to: predicted and measured losses of its final models, and of fresh
proxies.

    make demo
    python benchmarks/demo.py [--config dags/configs/demo.toml]

Nothing is trained here: the figures are read from the run's artifacts, so that the documentation's are those
of one run.
"""

import argparse

from page import ROOT, Page

from mashbill.artifacts import Artifact
from mashbill.config import load_config
from mashbill.mixtures import Validation
from mashbill.mixtures.choice import CHOSEN, NATURAL
from mashbill.reports.gather import Summary
from mashbill.stages.local_run import finished_stages


def final_models(page: Page, summary: Summary) -> None:
    """Predictions for proxies beside what the final models measured."""
    page.table(["mixture", "predicted for a proxy", "measured on the final model"])
    for name, predicted in sorted(summary.predicted.items(), key=lambda item: item[1]):
        measured = summary.measured.get(name)
        page.row([name, f"{predicted:.3f}", "not trained" if measured is None else f"{measured:.3f}"])
    if summary.gain_measured is None:
        return
    page.say(
        f"The choice's gain over the natural mixture: predicted {summary.gain_predicted:.3f} for proxies, "
        f"measured {summary.gain_measured:.3f} on the final models.",
        gain_predicted=summary.gain_predicted,
        gain_measured=summary.gain_measured,
    )


def fresh_proxies(page: Page, validation: Artifact) -> None:
    """Predictions beside what proxies of fresh seeds measured."""
    size = Validation.read(validation).sizes[0]
    page.table(["mixture", "predicted", f"measured on proxies of {size.seeds} fresh seeds (spread)"])
    for mixture in size.mixtures:
        spread = f"{mixture.mean:.4f} ({mixture.least:.4f}-{mixture.greatest:.4f})"
        page.row([mixture.name, f"{mixture.predicted:.4f}", spread])
    found = {mixture.name: mixture for mixture in size.mixtures}
    chosen, natural = found[CHOSEN], found[NATURAL]
    if chosen.gain is None or chosen.gain_error is None:
        return
    page.say(
        f"On fresh proxies the gain over natural is {chosen.gain:.3f} (standard error "
        f"{chosen.gain_error:.3f}), where {natural.predicted - chosen.predicted:.3f} was predicted.",
        gain=chosen.gain,
        gain_error=chosen.gain_error,
        gain_predicted=natural.predicted - chosen.predicted,
    )


def main() -> None:
    """Read and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default=str(ROOT / "dags" / "configs" / "demo.toml"))
    arguments = parser.parse_args()
    done = finished_stages(load_config(arguments.config))
    page = Page("demo", "The demo's run")
    final_models(page, Summary.read(done["report"]))
    fresh_proxies(page, done["validate"])
    page.save()


if __name__ == "__main__":
    main()
