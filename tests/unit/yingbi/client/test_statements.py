"""Makers of what people sign: every one makes a statement of its type, and nothing private stands in it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from policies.parse import parse_agreement
from tests.conftest import START
from tests.lib.sdk_hub import AGREEMENT_YAML, FILINGS
from yingbi.canonical import JsonValue
from yingbi.client import statements as make
from yingbi.client.statements import Draft, Issuer
from yingbi.clock import FixedClock
from yingbi.commitment import verify_opening
from yingbi.events import EntryType
from yingbi.events.datasets import WithdrawalReason
from yingbi.events.fields import Duty, RevocationReason, SuspensionReason
from yingbi.events.outputs import CheckVerdict
from yingbi.events.people import Departure, DutyEnd, FreezeReason, ParticipantKind
from yingbi.events.trust import KeyRevocation
from yingbi.keys import SigningKey
from yingbi.sealing import ResultKey
from yingbi.statement import parse_statement

OLD = SigningKey.from_seed(b"\x06" * 32)
KEY = SigningKey.from_seed(b"\x05" * 32)
ISSUER = Issuer(party="person:li", on_behalf_of="bureau:futian", clock=FixedClock(START))
PARTNER = Issuer(party="partner:bank-a", clock=FixedClock(START))
DIGEST = "sha256:" + "1" * 64
NOTE = "who it is, in words"
LATER = START + timedelta(days=1)
IDENTITY: JsonValue = {"name": "某银行股份有限公司"}

UNIT = Issuer(party="unit:futian-tax", clock=FixedClock(START))
TERMS = parse_agreement(AGREEMENT_YAML.encode())

MADE: dict[EntryType, Callable[[], Draft]] = {
    EntryType.KEY_ROTATED: lambda: make.key_rotated(PARTNER, OLD.public, KEY.public),
    EntryType.KEY_REVOKED: lambda: make.key_revoked(PARTNER, KEY.public.thumbprint, reason=KeyRevocation.LOST),
    EntryType.DATASET_REGISTERED: lambda: make.dataset_registered(UNIT, FILINGS),
    EntryType.DATASET_GRADED: lambda: make.dataset_graded(
        UNIT, FILINGS, version=1, column_grades={item.name: str(item.grade) for item in FILINGS.items}
    ),
    EntryType.DATASET_WITHDRAWN: lambda: make.dataset_withdrawn(
        UNIT, FILINGS.name, reason=WithdrawalReason.OWNER_DECISION, note=NOTE
    ),
    EntryType.AGREEMENT_PROPOSED: lambda: make.agreement_proposed(ISSUER, TERMS),
    EntryType.AGREEMENT_COUNTERED: lambda: make.agreement_countered(
        ISSUER, replace(TERMS, version=2), TERMS, note=NOTE
    ),
    EntryType.AGREEMENT_SIGNED: lambda: make.agreement_signed(ISSUER, TERMS, duty=Duty.UNIT_CDO),
    EntryType.KEY_REGISTERED: lambda: make.key_registered(ISSUER, KEY.public, owner="partner:bank-a", not_before=START),
    EntryType.PARTICIPANT_APPLIED: lambda: make.participant_applied(
        PARTNER, kind=ParticipantKind.BANK, identity=IDENTITY, licence=None, key=KEY.public
    ),
    EntryType.PARTICIPANT_ADMITTED: lambda: make.participant_admitted(
        ISSUER, party="partner:bank-a", kind=ParticipantKind.BANK, valid_until=LATER, note=NOTE
    ),
    EntryType.PARTICIPANT_SUSPENDED: lambda: make.participant_suspended(
        ISSUER, party="partner:bank-a", reason=SuspensionReason.ANOMALY, until=LATER
    ),
    EntryType.PARTICIPANT_REINSTATED: lambda: make.participant_reinstated(ISSUER, party="partner:bank-a", note=NOTE),
    EntryType.PARTICIPANT_OFFBOARDED: lambda: make.participant_offboarded(
        ISSUER, party="partner:bank-a", reason=Departure.REQUEST, inventory=DIGEST
    ),
    EntryType.DUTY_GRANTED: lambda: make.duty_granted(ISSUER, holder="person:wu", duty=Duty.UNIT_CDO),
    EntryType.DUTY_REVOKED: lambda: make.duty_revoked(
        ISSUER, holder="person:wu", duty=Duty.UNIT_CDO, reason=DutyEnd.LEFT, note=NOTE
    ),
    EntryType.ACCESS_FROZEN: lambda: make.frozen(
        ISSUER, target="partner:bank-a", reason=FreezeReason.UNUSUAL_USE, is_drill=True
    ),
    EntryType.ACCESS_UNFROZEN: lambda: make.unfrozen(ISSUER, target="partner:bank-a", note=NOTE),
    EntryType.AGREEMENT_SUSPENDED: lambda: make.agreement_step(
        ISSUER, EntryType.AGREEMENT_SUSPENDED, agreement="agr-1", terms=DIGEST, reason=SuspensionReason.DISPUTE
    ),
    EntryType.AGREEMENT_RESUMED: lambda: make.agreement_step(
        ISSUER, EntryType.AGREEMENT_RESUMED, agreement="agr-1", terms=DIGEST, note=NOTE
    ),
    EntryType.AGREEMENT_REVOKED: lambda: make.agreement_step(
        ISSUER, EntryType.AGREEMENT_REVOKED, agreement="agr-1", terms=DIGEST, reason=RevocationReason.BREACH
    ),
    EntryType.JOB_SUBMITTED: lambda: make.job_submitted(
        PARTNER,
        agreement="agr-1",
        purpose="research.aggregate",
        operations=["aggregate.count", "aggregate.mean"],
        datasets=[("ds-abc", 3)],
        plan={"v": 1, "secret": NOTE},
        result_key=ResultKey.generate().public,
        expires_at=LATER,
    ),
    EntryType.JOB_CANCELLED: lambda: make.job_cancelled(PARTNER, job="job-1", note=NOTE),
    EntryType.JOB_APPROVED: lambda: make.job_approved(ISSUER, job="job-1", terms=DIGEST, expires_at=LATER),
    EntryType.OUTPUT_CHECKED: lambda: make.output_checked(
        ISSUER,
        job="job-1",
        candidate=DIGEST,
        rules=DIGEST,
        verdict=CheckVerdict.PASS,
        findings=[{"risk": "threshold", "rule": "values", "dimension": None, "verdict": "pass"}],
    ),
}


@pytest.mark.parametrize("kind", MADE, ids=str)
def test_every_maker_makes_a_statement_of_its_type(kind: EntryType) -> None:
    draft = MADE[kind]()
    statement = draft.sign([KEY])
    payload = statement.payload
    assert payload.type is kind
    assert payload.issued_at == "2026-11-21T08:00:00.000000Z"
    assert parse_statement(statement.envelope) == statement
    assert NOTE.encode() not in statement.payload_bytes
    assert "某银行".encode() not in statement.payload_bytes
    for opening in draft.openings:
        assert opening.commitment.encode() in statement.payload_bytes
        verify_opening(opening.commitment, opening)
        assert str(opening.salt) not in repr(draft)


def test_a_nonce_and_an_id_are_new_every_time() -> None:
    first, second = MADE[EntryType.DUTY_GRANTED](), MADE[EntryType.DUTY_GRANTED]()
    assert first.payload["nonce"] != second.payload["nonce"]
    assert first.payload["id"] != second.payload["id"]


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        (["aggregate.count"], "aggregate.count"),
        (["aggregate.count", "aggregate.sum"], "aggregate"),
        (["aggregate.count", "model.linear_regression"], "plan"),
    ],
)
def test_the_log_says_one_operation(operations: list[str], expected: str) -> None:
    assert make.operation_of(operations) == expected


def test_statements_travel_with_their_openings() -> None:
    draft = MADE[EntryType.JOB_SUBMITTED]()
    statement = draft.sign([KEY])
    body = make.submission([statement], openings=draft.openings, documents=[{"a": 1}])
    assert list(body) == ["statements", "openings", "documents"]
    openings = body["openings"]
    assert isinstance(openings, list)
    (opening,) = openings
    assert isinstance(opening, dict)
    assert opening["commitment"] == draft.openings[0].commitment
    assert opening["value"] == {"v": 1, "secret": NOTE}
    assert len(str(opening["salt"])) == 43
