"""More attacks on exact statistics (disclosure.md 6.9): models, quantiles, memberships, public weights, presentation.

As in `test_exact_statistics`, an attack is a function of what a partner can ask and returns what it believes. Against
the product it may not be right; against a control build it must be.
"""

import itertools
import shutil
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from sandbox.disclosure.history.history import History
from sandbox.disclosure.history_gate import HistoryVerdict, Proposal
from sandbox.disclosure.released import ReleasedModel
from sandbox.node.judging import Asking
from sandbox.node.questions import QuestionBook, QuestionState
from tests.lib.attack_world import SECOND, Build, DeniedError, World, new_world, open_world
from tests.lib.attack_world_2 import new_second_world, open_second_world
from tests.lib.nodes import PARTNER, PURPOSE
from yingbi.canonical import JsonValue
from yingbi.errors import ErrorCode, UnavailableError
from yingbi.plan.codec import plan_to_json
from yingbi.plan.model import Column, Comparison, Condition, Family, Plan, RegressionQuestion, Source

Number = Decimal | None
Attack = Callable[[World], Number]
Open = Callable[[Path, Build], AbstractContextManager[World]]

REGISTER = "lab/register"
SMALL_PLACE = {"place": ("p0",), "industry": ("B", "F")}


@dataclass(frozen=True, slots=True)
class Case:
    """An attack, what it is after, how near a belief must be (a share), the build in which it succeeds, its world."""

    attack: Attack
    truth: Callable[[World], int]
    within: Decimal = Decimal(0)
    control: Build = Build.NO_HISTORY
    world: str = "second"


def tax_of(number: int) -> Callable[[World], int]:
    return lambda world: int(world.truth.tax[number])


def value(world: World, sql: str, *, partner: str = PARTNER) -> Number:
    """Return a single value, nothing where the gate denies it."""
    try:
        return world.one(sql, partner=partner)
    except DeniedError:
        return None


def less(one: Number, other: Number) -> Number:
    return None if one is None or other is None else one - other


def regression(
    target: str, features: tuple[str, ...], where: Mapping[str, tuple[str, ...]], family: Family = Family.LINEAR
) -> JsonValue:
    """Return the plan of a regression over the register."""
    question = RegressionQuestion(
        source=Source(dataset=REGISTER),
        family=family,
        target=Column(dataset=REGISTER, name=target),
        features=tuple(Column(dataset=REGISTER, name=name) for name in features),
        where=tuple(
            Condition(column=Column(dataset=REGISTER, name=name), comparison=Comparison.IN, values=values)
            for name, values in where.items()
        ),
    )
    return plan_to_json(Plan(question=question))


def terms(model: ReleasedModel) -> dict[str, Decimal]:
    return {term.name: Decimal(term.coefficient or "nan") for term in model.terms}


# --- regressions ------------------------------------------------------------------------------------------------------


def saturated_level(world: World) -> Number:
    """Firm 0 is a level of its own: its coefficient and the intercept are its tax."""
    found = terms(world.model(regression("tax", ("industry",), SMALL_PLACE)))
    return found["intercept"] + found["industry=F"]


def fit_without_one(world: World) -> Number:
    """The mean of a place from two fits, with everybody and with everybody but firm 0 (its industry left out)."""
    places = {"place": ("p0", "p2")}
    whole = terms(world.model(regression("tax", ("place",), places)))
    others = {**places, "industry": ("A", "B", "C")}
    part = terms(world.model(regression("tax", ("place",), others), partner=SECOND))
    size = int((world.truth.place == "p0").sum())  # everybody knows who is where
    return whole["intercept"] * size - part["intercept"] * (size - 1)


def fit_and_table(world: World) -> Number:
    """A code as a feature is a table of means: its cell, less a table's without firm 0."""
    table = world.one("select sum(tax) from lab.register where place = 'p0' and industry != 'F'")
    found = terms(world.model(regression("tax", ("place",), {"place": ("p0", "p2", "p3")}), partner=SECOND))
    return less(found["intercept"] * int((world.truth.place == "p0").sum()), table)


def level_of_a_giant(world: World) -> Number:
    """The mean of the giant's place, times its firms, is nearly the giant."""
    found = terms(world.model(regression("tax", ("place",), {"place": ("p0", "p1", "p2")})))
    return (found["intercept"] + found["place=p1"]) * int((world.truth.place == "p1").sum())


