"""`yingbi duty`: who may do what in whose name."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from yingbi.cli.job import ProfileOption, opened_client, show_filed, show_listing
from yingbi.cli.output import JsonFlag
from yingbi.cli.text import t
from yingbi.events.fields import Duty
from yingbi.events.people import DutyEnd

__all__ = ["app"]

app = typer.Typer(help=t("duty.help"), no_args_is_help=True)

Holder = Annotated[str, typer.Argument(help=t("duty.argument.holder"))]
DutyName = Annotated[Duty, typer.Argument(help=t("duty.argument.duty"))]
Scope = Annotated[str | None, typer.Option("--scope", help=t("duty.option.scope"))]


@app.command("grant", help=t("duty.grant.help"))
def grant(
    holder: Holder,
    duty: DutyName,
    scope: Scope = None,
    days: Annotated[int | None, typer.Option("--days", min=1, help=t("client.option.days"))] = None,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Give a person a duty; never oneself."""
    from yingbi.client.statements import duty_granted

    until = None if days is None else datetime.now(UTC) + timedelta(days=days)
    with opened_client(profile) as client:
        draft = duty_granted(client.hub.issuer, holder=holder, duty=duty, scope=scope, valid_until=until)
        filed = client.file("duties", draft)
    show_filed(t("duty.grant.title"), filed, as_json=as_json)


@app.command("revoke", help=t("duty.revoke.help"))
def revoke(
    holder: Holder,
    duty: DutyName,
    reason: Annotated[DutyEnd, typer.Option("--reason", help=t("client.option.reason"))],
    scope: Scope = None,
    note: Annotated[str | None, typer.Option("--note", help=t("client.option.note"))] = None,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Take a duty from a person."""
    from yingbi.client.statements import duty_revoked

    with opened_client(profile) as client:
        draft = duty_revoked(client.hub.issuer, holder=holder, duty=duty, reason=reason, scope=scope, note=note)
        filed = client.file("duties", draft)
    show_filed(t("duty.revoke.title"), filed, as_json=as_json)


@app.command("list", help=t("duty.list.help"))
def list_duties(profile: ProfileOption = None, as_json: JsonFlag = False) -> None:
    """List people who have duties now."""
    with opened_client(profile) as client:
        found = client.run(client.hub.listing(("duties",)))
    headings = [t("duty.label.holder"), t("duty.label.employer"), t("duty.label.duties")]
    show_listing(t("duty.list.title"), headings, ("holder", "employer", "duties"), found, as_json=as_json)
