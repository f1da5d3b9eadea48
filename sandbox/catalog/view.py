"""The catalogue as the policies see it: grades, openness and declared values, as plain facts."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from policies.request import ColumnFacts, DatasetFacts
from sandbox.catalog.model import Catalogue, DataItem, Dataset

__all__ = ["CatalogueFacts"]


class CatalogueFacts:
    """Implements `policies.request.CatalogueView` on a catalogue.

    Facts are made once, when the catalogue is given: a decision takes microseconds, and reads one state throughout.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._facts: Final[Mapping[str, DatasetFacts]] = {
            name: _facts_of(dataset) for name, dataset in catalogue.datasets.items()
        }

    def facts(self, dataset: str) -> DatasetFacts | None:
        """Return what is known of a data set, or nothing."""
        return self._facts.get(dataset)


def _facts_of(dataset: Dataset) -> DatasetFacts:
    return DatasetFacts(
        owner=dataset.owner,
        openness=dataset.openness,
        unit_column=dataset.unit_item.name,
        columns=MappingProxyType({item.name: _column_facts(item) for item in dataset.items}),
        privacy_unit=dataset.privacy_unit,
    )


def _column_facts(item: DataItem) -> ColumnFacts:
    return ColumnFacts(
        grade=item.grade,
        on_negative_list=item.on_negative_list,
        type=item.type.value,
        domain=None if item.domain is None else frozenset(item.domain),
        edges=None if item.edges is None else frozenset(item.edges),
        bounds=item.bounds,
    )
