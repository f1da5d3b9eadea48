"""Catalogue entries as a CSV table in the Chinese core metadata form, in and out (docs/catalogue.md, "CSV form").

The columns are those of the guideline for government information resource catalogues (政务信息资源目录编制指南, 2017,
after GB/T 21063.3), one row an item, and columns of ours for what a computation needs to know. A cell of a resource
that is empty means what the row above says, as in sheets with merged cells.

Every input is hostile: nothing is evaluated, formulas are refused, and every problem is reported with row and column.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, TypeVar

from sandbox.catalog.core_metadata_words import (
    AGREED,
    COLUMNS,
    CYCLES,
    GRADES,
    IGNORED,
    OPENNESS,
    RESOURCE_COLUMNS,
    ROLES,
    SHARING,
    TYPES,
    UNITS,
    Header,
    first_word,
)
from sandbox.catalog.grades import DRAFT_GRADE, strictest_openness
from sandbox.catalog.literals import MAX_DIGITS, decimal_text
from sandbox.catalog.model import DataItem, Dataset, ItemRole, ItemType, UpdateCycle, Visibility
from sandbox.catalog.problem import MAX_PROBLEMS, CatalogueInvalidError, Problem
from sandbox.catalog.validate import MAX_DECIMALS, NUMBERS, check_dataset
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.events.fields import Openness, PrivacyUnit

__all__ = ["MAX_BYTES", "MAX_CELL", "MAX_COLUMNS", "MAX_ROWS", "format_core_metadata", "parse_core_metadata"]

MAX_BYTES: Final = 64 << 20
MAX_ROWS: Final = 200_000
MAX_COLUMNS: Final = 256
MAX_CELL: Final = 131_072
"""Longest cell, in characters: the limit of Python's own reader."""

_Code = TypeVar("_Code")

# SECURITY: what a spreadsheet takes for the beginning of a formula, also as full-width characters.
_FORMULA: Final = tuple("=+-@＝＋－＠")
_NUMBERS_ONLY: Final = re.compile(r"-?[0-9][0-9.;；-]*")
_NUMBER: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_LENGTH: Final = re.compile(r"[0-9]{1,5}(?:[,，.](?P<decimals>[0-9]{1,2}))?")
# Three characters of Chinese in UTF-8; that many bytes of GB 18030 hardly ever look like it.
_UTF8_RUN: Final = re.compile(rb"(?:[\xe3-\xe9][\x80-\xbf][\x80-\xbf]){3}")
_UTF8_BOM: Final = b"\xef\xbb\xbf"
_CURRENCY_DECIMALS: Final = 2


def parse_core_metadata(data: bytes, *, owners: Mapping[str, str] | None = None) -> tuple[Dataset, ...]:
    """Read the data sets of a table, in UTF-8 (with or without BOM) or GB 18030.

    Args:
        data: the file.
        owners: which party (`unit:futian-tax`) a unit's name in the table stands for; a party stands for itself.

    Raises:
        CatalogueInvalidError: anything at all is wrong; `problems` has every problem with its row and column.
    """
    table = _Table(owners=owners or {})
    datasets = tuple(table.read(data))
    if table.problems:
        raise CatalogueInvalidError.of(table.problems)
    return datasets


def format_core_metadata(datasets: Iterable[Dataset]) -> bytes:
    """Write data sets as a table, in UTF-8 with BOM, as spreadsheets want it; reading it gives the same data sets.

    Raises:
        InvalidRequestError: a domain is too long for a cell; the JSON form takes it.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([header.value for header in COLUMNS])
    for dataset in datasets:
        for item in dataset.items:
            cells = {**_resource_cells(dataset), **_item_cells(item)}
            writer.writerow([_guard(cells[header]) for header in COLUMNS])
    return _UTF8_BOM + out.getvalue().encode("utf-8")


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of the table: its number as a spreadsheet shows it, and its cells by header."""

    number: int
    cells: dict[Header, str]

    def __getitem__(self, header: Header) -> str:
        return self.cells.get(header, "")


