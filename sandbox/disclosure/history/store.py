"""What history remembers, durable in the node's database: one transaction an answer, in one order for all processes.

The head is a compare-and-swap: an answer is recorded only if nothing was recorded since it was judged, so that no two
processes can release answers that were judged without each other. The swap comes first in the transaction, and takes
the database's write lock with it.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine, insert, select, update
from sqlalchemy.exc import IntegrityError

from sandbox.database import METADATA, translated
from sandbox.disclosure.history.scopes import Scope, SystemKey
from sandbox.disclosure.history.tables import ANSWER, HEAD, MASK, PART, TABLES
from sandbox.operations.measure import Measure, MeasureKind
from yingbi.canonical import JsonValue, canonical_bytes
from yingbi.clock import Clock, format_time
from yingbi.errors import ErrorCode, TamperDetectedError, UnavailableError
from yingbi.plan.model import Column, Comparison, Condition, Dimension

__all__ = ["Answer", "HistoryStore", "Layout", "Part"]

Bools = NDArray[np.bool_]

_MAX_LAYOUT_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """The cells of an answer: dimension keys and which dimensions are summed over (cells x dimensions)."""

    dimensions: tuple[Dimension, ...]
    keys: tuple[tuple[str | None, ...], ...]
    is_total: Bools


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """What an answer says in one system: which cells came out, and which must stay unknown."""

    system: SystemKey
    scope: Scope
    released: Bools
    held: Bools


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """An answer that was given: `question` is the digest, `masks` say which values came out, by measure."""

    sequence: int
    question: str
    layout: Layout
    parts: tuple[Part, ...]
    masks: Mapping[Measure, Bools]


class HistoryStore:
    """The answers of a node, in its database."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def prepare(self) -> None:
        """Make the tables and the head where there are none; safe to call from several processes."""
        with translated(ErrorCode.HISTORY_BUSY):
            METADATA.create_all(self._engine, tables=list(TABLES))
            try:
                with self._engine.begin() as connection:
                    if connection.execute(select(HEAD.c.sequence)).first() is None:
                        connection.execute(insert(HEAD).values(id=1, sequence=0))
            except IntegrityError:
                return

    def sequence(self) -> int:
        """Return the number of the newest answer; 0 before the first."""
        with translated(ErrorCode.HISTORY_BUSY), self._engine.connect() as connection:
            return int(connection.execute(select(HEAD.c.sequence)).scalar_one())

    def since(self, sequence: int) -> list[Answer]:
        """Return the answers after number `sequence`, in order.

        Raises:
            TamperDetectedError: a stored answer cannot be read, or one is missing.
        """
        with translated(ErrorCode.HISTORY_BUSY), self._engine.connect() as connection:
            newest = int(connection.execute(select(HEAD.c.sequence)).scalar_one())
            chosen = [table.c.sequence > sequence for table in (ANSWER, PART, MASK)]
            answers = connection.execute(select(ANSWER).where(chosen[0]).order_by(ANSWER.c.sequence)).all()
            parts = connection.execute(select(PART).where(chosen[1]).order_by(PART.c.sequence, PART.c.number)).all()
            masks = connection.execute(select(MASK).where(chosen[2]).order_by(MASK.c.sequence, MASK.c.number)).all()
        # SECURITY: an answer that is missing is one that later answers would not be checked against.
        if [row.sequence for row in answers] != list(range(sequence + 1, newest + 1)):
            raise _damaged()
        try:
            return [_answer(row, parts, masks) for row in answers]
        except (ValueError, KeyError, TypeError, zlib.error) as error:
            raise _damaged() from error

    def add(self, answer: Answer, evidence: Mapping[str, JsonValue]) -> None:
        """Record an answer whose number follows the newest; durable when this returns.

        Raises:
            UnavailableError: another answer has that number, or the database cannot write now.
        """
        number = {"sequence": answer.sequence}
        with translated(ErrorCode.HISTORY_BUSY), self._engine.begin() as connection:
            swap = update(HEAD).where(HEAD.c.sequence == answer.sequence - 1).values(number)
            if connection.execute(swap).rowcount != 1:
                raise UnavailableError(ErrorCode.HISTORY_BUSY, "an answer was recorded since this one was judged")
            connection.execute(insert(ANSWER).values(**number, **self._head_values(answer, evidence)))
            for place, part in enumerate(answer.parts):
                connection.execute(insert(PART).values(**number, number=place, **_part_values(part)))
            for place, (measure, released) in enumerate(answer.masks.items()):
                values = {"measure": _text(_measure_json(measure)), "released": _pack(released)}
                connection.execute(insert(MASK).values(**number, number=place, **values))

    def _head_values(self, answer: Answer, evidence: Mapping[str, JsonValue]) -> dict[str, object]:
        return {
            "question": answer.question,
            "layout": zlib.compress(canonical_bytes(_layout_json(answer.layout))),
            "recorded_at": format_time(self._clock.now()),
            "evidence": _text(dict(evidence)),
        }


