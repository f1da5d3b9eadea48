"""The auditor's rule of sets and the log's say the same of any sums."""

from hypothesis import given
from hypothesis import strategies as st

from policies.standing.sums import Sums
from yingbi.audit.federation_sets import seen_through

PARTS = "abcdefghij"
SETS = st.lists(st.frozensets(st.sampled_from(PARTS), min_size=3), min_size=1, max_size=5)


def refused(sums: list[frozenset[str]]) -> bool:
    """Return what the standing says of the last of these sums, had it taken the others without a question."""
    known = Sums()
    for parts in sums[:-1]:
        known = known.add(parts)
    return known.is_close(sums[-1]) or known.add(sums[-1]).is_seen_through()


@given(SETS)
def test_both_judge_alike(sums: list[frozenset[str]]) -> None:
    assert seen_through(sums) is refused(sums)


def test_the_difference_of_two_sums_is_seen() -> None:
    abcd, bcde = frozenset("abcd"), frozenset("bcde")
    assert seen_through([abcd, frozenset("abcde")])
    assert seen_through([abcd, bcde])
    assert not seen_through([abcd, abcd])
    assert not seen_through([frozenset("abcd"), frozenset("defghij")])


def test_four_sums_far_apart_can_give_one_away() -> None:
    """a+b+c+d+e+f+g, a+h+..., whose combination leaves one part alone."""
    sums = [frozenset("xabc"), frozenset("abcdef"), frozenset("defghi"), frozenset("ghi")]
    assert seen_through(sums)
