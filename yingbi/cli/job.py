"""`yingbi job`: questions to a hub, from a dry run to a verified result. Thin over `yingbi.client`."""

import json
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer

from yingbi.canonical import canonical_bytes
from yingbi.cli.output import JsonFlag, OutFile, printable, read_file, show_list, show_table, write_bytes
from yingbi.cli.text import t
from yingbi.errors import ErrorCode, ExitCode, InvalidRequestError, UnavailableError

if TYPE_CHECKING:
    from yingbi.client import Client, DryRun, Federation, Filed, Job, JobStatus, Query
    from yingbi.client.results import Released

__all__ = [
    "ProfileOption",
    "app",
    "echo_json",
    "keep_own",
    "new_file",
    "next_command",
    "opened_client",
    "payload_of",
    "show_filed",
    "show_listing",
    "show_thing",
]

_PROFILE: Final = "YINGBI_PROFILE"

app = typer.Typer(help=t("job.help"), no_args_is_help=True)

ProfileOption = Annotated[str | None, typer.Option("--profile", envvar=_PROFILE, help=t("client.option.profile"))]
Name = Annotated[str, typer.Argument(help=t("job.argument.job"))]
Question = Annotated[Path | None, typer.Argument(help=t("job.argument.question"))]
Sql = Annotated[str | None, typer.Option("--sql", help=t("job.option.sql"))]
Agreement = Annotated[str | None, typer.Option("--agreement", help=t("job.option.agreement"))]
Purpose = Annotated[str | None, typer.Option("--purpose", help=t("job.option.purpose"))]
Intermediary = Annotated[str | None, typer.Option("--intermediary", help=t("job.option.intermediary"))]
TimeLimit = Annotated[float | None, typer.Option("--timeout", min=0, help=t("job.option.timeout"))]

_EXITS: Final = {
    "held": ExitCode.REFUSED,
    "refused": ExitCode.REFUSED,
    "rejected": ExitCode.REFUSED,
    "failed": ExitCode.UNAVAILABLE,
    "cancelled": ExitCode.CONFLICT,
    "destroyed": ExitCode.CONFLICT,
}
_INTERRUPTED: Final = 130
_EXAMPLE: Final = '`url = "https://hub.example"`, `party = "partner:bank-a"`, `key = "bank-a.pem"`'


@app.command("dry-run", help=t("job.dry_run.help"))
def dry_run(
    question: Question = None,
    sql: Sql = None,
    agreement: Agreement = None,
    purpose: Purpose = None,
    intermediary: Intermediary = None,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Say what would be decided about a question, and why; nothing is recorded or run."""
    wanted = ("agreement", "purpose")
    with opened_client(profile, needs=wanted, agreement=agreement, purpose=purpose) as client:
        asked = _read_question(client, question, sql)
        decision = client.dry_run(asked, intermediary=intermediary)
    if as_json:
        echo_json(decision.to_json())
    else:
        _show_decision(asked, decision)
    if not decision.is_permitted:
        raise typer.Exit(int(ExitCode.REFUSED))


@app.command("submit", help=t("job.submit.help"))
def submit(
    question: Question = None,
    sql: Sql = None,
    agreement: Agreement = None,
    purpose: Purpose = None,
    days: Annotated[int | None, typer.Option("--days", min=1, max=365, help=t("job.option.days"))] = None,
    keep: Annotated[Path | None, typer.Option("--keep", dir_okay=False, help=t("job.option.keep"))] = None,
    is_wait: Annotated[bool, typer.Option("--wait", help=t("job.option.wait"))] = False,
    timeout_s: TimeLimit = None,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Sign and submit a question."""
    wanted = ("agreement", "purpose", "result_key")
    with opened_client(profile, needs=wanted, agreement=agreement, purpose=purpose) as client:
        asked = _read_question(client, question, sql)
        with new_file(keep):
            job = client.submit(asked, expires_in=None if days is None else timedelta(days=days))
            keep_own(job, keep)
        if is_wait:
            _wait(job, timeout_s, profile, as_json=as_json)
        _show_status(job.status, as_json=as_json)
    if not as_json:
        if keep is not None:
            typer.echo(t("job.submit.kept", file=keep))
        typer.echo(t("job.submit.next", command=next_command(["job", "wait", job.id], profile)))


@app.command("wait", help=t("job.wait.help"))
def wait(job: Name, timeout_s: TimeLimit = None, profile: ProfileOption = None, as_json: JsonFlag = False) -> None:
    """Wait until there is a result, or nothing more comes without a person; other ends have their exit codes."""
    with opened_client(profile) as client:
        _wait(client.job(job), timeout_s, profile, as_json=as_json)


@app.command("show", help=t("job.show.help"))
def show(job: Name, profile: ProfileOption = None, as_json: JsonFlag = False) -> None:
    """Show where a job is, and why it was refused or is held."""
    with opened_client(profile) as client:
        found = client.job(job)
    _show_status(found.status, as_json=as_json)


@app.command("list", help=t("job.list.help"))
def list_jobs(
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help=t("job.option.limit"))] = 50,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """List one's own jobs."""
    with opened_client(profile) as client:
        jobs = [job.status for job in client.jobs(limit=limit)]
    if as_json:
        echo_json([job.to_json() for job in jobs])
        return
    headings = [t("job.label.job"), t("job.label.state"), t("job.label.agreement"), t("job.label.submitted")]
    # To the minute, and the operation below its agreement, for the sake of narrow terminals.
    rows = [
        (
            job.job,
            job.state,
            "\n".join(filter(None, (job.agreement, job.operation))),
            (job.submitted_at or "")[:16].replace("T", "\n"),
        )
        for job in jobs
    ]
    show_list(t("job.list.title"), headings, rows, whole=(0, 1))