def late_firms(world: World) -> np.ndarray:
    """Return capital and lateness of the fifteen firms of p4 and A; capital is public, lateness is what is wanted."""
    chosen = world.truth[(world.truth.place == "p4") & (world.truth.industry == "A")]
    return np.array([chosen.capital, chosen.late], dtype=np.int64)


def subset_number(members: np.ndarray) -> int:
    return int((members * 2 ** np.arange(len(members))).sum())


def subsets(size: int) -> np.ndarray:
    return (np.arange(2**size)[:, None] >> np.arange(size)) & 1


def fitted_knapsack(world: World) -> Number:
    """A logistic model says how many are late, and the sum of their (public) capital: one subset has that sum."""
    where = {"place": ("p4",), "industry": ("A",)}
    found = terms(world.model(regression("late", ("capital",), where, Family.LOGISTIC)))
    capital = late_firms(world)[0]
    chance = 1 / (1 + np.exp(-(float(found["intercept"]) + float(found["capital"]) * capital)))
    candidates = subsets(len(capital))
    count = np.abs(candidates.sum(axis=1) - chance.sum())
    total = np.abs(candidates @ capital - (chance * capital).sum())
    return Decimal(subset_number(candidates[np.argmin(count * 1e7 + total)]))


# --- public numbers, and who is on a list -----------------------------------------------------------------------------


def public_knapsack(world: World) -> Number:
    """The sum of what everybody knows over those who are late: one subset has it."""
    total = world.one("select sum(capital) from lab.register where late and place = 'p4' and industry = 'A'")
    if total is None:
        return None
    capital = late_firms(world)[0]
    candidates = subsets(len(capital))
    return Decimal(subset_number(candidates[np.flatnonzero(candidates @ capital == int(total))[0]]))


def late_subset(world: World) -> int:
    return subset_number(late_firms(world)[1])


LISTED = "select count(*) from lab.register r left join lab.sanctions s using (uscc) where s.year is not null and "


def list_by_public_column(world: World) -> Number:
    """A public column of a list has a value for those on it: p1, less p1 without the firms of 2000 and later."""
    whole, part = value(world, LISTED + "place = 'p1'"), value(world, LISTED + "place = 'p1' and founded < 2020")
    return less(whole, part)


def listed_young(world: World) -> int:
    firms = world.truth[(world.truth.place == "p1") & (world.truth.founded >= 2020)]
    return int(firms.sanctioned.sum())


def everybody_on_the_list(world: World) -> Number:
    """As many firms of p4 and B are on the list as there are in the register."""
    cells = world.ask(
        "select place, industry, count(*) from lab.register r join lab.sanctions s using (uscc) group by 1, 2"
    )
    listed = cells.get(("B", "p4"), [None])[0]
    return listed if listed == size_of_b(world) else None


# --- differences of many units ----------------------------------------------------------------------------------------


def difference_that_is_a_giant(world: World) -> Number:
    """Sixty firms of p1, never asked for: everybody, less everybody elsewhere; the giant is nearly all of it."""
    elsewhere = value(world, "select sum(tax) from lab.register where place != 'p1'", partner=SECOND)
    return less(value(world, "select sum(tax) from lab.register"), elsewhere)


def difference_that_is_of_one_class(world: World) -> Number:
    """As many of p4 and B have a fine as there are, never asked for: p4, less p4 without B."""
    ask = "select count(*) filter (where fine is not null) from lab.register where place = 'p4'"
    found = less(value(world, ask), value(world, ask + " and industry in ('A', 'C')", partner=SECOND))
    return found if found == size_of_b(world) else None


def size_of_b(world: World) -> int:
    return int(((world.truth.place == "p4") & (world.truth.industry == "B")).sum())


# --- quantiles --------------------------------------------------------------------------------------------------------


def near_the_end(world: World) -> Number:
    """Three interpolated quantiles next to the end of thirteen firms: the largest, solved for."""
    where = "where place = 'p0' and industry in ('B', 'F')"
    ask = "select quantile_cont(tax, {}) from lab.register " + where
    high, next_high = value(world, ask.format("0.95")), value(world, ask.format("0.9"))
    lower = value(world, ask.format("0.85"))
    if high is None or next_high is None or lower is None:
        return None
    # Of values v1..v13: q(.85) = .8 v11 + .2 v12, q(.9) = .2 v11 + .8 v12, q(.95) = .6 v12 + .4 v13.
    twelfth = (4 * next_high - lower) / 3
    return (high - Decimal("0.6") * twelfth) / Decimal("0.4")


