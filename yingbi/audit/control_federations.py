"""Controls about federations: rounds follow each other, nodes and server say the same, sums and states are true.

The entries alone tell whether both sides agree; whether what they agree on is true takes the contributions themselves,
which a bundle holds (docs/spec/federation.md, "Evidence").
"""

from collections.abc import Iterable, Iterator
from typing import Final

from policies.disclosure import MIN_CONTRIBUTORS
from policies.federations import MAX_ATTEMPTS
from yingbi.audit.case import Case
from yingbi.audit.facts import Fact
from yingbi.audit.federation_sets import seen_through
from yingbi.audit.federations import Closed, FederationStory, TriedRound
from yingbi.audit.findings import Hit
from yingbi.events import EntryType
from yingbi.events.federations import (
    FederationAborted,
    FederationCompleted,
    FederationInterrupted,
    FederationRoundCompleted,
    FederationRoundStarted,
    FederationStarted,
)
from yingbi.events.jobs import JobSubmitted
from yingbi.events.outputs import DisclosureMode

__all__ = [
    "TRAINING",
    "contributions_that_disagree",
    "federations_out_of_order",
    "members_that_do_not_belong_together",
    "releases_without_completion",
    "training_releases",
    "untrue_contributions",
    "untrue_states",
    "wrong_spending",
]

TRAINING: Final = "train."
"""How operations begin whose results leave with a completed federation only."""


def federations_out_of_order(case: Case) -> Iterator[Hit]:
    """Yield rounds that are missing, too many, or begin with something else than the one before left; false ends."""
    for story in case.federations.values():
        yield from _Course(story).walk()


def contributions_that_disagree(case: Case) -> Iterator[Hit]:
    """Yield contributions that only one side knows, that came twice, too late or from elsewhere."""
    for story in case.federations.values():
        for attempt in story.attempts:
            yield from _compare(story, attempt)
            yield from _judge_given(case, story, attempt)
        for fact in story.strays:
            yield Hit(subject=story.id, indexes=(fact.index,), message=f"{fact.type} of an attempt that nobody opened")


def wrong_spending(case: Case) -> Iterator[Hit]:
    """Yield what was spent otherwise than said at the end, or than the jobs' epsilon allows."""
    for checked in case.federation_checks.values():
        yield from checked.spending


def releases_without_completion(case: Case) -> Iterator[Hit]:
    """Yield releases of jobs that train whose federation was not completed before."""
    for fact in training_releases(case):
        story = case.federation_of.get(str(fact.job))
        completed = None if story is None else story.completed
        if story is None or completed is None or completed[0].index > fact.index:
            what = "a federation" if story is None else story.id
            message = f"released before {what} was completed"
            yield Hit(subject=str(fact.job), indexes=(fact.index,), message=message)


def members_that_do_not_belong_together(case: Case) -> Iterator[Hit]:
    """Yield federations of too few units, and exact ones from whose sums one or two units could be worked out."""
    shown: list[tuple[frozenset[str], frozenset[str]]] = []
    for story in case.federations.values():
        first = next(story.starts, None)
        if first is None:
            continue
        yield from _judge_members(case, story, *first)
        if story.is_exact:
            versions = frozenset(f"{name}/{version}" for name, version in _data(case, story))
            sets = frozenset(name for name, _ in _data(case, story))
            if any(seen_through([*(item[place] for item in shown), now]) for place, now in enumerate((sets, versions))):
                message = "with the exact sums of earlier federations, this one shows the data of one or two units"
                yield Hit(subject=story.id, indexes=(first[0].index,), message=message)
            # One that never ran has shown nothing.
            if first[0].refusal is None:
                shown.append((sets, versions))


def untrue_contributions(case: Case) -> Iterator[Hit]:
    """Yield contributions that are not those in the log, sums that are not theirs, terms that are other ones."""
    for checked in case.federation_checks.values():
        yield from checked.contributions


def untrue_states(case: Case) -> Iterator[Hit]:
    """Yield rounds that left another state than their contributions and the terms come to."""
    for checked in case.federation_checks.values():
        yield from checked.states


def training_releases(case: Case) -> Iterable[Fact]:
    """Return the releases of jobs that train."""
    for story in case.stories.values():
        asked = (fact.body for fact in story.recorded(EntryType.JOB_SUBMITTED))
        if any(isinstance(body, JobSubmitted) and body.operation.startswith(TRAINING) for body in asked):
            yield from story.recorded(EntryType.OUTPUT_RELEASED)


# --- the order of rounds ----------------------------------------------------------------------------------------------


