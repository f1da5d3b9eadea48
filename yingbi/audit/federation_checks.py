"""A federation held against its evidence: digests, sums, states from round to round, and what was spent.

Digests and sums are worked out here. States take the recipes of `federated`, which an auditor's tools do not know:
whoever puts the tools together gives them (`MakeReplay`), or says that they are not there. What cannot be worked out is
listed and is never good.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from functools import partial
from typing import Any, Final, Protocol

from yingbi.audit.contributions import Evidence
from yingbi.audit.federations import FederationStory, TriedRound
from yingbi.audit.findings import Hit
from yingbi.canonical import digest_bytes, parse_canonical
from yingbi.errors import InvalidRequestError, SandboxError
from yingbi.verify.bundle_vectors import add_vectors, is_vector, vector_digest

__all__ = ["FederationCheck", "MakeReplay", "Replay", "RoundOutcome", "check_federation"]

_MAX_TERMS: Final = 1 << 20
_NUMBER: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,40})?")
# Two searches for the best order differ by less.
_SLACK: Final = 1e-6


class RoundOutcome(StrEnum):
    """How far a completed round could be computed again."""

    RECOMPUTED = "recomputed"
    SUMMED = "summed"
    NOT_CHECKED = "not-checked"
    DIFFERS = "differs"


class Replay(Protocol):
    """A federation that is computed again from its terms, a round at a time (`federated.audit`)."""

    @property
    def state(self) -> str:
        """Return the digest of the state that it is in."""
        ...

    @property
    def is_done(self) -> bool:
        """Tell whether its recipe wants no more rounds."""
        ...

    def spent(self, rounds: int) -> str | None:
        """Return what so many rounds spend at each member (rho, as entries have it), or nothing in exact mode."""
        ...

    def take(self, vectors: Mapping[str, bytes]) -> str:
        """Take all contributions to a round, by node, and return the digest of the next state.

        Raises:
            SandboxError: they are not what this round asks for.
        """
        ...


MakeReplay = Callable[[bytes], Replay]
"""Makes a replay of terms; `SandboxError` where they are none that anybody could have agreed to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationCheck:
    """What came of the checks of one federation: hits by kind, outcomes of its completed rounds, and what is missing.

    `missing_contributions`, `missing_states`, `missing_spending`: what could not be checked, in words.
    """

    contributions: tuple[Hit, ...] = ()
    states: tuple[Hit, ...] = ()
    spending: tuple[Hit, ...] = ()
    outcomes: tuple[RoundOutcome, ...] = ()
    missing_contributions: tuple[str, ...] = ()
    missing_states: tuple[str, ...] = ()
    missing_spending: tuple[str, ...] = ()


def check_federation(story: FederationStory, evidence: Evidence, make_replay: MakeReplay | None) -> FederationCheck:
    """Check one federation as far as its evidence is here."""
    check = _Check(story=story, evidence=evidence)
    terms = check.read_terms()
    replay = check.make_replay(terms, make_replay)
    outcomes = tuple(check.judge_round(attempt, replay) for attempt in story.rounds)
    check.judge_end(replay)
    check.judge_others()
    check.judge_spending(terms, replay)
    return FederationCheck(
        contributions=tuple(check.contributions),
        states=tuple(check.states),
        spending=tuple(check.spending),
        outcomes=outcomes,
        missing_contributions=tuple(check.missing_contributions),
        missing_states=tuple(check.missing_states),
        missing_spending=tuple(check.missing_spending),
    )


