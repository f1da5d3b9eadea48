"""Reading YAML 1.1 and JSON as nodes with their places, and nothing clever (docs/spec/agreement.md, "Text").

Of YAML only what a signed text needs: mappings, lists and scalars. Aliases, anchors, tags, several documents, keys that
are not text and doubled keys are refused; scalars stay text, so that no reader guesses that `no` or `01` is something.
Every input is hostile: size, depth and number of nodes are bounded before anything is built. This is the only importer
of `yaml`; of it only the event reader and the plain writer are used, which make no objects.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

import yaml

from policies.problems import AgreementProblem, shown
from yingbi.canonical import JsonValue

__all__ = [
    "AMBIGUOUS_WORDS",
    "MAX_BYTES",
    "MAX_NESTING",
    "MAX_NODES",
    "ListNode",
    "MapNode",
    "Node",
    "Scalar",
    "read_document",
    "write_document",
]

MAX_BYTES: Final = 64 << 10
MAX_NODES: Final = 10_000
MAX_NESTING: Final = 12
# What YAML readers take for something else than text when it has no quotes.
AMBIGUOUS_WORDS: Final = frozenset(
    {"", "~", "null", "y", "n", "yes", "no", "on", "off", "true", "false", ".inf", "-.inf", "+.inf", ".nan"}
)


@dataclass(frozen=True, slots=True)
class Scalar:
    """A text; `is_plain` where it stands without quotes."""

    line: int
    column: int
    text: str
    is_plain: bool


@dataclass(slots=True)
class ListNode:
    """A list of nodes."""

    line: int
    column: int
    items: list["Node"] = field(default_factory=list)


@dataclass(slots=True)
class MapNode:
    """A mapping, in the order of the text; each key once."""

    line: int
    column: int
    pairs: dict[str, tuple[Scalar, "Node"]] = field(default_factory=dict)
    key: Scalar | None = None


Node = Scalar | ListNode | MapNode


class _Mark(Protocol):
    line: int
    column: int


class _RefusedError(Exception):
    """Reading cannot go on."""

    def __init__(self, line: int, column: int, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.problem = AgreementProblem(line=line, column=column, path="", message=message, hint=hint)


def read_document(data: bytes) -> tuple[Node | None, list[AgreementProblem]]:
    """Return the document in `data` and what is wrong with its form; nothing where it cannot be read at all."""
    problems: list[AgreementProblem] = []
    try:
        return _build(_events(_decode(data)), problems), problems
    except _RefusedError as refused:
        return None, [*problems, refused.problem]


def write_document(value: JsonValue) -> str:
    """Return a JSON value as YAML that every reader reads alike."""
    return yaml.dump(value, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=1 << 20)


class _Dumper(yaml.SafeDumper):
    """Writes texts in quotes wherever some reader could take them for something else."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    is_plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9_./:-]*[A-Za-z0-9]", text) and text.lower() not in AMBIGUOUS_WORDS
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if is_plain else '"')


_Dumper.add_representer(str, _represent_text)


def _decode(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise _RefusedError(1, 1, f"expected at most {MAX_BYTES} bytes, got {len(data)}")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        raise _RefusedError(line, column, "expected text in UTF-8") from None
    # JSON may be indented with tabs, which YAML forbids; inside JSON's strings there are none.
    return text.replace("\t", " ") if text.lstrip().startswith("{") else text


def _events(text: str) -> Iterator[yaml.Event]:
    try:
        yield from yaml.parse(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line, column = _place(error.problem_mark or error.context_mark)
        raise _RefusedError(line, column, "expected YAML or JSON", hint=_hint(error.problem)) from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, error.position - (before.rfind("\n") + 1) + 1
        raise _RefusedError(line, column, "expected text without control characters") from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError):
        raise _RefusedError(1, 1, "expected YAML or JSON") from None


def _place(mark: _Mark | None) -> tuple[int, int]:
    return (1, 1) if mark is None else (mark.line + 1, mark.column + 1)


def _hint(problem: str | None) -> str | None:
    # The reader's own words quote single characters at most; anything else is dropped.
    return (
        problem if problem is not None and problem.isascii() and problem.isprintable() and len(problem) < 100 else None
    )


def _build(events: Iterator[yaml.Event], problems: list[AgreementProblem]) -> Node | None:
    root: Node | None = None
    stack: list[ListNode | MapNode] = []
    nodes = documents = 0
    for event in events:
        line, column = _place(event.start_mark)
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise _RefusedError(line, column, "expected one document")
        elif isinstance(event, yaml.AliasEvent):
            raise _RefusedError(line, column, "aliases are not allowed", "write the value out")
        elif isinstance(event, yaml.NodeEvent):
            nodes += 1
            _check_node(event, nodes, len(stack), line, column)
            node = _make(event, line, column)
            if stack:
                _attach(stack[-1], node, problems)
            else:
                root = node
            if not isinstance(node, Scalar):
                stack.append(node)
        elif isinstance(event, yaml.CollectionEndEvent):
            stack.pop()
    return root


def _check_node(event: yaml.NodeEvent, nodes: int, depth: int, line: int, column: int) -> None:
    if nodes > MAX_NODES:
        raise _RefusedError(line, column, f"expected at most {MAX_NODES} values")
    if depth > MAX_NESTING:
        raise _RefusedError(line, column, f"expected at most {MAX_NESTING} levels")
    if event.anchor is not None:
        raise _RefusedError(line, column, "anchors are not allowed", "write the value out")
    if getattr(event, "tag", None) is not None:
        raise _RefusedError(line, column, "tags are not allowed")


def _make(event: yaml.NodeEvent, line: int, column: int) -> Node:
    if isinstance(event, yaml.ScalarEvent):
        if event.value and not event.value.isprintable():
            raise _RefusedError(line, column, "expected a text of one line without control characters")
        return Scalar(line, column, event.value, event.style is None)
    return ListNode(line, column) if isinstance(event, yaml.SequenceStartEvent) else MapNode(line, column)


def _attach(parent: ListNode | MapNode, node: Node, problems: list[AgreementProblem]) -> None:
    if isinstance(parent, ListNode):
        parent.items.append(node)
    elif parent.key is None:
        if not isinstance(node, Scalar):
            raise _RefusedError(node.line, node.column, "expected a text as member name")
        parent.key = node
    else:
        key, parent.key = parent.key, None
        if key.text in parent.pairs:
            message = f"member {shown(key.text)} stands here twice"
            problems.append(AgreementProblem(line=key.line, column=key.column, path=key.text[:80], message=message))
        else:
            parent.pairs[key.text] = (key, node)
