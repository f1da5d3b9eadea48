"""`yingbi output` and `yingbi job approve`: what people of the bureau and of units say of jobs and of held results."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from yingbi.cli.job import ProfileOption, echo_json, opened_client, show_filed, show_listing, show_thing
from yingbi.cli.output import JsonFlag
from yingbi.cli.text import t
from yingbi.errors import ErrorCode, NotFoundError
from yingbi.events.outputs import CheckVerdict

if TYPE_CHECKING:
    from yingbi.client import Client

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
        waiting = _waiting(client, job)
        if waiting is None:
            raise NotFoundError(ErrorCode.OUTPUT_NOT_FOUND, "no held result of this job waits for you")
        needed = _people_needed(client, str(waiting["agreement"]))
        draft = output_checked(
            client.hub.issuer,
            job=job,
            candidate=str(waiting["candidate"]),
            rules=str(waiting["rules"]),
            verdict=verdict,
        )
        statement = draft.sign([client.hub.exchange.identity.key])
        filed = client.run(client.hub.file(("jobs", job, "checks"), [statement], openings=draft.openings))
        # Nothing in the listing any more: the node has heard of it already.
        left = max(0, needed - _passed(_waiting(client, job) or waiting, also=client.hub.issuer.party))
    if as_json:
        missing = left if verdict is CheckVerdict.PASS else None
        recorded = {"draft": filed.draft, "missing": filed.missing, "entries": filed.entries}
        echo_json({**recorded, "job": job, "verdict": verdict.value, "people_missing": missing})
        return
    rows: list[tuple[str, object]] = [
        (t("job.label.job"), job),
        (t("checks.label.verdict"), verdict.value),
        (t("job.label.index"), ", ".join(str(one.get("index")) for one in filed.entries)),
        (t("checks.label.follows"), _what_follows(verdict, left)),
    ]
    show_thing(t("checks.check.title"), rows)


def _waiting(client: "Client", job: str) -> Mapping[str, Any] | None:
    """Return the held result of a job as the hub lists it for this person, nothing where it lists none."""
    found = client.run(client.hub.listing(("outputs", "held")))
    return next((one for one in found if one.get("job") == job), None)


def _people_needed(client: "Client", agreement: str) -> int:
    """Return how many people have to let a held result pass: two where its agreement has all outputs checked."""
    terms = str(client.run(client.hub.get(("agreements", agreement)))["terms"])
    approvals = client.run(client.hub.get(("documents", terms))).get("approvals")
    return 2 if isinstance(approvals, dict) and approvals.get("output") == "checked" else 1


def _passed(waiting: Mapping[str, Any], *, also: str) -> int:
    """Return how many people have let a held result pass, the one who just did with them."""
    checks = [one for one in waiting.get("checks", []) if isinstance(one, dict)]
    people = {str(one.get("by")) for one in checks if one.get("verdict") == CheckVerdict.PASS}
    return len({one for one in people if one.startswith("person:")} | {also})


def _what_follows(verdict: CheckVerdict, left: int) -> str:
    match verdict:
        case CheckVerdict.FAIL:
            return t("checks.follows.fail")
        case CheckVerdict.REVIEW:
            return t("checks.follows.review")
    return t("checks.follows.more", people=left) if left else t("checks.follows.passed")


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
