"""The engine as the node sees it: admitted questions in, candidates out; DuckDB itself runs in a cage."""

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from policies.disclosure import DisclosureRules
from sandbox.candidate import Candidate, MeasureValues, Population, RegressionCandidate
from sandbox.catalog.literals import decimal_text
from sandbox.catalog.model import Catalogue, DataItem, ItemType
from sandbox.disclosure.atoms import AtomTable, Contributions, Facet, Largest, Sameness
from sandbox.engine_duckdb.job import Job, Settings, pack_job
from sandbox.engine_duckdb.resolve import (
    Contribution,
    Resolver,
    resolve_atoms,
    resolve_regression,
    resolve_table,
    resolve_view,
)
from sandbox.engine_duckdb.snapshots import Snapshots
from sandbox.engine_duckdb.wide import unpack_texts, unpack_wide
from sandbox.isolation.cage import Cage, CageSpec, Cancel
from sandbox.isolation.frames import Frame, FrameKind
from sandbox.isolation.limits import Limits
from sandbox.operations.measure import Measure
from sandbox.query.admit import Admitted, AdmittedTraining
from sandbox.training_view import TrainingView
from yingbi.errors import ErrorCode, InvalidRequestError, RefusedError, UnavailableError
from yingbi.plan.model import AnsweredQuestion, Column, Dimension, RegressionQuestion, TableQuestion

__all__ = ["ENTRY", "HOLD_OUT", "MIN_SECRET", "DuckdbEngine", "Limits"]

ENTRY: Final = "sandbox.engine_duckdb.worker:serve"
HOLD_OUT: Final = Fraction(1, 5)
"""The share of the units that a federation keeps for its evaluation."""

MIN_SECRET: Final = 32
"""Bytes of the node's secret that splits training rows from held-out ones, at least."""

_CELL_BYTES: Final = 8
_NUMBERS: Final = frozenset({ItemType.INTEGER, ItemType.DECIMAL})

