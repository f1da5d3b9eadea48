"""The control tests: what each is called, what it looks at, how bad a hit is; and running them (docs/auditing.md).

A test judges what was recorded, not what it led to: a log records what it is given, and an attempt that hub and nodes
passed over is a finding all the same. What each test is designed to support is told by the texts of the report.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from yingbi.audit import control_federations, control_jobs, control_log, control_people
from yingbi.audit.case import Case, Control
from yingbi.audit.federation_checks import RoundOutcome
from yingbi.audit.findings import Finding, Hit, Severity
from yingbi.events import EntryType

__all__ = ["CONTROLS", "ControlResult", "run_controls"]

_Population = Callable[[Case], Iterable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlResult:
    """What one control looked at, what it found, and what it could not look at."""

    control: Control
    population: int
    findings: tuple[Finding, ...]
    unchecked: tuple[str, ...] = ()


def run_controls(case: Case, controls: Iterable[Control] | None = None) -> tuple[ControlResult, ...]:
    """Run controls, all there are by default, in the order of their numbers."""
    return tuple(_run(case, control) for control in (CONTROLS if controls is None else controls))


def _run(case: Case, control: Control) -> ControlResult:
    findings = tuple(_find(case, control, hit) for hit in control.test(case))
    return ControlResult(
        control=control,
        population=sum(1 for _ in control.population(case)),
        findings=findings,
        unchecked=tuple(control.unchecked(case)),
    )


def _find(case: Case, control: Control, hit: Hit) -> Finding:
    return Finding(
        control=control.id,
        severity=control.severity,
        subject=hit.subject,
        indexes=hit.indexes,
        message=hit.message,
        had_effect=case.reading.facts[hit.indexes[-1]].refusal is None,
    )


def _entries(*types: EntryType) -> _Population:
    return lambda case: case.reading.of(*types)


def _all_entries(case: Case) -> Iterable[object]:
    return case.reading.facts


def _all_jobs(case: Case) -> Iterable[object]:
    return case.stories


def _rounds_with(*outcomes: RoundOutcome) -> _Population:
    """Return the completed rounds of federations that could be computed again so far."""
    return lambda case: [
        outcome for checked in case.federation_checks.values() for outcome in checked.outcomes if outcome in outcomes
    ]


def _private_contributions(case: Case) -> Iterable[object]:
    contributed = case.reading.of(EntryType.FEDERATION_CONTRIBUTED)
    return [fact for fact in contributed if getattr(fact.body, "rho", None) is not None]


def _missing(name: str) -> Callable[[Case], Iterable[str]]:
    """Return what could not be checked of federations: the member of `FederationCheck` with this name."""
    return lambda case: [text for checked in case.federation_checks.values() for text in getattr(checked, name)]


_HIGH, _MEDIUM, _LOW = Severity.HIGH, Severity.MEDIUM, Severity.LOW
_PEOPLE, _JOBS, _LOG, _FED = control_people, control_jobs, control_log, control_federations
_SUMMED: Final = (RoundOutcome.RECOMPUTED, RoundOutcome.SUMMED, RoundOutcome.DIFFERS)
_GRANTS: Final = _entries(EntryType.DUTY_GRANTED, EntryType.ACCESS_BREAK_GLASS_OPENED)
_APPROVALS: Final = _entries(EntryType.AGREEMENT_SIGNED, EntryType.JOB_APPROVED, EntryType.OUTPUT_CHECKED)
_PAIRS: Final = _entries(
    EntryType.PARTICIPANT_ADMITTED,
    EntryType.PARTICIPANT_REINSTATED,
    EntryType.AGREEMENT_SIGNED,
    EntryType.AGREEMENT_RESUMED,
    EntryType.ACCESS_UNFROZEN,
)
_STARTS: Final = _entries(EntryType.JOB_STARTED)
_RELEASES: Final = _entries(EntryType.OUTPUT_RELEASED)
_JUDGED: Final = _entries(EntryType.OUTPUT_CHECKED, EntryType.OUTPUT_HELD, EntryType.OUTPUT_RELEASED)
_EMERGENCIES: Final = _entries(EntryType.ACCESS_BREAK_GLASS_OPENED)
_CHARGES: Final = _entries(EntryType.BUDGET_RESERVED, EntryType.BUDGET_COMMITTED, EntryType.BUDGET_REFUNDED)

_ROWS: Final = (
    ("duties-in-one-account", _HIGH, _GRANTS, _PEOPLE.conflicting_duties),
    ("duty-from-oneself", _HIGH, _entries(EntryType.DUTY_GRANTED), _PEOPLE.duties_from_oneself),
    ("own-approval", _HIGH, _APPROVALS, _PEOPLE.own_approvals),
    ("two-people", _HIGH, _PAIRS, _PEOPLE.single_eyes),
    ("emergency-approval", _HIGH, _EMERGENCIES, _PEOPLE.emergency_approvals),
    ("emergency-unclosed", _MEDIUM, _EMERGENCIES, _PEOPLE.unclosed_emergencies),
    ("unfrozen-alone", _HIGH, _entries(EntryType.ACCESS_UNFROZEN), _PEOPLE.unfreezing_alone),
    ("frozen-acted", _HIGH, _entries(EntryType.ACCESS_FROZEN), _PEOPLE.frozen_parties),
    (
        "not-admitted",
        _HIGH,
        _entries(EntryType.JOB_APPROVED, EntryType.JOB_LEASED, EntryType.JOB_STARTED),
        _PEOPLE.suspended_participants,
    ),
    ("start-without-approval", _HIGH, _STARTS, _JOBS.starts_without_approval),
    ("approval-after-start", _HIGH, _entries(EntryType.JOB_APPROVED), _JOBS.approvals_after_execution),
    ("start-outside-approval", _HIGH, _STARTS, _JOBS.starts_outside_approval),
    ("start-without-agreement", _HIGH, _STARTS, _JOBS.starts_without_agreement),
    ("other-terms", _HIGH, _entries(EntryType.JOB_APPROVED, EntryType.JOB_STARTED), _JOBS.wrong_terms),
    ("other-version", _HIGH, _STARTS, _JOBS.wrong_versions),
    ("other-software", _MEDIUM, _RELEASES, _JOBS.wrong_software),
    ("lease-overlap", _MEDIUM, _entries(EntryType.JOB_LEASED), _JOBS.overlapping_leases),
    ("budget-overspent", _HIGH, _CHARGES, _JOBS.budgets_overspent),
    ("threshold", _HIGH, _JUDGED, _JOBS.wrong_thresholds),
    ("release-without-check", _HIGH, _RELEASES, _JOBS.releases_without_check),
    ("double-release", _HIGH, _RELEASES, _JOBS.double_releases),
    ("delivered-elsewhere", _HIGH, _entries(EntryType.OUTPUT_DELIVERED), _JOBS.deliveries_elsewhere),
    ("hold-unanswered", _LOW, _entries(EntryType.OUTPUT_HELD), _JOBS.unanswered_holds),
    ("request-unanswered", _LOW, _all_jobs, _JOBS.unanswered_requests),
    ("run-unfinished", _LOW, _STARTS, _JOBS.unfinished_runs),
    ("foreign-signature", _HIGH, _all_entries, _LOG.foreign_signatures),
    ("without-effect", _MEDIUM, _all_entries, _LOG.entries_without_effect),
    ("replay", _MEDIUM, _all_entries, _LOG.replayed_statements),
    ("clock", _LOW, _all_entries, _LOG.clock_anomalies),
    ("emergency-drift", _LOW, _EMERGENCIES, _PEOPLE.emergency_drift),
    ("federation-rounds", _HIGH, _entries(EntryType.FEDERATION_ROUND_STARTED), _FED.federations_out_of_order),
    ("federation-sides", _HIGH, _entries(EntryType.FEDERATION_CONTRIBUTED), _FED.contributions_that_disagree),
    ("federation-spending", _HIGH, _private_contributions, _FED.wrong_spending),
    ("federation-release", _HIGH, _FED.training_releases, _FED.releases_without_completion),
    ("federation-members", _HIGH, _entries(EntryType.FEDERATION_STARTED), _FED.members_that_do_not_belong_together),
    ("federation-sums", _HIGH, _rounds_with(*_SUMMED), _FED.untrue_contributions),
    ("federation-states", _HIGH, _rounds_with(RoundOutcome.RECOMPUTED, RoundOutcome.DIFFERS), _FED.untrue_states),
)

_UNCHECKED: Final = {
    "federation-spending": _missing("missing_spending"),
    "federation-sums": _missing("missing_contributions"),
    "federation-states": _missing("missing_states"),
}

CONTROLS: Final = tuple(
    Control(
        id=f"C{number:02}",
        name=name,
        severity=severity,
        population=population,
        test=test,
        unchecked=_UNCHECKED.get(name, lambda _: ()),
    )
    for number, (name, severity, population, test) in enumerate(_ROWS, 1)
)
"""All controls. A number is never given to another test: new ones stand at the end."""
