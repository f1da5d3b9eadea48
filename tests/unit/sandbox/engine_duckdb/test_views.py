"""Views for federations: what of a data set goes into the cage of the app, and what does not."""

import hmac
import random
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from policies.decision import Decision, Outcome
from policies.disclosure import DisclosureRules
from policies.request import Request
from sandbox.catalog.model import Catalogue
from sandbox.engine_duckdb.engine import DuckdbEngine
from sandbox.engine_duckdb.job import Job, Settings, ViewJob, pack_job, unpack_job
from sandbox.engine_duckdb.resolve import Resolver, resolve_view
from sandbox.isolation.bubblewrap import BubblewrapCage
from sandbox.isolation.limits import Limits
from sandbox.query.admit import AdmittedTraining, admit
from sandbox.query.bind import bind
from sandbox.query.uses import datasets, operations, rounds, training, uses
from sandbox.training_view import TrainingView
from tests.unit.sandbox.engine_duckdb.world import FILINGS, SECTORS, Home, Row, home
from yingbi.errors import ErrorCode, InvalidRequestError, RefusedError
from yingbi.plan.model import CodedFeature, Member, NumericFeature, Plan, Recipe, Source, TrainingQuestion

SECRET: Final = bytes(range(32))
UNITS: Final = 200
MEMBERS: Final = tuple(
    Member(agreement="agr-1", dataset=dataset, job=f"job-{number}", node=f"node:n{number}")
    for number, dataset in enumerate((FILINGS, "power/usage", "water/usage"))
)
QUESTION: Final = TrainingQuestion(
    source=Source(dataset=FILINGS),
    federation="fed-1",
    members=MEMBERS,
    quorum=3,
    rounds=5,
    min_entities=1000,
    recipe=Recipe.WOE_BINS,
    target="active",
    positive="true",
    features=(
        NumericFeature(name="turnover", bounds=("0", "1000")),
        NumericFeature(name="profit", bounds=("-1000", "1000")),
        CodedFeature(name="sector", codes=("C", "A", "B")),
        NumericFeature(name="year", bounds=("2000", "2030")),
    ),
)


def world(tmp_path: Path) -> tuple[Home, list[Row]]:
    made, rows, _ = home(tmp_path, units=UNITS, rows_per_unit=1)
    return made, rows


def admitted(catalogue: Catalogue, question: TrainingQuestion = QUESTION, min_units: int = 5) -> AdmittedTraining:
    bound = bind(Plan(question=question), catalogue)
    request = Request(
        assignee="partner:bank-a",
        purpose="test",
        operations=operations(bound),
        datasets=datasets(bound),
        uses=uses(bound),
        place="node:n0",
        rounds=rounds(bound),
        training=training(bound),
    )
    decision = Decision(
        outcome=Outcome.PERMIT,
        determining=(),
        disclosure=DisclosureRules(min_units=min_units),
        terms=("sha256:" + "0" * 64,),
        request=request,
    )
    found = admit(bound, catalogue, decision, check_recipe=lambda question: ())
    assert isinstance(found, AdmittedTraining), found
    return found


def view_of(made: Home, engine: DuckdbEngine | None = None, **rest: Any) -> TrainingView:
    asked = admitted(made.catalogue, QUESTION, rest.pop("min_units", 5))
    return (made.engine() if engine is None else engine).view(asked, **{"secret": SECRET, **rest})


def expected(rows: list[Row], hold_out: Fraction) -> list[tuple[object, ...]]:
    """Return target, columns and mark of every row in the order of the marks, from the definition."""
    key = hmac.digest(SECRET, f"yingbi/held-out/1 {FILINGS}".encode(), "sha256")
    made = []
    for row in rows:
        mark = int.from_bytes(hmac.digest(key, str(row["_unit"]).encode(), "sha256")[:8])
        sector = -1 if row["sector"] is None else ("C", "A", "B").index(row["sector"])
        profit = None if row["profit"] is None else row["profit"] / 100
        made.append((mark, int(row["active"]), row["turnover"] / 100, profit, sector, float(row["year"]), mark))
    return [(*row[1:6], row[6] < hold_out * 2**64) for row in sorted(made)]


def rows_of(view: TrainingView) -> list[tuple[object, ...]]:
    columns = [
        [None if value != value else value for value in view.columns[feature.name].tolist()]
        for feature in QUESTION.features
    ]
    return list(zip(view.target.tolist(), *columns, view.is_held_out.tolist(), strict=True))


@pytest.mark.parametrize("share", [Fraction(1, 5), Fraction(0), Fraction(9, 10)])
def test_a_view_is_what_its_definition_says(share: Fraction, tmp_path: Path) -> None:
    made, rows = world(tmp_path)
    view = view_of(made, hold_out=share)
    assert rows_of(view) == expected(rows, share)
    kinds = {name: column.dtype for name, column in view.columns.items()}
    assert kinds == {"turnover": np.float64, "profit": np.float64, "sector": np.int64, "year": np.float64}
    assert [str(array.dtype) for array in (view.target, view.is_held_out)] == ["int64", "bool"]


def test_nothing_but_the_granted_columns_is_in_it(tmp_path: Path) -> None:
    made, _ = world(tmp_path)
    view = view_of(made)
    assert list(view.columns) == [feature.name for feature in QUESTION.features]


def test_the_order_says_nothing_about_the_units(tmp_path: Path) -> None:
    made, rows = world(tmp_path)
    order = [row["turnover"] / 100 for row in rows]
    one, other = view_of(made), view_of(made, secret=b"x" * 32)
    assert sorted(one.columns["turnover"]) == sorted(order) == sorted(other.columns["turnover"])
    assert len({tuple(order), tuple(one.columns["turnover"]), tuple(other.columns["turnover"])}) == 3


