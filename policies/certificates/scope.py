"""What a certificate permits, in every dimension in which one that is derived from it must not be wider.

A scope is a set of uses. `permits` says whether one use is in it, `widenings` in which dimensions a scope reaches
beyond another; where there are none, every use that the narrower one permits, the wider one permits too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from policies.compiled import covers
from policies.model import decimal_text
from yingbi.canonical import JsonValue, digest_json
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.events.certificates import AssetRight
from yingbi.events.fields import Count, DecimalText, Digest, OneOf, Ordinal

__all__ = [
    "CertificateUse",
    "Scope",
    "Widening",
    "parse_scope",
    "permits",
    "scope_digest",
    "scope_to_json",
    "widenings",
]

_MAX_NAMES: Final = 256
_DAY: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_Name = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,200}$")]
_Names = Annotated[list[_Name], Field(max_length=_MAX_NAMES)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What may be done.

    `datasets`: columns by name of the data set. `purposes`, `operations`: names, each with its family (`credit` covers
    `credit.sme`). `zones`: nodes. `first`, `last`: days, both included. `uses`: jobs; `rounds`: of federations;
    `epsilon`: of noise; none of these three is without limit: what is absent permits nothing of it. `min_entities`: how
    many entities every figure is of, at least. `is_onward`: whether it may be licensed further.
    """

    rights: frozenset[AssetRight]
    datasets: Mapping[str, frozenset[str]]
    operations: frozenset[str]
    purposes: frozenset[str]
    zones: frozenset[str]
    first: date
    last: date
    uses: int = 0
    rounds: int = 0
    epsilon: Decimal = Decimal(0)
    min_entities: int = 1
    is_onward: bool = False
    terms: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateUse:
    """One use that somebody wants to make, and all that was made before it: counts with this use among them."""

    right: AssetRight
    columns: Mapping[str, frozenset[str]]
    operation: str
    purpose: str
    zone: str
    day: date
    uses: int = 1
    rounds: int = 0
    epsilon: Decimal = Decimal(0)
    min_entities: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Widening:
    """A dimension in which a derived scope is wider, with what it has and what it may have at most."""

    dimension: str
    asked: str
    allowed: str


def permits(scope: Scope, use: CertificateUse) -> bool:
    """Tell whether a use is within a scope."""
    return (
        use.right in scope.rights
        and all(columns <= scope.datasets.get(name, frozenset()) for name, columns in use.columns.items())
        and use.columns.keys() <= scope.datasets.keys()
        and covers(scope.operations, use.operation)
        and covers(scope.purposes, use.purpose)
        and use.zone in scope.zones
        and scope.first <= use.day <= scope.last
        and use.uses <= scope.uses
        and use.rounds <= scope.rounds
        and use.epsilon <= scope.epsilon
        and use.min_entities >= scope.min_entities
    )


def widenings(derived: Scope, parent: Scope) -> tuple[Widening, ...]:
    """Return the dimensions in which a derived scope is wider than the one that it comes from; none where it fits.

    Onward use: what comes from a scope that may not be licensed further is wider whatever else it says.
    """
    return (
        *_beyond("rights", {*derived.rights}, {*parent.rights}),
        *_datasets(derived, parent),
        *_families("operations", derived.operations, parent.operations),
        *_families("purposes", derived.purposes, parent.purposes),
        *_beyond("zones", set(derived.zones), set(parent.zones)),
        *_widening("first", derived.first < parent.first, derived.first, parent.first),
        *_widening("last", derived.last > parent.last, derived.last, parent.last),
        *_widening("uses", derived.uses > parent.uses, derived.uses, parent.uses),
        *_widening("rounds", derived.rounds > parent.rounds, derived.rounds, parent.rounds),
        *_widening("epsilon", derived.epsilon > parent.epsilon, derived.epsilon, parent.epsilon),
        *_widening(
            "min_entities", derived.min_entities < parent.min_entities, derived.min_entities, parent.min_entities
        ),
        *_widening("onward", not parent.is_onward, "licensed", "not licensed further"),
        *_widening("terms", parent.terms not in (None, derived.terms), derived.terms, parent.terms),
    )


