"""The history of a node: judges a proposal against every answer ever given, and records what comes out.

Implements `sandbox.disclosure.history_gate.HistoryGate`. Atoms and factors are kept in memory and follow from what is
stored: after a restart, or when another process has recorded, they are made again.
"""

import hashlib
import secrets
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sandbox.catalog.model import Catalogue, Visibility
from sandbox.disclosure.atoms import AtomSource, AtomTable, Sameness
from sandbox.disclosure.history.check import Checked, MeetingName, Terms, check
from sandbox.disclosure.history.contributing import Contributing, Verdicts
from sandbox.disclosure.history.facets import FacetPlan, plan_facets, secret_facet, space_of
from sandbox.disclosure.history.lanes import Basis, empty_basis
from sandbox.disclosure.history.limits import HistoryLimits
from sandbox.disclosure.history.margins import MarginName
from sandbox.disclosure.history.partition import Cells, Layer, Space, cut_into_cells
from sandbox.disclosure.history.protection import Movement, other_worlds
from sandbox.disclosure.history.scopes import ROWS, Scope, SystemKey, is_weighted, item_of, scope_of, systems_of
from sandbox.disclosure.history.store import Answer, HistoryStore, Layout, Part
from sandbox.disclosure.history.targets import Meeting, TargetKind
from sandbox.disclosure.history_gate import HistoryVerdict, Proposal
from sandbox.disclosure.verdict import Finding
from sandbox.operations.measure import Measure, MeasureKind
from yingbi.canonical import JsonValue
from yingbi.errors import ErrorCode, RefusedError, UnavailableError
from yingbi.events.outputs import CheckVerdict, Risk
from yingbi.plan.codec import question_digest
from yingbi.plan.model import AnsweredQuestion, Column, Dimension, TableQuestion

