"""Real public data through the gate: what is released equals plain SQL, what is not has a reason that is found again.

Two data sets of 30,000 units: loans of a public register (membership public), and a bank's clients (membership
confidential). The reference is DuckDB or pandas on the rows as they were published, and NumPy for the models.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from math import floor, log10
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from policies.disclosure import DisclosureRules
from sandbox.disclosure.released import ColumnKind, ReleasedModel, ReleasedTable
from sandbox.node.gate import Answer, Gate, HeldBack, Released
from sandbox.node.home import NodeHome
from sandbox.node.judging import Asking
from sandbox.node.wiring import open_gate
from tests.lib.in_process import InProcessCage
from tests.lib.nodes import NOW, PARTNER, PURPOSE, broad_agreement
from tests.lib.open_data import (
    CHARGED_OFF,
    PAID,
    OpenData,
    credit_cards,
    publish_open_data,
    published_rates,
    small_loans,
)
from yingbi.canonical import JsonValue
from yingbi.clock import FixedClock

T: Final = 10
SHARE: Final = 0.9
PERCENT: Final = 10
# Values of released tables: counts and sums are exact, means and variances have as many digits as they are given.
CLOSE: Final = 1e-9

Floats = NDArray[np.float64]
Cells = dict[tuple[str | None, ...], list[Decimal | None]]


class Published:
    """A data set at a node, and its rows for plain SQL."""

    def __init__(self, folder: Path, data: OpenData) -> None:
        self.node = publish_open_data(folder, data)
        self.dataset = data.dataset
        self.frame = data.frame
        self._folder = folder
        self._copies = 0

    @contextmanager
    def gate(self) -> Iterator[Gate]:
        """Open the gate of a node that has answered nothing yet."""
        self._copies += 1
        copy = Path(shutil.copytree(self.node, self._folder / f"copy{self._copies}"))
        home = NodeHome.open(copy, clock=FixedClock(NOW))
        with open_gate(home, [broad_agreement([self.dataset], min_units=T)], cage=InProcessCage()) as gate:
            yield gate
        home.close()
        shutil.rmtree(copy)

    def plain(self, sql: str) -> dict[tuple[Any, ...], tuple[Any, ...]]:
        """Return what plain SQL says; the first columns are the key, as many as are grouped by."""
        rows = self.frame
        with duckdb.connect() as connection:
            connection.register("rows", rows)
            found = connection.sql(sql).fetchall()
        keys = sql.count("_key")
        return {tuple(_text(key) for key in row[:keys]): row[keys:] for row in found}


def _text(key: object) -> str | None:
    return None if key is None else str(key).lower() if isinstance(key, bool) else str(key)


@pytest.fixture(scope="module")
def loans(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return Published(tmp_path_factory.mktemp("loans"), small_loans())


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return Published(tmp_path_factory.mktemp("cards"), credit_cards())


def ask(gate: Gate, question: str | JsonValue) -> Answer:
    sql, plan = (question, None) if isinstance(question, str) else (None, question)
    return gate.answer(Asking(partner=PARTNER, purpose=PURPOSE, sql=sql, plan=plan))


def cells_of(answer: Answer) -> Cells:
    """Return released values in the order of the question; `None` is held back."""
    assert isinstance(answer, Released), answer
    table = answer.result
    assert isinstance(table, ReleasedTable)
    names = [column.name for column in table.columns if column.kind is ColumnKind.VALUE]
    wanted = [name for name in table.order if name in names]
    found: Cells = {}
    for row in table.rows:
        values = dict(zip(names, zip(row.values, row.suppressed, strict=True), strict=True))
        key = tuple("*" if total else key for key, total in zip(row.keys, row.totals, strict=True))
        found[key] = [None if values[name][1] else Decimal(str(values[name][0])) for name in wanted]
    return found


def rules_of(answer: HeldBack) -> set[str]:
    """Return the rules that a partner is told of."""
    findings: Any = answer.output.notice["findings"]
    return {finding["rule"] for finding in findings}


def two_digits(value: float) -> float:
    """Round as quantiles are: to two significant digits, halves away from zero."""
    if not value:
        return 0.0
    unit = 10.0 ** (floor(log10(abs(value))) - 1)
    return float(np.sign(value) * floor(abs(value) / unit + 0.5) * unit)


# --- released answers are those of plain SQL --------------------------------------------------------------------------


# Question, the same in plain SQL with `_key` at each dimension (by the names of the columns, as cells come), and how
# values compare: exact, close, quantile.
LOANS: Final = (
    (
        "select state, count(*), sum(approved) from sba.loans group by state",
        "select state as _key, count(*), sum(approved) from rows group by 1",
        "ee",
    ),
    (
        "select sector, avg(disbursed), variance(disbursed), stddev(term) from sba.loans group by sector",
        "select sector as _key, avg(disbursed), var_samp(disbursed), stddev_samp(term) from rows group by 1",
        "ccc",
    ),
    (
        "select area, median(approved), quantile_cont(term, 0.25), quantile_cont(staff, 0.9) from sba.loans "
        "group by area",
        "select area as _key, quantile_cont(approved, 0.5), quantile_cont(term, 0.25), quantile_cont(staff, 0.9) "
        "from rows group by 1",
        "qqq",
    ),
    (
        "select histogram(approved), count(*) from sba.loans",
        "select case when approved < 10000 then '< 10000' when approved < 50000 then '[10000, 50000)' "
        "when approved < 100000 then '[50000, 100000)' when approved < 500000 then '[100000, 500000)' "
        "when approved < 1000000 then '[500000, 1000000)' else '>= 1000000' end as _key, count(*) from rows group by 1",
        "e",
    ),
    (
        "select area, count(*), count(is_new), sum(staff) filter (where charged_off) from sba.loans group by area",
        "select area as _key, count(*), count(is_new), sum(staff) filter (where charged_off) from rows group by 1",
        "eee",
    ),
    (
        "select bin(fiscal_year, 1990, 2000, 2005, 2010), count(*), avg(term) from sba.loans group by 1",
        "select case when fiscal_year < 1990 then '< 1990' when fiscal_year < 2000 then '[1990, 2000)' "
        "when fiscal_year < 2005 then '[2000, 2005)' when fiscal_year < 2010 then '[2005, 2010)' "
        "else '>= 2010' end as _key, count(*), avg(term) from rows group by 1",
        "ec",
    ),
    (
        "select state, area, count(*), sum(approved) from sba.loans where fiscal_year >= 2005 group by state, area",
        "select area as _key, state as other_key, count(*), sum(approved) from rows where fiscal_year >= 2005 "
        "group by 1, 2",
        "ee",
    ),
)
CARDS: Final = (
    (
        "select education, count(*), sum(credit), avg(paid) from bank.cards group by education",
        "select education as _key, count(*), sum(credit), avg(paid) from rows group by 1",
        "eec",
    ),
    (
        "select marriage, sex, variance(credit), median(paid) from bank.cards group by marriage, sex",
        "select marriage as _key, sex as other_key, var_samp(credit), quantile_cont(paid, 0.5) from rows group by 1, 2",
        "cq",
    ),
    (
        "select sex, defaulted, count(*), avg(credit) from bank.cards where age < 40 group by sex, defaulted",
        "select defaulted as _key, sex as other_key, count(*), avg(credit) from rows where age < 40 group by 1, 2",
        "ec",
    ),
    (
        "select histogram(credit), count(*) from bank.cards",
        "select case when credit < 50000 then '[10000, 50000)' when credit < 100000 then '[50000, 100000)' "
        "when credit < 500000 then '[100000, 500000)' else '>= 500000' end as _key, count(*) from rows group by 1",
        "e",
    ),
)


def compare(found: Cells, plain: Mapping[tuple[Any, ...], tuple[Any, ...]], kinds: str) -> int:
    """Compare all released values; return how many there are."""
    released = 0
    for key, values in found.items():
        for kind, value, expected in zip(kinds, values, plain.get(key, (0,) * len(kinds)), strict=True):
            if value is None:
                continue
            released += 1
            if kind == "e":
                assert value == Decimal(int(expected)), key
            elif kind == "c":
                assert float(value) == pytest.approx(float(expected), rel=CLOSE, abs=1e-6), key
            else:
                assert float(value) == pytest.approx(two_digits(float(expected))), key
    return released


@pytest.mark.parametrize("number", range(len(LOANS)))
def test_released_answers_about_loans_are_those_of_plain_sql(loans: Published, number: int) -> None:
    question, sql, kinds = LOANS[number]
    with loans.gate() as gate:
        found = cells_of(ask(gate, question))
    plain = loans.plain(sql)
    assert compare(found, plain, kinds) >= 0.75 * sum(len(row) for row in plain.values())


@pytest.mark.parametrize("number", range(len(CARDS)))
def test_released_answers_about_clients_are_those_of_plain_sql(cards: Published, number: int) -> None:
    question, sql, kinds = CARDS[number]
    with cards.gate() as gate:
        found = cells_of(ask(gate, question))
    plain = cards.plain(sql)
    assert compare(found, plain, kinds) >= 0.75 * sum(len(row) for row in plain.values())


def test_margins_are_sums_of_their_cells_and_of_plain_sql(loans: Published) -> None:
    with loans.gate() as gate:
        found = cells_of(ask(gate, "select area, sector, sum(staff) from sba.loans group by cube (area, sector)"))
    frame = loans.frame
    for (area, sector), (value,) in found.items():
        chosen = frame[(area == "*") | (frame.area == area)]
        chosen = chosen[(sector == "*") | (chosen.sector == sector)]
        assert value is None or value == int(chosen.staff.sum()), (area, sector)
    held = [key for key, (value,) in found.items() if value is None]
    assert held
    for area, sector in held:
        lines = [[key for key in held if key[place] == name] for place, name in enumerate((area, sector))]
        assert all(len(line) >= 2 for line in lines), "no margin gives a cell away by one subtraction"


# --- what is held back has a reason -----------------------------------------------------------------------------------


def dominated(values: Sequence[int]) -> bool:
    """Tell whether the two largest hold 90 %, or the second could estimate the largest within 10 %."""
    ordered = sorted((abs(value) for value in values), reverse=True)
    first, second, total = ordered[0], ordered[1] if len(ordered) > 1 else 0, sum(ordered)
    return first + second >= SHARE * total or total - first - second < PERCENT / 100 * first


def few(units: int, others: int) -> bool:
    """Tell whether some, but too few, are in the cell or outside of it."""
    return 0 < units < T or 0 < others < T


def test_a_sum_is_held_back_exactly_where_a_rule_says_so(loans: Published) -> None:
    frame = loans.frame
    for dimension in ("state", "sector"):
        with loans.gate() as gate:
            question = f"select {dimension}, sum(written_off) from sba.loans group by {dimension}"
            found = cells_of(ask(gate, question))
        expected = {
            (key,)
            for key, group in frame.groupby(dimension)
            if few(len(group), len(frame) - len(group)) or dominated(list(group.written_off))
        }
        assert {key for key, (value,) in found.items() if value is None} == expected, dimension


def test_a_cross_table_is_held_back_where_a_rule_says_so(loans: Published) -> None:
    frame = loans.frame
    with loans.gate() as gate:
        question = "select state, sector, count(*), sum(approved) from sba.loans group by state, sector"
        found = cells_of(ask(gate, question))
    groups = dict(iter(frame.groupby(["sector", "state"])))
    counts = {key for key, (count, _) in found.items() if count is None}
    sums = {key for key, (_, total) in found.items() if total is None}
    small = {key for key, group in groups.items() if len(group) < T}
    large_ones = {key for key, group in groups.items() if len(group) >= T and dominated(list(group.approved))}
    assert counts == small
    assert sums == small | large_ones
    assert set(found) == set(groups), "who is in the register is public: so is which pairs there are"


def test_a_share_is_held_back_exactly_where_a_condition_leaves_too_few(loans: Published) -> None:
    frame = loans.frame
    with loans.gate() as gate:
        found = cells_of(ask(gate, RATES.format("sector")))
    counts = frame.groupby("sector").charged_off.agg(["sum", "size"])
    for (sector,), values in found.items():
        off, rows = counts.loc[sector]
        expected = few(off, rows - off) or off in (0, rows)
        assert [value is None for value in values[:2]] == [expected] * 2, sector


def test_shares_of_amounts_of_both_signs_are_for_a_person(cards: Published) -> None:
    assert (cards.frame.bill < 0).any()
    with cards.gate() as gate:
        answer = ask(gate, "select education, avg(bill) from bank.cards group by education")
    assert isinstance(answer, HeldBack)
    assert rules_of(answer) == {"negative"}


def test_fewer_than_ten_clients_are_never_counted(cards: Published) -> None:
    with cards.gate() as gate:
        answer = ask(gate, "select late, count(*) from bank.cards group by late")
        assert not isinstance(answer, Released), "a confidential number is no dimension without declared edges"
        held = ask(gate, "select education, sum(credit) from bank.cards where age >= 79 group by education")
        assert isinstance(held, HeldBack)
        binned = cells_of(ask(gate, "select marriage, bin(late, 0, 1, 2), count(*) from bank.cards group by 1, 2"))
    assert all(count is None or count >= T for (count,) in binned.values())
    assert any(count is not None for (count,) in binned.values())


# --- published figures ------------------------------------------------------------------------------------------------


RATES: Final = (
    "select {0}, count(*) filter (where charged_off), count(*) filter (where not charged_off) "
    "from sba.loans group by {0}"
)


@pytest.mark.parametrize(("dimension", "of"), [("state", "state"), ("sector", "industry")])
def test_the_published_charge_off_rates_are_found_again(loans: Published, dimension: str, of: str) -> None:
    with loans.gate() as gate:
        found = cells_of(ask(gate, RATES.format(dimension)))
    published = published_rates(of)
    scores, estimates = [], {}
    for (key,), (off, paid) in found.items():
        if off is None or paid is None:
            continue
        assert key is not None
        weighted_off, weighted_paid = CHARGED_OFF * float(off), PAID * float(paid)
        share = weighted_off / (weighted_off + weighted_paid)
        # Counts of a sample of either outcome are nearly Poisson's: of the log odds, the variance is 1/off + 1/paid.
        error = share * (1 - share) * (1 / float(off) + 1 / float(paid)) ** 0.5
        estimates[key] = 100 * share
        scores.append((100 * share - published[key]) / (100 * error))
    assert len(scores) >= 0.8 * len(published)
    assert np.abs(scores).max() < 4
    assert float(np.mean(np.square(scores))) < 2
    pairs = [(value, published[key]) for key, value in estimates.items()]
    assert np.corrcoef(np.array(pairs).T)[0, 1] > 0.9


# --- models -----------------------------------------------------------------------------------------------------------


def model_of(answer: Answer) -> dict[str, tuple[float, float]]:
    assert isinstance(answer, Released), answer
    assert isinstance(answer.result, ReleasedModel)
    terms = answer.result.terms
    return {term.name: (float(str(term.coefficient)), float(str(term.standard_error))) for term in terms}


def regression(dataset: str, family: str, target: str, features: Sequence[str]) -> JsonValue:
    question: JsonValue = {
        "kind": "regression",
        "family": family,
        "target": target,
        "features": list(features),
        "source": {"dataset": dataset},
    }
    return {"v": 1, "question": question}


def design(frame: pd.DataFrame, numbers: Sequence[str], codes: Mapping[str, str]) -> Floats:
    """Return intercept, numbers, and an indicator for each level of each code but its reference."""
    columns = [np.ones(len(frame)), *(frame[name].to_numpy(np.float64) for name in numbers)]
    for name, reference in codes.items():
        levels = sorted(set(frame[name]) - {reference})
        columns += [(frame[name] == level).to_numpy(np.float64) for level in levels]
    return np.column_stack(columns)


def logistic(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Fit by Newton's method on centred columns; return coefficients and standard errors."""
    beta = np.zeros(x.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ beta))
        information = (x * (p * (1 - p))[:, None]).T @ x
        step = np.linalg.solve(information, x.T @ (y - p))
        beta += step
        if np.abs(step).max() < 1e-12:
            break
    return beta, np.sqrt(np.diag(np.linalg.inv(information)))


