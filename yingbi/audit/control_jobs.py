"""Controls about jobs: nothing runs before it may, nothing leaves before it was checked, nothing is spent twice."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Final, TypeVar

from pydantic import BaseModel

from policies.disclosure import MIN_UNITS, DisclosureRules, strictest
from policies.jobs import JobState
from policies.model import CALENDAR, Agreement, OutputApproval, decimal_text
from yingbi.audit.case import Case
from yingbi.audit.control_people import person_checks
from yingbi.audit.facts import Fact
from yingbi.audit.findings import Hit
from yingbi.audit.stories import Story
from yingbi.canonical import digest_json
from yingbi.clock import parse_time
from yingbi.events import EntryType
from yingbi.events.datasets import DatasetVersioned, DatasetWithdrawn
from yingbi.events.jobs import (
    BudgetCommitted,
    BudgetMeasure,
    BudgetRefunded,
    BudgetReserved,
    JobApproved,
    JobLeased,
    JobStarted,
    JobSubmitted,
)
from yingbi.events.outputs import CheckVerdict, OutputChecked, OutputDelivered, OutputHeld, OutputReleased

__all__ = [
    "approvals_after_execution",
    "budgets_overspent",
    "deliveries_elsewhere",
    "double_releases",
    "overlapping_leases",
    "releases_without_check",
    "rules_digest",
    "starts_outside_approval",
    "starts_without_agreement",
    "starts_without_approval",
    "unanswered_holds",
    "unanswered_requests",
    "unfinished_runs",
    "wrong_software",
    "wrong_terms",
    "wrong_thresholds",
    "wrong_versions",
]

_Body = TypeVar("_Body", bound=BaseModel)
_HOLD_LIMIT: Final = timedelta(days=7)
_REQUEST_LIMIT: Final = timedelta(days=1)
_RUN_LIMIT: Final = timedelta(days=1)


def approvals_after_execution(case: Case) -> Iterator[Hit]:
    """Yield approvals that stand behind the start of what they approve."""
    for story in case.stories.values():
        starts = [fact.index for fact in story.recorded(EntryType.JOB_STARTED)]
        for fact in story.recorded(EntryType.JOB_APPROVED):
            if starts and fact.index > starts[0]:
                yield Hit(subject=story.job, indexes=(starts[0], fact.index), message="approved after it had started")


def starts_without_approval(case: Case) -> Iterator[Hit]:
    """Yield starts without an approval that counted before them."""
    for story in case.stories.values():
        for start in story.recorded(EntryType.JOB_STARTED):
            approved = (fact for fact in story.of(EntryType.JOB_APPROVED) if fact.index < start.index)
            if next(approved, None) is None:
                yield Hit(subject=story.job, indexes=(start.index,), message="started without an approval")


def starts_outside_approval(case: Case) -> Iterator[Hit]:
    """Yield starts after the approval ran out, after the lease ran out, or by a node that had no lease."""
    for story in case.stories.values():
        for start in story.recorded(EntryType.JOB_STARTED):
            approval, lease = _last(story, JobApproved, start), _last(story, JobLeased, start)
            if approval is not None and start.time > approval[1].expires_at:
                indexes = (approval[0].index, start.index)
                yield Hit(subject=story.job, indexes=indexes, message="started after its approval had run out")
            if lease is None:
                yield Hit(subject=story.job, indexes=(start.index,), message="started without a lease")
            elif lease[1].node not in start.parties or start.time > lease[1].expires_at:
                message = "started by another node than had the lease, or after the lease"
                yield Hit(subject=story.job, indexes=(lease[0].index, start.index), message=message)


def starts_without_agreement(case: Case) -> Iterator[Hit]:
    """Yield starts under an agreement that was not in force."""
    for story in case.stories.values():
        if story.request is None:
            continue
        for start in story.recorded(EntryType.JOB_STARTED):
            if case.active_terms(story.request.agreement, start.index) is None:
                message = f"started while {story.request.agreement} was not in force"
                yield Hit(subject=story.job, indexes=(start.index,), message=message)


def wrong_terms(case: Case) -> Iterator[Hit]:
    """Yield approvals and starts on other terms than those in force."""
    for story in case.stories.values():
        for fact in story.recorded(EntryType.JOB_APPROVED, EntryType.JOB_STARTED):
            if story.request is None or not isinstance(fact.body, JobApproved | JobStarted):
                continue
            terms = case.active_terms(story.request.agreement, fact.index)
            if terms is not None and fact.body.terms != terms:
                message = f"{fact.type} on other terms than those in force"
                yield Hit(subject=story.job, indexes=(fact.index,), message=message)


def wrong_versions(case: Case) -> Iterator[Hit]:
    """Yield starts on other versions of data sets than were asked for, were published, or were still there."""
    published: dict[tuple[str, int], int] = {}
    withdrawn: dict[str, int] = {}
    for fact in case.reading.facts:
        match fact.body:
            case DatasetVersioned(version=version) if fact.refusal is None:
                published[fact.id, version] = fact.index
            case DatasetWithdrawn() if fact.refusal is None:
                withdrawn[fact.id] = fact.index
            case JobStarted(datasets=datasets):
                request = next(case.stories[fact.id].recorded(EntryType.JOB_SUBMITTED), None)
                if request is None or not isinstance(request.body, JobSubmitted):
                    continue
                if list(datasets) != list(request.body.datasets):
                    message = "started on other versions than were asked for"
                    yield Hit(subject=fact.id, indexes=(request.index, fact.index), message=message)
                for row in datasets:
                    if (row.dataset, row.version) not in published:
                        message = f"started on a version of {row.dataset} that was never published"
                        yield Hit(subject=fact.id, indexes=(fact.index,), message=message)
                    if row.dataset in withdrawn:
                        message = f"started on {row.dataset} after its withdrawal"
                        yield Hit(subject=fact.id, indexes=(withdrawn[row.dataset], fact.index), message=message)


def wrong_thresholds(case: Case) -> Iterator[Hit]:
    """Yield checks and releases under other disclosure rules than the agreement's."""
    for story in case.stories.values():
        for fact in story.recorded(EntryType.OUTPUT_CHECKED, EntryType.OUTPUT_RELEASED, EntryType.OUTPUT_HELD):
            if not isinstance(fact.body, OutputChecked | OutputReleased | OutputHeld) or story.request is None:
                continue
            allowed = _allowed_rules(case, story, fact)
            if allowed and fact.body.rules not in allowed:
                message = f"{fact.type} under other disclosure rules than those of the agreement"
                yield Hit(subject=story.job, indexes=(fact.index,), message=message)


