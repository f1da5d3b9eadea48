"""SD-JWT (RFC 9901): an object that is signed once, of which the holder shows what he wants to show.

`conceal` makes a payload and its disclosures, `reveal` puts back what was disclosed, by the rules of section 7.1; both
know nothing of keys. `SdJwt` is the compact form with its tildes, `present` and `KeyBinding` bind a showing to whom it
is meant for. Section numbers are those of RFC 9901.
"""

import hashlib
import json
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hmac import compare_digest
from typing import Any, Final

from policies.certificates.jose import Jws, parse_json, parse_jws, sign_jws, verify_jws
from yingbi.canonical import JsonValue
from yingbi.errors import ErrorCode, InvalidRequestError, SandboxError, VerificationError
from yingbi.key_files import decode_base64url, encode_base64url
from yingbi.keys import SigningKey

__all__ = [
    "MAX_BYTES",
    "Concealed",
    "Disclosure",
    "Hidden",
    "KeyBinding",
    "SdJwt",
    "conceal",
    "parse_sd_jwt",
    "present",
    "reveal",
    "verify_key_binding",
]

MAX_BYTES: Final = 1 << 18
"""Of one SD-JWT with all of its disclosures."""

_ALGORITHM: Final = "_sd_alg"
_DIGESTS: Final = "_sd"
_ELEMENT: Final = "..."
_RESERVED: Final = frozenset({_DIGESTS, _ELEMENT})
_SALT_BYTES: Final = 16
_MEMBER: Final = 3
_BINDING_TYPE: Final = "kb+jwt"
_HASHES: Final[Mapping[str, Callable[..., Any]]] = {
    "sha-256": hashlib.sha256,
    "sha-384": hashlib.sha384,
    "sha-512": hashlib.sha512,
}
_DEFAULT_HASH: Final = "sha-256"

Path = tuple[str | int, ...]
"""Where a claim is: names of members, and places of elements as they stand in the issuer's payload."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """A value that its holder may show or not; it may have hidden parts of its own."""

    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Disclosure:
    """What shows one hidden value (4.2): a salt, the name of a member (none for an element), the value.

    `text` is as it travels, and what its digest is over.
    """

    text: str
    name: str | None
    value: JsonValue

    def digest(self, algorithm: str = _DEFAULT_HASH) -> str:
        """Return the base64url hash that stands for it."""
        return encode_base64url(_HASHES[algorithm](self.text.encode()).digest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Concealed:
    """A payload with digests in place of what is hidden, and what shows it, by where it is."""

    payload: dict[str, JsonValue]
    disclosures: Mapping[Path, Disclosure]


@dataclass(frozen=True, kw_only=True)
class SdJwt:
    """An SD-JWT (4): the issuer's JWS, some of its disclosures, and what binds the showing, where that is there."""

    jws: Jws
    disclosures: tuple[Disclosure, ...] = ()
    binding: Jws | None = None

    @property
    def shown(self) -> str:
        """Return what a binding is over: all before it, with the last tilde."""
        return "~".join([self.jws.text, *(one.text for one in self.disclosures), ""])

    @property
    def text(self) -> str:
        """Return the compact form."""
        return self.shown + ("" if self.binding is None else self.binding.text)

    @cached_property
    def payload(self) -> dict[str, JsonValue]:
        """Return the issuer's payload, digests and all.

        Raises:
            InvalidRequestError: it is not an object.
        """
        payload = parse_json(self.jws.payload)
        if not isinstance(payload, dict):
            raise _malformed("expected an object as the payload")
        return payload

    def claims(self) -> dict[str, JsonValue]:
        """Return the payload with all that is disclosed put back, as `reveal` does."""
        return reveal(self.payload, self.disclosures)

    def choose(self, wanted: Iterable[str]) -> "SdJwt":
        """Return it with those disclosures alone whose texts are wanted, in their order, and without a binding."""
        texts = set(wanted)
        return SdJwt(jws=self.jws, disclosures=tuple(one for one in self.disclosures if one.text in texts))


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyBinding:
    """What a showing is bound to (4.3): whom it is for, his nonce, and when it was made (seconds)."""

    audience: str
    nonce: str
    issued_at: int


def conceal(
    claims: Mapping[str, Any],
    *,
    salt: Callable[[], str] = lambda: encode_base64url(secrets.token_bytes(_SALT_BYTES)),
) -> Concealed:
    """Replace every `Hidden` value by its digest.

    Digests stand in their own order, which says nothing of that of the names (4.2.4.1).

    Raises:
        InvalidRequestError: a name that the format keeps for itself, a fraction, or what JSON does not have.
    """
    work = _Concealing(salt)
    payload = work.of_object(claims, ())
    if work.disclosures:
        payload[_ALGORITHM] = _DEFAULT_HASH
    return Concealed(payload=payload, disclosures=work.disclosures)


