"""The two messages of a round, and their form as a transport's content.

A request names the round and carries all masked contributions of the round before; a reply is one masked vector. The
form says nothing about truth: a member holds every word of a request against the log.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from federated.content import Content
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.ids import MAX_ID, parse_party

__all__ = ["Ask", "Reply", "RoundRequest", "parse_reply", "parse_request", "write_reply", "write_request"]

Vectors = Mapping[str, NDArray[np.uint64]]
"""Masked contributions: node to vector of shape (n,)."""

_GIVEN: Final = "given/"
_VECTOR: Final = "vector"
_FEDERATION: Final = re.compile(r"fed-[A-Za-z0-9-]+")
_MEMBERS: Final = frozenset({"ask", "federation", "round", "attempt", "entry"})


class Ask(StrEnum):
    """What a request wants: a contribution to a round, or that the final state be taken."""

    CONTRIBUTE = "contribute"
    FINISH = "finish"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundRequest:
    """What the coordinator asks a member.

    `entry`: the index of the entry that says so (`federation.round_started`, or `federation.completed`), to which the
    member follows the log before it believes anything. `given`: the contributions of the round before, none in the
    first.
    """

    ask: Ask
    federation: str
    round: int
    attempt: int
    entry: int
    given: Vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A member's masked vector, and where its `federation.contributed` stands; neither where it was asked to finish."""

    vector: NDArray[np.uint64] | None
    entry: int | None


def write_request(request: RoundRequest) -> Content:
    """Return a request as content."""
    return Content(
        arrays={f"{_GIVEN}{node}": vector for node, vector in request.given.items()},
        values={
            "ask": request.ask.value,
            "federation": request.federation,
            "round": request.round,
            "attempt": request.attempt,
            "entry": request.entry,
        },
    )


def parse_request(content: Content) -> RoundRequest:
    """Read a request strictly.

    Raises:
        InvalidRequestError: it has another form.
    """
    values = content.values
    if set(values) != _MEMBERS:
        raise _malformed("expected exactly the members of a round's request")
    ask, federation = values["ask"], values["federation"]
    if ask not in (Ask.CONTRIBUTE, Ask.FINISH) or not isinstance(federation, str):
        raise _malformed("expected `ask` and `federation` as texts")
    if len(federation) > MAX_ID or not _FEDERATION.fullmatch(federation):
        raise _malformed("expected `federation` as an id such as `fed-…`")
    given = {}
    for name, array in content.arrays.items():
        node = name.removeprefix(_GIVEN)
        if node == name or parse_party(node)[0] != "node":
            raise _malformed("expected contributions under the names of their nodes")
        given[node] = _vector(array)
    return RoundRequest(
        ask=Ask(str(ask)),
        federation=federation,
        round=_count(values["round"]),
        attempt=_count(values["attempt"]),
        entry=_count(values["entry"]),
        given=given,
    )


def write_reply(reply: Reply) -> Content:
    """Return a reply as content."""
    arrays = {} if reply.vector is None else {_VECTOR: reply.vector}
    return Content(arrays=arrays, values={} if reply.entry is None else {"entry": reply.entry})


def parse_reply(content: Content) -> Reply:
    """Read a reply strictly.

    Raises:
        InvalidRequestError: it has another form.
    """
    if not content.arrays and not content.values:
        return Reply(vector=None, entry=None)
    if set(content.arrays) != {_VECTOR} or set(content.values) != {"entry"}:
        raise _malformed("expected one vector and the entry that names it")
    return Reply(vector=_vector(content.arrays[_VECTOR]), entry=_count(content.values["entry"]))


def _vector(array: NDArray[np.generic]) -> NDArray[np.uint64]:
    if array.dtype != np.uint64 or array.ndim != 1 or array.size == 0:
        raise _malformed("expected a vector of unsigned 64-bit integers")
    vector: NDArray[np.uint64] = np.ascontiguousarray(array)
    return vector


def _count(value: str | int | bytes) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 48:
        raise _malformed("expected a count")
    return value


def _malformed(message: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.ROUND_MALFORMED, message)
