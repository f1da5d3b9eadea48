"""What bodies are made of: closed kinds of values, groups of members that entries share, codes that nouns share.

No kind admits free text. Every member of a body is required and an absent one is `null`, so that one meaning has one
form. `title` is the kind's name in docs/spec/entry-types.md.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from yingbi.canonical import MAX_INT
from yingbi.clock import TIME_PATTERN
from yingbi.ids import DIGEST_PATTERN, ID_PATTERN, MAX_ID, PARTY_PATTERN

__all__ = [
    "MAX_ITEMS",
    "MAX_PARTIES",
    "Body",
    "ChainId",
    "Commitment",
    "Contract",
    "Count",
    "DatasetVersion",
    "DecimalText",
    "Destruction",
    "Digest",
    "Duty",
    "Few",
    "Grade",
    "Identifier",
    "Jwk",
    "Noted",
    "OneOf",
    "Openness",
    "Ordinal",
    "Parties",
    "Party",
    "PrivacyUnit",
    "PublicKey",
    "ReviewOutcome",
    "RevocationReason",
    "RunningJobs",
    "SignedDecimalText",
    "Slug",
    "Some",
    "Strict",
    "SuspensionReason",
    "Target",
    "Thumbprint",
    "Time",
    "Transaction",
    "Validity",
    "VerifierKey",
    "refuse_backwards",
    "refuse_unsorted",
]

MAX_ITEMS: Final = 32
MAX_PARTIES: Final = 64

# 32 bytes in 43 characters leave two bits over; with those zero, one key has one spelling.
_BASE64URL_32: Final = r"^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$"
# Ten digits on each side are enough for a budget, and too few for a phone number (11) or a code (18).
_DECIMAL: Final = r"(?:0|[1-9][0-9]{0,9})(?:\.[0-9]{1,10})?$"

_Item = TypeVar("_Item")
_Code = TypeVar("_Code", bound=StrEnum)


def _check_calendar(text: str) -> str:
    naive = text[:-1]
    if datetime.fromisoformat(naive).isoformat(timespec="microseconds") != naive:
        raise ValueError("expected a time that exists")
    return text


def refuse_backwards(earlier: str, later: str | None) -> None:
    """Refuse a period that ends before it begins; times of the one form sort as text.

    Raises:
        ValueError: it does; pydantic turns this into its own error.
    """
    if later is not None and later < earlier:
        raise ValueError("expected an end that is not before the beginning")


def refuse_unsorted(names: Iterable[str]) -> None:
    """Refuse a list that is not in strictly ascending order, so that nobody is counted twice.

    Raises:
        ValueError: it is not; pydantic turns this into its own error.
    """
    found = list(names)
    if found != sorted(set(found)):
        raise ValueError("expected ascending order without doubles")


def _check_parties(parties: list[str]) -> list[str]:
    refuse_unsorted(parties)
    return parties


Party = Annotated[str, Field(title="party", pattern=PARTY_PATTERN, max_length=MAX_ID)]
Identifier = Annotated[str, Field(title="id", pattern=ID_PATTERN, max_length=MAX_ID)]
Target = Annotated[str, Field(title="id or party", pattern=rf"(?:{ID_PATTERN})|(?:{PARTY_PATTERN})", max_length=MAX_ID)]
Digest = Annotated[str, Field(title="digest", pattern=DIGEST_PATTERN, max_length=71)]
Commitment = Annotated[str, Field(title="commitment", pattern=DIGEST_PATTERN, max_length=71)]
Time = Annotated[str, Field(title="time", pattern=TIME_PATTERN, max_length=27), AfterValidator(_check_calendar)]
Slug = Annotated[str, Field(title="slug", pattern=r"^[a-z][a-z0-9]*(?:[._-][a-z0-9]+)*$", max_length=64)]
Thumbprint = Annotated[str, Field(title="thumbprint", pattern=_BASE64URL_32, max_length=43)]
PublicKey = Annotated[str, Field(title="public key", pattern=_BASE64URL_32, max_length=43)]
VerifierKey = Annotated[
    str, Field(title="verifier key", pattern=r"^[^\s+]+\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+$", max_length=300)
]
Contract = Annotated[str, Field(title="contract address", pattern=r"^0x[0-9a-fA-F]{40}$", max_length=42)]
Transaction = Annotated[str, Field(title="transaction hash", pattern=r"^0x[0-9a-fA-F]{64}$", max_length=66)]
ChainId = Annotated[str, Field(title="chain id", pattern=r"^[1-9][0-9]{0,15}$", max_length=16)]
DecimalText = Annotated[str, Field(title="decimal", pattern=rf"^{_DECIMAL}", max_length=21)]
SignedDecimalText = Annotated[str, Field(title="signed decimal", pattern=rf"^-?{_DECIMAL}", max_length=22)]
Count = Annotated[int, Field(title="count", ge=0, le=MAX_INT)]
Ordinal = Annotated[int, Field(title="ordinal", ge=1, le=MAX_INT)]
OneOf = Annotated[_Code, Field(strict=False)]  # a code is a string in JSON, strict mode wants the member itself
Few = Annotated[list[_Item], Field(max_length=MAX_ITEMS)]
Some = Annotated[list[_Item], Field(min_length=1, max_length=MAX_ITEMS)]
Parties = Annotated[
    list[Party], Field(title="ascending", min_length=1, max_length=MAX_PARTIES), AfterValidator(_check_parties)
]


class Duty(StrEnum):
    """What a person may do; duties that must not meet in one account are listed in the rules of separation."""

    SYSTEM_ADMIN = "system-admin"
    SECURITY_ADMIN = "security-admin"
    AUDIT_ADMIN = "audit-admin"
    BUREAU_REGISTRAR = "bureau-registrar"
    BUREAU_REVIEWER = "bureau-reviewer"
    BUREAU_APPROVER = "bureau-approver"
    COUNTER_CLERK = "counter-clerk"
    OUTPUT_CHECKER = "output-checker"
    EXPERT = "expert"
    UNIT_CDO = "unit-cdo"
    PARTNER_ANALYST = "partner-analyst"
    PARTNER_KEY_OFFICER = "partner-key-officer"


class Grade(StrEnum):
    """Grade of data (GB/T 43697-2024): general 1 to 4, important, core."""

    GENERAL_1 = "general-1"
    GENERAL_2 = "general-2"
    GENERAL_3 = "general-3"
    GENERAL_4 = "general-4"
    IMPORTANT = "important"
    CORE = "core"


class Openness(StrEnum):
    """Whether a data set is open, open on conditions, or not open (never negotiable)."""

    OPEN = "open"
    CONDITIONAL = "conditional"
    NOT_OPEN = "not-open"


class PrivacyUnit(StrEnum):
    """Whose contribution is bounded and counted."""

    ENTERPRISE = "enterprise"
    PERSON = "person"


class ReviewOutcome(StrEnum):
    """How a review ended."""

    PASSED = "passed"
    FAILED = "failed"
    REFERRED = "referred"


class RunningJobs(StrEnum):
    """What becomes of jobs that run under what has just ended."""

    STOP = "stop"
    FINISH = "finish"


class SuspensionReason(StrEnum):
    """Why something is suspended."""

    ANOMALY = "anomaly"
    BREACH = "breach"
    CONSENT_WITHDRAWN = "consent-withdrawn"
    DISPUTE = "dispute"
    INCIDENT = "incident"
    LEGAL_ORDER = "legal-order"
    OBJECTION = "objection"
    PARENT_SUSPENDED = "parent-suspended"
    REQUEST = "request"


class RevocationReason(StrEnum):
    """Why something is revoked for good."""

    BREACH = "breach"
    CONSENT_WITHDRAWN = "consent-withdrawn"
    INCIDENT = "incident"
    ISSUED_IN_ERROR = "issued-in-error"
    KEY_COMPROMISED = "key-compromised"
    LEGAL_ORDER = "legal-order"
    PARENT_REVOKED = "parent-revoked"
    PURPOSE_ENDED = "purpose-ended"
    REQUEST = "request"


class Destruction(StrEnum):
    """How something was destroyed."""

    KEYS_ERASED = "keys-erased"
    OVERWRITTEN = "overwritten"
    MEDIUM_DESTROYED = "medium-destroyed"


class Strict(BaseModel):
    """What all parts of a body share: nothing unknown, nothing converted, nothing changed, no input in messages."""

    # A command uses a few of the models: each is built when first used, which halves the time of the import.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True, defer_build=True)


class Body(Strict):
    """The particulars of one entry type."""


class Noted(Body):
    """A body with a remark that only holders of its opening can read."""

    note: Commitment | None


class Validity(Body):
    """A body that sets a period, from its first instant to its last."""

    valid_from: Time
    valid_until: Time

    @model_validator(mode="after")
    def _refuse_backwards(self) -> Self:
        refuse_backwards(self.valid_from, self.valid_until)
        return self


class Jwk(Strict):
    """An Ed25519 public key as a JWK (RFC 8037)."""

    kty: Literal["OKP"]
    crv: Literal["Ed25519"]
    x: PublicKey


class DatasetVersion(Strict):
    """One version of a data set."""

    dataset: Identifier
    version: Ordinal
