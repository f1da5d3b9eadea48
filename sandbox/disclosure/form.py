"""The form of a candidate: what the rules may rely on. A candidate of another form never gets as far as a rule."""

from sandbox.candidate import Candidate, MeasureValues
from sandbox.operations.registry import measures_of
from yingbi.errors import ErrorCode, UnavailableError

__all__ = ["check_form"]


def check_form(candidate: Candidate) -> None:
    """Check that every array has one element a cell, that no measure is missing, and that counts are possible.

    Raises:
        UnavailableError: the engine broke its contract (`engine-failed`).
    """
    cells, dimensions = candidate.cells, len(candidate.question.group_by)
    is_sound = (
        len(candidate.keys) == len(candidate.units) == len(candidate.units_exact) == cells
        and candidate.is_total.shape == (cells, dimensions)
        and all(len(key) == dimensions for key in candidate.keys)
        and len(_identities(candidate)) == cells
        and set(candidate.measures) == set(measures_of(candidate.question))
        and _are_possible(candidate)
        and all(_is_sound(values, cells) for values in candidate.measures.values())
    )
    if not is_sound:
        raise UnavailableError(ErrorCode.ENGINE_FAILED, "computation returned an answer of another form")


def _identities(candidate: Candidate) -> set[tuple[object, ...]]:
    return {(key, tuple(totals)) for key, totals in zip(candidate.keys, candidate.is_total.tolist(), strict=True)}


def _are_possible(candidate: Candidate) -> bool:
    counts = (candidate.rows >= 0) & (candidate.units >= 0) & (candidate.units <= candidate.rows)
    return bool(counts.all()) and bool((candidate.rows <= candidate.selected.rows).all())


def _is_sound(values: MeasureValues, cells: int) -> bool:
    sizes = (values.totals, values.rows, values.units, values.units_exact, values.absolute, values.largest)
    lengths = {len(one) for one in (*sizes, values.second, values.largest_exact, values.negative)}
    sides = {len(side) for side in (values.below, values.above) if side is not None}
    counts = (values.rows >= 0) & (values.units >= 0) & (values.units <= values.rows)
    return lengths <= {cells} and sides <= {cells} and bool(counts.all()) and min(values.second, default=0) >= 0
