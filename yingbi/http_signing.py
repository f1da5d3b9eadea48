"""Signed requests: RFC 9421 signatures with an RFC 9530 `Content-Digest`, by keys of statements (docs/spec/http.md).

The syntax is the library's (`http-message-signatures`); what must be signed, by whom, for how long and how often is
decided here. A server keeps the nonce of every accepted request until it has expired: the same request twice is one.
"""

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    InvalidSignature,
    algorithms,
)
from http_message_signatures.exceptions import HTTPMessageSignaturesException

from yingbi.clock import Clock
from yingbi.errors import AuthenticationError, ErrorCode
from yingbi.ids import new_nonce
from yingbi.keys import SigningKey, VerifyKey

__all__ = ["CLOCK_SKEW", "LIFETIME", "SignedRequest", "sign_request", "verify_request"]

LIFETIME: Final = timedelta(minutes=5)
CLOCK_SKEW: Final = timedelta(seconds=5)

_TAG: Final = "yingbi-request"
_LABEL: Final = "yingbi"
_ALWAYS: Final = ("@method", "@target-uri", "content-digest")
# Of these fields, what is there is signed: each changes what a request does.
_WHERE_PRESENT: Final = ("content-type", "idempotency-key", "if-match")
_PARAMETERS: Final = frozenset({"alg", "created", "expires", "keyid", "nonce", "tag"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRequest:
    """Who signed a request, and the nonce under which it may be taken once, until it expires."""

    key: VerifyKey
    nonce: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """A request as the library wants it."""

    method: str
    url: str
    headers: Any


def sign_request(
    method: str, url: str, headers: MutableMapping[str, str], body: bytes, *, key: SigningKey, clock: Clock
) -> None:
    """Sign a request: adds `Content-Digest`, `Signature-Input` and `Signature` to its headers.

    Signed are method, target URI, content digest and, where they are there, content type, idempotency key and
    `If-Match`; created now, for `LIFETIME`, with a fresh nonce. A signature that is there already is replaced.
    """
    for name in [name for name in headers if name.lower() == "content-digest"]:
        del headers[name]
    now = clock.now()
    signer = HTTPMessageSigner(signature_algorithm=algorithms.ED25519)
    request = _Request(method=method, url=url, headers=headers)
    prepared = signer.prepare(
        request,
        key_id=key.public.thumbprint,
        created=now,
        expires=now + LIFETIME,
        nonce=new_nonce(),
        label=_LABEL,
        tag=_TAG,
        covered_component_ids=tuple(_covered(headers)),
        body=body,
    )
    signer.apply(request, prepared, key.sign(prepared.signature_base))


def verify_request(
    method: str,
    url: str,
    headers: Mapping[str, str] | Any,
    body: bytes | None,
    *,
    find_key: Callable[[str], VerifyKey | None],
    clock: Clock,
) -> SignedRequest:
    """Verify a request; whether its nonce was seen before, and what its key may do, is for the caller to judge.

    Args:
        method: in upper case.
        url: the absolute URI that the client asked for.
        headers: with `items()` of all field lines in order.
        body: as it came, before any decoding; None where it is yet to come, and to be verified then.
        find_key: returns the key of a thumbprint that is good now, or nothing.
        clock: tells when now is.

    Raises:
        AuthenticationError: not signed, not over all that must be, expired, altered, or by an unknown key.
    """
    request = _Request(method=method, url=url, headers=headers)
    keys = _Keys(find_key)
    verifier = _Verifier(signature_algorithm=algorithms.ED25519, key_resolver=keys, clock=clock)
    try:
        results = verifier.verify(
            request, max_age=LIFETIME, expect_tag=_TAG, require_components=tuple(_covered(headers)), body=body
        )
    except (InvalidSignature, HTTPMessageSignaturesException, ValueError, TypeError) as error:
        # SECURITY: the library's words quote what the client sent.
        raise _unsigned("the request's signature does not verify") from error
    if len(results) != 1:
        raise _unsigned("expected one signature of the request")
    parameters = results[0].parameters
    if set(parameters) != _PARAMETERS:
        raise _unsigned(f"expected the signature parameters {', '.join(sorted(_PARAMETERS))}")
    created, expires = (datetime.fromtimestamp(int(parameters[name]), UTC) for name in ("created", "expires"))
    if expires - created > LIFETIME:
        raise _unsigned(f"expected a signature that is good for at most {LIFETIME.total_seconds():.0f} seconds")
    nonce = str(parameters["nonce"])
    if not 16 <= len(nonce) <= 64:
        raise _unsigned("expected a nonce of 16 to 64 characters")
    return SignedRequest(key=keys.found, nonce=nonce, expires_at=expires + CLOCK_SKEW)


def _covered(headers: Mapping[str, str] | Any) -> Iterator[str]:
    present = {name.lower() for name, _ in headers.items()}
    yield from _ALWAYS
    yield from (name for name in _WHERE_PRESENT if name in present)


class _Verifier(HTTPMessageVerifier):
    """The library's verifier by our clock; created and expires are both required."""

    max_clock_skew = CLOCK_SKEW

    def __init__(self, *, clock: Clock, **options: Any) -> None:
        super().__init__(**options)
        self._clock = clock

    def validate_created_and_expires(self, sig_input: Any, max_age: timedelta | None = None) -> None:
        del max_age
        now = self._clock.now()
        created, expires = (sig_input.params.get(name) for name in ("created", "expires"))
        if type(created) is not int or type(expires) is not int:
            raise InvalidSignature("expected `created` and `expires`")
        try:
            began, ends = (datetime.fromtimestamp(value, UTC) for value in (created, expires))
        except (OverflowError, OSError, ValueError) as error:
            raise InvalidSignature("expected times that exist") from error
        if began > now + CLOCK_SKEW or ends < now - CLOCK_SKEW:
            raise InvalidSignature("expected a signature that is good now")


class _Keys(HTTPSignatureKeyResolver):
    """Finds public keys by thumbprint, and remembers which one was asked for."""

    def __init__(self, find_key: Callable[[str], VerifyKey | None]) -> None:
        self._find_key = find_key
        self._found: VerifyKey | None = None

    @property
    def found(self) -> VerifyKey:
        if self._found is None:
            raise _unsigned("no key was found")
        return self._found

    def resolve_public_key(self, key_id: str) -> Ed25519PublicKey | None:
        self._found = self._find_key(key_id)
        return None if self._found is None else Ed25519PublicKey.from_public_bytes(self._found.raw)

    def resolve_private_key(self, key_id: str) -> Any:
        raise NotImplementedError(key_id)


def _unsigned(message: str) -> AuthenticationError:
    return AuthenticationError(
        ErrorCode.REQUEST_UNSIGNED,
        message,
        hint="sign method, target URI, content digest and what else docs/spec/http.md names, by a key in force",
    )
