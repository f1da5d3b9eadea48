"""Tables and folders: what they declare, how many rows, the same bytes again."""

import hashlib
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sandbox.catalog.codec import dataset_to_json
from sandbox.catalog.core_metadata import parse_core_metadata
from sandbox.catalog.model import Dataset
from sandbox.synth.catalogue import QUARTERS, catalogue
from sandbox.synth.columns import arrow_schema
from sandbox.synth.faults import FAULT_DATASETS, Fault
from sandbox.synth.generate import MAX_SCALE, MIN_SCALE, generate, make_tables
from sandbox.synth.reference import reference_tables
from tests.unit.sandbox.synth.conftest import SEED
from tests.unit.sandbox.synth.declared import broken
from yingbi.canonical import parse_canonical
from yingbi.errors import ConflictError, ErrorCode, InvalidRequestError
from yingbi.uscc import UsccFault, check_uscc

EVERY = pytest.mark.parametrize("dataset", catalogue(), ids=lambda dataset: dataset.name)


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@EVERY
def test_tables_keep_to_their_declarations(dataset: Dataset, tables: dict[str, pa.Table]) -> None:
    assert broken(dataset, tables[dataset.name]) == set()


@EVERY
def test_tables_are_in_the_hierarchy_that_they_declare(dataset: Dataset, tables: dict[str, pa.Table]) -> None:
    table = tables[dataset.name]
    for item in dataset.items:
        if item.parent is not None:
            pairs = set(zip(table[item.name].to_pylist(), table[item.parent].to_pylist(), strict=True))
            assert len(pairs) == len({child for child, _ in pairs}), f"{item.name} has one {item.parent}"


@EVERY
def test_nullable_items_are_now_and_then_missing(dataset: Dataset, tables: dict[str, pa.Table]) -> None:
    for item in dataset.items:
        missing = tables[dataset.name][item.name].null_count
        always_there = not item.nullable or item.name == "name"
        assert (missing == 0) == always_there, item.name


def test_sizes_follow_the_scale(tables: dict[str, pa.Table]) -> None:
    rows = {name: table.num_rows for name, table in tables.items()}
    assert rows["market/enterprises"] == rows["bureau/credit_features"] == 1_210
    assert rows["population/residents"] == 19_460
    assert make_tables(scale=Decimal("0.002"), seed=0)["market/enterprises"].num_rows == 242


def test_tables_are_joined_by_uscc_and_standard_address(tables: dict[str, pa.Table]) -> None:
    enterprises = tables["market/enterprises"]
    known = set(enterprises["uscc"].to_pylist())
    assert len(known) == enterprises.num_rows
    for name, table in tables.items():
        if "uscc" in table.column_names:
            assert set(table["uscc"].to_pylist()) <= known, name
    employers = set(tables["population/residents"]["employer_uscc"].to_pylist()) - {None}
    assert employers
    assert employers <= known
    insured = tables["social/insurance"].select(["uscc", "quarter"]).to_pylist()
    assert employers <= {row["uscc"] for row in insured if row["quarter"] == QUARTERS[-1]}
    premises = tables["block/premises"]
    registered = dict(zip(enterprises["uscc"].to_pylist(), enterprises["address"].to_pylist(), strict=True))
    for row in premises.select(["uscc", "premise_no", "address"]).to_pylist():
        assert row["premise_no"] > 1 or row["address"][:15] == registered[row["uscc"]][:15]


def test_standard_addresses_lead_to_the_same_blocks_everywhere(tables: dict[str, pa.Table]) -> None:
    buildings = reference_tables()["block/buildings"].to_pylist()
    where = {row.pop("building"): row for row in buildings}
    for name in ("market/enterprises", "block/premises", "population/residents"):
        for row in tables[name].select(["address", *next(iter(where.values()))]).slice(0, 500).to_pylist():
            assert where[row.pop("address")[:15]] == row, name


def test_reference_tables_list_both_hierarchies() -> None:
    reference = reference_tables()
    assert {name: table.num_rows for name, table in reference.items()} == {
        "block/streets": 10,
        "block/communities": 95 + 92,
        "block/grids": 1_232 + 1_646,
        "block/buildings": 12_320,
    }
    streets, communities, grids = (reference[f"block/{name}"] for name in ("streets", "communities", "grids"))
    assert set(grids["parent"].to_pylist()) == set(communities["community"].to_pylist())
    assert set(communities["parent"].to_pylist()) == set(streets["code"].to_pylist())


def test_the_same_seed_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    generate(tmp_path / "again", scale=Decimal("0.0010"), seed=SEED)
    assert digests(tmp_path / "again") == digests(folder)


def test_another_seed_gives_other_data(folder: Path, tmp_path: Path) -> None:
    generate(tmp_path / "other", scale=Decimal("0.001"), seed=SEED + 1)
    ours, theirs = digests(folder), digests(tmp_path / "other")
    same = {name for name, digest in theirs.items() if ours.get(name) == digest}
    reference = {f"{name}.parquet" for name in reference_tables()}
    assert same == {"catalogue.json", "catalogue.csv", *reference}


def test_the_folder_has_a_file_for_each_table(folder: Path, tables: dict[str, pa.Table]) -> None:
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    faulty = {name for name in found if name.startswith("faulty/")}
    expected = {f"{name}.parquet" for name in [*tables, *reference_tables()]}
    assert found - faulty == expected | {"catalogue.json", "catalogue.csv", "truth.json"}
    assert {name.split("/")[1] for name in faulty} == set(Fault)
    assert len(faulty) == len(Fault)
    declared = parse_canonical((folder / "catalogue.json").read_bytes(), max_bytes=1 << 20)
    assert declared == [dataset_to_json(dataset) for dataset in catalogue()]
    assert parse_core_metadata((folder / "catalogue.csv").read_bytes()) == catalogue()


