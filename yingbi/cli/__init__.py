"""The command line. Exit codes: 0 to 3 are verdicts of the verifier, others follow sysexits (docs/errors.md)."""

import logging
import os
import sys
from typing import Annotated

import click
import typer

from yingbi import __version__
from yingbi.cli import anchor, demo, keys, log, verify, witness
from yingbi.cli.output import fail
from yingbi.cli.text import t
from yingbi.errors import ErrorCode, ExitCode, SandboxError, UnavailableError

__all__ = ["app", "main"]

app = typer.Typer(
    name="yingbi",
    help=t("app.help"),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(log.app, name="log")
app.add_typer(witness.app, name="witness")
app.add_typer(anchor.app, name="anchor")
app.add_typer(keys.app, name="keys")
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
    logging.basicConfig(
        level=os.environ.get("YINGBI_LOG_LEVEL", "WARNING"), format="%(levelname)s %(name)s %(message)s"
    )
    as_json = "--json" in sys.argv
    try:
        code = app(standalone_mode=False)
    except typer.Exit as done:
        code = done.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
        code = 130
    except click.ClickException as error:
        error.show()
        code = int(ExitCode.USAGE)
    except SandboxError as error:
        code = _report(error, as_json=as_json)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = int(ExitCode.IO)
    except OSError as error:
        code = _report(UnavailableError(ErrorCode.LOG_UNAVAILABLE, f"file error: {error.strerror}"), as_json=as_json)
    except Exception:
        # SECURITY: an unforeseen error's text may hold data; it goes to the log, not to the screen.
        logging.getLogger(__name__).debug("unforeseen error", exc_info=True)
        code = _report(
            SandboxError(ErrorCode.INTERNAL, "unforeseen error", hint="YINGBI_LOG_LEVEL=DEBUG shows it"),
            as_json=as_json,
        )
    raise SystemExit(code or 0)


def _report(error: SandboxError, *, as_json: bool) -> int:
    try:
        fail(error, as_json=as_json)
    except typer.Exit as done:
        return done.exit_code
