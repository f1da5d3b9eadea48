"""One way to count a feature of a version without noise: what was noted first stands, and what is other is named."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import Engine, select

from federated.rounds.binnings import Binnings
from sandbox.database import reading
from sandbox.node.joint_tables import JOINT_BINS
from tests.lib.nodes import new_node
from yingbi.plan.model import CodedFeature, Member, NumericFeature, Recipe, Source, TrainingPrivacy, TrainingQuestion

TAX: Final = NumericFeature(name="tax_paid", bounds=("0", "5000000"), edges=("0", "1000", "50000"))
STAFF: Final = NumericFeature(name="staff", bounds=("0", "9000"), edges=("0", "10"))
INDUSTRY: Final = CodedFeature(name="industry", codes=("A", "B"))
MEMBERS: Final = tuple(
    Member(agreement=f"agr-{name}", dataset=f"{name}/credit", job=f"job-{name}", node=f"node:{name}")
    for name in ("market", "power", "tax")
)
QUESTION: Final = TrainingQuestion(
    source=Source(dataset="tax/credit", version=1),
    federation="fed-1",
    members=MEMBERS,
    quorum=3,
    rounds=2,
    min_entities=10,
    recipe=Recipe.WOE_BINS,
    parameters='{"min_events":"5"}',
    target="defaulted",
    positive="1",
    features=(TAX, INDUSTRY),
)
PRIVACY: Final = TrainingPrivacy(epsilon="1", delta="0.000001")
BOTH: Final = ("tax_paid", "industry")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    home = new_node(tmp_path / "node")
    yield home.database
    home.close()


@pytest.fixture
def binnings(database: Engine) -> Binnings:
    return Binnings(database)


def asked(**changes: Any) -> TrainingQuestion:
    return replace(QUESTION, **changes)


def noted(database: Engine) -> dict[tuple[str, int, str], str]:
    with reading(database) as connection:
        rows = connection.execute(select(JOINT_BINS)).all()
    return {(row.dataset, row.version, row.feature): row.question for row in rows}


def test_nothing_was_counted_before_the_first(binnings: Binnings, database: Engine) -> None:
    assert binnings.find_other(QUESTION) == ()
    assert noted(database) == {}, "to look notes nothing"


def test_the_same_may_be_asked_again(binnings: Binnings, database: Engine) -> None:
    binnings.note(QUESTION)
    first = noted(database)
    assert set(first) == {("tax/credit", 1, "tax_paid"), ("tax/credit", 1, "industry")}
    assert binnings.find_other(QUESTION) == ()
    binnings.note(QUESTION)
    assert noted(database) == first
    assert Binnings(database).find_other(asked(features=(STAFF, TAX))) == (), "a process that starts anew knows it"


@pytest.mark.parametrize(
    "same",
    [
        {"federation": "fed-2"},
        {"rounds": 9},
        {"quorum": 4},
        {"members": (*MEMBERS, Member(agreement="agr-z", dataset="z/credit", job="job-z", node="node:z"))},
        {"features": (INDUSTRY, TAX)},
        {"features": (INDUSTRY,)},
        {"features": (replace(TAX, edges=("0.0", "1e3", "50000.00")), INDUSTRY)},
    ],
)
def test_what_no_bin_depends_on_makes_no_other_way(binnings: Binnings, same: dict[str, Any]) -> None:
    binnings.note(QUESTION)
    assert binnings.find_other(asked(**same)) == ()


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"target": "late"}, BOTH),
        ({"positive": "0"}, BOTH),
        ({"min_entities": 11}, BOTH),
        ({"parameters": '{"min_events":"6"}'}, BOTH),
        ({"features": (replace(TAX, edges=("0", "1000")), INDUSTRY)}, ("tax_paid",)),
        ({"features": (replace(TAX, bounds=("0", "4000000")), INDUSTRY)}, ("tax_paid",)),
        ({"features": (TAX, replace(INDUSTRY, codes=("B", "A")))}, ("industry",)),
        ({"features": (STAFF, replace(TAX, edges=()))}, ("tax_paid",)),
    ],
)
def test_another_way_is_named_and_does_not_replace_the_first(
    binnings: Binnings, database: Engine, other: dict[str, Any], named: tuple[str, ...]
) -> None:
    binnings.note(QUESTION)
    first = noted(database)
    assert binnings.find_other(asked(**other)) == named
    # Also where somebody notes what is other: what was first stands, and is what is asked of whoever comes next.
    binnings.note(asked(**other))
    assert first.items() <= noted(database).items()
    assert binnings.find_other(asked(**other)) == named
    assert binnings.find_other(QUESTION) == ()


@pytest.mark.parametrize(
    "source", [Source(dataset="tax/credit", version=2), Source(dataset="market/credit", version=1)]
)
def test_another_version_or_data_set_is_free(binnings: Binnings, database: Engine, source: Source) -> None:
    binnings.note(QUESTION)
    other = asked(source=source, features=(replace(TAX, edges=("7",)), INDUSTRY))
    assert binnings.find_other(other) == ()
    binnings.note(other)
    assert len(noted(database)) == 4
    assert binnings.find_other(replace(other, source=QUESTION.source)) == ("tax_paid",)
    assert binnings.find_other(replace(QUESTION, source=source)) == ("tax_paid",)


@pytest.mark.parametrize(
    "free", [{"privacy": PRIVACY}, *({"recipe": recipe} for recipe in Recipe if recipe is not Recipe.WOE_BINS)]
)
def test_noise_and_other_recipes_are_free_and_bind_nobody(
    binnings: Binnings, database: Engine, free: dict[str, Any]
) -> None:
    other = asked(features=(replace(TAX, edges=("7",)),), **free)
    binnings.note(other)
    assert noted(database) == {}
    binnings.note(QUESTION)
    assert binnings.find_other(other) == ()
    assert binnings.find_other(replace(other, recipe=Recipe.WOE_BINS, privacy=None)) == ("tax_paid",)


def test_of_a_partly_new_question_only_what_is_new_is_noted(binnings: Binnings, database: Engine) -> None:
    binnings.note(QUESTION)
    first = noted(database)
    more = asked(features=(TAX, STAFF), target="late")
    binnings.note(more)
    after = noted(database)
    assert set(after) - set(first) == {("tax/credit", 1, "staff")}
    assert first.items() <= after.items()
    assert binnings.find_other(more) == ("tax_paid",)
    assert binnings.find_other(asked(features=(STAFF,))) == ("staff",), "it was counted by the other target"
