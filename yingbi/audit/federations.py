"""One federation from its members' joining to its end, as its entries tell it: attempts, who gave, who summed.

Everything that was recorded is told, whether it had an effect or not; what is wrong with it, the controls say.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from yingbi.audit.facts import Fact, Reading
from yingbi.events import EntryType
from yingbi.events.federations import (
    FederationCompleted,
    FederationContributed,
    FederationJoined,
    FederationMember,
    FederationRoundCompleted,
    FederationRoundStarted,
    FederationStarted,
)

__all__ = ["Closed", "FederationStory", "Given", "TriedRound", "tell_federations"]

_ENDS: Final = (EntryType.FEDERATION_INTERRUPTED, EntryType.FEDERATION_ABORTED, EntryType.FEDERATION_COMPLETED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a node says that it gave to an attempt; `node` is the member whose job it names, else who says so."""

    node: str
    body: FederationContributed
    fact: Fact


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """What the coordinator says of an attempt that is over: with a sum, or given up."""

    body: FederationRoundCompleted
    fact: Fact

    @property
    def named(self) -> Mapping[str, str]:
        """Return the digests of contributions, by node."""
        return {item.party: item.digest for item in self.body.contributions}


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedRound:
    """An attempt at a round: the entry that opened it, what was given to it, what was said of its end.

    `over`: the index of the entry with which it was over, whatever that was.
    """

    body: FederationRoundStarted
    fact: Fact
    given: tuple[Given, ...]
    closings: tuple[Closed, ...]
    over: int | None

    @property
    def name(self) -> str:
        """Return the attempt in words."""
        return f"round {self.body.round}, attempt {self.body.attempt}"

    @property
    def closed(self) -> Closed | None:
        """Return the first thing that was said of its end."""
        return self.closings[0] if self.closings else None

    @property
    def completed(self) -> Closed | None:
        """Return its end where that has a sum."""
        return self.closed if self.closed is not None and self.closed.body.aggregate is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationStory:
    """A federation: all its entries in order (`facts`), and what they say.

    `strays`: contributions to attempts that nobody had opened, and ends of such.
    """

    id: str
    facts: tuple[Fact, ...]
    attempts: tuple[TriedRound, ...]
    strays: tuple[Fact, ...]

    @property
    def started(self) -> FederationStarted | None:
        """Return what was said when it began."""
        return next((body for _, body in self.starts), None)

    @property
    def starts(self) -> Iterator[tuple[Fact, FederationStarted]]:
        """Yield when it began and went on."""
        return ((fact, fact.body) for fact in self.facts if isinstance(fact.body, FederationStarted))

    @property
    def joins(self) -> Iterator[tuple[Fact, FederationJoined]]:
        """Yield who joined it."""
        return ((fact, fact.body) for fact in self.facts if isinstance(fact.body, FederationJoined))

    @property
    def members(self) -> tuple[FederationMember, ...]:
        """Return its members, as it began with them."""
        return () if self.started is None else tuple(self.started.members)

    @property
    def is_exact(self) -> bool:
        """Tell whether nothing but the sum hides what a member gives."""
        return self.started is not None and self.started.epsilon is None

    @property
    def completed(self) -> tuple[Fact, FederationCompleted] | None:
        """Return its completion, if it has one."""
        return next(((fact, fact.body) for fact in self.facts if isinstance(fact.body, FederationCompleted)), None)

    @property
    def rounds(self) -> tuple[TriedRound, ...]:
        """Return the attempts that ended with a sum, in the order of the log."""
        return tuple(item for item in self.attempts if item.completed is not None)

    @property
    def state(self) -> str:
        """Return where it is: joined, running, or how it ended."""
        last = next((fact for fact in reversed(self.facts) if fact.type is not EntryType.FEDERATION_JOINED), None)
        if last is None or self.started is None:
            return "joined"
        return str(last.type).partition(".")[2] if last.type in _ENDS else "running"


@dataclass(kw_only=True)
class _Open:
    """An attempt while it is read."""

    body: FederationRoundStarted
    fact: Fact
    given: list[Given] = field(default_factory=list)
    closings: list[Closed] = field(default_factory=list)
    over: int | None = None

    def end(self, index: int) -> None:
        """Note the first entry with which it is over."""
        self.over = index if self.over is None else self.over

    def told(self) -> TriedRound:
        """Return it as it was told."""
        return TriedRound(
            body=self.body, fact=self.fact, given=tuple(self.given), closings=tuple(self.closings), over=self.over
        )


def tell_federations(reading: Reading) -> Mapping[str, FederationStory]:
    """Return the stories of all federations, in the order in which the log first speaks of them."""
    found: dict[str, list[Fact]] = {}
    for fact in reading.facts:
        if fact.type.noun == "federation":
            found.setdefault(fact.id, []).append(fact)
    return {name: _tell(name, facts) for name, facts in found.items()}


def _tell(name: str, facts: list[Fact]) -> FederationStory:
    nodes = {
        item.job: item.node for fact in facts if isinstance(fact.body, FederationStarted) for item in fact.body.members
    }
    attempts: list[_Open] = []
    strays: list[Fact] = []
    for fact in facts:
        match fact.body:
            case FederationRoundStarted() as body:
                _end_last(attempts, fact)
                attempts.append(_Open(body=body, fact=fact))
            case FederationContributed() as body:
                node = nodes.get(body.job, fact.statement.payload.issuer)
                found = _find(attempts, body)
                if found is None:
                    strays.append(fact)
                else:
                    found.given.append(Given(node=node, body=body, fact=fact))
            case FederationRoundCompleted() as body:
                found = _find(attempts, body)
                if found is None:
                    strays.append(fact)
                else:
                    found.closings.append(Closed(body=body, fact=fact))
                    found.end(fact.index)
            case _ if fact.type in _ENDS:
                _end_last(attempts, fact)
            case _:
                pass
    told = tuple(item.told() for item in attempts)
    return FederationStory(id=name, facts=tuple(facts), attempts=told, strays=tuple(strays))


def _end_last(attempts: list[_Open], fact: Fact) -> None:
    if attempts:
        attempts[-1].end(fact.index)


def _find(attempts: list[_Open], body: FederationContributed | FederationRoundCompleted) -> _Open | None:
    """Return the last attempt of this round and number."""
    same = (item for item in reversed(attempts) if (item.body.round, item.body.attempt) == (body.round, body.attempt))
    return next(same, None)
