"""The catalogue in the node's database: every change in one transaction, every revision kept.

A change names the revision that it was made from; where somebody was faster, it fails and nothing is done. SQLite and
PostgreSQL: the first statement of a change moves the row of `catalog_state`, so that changes queue up behind it.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection, CursorResult, Engine, RowMapping, Select, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from sandbox.catalog.codec import dataset_digest, decode_dataset, encode_dataset
from sandbox.catalog.detectors import Basis, Detector, Suggestion
from sandbox.catalog.grades import is_offered, strictest_grade
from sandbox.catalog.grading import (
    GradeDecision,
    GradeState,
    ItemGrading,
    check_people,
    check_revision,
    judge_grade,
    meaning_digest,
)
from sandbox.catalog.model import Catalogue, DataItem, Dataset, DatasetVersion
from sandbox.catalog.negative_list import NegativeList, mark, negative_list_to_json, parse_negative_list
from sandbox.catalog.problem import CatalogueInvalidError
from sandbox.catalog.tables import (
    DATASET,
    GRADE_CONFIRMATION,
    GRADE_SUGGESTION,
    NEGATIVE_LIST,
    REVISION,
    STATE,
    VERSION,
)
from sandbox.catalog.validate import check_dataset
from sandbox.database import reading, writing
from yingbi.canonical import canonical_bytes, digest_bytes
from yingbi.clock import Clock, SystemClock, format_time, parse_time
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
from yingbi.events.fields import Grade

__all__ = ["CatalogueEntry", "CatalogueStore"]

_READ_TRIES: Final = 20
_FIRST_STATE: Final = {
    name: dialect.insert(STATE).values(id=1, revision=0).on_conflict_do_nothing(index_elements=["id"])
    for name, dialect in (("sqlite", sqlite), ("postgresql", postgresql))
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """A data set with its revision: `declared` by its owner, `dataset` with the marks of the node's negative list."""

    dataset: Dataset
    declared: Dataset
    revision: int
    digest: str
    gradings: tuple[ItemGrading, ...]

    @property
    def unconfirmed(self) -> tuple[str, ...]:
        """Return the items whose grades nobody stands for yet."""
        return tuple(grading.item for grading in self.gradings if not grading.state.is_confirmed)


