"""`yingbi agreement`: check, explain, compare and show agreements, without running anything."""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yingbi.canonical import canonical_bytes
from yingbi.cli.output import (
    JsonFlag,
    OutFile,
    missing_extra,
    printable,
    read_file,
    show_fields,
    show_rows,
    write_bytes,
)
from yingbi.cli.text import t
from yingbi.clock import SystemClock, parse_time
from yingbi.errors import ErrorCode, ExitCode, InvalidRequestError

if TYPE_CHECKING:
    from policies.model import Agreement
    from policies.parse import Reading
    from policies.problems import AgreementProblem
    from policies.request import CatalogueView, Context, Request
    from policies.validate import Surroundings
    from sandbox.catalog.model import Catalogue

__all__ = ["app"]

app = typer.Typer(help=t("agreement.help"), no_args_is_help=True)

AgreementFile = Annotated[Path, typer.Argument(help=t("agreement.argument.file"))]
CatalogueFile = Annotated[Path | None, typer.Option("--catalogue", help=t("agreement.option.catalogue"))]
NodeFolder = Annotated[Path | None, typer.Option("--node", help=t("agreement.option.node"))]
Licensed = Annotated[list[str] | None, typer.Option("--licensed", help=t("agreement.option.licensed"))]
At = Annotated[str | None, typer.Option("--at", help=t("agreement.option.at"))]


@app.command("check", help=t("agreement.check.help"))
def check(
    file: AgreementFile,
    catalogue: CatalogueFile = None,
    node: NodeFolder = None,
    licensed: Licensed = None,
    at: At = None,
    as_json: JsonFlag = False,
) -> None:
    """List everything that is wrong with an agreement's text, against a catalogue where one is given."""
    from policies.parse import read_agreement
    from policies.validate import check_agreement

    reading = read_agreement(read_file(file))
    problems = reading.problems
    if reading.agreement is not None and (catalogue is not None or node is not None):
        around = _surroundings(_load_catalogue(catalogue, node), licensed, at)
        problems = check_agreement(reading.agreement, around, marks=reading.marks)
    _show_check(reading, problems, as_json=as_json)
    if problems:
        raise typer.Exit(int(ExitCode.DATA))


@app.command("explain", help=t("agreement.explain.help"))
def explain(
    request: Annotated[Path, typer.Argument(help=t("agreement.argument.request"))],
    agreement: Annotated[list[Path], typer.Option("--agreement", help=t("agreement.option.agreement"))],
    catalogue: CatalogueFile = None,
    node: NodeFolder = None,
    licensed: Licensed = None,
    at: At = None,
    as_json: JsonFlag = False,
) -> None:
    """Say whether a request would be permitted, by which rules, or what is missing and what would be enough."""
    from policies.codec import decision_to_json, parse_request
    from policies.evaluate import evaluate
    from policies.explain import explain as to_lines

    asked = parse_request(_load_json(request))
    context = _context(_load_catalogue(catalogue, node), licensed, at)
    decision = evaluate([_parse(path) for path in agreement], asked, context)
    if as_json:
        typer.echo(json.dumps(decision_to_json(decision), ensure_ascii=False))
    else:
        for line in to_lines(decision):
            typer.echo(printable(line))
    if not decision.is_permitted:
        raise typer.Exit(int(ExitCode.REFUSED))


@app.command("diff", help=t("agreement.diff.help"))
def diff(
    before: AgreementFile,
    after: AgreementFile,
    requests: Annotated[Path | None, typer.Option("--requests", help=t("agreement.option.requests"))] = None,
    catalogue: CatalogueFile = None,
    node: NodeFolder = None,
    licensed: Licensed = None,
    at: At = None,
    as_json: JsonFlag = False,
) -> None:
    """Say what a change newly allows and newly refuses, over recorded requests too."""
    from policies.diff import compare, find_flips

    old, new = _parse(before), _parse(after)
    changes = [(str(each.effect), each.path, each.before, each.after) for each in compare(old, new).changes]
    flips: list[tuple[int, str, str]] = []
    if requests is not None:
        context = _context(_load_catalogue(catalogue, node), licensed, at)
        found = find_flips(old, new, _load_requests(requests), context)
        flips = [(flip.index, str(flip.before), str(flip.after)) for flip in found]
    names, columns = ("effect", "path", "before", "after"), ("index", "before", "after")
    if as_json:
        body = {
            "changes": [dict(zip(names, row, strict=True)) for row in changes],
            "flips": [dict(zip(columns, row, strict=True)) for row in flips],
        }
        typer.echo(json.dumps(body, ensure_ascii=False))
        return
    if changes:
        show_rows(t("agreement.diff.title"), ("effect", "path", "before", "after"), changes, as_json=False)
    else:
        typer.echo(t("agreement.diff.nothing"))
    if requests is not None:
        show_rows(t("agreement.flips.title"), ("index", "before", "after"), flips, as_json=False)


