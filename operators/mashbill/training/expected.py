"""What a final run is expected to do on its way: the forecast's band, for whoever watches over the run."""

import logging

from mashbill.artifacts import StageRun, open_store
from mashbill.errors import MashbillError
from mashbill.mixtures import Budget, Forecast
from mashbill.mixtures.choice import CHOSEN
from mashbill.mixtures.forecast import Band

log = logging.getLogger(__name__)


def expected_band(run: StageRun, name: str, figures: Budget) -> Band | None:
    """The band of the newest forecast that was made of this run; None where there is none, or where training
    goes on from other weights, which a forecast knows nothing of.

    It changes nothing of what is trained, so it is no input of the stage: a run goes on where there is none,
    or where it cannot be read.

    Args:
        run: the part.
        name: of the mixture.
        figures: of the recipe.
    """
    if name != CHOSEN or run.config.training.initial:
        return None
    try:
        found = _newest_of(run.inputs["mix"].address, run)
    except MashbillError as error:
        log.warning("train, %s: no forecast to hold the run against (%s)", name, error)
        return None
    if found is None or found.final is None or found.final.band is None:
        return None
    ours = figures.parameters, figures.steps, figures.batch_tokens
    if (found.parameters, found.steps, found.batch_tokens) != ours:
        return None
    return found.final.band


def _newest_of(mix: str, run: StageRun) -> Forecast | None:
    """The forecast of a choice that was begun last."""
    store = open_store(run.config)
    made = {a: m.started for a, m in store.manifests("forecast").items() if m.inputs.get("mix") == mix}
    return Forecast.read(store.open(max(made, key=lambda address: made[address]))) if made else None
