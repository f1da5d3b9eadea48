"""The look at a SQL text before any parser sees it (docs/spec/plan.md, "SQL"): size, characters, words, nesting.

A small lexer of our own that knows only what the subset needs: what it cannot read is refused, so that the parser gets
no comment, no escape, no parameter, no letter that looks like another one, and nothing deep.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.plan.check import DATASET_PATTERN, NAME_PATTERN, SLUG_PATTERN

__all__ = ["FUNCTIONS", "MAX_DEPTH", "MAX_SQL_BYTES", "Scanned", "refusal", "scan"]

MAX_SQL_BYTES: Final = 16_384
MAX_DEPTH: Final = 12
_MAX_NOTS: Final = 64
_MAX_DOTS: Final = 2
_MAX_SHOWN: Final = 40

FUNCTIONS: Final = (
    "avg",
    "bin",
    "count",
    "histogram",
    "median",
    "quantile_cont",
    "stddev",
    "stddev_samp",
    "sum",
    "var_samp",
    "variance",
)
"""Every function that a statement can call."""

_BRACKETED: Final = "and between by cube filter having in not on rollup select using where"
_BEFORE_BRACKET: Final = frozenset({*FUNCTIONS, *_BRACKETED.split()})
_GRAMMAR: Final = (
    "as asc count cube date desc distinct false for from group inner is join left limit null of on or order outer "
    "rollup true using version"
)
_KEYWORDS: Final = frozenset({*_BEFORE_BRACKET, *_GRAMMAR.split()})

_SHAPE: Final = (
    "SELECT columns, aggregates FROM unit.resource [JOIN other USING (unit)] [WHERE column = literal AND ...] "
    "[GROUP BY columns] [HAVING ...] [ORDER BY ...] [LIMIT n]"
)
_ONE_QUESTION: Final = "one SELECT over data sets by name"
_CONDITIONS: Final = "AND of column and literal: =, <>, <, <=, >, >=, IN, BETWEEN, IS NULL"

_CALLS: Final = f"one of {', '.join(FUNCTIONS)}"

# What is well known in SQL and not in the subset: words, their kind, and what there is instead.
_UNSUPPORTED: Final = (
    ("with recursive materialized", "a common table expression", _ONE_QUESTION),
    ("union intersect except minus", "a set operation", _ONE_QUESTION),
    ("values unnest lateral exists table", "a table expression", _ONE_QUESTION),
    ("pivot unpivot tablesample sample", "a table modifier", _ONE_QUESTION),
    ("over window qualify partition within", "a window", _CALLS),
    ("min max first last mode list arg_min arg_max", "a function that returns single values", _CALLS),
    ("right full cross natural semi anti asof positional", "this kind of join", "JOIN or LEFT JOIN"),
    ("like ilike similar glob regexp rlike escape collate", "a text pattern", _CONDITIONS),
    ("case cast try_cast interval array map struct", "an expression", "columns and literals"),
    ("any some all or xor", "a disjunction", f"{_CONDITIONS}; IN for alternatives"),
    ("grouping sets", "grouping sets", "CUBE (all dimensions)"),
    ("offset fetch top", "this limit", "LIMIT n"),
    ("into returning", "a target", _SHAPE),
)
_REFUSED: Final = {word: (what, allowed) for words, what, allowed in _UNSUPPORTED for word in words.split()}

_TOKEN: Final = re.compile(
    r"""(?P<space>[ \t\r\n]++)
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*+)
    | (?P<number>[0-9]++(?:\.[0-9]++)?+)
    | (?P<text>'(?:[^']|'')*+')
    | (?P<name>"[^"]*+")
    | (?P<mark><=|>=|<>|!=|[=<>(),.*;-])""",
    re.VERBOSE,
)
_NAME: Final = re.compile(rf'"(?:{NAME_PATTERN}|{SLUG_PATTERN}|{DATASET_PATTERN})"')
# Characters that nobody sees, or that another machine may read otherwise.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
_MARKS: Final = {
    "--": "a comment",
    "/*": "a comment",
    "::": "a cast",
    "$$": "dollar quoting",
    "||": "an operator",
}
_SIGNS: Final = {
    "$": "a parameter or dollar quoting",
    "?": "a parameter",
    ":": "a parameter or cast",
    "@": "a parameter",
    "[": "an array or struct access",
    "{": "a struct",
    "\\": "an escape",
    "`": "another dialect's quotes",
    "#": "a positional reference",
    "'": "a text without end",
    '"': "a name without end",
    "\x00": "a NUL",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """How many names and literals a text has: a parser's tree must hold as many."""

    names: int
    literals: int


@dataclass(slots=True)
class _State:
    """What the scan has seen so far."""

    names: int = 0
    literals: int = 0
    depth: int = 0
    nots: int = 0
    dots: int = 0
    last: str = ""
    last_kind: str = ""
    ended: bool = False