OnProgress = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class DuckdbEngine:
    """Runs admitted questions and forms atoms, each in a worker of its own; an `AtomSource`.

    Args:
        cage: starts workers (a `CagePool` keeps one warm).
        snapshots: finds published versions.
        catalogue: returns the node's catalogue as it is now.
        limits: of a job that names none.
    """

    cage: Cage
    snapshots: Snapshots
    catalogue: Callable[[], Catalogue]
    limits: Limits = field(default_factory=Limits)

    def run(
        self,
        admitted: Admitted,
        *,
        limits: Limits | None = None,
        on_progress: OnProgress | None = None,
        cancel: Cancel | None = None,
    ) -> Candidate | RegressionCandidate:
        """Compute the answer to an admitted question, still confidential.

        Raises:
            RefusedError: a limit was exceeded.
            ConflictError: cancelled.
            UnavailableError: the engine or its cage failed.
            TamperDetectedError: a snapshot is not what was published.
        """
        return self._run(admitted.question, admitted.measures, admitted.rules, limits, on_progress, cancel)

    def view(
        self,
        admitted: AdmittedTraining,
        *,
        secret: bytes,
        hold_out: Fraction = HOLD_OUT,
        limits: Limits | None = None,
        on_progress: OnProgress | None = None,
        cancel: Cancel | None = None,
    ) -> TrainingView:
        """Read the view of an admitted training: its columns and nothing else, one row a privacy unit, in no order.

        `secret` is the node's and lasts: it decides which units are held out, the same in every federation.

        Raises:
            InvalidRequestError: the secret is too short, or the version has several rows of a unit.
            RefusedError: the view would be larger than the limits, or has too few units to train on.
            ConflictError, UnavailableError, TamperDetectedError: as for `run`.
        """
        if len(secret) < MIN_SECRET or not 0 <= hold_out < 1:
            raise InvalidRequestError(ErrorCode.CONFIG_INVALID, f"expected a secret of {MIN_SECRET} bytes, and a share")
        question = admitted.question
        resolver = Resolver.of_source(question.source, self.catalogue())
        limits = self.limits if limits is None else limits
        # Target and mark are two columns more.
        cells = admitted.base.version.rows * (len(question.features) + 2)
        if cells * _CELL_BYTES > limits.result_bytes:
            raise RefusedError(ErrorCode.RESOURCE_LIMIT, "the view is larger than its limit")
        key = hmac.digest(secret, f"yingbi/held-out/1 {question.source.dataset}".encode(), "sha256")
        job = resolve_view(question, resolver, key=key, hold_out=hold_out)
        arrays = self._compute(job, resolver, limits, on_progress, cancel).arrays
        if len(arrays["y"]) < admitted.min_units:
            raise RefusedError(ErrorCode.JOB_REFUSED, "the data set has too few units to train on")
        return TrainingView(
            columns={feature.name: arrays[f"x{place}"] for place, feature in enumerate(question.features)},
            target=arrays["y"],
            is_held_out=arrays["h"],
        )

    def atoms(
        self,
        dataset: str,
        versions: Sequence[int],
        facets: Sequence[Facet],
        *,
        cap: int,
        same: Sameness | None = None,
    ) -> AtomTable:
        """Return the atoms of the rows that are in any of `versions`, over `facets`; errors as for `run`."""
        job, resolver = resolve_atoms(dataset, versions, facets, self.catalogue(), cap=cap, same=same)
        answer = self._compute(job, resolver, None, None, None)
        return AtomTable(
            facets=tuple(facets),
            labels=_facet_labels(answer, facets, resolver),
            codes=_codes(answer.arrays, len(facets), len(answer.arrays["rows"])),
            rows=answer.arrays["rows"],
            units=answer.arrays["units"],
            solo=answer.arrays["solo"],
            same=same,
        )

    def totals(self, table: AtomTable, dataset: str, version: int, measure: Measure) -> tuple[int, ...]:
        """Return the exact total of a measure in every atom (zero where no row contributes); errors as for `run`.

        Quantiles and models have the total of their first column: they are guarded as if they were that sum.
        """
        job, resolver = resolve_atoms(
            dataset, [version], table.facets, self.catalogue(), cap=1, same=table.same, measure=measure
        )
        answer = self._compute(job, resolver, None, None, None)
        found = cast("tuple[int, ...]", unpack_wide(dict(answer.arrays), "totals"))
        labels = _facet_labels(answer, table.facets, resolver)
        codes = _recoded(_codes(answer.arrays, len(table.facets), len(found)), labels, table)
        return _placed(codes, found, table)

    def contributions(
        self, table: AtomTable, dataset: str, version: int, secret: Sequence[Facet], subject: Column | None
    ) -> Contributions:
        """Return what the rows of a version contribute, by atom and class of `secret`; errors as for `run`."""
        facets = (*table.facets, *secret)
        contribution = Contribution(subject=subject)
        job, resolver = resolve_atoms(
            dataset, [version], facets, self.catalogue(), cap=1, same=table.same, contribution=contribution
        )
        answer = self._compute(job, resolver, None, None, None)
        arrays, public = answer.arrays, len(table.facets)
        labels = _facet_labels(answer, facets, resolver)
        codes = _codes(arrays, len(facets), len(arrays["rows"]))
        return Contributions(
            atom=_places(_recoded(codes[:, :public], labels[:public], table), table),
            codes=codes[:, public:],
            labels=labels[public:],
            rows=arrays["rows"],
            absolute=arrays["absolute"],
            bound=arrays["bound"],
        )

    def largest(
        self,
        table: AtomTable,
        dataset: str,
        version: int,
        secret: Sequence[Facet],
        subject: Column | None,
        sets: Sequence[NDArray[np.int64]],
        least: Sequence[int],
    ) -> tuple[Largest, ...]:
        """Return who contributes to sets of what `contributions` returns, but for small units; errors as for `run`."""
        members = tuple(tuple(one.tolist()) for one in sets)
        contribution = Contribution(subject=subject, sets=members, least=tuple(str(one) for one in least))
        if not sets:
            return ()
        facets = (*table.facets, *secret)
        job, resolver = resolve_atoms(
            dataset, [version], facets, self.catalogue(), cap=1, same=table.same, contribution=contribution
        )
        arrays = dict(self._compute(job, resolver, None, None, None).arrays)
        wide = [unpack_wide(arrays, name) for name in ("absolute", "largest", "second")]
        return tuple(
            Largest(units=units, absolute=absolute or 0, largest=largest or 0, second=second or 0)
            for units, absolute, largest, second in zip(arrays["units"].tolist(), *wide, strict=True)
        )

    def warm(self, admitted: Admitted, *, limits: Limits | None = None) -> CageSpec:
        """Return what a worker for this question is started for, so that a pool can start it ahead of time."""
        resolver = Resolver.of_source(admitted.question.source, self.catalogue())
        return self._spec(resolver, self.limits if limits is None else limits)

    def _run(
        self,
        question: AnsweredQuestion,
        measures: Sequence[Measure],
        rules: DisclosureRules,
        limits: Limits | None,
        on_progress: OnProgress | None,
        cancel: Cancel | None,
    ) -> Candidate | RegressionCandidate:
        resolver = Resolver.of_source(question.source, self.catalogue())
        if isinstance(question, RegressionQuestion):
            job: Job = resolve_regression(question, resolver)
            answer = self._compute(job, resolver, limits, on_progress, cancel)
            return _regression_of(question, measures, resolver, answer)
        job = resolve_table(question, measures, resolver, rules)
        answer = self._compute(job, resolver, limits, on_progress, cancel)
        return _table_of(question, measures, resolver, answer)

    def _compute(
        self,
        job: Job,
        resolver: Resolver,
        limits: Limits | None,
        on_progress: OnProgress | None,
        cancel: Cancel | None,
    ) -> Frame:
        limits = self.limits if limits is None else limits
        worker = self.cage.start(self._spec(resolver, limits))
        settings = Settings(
            data=worker.data,
            memory_bytes=limits.memory_bytes,
            threads=limits.threads,
            temp_bytes=limits.temp_bytes,
        )
        frame = Frame(kind=FrameKind.JOB, value=pack_job(job, settings))
        return worker.run(frame, on_progress=on_progress, cancel=cancel)

    def _spec(self, resolver: Resolver, limits: Limits) -> CageSpec:
        folders = tuple(self.snapshots.folder(version) for _, version in resolver.tables)
        return CageSpec(entry=ENTRY, data=folders, limits=limits)


