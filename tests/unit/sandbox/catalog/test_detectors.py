"""Detectors of identifying columns: on values, and on what columns are called; what leaves is shares."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.catalog.detectors import (
    MIN_VALUES,
    PATTERNS,
    SUGGESTED_GRADES,
    Basis,
    Detector,
    ItemEvidence,
    count_matches,
    evidence_of,
    is_address,
    is_bank_card,
    is_email,
    is_id_card,
    is_mobile_phone,
    is_person_name,
    suggest,
    suggested_grade,
)
from sandbox.synth.catalogue import catalogue
from yingbi.events.fields import Grade


def id_card(stem: str) -> str:
    """Return a number with the check digit of GB 11643, computed as the standard's annex does, digit by digit."""
    weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]
    return stem + "10X98765432"[sum(int(digit) * weight for digit, weight in zip(stem, weights, strict=True)) % 11]


def luhn(stem: str) -> str:
    for last in "0123456789":
        digits = [int(digit) for digit in reversed(stem + last)]
        if sum(digits[::2]) % 10 == -sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2]) % 10:
            return stem + last
    raise AssertionError


@pytest.mark.parametrize(
    ("matches", "good", "bad"),
    [
        (is_id_card, ["11010519491231002X", "11010519491231002x"], ["110105194912310021", "11010519491331002X", "x"]),
        (
            is_mobile_phone,
            ["13800138000", "+86 138-0013-8000", "8613800138000"],
            ["12800138000", "1380013800", "1" * 11],
        ),
        (is_bank_card, ["4111111111111111", "6222 0200 0000 0000 000"], ["4111111111111112", "1111111111111117"]),
        (
            is_address,
            ["深圳市福田区深南大道1006号", "福田区华强北街道振兴路101栋"],
            ["福田区", "华强北", "路上见", "x" * 300],
        ),
        (is_person_name, ["王小明", "李四", "欧阳修"], ["福田", "王", "有限公司", "John", "王a"]),
        (is_email, ["li.si@example.com"], ["li.si@", "@example.com", "a@b", "a b@c.d", "a@b@c.d"]),
    ],
)
def test_patterns(matches: object, good: list[str], bad: list[str]) -> None:
    assert callable(matches)
    assert [value for value in good if not matches(value)] == []
    assert [value for value in bad if matches(value)] == []


@settings(deadline=None)
@given(st.integers(0, 999999), st.dates(), st.integers(0, 999), st.integers(0, 17), st.integers(1, 9))
def test_an_identity_number_with_one_wrong_digit_does_not_pass(
    area: int, born: object, number: int, place: int, more: int
) -> None:
    good = id_card(f"{100000 + area * 8 // 10:06}19{born:%y%m%d}{number:03}")
    assert is_id_card(good)
    if good[place] != "X":
        changed = good[:place] + str((int(good[place]) + more) % 10) + good[place + 1 :]
        assert not is_id_card(changed)


@settings(deadline=None)
@given(st.from_regex(r"[3-6][0-9]{14,17}", fullmatch=True))
def test_luhn_agrees_with_a_second_way_to_compute_it(stem: str) -> None:
    assert is_bank_card(luhn(stem))


@settings(deadline=None)
@given(st.text(max_size=300))
def test_no_value_breaks_a_detector(value: str) -> None:
    assert count_matches([value] * 2).total in (0, 2)


def test_shares_of_few_values_are_not_told() -> None:
    few = count_matches(["13800138000"] * (MIN_VALUES - 1))
    assert few.shares() == {}
    enough = count_matches(["13800138000", "", None, " "] * MIN_VALUES)
    assert enough.total == MIN_VALUES
    assert enough.shares()[Detector.MOBILE_PHONE] == 1


def test_full_width_digits_and_spaces_hide_nothing() -> None:
    assert count_matches([" １３８００１３８０００ "]).counts[Detector.MOBILE_PHONE] == 1


@pytest.mark.parametrize(
    ("share", "detector", "is_found"),
    [
        (Fraction(1, 20), Detector.ID_CARD, True),
        (Fraction(1, 21), Detector.ID_CARD, False),
        (Fraction(1, 10), Detector.BANK_CARD, False),
        (Fraction(1, 2), Detector.BANK_CARD, True),
        (Fraction(1, 20), Detector.USCC, True),
        (Fraction(1, 5), Detector.ADDRESS, True),
    ],
)
def test_a_share_that_chance_would_not_give_is_suggested(share: Fraction, detector: Detector, is_found: bool) -> None:
    found = suggest([ItemEvidence(name="remark", title="备注栏", shares={detector: share})])
    assert [each.detector for each in found] == ([detector] if is_found else [])
    assert all(each.basis is Basis.VALUES and each.tenths == int(share * 10) for each in found)


@pytest.mark.parametrize(
    ("name", "title", "detector"),
    [
        ("legal_sfzh", "x", Detector.ID_CARD),
        ("code", "法定代表人身份证号", Detector.ID_CARD),
        ("contact_phone", "x", Detector.MOBILE_PHONE),
        ("a", "经营地址", Detector.ADDRESS),
        ("uscc", "x", Detector.USCC),
        ("e_mail", "x", Detector.EMAIL),
    ],
)
def test_what_it_is_called_is_enough(name: str, title: str, detector: Detector) -> None:
    found = suggest([ItemEvidence(name=name, title=title)])
    assert detector in [each.detector for each in found]
    assert all(each.basis is Basis.NAME and each.tenths is None for each in found)


@pytest.mark.parametrize("name", ["telemetry", "hotel", "address_count_x", "mailing"])
def test_parts_of_words_are_not_names(name: str) -> None:
    found = {each.detector for each in suggest([ItemEvidence(name=name, title="x")])}
    assert found <= {Detector.ADDRESS}


def test_the_strictest_suggestion_counts() -> None:
    item = ItemEvidence(name="uscc", title="x", shares={Detector.ID_CARD: Fraction(1, 2), Detector.USCC: Fraction(1)})
    found = suggest([item])
    assert [each.basis for each in found] == [Basis.BOTH, Basis.VALUES]
    assert suggested_grade(found, "uscc") is Grade.GENERAL_4
    assert suggested_grade(found, "other") is None


def test_generated_data_sets_get_the_obvious_suggestions() -> None:
    found = {(each.item, each.detector) for dataset in catalogue() for each in suggest(evidence_of(dataset))}
    assert {("uscc", Detector.USCC), ("contact_phone", Detector.MOBILE_PHONE)} <= found


def test_every_detector_has_a_pattern_and_a_grade() -> None:
    assert set(PATTERNS) == set(SUGGESTED_GRADES) == set(Detector)
