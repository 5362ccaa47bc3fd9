"""A tally adds up in whatever groups its parts are added, and raises where something is lost."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mashbill.documents import Flow, Tally, removed_rows
from mashbill.errors import RunError

DOMAINS = ("web", "books", "code")
reasons = st.dictionaries(st.sampled_from(["short", "near", "exact"]), st.integers(0, 50)).map(Counter)


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    """Any flow in which nothing is lost."""
    out, size, removed_bytes, trimmed = (draw(st.integers(0, 1_000)) for _ in range(4))
    removed, rejected = draw(reasons), draw(reasons)
    return Flow(
        documents_in=out + removed.total() + rejected.total(),
        documents_out=out,
        bytes_in=size + removed_bytes + trimmed,
        bytes_out=size,
        bytes_removed=removed_bytes,
        bytes_trimmed=trimmed,
        removed=removed,
        rejected=rejected,
    )


parts = st.lists(st.tuples(st.sampled_from(DOMAINS), flows()), max_size=12)


def tallied(of: list[tuple[str, Flow]]) -> Tally:
    tally = Tally.over(DOMAINS)
    for domain, flow in of:
        tally.add(domain, flow)
    return tally


@given(parts, parts, parts)
def test_tallies_add_up_to_the_same_in_any_groups(
    first: list[tuple[str, Flow]], second: list[tuple[str, Flow]], third: list[tuple[str, Flow]]
) -> None:
    a, b, c = tallied(first), tallied(second), tallied(third)
    assert (a + b) + c == a + (b + c) == tallied([*first, *second, *third])


@given(parts)
def test_what_came_is_what_stayed_and_what_went(of: list[tuple[str, Flow]]) -> None:
    tally = tallied(of)
    counts, whole = tally.counts(), tally.whole
    went = sum(counts["removed"].values()) + sum(whole.rejected.values())
    assert counts["documents_in"] == counts["documents_out"] + went
    assert counts["bytes_in"] == counts["bytes_out"] + whole.bytes_removed + whole.bytes_trimmed
    for key in ("documents_in", "documents_out", "bytes_in", "bytes_out"):
        assert counts[key] == sum(row[key] for row in counts["by_domain"].values())
    assert list(counts["by_domain"]) == list(DOMAINS)
    assert {d: f.documents_out for d, f in Tally.from_counts(counts).flows.items()} == {
        d: f.documents_out for d, f in tally.flows.items()
    }


@given(parts, st.sampled_from(["documents_out", "bytes_out"]))
def test_one_lost_document_or_byte_is_an_error_that_names_the_domain(
    of: list[tuple[str, Flow]], key: str
) -> None:
    tally = tallied(of)
    tally.add("books", Flow(**{key.replace("_out", "_in"): 1}))
    what = key.removesuffix("_out")
    with pytest.raises(RunError, match=f"domain books.*cannot account for 1 {what}"):
        tally.counts()


def test_a_loss_in_one_domain_is_not_made_good_by_a_gain_in_another() -> None:
    tally = Tally.over(DOMAINS)
    tally.add("web", Flow(documents_in=1))
    tally.add("code", Flow(documents_out=1))
    with pytest.raises(RunError, match="domain web"):
        tally.totals()


def test_a_flow_is_counted_from_the_tables_before_and_after() -> None:
    before = pa.table({"id": ["a", "b", "c"], "domain": ["web"] * 3, "text": ["☕☕", "go", "stay here"]})
    gone = removed_rows(before.slice(1, 1), np.array(["short"]))
    after = pa.table({"id": ["a", "c"], "domain": ["web"] * 2, "text": ["☕☕", "stay"]})
    flow = Flow.between(before, after, gone, bytes_trimmed=len(" here"))
    flow.check("web")
    assert (flow.documents_in, flow.documents_out, flow.removed) == (3, 2, {"short": 1})
    assert (flow.bytes_in, flow.bytes_out, flow.bytes_removed) == (6 + 2 + 9, 6 + 4, 2)


def test_a_reason_that_took_nothing_is_still_told() -> None:
    tally = Tally.over(["web"])
    tally.add("web", Flow(documents_in=2, documents_out=2, removed=Counter(quality=0)))
    assert tally.counts()["removed"] == {"quality": 0}
    assert tally.emptied == ()
    assert Tally.over(["web"]).emptied == ("web",)
