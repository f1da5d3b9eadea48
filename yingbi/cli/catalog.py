"""`yingbi catalog`: what data a node has, how it is graded, and what is never computed on."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from yingbi.cli.output import JsonFlag, OutFile, missing_extra, read_file, show_fields, show_rows, write_bytes
from yingbi.cli.text import t
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.events.fields import Grade, PrivacyUnit

if TYPE_CHECKING:
    from sandbox.catalog.model import Catalogue, DataItem, Dataset
    from sandbox.catalog.negative_list import NegativeHit
    from sandbox.catalog.problem import CatalogueInvalidError
    from sandbox.catalog.store import CatalogueEntry, CatalogueStore

__all__ = ["ExportFormat", "NodeOption", "app"]

_Code = TypeVar("_Code", bound=StrEnum)

app = typer.Typer(help=t("catalog.help"), no_args_is_help=True)
negative = typer.Typer(help=t("catalog.negative.help"), no_args_is_help=True)
app.add_typer(negative, name="negative")

NodeOption = Annotated[Path, typer.Option("--node", envvar="YINGBI_NODE", help=t("catalog.option.node"))]
DatasetName = Annotated[str, typer.Argument(help=t("catalog.argument.dataset"))]
By = Annotated[str, typer.Option("--by", help=t("catalog.option.by"))]
Second = Annotated[str | None, typer.Option("--second", help=t("catalog.option.second"))]


class ExportFormat(StrEnum):
    """Forms that the catalogue is written in."""

    CSV = "csv"
    JSON = "json"
    DCAT = "dcat"


@app.command("list", help=t("catalog.list.help"))
def list_datasets(node: NodeOption = Path(), as_json: JsonFlag = False) -> None:
    """List the data sets."""
    with _store(node) as store:
        catalogue = store.load()
        rows = [_summary(store.entry(name), catalogue) for name in sorted(catalogue.datasets)]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    names = ("dataset", "title", "openness", "grade", "version", "is_offered")
    show_rows(
        t("catalog.list.title"),
        ("dataset", "title", "openness", "grade", "version", "is_offered"),
        [tuple(_said(row[name]) for name in names) for row in rows],
        as_json=False,
    )


@app.command("show", help=t("catalog.show.help"))
def show(dataset: DatasetName, node: NodeOption = Path(), as_json: JsonFlag = False) -> None:
    """Show a data set and its items."""
    with _store(node) as store:
        entry, catalogue = store.entry(dataset), store.load()
    if as_json:
        typer.echo(json.dumps(_entry_json(entry, catalogue)))
        return
    summary = _summary(entry, catalogue)
    fields = {
        "dataset": summary["dataset"],
        "title": summary["title"],
        "owner": summary["owner"],
        "openness": summary["openness"],
        "is_offered": _said(summary["is_offered"]),
        "grade": summary["grade"],
        "privacy_unit": entry.dataset.privacy_unit,
        "membership": entry.dataset.membership,
        "max_rows": entry.dataset.max_rows_per_unit,
        "update_cycle": entry.dataset.update_cycle,
        "revision": entry.revision,
        "version": summary["version"],
        "digest": entry.digest,
    }
    show_fields(t("catalog.show.title"), fields, as_json=False)
    _show_items(entry)


@app.command("import", help=t("catalog.import.help"))
def import_file(
    file: Annotated[Path, typer.Argument(help=t("catalog.argument.file"))],
    by: By,
    node: NodeOption = Path(),
    second: Second = None,
    owner: Annotated[list[str] | None, typer.Option("--owner", help=t("catalog.option.owner"))] = None,
    is_check: Annotated[bool, typer.Option("--check", help=t("catalog.option.check"))] = False,
    as_json: JsonFlag = False,
) -> None:
    """Register or revise data sets from a CSV or JSON file, all of them or none."""
    data, owners = read_file(file), dict(_pair(text) for text in owner or ())
    with _store(node) as store:
        from sandbox.catalog.problem import CatalogueInvalidError

        try:
            datasets = _read_datasets(data, owners)
            entries = () if is_check else store.put(datasets, by=by, second=second)
        except CatalogueInvalidError as error:
            _show_problems(error, as_json=as_json)
            raise
    revisions = {entry.dataset.name: entry.revision for entry in entries}
    rows = [(each.name, each.title, len(each.items), revisions.get(each.name)) for each in datasets]
    show_rows(t("catalog.import.title"), ("dataset", "title", "items", "revision"), rows, as_json=as_json)


@app.command("export", help=t("catalog.export.help"))
def export(
    dataset: Annotated[list[str] | None, typer.Argument(help=t("catalog.argument.datasets"))] = None,
    node: NodeOption = Path(),
    form: Annotated[ExportFormat, typer.Option("--format", help=t("catalog.option.format"))] = ExportFormat.CSV,
    base: Annotated[str, typer.Option("--base", help=t("catalog.option.base"))] = "urn:yingbi:",
    title: Annotated[str, typer.Option("--title", help=t("catalog.option.title"))] = "Yingbi catalogue",
    publisher: Annotated[str, typer.Option("--publisher", help=t("catalog.option.publisher"))] = "Yingbi node",
    out: OutFile = None,
) -> None:
    """Write data sets as CSV, as JSON, or what is offered as DCAT."""
    with _store(node) as store:
        from sandbox.catalog.codec import dataset_to_json
        from sandbox.catalog.core_metadata import format_core_metadata
        from sandbox.catalog.dcat import catalogue_to_dcat

        catalogue = store.load()
        declared = [store.entry(name).declared for name in dataset or sorted(catalogue.datasets)]
    match form:
        case ExportFormat.CSV:
            data = format_core_metadata(declared)
        case ExportFormat.JSON:
            data = _pretty([dataset_to_json(each) for each in declared])
        case ExportFormat.DCAT:
            data = _pretty(
                catalogue_to_dcat(
                    _part(catalogue, dataset), base=base, title=title, description=title, publisher=publisher
                )
            )
    write_bytes(data, out)


@app.command("draft", help=t("catalog.draft.help"))
def draft(
    file: Annotated[Path, typer.Argument(help=t("catalog.argument.parquet"), dir_okay=False)],
    name: Annotated[str, typer.Option("--name", help=t("catalog.argument.dataset"))],
    title: Annotated[str, typer.Option("--title", help=t("catalog.option.dataset_title"))],
    owner: Annotated[str, typer.Option("--owner", help=t("catalog.option.unit"))],
    unit_column: Annotated[str, typer.Option("--unit-column", help=t("catalog.option.unit_column"))],
    privacy_unit: Annotated[PrivacyUnit, typer.Option("--privacy-unit", help=t("catalog.option.privacy_unit"))],
    rename: Annotated[list[str] | None, typer.Option("--rename", help=t("catalog.option.rename"))] = None,
    out: OutFile = None,
) -> None:
    """Write the draft of a catalogue entry, as JSON, from the schema of a Parquet file."""
    try:
        from sandbox.catalog.codec import dataset_to_json
        from sandbox.catalog.schema_import import DraftHead, draft_from_parquet
    except ImportError as error:
        raise missing_extra("node", error) from error
    head = DraftHead(
        name=name,
        title=title,
        owner=owner,
        privacy_unit=privacy_unit,
        unit_column=unit_column,
        names=dict(_pair(text) for text in rename or ()),
    )
    write_bytes(_pretty(dataset_to_json(draft_from_parquet(file, head))), out)


@app.command("suggest", help=t("catalog.suggest.help"))
def suggest(dataset: DatasetName, node: NodeOption = Path(), as_json: JsonFlag = False) -> None:
    """Suggest grades from what items are called, and keep them beside those of a profile (`yingbi data profile`)."""
    with _store(node) as store:
        from sandbox.catalog.detectors import evidence_of
        from sandbox.catalog.detectors import suggest as suggest_grades

        store.record_suggestions(dataset, suggest_grades(evidence_of(store.entry(dataset).declared)))
        found = store.suggestions(dataset)
    rows = [(each.item, each.detector, each.grade, each.basis, each.tenths) for each in found]
    show_rows(t("catalog.suggest.title"), ("item", "detector", "suggested", "basis", "tenths"), rows, as_json=as_json)


@app.command("confirm", help=t("catalog.confirm.help"))
def confirm(
    dataset: DatasetName,
    by: By,
    node: NodeOption = Path(),
    grade: Annotated[list[str] | None, typer.Option("--grade", help=t("catalog.option.grade"))] = None,
    is_all: Annotated[bool, typer.Option("--all", help=t("catalog.option.all"))] = False,
    second: Second = None,
    reason: Annotated[str | None, typer.Option("--reason", help=t("catalog.option.reason"))] = None,
    as_json: JsonFlag = False,
) -> None:
    """Confirm grades: those given, and with `--all` the stricter of declared and suggested of all that wait."""
    given = dict(_pair(text) for text in grade or ())
    with _store(node) as store:
        from sandbox.catalog.grades import strictest_grade
        from sandbox.catalog.grading import GradeDecision, LoweringReason

        entry = store.entry(dataset)
        grades = {name: _one_of(Grade, text) for name, text in given.items()}
        # What somebody confirmed stays as it is, also where it was lowered below a suggestion.
        for each in entry.gradings if is_all else ():
            if not each.state.is_confirmed:
                grades.setdefault(each.item, strictest_grade(each.grade, each.suggested or each.grade))
        why = None if reason is None else _one_of(LoweringReason, reason)
        decisions = [GradeDecision(item=name, grade=each, reason=why) for name, each in grades.items()]
        store.confirm_grades(dataset, decisions, expected_revision=entry.revision, by=by, second=second)
        entry = store.entry(dataset)
    _show_gradings(entry, as_json=as_json)


@app.command("withdraw", help=t("catalog.withdraw.help"))
def withdraw(dataset: DatasetName, node: NodeOption = Path(), as_json: JsonFlag = False) -> None:
    """Take a data set off the catalogue."""
    with _store(node) as store:
        store.withdraw(dataset)
    fields = {"dataset": dataset}
    show_fields(t("catalog.withdraw.title"), fields, as_json=as_json)


@negative.command("show", help=t("catalog.negative.show.help"))
def negative_show(node: NodeOption = Path(), as_json: JsonFlag = False) -> None:
    """Show the rules of the negative list."""
    with _store(node) as store:
        found, _ = store.negative_list()
    rows = [(rule.kind, rule.pattern, rule.reason) for rule in found.rules]
    show_rows(t("catalog.negative.show.title"), ("kind", "pattern", "reason"), rows, as_json=as_json)


@negative.command("set", help=t("catalog.negative.set.help"))
def negative_set(
    file: Annotated[Path, typer.Argument(help=t("catalog.argument.rules"))],
    by: By,
    node: NodeOption = Path(),
    second: Second = None,
    as_json: JsonFlag = False,
) -> None:
    """Set the negative list from a JSON file, and show what it hits."""
    value = _load_json(read_file(file))
    with _store(node) as store:
        from sandbox.catalog.negative_list import parse_negative_list

        store.set_negative_list(
            parse_negative_list(value), expected_revision=store.negative_list()[1], by=by, second=second
        )
        _show_hits(store, as_json=as_json)


@negative.command("check", help=t("catalog.negative.check.help"))
def negative_check(node: NodeOption = Path(), as_json: JsonFlag = False) -> None:
    """Show the items on the negative list, and which rule puts each there."""
    with _store(node) as store:
        _show_hits(store, as_json=as_json)


@contextmanager
def _store(node: Path) -> "Iterator[CatalogueStore]":
    try:
        from sandbox.node.home import NodeHome
    except ImportError as error:
        raise missing_extra("node", error) from error
    home = NodeHome.open(node)
    try:
        yield home.catalogue
    finally:
        home.database.dispose()


def _summary(entry: "CatalogueEntry", catalogue: "Catalogue") -> dict[str, object]:
    from sandbox.catalog.grades import dataset_grade, is_offered

    dataset, version = entry.dataset, catalogue.current(entry.dataset.name)
    return {
        "dataset": dataset.name,
        "title": dataset.title,
        "owner": dataset.owner,
        "openness": dataset.openness.value,
        "grade": dataset_grade(dataset).value,
        "items": len(dataset.items),
        "revision": entry.revision,
        "version": None if version is None else version.version,
        "is_offered": is_offered(dataset),
    }


def _entry_json(entry: "CatalogueEntry", catalogue: "Catalogue") -> dict[str, object]:
    from sandbox.catalog.codec import dataset_to_json

    summary = _summary(entry, catalogue)
    head = {name: summary[name] for name in ("revision", "version", "is_offered", "grade")}
    gradings = {each.item: _grading_json(each.state, each.suggested) for each in entry.gradings}
    return {"dataset": dataset_to_json(entry.dataset), **head, "digest": entry.digest, "grading": gradings}


def _grading_json(state: str, suggested: str | None) -> dict[str, object]:
    return {"state": str(state), "suggested": None if suggested is None else str(suggested)}


def _show_items(entry: "CatalogueEntry", *, as_json: bool = False) -> None:
    rows = [
        (*_item_row(item), each.state, each.suggested, listed if as_json else _said(listed))
        for item, each in zip(entry.dataset.items, entry.gradings, strict=True)
        for listed in (item.on_negative_list,)
    ]
    show_rows(
        t("catalog.items.title"),
        ("item", "title", "type", "role", "visibility", "grade", "state", "suggested", "on_negative_list"),
        rows,
        as_json=as_json,
    )


def _show_gradings(entry: "CatalogueEntry", *, as_json: bool) -> None:
    if as_json:
        _show_items(entry, as_json=True)
        return
    rows = [(each.item, each.grade, each.state, each.suggested) for each in entry.gradings]
    show_rows(t("catalog.items.title"), ("item", "grade", "state", "suggested"), rows, as_json=False)


def _item_row(item: "DataItem") -> tuple[object, ...]:
    return item.name, item.title, item.type, item.role, item.visibility, item.grade


def _said(value: object) -> object:
    """Return what people read instead of true and false."""
    return value if not isinstance(value, bool) else t("catalog.word.yes") if value else t("catalog.word.no")


def _show_problems(error: "CatalogueInvalidError", *, as_json: bool) -> None:
    rows = [(each.place, each.message) for each in error.problems]
    show_rows(t("catalog.problems.title"), ("place", "problem"), rows, as_json=as_json)


def _show_hits(store: "CatalogueStore", *, as_json: bool) -> None:
    from sandbox.catalog.negative_list import mark

    rules, _ = store.negative_list()
    declared = [store.entry(name).declared for name in sorted(store.load().datasets)]
    rows = [_hit_row(hit) for each in declared for hit in mark(each, rules)[1]]
    show_rows(t("catalog.hits.title"), ("dataset", "item", "kind", "pattern", "reason"), rows, as_json=as_json)


def _hit_row(hit: "NegativeHit") -> tuple[object, ...]:
    if hit.rule is None:
        return hit.dataset, hit.item, None, None, t("catalog.hits.declared")
    return hit.dataset, hit.item, hit.rule.kind, hit.rule.pattern, hit.rule.reason


def _part(catalogue: "Catalogue", names: Sequence[str] | None) -> "Catalogue":
    from sandbox.catalog.model import Catalogue

    if not names:
        return catalogue
    datasets = {name: catalogue.datasets[name] for name in names}
    return Catalogue(datasets=datasets, versions=catalogue.versions)


def _read_datasets(data: bytes, owners: dict[str, str]) -> "tuple[Dataset, ...]":
    from sandbox.catalog.codec import parse_dataset
    from sandbox.catalog.core_metadata import parse_core_metadata

    if data.lstrip()[:1] not in (b"{", b"["):
        return parse_core_metadata(data, owners=owners)
    value = _load_json(data)
    datasets = tuple(parse_dataset(each) for each in (value if isinstance(value, list) else [value]))
    _check_all(datasets, is_list=isinstance(value, list))
    return datasets


def _check_all(datasets: "Sequence[Dataset]", *, is_list: bool) -> None:
    """Refuse with the problems of all data sets at once, as reading a table does."""
    from sandbox.catalog.problem import CatalogueInvalidError, Problem
    from sandbox.catalog.validate import check_dataset

    problems = [
        Problem(path=f"[{index}].{problem.path}" if is_list else problem.path, message=problem.message)
        for index, dataset in enumerate(datasets)
        for problem in check_dataset(dataset)
    ]
    if problems:
        raise CatalogueInvalidError.of(problems)


def _load_json(data: bytes) -> Any:
    try:
        return json.loads(data, object_pairs_hook=_refuse_duplicates)
    except (ValueError, RecursionError):
        raise InvalidRequestError(
            ErrorCode.JSON_MALFORMED, "expected one JSON value in UTF-8, each member once in an object"
        ) from None


def _refuse_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    # SECURITY: of two members with one name a person sees one and the catalogue would take the other.
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError
    return value


def _pretty(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=2).encode("utf-8") + b"\n"


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not (name and sign and value):
        raise InvalidRequestError(ErrorCode.USAGE, "expected `NAME=VALUE`")
    return name, value


def _one_of(codes: type[_Code], text: str) -> _Code:
    try:
        return codes(text)
    except ValueError:
        raise InvalidRequestError(ErrorCode.USAGE, f"expected one of {', '.join(codes)}") from None
