"""Where a job is, as the hub tells it, and what is to be done about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from yingbi.canonical import JsonValue
from yingbi.client.exchange import malformed_answer
from yingbi.client.notices import remedy_text, rule_text
from yingbi.client.problems import plain, reason_text
from yingbi.client.shown import fields_html, fields_text

__all__ = ["HAS_RESULT", "SETTLED", "JobStatus", "parse_status"]

_T = TypeVar("_T")

HAS_RESULT: Final = frozenset({"released", "delivered"})
"""States in which there is something to fetch."""

SETTLED: Final = frozenset({"held", "refused", "failed", "cancelled", "rejected", "destroyed"})
"""Other states in which a job waits for people, or for nobody any more."""

_SENTENCES: Final[Mapping[str, str]] = {
    "submitted": "waits for a decision",
    "approved": "waits for a node",
    "leased": "a node has taken it",
    "started": "is being computed",
    "interrupted": "was stopped at a safe point and may go on",
    "held": "the result waits for a person to look at it",
    "released": "the result can be fetched",
    "delivered": "the result was fetched",
    "destroyed": "the result was destroyed",
    "refused": "was refused",
    "failed": "ended without a result",
    "cancelled": "was called off",
    "rejected": "the result was refused by a person",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """Where a job is. `reasons`: of a refusal; `notice`: of a held result, which names rules and never a value.

    `has_result`: the sealed result is at the hub. A release is recorded first, so that for a moment it is not there.
    """

    job: str
    state: str
    submitted_at: str | None
    agreement: str | None
    operation: str | None
    progress: int | None
    reasons: tuple[Mapping[str, Any], ...]
    notice: Mapping[str, Any] | None
    has_result: bool
    entries: tuple[int, ...]
    expires_at: str | None
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def sentence(self) -> str:
        """Return the state in words."""
        return _SENTENCES.get(self.state, self.state)

    @property
    def is_settled(self) -> bool:
        """Tell whether nothing more comes without a person."""
        return self.has_result if self.state in HAS_RESULT else self.state in SETTLED

    def why(self) -> tuple[str, ...]:
        """Return the reasons of a refusal, or what a result is held for and what could be asked instead."""
        lines = [reason_text(reason) for reason in self.reasons]
        notice = self.notice or {}
        for finding in _listed(notice, "findings", dict):
            words = [plain(finding.get(name)) for name in ("risk", "rule", "dimension")]
            meaning = rule_text(words[1])
            lines.append("held: " + " ".join(word for word in words if word) + (f" ({meaning})" if meaning else ""))
        lines += [
            f"instead: {remedy_text(plain(remedy))}" for remedy in _listed(notice, "remedies", str) if plain(remedy)
        ]
        return tuple(line for line in lines if line)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the status as the hub sent it."""
        return dict(self.raw)

    def __str__(self) -> str:
        return "\n".join([fields_text(self.job, self._facts()), *self.why()])

    def _repr_html_(self) -> str:
        return fields_html(self.job, {**self._facts(), "why": "; ".join(self.why())})

    def _facts(self) -> dict[str, object]:
        return {
            "state": f"{self.state}: {self.sentence}",
            "progress": None if self.progress is None else f"{self.progress} %",
            "agreement": self.agreement,
            "operation": self.operation,
            "submitted": self.submitted_at,
            "expires": self.expires_at,
        }


def parse_status(value: Mapping[str, Any]) -> JobStatus:
    """Read the status of a job as a hub sends it.

    Raises:
        VerificationError: it has another form.
    """
    job, state, progress = value.get("job"), value.get("state"), value.get("progress")
    if not isinstance(job, str) or not isinstance(state, str):
        raise malformed_answer("the status of a job")
    notice = value.get("notice")
    if notice is not None and not isinstance(notice, dict):
        raise malformed_answer("the notice of a job")
    for name, kind in (("findings", dict), ("remedies", str)):
        _listed(notice or {}, name, kind)
    return JobStatus(
        job=plain(job),
        state=plain(state),
        submitted_at=plain(value.get("submitted_at")) or None,
        agreement=plain(value.get("agreement")) or None,
        operation=plain(value.get("operation")) or None,
        progress=min(max(progress, 0), 100) if type(progress) is int else None,
        reasons=_listed(value, "reasons", dict),
        notice=notice,
        has_result=value.get("has_result") is True,
        entries=_listed(value, "entries", int),
        expires_at=plain(value.get("expires_at")) or None,
        raw=value,
    )


def _listed(value: Mapping[str, Any], name: str, kind: type[_T]) -> tuple[_T, ...]:
    """Return a list that a hub sent, nothing where there is none.

    Raises:
        VerificationError: it is no list, or holds something of another kind.
    """
    items = value.get(name)
    if items is None:
        return ()
    if not isinstance(items, list) or any(type(one) is not kind for one in items):
        raise malformed_answer(f"`{name}` of a job as a list")
    return tuple(items)
