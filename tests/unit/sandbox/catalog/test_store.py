"""The catalogue's store: revisions, grades, versions and the negative list, on SQLite and PostgreSQL.

One test a promise; concurrent changes with threads on one file; a failing change leaves nothing.
"""

import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, func, select, text

from sandbox.catalog.detectors import Basis, Detector, Suggestion
from sandbox.catalog.grading import GradeDecision, GradeState, LoweringReason
from sandbox.catalog.model import DataItem, DatasetVersion, ItemType, Visibility
from sandbox.catalog.negative_list import NegativeList, NegativeRule, RuleKind
from sandbox.catalog.problem import CatalogueInvalidError
from sandbox.catalog.store import CatalogueStore
from sandbox.catalog.tables import GRADE_CONFIRMATION, REVISION
from sandbox.database import METADATA, open_database
from tests.lib.databases import new_postgres_url
from tests.unit.sandbox.catalog.declarations import FILINGS, with_item
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
from yingbi.events.fields import Grade, Openness, PrivacyUnit

ANN, BOB = "person:ann", "person:bob"
NAME = FILINGS.name
_TABLES = [table for name, table in METADATA.tables.items() if name.startswith("catalog_")]


BOTH = pytest.mark.parametrize(
    "engine", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)


@pytest.fixture
def engine(request: pytest.FixtureRequest, tmp_path: Path, postgres_folder: Path) -> Iterator[Engine]:
    """A database with the catalogue's tables: SQLite, and PostgreSQL where a test asks for both."""
    if getattr(request, "param", "sqlite") == "sqlite":
        made = open_database(tmp_path / "node.sqlite")
    else:
        made = create_engine(new_postgres_url(postgres_folder).replace("postgresql:", "postgresql+psycopg:", 1))
    METADATA.create_all(made, tables=_TABLES)
    yield made
    made.dispose()


@pytest.fixture
def store(engine: Engine, clock: FixedClock) -> CatalogueStore:
    """A store with one data set, at revision 1."""
    made = CatalogueStore(engine, clock=clock)
    made.register(FILINGS, by=ANN)
    return made


def confirm(store: CatalogueStore, *decisions: GradeDecision, by: str = ANN, second: str | None = None) -> int:
    revision = store.entry(NAME).revision
    return store.confirm_grades(NAME, decisions, expected_revision=revision, by=by, second=second)


def confirm_all(store: CatalogueStore) -> int:
    return confirm(store, *(GradeDecision(item=item.name, grade=item.grade) for item in FILINGS.items))


def states(store: CatalogueStore) -> dict[str, GradeState]:
    return {each.item: each.state for each in store.entry(NAME).gradings}


def version(number: int, at: datetime, **changes: object) -> DatasetVersion:
    made = DatasetVersion(
        dataset=NAME,
        version=number,
        digest=f"sha256:{number:064x}",
        schema_digest="sha256:" + "1" * 64,
        rows=30,
        units=30,
        max_rows_per_unit=1,
        published_at=at,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


# --- registering and revising -----------------------------------------------------------------------------------------


@BOTH
def test_a_registered_data_set_is_loaded_as_it_was_declared(store: CatalogueStore) -> None:
    assert store.load().datasets == {NAME: FILINGS}
    entry = store.entry(NAME)
    assert (entry.declared, entry.dataset, entry.revision) == (FILINGS, FILINGS, 1)
    assert entry.unconfirmed == tuple(item.name for item in FILINGS.items)


def test_an_empty_catalogue_is_empty(engine: Engine) -> None:
    store = CatalogueStore(engine)
    assert (store.load().datasets, store.revision(), store.negative_list()) == ({}, 0, (NegativeList(), 0))


def test_a_name_is_taken_once(store: CatalogueStore) -> None:
    with pytest.raises(ConflictError) as caught:
        store.register(FILINGS, by=ANN)
    assert caught.value.code is ErrorCode.DATASET_EXISTS


def test_a_wrong_declaration_is_refused_with_all_problems(store: CatalogueStore) -> None:
    with pytest.raises(CatalogueInvalidError) as caught:
        store.register(replace(FILINGS, name="X", title=""), by=ANN)
    assert len(caught.value.problems) == 2


def test_only_people_change_the_catalogue(store: CatalogueStore) -> None:
    other = replace(FILINGS, name="tax/other")
    for by in ("ann", "unit:futian-tax", "node:a"):
        with pytest.raises(InvalidRequestError):
            store.register(other, by=by)


@BOTH
def test_a_revision_replaces_and_keeps_what_was(store: CatalogueStore, engine: Engine) -> None:
    changed = replace(FILINGS, title="税务")
    assert store.revise(changed, expected_revision=1, by=ANN) == 2
    assert store.load().datasets[NAME] == changed
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(REVISION)).scalar_one() == 2


