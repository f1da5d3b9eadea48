"""What holds for every plan whatever it asks of whom (docs/spec/plan.md, "Form"): caps, arities, names.

Both front ends, SQL text and JSON, end here, so that neither can make a plan that the other would refuse. What needs
the catalogue is judged when a plan is bound.
"""

import re
import unicodedata
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from typing import Final

from yingbi.canonical import MAX_INT, JsonValue, parse_canonical
from yingbi.errors import SandboxError
from yingbi.ids import ID_PATTERN, MAX_ID, PARTY_PATTERN
from yingbi.plan.model import (
    MAX_AGGREGATES,
    MAX_CONDITIONS,
    MAX_DIMENSIONS,
    MAX_FEATURES,
    MAX_JOINS,
    MAX_MEMBERS,
    MAX_ROUNDS,
    MAX_TRAINING_FEATURES,
    MAX_VALUES,
    MIN_MEMBERS,
    Aggregate,
    CodedFeature,
    Column,
    Comparison,
    Condition,
    Dimension,
    Function,
    Join,
    Member,
    NumericFeature,
    Plan,
    Presentation,
    RegressionQuestion,
    Scalar,
    Source,
    TableQuestion,
    TrainingFeature,
    TrainingPrivacy,
    TrainingQuestion,
)

__all__ = [
    "DATASET_PATTERN",
    "MAX_CODES",
    "MAX_EDGES",
    "MAX_LIMIT",
    "MAX_PARAMETERS_BYTES",
    "MAX_TEXT",
    "NAME_PATTERN",
    "OUTPUT_PATTERN",
    "SLUG_PATTERN",
    "check_plan",
]

MAX_TEXT: Final = 128
MAX_EDGES: Final = 256
MAX_LIMIT: Final = 1_000_000
MAX_CODES: Final = 1024
MAX_PARAMETERS_BYTES: Final = 4096
NAME_PATTERN: Final = r"[a-z][a-z0-9_]{0,62}"
OUTPUT_PATTERN: Final = r"[a-z][a-z0-9_]{0,126}"
SLUG_PATTERN: Final = r"[a-z](?:[a-z0-9_-]{0,61}[a-z0-9])?"
DATASET_PATTERN: Final = rf"{SLUG_PATTERN}/{SLUG_PATTERN}"

_NAME: Final = re.compile(NAME_PATTERN)
_OUTPUT: Final = re.compile(OUTPUT_PATTERN)
_DATASET: Final = re.compile(DATASET_PATTERN)
_NUMBER: Final = re.compile(r"-?[0-9]{1,30}(?:\.[0-9]{1,18})?")
_DECIMAL: Final = re.compile(r"(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,18})?|[1-9](?:\.[0-9]{1,4})?e-[1-9][0-9]?")
_MAX_ENTITIES: Final = 1_000_000
_MAX_EPSILON: Final = 100
_MAX_DELTA: Final = Decimal("0.01")
_MAX_PARAMETER_LEVELS: Final = 4
_FRACTION: Final = re.compile(r"0\.[0-9]{1,6}")
_WITHOUT_VALUE: Final = frozenset({Comparison.IS_NULL, Comparison.NOT_NULL})
_WITH_MANY: Final = frozenset({Comparison.IN, Comparison.NOT_IN})
_WITHOUT_COLUMN: Final = frozenset({Function.COUNT, Function.COUNT_UNITS})
# Categories of characters that nobody sees or that another machine may read otherwise: control, format, unassigned,
# private use, surrogate, line and paragraph separators.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})


def check_plan(plan: Plan) -> list[str]:
    """Return every problem of form, each with its JSON path (docs/spec/plan.md, "Form"); none when the plan is fine."""
    question = plan.question
    problems = list(_check_source(question.source))
    if isinstance(question, TableQuestion):
        problems += _check_conditions(question.where, "$.question.where")
        problems += _check_table(question)
        problems += _check_presentation(plan.presentation, question)
        return problems
    if isinstance(question, RegressionQuestion):
        problems += _check_conditions(question.where, "$.question.where")
        problems += _check_regression(question)
    else:
        problems += _check_training(question)
    if plan.presentation is not None:
        problems.append("$.presentation: expected none for what is not a table")
    return problems


def _check_source(source: Source) -> Iterator[str]:
    path = "$.question.source"
    yield from _check_dataset(source.dataset, source.version, path)
    if len(source.joins) > MAX_JOINS:
        yield f"{path}.joins: expected at most {MAX_JOINS}, got {len(source.joins)}"
    seen = {source.dataset}
    for index, join in enumerate(source.joins):
        yield from _check_join(join, f"{path}.joins[{index}]", seen)
        seen.add(join.dataset)


