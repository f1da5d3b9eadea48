"""The messages of a round: what is written is read back, and nothing else is read."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from federated.content import Content
from federated.rounds.messages import (
    Ask,
    Reply,
    RoundRequest,
    parse_reply,
    parse_request,
    write_reply,
    write_request,
)
from yingbi.errors import ErrorCode, InvalidRequestError

COUNTS = st.integers(0, (1 << 48) - 1)
VECTORS = arrays(np.uint64, st.integers(1, 5))
VECTOR = np.array([1, 2, 3], np.uint64)


@given(
    st.builds(
        RoundRequest,
        ask=st.sampled_from(Ask),
        federation=st.from_regex(r"fed-[A-Za-z0-9-]{1,60}", fullmatch=True),
        round=COUNTS,
        attempt=COUNTS,
        entry=COUNTS,
        given=st.dictionaries(st.sampled_from(["node:a", "node:b-2", "node:c"]), VECTORS),
    )
)
def test_a_request_comes_back(request: RoundRequest) -> None:
    found = parse_request(write_request(request))
    assert replace(found, given={}) == replace(request, given={})
    assert found.given.keys() == request.given.keys()
    assert all(np.array_equal(found.given[node], request.given[node]) for node in request.given)


@given(VECTORS, COUNTS)
def test_a_reply_comes_back(vector: Any, entry: int) -> None:
    found = parse_reply(write_reply(Reply(vector=vector, entry=entry)))
    assert found.entry == entry
    assert np.array_equal(found.vector, vector)  # type: ignore[arg-type]
    assert parse_reply(write_reply(Reply(vector=None, entry=None))) == Reply(vector=None, entry=None)


def request(**changes: Any) -> Content:
    content = write_request(
        RoundRequest(ask=Ask.CONTRIBUTE, federation="fed-1", round=1, attempt=1, entry=7, given={"node:a": VECTOR})
    )
    values = {**content.values, **changes}
    return replace(content, values={name: value for name, value in values.items() if value is not None})


def with_array(name: str, array: Any) -> Content:
    return replace(request(), arrays={name: array})


MALFORMED: dict[str, Callable[[], Content]] = {
    "one value less": lambda: request(entry=None),
    "one value more": lambda: request(key="x"),
    "another wish": lambda: request(ask="run"),
    "a wish that is no text": lambda: request(ask=1),
    "a federation that is no text": lambda: request(federation=b"fed-1"),
    "an id of another kind": lambda: request(federation="job-1"),
    "an id with a line more": lambda: request(federation="fed-1\n"),
    "an id that is too long": lambda: request(federation="fed-" + "a" * 200),
    "a round below zero": lambda: request(round=-1),
    "a round as text": lambda: request(round="1"),
    "a round that is true": lambda: request(round=True),
    "an entry that is too large": lambda: request(entry=1 << 48),
    "an array under another name": lambda: with_array("vector", VECTOR),
    "the vector of a unit": lambda: with_array("given/unit:a", VECTOR),
    "the vector of nobody": lambda: with_array("given/", VECTOR),
    "signed numbers": lambda: with_array("given/node:a", VECTOR.astype(np.int64)),
    "numbers with a fraction": lambda: with_array("given/node:a", VECTOR.astype(np.float64)),
    "a table": lambda: with_array("given/node:a", VECTOR.reshape(1, 3)),
    "a number without a dimension": lambda: with_array("given/node:a", np.array(1, np.uint64)),
    "an empty vector": lambda: with_array("given/node:a", VECTOR[:0]),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_no_request_is(name: str) -> None:
    with pytest.raises(InvalidRequestError):
        parse_request(MALFORMED[name]())


REPLIES: dict[str, Content] = {
    "a vector without its entry": Content(arrays={"vector": VECTOR}, values={}),
    "an entry without its vector": Content(arrays={}, values={"entry": 1}),
    "two vectors": Content(arrays={"vector": VECTOR, "more": VECTOR}, values={"entry": 1}),
    "another value": Content(arrays={"vector": VECTOR}, values={"entry": 1, "note": "x"}),
    "an entry as text": Content(arrays={"vector": VECTOR}, values={"entry": "1"}),
    "a table": Content(arrays={"vector": VECTOR.reshape(3, 1)}, values={"entry": 1}),
    "signed numbers": Content(arrays={"vector": VECTOR.astype(np.int64)}, values={"entry": 1}),
}


@pytest.mark.parametrize("name", REPLIES)
def test_no_reply_is(name: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_reply(REPLIES[name])
    assert caught.value.code is ErrorCode.ROUND_MALFORMED
