"""Samples are drawn by lot: the same ones however the rows are cut and merged, and never more than asked."""

import itertools

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from mashbill.documents import Samples

rows = st.lists(st.tuples(st.integers(0, 200), st.sampled_from("xyz")), max_size=60, unique_by=lambda r: r[0])


@settings(max_examples=100, deadline=None)
@given(rows, st.integers(0, 5), st.lists(st.integers(0, 60), max_size=4))
def test_samples_are_the_same_however_rows_are_cut(
    found: list[tuple[int, str]], count: int, cuts: list[int]
) -> None:
    table = pa.table({"id": [f"d{i}" for i, _ in found], "reason": [reason for _, reason in found]})
    whole = Samples.of(table, count)
    merged = Samples(count)
    ends = sorted({0, len(found), *(cut for cut in cuts if cut < len(found))})
    for first, last in itertools.pairwise(ends):
        merged.merge(Samples.of(table.slice(first, last - first), count))
    assert merged.shown() == whole.shown()
    for reason, shown in whole.shown().items():
        of_it = [f"d{i}" for i, given_reason in found if given_reason == reason]
        assert len(shown) == min(count, len(of_it))
        assert {row["id"] for row in shown} <= set(of_it)
        assert all(row["reason"] == reason for row in shown)


def test_of_many_rows_each_is_drawn_about_as_often() -> None:
    """The least of a hundred lots is as likely among the first fifty as among the last."""
    early = 0
    for trial in range(400):
        ids = [f"{trial}-{i}" for i in range(100)]
        shown = Samples.of(pa.table({"id": ids, "reason": ["x"] * 100}), 1).shown()["x"]
        early += int(shown[0]["id"].split("-")[1]) < 50
    assert 150 < early < 250
