"""The one table of stages, in the order they run: the shell, the operators, the reference page and the tests
read it."""

from collections.abc import Mapping
from types import MappingProxyType

from mashbill.config import PipelineConfig
from mashbill.config.view import ALWAYS_HELD, HOW_IT_RUNS
from mashbill.errors import ConfigError
from mashbill.launch.needs import A_GPU, IN_ORDER, MACHINES
from mashbill.stages.stage import Stage

TARGET = ("mix", "corpus", "selection")
"""What the target's weights are made of: the names in its patterns are domains, their bins and references."""

WHOLE = tuple(name for name in PipelineConfig.model_fields if name not in ALWAYS_HELD | HOW_IT_RUNS)
"""All that determines a result: the report prints it."""

_CURATION = (
    Stage(
        name="ingest",
        summary="Read the sources into partitioned documents; put what cannot be read aside, with reasons.",
        sections=("corpus",),
        inputs=(),
        run="mashbill.corpus.ingest:ingest",
        check="mashbill.corpus.check:check_sources",
        external="mashbill.corpus.sources:source_identity",
        version=7,
    ),
    Stage(
        name="filter",
        summary="Remove documents, and lines, that rules say are not worth training on; mask personal "
        "data; keep out what has a passage of a reference or evaluation set.",
        sections=("filters", "corpus"),
        inputs=("ingest",),
        run="mashbill.filters.apply:filter_documents",
        check="mashbill.filters.registry:check_filters",
        external="mashbill.filters.registry:filter_identity",
        version=5,
    ),
    Stage(
        name="deduplicate",
        summary="Remove exact and near duplicates across domains, and of references and evaluation sets.",
        sections=("deduplication", "corpus"),
        inputs=("ingest", "filter"),
        run="mashbill.dedup.deduplicate:deduplicate",
        check="mashbill.dedup.deduplicate:check_indexes",
        external="mashbill.dedup.index:index_identity",
        version=7,
    ),
    Stage(
        name="bootstrap",
        summary="Train a family of proxies on different mixtures, whose disagreement tells documents apart.",
        sections=("bootstrap", "proxy", "plan", "tokens", "quality", "corpus"),
        inputs=("ingest", "deduplicate"),
        run="mashbill.proxies.bootstrap:collect_bootstrap",
        parts="mashbill.proxies.bootstrap:bootstrap_parts",
        run_part="mashbill.proxies.bootstrap:run_bootstrap_part",
        needs=A_GPU,
        external="mashbill.proxies.bootstrap:family_identity",
        version=7,
    ),
    Stage(
        name="score",
        summary="Measure predictive strength, train a fastText classifier on its extremes, score every "
        "document.",
        sections=("quality", "bootstrap", "corpus"),
        inputs=("ingest", "deduplicate", "bootstrap"),
        run="mashbill.quality.score:score",
        check="mashbill.quality.check:check_quality",
        external="mashbill.quality.score:model_identity",
        version=2,
    ),
    Stage(
        name="select",
        summary="Keep the best-scored share of the text.",
        sections=("selection", "corpus"),
        inputs=("deduplicate", "score"),
        run="mashbill.quality.selection:select",
        version=3,
    ),
    Stage(
        name="tokenize",
        summary="Train or load a tokenizer and write memory-mapped token shards with a document-level split.",
        sections=("tokens", "corpus", "selection"),
        inputs=("ingest", "select"),
        run="mashbill.tokens.tokenize:tokenize",
        check="mashbill.tokens.check:check_tokenizer",
        external="mashbill.tokens.tokenizer:tokenizer_identity",
        version=4,
    ),
)

