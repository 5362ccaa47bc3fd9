"""The stages that may stand alone, and what each is given."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from mashbill.alone.row import Input, Places, Row, Weights

OF_DOCUMENTS, OF_MIXTURES, OF_MODELS = (
    f"mashbill.alone.{room}" for room in ("documents", "search", "models")
)
SETS = (
    Input(
        "documents",
        Places,
        "Files of documents, which are read where they are: a path, folder, glob or address (s3://, hf://), "
        "a list of such, or such by domain; or the address of what another operator wrote.",
    ),
    Input(
        "references",
        dict[str, str | list[Any] | dict[str, Any]],
        "Files of reference sets, by name: text that is measured on and never trained on.",
        required=False,
    ),
)
ALL_SETS = (
    *SETS,
    Input(
        "evaluations",
        dict[str, str | list[Any] | dict[str, Any]],
        "Files of evaluation sets, by name, which training text must not repeat.",
        required=False,
    ),
)
SCORES = Input(
    "scores",
    Places,
    "What ScoreQuality wrote for these documents, or files of a table with a row a document.",
)
SCORE_FIELD = Input("score_field", str, "Column of a table of scores that holds them.", required=False)
TOKENS = Input("tokens", str, "Folder or address of the token shards that TokenizeDocuments wrote.")
AVAILABLE = Input(
    "available",
    str | dict[str, float],
    "Tokens that there are of each domain: by domain, a CSV with columns domain and tokens, a JSON file, or "
    "the address of token shards.",
)
MIXTURES = Input(
    "mixtures",
    str | list[Weights] | dict[str, Weights],
    "Mixtures, one a run: a CSV with an index column and one a domain, weights by run, or the address of "
    "what PlanMixtures or SweepProxies wrote.",
)
LOSSES = Input(
    "losses",
    str | list[Weights] | dict[str, Weights],
    "Losses of these runs: a CSV with the same index and a column a set, or losses by run. Without it those "
    "that lie beside the mixtures.",
    required=False,
)
MIXTURE = Input(
    "mixture",
    str | dict[str, float],
    "The mixture: weights by domain, a CSV or JSON file of them, or the address of what ChooseMixture wrote.",
)
TRAJECTORIES = Input(
    "trajectories",
    str,
    "Losses of the runs on the way: a CSV with columns index, tokens and one a set, or the address of what "
    "SweepProxies wrote. Without it those that lie beside the mixtures.",
    required=False,
)
CHOICE = Input("mixture", str, "Address of what ChooseMixture wrote.")
MODELS = Input(
    "models",
    str | dict[str, str],
    "Address of what TrainModel wrote; or folders or addresses of Hugging Face models, by name.",
)
PROXIES = Input("proxies", str, "Address of what BootstrapQuality wrote.", required=False)
RESULTS = Input(
    "results",
    str | list[Any] | dict[str, Any],
    "Addresses that operators returned: of the last ones of a run, as those that they were made from are "
    "found by them; or all, by stage. Without bootstrap, baselines, ladder, validate, forecast, train or "
    "evaluate the report says that they are missing.",
)
CORPUS = {name: f"corpus.{name}" for name in ("partition_bytes", "max_rejected_share")}
HELD_OUT = {**CORPUS, "may_repeat": "corpus.may_repeat"}
TOKENIZER = {
    name: f"tokens.{name}"
    for name in ("end_of_text", "vocabulary", "training_bytes", "validation_share", "max_validation_bytes")
}
TARGET = {"target": "mix.target"}
REGRESSION = {name: f"regression.{name}" for name in ("regressor", "folds", "keep_outliers")}
PROXY = {"proxy": "proxy"}
TRAINED = {**PROXY, "sweep": "sweep"}

_CURATION = (
    Row("ingest", ALL_SETS, f"{OF_DOCUMENTS}:for_ingest", settings=HELD_OUT),
    Row("filter", ALL_SETS, f"{OF_DOCUMENTS}:for_filter", sections=("filters",), settings=HELD_OUT),
    Row(
        "deduplicate",
        ALL_SETS,
        f"{OF_DOCUMENTS}:for_deduplicate",
        sections=("deduplication",),
        settings=HELD_OUT,
    ),
    Row(
        "bootstrap",
        SETS,
        f"{OF_DOCUMENTS}:for_bootstrap",
        sections=("bootstrap",),
        settings={**CORPUS, **PROXY, **TOKENIZER, "plan": "plan"},
        without=frozenset({"bootstrap.family"}),
    ),
    Row(
        "score",
        (*SETS, PROXIES),
        f"{OF_DOCUMENTS}:for_score",
        sections=("quality",),
        settings=CORPUS,
    ),
    Row(
        "select",
        (
            SETS[0],
            SCORES,
            SCORE_FIELD,
        ),
        f"{OF_DOCUMENTS}:for_select",
        sections=("selection",),
        settings=CORPUS,
    ),
    Row("tokenize", SETS, f"{OF_DOCUMENTS}:for_tokenize", sections=("tokens",), settings=CORPUS),
)

_MIXTURE = (
    Row(
        "plan",
        (AVAILABLE,),
        f"{OF_MIXTURES}:for_plan",
        sections=("plan",),
        settings={"tokens": "sweep.tokens"},
        without=frozenset({"plan.reuse", "plan.revised_share"}),
    ),
    Row(
        "sweep",
        (TOKENS, MIXTURES),
        f"{OF_MIXTURES}:for_sweep",
        sections=("sweep",),
        settings={"training_tokens": "sweep.tokens", **PROXY},
    ),
    Row(
        "refine",
        (TOKENS, MIXTURES, LOSSES),
        f"{OF_MIXTURES}:for_refine",
        sections=("refine",),
        settings={**TARGET, **TRAINED, **REGRESSION, "max_epochs": "plan.max_epochs"},
    ),
    Row(
        "ladder",
        (TOKENS, MIXTURES, LOSSES),
        f"{OF_MIXTURES}:for_ladder",
        sections=("ladder",),
        settings={**TARGET, **TRAINED, "compared": "ladder.mixtures"},
    ),
    Row(
        "fit",
        (MIXTURES, LOSSES),
        f"{OF_MIXTURES}:for_fit",
        sections=("regression",),
        settings=TARGET,
    ),
    Row(
        "baselines",
        (TOKENS,),
        f"{OF_MIXTURES}:for_baselines",
        sections=("baselines",),
        settings=TRAINED,
    ),
    Row(
        "mix",
        (MIXTURES, LOSSES, AVAILABLE),
        f"{OF_MIXTURES}:for_mix",
        sections=("mix",),
        settings={"tokens": "training.tokens", "max_epochs": "training.max_epochs", **REGRESSION},
    ),
    Row(
        "schedule",
        (MIXTURES, TRAJECTORIES, AVAILABLE, MIXTURE),
        "mashbill.alone.schedules:for_schedule",
        sections=("schedule",),
        settings={
            **TARGET,
            **{name: f"mix.{name}" for name in ("floors", "ceilings", "interval")},
            "tokens": "training.tokens",
            "max_epochs": "training.max_epochs",
        },
    ),
    Row(
        "validate",
        (TOKENS, CHOICE),
        f"{OF_MIXTURES}:for_validate",
        sections=("validation",),
        settings={"training_tokens": "validation.tokens", **TRAINED},
    ),
    Row("gate", (CHOICE,), f"{OF_MIXTURES}:for_gate", sections=("gate",)),
)

_TRAINING = (
    Row(
        "forecast",
        (TOKENS, MIXTURE),
        f"{OF_MODELS}:for_forecast",
        sections=("forecast",),
        settings={**TARGET, **TRAINED, "training": "training"},
    ),
    Row(
        "train",
        (TOKENS, MIXTURE),
        f"{OF_MODELS}:for_train",
        sections=("training",),
        settings={"training_tokens": "training.tokens"},
    ),
    Row(
        "evaluate",
        (TOKENS, MODELS),
        f"{OF_MODELS}:for_evaluate",
        sections=("evaluation",),
        settings=TARGET,
    ),
    Row("report", (RESULTS,), "mashbill.alone.report:for_report", settings={"name": "name"}),
)

ALONE: Mapping[str, Row] = MappingProxyType(
    {row.stage: row for rows in (_CURATION, _MIXTURE, _TRAINING) for row in rows}
)