def reveal(payload: Mapping[str, JsonValue], disclosures: Sequence[Disclosure]) -> dict[str, JsonValue]:
    """Put back what is disclosed, and leave out all other digests (7.1, step 3).

    Raises:
        InvalidRequestError: a disclosure that stands for nothing here, comes twice, or has a name that is there
            already; a digest that comes twice; or digests where the format has none.
    """
    algorithm = payload.get(_ALGORITHM, _DEFAULT_HASH)
    if not isinstance(algorithm, str) or algorithm not in _HASHES:
        raise _malformed("expected a known hash algorithm")
    by_digest = {one.digest(algorithm): one for one in disclosures}
    if len(by_digest) < len(disclosures):
        raise _malformed("a disclosure comes twice")
    work = _Revealing(by_digest)
    found = work.of_object({name: value for name, value in payload.items() if name != _ALGORITHM})
    if len(work.used) < len(by_digest):
        raise _malformed("a disclosure stands for nothing in this certificate")
    return found


def parse_sd_jwt(text: str) -> SdJwt:
    """Read the compact form; nothing is verified.

    Raises:
        InvalidRequestError: it has another form, or is longer than `MAX_BYTES`.
    """
    if len(text) > MAX_BYTES:
        raise _malformed(f"expected at most {MAX_BYTES} characters")
    first, *rest = text.split("~")
    if not rest:
        raise _malformed("expected an SD-JWT, with a tilde behind its first part")
    *shown, binding = rest
    return SdJwt(
        jws=parse_jws(first, max_bytes=MAX_BYTES),
        disclosures=tuple(map(_parse_disclosure, shown)),
        binding=parse_jws(binding, max_bytes=MAX_BYTES) if binding else None,
    )


