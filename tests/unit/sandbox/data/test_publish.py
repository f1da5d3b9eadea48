"""Publication: what a snapshot is, what breaks a declaration, what an error tells."""

import hashlib
import json
import logging
import pickle
import traceback
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sandbox.catalog.model import DataItem, ItemRole, ItemType
from sandbox.catalog.problem import CatalogueInvalidError
from sandbox.engine_duckdb import publish as publish_sql
from sandbox.engine_duckdb.manifest import list_versions, read_manifest, verify_snapshot
from sandbox.engine_duckdb.publish import DataInvalidError, Fault, publish
from sandbox.engine_duckdb.sources import CsvSource, DuckdbSource, ParquetSource, Source
from sandbox.synth import faults as generated_faults
from sandbox.synth.catalogue import catalogue
from sandbox.synth.generate import generate
from sandbox.synth.identifiers import make_usccs
from tests.lib.databases import new_postgres_url
from tests.unit.sandbox.data.examples import (
    FILINGS,
    ROWS,
    arrow,
    changed,
    columns_of,
    publish_here,
    registry,
    rows_of,
    texts,
    with_items,
    write_csv,
    write_duckdb,
    write_parquet,
    write_postgres,
)
from yingbi.canonical import canonical_bytes
from yingbi.clock import FixedClock
from yingbi.errors import (
    ConflictError,
    ErrorCode,
    InvalidRequestError,
    NotFoundError,
    RefusedError,
    SandboxError,
    TamperDetectedError,
    UnavailableError,
)
from yingbi.events.fields import Grade, PrivacyUnit

CANARY = "Canary7f3a91"


def test_a_snapshot_has_numbers_for_units_and_rows_and_no_identifier(tmp_path: Path, clock: FixedClock) -> None:
    done = publish_here(tmp_path, write_parquet(tmp_path / "x.parquet"), clock=clock)
    assert columns_of(tmp_path) == {
        "_unit": "BIGINT",
        "_row": "BIGINT",
        "filed_on": "DATE",
        "street": "ENUM('园岭街道', 'a', 'it''s')",
        "tax": "BIGINT",
        "staff": "BIGINT",
        "late": "BOOLEAN",
        "_total_tax": "BIGINT",
        "_total_staff": "BIGINT",
    }
    rows = rows_of(tmp_path)
    # The unit whose total is furthest above the mean comes first.
    assert [row[-2] for row in rows] == [2300, 2300, 0]
    assert rows[0][:2] < rows[1][:2]
    assert sorted(row[0] for row in rows) in ([0, 0, 1], [0, 1, 1])
    assert sorted(row[1] for row in rows) == [0, 1, 2]
    assert {row[2:] for row in rows} == {
        (date(2024, 1, 1), "a", 1250, 3, True, 2300, 3),
        (date(2024, 4, 1), "it's", -1050, 0, False, 2300, 3),
        (date(2024, 1, 1), "园岭街道", None, 99, None, 0, 99),
    }
    version = done.version
    assert (version.version, version.rows, version.units, version.max_rows_per_unit) == (1, 3, 2, 2)
    assert version.published_at == clock.now()


def test_no_file_of_a_snapshot_holds_an_identifier_or_free_text(tmp_path: Path) -> None:
    rows = tuple(
        row | {"uscc": f"{CANARY.upper()}{at}", "note": CANARY, "phone": CANARY} for at, row in enumerate(ROWS)
    )
    publish_here(tmp_path, write_parquet(tmp_path / "x.parquet", rows))
    found = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert sorted(path.name for path in found) == ["data.duckdb", "manifest.json"]
    for path in found:
        assert CANARY.lower().encode() not in path.read_bytes().lower(), path.name
        assert path.stat().st_mode & 0o077 == 0, path.name
    assert CANARY.upper().encode() in registry(tmp_path).path.read_bytes(), "the registry has them"


def test_a_manifest_is_canonical_and_its_digest_names_the_version(tmp_path: Path, clock: FixedClock) -> None:
    done = publish_here(tmp_path, write_parquet(tmp_path / "x.parquet"), clock=clock)
    folder = tmp_path / "data/tax/filings/1"
    text = (folder / "manifest.json").read_bytes()
    value = json.loads(text)
    assert canonical_bytes(value) == text
    assert done.version.digest == "sha256:" + hashlib.sha256(text).hexdigest()
    assert value["data"] == "sha256:" + hashlib.sha256((folder / "data.duckdb").read_bytes()).hexdigest()
    assert value["schema"]["items"][3]["bounds"] == ["-10.5", "1000000"]
    assert read_manifest(tmp_path / "data", "tax/filings", 1).version == done.version


