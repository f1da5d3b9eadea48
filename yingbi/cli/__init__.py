"""The command line. Exit codes: 0 to 3 are verdicts of the verifier, others follow sysexits (docs/errors.md)."""

import logging
import os
import sys
from typing import Annotated, Final

import click
import typer

from yingbi import __version__
from yingbi.cli import (
    agreement,
    anchor,
    audit,
    catalog,
    checks,
    data,
    demo,
    duty,
    federation,
    hub,
    job,
    keys,
    log,
    node,
    offering,
    org,
    receipt,
    request,
    search,
    stopping,
    synth,
    verify,
    witness,
)
from yingbi.cli.output import fail
from yingbi.cli.text import t
from yingbi.errors import ErrorCode, ExitCode, InvalidRequestError, SandboxError, UnavailableError

__all__ = ["app", "main"]

_INTERRUPTED: Final = 130

app = typer.Typer(
    name="yingbi",
    help=t("app.help"),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
agreement.app.command("show", help=t("request.show.help"))(request.show)
stopping.add_agreement_steps(agreement.app)
search.add_search(catalog.app)
offering.add_offers(data.app)
checks.add_approval(job.app)
app.add_typer(org.app, name="org")
app.add_typer(duty.app, name="duty")
app.add_typer(catalog.app, name="catalog")
app.add_typer(data.app, name="data")
app.add_typer(agreement.app, name="agreement")
app.add_typer(request.app, name="request")
app.add_typer(job.app, name="job")
app.add_typer(federation.app, name="federation")
app.add_typer(checks.app, name="output")
app.add_typer(receipt.app, name="receipt")
app.command("freeze", help=t("stopping.freeze.help"))(stopping.freeze)
app.command("unfreeze", help=t("stopping.unfreeze.help"))(stopping.unfreeze)
app.command("incidents", help=t("stopping.incidents.help"))(stopping.incidents)
app.add_typer(hub.app, name="hub")
app.add_typer(node.app, name="node")
app.command("synth", help=t("synth.help"))(synth.synth)
app.add_typer(log.app, name="log")
app.add_typer(witness.app, name="witness")
app.add_typer(anchor.app, name="anchor")
app.add_typer(keys.app, name="keys")
app.add_typer(audit.app, name="audit")
app.command("verify", help=t("verify.help"))(verify.verify)
app.command("demo", help=t("demo.help"))(demo.demo)


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"yingbi {__version__}")
        raise typer.Exit


@app.callback()
def _callback(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help=t("option.version"))
    ] = False,
) -> None:
    """Take the options of all commands."""


def main() -> None:
    """Run the command line and end the process with its exit code."""
    as_json = "--json" in sys.argv
    try:
        _set_up_logging()
        code = app(standalone_mode=False) or 0
        sys.stdout.flush()
    except (click.exceptions.Abort, KeyboardInterrupt):
        code = _INTERRUPTED
    except (SystemExit, BrokenPipeError):
        # SECURITY: where nobody reads the output any more, click and rich would end with 1, which is a verdict.
        code = _discard_output()
    except Exception as error:
        code = _report(error, as_json=as_json)
    raise SystemExit(int(code))


def _set_up_logging() -> None:
    wanted = os.environ.get("YINGBI_LOG_LEVEL", "WARNING")
    level = logging.getLevelNamesMapping().get(wanted.upper())
    if level is None:
        raise InvalidRequestError(
            ErrorCode.CONFIG_INVALID, "expected `YINGBI_LOG_LEVEL` as DEBUG, INFO, WARNING, ERROR or CRITICAL"
        )
    logging.basicConfig(level=level, format="%(levelname)s %(name)s %(message)s")


def _report(error: Exception, *, as_json: bool) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return int(ExitCode.USAGE)
    try:
        fail(_as_ours(error), as_json=as_json)
    except typer.Exit as done:
        return done.exit_code


def _as_ours(error: Exception) -> SandboxError:
    match error:
        case SandboxError():
            return error
        case click.UsageError(ctx=click.Context() as context):
            hint = f"{context.command_path} --help"
            return InvalidRequestError(ErrorCode.USAGE, error.format_message().rstrip("."), hint=hint)
        case click.ClickException():
            return InvalidRequestError(ErrorCode.USAGE, error.format_message().rstrip("."))
        case OSError():
            _discard_output()
            where = f"file `{error.filename}`" if isinstance(error.filename, str) else "file error"
            return UnavailableError(ErrorCode.LOG_UNAVAILABLE, f"{where}: {error.strerror or type(error).__name__}")
        case _:
            # SECURITY: an unforeseen error's text may hold data; it goes to the log, not to the screen.
            logging.getLogger(__name__).debug("unforeseen error", exc_info=error)
            return SandboxError(ErrorCode.INTERNAL, "unforeseen error", hint="YINGBI_LOG_LEVEL=DEBUG shows it")


def _discard_output() -> int:
    """Keep output that nobody takes from failing once more while the interpreter ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return int(ExitCode.IO)
