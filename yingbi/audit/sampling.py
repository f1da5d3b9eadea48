"""Samples that neither side can steer (docs/auditing.md, "Samples").

How many: attribute sampling with zero expected errors. Which: ranked by a hash over a seed that binds the log's
checkpoint to a nonce of the auditor, so that the auditee cannot know the sample before it signs the checkpoint, and the
auditor cannot try nonces without saying so. Some things are looked at always.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import time
from fractions import Fraction
from hashlib import sha256
from typing import Final

from policies.bureau import GRADE_ORDER
from policies.model import CALENDAR
from yingbi.audit.case import Case
from yingbi.audit.control_people import person_checks
from yingbi.audit.facts import Fact
from yingbi.audit.stories import Story
from yingbi.clock import parse_time
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.events import EntryType
from yingbi.events.datasets import DatasetGraded
from yingbi.events.jobs import ApprovalRoute

__all__ = ["Mandatory", "Sample", "Stratum", "draw", "sample_seed", "sample_size"]

_OFFICE: Final = (time(9), time(18))
_SATURDAY: Final = 5
_SMALL: Final = 20  # populations up to so many times the sample are not drawn from with replacement in mind
_UNKNOWN: Final = "unknown"
_MAX_PERCENT: Final = 100
_DECISIONS: Final = frozenset(
    {
        EntryType.AGREEMENT_SIGNED,
        EntryType.AGREEMENT_RESUMED,
        EntryType.JOB_APPROVED,
        EntryType.OUTPUT_CHECKED,
        EntryType.PARTICIPANT_ADMITTED,
        EntryType.DUTY_GRANTED,
        EntryType.ACCESS_UNFROZEN,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stratum:
    """Jobs of one partner, grade and operation: how many there are, and which were drawn, by their rank."""

    partner: str
    grade: str
    operation: str
    size: int
    drawn: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mandatory:
    """Something that is looked at whatever was drawn: why, what, and the entries that show it."""

    reason: str
    subject: str
    indexes: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A drawn sample: with what it was drawn, and what is in it."""

    seed: str
    confidence: int
    tolerable: int
    population: int
    wanted: int
    strata: tuple[Stratum, ...]
    mandatory: tuple[Mandatory, ...]


