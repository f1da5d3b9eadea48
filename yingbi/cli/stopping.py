"""What stops things, and lets them go on: one person stops at once, two let go on (docs/spec/standing.md)."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from yingbi.cli.job import ProfileOption, echo_json, opened_client, show_filed, show_listing, show_thing
from yingbi.cli.output import JsonFlag
from yingbi.cli.text import t
from yingbi.events import EntryType
from yingbi.events.fields import RevocationReason, RunningJobs, SuspensionReason
from yingbi.events.people import FreezeReason

if TYPE_CHECKING:
    from yingbi.client import Client, Filed

__all__ = ["add_agreement_steps", "freeze", "impact", "incidents", "resume", "revoke", "suspend", "unfreeze"]

Target = Annotated[str, typer.Argument(help=t("stopping.argument.target"))]
AgreementName = Annotated[str, typer.Argument(help=t("stopping.argument.agreement"))]
Drill = Annotated[bool, typer.Option("--drill", help=t("stopping.option.drill"))]
Note = Annotated[str | None, typer.Option("--note", help=t("client.option.note"))]
Finish = Annotated[bool, typer.Option("--finish-running-jobs", help=t("stopping.option.finish"))]


def freeze(
    target: Target,
    reason: Annotated[FreezeReason, typer.Option("--reason", help=t("client.option.reason"))],
    drill: Drill = False,
    note: Note = None,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Stop a party, a node, a data set or an agreement at once."""
    from yingbi.client.statements import frozen

    with opened_client(profile) as client:
        draft = frozen(client.hub.issuer, target=target, reason=reason, is_drill=drill, note=note)
        filed = client.file("incidents", draft)
    show_filed(t("stopping.freeze.title"), filed, as_json=as_json)


def unfreeze(
    target: Target, drill: Drill = False, note: Note = None, profile: ProfileOption = None, as_json: JsonFlag = False
) -> None:
    """Let what is frozen go on; a second person has to sign."""
    from yingbi.client.statements import unfrozen

    with opened_client(profile) as client:
        filed = client.file("incidents", unfrozen(client.hub.issuer, target=target, is_drill=drill, note=note))
    show_filed(t("stopping.unfreeze.title"), filed, as_json=as_json)


def incidents(profile: ProfileOption = None, as_json: JsonFlag = False) -> None:
    """List what was frozen, let go on and taken in an emergency, oldest first."""
    with opened_client(profile) as client:
        found = client.run(client.hub.listing(("incidents",)))
    headings = [t("job.label.index"), t("job.label.type"), t("client.label.id")]
    show_listing(t("stopping.incidents.title"), headings, ("index", "type", "id"), found, as_json=as_json)


def add_agreement_steps(app: typer.Typer) -> None:
    """Add the commands that stop agreements, end them and let them go on."""
    app.command("impact", help=t("stopping.impact.help"))(impact)
    app.command("suspend", help=t("stopping.suspend.help"))(suspend)
    app.command("resume", help=t("stopping.resume.help"))(resume)
    app.command("revoke", help=t("stopping.revoke.help"))(revoke)


def impact(
    agreement: AgreementName,
    step: Annotated[str, typer.Option("--step", help=t("stopping.option.step"))] = "suspend",
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Say which agreements, certificates and jobs a step would touch, before it is taken."""
    with opened_client(profile) as client:
        found = client.run(client.hub.get(("agreements", agreement, "impact"), {"step": step}))
    if as_json:
        echo_json(found)
        return
    rows: list[tuple[str, object]] = [
        (t("stopping.label.agreements"), "\n".join(found["agreements"])),
        (t("stopping.label.certificates"), "\n".join(found["certificates"])),
        (t("stopping.label.waiting"), "\n".join(found["waiting"])),
        (t("stopping.label.running"), "\n".join(found["running"])),
        (t("stopping.label.held"), "\n".join(found["held"])),
        (t("stopping.label.stopped"), "\n".join(found["stopped"])),
    ]
    show_thing(t("stopping.impact.title"), rows)


def suspend(
    agreement: AgreementName,
    reason: Annotated[SuspensionReason, typer.Option("--reason", help=t("client.option.reason"))],
    finish: Finish = False,
    days: Annotated[int | None, typer.Option("--days", min=1, help=t("client.option.days"))] = None,
    note: Note = None,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Let no job rely on an agreement for the time being."""
    until = None if days is None else datetime.now(UTC) + timedelta(days=days)
    with opened_client(profile) as client:
        filed = _step(
            client,
            EntryType.AGREEMENT_SUSPENDED,
            agreement,
            reason=reason,
            running_jobs=_running(finish),
            until=until,
            note=note,
        )
    show_filed(t("stopping.suspend.title"), filed, as_json=as_json)


def resume(
    agreement: AgreementName, note: Note = None, profile: ProfileOption = None, as_json: JsonFlag = False
) -> None:
    """Let jobs rely on a suspended agreement again; a second person has to sign."""
    with opened_client(profile) as client:
        filed = _step(client, EntryType.AGREEMENT_RESUMED, agreement, note=note)
    show_filed(t("stopping.resume.title"), filed, as_json=as_json)


def revoke(
    agreement: AgreementName,
    reason: Annotated[RevocationReason, typer.Option("--reason", help=t("client.option.reason"))],
    finish: Finish = False,
    note: Note = None,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """End an agreement before its time, for good."""
    with opened_client(profile) as client:
        filed = _step(
            client, EntryType.AGREEMENT_REVOKED, agreement, reason=reason, running_jobs=_running(finish), note=note
        )
    show_filed(t("stopping.revoke.title"), filed, as_json=as_json)


def _step(
    client: "Client",
    kind: EntryType,
    agreement: str,
    *,
    reason: SuspensionReason | RevocationReason | None = None,
    running_jobs: RunningJobs = RunningJobs.STOP,
    until: datetime | None = None,
    note: str | None = None,
) -> "Filed":
    """Take a step on the terms that are in force now."""
    from yingbi.client.statements import agreement_step

    terms = str(client.run(client.hub.get(("agreements", agreement)))["terms"])
    draft = agreement_step(
        client.hub.issuer,
        kind,
        agreement=agreement,
        terms=terms,
        reason=reason,
        running_jobs=running_jobs,
        until=until,
        note=note,
    )
    return client.file("agreements", draft)


def _running(finish: bool) -> RunningJobs:
    return RunningJobs.FINISH if finish else RunningJobs.STOP
