"""Confidential columns that answers use apart need no joint classes: by overlaps alone, against exact elimination."""

import itertools
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from policies.disclosure import DisclosureRules, Zeros
from sandbox.catalog.model import ItemType
from sandbox.disclosure.history import History
from sandbox.disclosure.history.lanes import Lane, empty_basis
from sandbox.disclosure.history.partition import Blocks, Cells, Layer, SecretFacet, Space, blocks_of
from sandbox.disclosure.history.splits import Values
from sandbox.disclosure.history.system import build_frame, joined, rows_of
from sandbox.disclosure.history.worlds import are_determined, directions
from tests.lib.atoms import (
    ArraySource,
    Data,
    ask,
    column,
    combination_is_in_span,
    equations,
    make_catalogue,
    make_dataset,
    make_item,
    propose,
    rank,
)
from tests.unit.sandbox.history.firms import make_store
from yingbi.plan.model import Comparison, Condition, Function

ATOMS = 6
CLASSES = (2, 3, 2)
_FACETS = {
    (column(f"c{place}"), 1): SecretFacet(
        item=make_item(f"c{place}"), split=Values(labels=tuple("abc"[:count])), has_null=False
    )
    for place, count in enumerate(CLASSES)
}
SPACE = Space(atoms=ATOMS, public={}, secret=_FACETS, present={})
Masks = tuple[tuple[bool, ...], ...]

_codes = st.lists(st.integers(-1, 2), min_size=ATOMS, max_size=ATOMS).filter(lambda codes: max(codes) >= 0)
_masks = st.tuples(*(st.tuples(*[st.booleans()] * count).filter(any) for count in CLASSES))


def _name(masks: Masks) -> tuple[bytes, ...]:
    return tuple(np.array(one, dtype=bool).tobytes() for one in masks)


def _form(masks: Masks) -> NDArray[np.int64]:
    """Return a set as an indicator over all combinations of classes."""
    form = np.ones(1, dtype=np.int64)
    for one in masks:
        form = np.kron(form, np.array(one, dtype=np.int64))
    return form


def _cells(codes: list[int], sets: list[Masks]) -> Cells:
    parts = max(codes) + 1
    layer = Layer(
        codes=np.array(codes, dtype=np.int32), parts=parts, digest=repr(codes).encode(), split=repr(codes).encode()
    )
    return Cells(
        layers=(layer,),
        layer=np.zeros(parts * len(sets), dtype=np.int64),
        part=np.repeat(np.arange(parts), len(sets)),
        secret=tuple(_name(one) for one in sets) * parts,
        whole=tuple(np.ones(count, dtype=bool).tobytes() for count in CLASSES),
    )


def _lane(tables: list[tuple[list[int], list[Masks]]], weights: list[int], *, is_centred: bool) -> tuple[Lane, Blocks]:
    answers = [_cells(codes, sets) for codes, sets in tables]
    blocks = blocks_of(SPACE, [one for cells in answers for one in cells.secret], 512, is_centred=is_centred)
    frame = build_frame(np.array(weights), blocks, answers)
    rows = joined([rows_of(frame, blocks, cells, place) for place, cells in enumerate(answers)])
    return Lane(frame=frame, old=rows, new=rows.take(np.zeros(0, dtype=np.int64))), blocks


def _worlds(lane: Lane, count: int) -> NDArray[np.float64]:
    basis = lane.caught_up(empty_basis())
    worlds = lane.worlds(basis, lane.new_rows(basis), np.zeros(0, dtype=np.int64), directions(lane.frame, count, 1))
    assert worlds.is_sound
    return worlds.values


_tables = st.lists(st.tuples(_codes, st.lists(_masks, min_size=1, max_size=2, unique=True)), min_size=1, max_size=4)


@settings(max_examples=150, deadline=None)
@given(tables=_tables, weights=st.lists(st.integers(1, 50), min_size=ATOMS, max_size=ATOMS), is_centred=st.booleans())
def test_overlaps_tell_what_all_combinations_of_classes_would(
    tables: list[tuple[list[int], list[Masks]]], weights: list[int], is_centred: bool
) -> None:
    size = math.prod(CLASSES)
    lane, blocks = _lane(tables, weights, is_centred=is_centred)
    exact = np.array(
        [
            np.kron((np.array(codes) == part).astype(np.int64), _form(one))
            for codes, sets in tables
            for part in range(max(codes) + 1)
            for one in sets
        ]
    )
    if is_centred:
        exact = np.concatenate((exact, np.kron(np.eye(ATOMS, dtype=np.int64), np.ones((1, size), dtype=np.int64))))
    scale = np.sqrt(lane.frame.rows)[:, None, None]
    flags = np.zeros(ATOMS, dtype=bool)
    if blocks.free:
        flags = are_determined(_worlds(lane, blocks.free + 2) / scale)
    flat = lane.flat(np.arange(len(lane.frame.part_rows)), np.zeros(0, dtype=np.int64))
    in_flat = are_determined(_worlds(flat, 3) / scale)
    for atom in range(ATOMS):
        places = list(range(size * atom, size * (atom + 1)))
        is_told = combination_is_in_span(exact, places, known=int(is_centred))
        assert flags[atom] == is_told
        assert in_flat[atom] or not is_told, "what is not determined in public parts is determined nowhere"


