"""The trust file: who is believed, given out of band (verification.md; C2SP tlog-policy)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from yingbi.verify.entry import PARTY
from yingbi.verify.note import Algorithm, VerifierKey, parse_vkey
from yingbi.verify.statement import SignerKey, parse_jwk, thumbprint
from yingbi.verify.strict import MAX_INT, Malformed, parse_decimal, parse_json

__all__ = ["AnchorTrust", "Policy", "Trust", "TrustError", "load_trust", "parse_policy"]

_MAX_BYTES: Final = 2**20
_MAX_LINES_OF_A_KIND: Final = 256
_NONE: Final = "none"
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_HEX: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})+")


class TrustError(ValueError):
    """A trust file that cannot be used; no verdict comes of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A C2SP tlog-policy: logs by origin, witnesses by their name in the policy, groups, quorum."""

    logs: Mapping[str, tuple[VerifierKey, ...]]
    witnesses: Mapping[str, VerifierKey]
    groups: Mapping[str, tuple[int, tuple[str, ...]]]
    quorum: str

    def is_met(self, cosigned: Iterable[str]) -> bool:
        """Tell whether these witnesses are a quorum; `quorum none` is never met: nobody but the log vouches."""
        met = set(cosigned) & set(self.witnesses)
        for name, (threshold, members) in self.groups.items():
            if sum(member in met for member in members) >= threshold:
                met.add(name)
        return self.quorum in met


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorTrust:
    """A contract that holds anchors, and a block of its chain that the user believes."""

    chain_id: int
    contract: bytes
    block_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """A trust file: the policy and, by thumbprint, the keys of statements."""

    policy: Policy
    statement_roots: Mapping[str, SignerKey]
    statement_keys: Mapping[str, SignerKey]
    anchors: tuple[AnchorTrust, ...]

    def with_log_keys(self, origin: str, keys: Iterable[VerifierKey]) -> "Trust":
        """Return this trust with further keys of a log, learned from its entries (log.md, Change of the log's key)."""
        known = self.policy.logs.get(origin, ())
        logs = {**self.policy.logs, origin: (*known, *(key for key in keys if key not in known))}
        return replace(self, policy=replace(self.policy, logs=logs))


def load_trust(data: bytes) -> Trust:
    """Read a trust file: a C2SP tlog-policy, or JSON that carries one (verification.md, Trust).

    Raises:
        TrustError: it has a wrong form, or names a key twice.
    """
    if len(data) > _MAX_BYTES:
        raise TrustError(f"expected a trust file of at most {_MAX_BYTES} bytes")
    try:
        return _parse_trust(parse_json(data) if data.lstrip()[:1] == b"{" else {"v": 1, "policy": data})
    except Malformed as error:
        raise TrustError(str(error)) from None


def parse_policy(data: bytes) -> Policy:
    """Parse a C2SP tlog-policy; names are opaque octets, keys are listed once whatever they are called.

    Raises:
        Malformed: a rule of tlog-policy is broken.
    """
    reader = _PolicyReader()
    # tlog-policy, Character set: octets with the high bit are opaque, which is what surrogateescape makes of them.
    text = data.decode("utf-8", "surrogateescape")
    if _CONTROL.search(text):
        raise Malformed("expected a policy without control characters other than tab and newline")
    for number, line in enumerate(text.split("\n"), 1):
        words = [word for word in re.split("[ \t]+", line) if word]
        try:
            if words and not words[0].startswith("#"):
                reader.read(words[0], words[1:])
        except Malformed as error:
            raise Malformed(f"policy line {number}: {error}") from None
    return reader.finish()


class _PolicyReader:
    def __init__(self) -> None:
        self.logs: dict[str, tuple[VerifierKey, ...]] = {}
        self.witnesses: dict[str, VerifierKey] = {}
        self.groups: dict[str, tuple[int, tuple[str, ...]]] = {}
        self.quorum: str | None = None
        self._members: set[str] = set()
        self._publics: set[bytes] = set()
        self._ids: set[tuple[str, bytes]] = set()

    def read(self, keyword: str, words: list[str]) -> None:
        readers = {"log": self._log, "witness": self._witness, "group": self._group, "quorum": self._quorum}
        if keyword not in readers:
            raise Malformed("expected `log`, `witness`, `group` or `quorum`")
        readers[keyword](words)
        if max(len(self._ids), len(self.groups)) > _MAX_LINES_OF_A_KIND:
            raise Malformed(f"expected at most {_MAX_LINES_OF_A_KIND} keys and as many groups")

    def finish(self) -> Policy:
        if self.quorum is None:
            raise Malformed("expected a quorum line in the policy")
        return Policy(logs=self.logs, witnesses=self.witnesses, groups=self.groups, quorum=self.quorum)

    def _log(self, words: list[str]) -> None:
        if len(words) not in (1, 2):
            raise Malformed("expected `log <vkey> [<url>]`")
        key = self._key(words[0], {Algorithm.ED25519})
        self.logs[key.name] = (*self.logs.get(key.name, ()), key)

    def _witness(self, words: list[str]) -> None:
        if len(words) not in (2, 3):
            raise Malformed("expected `witness <name> <vkey> [<url>]`")
        self._define(words[0])
        self.witnesses[words[0]] = self._key(words[1], {Algorithm.COSIGNATURE_ED25519, Algorithm.COSIGNATURE_ML_DSA_44})

    def _group(self, words: list[str]) -> None:
        if len(words) < 3:
            raise Malformed("expected `group <name> all|any|<k> <member>...`")
        name, rule, *members = words
        self._define(name)
        for member in members:
            if member not in self.witnesses and member not in self.groups:
                raise Malformed("expected group members that are defined on lines before")
            if member in self._members:
                raise Malformed("expected each name as a member of one group, once")
            self._members.add(member)
        threshold = {"all": len(members), "any": 1}[rule] if rule in ("all", "any") else parse_decimal(rule)
        if not 1 <= threshold <= len(members):
            raise Malformed(f"expected a threshold from 1 to {len(members)}")
        self.groups[name] = (threshold, tuple(members))

    def _quorum(self, words: list[str]) -> None:
        if len(words) != 1 or self.quorum is not None:
            raise Malformed("expected one line `quorum <name>`")
        if words[0] != _NONE and words[0] not in self.witnesses and words[0] not in self.groups:
            raise Malformed("expected a quorum that is defined on a line before")
        self.quorum = words[0]

    def _define(self, name: str) -> None:
        if name == _NONE or name in self.witnesses or name in self.groups:
            raise Malformed("expected a new name for a witness or group")

    def _key(self, text: str, allowed: set[Algorithm]) -> VerifierKey:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Malformed("expected a key name in UTF-8") from None
        key = parse_vkey(text)
        if key.algorithm not in allowed:
            raise Malformed(f"expected a key of type {' or '.join(str(item.value) for item in sorted(allowed))}")
        # SECURITY: one key in two roles or under two names would count twice; a shared name and ID would be ambiguous.
        if key.public in self._publics or (key.name, key.id) in self._ids:
            raise Malformed("expected each key once, as a log or as a witness")
        self._publics.add(key.public)
        self._ids.add((key.name, key.id))
        return key


def _parse_trust(value: object) -> Trust:
    trust = _members(value, {"v", "policy"}, {"statement_roots", "statement_keys", "anchors"})
    if type(trust["v"]) is not int or trust["v"] != 1:
        raise Malformed("expected version 1 of the trust file")
    policy = trust["policy"]
    if isinstance(policy, str):
        policy = policy.encode("utf-8", "surrogatepass")
    if not isinstance(policy, bytes):
        raise Malformed("expected `policy` as text")
    roots = [SignerKey(public=parse_jwk(item), owner=None) for item in _list(trust, "statement_roots")]
    keys = [_parse_statement_key(item) for item in _list(trust, "statement_keys")]
    return Trust(
        policy=parse_policy(policy),
        statement_roots=_by_thumbprint(roots),
        statement_keys=_by_thumbprint(keys),
        anchors=tuple(_parse_anchor(item) for item in _list(trust, "anchors")),
    )


def _parse_statement_key(value: object) -> SignerKey:
    item = _members(value, {"jwk", "owner"})
    owner = item["owner"]
    if not isinstance(owner, str) or not PARTY.fullmatch(owner):
        raise Malformed("expected `owner` as a party such as partner:bank-a")
    return SignerKey(public=parse_jwk(item["jwk"]), owner=owner)


def _parse_anchor(value: object) -> AnchorTrust:
    item = _members(value, {"chain_id", "contract", "block_hash"})
    chain_id = item["chain_id"]
    if type(chain_id) is not int or not 0 < chain_id <= MAX_INT:
        raise Malformed("expected `chain_id` as a positive integer")
    return AnchorTrust(chain_id=chain_id, contract=_hex(item["contract"], 20), block_hash=_hex(item["block_hash"], 32))


def _by_thumbprint(keys: list[SignerKey]) -> dict[str, SignerKey]:
    found = {thumbprint(key.public): key for key in keys}
    if len(found) != len(keys):
        raise Malformed("expected each statement key once")
    return found


def _members(value: object, required: set[str], optional: Iterable[str] = ()) -> dict[str, object]:
    if not isinstance(value, dict) or not required <= set(value) <= required | set(optional):
        raise Malformed(f"expected an object with {', '.join(sorted(required))} and no unknown members")
    return value


def _list(trust: dict[str, object], name: str) -> list[object]:
    value = trust.get(name, [])
    if not isinstance(value, list):
        raise Malformed(f"expected `{name}` as a list")
    return value


def _hex(value: object, size: int) -> bytes:
    if not isinstance(value, str) or not _HEX.fullmatch(value) or len(value) != 2 + 2 * size:
        raise Malformed(f"expected 0x and {2 * size} hexadecimal digits")
    return bytes.fromhex(value[2:])
