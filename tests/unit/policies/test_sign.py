"""Statements about terms: they fit their models, and only signatures over exactly these terms count."""

from datetime import UTC, datetime
from typing import Any

import pytest

from policies.model import terms_digest
from policies.sign import (
    Signatory,
    activated_payload,
    countered_payload,
    proposed_payload,
    signed_payload,
    verify_signatures_of,
)
from tests.unit.policies.examples import agreement
from yingbi.errors import VerificationError
from yingbi.events.fields import Duty
from yingbi.keys import SigningKey
from yingbi.statement import Statement, add_signature, sign

KEY, OTHER = SigningKey.from_seed(b"\x01" * 32), SigningKey.from_seed(b"\x02" * 32)
KEYS = {"person:cdo": [KEY.public], "person:other": [OTHER.public]}
HEAD: dict[str, Any] = {
    "issuer": "person:cdo",
    "on_behalf_of": "unit:futian-tax",
    "at": datetime(2026, 11, 21, tzinfo=UTC),
}


def signed(**changes: Any) -> Statement:
    return sign(signed_payload(agreement(**changes), duty=Duty.UNIT_CDO, **HEAD), [KEY])


def test_all_payloads_fit_their_models_and_name_the_same_terms() -> None:
    terms, later = agreement(), agreement(version=2)
    statements = [
        sign(proposed_payload(terms, **HEAD), [KEY]),
        sign(countered_payload(later, terms, **HEAD), [KEY]),
        signed(),
        sign(activated_payload(terms, **HEAD), [KEY]),
    ]
    assert [str(item.type) for item in statements] == [
        "agreement.proposed",
        "agreement.countered",
        "agreement.signed",
        "agreement.activated",
    ]
    digests = [item.payload.body["terms"] for item in statements]
    assert digests == [terms_digest(terms), terms_digest(later), terms_digest(terms), terms_digest(terms)]
    assert statements[1].payload.body["previous_terms"] == terms_digest(terms)
    assert statements[3].payload.body["valid_until"] == "2027-01-31T15:59:59.999999Z"


def test_who_signed_is_told() -> None:
    assert verify_signatures_of(agreement(), [signed()], KEYS) == (
        Signatory(
            person="person:cdo",
            on_behalf_of="unit:futian-tax",
            duty=Duty.UNIT_CDO,
            keyids=(KEY.public.thumbprint,),
        ),
    )


@pytest.mark.parametrize("changes", [{"version": 2}, {"purpose": "statistics"}, {"id": "agr-other-1"}])
def test_a_signature_over_other_terms_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(VerificationError, match="over other terms"):
        verify_signatures_of(agreement(), [signed(**changes)], KEYS)


def test_a_subject_that_is_not_the_terms_is_refused() -> None:
    payload = signed_payload(agreement(), duty=Duty.UNIT_CDO, **HEAD)
    payload["subject"] = [{"id": agreement().id, "digest": terms_digest(agreement(version=2))}]
    with pytest.raises(VerificationError, match="over other terms"):
        verify_signatures_of(agreement(), [sign(payload, [KEY])], KEYS)


def test_another_statement_is_no_signature() -> None:
    with pytest.raises(VerificationError, match=r"agreement\.signed"):
        verify_signatures_of(agreement(), [sign(proposed_payload(agreement(), **HEAD), [KEY])], KEYS)


def test_a_signature_by_somebody_else_s_key_is_refused() -> None:
    payload = signed_payload(agreement(), duty=Duty.UNIT_CDO, **HEAD)
    with pytest.raises(VerificationError, match="not signed by a key of its issuer"):
        verify_signatures_of(agreement(), [sign(payload, [OTHER])], KEYS)
    with pytest.raises(VerificationError, match="unknown key"):
        verify_signatures_of(agreement(), [sign(payload, [SigningKey.generate()])], KEYS)
    both = add_signature(sign(payload, [KEY]), OTHER)
    assert verify_signatures_of(agreement(), [both], KEYS)[0].person == "person:cdo"
