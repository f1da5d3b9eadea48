"""What would be decided about a question: a dry run, from which nothing follows and nothing is recorded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from yingbi.canonical import JsonValue
from yingbi.client.exchange import malformed_answer
from yingbi.client.problems import grant_text, plain, reason_text
from yingbi.client.shown import fields_html, fields_text, list_html

__all__ = ["DryRun", "grant_text", "parse_dry_run", "reason_text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """Whether a question would be allowed, why not, what it costs, who has to look at it, and what is left."""

    is_permitted: bool
    reasons: tuple[Mapping[str, Any], ...]
    operations: tuple[str, ...]
    cost: JsonValue
    job_reviewers: tuple[str, ...]
    output_reviewers: tuple[str, ...]
    remaining: Mapping[str, Any]
    versions: Mapping[str, Any]
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def grants(self) -> tuple[Mapping[str, Any], ...]:
        """Return the smallest extra grants that would be enough, where there are any."""
        return tuple(reason["grant"] for reason in self.reasons if isinstance(reason.get("grant"), dict))

    @property
    def cost_text(self) -> str:
        """Return what it costs in words."""
        return _counted(self.cost) if isinstance(self.cost, dict) else ""

    def to_json(self) -> dict[str, JsonValue]:
        """Return the decision as the hub sent it."""
        return dict(self.raw)

    def __bool__(self) -> bool:
        return self.is_permitted

    def __str__(self) -> str:
        return "\n".join([fields_text(self._title, self._facts()), *(f"  - {line}" for line in self._lines())])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return fields_html(self._title, self._facts()) + list_html(self._lines())

    @property
    def _title(self) -> str:
        return "would be allowed" if self.is_permitted else "would be refused"

    def _facts(self) -> dict[str, object]:
        return {
            "operations": ", ".join(self.operations),
            "cost": self.cost_text,
            "reviewers of the job": ", ".join(self.job_reviewers) or "nobody: decided by rule",
            "reviewers of the result": ", ".join(self.output_reviewers) or "nobody: decided by rule",
            "remaining": _counted(self.remaining),
        }

    def _lines(self) -> list[str]:
        return [reason_text(reason) for reason in self.reasons]


def parse_dry_run(value: Mapping[str, Any]) -> DryRun:
    """Read what a hub answers to a dry run.

    Raises:
        VerificationError: it has another form.
    """
    if value.get("outcome") not in ("permit", "refuse"):
        raise malformed_answer("a decision")
    reviewers = value.get("reviewers")
    duties: Mapping[str, Any] = reviewers if isinstance(reviewers, dict) else {}
    reasons = value.get("reasons")
    return DryRun(
        is_permitted=value["outcome"] == "permit",
        reasons=tuple(one for one in (reasons if isinstance(reasons, list) else []) if isinstance(one, dict)),
        operations=_texts(value.get("operations")),
        cost=value.get("cost"),
        job_reviewers=_texts(duties.get("job")),
        output_reviewers=_texts(duties.get("output")),
        remaining=_object(value.get("remaining")),
        versions=_object(value.get("versions")),
        raw=value,
    )


def _counted(value: Mapping[str, Any]) -> str:
    return ", ".join(f"{plain(name)} {plain(str(count))}" for name, count in value.items())


def _texts(value: object) -> tuple[str, ...]:
    return tuple(plain(one) for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
