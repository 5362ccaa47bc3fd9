"""Gopher's, C4's and FineWeb's rules against datatrove's blocks: speed by CPU second, and whether they decide
alike.

python benchmarks/filters.py [--megabytes 20] [--repeats 5]
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from functools import partial

import numpy as np
import pyarrow as pa
from measure import COLUMNS, compare, peer, sample, size_of, timed
from page import Page

from mashbill.config import FiltersConfig
from mashbill.filters.c4 import C4
from mashbill.filters.filter import Filter, Verdict
from mashbill.filters.fineweb import FineWeb
from mashbill.filters.gopher_quality import GopherQuality
from mashbill.filters.gopher_repetition import GopherRepetition

WORK: dict[str, tuple[tuple[type[Filter], ...], float]] = {
    "gopher": ((GopherRepetition, GopherQuality), 60),
    "gopher_quality": ((GopherQuality,), 60),
    "gopher_repetition": ((GopherRepetition,), 60),
    "c4": ((C4,), 15),
    "fineweb": ((FineWeb,), 4),
}


def applied(rules: Sequence[Filter], texts: pa.Array, metadata: pa.Array) -> list[Verdict]:
    """What each filter says of every document."""
    return [rule(texts, metadata) for rule in rules]


def decide(rules: Sequence[Filter], texts: pa.Array, metadata: pa.Array) -> list[str]:
    """The first reason of each document."""
    reasons = np.full(len(texts), "kept", object)
    for rule in rules:
        verdict = rule(texts, metadata)
        fresh = (verdict.codes > 0) & (reasons == "kept")
        reasons[fresh] = np.array(rule.reasons, object)[verdict.codes[fresh]]
    return reasons.tolist()


def main() -> None:
    """Measure every rule."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    documents = sample(arguments.megabytes)
    texts, metadata = (
        pa.array([d["text"] for d in documents], pa.large_string()),
        pa.array(["{}"] * len(documents)),
    )
    size = (size_of(documents), len(documents))
    page = Page("filters", f"Filters, {len(documents):,} documents, {size[0]:.1f} MB; peer: datatrove")
    page.table(COLUMNS)
    differences = []
    for name, (kinds, target) in WORK.items():
        rules = [kind(getattr(FiltersConfig(), kind.name)) for kind in kinds]
        ours = timed(partial(applied, rules, texts, metadata), arguments.repeats)
        theirs, decided = peer(name, documents, max(1, arguments.repeats // 2))
        compare(page, name, size, ours=ours, theirs=theirs, target=target)
        mine = decide(rules, texts, metadata)
        alike = sum((a == "kept") == (b == "kept") for a, b in zip(mine, decided, strict=True)) / len(mine)
        other = Counter((a, b) for a, b in zip(mine, decided, strict=True) if (a == "kept") != (b == "kept"))
        differences.append((name, alike, other))
    page.say("Decisions (target: at least 98% alike):")
    page.table(["work", "alike", "ours / theirs where they differ"])
    for name, alike, other in differences:
        listed = "; ".join(f"{a} / {b}: {count}" for (a, b), count in other.most_common(5))
        page.row([name, f"{alike:.2%}", listed])
    page.save()


if __name__ == "__main__":
    main()
