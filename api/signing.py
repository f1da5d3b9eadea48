"""Who sends a request: RFC 9421 signatures by keys that the log knows, each nonce once (docs/spec/http.md)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from api.nonces import Nonces
from api.refusals import not_allowed, unsigned
from policies.standing import ParticipantState, Standing
from yingbi.clock import Clock, format_time
from yingbi.events.fields import Duty
from yingbi.http_signing import SignedRequest, verify_request
from yingbi.ids import parse_party
from yingbi.keys import VerifyKey

__all__ = ["Authenticator", "Caller", "FindKey", "SentRequest"]

FindKey = Callable[[str], VerifyKey | None]
"""Returns the key of a thumbprint, or nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentRequest:
    """A request as it came.

    `target`: its path and query. `headers`: all its fields. `body`: None while it is yet to come. `network`: from
    where in the network it came, empty where that says nothing.
    """

    method: str
    target: str
    headers: Mapping[str, str] | Any
    body: bytes | None
    network: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who sent a request.

    `party`: whose key it is; None of somebody who has only applied. `organisation`: for whom a person works, whose a
    node is, else the party itself. `is_admitted`: whether it takes part now. `duties`: what a person may do now.
    `network`: from where somebody asks who has only applied.
    """

    key: VerifyKey
    party: str | None
    organisation: str
    is_admitted: bool = False
    duties: frozenset[Duty] = field(default_factory=frozenset)
    network: str = ""

    @property
    def name(self) -> str:
        """Return what the caller is remembered by: its party, or its key."""
        return self.party or self.key.thumbprint

    @property
    def kind(self) -> str:
        """Return the kind of the caller's organisation."""
        return parse_party(self.organisation)[0] if self.organisation else ""


class Authenticator:
    """Establishes who sent a request, under the keys and parties that stand now."""

    def __init__(
        self, *, standing: Callable[[], Standing], address: Callable[[], str], nonces: Nonces, clock: Clock
    ) -> None:
        self._standing = standing
        self._address = address
        self._nonces = nonces
        self._clock = clock

    def authenticate(self, sent: SentRequest) -> Caller:
        """Return who sent a request.

        Raises:
            AuthenticationError: not signed as it must be, by a key that is not good now, or sent before.
            RefusedError: the sender is frozen or has left.
        """
        standing, now = self._standing(), format_time(self._clock.now())
        signed = self._verify(sent, _registered(standing, now))
        return _holder(standing, signed.key, now)

    def expect(self, sent: SentRequest) -> Caller:
        """Return who signed the head of a request; its nonce is not used up, and its body yet to be verified.

        Raises:
            AuthenticationError: not signed as it must be, by a key that is good now.
            RefusedError: the sender is frozen or has left.
        """
        standing, now = self._standing(), format_time(self._clock.now())
        signed = self._check(replace(sent, body=None), _registered(standing, now))
        return _holder(standing, signed.key, now)

    def authenticate_applicant(self, sent: SentRequest, find_offered: FindKey) -> Caller:
        """Return who sent a request that may also be signed by a key that is yet to be registered.

        `find_offered` returns such a key by its thumbprint, or nothing.

        Raises:
            AuthenticationError: not signed as it must be, or sent before.
        """
        now = format_time(self._clock.now())
        standing = self._standing()

        registered = _registered(standing, now)
        signed = self._verify(sent, lambda keyid: registered(keyid) or find_offered(keyid))
        holder = standing.keys.find(signed.key.thumbprint, at=now)
        if holder is None or holder.owner is None:
            return Caller(key=signed.key, party=None, organisation="", network=sent.network)
        return _caller(standing, signed.key, holder.owner, now)

    def _check(self, sent: SentRequest, find: FindKey) -> SignedRequest:
        url = self._address() + sent.target
        return verify_request(sent.method, url, sent.headers, sent.body, find_key=find, clock=self._clock)

    def _verify(self, sent: SentRequest, find: FindKey) -> SignedRequest:
        signed = self._check(sent, find)
        if not self._nonces.use(signed.key.thumbprint, signed.nonce, signed.expires_at):
            raise unsigned("the request was sent before")
        return signed


def _registered(standing: Standing, at: str) -> FindKey:
    def find(keyid: str) -> VerifyKey | None:
        holder = standing.keys.find(keyid, at=at)
        return None if holder is None else holder.key

    return find


def _holder(standing: Standing, key: VerifyKey, now: str) -> Caller:
    holder = standing.keys.find(key.thumbprint, at=now)
    if holder is None or holder.owner is None:
        raise unsigned("the request's key is not good any more")
    return _caller(standing, key, holder.owner, now)


def _caller(standing: Standing, key: VerifyKey, party: str, now: str) -> Caller:
    organisation = standing.keys.organisation(party) or ""
    if standing.freezes.holds(party, organisation):
        stopped = party if standing.freezes.holds(party) else organisation
        raise not_allowed(f"access of `{stopped}` is frozen", "ask the bureau; two of its people can let it go on")
    participant = standing.participants.get(organisation)
    if participant is not None and participant.state is ParticipantState.OFFBOARDED:
        raise not_allowed("the participant has left")
    duties = standing.people.duties(party, at=now)
    is_admitted = standing.participants.is_admitted(organisation, at=now)
    return Caller(key=key, party=party, organisation=organisation, is_admitted=is_admitted, duties=duties)
