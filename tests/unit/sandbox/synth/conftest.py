"""Generated data that the tests here share; nobody changes it."""

from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from sandbox.synth.credit import Credit, draw_credit
from sandbox.synth.firms import Firms, draw_firms
from sandbox.synth.generate import generate, make_tables

SEED = 11


@pytest.fixture(scope="session")
def tables() -> dict[str, pa.Table]:
    """All tables of a small scale."""
    return make_tables(scale=Decimal("0.01"), seed=SEED)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the smallest scale."""
    place = tmp_path_factory.mktemp("synth") / "data"
    generate(place, scale=Decimal("0.001"), seed=SEED)
    return place


@pytest.fixture(scope="session")
def firms() -> Firms:
    """As many firms as at scale 1."""
    return draw_firms(121_000, SEED)


@pytest.fixture(scope="session")
def credit(firms: Firms) -> Credit:
    """Their features and who borrows where."""
    return draw_credit(firms, SEED)