def _table_of(question: TableQuestion, measures: Sequence[Measure], resolver: Resolver, answer: Frame) -> Candidate:
    arrays = dict(answer.arrays)
    value = cast("dict[str, Any]", answer.value)
    size = len(arrays["rows"])
    keys, totals = [], []
    for number, dimension in enumerate(question.group_by):
        labels = [_key_text(dimension, resolver.item(dimension.column), text) for text in value["labels"][number]]
        keys.append(unpack_texts(labels, arrays[f"key{number}"]))
        totals.append(arrays[f"total{number}"])
    return Candidate(
        question=question,
        keys=tuple(zip(*keys, strict=True)) if keys else ((),) * size,
        is_total=np.column_stack(totals) if totals else np.zeros((size, 0), dtype=np.bool_),
        rows=arrays["rows"],
        units=arrays["units"],
        units_exact=arrays["units_exact"],
        measures={measure: _values_of(arrays, f"m{place}") for place, measure in enumerate(measures)},
        selected=_population(value["selected"]),
        outside=_population(value["outside"]),
    )


def _values_of(arrays: dict[str, NDArray[Any]], name: str) -> MeasureValues:
    return MeasureValues(
        totals=unpack_wide(arrays, f"{name}.totals"),
        rows=arrays[f"{name}.rows"],
        units=arrays[f"{name}.units"],
        units_exact=arrays[f"{name}.units_exact"],
        absolute=cast("tuple[int, ...]", unpack_wide(arrays, f"{name}.absolute")),
        largest=cast("tuple[int, ...]", unpack_wide(arrays, f"{name}.largest")),
        second=cast("tuple[int, ...]", unpack_wide(arrays, f"{name}.second")),
        largest_exact=arrays[f"{name}.largest_exact"],
        negative=arrays[f"{name}.negative"],
        below=arrays.get(f"{name}.below"),
        above=arrays.get(f"{name}.above"),
    )


def _regression_of(
    question: RegressionQuestion, measures: Sequence[Measure], resolver: Resolver, answer: Frame
) -> RegressionCandidate:
    arrays, value = answer.arrays, cast("dict[str, Any]", answer.value)
    names = _feature_names(question)
    levels = {number: (texts, units) for number, texts, units in value["levels"]}
    terms = ["intercept"]
    for feature, level in value["terms"]:
        terms.append(names[feature] if level is None else f"{names[feature]}={levels[feature][0][level]}")
    r_squared = arrays.get("r_squared")
    classes = value.get("classes", [])
    return RegressionCandidate(
        question=question,
        terms=tuple(terms),
        coefficients=arrays["coefficients"],
        standard_errors=arrays["standard_errors"],
        rows=value["rows"],
        units=value["units"],
        level_units={
            (names[number], text): count
            for number, (texts, units) in levels.items()
            for text, count in zip(texts, units, strict=True)
        },
        target_units=dict(zip(("false", "true"), classes, strict=True)) if classes else {},
        events=value.get("events"),
        leverage=float(arrays["leverage"][0]),
        r_squared=None if r_squared is None else float(r_squared[0]),
        converged=value["converged"],
        measures={measure: _model_values(value["rows"], value["units"]) for measure in measures},
        selected=_population(value["selected"]),
        outside=_population(value["outside"]),
    )