@settings(max_examples=150, deadline=None)
@given(sets=st.lists(_masks, min_size=1, max_size=5, unique=True), other=_masks, is_centred=st.booleans())
def test_vectors_have_the_products_that_sets_overlap_by(sets: list[Masks], other: Masks, is_centred: bool) -> None:
    blocks = blocks_of(SPACE, [_name(one) for one in sets], 512, is_centred=is_centred)
    forms = {name: blocks.forms[number] for name, number in blocks.number.items()}
    size = math.prod(CLASSES)
    for one, two in itertools.product(sets, sets):
        overlap = _form(one) @ _form(two) / size
        if is_centred:
            overlap -= _form(one).sum() * _form(two).sum() / size**2
        assert abs(forms[_name(one)] @ forms[_name(two)] - overlap) < 1e-9
    known = np.array([*(_form(one) for one in sets), *([np.ones(size, dtype=np.int64)] if is_centred else [])])
    _, is_made = blocks.forms_of([_name(other)])
    assert is_made[0] == (rank(np.concatenate((known, _form(other)[None]))) == rank(known))


def test_a_part_counts_although_its_first_cell_is_held_back() -> None:
    """Of one part with two sets of classes the first cell does not come out: the part is told all the same."""
    one, two = ((True, False), (True, True, True), (True, True)), ((False, True), (True, True, True), (True, True))
    lane, _ = _lane([([0] * ATOMS, [one, two])], [1] * ATOMS, is_centred=False)
    lane = Lane(frame=lane.frame, old=lane.old.take(np.zeros(0, dtype=np.int64)), new=lane.old)
    flat = lane.flat(np.zeros(1, dtype=np.int64), np.array([1]))
    assert (flat.new.scale > 0).tolist() == [False, True]


# --- whole sessions ---------------------------------------------------------------------------------------------------

UNITS = 14
_NAMES = ("c0", "c1", "c2")
_question = st.tuples(
    st.lists(st.sampled_from(("half", *_NAMES)), max_size=2, unique=True),
    st.none() | st.tuples(st.sampled_from((Comparison.LT, Comparison.NE)), st.integers(5, UNITS - 1)),
)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    asked=st.lists(_question, min_size=2, max_size=5),
    is_count=st.booleans(),
)
def test_no_lone_unit_is_determined_over_any_columns(
    seed: int, asked: list[tuple[list[str], tuple[Comparison, int] | None]], is_count: bool
) -> None:
    random = np.random.default_rng(seed)
    columns = {name: random.choice(["x", "y"], UNITS).astype(object) for name in ("half", *_NAMES)}
    columns["number"] = np.arange(UNITS).astype(str).astype(object)
    columns["tax"] = np.full(UNITS, "100", dtype=object)
    data = {("unit/firms", 1): Data(unit=np.arange(UNITS), row=np.zeros(UNITS, dtype=np.int64), columns=columns)}
    items = [make_item(name, domain=("x", "y")) for name in _NAMES]
    items += [make_item("half", public=True, domain=("x", "y")), make_item("number", ItemType.INTEGER, public=True)]
    catalogue = make_catalogue([make_dataset("unit/firms", [*items, make_item("tax", ItemType.INTEGER)])], data)
    history = History(make_store(), ArraySource(data=data, catalogue=catalogue))
    rules = DisclosureRules(min_units=2, zeros=Zeros.ALLOW)
    learned = []
    for names, condition in asked:
        where = (
            []
            if condition is None
            else [Condition(column=column("number"), comparison=condition[0], values=(condition[1],))]
        )
        function = Function.COUNT if is_count else Function.SUM
        proposal = propose(data, catalogue, ask(*names, measure=function, where=where), rules)
        verdict = history.judge(proposal)
        history.record(verdict.token)
        measure, one = next(iter(proposal.measures.items()))
        released = one.publishable & ~verdict.suppress.get(measure, np.zeros(len(proposal.keys), dtype=bool))
        learned.append(equations(data, catalogue, proposal, released, [column(name) for name in _NAMES], UNITS))
    known = np.concatenate(learned)
    if is_count:
        known = np.concatenate((known, np.kron(np.eye(UNITS, dtype=np.int64), np.ones((1, 8), dtype=np.int64))))
    for unit in range(UNITS):
        assert not combination_is_in_span(known, list(range(8 * unit, 8 * unit + 8)), known=int(is_count))
