"""Events: the closed set of ledger entry types, each with the model of its statement's body (docs/spec/entry-types.md).

Rules of all bodies: objects are named by id in the body, evidence by digest in the head's `refs`; the body repeats
nothing of the head; nothing identifying in clear; every member is there, an absent one is `null`; reasons are codes,
remarks are salted commitments.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pydantic import BaseModel

from yingbi.events import (
    agreements,
    certificates,
    challenges,
    code,
    datasets,
    federations,
    jobs,
    outputs,
    people,
    trust,
)
from yingbi.events.identifying import find_identifying
from yingbi.events.types import NOUNS, EntryType

__all__ = ["BODY_MODELS", "NOUNS", "EntryType", "find_identifying"]

BODY_MODELS: Final[Mapping[EntryType, type[BaseModel]]] = MappingProxyType(
    {
        **trust.MODELS,
        **people.MODELS,
        **datasets.MODELS,
        **agreements.MODELS,
        **certificates.MODELS,
        **jobs.MODELS,
        **outputs.MODELS,
        **federations.MODELS,
        **code.MODELS,
        **challenges.MODELS,
    }
)
