"""Sums that were shown: what all of them together say, compared with plain linear algebra."""

from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.standing.sums import APART, Sums


def sums_of(*sets: str) -> Sums:
    found = Sums()
    for parts in sets:
        found = found.add(frozenset(parts))
    return found


def rank(rows: list[list[int]]) -> int:
    """Return the rank of a matrix, by elimination as it is taught."""
    table = [[Fraction(value) for value in row] for row in rows]
    done = 0
    for column in range(len(table[0]) if table else 0):
        found = next((row for row in table[done:] if row[column]), None)
        if found is None:
            continue
        table.remove(found)
        table.insert(done, found)
        for index, row in enumerate(table):
            if index != done and row[column]:
                times = row[column] / found[column]
                table[index] = [one - times * other for one, other in zip(row, found, strict=True)]
        done += 1
    return done


def shows_two(sets: list[frozenset[str]], names: str) -> bool:
    """Tell whether a combination is zero everywhere but at two names: then it is lost when these are left out."""
    table = [[int(name in parts) for name in names] for parts in sets]
    whole = rank(table)
    kept = (
        [[value for place, value in enumerate(row) if place not in pair] for row in table]
        for pair in combinations(range(len(names)), 2)
    )
    return any(rank(rows) < whole for rows in kept)


@given(st.lists(st.frozensets(st.sampled_from("abcdefgh"), min_size=3), min_size=1, max_size=7))
def test_combinations_are_those_of_linear_algebra(sets: list[frozenset[str]]) -> None:
    found = Sums()
    for parts in sets:
        found = found.add(parts)
    assert found.is_seen_through() == shows_two(sets, "abcdefgh")
    assert len(found.rows) == rank([[int(name in parts) for name in "abcdefgh"] for parts in sets])


def test_four_sums_that_are_apart_by_twos_give_one_part_away() -> None:
    """`abc` + `def` + `x` and `ghi` + `jkl`, less `abc` + `ghi` and `def` + `jkl`, is `x`."""
    sets = ("abcdefx", "ghijkl", "abcghi", "defjkl")
    found = Sums()
    for parts in sets:
        assert not found.is_close(frozenset(parts))
        assert not found.is_seen_through()
        found = found.add(frozenset(parts))
    assert found.is_seen_through()


@pytest.mark.parametrize(
    ("one", "other", "is_close"),
    [
        ("abc", "abc", False),
        ("abc", "def", False),
        ("abc", "abcd", True),
        ("abc", "abcdef", True),
        ("abcd", "abce", True),
        ("abcde", "defgh", False),
        ("abcd", "cdef", True),
        ("abcdef", "abcghi", False),
        ("abcdef", "abcgh", True),
    ],
)
def test_two_sums_are_far_apart_or_of_the_same(one: str, other: str, is_close: bool) -> None:
    assert sums_of(one).is_close(frozenset(other)) is is_close
    assert sums_of(other).is_close(frozenset(one)) is is_close


def test_the_same_sum_again_says_nothing_new() -> None:
    assert sums_of("abc", "abc") == sums_of("abc")
    assert sums_of("abc").add(frozenset("abc")).rows.keys() == {"a"}


def test_sums_do_not_change() -> None:
    first = sums_of("abcdef")
    first.add(frozenset("abcghi"))
    assert first == sums_of("abcdef")


def test_three_parts_are_the_fewest() -> None:
    assert APART == 3
    assert not sums_of("abc").is_seen_through()
    assert sums_of("ab").is_seen_through()