@dataclass(kw_only=True)
class _Check:
    """A check while it is made. `is_broken`: the chain of states cannot be followed any further."""

    story: FederationStory
    evidence: Evidence
    contributions: list[Hit] = field(default_factory=list)
    states: list[Hit] = field(default_factory=list)
    spending: list[Hit] = field(default_factory=list)
    missing_contributions: list[str] = field(default_factory=list)
    missing_states: list[str] = field(default_factory=list)
    missing_spending: list[str] = field(default_factory=list)
    is_broken: bool = False
    expected: int = 1

    # --- terms

    def read_terms(self) -> dict[str, Any] | None:
        """Return the terms, where they are here and are those that the log names."""
        first = next(self.story.starts, None)
        if first is None:
            return None
        fact, started = first
        data = self.evidence.terms(self.story.id)
        if data is None:
            self.missing_contributions.append(f"the terms of {self.story.id}")
            return None
        if digest_bytes(data) != started.terms:
            self.contributions.append(self._hit("the terms here are not those of the log", fact.index))
            return None
        try:
            value = parse_canonical(data, max_bytes=_MAX_TERMS)
        except InvalidRequestError:
            value = None
        if not isinstance(value, dict) or _told(value) != _said(self.story):
            self.contributions.append(self._hit("the terms say otherwise than the start of the federation", fact.index))
            return None
        return value

    def make_replay(self, terms: dict[str, Any] | None, make: MakeReplay | None) -> Replay | None:
        """Return a replay that is where the first round begins, or nothing where there can be none."""
        data = self.evidence.terms(self.story.id)
        if not self.story.attempts:
            return None
        if terms is None or data is None or make is None:
            why = "without its terms" if terms is None else "without the recipes (they take the extra `federated`)"
            self.missing_states.append(f"the states of {self.story.id}: not computed again {why}")
            return None
        opened = self.story.attempts[0]
        try:
            replay = make(data)
        except SandboxError as error:
            index = opened.fact.index
            self.states.append(self._hit(f"no recipe takes these terms: {error.message}", index))
            return None
        if replay.state != opened.body.round_input:
            self.states.append(
                self._hit("the first round began with another state than the terms say", opened.fact.index)
            )
            self.is_broken = True
        return replay

    # --- rounds

    def judge_round(self, attempt: TriedRound, replay: Replay | None) -> RoundOutcome:
        """Judge a completed round: contributions, their sum, and the state that they come to."""
        in_order = attempt.body.round == self.expected
        self.expected = attempt.body.round + 1
        before = len(self.contributions) + len(self.states)
        vectors = self._vectors(attempt)
        if vectors is not None:
            self._judge_sum(attempt, vectors)
        is_whole = vectors is not None and len(self.contributions) + len(self.states) == before
        if not is_whole or not in_order:
            self._break(attempt, replay)
        if replay is not None and vectors is not None and not self.is_broken:
            self._judge_state(attempt, vectors, replay)
        if len(self.contributions) + len(self.states) > before:
            return RoundOutcome.DIFFERS
        if vectors is None:
            return RoundOutcome.NOT_CHECKED
        return RoundOutcome.SUMMED if replay is None or self.is_broken else RoundOutcome.RECOMPUTED

    def _break(self, attempt: TriedRound, replay: Replay | None) -> None:
        if replay is not None and not self.is_broken:
            self.missing_states.append(f"the states of {self.story.id} from round {attempt.body.round} on")
        self.is_broken = True

    def _vectors(self, attempt: TriedRound) -> dict[str, bytes] | None:
        """Return all contributions to an attempt where they are here, after judging each; else nothing."""
        closed, found = attempt.completed, {}
        named = {} if closed is None else closed.named
        for node, digest in named.items():
            data = self._vector(attempt, node)
            if data is None:
                self.missing_contributions.append(f"{self.story.id}, {attempt.name}: the contribution of {node}")
            elif not is_vector(data) or vector_digest(data) != digest:
                message = f"{attempt.name}: the contribution of {node} that is here is not the one in the log"
                self.contributions.append(self._hit(message, *_indexes(attempt, node)))
            else:
                found[node] = data
        is_all = closed is not None and bool(named) and found.keys() == named.keys()
        return found if is_all else None

    def _vector(self, attempt: TriedRound, node: str) -> bytes | None:
        return self.evidence.vector(self.story.id, attempt.body.round, attempt.body.attempt, node)

    def _judge_sum(self, attempt: TriedRound, vectors: Mapping[str, bytes]) -> None:
        closed = attempt.completed
        if closed is None:
            return
        total = add_vectors(vectors.values())
        if total is None or vector_digest(total) != closed.body.aggregate:
            message = f"{attempt.name}: the sum is not that of the contributions"
            self.contributions.append(self._hit(message, closed.fact.index))

    def _judge_state(self, attempt: TriedRound, vectors: Mapping[str, bytes], replay: Replay) -> None:
        closed = attempt.completed
        if closed is None:
            return
        index = closed.fact.index
        try:
            state = replay.take(vectors)
        except SandboxError as error:
            self.states.append(self._hit(f"{attempt.name}: no state follows from the sum: {error.message}", index))
            self._break(attempt, replay)
            return
        if state != closed.body.state:
            message = f"{attempt.name}: the next state is not the one that follows from the sum"
            self.states.append(self._hit(message, index))

    def judge_end(self, replay: Replay | None) -> None:
        """Judge the result of a federation whose states could all be followed."""
        completed = self.story.completed
        if replay is None or completed is None or self.is_broken:
            return
        fact, body = completed
        if body.result != replay.state:
            self.states.append(self._hit("the result is not the state that the rounds come to", fact.index))
        if not replay.is_done:
            self.states.append(self._hit("completed although its recipe wanted more rounds", fact.index))

    def judge_others(self) -> None:
        """Judge contributions beyond those that were summed: to attempts that were given up, and those of nowhere."""
        closed = {(item.body.round, item.body.attempt, node) for item in self.story.rounds for node in _named(item)}
        attempts = {(item.body.round, item.body.attempt): item for item in self.story.attempts}
        first = self.story.facts[0].index
        for number, attempt, node in self.evidence.vectors(self.story.id):
            if (number, attempt, node) in closed:
                continue
            tried = attempts.get((number, attempt))
            given = [] if tried is None else [item for item in tried.given if item.node == node]
            data = self.evidence.vector(self.story.id, number, attempt, node)
            digests = {item.body.contribution for item in given}
            if data is None or not is_vector(data) or vector_digest(data) not in digests:
                message = f"round {number}, attempt {attempt}: a contribution of {node} is here that no entry names"
                self.contributions.append(self._hit(message, given[0].fact.index if given else first))

    # --- spending

    def judge_spending(self, terms: dict[str, Any] | None, replay: Replay | None) -> None:
        """Judge what each member spent: as said in the end, as the terms say, and within the epsilon of the jobs."""
        for attempt in self.story.attempts:
            for item in attempt.given:
                if (item.body.rho is None) is not self.story.is_exact:
                    message = f"{attempt.name}: {item.node} says that it spent something else than its mode has"
                    self.spending.append(self._hit(message, item.fact.index))
        if self.story.started is None or self.story.is_exact or not self.story.attempts:
            return
        spent = self._spent()
        self._judge_total(spent)
        self._judge_each(replay)
        self._judge_epsilon(max(spent.values(), default=Decimal(0)), terms)

    def _spent(self) -> dict[str, Decimal]:
        """Return what each node spent: of each round that it gave to, once, since it computes a round once."""
        rounds: dict[tuple[str, int], Decimal] = {}
        for attempt in self.story.attempts:
            for item in attempt.given:
                key = (item.node, attempt.body.round)
                rounds[key] = max(rounds.get(key, Decimal(0)), Decimal(item.body.rho or 0))
        totals: dict[str, Decimal] = {}
        for (node, _), rho in rounds.items():
            totals[node] = totals.get(node, Decimal(0)) + rho
        return totals

    def _judge_total(self, spent: Mapping[str, Decimal]) -> None:
        if self.story.completed is None:
            return
        fact, body = self.story.completed
        for node in body.participants:
            if body.rho is None or spent.get(node, Decimal(0)) != Decimal(body.rho):
                message = f"completed with another sum of rho than {node} spent"
                self.spending.append(self._hit(message, fact.index))

    def _judge_each(self, replay: Replay | None) -> None:
        if replay is None:
            self.missing_spending.append(f"what a round of {self.story.id} spends by its terms")
            return
        due = replay.spent(1)
        for attempt in self.story.attempts:
            for item in attempt.given:
                if item.body.rho is not None and due is not None and Decimal(item.body.rho) != Decimal(due):
                    message = f"{attempt.name}: {item.node} spent another rho than a round costs by the terms"
                    self.spending.append(self._hit(message, item.fact.index))

    def _judge_epsilon(self, rho: Decimal, terms: dict[str, Any] | None) -> None:
        started = self.story.started
        if started is None or started.epsilon is None:
            return
        if terms is None:
            self.missing_spending.append(f"the epsilon that {self.story.id} spent, without its terms")
            return
        delta = _decimal(terms["privacy"].get("delta"))
        if delta is None or _epsilon(float(rho), float(delta)) > float(started.epsilon) * (1 + _SLACK):
            last = self.story.attempts[-1].fact.index if self.story.completed is None else self.story.completed[0].index
            self.spending.append(self._hit(f"spent more than the epsilon of its jobs, {started.epsilon}", last))

    def _hit(self, message: str, *indexes: int) -> Hit:
        return Hit(subject=self.story.id, indexes=indexes, message=message)


