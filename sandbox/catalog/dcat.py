"""The catalogue as DCAT 3 in JSON-LD (W3C Recommendation 2024-08-22, with what DCAT-AP 3 asks of a catalogue).

Only what is offered is in it: no data set that is not open, no core item, none on the negative list; and no data, no
distribution to download, no count of rows or units, no domain and no bound.
"""

import re
from collections.abc import Mapping
from typing import Final

from sandbox.catalog.grades import entering_items, is_offered
from sandbox.catalog.model import Catalogue, DataItem, Dataset, DatasetVersion, ItemType, UpdateCycle
from yingbi.canonical import JsonValue
from yingbi.clock import format_time
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.events.fields import Openness

__all__ = ["CONTEXT", "catalogue_to_dcat"]

CONTEXT: Final[Mapping[str, str]] = {
    "csvw": "http://www.w3.org/ns/csvw#",
    "dcat": "http://www.w3.org/ns/dcat#",
    "dcterms": "http://purl.org/dc/terms/",
    "foaf": "http://xmlns.com/foaf/0.1/",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}
"""Prefixes, written into every export: reading it fetches nothing."""

_FREQUENCY: Final = "http://publications.europa.eu/resource/authority/frequency/"
_ACCESS: Final = "http://publications.europa.eu/resource/authority/access-right/"
# Controlled vocabularies that DCAT-AP 3 prescribes.
_FREQUENCIES: Final = {
    UpdateCycle.REAL_TIME: "CONT",
    UpdateCycle.DAILY: "DAILY",
    UpdateCycle.WEEKLY: "WEEKLY",
    UpdateCycle.MONTHLY: "MONTHLY",
    UpdateCycle.QUARTERLY: "QUARTERLY",
    UpdateCycle.YEARLY: "ANNUAL",
    UpdateCycle.IRREGULAR: "IRREG",
}
_ACCESS_RIGHTS: Final = {Openness.OPEN: "PUBLIC", Openness.CONDITIONAL: "RESTRICTED"}
_DATATYPES: Final = {
    ItemType.INTEGER: "xsd:integer",
    ItemType.DECIMAL: "xsd:decimal",
    ItemType.BOOLEAN: "xsd:boolean",
    ItemType.DATE: "xsd:date",
    ItemType.CODE: "xsd:string",
    ItemType.TEXT: "xsd:string",
}
_BASE: Final = re.compile(
    r"(?:https?://[a-z0-9.-]+(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~-]+)*/|urn:[a-z0-9-]+:[a-z0-9.:-]*)"
)


def catalogue_to_dcat(catalogue: Catalogue, *, base: str, title: str, description: str, publisher: str) -> JsonValue:
    """Return the catalogue in DCAT.

    Args:
        catalogue: what is described.
        base: what addresses are made of: an HTTP address that ends in `/`, or a URN such as `urn:yingbi:`.
        title: of the catalogue.
        description: of the catalogue.
        publisher: name of who publishes it.

    Raises:
        InvalidRequestError: the base is neither.
    """
    if not _BASE.fullmatch(base):
        raise InvalidRequestError(ErrorCode.USAGE, "expected an HTTP address that ends in `/`, or the start of a URN")
    offered = [dataset for _, dataset in sorted(catalogue.datasets.items()) if is_offered(dataset)]
    return {
        "@context": dict(CONTEXT),
        "@id": f"{base}catalogue",
        "@type": "dcat:Catalog",
        "dcterms:title": _text(title),
        "dcterms:description": _text(description),
        "dcterms:publisher": {"@type": "foaf:Agent", "foaf:name": _text(publisher)},
        "dcat:dataset": [_dataset(dataset, catalogue.current(dataset.name), base) for dataset in offered],
    }


def _dataset(dataset: Dataset, version: DatasetVersion | None, base: str) -> JsonValue:
    node: dict[str, JsonValue] = {
        "@id": f"{base}dataset/{dataset.name}",
        "@type": "dcat:Dataset",
        "dcterms:identifier": dataset.name,
        "dcterms:title": _text(dataset.title),
        "dcterms:description": _text(dataset.description or dataset.title),
        "dcterms:publisher": {"@id": f"{base}party/{dataset.owner}", "@type": "foaf:Agent", "foaf:name": dataset.owner},
        "dcterms:accessRights": {"@id": _ACCESS + _ACCESS_RIGHTS[dataset.openness]},
        "dcterms:accrualPeriodicity": {"@id": _FREQUENCY + _FREQUENCIES[dataset.update_cycle]},
        "dcterms:conformsTo": {
            "@id": f"{base}dataset/{dataset.name}/schema",
            "@type": ["dcterms:Standard", "csvw:Schema"],
            "csvw:column": {"@list": [_column(item) for item in entering_items(dataset)]},
        },
    }
    if version is not None:
        node["dcat:version"] = str(version.version)
        node["dcterms:modified"] = {"@type": "xsd:dateTime", "@value": format_time(version.published_at)}
    return node


def _column(item: DataItem) -> JsonValue:
    return {
        "@type": "csvw:Column",
        "csvw:name": item.name,
        "csvw:title": _text(item.title),
        "csvw:datatype": {"@id": _DATATYPES[item.type]},
        "csvw:required": not item.nullable,
    }


def _text(text: str) -> JsonValue:
    is_chinese = any("\u4e00" <= char <= "\u9fff" for char in text)
    return {"@value": text, "@language": "zh" if is_chinese else "en"}
