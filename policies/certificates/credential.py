"""What a certificate says, and its signed form: SD-JWT VC claims with a member of our own (docs/spec/certificate.md).

What its holder may keep to himself is marked here, once: who he is, what of the asset, and each element. What a
verifier needs to judge validity is always shown: class, rights, scope, period, number, the holder's key, the place in a
status list, and where the log has it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from policies.certificates.jose import parse_jws, sign_jws
from policies.certificates.numbers import parse_number
from policies.certificates.scope import Scope, parse_scope, scope_to_json
from policies.certificates.sd_jwt import MAX_BYTES, Hidden, SdJwt, conceal
from yingbi.canonical import JsonValue, digest_bytes
from yingbi.clock import parse_time
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.events.certificates import AssetClass
from yingbi.events.fields import Count, OneOf, Time
from yingbi.ids import ID_PATTERN, MAX_ID
from yingbi.keys import SigningKey, VerifyKey

__all__ = ["TYPE", "Credential", "Element", "credential_digest", "read_credential", "sign_credential"]

TYPE: Final = "dc+sd-jwt"
_VCT: Final = "urn:yingbi:certificate:{}:1"
_MAX_ELEMENTS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """A derived value of a subject, and the digest of the method that it was made by; never a raw value."""

    name: str
    value: str
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What a certificate says.

    `issuer`: a URI. `holder`, `title`, `elements`: what its holder may keep to himself; absent where it was kept.
    `status_uri`, `status_index`: where a status list tells of it. `origin`: of the log that has its entry.
    `supersedes`: the number of the certificate whose place it takes; `parent`: what it is derived from.
    """

    number: str
    issuer: str
    asset_class: AssetClass
    scope: Scope
    valid_from: str
    valid_until: str
    issued_at: str
    key: VerifyKey
    status_uri: str
    status_index: int
    origin: str
    application: str
    parent: str | None = None
    supersedes: str | None = None
    holder: str | None = None
    title: str | None = None
    elements: tuple[Element, ...] = ()


def sign_credential(credential: Credential, key: SigningKey) -> SdJwt:
    """Return the certificate with all of its disclosures, signed with the issuer's key.

    Raises:
        InvalidRequestError: a number that is none, or more elements than a certificate has.
    """
    parse_number(credential.number)
    if len(credential.elements) > _MAX_ELEMENTS:
        raise _malformed(f"expected at most {_MAX_ELEMENTS} elements")
    made = conceal(_claims(credential))
    payload = json.dumps(made.payload, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
    signed = sign_jws({"typ": TYPE, "kid": key.public.thumbprint}, payload, key)
    return SdJwt(jws=parse_jws(signed, max_bytes=MAX_BYTES), disclosures=tuple(made.disclosures.values()))


def credential_digest(certificate: SdJwt) -> str:
    """Return the digest by which the log's entry names a certificate: of what the issuer has signed.

    It is the same whatever its holder shows.
    """
    return digest_bytes(certificate.jws.text.encode())


def read_credential(claims: Mapping[str, JsonValue]) -> Credential:
    """Read the claims of a certificate, as far as they were shown.

    Raises:
        InvalidRequestError: they have another form.
    """
    try:
        wire = _ClaimsWire.model_validate(claims)
    except ValidationError:
        raise _malformed("expected the claims of a certificate as docs/spec/certificate.md has them") from None
    found = wire.read()
    parse_number(found.number)
    if wire.vct != _VCT.format(found.asset_class.value):
        raise _malformed("expected a type that is that of the certificate's class")
    return found


def _claims(credential: Credential) -> dict[str, Any]:
    hidden = {"holder": credential.holder, "title": credential.title}
    elements = [Hidden({"name": one.name, "value": one.value, "method": one.method}) for one in credential.elements]
    return {
        "iss": credential.issuer,
        "iat": _seconds(credential.issued_at),
        "nbf": _seconds(credential.valid_from),
        "exp": _seconds(credential.valid_until),
        "vct": _VCT.format(credential.asset_class.value),
        "jti": credential.number,
        "cnf": {"jwk": credential.key.to_jwk()},
        "status": {"status_list": {"idx": credential.status_index, "uri": credential.status_uri}},
        "dac": {
            "class": credential.asset_class.value,
            "scope": scope_to_json(credential.scope),
            # JWT counts seconds; entries and statements know microseconds.
            "valid": {"from": credential.valid_from, "until": credential.valid_until},
            "issued": credential.issued_at,
            "application": credential.application,
            "parent": credential.parent,
            "supersedes": credential.supersedes,
            "log": credential.origin,
            "elements": elements,
            **{name: Hidden(value) for name, value in hidden.items() if value is not None},
        },
    }


def _seconds(time: str) -> int:
    return int(parse_time(time).timestamp())


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


_Text = Annotated[str, Field(min_length=1, max_length=512)]
_Id = Annotated[str, Field(pattern=ID_PATTERN, max_length=MAX_ID)]


class _ConfirmationWire(_Wire):
    jwk: dict[str, str]


class _PlaceWire(_Wire):
    idx: Count
    uri: _Text


class _StatusWire(_Wire):
    status_list: _PlaceWire


class _PeriodWire(_Wire):
    first: Annotated[Time, Field(alias="from")]
    last: Annotated[Time, Field(alias="until")]


class _ElementWire(_Wire):
    name: _Text
    value: _Text
    method: _Text


class _AssetWire(_Wire):
    asset_class: Annotated[OneOf[AssetClass], Field(alias="class")]
    scope: dict[str, Any]
    valid: _PeriodWire
    issued: Time
    application: _Id
    parent: _Id | None
    supersedes: _Id | None
    log: _Text
    elements: Annotated[list[_ElementWire], Field(max_length=_MAX_ELEMENTS)]
    holder: _Text | None = None
    title: _Text | None = None


class _ClaimsWire(_Wire):
    iss: _Text
    iat: Count
    nbf: Count
    exp: Count
    vct: _Text
    jti: _Text
    cnf: _ConfirmationWire
    status: _StatusWire
    dac: _AssetWire

    def read(self) -> Credential:
        asset, place = self.dac, self.status.status_list
        times = (asset.issued, asset.valid.first, asset.valid.last)
        if (self.iat, self.nbf, self.exp) != tuple(map(_seconds, times)):
            raise _malformed("expected the same times in seconds and in microseconds")
        return Credential(
            number=self.jti,
            issuer=self.iss,
            asset_class=asset.asset_class,
            scope=parse_scope(asset.scope),
            valid_from=asset.valid.first,
            valid_until=asset.valid.last,
            issued_at=asset.issued,
            key=VerifyKey.from_jwk(self.cnf.jwk),
            status_uri=place.uri,
            status_index=place.idx,
            origin=asset.log,
            application=asset.application,
            parent=asset.parent,
            supersedes=asset.supersedes,
            holder=asset.holder,
            title=asset.title,
            elements=tuple(Element(name=one.name, value=one.value, method=one.method) for one in asset.elements),
        )


def _malformed(message: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.CERTIFICATE_MALFORMED, message)
