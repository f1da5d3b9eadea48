"""Attacks on exact statistics (disclosure.md 6.9): none succeeds, and each does where the gate is off.

An attack is a function of what a partner can ask; it returns what it believes about its victim, or nothing. Against the
product it may not be right. Against a control build it must be, so that its failure proves the gate and not the attack.
"""

import itertools
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

from tests.lib.attack_world import CHANGED, FIRMS, SECOND, Build, DeniedError, World, new_world, open_world

Number = Decimal | None
Attack = Callable[[World], Number]


@dataclass(frozen=True, slots=True)
class Case:
    """An attack, what it is after, how near a belief must be to count (a share), and the build in which it succeeds."""

    attack: Attack
    truth: Callable[[World], int]
    within: Decimal = Decimal(0)
    control: Build = Build.NO_HISTORY


def tax_of(number: int) -> Callable[[World], int]:
    return lambda world: int(world.truth.tax[number])


def differing(world: World, whole: str, part: str, *, second: str | None = None) -> Number:
    """Return the difference of two sums; the second one is asked by another partner where one is named."""
    one = world.one(whole)
    other = world.one(part) if second is None else world.one(part, partner=second)
    return None if one is None or other is None else one - other


# --- the attacks ------------------------------------------------------------------------------------------------------


def one_unit_less(world: World) -> Number:
    """Firm 0 is the only one of industry F: everybody, less everybody else."""
    others = "select sum(tax) from lab.firms where industry in ('A', 'B', 'C', 'D', 'E')"
    return differing(world, "select sum(tax) from lab.firms", others)


def one_unit_less_by_two_partners(world: World) -> Number:
    """The same, the two halves asked by two partners."""
    others = "select sum(tax) from lab.firms where industry != 'F'"
    return differing(world, "select sum(tax) from lab.firms", others, second=SECOND)


def individual_tracker(world: World) -> Number:
    """Schlörer's: C = A and B is too small; q(A) - q(A and not B)."""
    whole = "select sum(tax) from lab.firms where community = 'c00'"
    return differing(world, whole, "select sum(tax) from lab.firms where community = 'c00' and industry != 'F'")


def general_tracker(world: World) -> Number:
    """Denning's: q(C) = q(C or T) + q(C or not T) - q(all), by values of one column so that `or` is `in`."""
    half = ("A", "B")
    other = ("C", "D", "E")
    with_half = ", ".join(f"'{name}'" for name in ("F", *half))
    with_other = ", ".join(f"'{name}'" for name in ("F", *other))
    parts = [
        world.one(f"select sum(tax) from lab.firms where industry in ({names})") for names in (with_half, with_other)
    ]
    everything = world.one("select sum(tax) from lab.firms")
    known = [part for part in (*parts, everything) if part is not None]
    return known[0] + known[1] - known[2] if len(known) == 3 else None


def double_tracker(world: World) -> Number:
    """Denning's with T inside U: q(C) = q(U) + q(C or T) - q(T) - q(not (C and T) and U), asked by two partners."""
    ask = "select sum(tax) from lab.firms where industry in ({})"
    wide = world.one(ask.format("'A', 'B', 'C', 'F'"))
    narrow = world.one(ask.format("'A', 'B'"), partner=SECOND)
    rest = world.one(ask.format("'C', 'D'"))
    alone = world.one(ask.format("'D'"), partner=SECOND)
    known = [part for part in (wide, narrow, rest, alone) if part is not None]
    return known[0] - known[1] - (known[2] - known[3]) if len(known) == 4 else None


def count_of_rows(world: World) -> Number:
    """Firm 40 fills a cell alone, with eight rows: a threshold on rows would let it out."""
    return world.ask("select street, sum(amount) from lab.filings where kind = 'rare' group by street").get(
        (str(world.truth.street[40]),), [None]
    )[0]


def mean_of_an_indicator(world: World) -> Number:
    """How many of community c11 and industry A were penalised: as a mean it says that all were."""
    cells = world.ask(
        "select community, industry, avg(penalties), count(*) from lab.firms "
        "where industry = 'A' group by community, industry"
    )
    return cells.get(("c11", "A"), [None])[0]


def mean_times_count(world: World) -> Number:
    """Sums in disguise: mean times number of values, with and without the victim."""
    totals = []
    for where in ("", " and industry != 'F'"):
        ask = f"select avg(tax), count(tax) from lab.firms where community = 'c00'{where}"
        row = world.ask(ask).get((), [None, None])
        if row[0] is None or row[1] is None:
            return None
        totals.append(row[0] * row[1])
    return totals[0] - totals[1]


