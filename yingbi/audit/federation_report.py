"""What the report says of federations: who, what, in which rounds, at what cost, and how much was computed again."""

from collections.abc import Collection
from typing import Final

from yingbi.audit.case import Case
from yingbi.audit.federation_checks import FederationCheck
from yingbi.audit.federation_files import chosen_federations
from yingbi.audit.federations import FederationStory, TriedRound
from yingbi.canonical import JsonValue
from yingbi.events import EntryType
from yingbi.events.federations import FederationMember

__all__ = ["FEDERATION_COLUMNS", "ROUND_COLUMNS", "federation_row", "federation_rows", "round_rows"]

FEDERATION_COLUMNS: Final = (
    "federation",
    "partner",
    "recipe",
    "mode",
    "epsilon",
    "rho",
    "quorum",
    "most_rounds",
    "rounds",
    "contributors",
    "recomputed",
    "state",
    "result",
    "terms",
    "nodes",
    "jobs",
)
ROUND_COLUMNS: Final = (
    "federation",
    "round",
    "attempt",
    "opened",
    "closed",
    "participants",
    "given",
    "aggregate",
    "state",
    "outcome",
)
_GIVEN_UP, _OPEN = "given-up", "open"


def federation_rows(case: Case, jobs: Collection[str] | None) -> list[dict[str, JsonValue]]:
    """Return what there is to say of the federations that jobs are members of; of all where none are chosen."""
    return [federation_row(case, story) for story in chosen_federations(case, jobs)]


def federation_row(case: Case, story: FederationStory) -> dict[str, JsonValue]:
    """Return what there is to say of one federation that was started."""
    checked = case.federation_checks[story.id]
    started, completed = story.started, story.completed
    outcomes = list(map(str, checked.outcomes))
    return {
        "federation": story.id,
        "partner": next((case.stories[item.job].partner for item in story.members if item.job in case.stories), None),
        "recipe": None if started is None else started.recipe,
        "mode": "exact" if story.is_exact else "private",
        "epsilon": None if started is None else started.epsilon,
        "rho": None if completed is None else completed[1].rho,
        "quorum": None if started is None else started.quorum,
        "most_rounds": None if started is None else started.rounds,
        "rounds": len(story.rounds),
        "contributors": min((len(item.body.participants) for item in story.rounds), default=0),
        "recomputed": outcomes.count("recomputed"),
        "state": story.state,
        "result": None if completed is None else completed[1].result,
        "terms": None if started is None else started.terms,
        "nodes": [item.node for item in story.members],
        "jobs": [item.job for item in story.members],
        "members": [_member_row(case, item) for item in story.members],
        "attempts": list[JsonValue](_attempt_rows(story, checked)),
        "unchecked": list[JsonValue](
            [*checked.missing_contributions, *checked.missing_states, *checked.missing_spending]
        ),
    }


def round_rows(federations: Collection[dict[str, JsonValue]]) -> list[dict[str, JsonValue]]:
    """Return the attempts of all rounds of federations, one a row."""
    found: list[dict[str, JsonValue]] = []
    for row in federations:
        attempts = row["attempts"] if isinstance(row["attempts"], list) else []
        found += [{"federation": row["federation"], **one} for one in attempts if isinstance(one, dict)]
    return found


def _member_row(case: Case, member: FederationMember) -> JsonValue:
    story = case.stories.get(member.job)
    request = None if story is None else story.request
    released = None if story is None else next(story.of(EntryType.OUTPUT_RELEASED), None)
    return {
        "node": member.node,
        "unit": case.people.employer(member.node),
        "job": member.job,
        "agreement": None if request is None else request.agreement,
        "datasets": [] if request is None else [f"{row.dataset}/{row.version}" for row in request.datasets],
        "released": None if released is None else released.index,
    }


def _attempt_rows(story: FederationStory, checked: FederationCheck) -> list[dict[str, JsonValue]]:
    outcomes = iter(checked.outcomes)
    return [_attempt_row(item, str(next(outcomes)) if item.completed is not None else None) for item in story.attempts]


def _attempt_row(attempt: TriedRound, outcome: str | None) -> dict[str, JsonValue]:
    closed = attempt.closed
    return {
        "round": attempt.body.round,
        "attempt": attempt.body.attempt,
        "opened": attempt.fact.index,
        "closed": attempt.over,
        "participants": len(attempt.body.participants),
        "given": len({item.node for item in attempt.given}),
        "aggregate": None if closed is None else closed.body.aggregate,
        "state": None if closed is None else closed.body.state,
        "outcome": outcome or (_OPEN if attempt.over is None else _GIVEN_UP),
    }
