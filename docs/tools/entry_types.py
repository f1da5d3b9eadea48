"""Write docs/spec/entry-types.md from the models of yingbi/events: `python docs/tools/entry_types.py [--check]`."""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # a checkout needs no installation

from pydantic import BaseModel  # noqa: E402
from pydantic.fields import FieldInfo  # noqa: E402

from yingbi.events import BODY_MODELS, NOUNS, EntryType  # noqa: E402

PAGE = ROOT / "docs" / "spec" / "entry-types.md"
COMMAND = "python docs/tools/entry_types.py"

HEAD = f"""# Entry types

Generated from `yingbi/events/` by `{COMMAND} > docs/spec/entry-types.md`; do not edit. With `--check` it compares.

The set is closed: {len(EntryType)} types, `noun.past_verb`. The `body` of a [statement](statement.md) has exactly the
members named here; one that has nothing to say is `null`. Objects are named by id in the body, evidence by digest in
the head's `refs`; the body repeats nothing of the head. There is no free text: reasons are codes, and `note` is a
salted commitment to a remark.
"""


def first_line(thing: type) -> str:
    """Return the first line of a docstring, without its period."""
    return (thing.__doc__ or "").strip().splitlines()[0].rstrip(".")


def words(thing: type) -> str:
    """Return a class name as words: `KeyRevocation` is `key revocation`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", thing.__name__).lower()


def hints(model: type[BaseModel]) -> dict[str, Any]:
    """Return the members of a model, sorted as canonical JSON sorts them."""
    return dict(
        sorted(
            (name, hint)
            for name, hint in get_type_hints(model, include_extras=True).items()
            if name in model.model_fields
        )
    )


def title(hint: Any) -> str:
    """Return the title that `Annotated` gives a hint, or nothing."""
    return next((str(item.title) for item in get_args(hint)[1:] if isinstance(item, FieldInfo) and item.title), "")


def limits(hint: Any) -> dict[str, Any]:
    """Return the constraints that `Annotated` puts on a hint."""
    names = ("pattern", "min_length", "max_length", "ge", "le")
    marks = [mark for item in get_args(hint)[1:] if isinstance(item, FieldInfo) for mark in item.metadata]
    return {name: getattr(mark, name) for mark in marks for name in names if getattr(mark, name, None) is not None}


def parts(hint: Any) -> Iterator[Any]:
    """Yield a hint and everything it is made of."""
    yield hint
    inner = get_args(hint)[:1] if get_origin(hint) is Annotated else get_args(hint)
    for item in inner if get_origin(hint) is not Literal else ():
        yield from parts(item)
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        for item in hints(hint).values():
            yield from parts(item)


def kind(hint: Any) -> str:
    """Say in words what a member holds."""
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return " or ".join("null" if item is type(None) else kind(item) for item in get_args(hint))
    if origin is Literal:
        return " or ".join(f'`"{item}"`' for item in get_args(hint))
    if origin is Annotated:
        return kind_of_annotated(hint)
    if hint is bool:
        return "boolean"
    if issubclass(hint, BaseModel | StrEnum):
        return f"[{words(hint)}](#{'groups' if issubclass(hint, BaseModel) else 'codes'})"
    raise TypeError(f"no kind for {hint!r}")


def kind_of_annotated(hint: Any) -> str:
    """Say what a constrained member holds."""
    inner, bounds = get_args(hint)[0], limits(hint)
    if get_origin(inner) is not list:
        return title(hint) or kind(inner)
    size = f"{bounds.get('min_length', 0)} to {bounds['max_length']}"
    return f"list of {size} × {kind(get_args(inner)[0])}" + (f", {title(hint)}" if title(hint) else "")


def form(hint: Any) -> str:
    """Give the exact form of a kind: a pattern with its longest length, or a range."""
    bounds = limits(hint)
    if "pattern" in bounds:
        pattern = bounds["pattern"].replace("|", "\\|")
        return f"`{pattern}`, at most {bounds['max_length']} characters"
    return f"integer from {bounds['ge']} to {bounds['le']}"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Draw a Markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in [columns, ["---" for _ in columns], *rows]]
    return "\n".join(lines) + "\n"


def members(model: type[BaseModel]) -> str:
    """List the members of a model with their kinds."""
    return " · ".join(f"`{name}`: {kind(hint)}" for name, hint in hints(model).items())


def render() -> str:
    """Return the whole page."""
    found = [item for model in BODY_MODELS.values() for hint in hints(model).values() for item in parts(hint)]
    classes = sorted({item for item in found if isinstance(item, type)}, key=words)
    kinds = {title(item): form(item) for item in found if title(item) and get_origin(get_args(item)[0]) is not list}
    return "\n".join(
        [
            HEAD,
            *(f"## {noun}\n\n{table_of_noun(noun)}" for noun in NOUNS),
            "## groups\n",
            table(
                ["group", "what it is", "members"],
                [row_of_group(item) for item in classes if issubclass(item, BaseModel)],
            ),
            "## codes\n",
            table(
                ["code", "what it says", "values"], [row_of_code(item) for item in classes if issubclass(item, StrEnum)]
            ),
            "## kinds\n",
            table(["kind", "form"], sorted(kinds.items())),
        ]
    )


def table_of_noun(noun: str) -> str:
    """Draw the table of the entry types of one noun."""
    types = [item for item in EntryType if item.noun == noun]
    rows = [(f"`{item}`", first_line(BODY_MODELS[item]), members(BODY_MODELS[item])) for item in types]
    return table(["type", "what it records", "body"], rows)


def row_of_group(group: type[BaseModel]) -> tuple[str, str, str]:
    """Describe members that stand together."""
    return words(group), first_line(group), members(group)


def row_of_code(code: type[StrEnum]) -> tuple[str, str, str]:
    """Describe a closed list of codes."""
    return words(code), first_line(code), " · ".join(f"`{value}`" for value in code)


def main() -> int:
    """Print the page, or tell whether the file is current."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="compare with docs/spec/entry-types.md; exit 1 if it differs"
    )
    page = render()
    if not parser.parse_args().check:
        sys.stdout.write(page)
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page:
        return 0
    sys.stderr.write(f"{PAGE.name} is out of date: run `{COMMAND} > docs/spec/entry-types.md`\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
