"""The catalogue as the hub knows it: the data sets on the ledger, with the documents that declare them. Never data."""

import json
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from api.documents import Documents
from api.submissions import Submission
from policies.standing import DatasetStanding, Standing
from sandbox.catalog.codec import parse_dataset
from sandbox.catalog.model import Catalogue, Dataset, DatasetVersion
from sandbox.catalog.problem import CatalogueInvalidError, Problem
from sandbox.catalog.validate import check_dataset
from yingbi.errors import SandboxError
from yingbi.events import EntryType
from yingbi.events.datasets import DatasetRegistered
from yingbi.ids import dataset_id

__all__ = ["HubCatalogue", "check_registrations"]

# How many rows a data set has stays at its node; what the hub tells of costs is told without them.
_UNKNOWN_ROWS: Final = 0


class HubCatalogue:
    """Declared data sets by the digest of their document, read once."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._lock = threading.Lock()
        self._read: dict[str, Dataset | None] = {}
        self._last: tuple[tuple[DatasetStanding, ...], Catalogue] = ((), Catalogue())

    def dataset(self, digest: str) -> Dataset | None:
        """Return what a document declares, or nothing where there is none or it cannot be read."""
        with self._lock:
            if digest in self._read:
                return self._read[digest]
        content = self._documents.find(digest)
        if content is None:
            return None
        dataset = _read(content)
        with self._lock:
            self._read[digest] = dataset
        return dataset

    def catalogue(self, standing: Standing) -> Catalogue:
        """Return the data sets that can be computed on now, with the versions that jobs may name."""
        listed = tuple(standing.datasets.items())
        known, last = self._last
        if len(known) != len(listed) or any(one is not other for one, other in zip(known, listed, strict=True)):
            last = self._make(listed)
            self._last = (listed, last)
        return last

    def _make(self, all_listed: tuple[DatasetStanding, ...]) -> Catalogue:
        datasets: dict[str, Dataset] = {}
        versions: dict[tuple[str, int], DatasetVersion] = {}
        for listed in all_listed:
            dataset = None if listed.is_withdrawn else self.dataset(listed.entry)
            if dataset is None:
                continue
            datasets[dataset.name] = dataset
            versions |= {
                (dataset.name, number): _version(dataset, number, version.schema_digest)
                for number, version in listed.versions.items()
                if listed.is_usable(number)
            }
        return Catalogue(datasets=datasets, versions=versions)


def check_registrations(submission: Submission) -> None:
    """Refuse the registration of a data set that its document does not declare rightly.

    Raises:
        CatalogueInvalidError: the document is missing, wrong, or says something else than the statement.
    """
    for statement in submission.statements:
        if statement.type is EntryType.DATASET_REGISTERED:
            body = DatasetRegistered.model_validate(statement.payload.body)
            _check_registration(statement.payload.id, body, submission.documents)


def _check_registration(name: str, body: DatasetRegistered, documents: Mapping[str, bytes]) -> None:
    content = documents.get(body.catalogue_entry)
    if content is None:
        raise _wrong("expected the catalogue entry among the documents")
    dataset = parse_dataset(json.loads(content))
    if problems := check_dataset(dataset):
        raise CatalogueInvalidError.of(problems)
    said = (body.owner, body.privacy_unit, body.openness, name)
    if said != (dataset.owner, dataset.privacy_unit, dataset.openness, dataset_id(dataset.name)):
        raise _wrong("the statement and the catalogue entry say different things")


def _read(content: bytes) -> Dataset | None:
    try:
        return parse_dataset(json.loads(content))
    except (SandboxError, ValueError):
        return None


def _version(dataset: Dataset, number: int, schema_digest: str) -> DatasetVersion:
    return DatasetVersion(
        dataset=dataset.name,
        version=number,
        digest=schema_digest,
        schema_digest=schema_digest,
        rows=_UNKNOWN_ROWS,
        units=_UNKNOWN_ROWS,
        max_rows_per_unit=dataset.max_rows_per_unit,
        published_at=datetime(2000, 1, 1, tzinfo=UTC),
    )


def _wrong(message: str) -> CatalogueInvalidError:
    return CatalogueInvalidError.of([Problem(message=message)])
