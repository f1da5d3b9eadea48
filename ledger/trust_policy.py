"""C2SP tlog-policy: which logs are known, which witnesses, and who must have cosigned a checkpoint."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from ledger.note import NoteVerifier
from yingbi.errors import ErrorCode, InvalidRequestError

__all__ = ["PolicyLog", "PolicyWitness", "TrustPolicy", "parse_trust_policy"]

_NONE: Final = "none"
_MAX_LINES: Final = 4096
_FORBIDDEN: Final = re.compile(rb"[^\t\n\x20-\x7e\x80-\xff]")
_THRESHOLD: Final = re.compile(r"[1-9][0-9]{0,3}")


@dataclass(frozen=True, slots=True)
class PolicyLog:
    """A `log` line."""

    verifier: NoteVerifier
    url: str | None


@dataclass(frozen=True, slots=True)
class PolicyWitness:
    """A `witness` line; `name` is the policy's own, the key's name is in `verifier`."""

    name: str
    verifier: NoteVerifier
    url: str | None


@dataclass(frozen=True, slots=True)
class _Group:
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustPolicy:
    """A parsed policy file."""

    logs: tuple[PolicyLog, ...]
    witnesses: tuple[PolicyWitness, ...]
    quorum: str
    _groups: dict[str, _Group] = field(default_factory=dict)

    @property
    def has_quorum(self) -> bool:
        """Tell whether any cosignature is asked for (`quorum none` asks for none)."""
        return self.quorum != _NONE

    @property
    def verifiers(self) -> tuple[NoteVerifier, ...]:
        """Return the keys of all logs and witnesses."""
        return (*(log.verifier for log in self.logs), *(witness.verifier for witness in self.witnesses))

    def log_verifiers(self, origin: str) -> tuple[NoteVerifier, ...]:
        """Return the keys of the log `origin`."""
        return tuple(log.verifier for log in self.logs if log.verifier.name == origin)

    def is_met(self, cosigners: Collection[NoteVerifier]) -> bool:
        """Tell whether these keys, whose cosignatures verified, make the quorum."""
        if not self.has_quorum:
            return True
        present = {witness.name for witness in self.witnesses if witness.verifier in cosigners}
        # INVARIANT: groups stand in the order of their lines, after their members; one pass is enough.
        for name, group in self._groups.items():
            if sum(member in present for member in group.members) >= group.threshold:
                present.add(name)
        return self.quorum in present


def parse_trust_policy(data: bytes) -> TrustPolicy:
    """Parse a policy file.

    Raises:
        InvalidRequestError: with the number of the line: an unknown keyword, a name used twice or before its
            definition, a duplicate key, an impossible threshold, no `quorum` line or two.
    """
    if forbidden := _FORBIDDEN.search(data):
        raise _problem(data.count(b"\n", 0, forbidden.start()) + 1, "control characters")
    parser = _Parser()
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    if len(lines) > _MAX_LINES:
        raise _problem(_MAX_LINES, f"more than {_MAX_LINES} lines")
    for number, line in enumerate(lines, 1):
        words = re.split(r"[ \t]+", line.strip(" \t"))
        if words != [""] and not words[0].startswith("#"):
            parser.take(number, words)
    return parser.finish()


class _Parser:
    """Collects definitions line by line."""

    def __init__(self) -> None:
        self.logs: list[PolicyLog] = []
        self.witnesses: dict[str, PolicyWitness] = {}
        self.groups: dict[str, _Group] = {}
        self.grouped: set[str] = set()
        self.keys: set[bytes] = set()
        self.quorum: str | None = None

    def take(self, number: int, words: list[str]) -> None:
        """Take one line that is neither empty nor a comment."""
        match words:
            case ["log", vkey, *url] if len(url) <= 1:
                self.logs.append(PolicyLog(self._key(number, vkey, is_cosigner=False), next(iter(url), None)))
            case ["witness", name, vkey, *url] if len(url) <= 1:
                verifier = self._key(number, vkey, is_cosigner=True)
                self.witnesses[self._new(number, name)] = PolicyWitness(name, verifier, next(iter(url), None))
            case ["group", name, threshold, *members] if members:
                self._take_group(number, name, threshold, members)
            case ["quorum", name] if self.quorum is None and (name == _NONE or self._is_defined(name)):
                self.quorum = name
            case ["quorum", *_]:
                raise _problem(number, "expected one `quorum` line with a name defined before it")
            case _:
                raise _problem(number, "expected `log`, `witness`, `group` or `quorum` with their words")

    def finish(self) -> TrustPolicy:
        """Return the policy."""
        if self.quorum is None:
            raise _problem(0, "no `quorum` line; write `quorum none` to ask for no cosignature")
        return TrustPolicy(
            logs=tuple(self.logs), witnesses=tuple(self.witnesses.values()), quorum=self.quorum, _groups=self.groups
        )

    def _take_group(self, number: int, name: str, threshold: str, members: list[str]) -> None:
        if not all(self._is_defined(member) for member in members):
            raise _problem(number, "a group member that is not defined before it")
        if self.grouped.intersection(members) or len(set(members)) != len(members):
            raise _problem(number, "a name that is a group member twice")
        count = {"any": 1, "all": len(members)}.get(threshold)
        if count is None:
            count = int(threshold) if _THRESHOLD.fullmatch(threshold) else 0
        if not 1 <= count <= len(members):
            raise _problem(number, f"expected `any`, `all` or a number from 1 to {len(members)}")
        self.grouped.update(members)
        self.groups[self._new(number, name)] = _Group(count, tuple(members))

    def _is_defined(self, name: str) -> bool:
        return name in self.witnesses or name in self.groups

    def _new(self, number: int, name: str) -> str:
        if name == _NONE or self._is_defined(name):
            raise _problem(number, "a name that is taken")
        return name

    def _key(self, number: int, vkey: str, *, is_cosigner: bool) -> NoteVerifier:
        try:
            verifier = NoteVerifier.parse(vkey)
        except InvalidRequestError as error:
            raise _problem(number, error.message) from None
        if verifier.is_cosigner is not is_cosigner:
            raise _problem(number, "a key of a type that this line does not take")
        # SECURITY: one key counts once, whatever its name and type; a log cannot be its own witness.
        if verifier.key in self.keys:
            raise _problem(number, "a public key that is listed twice")
        self.keys.add(verifier.key)
        return verifier


def _problem(number: int, what: str) -> InvalidRequestError:
    where = f"line {number}: " if number else ""
    return InvalidRequestError(ErrorCode.POLICY_MALFORMED, f"trust policy: {where}{what}")
