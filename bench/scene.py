"""Where the hub is measured: witness, hub and a node as processes of their own, and as many partners as are wanted."""

import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from policies.model import Agreement, to_json
from yingbi.cli.demo import setting
from yingbi.cli.demo.cast import APPROVER, BUREAU, REGISTRAR, SECURITY, Cast
from yingbi.cli.demo.setting import BANK, TAX
from yingbi.cli.demo.stage import Stage
from yingbi.client import Client
from yingbi.client.statements import (
    Draft,
    Issuer,
    agreement_proposed,
    agreement_signed,
    key_registered,
    participant_admitted,
    participant_applied,
)
from yingbi.events.fields import Duty
from yingbi.events.people import ParticipantKind
from yingbi.keys import SigningKey

__all__ = ["PURPOSE", "TERMS", "Partner", "Scene", "agree", "bring_in"]

_SCALE: Final = "0.02"
PURPOSE: Final = "research.aggregate"
TERMS: Final = f"""
agreement: agr-bench
version: 1
assigner: {TAX.party}
assignee: {BANK}
purpose: {PURPOSE}
legal_basis: {{kind: contract, reference: "2026-17"}}
valid: {{from: 2026-01-01, until: 2035-12-31}}
place: {{zones: [{TAX.node}]}}
datasets:
  {TAX.dataset}:
    privacy_unit: uscc
    columns:
      uscc: {{uses: [aggregate], functions: [count_units]}}
      year: [filter, group]
      street: [filter, group]
      size: [filter, group]
      tax_paid: [aggregate]
operations: [aggregate]
disclosure: {{min_entities: 10}}
limits: {{jobs: 1000000, jobs_per_day: 1000000, filter_values: declared}}
approvals: {{agreement: [unit-cdo, bureau-approver], job: automatic, output: automatic}}
"""
"""Terms under which a rule approves every job of the bank."""

_A_SUBMISSION: Final = 16  # statements, at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Partner:
    """A bank with its key and its own agreement."""

    party: str
    key: SigningKey
    terms: Agreement


class Scene(Stage):
    """The demonstration's stage with one unit, and processes that can be kept on a processor."""

    def begin(self) -> tuple[Cast, str]:
        """Start witness, hub and the node of one unit; return everybody and the hub's address."""
        setting.found_hub(self)
        cast, url = setting.start_hub(self)
        setting.admit_partners(cast)
        with patch.multiple(setting, UNITS=(TAX,), SCALE=_SCALE):
            setting.open_units(self, cast, url)
        return cast, url

    def copy_node(self) -> Path:
        """Copy the node's folder while the node stands still; return the copy."""
        copy, process = self.folder / "copy", self._processes[TAX.name]
        process.send_signal(signal.SIGSTOP)
        try:
            shutil.copytree(self.folder / TAX.name, copy)
        finally:
            process.send_signal(signal.SIGCONT)
        return copy

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Keep the hub on one processor, and everything else on the others, where there are others."""
        cores = os.sched_getaffinity(0)
        first, *others = sorted(cores)
        for name in self._processes:
            self._pin(name, {first} if name == "hub" or not others else set(others))
        os.sched_setaffinity(0, others or [first])
        try:
            yield
        finally:
            os.sched_setaffinity(0, cores)

    def spent_s(self, name: str) -> float:
        """Return the seconds of processor time that a process has spent, without its children."""
        fields = Path(f"/proc/{self._processes[name].pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

    def _pin(self, name: str, cores: set[int]) -> None:
        """Pin all threads of a process; those to come inherit it."""
        for thread in Path(f"/proc/{self._processes[name].pid}/task").iterdir():
            with suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread.name), cores)


def bring_in(cast: Cast, terms: Agreement, count: int) -> list[Partner]:
    """Admit banks, each under terms of its own that are like those given, as many statements at a time as may be."""
    parties = [f"partner:bank-{number:03}" for number in range(count)]
    keys = {party: SigningKey.generate() for party in parties}
    agreements = [replace(terms, id=f"agr-bench-{number:03}", assignee=party) for number, party in enumerate(parties)]
    bureau, begin = Issuer(party=BUREAU), datetime.now(UTC) - timedelta(minutes=1)
    registrar, root = cast.issuer(REGISTRAR), cast.key("root")
    registered = [key_registered(bureau, keys[one].public, owner=one, not_before=begin) for one in parties]
    admitted = [participant_admitted(registrar, party=one, kind=ParticipantKind.BANK) for one in parties]
    applied = [
        participant_applied(
            Issuer(party=one), kind=ParticipantKind.BANK, identity={"party": one}, licence=None, key=keys[one].public
        )
        for one in parties
    ]
    security, people = cast.client(SECURITY), [cast.key(REGISTRAR), cast.key(APPROVER)]
    _file(security, "keys", [(one, [root, keys[by]]) for one, by in zip(registered, parties, strict=True)])
    _file(cast.client(REGISTRAR), "participants", [(one, [keys[by]]) for one, by in zip(applied, parties, strict=True)])
    _file(cast.client(REGISTRAR), "participants", [(one, people) for one in admitted])
    agree(cast, agreements)
    return [Partner(party=party, key=keys[party], terms=one) for party, one in zip(parties, agreements, strict=True)]


def agree(cast: Cast, agreements: Sequence[Agreement]) -> None:
    """Have terms proposed by the bureau and signed by the unit and the bureau, which puts them in force."""
    registrar, people = cast.issuer(REGISTRAR), ((TAX.officer, Duty.UNIT_CDO), (APPROVER, Duty.BUREAU_APPROVER))
    proposed = [(agreement_proposed(registrar, one), [cast.key(REGISTRAR)]) for one in agreements]
    _file(cast.client(REGISTRAR), "agreements", proposed, [to_json(one) for one in agreements])
    for person, duty in people:
        drafts = [agreement_signed(cast.issuer(person), one, duty=duty) for one in agreements]
        _file(cast.client(person), "agreements", [(one, [cast.key(person)]) for one in drafts])


def _file(
    client: Client, noun: str, drafts: Sequence[tuple[Draft, Sequence[SigningKey]]], documents: Sequence[Any] = ()
) -> None:
    """Sign drafts and hand them in, with a document each if there are documents."""
    for first in range(0, len(drafts), _A_SUBMISSION):
        taken = slice(first, first + _A_SUBMISSION)
        statements = [draft.sign(keys) for draft, keys in drafts[taken]]
        openings = [opening for draft, _ in drafts[taken] for opening in draft.openings]
        filed = client.run(client.hub.file((noun,), statements, openings=openings, documents=documents[taken]))
        if not filed.is_recorded:
            raise RuntimeError(f"expected {noun} to be recorded; missing: {filed.missing}")
