"""What runs at every party gives the same bits everywhere: a closed vocabulary, and digests to compare with.

The digests are of states that follow from whole numbers of a SHA-256 stream, so that no C library takes part.
"""

import ast
from collections.abc import Iterator

import numpy as np
import pytest

from federated.horizontal.grid import DERIVATIVE_BITS
from federated.horizontal.parameters import (
    LogisticParameters,
    NetworkParameters,
    Optimizer,
    RecipeName,
    TreesParameters,
)
from federated.horizontal.recipe import RECIPES
from federated.horizontal.spec import TrainingSpec
from federated.horizontal.state import Phase, State
from tests.lib.product_code import ROOT
from tests.unit.federated.horizontal.examples import Stream, Sums, make_spec, private
from yingbi.canonical import digest_json

FOLDER = ROOT / "federated" / "horizontal"
SAME_EVERYWHERE = {
    "documents", "encoding", "evaluation", "exact", "layout", "logistic_model", "logistic_rounds", "network_rounds",
    "parameters", "reading", "solve", "spec", "state", "trees_model", "trees_rounds", "woe_rounds",
}  # fmt: skip

# Of NumPy: making arrays, moving entries, and what IEEE 754 rounds correctly, entry by entry.
NUMPY = {
    "array", "zeros", "ones", "full", "concatenate", "ascontiguousarray", "minimum", "maximum", "sqrt",
    "float64", "int64", "bool_",
}  # fmt: skip
MATH = {"sqrt", "isfinite"}
METHODS = {"sum", "mean", "dot", "prod", "cumsum", "std", "var", "trace", "matmul", "exp", "log", "ln"}
OTHER_MODULES = {
    "collections.abc", "dataclasses", "decimal", "enum", "hashlib", "itertools", "math", "numpy", "numpy.typing", "re",
    "types", "typing",
}  # fmt: skip


