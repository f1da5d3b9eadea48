"""Whom a node believes, pinned in its folder: the log's key, its witnesses and their quorum, the roots of statements.

The file is the auditors' trust file (docs/spec/verification.md, "Trust"): JSON of version 1 that carries a C2SP
tlog-policy and the root keys of statements. Rules beyond its form, because a node acts on what it believes:

- it names one log, with at least one key; a node follows one log and no other;
- it asks for a quorum of witnesses: a log that nobody else watches may show every node a history of its own;
- it names at least one root of statements: without one, nobody's signature is good.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ledger.note import NoteVerifier
from ledger.trust_policy import TrustPolicy, parse_trust_policy
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.keys import VerifyKey

__all__ = ["NodeTrust", "parse_trust"]

_MAX_BYTES: Final = 1 << 20
_REQUIRED: Final = frozenset({"v", "policy", "statement_roots"})
_OPTIONAL: Final = frozenset({"statement_keys", "anchors"})


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTrust:
    """A parsed trust file: the policy of the one log `origin`, and the root keys of statements."""

    origin: str
    policy: TrustPolicy
    roots: tuple[VerifyKey, ...]

    @property
    def log_keys(self) -> tuple[NoteVerifier, ...]:
        """Return the log's keys as they were pinned."""
        return self.policy.log_verifiers(self.origin)


def parse_trust(data: bytes) -> NodeTrust:
    """Read a trust file as a node needs it.

    Raises:
        InvalidRequestError: another form, several logs, no quorum, or no roots.
    """
    members = _members(data)
    policy = parse_trust_policy(str(members["policy"]).encode("utf-8", "surrogatepass"))
    origins = {log.verifier.name for log in policy.logs}
    if len(origins) != 1:
        raise _invalid("expected the keys of one log")
    if not policy.has_quorum:
        raise _invalid("expected a quorum of witnesses", hint="a log that nobody watches may show you anything")
    return NodeTrust(origin=origins.pop(), policy=policy, roots=_roots(members["statement_roots"]))


def _members(data: bytes) -> Mapping[str, object]:
    if len(data) > _MAX_BYTES:
        raise _invalid(f"expected at most {_MAX_BYTES} bytes")
    try:
        value = json.loads(data, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise _invalid("expected JSON without doubled members") from None
    if not isinstance(value, dict) or not set(value) >= _REQUIRED or not set(value) <= _REQUIRED | _OPTIONAL:
        raise _invalid("expected an object with `v`, `policy` and `statement_roots`")
    if value["v"] is True or value["v"] != 1 or not isinstance(value["policy"], str):
        raise _invalid("expected version 1 with the policy as text")
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands twice")
    return members


def _roots(value: object) -> tuple[VerifyKey, ...]:
    if not isinstance(value, list) or not value:
        raise _invalid("expected at least one key in `statement_roots`")
    roots = tuple(VerifyKey.from_jwk(item) for item in value)
    if len(set(roots)) != len(roots):
        raise _invalid("expected each root key once")
    return roots


def _invalid(what: str, *, hint: str | None = None) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.CONFIG_INVALID, f"trust file: {what}", hint=hint)
