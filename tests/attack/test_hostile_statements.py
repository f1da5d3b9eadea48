"""Statements that try to read something else, to run something, to take long, or to slip past the parser.

What is checked is the plan, not the message: every name in it is one that the statement's author could have asked for
plainly, and everything else is a refusal with a code.
"""

import contextlib
import logging
import random
import re
import string
import time
import timeit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.decision import Decision
from sandbox.query.admit import Admitted
from sandbox.query.scan import MAX_SQL_BYTES
from sandbox.query.sql import parse_sql
from tests.unit.sandbox.query.examples import CATALOGUE, FILINGS, FIRMS, PERMIT, permitted
from yingbi.errors import ErrorCode, InvalidRequestError, NotFoundError
from yingbi.plan.check import DATASET_PATTERN, NAME_PATTERN, check_plan
from yingbi.plan.codec import parse_plan, plan_to_json
from yingbi.plan.model import Plan, TableQuestion

LIMIT_S = 1.0
CODES = {ErrorCode.SQL_NOT_SUPPORTED, ErrorCode.PLAN_MALFORMED}
GOOD = "select street, count(*) from tax.filings group by street"

HOSTILE = {
    "nothing": "",
    "space": " \n\t ",
    "a semicolon": ";",
    # renaming columns and tables
    "columns renamed": "select region, count(*) from tax.filings as t(region) group by region",
    "columns renamed in quotes": 'select region, count(*) from tax.filings as "t"("region") group by region',
    "a join renamed": "select count(*) from tax.filings join market.firms as f(uscc) using (uscc)",
    "a prefix alias": "select count(*) from t: tax.filings",
    "a column prefix alias": "select n: count(*) from tax.filings",
    # other things to read
    "a file": "select count(*) from 'passwd'",
    "a file with path": "select count(*) from '/etc/passwd'",
    "a quoted file": 'select count(*) from "/etc/passwd"',
    "a parquet file": 'select count(*) from "data.parquet"',
    "read_text": "select count(*) from read_text('/etc/passwd')",
    "read_csv": "select count(*) from read_csv('/etc/passwd')",
    "read_csv_auto": "select count(*) from read_csv_auto('x')",
    "read_blob in select": "select read_blob('x') from tax.filings",
    "glob": "select count(*) from glob('*')",
    "a table function": "select count(*) from duckdb_tables()",
    "range": "select count(*) from range(10)",
    "generate_series": "select count(*) from generate_series(1, 10)",
    "information schema": "select count(*) from information_schema.tables.x",
    "a catalogue": "select count(*) from memory.tax.filings",
    "values": "select count(*) from (values (1)) t",
    "a subquery": "select count(*) from (select * from tax.filings) t",
    "a scalar subquery": "select (select max(tax) from tax.filings), count(*) from tax.filings",
    "a subquery in where": "select count(*) from tax.filings where tax = (select max(tax) from tax.filings)",
    "a subquery in in": "select count(*) from tax.filings where uscc in (select code from market.firms)",
    "exists": "select count(*) from tax.filings where exists (select 1)",
    "with": "with t as (select 1) select count(*) from t",
    "with recursive": "with recursive t as (select 1) select count(*) from t",
    "from first": "from tax.filings select count(*)",
    "table": "table tax.filings",
    "values alone": "values (1)",
    "describe": "describe tax.filings",
    "summarize": "summarize tax.filings",
    "show": "show tables",
    "explain": f"explain {GOOD}",
    "explain analyze": f"explain analyze {GOOD}",
    # other statements
    "pragma": "pragma database_list",
    "attach": "attach 'x' as y",
    "copy": "copy tax.filings to 'x'",
    "copy a query": f"copy ({GOOD}) to 'x'",
    "install": "install httpfs",
    "load": "load httpfs",
    "set": "set memory_limit = '1GB'",
    "reset": "reset memory_limit",
    "call": "call pragma_version()",
    "insert": "insert into tax.filings values (1)",
    "update": "update tax.filings set tax = 0",
    "delete": "delete from tax.filings",
    "drop": "drop table tax.filings",
    "create": f"create table x as {GOOD}",
    "create macro": "create macro f(a) as a",
    "prepare": f"prepare p as {GOOD}",
    "execute": "execute p(1)",
    "export": "export database 'x'",
    "checkpoint": "checkpoint",
    "vacuum": "vacuum",
    "begin": "begin",
    "stacked": f"{GOOD}; drop table tax.filings",
    "stacked questions": f"{GOOD}; {GOOD}",
    "stacked after an empty one": f";{GOOD}",
    "two semicolons": f"{GOOD};;",
    # comments and quoting
    "a line comment": f"{GOOD} -- and more",
    "a block comment": "select /* */ count(*) from tax.filings",
    "a nested comment": "select count(*) /* /* */ */ from tax.filings",
    "a hint": "select /*+ x */ count(*) from tax.filings",
    "a comment in a name": 'select count(*) from "tax/filings--"',
    "a hash comment": f"{GOOD} # more",
    "a quote in a name": 'select "a""b", count(*) from tax.filings group by 1',
    "a semicolon in a name": 'select "a;b", count(*) from tax.filings group by 1',
    "a dot in a name": 'select count(*) from "tax.filings"',
    "unicode escapes in a name": 'select U&"\\0073treet", count(*) from tax.filings group by 1',
    "unicode escapes in a text": "select count(*) from tax.filings where street = U&'\\0065ast'",
    "an escape text": "select count(*) from tax.filings where street = E'\\x65ast'",
    "a hexadecimal text": "select count(*) from tax.filings where street = x'65'",
    "dollar quoting": "select count(*) from tax.filings where street = $$east$$",
    "tagged dollar quoting": "select count(*) from tax.filings where street = $a$east$a$",
    "texts side by side": "select count(*) from tax.filings where street = 'ea' 'st'",
    "texts on two lines": "select count(*) from tax.filings where street = 'ea'\n'st'",
    "backticks": "select count(*) from `tax`.`filings`",
    "brackets": "select count(*) from [tax].[filings]",
    # parameters
    "a question mark": "select count(*) from tax.filings where tax > ?",
    "a number": "select count(*) from tax.filings where tax > $1",
    "a name": "select count(*) from tax.filings where tax > $x",
    "a colon": "select count(*) from tax.filings where tax > :x",
    "a variable": "select count(*) from tax.filings where tax > getvariable('x')",
    "a template": "select count(*) from tax.filings where tax > {{ x }}",
    # letters
    "a Cyrillic letter": "select str\u0435et, count(*) from tax.filings group by 1",
    "a Cyrillic letter in quotes": 'select "str\u0435et", count(*) from tax.filings group by 1',
    "a Cyrillic letter in FROM": "select count(*) from t\u0430x.filings",
    "a full-width word": "\uff33ELECT count(*) from tax.filings",
    "a dotless i": "select f\u0131led, count(*) from tax.filings group by 1",
    "a Kelvin sign": "select \u212a, count(*) from tax.filings group by 1",
    "a long s": "\u017felect count(*) from tax.filings",
    "a zero-width space": "select\u200b count(*) from tax.filings",
    "a byte order mark": f"\ufeff{GOOD}",
    "a no-break space": "select\u00a0count(*) from tax.filings",
    "a line separator": "select\u2028count(*) from tax.filings",
    "a vertical tab": "select\x0bcount(*) from tax.filings",
    "a NUL": "select count(*)\x00 from tax.filings",
    "a NUL at the end": f"{GOOD}\x00",
    "a NUL in a text": "select count(*) from tax.filings where street = 'east\x00'",
    "an escape character": "select count(*) from tax.filings where street = 'east\x1b'",
    "a lone surrogate": "select count(*) from tax.filings where street = '\ud800'",
    "a turned text": "select count(*) from tax.filings where street = '\u202etsae'",
    "a decomposed text": "select count(*) from tax.filings where street = 'e\u0301'",
    # expressions and shapes
    "a minimum": "select min(tax) from tax.filings",
    "a maximum": "select max(tax) from tax.filings",
    "a list": "select list(tax) from tax.filings",
    "array_agg": "select array_agg(tax) from tax.filings",
    "string_agg": "select string_agg(uscc) from tax.filings",
    "any_value": "select any_value(tax) from tax.filings",
    "first": "select first(tax) from tax.filings",
    "mode": "select mode(tax) from tax.filings",
    "arg_max": "select arg_max(uscc, tax) from tax.filings",
    "approx_quantile": "select approx_quantile(tax, 0.5) from tax.filings",
    "a population variance": "select var_pop(tax) from tax.filings",
    "count_if": "select count_if(tax > 5) from tax.filings",
    "error": "select error('x') from tax.filings",
    "getenv": "select getenv('HOME') from tax.filings",
    "current_setting": "select current_setting('x') from tax.filings",
    "sleep": "select pg_sleep(10) from tax.filings",
    "query": "select count(*) from query('select 1')",
    "a macro": "select my_macro(tax) from tax.filings",
    "a schema function": "select main.sum(tax) from tax.filings",
    "a method": "select tax.sum() from tax.filings",
    "a lambda": "select sum(x -> x) from tax.filings",
    "an arithmetic": "select sum(tax * staff) from tax.filings",
    "a case": "select sum(case when uscc = 'x' then tax else 0 end) from tax.filings",
    "an if": "select sum(if(late, tax, 0)) from tax.filings",
    "coalesce": "select sum(coalesce(tax, 0)) from tax.filings",
    "a division by zero": "select sum(tax) from tax.filings where 1/0 = 1",
    "a cast": "select sum(tax::double) from tax.filings",
    "a cast by word": "select sum(cast(tax as double)) from tax.filings",
    "a collation": "select street collate nocase, count(*) from tax.filings group by 1",
    "a struct access": "select count(*) from tax.filings where a.b.c.d = 1",
    "a field access": "select count(*) from tax.filings where street[1] = 'e'",
    "a slice": "select street[1:2], count(*) from tax.filings group by 1",
    "a window": "select sum(tax) over () from tax.filings",
    "a window name": "select sum(tax) over w from tax.filings window w as ()",
    "qualify": "select sum(tax) from tax.filings qualify true",
    "lateral": "select count(*) from tax.filings, lateral (select 1)",
    "a comma": "select count(*) from tax.filings, market.firms",
    "unnest": "select count(*) from unnest([1, 2])",
    "pivot": "select count(*) from tax.filings pivot (sum(tax) for street in ('east'))",
    "pivot alone": "pivot tax.filings on street using sum(tax)",
    "sample": "select count(*) from tax.filings using sample 1",
    "tablesample": "select count(*) from tax.filings tablesample 1 rows",
    "at": "select count(*) from tax.filings at (version => 1)",
    "a qualified star": "select filings.*, count(*) from tax.filings",
    "a star": "select *, count(*) from tax.filings",
    "star exclude": "select * exclude (uscc) from tax.filings",
    "columns": "select columns('.*') from tax.filings",
    "columns summed": "select sum(columns(*)) from tax.filings",
    "group by all": "select street, count(*) from tax.filings group by all",
    "order by all": "select street, count(*) from tax.filings group by street order by all",
    "a literal on the unit": "select count(*) from tax.filings where uscc = 'x' or true",
    "true or": "select count(*) from tax.filings where street = 'east' or 1 = 1",
    "a classic": "select count(*) from tax.filings where street = '' or '1'='1'",
    "union": f"{GOOD} union all select uscc, tax from tax.filings",
    "except": f"{GOOD} except {GOOD}",
    "distinct on": "select distinct on (street) street, count(*) from tax.filings group by street",
    "like": "select count(*) from tax.filings where uscc like '9%'",
    "a regular expression": "select count(*) from tax.filings where uscc ~ '9'",
    "similar to": "select count(*) from tax.filings where uscc similar to '9'",
    "into": "select count(*) into x from tax.filings",
    "for update": "select count(*) from tax.filings for update",
    "fetch": f"{GOOD} fetch first 1 rows only",
    "offset": f"{GOOD} limit 1 offset 1",
    "a percent limit": f"{GOOD} limit 1%",
    "a limit of null": f"{GOOD} limit null",
    "a third argument": "select quantile_cont(tax, 0.5, 0.9) from tax.filings",
    "a named argument": "select sum(tax := 1) from tax.filings",
    "ignore nulls": "select sum(tax ignore nulls) from tax.filings",
    "an order within": "select sum(tax order by uscc) from tax.filings",
    "within group": "select quantile_cont(0.5) within group (order by tax) from tax.filings",
    "an exponent": "select count(*) from tax.filings where tax > 1e3",
    "infinity": "select count(*) from tax.filings where tax > 'infinity'::double",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_statement_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_sql(text)
    assert caught.value.code in CODES
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 200


DEEP = {
    "brackets": "select count(*) from tax.filings where " + "(" * 5000 + "late" + ")" * 5000,
    "open brackets": "select " + "(" * 5000,
    "functions": "select " + "sum(" * 5000,
    "subqueries": "select count(*) from " + "(select 1 from " * 900,
    "not": "select count(*) from tax.filings where " + "not " * 3500 + "late",
    "minus": "select count(*) from tax.filings where tax > " + "- " * 7000 + "1",
    "signs": "select count(*) from tax.filings where tax > " + "-" * 7000 + "1",
    "and": "select count(*) from tax.filings where " + " and ".join(["late"] * 1700),
    "case": "select " + "case when " * 1500,
    "casts": "select tax" + "::int" * 3000,
    "joins": "select count(*) from tax.filings" + " join market.firms using (uscc)" * 500,
    "aliases": "select " + ", ".join(f"count(*) c{number}" for number in range(900)) + " from tax.filings",
    "in": "select count(*) from tax.filings where tax in (" + ", ".join(["1"] * 4000) + ")",
    "quotes": "select count(*) from tax.filings where street = '" + "''" * 8000,
    "names": "select " + '"a"' * 5000,
    "dots": "select " + "a." * 8000 + "a from tax.filings",
    "is": "select count(*) from tax.filings where late" + " is true" * 1800,
    "between": "select count(*) from tax.filings where tax" + " between 1 and 2" * 900,
    "filters": "select count(*)" + " filter (where late)" * 800 + " from tax.filings",
    "equals": "select count(*) from tax.filings where tax" + " = tax" * 2500,
    "megabytes": "select count(*) from tax.filings where street = '" + "x" * 10_000_000 + "'",
    "megabytes of brackets": "(" * 10_000_000,
    "megabytes of space": " " * 10_000_000,
    "megabytes of characters": "街" * 3_000_000,
}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_a_large_or_deep_statement_is_refused_at_once(text: str) -> None:
    refusals: list[InvalidRequestError] = []

    def refuse() -> None:
        with pytest.raises(InvalidRequestError) as caught:
            parse_sql(text)
        refusals.append(caught.value)

    # This thread's time, without the collector of garbage: that of the whole process is not the statement's.
    assert timeit.timeit(refuse, timer=time.thread_time, number=1) < LIMIT_S
    assert refusals[0].code in CODES
    assert len(refusals[0].message) < 1000


def test_what_is_refused_is_neither_repeated_nor_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    canary = "91440300MA5FCANARY"
    for text in (
        f"select count(*) from tax.filings where street like '{canary}'",
        f"select count(*) from tax.filings where street = '{canary}' or late",
        f"select count(*) from tax.filings where '{canary}' = '{canary}'",
        f"copy tax.filings to '{canary}'",
        f"select count(*) from '{canary}'",
        f"select count(*) from tax.filings where street = '{canary}\x00'",
        f"select count(*) from tax.filings where '{canary}'",
        f"select '{canary}' from tax.filings",
    ):
        with pytest.raises(InvalidRequestError) as caught:
            parse_sql(text)
        assert canary not in f"{caught.value.message} {caught.value.hint} {caught.value.detail}"
    assert canary not in caplog.text


def test_the_control_without_the_allow_list_lets_the_renaming_through() -> None:
    """Parse, qualify and print again: the statement still groups by the renamed column (disclosure.md section 1)."""
    import sqlglot

    text = HOSTILE["columns renamed"]
    assert "AS t(region)" in sqlglot.parse_one(text, dialect="duckdb").sql(dialect="duckdb")


# --- whatever passes is harmless --------------------------------------------------------------------------------------


def check_harmless(plan: Plan, text: str) -> None:
    """Check that a plan names only what its text says, in our own forms, and reads only data sets of the catalogue."""
    assert check_plan(plan) == []
    assert parse_plan(plan_to_json(plan)) == plan
    question = plan.question
    assert isinstance(question, TableQuestion)
    source = question.source
    words = set(re.findall(r"[a-z0-9_/-]+", text.lower()))
    for dataset in (source.dataset, *(join.dataset for join in source.joins)):
        assert re.fullmatch(DATASET_PATTERN, dataset)
        assert dataset in words or set(dataset.split("/")) <= words
    columns = [dimension.column for dimension in question.group_by]
    columns += [aggregate.column for aggregate in question.aggregates if aggregate.column is not None]
    for conditions in (question.where, *(aggregate.where for aggregate in question.aggregates)):
        columns += [condition.column for condition in conditions]
        values = [value for condition in conditions for value in condition.values if isinstance(value, str)]
        assert all(value.lstrip("-") in text.replace("''", "'") for value in values)
    for column in columns:
        assert re.fullmatch(NAME_PATTERN, column.name)
        assert column.name in words
    with contextlib.suppress(InvalidRequestError, NotFoundError):
        check_admitted(plan, PERMIT)


def check_admitted(plan: Plan, decision: Decision) -> None:
    admitted = permitted(plan, CATALOGUE, decision)
    if isinstance(admitted, Admitted):
        assert {item.dataset.name for item in admitted.datasets} <= {FILINGS, FIRMS}
        used = {use.column for use in admitted.uses if use.use != "join"}
        assert not used & {"uscc", "code", "note", "phone", "secret"}


def attempt(text: str) -> bool:
    """Parse; whatever happens besides a refusal or a harmless plan is a failure. Tell whether there was a plan."""
    refused: InvalidRequestError | None = None
    try:
        plan = parse_sql(text)
    except InvalidRequestError as error:
        refused = error
    if refused is not None:
        assert refused.code in CODES
        return False
    check_harmless(plan, text)
    return True


SEEDS = [
    GOOD,
    "select count(*) from tax.filings;",
    "SELECT COUNT(DISTINCT t.uscc) AS n, t.street, SUM(tax) FILTER (WHERE late AND staff >= 10) total "
    "FROM tax.filings FOR VERSION AS OF 2 AS t WHERE NOT t.size IN ('micro', 'small') AND 10 < staff "
    "GROUP BY street HAVING n >= 10 ORDER BY total DESC, 2 LIMIT 20",
    'select founded, avg(tax) from tax.filings t left join "market/firms" f on t.uscc = f.code group by cube (1)',
    "select histogram(tax), bin(filed, '2024-01-01') as b, median(tax), quantile_cont(staff, 0.25) "
    "from tax.filings where tax between -1 and 2.5 and filed >= date '2024-01-01' and street = '莲花街道' group by b",
]
WORDS = (
    "select from where group by having order limit offset union with as on using join left full cross natural lateral "
    "filter over window distinct all any in like between is not null and or case when then end cast collate values "
    "rollup cube grouping sets for version of at unnest pivot sample read_text min max list count sum bin"
)
SIGNS = "-- /* */ :: '' \"\" $$ 1e5 0x1 -1 'a' \"a\" null true t(region)"
CHARACTERS = string.punctuation + " \n\t\x00é街\u200b"
FRAGMENTS = [*CHARACTERS, *SIGNS.split(), *WORDS.split(), *HOSTILE.values()]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 400), st.sampled_from(FRAGMENTS)), max_size=4))
def test_a_statement_with_pieces_put_in_is_harmless_or_refused(seed: str, edits: list[tuple[int, str]]) -> None:
    for place, fragment in edits:
        position = place % (len(seed) + 1)
        seed = seed[:position] + fragment + seed[position:]
    attempt(seed)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SEEDS), st.integers(0, 400), st.integers(1, 60), st.sampled_from(SEEDS), st.integers(0, 400))