def mean_and_variance(world: World) -> Number:
    """The sum of squares of everybody, less that of everybody else, is the square of one."""
    squares = []
    for where in ("", " and industry != 'F'"):
        ask = f"select avg(tax), variance(tax), count(tax) from lab.firms where community = 'c00'{where}"
        row = world.ask(ask).get((), [None] * 3)
        mean, variance, count = row
        if mean is None or variance is None or count is None:
            return None
        squares.append(variance * (count - 1) + mean * mean * count)
    difference = squares[0] - squares[1]
    return difference.sqrt() if difference > 0 else None


def boundary_shaving(world: World) -> Number:
    """Firm 30 is the only one above the edge 500: below 1000 less below 500."""
    whole = "select sum(tax) from lab.firms where staff >= 100"
    return differing(world, whole, "select sum(tax) from lab.firms where staff >= 100 and staff < 500")


def bins(world: World) -> Number:
    """Firm 0's bin of founding years, less the other industries' cells of that bin."""
    split = "bin(founded, 2000, 2010, 2020)"
    parts = world.ask(f"select industry, {split} b, sum(tax) from lab.firms group by industry, b")
    whole = world.ask(f"select {split} b, sum(tax) from lab.firms group by b")
    for key, (total,) in whole.items():
        others = [values[0] for names, values in parts.items() if key[0] in names and "F" not in names]
        known = [value for value in others if value is not None]
        if total is not None and len(known) == len(others) and total - sum(known) == int(world.truth.tax[0]):
            return total - sum(known)
    return None


def margin(world: World) -> Number:
    """The suppressed cell of a table with totals: the total, less the other cells."""
    cells = world.ask("select community, industry, sum(tax) from lab.firms group by cube (community, industry)")
    total = cells.get(("c00", "*"), [None])[0]
    others = [cells.get(("c00", name), [Decimal(0)])[0] for name in "ABCDE"]
    if total is None or any(other is None for other in others):
        return None
    return total - sum(other for other in others if other is not None)


def hierarchy(world: World) -> Number:
    """Firm 15 moved from c03 to c04 in the 2025 communities: one table each."""
    old = world.ask("select community, sum(tax) from lab.firms group by community")
    new = world.ask("select community_2025, sum(tax) from lab.firms group by community_2025")
    for name, sign in (("c03", 1), ("c04", -1)):
        one, other = old.get((name,), [None])[0], new.get((name,), [None])[0]
        if one is not None and other is not None:
            return sign * (one - other)
    return None


def version(world: World) -> Number:
    """The last firm came with version 2 of the data set: the same question about both versions."""
    ask = "select street, sum(tax) from lab.firms group by street"
    new, old = (world.ask(ask, version=number).get(("s3",), [None])[0] for number in (2, 1))
    return None if new is None or old is None else new - old


def change_between_versions(world: World) -> Number:
    """Firm 64 paid more between the versions: the same question about both, where nobody else changed."""
    ask = "select street, sum(tax) from lab.firms group by street"
    new, old = (world.ask(ask, version=number).get(("s1",), [None])[0] for number in (2, 1))
    return None if new is None or old is None else new - old


def dominance(world: World) -> Number:
    """Firm 2 is nearly all of its cell: the cell is nearly firm 2."""
    return world.ask(
        "select community, industry, sum(tax) from lab.firms where industry = 'E' group by community, industry"
    ).get(("c02", "E"), [None])[0]


def coalition(world: World) -> Number:
    """Firms 6 and 18 own their cell; one of them subtracts itself and knows the other."""
    cells = world.ask(
        "select community, industry, sum(tax) from lab.firms where industry = 'D' group by community, industry"
    )
    total = cells.get(("c06", "D"), [None])[0]
    return None if total is None else total - Decimal(int(world.truth.tax[18]))


def class_disclosure(world: World) -> Number:
    """Everybody of c11 and A is penalised: their number and the number of the penalised are the same."""
    cells = world.ask(
        "select community, industry, count(*) filter (where penalised), count(*) from lab.firms "
        "group by community, industry"
    )
    penalised, everybody = cells.get(("c11", "A"), [None, None])
    return penalised if penalised is not None and penalised == everybody else None


