"""Keys and whose they are, from the entries that register, rotate and end them (docs/spec/statement.md).

A root vouches for every key that is registered; it owns nothing itself. Whom a person works for, and to which unit a
node belongs, is said once: by the registration of its first key, which that organisation signs too.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from policies.standing.refusals import MissingSignaturesError, Rule, StatementRefusedError
from yingbi.errors import VerificationError
from yingbi.events.trust import KeyRegistered, KeyRevoked, KeyRotated
from yingbi.ids import parse_party
from yingbi.keys import VerifyKey
from yingbi.statement import Statement, verify_signatures

__all__ = ["Holder", "KeyRegister", "Signers"]

_OF_ORGANISATIONS = {"person": ("bureau", "unit", "partner", "auditor"), "node": ("unit",)}
_ON_THEIR_OWN = ("bureau", "unit", "partner", "auditor", "witness", "subject")


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A key and its owner; roots have none. It signs what is issued from `not_before` to `not_after`, until it ends."""

    key: VerifyKey
    owner: str | None
    not_before: str = ""
    not_after: str | None = None
    is_ended: bool = False

    def is_good(self, at: str) -> bool:
        """Tell whether the key may sign what is issued at a time."""
        return not self.is_ended and self.not_before <= at and (self.not_after is None or at <= self.not_after)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signers:
    """Whose keys signed a statement; every signature has been verified."""

    owners: frozenset[str]
    has_root: bool

    @property
    def people(self) -> tuple[str, ...]:
        """Return the people among them."""
        return tuple(sorted(owner for owner in self.owners if owner.startswith("person:")))