__all__ = ["History"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

_RULE: Final = "history"
_WEIGHTED_RULE: Final = "history-weighted"
_PROTECTION_RULE: Final = "history-protection"
_REPEATED: Final = "repeated"
_TOTALS: Final = frozenset({MeasureKind.SUM, MeasureKind.SQUARES, MeasureKind.PRODUCT})
_LOCK_WAIT_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class _View:
    """A system, and which values of two versions are taken for one: equal ones, or near ones too.

    Whoever takes a small change for none errs by little; so whatever would follow if nothing had changed that changed
    by little must not follow either.
    """

    system: SystemKey
    is_near: bool = False


@dataclass(slots=True, eq=False)
class _System:
    """One view of a system in memory: its parts in order, and what is derived from them."""

    parts: list[tuple[Layout, Part]]
    basis: Basis
    plan: FacetPlan | None = None
    cap: int = 0
    table: AtomTable | None = None
    space: Space | None = None
    cells: list[Cells] | None = None
    meetings: dict[MeetingName, Meeting] = field(default_factory=dict)
    margins: dict[MarginName, Layer] = field(default_factory=dict)
    contributing: Contributing | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Pending:
    """A judgement that may be recorded while nothing else was recorded."""

    answer: Answer
    evidence: Mapping[str, JsonValue]
    grow: Mapping[_View, Callable[[], Basis]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Claim:
    """What some measures of a proposal say in one system."""

    part: Part
    measures: tuple[Measure, ...]


class History:
    """Remembers every exact answer of a node (implements `HistoryGate`).

    One judgement at a time in a process; between processes the store's head decides, so that a judgement that another
    answer has overtaken is not recorded.
    """

    def __init__(self, store: HistoryStore, source: AtomSource, limits: HistoryLimits | None = None) -> None:
        self._store, self._source = store, source
        self._limits = limits or HistoryLimits()
        self._lock = threading.Lock()
        self._sequence = 0
        self._answers: dict[str, Answer] = {}
        self._parts: dict[SystemKey, list[tuple[Layout, Part]]] = {}
        self._systems: OrderedDict[_View, _System] = OrderedDict()
        self._pending: OrderedDict[str, _Pending] = OrderedDict()

    def judge(self, proposal: Proposal) -> HistoryVerdict:
        """Judge a proposal against all recorded answers; changes nothing that later judgements see.

        Raises:
            RefusedError: a stated bound is reached (`history-limit`).
            UnavailableError: another answer is being checked (`history-busy`).
            TamperDetectedError: stored answers are damaged.
        """
        with self._exclusive():
            self._follow()
            digest = question_digest(proposal.question)
            known = self._answers.get(digest)
            if known is not None:
                return _repeat(known, proposal)
            return self._judge_new(digest, proposal)

    def record(self, token: str) -> None:
        """Make a judged proposal, less what was suppressed, an answer that was given; durable when this returns.

        Raises:
            UnavailableError: an answer was recorded since this judgement (`history-busy`): judge again.
        """
        if token == _REPEATED:
            return
        with self._exclusive():
            pending = self._pending.pop(token, None)
            if pending is None:
                raise UnavailableError(ErrorCode.HISTORY_BUSY, "expected a judgement that still stands")
            self._store.add(pending.answer, pending.evidence)
            self._remember(pending.answer)
            for view, grow in pending.grow.items():
                if view in self._systems:
                    self._systems[view].basis = grow()
            self._pending.clear()

    def discard(self, token: str) -> None:
        """Forget a judgement that will not be released; unknown tokens are ignored."""
        with self._exclusive():
            self._pending.pop(token, None)

    # --- what was recorded --------------------------------------------------------------------------------------------

    def _exclusive(self) -> "_Held":
        return _Held(self._lock)

    def _follow(self) -> None:
        for answer in self._store.since(self._sequence):
            self._remember(answer)
            self._pending.clear()

    def _remember(self, answer: Answer) -> None:
        self._sequence = answer.sequence
        self._answers[answer.question] = answer
        for part in answer.parts:
            self._parts.setdefault(part.system, []).append((answer.layout, part))

    # --- judging ------------------------------------------------------------------------------------------------------

    def _judge_new(self, digest: str, proposal: Proposal) -> HistoryVerdict:
        claims, weighted = _claims(proposal)
        dimensions = _dimensions(proposal.question)
        layout = Layout(dimensions=dimensions, keys=proposal.keys, is_total=np.asarray(proposal.is_total, dtype=bool))
        checked: dict[_View, Checked] = {}
        released: dict[SystemKey, tuple[Bools, ...]] = {}
        for key in sorted({claim.part.system for claim in claims}):
            new = [(layout, claim.part) for claim in claims if claim.part.system == key]
            for view in self._views(key, new):
                checked[view] = self._check(view, new, proposal, digest)
                self._systems[view].basis = checked[view].basis
                released[key] = checked[view].released
                new = [
                    (layout, replace(part, released=mask)) for (_, part), mask in zip(new, released[key], strict=True)
                ]
        claims = _answered(claims, released)
        masks = _masks(proposal, claims)
        movements = self._movements(claims, checked, proposal)
        evidence = _evidence(checked, self._sequence) | _proofs(movements)
        answer = Answer(
            sequence=self._sequence + 1,
            question=digest,
            layout=layout,
            parts=tuple(claim.part for claim in claims),
            masks=masks,
        )
        token = secrets.token_hex(16)
        # A basis holds what came out: where another view held more back, this one catches up at the next check.
        grow = {view: one.grow for view, one in checked.items() if _is_same(one.released, released[view.system])}
        self._pending[token] = _Pending(answer=answer, evidence=evidence, grow=grow)
        while len(self._pending) > self._limits.pending:
            self._pending.popitem(last=False)
        return HistoryVerdict(
            suppress={measure: proposal.measures[measure].publishable & ~mask for measure, mask in masks.items()},
            findings=(
                *_findings(proposal, masks, checked, weighted),
                *_near(movements, proposal),
            ),
            token=token,
            evidence=evidence,
        )

    def _views(self, key: SystemKey, new: Sequence[tuple[Layout, Part]]) -> tuple[_View, ...]:
        """Return the views that a system is checked in: values of one version are what they are."""
        parts = (*self._parts.get(key, ()), *new)
        versions = {part.scope.version(key.dataset) for _, part in parts}
        is_value = key.subject != ROWS
        return (_View(system=key), *([_View(system=key, is_near=True)] if is_value and len(versions) > 1 else []))

    def _check(self, view: _View, new: Sequence[tuple[Layout, Part]], proposal: Proposal, digest: str) -> Checked:
        key, system = view.system, self._system(view)
        if len(system.parts) + len(new) > self._limits.tables:
            raise RefusedError(
                ErrorCode.HISTORY_LIMIT, f"expected at most {self._limits.tables} answers in one history"
            )
        every = [*system.parts, *new]
        cells = self._cells(view, system, every, proposal)
        if system.table is None or system.space is None or system.contributing is None:
            raise RefusedError(ErrorCode.HISTORY_LIMIT, "expected atoms of the data set")
        seed = hashlib.sha256(f"{key.dataset}\n{key.subject}\n{self._sequence}\n{digest}".encode()).digest()
        terms = Terms(
            verdicts=Verdicts(
                rules=proposal.rules,
                rows_a_unit=(most := _rows_a_unit(key.dataset, every, proposal.catalogue)),
                are_totals=_are_totals(key, proposal, most),
            ),
            is_centred=_is_centred(key, proposal.catalogue),
            limits=self._limits,
            meetings=system.meetings,
            margins=system.margins,
            contributing=system.contributing,
            seed=int.from_bytes(seed[:8], "big"),
        )
        pairs = [(one, part) for one, (_, part) in zip(cells, every, strict=True)]
        count = len(system.parts)
        return check(system.space, system.table, pairs[:count], pairs[count:], system.basis, terms)

    def _movements(
        self, claims: Sequence[_Claim], checked: Mapping[_View, Checked], proposal: Proposal
    ) -> list[tuple[SystemKey, Movement]]:
        """Return how far held sums of columns that cannot be negative can move (bounded by `limits.proofs`)."""
        found: list[tuple[SystemKey, Movement]] = []
        for view, one in checked.items():
            key = view.system
            sums = [claim for claim in claims if claim.part.system == key and _adds_up(claim, key, proposal.catalogue)]
            equations = one.equations() if sums and not view.is_near else None
            table = self._systems[view].table
            if equations is None or table is None:
                continue
            values = self._totals(view, table)
            upper = table.rows.astype(np.float64) * _upper_bound(key, proposal.catalogue)
            if (values >= 0).all():
                found += [(key, movement) for movement in other_worlds(equations, values, upper)]
        return found

    def _totals(self, view: _View, table: AtomTable) -> Floats:
        """Return the total of each atom, of any version that it is in: they are equal."""
        space, key = self._systems[view].space, view.system
        measure = Measure(kind=MeasureKind.SUM, columns=(Column(dataset=key.dataset, name=key.subject),))
        values = np.zeros(len(table.rows))
        for (dataset, version), present in ({} if space is None else space.present).items():
            if dataset == key.dataset:
                totals = self._source.totals(table, dataset, version, measure)
                values = np.where(present, [float(total) for total in totals], values)
        return values

    def _system(self, view: _View) -> _System:
        recorded = self._parts.setdefault(view.system, [])
        system = self._systems.pop(view, None) or _System(parts=recorded, basis=empty_basis())
        self._systems[view] = system
        while len(self._systems) > self._limits.systems_in_memory:
            self._systems.popitem(last=False)
        return system

    def _cells(
        self, view: _View, system: _System, every: Sequence[tuple[Layout, Part]], proposal: Proposal
    ) -> list[Cells]:
        """Return the cells of all answers, cut again where atoms or confidential classes have changed."""
        key = view.system
        plan = plan_facets(key.dataset, [part.scope for _, part in every], proposal.catalogue)
        cap = proposal.rules.min_units
        if plan != system.plan or cap > system.cap or system.table is None:
            same = _sameness(view) if len(plan.versions) > 1 else None
            system.table = self._source.atoms(key.dataset, plan.versions, plan.facets, cap=cap, same=same)
            system.space = space_of(plan, system.table, key.dataset, proposal.catalogue)
            if view.is_near and (system.plan is None or plan.versions != system.plan.versions):
                # Values of two versions can be near by way of a third.
                system.basis = empty_basis()
            system.plan, system.cap, system.cells = plan, cap, None
            system.meetings.clear()
            system.margins.clear()
            system.contributing = self._contributing(key, plan, system, proposal)
        space = system.space
        if space is None:
            raise RefusedError(ErrorCode.HISTORY_LIMIT, "expected atoms of the data set")
        known = system.cells or []
        known += [
            cut_into_cells(space, part.scope, layout.keys, layout.is_total)
            for layout, part in system.parts[len(known) :]
        ]
        system.cells = known
        fresh = every[len(system.parts) :]
        return known + [cut_into_cells(space, part.scope, layout.keys, layout.is_total) for layout, part in fresh]

    def _contributing(
        self, key: SystemKey, plan: FacetPlan, system: _System, proposal: Proposal
    ) -> Contributing | None:
        if system.table is None or system.space is None:
            return None
        facets = {one: (facet, secret_facet(one, facet, proposal.catalogue)) for one, facet in plan.secret}
        return Contributing(
            source=self._source,
            table=system.table,
            dataset=key.dataset,
            subject=None if key.subject == ROWS else Column(dataset=key.dataset, name=key.subject),
            versions=[(version, system.space.present[key.dataset, version]) for version in plan.versions],
            facets=facets,
        )


class _Held:
    """The history's lock, held for a `with` block; waiting is bounded."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=_LOCK_WAIT_S):
            raise UnavailableError(ErrorCode.HISTORY_BUSY, "another answer is being checked")

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _claims(proposal: Proposal) -> tuple[list[_Claim], int]:
    """Return what a proposal says, by system and scope, and how many measures count rows of a system several times."""
    groups: dict[tuple[SystemKey, Scope], list[Measure]] = {}
    weighted = 0
    for measure in sorted(proposal.measures, key=repr):
        scope = scope_of(proposal.question, measure, proposal.catalogue)
        keys = systems_of(proposal.question, measure, scope, proposal.catalogue)
        if is_weighted(proposal.question, keys, scope, proposal.catalogue):
            weighted += 1
            keys = tuple(key for key in keys if key.dataset == proposal.question.source.dataset)
        for key in keys:
            groups.setdefault((key, scope), []).append(measure)
    claims = [
        _Claim(part=_part(key, scope, measures, proposal), measures=tuple(measures))
        for (key, scope), measures in groups.items()
    ]
    return sorted(claims, key=lambda claim: (claim.part.system, repr(claim.part.scope))), weighted


def _part(key: SystemKey, scope: Scope, measures: Sequence[Measure], proposal: Proposal) -> Part:
    held = np.any([proposal.measures[one].primary for one in measures], axis=0)
    asked = np.any([proposal.measures[one].publishable for one in measures], axis=0)
    # SECURITY: measures of one system over one cell give each other away: what one must not tell, none tells.
    return Part(system=key, scope=scope, released=np.asarray(asked & ~held), held=np.asarray(held))


def _sameness(view: _View) -> Sameness | None:
    """Return which rows of two versions are one: rows themselves do not change, what they say does."""
    key = view.system
    if key.subject == ROWS:
        return None
    return Sameness(column=Column(dataset=key.dataset, name=key.subject), is_near=view.is_near)


def _is_same(one: Sequence[Bools], other: Sequence[Bools]) -> bool:
    return all(np.array_equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))


def _answered(claims: Sequence[_Claim], released: Mapping[SystemKey, Sequence[Bools]]) -> list[_Claim]:
    """Return the claims with what may come out of each."""
    masks = {key: iter(one) for key, one in released.items()}
    return [replace(claim, part=replace(claim.part, released=next(masks[claim.part.system]))) for claim in claims]


def _masks(proposal: Proposal, claims: Sequence[_Claim]) -> dict[Measure, Bools]:
    """Return which values of each measure come out: those that every system lets out."""
    masks = {measure: np.array(one.publishable, dtype=bool) for measure, one in proposal.measures.items()}
    for claim in claims:
        for measure in claim.measures:
            masks[measure] &= claim.part.released
    return masks


def _repeat(known: Answer, proposal: Proposal) -> HistoryVerdict:
    """Return the masks of the same question's answer, cell by cell, whatever the order of dimensions and cells."""
    names = _cell_names(known.layout.dimensions, known.layout.keys, known.layout.is_total)
    place = {name: number for number, name in enumerate(names)}
    now = _cell_names(_dimensions(proposal.question), proposal.keys, proposal.is_total)
    order = np.array([place.get(name, -1) for name in now], dtype=np.int64)
    suppress = {}
    for measure, one in proposal.measures.items():
        mask = known.masks.get(measure)
        released = np.zeros(len(order), dtype=bool) if mask is None else np.append(mask, False)[order]
        suppress[measure] = one.publishable & ~released
    finding = Finding(risk=Risk.DIFFERENCING, rule=_RULE, verdict=CheckVerdict.PASS, cells=0)
    return HistoryVerdict(suppress=suppress, findings=(finding,), token=_REPEATED, repeated=True)


def _cell_names(
    dimensions: Sequence[Dimension], keys: Sequence[tuple[str | None, ...]], is_total: Bools
) -> list[frozenset[tuple[Dimension, str | None, bool]]]:
    return [
        frozenset(zip(dimensions, key, map(bool, totals), strict=True))
        for key, totals in zip(keys, is_total, strict=True)
    ]


def _findings(
    proposal: Proposal, masks: Mapping[Measure, Bools], checked: Mapping[_View, Checked], weighted: int
) -> tuple[Finding, ...]:
    lost = sum(int((one.publishable & ~masks[measure]).sum()) for measure, one in proposal.measures.items())
    is_empty = any(one.publishable.any() and not masks[measure].any() for measure, one in proposal.measures.items())
    found: Counter[TargetKind] = Counter()
    for one in checked.values():
        found.update(one.found)
    is_proved = all(one.is_proved for one in checked.values())
    verdict = CheckVerdict.FAIL if is_empty or not is_proved else CheckVerdict.PASS
    secondary = found[TargetKind.HELD_BACK]
    others = found.total() - secondary
    findings = [
        Finding(
            risk=Risk.SECONDARY_DISCLOSURE, rule=_RULE, verdict=verdict if secondary else CheckVerdict.PASS, cells=lost
        ),
        Finding(
            risk=Risk.DIFFERENCING,
            rule=_RULE,
            verdict=verdict if others or not secondary else CheckVerdict.PASS,
            cells=lost,
        ),
    ]
    if weighted:
        # SECURITY: what cannot be looked at is for a person, not for the partner.
        findings.append(
            Finding(risk=Risk.DIFFERENCING, rule=_WEIGHTED_RULE, verdict=CheckVerdict.REVIEW, cells=len(proposal.keys))
        )
    return tuple(findings)


def _evidence(checked: Mapping[_View, Checked], sequence: int) -> dict[str, JsonValue]:
    systems: list[JsonValue] = [
        {
            "dataset": view.system.dataset,
            "subject": view.system.subject,
            "near": view.is_near,
            "determined": {str(kind): count for kind, count in one.found.items()},
            "rounds": one.rounds,
            "proved": one.is_proved,
            **one.notes,
        }
        for view, one in checked.items()
    ]
    return {"earlier_answers": sequence, "systems": systems}


def _adds_up(claim: _Claim, key: SystemKey, catalogue: Catalogue) -> bool:
    """Return whether a claim publishes sums of its column, and the column is declared never to be negative."""
    dataset = catalogue.dataset(key.dataset)
    item = None if dataset is None else dataset.item(key.subject)
    is_sum = any(measure.kind is MeasureKind.SUM for measure in claim.measures)
    return is_sum and item is not None and item.bounds is not None and item.bounds[0] >= 0


def _upper_bound(key: SystemKey, catalogue: Catalogue) -> float:
    """Return the declared greatest value of a column, in fixed point."""
    item = item_of(catalogue, Column(dataset=key.dataset, name=key.subject))
    return float("inf") if item.bounds is None else float(item.bounds[1].scaleb(item.decimals))


def _proofs(movements: Sequence[tuple[SystemKey, Movement]]) -> dict[str, JsonValue]:
    proofs: list[JsonValue] = [
        {"dataset": key.dataset, "subject": key.subject, "moves_percent": str(movement.percent)}
        for key, movement in movements
    ]
    return {"protection": proofs}


def _near(movements: Sequence[tuple[SystemKey, Movement]], proposal: Proposal) -> tuple[Finding, ...]:
    """Return the finding on held values for which no other world far enough away was found."""
    near = sum(not movement.is_enough(proposal.rules.p_percent) for _, movement in movements)
    if not movements:
        return ()
    verdict = CheckVerdict.REVIEW if near else CheckVerdict.PASS
    return (Finding(risk=Risk.SECONDARY_DISCLOSURE, rule=_PROTECTION_RULE, verdict=verdict, cells=near),)


def _dimensions(question: AnsweredQuestion) -> tuple[Dimension, ...]:
    return question.group_by if isinstance(question, TableQuestion) else ()


def _are_totals(key: SystemKey, proposal: Proposal, rows_a_unit: int) -> bool:
    """Return whether an answer tells totals in a system: not quantiles alone, which nobody can dominate.

    Counts are totals where one unit can have many of the rows.
    """
    if key.subject == ROWS:
        return rows_a_unit > 1
    column = Column(dataset=key.dataset, name=key.subject)
    return any(column in measure.columns and measure.kind in _TOTALS for measure in proposal.measures)


def _is_centred(key: SystemKey, catalogue: Catalogue) -> bool:
    """Return whether everybody knows how many rows an atom of the system has: counts, and public members."""
    dataset = catalogue.dataset(key.dataset)
    return key.subject == ROWS and dataset is not None and dataset.membership is Visibility.PUBLIC


def _rows_a_unit(dataset: str, parts: Sequence[tuple[Layout, Part]], catalogue: Catalogue) -> int:
    versions = {version for _, part in parts for name, version in part.scope.versions if name == dataset}
    found = [catalogue.versions.get((dataset, version)) for version in versions]
    declared = catalogue.dataset(dataset)
    bounds = [one.max_rows_per_unit for one in found if one is not None]
    return max([1, *bounds]) if len(bounds) == len(found) or declared is None else declared.max_rows_per_unit
