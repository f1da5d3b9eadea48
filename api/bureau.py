"""The bureau's service key: it signs what is automatic, and only that. People's duties are never in its hands."""

from collections.abc import Mapping, Sequence

from yingbi.events import EntryType
from yingbi.ids import new_nonce
from yingbi.keys import SigningKey
from yingbi.statement import Statement, sign

__all__ = ["Bureau"]


class Bureau:
    """A bureau as a party that signs."""

    def __init__(self, party: str, key: SigningKey) -> None:
        self.party = party
        self.key = key

    def state(
        self,
        kind: EntryType,
        name: str,
        body: Mapping[str, object],
        *,
        at: str,
        subject: Sequence[tuple[str, str | None]] = (),
    ) -> Statement:
        """Return a signed statement of the bureau about `name`, made at the time at which it is judged."""
        payload = {
            "type": kind.value,
            "id": name,
            "issuer": self.party,
            "on_behalf_of": None,
            "issued_at": at,
            "nonce": new_nonce(),
            "subject": [{"id": one, "digest": digest} for one, digest in subject],
            "refs": {},
            "body": dict(body),
        }
        return sign(payload, [self.key])
