"""What the report says in each language, from catalogues beside this module."""

import json
from functools import cache
from importlib.resources import files
from typing import Final

__all__ = ["LANGUAGES", "Texts", "load_texts"]

LANGUAGES: Final = ("en", "zh")


class Texts:
    """The texts of one language."""

    def __init__(self, language: str, texts: dict[str, str]) -> None:
        self.language = language
        self._texts = texts

    def __call__(self, key: str, **values: object) -> str:
        """Return a text with values filled in."""
        return self._texts[key].format(**values)

    def code(self, kind: str, code: object) -> str:
        """Return the word for a code of a closed list, with the code beside it; the code alone where it has none."""
        word = self._texts.get(f"{kind}.{code}")
        return str(code) if word in (None, str(code)) else f"{word} ({code})"

    @property
    def keys(self) -> frozenset[str]:
        """Return all keys."""
        return frozenset(self._texts)


@cache
def load_texts(language: str) -> Texts:
    """Load the texts of a language."""
    text = files("yingbi.audit.texts").joinpath(f"{language}.json").read_text("utf-8")
    return Texts(language, json.loads(text))
