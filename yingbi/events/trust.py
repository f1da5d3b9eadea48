"""Bodies of the nouns that trust rests on: `key` and `log`."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Self

from pydantic import model_validator

from yingbi.events.fields import (
    Body,
    ChainId,
    Contract,
    Count,
    Digest,
    Jwk,
    OneOf,
    Party,
    Thumbprint,
    Time,
    Transaction,
    VerifierKey,
    refuse_backwards,
)
from yingbi.events.types import EntryType

__all__ = [
    "MODELS",
    "AuditVerdict",
    "KeyRegistered",
    "KeyRevocation",
    "KeyRevoked",
    "KeyRotated",
    "LogAudited",
    "LogCheckpointAnchored",
    "LogKeyChanged",
    "LogKeyPhase",
]


class KeyRevocation(StrEnum):
    """Why a key ends before its time."""

    COMPROMISED = "compromised"
    LOST = "lost"
    OWNER_CHANGED = "owner-changed"
    OWNER_LEFT = "owner-left"
    UNUSED = "unused"


class LogKeyPhase(StrEnum):
    """The two ends of a change of the log's key; between them both keys sign."""

    BEGIN = "begin"
    FINISH = "finish"


class AuditVerdict(StrEnum):
    """What a verifier answered (docs/spec/verification.md)."""

    VERIFIED = "VERIFIED"
    LOG_SIGNED_ONLY = "LOG_SIGNED_ONLY"
    INVALID = "INVALID"
    COULD_NOT_CHECK = "COULD_NOT_CHECK"


class KeyRegistered(Body):
    """A new public key and whose it is; the key's own signature proves possession."""

    jwk: Jwk
    owner: Party
    not_before: Time
    not_after: Time | None

    @model_validator(mode="after")
    def _refuse_backwards(self) -> Self:
        refuse_backwards(self.not_before, self.not_after)
        return self


class KeyRotated(Body):
    """A new public key takes the place of an old one of the same owner; both sign."""

    old: Thumbprint
    jwk: Jwk
    owner: Party
    not_after: Time | None


class KeyRevoked(Body):
    """A key ends before its time."""

    keyid: Thumbprint
    reason: OneOf[KeyRevocation]


class LogCheckpointAnchored(Body):
    """A cosigned head of this log stands on a chain that others run."""

    chain_id: ChainId
    contract: Contract
    transaction: Transaction
    block: Count
    size: Count
    root: Digest


class LogKeyChanged(Body):
    """The log begins to sign with a new key as well, or stops signing with the old one."""

    phase: OneOf[LogKeyPhase]
    old_vkey: VerifierKey
    new_vkey: VerifierKey


class LogAudited(Body):
    """An auditor checked the log over a range of sizes, with this verdict and report."""

    from_size: Count
    to_size: Count
    root: Digest
    verdict: OneOf[AuditVerdict]
    report: Digest

    @model_validator(mode="after")
    def _refuse_shrinking(self) -> Self:
        if self.to_size < self.from_size:
            raise ValueError("expected a size that does not shrink")
        return self


MODELS: Final[Mapping[EntryType, type[Body]]] = {
    EntryType.KEY_REGISTERED: KeyRegistered,
    EntryType.KEY_ROTATED: KeyRotated,
    EntryType.KEY_REVOKED: KeyRevoked,
    EntryType.LOG_CHECKPOINT_ANCHORED: LogCheckpointAnchored,
    EntryType.LOG_KEY_CHANGED: LogKeyChanged,
    EntryType.LOG_AUDITED: LogAudited,
}
