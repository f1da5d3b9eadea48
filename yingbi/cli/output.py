"""How commands speak: rich tables for people, one JSON object for programs (`--json`), errors with their exit code."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from yingbi.cli.text import t
from yingbi.errors import ErrorCode, InvalidRequestError, SandboxError, UnavailableError

__all__ = [
    "JsonFlag",
    "OutFile",
    "fail",
    "missing_extra",
    "printable",
    "progress_bar",
    "read_file",
    "show_fields",
    "show_list",
    "show_rows",
    "show_table",
    "write_bytes",
]

_OWN_PACKAGES: Final = {"yingbi", "policies", "ledger", "sandbox", "federated", "api"}
_STDERR: Final = Console(stderr=True, highlight=False)
_STDOUT: Final = Console(highlight=False)
_MAX_INPUT: Final = 64 << 20

JsonFlag = Annotated[bool, typer.Option("--json", help=t("option.json"))]
OutFile = Annotated[Path | None, typer.Option("--out", "-o", help=t("option.out"), dir_okay=False)]


def show_fields(title: str, fields: Mapping[str, object], *, as_json: bool) -> None:
    """Show one thing: its fields under `title`, or as a JSON object."""
    if as_json:
        typer.echo(json.dumps(fields))
        return
    table = Table(title=title, show_header=False, title_justify="left")
    for name, value in fields.items():
        table.add_row(Text(t(f"field.{name}"), style="bold"), Text(_show(value), overflow="fold"))
    _STDOUT.print(table)


def show_rows(
    title: str,
    names: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    as_json: bool,
    whole: Sequence[int] = (),
) -> None:
    """Show many things of a kind as a table, or as a JSON array of objects."""
    if as_json:
        typer.echo(json.dumps([dict(zip(names, row, strict=True)) for row in rows]))
        return
    show_list(title, [t(f"field.{name}") for name in names], rows, whole=whole)


def show_list(
    title: str, headings: Sequence[str], rows: Sequence[Sequence[object]], *, whole: Sequence[int] = ()
) -> None:
    """Show rows as a table, or in words that there are none."""
    if rows:
        show_table(title, headings, rows, whole=whole)
    else:
        typer.echo(t("word.none", title=title))


def show_table(
    title: str, headings: Sequence[str], rows: Sequence[Sequence[object]], *, whole: Sequence[int] = ()
) -> None:
    """Show rows under headings that are somebody else's words; columns that are `whole` are never broken."""
    table = Table(title=title, title_justify="left")
    for place, heading in enumerate(headings):
        table.add_column(Text(printable(heading)), overflow="fold", no_wrap=place in whole)
    for row in rows:
        table.add_row(*(Text(_show(value), overflow="fold") for value in row))
    _STDOUT.print(table)


def write_bytes(data: bytes, path: Path | None) -> None:
    """Write a result to `path`, or to standard output.

    Raises:
        InvalidRequestError: the file cannot be written.
    """
    if path is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        path.write_bytes(data)
    except OSError as error:
        raise InvalidRequestError(ErrorCode.USAGE, f"file `{path}` cannot be written: {error.strerror}") from error


def read_file(path: Path) -> bytes:
    """Read an input file, `-` for standard input.

    Raises:
        InvalidRequestError: it cannot be read or is larger than any input should be.
    """
    try:
        if str(path) == "-":
            data = sys.stdin.buffer.read(_MAX_INPUT + 1)
        else:
            with path.open("rb") as file:
                data = file.read(_MAX_INPUT + 1)
    except OSError as error:
        raise InvalidRequestError(ErrorCode.USAGE, f"file `{path}` cannot be read: {error.strerror}") from error
    if len(data) > _MAX_INPUT:
        raise InvalidRequestError(ErrorCode.USAGE, f"file `{path}` is larger than {_MAX_INPUT} bytes")
    return data


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on standard error while long work runs; a file or pipe gets none."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=_STDERR, transient=True, disable=not _STDERR.is_terminal) as progress:
        task = progress.add_task(label, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def fail(error: SandboxError, *, as_json: bool = False) -> NoReturn:
    """Say what was wrong and what would work, and end with the error's exit code."""
    if as_json:
        body = {"code": error.code.value, "title": error.spec.title, "message": error.message, "hint": error.hint}
        typer.echo(json.dumps(body), err=True)
    else:
        line = Text.assemble((f"{t('word.error')} ", "bold red"), (f"{error.code} ", "bold"), printable(error.message))
        _STDERR.print(line, soft_wrap=True)
        if error.hint:
            hint = Text.assemble((f"{t('word.hint')} ", "bold"), printable(error.hint))
            _STDERR.print(hint, soft_wrap=True)
    raise typer.Exit(int(error.spec.exit_code))


def printable(text: str) -> str:
    """Return `text` as one line without characters that a terminal would interpret or could not show."""
    # SECURITY: texts may quote what somebody else wrote: a file's name, an origin.
    return "".join(char if char.isprintable() else "?" for char in text)


def missing_extra(extra: str, error: ImportError) -> UnavailableError:
    """Return the error for a command whose optional part is not installed.

    Raises:
        ImportError: what is missing is a module of ours, which no extra would bring.
    """
    if (error.name or "").partition(".")[0] in _OWN_PACKAGES:
        raise error
    return UnavailableError(
        ErrorCode.EXTRA_NOT_INSTALLED,
        f"this command needs the extra `{extra}`",
        hint=f"pip install 'yingbi[{extra}]'",
        detail=error.name,
    )


def _show(value: object) -> str:
    return "—" if value is None else "\n".join(printable(line) for line in str(value).split("\n"))
