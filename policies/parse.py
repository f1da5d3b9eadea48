"""Agreements from YAML or JSON: every problem with its line and column, all at once (docs/spec/agreement.md, "Text").

`read_agreement` finds problems, `parse_agreement` raises them; `to_yaml` writes what both read back as the same value.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from policies.disclosure import MIN_CONTRIBUTORS, Zeros
from policies.document import ListNode, Node, Scalar, read_document, write_document
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
    Privacy,
    Prohibition,
    Validity,
    to_json,
)
from policies.problems import AgreementError, AgreementProblem
from policies.reader import Reader
from policies.request import Use
from yingbi.canonical import MAX_INT
from yingbi.errors import ErrorCode
from yingbi.events.agreements import LegalBasis
from yingbi.events.fields import Duty, RunningJobs
from yingbi.events.outputs import DisclosureMode
from yingbi.ids import ID_PATTERN, MAX_ID, PARTY_PATTERN
from yingbi.plan.model import MAX_MEMBERS

__all__ = ["Reading", "parse_agreement", "read_agreement", "to_yaml"]

_NAME: Final = r"[a-z][a-z0-9_]{0,62}"
_PART: Final = r"[a-z][a-z0-9_-]{0,62}"
_SLUG: Final = r"(?=.{1,64}$)[a-z][a-z0-9]*(?:[._-][a-z0-9]+)*"
_ID: Final = rf"(?=.{{1,{MAX_ID}}}$){ID_PATTERN.strip('^$')}"
_PARTY: Final = PARTY_PATTERN.strip("^$")
_TEXT: Final = r".{1,200}"
_LITERAL: Final = r".{1,128}"
_RUNNING: Final = {"stop_running_jobs": RunningJobs.STOP, "finish_running_jobs": RunningJobs.FINISH}
_REQUIRED: Final = (
    "agreement",
    "assigner",
    "assignee",
    "purpose",
    "legal_basis",
    "valid",
    "place",
    "datasets",
    "operations",
    "limits",
    "approvals",
)
_OPTIONAL: Final = ("version", "intermediary", "prohibitions", "disclosure", "privacy", "on_revocation")
_LIMIT: Final = (0, 1_000_000_000)
_DISCLOSURE: Final = (
    "min_entities",
    "dominance",
    "p_percent",
    "zeros",
    "rounding",
    "min_degrees_of_freedom",
    "min_contributors",
    "mode",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was read: the agreement where there was no problem, the problems, and where each member stands."""

    agreement: Agreement | None
    problems: tuple[AgreementProblem, ...]
    marks: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def read_agreement(data: bytes) -> Reading:
    """Read an agreement's text, YAML or JSON; never raises, whatever the bytes are."""
    root, problems = read_document(data)
    reader = _AgreementReader(problems=problems)
    if root is None:
        reader.problems = problems or [AgreementProblem(line=1, column=1, path="", message="expected an agreement")]
        agreement = None
    else:
        agreement = reader.agreement(root)
    found = tuple(sorted(reader.problems, key=lambda item: (item.line, item.column, item.path, item.message)))
    return Reading(agreement=None if found else agreement, problems=found, marks=reader.marks)


def parse_agreement(data: bytes) -> Agreement:
    """Parse an agreement's text, YAML or JSON.

    Raises:
        AgreementError: with every problem.
    """
    reading = read_agreement(data)
    if reading.agreement is None:
        raise AgreementError(ErrorCode.AGREEMENT_MALFORMED, reading.problems)
    return reading.agreement


def to_yaml(agreement: Agreement) -> str:
    """Return an agreement as YAML, in the order of the specification, every member stated."""
    return write_document(to_json(agreement))


