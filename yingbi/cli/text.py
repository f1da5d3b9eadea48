"""What the command line says, in Chinese and English, from catalogues.

The language is `YINGBI_LANG` (`en` or `zh`), else that of the locale (`LC_ALL`, `LC_MESSAGES`, `LANG`), else English.
Error messages of the library are English and stay so: they are part of its interface.
"""

import json
import os
from functools import cache
from importlib.resources import files
from typing import Final

__all__ = ["LANGUAGES", "language", "load_catalogue", "t"]

LANGUAGES: Final = ("en", "zh")


def t(key: str, **values: object) -> str:
    """Return the text of `key` in the user's language, with `values` filled in."""
    return load_catalogue(language())[key].format(**values)


def language() -> str:
    """Return the user's language."""
    wanted = os.environ.get("YINGBI_LANG") or next(
        (os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)), ""
    )
    return "zh" if wanted.lower().startswith("zh") else "en"


@cache
def load_catalogue(code: str) -> dict[str, str]:
    """Load the catalogue of a language: one file a noun."""
    parts = files("yingbi").joinpath("locale", code).iterdir()
    return {key: text for part in parts for key, text in json.loads(part.read_text("utf-8")).items()}
