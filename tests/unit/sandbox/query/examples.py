"""A small catalogue with every kind of column, and decisions about it."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from policies.decision import Decision, Outcome
from policies.disclosure import DisclosureRules
from policies.request import Request
from sandbox.catalog.model import Catalogue, DataItem, Dataset, DatasetVersion, ItemRole, ItemType, Visibility
from sandbox.query.admit import Admitted, AdmittedTraining, Rejection, admit
from sandbox.query.bind import bind
from sandbox.query.uses import datasets, operations, uses
from yingbi.events.fields import Grade, Openness, PrivacyUnit
from yingbi.plan.model import Plan

FILINGS = "tax/filings"
FIRMS = "market/firms"
PERSONS = "police/persons"
CLOSED = "justice/files"

UNIT = DataItem(name="uscc", title="unit", type=ItemType.CODE, role=ItemRole.UNIT, nullable=False)
YEAR = DataItem(
    name="year",
    title="year",
    type=ItemType.INTEGER,
    role=ItemRole.ROW_KEY,
    visibility=Visibility.PUBLIC,
    bounds=(Decimal(2020), Decimal(2026)),
)
STREET = DataItem(
    name="street", title="street", type=ItemType.CODE, visibility=Visibility.PUBLIC, domain=("east", "west", "莲花街道")
)
SIZE = DataItem(name="size", title="size", type=ItemType.CODE, domain=("large", "micro", "small"))
TAX = DataItem(
    name="tax",
    title="tax",
    type=ItemType.DECIMAL,
    decimals=2,
    bounds=(Decimal(0), Decimal(1_000_000)),
    edges=("0", "100", "1000.5"),
)
STAFF = DataItem(name="staff", title="staff", type=ItemType.INTEGER, bounds=(Decimal(0), Decimal(9000)), edges=("10",))
FILED = DataItem(name="filed", title="filed", type=ItemType.DATE, edges=("2024-01-01", "2025-01-01"))
LATE = DataItem(name="late", title="late", type=ItemType.BOOLEAN)
NOTE = DataItem(name="note", title="note", type=ItemType.TEXT)
PHONE = DataItem(name="phone", title="phone", type=ItemType.CODE, domain=("x",), on_negative_list=True)
SECRET = DataItem(name="secret", title="secret", type=ItemType.BOOLEAN, grade=Grade.CORE)
HUGE = DataItem(name="huge", title="huge", type=ItemType.INTEGER, bounds=(Decimal(0), Decimal(10**16)))
UNBOUNDED = DataItem(name="unbounded", title="unbounded", type=ItemType.INTEGER, visibility=Visibility.PUBLIC)
FOUNDED = DataItem(
    name="founded",
    title="founded",
    type=ItemType.INTEGER,
    visibility=Visibility.PUBLIC,
    bounds=(Decimal(1980), Decimal(2025)),
)

DATASETS = (
    Dataset(
        name=FILINGS,
        title="filings",
        owner="unit:tax",
        privacy_unit=PrivacyUnit.ENTERPRISE,
        items=(UNIT, YEAR, STREET, SIZE, TAX, STAFF, FILED, LATE, NOTE, PHONE, SECRET, HUGE, UNBOUNDED),
        max_rows_per_unit=7,
    ),
    Dataset(
        name=FIRMS,
        title="firms",
        owner="unit:market",
        privacy_unit=PrivacyUnit.ENTERPRISE,
        membership=Visibility.PUBLIC,
        items=(
            DataItem(name="code", title="unit", type=ItemType.CODE, role=ItemRole.UNIT),
            FOUNDED,
            STREET,
            DataItem(
                name="capital",
                title="capital",
                type=ItemType.INTEGER,
                bounds=(Decimal(0), Decimal(10**9)),
                edges=("5",),
                nullable=False,
            ),
        ),
    ),
    Dataset(
        name=PERSONS,
        title="persons",
        owner="unit:police",
        privacy_unit=PrivacyUnit.PERSON,
        items=(DataItem(name="id", title="unit", type=ItemType.CODE, role=ItemRole.UNIT), LATE),
    ),
    Dataset(
        name=CLOSED,
        title="closed",
        owner="unit:justice",
        privacy_unit=PrivacyUnit.ENTERPRISE,
        items=(UNIT, SIZE),
        openness=Openness.NOT_OPEN,
    ),
)


def version(dataset: str, number: int, rows: int = 100) -> DatasetVersion:
    """Return a version of a data set."""
    return DatasetVersion(
        dataset=dataset,
        version=number,
        digest="sha256:" + "0" * 64,
        schema_digest="sha256:" + "0" * 64,
        rows=rows,
        units=10,
        max_rows_per_unit=1,
        published_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


CATALOGUE = Catalogue(
    datasets={dataset.name: dataset for dataset in DATASETS},
    versions={
        (FILINGS, 1): version(FILINGS, 1),
        (FILINGS, 2): version(FILINGS, 2),
        (FIRMS, 5): version(FIRMS, 5),
        (PERSONS, 1): version(PERSONS, 1),
        (CLOSED, 1): version(CLOSED, 1),
    },
)

PERMIT = Decision(
    outcome=Outcome.PERMIT, determining=(), disclosure=DisclosureRules(min_units=7), terms=("sha256:" + "1" * 64,)
)


def permitted(plan: Plan, catalogue: Catalogue = CATALOGUE, decision: Decision = PERMIT) -> Admitted | Rejection:
    """Admit a plan with a decision that is about it."""
    bound = bind(plan, catalogue)
    request = Request(
        assignee="partner:bank-a",
        purpose="research.aggregate",
        operations=operations(bound),
        datasets=datasets(bound),
        uses=uses(bound),
        place="node:futian",
    )
    found = admit(plan, catalogue, replace(decision, request=request))
    assert not isinstance(found, AdmittedTraining)
    return found
