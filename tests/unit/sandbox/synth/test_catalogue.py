"""Declarations: what the catalogue accepts, and what everybody's tests rely on."""

import pytest

from sandbox.catalog.codec import dataset_to_json, parse_dataset
from sandbox.catalog.model import Dataset, ItemRole, ItemType, Visibility
from sandbox.catalog.validate import check_dataset
from sandbox.synth.catalogue import catalogue
from yingbi.events.fields import Grade, PrivacyUnit

EVERY = pytest.mark.parametrize("dataset", catalogue(), ids=lambda dataset: dataset.name)


@EVERY
def test_declarations_are_accepted_and_survive_json(dataset: Dataset) -> None:
    assert check_dataset(dataset) == []
    assert parse_dataset(dataset_to_json(dataset)) == dataset


@EVERY
def test_money_is_confidential_and_bounded(dataset: Dataset) -> None:
    for item in dataset.items:
        if item.unit_of_measure == "CNY":
            assert item.visibility is Visibility.CONFIDENTIAL, item.name
            assert item.bounds is not None, item.name
            assert item.edges, item.name


@EVERY
def test_every_number_has_bounds_and_a_unit_of_measure(dataset: Dataset) -> None:
    for item in dataset.items:
        if item.type in (ItemType.INTEGER, ItemType.DECIMAL):
            assert item.bounds is not None, item.name
            assert item.unit_of_measure or item.role is ItemRole.ROW_KEY, item.name


@EVERY
def test_bounds_leave_room_for_sums_of_a_district(dataset: Dataset) -> None:
    """Two million units with the largest value each still add up in 127 bits, squares too."""
    for item in dataset.items:
        if item.bounds is not None:
            largest = int(max(map(abs, item.bounds)).scaleb(item.decimals))
            assert largest**2 * 2_000_000 * dataset.max_rows_per_unit < 2**127, item.name


def test_who_and_what_is_public() -> None:
    by_name = {dataset.name: dataset for dataset in catalogue()}
    enterprises = by_name["market/enterprises"]
    public = {item.name for item in enterprises.items if item.visibility is Visibility.PUBLIC}
    assert {"street", "community", "grid", "industry", "size", "registration_year"} <= public
    assert enterprises.membership is Visibility.PUBLIC
    assert by_name["justice/penalties"].membership is Visibility.CONFIDENTIAL
    persons = [name for name, dataset in by_name.items() if dataset.privacy_unit is PrivacyUnit.PERSON]
    assert persons == ["population/residents"]
    assert not any(item.grade is Grade.CORE for dataset in catalogue() for item in dataset.items)


def test_both_versions_of_the_hierarchy_are_declared() -> None:
    items = {item.name: item for item in catalogue()[0].items}
    assert {name: len(items[name].domain or ()) for name in ("street", "community", "grid")} == {
        "street": 10,
        "community": 95,
        "grid": 1_232,
    }
    assert len(items["community_2025"].domain or ()) == 92
    assert len(items["grid_2025"].domain or ()) == 1_646
    parents = {name: item.parent for name, item in items.items() if item.parent}
    assert parents == {
        "community": "street",
        "grid": "community",
        "community_2025": "street",
        "grid_2025": "community_2025",
    }
