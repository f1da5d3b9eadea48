"""A federation computed again by somebody who took no part: from its terms, and from what its members gave.

Everything that a member computes for itself between two rounds (`federated.rounds.chain`), with the same recipes, and
nothing else: no log, no digests of contributions, no judgement. Those are an auditor's.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from federated.horizontal.state import Phase
from federated.rounds.chain import Course, take_step
from federated.rounds.course import course_of
from yingbi.canonical import digest_bytes, parse_canonical
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.plan.codec import MAX_PLAN_BYTES, PLAN_VERSION, common_digest, parse_plan
from yingbi.plan.model import TrainingQuestion

__all__ = ["Replay"]

_NUMBER: Final = np.dtype("<u8")


class Replay:
    """A federation on its way from its first state to its last, round by round.

    Raises:
        InvalidRequestError: these are no terms, or the recipe does not take them.
    """

    def __init__(self, terms: bytes) -> None:
        self._course = _course(terms)
        self._state = self._course.start()

    @property
    def state(self) -> str:
        """Return the digest of the state that it is in."""
        return self._state.digest()

    @property
    def is_done(self) -> bool:
        """Tell whether its recipe wants no more rounds."""
        return self._state.phase is Phase.DONE

    def spent(self, rounds: int) -> str | None:
        """Return what so many rounds spend at each member (rho), or nothing in exact mode."""
        return self._course.spent(rounds)

    def take(self, vectors: Mapping[str, bytes]) -> str:
        """Take all contributions to a round, by node, and return the digest of the next state.

        Raises:
            InvalidRequestError: they are not what this round asks for.
        """
        if self.is_done:
            raise InvalidRequestError(ErrorCode.DATA_INVALID, "expected no more rounds")
        if any(len(data) % _NUMBER.itemsize for data in vectors.values()):
            raise InvalidRequestError(ErrorCode.DATA_INVALID, "expected vectors of 64-bit numbers")
        arrays = {node: np.frombuffer(data, dtype=_NUMBER).astype(np.uint64) for node, data in vectors.items()}
        self._state = take_step(self._course, self._state, arrays).state
        return self.state


def _course(terms: bytes) -> Course:
    """Return the course of terms: a training question without `source`, which the first member's data stand in for."""
    common = parse_canonical(terms, max_bytes=MAX_PLAN_BYTES)
    source = {"dataset": _first_dataset(common), "version": 1, "joins": []}
    whole: Any = {**common, "source": source} if isinstance(common, dict) else common
    question = parse_plan({"v": PLAN_VERSION, "question": whole}).question
    if not isinstance(question, TrainingQuestion) or common_digest(question) != digest_bytes(terms):
        raise InvalidRequestError(ErrorCode.PLAN_MALFORMED, "expected the terms of a federation, in their one spelling")
    return course_of(question)


def _first_dataset(common: object) -> object:
    members = common.get("members") if isinstance(common, dict) else None
    first = members[0] if isinstance(members, list) and members else None
    return first.get("dataset") if isinstance(first, dict) else None
