"""`yingbi output` and `yingbi job approve`: what people of the bureau and of units say of jobs and of held results."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from yingbi.cli.job import ProfileOption, opened_client, show_filed, show_listing
from yingbi.cli.output import JsonFlag
from yingbi.cli.text import t
from yingbi.errors import ErrorCode, NotFoundError
from yingbi.events.outputs import CheckVerdict

__all__ = ["add_approval", "app", "approve"]

app = typer.Typer(help=t("checks.help"), no_args_is_help=True)

JobName = Annotated[str, typer.Argument(help=t("job.argument.job"))]


@app.command("held", help=t("checks.held.help"))
def held(profile: ProfileOption = None, as_json: JsonFlag = False) -> None:
    """List held results that one may check, with the rules that they break; their values stay at the node."""
    with opened_client(profile) as client:
        found = client.run(client.hub.listing(("outputs", "held")))
    rows = [{**one, "findings": [_finding(row) for row in one.get("findings", [])]} for one in found]
    headings = [t("job.label.job"), t("checks.label.partner"), t("checks.label.held_at"), t("checks.label.findings")]
    shown = found if as_json else rows
    show_listing(t("checks.held.title"), headings, ("job", "partner", "held_at", "findings"), shown, as_json=as_json)


@app.command("check", help=t("checks.check.help"))
def check(
    job: JobName,
    verdict: Annotated[CheckVerdict, typer.Option("--verdict", help=t("checks.option.verdict"))],
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Say of a held result whether it may leave; look at it at the node first (`yingbi node held show`)."""
    from yingbi.client.statements import output_checked

    with opened_client(profile) as client:
        found = client.run(client.hub.listing(("outputs", "held")))
        waiting = next((one for one in found if one.get("job") == job), None)
        if waiting is None:
            raise NotFoundError(ErrorCode.OUTPUT_NOT_FOUND, "no held result of this job waits for you")
        draft = output_checked(
            client.hub.issuer,
            job=job,
            candidate=str(waiting["candidate"]),
            rules=str(waiting["rules"]),
            verdict=verdict,
        )
        statement = draft.sign([client.hub.exchange.identity.key])
        filed = client.run(client.hub.file(("jobs", job, "checks"), [statement], openings=draft.openings))
    show_filed(t("checks.check.title"), filed, as_json=as_json)


def add_approval(app: typer.Typer) -> None:
    """Add `approve` to the commands about jobs."""
    app.command("approve", help=t("checks.approve.help"))(approve)


def approve(
    job: JobName,
    hours: Annotated[int, typer.Option("--hours", min=1, max=720, help=t("checks.option.hours"))] = 24,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Approve a job that a person has to look at; it may start within so many hours, and not after its own end."""
    from yingbi.client.statements import job_approved
    from yingbi.clock import parse_time

    with opened_client(profile) as client:
        found = client.run(client.hub.get(("jobs", job)))
        terms = str(client.run(client.hub.get(("agreements", str(found["agreement"]))))["terms"])
        until = min(datetime.now(UTC) + timedelta(hours=hours), parse_time(str(found["expires_at"])))
        draft = job_approved(client.hub.issuer, job=job, terms=terms, expires_at=until)
        statement = draft.sign([client.hub.exchange.identity.key])
        filed = client.run(client.hub.file(("jobs", job, "approvals"), [statement]))
    show_filed(t("checks.approve.title"), filed, as_json=as_json)


def _finding(row: object) -> str:
    words = (row.get(name) for name in ("risk", "rule", "dimension", "verdict")) if isinstance(row, dict) else ()
    return " ".join(str(word) for word in words if word)