@pytest.mark.postgres
def test_the_same_rows_have_the_same_content_from_every_kind_of_source(tmp_path: Path, postgres_folder: Path) -> None:
    sources: dict[str, Source] = {
        "parquet": write_parquet(tmp_path / "x.parquet"),
        "csv": write_csv(tmp_path / "x.csv", texts()),
        "gb18030": write_csv(tmp_path / "g.csv", texts(), "gb18030"),
        "duckdb": write_duckdb(tmp_path / "x.duckdb"),
        "postgres": write_postgres(new_postgres_url(postgres_folder)),
        "reversed": write_parquet(tmp_path / "y.parquet", ROWS[::-1]),
    }
    done = {name: publish_here(tmp_path, source) for name, source in sources.items()}
    assert [name for name, publication in done.items() if publication.is_new] == ["parquet"]
    assert len({publication.version.digest for publication in done.values()}) == 1
    assert list_versions(tmp_path / "data", "tax/filings") == (1,)


def test_other_content_or_another_declaration_is_a_new_version(tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "x.parquet")
    publish_here(tmp_path, source)
    other = write_csv(tmp_path / "x.csv", changed(0, staff="4"))
    assert publish_here(tmp_path, other).version.version == 2
    assert publish_here(tmp_path, source).version.version == 3, "what was current once is not current again by itself"
    graded = with_items(FILINGS, tax={"edges": ("0",)})
    assert publish_here(tmp_path, source, graded).version.version == 4


def test_numbers_of_units_and_rows_stay_the_same_across_versions(tmp_path: Path) -> None:
    publish_here(tmp_path, write_parquet(tmp_path / "x.parquet"))
    more = (*ROWS[1:], ROWS[0] | {"uscc": "new"}, ROWS[0] | {"staff": 7})
    publish_here(tmp_path, write_parquet(tmp_path / "y.parquet", more))
    first, second = (
        {row[:3]: row[3] for row in rows_of(tmp_path, version, columns="_unit, _row, filed_on, staff")}
        for version in (1, 2)
    )
    assert set(first) < set(second)
    assert {key: value for key, value in second.items() if key in first} == first | {
        key: 7 for key, value in first.items() if value == 3
    }
    assert {key[:2] for key in set(second) - set(first)} == {(2, 3)}, "new ones follow"


def test_data_sets_of_a_node_share_the_numbers_of_their_units(tmp_path: Path) -> None:
    publish_here(tmp_path, write_parquet(tmp_path / "x.parquet"))
    publish_here(tmp_path, write_parquet(tmp_path / "x.parquet", ROWS[2:]), replace(FILINGS, name="tax/other"))
    columns = "_unit, staff"
    units = {staff: unit for unit, staff in rows_of(tmp_path, columns=columns)}
    assert rows_of(tmp_path, 1, "tax/other", columns) == [(units[99], 99)]


def test_persons_and_enterprises_are_numbered_apart(tmp_path: Path) -> None:
    publish_here(tmp_path, write_parquet(tmp_path / "x.parquet"))
    persons = replace(FILINGS, name="tax/persons", privacy_unit=PrivacyUnit.PERSON)
    publish_here(tmp_path, write_parquet(tmp_path / "x.parquet", ROWS[:1]), persons)
    assert rows_of(tmp_path, 1, "tax/persons", "_unit, _row") == [(0, 0)]


def test_a_source_without_rows_is_an_empty_version(tmp_path: Path) -> None:
    version = publish_here(tmp_path, write_parquet(tmp_path / "x.parquet", ())).version
    assert (version.rows, version.units, version.max_rows_per_unit) == (0, 0, 0)


def test_totals_are_of_absolute_values_over_all_rows_of_a_unit_and_may_be_huge(tmp_path: Path) -> None:
    wide = (Decimal(-(2**62)), Decimal(2**62))
    dataset = with_items(FILINGS, staff={"bounds": wide})
    rows = [row | {"uscc": "one", "staff": str(size)} for row, size in zip(texts(), (2**62, -(2**62), 5), strict=True)]
    rows[2]["filed_on"] = "2024-07-01"
    publish_here(tmp_path, write_csv(tmp_path / "x.csv", rows), dataset)
    assert columns_of(tmp_path)["_total_staff"] == "HUGEINT"
    assert set(rows_of(tmp_path, columns="_total_staff")) == {(2**63 + 5,)}


