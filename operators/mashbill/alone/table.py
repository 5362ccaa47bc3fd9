"""The stages that may stand alone, and what each is given."""

from collections.abc import Mapping
from types import MappingProxyType

from mashbill.alone.row import Input, Places, Row

DOCUMENTS = Input(
    "documents",
    Places,
    "Files of documents, which are read where they are: a path, folder, glob or address (s3://, hf://), a "
    "list of such, or such by domain; or the address of what another operator wrote.",
)
REFERENCES = Input(
    "references",
    dict[str, str | list[str]],
    "Files of reference sets, by name: text that is measured on and never trained on.",
    required=False,
)
EVALUATIONS = Input(
    "evaluations",
    dict[str, str | list[str]],
    "Files of evaluation sets, by name, which training text must not repeat.",
    required=False,
)
SETS = (DOCUMENTS, REFERENCES)
OF_DOCUMENTS = "mashbill.alone.documents"
_CORPUS = {name: f"corpus.{name}" for name in ("partition_bytes", "max_rejected_share")}
_KEEPING_OUT = {**_CORPUS, "may_repeat": "corpus.may_repeat"}

ROWS = (
    Row(
        stage="score",
        inputs=SETS,
        make=f"{OF_DOCUMENTS}:for_scores",
        sections=("quality",),
        settings=_CORPUS,
    ),
)

ALONE: Mapping[str, Row] = MappingProxyType({row.stage: row for row in ROWS})
