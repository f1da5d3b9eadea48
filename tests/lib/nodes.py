"""Nodes over generated data, and agreements that grant everything there is to grant."""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

from policies.compiled import CompiledAgreement, compile_agreement
from policies.model import (
    Agreement,
    Approvals,
    ColumnGrant,
    DatasetGrant,
    Disclosure,
    FilterValues,
    JobApproval,
    Legal,
    Limits,
    OutputApproval,
    Validity,
)
from policies.request import Use
from sandbox.catalog.grading import GradeDecision
from sandbox.catalog.model import DataItem, Dataset, ItemRole, ItemType
from sandbox.engine_duckdb.publish import publish
from sandbox.engine_duckdb.sources import ParquetSource
from sandbox.node.home import NodeConfig, NodeHome
from yingbi.clock import Clock, FixedClock
from yingbi.events.agreements import LegalBasis
from yingbi.events.fields import Duty

__all__ = ["NOW", "PARTNER", "PURPOSE", "broad_agreement", "new_node", "publish_table"]

NOW = datetime(2026, 11, 2, 3, tzinfo=UTC)
PARTNER = "partner:bank-a"
PURPOSE = "research.aggregate"
_NUMBERS = (ItemType.INTEGER, ItemType.DECIMAL)


def new_node(folder: Path, *, clock: Clock | None = None, isolation: str = "none-for-development") -> NodeHome:
    """Make a node; it does not isolate unless asked, which is for tests that are not about isolation."""
    config = NodeConfig(name="node:futian-lab", owner="unit:futian-bureau", isolation=isolation)
    return NodeHome.create(folder, config, clock=clock or FixedClock(NOW))


def publish_table(home: NodeHome, dataset: Dataset, path: Path) -> None:
    """Register a data set as a node does, have its grades confirmed, and publish a Parquet file as its next version."""
    known = {item.name for item in home.catalogue.load().datasets.values()}
    if dataset.name not in known:
        home.catalogue.register(dataset, by="person:cdo")
        decisions = [GradeDecision(item=item.name, grade=item.grade) for item in dataset.items]
        home.catalogue.confirm_grades(dataset.name, decisions, expected_revision=1, by="person:cdo")
    entry = home.catalogue.entry(dataset.name)
    version = publish(entry.dataset, ParquetSource(path=path), data=home.data, registry=home.registry, clock=home.clock)
    home.catalogue.record_version(version, expected_revision=entry.revision)


def broad_agreement(
    datasets: Iterable[Dataset],
    *,
    name: str = "agr-lab-2026-01",
    assignee: str = PARTNER,
    min_units: int | None = None,
    jobs: int = 1_000_000,
    disclosure: Disclosure | None = None,
) -> CompiledAgreement:
    """Return an agreement that grants every use of every column that may be used at all."""
    return compile_agreement(
        Agreement(
            id=name,
            assigner="bureau:futian",
            assignee=assignee,
            purpose=PURPOSE,
            legal_basis=Legal(kind=LegalBasis.STATUTE, reference="test"),
            valid=Validity(first=date(2026, 1, 1), last=date(2027, 12, 31)),
            zones=("node:futian-lab",),
            datasets=tuple(
                DatasetGrant(
                    name=dataset.name,
                    privacy_unit=dataset.unit_item.name,
                    columns=tuple(_grant(item) for item in dataset.items if _is_usable(item)),
                )
                for dataset in datasets
            ),
            operations=("aggregate", "model"),
            disclosure=disclosure or Disclosure(min_entities=min_units, dominance_share=Decimal("0.9")),
            limits=Limits(jobs=jobs, jobs_per_day=jobs, filter_values=FilterValues.DECLARED),
            approvals=Approvals(
                agreement=(Duty.UNIT_CDO, Duty.BUREAU_APPROVER),
                job=JobApproval.AUTOMATIC,
                output=OutputApproval.AUTOMATIC,
            ),
        )
    )


def _is_usable(item: DataItem) -> bool:
    return not item.on_negative_list and (item.role is ItemRole.UNIT or item.type is not ItemType.TEXT)


def _grant(item: DataItem) -> ColumnGrant:
    if item.role is ItemRole.UNIT:
        return ColumnGrant(name=item.name, uses=(Use.JOIN, Use.AGGREGATE))
    uses = [Use.FILTER, Use.GROUP, Use.TRAIN]
    if item.type in (*_NUMBERS, ItemType.BOOLEAN):
        uses.append(Use.AGGREGATE)
    return ColumnGrant(name=item.name, uses=tuple(uses))
