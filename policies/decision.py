"""The answer of the policies: permitted or refused, which rules decided, what must be done, what would be allowed."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn

from policies.disclosure import DisclosureRules
from policies.request import Request, Use
from yingbi.events.fields import Duty
from yingbi.events.jobs import RefusalReason

__all__ = ["Decision", "Grant", "Outcome", "Reason", "Rule"]


class Outcome(StrEnum):
    """Permitted or refused; there is no third, and nothing is the second."""

    PERMIT = "permit"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule that took part: the agreement (or `bureau` for rules above all agreements) and the path in it."""

    agreement: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The smallest addition to an agreement that would lift a refusal.

    Either an `operation`, or a `dataset` alone, or one `use` of one `column` of it, perhaps of one aggregate `function`
    or of these filter `values` only. `agreement` is absent where a new one is needed.
    """

    agreement: str | None
    operation: str | None = None
    dataset: str | None = None
    column: str | None = None
    use: Use | None = None
    function: str | None = None
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a request is refused: code, the clause of the plan, what is missing, and what would be enough.

    `allowed` lists what the agreement does allow in that place (uses, operations, values), so that a partner can ask
    something else; it never says anything about data.
    """

    code: RefusalReason
    rule: Rule | None
    clause: str | None = None
    dataset: str | None = None
    column: str | None = None
    missing: Use | None = None
    grant: Grant | None = None
    allowed: tuple[str, ...] = ()
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the policies say of one request.

    `duties`: who must act before the job runs (a reviewed job) or its output leaves (a checked output); empty when
    both are automatic. `disclosure`: the strictest rules of all agreements that permit. `terms`: digests of them.
    `request` is what was judged: who relies on a permission compares it with what is about to be done.
    """

    outcome: Outcome
    determining: tuple[Rule, ...]
    reasons: tuple[Reason, ...] = ()
    job_duties: tuple[Duty, ...] = ()
    output_duties: tuple[Duty, ...] = ()
    disclosure: DisclosureRules | None = None
    terms: tuple[str, ...] = ()
    request: Request | None = None

    @property
    def is_permitted(self) -> bool:
        """Return whether the request is permitted."""
        return self.outcome is Outcome.PERMIT

    def __bool__(self) -> NoReturn:
        raise TypeError("a decision has no truth value: read `outcome`")