class _Course:
    """Follows a federation from entry to entry. After something wrong it goes on from what was recorded."""

    def __init__(self, story: FederationStory) -> None:
        self._story = story
        self._started: FederationStarted | None = None
        self._done = 0
        self._attempt = 0
        self._state: str | None = None
        self._open: Fact | None = None
        self._ended: Fact | None = None
        self._stopped = False
        self._present: frozenset[str] = frozenset()
        self._last: tuple[str, ...] = ()

    def walk(self) -> Iterator[Hit]:
        """Yield what is wrong, in the order of the log."""
        for fact in self._story.facts:
            if self._ended is not None:
                what = "completed" if self._ended.type is EntryType.FEDERATION_COMPLETED else "aborted"
                yield self._hit(fact, f"{fact.type} after the federation was {what}", self._ended)
                continue
            match fact.body:
                case FederationStarted() as body:
                    yield from self._start(fact, body)
                case FederationRoundStarted() as body:
                    yield from self._begin(fact, body)
                    self._open, self._attempt = fact, body.attempt
                case FederationRoundCompleted() as body:
                    yield from self._close(fact, body)
                case FederationInterrupted() | FederationAborted() as body:
                    yield from self._count(fact, body.rounds)
                    self._open, self._stopped = None, True
                    self._ended = fact if isinstance(body, FederationAborted) else None
                case FederationCompleted() as body:
                    yield from self._end(fact, body)
                    self._ended = fact
                case _:
                    pass

    def _start(self, fact: Fact, body: FederationStarted) -> Iterator[Hit]:
        first = self._started
        if first is None:
            self._started = body
            self._present = frozenset(item.node for item in body.members)
            yield from self._judge_joins(fact, body)
            return
        if not self._stopped:
            yield self._hit(fact, "started again while it was running")
        if _lasting(body) != _lasting(first):
            yield self._hit(fact, "went on otherwise than it had begun")
        yield from self._judge_joins(fact, body)
        self._stopped = False

    def _judge_joins(self, fact: Fact, body: FederationStarted) -> Iterator[Hit]:
        joined = {(join.job, join.attempt): join.terms for other, join in self._story.joins if other.index < fact.index}
        for member in body.members:
            if joined.get((member.job, member.attempt)) != body.terms:
                yield self._hit(fact, f"started with {member.node}, which had not joined on these terms")

    def _begin(self, fact: Fact, body: FederationRoundStarted) -> Iterator[Hit]:
        started = self._started
        if started is None or self._stopped:
            yield self._hit(fact, f"round {body.round} began while the federation was not running")
        if self._open is not None:
            yield self._hit(fact, f"round {body.round} began while an attempt was open", self._open)
        yield from self._judge_number(fact, body)
        if started is not None and body.round > started.rounds:
            yield self._hit(fact, f"round {body.round} of {started.rounds} at most")
        if self._state not in (None, body.round_input):
            yield self._hit(fact, f"round {body.round} did not begin with the state that the round before it left")
        participants = frozenset(body.participants)
        if not participants <= self._present:
            yield self._hit(fact, f"round {body.round} has participants that were not there before")
        if started is not None and len(participants) < started.quorum:
            yield self._hit(fact, f"round {body.round} began with fewer than the quorum")
        self._present = participants

    def _judge_number(self, fact: Fact, body: FederationRoundStarted) -> Iterator[Hit]:
        if body.round <= self._done:
            yield self._hit(fact, f"round {body.round} began again after it was completed")
            return
        if body.round > self._done + 1:
            missing = _span(self._done + 1, body.round - 1)
            yield self._hit(fact, f"{missing} missing before round {body.round}")
            self._attempt = 0
            self._done, self._state = body.round - 1, None
        if body.attempt != self._attempt + 1 or body.attempt > MAX_ATTEMPTS:
            message = f"round {body.round} has attempt {body.attempt} where {self._attempt + 1} was due"
            yield self._hit(fact, message)

    def _close(self, fact: Fact, body: FederationRoundCompleted) -> Iterator[Hit]:
        is_open = self._open is not None and isinstance(self._open.body, FederationRoundStarted)
        if not is_open or self._open is None or self._named(self._open) != (body.round, body.attempt):
            yield self._hit(fact, f"the end of round {body.round}, attempt {body.attempt}, which was not open")
        elif body.aggregate is not None and isinstance(self._open.body, FederationRoundStarted):
            self._last = tuple(self._open.body.participants)
        self._open = None
        if body.aggregate is not None:
            self._done, self._attempt, self._state = max(self._done, body.round), 0, body.state

    def _count(self, fact: Fact, rounds: int) -> Iterator[Hit]:
        if rounds != self._done:
            yield self._hit(fact, f"{fact.type} says {rounds} rounds, and {self._done} were completed")

    def _end(self, fact: Fact, body: FederationCompleted) -> Iterator[Hit]:
        yield from self._count(fact, body.rounds)
        if self._stopped or self._started is None:
            yield self._hit(fact, "completed while the federation was not running")
        if self._open is not None:
            yield self._hit(fact, "completed while an attempt was open", self._open)
        if body.result != self._state:
            yield self._hit(fact, "the result is not the state that the last round left")
        if tuple(body.participants) != self._last:
            yield self._hit(fact, "completed by others than took part in the last round")

    def _named(self, fact: Fact) -> tuple[int, int] | None:
        body = fact.body
        return (body.round, body.attempt) if isinstance(body, FederationRoundStarted) else None

    def _hit(self, fact: Fact, message: str, before: Fact | None = None) -> Hit:
        indexes = (fact.index,) if before is None else (before.index, fact.index)
        return Hit(subject=self._story.id, indexes=indexes, message=message)