@dataclass(slots=True)
class _Table:
    """One reading of a table: goes on after a problem, so that all are found at once."""

    owners: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list)
    bad_rows: set[int] = field(default_factory=set)

    def read(self, data: bytes) -> Iterator[Dataset]:
        """Yield the data sets that can be made, noting everything that is wrong."""
        text = self._decode(data)
        rows = self._rows(text) if text is not None else []
        for group in self._groups(rows):
            if (dataset := self._dataset(group)) is not None:
                yield dataset

    def _note(self, message: str, row: int | None = None, header: str | None = None) -> None:
        if row is not None:
            self.bad_rows.add(row)
        # A table of nothing but problems would only fill the memory.
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(message=message, path="" if row else "file", row=row, column=header))

    # --- bytes to rows ------------------------------------------------------------------------------------------------

    def _decode(self, data: bytes) -> str | None:
        if len(data) > MAX_BYTES:
            self._note(f"expected at most {MAX_BYTES} bytes, got {len(data)}")
            return None
        try:
            return data.removeprefix(_UTF8_BOM).decode("utf-8")
        except UnicodeDecodeError:
            pass
        if data.startswith(_UTF8_BOM) or self._note_mixed(data):
            if not self.problems:
                self._note("expected UTF-8 throughout, as the mark at its beginning says")
            return None
        try:
            return data.decode("gb18030")
        except UnicodeDecodeError:
            self._note("expected a file in UTF-8 or GB 18030")
            return None

    def _note_mixed(self, data: bytes) -> bool:
        # SECURITY: read as GB 18030, lines of UTF-8 become other words without any error.
        for number, line in enumerate(data.split(b"\n"), 1):
            if _UTF8_RUN.search(line):
                self._note("expected one encoding, got a line of UTF-8 in a file that is not", number)
        return bool(self.problems)

    def _rows(self, text: str) -> list[_Row]:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        headers: list[Header | None] | None = None
        rows: list[_Row] = []
        number = 0
        while True:
            number += 1
            try:
                cells = next(reader)
            except StopIteration:
                break
            except csv.Error:
                self._note(f"expected a row of CSV with cells of at most {MAX_CELL} characters", number)
                break
            if number > MAX_ROWS + 1:
                self._note(f"expected at most {MAX_ROWS} rows")
                break
            if len(cells) > MAX_COLUMNS:
                self._note(f"expected at most {MAX_COLUMNS} columns", number)
                break
            if headers is None:
                headers = self._headers(cells)
            elif any(cell.strip() for cell in cells):
                rows.append(self._row(number, headers, cells))
        if headers is None and not self.problems:
            self._note("expected a row of headers")
        return rows

    def _headers(self, cells: list[str]) -> list[Header | None]:
        headers: list[Header | None] = []
        for index, cell in enumerate(cells, 1):
            name = cell.strip()
            header = AGREED.get(name)
            if header is None and name not in IGNORED:
                self._note("expected a known header", 1, f"#{index}")
            elif header is not None and header in headers:
                self._note("expected each header once", 1, header.value)
            headers.append(header)
        for header in (Header.TITLE, Header.NAME, Header.OWNER, Header.ITEM_TITLE, Header.ITEM_NAME, Header.TYPE):
            if header not in headers:
                self._note("expected this header", 1, header.value)
        return headers

    def _row(self, number: int, headers: Sequence[Header | None], cells: list[str]) -> _Row:
        if len(cells) != len(headers):
            self._note(f"expected {len(headers)} cells, got {len(cells)}", number)
        row = _Row(number, {})
        for header, cell in zip(headers, cells, strict=False):
            if header is not None and header not in row.cells:
                row.cells[header] = self._cell(number, header, cell.strip())
        return row

    def _cell(self, number: int, header: Header, cell: str) -> str:
        if not cell:
            return cell
        if cell.startswith("'"):
            return cell[1:]
        if cell.startswith(_FORMULA) and not _NUMBERS_ONLY.fullmatch(cell):
            self._note("expected text, got what a spreadsheet would compute", number, header.value)
            return ""
        if not (cell.isprintable() or all(line.isprintable() for line in cell.split("\n"))):
            self._note("expected printable characters", number, header.value)
            return ""
        return cell

    # --- rows to data sets --------------------------------------------------------------------------------------------

    def _groups(self, rows: list[_Row]) -> list[list[_Row]]:
        """Put the rows of each resource together, with the cells of the resource filled in."""
        groups: dict[str, list[_Row]] = {}
        name = ""
        for row in rows:
            name = row[Header.NAME] or name
            if not name:
                self._note("expected a code", row.number, Header.NAME.value)
                continue
            group = groups.setdefault(name, [])
            if group:
                self._check_same(group[0], row)
            group.append(row)
        return list(groups.values())

    def _check_same(self, first: _Row, row: _Row) -> None:
        for header in RESOURCE_COLUMNS:
            if row[header] and row[header] != first[header]:
                self._note(f"expected what row {first.number} says of the same resource", row.number, header.value)

    def _dataset(self, rows: list[_Row]) -> Dataset | None:
        head = rows[0]
        items = tuple(self._item(row) for row in rows)
        owner = head[Header.OWNER]
        sharing = self._code(head, Header.SHARING, SHARING, Openness.CONDITIONAL)
        openness = self._code(head, Header.OPENNESS, OPENNESS, Openness.CONDITIONAL)
        dataset = Dataset(
            name=head[Header.NAME],
            title=head[Header.TITLE],
            owner=self.owners.get(owner, owner),
            privacy_unit=self._privacy_unit(head),
            items=items,
            # SECURITY: what may not even be shared among units is not open to anybody.
            openness=strictest_openness(sharing, openness) if head[Header.SHARING] else openness,
            membership=self._visibility(head, Header.MEMBERSHIP),
            max_rows_per_unit=self._integer(head, Header.MAX_ROWS, 1),
            update_cycle=self._code(head, Header.CYCLE, CYCLES, UpdateCycle.IRREGULAR),
            description=head[Header.DESCRIPTION] or None,
        )
        # What is wrong with a cell is told once, not again as what is wrong with its meaning.
        if self.bad_rows.isdisjoint(row.number for row in rows):
            for problem in check_dataset(dataset):
                self._note_checked(problem, rows)
        return dataset if self.bad_rows.isdisjoint(row.number for row in rows) else None

    def _privacy_unit(self, head: _Row) -> PrivacyUnit:
        if not head[Header.PRIVACY_UNIT]:
            self._note("expected whose contribution is protected", head.number, Header.PRIVACY_UNIT.value)
        return self._code(head, Header.PRIVACY_UNIT, UNITS, PrivacyUnit.PERSON)

    def _note_checked(self, problem: Problem, rows: list[_Row]) -> None:
        """Note what is wrong with a data set where it stands in the table."""
        match = re.match(r"items\[([0-9]+)\]\.([a-z_]+)", problem.path)
        row = rows[int(match[1])] if match else rows[0]
        members = _ITEM_MEMBERS if match else _RESOURCE_MEMBERS
        header = members.get(match[2] if match else problem.path)
        self._note(problem.message, row.number, None if header is None else header.value)

    def _item(self, row: _Row) -> DataItem:
        kind, decimals = self._type(row)
        return DataItem(
            name=row[Header.ITEM_NAME],
            title=row[Header.ITEM_TITLE],
            type=kind,
            role=self._code(row, Header.ROLE, ROLES, ItemRole.ATTRIBUTE),
            visibility=self._visibility(row, Header.VISIBILITY),
            grade=self._code(row, Header.GRADE, GRADES, DRAFT_GRADE),
            classification=row[Header.CLASSIFICATION] or None,
            unit_of_measure=row[Header.UNIT_OF_MEASURE] or None,
            decimals=decimals,
            nullable=self._boolean(row, Header.NULLABLE, is_default=True),
            bounds=self._bounds(row),
            domain=_split(row[Header.DOMAIN]),
            edges=_split(row[Header.EDGES]),
            parent=row[Header.PARENT] or None,
            on_negative_list=self._boolean(row, Header.NEGATIVE, is_default=False),
            description=row[Header.ITEM_DESCRIPTION] or None,
        )

    def _type(self, row: _Row) -> tuple[ItemType, int]:
        kind = self._code(row, Header.TYPE, TYPES, None)
        if self._boolean(row, Header.IS_CODE, is_default=False):
            if kind is not None and kind is not ItemType.TEXT:
                self._note("expected a text type for what has a dictionary", row.number, Header.TYPE.value)
            return ItemType.CODE, 0
        if kind is None:
            if not row[Header.TYPE]:
                self._note("expected a type", row.number, Header.TYPE.value)
            return ItemType.TEXT, 0
        return self._number_type(row, kind) if kind in NUMBERS else (kind, 0)

    def _number_type(self, row: _Row, kind: ItemType) -> tuple[ItemType, int]:
        length = row[Header.LENGTH]
        match = _LENGTH.fullmatch(length)
        if length and match is None:
            self._note("expected a length such as `18` or `18,2`", row.number, Header.LENGTH.value)
        if match is not None and match["decimals"] is not None and kind is ItemType.DECIMAL:
            return ItemType.DECIMAL, int(match["decimals"])
        word = row[Header.TYPE]
        if kind is ItemType.INTEGER or word.startswith(("数值", "N")):
            return ItemType.INTEGER, 0
        return ItemType.DECIMAL, _CURRENCY_DECIMALS if word.startswith(("货币", "Y")) else MAX_DECIMALS

    def _bounds(self, row: _Row) -> tuple[Decimal, Decimal] | None:
        found = [self._decimal(row, header) for header in (Header.LEAST, Header.GREATEST)]
        least, greatest = found
        if least is not None and greatest is not None:
            return least, greatest
        if least is not None or greatest is not None:
            self._note("expected both a least and a greatest value", row.number, Header.LEAST.value)
        return None

    def _decimal(self, row: _Row, header: Header) -> Decimal | None:
        cell = row[header]
        if not cell:
            return None
        if len(cell) > MAX_DIGITS or not _NUMBER.fullmatch(cell):
            self._note("expected a decimal number", row.number, header.value)
            return None
        return Decimal(cell)

    def _integer(self, row: _Row, header: Header, default: int) -> int:
        cell = row[header]
        if not cell:
            return default
        if not re.fullmatch(r"[0-9]{1,9}", cell):
            self._note("expected a whole number", row.number, header.value)
            return default
        return int(cell)

    def _visibility(self, row: _Row, header: Header) -> Visibility:
        return Visibility.PUBLIC if self._boolean(row, header, is_default=False) else Visibility.CONFIDENTIAL

    def _boolean(self, row: _Row, header: Header, *, is_default: bool) -> bool:
        return self._code(row, header, {"是": True, "否": False}, is_default)

    def _code(self, row: _Row, header: Header, words: Mapping[str, _Code], default: _Code) -> _Code:
        cell = row[header]
        if not cell:
            return default
        if cell not in words:
            few = ", ".join(dict.fromkeys(_first_words(words)))
            self._note(f"expected one of {few}", row.number, header.value)
            return default
        return words[cell]


