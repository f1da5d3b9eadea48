"""Plans as JSON and back (docs/spec/plan.md, "JSON"), and the digest that names a question.

The wire models are strict: nothing unknown, nothing converted. A column is written `name`, or `unit/resource.name`.
"""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from yingbi.canonical import JsonValue, canonical_bytes, digest_json, parse_canonical
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.plan.check import MAX_CODES, MAX_EDGES, MAX_PARAMETERS_BYTES, check_plan
from yingbi.plan.model import (
    MAX_AGGREGATES,
    MAX_CONDITIONS,
    MAX_DIMENSIONS,
    MAX_FEATURES,
    MAX_JOINS,
    MAX_MEMBERS,
    MAX_TRAINING_FEATURES,
    MAX_VALUES,
    Aggregate,
    CodedFeature,
    Column,
    Comparison,
    Condition,
    Dimension,
    Direction,
    Family,
    Function,
    Join,
    JoinKind,
    Member,
    NumericFeature,
    OrderBy,
    Plan,
    Presentation,
    Question,
    Recipe,
    RegressionQuestion,
    ReleasedCondition,
    Source,
    TableQuestion,
    TrainingFeature,
    TrainingPrivacy,
    TrainingQuestion,
)
from yingbi.plan.names import default_names

__all__ = [
    "MAX_PLAN_BYTES",
    "PLAN_VERSION",
    "canonical_training",
    "common_digest",
    "common_json",
    "malformed_plan",
    "parse_plan",
    "parse_plan_bytes",
    "plan_to_json",
    "question_digest",
    "question_to_json",
]

MAX_PLAN_BYTES: Final = 262_144
PLAN_VERSION: Final = 1
_MAX_SHOWN: Final = 8
_MAX_PATH: Final = 96
_TAGS: Final = frozenset({"table", "regression", "training", "numeric", "coded", "bool", "int", "constrained-str"})

_ColumnText = Annotated[
    str, Field(max_length=200, pattern=r"^(?:[a-z][a-z0-9_-]*/[a-z][a-z0-9_-]*\.)?[a-z][a-z0-9_]*$")
]
_Text = Annotated[str, Field(max_length=200)]
_Scalar = bool | int | _Text


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class _Condition(_Wire):
    column: _ColumnText
    comparison: Comparison = Field(alias="is", strict=False)
    values: Annotated[tuple[_Scalar, ...], Field(max_length=MAX_VALUES, strict=False)] = ()


_Conditions = Annotated[tuple[_Condition, ...], Field(max_length=MAX_CONDITIONS, strict=False)]


class _Dimension(_Wire):
    column: _ColumnText
    edges: Annotated[tuple[_Text, ...], Field(max_length=MAX_EDGES, strict=False)] | None = None


class _Aggregate(_Wire):
    function: Function = Field(strict=False)
    column: _ColumnText | None = None
    fraction: _Text | None = None
    where: _Conditions = ()


class _Join(_Wire):
    dataset: _Text
    kind: JoinKind = Field(strict=False)
    version: int | None = None
    on: Annotated[tuple[_Text, _Text], Field(strict=False)] | None = None


class _Source(_Wire):
    dataset: _Text
    version: int | None = None
    joins: Annotated[tuple[_Join, ...], Field(max_length=MAX_JOINS, strict=False)] = ()


class _Table(_Wire):
    kind: Literal["table"]
    source: _Source
    where: _Conditions = ()
    group_by: Annotated[tuple[_Dimension, ...], Field(max_length=MAX_DIMENSIONS, strict=False)] = ()
    aggregates: Annotated[tuple[_Aggregate, ...], Field(max_length=MAX_AGGREGATES, strict=False)]
    margins: bool = False


class _Regression(_Wire):
    kind: Literal["regression"]
    source: _Source
    family: Family = Field(strict=False)
    target: _ColumnText
    features: Annotated[tuple[_ColumnText, ...], Field(max_length=MAX_FEATURES, strict=False)]
    where: _Conditions = ()


class _Member(_Wire):
    agreement: _Text
    dataset: _Text
    job: _Text
    node: _Text