def _answer(row: Any, parts: Any, masks: Any) -> Answer:
    layout = _layout(json.loads(_unzip(row.layout)))
    cells = len(layout.keys)
    return Answer(
        sequence=row.sequence,
        question=row.question,
        layout=layout,
        parts=tuple(_part(one, cells) for one in parts if one.sequence == row.sequence),
        masks={
            _measure(json.loads(one.measure)): _unpack(one.released, cells)
            for one in masks
            if one.sequence == row.sequence
        },
    )


def _part(row: Any, cells: int) -> Part:
    return Part(
        system=SystemKey(dataset=row.dataset, subject=row.subject),
        scope=_scope(json.loads(row.scope)),
        released=_unpack(row.released, cells),
        held=_unpack(row.held, cells),
    )


def _part_values(part: Part) -> dict[str, object]:
    return {
        "dataset": part.system.dataset,
        "subject": part.system.subject,
        "scope": _text(_scope_json(part.scope)),
        "released": _pack(part.released),
        "held": _pack(part.held),
    }


# --- forms ------------------------------------------------------------------------------------------------------------


def _text(value: object) -> str:
    return canonical_bytes(value).decode()


def _unzip(data: bytes) -> bytes:
    return zlib.decompressobj().decompress(data, _MAX_LAYOUT_BYTES)


def _pack(flags: Bools) -> bytes:
    return np.packbits(flags).tobytes()


def _unpack(data: bytes, cells: int) -> Bools:
    if len(data) != (cells + 7) // 8:
        raise ValueError("expected another number of cells")
    return np.unpackbits(np.frombuffer(data, dtype=np.uint8), count=cells).astype(bool)


def _layout_json(layout: Layout) -> dict[str, object]:
    return {
        "dimensions": [_dimension_json(one) for one in layout.dimensions],
        "keys": [list(key) for key in layout.keys],
        "totals": [[bool(flag) for flag in row] for row in layout.is_total],
    }


def _layout(value: dict[str, Any]) -> Layout:
    dimensions = tuple(_dimension(one) for one in value["dimensions"])
    totals = np.array(value["totals"], dtype=bool).reshape(len(value["keys"]), len(dimensions))
    return Layout(dimensions=dimensions, keys=tuple(tuple(key) for key in value["keys"]), is_total=totals)


def _column_json(column: Column) -> list[str]:
    return [column.dataset, column.name]


def _column(value: list[str]) -> Column:
    dataset, name = value
    return Column(dataset=dataset, name=name)


def _dimension_json(dimension: Dimension) -> dict[str, object]:
    edges = None if dimension.edges is None else list(dimension.edges)
    return {"column": _column_json(dimension.column), "edges": edges}


def _dimension(value: dict[str, Any]) -> Dimension:
    return Dimension(column=_column(value["column"]), edges=None if value["edges"] is None else tuple(value["edges"]))


def _condition_json(condition: Condition) -> dict[str, object]:
    return {
        "column": _column_json(condition.column),
        "is": str(condition.comparison),
        "values": list(condition.values),
    }


def _condition(value: dict[str, Any]) -> Condition:
    return Condition(column=_column(value["column"]), comparison=Comparison(value["is"]), values=tuple(value["values"]))


def _scope_json(scope: Scope) -> dict[str, object]:
    return {
        "versions": [[name, version] for name, version in scope.versions],
        "present": list(scope.present),
        "conditions": [_condition_json(one) for one in scope.conditions],
        "dimensions": [_dimension_json(one) for one in scope.dimensions],
    }


def _scope(value: dict[str, Any]) -> Scope:
    return Scope(
        versions=tuple((name, version) for name, version in value["versions"]),
        present=tuple(value["present"]),
        conditions=tuple(_condition(one) for one in value["conditions"]),
        dimensions=tuple(_dimension(one) for one in value["dimensions"]),
    )


def _measure_json(measure: Measure) -> dict[str, object]:
    return {
        "kind": str(measure.kind),
        "columns": [_column_json(one) for one in measure.columns],
        "where": [_condition_json(one) for one in measure.where],
        "fraction": measure.fraction,
    }


def _measure(value: dict[str, Any]) -> Measure:
    return Measure(
        kind=MeasureKind(value["kind"]),
        columns=tuple(_column(one) for one in value["columns"]),
        where=tuple(_condition(one) for one in value["where"]),
        fraction=value["fraction"],
    )


def _damaged() -> TamperDetectedError:
    return TamperDetectedError(ErrorCode.STORE_DAMAGED, "stored answers of the history cannot be read, or are missing")