def bisected(world: World) -> Number:
    """A quantile of a population and of it without firm 0: where it falls, firm 0 is above."""
    ask = "select quantile_cont(tax, 0.9) from lab.register where place = 'p0' and industry in ({})"
    whole, part = value(world, ask.format("'B', 'F'")), value(world, ask.format("'B'"), partner=SECOND)
    return None if whole is None or part is None else Decimal(int(whole > part))


# --- presentation, counts, rounding -----------------------------------------------------------------------------------


def bisected_by_having(world: World) -> Number:
    """The suppressed cell p1 (a giant's): conditions on the released value, halving."""
    low, high = 0, 20_000_000
    while high - low > 1000:
        middle = (low + high) // 2
        rows = world.ask(f"select place, sum(tax) from lab.register group by place having sum(tax) >= {middle}")
        if ("p1",) in rows:
            low = middle
        else:
            high = middle
    return Decimal(low)


def first_by_order(world: World) -> Number:
    """Which place stands first by a suppressed value: 1 for the giant's."""
    rows = world.ask("select place, sum(tax) from lab.register group by place order by 2 desc limit 1")
    return Decimal(int(("p1",) in rows))


def place_total(world: World) -> int:
    return int(world.truth.tax[world.truth.place == "p1"].sum())


def mean_times_count_in_a_join(world: World) -> Number:
    """The sum in disguise, over rows of filings and by an attribute of the joined firms."""
    totals = []
    for names in ("'A', 'B', 'C', 'D', 'E', 'F'", "'A', 'B', 'C', 'D', 'E'"):
        row = world.ask(
            "select avg(amount), count(amount) from lab.filings join lab.firms f using (uscc) "
            f"where f.community = 'c00' and f.industry in ({names})"
        ).get((), [None, None])
        if row[0] is None or row[1] is None:
            return None
        totals.append(row[0] * row[1])
    return totals[0] - totals[1]


def filed_by_0(world: World) -> int:
    return int(world.filings.amount[world.filings.uscc == "U00000"].sum())


def distinct_units(world: World) -> Number:
    """How many firms file under the rare kind: one, with eight rows."""
    return world.ask("select kind, count(distinct uscc), count(*) from lab.filings group by kind").get(
        ("rare",), [None]
    )[0]


def units_in_two_kinds(world: World) -> Number:
    """Units by kind, less units: how many are in both kinds; and the rare kind from the rest."""
    cells = world.ask("select kind, count(distinct uscc) from lab.filings group by rollup (kind)")
    return less(cells.get(("*",), [None])[0], cells.get(("usual",), [None])[0])


CASES = {
    "regression: a saturated level": Case(saturated_level, tax_of(0), Decimal("0.001"), Build.NO_RULES),
    "regression: with and without one": Case(fit_without_one, tax_of(0), Decimal("0.001")),
    "regression: a code is a table": Case(fit_and_table, tax_of(0), Decimal("0.001")),
    "regression: a giant's level": Case(level_of_a_giant, tax_of(1), Decimal("0.1")),
    "regression: a knapsack": Case(fitted_knapsack, late_subset, control=Build.NO_RULES),
    "public numbers: a knapsack": Case(public_knapsack, late_subset, control=Build.NO_RULES),
    "membership: a public column of a list": Case(list_by_public_column, listed_young, control=Build.NO_RULES),
    "membership: everybody is on the list": Case(everybody_on_the_list, size_of_b, control=Build.NO_RULES),
    "a difference that a giant dominates": Case(difference_that_is_a_giant, tax_of(1), Decimal("0.1")),
    "a difference of one class": Case(difference_that_is_of_one_class, size_of_b),
    "quantiles next to the end": Case(near_the_end, tax_of(0), Decimal("0.1"), Build.NO_RULES),
    "quantiles of two populations": Case(bisected, lambda _: 1, control=Build.NO_RULES),
    "having: a suppressed value halved": Case(bisected_by_having, place_total, Decimal("0.1"), Build.NO_RULES),
    "order: a suppressed value first": Case(first_by_order, lambda _: 1, control=Build.NO_RULES),
    "mean times count in a join": Case(mean_times_count_in_a_join, filed_by_0, Decimal("0.001"), world="first"),
    "distinct units of a rare kind": Case(distinct_units, lambda _: 1, control=Build.NO_RULES, world="first"),
    "distinct units by subtraction": Case(units_in_two_kinds, lambda _: 1, control=Build.NO_RULES, world="first"),
}