class _Numeric(_Wire):
    name: _Text
    kind: Literal["numeric"]
    bounds: Annotated[tuple[_Text, _Text], Field(strict=False)]
    edges: Annotated[tuple[_Text, ...], Field(max_length=MAX_EDGES, strict=False)] = ()


class _Coded(_Wire):
    name: _Text
    kind: Literal["coded"]
    codes: Annotated[tuple[_Text, ...], Field(max_length=MAX_CODES, strict=False)]


class _Privacy(_Wire):
    epsilon: _Text
    delta: _Text
    clip: _Text | None = None


_Feature = Annotated[_Numeric | _Coded, Field(discriminator="kind")]


class _Training(_Wire):
    kind: Literal["training"]
    source: _Source
    federation: _Text
    members: Annotated[tuple[_Member, ...], Field(max_length=MAX_MEMBERS, strict=False)]
    quorum: int
    rounds: int
    min_entities: int
    recipe: Recipe = Field(strict=False)
    parameters: dict[str, Any] = {}
    target: _Text
    positive: _Text
    features: Annotated[tuple[_Feature, ...], Field(max_length=MAX_TRAINING_FEATURES, strict=False)]
    privacy: _Privacy | None = None


class _ReleasedCondition(_Wire):
    output: _Text
    comparison: Comparison = Field(alias="is", strict=False)
    value: _Scalar


class _OrderBy(_Wire):
    output: _Text
    direction: Direction = Field(default=Direction.ASC, strict=False)


_Names = Annotated[tuple[_Text, ...], Field(max_length=MAX_DIMENSIONS + MAX_AGGREGATES, strict=False)]


class _Presentation(_Wire):
    names: _Names
    columns: _Names = ()
    having: Annotated[tuple[_ReleasedCondition, ...], Field(max_length=MAX_CONDITIONS, strict=False)] = ()
    order_by: Annotated[tuple[_OrderBy, ...], Field(max_length=MAX_DIMENSIONS + MAX_AGGREGATES, strict=False)] = ()
    limit: int | None = None


class _Plan(_Wire):
    # Not `Literal`, which takes `true` for 1.
    v: Annotated[int, Field(ge=PLAN_VERSION, le=PLAN_VERSION)]
    question: Annotated[_Table | _Regression | _Training, Field(discriminator="kind")]
    presentation: _Presentation | None = None


_ADAPTER: Final = TypeAdapter(_Plan)


def parse_plan(value: JsonValue) -> Plan:
    """Read a plan from JSON strictly (docs/spec/plan.md, "JSON"); a table without `presentation` gets default names.

    Raises:
        InvalidRequestError: it has another form; the message lists the problems, each with its JSON path.
    """
    try:
        wire = _ADAPTER.validate_python(value)
    except (ValidationError, RecursionError) as error:
        raise malformed_plan(_problems(error, value)) from None
    plan = _plan(wire)
    if problems := check_plan(plan):
        raise malformed_plan(problems)
    return plan


def parse_plan_bytes(data: bytes) -> Plan:
    """Read a plan from the bytes of canonical JSON.

    Raises:
        InvalidRequestError: not canonical JSON, too long, or not a plan.
    """
    return parse_plan(parse_canonical(data, max_bytes=MAX_PLAN_BYTES))


def plan_to_json(plan: Plan) -> dict[str, JsonValue]:
    """Write a plan as JSON; `parse_plan` reads the same plan back."""
    value: dict[str, JsonValue] = {"v": PLAN_VERSION, "question": question_to_json(plan.question)}
    if plan.presentation is not None:
        value["presentation"] = _presentation_json(plan.presentation)
    return value


def question_to_json(question: Question) -> dict[str, JsonValue]:
    """Write a question as JSON, every member present, in the order of the question."""
    if isinstance(question, TrainingQuestion):
        return _training_json(question)
    value: dict[str, JsonValue] = {
        "source": _source_json(question.source),
        "where": [_condition_json(condition) for condition in question.where],
    }
    if isinstance(question, RegressionQuestion):
        return value | {
            "kind": "regression",
            "family": str(question.family),
            "target": _column_json(question.target),
            "features": [_column_json(feature) for feature in question.features],
        }
    return value | {
        "kind": "table",
        "group_by": [_dimension_json(dimension) for dimension in question.group_by],
        "aggregates": [_aggregate_json(aggregate) for aggregate in question.aggregates],
        "margins": question.margins,
    }