def present(issued: SdJwt, binding: KeyBinding, key: SigningKey) -> SdJwt:
    """Bind what is shown to whom it is meant for, with the holder's key (4.3)."""
    shown = SdJwt(jws=issued.jws, disclosures=issued.disclosures)
    body = {
        "aud": binding.audience,
        "iat": binding.issued_at,
        "nonce": binding.nonce,
        "sd_hash": _shown_hash(shown),
    }
    payload = json.dumps(body, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
    signed = sign_jws({"typ": _BINDING_TYPE}, payload, key)
    return SdJwt(jws=shown.jws, disclosures=shown.disclosures, binding=parse_jws(signed, max_bytes=MAX_BYTES))


def verify_key_binding(shown: SdJwt, jwk: Mapping[str, Any], *, audience: str, nonce: str) -> KeyBinding:
    """Verify that the holder of a key made this showing, for this audience and nonce (7.3); when, is for the caller.

    Raises:
        VerificationError: there is no binding, or it is another's, for somebody else, or over something else.
    """
    if shown.binding is None:
        raise _unverified("expected a presentation that its holder has signed")
    verify_jws(shown.binding, jwk, type_=_BINDING_TYPE)
    body = parse_json(shown.binding.payload)
    if not isinstance(body, dict):
        raise _malformed("expected an object as the payload")
    issued_at = body.get("iat")
    if type(issued_at) is not int:
        raise _malformed("expected the time of the presentation in `iat`")
    if body.get("aud") != audience:
        raise _unverified("the presentation is for somebody else")
    if not _is_same(body.get("nonce"), nonce):
        raise _unverified("the presentation answers another nonce")
    if not _is_same(body.get("sd_hash"), _shown_hash(shown)):
        raise _unverified("the presentation was signed over other disclosures")
    return KeyBinding(audience=audience, nonce=nonce, issued_at=issued_at)


@dataclass
class _Concealing:
    """One run of `conceal`: collects disclosures."""

    salt: Callable[[], str]
    disclosures: dict[Path, Disclosure] = field(default_factory=dict)

    def of_object(self, value: Mapping[str, Any], path: Path) -> dict[str, JsonValue]:
        """Return an object with `_sd` in place of its hidden members."""
        found: dict[str, JsonValue] = {}
        digests = []
        for name, item in value.items():
            if name in _RESERVED or name == _ALGORITHM:
                raise _malformed(f"the name `{name}` is kept for digests")
            if isinstance(item, Hidden):
                digests.append(self._hide((*path, name), name, item))
            else:
                found[name] = self._of_value(item, (*path, name))
        if digests:
            found[_DIGESTS] = [*sorted(digests)]
        return found

    def _of_value(self, value: Any, path: Path) -> JsonValue:
        if isinstance(value, Mapping):
            return self.of_object(value, path)
        if isinstance(value, (list, tuple)):
            return [self._of_element(item, (*path, place)) for place, item in enumerate(value)]
        if value is None or isinstance(value, (str, int)):
            plain: JsonValue = value
            return plain
        raise _malformed("expected texts, integers, booleans and nothing else in claims")

    def _of_element(self, item: Any, path: Path) -> JsonValue:
        if isinstance(item, Hidden):
            return {_ELEMENT: self._hide(path, None, item)}
        return self._of_value(item, path)

    def _hide(self, path: Path, name: str | None, hidden: Hidden) -> str:
        value = self._of_value(hidden.value, path)
        parts = [self.salt(), value] if name is None else [self.salt(), name, value]
        text = encode_base64url(json.dumps(parts, separators=(",", ":"), ensure_ascii=False).encode())
        made = Disclosure(text=text, name=name, value=value)
        self.disclosures[path] = made
        return made.digest()


@dataclass
class _Revealing:
    """One run of `reveal`: which digests were met, and which disclosures were used."""

    by_digest: Mapping[str, Disclosure]
    used: set[str] = field(default_factory=set)
    _met: set[str] = field(default_factory=set)

    def of_object(self, value: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """Return an object with its disclosed members, and without digests."""
        if _ELEMENT in value:
            raise _malformed("a digest of an element stands outside an array")
        found = {name: self._of_value(item) for name, item in value.items() if name != _DIGESTS}
        digests = value.get(_DIGESTS, [])
        if not isinstance(digests, list):
            raise _malformed("expected a list of digests")
        for one in self._disclosed(digests):
            if one.name is None or one.name in _RESERVED:
                raise _malformed("expected a disclosure of a member")
            if one.name in value:
                raise _malformed("a disclosed member is there already")
            if one.name in found:
                raise _malformed("a member is disclosed twice")
            found[one.name] = self._of_value(one.value)
        return found

    def _of_value(self, value: JsonValue) -> JsonValue:
        if isinstance(value, dict):
            return self.of_object(value)
        if isinstance(value, list):
            return [item for each in value for item in self._of_element(each)]
        return value

    def _of_element(self, item: JsonValue) -> list[JsonValue]:
        """Return an element, or nothing where it is not disclosed."""
        if not isinstance(item, dict) or _ELEMENT not in item:
            return [self._of_value(item)]
        if len(item) > 1:
            raise _malformed("expected nothing beside the digest of an element")
        found = self._disclosed([item[_ELEMENT]])
        if any(one.name is not None for one in found):
            raise _malformed("expected a disclosure of an element")
        return [self._of_value(one.value) for one in found]

    def _disclosed(self, digests: Sequence[JsonValue]) -> list[Disclosure]:
        found = []
        for digest in digests:
            if not isinstance(digest, str):
                raise _malformed("expected digests as text")
            # SECURITY: one digest in two places would let one disclosure stand for two claims (7.1, step 4).
            if digest in self._met:
                raise _malformed("a digest comes twice")
            self._met.add(digest)
            if digest in self.by_digest:
                self.used.add(digest)
                found.append(self.by_digest[digest])
        return found


def _parse_disclosure(text: str) -> Disclosure:
    try:
        parts = parse_json(decode_base64url(text))
    except SandboxError:
        raise _malformed("expected disclosures in base64url") from None
    match parts:
        case [str(), value]:
            return Disclosure(text=text, name=None, value=value)
        case [str(), str(name), value]:
            return Disclosure(text=text, name=name, value=value)
        case _:
            raise _malformed("expected disclosures of a salt, a name and a value")


def _shown_hash(shown: SdJwt) -> str:
    algorithm = shown.payload.get(_ALGORITHM, _DEFAULT_HASH)
    if not isinstance(algorithm, str) or algorithm not in _HASHES:
        raise _malformed("expected a known hash algorithm")
    return encode_base64url(_HASHES[algorithm](shown.shown.encode()).digest())


def _is_same(found: JsonValue, wanted: str) -> bool:
    return isinstance(found, str) and compare_digest(found.encode(), wanted.encode())


def _malformed(message: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.CERTIFICATE_MALFORMED, message)


def _unverified(message: str) -> VerificationError:
    return VerificationError(ErrorCode.CERTIFICATE_UNVERIFIED, message)
