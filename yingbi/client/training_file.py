"""Training files: what a federation is to train, in TOML or JSON, for the command line (docs/sdk.md, "Training files").

A file names no rows and no code, only what `client.training` takes, so that it can be kept beside a model's card.
"""

import json
import tomllib
from collections.abc import Callable, Mapping
from typing import Any, Final

from yingbi.client.problems import plain
from yingbi.errors import ErrorCode, InvalidRequestError

__all__ = ["read_training_file"]

_PRIVACY: Final = ("epsilon", "delta", "clip")
_REQUIRED: Final = frozenset({"recipe", "members", "target", "positive", "features"})


def read_training_file(data: bytes) -> dict[str, Any]:
    """Return the arguments of `client.training` that a file gives; a file that begins with `{` is JSON, else TOML.

    Raises:
        InvalidRequestError: it is neither, or has unknown, missing or wrong members; all are named.
    """
    value = _read(data)
    problems = [f"unknown member `{plain(name)[:40]}`" for name in value if name not in _FORMS]
    problems += [f"expected `{name}`" for name in sorted(_REQUIRED - value.keys())]
    for name, (form, is_one) in _FORMS.items():
        if name in value and not is_one(value[name]):
            problems.append(f"expected {form} in `{name}`")
    if problems:
        raise InvalidRequestError(
            ErrorCode.PLAN_MALFORMED,
            f"expected a training file, got {len(problems)} problems: {'; '.join(problems[:8])}",
            hint=f"members: {', '.join(_FORMS)}",
        )
    privacy = value.pop("privacy", {})
    return {**value, **privacy}


def _read(data: bytes) -> dict[str, Any]:
    try:
        text = data.decode("utf-8")
        value = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (ValueError, RecursionError):
        raise InvalidRequestError(ErrorCode.JSON_MALFORMED, "expected a training file in TOML or JSON, UTF-8") from None
    if not isinstance(value, dict):
        raise InvalidRequestError(ErrorCode.JSON_MALFORMED, "expected an object in a training file")
    return value


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _is_features(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str | dict) for one in value)


def _is_privacy(value: object) -> bool:
    return isinstance(value, dict) and set(value) <= set(_PRIVACY) and all(map(_is_number, value.values()))


def _is_table(is_one: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, dict) and all(map(is_one, value.values()))


_FORMS: Final[Mapping[str, tuple[str, Callable[[object], bool]]]] = {
    "recipe": ("a text", _is_text),
    "members": ("a table of agreements and data sets", _is_table(_is_text)),
    "target": ("a text", _is_text),
    "positive": ("a text, a whole number or a boolean", lambda value: isinstance(value, str | int)),
    "features": ("a list of names and tables", _is_features),
    "parameters": ("a table", lambda value: isinstance(value, dict)),
    "rounds": ("a whole number", _is_count),
    "quorum": ("a whole number", _is_count),
    "min_entities": ("a whole number", _is_count),
    "privacy": (f"a table of {', '.join(_PRIVACY)}", _is_privacy),
    "versions": ("a table of data sets and whole numbers", _is_table(_is_count)),
    "purpose": ("a text", _is_text),
    "certificate": ("a text", _is_text),
}