_MIXTURE = (
    Stage(
        name="plan",
        summary="Draw the mixtures that the sweep tries, around the natural proportions; of what changed "
        "alone, with plan.reuse.",
        sections=("plan", "sweep"),
        inputs=("tokenize",),
        run="mashbill.search.replan:plan",
        check="mashbill.search.check:check_plan",
        earlier="mashbill.search.earlier:reuse_identity",
        identified=("corpus", "selection", "tokens", "proxy", "mix"),
        version=2,
    ),
    Stage(
        name="sweep",
        summary="Train one proxy a mixture and measure its bits per byte on every validation set.",
        sections=("proxy", "sweep", "plan"),
        inputs=("tokenize", "plan"),
        check="mashbill.search.check:check_sweep",
        run="mashbill.proxies.sweep:collect_sweep",
        parts="mashbill.proxies.sweep:sweep_parts",
        run_part="mashbill.proxies.sweep:run_sweep_part",
        needs=A_GPU,
        version=4,
    ),
    Stage(
        name="refine",
        summary="Train more proxies, round by round, where they can still change the choice.",
        sections=("refine", "proxy", "sweep", "plan", "regression", *TARGET),
        inputs=("tokenize", "plan", "sweep"),
        run="mashbill.search.rounds:collect_rounds",
        parts="mashbill.search.rounds:round_names",
        run_part="mashbill.search.rounds:run_round",
        needs=IN_ORDER,
        version=4,
    ),
    Stage(
        name="ladder",
        summary="Train some of the sweep's mixtures at other sizes or budgets, to see whether their order "
        "holds; or the best one at other depths.",
        sections=("ladder", "proxy", "sweep", *TARGET),
        inputs=("tokenize", "sweep"),
        run="mashbill.proxies.ladder:collect_ladder",
        parts="mashbill.proxies.ladder:ladder_parts",
        run_part="mashbill.proxies.ladder:train_rung",
        needs=A_GPU,
        version=3,
    ),
    Stage(
        name="fit",
        summary="Fit regressors from mixtures to losses and compare them by cross-validation.",
        sections=("regression", *TARGET),
        inputs=("plan", "sweep", "refine"),
        check="mashbill.search.check:check_target",
        run="mashbill.search.fit:fit",
        version=5,
    ),
    Stage(
        name="baselines",
        summary="Find other methods' mixtures with the same proxies, to put beside the choice.",
        sections=("baselines", "proxy", "sweep", "plan"),
        inputs=("tokenize", "plan"),
        run="mashbill.proxies.baselines:collect_baselines",
        parts="mashbill.proxies.baselines:baseline_parts",
        run_part="mashbill.proxies.baselines:run_baseline",
        needs=A_GPU,
        version=5,
    ),
    Stage(
        name="mix",
        summary="Choose the mixture with the lowest predicted target loss, within the epoch limit.",
        sections=TARGET,
        inputs=("tokenize", "plan", "sweep", "fit", "baselines"),
        run="mashbill.search.choose:mix",
        external="mashbill.search.choose:budget_identity",
        identified=("training",),
        version=4,
    ),
    Stage(
        name="schedule",
        summary="Choose a mixture for each phase of the final run, where loss curves say that order is "
        "worth it.",
        sections=("schedule", *TARGET),
        inputs=("tokenize", "plan", "sweep", "mix"),
        run="mashbill.search.schedule:schedule",
        external="mashbill.search.choose:budget_identity",
        identified=("training",),
        version=3,
    ),
    Stage(
        name="validate",
        summary="Train the compared mixtures again with fresh seeds, larger too, and rank them by "
        "measured loss.",
        sections=("validation", "proxy", "sweep"),
        inputs=("tokenize", "mix"),
        run="mashbill.proxies.validation:collect_validation",
        parts="mashbill.proxies.validation:validation_parts",
        run_part="mashbill.proxies.validation:train_again",
        needs=A_GPU,
        version=3,
    ),
    Stage(
        name="gate",
        summary="Say whether the predicted gain over natural is worth the cluster.",
        sections=("gate",),
        inputs=("mix",),
        run="mashbill.search.gate:gate",
    ),
)

_TRAINING = (
    Stage(
        name="forecast",
        version=4,
        summary="Forecast the final model's loss, with an interval and by step, from smaller ones on the "
        "chosen mixture.",
        sections=("forecast", "training", "proxy", "sweep", *TARGET),
        inputs=("tokenize", "mix"),
        check="mashbill.search.forecast:check_forecast",
        run="mashbill.search.forecast:collect_forecast",
        parts="mashbill.search.forecast:forecast_parts",
        run_part="mashbill.search.forecast:train_forecast_part",
        needs=A_GPU,
    ),
    Stage(
        name="train",
        summary="Train the final models with DeepSpeed under torchrun, one a mixture.",
        sections=("training", "tokens", "corpus", "selection"),
        inputs=("tokenize", "mix", "schedule", "gate"),
        check="mashbill.training.recipe:check_recipe",
        run="mashbill.training.train:collect_models",
        parts="mashbill.training.train:train_parts",
        run_part="mashbill.training.train:run_train_part",
        needs=MACHINES,
        durable=True,
        external="mashbill.training.initial:initial_identity",
        version=5,
    ),
    Stage(
        name="evaluate",
        summary="Measure the final models' bits per byte by domain, ask them tasks, and check their export.",
        sections=("evaluation", *TARGET),
        inputs=("tokenize", "mix", "schedule", "train"),
        check="mashbill.evaluation.check:check_tasks",
        external="mashbill.evaluation.check:task_identity",
        run="mashbill.evaluation.evaluate:evaluate",
        parts="mashbill.evaluation.evaluate:evaluate_parts",
        run_part="mashbill.evaluation.evaluate:measure_model",
        needs=A_GPU,
        version=3,
    ),
)

_REPORT = Stage(
    name="report",
    summary="Write one HTML page about the whole run.",
    sections=WHOLE,
    inputs=tuple(row.name for row in (*_CURATION, *_MIXTURE, *_TRAINING)),
    optional=("bootstrap", "baselines", "ladder", "validate", "forecast", "train", "evaluate"),
    run="mashbill.reports.report:report",
    version=5,
)

_ROWS = {"curation": _CURATION, "mixture": _MIXTURE, "training": (*_TRAINING, _REPORT)}

STAGES: Mapping[str, Stage] = MappingProxyType({row.name: row for rows in _ROWS.values() for row in rows})
GROUPS = MappingProxyType({group: tuple(row.name for row in rows) for group, rows in _ROWS.items()})
"""Stages that go together: each a task group in Airflow."""


def stage_named(name: str) -> Stage:
    """The stage of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in STAGES:
        raise ConfigError(f"stage {name!r}", "is not a stage", f"choose one of {', '.join(STAGES)}")
    return STAGES[name]
