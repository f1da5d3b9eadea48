"""Data sets to test with: one by hand, and Hypothesis strategies for valid ones."""

from dataclasses import replace
from decimal import Decimal

from hypothesis import strategies as st

from sandbox.catalog.model import DataItem, Dataset, ItemRole, ItemType, UpdateCycle, Visibility
from sandbox.catalog.validate import is_label
from yingbi.events.fields import Grade, Openness, PrivacyUnit

__all__ = ["FILINGS", "datasets", "item", "with_item"]

USCC = DataItem(name="uscc", title="统一社会信用代码", type=ItemType.TEXT, role=ItemRole.UNIT, nullable=False)
TAX = DataItem(
    name="tax_paid",
    title="实缴税额",
    type=ItemType.DECIMAL,
    decimals=2,
    bounds=(Decimal("-100.5"), Decimal(5_000_000)),
    edges=("-100.5", "0", "1000.25"),
    grade=Grade.GENERAL_3,
    unit_of_measure="CNY",
)
STREET = DataItem(name="street", title="街道", type=ItemType.CODE, domain=("华强北", "沙头"), grade=Grade.GENERAL_1)
COMMUNITY = DataItem(name="community", title="社区", type=ItemType.CODE, domain=("a;b", "c\\d"), parent="street")
FILED = DataItem(name="filed_on", title="申报日期", type=ItemType.DATE, edges=("2024-01-01", "2025-01-01"))

FILINGS = Dataset(
    name="tax/filings",
    title="纳税申报",
    owner="unit:futian-tax",
    privacy_unit=PrivacyUnit.ENTERPRISE,
    items=(USCC, TAX, STREET, COMMUNITY, FILED),
    update_cycle=UpdateCycle.YEARLY,
    description="one row a firm\nin two lines",
)


def item(dataset: Dataset, name: str) -> DataItem:
    """Return the item of this name, which there is."""
    found = dataset.item(name)
    assert found is not None
    return found


def with_item(dataset: Dataset, name: str, /, **changes: object) -> Dataset:
    """Return the data set with one item changed."""
    items = tuple(replace(each, **changes) if each.name == name else each for each in dataset.items)  # type: ignore[arg-type]
    return replace(dataset, items=items)


_LABELS = st.text(min_size=1, max_size=20).filter(is_label) | st.sampled_from(
    ["=1+1", "@x", "-x", "'quoted", "＝1", "a;b；c\\", "税", '"', "-1", "+"]
)
_DESCRIPTIONS = st.none() | _LABELS | st.builds("{}\n{}".format, _LABELS, _LABELS)
_NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)


@st.composite
def _items(draw: st.DrawFn, name: str) -> DataItem:
    kind = draw(st.sampled_from(ItemType))
    decimals = draw(st.integers(0, 6)) if kind is ItemType.DECIMAL else 0
    bounds: tuple[Decimal, Decimal] | None = None
    edges: tuple[str, ...] | None = None
    domain: tuple[str, ...] | None = None
    if kind in (ItemType.INTEGER, ItemType.DECIMAL):
        low, high = sorted(draw(st.tuples(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9))))
        bounds = (Decimal(low).scaleb(-decimals), Decimal(high).scaleb(-decimals))
        edges = draw(st.none() | st.just((format(bounds[0].normalize() + 0, "f"),)))
    if kind is ItemType.CODE:
        domain = tuple(draw(st.lists(_LABELS, min_size=1, max_size=5, unique=True)))
    if kind is ItemType.DATE:
        edges = draw(st.none() | st.just(("1999-12-31", "2024-02-29")))
    return DataItem(
        name=name,
        title=draw(_LABELS),
        type=kind,
        visibility=draw(st.sampled_from(Visibility)),
        grade=draw(st.sampled_from(Grade)),
        classification=draw(st.none() | _LABELS),
        unit_of_measure=draw(st.none() | _LABELS),
        decimals=decimals,
        nullable=draw(st.booleans()),
        bounds=bounds,
        domain=domain,
        edges=edges,
        on_negative_list=draw(st.booleans()),
        description=draw(_DESCRIPTIONS),
    )


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    """Draw a valid data set."""
    names = draw(st.lists(_NAMES.filter(lambda name: name != "unit_id"), max_size=5, unique=True))
    unit = DataItem(name="unit_id", title=draw(_LABELS), type=ItemType.TEXT, role=ItemRole.UNIT, nullable=False)
    return Dataset(
        name=f"{draw(_NAMES).rstrip('_')}/{draw(_NAMES).rstrip('_')}",
        title=draw(_LABELS),
        owner=draw(st.sampled_from(["unit:futian-tax", "partner:bank-a"])),
        privacy_unit=draw(st.sampled_from(PrivacyUnit)),
        items=(unit, *(draw(_items(name)) for name in names)),
        openness=draw(st.sampled_from(Openness)),
        membership=draw(st.sampled_from(Visibility)),
        update_cycle=draw(st.sampled_from(UpdateCycle)),
        description=draw(_DESCRIPTIONS),
    )