def releases_without_check(case: Case) -> Iterator[Hit]:
    """Yield releases that no check passed, that a check failed, or that a person had to check and nobody did."""
    for story in case.stories.values():
        for release in story.recorded(EntryType.OUTPUT_RELEASED):
            before = [fact for fact in story.of(EntryType.OUTPUT_CHECKED) if fact.index < release.index]
            passed = [fact for fact in before if _verdict(fact) is CheckVerdict.PASS]
            failed = [fact.index for fact in before if _verdict(fact) is CheckVerdict.FAIL]
            if failed:
                yield Hit(subject=story.job, indexes=(*failed, release.index), message="released after a failed check")
            elif not passed:
                yield Hit(subject=story.job, indexes=(release.index,), message="released without a check")
            elif _needs_person(case, story, release) and not any(person_checks(fact) for fact in passed):
                message = "released without the check by a person that was due"
                yield Hit(subject=story.job, indexes=(release.index,), message=message)


def double_releases(case: Case) -> Iterator[Hit]:
    """Yield jobs whose result was released more than once."""
    for story in case.stories.values():
        indexes = tuple(fact.index for fact in story.recorded(EntryType.OUTPUT_RELEASED))
        if len(indexes) > 1:
            yield Hit(subject=story.job, indexes=indexes, message=f"released {len(indexes)} times")