def question_digest(question: Question) -> str:
    """Return the name of a bound question: SHA-256 over its canonical JSON, everything without an order sorted.

    INVARIANT: the layout of the answer takes no part, so that cache, ledger and history know one question by one name
    (docs/spec/plan.md, "Digest").
    """
    if isinstance(question, TrainingQuestion):
        return digest_json(_training_json(canonical_training(question)))
    return digest_json(_sorted_question(question_to_json(question)))


def canonical_training(question: TrainingQuestion) -> TrainingQuestion:
    """Return a training question with every number in its one spelling: `1.0` is `1`, `1e-6` is `0.000001`."""
    privacy = question.privacy
    if privacy is not None:
        privacy = TrainingPrivacy(
            epsilon=_plain(privacy.epsilon),
            delta=_plain(privacy.delta),
            clip=None if privacy.clip is None else _plain(privacy.clip),
        )
    features = tuple(_canonical_feature(feature) for feature in question.features)
    return replace(question, features=features, privacy=privacy)


def common_json(question: TrainingQuestion) -> dict[str, JsonValue]:
    """Return what all members of a federation are asked alike: the question without `source`, in canonical spelling."""
    value = _training_json(canonical_training(question))
    del value["source"]
    return value


def common_digest(question: TrainingQuestion) -> str:
    """Return the terms of a federation: SHA-256 over the canonical JSON of its common part.

    INVARIANT: the same for all members, before and after binding: it is what each attests when it joins
    (docs/spec/federation.md, "What is asked").
    """
    return digest_json(common_json(question))


def malformed_plan(problems: list[str]) -> InvalidRequestError:
    """Return the error that lists what is wrong with a plan."""
    shown = "; ".join(problems[:_MAX_SHOWN])
    more = len(problems) - _MAX_SHOWN
    return InvalidRequestError(
        ErrorCode.PLAN_MALFORMED,
        f"expected a plan, got {len(problems)} problems: {shown}" + (f"; and {more} more" if more > 0 else ""),
        hint="the form of a plan is in docs/spec/plan.md",
    )


def _problems(error: ValidationError | RecursionError, value: JsonValue) -> list[str]:
    if isinstance(error, RecursionError):
        return ["$: expected fewer levels"]
    return [f"{_path(item['loc'], value)}: {_describe(item)}" for item in error.errors(include_input=False)]


def _path(location: tuple[int | str, ...], value: JsonValue) -> str:
    # Tags of unions stand in the location but are no member of the JSON: the value itself tells them apart.
    path, here = "$", value
    for step in location:
        if isinstance(here, dict) and isinstance(step, str):
            if step not in here and step in _TAGS:
                continue
            path, here = f"{path}.{_shown(step)}", here.get(step)
        elif isinstance(here, list | tuple) and isinstance(step, int):
            path, here = f"{path}[{step}]", here[step] if step < len(here) else None
    return path[:_MAX_PATH]


def _shown(name: str) -> str:
    # SECURITY: a member's name is the partner's text; only what could be a name of ours is repeated.
    return name if name.isascii() and name.isidentifier() and len(name) <= 40 else "?"


def _describe(item: Any) -> str:
    kind, context = str(item["type"]), item.get("ctx", {})
    if kind == "extra_forbidden":
        return "unknown member"
    if kind == "missing":
        return "expected this member"
    if kind in ("enum", "literal_error", "union_tag_invalid"):
        return f"expected one of {context.get('expected') or context.get('expected_tags')}"
    if kind in ("greater_than_equal", "less_than_equal"):
        return f"expected {PLAN_VERSION}"
    if kind in ("too_long", "string_too_long"):
        return f"expected at most {context.get('max_length')}"
    if kind == "string_pattern_mismatch":
        return "expected `name` or `unit/resource.name`"
    return f"expected another type ({kind.replace('_', ' ')})"


