"""What runs at every party gives the same bits everywhere: a closed vocabulary, and digests to compare with.

The digests are of states that follow from whole numbers of a SHA-256 stream, so that no C library takes part.
"""

import ast
from collections.abc import Iterator

import numpy as np
import pytest

from federated.horizontal.grid import GRID_BITS
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
        found: Iterator[str] = iter(())
        if isinstance(node, ast.Attribute):
            found = _reached(node)
        elif isinstance(node, ast.Call):
            found = (name for name in ("sum", "pow", "divmod") if ast.unparse(node.func) == name)
        elif isinstance(node, ast.BinOp | ast.AugAssign):
            found = _computed(node)
        elif isinstance(node, ast.Import):
            found = (item.name for item in node.names if item.name not in OTHER_MODULES)
        elif isinstance(node, ast.ImportFrom):
            found = _imported(node)
        yield from (f"line {getattr(node, 'lineno', 0)}: {name}" for name in found)


def _reached(node: ast.Attribute) -> Iterator[str]:
    owner = ast.unparse(node.value)
    if owner in ("np", "math"):
        if node.attr not in (NUMPY if owner == "np" else MATH):
            yield ast.unparse(node)
    elif node.attr in METHODS and owner != "_DIGITS":
        yield ast.unparse(node)


def _computed(node: ast.BinOp | ast.AugAssign) -> Iterator[str]:
    left = getattr(node, "left", None)
    is_shift = isinstance(left, ast.Constant) and left.value == 2
    if isinstance(node.op, ast.MatMult) or (isinstance(node.op, ast.Pow) and not is_shift):
        yield ast.unparse(node)


def _imported(node: ast.ImportFrom) -> Iterator[str]:
    module = node.module or ""
    own = module.removeprefix("federated.horizontal.")
    if module == "math":
        yield from (f"math.{item.name}" for item in node.names if item.name not in MATH)
    elif own != module:
        yield from () if own in SAME_EVERYWHERE else (module,)
    elif module not in OTHER_MODULES | {"federated.content", "yingbi.canonical", "yingbi.errors"}:
        yield module


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
            values = [(stream.below(100 << GRID_BITS)) / 2**GRID_BITS for _ in range(size)]
        else:
            values = [(stream.below(200 << GRID_BITS)) / 2**GRID_BITS - 100.0 for _ in range(size)]
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
GOLDEN: dict[str, tuple[str, str]] = {
    "logistic": (
        "sha256:3f6a391dc1138ea7f34c0d9ef48bec94ea235350cd16944720bb9aebe766bae4",
        "sha256:7b02bd90647d52cce2eb9bd65cfdadf0383967139fcc677902d87bf21aaa8582",
    ),
    "logistic, penalised": (
        "sha256:c69a9ce64ae8d33bc9aeeffbf283ae8956042c3609610cfb76aeb4238662ab83",
        "sha256:7198e4085043354a1bdd2e7eeeda9d5f7e66ca750f5f239ba46d49e0f2b004ba",
    ),
    "logistic, private": (
        "sha256:df0cb0e9b86f3b159ed8eb20f310cb4c1ea855502fd9e6e7c8349decbbc92fbe",
        "sha256:f6ca9788a46a205c78ee45d9f70b137cb415512fddc2d7353793c2618762d641",
    ),
    "trees": (
        "sha256:6548e0a7cb70667339ddfc60670219a83437b4c5376ee462f0bae04de8a15edc",
        "sha256:4d41ffa4a60ef87146eded1bcb5cc073fd899db239c6d1cb93421eaa4af75b75",
    ),
    "trees, private": (
        "sha256:7aae92e6062e61d909c3ac24b494395d1baed1629c8cb10cd769e2a9011e2444",
        "sha256:b67122ec14cafe38ad0ee2e9811c2fe8bc8b7e2011af3607e8bda342c82560c3",
    ),
    "network": (
        "sha256:9611e5b56711cca14b4f8da4d09c374dd49c6459c77d7589a128f380f732ceaf",
        "sha256:4a4b1a0f41b2b57fc94d6b9958f64abe6ef9f7bb14b1a2762ff9c397a7ba5a30",
    ),
    "network, momentum": (
        "sha256:f69f0e427b4e47442fad893e27ef9f45109a5c63386c511c0634663d617e5d98",
        "sha256:8a3a134a377c9db8eb6862ab56940c99bb74bc079aa4fc74f533c0c2fe63cb92",
    ),
    "bins": (
        "sha256:d8e95450b549653a4bfd60d5946a1d2cbbdb1994d18f829ed9f0dfac8e3ffdff",
        "sha256:5606f76e7db000b75696ea8cc7502cf2a5927be0458039676eae5ab7415d3599",
    ),
}


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