def deliveries_elsewhere(case: Case) -> Iterator[Hit]:
    """Yield deliveries to somebody else than who asked, of something else than was released, or of nothing released."""
    for story in case.stories.values():
        for fact in story.recorded(EntryType.OUTPUT_DELIVERED):
            if not isinstance(fact.body, OutputDelivered):
                continue
            release = _last(story, OutputReleased, fact)
            if release is None:
                yield Hit(subject=story.job, indexes=(fact.index,), message="delivered without a release")
            elif fact.body.ciphertext != release[1].ciphertext:
                message = "delivered something else than was released"
                yield Hit(subject=story.job, indexes=(release[0].index, fact.index), message=message)
            if fact.body.recipient != story.partner:
                message = f"delivered to {fact.body.recipient}, who did not ask"
                yield Hit(subject=story.job, indexes=(fact.index,), message=message)


def wrong_software(case: Case) -> Iterator[Hit]:
    """Yield releases by other software than the job was started with."""
    for story in case.stories.values():
        for fact in story.recorded(EntryType.OUTPUT_RELEASED):
            start = _last(story, JobStarted, fact)
            if start is not None and isinstance(fact.body, OutputReleased) and fact.body.software != start[1].software:
                message = "released by other software than it was started with"
                yield Hit(subject=story.job, indexes=(start[0].index, fact.index), message=message)


def overlapping_leases(case: Case) -> Iterator[Hit]:
    """Yield leases that were given while the one before was not over."""
    for story in case.stories.values():
        leases = [(fact, fact.body) for fact in story.facts if isinstance(fact.body, JobLeased)]
        ends = [fact.index for fact in story.of(EntryType.JOB_FAILED, EntryType.JOB_INTERRUPTED)]
        for (one, lease), (other, _) in pairwise(leases):
            is_ended = any(one.index < end < other.index for end in ends)
            if other.time <= lease.expires_at and not is_ended:
                message = "leased while the lease before was not over"
                yield Hit(subject=story.job, indexes=(one.index, other.index), message=message)


def budgets_overspent(case: Case) -> Iterator[Hit]:
    """Yield jobs beyond an agreement's limits, and charges that do not follow from the one before."""
    yield from _jobs_beyond_limits(case)
    settled: dict[tuple[str, str], Fact] = {}
    for fact in case.reading.of(EntryType.BUDGET_RESERVED, EntryType.BUDGET_COMMITTED, EntryType.BUDGET_REFUNDED):
        body = fact.body
        if not isinstance(body, BudgetReserved | BudgetCommitted | BudgetRefunded):
            continue
        key = (body.job, str(body.measure))
        before = settled.get(key)
        if isinstance(body, BudgetReserved):
            wrong = before is not None and not isinstance(before.body, BudgetRefunded)
        else:
            wrong = before is None or not isinstance(before.body, BudgetReserved) or _amount(before) != _amount(fact)
        if wrong:
            indexes = (*(() if before is None else (before.index,)), fact.index)
            message = f"{fact.type} of {body.amount} {body.measure} that does not follow from the charge before"
            yield Hit(subject=body.job, indexes=indexes, message=message)
        settled[key] = fact


def unanswered_holds(case: Case) -> Iterator[Hit]:
    """Yield results that were held for a person, and that nobody has decided on for a week."""
    for story in case.stories.values():
        held = next(story.of(EntryType.OUTPUT_HELD), None)
        if story.state is JobState.HELD and held is not None and case.is_old(held, _HOLD_LIMIT):
            yield Hit(subject=story.job, indexes=(held.index,), message="held for a week, and nobody has decided")


def unanswered_requests(case: Case) -> Iterator[Hit]:
    """Yield requests that were neither approved nor refused within a day, nor called off."""
    for story in case.stories.values():
        first = next(story.of(EntryType.JOB_SUBMITTED), None)
        if story.state is JobState.SUBMITTED and first is not None and case.is_old(first, _REQUEST_LIMIT):
            yield Hit(subject=story.job, indexes=(first.index,), message="asked for, and never answered")


