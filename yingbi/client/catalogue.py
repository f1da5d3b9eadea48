"""Data sets as the hub lists them: the declaration, read as the node reads it, and the versions that can be asked.

SECURITY: what a hub sends is checked like any stranger's file. A name stands for its declaration and its versions;
what is signed later names the data set by the id that follows from its name, not by one that the hub chose.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from sandbox.catalog.codec import parse_dataset
from sandbox.catalog.grades import dataset_grade
from sandbox.catalog.model import Catalogue, Dataset, DatasetVersion
from sandbox.catalog.validate import check_dataset
from yingbi.canonical import digest_json
from yingbi.client.exchange import malformed_answer
from yingbi.client.problems import plain
from yingbi.client.shown import fields_html, fields_text
from yingbi.errors import ErrorCode, NotFoundError
from yingbi.ids import dataset_id

__all__ = ["DatasetRecord", "catalogue_of", "parse_record"]

_MAX_VERSIONS: Final = 100_000
_UNKNOWN_TIME: Final = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRecord:
    """A data set of the catalogue: its id in the log, its declaration, its versions, and the node that has it."""

    id: str
    dataset: Dataset = field(repr=False)
    digest: str
    versions: tuple[int, ...]
    node: str | None

    @property
    def name(self) -> str:
        """Return `unit/resource`."""
        return self.dataset.name

    @property
    def grade(self) -> str:
        """Return the strictest grade of its items."""
        return str(dataset_grade(self.dataset))

    @property
    def current(self) -> int:
        """Return the newest version.

        Raises:
            NotFoundError: none was published.
        """
        if not self.versions:
            raise NotFoundError(ErrorCode.VERSION_NOT_FOUND, f"no version of `{self.name}` was published")
        return self.versions[-1]

    def __str__(self) -> str:
        return fields_text(f"{self.name} {self.dataset.title}", self._facts())

    def _repr_html_(self) -> str:
        return fields_html(f"{self.name} {self.dataset.title}", self._facts())

    def _facts(self) -> dict[str, object]:
        return {
            "id": self.id,
            "owner": self.dataset.owner,
            "openness": self.dataset.openness,
            "grade": self.grade,
            "versions": ", ".join(str(version) for version in self.versions),
            "node": self.node,
        }


def parse_record(value: object) -> DatasetRecord:
    """Read a data set as a hub lists it.

    Raises:
        VerificationError: it has another form, or its declaration breaks the rules of the catalogue.
    """
    if not isinstance(value, dict):
        raise malformed_answer("a data set of the catalogue")
    document = value.get("document")
    dataset = parse_dataset(document)
    if dataset.name != value.get("name") or check_dataset(dataset):
        raise malformed_answer("a data set whose declaration is sound and bears its name")
    if value.get("id") != dataset_id(dataset.name):
        raise malformed_answer("the id that follows from the name of a data set")
    return DatasetRecord(
        id=dataset_id(dataset.name),
        dataset=dataset,
        digest=digest_json(document),
        versions=_versions(value.get("versions")),
        node=plain(value.get("node")) or None,
    )


def catalogue_of(records: Iterable[DatasetRecord]) -> Catalogue:
    """Return the catalogue that questions about these data sets are bound to; it knows nothing of their content."""
    found = {record.name: record for record in records}
    return Catalogue(
        datasets={name: record.dataset for name, record in found.items()},
        versions={
            (name, version): _version(name, version) for name, record in found.items() for version in record.versions
        },
    )


def _versions(value: object) -> tuple[int, ...]:
    items = value if isinstance(value, list) else []
    numbers = {_number(item) for item in items[:_MAX_VERSIONS]}
    return tuple(sorted(number for number in numbers if number > 0))


def _number(item: object) -> int:
    if not isinstance(item, dict) or type(item.get("version")) is not int:
        raise malformed_answer("versions of a data set")
    # Jobs may name a version when its grades are confirmed.
    number: int = item["version"]
    return number if item.get("is_usable", True) is True else 0


def _version(name: str, number: int) -> DatasetVersion:
    # What a version holds stays at the node; a question needs its number only.
    return DatasetVersion(
        dataset=name,
        version=number,
        digest="",
        schema_digest="",
        rows=0,
        units=0,
        max_rows_per_unit=0,
        published_at=_UNKNOWN_TIME,
    )
