"""Models alone: token shards and a mixture of others in place of the stages before."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mashbill.alone.arguments import plain
from mashbill.alone.given import Given, Ready, referring, stand_in
from mashbill.alone.search import config_of_shards
from mashbill.alone.tables import mixture_of, refuse_strangers
from mashbill.artifacts import Artifact, Counts
from mashbill.config import PipelineConfig
from mashbill.mixtures import Choice, Decision, Prediction, ScheduleChoice
from mashbill.models.folder import look_at_model
from mashbill.models.huggingface import MODELS
from mashbill.storage import link, local_path, path_identity
from mashbill.tokens import TokenStore

GIVEN = "given"
UNKNOWN = Prediction(loss=math.nan, interval=(math.nan, math.nan))
"""What is expected of a mixture that nothing predicted."""


def for_train(given: Given) -> Ready:
    """What train reads: token shards, a mixture, no schedule, and a gate that is open."""
    config, tokens = config_of_shards(given)
    choice = choice_of(given, config, TokenStore(tokens).domains)
    followed = ScheduleChoice.stays(Choice.read(choice).mixture, "the mixture is given")
    gate = Decision(decision="train", reason="the mixture is given", gain=0.0, gain_interval=(0.0, 0.0))
    inputs = {
        "tokenize": tokens,
        "mix": choice,
        "schedule": stand_in(config, "schedule", choice.fingerprint, write=_writing(followed)),
        "gate": stand_in(config, "gate", GIVEN, write=_writing(gate)),
    }
    return Ready(config, inputs)


def for_forecast(given: Given) -> Ready:
    """What forecast reads: token shards and a mixture."""
    config, tokens = config_of_shards(given)
    return Ready(config, {"tokenize": tokens, "mix": choice_of(given, config, TokenStore(tokens).domains)})


def for_evaluate(given: Given) -> Ready:
    """What evaluate reads: token shards and models; what is measured is all that they hold, evenly, where no
    target is given and no reference set is there."""
    config, tokens = config_of_shards(given)
    if not config.mix.target and not config.reference_names:
        names = config.domain_names
        config, tokens = config_of_shards(given.having({"target": {name: 1 / len(names) for name in names}}))
    natural = TokenStore(tokens).natural()
    choice = _plain(natural)
    followed = ScheduleChoice.stays(natural, "the models are given")
    inputs = {
        "tokenize": tokens,
        "train": _models(given, config),
        "mix": stand_in(config, "mix", list(natural.items()), write=_writing(choice)),
        "schedule": stand_in(config, "schedule", list(natural.items()), write=_writing(followed)),
    }
    return Ready(config, inputs)


def choice_of(given: Given, config: PipelineConfig, domains: Sequence[str]) -> Artifact:
    """The mixture: ChooseMixture's choice as it is, or one that is given, of all domains of the shards."""
    value = given.values["mixture"]
    made = given.published(value, config) if isinstance(value, str) else None
    chosen = made is not None and made.has(Choice.FILE)
    mixture = Choice.read(made).mixture if made and chosen else mixture_of(given, config)
    refuse_strangers(given, "mixture", list(mixture), known=domains, whose="the shards")
    if made and chosen and set(mixture) == set(domains):
        return referring(config, "mix", made)
    whole = {domain: mixture.get(domain, 0.0) for domain in domains}
    return stand_in(config, "mix", list(whole.items()), write=_writing(_plain(whole)))


def _plain(mixture: Mapping[str, float]) -> Choice:
    """A choice of which the mixture alone is known."""
    return Choice(
        mixture=dict(mixture),
        predicted=UNKNOWN,
        baselines={},
        regressor=GIVEN,
        gain=0.0,
        gain_interval=(0.0, 0.0),
        sets={},
        nearest_sampled=0.0,
        outside_sampled=False,
        target={},
        limits=(),
        sensitivity={},
    )


def _models(given: Given, config: PipelineConfig) -> Artifact:
    """The models: TrainModel's as they are, or Hugging Face folders by name."""
    value = plain(given.values["models"])
    made = given.published(value, config) if isinstance(value, str) else None
    if made is not None and made.names(MODELS):
        return referring(config, "train", made)
    by_name = value if isinstance(value, Mapping) else {Path(str(value)).name: value}
    identity = [[name, path_identity(config, "models", str(place))] for name, place in by_name.items()]

    def write(folder: Path) -> Counts:
        for name, place in by_name.items():
            source = local_path(config, "models", str(place))
            look_at_model(source)
            for file in (path for path in source.rglob("*") if path.is_file()):
                link(file, folder / MODELS / name / file.relative_to(source))
        return {"models": len(by_name)}

    return stand_in(config, "train", identity, write=write)


def _writing(record: Any) -> Any:
    """Writes a record into a folder, and counts nothing."""

    def write(folder: Path) -> Counts:
        record.write(folder)
        return {}

    return write