def _check_join(join: Join, path: str, seen: set[str]) -> Iterator[str]:
    yield from _check_dataset(join.dataset, join.version, path)
    if join.dataset in seen:
        yield f"{path}.dataset: expected each data set once"
    if join.on is not None and not all(_NAME.fullmatch(name) for name in join.on):
        yield f"{path}.on: expected two names of columns"


def _check_dataset(dataset: str, version: int | None, path: str) -> Iterator[str]:
    if not _DATASET.fullmatch(dataset):
        yield f"{path}.dataset: expected `unit/resource` in lower case"
    if version is not None and not 1 <= version <= MAX_INT:
        yield f"{path}.version: expected a number from 1"


def _check_table(question: TableQuestion) -> Iterator[str]:
    path = "$.question"
    if len(question.group_by) > MAX_DIMENSIONS:
        yield f"{path}.group_by: expected at most {MAX_DIMENSIONS} dimensions, got {len(question.group_by)}"
    for index, dimension in enumerate(question.group_by):
        yield from _check_dimension(dimension, f"{path}.group_by[{index}]")
    columns = [dimension.column for dimension in question.group_by]
    if len(set(columns)) != len(columns):
        yield f"{path}.group_by: expected each column once"
    if question.margins and not question.group_by:
        yield f"{path}.margins: expected a dimension to add up"
    if not 1 <= len(question.aggregates) <= MAX_AGGREGATES:
        yield f"{path}.aggregates: expected 1 to {MAX_AGGREGATES}, got {len(question.aggregates)}"
    for index, aggregate in enumerate(question.aggregates):
        yield from _check_aggregate(aggregate, f"{path}.aggregates[{index}]")


def _check_dimension(dimension: Dimension, path: str) -> Iterator[str]:
    yield from _check_column(dimension.column, f"{path}.column")
    edges = dimension.edges or ()
    if len(edges) > MAX_EDGES:
        yield f"{path}.edges: expected at most {MAX_EDGES}, got {len(edges)}"
    if not all(_is_text(edge) for edge in edges):
        yield f"{path}.edges: expected numbers or dates as text"


def _check_aggregate(aggregate: Aggregate, path: str) -> Iterator[str]:
    function = aggregate.function
    if aggregate.column is not None:
        yield from _check_column(aggregate.column, f"{path}.column")
        if function is Function.COUNT:
            yield f"{path}.column: expected none for `count`; `count_values` counts values"
    elif function not in _WITHOUT_COLUMN:
        yield f"{path}.column: expected a column for `{function}`"
    yield from _check_fraction(aggregate, path)
    yield from _check_conditions(aggregate.where, f"{path}.where")


def _check_fraction(aggregate: Aggregate, path: str) -> Iterator[str]:
    if (aggregate.fraction is not None) is not (aggregate.function is Function.QUANTILE):
        yield f"{path}.fraction: expected one for `quantile` and for nothing else"
    elif aggregate.fraction is not None and not (
        _FRACTION.fullmatch(aggregate.fraction) and Decimal(aggregate.fraction)
    ):
        yield f"{path}.fraction: expected a decimal between 0 and 1 as text"


def _check_regression(question: RegressionQuestion) -> Iterator[str]:
    yield from _check_column(question.target, "$.question.target")
    if not 1 <= len(question.features) <= MAX_FEATURES:
        yield f"$.question.features: expected 1 to {MAX_FEATURES}, got {len(question.features)}"
    for index, feature in enumerate(question.features):
        yield from _check_column(feature, f"$.question.features[{index}]")
    if len({question.target, *question.features}) != 1 + len(question.features):
        yield "$.question.features: expected each column once, and not the target"


def _check_training(question: TrainingQuestion) -> Iterator[str]:
    path = "$.question"
    if question.source.joins:
        yield f"{path}.source.joins: expected none for a training"
    if not _is_id(question.federation):
        yield f"{path}.federation: expected an id"
    yield from _check_members(question, f"{path}.members")
    yield from _check_rounds(question, path)
    yield from _check_parameters(question.parameters, f"{path}.parameters")
    if not _NAME.fullmatch(question.target):
        yield f"{path}.target: expected a name of small letters, digits and `_`"
    if not _is_text(question.positive):
        yield f"{path}.positive: expected text of 1 to {MAX_TEXT} visible characters (NFC)"
    if not 1 <= len(question.features) <= MAX_TRAINING_FEATURES:
        yield f"{path}.features: expected 1 to {MAX_TRAINING_FEATURES}, got {len(question.features)}"
    for index, feature in enumerate(question.features):
        yield from _check_feature(feature, f"{path}.features[{index}]")
    if len({question.target, *(feature.name for feature in question.features)}) != 1 + len(question.features):
        yield f"{path}.features: expected each column once, and not the target"
    if question.privacy is not None:
        yield from _check_privacy(question.privacy, f"{path}.privacy")