def matches(found: Mapping[str, tuple[float, float]], beta: Floats, errors: Floats) -> None:
    """Compare without names: coefficients and errors come in pairs, whatever the terms are called."""
    ours = sorted(found.values())
    theirs = sorted(zip(beta.tolist(), errors.tolist(), strict=True))
    assert len(ours) == len(theirs), found
    for one, other in zip(ours, theirs, strict=True):
        assert one == pytest.approx(other, rel=2e-5)


def test_a_linear_regression_is_that_of_least_squares(loans: Published) -> None:
    numbers, codes = ("approved", "term", "staff"), {"area": "rural"}
    with loans.gate() as gate:
        found = model_of(ask(gate, regression("sba/loans", "linear", "disbursed", (*numbers, *codes))))
    x = design(loans.frame, numbers, codes)
    y = loans.frame.disbursed.to_numpy(np.float64)
    beta, *_ = np.linalg.lstsq(x, y, rcond=None)
    residual = y - x @ beta
    variance = residual @ residual / (len(y) - x.shape[1])
    matches(found, beta, np.sqrt(variance * np.diag(np.linalg.inv(x.T @ x))))


def test_a_logistic_regression_is_that_of_newtons_method(cards: Published) -> None:
    numbers, codes = ("age", "late"), {"sex": "female"}
    with cards.gate() as gate:
        found = model_of(ask(gate, regression("bank/cards", "logistic", "defaulted", (*numbers, *codes))))
    x = design(cards.frame, numbers, codes)
    matches(found, *logistic(x, cards.frame.defaulted.to_numpy(np.float64)))


def test_the_rules_of_this_page_are_those_of_the_agreement(loans: Published) -> None:
    with loans.gate() as gate:
        found = gate.explain(Asking(partner=PARTNER, purpose=PURPOSE, sql="select count(*) from sba.loans"))
    assert found.admitted is not None
    rules: DisclosureRules = found.admitted.rules
    assert (rules.min_units, float(rules.dominance_share), int(rules.p_percent)) == (T, SHARE, PERCENT)
