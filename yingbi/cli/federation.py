"""`yingbi federation`: one model of several units' data, from a training file to a card. Thin over `yingbi.client`."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from yingbi.cli.job import (
    ProfileOption,
    Purpose,
    TimeLimit,
    echo_json,
    keep_own,
    new_file,
    next_command,
    opened_client,
    show_thing,
)
from yingbi.cli.output import JsonFlag, printable, read_file, show_list, show_table
from yingbi.cli.text import LANGUAGES, language, t
from yingbi.errors import ErrorCode, ExitCode, InvalidRequestError, UnavailableError

if TYPE_CHECKING:
    from yingbi.client import Federation, FederationDryRun, FederationStatus, TrainedModel, TrainingPlan

__all__ = ["app"]

app = typer.Typer(help=t("federation.help"), no_args_is_help=True)

Name = Annotated[str, typer.Argument(help=t("federation.argument.federation"))]
_INTERRUPTED: Final = 130
_LAST_ROUNDS: Final = 12
_REFUSALS: Final = frozenset({"held", "refused", "rejected"})


@app.command("run", help=t("federation.run.help"))
def run(
    training: Annotated[Path, typer.Argument(help=t("federation.argument.training"))],
    is_dry_run: Annotated[bool, typer.Option("--dry-run", help=t("federation.option.dry_run"))] = False,
    purpose: Purpose = None,
    days: Annotated[int | None, typer.Option("--days", min=1, max=365, help=t("federation.option.days"))] = None,
    keep: Annotated[Path | None, typer.Option("--keep", dir_okay=False, help=t("federation.option.keep"))] = None,
    is_wait: Annotated[bool, typer.Option("--wait", help=t("federation.option.wait"))] = False,
    timeout_s: TimeLimit = None,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Sign and submit a federation, or say what would be decided about it."""
    from yingbi.client.training_file import read_training_file

    asked = read_training_file(read_file(training))
    named = asked.pop("purpose", None)
    needs = ("purpose",) if is_dry_run else ("purpose", "result_key")
    with opened_client(profile, needs=needs, purpose=purpose or named) as client:
        plan = client.training(**asked, expires_in=None if days is None else timedelta(days=days))
        if is_dry_run:
            _decide(plan, as_json=as_json)
            return
        with new_file(keep):
            federation = plan.submit()
            keep_own(federation, keep)
        if is_wait:
            _wait(federation, timeout_s, profile, as_json=as_json)
        _show_status(federation.status, as_json=as_json)
    if not as_json:
        if keep is not None:
            typer.echo(t("federation.run.kept", file=keep))
        command = next_command(["federation", "status", federation.id, "--follow"], profile)
        typer.echo(t("federation.next", command=command))


