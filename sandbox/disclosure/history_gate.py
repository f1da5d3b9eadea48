"""What the release door asks of history: judge a proposal against every answer ever given, then record it.

The engine behind it (`sandbox.disclosure.history`) knows other worlds; this module knows only the question. Secondary
suppression over margins and hierarchies is the same question with suppressed cells as targets (`secondary.py`).
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from policies.disclosure import DisclosureRules
from sandbox.candidate import MeasureValues
from sandbox.catalog.model import Catalogue
from sandbox.disclosure.verdict import Finding
from sandbox.operations.measure import Measure
from yingbi.canonical import JsonValue
from yingbi.plan.model import AnsweredQuestion

__all__ = ["HistoryGate", "HistoryVerdict", "NoHistoryControlBuild", "Proposal", "ProposedMeasure"]

Bools = NDArray[np.bool_]

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProposedMeasure:
    """One measure of a proposed table, one element a cell.

    `values` are exact and confidential. `publishable`: the rules let the value out. `primary`: the rules hold it back,
    so that it must stay unknown (a target). A value that is neither carries nothing (no row contributes and its zero is
    public): it is not released and not protected.
    """

    values: MeasureValues
    publishable: Bools
    primary: Bools


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Proposal:
    """A table that passed every rule on its own, and asks to join all earlier answers.

    `question` has its versions pinned. `keys`, `is_total` are the candidate's (a model: one cell without dimensions).
    Cells without any row may be among them: where no variable belongs to such a cell, it is no target.
    `rules` give the threshold and p %; `catalogue` says what is public, with declared domains, bounds and edges.
    """

    question: AnsweredQuestion
    keys: tuple[tuple[str | None, ...], ...]
    is_total: Bools
    measures: Mapping[Measure, ProposedMeasure]
    rules: DisclosureRules
    catalogue: Catalogue


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HistoryVerdict:
    """What history says of a proposal.

    `suppress`: further values to hold back (never fewer; a measure that is absent loses nothing). `findings`: of risks
    `secondary-disclosure` (own margins) and `differencing` (earlier answers); REVIEW or FAIL holds the table.
    `evidence`: JSON for the node's reviewer, kept with the release; it stays at the node. `token`: names this judgement
    for `record`. `repeated`: this very question was answered before, and the masks are those of that answer.
    """

    suppress: Mapping[Measure, Bools]
    findings: tuple[Finding, ...]
    token: str
    evidence: Mapping[str, JsonValue] = field(default_factory=dict)
    repeated: bool = False


class HistoryGate(Protocol):
    """Remembers every exact answer of a node, and tells which new ones would give a protected value away."""

    def judge(self, proposal: Proposal) -> HistoryVerdict:
        """Judge a proposal against all recorded answers; changes nothing that later judgements see.

        Raises:
            RefusedError: the stated bound on answers or cells is reached (`history-limit`).
            UnavailableError: another answer is being checked (`history-busy`).
        """

    def record(self, token: str) -> None:
        """Make a judged proposal, less what was suppressed, an answer that was given; durable when this returns.

        Raises:
            UnavailableError: an answer was recorded since this judgement (`history-busy`): judge again.
        """

    def discard(self, token: str) -> None:
        """Forget a judgement that will not be released; unknown tokens are ignored."""


class NoHistoryControlBuild:
    """A gate with its memory off: differencing succeeds. For the control build of attack tests and for nothing else."""

    def __init__(self, *, i_know_that_differencing_will_succeed: bool) -> None:
        if i_know_that_differencing_will_succeed is not True:
            raise TypeError("expected an explicit consent to run without history")
        # SECURITY: whoever runs a node like this must find it in the log.
        _log.critical("HISTORY IS OFF: exact answers are not protected against differencing")

    def judge(self, proposal: Proposal) -> HistoryVerdict:
        """Find nothing, ever."""
        _log.critical("answer judged WITHOUT history: %d cells", len(proposal.keys))
        return HistoryVerdict(suppress={}, findings=(), token="no-history")  # noqa: S106 - a name, not a secret

    def record(self, token: str) -> None:
        """Remember nothing."""

    def discard(self, token: str) -> None:
        """Forget nothing, there is nothing."""
