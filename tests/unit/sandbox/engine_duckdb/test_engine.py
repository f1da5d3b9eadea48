"""The engine in its real cage: same figures, limits, cancelling, snapshots that are what was published."""

import dataclasses
import threading
from pathlib import Path
from typing import Any

import duckdb
import pytest

from policies.decision import Decision, Outcome, Rule
from policies.request import Request
from sandbox.candidate import Candidate
from sandbox.catalog.model import Catalogue
from sandbox.disclosure.atoms import Facet
from sandbox.engine_duckdb.engine import DuckdbEngine
from sandbox.engine_duckdb.publish import publish
from sandbox.engine_duckdb.registry import UnitRegistry
from sandbox.engine_duckdb.snapshots import FolderSnapshots
from sandbox.engine_duckdb.sources import CsvSource
from sandbox.isolation import BubblewrapCage, CagePool, Limits
from sandbox.isolation.limits import MEBIBYTE
from sandbox.operations.measure import MeasureKind
from sandbox.operations.registry import measures_of, operations_of
from sandbox.query.admit import Admitted, admit
from sandbox.query.bind import bind
from sandbox.query.sql import parse_sql
from sandbox.query.uses import uses
from tests.unit.sandbox.engine_duckdb.test_tables import COUNT, UNITS, asked, total_of
from tests.unit.sandbox.engine_duckdb.world import FILINGS, RULES, Home, column, datasets, home
from yingbi.clock import SystemClock
from yingbi.errors import ConflictError, ErrorCode, RefusedError, TamperDetectedError
from yingbi.plan.model import Aggregate, AnsweredQuestion, Dimension, Function


def run(made: Home, question: AnsweredQuestion, limits: Limits, **rest: Any) -> Any:
    engine = made.engine(BubblewrapCage(), limits)
    return engine._run(question, measures_of(question), RULES, limits, rest.get("on_progress"), rest.get("cancel"))


