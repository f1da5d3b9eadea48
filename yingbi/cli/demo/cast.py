"""Who takes part in the demonstration: every party with a key of its own, asking the hub with signed requests.

One hand holds all keys here, which is what a demonstration is. What each party says is made and signed as the party
itself would, and goes over the network.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from yingbi.canonical import JsonValue
from yingbi.client import Client, Filed, Settings, open_client
from yingbi.client.statements import (
    Draft,
    Issuer,
    duty_granted,
    key_registered,
    participant_admitted,
    participant_applied,
)
from yingbi.events.fields import Duty
from yingbi.events.people import ParticipantKind
from yingbi.keys import SigningKey, load_signing_key, save_signing_key
from yingbi.sealing import ResultKey, save_result_key
from yingbi.statement import Statement, add_signature, parse_statement

__all__ = ["BUREAU", "Cast"]

BUREAU: Final = "bureau:futian"
SECURITY: Final = "person:security-admin"
REGISTRAR: Final = "person:registrar"
APPROVER: Final = "person:approver"


class Cast:
    """All parties, their keys in files, and their clients.

    Args:
        url: of the hub.
        ca: certificate authority of the hub.
        keys: folder of key files, a name a party; the hub's ceremony has put the first ones there.
        trust: the trust file.
    """

    def __init__(self, url: str, *, ca: Path, keys: Path, trust: Path) -> None:
        self._url = url
        self._ca = ca
        self._keys = keys
        self._trust = trust
        self._clients: dict[str, Client] = {}
        self._employers: dict[str, str] = {SECURITY: BUREAU}

    def key_file(self, party: str) -> Path:
        """Return the file of a party's key."""
        return self._keys / f"{party.removeprefix('person:').replace(':', '-')}.pem"

    def key(self, party: str) -> SigningKey:
        """Return a party's key; made when it is first asked for."""
        path = self.key_file(party)
        if not path.exists():
            save_signing_key(SigningKey.generate(), path)
        return load_signing_key(path)

    def client(self, party: str, **options: str) -> Client:
        """Return a party's client."""
        if party not in self._clients:
            result_key = self._result_key(party)
            if party.startswith("partner:"):
                save_result_key(ResultKey.generate(), result_key)
            self._clients[party] = open_client(
                Settings(
                    url=self._url,
                    party=party,
                    key=self.key(party),
                    on_behalf_of=self._employers.get(party),
                    result_key=result_key if party.startswith("partner:") else None,
                    trust=self._trust,
                    ca=self._ca,
                    **options,  # type: ignore[arg-type]
                )
            )
        return self._clients[party]

    def issuer(self, party: str) -> Issuer:
        """Return in whose name a party's statements are made."""
        return Issuer(party=party, on_behalf_of=self._employers.get(party))

    def file(
        self,
        party: str,
        path: Sequence[str],
        *drafts: Draft,
        signers: Iterable[str] = (),
        documents: Sequence[JsonValue] = (),
    ) -> Filed:
        """Have a party sign drafts, alone or with others, and hand them in together."""
        by = [self.key(one) for one in (party, *signers)]
        statements = [draft.sign(by) for draft in drafts]
        openings = [opening for draft in drafts for opening in draft.openings]
        client = self.client(party)
        return client.run(client.hub.file(path, statements, openings=openings, documents=documents))

    def cosign(self, party: str, filed: Filed) -> Filed:
        """Have another party add its signature to what waits as a draft."""
        client, draft = self.client(party), str(filed.draft)
        waiting = client.run(client.hub.get(("drafts", draft)))
        key = self.key(party)
        rows = [_signature(parse_statement(_envelope(one)), key) for one in waiting["statements"]]
        return client.run(client.hub.add_signatures(draft, rows))

    # --- who they are -------------------------------------------------------------------------------------------------

    def employ(self, person: str, employer: str, duty: Duty) -> None:
        """Register a person's key and give a duty: by the bureau's security administrator, or by another employer."""
        registration = key_registered(
            Issuer(party=BUREAU, on_behalf_of=employer), self.key(person).public, owner=person, not_before=_begin()
        )
        also = () if employer == BUREAU else (employer,)
        signed = registration.sign([self.key("root"), self.key(person), *(self.key(one) for one in also)])
        sender = self.client(SECURITY if employer == BUREAU else employer)
        sender.run(sender.hub.file(("keys",), [signed]))
        self._employers[person] = employer
        grantor = SECURITY if employer == BUREAU else employer
        self.file(grantor, ("duties",), duty_granted(self.issuer(grantor), holder=person, duty=duty))

    def apply(self, party: str, kind: ParticipantKind, *, licence: str | None = None) -> Filed:
        """Have an organisation apply with its new key; this waits until the registrar's root vouches for it."""
        bureau = Issuer(party=BUREAU)
        registration = key_registered(bureau, self.key(party).public, owner=party, not_before=_begin())
        application = participant_applied(
            self.issuer(party), kind=kind, identity={"party": party}, licence=licence, key=self.key(party).public
        )
        return self.file(party, ("applications",), registration, application)

    def vouch(self, filed: Filed) -> Filed:
        """Have the registrar, after a look at the papers, sign an application's key with the registration key."""
        client, draft = self.client(REGISTRAR), str(filed.draft)
        waiting = client.run(client.hub.get(("drafts", draft)))
        statement = parse_statement(_envelope(waiting["statements"][0]))
        return client.run(client.hub.add_signatures(draft, [_signature(statement, self.key("root"))]))

    def admit(self, party: str, kind: ParticipantKind, *, licence: str | None = None) -> None:
        """Bring an organisation in: it applies, the registrar vouches, registrar and approver admit."""
        self.vouch(self.apply(party, kind, licence=licence))
        admission = participant_admitted(self.issuer(REGISTRAR), party=party, kind=kind)
        self.cosign(APPROVER, self.file(REGISTRAR, ("participants",), admission))

    def add_node(self, node: str, unit: str) -> None:
        """Register the key of a unit's node."""
        registration = key_registered(
            Issuer(party=BUREAU, on_behalf_of=unit), self.key(node).public, owner=node, not_before=_begin()
        )
        signed = registration.sign([self.key("root"), self.key(node), self.key(unit)])
        client = self.client(unit)
        client.run(client.hub.file(("keys",), [signed]))

    def write_profiles(self, folder: Path, usual: Mapping[str, Mapping[str, str]]) -> None:
        """Write a profile for everybody, so that people can go on by hand with short commands.

        Args:
            folder: a new folder.
            usual: further members of some parties' profiles, such as the agreement that they usually ask under.
        """
        folder.mkdir()
        for party in {*self._clients, *self._employers}:
            members = {
                "url": self._url,
                "party": party,
                "key": str(self.key_file(party)),
                "on_behalf_of": self._employers.get(party),
                "result_key": str(self._result_key(party)) if party.startswith("partner:") else None,
                "trust": str(self._trust),
                "ca": str(self._ca),
                **usual.get(party, {}),
            }
            lines = [f"{name} = {json.dumps(value)}" for name, value in members.items() if value is not None]
            (folder / f"{self.key_file(party).stem}.toml").write_text("\n".join([*lines, ""]), encoding="utf-8")

    def _result_key(self, party: str) -> Path:
        return self.key_file(party).with_suffix(".result.pem")

    def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            client.close()


def _begin() -> datetime:
    # A clock that is a little behind another's would find the key not good yet.
    return datetime.now(UTC) - timedelta(minutes=1)


def _envelope(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


def _signature(statement: Statement, key: SigningKey) -> dict[str, str]:
    signed = json.loads(add_signature(statement, key).envelope)
    return next(dict(row) for row in signed["signatures"] if row["keyid"] == key.public.thumbprint)
