"""What the report says, as values: the same for people (HTML), for spreadsheets (CSV) and for programs (JSON).

Worked out from the log and from documents that its entries name, and from nothing else: whoever has the same log makes
the same report, to the byte.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from yingbi.audit.case import Case
from yingbi.audit.controls import ControlResult
from yingbi.audit.facts import Fact
from yingbi.audit.federation_report import FEDERATION_COLUMNS, ROUND_COLUMNS, federation_rows, round_rows
from yingbi.audit.findings import findings_csv, write_csv
from yingbi.audit.keybook import KeyRecord
from yingbi.audit.stories import Story
from yingbi.audit.tracing import trace_job
from yingbi.canonical import JsonValue, canonical_bytes
from yingbi.events import EntryType
from yingbi.events.agreements import AgreementActivated, AgreementProposed, AgreementSigned
from yingbi.events.jobs import JobApproved, JobRefused
from yingbi.events.outputs import OutputChecked, OutputHeld

__all__ = ["Report", "make_report"]

_MAX_TRACES: Final = 200
_JOB_COLUMNS: Final = (
    "job",
    "partner",
    "agreement",
    "operation",
    "submitted_at",
    "route",
    "state",
    "refusals",
    "content",
    "ciphertext",
    "entries",
)
_APPROVAL_COLUMNS: Final = ("job", "decision", "index", "time", "by", "route", "rule", "refusals", "terms")
_CHECK_COLUMNS: Final = ("job", "index", "time", "by", "verdict", "findings", "rules", "candidate")
_DECISIONS: Final = (EntryType.JOB_APPROVED, EntryType.JOB_REFUSED)
_CHECKS: Final = (EntryType.OUTPUT_CHECKED, EntryType.OUTPUT_HELD)
_KEY_COLUMNS: Final = ("keyid", "owner", "registered", "not_before", "not_after", "ended", "reason")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report: `value` is all of it; its tables come as CSV as well, by their name."""

    value: dict[str, JsonValue]
    tables: Mapping[str, bytes]

    def to_json(self) -> bytes:
        """Return the report as canonical JSON."""
        return canonical_bytes(self.value) + b"\n"


def make_report(case: Case, results: Sequence[ControlResult], jobs: Collection[str] | None = None) -> Report:
    """Make the report of a log, with the stories of some of its jobs (of all, where none are chosen)."""
    chosen = [story for story in case.stories.values() if jobs is None or story.job in jobs]
    rows = [_job_row(story) for story in chosen]
    federations = federation_rows(case, jobs)
    keys = [_key_row(record) for record in case.reading.keys.records]
    approvals = [_approval_row(case, fact) for story in chosen for fact in story.of(*_DECISIONS)]
    checks = [_check_row(case, fact) for story in chosen for fact in story.of(*_CHECKS)]
    reading = case.reading
    value: dict[str, JsonValue] = {
        "v": 1,
        "log": {
            "origin": reading.origin,
            "size": reading.size,
            "root": reading.signed.checkpoint.root.hex(),
            "first": reading.facts[0].time if reading.facts else None,
            "last": reading.until or None,
            "checkpoint": reading.signed.note.decode("utf-8", "replace"),
        },
        "scope": None if jobs is None else list[JsonValue](sorted(jobs)),
        "entries": _count(str(fact.type) for fact in reading.facts),
        "activity": _by_name(Counter(fact.time[:10] for fact in reading.facts)),
        "outcomes": _count(story.outcome for story in chosen),
        "refusals": _count(_refusals(chosen)),
        "without_effect": sum(fact.refusal is not None for fact in reading.facts),
        "controls": [_control_row(result) for result in results],
        "agreements": _agreements(case),
        "jobs": list[JsonValue](rows),
        "approvals": list[JsonValue](approvals),
        "checks": list[JsonValue](checks),
        "keys": list[JsonValue](keys),
        "federations": list[JsonValue](federations),
        # Rounds are told once, and not in the story of every member.
        "traces": [trace_job(case, story.job, is_brief=True).to_json() for story in _told(chosen, results)],
    }
    return Report(
        value=value,
        tables={
            "findings": findings_csv(finding for result in results for finding in result.findings),
            "jobs": _table(_JOB_COLUMNS, rows),
            "approvals": _table(_APPROVAL_COLUMNS, approvals),
            "checks": _table(_CHECK_COLUMNS, checks),
            "keys": _table(_KEY_COLUMNS, keys),
            "federations": _table(FEDERATION_COLUMNS, federations),
            "rounds": _table(ROUND_COLUMNS, round_rows(federations)),
        },
    )


def _told(chosen: Sequence[Story], results: Sequence[ControlResult]) -> Iterable[Story]:
    """Return the jobs whose stories are told in full: all, or of very many those that something was found about."""
    if len(chosen) <= _MAX_TRACES:
        return chosen
    named = {finding.subject for result in results for finding in result.findings}
    return [story for story in chosen if story.job in named][:_MAX_TRACES]


