"""Is this certificate good, now, for whom it was shown to: each check by its name, so that nobody has to guess.

Offline: with the issuer's keys, a status list and the time. Whether the log has an entry of it is a receipt's to prove
(`yingbi.receipts`): the digest that the entry must name is returned.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from policies.certificates.credential import TYPE, Credential, credential_digest, read_credential
from policies.certificates.jose import verify_jws
from policies.certificates.sd_jwt import SdJwt, verify_key_binding
from policies.certificates.status_list import Status, StatusToken
from yingbi.clock import parse_time
from yingbi.errors import ErrorCode, RefusedError, VerificationError

__all__ = ["MAX_AGE_S", "Check", "FindKey", "Request", "Verified", "verify_certificate"]

MAX_AGE_S = 300
"""How old a presentation may be, and how far a holder's clock may be ahead."""

FindKey = Callable[[str, str, str], Mapping[str, Any] | None]
"""Returns the public key (JWK) of an issuer that has a thumbprint and was good at a time, or nothing.

Keys that were retired since verify what they signed while they were good.
"""


class Check(StrEnum):
    """What was checked."""

    SIGNATURE = "signature"
    DISCLOSURES = "disclosures"
    PERIOD = "period"
    STATUS = "status"
    HOLDER = "holder"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a verifier has asked a holder for."""

    audience: str
    nonce: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A certificate whose checks were passed: `checks` names them; what is not among them was not looked at.

    `digest`: what the entry of the log must name as `credential`.
    """

    credential: Credential
    digest: str
    checks: tuple[Check, ...]


def verify_certificate(
    shown: SdJwt,
    *,
    find_key: FindKey,
    at: str,
    status: StatusToken | None = None,
    request: Request | None = None,
) -> Verified:
    """Verify what a holder shows.

    Args:
        shown: the certificate, or a presentation of it.
        find_key: the issuers' keys.
        at: the time at which it should be good.
        status: a verified status list; without one, nothing is said about suspension and revocation.
        request: what the holder was asked; without one, nothing is said about who shows it.

    Raises:
        InvalidRequestError: it has another form.
        VerificationError: a signature, a disclosure or a binding is wrong.
        RefusedError: it is genuine, and not good at this time (code `certificate-not-valid`).
    """
    kid = shown.jws.header.get("kid")
    # The payload is read before its signature is verified: what it says of its own time chooses the key, and no more.
    credential = read_credential(shown.claims())
    key = find_key(credential.issuer, kid, credential.issued_at) if isinstance(kid, str) else None
    if key is None:
        raise VerificationError(
            ErrorCode.CERTIFICATE_UNVERIFIED,
            "the certificate is not signed with a key that its issuer had when it was issued",
            hint="the issuer's keys are in the log; fetch them anew",
        )
    verify_jws(shown.jws, key, type_=TYPE)
    checks = [Check.SIGNATURE, Check.DISCLOSURES]
    _check_period(credential, at)
    checks.append(Check.PERIOD)
    if status is not None:
        _check_status(credential, status)
        checks.append(Check.STATUS)
    if request is not None:
        _check_holder(shown, credential, request, at)
        checks.append(Check.HOLDER)
    return Verified(credential=credential, digest=credential_digest(shown), checks=tuple(checks))


def _check_period(credential: Credential, at: str) -> None:
    if at < credential.valid_from:
        raise _not_valid(f"the certificate is not valid before {credential.valid_from}")
    if at > credential.valid_until:
        raise _not_valid(f"the certificate has expired at {credential.valid_until}")


def _check_status(credential: Credential, status: StatusToken) -> None:
    if status.uri != credential.status_uri or status.origin != credential.origin:
        raise VerificationError(
            ErrorCode.STATUS_LIST_UNVERIFIED, "the status list is another one than the certificate names"
        )
    found = status.statuses[credential.status_index]
    if found == Status.SUSPENDED:
        raise _not_valid("the certificate is suspended", hint="it may be valid again; ask for a new status list later")
    if found != Status.VALID:
        raise _not_valid("the certificate is not valid any more")


def _check_holder(shown: SdJwt, credential: Credential, request: Request, at: str) -> None:
    bound = verify_key_binding(shown, credential.key.to_jwk(), audience=request.audience, nonce=request.nonce)
    age = parse_time(at).timestamp() - bound.issued_at
    if not -MAX_AGE_S <= age <= MAX_AGE_S:
        raise VerificationError(
            ErrorCode.CERTIFICATE_UNVERIFIED,
            f"the presentation was not made within {MAX_AGE_S} seconds of now",
            hint="ask for a new one",
        )


def _not_valid(message: str, hint: str | None = None) -> RefusedError:
    return RefusedError(ErrorCode.CERTIFICATE_NOT_VALID, message, hint=hint)
