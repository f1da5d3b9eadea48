"""From SQL text to an admitted plan in at most 2 ms of processor time; the best of several runs counts."""

import time
import timeit

import pytest

from sandbox.query.admit import Admitted
from sandbox.query.sql import parse_sql
from tests.unit.sandbox.query.examples import CATALOGUE, permitted

LIMIT_S = 0.002
REPEATS, NUMBER = 7, 10

TYPICAL = {
    "a count": "select street, count(*) from tax.filings group by street",
    "a table with filters": "select street, size, count(*) as n, sum(tax) as t, avg(tax) as m from tax.filings "
    "where year in (2023, 2024) and late and tax >= 100 group by street, size having n > 5 order by t desc limit 10",
    "a join with margins": "select f.founded, t.size, count(distinct t.uscc), median(tax), "
    "sum(tax) filter (where not late) from tax.filings for version as of 2 t left join market.firms f "
    "on t.uscc = f.code where t.street = 'east' and filed >= date '2024-01-01' group by cube (1, 2)",
}


@pytest.mark.parametrize("text", TYPICAL.values(), ids=TYPICAL)
def test_a_typical_question_is_admitted_in_two_milliseconds(text: str) -> None:
    def run() -> object:
        return permitted(parse_sql(text), CATALOGUE)

    assert isinstance(run(), Admitted)
    assert min(timeit.repeat(run, timer=time.process_time, number=NUMBER, repeat=REPEATS)) / NUMBER <= LIMIT_S