def test_large_units_come_first(tmp_path: Path) -> None:
    rows = [
        {**row, "uscc": f"9199030{unit:011}", "tax": Decimal(2 ** (unit % 10)), "staff": 0}
        for unit in range(40)
        for row in ROWS[:1]
    ]
    publish_here(tmp_path, write_parquet(tmp_path / "filings.parquet", tuple(rows)))
    found = [total for (total,) in rows_of(tmp_path, columns="_total_tax")]
    assert found[:12] == [51200] * 4 + [25600] * 4 + [12800] * 4


def test_every_row_is_there_once_where_nothing_is_measured(tmp_path: Path) -> None:
    kept = tuple(item for item in FILINGS.items if item.type not in (ItemType.DECIMAL, ItemType.INTEGER))
    dataset = replace(FILINGS, items=kept)
    version = publish_here(tmp_path, write_parquet(tmp_path / "filings.parquet"), dataset).version
    found = rows_of(tmp_path, columns="_unit, _row")
    assert len(found) == len(set(found)) == version.rows == len(ROWS)


def test_a_snapshot_in_which_rows_are_there_twice_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twice = publish_sql._WRITE_ROWS.replace("JOIN numbered", "JOIN (FROM numbered UNION ALL FROM numbered) AS numbered")
    monkeypatch.setattr(publish_sql, "_WRITE_ROWS", twice)
    with pytest.raises(UnavailableError, match="there twice"):
        publish_here(tmp_path, write_parquet(tmp_path / "filings.parquet"))
    assert list_versions(tmp_path / "data", FILINGS.name) == ()


def test_identifiers_without_their_check_character_are_counted(tmp_path: Path) -> None:
    valid = [bytes(code).decode() for code in make_usccs(2, 5)]
    wrong = valid[0][:-1] + ("0" if valid[0][-1] != "0" else "1")
    for at, (codes, doubtful) in enumerate([((valid[0], valid[0], valid[1]), 0), ((valid[0], valid[1], wrong), 1)]):
        rows = tuple(row | {"uscc": code} for row, code in zip(ROWS, codes, strict=True))
        assert publish_here(tmp_path / str(at), write_parquet(tmp_path / "x.parquet", rows)).doubtful_units == doubtful


# --- what breaks a declaration ----------------------------------------------------------------------------------------

FAULTY = {
    "identifier absent": ({"uscc": ""}, "uscc", Fault.MISSING),
    "identifier blank": ({"uscc": "  "}, "uscc", Fault.MALFORMED),
    "row key absent": ({"filed_on": ""}, "filed_on", Fault.MISSING),
    "number absent": ({"staff": ""}, "staff", Fault.MISSING),
    "not a number": ({"staff": CANARY}, "staff", Fault.MALFORMED),
    "not whole": ({"staff": "1.5"}, "staff", Fault.MALFORMED),
    "an exponent": ({"staff": "1e1"}, "staff", Fault.MALFORMED),
    "not finite": ({"tax": "nan"}, "tax", Fault.MALFORMED),
    "digits of another script": ({"staff": "٣"}, "staff", Fault.MALFORMED),
    "too many digits": ({"tax": "1.005"}, "tax", Fault.MALFORMED),
    "beyond 64 bits": ({"tax": "9999999999999999999"}, "tax", Fault.MALFORMED),
    "below its bound": ({"tax": "-10.51"}, "tax", Fault.OUT_OF_BOUNDS),
    "above its bound": ({"staff": "100"}, "staff", Fault.OUT_OF_BOUNDS),
    "outside its domain": ({"street": CANARY}, "street", Fault.OUTSIDE_DOMAIN),
    "not a date": ({"filed_on": "2024-02-30"}, "filed_on", Fault.MALFORMED),
    "a time of day": ({"filed_on": "2024-02-03 10:00:00"}, "filed_on", Fault.MALFORMED),
    "neither true nor false": ({"late": CANARY}, "late", Fault.MALFORMED),
}