class _AgreementReader(Reader):
    """Reads the parts of an agreement."""

    # --- the parts of an agreement

    def agreement(self, root: Node) -> Agreement | None:
        """Read the whole."""
        members = self.members(root, "", _REQUIRED, _OPTIONAL)
        if any(name not in members for name in _REQUIRED):
            self.rest(members)
            return None
        return Agreement(
            id=self.text(members["agreement"], "agreement", _ID, "an id such as `agr-tax-2026-01`"),
            version=self.integer(members.get("version"), "version", 1, MAX_INT, 1),
            assigner=self.party(members["assigner"], "assigner"),
            assignee=self.party(members["assignee"], "assignee"),
            intermediary=self.optional(members.get("intermediary"), "intermediary", self.party),
            purpose=self.text(members["purpose"], "purpose", _SLUG, "a purpose such as `credit.sme.pre-loan`"),
            legal_basis=self.legal(members["legal_basis"], "legal_basis"),
            valid=self.valid(members["valid"], "valid"),
            zones=self.zones(members["place"], "place"),
            datasets=self.datasets(members["datasets"], "datasets"),
            operations=self.operations(members["operations"], "operations"),
            prohibitions=self.optional(members.get("prohibitions"), "prohibitions", self.prohibitions) or (),
            disclosure=self.optional(members.get("disclosure"), "disclosure", self.disclosure) or Disclosure(),
            privacy=self.optional(members.get("privacy"), "privacy", self.privacy),
            limits=self.limits(members["limits"], "limits"),
            approvals=self.approvals(members["approvals"], "approvals"),
            on_revocation=_RUNNING[
                self.word(members.get("on_revocation"), "on_revocation", tuple(_RUNNING), "stop_running_jobs")
            ],
        )

    def rest(self, members: Mapping[str, Node]) -> None:
        """Note what is wrong with the members that are there, although others are missing."""
        readers: dict[str, Callable[[Node, str], object]] = {
            "assigner": self.party,
            "assignee": self.party,
            "legal_basis": self.legal,
            "valid": self.valid,
            "place": self.zones,
            "datasets": self.datasets,
            "operations": self.operations,
            "prohibitions": self.prohibitions,
            "disclosure": self.disclosure,
            "privacy": self.privacy,
            "limits": self.limits,
            "approvals": self.approvals,
        }
        for name, read in readers.items():
            self.optional(members.get(name), name, read)

    def legal(self, node: Node, path: str) -> Legal:
        """Read the legal basis, in its short or its long form."""
        if isinstance(node, Scalar):
            return Legal(kind=self.choice(node, path, LegalBasis, LegalBasis.CONSENT))
        members = self.members(node, path, ("kind",), ("reference",))
        return Legal(
            kind=self.choice(members.get("kind"), f"{path}.kind", LegalBasis, LegalBasis.CONSENT),
            reference=self.optional(members.get("reference"), f"{path}.reference", self.sentence),
        )

    def valid(self, node: Node, path: str) -> Validity:
        """Read the period."""
        members = self.members(node, path, ("from", "until"))
        first, last = (self.day(members.get(name), f"{path}.{name}") for name in ("from", "until"))
        if last < first and len(members) == 2:
            self.note(members["until"], f"{path}.until", "expected a day that is not before `from`")
        return Validity(first=first, last=last)

    def zones(self, node: Node, path: str) -> tuple[str, ...]:
        """Read the places."""
        members = self.members(node, path, ("zones",))
        return self.items(members.get("zones"), f"{path}.zones", self.party, least=1)

    def datasets(self, node: Node, path: str) -> tuple[DatasetGrant, ...]:
        """Read the grants of all data sets."""
        found = self.named(node, path, f"{_PART}/{_PART}", "a data set such as `tax/annual_filings`", least=1)
        return tuple(self.dataset(name, value, f"{path}.{name}") for name, value in found)

    def dataset(self, name: str, node: Node, path: str) -> DatasetGrant:
        """Read the grant of one data set."""
        members = self.members(node, path, ("privacy_unit", "columns"))
        columns: list[tuple[str, Node]] = []
        if "columns" in members:
            columns = self.named(members["columns"], f"{path}.columns", _NAME, "a column such as `tax_paid`")
        return DatasetGrant(
            name=name,
            privacy_unit=self.name(members.get("privacy_unit"), f"{path}.privacy_unit"),
            columns=tuple(self.column(at, value, f"{path}.columns.{at}") for at, value in columns),
        )

    def column(self, name: str, node: Node, path: str) -> ColumnGrant:
        """Read the grant of one column, in its short or its long form."""
        if isinstance(node, ListNode):
            return ColumnGrant(name=name, uses=self.items(node, path, self.use, least=1))
        members = self.members(node, path, ("uses",), ("functions", "values", "bounds", "unit"))
        return ColumnGrant(
            name=name,
            uses=self.items(members.get("uses"), f"{path}.uses", self.use, least=1),
            functions=self.optional(members.get("functions"), f"{path}.functions", self.functions),
            values=self.optional(members.get("values"), f"{path}.values", self.values) or (),
            bounds=self.optional(members.get("bounds"), f"{path}.bounds", self.bounds),
            unit=self.optional(members.get("unit"), f"{path}.unit", self.sentence),
        )

    def functions(self, node: Node, path: str) -> tuple[str, ...]:
        """Read the aggregate functions of a column."""
        return self.items(node, path, self.name, least=1)

    def values(self, node: Node, path: str) -> tuple[str, ...]:
        """Read the literals of a column."""
        return self.items(node, path, self.literal)

    def bounds(self, node: Node, path: str) -> tuple[Decimal, Decimal] | None:
        """Read the bounds of a column."""
        found = [self.decimal(item, f"{path}[{at}]") for at, item in enumerate(self.entries(node, path))]
        if len(found) == 2 and found[0] < found[1]:
            return found[0], found[1]
        self.note(node, path, "expected two bounds, the lower one first")
        return None

    def operations(self, node: Node, path: str) -> tuple[str, ...]:
        """Read the operations."""
        return self.items(node, path, self.slug, least=1)

    def prohibitions(self, node: Node, path: str) -> tuple[Prohibition, ...]:
        """Read what is denied."""
        return self.items(node, path, self.prohibition)

    def prohibition(self, node: Node, path: str) -> Prohibition:
        """Read one thing that is denied."""
        members = self.members(node, path, (), ("dataset", "column", "use", "operation"))
        found = Prohibition(
            dataset=self.optional(members.get("dataset"), f"{path}.dataset", self.dataset_name),
            column=self.optional(members.get("column"), f"{path}.column", self.name),
            use=self.optional(members.get("use"), f"{path}.use", self.use),
            operation=self.optional(members.get("operation"), f"{path}.operation", self.slug),
        )
        if found == Prohibition():
            self.note(node, path, "expected a data set, column, use or operation to prohibit")
        return found

    def disclosure(self, node: Node, path: str) -> Disclosure:
        """Read the parameters of disclosure control."""
        members = self.members(node, path, (), _DISCLOSURE)
        usual = Disclosure()
        top, share = usual.dominance_top, usual.dominance_share
        if "dominance" in members:
            inner = self.members(members["dominance"], f"{path}.dominance", ("top", "share"))
            top = self.integer(inner.get("top"), f"{path}.dominance.top", 1, 10, top)
            share = self.share(inner.get("share"), f"{path}.dominance.share")
        return Disclosure(
            min_entities=self.optional(members.get("min_entities"), f"{path}.min_entities", self.threshold),
            dominance_top=top,
            dominance_share=share,
            p_percent=self.integer(members.get("p_percent"), f"{path}.p_percent", 0, 100, usual.p_percent),
            zeros=self.choice(members.get("zeros"), f"{path}.zeros", Zeros, usual.zeros),
            rounding=self.integer(members.get("rounding"), f"{path}.rounding", 1, 1_000_000, usual.rounding),
            min_degrees_of_freedom=self.integer(
                members.get("min_degrees_of_freedom"), f"{path}.min_degrees_of_freedom", 1, 1_000_000, 10
            ),
            min_contributors=self.integer(
                members.get("min_contributors"),
                f"{path}.min_contributors",
                MIN_CONTRIBUTORS,
                MAX_MEMBERS,
                usual.min_contributors,
            ),
            mode=self.choice(members.get("mode"), f"{path}.mode", DisclosureMode, usual.mode),
        )

    def privacy(self, node: Node, path: str) -> Privacy:
        """Read the budget of private mode."""
        members = self.members(node, path, ("epsilon", "delta"))
        epsilon, delta = (self.decimal(members.get(name), f"{path}.{name}") for name in ("epsilon", "delta"))
        if "epsilon" in members and not 0 < epsilon <= 100:
            self.note(members["epsilon"], f"{path}.epsilon", "expected epsilon above 0 and at most 100")
        if "delta" in members and not 0 <= delta < Decimal("0.01"):
            self.note(members["delta"], f"{path}.delta", "expected delta from 0 to below 0.01")
        return Privacy(epsilon=epsilon, delta=delta)

    def limits(self, node: Node, path: str) -> Limits:
        """Read the limits."""
        members = self.members(node, path, ("jobs", "jobs_per_day"), ("rounds", "filter_values"))
        return Limits(
            jobs=self.integer(members.get("jobs"), f"{path}.jobs", *_LIMIT, 0),
            jobs_per_day=self.integer(members.get("jobs_per_day"), f"{path}.jobs_per_day", *_LIMIT, 0),
            rounds=self.integer(members.get("rounds"), f"{path}.rounds", *_LIMIT, 0),
            filter_values=self.choice(
                members.get("filter_values"), f"{path}.filter_values", FilterValues, FilterValues.LISTED
            ),
        )

    def approvals(self, node: Node, path: str) -> Approvals:
        """Read who must sign and look."""
        members = self.members(node, path, ("agreement",), ("job", "output"))
        return Approvals(
            agreement=self.items(members.get("agreement"), f"{path}.agreement", self.duty, least=1, distinct=False),
            job=self.choice(members.get("job"), f"{path}.job", JobApproval, JobApproval.REVIEWED),
            output=self.choice(members.get("output"), f"{path}.output", OutputApproval, OutputApproval.CHECKED),
        )

    # --- scalars of a kind

    def party(self, node: Node, path: str) -> str:
        """Read a party."""
        return self.text(node, path, _PARTY, "a party such as `unit:futian-tax`")

    def slug(self, node: Node, path: str) -> str:
        """Read the name of an operation."""
        return self.text(node, path, _SLUG, "an operation such as `aggregate.sum`")

    def name(self, node: Node | None, path: str) -> str:
        """Read the name of a column."""
        return self.text(node, path, _NAME, "a name such as `tax_paid`")

    def dataset_name(self, node: Node, path: str) -> str:
        """Read the name of a data set."""
        return self.text(node, path, f"{_PART}/{_PART}", "a data set such as `tax/annual_filings`")

    def sentence(self, node: Node, path: str) -> str:
        """Read a short text for people."""
        return self.text(node, path, _TEXT, "a text of at most 200 characters")

    def literal(self, node: Node, path: str) -> str:
        """Read a literal that a filter may use."""
        return self.text(node, path, _LITERAL, "a literal of at most 128 characters")

    def use(self, node: Node, path: str) -> Use:
        """Read a use."""
        return self.choice(node, path, Use, Use.JOIN)

    def duty(self, node: Node, path: str) -> Duty:
        """Read a duty."""
        return self.choice(node, path, Duty, Duty.UNIT_CDO)

    def threshold(self, node: Node, path: str) -> int:
        """Read a threshold."""
        return self.integer(node, path, 1, 1_000_000, 1)
