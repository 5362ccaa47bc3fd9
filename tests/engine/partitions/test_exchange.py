"""Rows that tasks send one another by bucket: all of them come, in one order, whoever sent first."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mashbill.cores import cores_here
from mashbill.partitions import Exchange, buckets_for, scattered
from mashbill.storage import open_storage

BUCKETS = 4


@pytest.fixture(params=["local", "s3"])
def exchange(request: pytest.FixtureRequest, tmp_path: Path) -> Exchange:
    where = request.getfixturevalue("root") if request.param == "s3" else str(tmp_path / "root")
    return Exchange(open_storage(where, tmp_path / "scratch"), "rows", BUCKETS)


@pytest.mark.parametrize("order", [("a", "b", "c"), ("c", "a", "b")])
def test_rows_come_by_sender_and_in_the_order_in_which_each_sent_them(
    exchange: Exchange, order: tuple[str, ...]
) -> None:
    bucket = np.array([2, 0, 2, 3, 0, 2])
    with pytest.raises(FileNotFoundError, match="holds no rows"):
        exchange.take(0)
    for name in order:
        words = pa.array([f"{name}{i}" for i in range(len(bucket))])
        exchange.put(name, bucket, number=np.arange(len(bucket)) + 10 * ord(name), word=words)
    for one in range(BUCKETS):
        here = np.flatnonzero(bucket == one).tolist()
        found = exchange.take(one)
        assert found["word"].to_pylist() == [f"{name}{i}" for name in "abc" for i in here]
        numbers = [i + 10 * ord(name) for name in "abc" for i in here]
        assert exchange.arrays(one)["number"].tolist() == numbers


def test_who_has_sent_is_known_and_who_sends_again_changes_nothing(exchange: Exchange) -> None:
    for _ in range(2):
        assert not exchange.has("other")
        exchange.put("one", np.array([1, 1]), number=np.array([5, 6]))
        assert exchange.has("one")
        assert exchange.arrays(1)["number"].tolist() == [5, 6]


@given(st.lists(st.integers(0, 2**64 - 1)), st.integers(1, 4_096))
def test_a_key_has_one_bucket_wherever_it_stands(keys: list[int], buckets: int) -> None:
    found = scattered(np.array(keys, np.uint64), buckets)
    assert np.isin(found, np.arange(buckets)).all()
    assert found.tolist() == [int(scattered(np.array([key], np.uint64), buckets)[0]) for key in keys]


@pytest.mark.parametrize("allowed", [{0}, {0, 1}])
def test_what_all_cores_sort_at_a_time_is_within_the_limit(
    allowed: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: allowed)
    cores = cores_here()
    for rows, memory in ((0, 1), (1_000, 1_000_000), (10_000_000, 1_000_000), (10**15, 10)):
        buckets = buckets_for(rows, memory)
        assert 1 <= buckets <= 4_096
        if buckets < 4_096:
            assert rows / buckets * 4 * cores <= memory, "four times its size, as many at once as cores"
            assert buckets == 1 or rows / (buckets - 1) * 4 * cores > memory, "and no more than it takes"
