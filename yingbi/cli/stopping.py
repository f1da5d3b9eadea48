"""What stops things, and lets them go on: one person stops at once, two let go on (docs/spec/standing.md)."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from yingbi.cli.job import ProfileOption, echo_json, opened_client, payload_of, show_filed, show_thing
from yingbi.cli.output import JsonFlag, printable, show_list
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
    if not as_json:
        target = printable(target)
        said = t("stopping.freeze.drill", target=target) if drill else t("stopping.freeze.effect", target=target)
        typer.echo(said)


def unfreeze(
    target: Target, drill: Drill = False, note: Note = None, profile: ProfileOption = None, as_json: JsonFlag = False
) -> None:
    """Let what is frozen go on; a second person has to sign."""
    from yingbi.client.statements import unfrozen

    with opened_client(profile) as client:
        filed = client.file("incidents", unfrozen(client.hub.issuer, target=target, is_drill=drill, note=note))
    show_filed(t("stopping.unfreeze.title"), filed, as_json=as_json)
    if as_json:
        return
    target = printable(target)
    if filed.draft is not None:
        typer.echo(t("stopping.unfreeze.waits", target=target, draft=filed.draft))
    elif drill:
        typer.echo(t("stopping.unfreeze.drill", target=target))
    else:
        typer.echo(t("stopping.unfreeze.effect", target=target))


def incidents(profile: ProfileOption = None, as_json: JsonFlag = False) -> None:
    """List what was frozen, let go on and taken in an emergency, oldest first."""
    with opened_client(profile) as client:
        found = _told(client.run(client.hub.listing(("incidents",))))
    if as_json:
        echo_json(found)
        return
    headings = [t("job.label.index"), t("stopping.label.time"), t("stopping.label.what"), t("stopping.label.target")]
    headings += [t("stopping.label.who")]
    # In lines, so that what has to be named in the next command stays in one piece on a narrow terminal.
    rows = [
        (
            one.get("index"),
            str(one.get("time"))[:16].replace("T", "\n"),
            "\n".join(filter(None, (_word(one), one["reason"], one["is_frozen"] and t("stopping.word.frozen")))),
            one["target"],
            one["issuer"],
        )
        for one in found
    ]
    show_list(t("stopping.incidents.title"), headings, rows, whole=(0, 1, 3))


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


def _told(listed: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the entries of a listing, oldest first, with what their statements say and what is frozen still."""
    rows: list[dict[str, Any]] = []
    frozen: dict[str, list[dict[str, Any]]] = {}
    for one in listed:
        payload = payload_of(one.get("statement"))
        body = payload["body"]
        row = {
            **one,
            "issuer": payload["issuer"],
            "on_behalf_of": payload["on_behalf_of"],
            "target": body.get("target", body.get("holder")),
            "reason": body.get("reason"),
            "duty": body.get("duty"),
            "drill": body.get("drill", False),
            "is_frozen": False,
        }
        rows.append(row)
        if row["drill"]:
            continue
        if one.get("type") == EntryType.ACCESS_FROZEN:
            frozen.setdefault(row["target"], []).append(row)
        elif one.get("type") == EntryType.ACCESS_UNFROZEN:
            frozen.pop(row["target"], None)
    for row in (row for stopped in frozen.values() for row in stopped):
        row["is_frozen"] = True
    return rows


def _word(row: Mapping[str, Any]) -> str:
    """Return in words what an entry did."""
    match row.get("type"):
        case EntryType.ACCESS_FROZEN:
            word = t("stopping.word.freeze")
        case EntryType.ACCESS_UNFROZEN:
            word = t("stopping.word.unfreeze")
        case EntryType.ACCESS_BREAK_GLASS_OPENED:
            word = t("stopping.word.opened", duty=row["duty"])
        case EntryType.ACCESS_BREAK_GLASS_CLOSED:
            word = t("stopping.word.closed", duty=row["duty"])
        case kind:
            word = str(kind)
    return t("stopping.word.drill", what=word) if row["drill"] else word


def _running(finish: bool) -> RunningJobs:
    return RunningJobs.FINISH if finish else RunningJobs.STOP