def _first_words(words: Mapping[str, object]) -> list[str]:
    return [first_word(words, value) for value in words.values()]


def _resource_cells(dataset: Dataset) -> dict[Header, str]:
    return {
        Header.TITLE: dataset.title,
        Header.NAME: dataset.name,
        Header.DESCRIPTION: dataset.description or "",
        Header.OWNER: dataset.owner,
        Header.SHARING: first_word(SHARING, dataset.openness),
        Header.OPENNESS: first_word(OPENNESS, dataset.openness),
        Header.CYCLE: first_word(CYCLES, dataset.update_cycle),
        Header.PRIVACY_UNIT: first_word(UNITS, dataset.privacy_unit),
        Header.MEMBERSHIP: _yes(dataset.membership is Visibility.PUBLIC),
        Header.MAX_ROWS: str(dataset.max_rows_per_unit),
    }


def _item_cells(item: DataItem) -> dict[Header, str]:
    is_code = item.type is ItemType.CODE
    return {
        Header.ITEM_TITLE: item.title,
        Header.ITEM_NAME: item.name,
        Header.TYPE: first_word(TYPES, ItemType.TEXT if is_code else item.type),
        Header.LENGTH: f"18,{item.decimals}" if item.type is ItemType.DECIMAL else "",
        Header.IS_CODE: _yes(is_code),
        Header.DOMAIN: _join(item.domain),
        Header.CLASSIFICATION: item.classification or "",
        Header.GRADE: first_word(GRADES, item.grade),
        Header.ROLE: first_word(ROLES, item.role),
        Header.VISIBILITY: _yes(item.visibility is Visibility.PUBLIC),
        Header.NULLABLE: _yes(item.nullable),
        Header.LEAST: "" if item.bounds is None else decimal_text(item.bounds[0]),
        Header.GREATEST: "" if item.bounds is None else decimal_text(item.bounds[1]),
        Header.EDGES: _join(item.edges),
        Header.PARENT: item.parent or "",
        Header.UNIT_OF_MEASURE: item.unit_of_measure or "",
        Header.NEGATIVE: _yes(item.on_negative_list),
        Header.ITEM_DESCRIPTION: item.description or "",
    }


