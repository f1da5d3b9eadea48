"""Each kind of named target is found where it is determined, and not where it is not."""

import numpy as np
import pytest

from sandbox.disclosure.history.partition import Cells, Layer, blocks_from
from sandbox.disclosure.history.system import Factor, Frame, Rows, build_frame, empty_factor, gram, independent, rows_of
from sandbox.disclosure.history.targets import TargetKind, determined_sets, meet, unit_atoms
from sandbox.disclosure.history.worlds import directions, project

ATOMS = 12
BLOCKS = blocks_from([()], np.ones((1, 1)), (), is_centred=False)


def _cells(*inside: range) -> Cells:
    """Return a layer of disjoint cells."""
    codes = np.full(ATOMS, -1, dtype=np.int32)
    for part, atoms in enumerate(inside):
        codes[list(atoms)] = part
    layer = Layer(codes=codes, parts=len(inside), digest=codes.tobytes(), split=codes.tobytes())
    return Cells(
        layers=(layer,),
        layer=np.zeros(len(inside), dtype=np.int64),
        part=np.arange(len(inside)),
        secret=((),) * len(inside),
        whole=(),
    )


def _found(
    answers: list[Cells], units: list[int], solo: list[int], pairs: list[tuple[int, int]]
) -> set[tuple[TargetKind, tuple[int, ...]]]:
    frame = _frame(answers, units)
    atoms = unit_atoms(np.array(units), np.array(solo), 3)
    rows = [rows_of(frame, BLOCKS, cells, place) for place, cells in enumerate(answers)]
    values = directions(frame, 6, 5)
    whole = Rows(
        part=np.concatenate([one.part for one in rows]),
        secret=np.concatenate([one.secret for one in rows]),
        scale=np.concatenate([one.scale for one in rows]),
    )
    kept, lower = independent(gram(frame, whole, whole), np.arange(len(whole)))
    factor = Factor(lower=lower, coupling=np.zeros((len(kept), 0)), tail=empty_factor())
    worlds = project(frame, values, whole, kept, factor)
    found = determined_sets(frame, worlds.values, atoms, pairs, lambda one, other: meet(frame, one, other), 3.0)
    return {(one.kind, tuple(sorted(one.atoms.tolist()))) for one in found}


def _frame(answers: list[Cells], units: list[int]) -> Frame:
    return build_frame(np.array(units), BLOCKS, answers)


_LONE = list(range(ATOMS))
_FEW, _MANY = [1] * ATOMS, [9] * ATOMS


@pytest.mark.parametrize(
    ("answers", "units", "solo", "pairs", "expected"),
    [
        pytest.param([_cells(range(4))], _FEW, _LONE, [], set(), id="nothing"),
        pytest.param(
            [_cells(range(4)), _cells(range(3))], _FEW, _LONE, [], {(TargetKind.LONE_UNIT, (3,))}, id="a lone unit"
        ),
        pytest.param(
            [_cells(range(4)), _cells(range(2))],
            _FEW,
            _LONE,
            [],
            {(TargetKind.PAIR, (0, 1)), (TargetKind.PAIR, (2, 3))},
            id="pairs of lone units",
        ),
        pytest.param(
            [_cells(range(8)), _cells(range(2, 8))],
            _FEW,
            [5, 5, *range(10, 20)],
            [],
            {(TargetKind.LONE_UNIT, (0, 1))},
            id="a unit over two atoms",
        ),
        pytest.param(
            [_cells(range(4)), _cells(range(3))],
            [2] * ATOMS,
            [-1] * ATOMS,
            [],
            {(TargetKind.SMALL_SET, (3,))},
            id="an atom of few units",
        ),
        pytest.param([_cells(range(4)), _cells(range(3))], _MANY, [-1] * ATOMS, [], set(), id="an atom of many units"),
        pytest.param(
            [_cells(range(6)), _cells(range(4))],
            _FEW,
            [-1] * ATOMS,
            [(0, 1)],
            {(TargetKind.SMALL_SET, (4, 5))},
            id="a small difference",
        ),
        pytest.param(
            [_cells(range(6)), _cells(range(4, 12)), _cells(range(4, 6), range(6, 12))],
            _FEW,
            [-1] * ATOMS,
            [(0, 1)],
            {(TargetKind.SMALL_SET, (4, 5))},
            id="a small intersection",
        ),
    ],
)
def test_targets(
    answers: list[Cells],
    units: list[int],
    solo: list[int],
    pairs: list[tuple[int, int]],
    expected: set[tuple[TargetKind, tuple[int, ...]]],
) -> None:
    assert _found(answers, units, solo, pairs) == expected
