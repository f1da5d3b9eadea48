"""Identifiers, parties, digests: what is one and what is not."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.ids import DIGEST_PATTERN, ID_PATTERN, MAX_ID, PARTY_KINDS, new_id, new_nonce, parse_party


def _is_id(text: str) -> bool:
    return re.fullmatch(ID_PATTERN, text) is not None and len(text) <= MAX_ID


@pytest.mark.parametrize("kind", ["job", "agreement", "dataset", "DAC"])
def test_new_ids_are_ids_and_never_the_same(kind: str) -> None:
    ids = {new_id(kind) for _ in range(1000)}
    assert len(ids) == 1000
    assert all(_is_id(text) and re.fullmatch(rf"{kind}-[0-9abcdefghjkmnpqrstvwxyz]{{26}}", text) for text in ids)


@given(st.integers(0, 2**130 - 1))
@example(0)
@example(2**130 - 1)
def test_an_id_shows_every_random_bit(bits: int) -> None:
    asked = []

    def random_bits(count: int) -> int:
        asked.append(count)
        return bits

    text = new_id("job", random_bits=random_bits)
    alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
    digits = [alphabet.index(character) for character in text.removeprefix("job-")]
    assert sum(digit << 5 * place for place, digit in enumerate(digits)) == bits
    assert asked == [130]


def test_new_nonces_are_16_bytes_of_base64url_and_never_the_same() -> None:
    nonces = {new_nonce() for _ in range(1000)}
    assert len(nonces) == 1000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{22}", nonce) for nonce in nonces)


@pytest.mark.parametrize("text", ["job-1", "a-b-c", "DAC-440304-2026-000123", "agr-tax-credit-2026-01"])
def test_ids(text: str) -> None:
    assert _is_id(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "job",
        "job-",
        "-job",
        "job--1",
        "1-job",
        "job_1",
        "job 1",
        "job-1\n",
        "job-é",
        "job-１",
        "job/1",
        "job-1-",
        "j-" + "1" * 79,
    ],
)
def test_what_is_no_id(text: str) -> None:
    assert not _is_id(text)


@pytest.mark.parametrize("kind", PARTY_KINDS)
@pytest.mark.parametrize("name", ["a", "bank-a", "0", "futian-tax", "a--b", "a" * 63])
def test_parties(kind: str, name: str) -> None:
    assert parse_party(f"{kind}:{name}") == (kind, name)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "partner",
        "partner:",
        ":bank-a",
        "bank:bank-a",
        "Partner:bank-a",
        "partner:Bank-A",
        "partner:-bank",
        "partner:bank-",
        "partner:bank_a",
        "partner:bank a",
        "partner:bank.a",
        "partner:bank:a",
        "partner: bank",
        "partner:bank-a\n",
        " partner:bank-a",
        "partner:银行",
        "partner:é",
        "partner:１",
        "partner：bank-a",
        "partner:" + "a" * 64,
        "xpartner:bank-a",
    ],
)
def test_what_is_no_party(text: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_party(text)
    assert caught.value.code is ErrorCode.ID_MALFORMED
    assert caught.value.message == "expected a party such as `partner:bank-a`"  # not what was given


@given(st.text(max_size=40))
def test_only_what_is_put_together_again_is_a_party(text: str) -> None:
    try:
        kind, name = parse_party(text)
    except InvalidRequestError:
        return
    assert f"{kind}:{name}" == text


@pytest.mark.parametrize(
    ("text", "is_digest"),
    [
        ("sha256:" + "0" * 64, True),
        ("sha256:" + "f" * 64, True),
        ("sha256:" + "F" * 64, False),
        ("sha256:" + "0" * 63, False),
        ("sha256:" + "0" * 65, False),
        ("sha256:" + "0" * 64 + "\n", False),
        ("sha256:" + "０" * 64, False),
        ("sha512:" + "0" * 64, False),
        ("SHA256:" + "0" * 64, False),
        ("0" * 64, False),
    ],
)
def test_digests(text: str, is_digest: bool) -> None:
    assert (re.fullmatch(DIGEST_PATTERN, text) is not None) is is_digest