def _told(terms: Mapping[str, Any]) -> object:
    """Return of terms what the log says too."""
    privacy, members = terms.get("privacy"), terms.get("members")
    rows = members if isinstance(members, list) else []
    epsilon = privacy.get("epsilon") if isinstance(privacy, dict) else None
    return (
        *(terms.get(name) for name in ("federation", "recipe", "quorum", "rounds")),
        None if epsilon is None else _decimal(epsilon),
        [(row.get("node"), row.get("job")) for row in rows if isinstance(row, dict)],
    )


def _said(story: FederationStory) -> object:
    started = story.started
    if started is None:
        return None
    epsilon = None if started.epsilon is None else _decimal(started.epsilon)
    members = [(item.node, item.job) for item in started.members]
    return (story.id, started.recipe, started.quorum, started.rounds, epsilon, members)


def _decimal(text: object) -> Decimal | None:
    """Return a number as terms have it: above zero, of few characters; else nothing."""
    return Decimal(text) if isinstance(text, str) and _NUMBER.fullmatch(text) and Decimal(text) else None


def _named(attempt: TriedRound) -> Mapping[str, str]:
    return {} if attempt.completed is None else attempt.completed.named


def _indexes(attempt: TriedRound, node: str) -> Iterator[int]:
    yield from (item.fact.index for item in attempt.given if item.node == node)
    if attempt.completed is not None:
        yield attempt.completed.fact.index


def _epsilon(rho: float, delta: float) -> float:
    """Return the epsilon of rho-zCDP at delta: the best order of Canonne, Kamath, Steinke 2020, proposition 12."""
    bound = partial(_bound, rho, math.log(delta))
    low, high = -14.0, 28.0
    # Over log(order - 1) it falls and then rises.
    for _ in range(200):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        if bound(left) < bound(right):
            high = right
        else:
            low = left
    return max(0.0, bound((low + high) / 2))


def _bound(rho: float, log_delta: float, place: float) -> float:
    more = math.exp(place)
    order = 1 + more
    return order * rho + math.log1p(-1 / order) - (log_delta + math.log(order)) / more
