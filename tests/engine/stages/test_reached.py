"""How far a stage is whose parts are made one after the other: never back, and whole at its end."""

from mashbill.stages.reached import one_of


def test_parts_in_turn_fill_equal_shares_of_the_whole_and_are_named() -> None:
    told: list[tuple[float, str]] = []
    parts = ("a", "b", "c", "d")
    for place in range(len(parts)):
        tell = one_of(parts, place, lambda done, words: told.append((done, words)))
        for done in (0.0, 0.5, 1.0):
            tell(done, "step")
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert shares[1::3] == [0.125, 0.375, 0.625, 0.875]
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert [words for _, words in told[::3]] == [f"{part}: step" for part in parts]


def test_a_part_alone_is_the_whole_and_needs_no_name() -> None:
    told: list[tuple[float, str]] = []
    one_of(("all",), 0, lambda done, words: told.append((done, words)))(0.25, "step 1")
    assert told == [(0.25, "step 1")]