def scan(text: str) -> Scanned:
    """Refuse a text that cannot be a statement of the subset; return what its tree must hold.

    Raises:
        InvalidRequestError: too long, an unexpected character, a comment, more than one statement, a word of SQL that
            the subset does not have, a call of another function, or too many levels.
    """
    # SECURITY: before anything that takes time in the length of the text.
    if len(text) > MAX_SQL_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_SQL_BYTES:
        raise refusal("a text this long", f"at most {MAX_SQL_BYTES} bytes")
    state = _State()
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise refusal(_unreadable(text, position), _SHAPE)
        _look(state, str(match.lastgroup), match.group())
        position = match.end()
    if state.depth:
        raise refusal("a bracket without end", _SHAPE)
    return Scanned(names=state.names, literals=state.literals)


def refusal(what: str, allowed: str) -> InvalidRequestError:
    """Return the error that says what was found, by kind, and what is allowed instead."""
    return InvalidRequestError(ErrorCode.SQL_NOT_SUPPORTED, f"{what} is not supported", hint=f"allowed: {allowed}")


def _look(state: _State, kind: str, token: str) -> None:
    if kind == "space":
        state.last_kind = state.last_kind and f"{state.last_kind.strip()} "
        return
    if state.ended:
        raise refusal("a second statement", _ONE_QUESTION)
    if not state.last and token.lower() != "select":
        raise refusal("a statement that is not a SELECT", _SHAPE)
    if "." not in (state.last, token):
        state.dots = 0
    _CHECKS[kind](state, token)
    state.last, state.last_kind = token.lower() if kind == "word" else token, kind


def _look_at_word(state: _State, word: str) -> None:
    lowered = word.lower()
    if state.last_kind in ("number", "text", "name"):
        raise refusal("a literal or name that runs into a word", _SHAPE)
    if lowered == "select" and state.last:
        raise refusal("a subquery", _ONE_QUESTION)
    if lowered in _REFUSED and state.last != ".":
        what, allowed = _REFUSED[lowered]
        raise refusal(f"{what} (`{lowered}`)", allowed)
    state.names += lowered not in _KEYWORDS
    state.nots += lowered == "not"
    if state.nots > _MAX_NOTS:
        raise refusal("so many negations", _CONDITIONS)


def _look_at_number(state: _State, _: str) -> None:
    state.literals += 1
    if state.last_kind in ("word", "text", "name") or state.last == ".":
        raise refusal("a name or literal that runs into a number", _SHAPE)


def _look_at_text(state: _State, token: str) -> None:
    state.literals += 1
    # `E'..'`, `U&'..'`, `x'..'` and texts side by side have escapes or meanings of their own.
    if state.last_kind.strip() in ("text", "number", "name") or state.last_kind == "word":
        raise refusal("a prefixed or concatenated text", "plain texts in single quotes")
    if "\\" in token:
        raise refusal("an escape in a text", "plain texts in single quotes")
    if token.isascii():
        plain = token.isprintable()
    else:
        plain = unicodedata.is_normalized("NFC", token) and not any(
            unicodedata.category(character) in _UNSEEN for character in token
        )
    if not plain:
        raise refusal("an invisible or decomposed character in a text", "visible characters in NFC")


def _look_at_name(state: _State, token: str) -> None:
    state.names += 1
    if state.last_kind in ("word", "number", "text", "name") or not _NAME.fullmatch(token):
        raise refusal("this quoted name", 'names of small letters, digits, `_` and `-`, or "unit/resource"')


def _look_at_mark(state: _State, mark: str) -> None:
    if mark == "(":
        state.depth += 1
        if state.depth > MAX_DEPTH:
            raise refusal("so many levels of brackets", f"{MAX_DEPTH} levels")
        kind = state.last_kind.strip()
        if kind == "name" or (kind == "word" and state.last not in _BEFORE_BRACKET):
            raise refusal(_called(state.last), _CALLS)
    elif mark == ")":
        state.depth -= 1
        if state.depth < 0:
            raise refusal("a bracket without beginning", _SHAPE)
    elif mark == ".":
        _look_at_dot(state)
    elif mark == ";":
        state.ended = True
    elif mark == "-" and state.last == "-":
        raise refusal("a comment or double minus", "numbers with one sign")


def _look_at_dot(state: _State) -> None:
    if state.last_kind not in ("word", "name"):
        raise refusal("a dot that joins no names", _SHAPE)
    state.dots += 1
    if state.dots > _MAX_DOTS:
        raise refusal("a name of so many parts", "`unit.resource.column`")


def _called(name: str) -> str:
    if name in ("from", "join", "as"):
        return "a subquery"
    return f"function `{name}`" if len(name) <= _MAX_SHOWN else "this function"


_CHECKS: Final = {
    "word": _look_at_word,
    "number": _look_at_number,
    "text": _look_at_text,
    "name": _look_at_name,
    "mark": _look_at_mark,
}


def _unreadable(text: str, position: int) -> str:
    pair = text[position : position + 2]
    character = pair[0]
    if pair in _MARKS:
        return _MARKS[pair]
    if character in _SIGNS:
        return _SIGNS[character]
    if not character.isascii():
        return "a letter outside ASCII in a name"
    return f"character `{character}`" if character.isprintable() else "a control character"
