"""The catalogue is complete, documented and used, and messages keep their form."""

import ast
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from yingbi import errors
from yingbi.errors import CATALOGUE, ErrorCode, ExitCode, InvalidRequestError, RefusedError, SandboxError

ROOT: Final = Path(__file__).parents[3]
PACKAGES: Final = ("yingbi", "policies", "ledger", "sandbox", "federated", "api")
STATUS_OF: Final = {
    "InvalidRequestError": 422,
    "AuthenticationError": 401,
    "NotFoundError": 404,
    "ConflictError": 409,
    "RefusedError": 403,
    "VerificationError": 400,
    "UnavailableError": 503,
    "TamperDetectedError": 500,
}
CLASSES: Final = {*STATUS_OF, "SandboxError"}
# Words with a capital letter wherever they stand; acronyms, `LogAnchor` and everything in backticks are free anyway.
NAMES: Final = {"Unicode", "Ethereum", "Flower", "Parquet"}


@dataclass(frozen=True)
class Construction:
    """One place where an error is made."""

    where: str
    maker: str
    code: str | None
    message: str


@cache
def _sources() -> dict[Path, ast.Module]:
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return {path.relative_to(ROOT): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def _constructions() -> Iterator[Construction]:
    """Find calls of error classes, and of functions that say that they return one."""
    for path, module in _sources().items():
        makers = {
            node.name
            for node in ast.walk(module)
            if isinstance(node, ast.FunctionDef) and node.returns is not None and _names(node.returns) & CLASSES
        }
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in makers | CLASSES:
                yield from _of_call(f"{path}:{node.lineno}", node.func.id, node)


def _of_call(where: str, maker: str, call: ast.Call) -> Iterator[Construction]:
    codes = [
        item.attr
        for item in call.args
        if isinstance(item, ast.Attribute) and isinstance(item.value, ast.Name) and item.value.id == "ErrorCode"
    ]
    texts = [text for item in call.args if (text := _literal(item)) is not None]
    texts += [text for word in call.keywords if word.arg == "hint" and (text := _literal(word.value)) is not None]
    for text in texts or [""]:
        yield Construction(where, maker, codes[0] if codes else None, text)


def _names(node: ast.expr) -> set[str]:
    return {item.id for item in ast.walk(node) if isinstance(item, ast.Name)}


def _literal(node: ast.expr) -> str | None:
    """Return the text of a string literal, with `{}` for what an f-string puts in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return None


CONSTRUCTIONS: Final = list(_constructions())


# The catalogue


def test_every_code_is_in_the_catalogue_once() -> None:
    assert list(CATALOGUE) == list(ErrorCode)


@pytest.mark.parametrize("code", ErrorCode)
def test_codes_are_slugs_and_their_names_say_the_same(code: ErrorCode) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", code)
    assert code.name == code.value.replace("-", "_").upper()


@pytest.mark.parametrize("code", ErrorCode)
def test_every_code_has_a_status_a_title_and_an_exit_code_of_an_error(code: ErrorCode) -> None:
    spec = CATALOGUE[code]
    assert spec.status in STATUS_OF.values()
    assert spec.exit_code not in {ExitCode.OK, ExitCode.LOG_SIGNED_ONLY, ExitCode.COULD_NOT_CHECK}
    assert spec.title == spec.title.strip()
    assert not spec.title.endswith(".")
    assert len(spec.title) < 60


def test_titles_differ() -> None:
    assert len({spec.title for spec in CATALOGUE.values()}) == len(CATALOGUE)


def test_evidence_that_does_not_hold_exits_with_1_and_nothing_else_does() -> None:
    for code, spec in CATALOGUE.items():
        is_evidence = spec.status in {400, 500} and code is not ErrorCode.INTERNAL
        assert (spec.exit_code is ExitCode.INVALID) is is_evidence, code


def test_every_code_is_used_somewhere() -> None:
    used = {
        node.attr
        for path, module in _sources().items()
        if path != Path("yingbi/errors.py")
        for node in ast.walk(module)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ErrorCode"
    }
    assert [code.name for code in ErrorCode if code.name not in used] == []


def test_every_class_is_public_and_has_one_status() -> None:
    classes = {
        name
        for name, item in vars(errors).items()
        if isinstance(item, type) and issubclass(item, SandboxError) and item is not SandboxError
    }
    assert classes == set(STATUS_OF)
    assert classes <= set(errors.__all__)


def test_the_page_is_current() -> None:
    command = [sys.executable, str(ROOT / "docs" / "tools" / "errors.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    for code, spec in CATALOGUE.items():
        assert f'<a id="{code}"></a>`{code}` | {spec.status} | {spec.title} | {int(spec.exit_code)} ' in page


# The places where errors are made


def test_the_scan_finds_what_it_looks_for() -> None:
    assert len(CONSTRUCTIONS) > 100
    assert {item.maker for item in CONSTRUCTIONS} > {"InvalidRequestError", "_malformed", "_problem"}
    assert "expected 1 to {} signatures" in {item.message for item in CONSTRUCTIONS}


def test_messages_and_hints_are_one_line_in_lower_case_without_a_period() -> None:
    wrong = {item.where: problem for item in CONSTRUCTIONS if (problem := _fault_of(item.message))}
    assert wrong == {}


def _fault_of(message: str) -> str | None:
    plain = re.sub(r"`[^`]*`", "``", message)
    words = set(re.findall(r"(?<![\w'-])[A-Z][a-z]+(?!\w)", plain))
    faults = {
        "more than one line": "\n" in message,
        "spaces around": message != message.strip(),
        "a final period": plain.endswith((".", "!")),
        "an open backtick": message.count("`") % 2 == 1,
        f"not lower case: {words}": not words <= NAMES,
    }
    return next((name for name, is_so in faults.items() if is_so), None)


@pytest.mark.parametrize("message", ["Expected a key", "expected a Key", "a key.", "a\nkey", "a key ", "a `key", "no!"])
def test_the_rules_for_messages_refuse(message: str) -> None:
    assert _fault_of(message) is not None


def test_the_class_of_an_error_and_its_code_have_one_status() -> None:
    wrong = {
        item.where: f"{item.maker} with {item.code}"
        for item in CONSTRUCTIONS
        if item.code and item.maker in STATUS_OF and CATALOGUE[ErrorCode[item.code]].status != STATUS_OF[item.maker]
    }
    assert wrong == {}


def test_the_root_class_is_made_for_unforeseen_errors_only() -> None:
    assert {item.code for item in CONSTRUCTIONS if item.maker == "SandboxError"} <= {"INTERNAL"}


def test_product_code_has_no_assert() -> None:
    found = [
        f"{path}:{node.lineno}"
        for path, module in _sources().items()
        for node in ast.walk(module)
        if isinstance(node, ast.Assert)
    ]
    assert found == []


# The classes


def test_an_error_shows_its_message_and_no_detail() -> None:
    error = RefusedError(ErrorCode.KEY_EXPOSED, "a message", hint="a hint", detail="for the log")
    assert str(error) == "a message"
    assert (error.message, error.hint, error.detail) == ("a message", "a hint", "for the log")
    assert error.spec is CATALOGUE[ErrorCode.KEY_EXPOSED]
    assert "log" not in f"{error} {error!r}"


def test_an_error_crosses_processes() -> None:
    error = InvalidRequestError(ErrorCode.USAGE, "a message", hint="a hint", detail="for the log")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is InvalidRequestError
    assert (copy.code, str(copy), copy.hint, copy.detail) == (ErrorCode.USAGE, "a message", "a hint", "for the log")
    bare = pickle.loads(pickle.dumps(SandboxError(ErrorCode.INTERNAL, "a message")))
    assert (bare.hint, bare.detail) == (None, None)