class KeyRegister:
    """All keys that were ever good, by thumbprint."""

    def __init__(self, roots: Iterable[VerifyKey], bureau: str) -> None:
        self._bureau = bureau
        self._roots = {key.thumbprint: Holder(key=key, owner=None) for key in roots}
        self._keys: dict[str, Holder] = {}
        self._of: dict[str, tuple[str, ...]] = {}
        self._organisations: dict[str, str] = {}

    def fork(self) -> "KeyRegister":
        """Return a copy that changes by itself."""
        copy = KeyRegister((), self._bureau)
        copy._roots, copy._keys = dict(self._roots), dict(self._keys)
        copy._of, copy._organisations = dict(self._of), dict(self._organisations)
        return copy

    def find(self, keyid: str, *, at: str) -> Holder | None:
        """Return a registered key that is good at a time, or nothing; roots are not registered."""
        holder = self._keys.get(keyid)
        return holder if holder is not None and holder.is_good(at) else None

    def of(self, owner: str, *, at: str) -> tuple[VerifyKey, ...]:
        """Return the keys of a party that are good at a time."""
        found = (self.find(keyid, at=at) for keyid in self._of.get(owner, ()))
        return tuple(holder.key for holder in found if holder is not None)

    def organisation(self, owner: str) -> str | None:
        """Return whom a person works for or to which unit a node belongs; other parties are their own."""
        return self._organisations.get(owner, owner if parse_party(owner)[0] in _ON_THEIR_OWN else None)

    def members(self) -> Iterator[tuple[str, str]]:
        """Yield people and nodes with their organisations."""
        yield from self._organisations.items()

    def verify(self, statement: Statement) -> Signers:
        """Verify all signatures of a statement that is about anything but keys.

        Raises:
            StatementRefusedError: a key is unknown or not good, a signature is wrong, or the issuer has not signed.
        """
        signers = self._verify(statement, {})
        # SECURITY: rules go by the issuer's name; nobody else's signature makes it his word, whoever it is made for.
        if statement.payload.issuer not in signers.owners:
            raise StatementRefusedError(Rule.SIGNER, "the statement is not signed by whom it names as its issuer")
        return signers

    def judge_registered(self, statement: Statement, body: KeyRegistered) -> Signers:
        """Judge the registration of a key (docs/spec/standing.md, "Keys"); return who signed it.

        Raises:
            StatementRefusedError: it may not be registered, or not like this.
        """
        key = VerifyKey.from_jwk(body.jwk.model_dump())
        if key.thumbprint in self._keys or key.thumbprint in self._roots:
            raise StatementRefusedError(Rule.KEY, "a key is registered once, and never again after it ended")
        organisation = self._organisation_of(statement, body.owner)
        signers = self._verify(statement, {key.thumbprint: Holder(key=key, owner=None)})
        if key.thumbprint not in {signature.keyid for signature in statement.signatures}:
            raise StatementRefusedError(Rule.SIGNER, "the new key has to sign its own registration")
        wanted = () if organisation in (None, self._bureau) else (str(organisation),)
        missing = [party for party in wanted if party not in signers.owners]
        if missing or not signers.has_root:
            raise MissingSignaturesError((*missing, *(() if signers.has_root else ("root",))))
        return signers

    def is_known(self, owner: str) -> bool:
        """Tell whether a party has or had a key: another one is not for its registrar alone to give."""
        return owner in self._of

    def take_registered(self, statement: Statement, body: KeyRegistered) -> None:
        """Let a judged registration have its effect."""
        key = VerifyKey.from_jwk(body.jwk.model_dump())
        self._add(Holder(key=key, owner=body.owner, not_before=body.not_before, not_after=body.not_after), body.owner)
        if statement.payload.on_behalf_of is not None:
            self._organisations[body.owner] = statement.payload.on_behalf_of

    def judge_rotated(self, statement: Statement, body: KeyRotated) -> Signers:
        """Judge the change of a key; return who signed it.

        Raises:
            StatementRefusedError: the old key is not good or another's, not both sign, or the new one ends later.
        """
        key = VerifyKey.from_jwk(body.jwk.model_dump())
        old = self.find(body.old, at=statement.payload.issued_at)
        if old is None or old.owner != body.owner or key.thumbprint in self._keys or key.thumbprint in self._roots:
            raise StatementRefusedError(Rule.KEY, "expected a good key of the owner, and a new one")
        if old.not_after is not None and (body.not_after is None or body.not_after > old.not_after):
            raise StatementRefusedError(Rule.KEY, "a key that ends is not changed for one that ends later")
        signers = self._verify(statement, {key.thumbprint: Holder(key=key, owner=None)})
        if not {body.old, key.thumbprint} <= {signature.keyid for signature in statement.signatures}:
            raise StatementRefusedError(Rule.SIGNER, "the old and the new key have to sign a rotation")
        return signers

    def take_rotated(self, body: KeyRotated) -> None:
        """Let a judged change have its effect."""
        self._end(body.old)
        key = VerifyKey.from_jwk(body.jwk.model_dump())
        self._add(Holder(key=key, owner=body.owner, not_after=body.not_after), body.owner)

    def judge_revoked(self, statement: Statement, body: KeyRevoked) -> None:
        """Judge the end of a key, by itself or a root.

        Raises:
            StatementRefusedError: no such key, or neither of them signs.
        """
        holder = self._keys.get(body.keyid) or self._roots.get(body.keyid)
        if holder is None or holder.is_ended:
            raise StatementRefusedError(Rule.KEY, "expected a key that was registered and has not ended")
        # A key whose time is over may still revoke itself: that only ever takes away.
        signers = self._verify(statement, {body.keyid: replace(holder, not_before="", not_after=None)})
        if not signers.has_root and body.keyid not in {signature.keyid for signature in statement.signatures}:
            raise StatementRefusedError(Rule.SIGNER, "expected the key itself or a root to sign its end")

    def take_revoked(self, body: KeyRevoked) -> None:
        """Let a judged end have its effect."""
        self._end(body.keyid)

    def _organisation_of(self, statement: Statement, owner: str) -> str | None:
        """Return whom the owner of a new key belongs to, which the statement has to say rightly."""
        kind, _ = parse_party(owner)
        organisation = statement.payload.on_behalf_of
        if statement.payload.issuer != self._bureau:
            raise StatementRefusedError(Rule.SIGNER, "keys are registered by the bureau")
        if kind == "bureau" and owner != self._bureau:
            raise StatementRefusedError(Rule.KEY, "there is one bureau")
        allowed = _OF_ORGANISATIONS.get(kind)
        if allowed is None:
            if kind not in _ON_THEIR_OWN or organisation is not None:
                raise StatementRefusedError(Rule.KEY, "expected the key of an organisation, of a person or of a node")
            return None
        if organisation is None or parse_party(organisation)[0] not in allowed:
            raise StatementRefusedError(Rule.KEY, "expected `on_behalf_of` to say whom the owner belongs to")
        if organisation.startswith("bureau:") and organisation != self._bureau:
            raise StatementRefusedError(Rule.KEY, "there is one bureau")
        if self._organisations.get(owner, organisation) != organisation:
            raise StatementRefusedError(Rule.KEY, "nobody changes organisation: another one registers another party")
        return organisation

    def _verify(self, statement: Statement, own: Mapping[str, Holder]) -> Signers:
        at = statement.payload.issued_at
        holders = []
        for signature in statement.signatures:
            holder = own.get(signature.keyid) or self.find(signature.keyid, at=at) or self._root(signature.keyid)
            if holder is None:
                raise StatementRefusedError(Rule.KEY, "a signature is by a key that is not registered or not good")
            holders.append(holder)
        try:
            verify_signatures(statement, [holder.key for holder in holders])
        except VerificationError:
            raise StatementRefusedError(Rule.SIGNATURE, "a signature does not verify") from None
        owners = frozenset(holder.owner for holder in holders if holder.owner is not None)
        has_root = any(self._root(signature.keyid) is not None for signature in statement.signatures)
        return Signers(owners=owners, has_root=has_root)

    def _root(self, keyid: str) -> Holder | None:
        holder = self._roots.get(keyid)
        return None if holder is None or holder.is_ended else holder

    def _add(self, holder: Holder, owner: str) -> None:
        self._keys[holder.key.thumbprint] = holder
        self._of[owner] = (*self._of.get(owner, ()), holder.key.thumbprint)

    def _end(self, keyid: str) -> None:
        for keys in (self._keys, self._roots):
            if keyid in keys:
                keys[keyid] = replace(keys[keyid], is_ended=True)