def test_a_revision_made_from_an_older_one_is_refused(store: CatalogueStore) -> None:
    store.revise(replace(FILINGS, title="a"), expected_revision=1, by=ANN)
    with pytest.raises(ConflictError) as caught:
        store.revise(replace(FILINGS, title="b"), expected_revision=1, by=BOB)
    assert caught.value.code is ErrorCode.TRANSITION_REFUSED
    assert store.load().datasets[NAME].title == "a"


def test_what_is_counted_never_changes(store: CatalogueStore) -> None:
    changes = (
        replace(FILINGS, privacy_unit=PrivacyUnit.PERSON),
        replace(FILINGS, owner="unit:other"),
        replace(FILINGS, items=(replace(FILINGS.items[0], name="other"), *FILINGS.items[1:])),
    )
    for changed in changes:
        with pytest.raises(CatalogueInvalidError):
            store.revise(changed, expected_revision=1, by=ANN, second=BOB)


LOOSER = {
    "openness": replace(FILINGS, openness=Openness.OPEN),
    "membership": replace(FILINGS, membership=Visibility.PUBLIC),
    "visibility": with_item(FILINGS, "street", visibility=Visibility.PUBLIC),
}


@pytest.mark.parametrize("name", LOOSER)
def test_loosening_takes_two_different_people(store: CatalogueStore, name: str) -> None:
    for second in (None, ANN):
        with pytest.raises(RefusedError) as caught:
            store.revise(LOOSER[name], expected_revision=1, by=ANN, second=second)
        assert caught.value.code is ErrorCode.DUTIES_NOT_SEPARATED
    assert store.revise(LOOSER[name], expected_revision=1, by=ANN, second=BOB) == 2
    assert store.revise(FILINGS, expected_revision=2, by=ANN) == 3  # and back is free


def test_taking_an_item_off_the_negative_list_takes_two(store: CatalogueStore) -> None:
    store.revise(with_item(FILINGS, "street", on_negative_list=True), expected_revision=1, by=ANN)
    with pytest.raises(RefusedError):
        store.revise(FILINGS, expected_revision=2, by=ANN)
    assert store.revise(FILINGS, expected_revision=2, by=ANN, second=BOB) == 3


def test_a_revision_never_lowers_a_grade_not_even_by_leaving_the_item_out_for_a_while(store: CatalogueStore) -> None:
    lower = with_item(FILINGS, "tax_paid", grade=Grade.GENERAL_1)
    with pytest.raises(CatalogueInvalidError) as caught:
        store.revise(lower, expected_revision=1, by=ANN, second=BOB)
    assert [problem.path for problem in caught.value.problems] == ["items[1].grade"]
    confirm_all(store)
    without = replace(FILINGS, items=tuple(item for item in FILINGS.items if item.name != "tax_paid"))
    store.revise(without, expected_revision=2, by=ANN)
    with pytest.raises(CatalogueInvalidError):
        store.revise(lower, expected_revision=3, by=ANN, second=BOB)


def test_a_withdrawn_data_set_is_gone_and_its_name_stays_taken(store: CatalogueStore) -> None:
    store.withdraw(NAME)
    assert store.load().datasets == {}
    for call in (lambda: store.entry(NAME), lambda: store.withdraw(NAME), lambda: store.check_publishable(NAME)):
        with pytest.raises(NotFoundError):
            call()
    with pytest.raises(NotFoundError):
        store.revise(FILINGS, expected_revision=1, by=ANN)
    with pytest.raises(ConflictError):
        store.register(FILINGS, by=ANN)
    with pytest.raises(ConflictError):
        store.put([FILINGS], by=ANN)