OPEN: dict[str, Open] = {"first": open_world, "second": open_second_world}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("worlds")
    (folder / "first").mkdir()
    (folder / "second").mkdir()
    return {"first": new_world(folder / "first"), "second": new_second_world(folder / "second")}


@pytest.fixture
def node(published: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the second world."""
    return shutil.copytree(published["second"], tmp_path / "node")


def believed(case: Case, published: dict[str, Path], folder: Path, build: Build) -> tuple[Number, int]:
    copy = shutil.copytree(published[case.world], folder / "node")
    with OPEN[case.world](copy, build) as world:
        try:
            return case.attack(world), case.truth(world)
        except DeniedError:
            return None, case.truth(world)


def is_right(belief: Number, truth: int, within: Decimal) -> bool:
    return belief is not None and abs(belief - truth) <= within * truth


@pytest.mark.parametrize("name", CASES)
def test_an_attack_fails(name: str, published: dict[str, Path], tmp_path: Path) -> None:
    belief, truth = believed(CASES[name], published, tmp_path, Build.PRODUCT)
    assert not is_right(belief, truth, CASES[name].within)


@pytest.mark.parametrize("name", CASES)
def test_an_attack_succeeds_where_the_gate_is_off(name: str, published: dict[str, Path], tmp_path: Path) -> None:
    belief, truth = believed(CASES[name], published, tmp_path, CASES[name].control)
    assert is_right(belief, truth, CASES[name].within), (belief, truth)


def test_an_ordinary_model_of_a_code_comes_out(node: Path) -> None:
    """The tables that a model gives away hold back no more than they would as tables."""
    with open_second_world(node, Build.PRODUCT) as world:
        found = terms(world.model(regression("tax", ("place", "founded"), {"place": ("p0", "p2", "p3", "p4")})))
    assert set(found) == {"intercept", "founded", "place=p2", "place=p3", "place=p4"}


# --- what cannot be expressed -----------------------------------------------------------------------------------------

NOT_EXPRESSIBLE = (
    "select sum(tax * capital) from lab.register",
    "select sum(tax * 1000003) from lab.register",
    "select covar_pop(tax, capital) from lab.register",
    "select corr(tax, fine) from lab.register",
    "select regr_slope(tax, capital) from lab.register",
    "select sum(case when place = 'p0' then tax else 0 end) from lab.register",
    "select sum(tax) / 0 from lab.register",
    "select sum(cast(tax as tinyint)) from lab.register",
    "select sum(power(tax, 9)) from lab.register",
    "select max(tax) from lab.register",
    "select min(tax) from lab.register where place = 'p0'",
    "select list(tax) from lab.register",
    "select avg(distinct tax) from lab.register",
    "select sum(tax) over (partition by place) from lab.register",
    "select sum(tax) from lab.register where uscc = 'R00000'",
    "select sum(tax) from lab.register where uscc in ('R00000', 'R00001')",
    "select sum(tax) from lab.register where tax = 77777",
    "select sum(tax) from lab.register where tax >= 77777",
    "select sum(tax) from lab.register where tax > capital",
    "select sum(r.tax * v.w) from lab.register r join (values ('R00000', 1)) v (uscc, w) using (uscc)",
    "select sum(tax) from lab.register where hash(uscc) % 2 = 0",
    "select sum(tax) from lab.register tablesample 10 percent",
    "select sum(tax) from lab.register limit 1 offset 5",
    "select tax, count(*) from lab.register group by tax",
    "select uscc, count(*) from lab.register group by uscc",
    "select count(*) from lab.register a join lab.register for version as of 1 b using (uscc)",
    "select count(*) from lab.register where place = 'p0' or industry = 'F'",
)


@pytest.mark.parametrize("sql", NOT_EXPRESSIBLE)
def test_vectors_of_ones_own_cannot_be_expressed(sql: str, node: Path) -> None:
    """Means and covariances with own vectors, single units, extremes and casts: refused before anything runs."""
    with open_second_world(node, Build.NO_RULES) as world:
        found = world.gate.explain(Asking(partner=PARTNER, purpose=PURPOSE, sql=sql))
    assert found.admitted is None


# --- two halves at once, crashes, rounding ----------------------------------------------------------------------------

WHOLE = "select sum(tax) from lab.register where place in ('p0', 'p2')"
PART = WHOLE + " and industry != 'F'"


class _Together:
    """Lets two gates judge before either records."""

    def __init__(self) -> None:
        self._barrier = threading.Barrier(2, timeout=20)
        self._seen = threading.local()
        self._judge = History.judge

    def judge(self, history: History, proposal: Proposal) -> HistoryVerdict:
        verdict = self._judge(history, proposal)
        if not getattr(self._seen, "once", False):
            self._seen.once = True
            self._barrier.wait()
        return verdict


def test_two_gates_at_once_do_not_let_both_halves_out(node: Path) -> None:
    """Both judge while nothing is recorded; the one that records second is judged again."""
    found: dict[str, Number] = {}

    def ask(sql: str, partner: str) -> None:
        with open_second_world(node, Build.PRODUCT) as world:
            found[sql] = value(world, sql, partner=partner)

    together = _Together()
    with patch.object(History, "judge", lambda history, proposal: together.judge(history, proposal)):
        threads = [threading.Thread(target=ask, args=one) for one in ((WHOLE, PARTNER), (PART, SECOND))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(one is None for one in found.values()) == [False, True]


def test_a_crash_between_record_and_release_remembers_what_may_have_left(node: Path) -> None:
    crash = UnavailableError(ErrorCode.ENGINE_FAILED, "the power is gone")
    broken = patch.object(QuestionBook, "release", side_effect=crash)
    with open_second_world(node, Build.PRODUCT) as world, broken, pytest.raises(UnavailableError):
        world.one(WHOLE)
    with open_second_world(node, Build.PRODUCT) as world:
        states = [row.state for row in QuestionBook(world.home.database, world.home.clock).list_questions()]
        assert states == [QuestionState.FAILED]
        assert value(world, PART, partner=SECOND) is None
        assert value(world, WHOLE) == int(world.truth.tax[world.truth.place.isin(["p0", "p2"])].sum())


@pytest.mark.parametrize("build", [Build.PRODUCT, Build.NO_HISTORY])
def test_rounding_does_not_make_a_difference_safe(build: Build, node: Path) -> None:
    """Rounded to hundreds, the difference is within a hundred of the victim: only memory helps."""
    with open_second_world(node, build, rounding=100) as world:
        belief, truth = less(value(world, WHOLE), value(world, PART, partner=SECOND)), int(world.truth.tax[0])
    assert (belief is not None and abs(belief - truth) <= 100) is (build is Build.NO_HISTORY)


def test_asking_again_teaches_nothing(node: Path) -> None:
    """Another partner, names, order, a limit and a later version that changed nothing here: the same numbers."""
    ask = "select industry, place, count(*) from lab.register where industry in ('A', 'B') group by 1, 2"
    variants = (
        (ask, PARTNER),
        (ask, SECOND),
        (ask + " order by 3 desc", PARTNER),
        ("select place as x, industry as y, count(*) as z from lab.register "
         "where industry in ('B', 'A') group by place, industry having count(*) >= 0 limit 1000", SECOND),
    )  # fmt: skip
    with open_second_world(node, Build.PRODUCT) as world:
        answers = [
            {tuple(sorted(map(str, key))): values[0] for key, values in world.ask(sql, partner=partner).items()}
            for sql, partner in variants
        ]
    released = [{key: one for key, one in answer.items() if one is not None} for answer in answers]
    assert all(one == released[0] for one in released)


def test_no_canary_is_in_what_a_partner_is_told(node: Path) -> None:
    """Refusals, failures and notices of held results hold no value of a victim."""
    said = []
    with open_second_world(node, Build.PRODUCT) as world:
        asked = [*NOT_EXPRESSIBLE, WHOLE, PART, "select sum(profit) from lab.register where place = 'p3'"]
        asked += [f"select sum(tax) from lab.register where place = '{place}'" for place in ("p0", "p1")]
        asked += ["select sum(tax) from lab.register where place = 'p0' and industry = 'F'"]
        for sql, partner in itertools.product(asked, (PARTNER, SECOND)):
            try:
                world.ask(sql, partner=partner)
            except DeniedError as error:
                said.append(error.said)
        canaries = {str(int(world.truth.tax[at])) for at in (0, 1)} | {str(int(world.truth.profit[3])), "4321"}
    told = " ".join(said)
    assert len(said) > len(NOT_EXPRESSIBLE)
    # What the partner itself wrote may be said again; literals of confidential columns never are.
    assert not {canary for canary in canaries if canary in told}