@pytest.mark.parametrize(("values", "item", "fault"), FAULTY.values(), ids=FAULTY)
def test_what_breaks_a_declaration_is_counted(tmp_path: Path, values: dict[str, str], item: str, fault: Fault) -> None:
    source = write_csv(tmp_path / "x.csv", changed(0, **values))
    with pytest.raises(DataInvalidError) as caught:
        publish_here(tmp_path, source)
    assert [(found.item, found.fault, found.count) for found in caught.value.problems] == [(item, fault, 1)]
    assert list_versions(tmp_path / "data", "tax/filings") == ()
    _assert_silent(caught.value)


GOOD = {
    "zeros after the point": {"tax": "12.5000", "staff": "3.0"},
    "a sign": {"tax": "+12.5"},
    "dates with slashes": {"filed_on": "2024/01/01"},
    "dates without marks": {"filed_on": "20240101"},
    "dates with a midnight": {"filed_on": "2024-01-01 00:00:00"},
    "truth in Chinese": {"late": "是"},
    "blanks around": {"street": " a ", "staff": " 3 ", "uscc": "\t91990304YB0000001z "},
}


@pytest.mark.parametrize("values", GOOD.values(), ids=GOOD)
def test_one_meaning_has_one_stored_value(tmp_path: Path, values: dict[str, str]) -> None:
    publish_here(tmp_path, write_parquet(tmp_path / "x.parquet"))
    assert not publish_here(tmp_path, write_csv(tmp_path / "x.csv", changed(0, **values))).is_new


def test_all_problems_are_told_at_once_and_none_of_their_values(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    rows = [row | {"staff": CANARY, "street": CANARY, "late": CANARY, "tax": "2000000"} for row in texts()]
    rows.append(rows[0] | {"uscc": ""})
    rows += [rows[0] | {"filed_on": f"2025-01-0{day}"} for day in (1, 1, 2)]
    with pytest.raises(DataInvalidError) as caught:
        publish_here(tmp_path, write_csv(tmp_path / "x.csv", rows))
    assert {(found.item, found.fault.value): found.count for found in caught.value.problems} == {
        ("uscc", "missing"): 1,
        ("street", "outside-domain"): 7,
        ("tax", "out-of-bounds"): 7,
        ("staff", "malformed"): 7,
        ("late", "malformed"): 7,
        (None, "duplicate-rows"): 1,
        (None, "too-many-rows"): 1,
    }
    _assert_silent(caught.value)
    assert CANARY not in caplog.text
    assert "`street` outside-domain 7" in caught.value.message
    copied = pickle.loads(pickle.dumps(caught.value))
    assert (copied.problems, copied.code) == (caught.value.problems, ErrorCode.DATA_INVALID)


def test_a_unit_has_one_row_where_rows_have_no_key(tmp_path: Path) -> None:
    plain = with_items(FILINGS, filed_on={"role": ItemRole.ATTRIBUTE})
    dataset = replace(plain, max_rows_per_unit=1)
    with pytest.raises(DataInvalidError) as caught:
        publish_here(tmp_path, write_parquet(tmp_path / "x.parquet"), dataset)
    found = {(problem.fault, problem.count) for problem in caught.value.problems}
    assert found == {(Fault.DUPLICATE_ROWS, 1), (Fault.TOO_MANY_ROWS, 1)}


def test_keys_of_several_items_are_not_confused(tmp_path: Path) -> None:
    two = with_items(
        FILINGS,
        street={"role": ItemRole.ROW_KEY, "nullable": False, "domain": ("1", "11")},
        staff={"role": ItemRole.ROW_KEY},
        filed_on={"role": ItemRole.ATTRIBUTE},
    )
    rows = [row | {"uscc": "one"} for row in texts()[:2]]
    rows = [rows[0] | {"street": "1", "staff": "11"}, rows[1] | {"street": "11", "staff": "1"}]
    publish_here(tmp_path, write_csv(tmp_path / "x.csv", rows), two)
    assert sorted(rows_of(tmp_path, columns="_unit, _row")) == [(0, 0), (0, 1)]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1.005, 1e300])
def test_doubles_that_are_no_declared_decimal_are_refused(tmp_path: Path, value: float) -> None:
    table = arrow()
    taxes = table.set_column(3, "tax", pa.array([0.1 + 0.2 if value == 1.005 else value, 0.29, -10.5], pa.float64()))
    pq.write_table(taxes, tmp_path / "x.parquet")
    with pytest.raises(DataInvalidError) as caught:
        publish_here(tmp_path, ParquetSource(path=tmp_path / "x.parquet"))
    assert [(found.item, found.count) for found in caught.value.problems] == [("tax", 1)]


