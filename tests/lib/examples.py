"""The smallest valid body and payload of every entry type, made from the models themselves."""

from enum import StrEnum
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from yingbi.events import BODY_MODELS, EntryType
from yingbi.ids import new_id

__all__ = ["minimal_body", "minimal_payload"]

_DIGEST: Final = "sha256:" + "5f" * 32
_KEY: Final = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"  # RFC 8037 A.2
_TIME: Final = "2026-11-21T08:00:00.000000Z"

_EXAMPLES: Final[dict[str, str | int]] = {
    "party": "partner:bank-a",
    "id": new_id("obj", random_bits=lambda bits: 0x2A5F3C7E9B1D480635A7C2E4F60819BDC % 2**bits),
    "id or party": "partner:bank-a",
    "digest": _DIGEST,
    "commitment": _DIGEST,
    "time": _TIME,
    "slug": "credit.sme.pre-loan",
    "thumbprint": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",  # RFC 8037 A.3
    "public key": _KEY,
    "verifier key": "log.example/futian+1a2b3c4d+AdYAYKxCrfVS7TyWQHOg7hcvPapiMlrwIaaPcHURobcd",
    "contract address": "0x" + "5e" * 20,
    "transaction hash": "0x" + "7d" * 32,
    "chain id": "1337",
    "decimal": "0.25",
    "signed decimal": "-0.25",
    "count": 0,
    "ordinal": 1,
}


def minimal_body(entry_type: EntryType) -> dict[str, Any]:
    """Return the smallest valid body of `entry_type`: `null` where it may be, lists as short as they may be."""
    return _example_of_model(BODY_MODELS[entry_type])


def minimal_payload(entry_type: EntryType, **overrides: Any) -> dict[str, Any]:
    """Return the smallest valid payload of `entry_type` (docs/spec/statement.md), with members replaced as given."""
    payload: dict[str, Any] = {
        "type": str(entry_type),
        "id": new_id(entry_type.noun, random_bits=lambda bits: 0x1F9E8D7C6B5A493827160504F3E2D1C0B % 2**bits),
        "issuer": "bureau:futian",
        "on_behalf_of": None,
        "issued_at": _TIME,
        "nonce": "q83vEjRWeJq83vEjRWeJqw",
        "subject": [],
        "refs": {},
        "body": minimal_body(entry_type),
    }
    return {**payload, **overrides}


def _example_of_model(model: type[BaseModel]) -> dict[str, Any]:
    hints = get_type_hints(model, include_extras=True)
    return {name: _example(hints[name]) for name in model.model_fields}


def _example(hint: Any) -> Any:
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return None  # unions are "something or null" only; another kind of union fails where it is validated
    if origin is Literal:
        return get_args(hint)[0]
    if origin is Annotated:
        return _example_of_annotated(hint)
    if hint is bool:
        return False
    if issubclass(hint, StrEnum):
        return str(next(iter(hint)))
    return _example_of_model(hint)


def _example_of_annotated(hint: Any) -> Any:
    inner = get_args(hint)[0]
    fields = [item for item in get_args(hint)[1:] if isinstance(item, FieldInfo)]
    if get_origin(inner) is list:
        bounds = [mark.min_length for field in fields for mark in field.metadata if hasattr(mark, "min_length")]
        return [_example(get_args(inner)[0]) for _ in range(max(bounds, default=0))]
    title = next((field.title for field in fields if field.title), None)
    return _example(inner) if title is None else _EXAMPLES[title]