def test_statements_spliced_together_are_harmless_or_refused(
    one: str, at: int, length: int, other: str, start: int
) -> None:
    position, piece = at % len(one), other[start % len(other) :][:length]
    attempt(one[:position] + piece + one[position + length :])


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_refused(text: str) -> None:
    attempt(text)
    attempt(f"select count(*) from tax.filings where street = {text}")


def test_words_of_the_grammar_in_any_order_are_harmless_or_refused() -> None:
    generator = random.Random(5)
    words = [word for seed in SEEDS for word in re.findall(r"'[^']*'|\"[^\"]*\"|[\w]+|[^\s\w]", seed)]
    for _ in range(3000):
        attempt("select " + " ".join(generator.choices(words, k=generator.randrange(3, 14))))


def test_tokens_dropped_or_doubled_are_harmless_or_refused() -> None:
    plans = 0
    for seed in SEEDS:
        tokens = re.findall(r"\s+|'[^']*'|\"[^\"]*\"|[\w]+|[^\s\w]", seed)
        for index in range(len(tokens)):
            plans += attempt("".join(tokens[:index] + tokens[index + 1 :]))
            plans += attempt("".join(tokens[:index] + [tokens[index]] * 2 + tokens[index + 1 :]))
    assert plans  # some changes leave a statement of the subset, so that this test looks at plans too


def test_the_seeds_themselves_are_statements() -> None:
    assert all(attempt(seed) for seed in SEEDS)
    assert all(len(seed) < MAX_SQL_BYTES for seed in SEEDS)
    assert set(string.punctuation) <= set(FRAGMENTS)