@BOTH
def test_putting_several_is_all_or_nothing(store: CatalogueStore) -> None:
    new = replace(FILINGS, name="tax/new")
    looser = replace(FILINGS, openness=Openness.OPEN)
    with pytest.raises(RefusedError):
        store.put([new, looser], by=ANN)
    assert set(store.load().datasets) == {NAME}
    with pytest.raises(ConflictError):
        store.put([new, new], by=ANN)
    entries = store.put([new, looser], by=ANN, second=BOB)
    assert [(entry.dataset.name, entry.revision) for entry in entries] == [("tax/new", 1), (NAME, 2)]
    assert [entry.revision for entry in store.put([new, looser], by=ANN)] == [1, 2]  # nothing new, nothing done


# --- grades -----------------------------------------------------------------------------------------------------------


def test_confirming_and_raising_take_one_person(store: CatalogueStore) -> None:
    confirm(store, GradeDecision(item="street", grade=Grade.GENERAL_1))
    confirm(store, GradeDecision(item="tax_paid", grade=Grade.IMPORTANT))
    found = states(store)
    assert (found["street"], found["tax_paid"]) == (GradeState.CONFIRMED, GradeState.RAISED)
    assert store.load().datasets[NAME] == with_item(FILINGS, "tax_paid", grade=Grade.IMPORTANT)


@pytest.mark.parametrize(
    ("reason", "second", "error"),
    [
        (None, None, InvalidRequestError),
        (None, BOB, InvalidRequestError),
        (LoweringReason.ALREADY_PUBLIC, None, RefusedError),
        (LoweringReason.ALREADY_PUBLIC, ANN, RefusedError),
        (LoweringReason.ALREADY_PUBLIC, "unit:futian-tax", InvalidRequestError),
    ],
)
def test_lowering_takes_a_reason_and_a_second_person(
    store: CatalogueStore, reason: LoweringReason | None, second: str | None, error: type[SandboxError]
) -> None:
    decision = GradeDecision(item="tax_paid", grade=Grade.GENERAL_1, reason=reason)
    with pytest.raises(error):
        confirm(store, decision, second=second)
    assert store.entry(NAME).revision == 1
    confirm(store, replace(decision, reason=LoweringReason.ALREADY_PUBLIC), second=BOB)
    grading = next(each for each in store.entry(NAME).gradings if each.item == "tax_paid")
    assert (grading.state, grading.grade, grading.confirmed_by, grading.second_person) == (
        GradeState.LOWERED,
        Grade.GENERAL_1,
        ANN,
        BOB,
    )


def suggestion(grade: Grade, detector: Detector = Detector.ID_CARD) -> Suggestion:
    return Suggestion(item="street", detector=detector, grade=grade, basis=Basis.VALUES, tenths=9)


@BOTH
def test_going_below_a_suggestion_is_lowering_and_it_does_not_go_away(store: CatalogueStore) -> None:
    store.record_suggestions(NAME, [suggestion(Grade.GENERAL_4), replace(suggestion(Grade.CORE), item="nowhere")])
    store.record_suggestions(NAME, [suggestion(Grade.GENERAL_2, Detector.EMAIL)])
    grading = next(each for each in store.entry(NAME).gradings if each.item == "street")
    assert (grading.state, grading.suggested) == (GradeState.SUGGESTED, Grade.GENERAL_4)
    with pytest.raises(InvalidRequestError):
        confirm(store, GradeDecision(item="street", grade=Grade.GENERAL_3))
    confirm(store, GradeDecision(item="street", grade=Grade.GENERAL_4))
    assert states(store)["street"] is GradeState.RAISED


def test_a_decision_about_several_is_all_or_nothing(store: CatalogueStore, engine: Engine) -> None:
    good, bad = GradeDecision(item="street", grade=Grade.CORE), GradeDecision(item="tax_paid", grade=Grade.GENERAL_1)
    for decisions in ((good, bad), (good, good), (good, GradeDecision(item="nowhere", grade=Grade.CORE)), ()):
        with pytest.raises(InvalidRequestError):
            confirm(store, *decisions)
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(GRADE_CONFIRMATION)).scalar_one() == 0


