"""SQL text to a plan (docs/spec/plan.md, "SQL"): the only importer of sqlglot, which serves as a parser only.

The tree that it makes is read node by node against an allow-list, of classes and of arguments of each class, into our
own closed types; it is never turned back into SQL, and nothing of the text ever runs. What is not understood entirely
is refused, and so is any exception.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

import sqlglot
from sqlglot import exp

from sandbox.query.scan import FUNCTIONS, Scanned, refusal, scan
from yingbi.errors import InvalidRequestError
from yingbi.plan.check import DATASET_PATTERN, NAME_PATTERN, check_plan
from yingbi.plan.codec import malformed_plan
from yingbi.plan.model import (
    Aggregate,
    Column,
    Comparison,
    Condition,
    Dimension,
    Direction,
    Function,
    Join,
    JoinKind,
    OrderBy,
    Plan,
    Presentation,
    ReleasedCondition,
    Scalar,
    Source,
    TableQuestion,
)
from yingbi.plan.names import default_name, distinct_names

__all__ = ["parse_sql"]

_DIALECT: Final = "duckdb"
_NAME: Final = re.compile(NAME_PATTERN)
_DATASET: Final = re.compile(DATASET_PATTERN)
_INTEGER: Final = re.compile(r"[0-9]{1,15}")

_A_COLUMN: Final = "a column: `name`, `alias.name` or `unit.resource.name`"
_A_DATASET: Final = 'a data set: unit.resource or "unit/resource", FOR VERSION AS OF n, and an alias'
_A_JOIN: Final = "JOIN or LEFT JOIN on the privacy unit: USING (column), or ON one.column = other.column"
_A_CONDITION: Final = "AND of column and literal: =, <>, <, <=, >, >=, IN, BETWEEN, IS NULL"
_A_LITERAL: Final = "a literal: number, text, DATE text, TRUE or FALSE"
_AN_OUTPUT: Final = "an output of the SELECT: its name, its position, or the same words"
_A_SELECT: Final = f"columns, and aggregates: {', '.join(FUNCTIONS)}"
_A_GROUPING: Final = "the dimensions of the SELECT, one by one or as CUBE (all of them)"

_COMPARISONS: Final[Mapping[type[exp.Expr], Comparison]] = {
    exp.EQ: Comparison.EQ,
    exp.NEQ: Comparison.NE,
    exp.LT: Comparison.LT,
    exp.LTE: Comparison.LE,
    exp.GT: Comparison.GT,
    exp.GTE: Comparison.GE,
}
_MIRRORED: Final = {
    Comparison.EQ: Comparison.EQ,
    Comparison.NE: Comparison.NE,
    Comparison.LT: Comparison.GT,
    Comparison.LE: Comparison.GE,
    Comparison.GT: Comparison.LT,
    Comparison.GE: Comparison.LE,
}
# Two-valued for rows that have a value, and rows without one meet neither: so negation is exact.
_NEGATED: Final = {
    Comparison.EQ: Comparison.NE,
    Comparison.NE: Comparison.EQ,
    Comparison.LT: Comparison.GE,
    Comparison.LE: Comparison.GT,
    Comparison.GT: Comparison.LE,
    Comparison.GE: Comparison.LT,
    Comparison.IN: Comparison.NOT_IN,
    Comparison.NOT_IN: Comparison.IN,
    Comparison.IS_NULL: Comparison.NOT_NULL,
    Comparison.NOT_NULL: Comparison.IS_NULL,
}
_FUNCTIONS: Final[Mapping[type[exp.Expr], Function]] = {
    exp.Sum: Function.SUM,
    exp.Avg: Function.MEAN,
    exp.Variance: Function.VARIANCE,
    exp.Stddev: Function.STDDEV,
    exp.StddevSamp: Function.STDDEV,
}

_Part = Dimension | Aggregate


def parse_sql(text: str) -> Plan:
    """Read a statement of the SQL subset (docs/spec/plan.md, "SQL"); names are resolved when the plan is bound.

    Raises:
        InvalidRequestError: anything else; the message says by kind what was found, the hint what is allowed instead.
    """
    scanned = scan(text)
    try:
        plan = _Reader(_parse(text, scanned)).read()
    except InvalidRequestError:
        raise
    except Exception:  # SECURITY: whatever a hostile text does to the parser is a refusal
        raise refusal("this statement", _A_SELECT) from None
    if problems := check_plan(plan):
        raise malformed_plan(problems)
    return plan


def _parse(text: str, scanned: Scanned) -> exp.Select:
    trees = sqlglot.parse(text, dialect=_DIALECT)
    # A semicolon at the end may leave an empty tree.
    found = [tree for tree in trees if tree is not None]
    if len(found) != 1 or type(found[0]) is not exp.Select:
        raise refusal("a statement that is not one SELECT", _A_SELECT)
    _check_complete(found[0], scanned)
    return found[0]


def _check_complete(tree: exp.Select, scanned: Scanned) -> None:
    """Refuse a tree that does not hold as many names and literals as the text.

    SECURITY: a parser may drop what it does not expect (a third argument of a quantile) or read a text as a name.
    """
    kinds = [type(node) for node in tree.walk()]
    if (kinds.count(exp.Identifier), kinds.count(exp.Literal)) != (scanned.names, scanned.literals):
        raise refusal("an argument too many, or a word of SQL as a name", f"{_A_SELECT}; quote such names")


def _take(node: object, kind: type[exp.Expr], allowed: str, *arguments: str) -> Mapping[str, object]:
    """Return the arguments of a node that is exactly of this class and has no others.

    INVARIANT: an argument that is not asked for is refused, so that no feature of the parser can pass unnoticed.
    """
    if type(node) is not kind or node.comments:
        raise refusal(_kind(node), allowed)
    for name, value in node.args.items():
        if name not in arguments and not (value is None or value is False or value == []):
            raise refusal(f"{_kind(node)} with `{name.strip('_')}`", allowed)
    return node.args


def _kind(node: object) -> str:
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(node).__name__).lower()
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}" if isinstance(node, exp.Expr) else "this"


def _name(node: object, allowed: str) -> str:
    """Return the name of an identifier: as written in quotes, in small letters without."""
    arguments = _take(node, exp.Identifier, allowed, "this", "quoted")
    name = str(arguments["this"])
    return name if arguments.get("quoted") else name.lower()


def _column_name(node: object, allowed: str) -> str:
    name = _name(node, allowed)
    if not _NAME.fullmatch(name):
        raise refusal("this name", f"{allowed}; names have small letters, digits and `_`")
    return name


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _unwrap(node: object) -> object:
    while type(node) is exp.Paren:
        node = _take(node, exp.Paren, _A_CONDITION, "this")["this"]
    return node


def _conjuncts(node: object) -> Iterator[object]:
    """Yield what AND joins, left to right; without recursion, since a partner says how deep it goes."""
    stack = [node]
    while stack:
        here = _unwrap(stack.pop())
        if type(here) is exp.And:
            arguments = _take(here, exp.And, _A_CONDITION, "this", "expression")
            stack += [arguments["expression"], arguments["this"]]
        else:
            yield here


def _literal(node: object) -> Scalar:
    """Return a literal: text of numbers, texts and dates, or a boolean."""
    node = _unwrap(node)
    if type(node) is exp.Boolean:
        return _take(node, exp.Boolean, _A_LITERAL, "this")["this"] is True
    if type(node) is exp.Neg:
        number = _take(node, exp.Neg, _A_LITERAL, "this")["this"]
        return f"-{_number(number)}"
    if type(node) is exp.Cast:
        return _date(node)
    return str(_take(node, exp.Literal, _A_LITERAL, "this", "is_string")["this"])


def _number(node: object) -> str:
    arguments = _take(node, exp.Literal, "a number", "this", "is_string")
    if arguments["is_string"]:
        raise refusal("a text", "a number")
    return str(arguments["this"])


def _date(node: object) -> str:
    arguments = _take(node, exp.Cast, _A_LITERAL, "this", "to")
    to = _take(arguments["to"], exp.DataType, _A_LITERAL, "this", "nested")
    text = _take(arguments["this"], exp.Literal, _A_LITERAL, "this", "is_string")
    if to["this"] is not exp.DType.DATE or to.get("nested") or not text["is_string"]:
        raise refusal("a cast", _A_LITERAL)
    return str(text["this"])


def _is_literal(node: object) -> bool:
    return type(_unwrap(node)) in (exp.Literal, exp.Neg, exp.Boolean, exp.Cast)


class _Reader:
    """Reads one SELECT; `_places` maps what may stand before a column's name to its data set."""

    def __init__(self, tree: exp.Select) -> None:
        self._tree = _take(
            tree, exp.Select, _A_SELECT, "expressions", "from_", "joins", "where", "group", "having", "order", "limit"
        )
        self._places: dict[str, str] = {}
        self._parts: list[_Part] = []
        self._names: list[str] = []

    def read(self) -> Plan:
        """Return the plan."""
        source = self._source()
        self._select()
        dimensions, margins = self._dimensions()
        aggregates = [part for part in self._parts if isinstance(part, Aggregate)]
        question = TableQuestion(
            source=source,
            where=self._where(self._tree.get("where")),
            group_by=tuple(dimensions),
            aggregates=tuple(aggregates),
            margins=margins,
        )
        return Plan(question=question, presentation=self._presentation())

    # --- FROM ---------------------------------------------------------------------------------------------------------

    def _source(self) -> Source:
        table = _take(self._tree.get("from_"), exp.From, _A_DATASET, "this")["this"]
        dataset, version = self._table(table)
        joins = tuple(self._join(join, dataset) for join in _list(self._tree.get("joins")))
        return Source(dataset=dataset, version=version, joins=joins)

    def _table(self, node: object) -> tuple[str, int | None]:
        arguments = _take(node, exp.Table, _A_DATASET, "this", "db", "alias", "version")
        name = _name(arguments["this"], _A_DATASET)
        unit = arguments.get("db")
        dataset = name if unit is None else f"{_name(unit, _A_DATASET)}/{name}"
        if not _DATASET.fullmatch(dataset):
            raise refusal("a table that is not a data set", _A_DATASET)
        self._remember(dataset, arguments.get("alias"))
        return dataset, self._version(arguments.get("version"))

    def _remember(self, dataset: str, alias: object) -> None:
        if alias is None:
            places = [dataset, dataset.partition("/")[2]]
        else:
            # SECURITY: `t as t(region)` would give columns other names.
            places = [_column_name(_take(alias, exp.TableAlias, _A_DATASET, "this")["this"], "a plain alias")]
        for place in places:
            if place in self._places:
                raise refusal("one name for two data sets", "different aliases")
            self._places[place] = dataset

    def _version(self, node: object) -> int | None:
        if node is None:
            return None
        arguments = _take(node, exp.Version, _A_DATASET, "this", "kind", "expression")
        if arguments["this"] != "VERSION" or arguments["kind"] != "AS OF":
            raise refusal("a moment in time", _A_DATASET)
        return self._integer(arguments["expression"], _A_DATASET)

    def _integer(self, node: object, allowed: str) -> int:
        number = _number(node)
        if not _INTEGER.fullmatch(number):
            raise refusal("this number", allowed)
        return int(number)

    def _join(self, node: object, base: str) -> Join:
        arguments = _take(node, exp.Join, _A_JOIN, "this", "side", "kind", "on", "using")
        side, kind = arguments.get("side") or "", arguments.get("kind") or ""
        if (side, kind) not in (("", ""), ("", "INNER"), ("LEFT", ""), ("LEFT", "OUTER")):
            raise refusal("this kind of join", _A_JOIN)
        dataset, version = self._table(arguments["this"])
        on, using = arguments.get("on"), _list(arguments.get("using"))
        if (on is None) is not bool(using):
            raise refusal("a join without a condition", _A_JOIN)
        columns = self._using(using) if on is None else self._on(on, base, dataset)
        return Join(
            dataset=dataset, kind=JoinKind.LEFT if side == "LEFT" else JoinKind.INNER, version=version, on=columns
        )

    def _using(self, names: list[object]) -> tuple[str, str]:
        if len(names) != 1:
            raise refusal("a join on several columns", _A_JOIN)
        node = names[0]
        if type(node) is exp.Column:
            node = _take(node, exp.Column, _A_JOIN, "this")["this"]
        name = _column_name(node, _A_JOIN)
        return name, name

    def _on(self, node: object, base: str, joined: str) -> tuple[str, str]:
        arguments = _take(_unwrap(node), exp.EQ, _A_JOIN, "this", "expression")
        columns = [self._column(arguments[side]) for side in ("this", "expression")]
        by_dataset = {column.dataset: column.name for column in columns}
        if set(by_dataset) != {base, joined}:
            raise refusal("a join that does not link both data sets", _A_JOIN)
        return by_dataset[base], by_dataset[joined]

    # --- SELECT -------------------------------------------------------------------------------------------------------

    def _select(self) -> None:
        found: list[tuple[_Part, str | None]] = []
        for node in _list(self._tree.get("expressions")):
            alias = None
            if type(node) is exp.Alias:
                arguments = _take(node, exp.Alias, _A_SELECT, "this", "alias")
                node, alias = arguments["this"], _column_name(arguments["alias"], "a plain alias")
            found.append((self._part(node), alias))
        if not any(isinstance(part, Aggregate) for part, _ in found):
            if not any(isinstance(part, Dimension) and part.edges == () for part, _ in found):
                raise refusal("a SELECT without an aggregate", _A_SELECT)
            found.append((Aggregate(function=Function.COUNT), None))
        self._parts = [part for part, _ in found]
        self._names = list(distinct_names([alias or default_name(part) for part, alias in found]))
        if any(alias is not None and alias != name for (_, alias), name in zip(found, self._names, strict=True)):
            raise refusal("one name for two outputs", "different aliases")

    def _part(self, node: object) -> _Part:
        if type(node) is exp.Column:
            return Dimension(column=self._column(node))
        if type(node) is exp.Anonymous:
            return self._bins(node)
        if type(node) is exp.Filter:
            arguments = _take(node, exp.Filter, _A_SELECT, "this", "expression")
            return self._aggregate(arguments["this"], self._where(arguments["expression"]))
        return self._aggregate(node, ())

    def _bins(self, node: object) -> Dimension:
        arguments = _take(node, exp.Anonymous, _A_SELECT, "this", "expressions")
        function, values = str(arguments["this"]).lower(), _list(arguments.get("expressions"))
        if function not in ("bin", "histogram") or not values:
            raise refusal("this function", _A_SELECT)
        edges = tuple(str(_literal(value)) for value in values[1:])
        if function == "histogram" and edges:
            raise refusal("edges of a histogram", "HISTOGRAM(column), or BIN(column, edge, ...)")
        if any(type(_unwrap(value)) is exp.Boolean for value in values[1:]):
            raise refusal("a boolean edge", "numbers or dates")
        return Dimension(column=self._column(values[0]), edges=edges)

    def _aggregate(self, node: object, where: tuple[Condition, ...]) -> Aggregate:
        if type(node) is exp.Count:
            return self._count(node, where)
        if type(node) is exp.Median:
            column = _take(node, exp.Median, _A_SELECT, "this")["this"]
            return Aggregate(function=Function.QUANTILE, column=self._column(column), fraction="0.5", where=where)
        if type(node) is exp.PercentileCont:
            arguments = _take(node, exp.PercentileCont, "QUANTILE_CONT(column, fraction)", "this", "expression")
            fraction = _number(arguments.get("expression"))
            return Aggregate(
                function=Function.QUANTILE, column=self._column(arguments["this"]), fraction=fraction, where=where
            )
        for kind, function in _FUNCTIONS.items():
            if type(node) is kind:
                column = _take(node, kind, _A_SELECT, "this")["this"]
                return Aggregate(function=function, column=self._column(column), where=where)
        raise refusal(_kind(node), _A_SELECT)

    def _count(self, node: object, where: tuple[Condition, ...]) -> Aggregate:
        allowed = "COUNT(*), COUNT(column) or COUNT(DISTINCT unit)"
        counted = _take(node, exp.Count, allowed, "this", "big_int").get("this")
        if type(counted) is exp.Star:
            _take(counted, exp.Star, allowed)
            return Aggregate(function=Function.COUNT, where=where)
        if type(counted) is exp.Distinct:
            columns = _list(_take(counted, exp.Distinct, allowed, "expressions")["expressions"])
            if len(columns) != 1:
                raise refusal("several columns", allowed)
            return Aggregate(function=Function.COUNT_UNITS, column=self._column(columns[0]), where=where)
        return Aggregate(function=Function.COUNT_VALUES, column=self._column(counted), where=where)

    def _column(self, node: object) -> Column:
        arguments = _take(_unwrap(node), exp.Column, _A_COLUMN, "this", "table", "db")
        name = _column_name(arguments["this"], _A_COLUMN)
        table = arguments.get("table")
        if table is None:
            return Column(dataset="", name=name)
        place = _name(table, _A_COLUMN)
        if (unit := arguments.get("db")) is not None:
            place = f"{_name(unit, _A_COLUMN)}/{place}"
        if place not in self._places:
            raise refusal("a column of a data set that is not in FROM", _A_COLUMN)
        return Column(dataset=self._places[place], name=name)

    # --- WHERE --------------------------------------------------------------------------------------------------------

    def _where(self, node: object) -> tuple[Condition, ...]:
        if node is None:
            return ()
        inner = _take(node, exp.Where, _A_CONDITION, "this")["this"]
        return tuple(condition for part in _conjuncts(inner) for condition in self._condition(part))

    def _condition(self, node: object) -> list[Condition]:
        negated = False
        while type(node) is exp.Not:
            node = _unwrap(_take(node, exp.Not, _A_CONDITION, "this")["this"])
            negated = not negated
        if type(node) is exp.Between and not negated:
            return self._between(node)
        condition = self._test(node)
        if not negated:
            return [condition]
        if type(node) is exp.Is and condition.comparison is Comparison.EQ:
            raise refusal("IS NOT TRUE or IS NOT FALSE", "IS TRUE, IS FALSE or IS NULL")
        negative = _NEGATED[condition.comparison]
        return [Condition(column=condition.column, comparison=negative, values=condition.values)]

    def _between(self, node: object) -> list[Condition]:
        arguments = _take(node, exp.Between, _A_CONDITION, "this", "low", "high")
        column = self._column(arguments["this"])
        return [
            Condition(column=column, comparison=Comparison.GE, values=(_literal(arguments["low"]),)),
            Condition(column=column, comparison=Comparison.LE, values=(_literal(arguments["high"]),)),
        ]

    def _test(self, node: object) -> Condition:
        if type(node) is exp.Column:
            return Condition(column=self._column(node), comparison=Comparison.EQ, values=(True,))
        if type(node) is exp.In:
            arguments = _take(node, exp.In, _A_CONDITION, "this", "expressions")
            values = tuple(_literal(value) for value in _list(arguments.get("expressions")))
            return Condition(column=self._column(arguments["this"]), comparison=Comparison.IN, values=values)
        if type(node) is exp.Is:
            return self._is(node)
        left, comparison, right = self._compared(node)
        return Condition(column=self._column(left), comparison=comparison, values=(_literal(right),))

    def _is(self, node: object) -> Condition:
        arguments = _take(node, exp.Is, _A_CONDITION, "this", "expression")
        column, value = self._column(arguments["this"]), arguments["expression"]
        if type(value) is exp.Boolean:
            return Condition(column=column, comparison=Comparison.EQ, values=(_literal(value),))
        _take(value, exp.Null, _A_CONDITION)
        return Condition(column=column, comparison=Comparison.IS_NULL)

    def _compared(self, node: object) -> tuple[object, Comparison, object]:
        """Return what is compared with a literal, how, and the literal, on whichever side it stood."""
        for kind, comparison in _COMPARISONS.items():
            if type(node) is kind:
                arguments = _take(node, kind, _A_CONDITION, "this", "expression")
                left, right = _unwrap(arguments["this"]), _unwrap(arguments["expression"])
                if _is_literal(left):
                    return right, _MIRRORED[comparison], left
                return left, comparison, right
        raise refusal(_kind(node), _A_CONDITION)

    # --- GROUP BY -----------------------------------------------------------------------------------------------------

    def _dimensions(self) -> tuple[list[Dimension], bool]:
        dimensions = [part for part in self._parts if isinstance(part, Dimension)]
        node = self._tree.get("group")
        items = [] if node is None else _list(_take(node, exp.Group, _A_GROUPING, "expressions")["expressions"])
        margins = any(type(item) in (exp.Cube, exp.Rollup) for item in items)
        if margins:
            items = self._cube(items)
        grouped = [self._output(item, _A_GROUPING) for item in items]
        if any(not isinstance(self._parts[index], Dimension) for index in grouped):
            raise refusal("grouping by an aggregate", _A_GROUPING)
        found = {self._parts[index] for index in grouped}
        if len(found) != len(grouped):
            raise refusal("a dimension twice", _A_GROUPING)
        if any(dimension not in found and dimension.edges != () for dimension in dimensions):
            raise refusal("a column that is neither grouped by nor aggregated", _A_GROUPING)
        return dimensions, margins

    def _cube(self, items: list[object]) -> list[object]:
        kind = type(items[0])
        if len(items) != 1 or kind not in (exp.Cube, exp.Rollup):
            raise refusal("a part of the dimensions in CUBE or ROLLUP", _A_GROUPING)
        inner = _list(
            _take(items[0], exp.Cube if kind is exp.Cube else exp.Rollup, _A_GROUPING, "expressions")["expressions"]
        )
        if kind is exp.Rollup and len(inner) > 1:
            raise refusal("ROLLUP over several dimensions", _A_GROUPING)
        return inner

    # --- layout -------------------------------------------------------------------------------------------------------

    def _output(self, node: object, allowed: str) -> int:
        """Return the position in the SELECT of what a node names: by number, by the same words, by alias."""
        node = _unwrap(node)
        if type(node) is exp.Literal:
            position = self._integer(node, allowed)
            if 1 <= position <= len(self._parts):
                return position - 1
        elif (part := self._part(node)) in self._parts:
            return self._parts.index(part)
        elif (named := self._alias(node)) is not None:
            return named
        raise refusal("something that the SELECT does not have", allowed)

    def _alias(self, node: object) -> int | None:
        if type(node) is not exp.Column:
            return None
        column = self._column(node)
        return self._names.index(column.name) if not column.dataset and column.name in self._names else None

    def _shown(self, node: object) -> int:
        # What is shown is ordered by its own names first, as SQL does.
        position = self._alias(_unwrap(node))
        return self._output(node, _AN_OUTPUT) if position is None else position

    def _presentation(self) -> Presentation:
        names = [name for _, name in self._by_kind()]
        columns = () if names == self._names else tuple(self._names)
        return Presentation(
            names=tuple(names),
            columns=columns,
            having=tuple(self._having()),
            order_by=tuple(self._order_by()),
            limit=self._limit(),
        )

    def _by_kind(self) -> list[tuple[_Part, str]]:
        pairs = list(zip(self._parts, self._names, strict=True))
        return sorted(pairs, key=lambda pair: isinstance(pair[0], Aggregate))

    def _having(self) -> Iterator[ReleasedCondition]:
        node = self._tree.get("having")
        if node is None:
            return
        allowed = "AND of an aggregate of the SELECT and a number"
        inner = _take(node, exp.Having, allowed, "this")["this"]
        for part in _conjuncts(inner):
            output, comparison, value = self._compared(part)
            name = self._names[self._output(output, allowed)]
            yield ReleasedCondition(output=name, comparison=comparison, value=_literal(value))

    def _order_by(self) -> Iterator[OrderBy]:
        node = self._tree.get("order")
        if node is None:
            return
        for item in _list(_take(node, exp.Order, _AN_OUTPUT, "expressions")["expressions"]):
            arguments = _take(item, exp.Ordered, f"{_AN_OUTPUT}, ASC or DESC", "this", "desc")
            direction = Direction.DESC if arguments.get("desc") else Direction.ASC
            yield OrderBy(output=self._names[self._shown(arguments["this"])], direction=direction)

    def _limit(self) -> int | None:
        node = self._tree.get("limit")
        if node is None:
            return None
        return self._integer(_take(node, exp.Limit, "LIMIT n", "expression")["expression"], "LIMIT n")