def _model_values(rows: int, units: int) -> MeasureValues:
    """Return a model as a measure: who contributes is known, and there is no total."""
    return MeasureValues(
        totals=(None,),
        rows=np.array([rows], dtype=np.int64),
        units=np.array([units], dtype=np.int64),
        units_exact=np.ones(1, dtype=np.bool_),
        absolute=(0,),
        largest=(0,),
        second=(0,),
        largest_exact=np.ones(1, dtype=np.bool_),
        negative=np.zeros(1, dtype=np.bool_),
    )


def _feature_names(question: RegressionQuestion) -> list[str]:
    """Return names of features; those of two data sets that are called the same have their data set before them."""
    names = [feature.name for feature in question.features]
    return [
        name if names.count(name) == 1 else f"{feature.dataset}.{name}"
        for name, feature in zip(names, question.features, strict=True)
    ]


def _population(value: Sequence[Any]) -> Population:
    rows, units, is_exact = value
    return Population(rows=rows, units=units, units_exact=is_exact)


def _key_text(dimension: Dimension, item: DataItem, text: str) -> str:
    if dimension.edges is not None:
        # Bins are numbered; what they are called is a matter of presentation.
        return str(int(text))
    return _value_text(item, text)


def _value_text(item: DataItem, text: str) -> str:
    """Return a stored value as canonical text."""
    return decimal_text(Decimal(text).scaleb(-item.decimals)) if item.type in _NUMBERS else text


def _facet_labels(answer: Frame, facets: Sequence[Facet], resolver: Resolver) -> tuple[tuple[str, ...], ...]:
    value = cast("dict[str, Any]", answer.value)
    return tuple(
        () if facet.presence else tuple(_value_text(resolver.item(facet.column), text) for text in labels)
        for facet, labels in zip(facets, value["labels"], strict=True)
    )


def _codes(arrays: Any, facets: int, rows: int) -> NDArray[np.int32]:
    if not facets:
        return np.zeros((rows, 0), dtype=np.int32)
    return np.column_stack([arrays[f"code{number}"] for number in range(facets)]).astype(np.int32)


def _recoded(codes: NDArray[np.int32], labels: tuple[tuple[str, ...], ...], table: AtomTable) -> NDArray[np.int32]:
    """Return codes in the labels of `table`; a label that it does not have is a contradiction."""
    recoded = codes.copy()
    for place, (own, known) in enumerate(zip(labels, table.labels, strict=True)):
        if own:
            numbers = {label: number for number, label in enumerate(known)}
            new = np.array([numbers.get(label, -2) for label in own] + [-1], dtype=np.int32)
            recoded[:, place] = new[codes[:, place]]
    if (recoded < -1).any():
        raise _not_of_table()
    return recoded


def _placed(codes: NDArray[np.int32], totals: tuple[int, ...], table: AtomTable) -> tuple[int, ...]:
    placed = [0] * len(table.rows)
    for place, total in zip(_places(codes, table).tolist(), totals, strict=True):
        placed[place] = total
    return tuple(placed)


def _places(codes: NDArray[np.int32], table: AtomTable) -> NDArray[np.int64]:
    """Return the atom of each row of codes; one that the table does not have is a contradiction."""
    known, wanted = np.zeros(len(table.codes), dtype=np.int64), np.zeros(len(codes), dtype=np.int64)
    for place in range(codes.shape[1]):
        both = np.concatenate((table.codes[:, place], codes[:, place])).astype(np.int64)
        whole = np.concatenate((known, wanted)) * (int(both.max(initial=0)) + 2) + both + 1
        _, number = np.unique(whole, return_inverse=True)
        known, wanted = number[: len(known)], number[len(known) :]
    order = np.argsort(known, kind="stable")
    at = np.minimum(np.searchsorted(known[order], wanted), max(len(order) - 1, 0))
    if len(wanted) and (not len(order) or (known[order][at] != wanted).any()):
        raise _not_of_table()
    return np.asarray(order[at], dtype=np.int64) if len(wanted) else np.zeros(0, dtype=np.int64)


def _not_of_table() -> UnavailableError:
    return UnavailableError(ErrorCode.ENGINE_FAILED, "expected atoms of a version that the table covers")
