"""Where a federation is, round by round, as the hub tells it.

SECURITY: what a hub sends is checked like any stranger's text: it is about the federation that was asked for, has no
more members and rounds than there can be, and figures are short decimal numbers.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from yingbi.canonical import JsonValue
from yingbi.client.exchange import malformed_answer
from yingbi.client.problems import plain
from yingbi.client.shown import fields_html, fields_text, table_html, table_text
from yingbi.client.status import HAS_RESULT, SETTLED
from yingbi.plan.model import MAX_MEMBERS, MAX_ROUNDS

__all__ = [
    "FederationMember",
    "FederationNode",
    "FederationRound",
    "FederationStatus",
    "OpenRound",
    "parse_federation",
    "parse_federation_nodes",
]

_T = TypeVar("_T")

_SENTENCES: Final[Mapping[str, str]] = {
    "waiting": "waits until all members have joined",
    "running": "is being trained",
    "interrupted": "was stopped between two rounds and may go on",
    "completed": "is trained",
    "aborted": "was stopped for good",
}
_OVER: Final = frozenset({"refused", "cancelled", "rejected", "destroyed"})
"""States of a member job after which a federation that does not run never will."""

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_FIGURE: Final = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{1,40})?(?:e[+-]?[0-9]{1,3})?")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_MAX_FIGURES: Final = 32
_MAX_ENTRIES: Final = 4 * MAX_ROUNDS * 8 * MAX_MEMBERS
_MAX_NODES: Final = 10_000
_MEMBERS: Final = ("node", "unit", "data set", "agreement", "job", "state")
_ROUNDS: Final = ("round", "attempt", "participants", "until", "figures")
_LAST_ROUNDS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationMember:
    """A member: its node and unit, its job and where that is, and whether it has given to the round that is open."""

    node: str
    unit: str | None
    job: str
    agreement: str
    dataset: str
    state: str | None
    has_given: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationRound:
    """A completed round: the attempt that completed it, who took part, digests of sum and next state, figures."""

    round: int
    attempt: int
    participants: tuple[str, ...]
    aggregate: str
    state: str
    began_at: str | None
    ended_at: str | None
    figures: Mapping[str, str]

    @property
    def figures_text(self) -> str:
        """Return what the round tells of itself, short."""
        return ", ".join(f"{name} {float(value):.6g}" for name, value in self.figures.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRound:
    """The attempt that is open: who has given, and until when the others may."""

    round: int
    attempt: int
    participants: tuple[str, ...]
    given: tuple[str, ...]
    expires_at: str

    @property
    def awaited(self) -> tuple[str, ...]:
        """Return who has not given yet."""
        return tuple(node for node in self.participants if node not in self.given)


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationStatus:
    """Where a federation is. `terms`: digest of what all members are asked alike; `result`: of the final state."""

    federation: str
    state: str
    reason: str | None
    partner: str
    recipe: str
    terms: str
    mode: str
    quorum: int
    max_rounds: int
    members: tuple[FederationMember, ...]
    rounds: tuple[FederationRound, ...]
    open: OpenRound | None
    result: str | None
    entries: tuple[int, ...]
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def sentence(self) -> str:
        """Return the state in words."""
        return _SENTENCES[self.state]

    @property
    def released(self) -> tuple[FederationMember, ...]:
        """Return the members whose node has released the model."""
        return tuple(member for member in self.members if member.state in HAS_RESULT)

    @property
    def is_settled(self) -> bool:
        """Tell whether there is a model to fetch, or nothing more comes without a person."""
        states = [member.state for member in self.members]
        if self.state == "completed":
            return bool(self.released) or all(state in SETTLED for state in states)
        if self.state in ("waiting", "interrupted"):
            return any(state in _OVER for state in states)
        return self.state == "aborted"

    @property
    def awaited(self) -> tuple[str, ...]:
        """Return the nodes that something is waited for from, as far as the hub tells."""
        if self.open is not None:
            return self.open.awaited
        if self.state == "waiting":
            return tuple(member.node for member in self.members if member.state != "started")
        return tuple(member.node for member in self.members if self.state == "completed" and member.state == "started")

    @property
    def figures(self) -> tuple[str, ...]:
        """Return the names of what rounds tell of themselves: the loss, and the like."""
        return tuple(dict.fromkeys(name for one in self.rounds for name in one.figures))

    def curve(self, figure: str) -> tuple[tuple[int, float], ...]:
        """Return a figure by round."""
        return tuple((one.round, float(one.figures[figure])) for one in self.rounds if figure in one.figures)

    def why(self) -> tuple[str, ...]:
        """Return why it does not go on, where the hub says so, and which members are in the way."""
        lines = [] if self.reason is None else [self.reason]
        return (*lines, *(f"{one.node}: job `{one.job}` is {one.state}" for one in self.members if self._stops(one)))

    def to_json(self) -> dict[str, JsonValue]:
        """Return the status as the hub sent it."""
        return dict(self.raw)

    def member_rows(self) -> list[tuple[object, ...]]:
        """Return the members as a table has them."""
        return [(one.node, one.unit, one.dataset, one.agreement, one.job, self._told(one)) for one in self.members]

    def round_rows(self) -> list[tuple[object, ...]]:
        """Return the rounds as a table has them, the open one last."""
        rows: list[tuple[object, ...]] = [
            (one.round, one.attempt, len(one.participants), one.ended_at, one.figures_text) for one in self.rounds
        ]
        if self.open is not None:
            given = f"{len(self.open.given)} of {len(self.open.participants)}"
            rows.append((self.open.round, self.open.attempt, given, self.open.expires_at, "open"))
        return rows

    def __str__(self) -> str:
        parts = [
            fields_text(self.federation, self._facts()),
            *(f"  - {line}" for line in self.why()),
            table_text(_MEMBERS, self.member_rows()),
        ]
        if self.rounds or self.open is not None:
            parts.append(table_text(_ROUNDS, self.round_rows()[-_LAST_ROUNDS:]))
        return "\n".join(parts)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        facts = {**self._facts(), "why": "; ".join(self.why())}
        return fields_html(self.federation, facts) + table_html(_MEMBERS, self.member_rows()) + self.curve_svg()

    def curve_svg(self) -> str:
        """Return the learning curve as an image for a notebook; nothing where no round tells a figure."""
        from yingbi.models.plots import Axis, Series, curves

        name = "loss" if "loss" in self.figures else next(iter(self.figures), None)
        points = () if name is None else self.curve(name)
        if name is None or not points:
            return ""
        low, high = min(y for _, y in points), max(y for _, y in points)
        rounds = Axis(label="round", low=1, high=max(self.max_rounds, 2), write=lambda at: f"{at:.0f}")
        values = Axis(
            label=name, low=min(low, 0.0), high=high if high > min(low, 0.0) else low + 1.0, write="{:.3g}".format
        )
        line = Series(name="", points=[(float(x), y) for x, y in points], has_marks=len(points) < 40)
        return curves(f"{name} by round", rounds, values, [line])

    def _facts(self) -> dict[str, object]:
        return {
            "state": f"{self.state}: {self.sentence}",
            "recipe": f"{self.recipe}, {self.mode} mode",
            "rounds": f"{len(self.rounds)} of {self.max_rounds} at most",
            "quorum": f"{self.quorum} of {len(self.members)} members",
            "waits for": ", ".join(self.awaited),
            "terms": self.terms,
            "result": self.result,
        }

    def _told(self, member: FederationMember) -> str:
        state = member.state or "not submitted"
        return f"{state}, has given" if member.has_given else state

    def _stops(self, member: FederationMember) -> bool:
        return self.state != "running" and member.state in SETTLED


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationNode:
    """A node that takes part in federations: its unit, and whether it is connected now."""

    node: str
    unit: str | None
    is_connected: bool


def parse_federation(value: Mapping[str, Any], *, federation: str | None = None) -> FederationStatus:
    """Read where a federation is.

    Raises:
        VerificationError: it has another form, or is about another federation than was asked for.
    """
    state, name = _text(value, "state"), _text(value, "federation")
    if state not in _SENTENCES or value.get("mode") not in ("exact", "private"):
        raise malformed_answer("the status of a federation")
    if federation is not None and name != federation:
        raise malformed_answer("the federation that was asked for")
    members = _listed(value, "members", MAX_MEMBERS, _member)
    rounds = _listed(value, "rounds", MAX_ROUNDS, _round)
    if [one.round for one in rounds] != list(range(1, len(rounds) + 1)):
        raise malformed_answer("the rounds of a federation, one after the other")
    if len({one.node for one in members}) != len(members) or len({one.job for one in members}) != len(members):
        raise malformed_answer("the members of a federation, each once")
    return FederationStatus(
        federation=name,
        state=state,
        reason=plain(value.get("reason")) or None,
        partner=_text(value, "partner"),
        recipe=_text(value, "recipe"),
        terms=_digest(value, "terms"),
        mode=value["mode"],
        quorum=_number(value, "quorum"),
        max_rounds=_number(value, "max_rounds"),
        members=members,
        rounds=rounds,
        open=None if value.get("open") is None else _open(value["open"]),
        result=None if value.get("result") is None else _digest(value, "result"),
        entries=_listed(value, "entries", _MAX_ENTRIES, _index),
        raw=value,
    )


def parse_federation_nodes(value: Mapping[str, Any]) -> tuple[FederationNode, ...]:
    """Read which nodes take part in federations.

    Raises:
        VerificationError: they have another form.
    """
    return _listed(value, "items", _MAX_NODES, _node)


def _node(value: Mapping[str, Any]) -> FederationNode:
    unit, is_connected = plain(value.get("unit")) or None, value.get("is_connected")
    if not isinstance(is_connected, bool):
        raise malformed_answer("whether a node is connected")
    return FederationNode(node=_text(value, "node"), unit=unit, is_connected=is_connected)


def _member(value: Mapping[str, Any]) -> FederationMember:
    return FederationMember(
        node=_text(value, "node"),
        unit=plain(value.get("unit")) or None,
        job=_text(value, "job"),
        agreement=_text(value, "agreement"),
        dataset=_text(value, "dataset"),
        state=plain(value.get("state")) or None,
        has_given=value.get("has_given") is True,
    )


def _round(value: Mapping[str, Any]) -> FederationRound:
    figures = value.get("figures")
    if not isinstance(figures, dict) or len(figures) > _MAX_FIGURES or not all(map(_is_figure, figures.items())):
        raise malformed_answer("the figures of a round")
    return FederationRound(
        round=_number(value, "round"),
        attempt=_number(value, "attempt"),
        participants=_parties(value, "participants"),
        aggregate=_digest(value, "aggregate"),
        state=_digest(value, "state"),
        began_at=plain(value.get("began_at")) or None,
        ended_at=plain(value.get("ended_at")) or None,
        figures=figures,
    )


def _open(value: object) -> OpenRound:
    if not isinstance(value, dict):
        raise malformed_answer("the open round of a federation")
    return OpenRound(
        round=_number(value, "round"),
        attempt=_number(value, "attempt"),
        participants=_parties(value, "participants"),
        given=_parties(value, "given"),
        expires_at=_text(value, "expires_at"),
    )


def _is_figure(item: tuple[object, object]) -> bool:
    name, value = item
    # SECURITY: `1e999999999` would take its time, and `inf` has no place on any curve.
    is_number = isinstance(value, str) and _FIGURE.fullmatch(value) is not None and abs(float(value)) < float("inf")
    return is_number and isinstance(name, str) and _NAME.fullmatch(name) is not None


def _parties(value: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found = value.get(name)
    if not isinstance(found, list) or len(found) > MAX_MEMBERS or not all(isinstance(one, str) for one in found):
        raise malformed_answer(f"`{name}` of a round")
    return tuple(plain(one) for one in found)


def _listed(value: Mapping[str, Any], name: str, most: int, read: Callable[[Any], _T]) -> tuple[_T, ...]:
    found = value.get(name)
    if not isinstance(found, list) or len(found) > most:
        raise malformed_answer(f"`{name}` of a federation as a list of {most} at most")
    if read is not _index and not all(isinstance(one, dict) for one in found):
        raise malformed_answer(f"`{name}` of a federation as a list of objects")
    return tuple(read(one) for one in found)


def _index(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise malformed_answer("places of entries")
    return value


def _number(value: Mapping[str, Any], name: str) -> int:
    found = value.get(name)
    if not isinstance(found, int) or isinstance(found, bool) or not 0 < found <= 1_000_000:
        raise malformed_answer(f"`{name}` of a federation as a number")
    return found


def _digest(value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    if not isinstance(found, str) or not _DIGEST.fullmatch(found):
        raise malformed_answer(f"`{name}` of a federation as a digest")
    return found


def _text(value: Mapping[str, Any], name: str) -> str:
    found = plain(value.get(name))
    if not found:
        raise malformed_answer(f"`{name}` of a federation")
    return found