def _plan(wire: _Plan) -> Plan:
    question = _question(wire.question)
    if wire.presentation is not None:
        return Plan(question=question, presentation=_presentation(wire.presentation))
    if isinstance(question, TableQuestion):
        return Plan(question=question, presentation=Presentation(names=default_names(question)))
    return Plan(question=question)


def _question(wire: _Table | _Regression | _Training) -> Question:
    if isinstance(wire, _Table):
        return _table(wire)
    return _regression(wire) if isinstance(wire, _Regression) else _training(wire)


def _table(wire: _Table) -> TableQuestion:
    return TableQuestion(
        source=_source(wire.source),
        where=_conditions(wire.where),
        group_by=tuple(Dimension(column=_column(item.column), edges=item.edges) for item in wire.group_by),
        aggregates=tuple(_aggregate(item) for item in wire.aggregates),
        margins=wire.margins,
    )


def _regression(wire: _Regression) -> RegressionQuestion:
    return RegressionQuestion(
        source=_source(wire.source),
        family=wire.family,
        target=_column(wire.target),
        features=tuple(_column(feature) for feature in wire.features),
        where=_conditions(wire.where),
    )


def _training(wire: _Training) -> TrainingQuestion:
    return TrainingQuestion(
        source=_source(wire.source),
        federation=wire.federation,
        members=tuple(
            Member(agreement=item.agreement, dataset=item.dataset, job=item.job, node=item.node)
            for item in wire.members
        ),
        quorum=wire.quorum,
        rounds=wire.rounds,
        min_entities=wire.min_entities,
        recipe=wire.recipe,
        parameters=_parameters(wire.parameters),
        target=wire.target,
        positive=wire.positive,
        features=tuple(_feature(item) for item in wire.features),
        privacy=_privacy(wire.privacy),
    )


def _parameters(value: dict[str, Any]) -> str:
    try:
        return canonical_bytes(value).decode()
    except InvalidRequestError:
        problem = "expected texts, integers and booleans, lists and objects of them, named in ASCII"
        raise malformed_plan([f"$.question.parameters: {problem}"]) from None


def _feature(wire: _Numeric | _Coded) -> TrainingFeature:
    if isinstance(wire, _Numeric):
        return NumericFeature(name=wire.name, bounds=wire.bounds, edges=wire.edges)
    return CodedFeature(name=wire.name, codes=wire.codes)


def _privacy(wire: _Privacy | None) -> TrainingPrivacy | None:
    return None if wire is None else TrainingPrivacy(epsilon=wire.epsilon, delta=wire.delta, clip=wire.clip)


def _source(wire: _Source) -> Source:
    joins = tuple(Join(dataset=item.dataset, kind=item.kind, version=item.version, on=item.on) for item in wire.joins)
    return Source(dataset=wire.dataset, version=wire.version, joins=joins)


def _aggregate(wire: _Aggregate) -> Aggregate:
    return Aggregate(
        function=wire.function,
        column=_column(wire.column) if wire.column is not None else None,
        fraction=wire.fraction,
        where=_conditions(wire.where),
    )


def _conditions(wire: tuple[_Condition, ...]) -> tuple[Condition, ...]:
    return tuple(
        Condition(column=_column(item.column), comparison=item.comparison, values=item.values) for item in wire
    )


def _presentation(wire: _Presentation) -> Presentation:
    return Presentation(
        names=wire.names,
        columns=wire.columns,
        having=tuple(
            ReleasedCondition(output=item.output, comparison=item.comparison, value=item.value) for item in wire.having
        ),
        order_by=tuple(OrderBy(output=item.output, direction=item.direction) for item in wire.order_by),
        limit=wire.limit,
    )


def _column(text: str) -> Column:
    dataset, _, name = text.rpartition(".")
    return Column(dataset=dataset, name=name)


def _column_json(column: Column) -> str:
    return f"{column.dataset}.{column.name}" if column.dataset else column.name