def unfinished_runs(case: Case) -> Iterator[Hit]:
    """Yield runs that neither ended nor failed within a day."""
    for story in case.stories.values():
        start = next(story.of(EntryType.JOB_STARTED), None)
        if story.state is JobState.STARTED and start is not None and case.is_old(start, _RUN_LIMIT):
            yield Hit(subject=story.job, indexes=(start.index,), message="started, and nothing came of it")


def rules_digest(rules: DisclosureRules) -> str:
    """Return the digest by which entries name disclosure rules (docs/spec/bundle.md, "Rules")."""
    return digest_json(
        {
            "min_units": rules.min_units,
            "dominance_top": rules.dominance_top,
            "dominance_share": decimal_text(rules.dominance_share),
            "p_percent": rules.p_percent,
            "zeros": str(rules.zeros),
            "rounding": rules.rounding,
            "min_degrees_of_freedom": rules.min_degrees_of_freedom,
            "min_contributors": rules.min_contributors,
            "mode": str(rules.mode),
        }
    )


def _allowed_rules(case: Case, story: Story, fact: Fact) -> frozenset[str]:
    """Return the digests of the rules that a job's agreement asks for, also together with others of the partner."""
    request = story.request
    own = None if request is None else case.agreement(request.agreement, fact.index)
    if request is None or own is None:
        return frozenset()
    units = {case.privacy_units.get(row.dataset) for row in request.datasets}
    floor = max((MIN_UNITS[unit] for unit in units if unit is not None), default=0)
    alone = own.disclosure.rules(floor)
    together = alone
    for other in _agreements_beside(case, own, fact):
        together = strictest(together, other.disclosure.rules(floor))
    return frozenset({rules_digest(alone), rules_digest(together)})


def _agreements_beside(case: Case, own: Agreement, fact: Fact) -> Iterator[Agreement]:
    # Of all agreements that permit a question the strictest rules hold (docs/spec/agreement.md).
    for name in case.agreement_names:
        other = case.agreement(name, fact.index)
        if other is not None and (other.assignee, other.purpose) == (own.assignee, own.purpose):
            yield other


def _jobs_beyond_limits(case: Case) -> Iterator[Hit]:
    charged: Counter[str] = Counter()
    by_day: Counter[tuple[str, str]] = Counter()
    for fact in case.reading.of(EntryType.BUDGET_RESERVED, EntryType.BUDGET_REFUNDED):
        story = case.stories.get(fact.job or "")
        body = fact.body
        if story is None or story.request is None or not isinstance(body, BudgetReserved | BudgetRefunded):
            continue
        if body.measure is not BudgetMeasure.JOBS:
            continue
        name, day = story.request.agreement, parse_time(fact.time).astimezone(CALENDAR).date().isoformat()
        step = 1 if isinstance(body, BudgetReserved) else -1
        charged[name] += step
        by_day[name, day] += step
        terms = case.agreement(name, fact.index)
        if terms is None or step < 0:
            continue
        if charged[name] > terms.limits.jobs or by_day[name, day] > terms.limits.jobs_per_day:
            message = f"one job more than {name} allows"
            yield Hit(subject=story.job, indexes=(fact.index,), message=message)


def _needs_person(case: Case, story: Story, release: Fact) -> bool:
    if any(fact.index < release.index for fact in story.of(EntryType.OUTPUT_HELD)):
        return True
    terms = None if story.request is None else case.agreement(story.request.agreement, release.index)
    return terms is not None and terms.approvals.output is OutputApproval.CHECKED


def _last(story: Story, model: type[_Body], before: Fact) -> tuple[Fact, _Body] | None:
    """Return the last effective entry of a kind before another one, with its body."""
    found = [(fact, fact.body) for fact in story.steps if isinstance(fact.body, model) and fact.index < before.index]
    return found[-1] if found else None


def _verdict(fact: Fact) -> CheckVerdict | None:
    return fact.body.verdict if isinstance(fact.body, OutputChecked) else None


def _amount(fact: Fact) -> Decimal:
    return Decimal(str(getattr(fact.body, "amount", "0")))
