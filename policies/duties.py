"""Duties that never meet in one account, and who may give them (docs/spec/agreement.md, "Duties").

Three administrators (system, security, audit) are three people; nobody gives himself a duty; who works for a partner
has no duty of the bureau or of a unit. A duty taken in an emergency (break-glass) obeys the same rules, and is never
good for an approval (`policies.approvals`).
"""

from collections.abc import Iterable
from itertools import combinations
from typing import Final

from yingbi.errors import ErrorCode, RefusedError
from yingbi.events.fields import Duty
from yingbi.ids import parse_party

__all__ = ["ADMINISTRATORS", "CONFLICTS", "check_account", "check_grant", "employers_of"]

ADMINISTRATORS: Final = frozenset({Duty.SYSTEM_ADMIN, Duty.SECURITY_ADMIN, Duty.AUDIT_ADMIN})
_OF_PARTNERS: Final = frozenset({Duty.PARTNER_ANALYST, Duty.PARTNER_KEY_OFFICER})
_APPROVALS: Final = frozenset({Duty.BUREAU_REVIEWER, Duty.BUREAU_APPROVER, Duty.UNIT_CDO, Duty.OUTPUT_CHECKER})
_BUREAU: Final = ("bureau",)

_EMPLOYERS: Final = {
    Duty.UNIT_CDO: ("unit",),
    Duty.OUTPUT_CHECKER: ("bureau", "unit"),
    Duty.PARTNER_ANALYST: ("partner",),
    Duty.PARTNER_KEY_OFFICER: ("partner", "unit"),
    Duty.EXPERT: ("bureau", "unit", "partner", "auditor"),
    Duty.AUDIT_ADMIN: ("bureau", "auditor"),
}


def _conflicts() -> frozenset[frozenset[Duty]]:
    pairs = set(combinations(ADMINISTRATORS, 2))
    # Who audits does nothing that is audited; who runs the machines approves nothing that runs on them.
    pairs |= {(Duty.AUDIT_ADMIN, duty) for duty in Duty if duty is not Duty.AUDIT_ADMIN}
    pairs |= {(Duty.SYSTEM_ADMIN, duty) for duty in _APPROVALS}
    pairs |= {(one, other) for one in _OF_PARTNERS for other in Duty if other not in _OF_PARTNERS | {Duty.EXPERT}}
    # Accepting, reviewing and approving the same thing are three pairs of eyes.
    pairs |= set(combinations((Duty.BUREAU_REGISTRAR, Duty.BUREAU_REVIEWER, Duty.BUREAU_APPROVER), 2))
    return frozenset(frozenset(pair) for pair in pairs)


CONFLICTS: Final = _conflicts()


def check_grant(*, grantor: str, holder: str, employer: str, duty: Duty, held: Iterable[Duty]) -> None:
    """Refuse a duty that may not be given: by oneself, beside one that it conflicts with, or by the wrong employer.

    Holds for duties taken in an emergency too, where `grantor` is the duty's usual grantor or the rule itself.

    Raises:
        RefusedError: it may not.
    """
    if grantor == holder:
        raise _refused(f"nobody gives the duty `{duty}` to himself")
    if parse_party(employer)[0] not in employers_of(duty):
        raise _refused(f"duty `{duty}` is not for people of this employer")
    check_account([*held, duty])


def check_account(duties: Iterable[Duty]) -> None:
    """Refuse duties that may not be in one account.

    Raises:
        RefusedError: two of them may not.
    """
    held = sorted(set(duties))
    for one, other in combinations(held, 2):
        if frozenset((one, other)) in CONFLICTS:
            raise _refused(f"duties `{one}` and `{other}` never meet in one account")


def employers_of(duty: Duty) -> tuple[str, ...]:
    """Return the kinds of party whose people may have a duty."""
    return _EMPLOYERS.get(duty, _BUREAU)


def _refused(message: str) -> RefusedError:
    return RefusedError(ErrorCode.DUTIES_NOT_SEPARATED, message, hint="give it to another person")
