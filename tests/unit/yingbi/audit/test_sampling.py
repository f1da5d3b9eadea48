"""Samples: sizes by the formulas, strata by partner, grade and operation, and a draw that anybody can repeat."""

import hashlib
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lib.audited_log import AGREEMENT, DATASET, AuditedLog
from yingbi.audit.sampling import draw, sample_seed, sample_size
from yingbi.errors import InvalidRequestError

NONCE = "drawn on 2026-11-17 at the bureau"


@pytest.mark.parametrize(
    ("confidence", "tolerable", "size"), [(95, 5, 59), (95, 1, 299), (90, 5, 45), (99, 1, 459), (90, 10, 22)]
)
def test_sizes_for_large_populations_are_the_known_ones(confidence: int, tolerable: int, size: int) -> None:
    assert sample_size(confidence, tolerable, 10**6) == size


def miss(population: int, wrong: int, drawn: int) -> float:
    """Return the probability that none of the wrong items is among the drawn ones."""
    return comb(population - wrong, drawn) / comb(population, drawn)


@given(st.integers(1, 1180), st.sampled_from([90, 95, 99]), st.sampled_from([1, 2, 5, 10]))
def test_a_small_population_needs_just_as_many_as_the_hypergeometric_says(
    population: int, confidence: int, tolerable: int
) -> None:
    size = sample_size(confidence, tolerable, population)
    large = sample_size(confidence, tolerable, 10**9)
    if population > 20 * large:
        assert size == large
        return
    wrong = -(-population * tolerable // 100)
    risk = (100 - confidence) / 100
    assert size <= population
    assert size == population or miss(population, wrong, size) <= risk + 1e-12
    assert miss(population, wrong, size - 1) > risk - 1e-12


def test_edges() -> None:
    assert sample_size(95, 5, 0) == 0
    assert sample_size(95, 5, 1) == 1
    assert sample_size(95, 5, 1180) <= sample_size(95, 5, 1181) == 59
    for confidence, tolerable in ((0, 5), (100, 5), (95, 0), (95, 100), (-1, 5)):
        with pytest.raises(InvalidRequestError):
            sample_size(confidence, tolerable, 100)


def test_the_seed_is_the_hash_of_the_checkpoint_s_text_and_the_nonce() -> None:
    log = AuditedLog().found()
    note = log.files()["checkpoint"]
    text = b"\n".join(note.split(b"\n")[:3]) + b"\n"
    assert sample_seed(note, NONCE) == hashlib.sha256(text + NONCE.encode()).hexdigest()
    assert sample_seed(log.mini.checkpoint(), NONCE) == sample_seed(note, NONCE), "signatures do not matter"
    assert sample_seed(note, "another") != sample_seed(note, NONCE)


def many() -> AuditedLog:
    """A log of many refused requests of two operations."""
    log = AuditedLog().found()
    for number in range(60):
        operation = "aggregate.count" if number % 3 else "aggregate.sum"
        log.submit(f"job-{number:04}", operation=operation)
        log.refuse(f"job-{number:04}")
    return log


def test_a_third_party_draws_the_same_from_the_formula_alone() -> None:
    log = many()
    drawn = draw(log.case(), confidence=95, tolerable=5, nonce=NONCE)
    text = b"\n".join(log.files()["checkpoint"].split(b"\n")[:3]) + b"\n"
    seed = hashlib.sha256(text + NONCE.encode()).hexdigest()
    for stratum in drawn.strata:
        jobs = [f"job-{n:04}" for n in range(60) if (n % 3 == 0) is (stratum.operation == "aggregate.sum")]
        ranked = sorted(jobs, key=lambda job: hashlib.sha256(f"{seed}\n{job}\n".encode()).digest())
        assert list(stratum.drawn) == ranked[: len(stratum.drawn)]
        assert stratum.size == len(jobs)
        assert (stratum.partner, stratum.grade) == ("partner:bank-a", "general-3")
    assert sum(len(stratum.drawn) for stratum in drawn.strata) == drawn.wanted == sample_size(95, 5, 60)
    assert drawn.seed == seed


def test_another_nonce_draws_another_sample() -> None:
    case = many().case()
    one, same, other = (draw(case, confidence=90, tolerable=10, nonce=nonce) for nonce in (NONCE, NONCE, "other"))
    assert one == same
    assert [item.drawn for item in one.strata] != [item.drawn for item in other.strata]


def test_a_sample_needs_a_nonce() -> None:
    with pytest.raises(InvalidRequestError, match="nonce"):
        draw(AuditedLog().found().case(), confidence=95, tolerable=5, nonce="")


def test_every_stratum_gives_at_least_one() -> None:
    log = many()
    log.submit("job-9999", operation="aggregate.mean")
    log.refuse("job-9999")
    drawn = draw(log.case(), confidence=50, tolerable=50, nonce=NONCE)
    assert {item.operation for item in drawn.strata} == {"aggregate.count", "aggregate.sum", "aggregate.mean"}
    assert all(item.drawn for item in drawn.strata)


def test_an_empty_log_gives_an_empty_sample() -> None:
    drawn = draw(AuditedLog().found().case(), confidence=95, tolerable=5, nonce=NONCE)
    assert (drawn.population, drawn.wanted, drawn.strata) == (0, 0, ())


def reasons(log: AuditedLog) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for item in draw(log.case(), confidence=95, tolerable=5, nonce=NONCE).mandatory:
        found.setdefault(item.reason, set()).add(item.subject)
    return found


def test_some_things_are_looked_at_always() -> None:
    log = AuditedLog().found()
    log.run_held_job("job-0001")
    log.submit("job-0002")
    log.refuse("job-0002")
    log.run_job("job-0003")
    log.open_glass("person:reg", "output-checker")
    log.close_glass("person:reg", "output-checker")
    for job, route in (("job-0004", "provisional"), ("job-0005", "declared")):
        log.submit(job)
        log.approve(job, route=route)
    found = reasons(log)
    assert found["override"] == {"job-0001"}
    assert found["reviewed-output"] == {"job-0001"}
    assert found["refused-then-approved"] == {"job-0003"}
    assert found["break-glass"] == {"person:reg"}
    assert (found["provisional"], found["declared"]) == ({"job-0004"}, {"job-0005"})
    assert "off-hours" not in found


@pytest.mark.parametrize(("hours", "is_off"), [(0, False), (7.9, False), (8.1, True), (22.4, True), (23.1, False)])
def test_decisions_outside_office_hours_in_china_are_looked_at(hours: float, is_off: bool) -> None:
    log = AuditedLog().found()
    log.at = log.at.replace(hour=2, minute=0)
    log.wait(days=1, hours=hours)
    log.grant("person:chk", "counter-clerk")
    assert ("off-hours" in reasons(log)) is is_off


def test_a_weekend_is_off_hours_for_people_and_not_for_machines() -> None:
    log = AuditedLog().found().wait(days=5)
    log.run_job("job-0001")
    assert "off-hours" not in reasons(log)
    log.grant("person:chk", "counter-clerk")
    assert "off-hours" in reasons(log)


def test_a_decision_that_had_no_effect_is_looked_at() -> None:
    log = AuditedLog().found()
    log.grant("person:sec", "counter-clerk")
    assert reasons(log)["decision-without-effect"] == {"duty-counter-clerk"}


def test_a_job_on_data_of_unknown_grade_has_a_stratum_of_its_own() -> None:
    log = AuditedLog().found()
    log.submit("job-0001", datasets=[{"dataset": DATASET, "version": 1}, {"dataset": "ds-other", "version": 1}])
    (stratum,) = draw(log.case(), confidence=95, tolerable=5, nonce=NONCE).strata
    assert (stratum.grade, stratum.drawn) == ("unknown", ("job-0001",))
    assert AGREEMENT
