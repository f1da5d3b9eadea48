"""DCAT export: read back by a small reader of JSON-LD, held against the vocabularies' terms."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox.catalog.dcat import CONTEXT, catalogue_to_dcat
from sandbox.catalog.model import Catalogue, Dataset, DatasetVersion, UpdateCycle
from sandbox.synth.catalogue import catalogue
from tests.unit.sandbox.catalog.declarations import FILINGS, with_item
from yingbi.errors import InvalidRequestError
from yingbi.events.fields import Grade, Openness

DCAT, DCT, FOAF, CSVW = (CONTEXT[name] for name in ("dcat", "dcterms", "foaf", "csvw"))
# Terms of DCAT 3, DCMI, FOAF and CSVW that exist, with what they are said of.
TERMS = {
    DCAT + "Catalog": {DCT + "title", DCT + "description", DCT + "publisher", DCAT + "dataset"},
    DCAT + "Dataset": {
        DCT + "title", DCT + "description", DCT + "identifier", DCT + "publisher", DCT + "accessRights",
        DCT + "accrualPeriodicity", DCT + "conformsTo", DCT + "modified", DCAT + "version",
    },
    FOAF + "Agent": {FOAF + "name"},
    DCT + "Standard": {CSVW + "column"},
    CSVW + "Column": {CSVW + "name", CSVW + "title", CSVW + "datatype", CSVW + "required"},
}  # fmt: skip
MANDATORY = {
    DCAT + "Catalog": {DCT + "title", DCT + "description", DCT + "publisher", DCAT + "dataset"},
    DCAT + "Dataset": {DCT + "title", DCT + "description"},
    FOAF + "Agent": {FOAF + "name"},
}


def expand(name: str, context: dict[str, str]) -> str:
    prefix, colon, rest = name.partition(":")
    return context[prefix] + rest if colon and prefix in context else name


def nodes(value: Any, context: dict[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every node that has a type, with its properties under their full names."""
    if isinstance(value, list):
        for each in value:
            yield from nodes(each, context)
    elif isinstance(value, dict) and "@value" not in value:
        kinds = value.get("@type", [])
        for kind in [kinds] if isinstance(kinds, str) else kinds[:1]:
            yield (
                expand(kind, context),
                {expand(name, context): each for name, each in value.items() if not name.startswith("@")},
            )
        for name, each in value.items():
            if name not in ("@context", "@id", "@type"):
                yield from nodes(each, context)


def export(*datasets: Dataset, versions: tuple[DatasetVersion, ...] = (), base: str = "urn:yingbi:") -> Any:
    found = Catalogue(
        datasets={each.name: each for each in datasets},
        versions={(each.dataset, each.version): each for each in versions},
    )
    return catalogue_to_dcat(found, base=base, title="目录", description="d", publisher="p")


def test_the_export_uses_terms_that_exist_and_has_what_is_mandatory() -> None:
    value = json.loads(json.dumps(export(*catalogue(), FILINGS)))
    found = list(nodes(value, value["@context"]))
    assert len([kind for kind, _ in found if kind == DCAT + "Dataset"]) == len(catalogue()) + 1
    for kind, properties in found:
        assert set(properties) <= TERMS[kind], kind
        assert MANDATORY.get(kind, set()) <= set(properties), kind


def test_addresses_are_those_of_the_base_and_unique() -> None:
    value = export(*catalogue(), base="https://data.example.org/")
    ids = [each["@id"] for each in value["dcat:dataset"]]
    assert len(set(ids)) == len(ids)
    assert all(each.startswith("https://data.example.org/dataset/") for each in ids)


@pytest.mark.parametrize(
    "base", ["", "https://data.example.org", "javascript:", "urn:", "https://a/\n", "https://a b/"]
)
def test_another_base_is_refused(base: str) -> None:
    with pytest.raises(InvalidRequestError):
        export(FILINGS, base=base)


def test_what_is_not_offered_is_not_told() -> None:
    secret = replace(FILINGS, name="tax/secret", openness=Openness.NOT_OPEN)
    dataset = with_item(with_item(FILINGS, "street", grade=Grade.CORE), "tax_paid", on_negative_list=True)
    text = json.dumps(export(secret, dataset), ensure_ascii=False)
    assert not any(word in text for word in ("tax/secret", "street", "街道", "tax_paid", "实缴税额"))
    assert "filed_on" in text


def test_neither_counts_nor_limits_nor_anything_to_download_is_in_it() -> None:
    version = DatasetVersion(
        dataset=FILINGS.name,
        version=7,
        digest="sha256:" + "0" * 64,
        schema_digest="sha256:" + "1" * 64,
        rows=987654,
        units=876543,
        max_rows_per_unit=2,
        published_at=datetime(2026, 11, 1, tzinfo=UTC),
    )
    value = export(FILINGS, versions=(version,))
    text = json.dumps(value, ensure_ascii=False)
    assert value["dcat:dataset"][0]["dcat:version"] == "7"
    assert not any(word in text for word in ("987654", "876543", "5000000", "华强北", "distribution", "accessURL"))


def test_every_cycle_and_open_type_has_its_word() -> None:
    for cycle in UpdateCycle:
        assert "frequency" in json.dumps(export(replace(FILINGS, update_cycle=cycle)))
    for openness, word in ((Openness.OPEN, "PUBLIC"), (Openness.CONDITIONAL, "RESTRICTED")):
        assert word in json.dumps(export(replace(FILINGS, openness=openness)))