class CatalogueStore:
    """Registers, revises, grades and versions data sets in a database that has the catalogue's tables."""

    def __init__(self, engine: Engine, *, clock: Clock | None = None) -> None:
        self._engine: Final = engine
        self._clock: Final = clock or SystemClock()
        self._loaded: tuple[int, Catalogue] | None = None

    # --- reading ------------------------------------------------------------------------------------------------------

    def revision(self) -> int:
        """Return the number of changes so far; a catalogue loaded at the same number is current."""
        with self._read() as connection:
            return _state(connection)

    def load(self) -> Catalogue:
        """Return the catalogue: data sets that are not withdrawn, marked by the negative list, and all versions.

        Raises:
            TamperDetectedError: what is stored is not what was written.
        """
        with self._read() as connection:
            for _ in range(_READ_TRIES):
                before = _state(connection)
                if self._loaded is not None and self._loaded[0] == before:
                    return self._loaded[1]
                catalogue = _load(connection)
                # INVARIANT: a catalogue is one state; where something changed meanwhile, it is read again.
                if _state(connection) == before:
                    self._loaded = (before, catalogue)
                    return catalogue
        raise UnavailableError(ErrorCode.NODE_UNAVAILABLE, "the catalogue changes too often to be read")

    def entry(self, name: str) -> CatalogueEntry:
        """Return one data set with its revision and the state of its grades.

        Raises:
            NotFoundError: there is none, or it was withdrawn.
        """
        with self._read() as connection:
            return _entry(connection, name)

    def suggestions(self, name: str) -> tuple[Suggestion, ...]:
        """Return the grades that were suggested for a data set, by item and detector."""
        query = select(GRADE_SUGGESTION).where(GRADE_SUGGESTION.c.dataset == name)
        with self._read() as connection:
            rows = connection.execute(query.order_by(GRADE_SUGGESTION.c.item, GRADE_SUGGESTION.c.detector)).mappings()
            return tuple(_suggestion(row) for row in rows)

    def versions(self, name: str) -> tuple[DatasetVersion, ...]:
        """Return the published versions of a data set, oldest first."""
        with self._read() as connection:
            return tuple(_versions(connection, select(VERSION).where(VERSION.c.dataset == name)))

    def negative_list(self) -> tuple[NegativeList, int]:
        """Return the node's negative list and its revision, 0 where none was set."""
        with self._read() as connection:
            return _negative_list(connection)

    def check_publishable(self, name: str) -> CatalogueEntry:
        """Return a data set that may be published: offered to partners, and every grade confirmed by a person.

        Raises:
            NotFoundError: there is no such data set.
            RefusedError: it is not open, or core.
            ConflictError: grades are not confirmed.
        """
        with self._read() as connection:
            return _publishable(connection, name)

    # --- changing -----------------------------------------------------------------------------------------------------

    def register(self, dataset: Dataset, *, by: str) -> int:
        """List a new data set; return its revision, 1.

        Raises:
            CatalogueInvalidError: the declaration is wrong.
            ConflictError: the name is taken, also by a withdrawn data set.
        """
        check_people(by, None)
        _refuse_invalid(dataset)
        with self._write() as connection:
            return self._register(connection, dataset, by, None)

    def revise(self, dataset: Dataset, *, expected_revision: int, by: str, second: str | None = None) -> int:
        """Declare a data set anew; return its new revision.

        `second` confirms what makes it easier to look into (`sandbox.catalog.grading.loosenings`).

        Raises:
            CatalogueInvalidError: the declaration is wrong, changes who is counted, or lowers a grade.
            RefusedError: a second person is needed.
            ConflictError: somebody else changed it meanwhile.
        """
        check_people(by, second)
        _refuse_invalid(dataset)
        with self._write() as connection:
            return self._revise(connection, dataset, expected_revision, by, second)

    def put(self, datasets: Sequence[Dataset], *, by: str, second: str | None = None) -> tuple[CatalogueEntry, ...]:
        """Register what is new and revise what has changed, all of them or none; return them as they now stand.

        Raises:
            CatalogueInvalidError: a declaration is wrong.
            RefusedError: a second person is needed.
            ConflictError: a name is that of a withdrawn data set, or named twice.
        """
        check_people(by, second)
        for dataset in datasets:
            _refuse_invalid(dataset)
        if len({dataset.name for dataset in datasets}) != len(datasets):
            raise ConflictError(ErrorCode.DATASET_EXISTS, "expected each data set once")
        with self._write() as connection:
            for dataset in datasets:
                present = _present_revision(connection, dataset.name)
                if present is None:
                    self._register(connection, dataset, by, second)
                elif _entry(connection, dataset.name).declared != dataset:
                    self._revise(connection, dataset, present, by, second)
            return tuple(_entry(connection, dataset.name) for dataset in datasets)

    def withdraw(self, name: str) -> None:
        """Take a data set off the catalogue; its revisions and versions stay recorded, its name is not free again."""
        with self._write() as connection:
            withdrawn: CursorResult[Any] = connection.execute(
                update(DATASET)
                .where(DATASET.c.name == name, DATASET.c.withdrawn_at.is_(None))
                .values(withdrawn_at=self._now())
            )
            if withdrawn.rowcount != 1:
                raise _unknown()

    def record_suggestions(self, name: str, suggestions: Iterable[Suggestion]) -> None:
        """Keep what the detectors suggest for a data set, besides what they suggested before.

        SECURITY: a suggestion does not go away because somebody looks again with less; a person decides.
        """
        at = self._now()
        with self._write() as connection:
            known = {item.name for item in _entry(connection, name).declared.items}
            for row in (_suggestion_row(name, found, at) for found in suggestions if found.item in known):
                mine = (GRADE_SUGGESTION.c[key] == row[key] for key in ("dataset", "item", "detector"))
                connection.execute(delete(GRADE_SUGGESTION).where(*mine))
                connection.execute(insert(GRADE_SUGGESTION).values(row))

    def confirm_grades(
        self,
        name: str,
        decisions: Sequence[GradeDecision],
        *,
        expected_revision: int,
        by: str,
        second: str | None = None,
    ) -> int:
        """Confirm grades, all of them or none; return the new revision, which carries them.

        Raises:
            InvalidRequestError: an item is unknown or named twice, or a grade is lowered without a reason.
            RefusedError: a grade is lowered and no second person confirms it.
            ConflictError: somebody else changed the data set meanwhile.
        """
        check_people(by, second)
        with self._write() as connection:
            entry = _entry(connection, name)
            chosen = _by_item(entry.declared, decisions)
            suggested = _suggested(connection, name)
            states = {
                item.name: judge_grade(item, chosen[item.name], suggested=suggested.get(item.name), second=second)
                for item in entry.declared.items
                if item.name in chosen
            }
            graded = _with_grades(entry.declared, chosen)
            revision = self._advance(connection, graded, expected_revision, by, second)
            rows = [
                self._confirmation_row(entry.declared, chosen[item], state, revision, by, second)
                for item, state in states.items()
            ]
            connection.execute(insert(GRADE_CONFIRMATION), rows)
        return revision

    def record_version(self, version: DatasetVersion, *, expected_revision: int) -> None:
        """Record a published version of a data set as it was declared in `expected_revision`.

        Raises:
            InvalidRequestError: its counts contradict each other or the declaration.
            ConflictError: its number is not the next, its declaration changed meanwhile, or grades are not confirmed.
            RefusedError: the data set is not open, or core.
        """
        with self._write() as connection:
            entry = _publishable(connection, version.dataset)
            if entry.revision != expected_revision:
                raise _stale(entry.revision, expected_revision)
            _check_version(version, entry.dataset)
            newest = select(func.max(VERSION.c.version)).where(VERSION.c.dataset == version.dataset)
            expected = (connection.execute(newest).scalar_one() or 0) + 1
            if version.version != expected:
                raise ConflictError(ErrorCode.TRANSITION_REFUSED, f"expected version {expected}, got {version.version}")
            connection.execute(insert(VERSION).values(_version_row(version, expected_revision)))

    def set_negative_list(
        self, negative_list: NegativeList, *, expected_revision: int, by: str, second: str | None = None
    ) -> int:
        """Set the node's negative list, which marks items of all data sets at once; return its revision.

        Raises:
            RefusedError: a rule is taken away and no second person confirms it.
            ConflictError: somebody else changed it meanwhile.
        """
        check_people(by, second)
        body = canonical_bytes(negative_list_to_json(negative_list))
        with self._write() as connection:
            old, revision = _negative_list(connection)
            if revision != expected_revision:
                raise _stale(revision, expected_revision)
            if second is None and not set(old.rules) <= set(negative_list.rules):
                raise RefusedError(
                    ErrorCode.DUTIES_NOT_SEPARATED, "expected a second person where a rule is taken away"
                )
            people = {"changed_by": by, "second_person": second, "changed_at": self._now()}
            connection.execute(insert(NEGATIVE_LIST).values(revision=revision + 1, body=body, **people))
        return revision + 1

    # --- inside a transaction -----------------------------------------------------------------------------------------

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with reading(self._engine) as connection:
            yield connection

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with writing(self._engine) as connection:
            connection.execute(_FIRST_STATE[connection.dialect.name])
            connection.execute(update(STATE).values(revision=STATE.c.revision + 1))
            yield connection

    def _now(self) -> str:
        return format_time(self._clock.now())

    def _register(self, connection: Connection, dataset: Dataset, by: str, second: str | None) -> int:
        # The name of a withdrawn data set is not free: history and budgets know it.
        if connection.execute(select(DATASET.c.name).where(DATASET.c.name == dataset.name)).first():
            raise ConflictError(ErrorCode.DATASET_EXISTS, f"data set `{dataset.name}` exists")
        connection.execute(insert(DATASET).values(name=dataset.name, revision=1, withdrawn_at=None))
        self._add_revision(connection, dataset, 1, by, second)
        return 1

    def _revise(self, connection: Connection, dataset: Dataset, expected: int, by: str, second: str | None) -> int:
        entry = _entry(connection, dataset.name)
        graded = {item: Grade(row["grade"]) for item, row in _confirmations(connection, dataset.name).items()}
        check_revision(entry.declared, dataset, graded, second=second)
        return self._advance(connection, dataset, expected, by, second)

    def _advance(self, connection: Connection, dataset: Dataset, expected: int, by: str, second: str | None) -> int:
        moved: CursorResult[Any] = connection.execute(
            update(DATASET)
            .where(DATASET.c.name == dataset.name, DATASET.c.revision == expected)
            .values(revision=expected + 1)
        )
        if moved.rowcount != 1:
            raise _stale(None, expected)
        self._add_revision(connection, dataset, expected + 1, by, second)
        return expected + 1

    def _add_revision(
        self, connection: Connection, dataset: Dataset, revision: int, by: str, second: str | None
    ) -> None:
        people = {"changed_by": by, "second_person": second, "changed_at": self._now()}
        body = {"body": encode_dataset(dataset), "digest": dataset_digest(dataset)}
        connection.execute(insert(REVISION).values(dataset=dataset.name, revision=revision, **body, **people))

    def _confirmation_row(
        self, old: Dataset, decision: GradeDecision, state: GradeState, revision: int, by: str, second: str | None
    ) -> dict[str, object]:
        item = _known(old, decision.item)
        return {
            "dataset": old.name,
            "revision": revision,
            "item": item.name,
            "state": state.value,
            "grade": decision.grade.value,
            "previous": item.grade.value,
            "item_digest": meaning_digest(item),
            "reason": None if decision.reason is None else decision.reason.value,
            "confirmed_by": by,
            "second_person": second,
            "confirmed_at": self._now(),
        }