def test_a_confirmation_holds_for_its_meaning_and_no_other(store: CatalogueStore) -> None:
    confirm_all(store)
    assert store.entry(NAME).unconfirmed == ()
    wider = with_item(FILINGS, "street", domain=("华强北", "沙头", "莲花"))
    store.revise(wider, expected_revision=2, by=ANN)
    assert store.entry(NAME).unconfirmed == ()
    other = with_item(with_item(wider, "street", title="门牌号"), "filed_on", grade=Grade.IMPORTANT)
    store.revise(other, expected_revision=3, by=ANN)
    assert store.entry(NAME).unconfirmed == ("street", "filed_on")


def test_even_a_key_can_be_raised_to_core_and_then_nothing_is_published(store: CatalogueStore) -> None:
    confirm_all(store)
    confirm(store, GradeDecision(item="uscc", grade=Grade.CORE))
    with pytest.raises(RefusedError) as caught:
        store.check_publishable(NAME)
    assert caught.value.code is ErrorCode.OPERATION_NOT_PERMITTED


# --- versions ---------------------------------------------------------------------------------------------------------


def test_nothing_is_published_before_a_person_confirmed_every_grade(store: CatalogueStore, clock: FixedClock) -> None:
    for _ in range(2):
        with pytest.raises(ConflictError) as caught:
            store.record_version(version(1, clock.now()), expected_revision=1)
        assert caught.value.code is ErrorCode.GRADES_NOT_CONFIRMED
    assert confirm_all(store) == 2
    store.record_version(version(1, clock.now()), expected_revision=2)
    assert store.load().current(NAME) == version(1, clock.now()) == store.versions(NAME)[0]


@BOTH
def test_versions_are_numbered_without_gaps_for_the_declaration_they_were_made_from(
    store: CatalogueStore, clock: FixedClock
) -> None:
    revision = confirm_all(store)
    for number in (0, 2):
        with pytest.raises(ConflictError):
            store.record_version(version(number, clock.now()), expected_revision=revision)
    with pytest.raises(ConflictError):
        store.record_version(version(1, clock.now()), expected_revision=revision - 1)
    store.record_version(version(1, clock.now()), expected_revision=revision)
    with pytest.raises(ConflictError):
        store.record_version(version(1, clock.now()), expected_revision=revision)
    later = clock.now() + timedelta(days=1)
    store.record_version(version(2, later, rows=0, units=0, max_rows_per_unit=0), expected_revision=revision)
    current = store.load().current(NAME)
    assert current is not None
    assert current.version == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"units": 31},
        {"units": 0},
        {"units": -1},
        {"max_rows_per_unit": 2},
        {"max_rows_per_unit": 0},
        {"units": 29},
        {"rows": -1, "units": -1, "max_rows_per_unit": -1},
    ],
)
def test_counts_that_contradict_the_declaration_are_refused(
    store: CatalogueStore, clock: FixedClock, changes: dict[str, int]
) -> None:
    revision = confirm_all(store)
    with pytest.raises(InvalidRequestError) as caught:
        store.record_version(version(1, clock.now(), **changes), expected_revision=revision)
    assert caught.value.code is ErrorCode.DATA_INVALID


def test_a_time_without_a_zone_is_refused(store: CatalogueStore) -> None:
    revision = confirm_all(store)
    with pytest.raises(InvalidRequestError):
        store.record_version(version(1, datetime(2026, 1, 1)), expected_revision=revision)  # noqa: DTZ001 what is refused


def test_what_is_not_open_is_never_published(store: CatalogueStore, clock: FixedClock) -> None:
    confirm_all(store)
    revision = store.revise(replace(FILINGS, openness=Openness.NOT_OPEN), expected_revision=2, by=ANN)
    with pytest.raises(RefusedError):
        store.record_version(version(1, clock.now()), expected_revision=revision)


# --- negative list ----------------------------------------------------------------------------------------------------

RULES = NegativeList(rules=(NegativeRule(kind=RuleKind.TITLE, pattern="街道", reason="statute"),))