def class_by_dimension(world: World) -> Number:
    """The same with the confidential column as a dimension: the other category is empty."""
    cells = world.ask("select community, industry, penalised, count(*) from lab.firms group by 1, 2, 3")
    return cells.get(("c11", "A", "true"), [None])[0]


def quantile_bisection(world: World) -> Number:
    """Quantiles of everybody and of everybody but one: where they differ, the victim is; the nearest one is a guess."""
    found = []
    for fraction in range(5, 100, 5):
        share = f"0.{fraction:02}"
        values = [
            world.one(f"select quantile_cont(tax, {share}) from lab.firms where community = 'c00'{where}")
            for where in ("", " and industry != 'F'")
        ]
        if None not in values and values[0] != values[1]:
            found.append(values[0])
    return found[-1] if found else None


def many_overlapping_tables(world: World) -> Number:
    """Every pair of public columns, at every level: somewhere the equations have one solution for the victim."""
    dims = ("street", "community", "community_2025", "industry", "size")
    for one, other in itertools.combinations(dims, 2):
        world.ask(f"select {one}, {other}, sum(tax) from lab.firms group by {one}, {other}")
    return individual_tracker(world)


CASES = {
    "one unit less": Case(one_unit_less, tax_of(0), control=Build.NO_RULES),
    "one unit less, by two partners": Case(one_unit_less_by_two_partners, tax_of(0), control=Build.NO_RULES),
    "individual tracker": Case(individual_tracker, tax_of(0)),
    "general tracker": Case(general_tracker, tax_of(0)),
    "double tracker, by two partners": Case(double_tracker, tax_of(0)),
    "rows instead of units": Case(count_of_rows, lambda world: 8 * 1111 + 28, control=Build.NO_RULES),
    "mean of an indicator": Case(mean_of_an_indicator, lambda world: 1, control=Build.NO_RULES),
    "mean times count": Case(mean_times_count, tax_of(0), within=Decimal("0.001")),
    "mean and variance": Case(mean_and_variance, tax_of(0), within=Decimal("0.001")),
    "boundary shaving": Case(boundary_shaving, tax_of(30)),
    "bins": Case(bins, tax_of(0)),
    "margin": Case(margin, tax_of(0)),
    "hierarchy": Case(hierarchy, tax_of(15)),
    "version": Case(version, tax_of(FIRMS - 1)),
    "change between versions": Case(change_between_versions, lambda world: CHANGED),
    "dominance": Case(dominance, tax_of(2), within=Decimal("0.1"), control=Build.NO_RULES),
    "dominance by coalition": Case(coalition, tax_of(6), within=Decimal("0.1"), control=Build.NO_RULES),
    "class disclosure": Case(class_disclosure, lambda world: number_of(world, "c11", "A"), control=Build.NO_RULES),
    "class disclosure by dimension": Case(
        class_by_dimension, lambda world: number_of(world, "c11", "A"), control=Build.NO_RULES
    ),
    "many overlapping tables": Case(many_overlapping_tables, tax_of(0)),
}


def number_of(world: World, community: str, industry: str) -> int:
    firms = world.truth
    return int(((firms.community == community) & (firms.industry == industry)).sum())


# --- that they fail, and succeed --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def node(published: Path, tmp_path: Path) -> Path:
    """A copy of the world: what one attack is told stays out of the others."""
    return shutil.copytree(published, tmp_path / "node")


def believed(case: Case, node: Path, build: Build) -> tuple[Number, int]:
    """Return what the attack believes, nothing where the gate stopped it, and the truth."""
    with open_world(node, build) as world:
        try:
            return case.attack(world), case.truth(world)
        except DeniedError:
            return None, case.truth(world)


def is_right(belief: Number, truth: int, within: Decimal) -> bool:
    return belief is not None and abs(belief - truth) <= within * truth


@pytest.mark.parametrize("name", CASES)
def test_an_attack_fails(name: str, node: Path) -> None:
    case = CASES[name]
    belief, truth = believed(case, node, Build.PRODUCT)
    assert not is_right(belief, truth, case.within)


@pytest.mark.parametrize("name", CASES)
def test_an_attack_succeeds_where_the_gate_is_off(name: str, node: Path) -> None:
    case = CASES[name]
    belief, truth = believed(case, node, case.control)
    assert is_right(belief, truth, case.within), (belief, truth)