def _state(connection: Connection) -> int:
    return connection.execute(select(STATE.c.revision)).scalar_one_or_none() or 0


def _load(connection: Connection) -> Catalogue:
    negative_list, _ = _negative_list(connection)
    current = (REVISION.c.dataset == DATASET.c.name) & (REVISION.c.revision == DATASET.c.revision)
    query = (
        select(REVISION.c.dataset, REVISION.c.body, REVISION.c.digest)
        .join(DATASET, current)
        .where(DATASET.c.withdrawn_at.is_(None))
        .order_by(DATASET.c.name)
    )
    declared = [_decode(row) for row in connection.execute(query).mappings()]
    datasets = {dataset.name: mark(dataset, negative_list)[0] for dataset in declared}
    versions = [found for found in _versions(connection, select(VERSION)) if found.dataset in datasets]
    return Catalogue(datasets=datasets, versions={(found.dataset, found.version): found for found in versions})


def _entry(connection: Connection, name: str) -> CatalogueEntry:
    current = (REVISION.c.dataset == DATASET.c.name) & (REVISION.c.revision == DATASET.c.revision)
    query = select(REVISION).join(DATASET, current).where(DATASET.c.name == name, DATASET.c.withdrawn_at.is_(None))
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise _unknown()
    declared = _decode(row)
    dataset, _ = mark(declared, _negative_list(connection)[0])
    gradings = _gradings(declared, _suggested(connection, name), _confirmations(connection, name))
    return CatalogueEntry(
        dataset=dataset, declared=declared, revision=row["revision"], digest=row["digest"], gradings=gradings
    )