def _check_members(question: TrainingQuestion, path: str) -> Iterator[str]:
    members = question.members
    if not MIN_MEMBERS <= len(members) <= MAX_MEMBERS:
        yield f"{path}: expected {MIN_MEMBERS} to {MAX_MEMBERS}, got {len(members)}"
    for index, member in enumerate(members):
        yield from _check_member(member, f"{path}[{index}]")
    if any(one.node >= other.node for one, other in pairwise(members)):
        yield f"{path}: expected each node once, in ascending order"
    # SECURITY: whoever stood there twice would be two of the parties that a sum is meant to hide each in.
    if len({member.dataset for member in members}) != len(members):
        yield f"{path}: expected each data set once"
    if len({member.job for member in members}) != len(members):
        yield f"{path}: expected each job once"
    if question.own is None:
        yield f"{path}: expected the data set of the source among them"


def _check_member(member: Member, path: str) -> Iterator[str]:
    if not _is_id(member.agreement):
        yield f"{path}.agreement: expected an id"
    if not _DATASET.fullmatch(member.dataset):
        yield f"{path}.dataset: expected `unit/resource` in lower case"
    if not _is_id(member.job):
        yield f"{path}.job: expected an id"
    if not (member.node.startswith("node:") and re.fullmatch(PARTY_PATTERN, member.node)):
        yield f"{path}.node: expected a node such as `node:futian-tax`"


def _check_rounds(question: TrainingQuestion, path: str) -> Iterator[str]:
    count = len(question.members)
    if question.privacy is None and question.quorum != count:
        yield f"{path}.quorum: expected all {count} members: without noise nobody may be missing"
    elif not MIN_MEMBERS <= question.quorum <= count:
        yield f"{path}.quorum: expected {MIN_MEMBERS} to {count}"
    if not 1 <= question.rounds <= MAX_ROUNDS:
        yield f"{path}.rounds: expected 1 to {MAX_ROUNDS}"
    if not 1 <= question.min_entities <= _MAX_ENTITIES:
        yield f"{path}.min_entities: expected 1 to {_MAX_ENTITIES}"


def _check_parameters(text: str, path: str) -> Iterator[str]:
    try:
        value = parse_canonical(text.encode(errors="surrogatepass"), max_bytes=MAX_PARAMETERS_BYTES)
    except SandboxError:
        yield f"{path}: expected canonical JSON of at most {MAX_PARAMETERS_BYTES} bytes"
        return
    if not isinstance(value, dict) or not _is_parameter(value, 0):
        yield f"{path}: expected an object of texts, integers and booleans, lists and objects of them"


def _is_parameter(value: JsonValue, level: int) -> bool:
    if isinstance(value, dict | list):
        inner = list(value.values()) if isinstance(value, dict) else value
        return level < _MAX_PARAMETER_LEVELS and all(_is_parameter(item, level + 1) for item in inner)
    return value is not None and _is_scalar(value)


def _check_feature(feature: TrainingFeature, path: str) -> Iterator[str]:
    if not _NAME.fullmatch(feature.name):
        yield f"{path}.name: expected a name of small letters, digits and `_`"
    if isinstance(feature, NumericFeature):
        yield from _check_numeric(feature, path)
    else:
        yield from _check_codes(feature, f"{path}.codes")


def _check_numeric(feature: NumericFeature, path: str) -> Iterator[str]:
    if not _is_ascending(feature.bounds):
        yield f"{path}.bounds: expected two numbers as text, the lower one first"
    if len(feature.edges) > MAX_EDGES:
        yield f"{path}.edges: expected at most {MAX_EDGES}, got {len(feature.edges)}"
    if not _is_ascending(feature.edges):
        yield f"{path}.edges: expected numbers as text, ascending"


def _check_codes(feature: CodedFeature, path: str) -> Iterator[str]:
    if not 1 <= len(feature.codes) <= MAX_CODES:
        yield f"{path}: expected 1 to {MAX_CODES}, got {len(feature.codes)}"
    if len(set(feature.codes)) != len(feature.codes) or not all(_is_text(code) for code in feature.codes):
        yield f"{path}: expected different texts of 1 to {MAX_TEXT} visible characters (NFC)"


def _check_privacy(privacy: TrainingPrivacy, path: str) -> Iterator[str]:
    values = (("epsilon", privacy.epsilon), ("delta", privacy.delta), ("clip", privacy.clip or "1"))
    wrong = [name for name, text in values if not _DECIMAL.fullmatch(text)]
    yield from (f"{path}.{name}: expected a decimal as text" for name in wrong)
    if "epsilon" not in wrong and not 0 < Decimal(privacy.epsilon) <= _MAX_EPSILON:
        yield f"{path}.epsilon: expected more than 0 and at most {_MAX_EPSILON}"
    if "delta" not in wrong and not 0 <= Decimal(privacy.delta) < _MAX_DELTA:
        yield f"{path}.delta: expected 0 to below {_MAX_DELTA}"
    if "clip" not in wrong and privacy.clip is not None and Decimal(privacy.clip) <= 0:
        yield f"{path}.clip: expected more than 0"