@app.command("result", help=t("job.result.help"))
def result(job: Name, out: OutFile = None, profile: ProfileOption = None, as_json: JsonFlag = False) -> None:
    """Fetch a result, verify that exactly it was released and recorded, open it, and show it or write its JSON."""
    with opened_client(profile, needs=("result_key", "trust")) as client:
        released = client.job(job).released()
    if out is not None:
        write_bytes(canonical_bytes(released.content) + b"\n", out)
    elif as_json:
        echo_json({"job": job, "digest": released.digest, "result": released.content, "receipt": released.evidence})
    else:
        _show_result(released)


@app.command("cancel", help=t("job.cancel.help"))
def cancel(job: Name, profile: ProfileOption = None, as_json: JsonFlag = False) -> None:
    """Call a job off."""
    with opened_client(profile) as client:
        found = client.job(job).cancel()
    _show_status(found.status, as_json=as_json)


@app.command("receipts", help=t("job.receipts.help"))
def receipts(
    job: Name,
    folder: Annotated[Path | None, typer.Option("--folder", file_okay=False, help=t("job.option.folder"))] = None,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Fetch the entries of a job with their receipts, to keep; `yingbi receipt verify` verifies them offline."""
    from yingbi.client.kept import keep

    with opened_client(profile) as client:
        found = client.job(job).receipts()
        if folder is not None:
            keep(folder, found, client.run(client.hub.evidence.keys_of(found)))
    if as_json:
        echo_json([one.to_json() for one in found])
        return
    headings = [t("job.label.index"), t("job.label.type")]
    show_list(t("job.receipts.title"), headings, [(one.index, one.type) for one in found])


@contextmanager
def opened_client(profile: str | None, *, needs: Sequence[str] = (), **changes: Any) -> "Iterator[Client]":
    """Yield a client of the hub that a profile names; `needs` are members that this command cannot do without.

    Raises:
        InvalidRequestError: there is no such profile, or something that is needed is in neither it nor an option.
    """
    # The SDK is loaded by the commands that need a hub, not by the others.
    from yingbi.client import open_client
    from yingbi.client.profiles import find_profile, read_profile

    path = find_profile(profile)
    if not path.exists():
        raise InvalidRequestError(
            ErrorCode.CONFIG_INVALID,
            f"there is no profile `{path}`",
            hint=f"name one with `--profile FILE` or `{_PROFILE}=FILE`; it has lines such as {_EXAMPLE}",
        )
    settings = read_profile(path, **changes)
    for name in needs:
        if getattr(settings, name) is None:
            raise _missing(name, path)
    with open_client(settings) as client:
        yield client


def echo_json(value: object) -> None:
    """Answer with one JSON value."""
    typer.echo(json.dumps(value, ensure_ascii=False))


def payload_of(envelope: Any) -> dict[str, Any]:
    """Return what the envelope of a statement says, as far as it can be read."""
    from yingbi.statement import parse_statement

    payload: dict[str, Any] = json.loads(parse_statement(canonical_bytes(envelope)).payload_bytes)
    return payload


def show_thing(title: str, rows: Sequence[tuple[str, object]]) -> None:
    """Show what there is to say of one thing."""
    show_table(title, [t("client.label.what"), t("client.label.value")], rows)


def show_listing(
    title: str, headings: Sequence[str], columns: Sequence[str], items: Sequence[Any], *, as_json: bool
) -> None:
    """Show some members of the items of a listing, or all of them as JSON."""
    if as_json:
        echo_json(list(items))
        return
    show_list(title, headings, [[_cell(item.get(column)) for column in columns] for item in items])


def show_filed(title: str, filed: "Filed", *, as_json: bool) -> None:
    """Show what became of statements: their entries, or whose signatures are missing."""
    if as_json:
        echo_json({"draft": filed.draft, "missing": filed.missing, "entries": filed.entries})
    elif filed.draft is not None:
        show_thing(
            title,
            [
                (t("client.label.outcome"), t("client.outcome.draft")),
                (t("client.label.draft"), filed.draft),
                (t("client.label.missing"), "\n".join(filed.missing)),
            ],
        )
    else:
        headings = [t("job.label.index"), t("job.label.type"), t("client.label.id")]
        show_table(title, headings, [[_cell(e.get(name)) for name in ("index", "type", "id")] for e in filed.entries])


def _missing(name: str, profile: Path) -> InvalidRequestError:
    match name:
        case "result_key":
            hint = f'`yingbi keys new result-key.pem --results` makes one; then `{name} = "result-key.pem"`'
        case "trust":
            hint = f'`{name} = "trust.json"`, the bureau\'s trust file: get it from the bureau, not from the hub'
        case _:
            hint = f"or `{name} = ...` in the profile `{profile}`"
            return InvalidRequestError(ErrorCode.USAGE, f"expected `--{name}`", hint=hint)
    return InvalidRequestError(ErrorCode.CONFIG_INVALID, f"expected `{name}` in the profile `{profile}`", hint=hint)


@contextmanager
def new_file(path: Path | None) -> "Iterator[None]":
    """Make a new file that only its owner can read; it is gone again where what is to be in it never comes.

    Raises:
        InvalidRequestError: it exists, or cannot be made; nothing was submitted.
    """
    if path is None:
        yield
        return
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        why = "exists" if isinstance(error, FileExistsError) else f"cannot be written: {error.strerror}"
        raise InvalidRequestError(
            ErrorCode.USAGE, f"file `{path}` {why}; nothing was submitted", hint="give another `--keep`"
        ) from error
    try:
        yield
    finally:
        if path.stat().st_size == 0:
            path.unlink()


def keep_own(submitted: "Job | Federation", path: Path | None) -> None:
    """Write what only the submitter has in the place of a file that was made for it."""
    if path is None:
        return
    with TemporaryDirectory(prefix=".yingbi-", dir=path.parent) as private:
        file = Path(private) / "job.json"
        submitted.save(file)
        file.chmod(0o600)
        file.replace(path)


def _wait(job: "Job", timeout_s: float | None, profile: str | None, *, as_json: bool) -> NoReturn:
    """Wait for a job, show where it is then, and end with the exit code of that."""
    began, command = monotonic(), next_command(["job", "wait", job.id], profile)
    try:
        job.wait(timeout_s=timeout_s, progress=not as_json)
    except KeyboardInterrupt:
        typer.echo(t("job.wait.goes_on", command=command), err=True)
        raise typer.Exit(_INTERRUPTED) from None
    except UnavailableError:
        if timeout_s is None or monotonic() - began < timeout_s:
            raise
        # The time is over; a hub that cannot be reached is something else, and says so here.
        job.refresh()
    _show_status(job.status, as_json=as_json)
    if not job.status.is_settled:
        if not as_json:
            typer.echo(t("job.wait.over", seconds=timeout_s, command=command), err=True)
        raise typer.Exit(int(ExitCode.UNAVAILABLE))
    if job.status.has_result and not as_json:
        typer.echo(t("job.submit.next", command=next_command(["job", "result", job.id], profile)))
    raise typer.Exit(int(_EXITS.get(job.state, ExitCode.OK)))


def next_command(words: Sequence[str], profile: str | None) -> str:
    """Return a command to go on with, as this one was called."""
    named = [] if profile is None or os.environ.get(_PROFILE) == profile else ["--profile", shlex.quote(profile)]
    return " ".join(["yingbi", *words, *named])


def _cell(value: object) -> object:
    if isinstance(value, list | tuple):
        return "\n".join(str(one) for one in value)
    return value


def _read_question(client: "Client", file: Path | None, sql: str | None) -> "Query[Any, Any]":
    if (file is None) is (sql is None):
        raise InvalidRequestError(ErrorCode.USAGE, "expected a file with a question, or `--sql TEXT`")
    if sql is not None:
        return client.sql(sql)
    data = read_file(file or Path())
    if not data.lstrip().startswith(b"{"):
        return client.sql(_text(data))
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise InvalidRequestError(ErrorCode.JSON_MALFORMED, "expected a plan in JSON, or SQL") from None
    return client.plan(value)


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidRequestError(ErrorCode.SQL_NOT_SUPPORTED, "expected a question in UTF-8") from None


def _show_decision(asked: "Query[Any, Any]", decision: "DryRun") -> None:
    from yingbi.client.decisions import reason_text

    nobody = t("job.word.nobody")
    rows: list[tuple[str, object]] = [
        (t("job.label.question"), "\n".join(asked.explain().sentences)),
        (t("client.label.outcome"), t("job.word.permitted") if decision.is_permitted else t("job.word.refused")),
        (t("job.label.operation"), "\n".join(asked.operations)),
        (t("job.label.reviewers"), "\n".join(decision.job_reviewers) or nobody),
        (t("job.label.checkers"), "\n".join(decision.output_reviewers) or nobody),
        (t("job.label.cost"), decision.cost_text or None),
        (t("job.label.remaining"), "\n".join(f"{name} {left}" for name, left in decision.remaining.items()) or None),
    ]
    rows += [(t("job.label.reason"), reason_text(reason)) for reason in decision.reasons]
    show_thing(t("job.dry_run.title"), rows)


def _show_status(status: "JobStatus", *, as_json: bool) -> None:
    if as_json:
        echo_json(status.to_json())
        return
    rows: list[tuple[str, object]] = [
        (t("job.label.job"), status.job),
        (t("job.label.state"), status.state),
        (t("job.label.agreement"), status.agreement),
        (t("job.label.operation"), status.operation),
        (t("job.label.submitted"), status.submitted_at),
        (t("job.label.expires"), status.expires_at),
    ]
    rows += [(t("job.label.reason"), line) for line in status.why()]
    show_thing(t("job.show.title"), rows)


def _show_result(released: "Released") -> None:
    from yingbi.client import TableResult, TrainingResult

    if isinstance(released, TrainingResult):
        named = (t("job.label.federation"), printable(str(released.document.get("federation"))))
        show_thing(t("job.result.training"), [named])
    elif isinstance(released, TableResult):
        show_table(t("job.result.table"), released.columns, released.shown())
        for note in released.notes:
            typer.echo(printable(note))
    else:
        headings = [t("job.label.term"), t("job.label.coefficient"), t("job.label.error")]
        rows = [(one.name, one.coefficient, one.standard_error) for one in released.terms]
        show_table(t("job.result.model"), headings, rows)
    index = released.evidence.get("index")
    typer.echo(t("job.result.verified", index=index, digest=released.digest))