def sample_size(confidence: int, tolerable: int, population: int) -> int:
    """Return how many items have to be looked at, and found without error, for a confidence in percent.

    The smallest n for which, if the share `tolerable` (in percent) of items were wrong, n draws would all be right with
    a probability of at most 1 - confidence: (1 - p)^n for large populations, C(N - K, n) / C(N, n) with K = ceil(p N)
    wrong items among N for those of at most 20 times that n.

    Raises:
        InvalidRequestError: percentages that are not between 1 and 99, or a population below zero.
    """
    if not (0 < confidence < _MAX_PERCENT and 0 < tolerable < _MAX_PERCENT) or population < 0:
        raise InvalidRequestError(ErrorCode.USAGE, "expected percentages from 1 to 99")
    risk, share = Fraction(100 - confidence, 100), Fraction(tolerable, 100)
    large = _first(risk, lambda _: 1 - share, bound=None)
    if population > _SMALL * large:
        return large
    wrong = -(-population * tolerable // 100)
    return _first(risk, lambda n: Fraction(population - wrong - n, population - n), bound=population)


def sample_seed(checkpoint: bytes, nonce: str) -> str:
    """Return `sha256(text of the checkpoint's note ‖ nonce in UTF-8)` in hexadecimal; the text ends in its newline."""
    text, _, _ = checkpoint.rpartition(b"\n\n")
    return sha256(text + b"\n" + nonce.encode()).hexdigest()


def draw(case: Case, *, confidence: int, tolerable: int, nonce: str) -> Sample:
    """Draw the sample of a log's jobs.

    Raises:
        InvalidRequestError: percentages that make no sense, or no nonce.
    """
    if not nonce:
        raise InvalidRequestError(ErrorCode.USAGE, "expected a nonce that nobody knew before")
    seed = sample_seed(case.reading.signed.note, nonce)
    grades = _grades(case)
    strata: dict[tuple[str, str, str], list[str]] = {}
    for story in case.stories.values():
        strata.setdefault(_stratum_of(story, grades), []).append(story.job)
    population = sum(map(len, strata.values()))
    wanted = sample_size(confidence, tolerable, population)
    shares = _allot(wanted, {key: len(jobs) for key, jobs in sorted(strata.items())})
    return Sample(
        seed=seed,
        confidence=confidence,
        tolerable=tolerable,
        population=population,
        wanted=wanted,
        strata=tuple(
            Stratum(
                partner=key[0],
                grade=key[1],
                operation=key[2],
                size=len(strata[key]),
                drawn=tuple(_rank(seed, strata[key])[:count]),
            )
            for key, count in shares.items()
        ),
        mandatory=tuple(_mandatory(case)),
    )


def _first(risk: Fraction, step: Callable[[int], Fraction], *, bound: int | None) -> int:
    """Return the first n at which the product of the steps 0 to n - 1 is at most `risk`; `bound` if none is below."""
    left, n = Fraction(1), 0
    while left > risk and (bound is None or n < bound):
        left *= step(n)
        n += 1
    return n


def _rank(seed: str, jobs: Iterable[str]) -> list[str]:
    return sorted(jobs, key=lambda job: sha256(f"{seed}\n{job}\n".encode()).digest())


def _allot(wanted: int, sizes: Mapping[tuple[str, str, str], int]) -> dict[tuple[str, str, str], int]:
    """Allot a sample to strata by their sizes, with largest remainders, and at least one to each.

    Ties go to the stratum that comes first; a stratum of which everything is drawn gives what is left to no other.
    """
    total = sum(sizes.values())
    exact = {key: Fraction(min(wanted, total) * size, total) for key, size in sizes.items()}
    shares = {key: int(share) for key, share in exact.items()}
    left = min(wanted, total) - sum(shares.values())
    for key in sorted(exact, key=lambda item: (shares[item] - exact[item], item))[:left]:
        shares[key] += 1
    return {key: max(1, count) for key, count in shares.items()}


def _stratum_of(story: Story, grades: Mapping[tuple[str, int], str]) -> tuple[str, str, str]:
    request = story.request
    if request is None:
        return (story.partner or _UNKNOWN, _UNKNOWN, _UNKNOWN)
    found = [grades.get((row.dataset, row.version), _UNKNOWN) for row in request.datasets]
    known = [grade for grade in found if grade != _UNKNOWN]
    order = {str(grade): rank for grade, rank in GRADE_ORDER.items()}
    grade = _UNKNOWN if len(known) < len(found) else max(known, key=order.__getitem__)
    return (story.partner or _UNKNOWN, grade, request.operation)


def _grades(case: Case) -> dict[tuple[str, int], str]:
    facts = case.reading.of(EntryType.DATASET_GRADED)
    return {
        (fact.id, fact.body.version): str(fact.body.grade) for fact in facts if isinstance(fact.body, DatasetGraded)
    }


def _mandatory(case: Case) -> Iterable[Mandatory]:
    for emergency in case.people.emergencies:
        both = (emergency.opened, emergency.closed)
        indexes = tuple(fact.index for fact in both if fact is not None)
        yield Mandatory(reason="break-glass", subject=emergency.body.holder, indexes=indexes)
    for story in case.stories.values():
        for reason, facts in _reasons(story).items():
            yield Mandatory(reason=reason, subject=story.job, indexes=tuple(fact.index for fact in facts))
    for earlier, story in _refused_then_approved(case):
        pair = (earlier.facts[0].index, story.facts[0].index)
        yield Mandatory(reason="refused-then-approved", subject=story.job, indexes=pair)
    for fact in case.reading.facts:
        if fact.people and fact.type in _DECISIONS and _is_off_hours(fact):
            yield Mandatory(reason="off-hours", subject=fact.id, indexes=(fact.index,))
        if fact.refusal is not None and fact.people and fact.type in _DECISIONS:
            yield Mandatory(reason="decision-without-effect", subject=fact.id, indexes=(fact.index,))


def _reasons(story: Story) -> Mapping[str, Sequence[Fact]]:
    """Return why a job is looked at always, with the entries that say so."""
    checks = [fact for fact in story.of(EntryType.OUTPUT_CHECKED) if person_checks(fact)]
    held = list(story.of(EntryType.OUTPUT_HELD))
    released = list(story.of(EntryType.OUTPUT_RELEASED))
    approved = list(story.of(EntryType.JOB_APPROVED))
    found: dict[str, Sequence[Fact]] = {
        "override": [*held, *released] if held and released else [],
        "reviewed-output": checks,
        "provisional": approved if story.route == ApprovalRoute.PROVISIONAL else [],
        "declared": approved if story.route == ApprovalRoute.DECLARED else [],
    }
    return {reason: facts for reason, facts in found.items() if facts}


def _refused_then_approved(case: Case) -> Iterable[tuple[Story, Story]]:
    """Yield jobs that were approved after one of the same partner, agreement, operation and data had been refused."""
    refused: dict[tuple[object, ...], Story] = {}
    for story in case.stories.values():
        request = story.request
        if request is None:
            continue
        datasets = tuple(sorted(row.dataset for row in request.datasets))
        kind = (story.partner, request.agreement, request.operation, datasets)
        if next(story.of(EntryType.JOB_REFUSED), None) is not None:
            refused[kind] = story
        elif kind in refused and next(story.of(EntryType.JOB_APPROVED), None) is not None:
            yield refused.pop(kind), story


def _is_off_hours(fact: Fact) -> bool:
    local = parse_time(fact.time).astimezone(CALENDAR)
    return local.weekday() >= _SATURDAY or not _OFFICE[0] <= local.time() < _OFFICE[1]
