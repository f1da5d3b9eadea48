"""Attenuation: what a derived scope permits, its parent permits too, whatever anybody draws."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from policies.certificates.scope import (
    CertificateUse,
    Scope,
    parse_scope,
    permits,
    scope_digest,
    scope_to_json,
    widenings,
)
from yingbi.canonical import canonical_bytes, digest_bytes, parse_canonical
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.events.certificates import AssetRight

DAY = date(2026, 11, 1)
DATASETS = ("tax/filings", "market/firms")
COLUMNS = ("uscc", "tax", "year")
OPERATIONS = ("aggregate", "aggregate.sum", "train", "train.horizontal", "train.horizontal.woe_bins", "psi")
PURPOSES = ("credit", "credit.sme", "credit.sme.pre-loan", "statistics")
ZONES = ("node:tax", "node:market")

WIDE = Scope(
    rights=frozenset({AssetRight.HOLD, AssetRight.PROCESS}),
    datasets={"tax/filings": frozenset({"uscc", "tax"}), "market/firms": frozenset({"uscc"})},
    operations=frozenset({"aggregate", "psi"}),
    purposes=frozenset({"credit"}),
    zones=frozenset({"node:tax", "node:market"}),
    first=DAY,
    last=DAY + timedelta(days=90),
    uses=200,
    rounds=50,
    epsilon=Decimal("2.0"),
    min_entities=10,
    is_onward=True,
    terms="sha256:" + "1" * 64,
)


def subsets(items: Any) -> Any:
    return st.sets(st.sampled_from(list(items))).map(frozenset)


DAYS = st.integers(0, 9).map(lambda days: DAY + timedelta(days=days))
SCOPES = st.builds(
    Scope,
    rights=subsets(AssetRight),
    datasets=st.dictionaries(st.sampled_from(DATASETS), subsets(COLUMNS)),
    operations=subsets(OPERATIONS),
    purposes=subsets(PURPOSES),
    zones=subsets(ZONES),
    first=DAYS,
    last=DAYS,
    uses=st.integers(0, 3),
    rounds=st.integers(0, 3),
    epsilon=st.sampled_from([Decimal(0), Decimal("0.5"), Decimal(1)]),
    min_entities=st.integers(1, 3),
    is_onward=st.booleans(),
    terms=st.sampled_from([None, "sha256:" + "1" * 64]),
)
USES = st.builds(
    CertificateUse,
    right=st.sampled_from(AssetRight),
    columns=st.dictionaries(st.sampled_from(DATASETS), subsets(COLUMNS), min_size=1),
    operation=st.sampled_from(OPERATIONS),
    purpose=st.sampled_from(PURPOSES),
    zone=st.sampled_from(ZONES),
    day=DAYS,
    uses=st.integers(1, 3),
    rounds=st.integers(0, 3),
    epsilon=st.sampled_from([Decimal(0), Decimal("0.5"), Decimal(1)]),
    min_entities=st.integers(1, 3),
)


@st.composite
def narrowed(draw: Any, parent: Scope) -> Scope:
    """Return a scope that is narrower in every dimension, or as wide."""

    def some(items: Any) -> Any:
        names = sorted(items)
        return draw(subsets(names)) if names else frozenset()

    def below(families: frozenset[str], names: tuple[str, ...]) -> Any:
        return some(name for name in names if any(name == one or name.startswith(f"{one}.") for one in families))

    return Scope(
        rights=some(parent.rights),
        datasets={name: some(columns) for name, columns in parent.datasets.items() if draw(st.booleans())},
        operations=below(parent.operations, OPERATIONS),
        purposes=below(parent.purposes, PURPOSES),
        zones=some(parent.zones),
        first=parent.first + timedelta(days=draw(st.integers(0, 3))),
        last=parent.last - timedelta(days=draw(st.integers(0, 3))),
        uses=draw(st.integers(0, parent.uses)),
        rounds=draw(st.integers(0, parent.rounds)),
        epsilon=parent.epsilon / draw(st.integers(1, 3)),
        min_entities=parent.min_entities + draw(st.integers(0, 3)),
        is_onward=draw(st.booleans()),
        terms=parent.terms or draw(st.sampled_from([None, "sha256:" + "2" * 64])),
    )


@given(st.data(), USES)
def test_what_a_derived_scope_permits_its_parent_permits(data: st.DataObject, use: CertificateUse) -> None:
    parent = replace(data.draw(SCOPES), is_onward=True)
    derived = data.draw(narrowed(parent))
    assert widenings(derived, parent) == ()
    if permits(derived, use):
        assert permits(parent, use)


@given(SCOPES, SCOPES, USES)
def test_two_scopes_that_fit_are_never_further_apart_than_they_say(
    one: Scope, other: Scope, use: CertificateUse
) -> None:
    """Whatever two scopes are drawn: a use that only the derived one permits is told of."""
    if permits(one, use) and not permits(other, use):
        assert widenings(one, other) != ()


@given(st.data())
def test_a_chain_never_widens(data: st.DataObject) -> None:
    first = replace(data.draw(SCOPES), is_onward=True)
    second = replace(data.draw(narrowed(first)), is_onward=True)
    third = data.draw(narrowed(second))
    assert widenings(third, first) == ()


@given(SCOPES)
def test_a_scope_is_not_wider_than_itself(scope: Scope) -> None:
    assert [one.dimension for one in widenings(scope, scope)] == ([] if scope.is_onward else ["onward"])


@pytest.mark.parametrize(
    ("change", "dimension"),
    [
        ({"rights": WIDE.rights | {AssetRight.OPERATE}}, "rights"),
        ({"datasets": {**WIDE.datasets, "social/people": frozenset()}}, "datasets"),
        ({"datasets": {"market/firms": frozenset({"uscc", "name"})}}, "columns of market/firms"),
        ({"operations": frozenset({"train"})}, "operations"),
        ({"purposes": frozenset({"creditors"})}, "purposes"),
        ({"zones": frozenset({"node:social"})}, "zones"),
        ({"first": WIDE.first - timedelta(days=1)}, "first"),
        ({"last": WIDE.last + timedelta(days=1)}, "last"),
        ({"uses": 201}, "uses"),
        ({"rounds": 51}, "rounds"),
        ({"epsilon": Decimal("2.01")}, "epsilon"),
        ({"min_entities": 9}, "min_entities"),
        ({"terms": None}, "terms"),
        ({"terms": "sha256:" + "2" * 64}, "terms"),
    ],
)
def test_every_dimension_is_told_by_itself(change: dict[str, Any], dimension: str) -> None:
    (found,) = widenings(replace(WIDE, **change), WIDE)
    assert found.dimension == dimension
    assert found.asked
    assert found.allowed


def test_what_is_not_onward_has_no_children() -> None:
    (found,) = widenings(WIDE, replace(WIDE, is_onward=False))
    assert found.dimension == "onward"


USE = CertificateUse(
    right=AssetRight.PROCESS,
    columns={"tax/filings": frozenset({"tax"})},
    operation="aggregate.sum",
    purpose="credit.sme.pre-loan",
    zone="node:tax",
    day=DAY,
    min_entities=10,
)


def test_a_use_within_a_scope_is_permitted() -> None:
    assert permits(WIDE, USE)
    assert permits(WIDE, replace(USE, uses=200, rounds=50, epsilon=Decimal(2), day=WIDE.last))


@pytest.mark.parametrize(
    "change",
    [
        {"right": AssetRight.OPERATE},
        {"columns": {"tax/filings": frozenset({"name"})}},
        {"columns": {"social/people": frozenset()}},
        {"operation": "train"},
        {"operation": "aggregates"},
        {"purpose": "statistics"},
        {"purpose": "creditors"},
        {"zone": "node:social"},
        {"day": WIDE.first - timedelta(days=1)},
        {"day": WIDE.last + timedelta(days=1)},
        {"uses": 201},
        {"rounds": 51},
        {"epsilon": Decimal("2.0000000001")},
        {"min_entities": 9},
    ],
)
def test_a_use_beyond_a_scope_is_not(change: dict[str, Any]) -> None:
    assert not permits(WIDE, replace(USE, **change))


@given(SCOPES)
def test_a_scope_reads_back(scope: Scope) -> None:
    assume(scope.rights and scope.first <= scope.last)
    text = canonical_bytes(scope_to_json(scope))
    assert parse_scope(parse_canonical(text, max_bytes=10_000)) == scope
    assert scope_digest(scope) == digest_bytes(text)


def test_what_is_written_has_one_form() -> None:
    assert scope_to_json(WIDE) == {
        "rights": ["hold", "process"],
        "datasets": {"tax/filings": ["tax", "uscc"], "market/firms": ["uscc"]},
        "operations": ["aggregate", "psi"],
        "purposes": ["credit"],
        "zones": ["node:market", "node:tax"],
        "valid": {"from": "2026-11-01", "until": "2027-01-30"},
        "uses": 200,
        "rounds": 50,
        "epsilon": "2",
        "min_entities": 10,
        "onward": True,
        "terms": "sha256:" + "1" * 64,
    }


@pytest.mark.parametrize(
    "change",
    [
        {"rights": []},
        {"rights": ["own"]},
        {"rights": ["process", "hold"]},
        {"rights": ["hold", "hold"]},
        {"datasets": {"tax/filings": ["uscc", "tax"]}},
        {"datasets": {"tax filings": []}},
        {"datasets": []},
        {"operations": ["psi", "aggregate"]},
        {"operations": [""]},
        {"zones": ["node:\n"]},
        {"valid": {"from": "2026-11-02", "until": "2026-11-01"}},
        {"valid": {"from": "2026-02-30", "until": "2026-11-01"}},
        {"valid": {"from": "2026-11-01"}},
        {"uses": -1},
        {"uses": 1.5},
        {"uses": "200"},
        {"uses": True},
        {"epsilon": "2.0"},
        {"epsilon": "-1"},
        {"epsilon": 2},
        {"min_entities": 0},
        {"onward": "yes"},
        {"terms": "1" * 64},
        {"more": 1},
    ],
)
def test_what_is_no_scope_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_scope({**scope_to_json(WIDE), **change})
    assert caught.value.code is ErrorCode.CERTIFICATE_MALFORMED
    for missing in scope_to_json(WIDE):
        with pytest.raises(InvalidRequestError):
            parse_scope({name: value for name, value in scope_to_json(WIDE).items() if name != missing})


@given(SCOPES, USES)
def test_nothing_permits_nothing(scope: Scope, use: CertificateUse) -> None:
    assume(not scope.rights or not scope.operations or not scope.purposes or not scope.zones or not scope.uses)
    assert not permits(scope, use)
