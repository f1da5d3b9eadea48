"""ACRO 1.0.2 as an oracle: where it says fail, we never release (vectors of tests/vectors/make_acro.py)."""

from typing import Any

import numpy as np
import pytest

from policies.disclosure import DisclosureRules, Zeros
from sandbox.candidate import Population
from sandbox.disclosure.release import ReleaseContext, release
from sandbox.disclosure.released import ReleasedTable
from tests.lib.vectors import load_vectors
from tests.unit.sandbox.disclosure.tables import RecordingHistory, aggregate, candidate_of, catalogue, question
from tests.unit.sandbox.disclosure.test_regression import model, rules_that_fail
from yingbi.plan.model import Function

VECTORS = load_vectors("acro.json")
FUNCTIONS = {
    "sum": aggregate(Function.SUM, "tax"),
    "mean": aggregate(Function.MEAN, "tax"),
    "count": aggregate(Function.COUNT),
}


def _released_cells(table: dict[str, Any]) -> set[tuple[str | None, str | None]]:
    """Return which cells have a released value, of (size, street)."""
    rows = [
        {"unit": place, "street": street, "size": size, "tax": value}
        for place, (street, size, value) in enumerate(table["rows"])
    ]
    asked = question(FUNCTIONS[table["function"]], by=["size", "street"])
    context = ReleaseContext(catalogue=catalogue())
    # Zeros as ACRO takes them by default: they are disclosive.
    rules = DisclosureRules(min_units=10, zeros=Zeros.REFUSE)
    released = release(candidate_of(asked, rows), rules, RecordingHistory(), context=context)
    if not isinstance(released, ReleasedTable):
        return set()
    return {(row.keys[1], row.keys[0]) for row in released.rows if not any(row.suppressed)}


def test_no_cell_that_acro_fails_is_released() -> None:
    asked = released = failed = 0
    for table in VECTORS["tables"]:
        cells = _released_cells(table)
        bad = {(street, size) for street, size in table["failed"]}
        assert not cells & bad
        asked += len({(street, size) for street, size, _ in table["rows"]})
        released += len(cells)
        failed += len(bad)
    # The comparison means something: both kinds are there, and not everything is held back.
    assert (asked, failed) == (427, 247)
    assert released > 40


@pytest.mark.parametrize("number", range(len(VECTORS["models"])))
def test_no_model_that_acro_fails_is_released(number: int) -> None:
    vector = VECTORS["models"][number]
    rows, parameters = vector["rows"], vector["parameters"]
    population = Population(rows=rows, units=rows, units_exact=True)
    names = tuple(f"x{place}" for place in range(parameters))
    numbers = np.ones(parameters)
    candidate = model(
        rows=rows, units=rows, selected=population, terms=names, coefficients=numbers, standard_errors=numbers
    )
    assert bool(rules_that_fail(candidate)) or not vector["failed"]
