"""What the report says, read from the artifacts: one set of facts that the template walks."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from mashbill.artifacts import Artifact, Part, Record
from mashbill.config import PipelineConfig
from mashbill.config.training import SCHEDULED
from mashbill.dedup import deduplicate
from mashbill.documents import (
    EXACT,
    NEAR,
    PASSAGE,
    Tally,
    repeats,
)
from mashbill.evaluation.record import Evaluation
from mashbill.filters import apply
from mashbill.mixtures import (
    Choice,
    Decision,
    Forecast,
    Recipe,
    Round,
    Rounds,
    ScheduleChoice,
    Validation,
)
from mashbill.mixtures.choice import CHOSEN, NATURAL
from mashbill.mixtures.reuse import Reuse, read_reuse
from mashbill.proxies.ladder import Ladder
from mashbill.proxies.sweep import SettingsComparison
from mashbill.quality import score, selection
from mashbill.regression.fitted import RegressorComparison
from mashbill.reports.absent import (
    NO_EVENTS,
    NO_FORECAST,
    NO_LADDER,
    NO_RECIPES,
    NO_VALIDATION,
    not_evaluated,
    read_or,
    said_of_absent,
)
from mashbill.reports.rejected import Refused, rejected_records
from mashbill.training.events import Event

VERSIONS = (
    "airflow-provider-mashbill",
    "apache-airflow-core",
    "torch",
    "deepspeed",
    "transformers",
    "lm_eval",
    "daft",
    "fasttext-community",
    "lightgbm",
)


class Row(Part):
    """One row of the table of domains: how a domain fared from stage to stage."""

    name: str
    records: int
    ingested: int
    filtered: int
    unique: int
    selected: int
    megabytes: float
    tokens: int
    natural: float
    chosen: float
    epochs: float


class Repeating(Part):
    """Documents of a domain that repeat a set which is held out from training, and were removed.

    Attributes:
        domain: whose documents; of: name of the set.
        exact, near, passage: how many have its text, nearly its text, or a passage of it.
    """

    domain: str
    of: str
    exact: int
    near: int
    passage: int


@dataclass(frozen=True)
class Facts:
    """Everything that the template walks but the figures, read from the artifacts.

    Attributes:
        name: of the pipeline; absent: results that it does without, a sentence each.
        stages: what each did; domains: how each fared.
        continued: model that the final training went on from, if it did.
        choice, schedule, decision, validation, forecast, evaluation, recipes, events: records of the later
            stages.
        rejected, lost, filters, held_out, clusters, duplicates, samples, quality: what curation kept and
            removed.
        settings, reuse, ladder, rounds, regression: of the mixture search.
        config: as JSON; versions: of packages.
    """

    name: str
    absent: Sequence[str]
    stages: Sequence[Mapping[str, Any]]
    domains: Sequence[Row]
    continued: str | None
    choice: Choice
    schedule: ScheduleChoice
    decision: Decision
    validation: Validation
    forecast: Forecast
    evaluation: Evaluation
    recipes: Mapping[str, Recipe]
    events: Sequence[Event]
    rejected: Mapping[str, Refused]
    lost: Mapping[str, Any]
    filters: Any
    held_out: Sequence[Repeating]
    clusters: Any
    duplicates: Mapping[str, Any]
    samples: Any
    quality: Any
    settings: SettingsComparison
    reuse: Reuse | None
    ladder: Ladder
    rounds: Sequence[Round]
    regression: RegressorComparison
    config: str
    versions: Mapping[str, str]

    @property
    def weights(self) -> list[dict[str, Any]]:
        """Chosen and natural weight of each component."""
        natural = self.choice.baselines[NATURAL].mixture
        return [{"name": d, "chosen": w, "natural": natural[d]} for d, w in self.choice.mixture.items()]

    @property
    def predicted_against_measured(self) -> list[dict[str, Any]]:
        """Predicted target loss of each mixture, and the measured one where a model was trained."""
        predictions = self.choice.predictions
        if self.schedule.taken and self.schedule.predicted:
            chosen = {CHOSEN: predictions.pop(CHOSEN), SCHEDULED: self.schedule.predicted}
            predictions = {**chosen, **predictions}
        measured = self.evaluation.measured
        return [
            {"name": name, "loss": p.loss, "interval": p.interval, "measured": measured.get(name)}
            for name, p in predictions.items()
        ]


class Summary(Record):
    """The main figures, for machines and for the last lines of a run.

    Attributes:
        mixture: the choice; predicted, measured: target losses by mixture.
        gain_predicted, gain_measured: of the choice over natural; schedule_gain_measured: over the choice.
        counts: what each stage counted.
    """

    FILE = "summary.json"
    mixture: dict[str, float]
    predicted: dict[str, float]
    measured: dict[str, float]
    gain_predicted: float
    gain_measured: float | None
    schedule_gain_measured: float | None
    counts: dict[str, dict[str, Any]]


def gather(config: PipelineConfig, inputs: Mapping[str, Artifact]) -> Facts:
    """Read the artifacts of a run."""
    choice = Choice.read(inputs["mix"])
    return Facts(
        name=config.name,
        absent=said_of_absent(inputs),
        stages=[_stage(name, artifact) for name, artifact in inputs.items()],
        domains=_domains(config, inputs, choice),
        continued=config.training.initial,
        choice=choice,
        schedule=ScheduleChoice.read(inputs["schedule"]),
        decision=Decision.read(inputs["gate"]),
        validation=read_or(inputs, "validate", NO_VALIDATION),
        forecast=read_or(inputs, "forecast", NO_FORECAST),
        evaluation=read_or(inputs, "evaluate", not_evaluated(choice)),
        recipes=read_or(inputs, "train", NO_RECIPES).root,
        events=read_or(inputs, "train", NO_EVENTS).root,
        rejected=rejected_records(config, inputs["ingest"]),
        lost=inputs["ingest"].manifest.counts.get("lost", {}),
        filters=_json(inputs["filter"], apply.FACTS),
        held_out=_repeating(config, inputs),
        clusters=_json(inputs["deduplicate"], deduplicate.FACTS),
        duplicates=_json(inputs["deduplicate"], deduplicate.FACTS)["reasons"],
        samples=_json(inputs["select"], selection.SAMPLES),
        quality=_json(inputs["score"], score.FACTS),
        settings=SettingsComparison.read(inputs["sweep"]),
        reuse=read_reuse(inputs["plan"]),
        ladder=read_or(inputs, "ladder", NO_LADDER),
        rounds=Rounds.read(inputs["refine"]).root,
        regression=RegressorComparison.read(inputs["fit"]),
        config=json.dumps(config.what_is_computed(), indent=2, ensure_ascii=False),
        versions={name: _version(name) for name in VERSIONS},
    )


def summary(facts: Facts) -> Summary:
    """The main figures."""
    evaluation = facts.evaluation
    return Summary(
        mixture=facts.choice.mixture,
        predicted=evaluation.predicted,
        measured=evaluation.measured,
        gain_predicted=evaluation.gain_predicted,
        gain_measured=evaluation.gain_measured,
        schedule_gain_measured=evaluation.schedule_gain_measured,
        counts={stage["name"]: stage["counts"] for stage in facts.stages},
    )


def _stage(name: str, artifact: Artifact) -> dict[str, Any]:
    manifest = artifact.manifest
    counts = {key: value for key, value in manifest.counts.items() if isinstance(value, int | float | str)}
    size = sum(file.bytes for file in manifest.files)
    return {
        "name": name,
        "counts": counts,
        "seconds": manifest.seconds,
        "bytes": size,
        "fingerprint": manifest.fingerprint[:12],
    }


def _domains(config: PipelineConfig, inputs: Mapping[str, Artifact], choice: Choice) -> list[Row]:
    """How each domain fared from stage to stage."""
    flows = {
        stage: Tally.from_counts(inputs[stage].manifest.counts).flows
        for stage in ("ingest", "filter", "deduplicate", "select")
    }
    tokens = inputs["tokenize"].manifest.counts["by_domain"]
    natural, rows = choice.baselines[NATURAL].mixture, []
    for name in config.domain_names:
        bins = config.binned_names(name)
        row = Row(
            name=name,
            records=flows["ingest"][name].documents_in,
            ingested=flows["ingest"][name].documents_out,
            filtered=flows["filter"][name].documents_out,
            unique=flows["deduplicate"][name].documents_out,
            selected=flows["select"][name].documents_out,
            megabytes=flows["select"][name].bytes_out / 1e6,
            tokens=sum(tokens[b]["tokens_train"] for b in bins),
            natural=sum(natural[b] for b in bins),
            chosen=sum(choice.mixture[b] for b in bins),
            epochs=max(choice.epochs[b] for b in bins),
        )
        rows.append(row)
    return rows


def _repeating(config: PipelineConfig, inputs: Mapping[str, Artifact]) -> list[Repeating]:
    """What was removed as it repeats a set that is held out, by domain and set."""
    sets, found = config.corpus.held_out, []
    stages = [inputs[name].manifest.counts["removed_by_domain"] for name in ("filter", "deduplicate")]
    for domain in config.domain_names:
        removed = sum((Counter(stage.get(domain, {})) for stage in stages), Counter[str]())
        for name in sets:
            exact, near, passage = (removed[repeats(how, name)] for how in (EXACT, NEAR, PASSAGE))
            if exact or near or passage:
                found.append(Repeating(domain=domain, of=name, exact=exact, near=near, passage=passage))
    return found


def _json(artifact: Artifact, name: str) -> Any:
    return json.loads(artifact.file(name).read_text(encoding="utf-8"))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
