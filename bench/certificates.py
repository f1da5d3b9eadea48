"""Certificates: signing, verifying and status lists, beside an independent implementation of the same formats (openvc).

What the hub and the log cost on top is not in these figures.
"""

import random
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any, Final

from openvc.keys import Ed25519SigningKey
from openvc.proof.sd_jwt import SdJwtVcProofSuite
from openvc.status import token_status_list as other_lists

from bench.figures import Figure, median_rate, median_time
from policies.certificates.credential import Credential, Element, sign_credential
from policies.certificates.scope import Scope
from policies.certificates.sd_jwt import KeyBinding, parse_sd_jwt, present
from policies.certificates.status_list import Status, StatusList, StatusToken, sign_status_token
from policies.certificates.verifying import Request, verify_certificate
from yingbi.clock import SystemClock, format_time
from yingbi.events.certificates import AssetClass, AssetRight
from yingbi.key_files import encode_base64url
from yingbi.keys import SigningKey

__all__ = ["measure_certificates"]

_RUNS: Final = 5
_MANY: Final = 1_000
_MILLION: Final = 10**6
_REVOKED: Final = 10**4
_ISSUER: Final = SigningKey.from_seed(b"i" * 32)
_HOLDER: Final = SigningKey.from_seed(b"h" * 32)
_URI: Final = "https://hub.example/v1/status/1"


def measure_certificates() -> list[Figure]:
    """Measure all of it, ours and the other by turns."""
    return [_signing(), _verifying(), _status_list(), _status_size()]


def _signing() -> Figure:
    credential, theirs = _credential(format_time(SystemClock().now())), _other_key(b"i", "issuer")
    claims = {"iss": "urn:x", "vct": "urn:x", **{f"e{number}": "B" for number in range(8)}}

    def other() -> int:
        names = [f"e{number}" for number in range(8)]
        for _ in range(_MANY):
            SdJwtVcProofSuite().issue(claims, signing_key=theirs, disclosable=names)
        return _MANY

    return _rate("certificates of eight elements signed", lambda: _sign(credential), other, "300 /s")


def _sign(credential: Credential) -> int:
    for _ in range(_MANY):
        sign_credential(credential, _ISSUER)
    return _MANY


def _verifying() -> Figure:
    now = SystemClock().now()
    at, seconds = format_time(now), int(now.timestamp())
    signed = sign_credential(_credential(at), _ISSUER)
    text = present(signed, KeyBinding(audience="bank", nonce="n", issued_at=seconds), _HOLDER).text
    jwk = _ISSUER.public.to_jwk()
    listed = StatusToken(
        uri=_URI, issued_at=0, expires_at=1 << 40, origin="log.example", size=1, statuses=StatusList.of(_MILLION, {})
    )

    def ours() -> int:
        for _ in range(_MANY):
            verify_certificate(
                parse_sd_jwt(text),
                find_key=lambda *_: jwk,
                at=at,
                status=listed,
                request=Request(audience="bank", nonce="n"),
            )
        return _MANY

    def other() -> int:
        suite = SdJwtVcProofSuite()
        for _ in range(_MANY):
            suite.verify(text, public_key_jwk=jwk, audience="bank", nonce="n", require_key_binding=True)
        return _MANY

    return _rate("presentations of them verified, with status and holder", ours, other, "2,000 /s")


def _status_list() -> Figure:
    revoked = dict.fromkeys(random.Random(1).sample(range(_MILLION), _REVOKED), int(Status.INVALID))

    def other() -> None:
        packed = other_lists.new_status_list(_MILLION, bits=2)
        for place, status in revoked.items():
            other_lists.set_status(packed, place, status, bits=2)
        other_lists.encode_status_list(bytes(packed))

    value, runs = median_time(lambda: _signed_list(revoked), runs=_RUNS)
    beside, _ = median_time(other, runs=_RUNS)
    return Figure(
        name="status list of 1,000,000 certificates, 1 % revoked, built and signed",
        value=value,
        unit="s",
        runs=runs,
        target="1 s",
        baseline=f"{value / beside:.2f} of openvc, unsigned",
    )


def _status_size() -> Figure:
    revoked = dict.fromkeys(random.Random(1).sample(range(_MILLION), _REVOKED), int(Status.INVALID))
    size = len(_signed_list(revoked)) / 1000
    return Figure(name="its size, signed", value=size, unit="kB", runs=[size], target="300 kB")


def _signed_list(revoked: dict[int, int]) -> str:
    statuses = StatusList.of(_MILLION, revoked)
    token = StatusToken(uri=_URI, issued_at=0, expires_at=1, origin="log.example", size=1, statuses=statuses)
    return sign_status_token(token, _ISSUER)


def _rate(name: str, ours: Callable[[], int], other: Callable[[], int], target: str) -> Figure:
    value, runs = median_rate(ours, runs=_RUNS)
    beside, _ = median_rate(other, runs=_RUNS)
    return Figure(
        name=name, value=value, unit="/s", runs=runs, target=target, baseline=f"{value / beside:.2f} of openvc"
    )


def _other_key(seed: bytes, name: str) -> Any:
    key = SigningKey.from_seed(seed * 32)
    return Ed25519SigningKey.from_jwk({**key.public.to_jwk(), "d": encode_base64url(seed * 32)}, name)


def _credential(at: str) -> Credential:
    scope = Scope(
        rights=frozenset({AssetRight.PROCESS}),
        datasets={"tax/filings": frozenset({"tax", "year", "street"})},
        operations=frozenset({"aggregate"}),
        purposes=frozenset({"credit.sme"}),
        zones=frozenset({"node:tax"}),
        first=date(2026, 1, 1),
        last=date(2099, 1, 1),
        uses=200,
        epsilon=Decimal(2),
    )
    return Credential(
        number="DAC-440304-2026-000123-4",
        issuer="urn:yingbi:bureau:futian",
        asset_class=AssetClass.SUBJECT_VALUE,
        scope=scope,
        valid_from=at,
        valid_until="2098-01-01T00:00:00.000000Z",
        issued_at=at,
        key=_HOLDER.public,
        status_uri=_URI,
        status_index=123_456,
        origin="log.example",
        application="app-1",
        elements=tuple(Element(name=f"e{number}", value="B", method="sha256:" + "1" * 64) for number in range(8)),
    )
