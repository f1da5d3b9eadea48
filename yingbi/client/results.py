"""Released results: what a node let out, with what was held back shown as such.

A suppressed value is no missing value. It is there and is not told, so it is neither NaN nor NA, which sums would pass
over in silence: in a frame it is `SUPPRESSED`, which prints as `·` and takes part in no arithmetic. How large it is
cannot be said either: some are small, others only protect these.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, NoReturn

from yingbi.canonical import JsonValue, digest_json
from yingbi.client.exchange import malformed_answer
from yingbi.client.expressions import not_permitted
from yingbi.client.problems import missing_extra
from yingbi.client.shown import fields_html, fields_text, table_html, table_text

__all__ = [
    "SUPPRESSED",
    "TOTAL",
    "ModelResult",
    "Released",
    "Suppressed",
    "TableResult",
    "Term",
    "TrainingResult",
    "parse_result",
]

TOTAL: Final = "(total)"
"""How the total over a dimension is named."""

_NUMBER: Final = re.compile(r"-?[0-9]{1,60}(?:\.[0-9]{1,60})?")


class Suppressed:
    """A value that is held back. There is one of it; it compares equal to itself alone."""

    __slots__ = ()
    _only: "Suppressed | None" = None

    def __new__(cls) -> "Suppressed":
        """Return the one that there is."""
        if cls._only is None:
            cls._only = super().__new__(cls)
        return cls._only

    def __repr__(self) -> str:
        return "·"

    def __reduce__(self) -> tuple[type["Suppressed"], tuple[()]]:
        return Suppressed, ()

    def _refuse(self, *_: object) -> NoReturn:
        raise not_permitted("arithmetic with a suppressed value", "rows without one: frame[frame[name] != SUPPRESSED]")

    __bool__ = __float__ = __int__ = __lt__ = __le__ = __gt__ = __ge__ = __neg__ = __abs__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = _refuse


SUPPRESSED: Final = Suppressed()
"""The value that is held back."""

Cell = str | Decimal | int | Suppressed | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TableResult:
    """A released table: `rows` in the order asked for, `columns` as shown, numbers exact.

    `evidence`: the entry that released it and its receipt, as plain data; `job`: the id of its job.
    """

    columns: tuple[str, ...]
    dimensions: frozenset[str]
    rows: tuple[tuple[Cell, ...], ...]
    suppressed_for: tuple[str, ...]
    rounding: int
    question: str
    rules: str
    digest: str
    job: str = ""
    evidence: Mapping[str, JsonValue] = field(default_factory=dict, repr=False)
    content: JsonValue = field(default=None, repr=False)

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what has to be known to read the numbers."""
        held = ", ".join(self.suppressed_for)
        return (
            f"counts are rounded to {self.rounding}" if self.rounding > 1 else "counts are exact",
            f"· is held back, against: {held}" if held else "nothing is held back",
        )

    def to_pandas(self) -> Any:
        """Return the table as a pandas frame.

        Categories are `string`; numbers are `Int64`, or `Float64` where they have a fraction. A column with a
        suppressed value is of type `object`, and `SUPPRESSED` stands where one is: adding it up fails instead of being
        wrong.
        `attrs` has `job`, `receipt`, `suppressed`, `notes`, `rules` and `question`.

        Raises:
            UnavailableError: pandas is not installed.
        """
        pandas = _pandas()
        frame = pandas.DataFrame(index=pandas.RangeIndex(len(self.rows)))
        for place, name in enumerate(self.columns):
            values = [row[place] for row in self.rows]
            frame[name] = _series(pandas, values, is_category=name in self.dimensions)
        frame.attrs.update(self._attributes())
        return frame

    def __str__(self) -> str:
        return "\n".join([table_text(self.columns, self.shown()), *self.notes])

    def _repr_html_(self) -> str:
        return table_html(self.columns, self.shown()) + "".join(f"<p>{note}</p>" for note in self.notes)

    def shown(self) -> list[tuple[object, ...]]:
        """Return the rows as people read them."""
        return [tuple(format(cell, "f") if isinstance(cell, Decimal) else cell for cell in row) for row in self.rows]

    def _attributes(self) -> dict[str, Any]:
        gone = [
            [number, name]
            for number, row in enumerate(self.rows)
            for name, cell in zip(self.columns, row, strict=True)
            if isinstance(cell, Suppressed)
        ]
        return {
            "job": self.job,
            "receipt": dict(self.evidence),
            "suppressed": gone,
            "notes": list(self.notes),
            "rules": self.rules,
            "question": self.question,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One parameter of a regression: an estimate and its standard error, or nothing where there is none."""

    name: str
    coefficient: float | None
    standard_error: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelResult:
    """A released regression."""

    family: str
    terms: tuple[Term, ...]
    observations: int
    r_squared: float | None
    question: str
    rules: str
    digest: str
    job: str = ""
    evidence: Mapping[str, JsonValue] = field(default_factory=dict, repr=False)
    content: JsonValue = field(default=None, repr=False)

    @property
    def coefficients(self) -> dict[str, float | None]:
        """Return the estimates by the names of their terms."""
        return {term.name: term.coefficient for term in self.terms}

    def to_pandas(self) -> Any:
        """Return the terms as a pandas frame, with `attrs` as a table has them.

        Raises:
            UnavailableError: pandas is not installed.
        """
        pandas = _pandas()
        frame = pandas.DataFrame(
            {
                "coefficient": pandas.array([term.coefficient for term in self.terms], dtype="Float64"),
                "standard_error": pandas.array([term.standard_error for term in self.terms], dtype="Float64"),
            },
            index=pandas.Index([term.name for term in self.terms], name="term"),
        )
        frame.attrs.update(job=self.job, receipt=dict(self.evidence), rules=self.rules, question=self.question)
        return frame

    def __str__(self) -> str:
        return f"{fields_text(self._title, self._facts())}\n{table_text(_TERMS, self._rows())}"

    def _repr_html_(self) -> str:
        return fields_html(self._title, self._facts()) + table_html(_TERMS, self._rows())

    @property
    def _title(self) -> str:
        return f"{self.family} regression"

    def _facts(self) -> dict[str, object]:
        return {"observations (rounded)": self.observations, "r squared": self.r_squared, "job": self.job}

    def _rows(self) -> list[tuple[object, ...]]:
        return [(term.name, term.coefficient, term.standard_error) for term in self.terms]


_TERMS: Final = ("term", "coefficient", "standard error")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """What a member of a federation has released: the same `document` as all other members.

    `yingbi.client.training_model.TrainedModel` is what one works with; `client.federation(...).result()` returns it.
    """

    document: Mapping[str, JsonValue]
    question: str
    rules: str
    digest: str
    job: str = ""
    evidence: Mapping[str, JsonValue] = field(default_factory=dict, repr=False)
    content: JsonValue = field(default=None, repr=False)

    def __str__(self) -> str:
        return fields_text(self._title, self._facts())

    def _repr_html_(self) -> str:
        return fields_html(self._title, self._facts())

    @property
    def _title(self) -> str:
        return "what a federation has trained"

    def _facts(self) -> dict[str, object]:
        names = ", ".join(sorted(self.document))
        return {"document": names, "digest": digest_json(dict(self.document)), "job": self.job}


Released = TableResult | ModelResult | TrainingResult
"""What nodes release."""


def parse_result(value: JsonValue, *, job: str, evidence: Mapping[str, JsonValue]) -> Released:
    """Read what a node released.

    Raises:
        VerificationError: it has another form.
    """
    if not isinstance(value, dict) or value.get("v") != 1:
        raise malformed_answer("a released table or model")
    try:
        about = {
            "question": str(value["question"]),
            "rules": str(value["rules"]),
            "digest": digest_json(value),
            "job": job,
            "evidence": evidence,
            "content": value,
        }
        match value["kind"]:
            case "table":
                return _table(value, about)
            case "model":
                return _model(value, about)
            case "training" if isinstance(value["document"], dict):
                return _training(value["document"], about)
    except (KeyError, TypeError, ValueError):
        pass
    raise malformed_answer("a released table or model")


def _table(value: Mapping[str, Any], about: Mapping[str, Any]) -> TableResult:
    kinds = {str(column["name"]): column["kind"] for column in value["columns"]}
    names = list(kinds)
    order = [str(name) for name in value["order"]]
    places = [names.index(name) for name in order]
    dimensions = frozenset(name for name, kind in kinds.items() if kind == "dimension")
    rows = []
    for row in value["rows"]:
        cells = [_cell(cell, is_category=name in dimensions) for name, cell in zip(names, row, strict=True)]
        rows.append(tuple(cells[place] for place in places))
    return TableResult(
        columns=tuple(order),
        dimensions=dimensions,
        rows=tuple(rows),
        suppressed_for=tuple(str(risk) for risk in value["suppressed_for"]),
        rounding=int(value["rounding"]),
        **about,
    )


def _model(value: Mapping[str, Any], about: Mapping[str, Any]) -> ModelResult:
    terms = tuple(
        Term(
            name=str(term["name"]),
            coefficient=_estimate(term["coefficient"]),
            standard_error=_estimate(term["standard_error"]),
        )
        for term in value["terms"]
    )
    return ModelResult(
        family=str(value["family"]),
        terms=terms,
        observations=int(value["observations"]),
        r_squared=_estimate(value["r_squared"]),
        **about,
    )


def _training(document: Mapping[str, Any], about: Mapping[str, Any]) -> TrainingResult:
    return TrainingResult(document=document, **about)


def _pandas() -> Any:
    try:
        import pandas as pd
    except ImportError as error:
        raise missing_extra("pandas", error) from error
    return pd


def _cell(cell: object, *, is_category: bool) -> Cell:
    if cell is None:
        return None
    if is_category:
        return TOTAL if cell == {"total": True} else _checked_text(cell)
    if cell == {"suppressed": True}:
        return SUPPRESSED
    text = _checked_text(cell)
    # SECURITY: `1e999999999` would become a number that fills the memory.
    if not _NUMBER.fullmatch(text):
        raise ValueError
    return Decimal(text) if "." in text else int(text)


def _checked_text(cell: object) -> str:
    if not isinstance(cell, str):
        raise TypeError
    return cell


def _estimate(text: object) -> float | None:
    if text is None:
        return None
    value = float(_checked_text(text))
    if not math.isfinite(value):
        raise ValueError
    return value


def _series(pandas: Any, values: Sequence[Cell], *, is_category: bool) -> Any:
    if is_category:
        return pandas.Series(values, dtype="string")
    is_whole = all(not isinstance(value, Decimal) for value in values)
    if any(isinstance(value, Suppressed) for value in values):
        return pandas.Series([_object(pandas, value) for value in values], dtype="object")
    if is_whole and all(value is None or abs(int(str(value))) < 2**63 for value in values):
        return pandas.Series([pandas.NA if value is None else value for value in values], dtype="Int64")
    return pandas.Series([pandas.NA if value is None else float(str(value)) for value in values], dtype="Float64")


def _object(pandas: Any, value: Cell) -> object:
    if value is None:
        return pandas.NA
    return float(value) if isinstance(value, Decimal) else value
