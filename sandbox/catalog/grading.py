"""Confirming grades, and changing a declaration: what one person may do, and what takes two (docs/catalogue.md).

A grade is raised freely and lowered only for a stated reason and by two people. The same holds for whatever else makes
a data set easier to look into: opening it further, making items public, taking them off the negative list.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from sandbox.catalog.codec import item_to_json
from sandbox.catalog.grades import OPENNESS_ORDER, is_lower, strictest_grade
from sandbox.catalog.model import DataItem, Dataset, Visibility
from sandbox.catalog.problem import CatalogueInvalidError, Problem
from yingbi.canonical import digest_json
from yingbi.errors import ErrorCode, InvalidRequestError, RefusedError
from yingbi.events.fields import Grade
from yingbi.ids import parse_party

__all__ = [
    "GradeDecision",
    "GradeState",
    "ItemGrading",
    "LoweringReason",
    "check_people",
    "check_revision",
    "judge_grade",
    "loosenings",
    "meaning_digest",
]


class GradeState(StrEnum):
    """How an item came by its grade; the first two wait for a person."""

    DECLARED = "declared"
    SUGGESTED = "suggested"
    CONFIRMED = "confirmed"
    RAISED = "raised"
    LOWERED = "lowered"

    @property
    def is_confirmed(self) -> bool:
        """Return whether a person stands for the grade."""
        return self in (GradeState.CONFIRMED, GradeState.RAISED, GradeState.LOWERED)


class LoweringReason(StrEnum):
    """Why a grade is lowered."""

    ALREADY_PUBLIC = "already-public"
    CONTENT_REDUCED = "content-reduced"
    FIRST_GRADING = "first-grading"
    GRADED_IN_ERROR = "graded-in-error"
    RULE_CHANGED = "rule-changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class GradeDecision:
    """What a person decides about an item; `reason` is needed to go below what was declared or suggested."""

    item: str
    grade: Grade
    reason: LoweringReason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemGrading:
    """Where an item's grade stands."""

    item: str
    grade: Grade
    state: GradeState
    suggested: Grade | None = None
    confirmed_by: str | None = None
    second_person: str | None = None


def judge_grade(item: DataItem, decision: GradeDecision, *, suggested: Grade | None, second: str | None) -> GradeState:
    """Return the state that a decision leads to (people are checked by `check_people`).

    Raises:
        InvalidRequestError: lower than what was declared or suggested, and no reason is given.
        RefusedError: lower, and nobody confirms it besides.
    """
    least = item.grade if suggested is None else strictest_grade(item.grade, suggested)
    if is_lower(decision.grade, least):
        if decision.reason is None:
            raise InvalidRequestError(
                ErrorCode.CATALOGUE_INVALID,
                f"expected a reason to lower the grade of `{item.name}`",
                hint=f"reasons: {', '.join(LoweringReason)}",
            )
        _require_second(second, f"the grade of `{item.name}` is lowered")
        return GradeState.LOWERED
    return GradeState.RAISED if is_lower(item.grade, decision.grade) else GradeState.CONFIRMED


def check_people(by: str, second: str | None) -> None:
    """Check that one person, or two different people, are named.

    Raises:
        InvalidRequestError: not a person.
        RefusedError: one person in both places.
    """
    for party in (by,) if second is None else (by, second):
        if parse_party(party)[0] != "person":
            raise InvalidRequestError(ErrorCode.ID_MALFORMED, "expected a person such as `person:li-si`")
    if second == by:
        raise RefusedError(ErrorCode.DUTIES_NOT_SEPARATED, "expected two different people")


def check_revision(old: Dataset, new: Dataset, graded: Mapping[str, Grade], *, second: str | None) -> None:
    """Check a new declaration of a data set against its present one.

    `graded` is the newest confirmed grade of each item that ever had one: an item that is left out and put in again
    keeps it.

    Raises:
        CatalogueInvalidError: who is counted changes, or a grade is lower than it was.
        RefusedError: the data set becomes easier to look into, and nobody confirms it besides.
    """
    problems = [*_check_identity(old, new), *_check_grades(old, new, graded)]
    if problems:
        raise CatalogueInvalidError.of(problems)
    if found := loosenings(old, new):
        _require_second(second, f"`{found[0]}` is loosened")


def loosenings(old: Dataset, new: Dataset) -> list[str]:
    """Return the members by which `new` is easier to look into than `old`, grades apart."""
    found = []
    if OPENNESS_ORDER.index(new.openness) < OPENNESS_ORDER.index(old.openness):
        found.append("openness")
    if _becomes_public(old.membership, new.membership):
        found.append("membership")
    for item in new.items:
        if (before := old.item(item.name)) is None:
            continue
        if before.on_negative_list and not item.on_negative_list:
            found.append(f"{item.name}.on_negative_list")
        if _becomes_public(before.visibility, item.visibility):
            found.append(f"{item.name}.visibility")
    return found


def meaning_digest(item: DataItem) -> str:
    """Return the digest of what a grade was given for; limits, visibility and the negative list are not among it."""
    whole = item_to_json(item)
    names = ("name", "title", "type", "role", "classification", "unit_of_measure", "decimals", "description")
    return digest_json({name: whole[name] for name in names})


def _check_identity(old: Dataset, new: Dataset) -> Iterator[Problem]:
    # SECURITY: history and budgets are kept by unit; what a unit is cannot change under them.
    if new.privacy_unit is not old.privacy_unit:
        yield Problem(path="privacy_unit", message="expected no change; register another data set")
    if new.unit_item.name != old.unit_item.name:
        yield Problem(path="items", message="expected the same item with role `unit`; register another data set")
    if new.owner != old.owner:
        yield Problem(path="owner", message="expected no change; register another data set")


def _check_grades(old: Dataset, new: Dataset, graded: Mapping[str, Grade]) -> Iterator[Problem]:
    for index, item in enumerate(new.items):
        before = [grade for grade in (graded.get(item.name),) if grade is not None]
        if (known := old.item(item.name)) is not None:
            before.append(known.grade)
        if before and is_lower(item.grade, strictest_grade(*before)):
            message = "expected a grade that is not lower than before; a grade is lowered by confirming it"
            yield Problem(path=f"items[{index}].grade", message=message)


def _becomes_public(before: Visibility, after: Visibility) -> bool:
    return before is Visibility.CONFIDENTIAL and after is Visibility.PUBLIC


def _require_second(second: str | None, what: str) -> None:
    if second is None:
        raise RefusedError(ErrorCode.DUTIES_NOT_SEPARATED, f"expected a second person where {what}")