@EVERY
def test_files_hold_plain_types(dataset: Dataset, folder: Path) -> None:
    read = pq.read_table(folder / f"{dataset.name}.parquet")
    assert broken(dataset, read) == set()
    expected = [pa.string() if pa.types.is_dictionary(field.type) else field.type for field in arrow_schema(dataset)]
    assert read.schema.types == expected
    assert [field.nullable for field in read.schema] == [item.nullable for item in dataset.items]


def test_files_say_what_the_tables_say(folder: Path) -> None:
    for name, table in make_tables(scale=Decimal("0.001"), seed=SEED).items():
        assert pq.read_table(folder / f"{name}.parquet").to_pylist() == table.to_pylist()


def test_what_was_written_is_reported_with_progress(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    written = generate(tmp_path / "x", scale=MIN_SCALE, seed=0, on_progress=lambda *step: seen.append(step))
    count = len(catalogue())
    assert seen == [(step, count) for step in range(count + 1)]
    for table in written:
        assert table.path == tmp_path / "x" / f"{table.name}.parquet"
        assert table.rows == pq.ParquetFile(table.path).metadata.num_rows
        assert table.size_bytes == table.path.stat().st_size


def test_an_empty_folder_is_taken_and_a_full_one_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    generate(tmp_path / "x", scale=MIN_SCALE, seed=0)
    before = digests(tmp_path / "x")
    with pytest.raises(ConflictError) as caught:
        generate(tmp_path / "x", scale=MIN_SCALE, seed=1)
    assert caught.value.code is ErrorCode.DATASET_EXISTS
    assert digests(tmp_path / "x") == before
    (tmp_path / "file").write_text("")
    with pytest.raises(ConflictError):
        generate(tmp_path / "file", scale=MIN_SCALE, seed=1)


def test_what_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    def stop(done: int, _: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path / "x", scale=MIN_SCALE, seed=0, on_progress=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: make_tables(scale=Decimal(0), seed=0),
        lambda: make_tables(scale=MIN_SCALE - Decimal("0.0001"), seed=0),
        lambda: make_tables(scale=MAX_SCALE + Decimal("0.0001"), seed=0),
        lambda: make_tables(scale=Decimal("NaN"), seed=0),
        lambda: make_tables(scale=Decimal("sNaN"), seed=0),
        lambda: make_tables(scale=Decimal("Infinity"), seed=0),
        lambda: make_tables(scale=MIN_SCALE, seed=-1),
        lambda: make_tables(scale=MIN_SCALE, seed=2**63),
    ],
)
def test_scale_and_seed_have_their_ranges(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        make()
    assert caught.value.code is ErrorCode.USAGE


FINDINGS = {
    Fault.NULL_UNIT: {"null uscc"},
    Fault.WRONG_CHECK_CHARACTER: set(),
    Fault.OUT_OF_BOUNDS: {"bounds tax_paid"},
    Fault.OUTSIDE_DOMAIN: {"domain street"},
    Fault.NULL_NOT_ALLOWED: {"null industry"},
    Fault.DUPLICATE_ROWS: {"row key"},
    Fault.TOO_MANY_ROWS: {"rows a unit"},
    Fault.TEXT_FOR_NUMBER: {"type tax_paid"},
    Fault.NOT_FINITE: {"type tax_paid"},
    Fault.TOO_PRECISE: {"type tax_paid"},
    Fault.MISSING_COLUMN: {"columns"},
    Fault.UNKNOWN_COLUMN: {"columns"},
}


@pytest.mark.parametrize("fault", FINDINGS)
def test_faulty_tables_break_one_rule_each(fault: Fault, folder: Path) -> None:
    name = FAULT_DATASETS[fault]
    dataset = next(dataset for dataset in catalogue() if dataset.name == name)
    found = broken(dataset, pq.read_table(folder / "faulty" / fault / f"{name}.parquet"))
    # A row that is there twice may be one too many as well.
    assert found - ({"rows a unit"} if fault is Fault.DUPLICATE_ROWS else set()) == FINDINGS[fault]


def test_a_wrong_check_character_is_wrong(folder: Path) -> None:
    path = folder / "faulty" / Fault.WRONG_CHECK_CHARACTER / "market" / "enterprises.parquet"
    codes = pq.read_table(path)["uscc"].to_pylist()
    assert [check_uscc(code) for code in codes] == [[UsccFault.CHECK]] + [[]] * (len(codes) - 1)


def test_faulty_files_cannot_be_read(folder: Path) -> None:
    for fault in (Fault.TRUNCATED, Fault.NOT_PARQUET):
        with pytest.raises(pa.ArrowInvalid):
            pq.read_table(folder / "faulty" / fault / "tax" / "annual_filings.parquet")
    ragged = (folder / "faulty" / Fault.RAGGED_CSV / "tax" / "annual_filings.csv").read_text("utf-8").splitlines()
    assert len(ragged[1].split(",")) < len(ragged[0].split(",")) == len(ragged[2].split(","))
    with pytest.raises(UnicodeDecodeError):
        (folder / "faulty" / Fault.WRONG_ENCODING_CSV / "market" / "enterprises.csv").read_text("utf-8")
