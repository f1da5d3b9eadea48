"""Bodies of the noun `certificate`: replaying them rebuilds the state of every certificate.

The head's `id` is that of the application up to the issue and the certificate's number from then on. A derived,
transferred or changed certificate is a new one, with a number and an entry of its own that names the one it comes from.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from yingbi.events.fields import (
    Body,
    Commitment,
    Count,
    Digest,
    Few,
    Identifier,
    Noted,
    OneOf,
    ReviewOutcome,
    RevocationReason,
    Slug,
    Some,
    Strict,
    SuspensionReason,
    Thumbprint,
    Time,
    Validity,
)
from yingbi.events.types import EntryType

__all__ = [
    "MODELS",
    "AssetClass",
    "AssetRight",
    "Cancellation",
    "CertificateAccepted",
    "CertificateApproved",
    "CertificateCancelled",
    "CertificateChange",
    "CertificateChanged",
    "CertificateExpired",
    "CertificateIssued",
    "CertificateLicensed",
    "CertificateNoticed",
    "CertificateObjected",
    "CertificatePresented",
    "CertificateRejected",
    "CertificateResumed",
    "CertificateReturned",
    "CertificateReviewed",
    "CertificateRevoked",
    "CertificateSubmitted",
    "CertificateSuspended",
    "CertificateTransferred",
    "Channel",
    "Deficiency",
    "ObjectionGround",
    "Registration",
    "Rejection",
    "ReviewKind",
    "StatusPosition",
]


class AssetClass(StrEnum):
    """The three classes of certificates."""

    REGISTRATION = "registration"
    LICENCE = "licence"
    SUBJECT_VALUE = "subject-value"


class AssetRight(StrEnum):
    """Which of the three rights in data a certificate gives: to hold, to process, to run products."""

    HOLD = "hold"
    PROCESS = "process"
    OPERATE = "operate"


class Registration(StrEnum):
    """The six types of registration (Shenzhen 2023 rule)."""

    FIRST = "first"
    LICENCE = "licence"
    TRANSFER = "transfer"
    CHANGE = "change"
    CANCEL = "cancel"
    OBJECTION = "objection"


class Channel(StrEnum):
    """How an application came in."""

    ONLINE = "online"
    COUNTER = "counter"


class Deficiency(StrEnum):
    """What an application lacks."""

    FORM_INCOMPLETE = "form-incomplete"
    AUTHORISATION_MISSING = "authorisation-missing"
    IDENTITY_UNPROVED = "identity-unproved"
    DESCRIPTION_UNCLEAR = "description-unclear"
    EVIDENCE_MISSING = "evidence-missing"
    SIGNATURE_MISSING = "signature-missing"


class ReviewKind(StrEnum):
    """Which review was made: of the form, of the substance, by a third party, of an objection."""

    FORM = "form"
    SUBSTANCE = "substance"
    THIRD_PARTY = "third-party"
    OBJECTION = "objection"


class Rejection(StrEnum):
    """Why an application is refused (grounds of the Shenzhen 2023 rule)."""

    CORE_DATA = "core-data"
    UNLAWFUL_SOURCE = "unlawful-source"
    AUTHORISATION_MISSING = "authorisation-missing"
    OWNERSHIP_DISPUTED = "ownership-disputed"
    OTHER_BY_LAW = "other-by-law"


class ObjectionGround(StrEnum):
    """What an objection says."""

    OWNERSHIP = "ownership"
    AUTHORISATION = "authorisation"
    ACCURACY = "accuracy"
    PRIVACY = "privacy"
    TRADE_SECRET = "trade-secret"  # noqa: S105 - a ground, not a password


class CertificateChange(StrEnum):
    """What is new in a changed certificate."""

    CONTENT = "content"
    HOLDER_KEY = "holder-key"
    RENEWAL = "renewal"


class Cancellation(StrEnum):
    """Why a holder gives a certificate up."""

    NO_LONGER_USED = "no-longer-used"
    ASSET_ENDED = "asset-ended"
    HOLDER_DISSOLVED = "holder-dissolved"
    REQUEST = "request"


class StatusPosition(Strict):
    """Where a status list tells whether the certificate is valid."""

    status_list: Identifier
    index: Count


class _Grant(Validity):
    asset_class: OneOf[AssetClass]
    rights: Some[OneOf[AssetRight]]
    holder_keyid: Thumbprint
    scope: Digest


class _Issuance(_Grant):
    application: Identifier
    credential: Digest
    status: StatusPosition


class CertificateSubmitted(Body):
    """Somebody applies for a certificate; the application is committed to."""

    asset_class: OneOf[AssetClass]
    registration: OneOf[Registration]
    channel: OneOf[Channel]
    application: Commitment


class CertificateAccepted(Body):
    """The registrar takes an application in; if papers are still missing, until `provisional_until` only."""

    review_due: Time
    provisional_until: Time | None


class CertificateReturned(Noted):
    """The registrar gives an application back to be completed."""

    deficiencies: Some[OneOf[Deficiency]]
    deadline: Time | None


class CertificateReviewed(Body):
    """A reviewer has judged an application, with this report."""

    kind: OneOf[ReviewKind]
    outcome: OneOf[ReviewOutcome]
    findings: Few[Slug]
    report: Commitment


class CertificateRejected(Noted):
    """An application is refused for good."""

    reason: OneOf[Rejection]


class CertificateNoticed(Validity):
    """An application is on public notice; `public_view` is what the public sees of it."""

    public_view: Digest


class CertificateObjected(Body):
    """Somebody objects to an application or a certificate; `suspends` if it stops being used meanwhile."""

    ground: OneOf[ObjectionGround]
    objection: Commitment
    suspends: bool


class CertificateApproved(_Grant):
    """An approver has decided that this is issued, to the holder of this key, within this scope, and nothing else."""


class CertificateIssued(_Issuance):
    """A certificate is signed, numbered and given to the holder of a key."""


class CertificatePresented(Body):
    """A holder showed so many elements of a certificate; to whom and what is committed to."""

    presentation: Commitment
    audience: Commitment
    elements: Count


class CertificateLicensed(_Issuance):
    """A licence derived from a parent certificate is issued, no wider than the parent."""

    parent: Identifier


class CertificateTransferred(_Issuance):
    """A certificate passes to another holder: this one takes the place of `predecessor`."""

    predecessor: Identifier


class CertificateChanged(_Issuance):
    """A certificate is re-issued or renewed: this one takes the place of `predecessor`."""

    predecessor: Identifier
    change: OneOf[CertificateChange]


class CertificateSuspended(Noted):
    """A certificate neither starts nor continues a job for the time being; `cause` is a suspended parent."""

    reason: OneOf[SuspensionReason]
    cause: Identifier | None
    until: Time | None


class CertificateResumed(Noted):
    """A suspended certificate is valid again."""


class CertificateRevoked(Noted):
    """The issuer ends a certificate for good; `cause` is a revoked parent."""

    reason: OneOf[RevocationReason]
    cause: Identifier | None


class CertificateCancelled(Noted):
    """The holder gives a certificate up."""

    reason: OneOf[Cancellation]


class CertificateExpired(Body):
    """A certificate's period is over."""

    valid_until: Time


