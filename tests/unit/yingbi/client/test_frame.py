"""Lazy frames: what pandas people write becomes the plan that SQL would make, and everything else fails here."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.lib.sdk_hub import FILINGS, SdkHub
from yingbi.client import Client, Frame, OperationNotPermittedError, UnknownNameError
from yingbi.client.expressions import literal
from yingbi.errors import ErrorCode, InvalidRequestError, NotFoundError
from yingbi.plan.codec import parse_plan

AnyFrame = Frame[Any, Any]


@pytest.fixture
def client() -> Iterator[Client]:
    with SdkHub().connect() as client:
        yield client


@pytest.fixture
def filings(client: Client) -> AnyFrame:
    return client.dataset("tax/annual_filings")


SAME: list[tuple[Callable[[AnyFrame], Any], str]] = [
    (lambda f: f.count(), 'SELECT COUNT(*) AS "count" FROM {t}'),
    (lambda f: f.units(), "SELECT COUNT(DISTINCT uscc) AS units FROM {t}"),
    (lambda f: f.uscc.nunique(), "SELECT COUNT(DISTINCT uscc) FROM {t}"),
    (
        lambda f: f[f.year == 2025].groupby(["industry"]).agg(n="count", tax=("tax_paid", "mean")),
        "SELECT industry, COUNT(*) AS n, AVG(tax_paid) AS tax FROM {t} WHERE year = 2025 GROUP BY industry",
    ),
    (
        lambda f: f[(f.year == "2025") & f.adjusted & (f.staff < 20)]["tax_paid"].sum(),
        "SELECT SUM(tax_paid) FROM {t} WHERE year = '2025' AND adjusted AND staff < 20",
    ),
    (
        lambda f: f[~(f.staff >= 5) & f.staff.notna()].groupby("street").tax_paid.std(),
        "SELECT street, STDDEV(tax_paid) FROM {t} WHERE staff < 5 AND staff IS NOT NULL GROUP BY street",
    ),
    (
        lambda f: f.filter(f.industry.isin(["A", "B"]), f.staff.between(1, 9)).agg({"tax_paid": ["mean", "var"]}),
        "SELECT AVG(tax_paid), VARIANCE(tax_paid) FROM {t} WHERE industry IN ('A', 'B') AND staff BETWEEN 1 AND 9",
    ),
    (
        lambda f: f.groupby("street").agg(high=f[f.staff > 10].tax_paid.quantile(0.90)),
        "SELECT street, QUANTILE_CONT(tax_paid, 0.9) FILTER (WHERE staff > 10) AS high FROM {t} GROUP BY street",
    ),
    (
        lambda f: f.groupby("street", f.tax_paid.bins([100, Decimal(500)])).size(),
        'SELECT street, BIN(tax_paid, 100, 500), COUNT(*) AS "count" FROM {t} GROUP BY 1, 2',
    ),
    (lambda f: f.tax_paid.histogram(), 'SELECT HISTOGRAM(tax_paid), COUNT(*) AS "count" FROM {t}'),
    (
        lambda f: f.value_counts("industry").limit(3),
        'SELECT industry, COUNT(*) AS "count" FROM {t} GROUP BY 1 ORDER BY 2 DESC LIMIT 3',
    ),
    (
        lambda f: f.crosstab("industry", "street", values="tax_paid", aggfunc="sum"),
        "SELECT industry, street, SUM(tax_paid) FROM {t} GROUP BY CUBE (1, 2)",
    ),
    (
        lambda f: (
            f.groupby("year")
            .agg(n="count", p=("tax_paid", "quantile", 0.1), m=("tax_paid", "median"))
            .having("n", ">=", 30)
        ),
        "SELECT year, COUNT(*) n, QUANTILE_CONT(tax_paid, 0.1) p, MEDIAN(tax_paid) m FROM {t} GROUP BY 1 "
        "HAVING n >= 30",
    ),
    (
        lambda f: f.agg(values=("staff", "count"), rows="size"),
        "SELECT COUNT(staff) AS values_, COUNT(*) AS rows_ FROM {t}",
    ),
]


@pytest.mark.parametrize(("build", "text"), SAME, ids=range(len(SAME)))
def test_expressions_are_the_plans_that_sql_would_make(
    client: Client, filings: AnyFrame, build: Callable[[AnyFrame], Any], text: str
) -> None:
    ours, theirs = build(filings), client.sql(text.format(t="tax.annual_filings"))
    assert ours.plan.question == theirs.plan.question
    assert ours.digest == theirs.digest
    assert parse_plan(ours.to_json()) == ours.plan
    if "_ " not in text:
        assert ours.plan.presentation == theirs.plan.presentation


def test_a_join_is_on_the_privacy_unit_and_names_of_both_need_their_data_set(client: Client, filings: AnyFrame) -> None:
    market = client.dataset("market/enterprises")
    joined = filings.join(market[market.capital > 1000], on="uscc")
    ours = joined.groupby("market/enterprises.street").agg(n="count", c=("capital", "mean"))
    theirs = client.sql(
        "SELECT m.street, COUNT(*) AS n, AVG(capital) AS c FROM tax.annual_filings f "
        "JOIN market.enterprises m USING (uscc) WHERE m.capital > 1000 GROUP BY 1"
    )
    assert ours.plan.question == theirs.plan.question
    assert set(ours.datasets) == set(theirs.datasets)
    assert len(ours.datasets) == 2
    assert "market/enterprises.street" in joined.columns
    assert "capital" in joined
    with pytest.raises(UnknownNameError, match=r"2 data sets.*`tax/annual_filings\.street`"):
        joined.groupby("street")
    with pytest.raises(InvalidRequestError, match="privacy unit"):
        filings.join(market, on="street")
    with pytest.raises(InvalidRequestError, match="inner"):
        filings.join(market[market.capital > 1000], how="left")
    assert filings.join(market, how="left").count().plan.question.source.joins[0].kind == "left"


def test_regressions_and_descriptions(filings: AnyFrame) -> None:
    model = filings[filings.year == 2025].linear_regression(filings.tax_paid, ["staff", "industry"])
    assert [feature.name for feature in model.plan.question.features] == ["industry", "staff"]
    assert model.operations == ("model.linear_regression",)
    assert filings.logistic_regression("adjusted", ["staff"]).plan.presentation is None
    described = filings.describe()
    assert described.outputs[:2] == ("tax_paid_count", "tax_paid_mean")
    assert len(described.outputs) == 12
    assert len(filings.describe("staff").outputs) == 6


NEVER: list[tuple[Callable[[AnyFrame], Any], str]] = [
    (lambda f: f.head, r"\.twin"),
    (lambda f: f.iloc[0], r"\.twin\(\)"),
    (lambda f: f.apply, r"count"),
    (lambda f: f.to_csv, r"describe"),
    (lambda f: f.shape, r"count"),
    (lambda f: f.nothing_like_it, r"of rows is never available"),
    (lambda f: f.max, r"quantile"),
    (lambda f: len(f), r"try \.count\(\)"),
    (lambda f: list(f), r"\.columns"),
    (lambda f: f[0:5], r"one column"),
    (lambda f: f[["year", "street"]], r"one column"),
    (lambda f: f.__setitem__("x", 1), r"new columns"),
    (lambda f: f.filter(f.year), r"comparisons"),
    (lambda f: f[(f.year == 2025) | (f.year == 2024)], r"isin"),
    (lambda f: f[(f.year == 2025) and (f.staff > 1)], r"`&` instead of `and`"),
    (lambda f: f[1 < f.staff < 5], r"between"),
    (lambda f: ~((f.year == 2025) & (f.staff > 1)), r"one condition"),
    (lambda f: (f.year == 2025) & 1, r"brackets"),
    (lambda f: f.staff == f.tax_paid, r"two columns"),
    (lambda f: f.staff == None, r"isna"),  # noqa: E711 what people write
    (lambda f: f.staff.max(), r"quantile"),
    (lambda f: list(f.staff), r"value_counts"),
    (lambda f: f.staff[0], r"quantile"),
    (lambda f: bool(f.staff), r"column == value"),
    (lambda f: len(f.staff), r"count"),
    (lambda f: f.groupby("year").apply, r"agg"),
    (lambda f: list(f.groupby("year")), r"agg"),
    (lambda f: f.groupby(5), r"names, columns"),
    (lambda f: f.agg(n="first"), r"median"),
    (lambda f: f.agg(n=("tax_paid", "men")), r"`men` is never available; try `mean`"),
    (lambda f: f.groupby("year").mean, r"\['column'\].mean\(\)"),
    (lambda f: f.merge, r"\.join"),
    (lambda f: f.year.unique(), r"\.codes"),
    (lambda f: f.agg(n=5), r"median"),
    (lambda f: f.agg(), r"one of count"),
    (lambda f: f.agg("mean"), r"agg\(n="),
    (lambda f: f.agg(["mean"]), r"agg\(n="),
    (lambda f: f.agg(n=f.groupby("year").count()), r"without groups"),
    (lambda f: f.count().head(), r"submit"),
]


@pytest.mark.parametrize(("ask", "allowed"), NEVER, ids=range(len(NEVER)))
def test_what_no_plan_can_ask_for_fails_here_and_names_what_is_allowed(
    filings: AnyFrame, ask: Callable[[AnyFrame], Any], allowed: str
) -> None:
    with pytest.raises(OperationNotPermittedError, match=allowed) as refused:
        ask(filings)
    assert refused.value.code is ErrorCode.OPERATION_NOT_PERMITTED
    assert refused.value.hint is not None


def test_the_codes_of_a_column_are_declared(filings: AnyFrame) -> None:
    assert filings.street.codes == filings.street.item.domain
    assert filings.tax_paid.codes == ()


@pytest.mark.parametrize("ask", [lambda f: f.taxpaid, lambda f: f["tax_pid"], lambda f: f.groupby("tax_pai")])
def test_a_misspelt_column_fails_here_and_names_the_nearest(filings: AnyFrame, ask: Callable[[AnyFrame], Any]) -> None:
    with pytest.raises(UnknownNameError, match="did you mean `tax_paid`"):
        ask(filings)


def test_a_literal_outside_of_the_domain_fails_here_and_is_not_repeated(filings: AnyFrame) -> None:
    with pytest.raises(InvalidRequestError) as wrong:
        filings[filings.industry == "制照"]
    assert wrong.value.code is ErrorCode.LITERAL_INVALID
    assert wrong.value.hint == "did you mean `制造`"
    assert "制照" not in str(wrong.value)
    for make in (
        lambda: filings[filings.tax_paid > 1.5],
        lambda: filings[filings.adjusted == "yes"],
        lambda: filings[filings.uscc == "91440300MA5FUTIAN8"],
        lambda: filings.groupby(filings.tax_paid.bins([500, 100])).count(),
    ):
        with pytest.raises(InvalidRequestError):
            make()


def test_conditions_on_the_answer_are_checked_here(filings: AnyFrame) -> None:
    query = filings.groupby("street").agg(n="count")
    for output, comparison, value in (
        ("n", "~", 1),
        ("n", "in", 1),
        ("street", "=", 1),
        ("m", ">", 1),
        ("n", ">", "x"),
    ):
        with pytest.raises(InvalidRequestError):
            query.having(output, comparison, value)
    with pytest.raises(InvalidRequestError):
        query.sort_values("m")
    with pytest.raises(InvalidRequestError):
        query.limit(0)
    assert query.having("n", ">", "12.50").digest == query.digest, "the question stays the same"


def test_python_has_ways_to_ask_whether_something_is_there(filings: AnyFrame) -> None:
    assert not hasattr(filings, "head")
    assert not hasattr(filings, "_ipython_canary_method_should_not_exist_")
    assert not hasattr(filings.count(), "_repr_png_")
    assert not hasattr(filings.staff, "_repr_png_")
    assert not hasattr(filings.groupby("year"), "_repr_png_")
    assert "staff" in filings
    assert "nothing" not in filings
    assert {"staff", "groupby"} <= set(dir(filings))
    with pytest.raises(TypeError):
        hash(filings.staff)


def test_literals_are_written_as_plans_write_them() -> None:
    assert [literal(value) for value in (True, 3, "x", Decimal("1.50"), 0.1, date(2025, 1, 2))] == [
        True,
        3,
        "x",
        "1.50",
        "0.1",
        "2025-01-02",
    ]
    for wrong in (float("nan"), float("inf"), datetime(2025, 1, 2), [1], None):  # noqa: DTZ001 refused for its time
        with pytest.raises(InvalidRequestError):
            literal(wrong)


def test_versions_are_pinned_and_only_those_that_can_be_asked(client: Client) -> None:
    assert client.dataset("tax/annual_filings").source.version == 3, "4 has no confirmed grades"
    assert client.dataset("tax/annual_filings", version=2).source.version == 2
    with pytest.raises(NotFoundError):
        client.dataset("tax/annual_filings", version=4)


def test_a_frame_shows_what_is_declared_and_escapes_it(client: Client, filings: AnyFrame) -> None:
    text, html = repr(filings), filings._repr_html_()
    for word in ("tax/annual_filings", "纳税申报", "制造, A, B", "2 edges", "never shown"):
        assert word in text
        assert word in html
    with SdkHub(datasets=(replace(FILINGS, title="<b>纳税</b>"),)).connect() as other:
        shown = other.dataset("tax/annual_filings")._repr_html_()
    assert "<b>纳税" not in shown
    assert "&lt;b&gt;纳税" in shown
    assert "staff" in repr(filings.staff)
    assert "0 to 1000" in filings.staff._repr_html_()


def test_a_twin_is_made_here_of_the_declaration(client: Client, filings: AnyFrame) -> None:
    twin = filings.twin(rows=50, seed=7)
    assert list(twin.columns) == list(filings.columns)
    assert len(twin) == 50
    assert twin.equals(filings.twin(rows=50, seed=7))
    with pytest.raises(OperationNotPermittedError):
        filings.join(client.dataset("market/enterprises")).twin()


def test_explanations_say_rows_columns_grades_and_operations(filings: AnyFrame) -> None:
    query = filings[filings.adjusted].groupby("street", filings.tax_paid.bins()).agg(n="count", s=("staff", "sum"))
    said = query.explain()
    assert said.sentences == (
        "compute the number of rows, sum of staff by street, tax_paid in 3 bins",
        "over tax/annual_filings version 3",
        "where adjusted = true",
    )
    assert {column.name: column.uses for column in said.columns} == {
        "tax/annual_filings.adjusted": ("filter",),
        "tax/annual_filings.street": ("group",),
        "tax/annual_filings.tax_paid": ("group",),
        "tax/annual_filings.staff": ("aggregate (sum)",),
    }
    assert said.operations == ("aggregate.count", "aggregate.histogram", "aggregate.sum")
    assert said.outputs == ("street", "tax_paid_bin", "n", "s")
    assert said.to_json()["question"] == query.digest
    assert "general-3" in str(said)
    assert repr(query) == str(said)
    assert "<td>general-3</td>" in query._repr_html_()
    model = filings.linear_regression("tax_paid", ["staff"]).explain()
    assert model.sentences[0] == "fit a linear regression of tax_paid on staff"
    assert "coefficients" in model.outputs