def strays(tree: ast.AST) -> Iterator[str]:
    """Yield what is outside of the vocabulary: other functions, powers, matrix products, sums whose order is open."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Attribute):
            text = ast.unparse(node)
            if ast.unparse(node.value) == "np" and node.attr not in NUMPY:
                yield f"line {line}: {text}"
            elif ast.unparse(node.value) == "math" and node.attr not in MATH:
                yield f"line {line}: {text}"
            elif node.attr in METHODS and not text.startswith("_DIGITS."):
                yield f"line {line}: {text}"
        elif (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"sum", "pow", "divmod"}
        ):
            yield f"line {line}: {node.func.id}"
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.MatMult):
            yield f"line {line}: a matrix product"
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Pow):
            if not (isinstance(node, ast.BinOp) and isinstance(node.left, ast.Constant) and node.left.value == 2):
                yield f"line {line}: a power"
        elif isinstance(node, ast.Import):
            yield from (f"line {line}: {item.name}" for item in node.names if item.name not in OTHER_MODULES)
        elif isinstance(node, ast.ImportFrom):
            yield from _imported(node)


def _imported(node: ast.ImportFrom) -> Iterator[str]:
    module = node.module or ""
    if module == "math":
        yield from (f"math.{item.name}" for item in node.names if item.name not in MATH)
    elif module.startswith("federated.horizontal."):
        if module.removeprefix("federated.horizontal.") not in SAME_EVERYWHERE:
            yield f"line {node.lineno}: {module}"
    elif module not in OTHER_MODULES | {"federated.content", "yingbi.canonical", "yingbi.errors"}:
        yield f"line {node.lineno}: {module}"


@pytest.mark.parametrize("name", sorted(SAME_EVERYWHERE))
def test_only_what_gives_the_same_bits_everywhere_is_used(name: str) -> None:
    assert list(strays(ast.parse((FOLDER / f"{name}.py").read_text("utf-8")))) == []


def test_every_module_between_exchanges_is_looked_at() -> None:
    names = {path.stem for path in FOLDER.glob("*.py")}
    assert {name for name in names if name.endswith(("_rounds", "_model"))} <= SAME_EVERYWHERE <= names


BAD = """
import scipy
from math import exp
from federated.horizontal.design import losses
a = np.exp(x)
b = np.sum(x)
c = x.sum()
d = x @ y
e = np.linalg.solve(a, b)
f = x ** 0.5
g = sum(values)
h = math.log(2)
i = np.dot(a, b)
j @= k
"""


def test_the_search_finds_what_it_looks_for() -> None:
    assert len(list(strays(ast.parse(BAD)))) >= 13


# --- digests ----------------------------------------------------------------------------------------------------------


def quadratic(spec: TrainingSpec, state: State, stream: Stream) -> Sums:
    """Return sums of a made-up likelihood whose maximum is known: whole numbers over 64, whatever the order."""
    size = len(state.arrays["candidate"])
    rows = [[stream.below(129) - 64 for _ in range(size)] for _ in range(3 * size)]
    hessian = [[sum(row[i] * row[j] for row in rows) / 4096 for j in range(size)] for i in range(size)]
    goal = [(stream.below(129) - 64) / 64 for _ in range(size)]
    apart = [b - c for b, c in zip(state.arrays["candidate"].tolist(), goal, strict=True)]
    gradient = []
    loss = 100.0
    for i in range(size):
        slope = 0.0
        for j in range(size):
            slope += hessian[i][j] * apart[j]
        gradient.append(slope)
        loss += apart[i] * slope / 2.0
    packed = [hessian[i][j] for i in range(size) for j in range(i, size)]
    sums = {"gradient": np.array(gradient), "hessian": np.array(packed), "loss": np.array([loss])}
    if state.step == 0:
        sums["target_counts"] = np.array([900.0, 300.0])
        sums["column_counts"] = np.full(size, 100.0)
    return sums


def made_up(spec: TrainingSpec, state: State, seed: str) -> Sums:
    """Return sums as a layout announces them, from the stream alone."""
    if spec.recipe is RecipeName.LOGISTIC_REGRESSION and state.phase is Phase.TRAIN:
        return quadratic(spec, state, Stream(seed))
    stream = Stream(f"{seed} {state.step}")
    sums = {}
    for part in RECIPES[spec.recipe].layout(spec, state).parts:
        size = int(np.prod(part.shape))
        if part.is_count:
            values = [float(40 + stream.below(500)) for _ in range(size)]
        elif part.name == "hessian":
            values = [(stream.below(100 << DERIVATIVE_BITS)) / 2**DERIVATIVE_BITS for _ in range(size)]
        else:
            values = [(stream.below(200 << DERIVATIVE_BITS)) / 2**DERIVATIVE_BITS - 100.0 for _ in range(size)]
        sums[part.name] = np.array(values).reshape(part.shape)
    return sums


SPECS = {
    "logistic": make_spec(RecipeName.LOGISTIC_REGRESSION),
    "logistic, penalised": make_spec(RecipeName.LOGISTIC_REGRESSION, LogisticParameters(l2=2.5)),
    "logistic, private": make_spec(
        RecipeName.LOGISTIC_REGRESSION,
        LogisticParameters(max_steps=6),
        privacy=private(RecipeName.LOGISTIC_REGRESSION),
    ),
    "trees": make_spec(RecipeName.GRADIENT_BOOSTED_TREES),
    "trees, private": make_spec(
        RecipeName.GRADIENT_BOOSTED_TREES,
        TreesParameters(trees=3, depth=4),
        privacy=private(RecipeName.GRADIENT_BOOSTED_TREES),
    ),
    "network": make_spec(RecipeName.SMALL_NETWORK),
    "network, momentum": make_spec(
        RecipeName.SMALL_NETWORK, NetworkParameters(units=2, steps=7, optimizer=Optimizer.MOMENTUM)
    ),
    "bins": make_spec(RecipeName.WOE_BINS),
}
GOLDEN: dict[str, tuple[str, str]] = {}


def play(name: str) -> tuple[str, str]:
    """Return the digests of the last state and of the model."""
    spec = SPECS[name]
    recipe = RECIPES[spec.recipe]
    state = recipe.start(spec)
    while state.phase is not Phase.DONE:
        state = recipe.advance(spec, state, made_up(spec, state, name), 3)
    return state.digest(), digest_json(recipe.model(spec, state))


@pytest.mark.parametrize("name", SPECS)
def test_states_and_models_have_the_digests_of_version_1(name: str) -> None:
    assert play(name) == GOLDEN[name]


def test_the_stream_is_what_it_was() -> None:
    stream = Stream("x")
    assert [stream.below(1000) for _ in range(3)] == [681, 9, 294]
