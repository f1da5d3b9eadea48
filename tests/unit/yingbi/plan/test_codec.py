import copy
import json
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.yingbi.plan.examples import QUESTION, REGRESSION, SHORT, TABLE, TRAINING
from yingbi.canonical import canonical_bytes
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.plan.codec import (
    MAX_PLAN_BYTES,
    malformed_plan,
    parse_plan,
    parse_plan_bytes,
    plan_to_json,
    question_digest,
)
from yingbi.plan.model import Plan, RegressionQuestion


@pytest.mark.parametrize("plan", [TABLE, REGRESSION, TRAINING], ids=["table", "regression", "training"])
def test_a_plan_survives_json(plan: Plan) -> None:
    assert parse_plan(plan_to_json(plan)) == plan
    assert parse_plan_bytes(canonical_bytes(plan_to_json(plan))) == plan


def test_what_has_a_default_can_be_left_out() -> None:
    plan = parse_plan(SHORT)
    assert plan.presentation is not None
    assert plan.presentation.names == ("street", "count")


def change(path: str, value: Any) -> dict[str, Any]:
    """Return the JSON of the table with one member changed, or removed where the value is `...`."""
    whole: dict[str, Any] = copy.deepcopy(plan_to_json(TABLE))
    here: Any = whole
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in steps:
        here = here[step]
    if value is ...:
        del here[last]
    else:
        here[last] = value
    return whole


MALFORMED = {
    "an unknown member": ("extra", 1, "$.extra: unknown member"),
    "a member with a strange name": ("Robert'); DROP", 1, "$.?: unknown member"),
    "another version": ("v", 2, "$.v: expected 1"),
    "a boolean version": ("v", True, "$.v"),
    "no version": ("v", ..., "$.v: expected this member"),
    "another kind": ("question.kind", "sql", "$.question: expected one of"),
    "a question that is none": ("question", [], "$.question"),
    "an unknown member deep down": ("question.group_by.0.as", "x", "$.question.group_by[0].as: unknown member"),
    "a column that is no name": ("question.group_by.1.column", "a b", "$.question.group_by[1].column"),
    "a column with a newline": ("question.group_by.1.column", "size\n", "$.question.group_by[1].column"),
    "a column in capitals": ("question.group_by.1.column", "SIZE", "$.question.group_by[1].column"),
    "a function that is none": ("question.aggregates.0.function", "min", "$.question.aggregates[0].function"),
    "a float": ("question.where.0.values", [1.5], "$.question.where[0].values[0]"),
    "a null value": ("question.where.0.values", [None], "$.question.where[0].values[0]"),
    "a nested value": ("question.where.0.values", [["east"]], "$.question.where[0].values[0]"),
    "a text for a list": ("question.where.0.values", "east", "$.question.where[0].values"),
    "too many values": ("question.where.0.values", ["x"] * 257, "$.question.where[0].values: expected at most 256"),
    "no values": ("question.where.0.values", [], "$.question.where[0].values: expected 1 to 256"),
    "a number for a boolean": ("question.margins", 1, "$.question.margins"),
    "a text for a version": ("question.source.version", "2", "$.question.source.version"),
    "a version below one": ("question.source.version", 0, "$.question.source.version: expected a number from 1"),
    "one column in a join": ("question.source.joins.0.on", ["uscc"], "$.question.source.joins[0].on"),
    "a data set without unit": ("question.source.dataset", "filings", "$.question.source.dataset"),
    "a data set up the tree": ("question.source.dataset", "tax/../x", "$.question.source.dataset"),
    "too few names": ("presentation.names", ["a"], "$.presentation.names"),
    "a limit of none": ("presentation.limit", 0, "$.presentation.limit"),
    "a comparison with spaces": ("presentation.having.0.is", " > ", "$.presentation.having[0].is"),
}


