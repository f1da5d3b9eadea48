"""What a model card says in each language, from catalogues beside this module."""

import json
from functools import cache
from importlib.resources import files

from yingbi.audit.texts import LANGUAGES, Texts

__all__ = ["LANGUAGES", "Texts", "load_texts"]


@cache
def load_texts(language: str) -> Texts:
    """Load the texts of a language."""
    text = files("yingbi.models.texts").joinpath(f"{language}.json").read_text("utf-8")
    return Texts(language, json.loads(text))