def _source_json(source: Source) -> JsonValue:
    joins: list[JsonValue] = [
        {
            "dataset": join.dataset,
            "kind": str(join.kind),
            "version": join.version,
            "on": None if join.on is None else list(join.on),
        }
        for join in source.joins
    ]
    return {"dataset": source.dataset, "version": source.version, "joins": joins}


def _condition_json(condition: Condition) -> JsonValue:
    return {
        "column": _column_json(condition.column),
        "is": str(condition.comparison),
        "values": list(condition.values),
    }


def _dimension_json(dimension: Dimension) -> JsonValue:
    edges: JsonValue = None if dimension.edges is None else list(dimension.edges)
    return {"column": _column_json(dimension.column), "edges": edges}


def _aggregate_json(aggregate: Aggregate) -> JsonValue:
    return {
        "function": str(aggregate.function),
        "column": None if aggregate.column is None else _column_json(aggregate.column),
        "fraction": aggregate.fraction,
        "where": [_condition_json(condition) for condition in aggregate.where],
    }


def _presentation_json(presentation: Presentation) -> JsonValue:
    return {
        "names": list(presentation.names),
        "columns": list(presentation.columns),
        "having": [
            {"output": item.output, "is": str(item.comparison), "value": item.value} for item in presentation.having
        ],
        "order_by": [{"output": item.output, "direction": str(item.direction)} for item in presentation.order_by],
        "limit": presentation.limit,
    }


def _training_json(question: TrainingQuestion) -> dict[str, JsonValue]:
    privacy = question.privacy
    return {
        "kind": "training",
        "source": _source_json(question.source),
        "federation": question.federation,
        "members": [
            {"agreement": item.agreement, "dataset": item.dataset, "job": item.job, "node": item.node}
            for item in question.members
        ],
        "quorum": question.quorum,
        "rounds": question.rounds,
        "min_entities": question.min_entities,
        "recipe": str(question.recipe),
        "parameters": parse_canonical(question.parameters.encode(), max_bytes=MAX_PARAMETERS_BYTES),
        "target": question.target,
        "positive": question.positive,
        "features": [_feature_json(feature) for feature in question.features],
        "privacy": None
        if privacy is None
        else {"epsilon": privacy.epsilon, "delta": privacy.delta, "clip": privacy.clip},
    }


def _feature_json(feature: TrainingFeature) -> JsonValue:
    if isinstance(feature, NumericFeature):
        return {
            "name": feature.name,
            "kind": "numeric",
            "bounds": list(feature.bounds),
            "edges": list(feature.edges),
        }
    return {"name": feature.name, "kind": "coded", "codes": list(feature.codes)}


def _canonical_feature(feature: TrainingFeature) -> TrainingFeature:
    if not isinstance(feature, NumericFeature):
        return feature
    low, high = (_plain(bound) for bound in feature.bounds)
    return replace(feature, bounds=(low, high), edges=tuple(_plain(edge) for edge in feature.edges))


def _plain(text: str) -> str:
    """Return the one text of a decimal: no exponent, no zeros to spare, no minus before zero."""
    plain = format(Decimal(text), "f")
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return "0" if plain == "-0" else plain


def _sorted_question(value: dict[str, Any]) -> dict[str, Any]:
    source = value["source"] | {"joins": _sorted(value["source"]["joins"])}
    canonical = value | {"source": source, "where": _sorted_conditions(value["where"])}
    if value["kind"] == "regression":
        return canonical | {"features": sorted(value["features"])}
    aggregates = [item | {"where": _sorted_conditions(item["where"])} for item in value["aggregates"]]
    return canonical | {"group_by": _sorted(value["group_by"]), "aggregates": _sorted(aggregates)}


def _sorted_conditions(conditions: list[dict[str, Any]]) -> list[Any]:
    return _sorted([item | {"values": _sorted(item["values"])} for item in conditions])


def _sorted(items: list[Any]) -> list[Any]:
    # By their JSON, which differs for different values: 1, "1" and true are three. Doubles fall together.
    by_text = {json.dumps(item, sort_keys=True): item for item in items}
    return [by_text[key] for key in sorted(by_text)]
