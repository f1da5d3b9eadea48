"""A unit's credit data set, an agreement about it, and a member's plan that fits both; tests change one thing each."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from policies.compiled import compile_agreement
from policies.model import Agreement
from policies.parse import parse_agreement
from sandbox.catalog.model import Catalogue, DataItem, Dataset, DatasetVersion, ItemRole, ItemType, Visibility
from sandbox.node.judging import Asking, Explanation, Judge
from sandbox.query.recipes import RecipeCheck
from yingbi.canonical import JsonValue
from yingbi.clock import FixedClock
from yingbi.events.fields import Grade, PrivacyUnit
from yingbi.plan.codec import plan_to_json
from yingbi.plan.model import CodedFeature, Member, NumericFeature, Plan, Recipe, Source, TrainingQuestion

CREDIT: Final = "tax/credit"
NODE: Final = "node:tax"
PARTNER: Final = "partner:bank-a"
PURPOSE: Final = "research.credit"
NOW: Final = datetime(2026, 12, 1, tzinfo=UTC)


def item(name: str, kind: ItemType, **changes: Any) -> DataItem:
    return DataItem(name=name, title=name, type=kind, **changes)


ITEMS: Final = (
    item("uscc", ItemType.CODE, role=ItemRole.UNIT, nullable=False),
    item("defaulted", ItemType.INTEGER, bounds=(Decimal(0), Decimal(1)), nullable=False),
    item("late", ItemType.BOOLEAN, nullable=False),
    item(
        "tax_paid",
        ItemType.DECIMAL,
        decimals=2,
        bounds=(Decimal(0), Decimal(10**9)),
        edges=("0", "1000", "50000.5"),
        nullable=False,
    ),
    item(
        "staff",
        ItemType.INTEGER,
        bounds=(Decimal(0), Decimal(9000)),
        visibility=Visibility.PUBLIC,
        nullable=False,
    ),
    item("industry", ItemType.CODE, domain=("A", "B", "莲花")),
    item("district", ItemType.CODE, domain=("A", "莲花"), nullable=False),
    item("founded", ItemType.DATE, edges=("2020-01-01",)),
    item("score", ItemType.DECIMAL, decimals=1),
    item("note", ItemType.TEXT),
    item("phone", ItemType.CODE, domain=("x", "y"), on_negative_list=True),
    item("secret", ItemType.BOOLEAN, grade=Grade.CORE),
)

AGREEMENT: Final = f"""\
agreement: agr-tax
assigner: unit:tax
assignee: {PARTNER}
purpose: {PURPOSE}
legal_basis: {{kind: consent, reference: "2026-17"}}
valid: {{from: 2026-11-01, until: 2027-01-31}}
place: {{zones: [{NODE}]}}
datasets:
  {CREDIT}:
    privacy_unit: uscc
    columns:
      uscc: [join, train]
      defaulted: [train]
      late: [train]
      tax_paid: {{uses: [train], bounds: [0, 5000000]}}
      staff: {{uses: [train], values: ["7"]}}
      industry: [train]
      district: [train]
      founded: [train]
      score: [train]
      note: [train]
      phone: [train]
      secret: [train]
operations: [train.horizontal]
limits: {{jobs: 5, jobs_per_day: 5, rounds: 100}}
approvals: {{agreement: [unit-cdo, bureau-approver], job: automatic, output: automatic}}
"""

MEMBERS: Final = tuple(
    Member(agreement=f"agr-{name}", dataset=f"{name}/credit", job=f"job-{name}", node=f"node:{name}")
    for name in ("market", "power", "tax")
)
TAX_PAID: Final = NumericFeature(name="tax_paid", bounds=("0", "5000000"), edges=("0", "1000"))
INDUSTRY: Final = CodedFeature(name="industry", codes=("B", "A", "莲花"))
QUESTION: Final = TrainingQuestion(
    source=Source(dataset=CREDIT),
    federation="fed-1",
    members=MEMBERS,
    quorum=3,
    rounds=30,
    min_entities=10,
    recipe=Recipe.LOGISTIC_REGRESSION,
    parameters='{"l2":"0.01"}',
    target="defaulted",
    positive="1",
    features=(TAX_PAID, INDUSTRY),
)


def plan(**changes: Any) -> Plan:
    """Return the member's plan with members of its question changed."""
    return Plan(question=replace(QUESTION, **changes))


def catalogue(rows: int = 100, **changes: Any) -> Catalogue:
    """Return the unit's catalogue, with facts of the data set changed."""
    dataset = Dataset(name=CREDIT, title="credit", owner="unit:tax", privacy_unit=PrivacyUnit.ENTERPRISE, items=ITEMS)
    versions = [
        DatasetVersion(
            dataset=CREDIT,
            version=number,
            digest="sha256:" + "0" * 64,
            schema_digest="sha256:" + "0" * 64,
            rows=rows,
            units=rows,
            max_rows_per_unit=1,
            published_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
        for number in (1, 2)
    ]
    return Catalogue(
        datasets={CREDIT: replace(dataset, **changes)},
        versions={(CREDIT, version.version): version for version in versions},
    )


def agreement(old: str = "", new: str = "") -> Agreement:
    """Return the agreement with one thing in its text changed."""
    assert not old or AGREEMENT.count(old) == 1
    return parse_agreement(AGREEMENT.replace(old, new).encode() if old else AGREEMENT.encode())


def takes_all(question: TrainingQuestion, /) -> tuple[str, ...]:
    """Say of every recipe that it takes its question."""
    return ()


def judge(*terms: Agreement, check_recipe: RecipeCheck = takes_all, place: str = NODE) -> Judge:
    """Return the node's judge under agreements."""
    return Judge(
        place=place,
        agreements=[compile_agreement(item) for item in terms or (agreement(),)],
        clock=FixedClock(NOW),
        check_recipe=check_recipe,
    )


def judged(
    asked: Plan | JsonValue,
    *terms: Agreement,
    known: Catalogue | None = None,
    job: str | None = "job-tax",
    check_recipe: RecipeCheck = takes_all,
    place: str = NODE,
) -> Explanation:
    """Ask the node's judge about a plan."""
    value = plan_to_json(asked) if isinstance(asked, Plan) else asked
    asking = Asking(partner=PARTNER, purpose=PURPOSE, plan=value, job=job)
    found = judge(*terms, check_recipe=check_recipe, place=place)
    return found.judge(asking, catalogue() if known is None else known, {})
