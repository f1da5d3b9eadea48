"""Twins: they keep to the declaration, join, and need no data."""

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sandbox.catalog.model import DataItem, Dataset, ItemRole, ItemType
from sandbox.engine_duckdb.sources import ParquetSource
from sandbox.synth.catalogue import catalogue
from sandbox.twin import MAX_TWIN_ROWS, make_twin
from tests.unit.sandbox.data.examples import FILINGS, publish_here
from yingbi.errors import InvalidRequestError
from yingbi.events.fields import Grade

DATASETS = {dataset.name: dataset for dataset in catalogue()} | {FILINGS.name: FILINGS}


@pytest.mark.parametrize("name", DATASETS)
def test_a_twin_can_be_published_as_the_data_set_that_it_is_of(tmp_path: Path, name: str) -> None:
    made = make_twin(DATASETS[name], 500, 3)
    pq.write_table(made, tmp_path / "x.parquet")
    done = publish_here(tmp_path, ParquetSource(path=tmp_path / "x.parquet"), DATASETS[name])
    assert (done.version.rows, done.doubtful_units) == (500, 0)
    if DATASETS[name].max_rows_per_unit > 1:
        assert done.version.max_rows_per_unit > 1


def test_a_seed_makes_one_table() -> None:
    assert make_twin(FILINGS, 100, 1).equals(make_twin(FILINGS, 100, 1))
    assert not make_twin(FILINGS, 100, 1).equals(make_twin(FILINGS, 100, 2))
    assert make_twin(FILINGS, 0, 1).num_rows == 0


def test_twins_of_two_data_sets_join() -> None:
    firms = make_twin(DATASETS["market/enterprises"], 300, 1)
    filings = make_twin(DATASETS["tax/annual_filings"], 300, 2)
    assert set(filings["uscc"].to_pylist()) <= set(firms["uscc"].to_pylist())


def test_hierarchies_hold() -> None:
    made = make_twin(DATASETS["market/enterprises"], 5000, 1).to_pydict()
    for child, parent in (("grid", "community"), ("community", "street"), ("grid_2025", "community_2025")):
        pairs = set(zip(made[child], made[parent], strict=True))
        assert len(pairs) == len({code for code, _ in pairs}), child
    assert all(grid.startswith(community) for grid, community in zip(made["grid"], made["community"], strict=True))
    assert len(set(made["street"])) == 10


def test_numbers_are_in_every_declared_bin_and_nulls_where_they_may_be() -> None:
    made = make_twin(DATASETS["tax/annual_filings"], 2000, 1)
    revenue = [value for value in made["revenue"].to_pylist() if value is not None]
    assert 0.02 < made["revenue"].null_count / 2000 < 0.08
    assert made["tax_paid"].null_count == 0
    item = DATASETS["tax/annual_filings"].item("revenue")
    assert item is not None
    for low, high in pairwise(map(Decimal, item.edges or ())):
        assert any(low <= value < high for value in revenue), low


def test_what_is_denied_is_not_in_a_twin() -> None:
    graded = tuple(replace(item, grade=Grade.CORE) if item.name == "tax" else item for item in FILINGS.items)
    assert {"phone", "tax"}.isdisjoint(make_twin(replace(FILINGS, items=graded), 5, 1).column_names)


def test_types_are_those_of_the_declaration() -> None:
    schema = make_twin(FILINGS, 5, 1).schema
    assert {name: str(schema.field(name).type) for name in schema.names} == {
        "uscc": "string",
        "filed_on": "date32[day]",
        "street": "string",
        "tax": "decimal128(38, 2)",
        "staff": "int64",
        "late": "bool",
        "note": "string",
    }


def test_a_unit_has_as_many_rows_as_it_can_have_keys(tmp_path: Path) -> None:
    dataset = Dataset(
        name="x/y",
        title="t",
        owner="unit:x",
        privacy_unit=FILINGS.privacy_unit,
        max_rows_per_unit=50,
        items=(
            FILINGS.items[0],
            DataItem(
                name="half", title="t", type=ItemType.CODE, role=ItemRole.ROW_KEY, nullable=False, domain=("1", "2")
            ),
        ),
    )
    pq.write_table(make_twin(dataset, 1000, 1), tmp_path / "x.parquet")
    assert publish_here(tmp_path, ParquetSource(path=tmp_path / "x.parquet"), dataset).version.max_rows_per_unit == 2


@pytest.mark.parametrize("rows", [-1, MAX_TWIN_ROWS + 1])
def test_a_size_out_of_range_is_refused(rows: int) -> None:
    with pytest.raises(InvalidRequestError):
        make_twin(FILINGS, rows, 1)


def test_large_twins_are_made_at_once() -> None:
    made = make_twin(DATASETS["population/residents"], 200_000, 1)
    assert len(set(made["person_id"].to_pylist())) == 200_000
    assert isinstance(made, pa.Table)
