"""Pages: every item once, whatever comes in between."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.pages import take_page
from yingbi.errors import InvalidRequestError

KEYS = st.sets(st.text(min_size=1, max_size=8), max_size=30)


@given(keys=KEYS, limit=st.integers(1, 10))
def test_pages_hold_every_item_once_in_order(keys: set[str], limit: int) -> None:
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = take_page(keys, key=str, cursor=cursor, limit=limit)
        seen += page.items
        if page.next is None:
            break
        assert len(page.items) == limit
        cursor = page.next
    assert seen == sorted(keys)


def test_what_comes_in_between_does_not_move_what_was_seen() -> None:
    first = take_page(["b", "d", "f"], key=str, cursor=None, limit=2)
    assert take_page(["a", "b", "c", "d", "e", "f"], key=str, cursor=first.next, limit=9).items == ("e", "f")


@pytest.mark.parametrize("cursor", ["!", "a", "____", "é"])
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidRequestError):
        take_page([], key=str, cursor=cursor, limit=1)