def _refusals(stories: Iterable[Story]) -> Iterable[str]:
    for story in stories:
        for fact in story.of(EntryType.JOB_REFUSED):
            if isinstance(fact.body, JobRefused):
                yield from (str(refusal.reason) for refusal in fact.body.refusals)


def _count(names: Iterable[str]) -> dict[str, JsonValue]:
    """Count names, the most frequent first."""
    counts = Counter(names)
    return {name: counts[name] for name in sorted(counts, key=lambda name: (-counts[name], name))}


def _by_name(counts: Counter[str]) -> dict[str, JsonValue]:
    return {name: counts[name] for name in sorted(counts)}


def _control_row(result: ControlResult) -> dict[str, JsonValue]:
    return {
        "id": result.control.id,
        "name": result.control.name,
        "severity": str(result.control.severity),
        "population": result.population,
        "findings": [finding.row() for finding in result.findings],
        "unchecked": list[JsonValue](result.unchecked),
    }


def _agreements(case: Case) -> list[JsonValue]:
    found: dict[str, dict[str, JsonValue]] = {}
    signed: dict[str, list[JsonValue]] = {}
    for fact in case.reading.facts:
        if fact.refusal is not None:
            continue
        match fact.body:
            case AgreementProposed() as body:
                found[fact.id] = {
                    "id": fact.id,
                    "terms": body.terms,
                    "assigner": body.assigner,
                    "assignee": body.assignee,
                    "intermediary": body.intermediary,
                    "purpose": body.purpose,
                    "legal_basis": str(body.legal_basis),
                    "valid_from": body.valid_from,
                    "valid_until": body.valid_until,
                    "activated": None,
                }
            case AgreementSigned() as body:
                signed.setdefault(fact.id, []).append(_signature_row(fact, body))
            case AgreementActivated() as body if fact.id in found:
                found[fact.id] |= {"terms": body.terms, "activated": fact.index}
            case _:
                pass
    return [{**row, "signatures": signed.get(name, [])} for name, row in found.items()]


def _signature_row(fact: Fact, body: AgreementSigned) -> JsonValue:
    person = fact.statement.payload.issuer
    return {"person": person, "duty": str(body.duty), "terms": body.terms, "index": fact.index, "time": fact.time}


def _job_row(story: Story) -> dict[str, JsonValue]:
    request, released = story.request, story.released
    return {
        "job": story.job,
        "partner": story.partner,
        "agreement": None if request is None else request.agreement,
        "operation": None if request is None else request.operation,
        "submitted_at": story.facts[0].time,
        "route": story.route,
        "state": story.outcome,
        "refusals": list(_refusals([story])),
        "content": None if released is None else released.content,
        "ciphertext": None if released is None else released.ciphertext,
        "entries": [fact.index for fact in story.facts],
    }


def _key_row(record: KeyRecord) -> dict[str, JsonValue]:
    return {
        "keyid": record.keyid,
        "owner": record.owner,
        "registered": record.registered,
        "not_before": record.not_before or None,
        "not_after": record.not_after,
        "ended": record.ended,
        "reason": record.reason,
    }


def _approval_row(case: Case, fact: Fact) -> dict[str, JsonValue]:
    body = fact.body
    refusals = [str(item.reason) for item in body.refusals] if isinstance(body, JobRefused) else []
    return {
        "job": fact.id,
        "decision": "refused" if isinstance(body, JobRefused) else "approved",
        "index": fact.index,
        "time": fact.time,
        "by": _names(case, fact),
        "route": str(body.route) if isinstance(body, JobApproved) else None,
        "rule": body.rule if isinstance(body, JobApproved) else None,
        "refusals": list[JsonValue](refusals),
        "terms": getattr(body, "terms", None),
    }


def _check_row(case: Case, fact: Fact) -> dict[str, JsonValue]:
    body = fact.body
    found = body.findings if isinstance(body, OutputChecked | OutputHeld) else []
    return {
        "job": fact.job,
        "index": fact.index,
        "time": fact.time,
        "by": _names(case, fact),
        "verdict": str(body.verdict) if isinstance(body, OutputChecked) else "held",
        "findings": list[JsonValue]([f"{item.risk}:{item.verdict}" for item in found]),
        "rules": getattr(body, "rules", None),
        "candidate": getattr(body, "candidate", None),
    }


def _names(case: Case, fact: Fact) -> list[JsonValue]:
    """Return who signed an entry, people with the duties that they had then."""
    names = []
    for name in sorted(fact.parties if not fact.people else fact.people):
        duties = ",".join(sorted(map(str, case.people.duties(name, fact))))
        names.append(f"{name}({duties})" if duties else name)
    return list[JsonValue](names)


def _table(columns: Sequence[str], rows: Iterable[dict[str, JsonValue]]) -> bytes:
    return write_csv(columns, (_cells(row, columns) for row in rows))


def _cells(row: dict[str, JsonValue], columns: Sequence[str]) -> list[object]:
    values = (row[name] for name in columns)
    return [" ".join(map(str, value)) if isinstance(value, list) else value for value in values]
