"""An agreement, a catalogue, a request and a context that fit together; tests change one thing each."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from policies.model import Agreement
from policies.parse import parse_agreement
from policies.request import ColumnFacts, ColumnUse, Context, DatasetFacts, Request, Use
from yingbi.events.fields import Grade, Openness, PrivacyUnit

TEXT: Final = """\
agreement: agr-tax-credit-2026-01
version: 1
assigner: unit:futian-tax
assignee: partner:bank-a
intermediary: partner:credit-bureau-1
purpose: credit.sme.pre-loan
legal_basis: {kind: consent, reference: "授权书 2026-17"}
valid: {from: 2026-11-01, until: 2027-01-31}
place: {zones: [node:futian-tax]}
datasets:
  tax/annual_filings:
    privacy_unit: uscc
    columns:
      uscc: [join]
      year: {uses: [filter, group], values: [2024, 2025]}
      industry: [group, train]
      tax_paid: {uses: [aggregate, train], functions: [sum, mean], bounds: [0, 5000000], unit: CNY}
operations: [aggregate, psi, train.vertical_logistic, score]
disclosure: {min_entities: 10, dominance: {top: 2, share: "0.85"}, p_percent: 10, zeros: refuse, mode: exact}
privacy: {epsilon: "4.0", delta: "1e-6"}
limits: {jobs: 500, jobs_per_day: 50, rounds: 100, filter_values: listed}
approvals: {agreement: [unit-cdo, bureau-approver], job: automatic, output: automatic}
on_revocation: stop_running_jobs
"""

DATASET: Final = "tax/annual_filings"
INSIDE: Final = datetime(2026, 12, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Facts:
    """A catalogue that is a dictionary."""

    datasets: Mapping[str, DatasetFacts]

    def facts(self, dataset: str) -> DatasetFacts | None:
        return self.datasets.get(dataset)


def column(**changes: Any) -> ColumnFacts:
    return replace(ColumnFacts(grade=Grade.GENERAL_3, on_negative_list=False, type="integer"), **changes)


def catalogue(columns: Mapping[str, ColumnFacts] | None = None, **changes: Any) -> Facts:
    """Return the catalogue, with columns replaced or added, and facts of the data set changed."""
    usual = {
        "uscc": column(type="text"),
        "year": column(),
        "industry": column(type="code", domain=frozenset({"C26", "F51"})),
        "tax_paid": column(type="decimal"),
        "note": column(type="text"),
    }
    facts = DatasetFacts(
        owner="unit:futian-tax",
        openness=Openness.CONDITIONAL,
        unit_column="uscc",
        columns={**usual, **(columns or {})},
        privacy_unit=PrivacyUnit.ENTERPRISE,
    )
    other = replace(facts, owner="unit:futian-power", columns={"uscc": column(), "kwh": column()})
    return Facts({DATASET: replace(facts, **changes), "power/usage": other})


def agreement(text: str = TEXT, **changes: Any) -> Agreement:
    return replace(parse_agreement(text.encode()), **changes)


def edited(old: str, new: str, text: str = TEXT) -> str:
    """Return the text with one thing changed, which must be in it once."""
    assert text.count(old) == 1, old
    return text.replace(old, new)


def use(name: str, kind: Use, clause: str = "x", **changes: Any) -> ColumnUse:
    return replace(ColumnUse(dataset=DATASET, column=name, use=kind, clause=clause), **changes)


USES: Final = (
    use("year", Use.FILTER, "where[0]", values=("2025",)),
    use("industry", Use.GROUP, "group_by[0]"),
    use("tax_paid", Use.AGGREGATE, "aggregates[0]", function="sum"),
)


def request(**changes: Any) -> Request:
    usual = Request(
        assignee="partner:bank-a",
        purpose="credit.sme.pre-loan",
        operations=("aggregate.sum",),
        datasets=(DATASET,),
        uses=USES,
        place="node:futian-tax",
        intermediary="partner:credit-bureau-1",
    )
    return replace(usual, **changes)


def context(**changes: Any) -> Context:
    usual = Context(at=INSIDE, catalogue=catalogue(), licensed_intermediaries=frozenset({"partner:credit-bureau-1"}))
    return replace(usual, **changes)
