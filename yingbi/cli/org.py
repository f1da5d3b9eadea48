"""`yingbi org`: organisations apply, are admitted, suspended, reinstated, and leave."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from yingbi.cli.job import ProfileOption, opened_client, show_filed, show_listing
from yingbi.cli.output import JsonFlag
from yingbi.cli.text import t
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.events.fields import SuspensionReason
from yingbi.events.people import Departure, ParticipantKind
from yingbi.uscc import is_uscc

__all__ = ["app"]

app = typer.Typer(help=t("org.help"), no_args_is_help=True)

PartyName = Annotated[str, typer.Argument(help=t("org.argument.party"))]
Kind = Annotated[ParticipantKind, typer.Option("--kind", help=t("org.option.kind"))]
Note = Annotated[str | None, typer.Option("--note", help=t("client.option.note"))]
Days = Annotated[int | None, typer.Option("--days", min=1, help=t("client.option.days"))]


@app.command("register", help=t("org.register.help"))
def register(
    kind: Kind,
    name: Annotated[str, typer.Option("--name", help=t("org.option.name"))],
    uscc: Annotated[str, typer.Option("--uscc", help=t("org.option.uscc"))],
    bureau: Annotated[str, typer.Option("--bureau", help=t("org.option.bureau"))],
    licence: Annotated[str | None, typer.Option("--licence", help=t("org.option.licence"))] = None,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Apply: the new key and the application, both signed by that key; the bureau's root has to sign the key too."""
    from yingbi.client.statements import Issuer, key_registered, participant_applied

    if not is_uscc(uscc):
        # SECURITY: the code is not repeated.
        raise InvalidRequestError(ErrorCode.USAGE, "expected a unified social credit code with both check characters")
    with opened_client(profile) as client:
        own, clock = client.hub.exchange.identity, client.hub.exchange.clock
        key = key_registered(Issuer(party=bureau, clock=clock), own.key.public, owner=own.party, not_before=clock.now())
        application = participant_applied(
            client.hub.issuer,
            kind=kind,
            identity={"name": name, "uscc": uscc},
            licence=licence,
            key=own.key.public,
        )
        statements = [draft.sign([own.key]) for draft in (key, application)]
        filed = client.run(client.hub.file(("applications",), statements, openings=application.openings))
    show_filed(t("org.register.title"), filed, as_json=as_json)


@app.command("admit", help=t("org.admit.help"))
def admit(
    party: PartyName,
    kind: Kind,
    days: Days = None,
    note: Note = None,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Admit an organisation that applied; a registrar and an approver have to sign."""
    from yingbi.client.statements import participant_admitted

    with opened_client(profile) as client:
        draft = participant_admitted(client.hub.issuer, party=party, kind=kind, valid_until=_until(days), note=note)
        filed = client.file("participants", draft)
    show_filed(t("org.admit.title"), filed, as_json=as_json)


@app.command("suspend", help=t("org.suspend.help"))
def suspend(
    party: PartyName,
    reason: Annotated[SuspensionReason, typer.Option("--reason", help=t("client.option.reason"))],
    days: Days = None,
    note: Note = None,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Suspend an organisation: it may not act for the time being."""
    from yingbi.client.statements import participant_suspended

    with opened_client(profile) as client:
        draft = participant_suspended(client.hub.issuer, party=party, reason=reason, until=_until(days), note=note)
        filed = client.file("participants", draft)
    show_filed(t("org.suspend.title"), filed, as_json=as_json)


@app.command("reinstate", help=t("org.reinstate.help"))
def reinstate(party: PartyName, note: Note = None, profile: ProfileOption = None, as_json: JsonFlag = False) -> None:
    """Let a suspended organisation act again; a registrar and an approver have to sign."""
    from yingbi.client.statements import participant_reinstated

    with opened_client(profile) as client:
        filed = client.file("participants", participant_reinstated(client.hub.issuer, party=party, note=note))
    show_filed(t("org.reinstate.title"), filed, as_json=as_json)


@app.command("offboard", help=t("org.offboard.help"))
def offboard(
    party: PartyName,
    reason: Annotated[Departure, typer.Option("--reason", help=t("client.option.reason"))],
    inventory: Annotated[str | None, typer.Option("--inventory", help=t("org.option.inventory"))] = None,
    note: Note = None,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Let an organisation leave: it does so itself, or a registrar and an approver sign."""
    from yingbi.client.statements import participant_offboarded

    with opened_client(profile) as client:
        draft = participant_offboarded(client.hub.issuer, party=party, reason=reason, inventory=inventory, note=note)
        filed = client.file("participants", draft)
    show_filed(t("org.offboard.title"), filed, as_json=as_json)


@app.command("list", help=t("org.list.help"))
def list_parties(profile: ProfileOption = None, as_json: JsonFlag = False) -> None:
    """List who takes part."""
    with opened_client(profile) as client:
        found = client.run(client.hub.listing(("participants",)))
    headings = [t("org.label.party"), t("org.label.kind"), t("org.label.state"), t("org.label.until")]
    show_listing(t("org.list.title"), headings, ("party", "kind", "state", "valid_until"), found, as_json=as_json)


def _until(days: int | None) -> datetime | None:
    return None if days is None else datetime.now(UTC) + timedelta(days=days)