def scope_to_json(scope: Scope) -> dict[str, JsonValue]:
    """Return the one JSON form of a scope: every member is there, lists ascend, decimals are texts."""
    return {
        "rights": [*sorted(right.value for right in scope.rights)],
        "datasets": {name: [*sorted(columns)] for name, columns in scope.datasets.items()},
        "operations": [*sorted(scope.operations)],
        "purposes": [*sorted(scope.purposes)],
        "zones": [*sorted(scope.zones)],
        "valid": {"from": scope.first.isoformat(), "until": scope.last.isoformat()},
        "uses": scope.uses,
        "rounds": scope.rounds,
        "epsilon": decimal_text(scope.epsilon),
        "min_entities": scope.min_entities,
        "onward": scope.is_onward,
        "terms": scope.terms,
    }


def scope_digest(scope: Scope) -> str:
    """Return the digest of the canonical JSON: what approvals and certificates name a scope by."""
    return digest_json(scope_to_json(scope))


def parse_scope(value: object) -> Scope:
    """Read the JSON form of a scope.

    Raises:
        InvalidRequestError: it has another form.
    """
    try:
        wire = _ScopeWire.model_validate(value)
        scope = wire.read()
    except (ValidationError, ValueError):
        raise InvalidRequestError(
            ErrorCode.CERTIFICATE_MALFORMED, "expected a scope as docs/spec/certificate.md has it"
        ) from None
    if scope_to_json(scope) != value:
        raise InvalidRequestError(ErrorCode.CERTIFICATE_MALFORMED, "expected lists in ascending order, without doubles")
    return scope


def _datasets(derived: Scope, parent: Scope) -> tuple[Widening, ...]:
    found = _beyond("datasets", set(derived.datasets), set(parent.datasets))
    for name in sorted(derived.datasets.keys() & parent.datasets.keys()):
        found += _beyond(f"columns of {name}", set(derived.datasets[name]), set(parent.datasets[name]))
    return found


def _families(dimension: str, derived: frozenset[str], parent: frozenset[str]) -> tuple[Widening, ...]:
    beyond = sorted(name for name in derived if not covers(parent, name))
    return _widening(dimension, bool(beyond), ", ".join(beyond), ", ".join(sorted(parent)))


def _beyond(dimension: str, derived: set[str], parent: set[str]) -> tuple[Widening, ...]:
    beyond = derived - parent
    return _widening(dimension, bool(beyond), ", ".join(sorted(beyond)), ", ".join(sorted(parent)))


def _widening(dimension: str, is_wider: bool, asked: object, allowed: object) -> tuple[Widening, ...]:
    return (Widening(dimension=dimension, asked=str(asked), allowed=str(allowed)),) if is_wider else ()


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class _PeriodWire(_Wire):
    first: Annotated[str, Field(alias="from", pattern=_DAY)]
    last: Annotated[str, Field(alias="until", pattern=_DAY)]


class _ScopeWire(_Wire):
    rights: Annotated[list[OneOf[AssetRight]], Field(min_length=1)]
    datasets: Annotated[dict[_Name, _Names], Field(max_length=_MAX_NAMES)]
    operations: _Names
    purposes: _Names
    zones: _Names
    valid: _PeriodWire
    uses: Count
    rounds: Count
    epsilon: DecimalText
    min_entities: Ordinal
    onward: bool
    terms: Digest | None

    def read(self) -> Scope:
        first, last = date.fromisoformat(self.valid.first), date.fromisoformat(self.valid.last)
        if last < first:
            raise ValueError("a period that ends before it begins")
        return Scope(
            rights=frozenset(self.rights),
            datasets={name: frozenset(columns) for name, columns in self.datasets.items()},
            operations=frozenset(self.operations),
            purposes=frozenset(self.purposes),
            zones=frozenset(self.zones),
            first=first,
            last=last,
            uses=self.uses,
            rounds=self.rounds,
            epsilon=Decimal(self.epsilon),
            min_entities=self.min_entities,
            is_onward=self.onward,
            terms=self.terms,
        )
