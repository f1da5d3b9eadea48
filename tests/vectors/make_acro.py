"""Make `acro.json`: what ACRO 1.0.2 says of generated tables and regressions, with its defaults.

Needs an environment of its own (`pip install "acro==1.0.2" "pandas<=2.3.3"`), as ACRO pins another pandas than ours:

    python tests/vectors/make_acro.py

The file holds facts only: the data that were made here, and for each cell whether a check failed.
"""

import json
import logging
import os
import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

SEED = 20261122
TABLES = 80
MODELS = 24


def main() -> None:
    """Ask ACRO about every table and write the file."""
    target = Path(__file__).with_name("acro.json").resolve()
    logging.disable(logging.CRITICAL)
    source = random.Random(SEED)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # ACRO writes into the folder it is run in
        vectors = {
            "acro": "1.0.2",
            "tables": [_table(source, number) for number in range(TABLES)],
            "models": [_model(source) for _ in range(MODELS)],
        }
    target.write_text(json.dumps(vectors, separators=(",", ":")) + "\n", encoding="utf-8")


def _table(source: random.Random, number: int) -> dict[str, Any]:
    import acro  # type: ignore[import-not-found]

    function = ("sum", "mean", "count")[number % 3]
    streets = "abc"
    sizes = ("s", "m", "l") if number % 2 else ("s",)
    rows = [
        (street, size, value)
        for street in streets
        for size in sizes
        for value in _values(source, source.choice((0, 3, 9, 10, 11, 14, 25)))
    ]
    frame = pd.DataFrame(rows, columns=["street", "size", "tax"])
    session = acro.ACRO(suppress=False)
    session.crosstab(frame["street"], frame["size"], values=frame["tax"], aggfunc=function)
    outcome = session.results.get_index(0).outcome
    failed = sorted(
        [str(street), str(size)]
        for street in outcome.index
        for size in outcome.columns
        if str(outcome.loc[street, size]).strip() not in ("ok", "")
    )
    return {"function": function, "rows": rows, "failed": failed}


def _values(source: random.Random, size: int) -> list[int]:
    kind = source.choice(("even", "even", "heavy", "top", "zero", "negative"))
    if kind == "zero":
        return [0] * size
    values = [source.randint(50, 150) for _ in range(size)]
    if kind == "heavy":
        values = [int(100 * source.paretovariate(0.6)) for _ in range(size)]
    if kind == "top" and size > 1:
        # At and around the limits: two units with nine tenths, and a rest of a tenth of the largest.
        rest = sum(values[2:]) or 100
        values[0] = source.choice((rest * 9 - values[1] + source.randint(-1, 1), rest * 10 + source.randint(-1, 1)))
    if kind == "negative":
        values = [value - 100 for value in values]
    return values


def _model(source: random.Random) -> dict[str, Any]:
    import acro

    parameters = source.choice((2, 3, 5))
    rows = source.choice((parameters + 2, parameters + 9, parameters + 10, parameters + 11, 60))
    random_state = np.random.default_rng(source.randint(0, 2**31))
    features = random_state.normal(size=(rows, parameters))
    features[:, 0] = 1
    session = acro.ACRO(suppress=False)
    session.ols(random_state.normal(size=rows), features)
    status = session.results.get_index(0).status
    return {"rows": rows, "parameters": parameters, "failed": status == "fail"}


if __name__ == "__main__":
    main()