def test_every_decimal_of_two_digits_survives_as_a_double(tmp_path: Path) -> None:
    cents = [*range(-1050, 99_000, 7), 99_999_999, 100_000_000]
    count = len(cents)
    table = pa.table(
        {
            "uscc": [f"u{at}" for at in range(count)],
            "filed_on": pa.array([date(2024, 1, 1)] * count),
            "street": ["a"] * count,
            "tax": pa.array([cent / 100 for cent in cents], pa.float64()),
            "staff": [1] * count,
            "late": [True] * count,
            "note": [""] * count,
        }
    )
    pq.write_table(table, tmp_path / "x.parquet")
    publish_here(tmp_path, ParquetSource(path=tmp_path / "x.parquet"))
    assert sorted(row[0] for row in rows_of(tmp_path, columns="tax")) == cents


# --- what is refused before any data are read ------------------------------------------------------------------------


def _nowhere(folder: Path) -> CsvSource:
    return CsvSource(path=folder / "not-there.csv")


def test_core_data_never_enter(tmp_path: Path) -> None:
    with pytest.raises(RefusedError) as caught:
        publish_here(tmp_path, _nowhere(tmp_path), with_items(FILINGS, note={"grade": Grade.CORE}))
    assert caught.value.code is ErrorCode.OPERATION_NOT_PERMITTED


def test_unconfirmed_grades_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConflictError) as caught:
        publish_here(tmp_path, _nowhere(tmp_path), is_confirmed=False)
    assert caught.value.code is ErrorCode.GRADES_NOT_CONFIRMED