@pytest.mark.parametrize(("path", "value", "expected"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_plan_is_refused_with_its_path(path: str, value: Any, expected: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_plan(change(path, value))
    assert caught.value.code is ErrorCode.PLAN_MALFORMED
    assert expected in caught.value.message
    assert "\n" not in caught.value.message


def test_every_problem_is_named() -> None:
    whole = change("question.margins", 1)
    whole["question"]["source"]["version"] = "2"
    whole["presentation"]["limit"] = "x"
    with pytest.raises(InvalidRequestError, match="3 problems") as caught:
        parse_plan(whole)
    assert all(path in caught.value.message for path in ("$.question.margins", "source.version", "presentation.limit"))


def test_a_hostile_number_of_problems_makes_a_short_message() -> None:
    whole = SHORT | {f"x{number}": 1 for number in range(5000)}
    with pytest.raises(InvalidRequestError, match="and 4992 more") as caught:
        parse_plan(whole)
    assert len(caught.value.message) < 1000
    assert malformed_plan(["one"]).message == "expected a plan, got 1 problems: one"


def test_values_of_a_partner_are_not_repeated() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_plan(change("question.where.0.values", ["91440300MA5FUKXXXX\x00", {"canary": 1}]))
    assert "91440300" not in caught.value.message
    assert "canary" not in caught.value.message


@pytest.mark.parametrize("value", [None, 1, "plan", [], [SHORT], {}], ids=repr)
def test_what_is_no_plan_is_refused(value: Any) -> None:
    with pytest.raises(InvalidRequestError):
        parse_plan(value)


def test_bytes_must_be_canonical_and_short() -> None:
    with pytest.raises(InvalidRequestError):
        parse_plan_bytes(json.dumps(SHORT, indent=1).encode())
    with pytest.raises(InvalidRequestError):
        parse_plan_bytes(b'"' + b"x" * MAX_PLAN_BYTES + b'"')


def test_the_digest_does_not_depend_on_order_or_doubles() -> None:
    condition = QUESTION.where[0]
    other = replace(
        QUESTION,
        group_by=QUESTION.group_by[::-1],
        aggregates=QUESTION.aggregates[::-1],
        where=(replace(condition, values=("west", "east", "west")), condition),
    )
    assert question_digest(other) == question_digest(QUESTION)
    assert isinstance(REGRESSION.question, RegressionQuestion)
    turned = replace(REGRESSION.question, features=REGRESSION.question.features[::-1])
    assert question_digest(turned) == question_digest(REGRESSION.question)


def test_the_digest_depends_on_everything_that_is_asked() -> None:
    source, condition = QUESTION.source, QUESTION.where[0]
    others = [
        replace(QUESTION, margins=False),
        replace(QUESTION, where=()),
        replace(QUESTION, where=(replace(condition, values=("east",)),)),
        replace(QUESTION, where=(replace(condition, values=("1",)),)),
        replace(QUESTION, where=(replace(condition, values=(1,)),)),
        replace(QUESTION, where=(replace(condition, values=(True,)),)),
        replace(QUESTION, group_by=QUESTION.group_by[:1]),
        replace(QUESTION, group_by=(replace(QUESTION.group_by[0], edges=("0",)), QUESTION.group_by[1])),
        replace(QUESTION, group_by=(replace(QUESTION.group_by[0], edges=("100", "0")), QUESTION.group_by[1])),
        replace(QUESTION, aggregates=QUESTION.aggregates[:1]),
        replace(QUESTION, aggregates=(QUESTION.aggregates[0], replace(QUESTION.aggregates[1], fraction="0.25"))),
        replace(QUESTION, aggregates=(QUESTION.aggregates[0], replace(QUESTION.aggregates[1], where=()))),
        replace(QUESTION, source=replace(source, version=1)),
        replace(QUESTION, source=replace(source, joins=())),
        replace(QUESTION, source=replace(source, joins=(replace(source.joins[0], version=6),))),
    ]
    assert len({question_digest(question) for question in (QUESTION, *others)}) == len(others) + 1