def _is_ascending(texts: tuple[str, ...]) -> bool:
    if not all(_NUMBER.fullmatch(text) for text in texts):
        return False
    return all(Decimal(one) < Decimal(other) for one, other in pairwise(texts))


def _is_id(text: str) -> bool:
    return len(text) <= MAX_ID and re.fullmatch(ID_PATTERN, text) is not None


def _check_conditions(conditions: tuple[Condition, ...], path: str) -> Iterator[str]:
    if len(conditions) > MAX_CONDITIONS:
        yield f"{path}: expected at most {MAX_CONDITIONS} conditions, got {len(conditions)}"
    for index, condition in enumerate(conditions):
        yield from _check_column(condition.column, f"{path}[{index}].column")
        yield from _check_values(condition, f"{path}[{index}].values")


def _check_values(condition: Condition, path: str) -> Iterator[str]:
    count = len(condition.values)
    if condition.comparison in _WITHOUT_VALUE:
        if count:
            yield f"{path}: expected none for `{condition.comparison}`"
    elif condition.comparison in _WITH_MANY:
        if not 1 <= count <= MAX_VALUES:
            yield f"{path}: expected 1 to {MAX_VALUES}, got {count}"
    elif count != 1:
        yield f"{path}: expected one for `{condition.comparison}`, got {count}"
    if not all(_is_scalar(value) for value in condition.values):
        yield f"{path}: expected text of 1 to {MAX_TEXT} visible characters (NFC), integers below 2^53, or booleans"


def _check_column(column: Column, path: str) -> Iterator[str]:
    if not _NAME.fullmatch(column.name):
        yield f"{path}: expected a name of small letters, digits and `_`"
    if column.dataset and not _DATASET.fullmatch(column.dataset):
        yield f"{path}: expected `unit/resource` before the name"


def _check_presentation(presentation: Presentation | None, question: TableQuestion) -> Iterator[str]:
    path = "$.presentation"
    if presentation is None:
        yield f"{path}: expected names of the outputs of a table"
        return
    names = presentation.names
    if len(names) != len(question.group_by) + len(question.aggregates):
        yield f"{path}.names: expected one a dimension, then one an aggregate"
    if len(set(names)) != len(names) or not all(_OUTPUT.fullmatch(name) for name in names):
        yield f"{path}.names: expected different names of small letters, digits and `_`"
    if presentation.columns and sorted(presentation.columns) != sorted(names):
        yield f"{path}.columns: expected the names, in another order"
    yield from _check_layout(presentation, frozenset(names[len(question.group_by) :]))


def _check_layout(presentation: Presentation, aggregates: frozenset[str]) -> Iterator[str]:
    path = "$.presentation"
    if len(presentation.having) > MAX_CONDITIONS:
        yield f"{path}.having: expected at most {MAX_CONDITIONS} conditions, got {len(presentation.having)}"
    for index, condition in enumerate(presentation.having):
        if condition.output not in aggregates:
            yield f"{path}.having[{index}].output: expected the name of an aggregate; `where` is for columns"
        if condition.comparison in _WITHOUT_VALUE | _WITH_MANY:
            yield f"{path}.having[{index}].is: expected =, !=, <, <=, > or >="
        if not _is_number(condition.value):
            yield f"{path}.having[{index}].value: expected a number"
    ordered = [order.output for order in presentation.order_by]
    if len(set(ordered)) != len(ordered) or not set(ordered) <= set(presentation.names):
        yield f"{path}.order_by: expected names of outputs, each once"
    if presentation.limit is not None and not 1 <= presentation.limit <= MAX_LIMIT:
        yield f"{path}.limit: expected 1 to {MAX_LIMIT}"


def _is_number(value: Scalar) -> bool:
    if isinstance(value, bool):
        return False
    return _is_scalar(value) if isinstance(value, int) else _NUMBER.fullmatch(value) is not None


def _is_scalar(value: Scalar) -> bool:
    if isinstance(value, str):
        return _is_text(value)
    return -MAX_INT <= value <= MAX_INT


def _is_text(text: str) -> bool:
    if not 1 <= len(text) <= MAX_TEXT:
        return False
    if text.isascii():
        return text.isprintable()
    unseen = any(unicodedata.category(character) in _UNSEEN for character in text)
    return not unseen and unicodedata.is_normalized("NFC", text)