@BOTH
def test_the_negative_list_marks_all_data_sets_at_once_and_leaves_declarations(store: CatalogueStore) -> None:
    before = store.load()
    assert store.set_negative_list(RULES, expected_revision=0, by=ANN) == 1
    assert store.negative_list() == (RULES, 1)
    assert store.load().datasets[NAME] == with_item(FILINGS, "street", on_negative_list=True)
    assert store.entry(NAME).declared == FILINGS
    assert before.datasets[NAME] == FILINGS  # a catalogue is a value


def test_taking_a_rule_away_takes_two(store: CatalogueStore) -> None:
    store.set_negative_list(RULES, expected_revision=0, by=ANN)
    with pytest.raises(RefusedError):
        store.set_negative_list(NegativeList(), expected_revision=1, by=ANN)
    with pytest.raises(ConflictError):
        store.set_negative_list(RULES, expected_revision=0, by=ANN)
    store.set_negative_list(NegativeList(), expected_revision=1, by=ANN, second=BOB)
    assert store.load().datasets[NAME] == FILINGS


# --- one state, nothing half done -------------------------------------------------------------------------------------


def test_an_unchanged_catalogue_is_not_read_again(store: CatalogueStore, engine: Engine) -> None:
    first = store.load()
    assert store.load() is first
    CatalogueStore(engine).register(replace(FILINGS, name="tax/other"), by=BOB)
    assert set(store.load().datasets) == {NAME, "tax/other"}


@BOTH
def test_of_many_who_change_at_once_one_wins_each_revision(store: CatalogueStore, engine: Engine) -> None:
    results: list[str] = []
    barrier = threading.Barrier(8)

    def change(number: int) -> None:
        mine = CatalogueStore(engine)
        barrier.wait()
        try:
            mine.revise(replace(FILINGS, title=f"t{number}"), expected_revision=1, by=ANN)
            results.append(f"t{number}")
        except ConflictError:
            results.append("")

    threads = [threading.Thread(target=change, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [result for result in results if result]
    assert len(results) == 8
    assert winners == [store.load().datasets[NAME].title]
    assert store.entry(NAME).revision == 2


@BOTH
def test_a_change_that_fails_midway_leaves_nothing(
    store: CatalogueStore, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError

    before = store.revision()
    with monkeypatch.context() as patch:
        patch.setattr(CatalogueStore, "_confirmation_row", fail)
        with pytest.raises(RuntimeError):
            confirm(store, GradeDecision(item="street", grade=Grade.CORE))
    assert (store.revision(), store.entry(NAME).revision) == (before, 1)
    assert CatalogueStore(engine).load().datasets[NAME] == FILINGS


@BOTH
def test_a_stored_data_set_that_was_changed_is_not_used(store: CatalogueStore, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("update catalog_revision set digest = 'sha256:0'"))
    fresh = CatalogueStore(engine)
    for call in (fresh.load, lambda: fresh.entry(NAME)):
        with pytest.raises(TamperDetectedError):
            call()


def test_a_database_without_tables_says_nothing_of_itself(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "empty.sqlite")
    with pytest.raises(UnavailableError) as caught:
        CatalogueStore(engine).load()
    assert "catalog" not in caught.value.message.replace("catalogue", "")
    assert caught.value.__cause__ is None
    engine.dispose()


def test_a_database_that_somebody_holds_is_an_error_of_ours(tmp_path: Path, clock: FixedClock) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/a.sqlite", connect_args={"timeout": 0.05})
    METADATA.create_all(engine, tables=_TABLES)
    holder = sqlite3.connect(tmp_path / "a.sqlite", isolation_level=None)
    holder.execute("begin immediate")
    with pytest.raises(UnavailableError):
        CatalogueStore(engine, clock=clock).register(FILINGS, by=ANN)
    holder.execute("rollback")
    holder.close()
    assert CatalogueStore(engine, clock=clock).register(FILINGS, by=ANN) == 1
    engine.dispose()


def test_a_new_item_waits_for_a_person(store: CatalogueStore) -> None:
    confirm_all(store)
    more = replace(FILINGS, items=(*FILINGS.items, DataItem(name="flag", title="标志", type=ItemType.BOOLEAN)))
    store.revise(more, expected_revision=2, by=ANN)
    assert store.entry(NAME).unconfirmed == ("flag",)
