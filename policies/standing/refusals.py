"""Why an entry has no effect: closed rules, so that hub, node and auditor name the same thing."""

from enum import StrEnum

from yingbi.errors import ConflictError, ErrorCode, NotFoundError, RefusedError

__all__ = ["MissingSignaturesError", "Rule", "StatementRefusedError", "UnknownTermsError", "conflict"]


class Rule(StrEnum):
    """The rule that a statement breaks (docs/spec/standing.md)."""

    AGREEMENT = "agreement"
    APPROVAL = "approval"
    BUDGET = "budget"
    CHECK = "check"
    DUTY = "duty"
    FOUR_EYES = "four-eyes"
    FROZEN = "frozen"
    KEY = "key"
    LEASE = "lease"
    MEMBER = "member"
    PARTICIPANT = "participant"
    REPLAY = "replay"
    SEPARATION = "separation"
    SETS = "sets"
    SIGNATURE = "signature"
    SIGNER = "signer"
    STATE = "state"
    TERMS = "terms"
    TIME = "time"
    TYPE = "type"
    VERSION = "version"


class StatementRefusedError(RefusedError):
    """A statement that has no effect, whoever records it; `rule` says which rule it breaks."""

    def __init__(self, rule: Rule, message: str, *, hint: str | None = None) -> None:
        super().__init__(ErrorCode.STATEMENT_REFUSED, message, hint=hint)
        self.rule = rule

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.rule, self.message), {"hint": self.hint}


class MissingSignaturesError(StatementRefusedError):
    """All who signed may, but others have to sign too: `missing` names a duty or a party each."""

    def __init__(self, missing: tuple[str, ...]) -> None:
        super().__init__(
            Rule.FOUR_EYES, f"signatures are missing: {', '.join(missing)}", hint="have the others sign the same bytes"
        )
        self.missing = missing

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.missing,)


class UnknownTermsError(NotFoundError):
    """The text of an agreement is needed, and only its digest is known: `digest`."""

    def __init__(self, digest: str) -> None:
        super().__init__(ErrorCode.TERMS_NOT_FOUND, "the text of these terms is needed, and is not here")
        self.digest = digest

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.digest,)


def conflict(error: ConflictError) -> StatementRefusedError:
    """Return what a step that is not possible in a life is here."""
    return StatementRefusedError(Rule.STATE, error.message, hint=error.hint)