def _present_revision(connection: Connection, name: str) -> int | None:
    query = select(DATASET.c.revision).where(DATASET.c.name == name, DATASET.c.withdrawn_at.is_(None))
    return connection.execute(query).scalar_one_or_none()


def _publishable(connection: Connection, name: str) -> CatalogueEntry:
    entry = _entry(connection, name)
    if not is_offered(entry.dataset):
        raise RefusedError(ErrorCode.OPERATION_NOT_PERMITTED, f"data set `{name}` is not open, or its unit is core")
    if waiting := entry.unconfirmed:
        raise ConflictError(
            ErrorCode.GRADES_NOT_CONFIRMED,
            f"expected confirmed grades, got {len(waiting)} items without",
            hint=f"`yingbi catalog confirm {name}`; first: {', '.join(waiting[:5])}",
        )
    return entry


def _decode(row: RowMapping) -> Dataset:
    body = bytes(row["body"])
    try:
        dataset = decode_dataset(body) if digest_bytes(body) == row["digest"] else None
    except SandboxError:
        dataset = None
    if dataset is None or dataset.name != row["dataset"]:
        raise TamperDetectedError(ErrorCode.STORE_DAMAGED, "a data set in the catalogue is not what was written")
    return dataset


def _negative_list(connection: Connection) -> tuple[NegativeList, int]:
    query = select(NEGATIVE_LIST.c.revision, NEGATIVE_LIST.c.body).order_by(NEGATIVE_LIST.c.revision.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    if row is None:
        return NegativeList(), 0
    try:
        return parse_negative_list(json.loads(row.body)), row.revision
    except (ValueError, SandboxError):
        raise TamperDetectedError(ErrorCode.STORE_DAMAGED, "the negative list is not what was written") from None


def _versions(connection: Connection, query: Select[Any]) -> list[DatasetVersion]:
    rows = connection.execute(query.order_by(VERSION.c.dataset, VERSION.c.version)).mappings()
    return [_version(row) for row in rows]


def _version(row: RowMapping) -> DatasetVersion:
    members = {name: value for name, value in row.items() if name not in ("revision", "published_at")}
    return DatasetVersion(**members, published_at=parse_time(row["published_at"]))


def _version_row(version: DatasetVersion, revision: int) -> dict[str, object]:
    return {
        "dataset": version.dataset,
        "version": version.version,
        "revision": revision,
        "digest": version.digest,
        "schema_digest": version.schema_digest,
        "rows": version.rows,
        "units": version.units,
        "max_rows_per_unit": version.max_rows_per_unit,
        "published_at": format_time(version.published_at),
    }


def _suggestion(row: RowMapping) -> Suggestion:
    return Suggestion(
        item=row["item"],
        detector=Detector(row["detector"]),
        grade=Grade(row["grade"]),
        basis=Basis(row["basis"]),
        tenths=row["tenths"],
    )


def _suggestion_row(name: str, found: Suggestion, at: str) -> dict[str, object]:
    return {
        "dataset": name,
        "item": found.item,
        "detector": found.detector.value,
        "grade": found.grade.value,
        "basis": found.basis.value,
        "tenths": found.tenths,
        "suggested_at": at,
    }


def _suggested(connection: Connection, name: str) -> dict[str, Grade]:
    query = select(GRADE_SUGGESTION.c.item, GRADE_SUGGESTION.c.grade).where(GRADE_SUGGESTION.c.dataset == name)
    found: dict[str, Grade] = {}
    for item, grade in connection.execute(query):
        found[item] = strictest_grade(Grade(grade), found.get(item, Grade(grade)))
    return found


def _confirmations(connection: Connection, name: str) -> dict[str, RowMapping]:
    """Return the newest confirmation of each item."""
    query = (
        select(GRADE_CONFIRMATION).where(GRADE_CONFIRMATION.c.dataset == name).order_by(GRADE_CONFIRMATION.c.revision)
    )
    return {row["item"]: row for row in connection.execute(query).mappings()}


def _gradings(
    dataset: Dataset, suggested: dict[str, Grade], confirmations: dict[str, RowMapping]
) -> tuple[ItemGrading, ...]:
    return tuple(_grading(item, suggested.get(item.name), confirmations.get(item.name)) for item in dataset.items)


def _grading(item: DataItem, suggested: Grade | None, row: RowMapping | None) -> ItemGrading:
    # What was confirmed holds for this grade of an item of this meaning, and for no other.
    if row is not None and row["grade"] == item.grade.value and row["item_digest"] == meaning_digest(item):
        people = {"confirmed_by": row["confirmed_by"], "second_person": row["second_person"]}
        state = GradeState(row["state"])
        return ItemGrading(item=item.name, grade=item.grade, state=state, suggested=suggested, **people)
    state = GradeState.DECLARED if suggested is None else GradeState.SUGGESTED
    return ItemGrading(item=item.name, grade=item.grade, state=state, suggested=suggested)


def _by_item(dataset: Dataset, decisions: Sequence[GradeDecision]) -> dict[str, GradeDecision]:
    chosen = {decision.item: decision for decision in decisions}
    if not decisions or len(chosen) != len(decisions):
        raise InvalidRequestError(ErrorCode.CATALOGUE_INVALID, "expected at least one item, each once")
    for name in chosen:
        _known(dataset, name)
    return chosen


def _known(dataset: Dataset, name: str) -> DataItem:
    item = dataset.item(name)
    if item is None:
        raise InvalidRequestError(ErrorCode.NAME_UNKNOWN, f"expected an item of `{dataset.name}`")
    return item


def _with_grades(dataset: Dataset, chosen: dict[str, GradeDecision]) -> Dataset:
    items = tuple(
        replace(item, grade=chosen[item.name].grade) if item.name in chosen else item for item in dataset.items
    )
    graded = replace(dataset, items=items)
    _refuse_invalid(graded)
    return graded


def _check_version(version: DatasetVersion, dataset: Dataset) -> None:
    is_empty = version.rows == version.units == version.max_rows_per_unit == 0
    most = dataset.max_rows_per_unit
    if not is_empty and not (1 <= version.units <= version.rows and 1 <= version.max_rows_per_unit <= most):
        raise InvalidRequestError(
            ErrorCode.DATA_INVALID, f"expected rows of at least one unit, at most {most} a unit, as declared"
        )
    if version.rows > version.units * version.max_rows_per_unit:
        raise InvalidRequestError(ErrorCode.DATA_INVALID, "expected no more rows than units and their bound allow")
    if version.published_at.tzinfo is None:
        raise InvalidRequestError(ErrorCode.DATA_INVALID, "expected a time with its zone")


def _refuse_invalid(dataset: Dataset) -> None:
    if problems := check_dataset(dataset):
        raise CatalogueInvalidError.of(problems)


def _stale(actual: int | None, expected: int) -> ConflictError:
    got = "another one" if actual is None else str(actual)
    return ConflictError(
        ErrorCode.TRANSITION_REFUSED,
        f"expected revision {expected}, got {got}",
        hint="somebody changed it meanwhile; look at it again",
    )


def _unknown() -> NotFoundError:
    return NotFoundError(ErrorCode.DATASET_NOT_FOUND, "no such data set in the catalogue")
