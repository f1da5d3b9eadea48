"""Each rule of a declaration: what breaks it is named, by its place, and nothing else is."""

from dataclasses import replace
from decimal import Decimal
from time import process_time

import pytest
from hypothesis import given, settings

from sandbox.catalog.model import DataItem, Dataset, ItemRole, ItemType
from sandbox.catalog.validate import MAX_ITEMS, check_dataset
from sandbox.synth.catalogue import catalogue
from tests.unit.sandbox.catalog.declarations import FILINGS, datasets, with_item

KEY = DataItem(name="year", title="年度", type=ItemType.CODE, domain=("2024",), role=ItemRole.ROW_KEY, nullable=False)


def change(name: str, /, **changes: object) -> Dataset:
    return with_item(FILINGS, name, **changes)


BROKEN: dict[str, tuple[Dataset, str]] = {
    "name with upper case": (replace(FILINGS, name="Tax/filings"), "name"),
    "name that climbs": (replace(FILINGS, name="tax/.."), "name"),
    "name of three parts": (replace(FILINGS, name="tax/a/b"), "name"),
    "name with a line": (replace(FILINGS, name="tax/filings\n"), "name"),
    "owner of no kind": (replace(FILINGS, owner="futian-tax"), "owner"),
    "owner that is a person": (replace(FILINGS, owner="person:li-si"), "owner"),
    "title with a direction mark": (replace(FILINGS, title="税\u202e务"), "title"),
    "title not normalised": (replace(FILINGS, title="e\u0301"), "title"),
    "title empty": (replace(FILINGS, title=""), "title"),
    "description with NUL": (replace(FILINGS, description="a\0b"), "description"),
    "no rows a unit": (replace(FILINGS, max_rows_per_unit=0), "max_rows_per_unit"),
    "several rows without a key": (replace(FILINGS, max_rows_per_unit=2), "items"),
    "no unit": (replace(FILINGS, items=FILINGS.items[1:]), "items"),
    "two units": (change("street", role=ItemRole.UNIT, nullable=False), "items"),
    "twice the same name": (replace(FILINGS, items=(*FILINGS.items, FILINGS.items[-1])), "items[5].name"),
    "item name with a leading underscore": (change("community", name="_c"), "items[3].name"),
    "item name of 64": (change("filed_on", name="a" * 64), "items[4].name"),
    "unit that may be missing": (change("uscc", nullable=True), "items[0].nullable"),
    "unit that is a date": (change("uscc", type=ItemType.DATE), "items[0].type"),
    "seven decimals": (change("tax_paid", decimals=7), "items[1].decimals"),
    "decimals of a date": (change("filed_on", decimals=1), "items[4].decimals"),
    "number without bounds": (change("tax_paid", bounds=None), "items[1].bounds"),
    "bounds that are not finite": (change("tax_paid", bounds=(Decimal("NaN"), Decimal(1))), "items[1].bounds"),
    "bounds upside down": (change("tax_paid", bounds=(Decimal(2), Decimal(1)), edges=None), "items[1].bounds"),
    "bounds of too many decimals": (
        change("tax_paid", bounds=(Decimal("0.001"), Decimal(2)), edges=None),
        "items[1].bounds",
    ),
    "bounds beyond 64 bits": (
        change("tax_paid", bounds=(Decimal(0), Decimal(10) ** 17), edges=None),
        "items[1].bounds",
    ),
    "bounds of a huge exponent": (
        change("tax_paid", bounds=(Decimal(0), Decimal("1e999999")), edges=None),
        "items[1].bounds",
    ),
    "bounds of a code": (change("street", bounds=(Decimal(0), Decimal(1))), "items[2].bounds"),
    "code without a domain": (change("street", domain=None), "items[2].domain"),
    "code with an empty domain": (change("street", domain=()), "items[2].domain"),
    "domain with a double": (change("street", domain=("a", "a")), "items[2].domain"),
    "domain with spaces": (change("street", domain=("a", " b")), "items[2].domain[1]"),
    "domain of a date": (change("filed_on", domain=("a",)), "items[4].domain"),
    "edges descending": (change("tax_paid", edges=("1", "0")), "items[1].edges"),
    "edges twice": (change("filed_on", edges=("2024-01-01", "2024-01-01")), "items[4].edges"),
    "edges sorted as text only": (change("tax_paid", edges=("10", "9")), "items[1].edges"),
    "edges not canonical": (change("tax_paid", edges=("1.0",)), "items[1].edges[0]"),
    "edges that are no date": (change("filed_on", edges=("2023-02-29",)), "items[4].edges[0]"),
    "edges beyond the bounds": (change("tax_paid", edges=("5000001",)), "items[1].edges[0]"),
    "edges of a code": (change("street", edges=("a",)), "items[2].edges"),
    "edges empty": (change("tax_paid", edges=()), "items[1].edges"),
    "parent that is not there": (change("community", parent="nowhere"), "items[3].parent"),
    "parent that is itself": (change("community", parent="community"), "items[3].parent"),
    "parent that is no code": (change("community", parent="filed_on"), "items[3].parent"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_found_where_it_is(name: str) -> None:
    dataset, path = BROKEN[name]
    assert [problem.path for problem in check_dataset(dataset)] == [path]


def test_a_good_declaration_has_no_problem() -> None:
    assert check_dataset(FILINGS) == []
    with_key = replace(FILINGS, max_rows_per_unit=3, items=(*FILINGS.items, KEY))
    assert check_dataset(with_key) == []


@settings(deadline=None)
@given(datasets())
def test_good_declarations_have_no_problem(dataset: Dataset) -> None:
    assert check_dataset(dataset) == []


def test_a_cycle_is_found_and_so_is_what_leads_into_it() -> None:
    dataset = change("street", parent="community")
    assert [problem.path for problem in check_dataset(dataset)] == ["items[2].parent", "items[3].parent"]
    above = DataItem(name="grid", title="网格", type=ItemType.CODE, domain=("1",), parent="community")
    longer = replace(dataset, items=(*dataset.items, above))
    assert len(check_dataset(longer)) == 3


def test_all_problems_are_found_at_once_and_quote_nothing() -> None:
    dataset = replace(FILINGS, name="CANARY", owner="CANARY", title="CANARY\0")
    problems = check_dataset(replace(dataset, items=(replace(FILINGS.items[2], name="CANARY", domain=("CANARY\0",)),)))
    assert len(problems) == 6
    assert "CANARY" not in " ".join(map(str, problems))


def test_a_flood_of_items_is_refused_quickly() -> None:
    items = tuple(replace(FILINGS.items[2], name=f"i{n}", parent=f"i{n + 1}") for n in range(50_000))
    started = process_time()
    assert [problem.path for problem in check_dataset(replace(FILINGS, items=items))] == ["items"]
    assert process_time() - started < 1


def test_a_deep_hierarchy_at_the_bound_is_checked() -> None:
    codes = tuple(replace(FILINGS.items[2], name=f"i{n}", parent=f"i{n + 1}") for n in range(MAX_ITEMS - 2))
    top = replace(FILINGS.items[2], name=f"i{MAX_ITEMS - 2}")
    assert check_dataset(replace(FILINGS, items=(FILINGS.items[0], *codes, top))) == []


@pytest.mark.parametrize("dataset", catalogue(), ids=lambda dataset: str(dataset.name))
def test_the_generated_data_sets_are_declared_well(dataset: Dataset) -> None:
    assert check_dataset(dataset) == []
