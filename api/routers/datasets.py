"""The catalogue: what data there is, on which node, in which versions; never the data."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.filing import FILED, file_submission
from api.pages import Cursor, Limit, take_page
from api.refusals import not_found
from api.routes import AnyCaller, OpenHub, SignedRoute
from api.schemas.datasets import DatasetOut, VersionOut
from api.schemas.submissions import SubmissionIn
from api.schemas.wire import NOT_FOUND, PROBLEMS, PageOut
from policies.standing import DatasetStanding
from sandbox.catalog.codec import dataset_to_json
from sandbox.catalog.model import Dataset
from yingbi.events import EntryType

__all__ = ["datasets"]

datasets = APIRouter(prefix="/v1/datasets", tags=["datasets"], route_class=SignedRoute, responses=PROBLEMS)
_OF_DATASETS = tuple(kind for kind in EntryType if kind.noun == "dataset")


@datasets.post("", status_code=201, responses=FILED)
def post_dataset(hub: OpenHub, caller: AnyCaller, posted: SubmissionIn) -> Response:
    """Record statements about data sets: registration (with its document), versions, grades, withdrawal."""
    return file_submission(hub, caller, posted, types=_OF_DATASETS)


@datasets.get("")
def list_datasets(
    hub: OpenHub,
    caller: AnyCaller,
    query: Annotated[str, Query(max_length=100, description="words that the entry has to hold")] = "",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> PageOut[DatasetOut]:
    """List the data sets whose catalogue entries hold all words of a query, by name."""
    del caller
    words = query.lower().split()
    found = [
        (listed, dataset)
        for listed in hub.standing.datasets.items()
        if not listed.is_withdrawn
        and (dataset := hub.catalogue.dataset(listed.entry)) is not None
        and _holds(dataset, words)
    ]
    page = take_page(found, key=lambda one: one[1].name, cursor=cursor, limit=limit)
    return PageOut(items=[_dataset_out(*one) for one in page.items], next=page.next)


@datasets.get("/{dataset}", responses=NOT_FOUND)
def get_dataset(hub: OpenHub, caller: AnyCaller, dataset: str) -> DatasetOut:
    """Return one data set by its id on the ledger."""
    del caller
    listed = hub.standing.datasets.get(dataset)
    declared = None if listed is None or listed.is_withdrawn else hub.catalogue.dataset(listed.entry)
    if listed is None or declared is None:
        raise not_found("data set")
    return _dataset_out(listed, declared)


def _holds(dataset: Dataset, words: list[str]) -> bool:
    texts = [dataset.name, dataset.title, dataset.description, dataset.owner]
    texts += [text for item in dataset.items for text in (item.name, item.title, item.description)]
    whole = "\n".join(text for text in texts if text).lower()
    return all(word in whole for word in words)


def _dataset_out(listed: DatasetStanding, dataset: Dataset) -> DatasetOut:
    versions = [
        VersionOut(version=number, schema_digest=version.schema_digest, is_usable=listed.is_usable(number))
        for number, version in sorted(listed.versions.items())
    ]
    return DatasetOut(
        id=listed.id,
        name=dataset.name,
        title=dataset.title,
        owner=listed.owner,
        node=listed.node,
        openness=listed.openness.value,
        entry=listed.entry,
        document=dataset_to_json(dataset),
        versions=versions,
    )