MODELS: Final[Mapping[EntryType, type[Body]]] = {
    EntryType.CERTIFICATE_SUBMITTED: CertificateSubmitted,
    EntryType.CERTIFICATE_ACCEPTED: CertificateAccepted,
    EntryType.CERTIFICATE_RETURNED: CertificateReturned,
    EntryType.CERTIFICATE_REVIEWED: CertificateReviewed,
    EntryType.CERTIFICATE_REJECTED: CertificateRejected,
    EntryType.CERTIFICATE_NOTICED: CertificateNoticed,
    EntryType.CERTIFICATE_OBJECTED: CertificateObjected,
    EntryType.CERTIFICATE_APPROVED: CertificateApproved,
    EntryType.CERTIFICATE_ISSUED: CertificateIssued,
    EntryType.CERTIFICATE_PRESENTED: CertificatePresented,
    EntryType.CERTIFICATE_LICENSED: CertificateLicensed,
    EntryType.CERTIFICATE_TRANSFERRED: CertificateTransferred,
    EntryType.CERTIFICATE_CHANGED: CertificateChanged,
    EntryType.CERTIFICATE_SUSPENDED: CertificateSuspended,
    EntryType.CERTIFICATE_RESUMED: CertificateResumed,
    EntryType.CERTIFICATE_REVOKED: CertificateRevoked,
    EntryType.CERTIFICATE_CANCELLED: CertificateCancelled,
    EntryType.CERTIFICATE_EXPIRED: CertificateExpired,
}
