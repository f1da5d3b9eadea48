import pytest

from sandbox.query.scan import FUNCTIONS, MAX_DEPTH, MAX_SQL_BYTES, scan
from yingbi.errors import ErrorCode, InvalidRequestError

FINE = [
    "select count(*) from tax.filings",
    "SELECT count(*) FROM tax.filings;",
    "select count(*) from \"tax/filings\" where street in ('east', '莲花街道') and tax >= -5.25\n\t ;\n",
    'select "sum" from tax.filings group by ("sum")',
    "select t.first, t.list from tax.filings t",
    "select a.b.c, a.b.d, e.f from a.b where a.b.c = a.b.c",
    "select count(*) from t where a = 'it''s'",
    "select count(*) from t where (" * 1 + "a = 1" + ")" * 1,
]


@pytest.mark.parametrize("text", FINE)
def test_a_plain_statement_passes(text: str) -> None:
    scan(text)


REFUSED = {
    "a comment": ("select 1 -- x", "comment or double minus"),
    "a block comment": ("select /* x */ 1", "a comment"),
    "a hash": ("select #1", "a positional reference"),
    "a second statement": ("select 1; select 2", "a second statement"),
    "two semicolons": ("select 1;;", "a second statement"),
    "another statement": ("drop table x", "not a SELECT"),
    "a bracket first": ("(select 1)", "not a SELECT"),
    "a subquery": ("select count(*) from (select 1)", "a subquery"),
    "a table in brackets": ("select count(*) from (t)", "a subquery"),
    "a function": ("select pg_sleep(1)", "function `pg_sleep`"),
    "a function with space": ("select read_text ('x')", "function `read_text`"),
    "a quoted function": ('select "count"(x) from t', 'function `"count"`'),
    "a long function": (f"select {'f' * 41}(1)", "this function"),
    "a parameter": ("select ?", "a parameter"),
    "a numbered parameter": ("select $1", "a parameter or dollar"),
    "a named parameter": ("select :x", "a parameter or cast"),
    "dollar quoting": ("select $$x$$", "dollar quoting"),
    "a cast": ("select a::int", "a cast"),
    "an array": ("select a[1]", "an array"),
    "a struct": ("select {'a': 1}", "a struct"),
    "backticks": ("select `a`", "another dialect's quotes"),
    "an escape text": ("select E'a'", "a prefixed"),
    "a unicode text": ("select U&'a'", "character `&`"),
    "texts side by side": ("select 'a' 'b'", "a prefixed or concatenated"),
    "a backslash": ("select 'a\\'", "an escape in a text"),
    "an open text": ("select 'a", "a text without end"),
    "an open name": ('select "a', "a name without end"),
    "a quoted quote": ('select "a""b"', "this quoted name"),
    "a quoted sentence": ('select "a; drop table b"', "this quoted name"),
    "quoted capitals": ('select "Street"', "this quoted name"),
    "a homoglyph": ("select stre\u0435t", "outside ASCII"),
    "a wide letter": ("select \uff53um(x)", "outside ASCII"),
    "a no-break space": ("select\u00a0count(*)", "outside ASCII"),
    "a zero-width space": ("select\u200bcount(*)", "outside ASCII"),
    "a NUL": ("select \x00", "a NUL"),
    "a NUL in a text": ("select 'a\x00'", "an invisible"),
    "a bell": ("select \x07", "a control character"),
    "a newline in a text": ("select 'a\nb'", "an invisible"),
    "a turned text": ("select 'a\u202eb'", "an invisible"),
    "a decomposed text": ("select 'e\u0301'", "decomposed"),
    "a lone surrogate": ("select '\ud800'", "an invisible"),
    "an exponent": ("select 1e5", "runs into a word"),
    "a hexadecimal number": ("select 0x1f", "runs into a word"),
    "a number with separators": ("select 1_000", "runs into a word"),
    "a double minus": ("select - -1", "comment or double minus"),
    "a number without whole part": ("select -.5", "a dot that joins no names"),
    "a number without digits": ("select 2.", "a dot that joins no names"),
    "a number after a name": ("select a.5", "runs into a number"),
    "a name of four parts": ("select a.b.c.d", "a name of so many parts"),
    "an operator": ("select a+1", "character `+`"),
    "a concatenation": ("select a||b", "an operator"),
    "an open bracket": ("select (a", "a bracket without end"),
    "a closing bracket": ("select a)", "a bracket without beginning"),
    "deep brackets": ("select count(" + "(" * MAX_DEPTH, "so many levels"),
    "many negations": ("select a from t where " + "not " * 65 + "a", "so many negations"),
    "or": ("select a from t where a or b", "a disjunction"),
    "like": ("select a from t where a like 'x'", "a text pattern"),
    "a window": ("select sum(a) over (order by b)", "a window"),
    "a minimum": ("select min(a)", "a function that returns single values (`min`)"),
    "with": ("select a with x", "a common table expression"),
    "union": ("select a union all select b", "a set operation"),
    "lateral": ("select a from t, lateral x", "a table expression"),
    "sample": ("select a from t tablesample 5", "a table modifier"),
    "case": ("select case when a then b end", "an expression"),
    "a natural join": ("select a from t natural join s", "this kind of join"),
    "an offset": ("select a from t offset 5", "this limit"),
    "into": ("select a into b from t", "a target"),
    "grouping sets": ("select a from t group by grouping sets ((a))", "grouping sets"),
}


@pytest.mark.parametrize(("text", "expected"), REFUSED.values(), ids=REFUSED)
def test_what_the_subset_lacks_is_refused_by_kind(text: str, expected: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        scan(text)
    assert caught.value.code is ErrorCode.SQL_NOT_SUPPORTED
    assert expected in caught.value.message
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("allowed: ")


def test_a_long_text_is_refused_by_its_bytes() -> None:
    start = "select count(*) from t where a = '"
    fits = MAX_SQL_BYTES - len(start) - 1
    scan(start + "x" * fits + "'")
    with pytest.raises(InvalidRequestError, match="this long"):
        scan(start + "x" * (fits + 1) + "'")
    with pytest.raises(InvalidRequestError, match="this long"):
        scan(start + "街" * (fits // 3 + 1) + "'")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_of_the_subset_can_be_called(function: str) -> None:
    scan(f"select {function}(a) from t")
    scan(f"select {function.upper()} (a) from t")