def test_the_cage_changes_no_figure(tmp_path: Path) -> None:
    made, _, _ = home(tmp_path)
    question = asked(COUNT, total_of("profit"), by=("street", "sector"), margins=True)
    inside, outside = made.ask(question, cage=BubblewrapCage()), made.ask(question)
    assert inside.keys == outside.keys
    for measure, values in inside.measures.items():
        assert values.totals == outside.measures[measure].totals
        assert values.largest == outside.measures[measure].largest
        assert (values.units == outside.measures[measure].units).all()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Two million rows of half a million units, made by the engine itself."""
    filings, _ = datasets(8)
    made = Home(root=tmp_path_factory.mktemp("large"), declared={FILINGS: filings})
    made.publish(FILINGS, [])
    path = made.folders[FILINGS, 1] / "data.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "INSERT INTO rows SELECT i // 4, i, (['Futian', 'Lianhua', 'Shatou'])[1 + i % 3], 'A', 2000 + i % 4,"
            " i % 1000003, hash(i)::HUGEINT % 10**12, i % 2 = 0, NULL, 8000, 4 * 1000003, 4 * 10**12::HUGEINT"
            " FROM range(2000000) t(i)"
        )
    version = made.catalogue.versions[FILINGS, 1]
    grown = dataclasses.replace(version, rows=2_000_000, units=500_000, max_rows_per_unit=4)
    made.catalogue = Catalogue(datasets=made.declared, versions={(FILINGS, 1): grown})
    return made


HEAVY = asked(Aggregate(function=Function.QUANTILE, column=column("profit"), fraction="0.5"), UNITS, by=("street",))


def test_what_does_not_fit_in_memory_goes_through_scratch_space(large: Home) -> None:
    reached: list[int] = []
    tight = Limits(memory_bytes=96 * MEBIBYTE, threads=1, wall_s=120)
    found = run(large, HEAVY, tight, on_progress=reached.append)
    roomy = run(large, HEAVY, Limits(memory_bytes=1024 * MEBIBYTE, threads=2, wall_s=120))
    for measure, values in found.measures.items():
        assert values.totals == roomy.measures[measure].totals
    assert reached[-1] == 100


def test_more_scratch_space_than_allowed_is_refused(large: Home) -> None:
    with pytest.raises(RefusedError) as raised:
        run(large, HEAVY, Limits(memory_bytes=96 * MEBIBYTE, threads=1, wall_s=120, temp_bytes=4 * MEBIBYTE))
    assert raised.value.code is ErrorCode.RESOURCE_LIMIT


def test_more_time_than_allowed_is_refused(large: Home) -> None:
    with pytest.raises(RefusedError) as raised:
        run(large, HEAVY, Limits(threads=1, wall_s=0.2))
    assert raised.value.code is ErrorCode.RESOURCE_LIMIT


def test_a_cancelled_question_ends(large: Home) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(ConflictError) as raised:
        run(large, HEAVY, Limits(), cancel=cancel)
    assert raised.value.code is ErrorCode.RUN_CANCELLED


def test_a_table_of_too_many_cells_is_refused(large: Home) -> None:
    question = asked(COUNT, group_by=(Dimension(column=column("turnover")),))
    with pytest.raises(RefusedError) as raised:
        run(large, question, Limits())
    assert raised.value.code is ErrorCode.RESOURCE_LIMIT


def test_a_snapshot_that_was_changed_is_not_used(tmp_path: Path) -> None:
    made, _, _ = home(tmp_path, units=5)
    (tmp_path / FILINGS / "1" / "manifest.json").write_bytes(b"{}")
    with pytest.raises(TamperDetectedError) as raised:
        FolderSnapshots(tmp_path).folder(made.catalogue.versions[FILINGS, 1])
    assert raised.value.code is ErrorCode.SNAPSHOT_DAMAGED


def street_of(unit: int) -> str:
    return "Futian" if unit % 2 else "Shatou"


def test_from_a_file_through_publication_and_admission_to_a_candidate(tmp_path: Path) -> None:
    filings, _ = datasets(2)
    lines = [
        f"FIRM-{unit:03d},{street_of(unit)},A,{year},{unit}.25,-{unit}.5,true,2024-01-01"
        for unit in range(40)
        for year in (2020, 2021)
    ]
    path, data = tmp_path / "in.csv", tmp_path / "data"
    path.write_text("\n".join(["uscc,street,sector,year,turnover,profit,active,filed", *lines, ""]))
    registry = UnitRegistry(tmp_path / "units.db")
    version = publish(filings, CsvSource(path=path), data=data, registry=registry, clock=SystemClock())
    catalogue = Catalogue(datasets={FILINGS: filings}, versions={(FILINGS, 1): version})
    plan = parse_sql(f'SELECT street, sum(profit) AS p, count(*) AS n FROM "{FILINGS}" GROUP BY street')
    decision = Decision(
        outcome=Outcome.PERMIT,
        determining=(Rule(agreement="agreement-1", path="$"),),
        disclosure=RULES,
        terms=("sha256:" + "0" * 64,),
        request=Request(
            assignee="partner:bank-a",
            purpose="test",
            operations=operations_of(plan.question),
            datasets=(FILINGS,),
            uses=uses(bind(plan, catalogue)),
            place="node",
        ),
    )
    admitted = admit(plan, catalogue, decision)
    assert isinstance(admitted, Admitted), admitted
    with CagePool(BubblewrapCage()) as pool:
        engine = DuckdbEngine(cage=pool, snapshots=FolderSnapshots(data), catalogue=lambda: catalogue)
        pool.warm(engine.warm(admitted))
        found = engine.run(admitted)
        assert isinstance(found, Candidate)
        atoms = engine.atoms(FILINGS, [1], [Facet(column=column("street"), version=1)], cap=10)
    by_key = dict(zip(found.keys, range(found.cells), strict=True))
    (measure,) = [measure for measure in found.measures if measure.kind is MeasureKind.SUM]
    for street, rest in (("Futian", 1), ("Shatou", 0)):
        expected = -2 * sum(unit * 100 + 50 for unit in range(40) if unit % 2 == rest)
        assert found.measures[measure].totals[by_key[street,]] == expected
    assert found.measures[measure].negative.all()
    assert atoms.rows.tolist() == [40, 40]
    assert (data / FILINGS / "1" / "data.duckdb").exists()
    (data / FILINGS / "1" / "data.duckdb").chmod(0o600)
    with (data / FILINGS / "1" / "data.duckdb").open("ab") as file:
        file.write(b"x")
    with pytest.raises(TamperDetectedError):
        engine.run(admitted)