@pytest.mark.parametrize("name", ["../../x", "tax/../x", "/tax/x", "tax", "tax/x/y"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CatalogueInvalidError):
        publish_here(tmp_path, _nowhere(tmp_path), replace(FILINGS, name=name))


def test_an_item_that_is_sql_is_refused(tmp_path: Path) -> None:
    item = DataItem(name='x" FROM read_text(', title="x", type=ItemType.TEXT)
    with pytest.raises(CatalogueInvalidError):
        publish_here(tmp_path, _nowhere(tmp_path), replace(FILINGS, items=(*FILINGS.items, item)))


def test_an_item_on_the_negative_list_is_not_read(tmp_path: Path) -> None:
    rows = [{name: text for name, text in row.items() if name != "phone"} for row in texts()]
    assert publish_here(tmp_path, write_csv(tmp_path / "x.csv", rows)).is_new


# --- the generated data -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generated") / "synth"
    generate(folder, scale=Decimal("0.01"), seed=7)
    return folder


def test_generated_data_keep_to_their_declarations(tmp_path: Path, generated: Path) -> None:
    for dataset in catalogue():
        source = ParquetSource(path=generated / f"{dataset.name}.parquet")
        done = publish_here(tmp_path, source, dataset)
        assert (done.is_new, done.doubtful_units) == (True, 0), dataset.name
        with duckdb.connect() as connection:
            query = f"SELECT count(*), count(DISTINCT {dataset.unit_item.name}) FROM read_parquet('{source.path}')"
            assert connection.execute(query).fetchall() == [(done.version.rows, done.version.units)], dataset.name
        stored = rows_of(tmp_path, dataset=dataset.name, columns="count(*), count(DISTINCT _unit)")
        assert stored == [(done.version.rows, done.version.units)], dataset.name


ACCEPTED = {generated_faults.Fault.UNKNOWN_COLUMN, generated_faults.Fault.WRONG_CHECK_CHARACTER}


@pytest.mark.parametrize("fault", generated_faults.Fault)
def test_generated_faults_are_refused(tmp_path: Path, generated: Path, fault: generated_faults.Fault) -> None:
    (path,) = (path for path in (generated / "faulty" / fault).rglob("*.*") if path.is_file())
    dataset = next(item for item in catalogue() if item.name == generated_faults.FAULT_DATASETS[fault])
    source = CsvSource(path=path) if path.suffix == ".csv" else ParquetSource(path=path)
    if fault in ACCEPTED:
        is_doubtful = fault is generated_faults.Fault.WRONG_CHECK_CHARACTER
        assert publish_here(tmp_path, source, dataset).doubtful_units == is_doubtful
        return
    with pytest.raises(InvalidRequestError):
        publish_here(tmp_path, source, dataset)
    assert list_versions(tmp_path / "data", dataset.name) == ()


# --- snapshots that changed, publications that met -------------------------------------------------------------------


def test_a_snapshot_verifies_until_it_changes(tmp_path: Path) -> None:
    version = publish_here(tmp_path, write_parquet(tmp_path / "x.parquet")).version
    seen: list[tuple[int, int]] = []
    data = tmp_path / "data"
    verify_snapshot(data, "tax/filings", 1, digest=version.digest, on_progress=lambda *step: seen.append(step))
    assert seen[-1][0] == seen[-1][1]
    with pytest.raises(TamperDetectedError):
        verify_snapshot(data, "tax/filings", 1, digest="sha256:" + "0" * 64)
    with pytest.raises(NotFoundError):
        verify_snapshot(data, "tax/filings", 2)
    path = data / "tax/filings/1/data.duckdb"
    path.chmod(0o600)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(TamperDetectedError) as caught:
        verify_snapshot(data, "tax/filings", 1)
    assert caught.value.code is ErrorCode.SNAPSHOT_DAMAGED
    path.unlink()
    with pytest.raises(TamperDetectedError):
        verify_snapshot(data, "tax/filings", 1)


@pytest.mark.parametrize("change", [b" ", b"[]", b'{"format":1}', b"\xff"])
def test_a_manifest_of_another_form_is_damage(tmp_path: Path, change: bytes) -> None:
    publish_here(tmp_path, write_parquet(tmp_path / "x.parquet"))
    path = tmp_path / "data/tax/filings/1/manifest.json"
    path.chmod(0o600)
    path.write_bytes(change)
    with pytest.raises(TamperDetectedError):
        read_manifest(tmp_path / "data", "tax/filings", 1)


def test_the_manifest_of_another_version_is_damage(tmp_path: Path) -> None:
    publish_here(tmp_path, write_parquet(tmp_path / "x.parquet"))
    folder = tmp_path / "data/tax/filings"
    (folder / "1").rename(folder / "2")
    with pytest.raises(TamperDetectedError):
        read_manifest(tmp_path / "data", "tax/filings", 2)


def test_a_snapshot_that_no_catalogue_recorded_makes_room(tmp_path: Path) -> None:
    publish_here(tmp_path, write_parquet(tmp_path / "x.parquet"))
    done = publish_here(tmp_path, write_csv(tmp_path / "x.csv", changed(0, staff="4")), recorded=0)
    assert (done.version.version, done.is_new) == (1, True)
    assert list_versions(tmp_path / "data", "tax/filings") == (1,)


def test_progress_goes_from_none_to_all(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    publish(
        FILINGS,
        write_parquet(tmp_path / "x.parquet"),
        data=tmp_path / "data",
        registry=registry(tmp_path),
        clock=FixedClock(publish_here(tmp_path / "other", write_parquet(tmp_path / "y.parquet")).version.published_at),
        on_progress=lambda *step: seen.append(step),
    )
    assert seen == [(step, 5) for step in range(6)]


def test_a_source_that_cannot_be_read_says_nothing_of_what_is_in_it(tmp_path: Path) -> None:
    bad: dict[str, bytes] = {
        "bytes.csv": texts_with(b"\xff\xfe" + CANARY.encode()),
        "columns.csv": texts_with(CANARY.encode() + b",,,,,,,,,"),
        "x.parquet": CANARY.encode(),
        "x.duckdb": CANARY.encode() * 1000,
    }
    for name, content in bad.items():
        path = tmp_path / name
        path.write_bytes(content)
        sources: dict[str, Source] = {
            ".csv": CsvSource(path=path),
            ".parquet": ParquetSource(path=path),
            ".duckdb": DuckdbSource(path=path, table="t"),
        }
        with pytest.raises(InvalidRequestError) as caught:
            publish_here(tmp_path, sources[path.suffix])
        assert caught.value.code is ErrorCode.SOURCE_UNREADABLE, name
        _assert_silent(caught.value)


def texts_with(line: bytes) -> bytes:
    return ",".join(ROWS[0]).encode() + b"\n" + line + b"\n"


def _assert_silent(error: SandboxError) -> None:
    """Look for the canary in everything that an error, its causes and their arguments say."""
    assert CANARY not in f"{error.message} {error.hint} {error.detail} {error.args!r}"
    assert CANARY not in "".join(traceback.format_exception(error, chain=True))
    chain: BaseException | None = error
    while chain is not None:
        assert CANARY not in repr(chain), type(chain)
        chain = chain.__cause__ or chain.__context__
