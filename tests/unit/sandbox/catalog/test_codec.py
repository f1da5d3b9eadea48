"""JSON form of a data set: round trips, strictness, one digest a declaration."""

import pickle
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings

from sandbox.catalog.codec import (
    dataset_digest,
    dataset_to_json,
    decode_dataset,
    encode_dataset,
    item_to_json,
    parse_dataset,
)
from sandbox.catalog.model import DataItem, Dataset, Visibility
from sandbox.catalog.problem import CatalogueInvalidError
from tests.unit.sandbox.catalog.declarations import FILINGS, datasets, with_item
from yingbi.errors import ErrorCode, InvalidRequestError


@settings(deadline=None)
@given(datasets())
def test_reading_gives_what_was_written(dataset: Dataset) -> None:
    assert parse_dataset(dataset_to_json(dataset)) == dataset
    assert decode_dataset(encode_dataset(dataset)) == dataset
    assert encode_dataset(decode_dataset(encode_dataset(dataset))) == encode_dataset(dataset)


def test_every_member_is_written() -> None:
    assert set(dataset_to_json(FILINGS)) == {field.name for field in fields(Dataset)}
    assert set(item_to_json(FILINGS.items[0])) == {field.name for field in fields(DataItem)}


def test_what_is_absent_is_the_default() -> None:
    least = {
        "name": "tax/filings",
        "title": "t",
        "owner": "unit:a",
        "privacy_unit": "person",
        "items": [{"name": "id", "title": "id", "type": "text", "role": "unit"}],
    }
    dataset = parse_dataset(least)
    assert dataset.items[0].grade == "general-4"
    assert dataset.items[0].visibility == dataset.membership == "confidential"


def test_equal_numbers_have_one_digest_and_other_ones_another() -> None:
    value: Any = dataset_to_json(FILINGS)
    assert dataset_digest(parse_dataset(value)) == dataset_digest(FILINGS)
    other = with_item(FILINGS, "street", visibility=Visibility.PUBLIC)
    assert dataset_digest(other) != dataset_digest(FILINGS)


def broken(**changes: object) -> Any:
    return {**dataset_to_json(FILINGS), **changes}


def broken_item(**changes: object) -> Any:
    return broken(items=[{**item_to_json(FILINGS.items[1]), **changes}])


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (broken(extra=1), "extra"),
        (broken(CANARY_MEMBER=1), ""),
        ({name: each for name, each in broken().items() if name != "owner"}, "owner"),
        (broken(title=1), "title"),
        (broken(max_rows_per_unit="1"), "max_rows_per_unit"),
        (broken(max_rows_per_unit=True), "max_rows_per_unit"),
        (broken(max_rows_per_unit=1.0), "max_rows_per_unit"),
        (broken(max_rows_per_unit=2**31), "max_rows_per_unit"),
        (broken(openness="CANARY"), "openness"),
        (broken(items={}), "items"),
        (broken(items=[[]]), "items[0]"),
        (broken_item(bounds=["1"]), "items[0].bounds"),
        (broken_item(bounds=[1, 2]), "items[0].bounds[0]"),
        (broken_item(bounds=["NaN", "2"]), "items[0].bounds[0]"),
        (broken_item(bounds=["1e5", "2"]), "items[0].bounds[0]"),
        (broken_item(bounds=["0", "9" * 41]), "items[0].bounds[1]"),
        (broken_item(nullable="yes"), "items[0].nullable"),
        (broken_item(extra=None), "items[0].extra"),
        ([], ""),
        (None, ""),
        ("CANARY", ""),
    ],
)
def test_what_has_another_form_is_refused(value: Any, path: str) -> None:
    with pytest.raises(CatalogueInvalidError) as caught:
        parse_dataset(value)
    assert path in caught.value.problems[0].path
    assert caught.value.code is ErrorCode.CATALOGUE_INVALID
    assert "CANARY" not in str(caught.value.problems)


def test_bytes_that_are_not_canonical_are_refused() -> None:
    with pytest.raises(InvalidRequestError):
        decode_dataset(encode_dataset(FILINGS).replace(b'":', b'": ', 1))


def test_an_error_with_problems_survives_a_process_boundary() -> None:
    with pytest.raises(CatalogueInvalidError) as caught:
        parse_dataset(broken(a=1, b=2))
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.problems, copy.message, copy.code) == (
        caught.value.problems,
        "a: expected only known members (and 1 more)",
        caught.value.code,
    )


def test_decimals_keep_their_value_whatever_their_exponent() -> None:
    item = FILINGS.items[1]
    assert item.bounds is not None
    same = replace(item, bounds=(item.bounds[0], item.bounds[1].normalize()))
    assert item_to_json(same) == item_to_json(item)
