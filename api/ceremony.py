"""The ceremony that begins a hub: the bureau's key and its three administrators, recorded once and never again.

A root, held by the registrar and never by the hub, vouches for each key. What is recorded is judged before anything is
made: a ceremony that does not fit leaves nothing behind.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from api.home import HubHome, begin_home, finish_home
from api.settings import Settings
from api.submissions import Submission
from api.wiring import open_hub
from policies.duties import ADMINISTRATORS
from policies.standing import Standing
from yingbi.clock import Clock, format_time
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.events import EntryType
from yingbi.events.fields import Duty
from yingbi.ids import new_id, new_nonce
from yingbi.keys import SigningKey
from yingbi.statement import Statement, sign

__all__ = ["ADMINISTRATORS_IN_ORDER", "hold_ceremony", "sign_ceremony"]

ADMINISTRATORS_IN_ORDER: Final = (Duty.SYSTEM_ADMIN, Duty.SECURITY_ADMIN, Duty.AUDIT_ADMIN)


def hold_ceremony(
    folder: Path,
    settings: Settings,
    origin: str,
    *,
    service_key: SigningKey,
    statements: Sequence[Statement],
    clock: Clock,
    passphrase: bytes | None = None,
) -> HubHome:
    """Make a hub and record the statements that begin it.

    Raises:
        ConflictError: the folder holds a hub already.
        StatementRefusedError, MissingSignaturesError: a statement does not fit.
        InvalidRequestError: the bureau's key or an administrator is missing.
    """
    _rehearse(settings, statements, service_key, at=format_time(clock.now()))
    home = begin_home(folder, settings, origin, service_key, passphrase=passphrase)
    with open_hub(home, clock, passphrase=passphrase) as hub:
        hub.recorder.record(Submission(statements=tuple(statements)))
    finish_home(home)
    return home


def sign_ceremony(
    bureau: str, *, root: SigningKey, service_key: SigningKey, people: Mapping[Duty, tuple[str, SigningKey]], at: str
) -> tuple[Statement, ...]:
    """Return the statements of a ceremony in which one hand holds all keys: for development.

    Args:
        bureau: whose hub it is.
        root: the registration key.
        service_key: the bureau's key, which the hub will hold.
        people: the three administrators with their keys, by duty.
        at: when.
    """
    registered = [_registered(bureau, bureau, service_key, root, at=at)]
    registered += [_registered(bureau, person, key, root, at=at) for person, key in people.values()]
    granted = [
        sign(
            _payload(EntryType.DUTY_GRANTED, "dut", bureau, at, _grant(person, duty)),
            [service_key, root],
        )
        for duty, (person, _) in people.items()
    ]
    return (*registered, *granted)


def _rehearse(settings: Settings, statements: Sequence[Statement], service_key: SigningKey, *, at: str) -> None:
    """Judge a ceremony on a standing that is thrown away."""
    standing = Standing(bureau=settings.bureau, roots=settings.roots, find_terms=lambda _: None)
    for index, statement in enumerate(statements):
        standing.take(statement, index=index, at=at)
    holder = standing.keys.find(service_key.public.thumbprint, at=at)
    if holder is None or holder.owner != settings.bureau:
        raise _incomplete("the bureau's service key is not registered")
    held = frozenset[Duty]().union(*standing.people.holders(at=at).values())
    if missing := ADMINISTRATORS - held:
        raise _incomplete(f"nobody is made `{min(missing)}`")


def _registered(bureau: str, owner: str, key: SigningKey, root: SigningKey, *, at: str) -> Statement:
    body = {"jwk": key.public.to_jwk(), "owner": owner, "not_before": at, "not_after": None}
    payload = _payload(EntryType.KEY_REGISTERED, "key", bureau, at, body)
    return sign(payload | {"on_behalf_of": None if owner == bureau else bureau}, [key, root])


def _grant(person: str, duty: Duty) -> dict[str, object]:
    return {"holder": person, "duty": duty.value, "scope": None, "valid_until": None}


def _payload(kind: EntryType, prefix: str, bureau: str, at: str, body: Mapping[str, object]) -> dict[str, object]:
    return {
        "type": kind.value,
        "id": new_id(prefix),
        "issuer": bureau,
        "on_behalf_of": None,
        "issued_at": at,
        "nonce": new_nonce(),
        "subject": [],
        "refs": {},
        "body": dict(body),
    }


def _incomplete(what: str) -> InvalidRequestError:
    return InvalidRequestError(
        ErrorCode.CONFIG_INVALID,
        f"the ceremony is incomplete: {what}",
        hint="`yingbi hub init --help` says what it needs",
    )