@app.command("odrl", help=t("agreement.odrl.help"))
def odrl(file: AgreementFile, out: OutFile = None) -> None:
    """Write an agreement as ODRL 2.2."""
    from policies.odrl import to_odrl

    write_bytes(json.dumps(to_odrl(_parse(file)), ensure_ascii=False, indent=2).encode() + b"\n", out)


@app.command("digest", help=t("agreement.digest.help"))
def digest(file: AgreementFile, out: OutFile = None, as_json: JsonFlag = False) -> None:
    """Show the digest of an agreement's terms; write the canonical JSON that it is over to a file."""
    from policies.model import terms_digest, to_json

    agreement = _parse(file)
    if out is not None:
        write_bytes(canonical_bytes(to_json(agreement)), out)
    fields = {"agreement": agreement.id, "version": agreement.version, "terms": terms_digest(agreement)}
    show_fields(t("agreement.digest.title"), fields, as_json=as_json)


def _show_check(reading: "Reading", problems: "Sequence[AgreementProblem]", *, as_json: bool) -> None:
    from policies.model import terms_digest

    rows = [(each.line, each.column, each.path, each.message, each.hint) for each in problems]
    names = ("line", "column", "path", "message", "hint")
    terms = None if reading.agreement is None else terms_digest(reading.agreement)
    if as_json:
        body = {"terms": terms, "problems": [dict(zip(names, row, strict=True)) for row in rows]}
        typer.echo(json.dumps(body, ensure_ascii=False))
    elif rows:
        show_rows(t("agreement.check.title"), ("line", "column", "path", "message", "hint"), rows, as_json=False)
    else:
        typer.echo(t("agreement.check.good", terms=terms))


def _parse(path: Path) -> "Agreement":
    from policies.parse import parse_agreement

    return parse_agreement(read_file(path))


def _surroundings(catalogue: "Catalogue", licensed: list[str] | None, at: str | None) -> "Surroundings":
    from policies.validate import Surroundings

    return Surroundings(
        catalogue=_view(catalogue),
        datasets=frozenset(catalogue.datasets),
        licensed_intermediaries=None if licensed is None else frozenset(licensed),
        at=_time(at),
    )


def _context(catalogue: "Catalogue", licensed: list[str] | None, at: str | None) -> "Context":
    from policies.request import Context

    return Context(at=_time(at), catalogue=_view(catalogue), licensed_intermediaries=frozenset(licensed or ()))


def _time(at: str | None) -> datetime:
    return SystemClock().now() if at is None else parse_time(at)


def _view(catalogue: "Catalogue") -> "CatalogueView":
    from sandbox.catalog.view import CatalogueFacts

    return CatalogueFacts(catalogue)


def _load_catalogue(file: Path | None, node: Path | None) -> "Catalogue":
    if (file is None) == (node is None):
        raise InvalidRequestError(ErrorCode.USAGE, "expected one of `--catalogue` and `--node`")
    if file is not None:
        return _read_catalogue(_load_json(file))
    try:
        from sandbox.node.home import NodeHome
    except ImportError as error:
        raise missing_extra("node", error) from error
    home = NodeHome.open(node or Path())
    try:
        return home.catalogue.load()
    finally:
        home.close()


def _read_catalogue(value: object) -> "Catalogue":
    from sandbox.catalog.codec import parse_dataset
    from sandbox.catalog.model import Catalogue

    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise InvalidRequestError(ErrorCode.CATALOGUE_INVALID, "expected a JSON list of data sets")
    datasets = [parse_dataset(each) for each in value]
    return Catalogue(datasets={dataset.name: dataset for dataset in datasets})


def _load_requests(path: Path) -> "list[Request]":
    from policies.codec import parse_request

    value = _load_json(path)
    return [parse_request(each) for each in (value if isinstance(value, list) else [value])]


def _load_json(path: Path) -> object:
    try:
        return json.loads(read_file(path))
    except (ValueError, RecursionError):
        raise InvalidRequestError(ErrorCode.JSON_MALFORMED, f"expected JSON in UTF-8 in file `{path}`") from None
