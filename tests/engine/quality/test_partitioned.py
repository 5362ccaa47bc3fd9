"""What is kept does not depend on how scores are cut into partitions, nor does what is measured of it."""

import itertools
from dataclasses import replace

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from mashbill.config import SelectionConfig
from mashbill.quality.cutoffs import Measured, choose, decided, filled_up, open_cutoffs, short_of
from mashbill.quality.scores import Scores
from mashbill.quality.sketch import QuantileSketch

margins = st.lists(st.sampled_from([-np.inf, -2.0, -1.0, -0.5, 0.0, 0.25, 1.0, 3.0]), min_size=1, max_size=30)
configs = st.builds(
    SelectionConfig,
    method=st.sampled_from(["share", "threshold", "temperature"]),
    keep_share=st.sampled_from([0.1, 0.5, 0.9]),
    threshold=st.sampled_from([-1.0, 0.1]),
    scope=st.sampled_from(["domain", "overall"]),
    min_documents=st.integers(1, 12),
)


def scores_of(values: list[float], name: str) -> Scores:
    sizes = np.arange(1, len(values) + 1) * 7 % 11 + 1
    return Scores(pa.chunked_array([[f"{name}{i}" for i in range(len(values))]]), np.array(values), sizes)


def cut(scores: Scores, ends: list[int]) -> list[Scores]:
    places = sorted({0, len(scores.margin), *(end for end in ends if end < len(scores.margin))})
    return [
        Scores(scores.id.slice(first, last - first), scores.margin[first:last], scores.bytes[first:last])
        for first, last in itertools.pairwise(places)
    ]


@settings(max_examples=200, deadline=None)
@given(margins, margins, configs, st.lists(st.integers(1, 29), max_size=4))
def test_cutoffs_of_partitions_keep_what_those_of_whole_domains_keep(
    one: list[float], other: list[float], config: SelectionConfig, ends: list[int]
) -> None:
    whole = {"one": scores_of(one, "one"), "other": scores_of(other, "other")}
    expected, error = choose(whole, config, seed=5)
    parts = {domain: cut(scores, ends) for domain, scores in whole.items()}
    cutoffs = open_cutoffs(tuple(whole), config, 5)
    measured = {domain: Measured() for domain in whole}
    for domain, some in parts.items():
        for part in some:
            measured[domain].add(Measured.of(part, cutoffs[domain]))
    cutoffs, again = decided(cutoffs, measured)
    assert again == error
    for domain in short_of(cutoffs, measured):
        assert cutoffs[domain].keep(whole[domain]).sum() < config.min_documents
        cutoffs[domain] = filled_up(cutoffs[domain], [cutoffs[domain].best(part) for part in parts[domain]])
    for domain, some in parts.items():
        kept = np.concatenate([cutoffs[domain].keep(part) for part in some])
        assert kept.tolist() == expected[domain].tolist()
        assert kept.sum() >= min(config.min_documents, len(kept))
        binned = replace(cutoffs[domain], config=config.model_copy(update={"bins": 3})).in_bins(
            QuantileSketch().add(whole[domain].margin[kept], whole[domain].bytes[kept])
        )
        numbers = np.concatenate([binned.binned(part, binned.keep(part)) for part in some])
        assert ((numbers >= 0) == kept).all()