@app.command("status", help=t("federation.status.help"))
def status(
    federation: Name,
    is_followed: Annotated[bool, typer.Option("--follow", help=t("federation.option.follow"))] = False,
    timeout_s: TimeLimit = None,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show where a federation is, or follow it to its end; other ends than a model have their exit codes."""
    with opened_client(profile) as client:
        found = client.federation(federation)
        if is_followed:
            _wait(found, timeout_s, profile, as_json=as_json)
    _show_status(found.status, as_json=as_json)


@app.command("list", help=t("federation.list.help"))
def list_federations(
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help=t("federation.option.limit"))] = 50,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """List one's own federations."""
    with opened_client(profile) as client:
        found = [one.status for one in client.federations(limit=limit)]
    if as_json:
        echo_json([one.to_json() for one in found])
        return
    headings = [t("federation.label.federation"), t("federation.label.state"), t("federation.label.recipe")]
    headings += [t("federation.label.members"), t("federation.label.rounds")]
    rows = [(one.federation, one.state, one.recipe, len(one.members), len(one.rounds)) for one in found]
    show_list(t("federation.list.title"), headings, rows, whole=(0, 1))


@app.command("stop", help=t("federation.stop.help"))
def stop(federation: Name, profile: ProfileOption = None, as_json: JsonFlag = False) -> None:
    """Stop a federation for good, with the jobs of all its members."""
    with opened_client(profile) as client:
        found = client.federation(federation).stop()
    _show_status(found.status, as_json=as_json)


@app.command("nodes", help=t("federation.nodes.help"))
def nodes(profile: ProfileOption = None, as_json: JsonFlag = False) -> None:
    """List the nodes that take part in federations."""
    with opened_client(profile) as client:
        found = client.federation_nodes()
    if as_json:
        echo_json([{"node": one.node, "unit": one.unit, "is_connected": one.is_connected} for one in found])
        return
    headings = [t("federation.label.node"), t("federation.label.unit"), t("federation.label.connected")]
    rows = [
        (one.node, one.unit, t("federation.word.yes") if one.is_connected else t("federation.word.no")) for one in found
    ]
    show_list(t("federation.nodes.title"), headings, rows)


@app.command("model", help=t("federation.model.help"))
def model(
    federation: Name,
    out: Annotated[Path | None, typer.Option("--out", "-o", dir_okay=False, help=t("federation.option.out"))] = None,
    card: Annotated[Path | None, typer.Option("--card", dir_okay=False, help=t("federation.option.card"))] = None,
    onnx: Annotated[Path | None, typer.Option("--onnx", dir_okay=False, help=t("federation.option.onnx"))] = None,
    lang: Annotated[str | None, typer.Option("--lang", help=t("federation.option.lang"))] = None,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Fetch a model, verify that all members released it alike and that the log names it; show it, or write it."""
    if lang is not None and lang not in LANGUAGES:
        raise InvalidRequestError(ErrorCode.USAGE, f"expected `--lang` as {' or '.join(LANGUAGES)}")
    with opened_client(profile, needs=("result_key", "trust")) as client:
        found = client.federation(federation).result()
    if out is not None:
        found.save(out)
    if card is not None:
        found.card(card, language=lang or language())
    if onnx is not None:
        found.to_onnx(onnx)
    if as_json:
        echo_json(
            {
                "federation": federation,
                "digest": found.digest,
                "document": dict(found.document),
                "receipts": [dict(found.completion), *(dict(one.evidence) for one in found.releases)],
            }
        )
        return
    _show_model(found)
    for path in (out, card, onnx):
        if path is not None:
            typer.echo(t("federation.model.written", file=path))


def _decide(plan: "TrainingPlan", *, as_json: bool) -> None:
    """Say what would be decided about every member job, and end with the exit code of that."""
    decided = plan.dry_run()
    if as_json:
        echo_json({"federation": plan.id, "terms": plan.digest, "members": decided.to_json()})
    else:
        _show_decision(plan, decided)
    if not decided.is_permitted:
        raise typer.Exit(int(ExitCode.REFUSED))


def _wait(federation: "Federation", timeout_s: float | None, profile: str | None, *, as_json: bool) -> NoReturn:
    """Wait for a federation, show where it is then, and end with the exit code of that."""
    began = monotonic()
    command = next_command(["federation", "status", federation.id, "--follow"], profile)
    try:
        federation.wait(timeout_s=timeout_s, progress=not as_json)
    except KeyboardInterrupt:
        typer.echo(t("federation.wait.goes_on", command=command), err=True)
        raise typer.Exit(_INTERRUPTED) from None
    except UnavailableError:
        if timeout_s is None or monotonic() - began < timeout_s:
            raise
        # The time is over; a hub that cannot be reached is something else, and says so here.
        federation.refresh()
    _show_status(federation.status, as_json=as_json)
    if not federation.status.is_settled:
        if not as_json:
            typer.echo(t("federation.wait.over", seconds=timeout_s, command=command), err=True)
        raise typer.Exit(int(ExitCode.UNAVAILABLE))
    if federation.status.released and not as_json:
        typer.echo(t("federation.next", command=next_command(["federation", "model", federation.id], profile)))
    raise typer.Exit(int(_exit_code(federation.status)))


def _exit_code(found: "FederationStatus") -> ExitCode:
    if found.state == "completed" and found.released:
        return ExitCode.OK
    is_refused = any(member.state in _REFUSALS for member in found.members)
    return ExitCode.REFUSED if is_refused else ExitCode.CONFLICT


def _show_decision(plan: "TrainingPlan", decided: "FederationDryRun") -> None:
    rows: list[tuple[str, object]] = [
        (t("federation.label.question"), "\n".join(plan.questions[0].explain().sentences[:2])),
        (
            t("federation.label.outcome"),
            t("federation.word.permitted") if decided.is_permitted else t("federation.word.refused"),
        ),
        (t("federation.label.terms"), plan.digest),
    ]
    rows += [(t("federation.label.reason"), line) for line in decided.reasons]
    show_thing(t("federation.run.dry"), rows)
    headings = [t("federation.label.dataset"), t("federation.label.agreement"), t("federation.label.outcome")]
    headings += [t("federation.label.cost"), t("federation.label.reviewers"), t("federation.label.remaining")]
    show_table(t("federation.label.members"), headings, decided.rows())


def _show_status(found: "FederationStatus", *, as_json: bool) -> None:
    if as_json:
        echo_json(found.to_json())
        return
    rows: list[tuple[str, object]] = [
        (t("federation.label.federation"), found.federation),
        (t("federation.label.state"), found.state),
        (t("federation.label.recipe"), f"{found.recipe} ({found.mode})"),
        (t("federation.label.rounds"), t("federation.word.of", done=len(found.rounds), most=found.max_rounds)),
        (t("federation.label.awaited"), "\n".join(found.awaited) or None),
        (t("federation.label.terms"), found.terms),
        (t("federation.label.result"), found.result),
    ]
    rows += [(t("federation.label.reason"), line) for line in found.why()]
    show_thing(t("federation.status.title"), rows)
    headings = [t("federation.label.node"), t("federation.label.dataset"), t("federation.label.job")]
    headings += [t("federation.label.state"), t("federation.label.given")]
    given = {True: t("federation.word.yes"), False: None}
    members = [(one.node, one.dataset, one.job, one.state, given[one.has_given]) for one in found.members]
    show_table(t("federation.label.members"), headings, members)
    if found.rounds or found.open is not None:
        _show_rounds(found)


def _show_rounds(found: "FederationStatus") -> None:
    headings: Sequence[str] = [
        t("federation.label.round"),
        t("federation.label.attempt"),
        t("federation.label.given"),
        t("federation.label.ended"),
        t("federation.label.figures"),
    ]
    rows: list[tuple[object, ...]] = [
        (one.round, one.attempt, len(one.participants), (one.ended_at or "")[:19].replace("T", " "), one.figures_text)
        for one in found.rounds[-_LAST_ROUNDS:]
    ]
    if found.open is not None:
        given = t("federation.word.of", done=len(found.open.given), most=len(found.open.participants))
        until = t("federation.word.until", time=printable(found.open.expires_at[:19].replace("T", " ")))
        rows.append((found.open.round, found.open.attempt, given, until, None))
    show_table(t("federation.label.rounds"), headings, rows)


def _show_model(found: "TrainedModel") -> None:
    rows: list[tuple[str, object]] = [
        (t("federation.label.federation"), found.federation),
        (t("federation.label.recipe"), found.recipe),
        (t("federation.label.released"), "\n".join(found.released_by)),
        (t("federation.label.result"), found.document["state"]),
    ]
    show_thing(t("federation.model.title"), rows)
    headings = [t("federation.label.metric"), t("federation.label.trained"), t("federation.label.held_out")]
    headings += [t("federation.label.interval")]
    show_list(t("federation.label.metrics"), headings, found.metric_rows())
    typer.echo(t("federation.model.verified", index=found.completion["index"], digest=found.digest))