def test_a_unit_is_on_the_same_side_whatever_is_asked(tmp_path: Path) -> None:
    made, _ = world(tmp_path)
    narrow = replace(
        QUESTION,
        federation="fed-2",
        features=QUESTION.features[:1],
        positive="false",
    )
    view = made.engine().view(admitted(made.catalogue, narrow), secret=SECRET)
    assert view.is_held_out.tolist() == view_of(made).is_held_out.tolist()
    assert (1 - view.target).tolist() == view_of(made).target.tolist()
    assert 20 <= int(view.is_held_out.sum()) <= 60


def test_rows_without_a_target_are_left_out(tmp_path: Path) -> None:
    # Admission asks for a target that has a value always; a declaration may have been revised since publication.
    made, rows = world(tmp_path)
    features = (CodedFeature(name="active", codes=("false", "true")),)
    asked = replace(QUESTION, target="sector", positive="B", features=features)
    resolver = Resolver.of_source(asked.source, made.catalogue)
    job = resolve_view(asked, resolver, key=SECRET, hold_out=Fraction(0))
    arrays = made.engine()._compute(job, resolver, None, None, None).arrays
    known = [row for row in rows if row["sector"] is not None]
    assert len(arrays["y"]) == len(known) < len(rows)
    assert int(arrays["y"].sum()) == sum(row["sector"] == "B" for row in known)
    assert int(arrays["x0"].sum()) == sum(row["active"] for row in known)


def test_a_code_that_the_plan_does_not_have_is_missing(tmp_path: Path) -> None:
    # Admission asks for all codes; the engine makes no number of one that it does not know.
    made, rows = world(tmp_path)
    resolver = Resolver.of_source(Source(dataset=FILINGS), made.catalogue)
    features = (CodedFeature(name="sector", codes=SECTORS[:1]),)
    asked = replace(
        QUESTION,
        features=features,
    )
    job = resolve_view(asked, resolver, key=SECRET, hold_out=Fraction(0))
    arrays = made.engine()._compute(job, resolver, None, None, None).arrays
    assert sorted(arrays["x0"].tolist()) == sorted(0 if row["sector"] == "A" else -1 for row in rows)


def test_a_version_with_several_rows_of_a_unit_has_no_view(tmp_path: Path) -> None:
    made, _ = world(tmp_path)
    chance = random.Random(1)
    rows = [{**row, "_row": 10**6 + row["_row"]} for row in world(tmp_path / "other")[1] if chance.random() < 0.1]
    made.publish(FILINGS, [*world(tmp_path / "third")[1], *rows], version=2)
    with pytest.raises(InvalidRequestError, match="one row a unit"):
        view_of(made)


LIMITED: dict[str, tuple[dict[str, Any], type[Exception], ErrorCode]] = {
    "too many bytes": ({"limits": Limits(result_bytes=UNITS * 6 * 8 - 1)}, RefusedError, ErrorCode.RESOURCE_LIMIT),
    "too few units": ({"min_units": UNITS + 1}, RefusedError, ErrorCode.JOB_REFUSED),
    "a short secret": ({"secret": b"x" * 31}, InvalidRequestError, ErrorCode.CONFIG_INVALID),
    "everything held out": ({"hold_out": Fraction(1)}, InvalidRequestError, ErrorCode.CONFIG_INVALID),
}


@pytest.mark.parametrize("name", LIMITED)
def test_a_view_beyond_its_limits_is_refused(name: str, tmp_path: Path) -> None:
    changes, kind, code = LIMITED[name]
    made, _ = world(tmp_path)
    with pytest.raises(kind) as found:
        view_of(made, **changes)
    assert getattr(found.value, "code", None) is code


def test_a_view_at_its_limits_is_read(tmp_path: Path) -> None:
    made, _ = world(tmp_path)
    limits = Limits(memory_bytes=1 << 29, threads=1, result_bytes=UNITS * 6 * 8)
    assert view_of(made, limits=limits, min_units=UNITS).rows == UNITS


def test_a_job_survives_the_pipe(tmp_path: Path) -> None:
    made, _ = world(tmp_path)
    resolver = Resolver.of_source(Source(dataset=FILINGS), made.catalogue)
    job: Job = resolve_view(QUESTION, resolver, key=SECRET, hold_out=Fraction(1, 5))
    settings = Settings(data=("x",), memory_bytes=1, threads=1, temp_bytes=1)
    assert isinstance(job, ViewJob)
    assert unpack_job(pack_job(job, settings)) == (job, settings)


@pytest.mark.parametrize("name", ["uscc", "nothing"])
def test_what_has_no_column_is_not_resolved(name: str, tmp_path: Path) -> None:
    made, _ = world(tmp_path)
    resolver = Resolver.of_source(Source(dataset=FILINGS), made.catalogue)
    feature = NumericFeature(name=name, bounds=("0", "1"))
    wrong: tuple[dict[str, Any], ...] = ({"target": name}, {"features": (feature,)})
    for changes in wrong:
        with pytest.raises(InvalidRequestError):
            resolve_view(replace(QUESTION, **changes), resolver, key=SECRET, hold_out=Fraction(0))


def test_a_view_is_read_in_the_engines_cage(tmp_path: Path) -> None:
    made, rows = world(tmp_path)
    view = view_of(made, made.engine(BubblewrapCage()))
    assert rows_of(view) == expected(rows, Fraction(1, 5))