def _guard(cell: str) -> str:
    if len(cell) >= MAX_CELL:
        raise InvalidRequestError(
            ErrorCode.CATALOGUE_INVALID, f"expected cells of less than {MAX_CELL} characters", hint="export JSON"
        )
    # SECURITY: a title that begins like a formula must not be computed by who opens the file.
    is_risky = cell.startswith((*_FORMULA, "'")) and not _NUMBERS_ONLY.fullmatch(cell)
    return f"'{cell}" if is_risky else cell


def _yes(is_so: bool) -> str:
    return "是" if is_so else "否"


def _split(cell: str) -> tuple[str, ...] | None:
    """Split at semicolons; a backslash before one (or before a backslash) makes it part of a value."""
    if not cell:
        return None
    parts = [""]
    chars = iter(cell)
    for char in chars:
        if char == "\\":
            parts[-1] += next(chars, "\\")
        elif char in ";；":
            parts.append("")
        else:
            parts[-1] += char
    return tuple(part.strip() for part in parts)


def _join(values: tuple[str, ...] | None) -> str:
    return ";".join(re.sub(r"([\\;；])", r"\\\1", value) for value in values or ())


_RESOURCE_MEMBERS: Final[Mapping[str, Header]] = {
    "name": Header.NAME,
    "title": Header.TITLE,
    "owner": Header.OWNER,
    "description": Header.DESCRIPTION,
    "max_rows_per_unit": Header.MAX_ROWS,
    "items": Header.ROLE,
}
_ITEM_MEMBERS: Final[Mapping[str, Header]] = {
    "name": Header.ITEM_NAME,
    "title": Header.ITEM_TITLE,
    "type": Header.TYPE,
    "classification": Header.CLASSIFICATION,
    "unit_of_measure": Header.UNIT_OF_MEASURE,
    "description": Header.ITEM_DESCRIPTION,
    "nullable": Header.NULLABLE,
    "decimals": Header.LENGTH,
    "bounds": Header.LEAST,
    "domain": Header.DOMAIN,
    "edges": Header.EDGES,
    "parent": Header.PARENT,
}