def _lasting(body: FederationStarted) -> tuple[object, ...]:
    """Return what stays the same when a federation goes on."""
    members = [(item.node, item.job) for item in body.members]
    return (body.recipe, body.app, body.terms, body.quorum, body.rounds, body.epsilon, members)


def _span(first: int, last: int) -> str:
    return f"round {first} is" if first == last else f"rounds {first} to {last} are"


# --- both sides of a round --------------------------------------------------------------------------------------------


def _compare(story: FederationStory, attempt: TriedRound) -> Iterator[Hit]:
    """Yield where the server's words and the nodes' differ."""
    for closed in attempt.closings:
        recorded = {item.node: item for item in reversed(attempt.given) if item.fact.index < closed.fact.index}
        for node, digest in closed.named.items():
            given = recorded.get(node)
            if given is None:
                message = f"{attempt.name}: the server names a contribution of {node} that {node} did not record"
                yield Hit(subject=story.id, indexes=(closed.fact.index,), message=message)
            elif given.body.contribution != digest:
                message = f"{attempt.name}: the server names another contribution of {node} than {node} recorded"
                yield Hit(subject=story.id, indexes=(given.fact.index, closed.fact.index), message=message)
        for node in sorted(recorded.keys() - closed.named.keys()):
            message = f"{attempt.name}: {node} recorded a contribution that the server does not name"
            indexes = (recorded[node].fact.index, closed.fact.index)
            yield Hit(subject=story.id, indexes=indexes, message=message)
        yield from _judge_sum(story, attempt, closed)


def _judge_sum(story: FederationStory, attempt: TriedRound, closed: Closed) -> Iterator[Hit]:
    if closed.body.aggregate is None:
        return
    missing = sorted(set(attempt.body.participants) - closed.named.keys())
    if missing:
        message = f"{attempt.name}: summed without {', '.join(missing)}"
        yield Hit(subject=story.id, indexes=(attempt.fact.index, closed.fact.index), message=message)


def _judge_given(case: Case, story: FederationStory, attempt: TriedRound) -> Iterator[Hit]:
    first: dict[str, int] = {}
    for item in attempt.given:
        indexes: tuple[int, ...] = (attempt.fact.index, item.fact.index)
        problems = []
        if item.node not in attempt.body.participants or item.node not in item.fact.parties:
            problems.append("a contribution in the name of somebody who takes no part, or signed by another")
        if item.node in first:
            indexes = (first[item.node], item.fact.index)
            problems.append(f"{item.node} contributed twice")
        if attempt.over is not None and item.fact.index > attempt.over:
            indexes = (attempt.over, item.fact.index)
            how = "completed" if attempt.completed is not None else "given up"
            problems.append(f"{item.node} contributed after it was {how}")
        elif item.fact.time > attempt.body.expires_at:
            problems.append(f"{item.node} contributed after its time")
        if item.body.round_input != attempt.body.round_input:
            problems.append(f"{item.node} contributed on another state than the round began with")
        first.setdefault(item.node, item.fact.index)
        for problem in problems:
            yield Hit(subject=story.id, indexes=indexes, message=f"{attempt.name}: {problem}")


# --- who may be summed together ---------------------------------------------------------------------------------------


def _judge_members(case: Case, story: FederationStory, fact: Fact, body: FederationStarted) -> Iterator[Hit]:
    problems = []
    requests = [_request(case, item.job) for item in body.members]
    units = {case.owners.get(row.dataset) for request in requests if request is not None for row in request.datasets}
    partners = {case.stories[item.job].partner for item in body.members if item.job in case.stories}
    if len(body.members) < MIN_CONTRIBUTORS or not MIN_CONTRIBUTORS <= body.quorum <= len(body.members):
        problems.append(f"started with {len(body.members)} members and a quorum of {body.quorum}")
    if body.epsilon is None and body.quorum != len(body.members):
        problems.append("exact, and with a quorum of fewer than all")
    if len(units) != len(body.members) or None in units or None in requests:
        problems.append("started with members that are not each of another unit, or that nobody asked for")
    if len(partners) != 1:
        problems.append("started with jobs of several partners")
    if any(request is not None and request.epsilon != body.epsilon for request in requests):
        problems.append("started with another epsilon than the jobs ask for")
    modes = {mode for request in requests if request is not None and (mode := _mode(case, request, fact)) is not None}
    wanted = DisclosureMode.EXACT if body.epsilon is None else DisclosureMode.PRIVATE
    if modes - {wanted}:
        problems.append("started in another mode than the members' agreements have")
    for problem in problems:
        yield Hit(subject=story.id, indexes=(fact.index,), message=problem)


def _request(case: Case, job: str) -> JobSubmitted | None:
    story = case.stories.get(job)
    return None if story is None else story.request


def _mode(case: Case, request: JobSubmitted, fact: Fact) -> DisclosureMode | None:
    terms = case.agreement(request.agreement, fact.index)
    return None if terms is None else terms.disclosure.mode


def _data(case: Case, story: FederationStory) -> list[tuple[str, int]]:
    requests = (_request(case, item.job) for item in story.members)
    return [(row.dataset, row.version) for request in requests if request is not None for row in request.datasets]
