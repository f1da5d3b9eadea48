"""A certificate, its issuer and its holder, for the tests of this folder."""

from collections.abc import Mapping
from typing import Any

from policies.certificates.credential import Credential, Element
from policies.certificates.status_list import StatusList, StatusToken
from tests.lib.registry import LICENSED
from yingbi.clock import parse_time
from yingbi.events.certificates import AssetClass
from yingbi.keys import SigningKey

ISSUER, HOLDER = SigningKey.from_seed(b"i" * 32), SigningKey.from_seed(b"h" * 32)
ISSUER_URI, STATUS_URI, ORIGIN = "urn:yingbi:bureau:futian", "https://hub.example/v1/status/1", "log.example"
ISSUED_AT = "2026-11-22T02:00:00.000001Z"
AT = "2026-12-01T02:00:00.000000Z"
CREDENTIAL = Credential(
    number="DAC-440304-2026-000123-4",
    issuer=ISSUER_URI,
    asset_class=AssetClass.SUBJECT_VALUE,
    scope=LICENSED,
    valid_from=ISSUED_AT,
    valid_until="2027-02-22T02:00:00.999999Z",
    issued_at=ISSUED_AT,
    key=HOLDER.public,
    status_uri=STATUS_URI,
    status_index=5,
    origin=ORIGIN,
    application="app-1",
    parent="DAC-440304-2026-000001-2",
    supersedes="DAC-440304-2026-000002-9",
    holder="subject:s-7f3a",
    title="经营稳定性",
    elements=(
        Element(name="stability", value="B", method="sha256:" + "1" * 64),
        Element(name="growth", value="A", method="sha256:" + "2" * 64),
    ),
)


def find_key(issuer: str, thumbprint: str, at: str) -> Mapping[str, Any] | None:
    """Return the issuer's key, which was good in the year 2026."""
    is_good = issuer == ISSUER_URI and thumbprint == ISSUER.public.thumbprint and at.startswith("2026-")
    return ISSUER.public.to_jwk() if is_good else None


def seconds(time: str) -> int:
    return int(parse_time(time).timestamp())


def status(**places: int) -> StatusToken:
    """Return a list in which the certificate's status is `of`."""
    return StatusToken(
        uri=STATUS_URI,
        issued_at=seconds(AT),
        expires_at=seconds(AT) + 3600,
        origin=ORIGIN,
        size=10,
        statuses=StatusList.of(8, {5: places.get("of", 0)}),
    )
