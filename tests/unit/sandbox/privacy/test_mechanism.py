"""What is drawn is the discrete Gaussian: every test of a distribution says how often it would fail by chance."""

import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from opendp.mod import OpenDPException
from scipy.special import logsumexp
from scipy.stats import chi2, norm

from sandbox.privacy import mechanism, plan_noise
from sandbox.privacy.mechanism import add_noise
from sandbox.privacy.noise import Noise
from yingbi.errors import ErrorCode, InvalidRequestError, SandboxError, UnavailableError

FALSE_ALARM = 1e-7
DRAWS = 40_000


def drawn(deviation: float, size: int = DRAWS) -> NDArray[np.int64]:
    noise = Noise(sensitivity=1, rho=Decimal(1_000), deviation=deviation)
    return add_noise(np.zeros(size, np.int64), noise)


def exact_masses(deviation: float, edges: list[int]) -> NDArray[np.float64]:
    """Return what the discrete Gaussian gives to (-inf, e0), [e0, e1), ... [en, inf): its mass function, summed."""
    reach = max(40, int(40 * deviation))
    support = np.arange(-reach, reach + 1)
    mass = np.exp(-(support.astype(float) ** 2) / (2 * deviation**2))
    mass /= mass.sum()
    places = np.searchsorted(edges, support, side="right")
    return np.bincount(places, weights=mass, minlength=len(edges) + 1).astype(np.float64)


def p_value(values: NDArray[np.int64], deviation: float, edges: list[int]) -> float:
    """Return the probability of a fit as bad (chi-square), where every bin expects at least twenty."""
    expected = exact_masses(deviation, edges) * len(values)
    assert expected.min() > 20
    found = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    return float(chi2.sf(((found - expected) ** 2 / expected).sum(), len(edges)))


CASES = {0.6: [-1, 0, 1, 2], 1.0: [-2, -1, 0, 1, 2, 3], 3.3: list(range(-8, 10))}


@pytest.mark.parametrize("deviation", CASES)
def test_small_noise_has_the_mass_function_of_the_discrete_gaussian(deviation: float) -> None:
    """Chi-square. False alarm: 1e-7 each."""
    assert p_value(drawn(deviation), deviation, CASES[deviation]) > FALSE_ALARM


@pytest.mark.parametrize("deviation", [200.0, 1e4])
def test_larger_noise_too_in_bins(deviation: float) -> None:
    """Chi-square. False alarm: 1e-7 each."""
    edges = [int(deviation * place / 4) for place in range(-10, 11)]
    assert p_value(drawn(deviation), deviation, edges) > FALSE_ALARM


def test_the_test_sees_what_is_another_distribution() -> None:
    rng = np.random.default_rng(1)
    rounded = np.rint(rng.normal(0, 1.0, DRAWS)).astype(np.int64)
    assert p_value(rounded, 1.0, CASES[1.0]) < FALSE_ALARM, "a rounded Gaussian is not the discrete one"
    assert p_value(drawn(3.2, 3 * DRAWS), 3.3, CASES[3.3]) < FALSE_ALARM, "three in a hundred less"


def test_huge_noise_is_gaussian_to_its_last_bits() -> None:
    """Of the size that federations use. Kolmogorov-Smirnov's D and a chi-square of bytes; false alarm: 2e-7."""
    values = drawn(2.0**45)
    steps = np.sort(norm.cdf(values / 2.0**45))
    ranks = np.arange(1, DRAWS + 1) / DRAWS
    distance = max((ranks - steps).max(), (steps - (ranks - 1 / DRAWS)).max())
    assert distance < (np.log(2 / FALSE_ALARM) / (2 * DRAWS)) ** 0.5  # Dvoretzky, Kiefer, Wolfowitz; Massart
    counts = np.bincount(values & 255, minlength=256)
    assert chi2.sf(((counts - DRAWS / 256) ** 2).sum() * 256 / DRAWS, 255) > FALSE_ALARM


def test_entries_and_releases_are_independent() -> None:
    """Correlation of neighbours and of two releases, six deviations. False alarm: 2 x 2e-9."""
    one, two = drawn(1e6), drawn(1e6)
    for a, b in ((one[:-1], one[1:]), (one, two)):
        assert abs(float(np.corrcoef(a, b)[0, 1])) < 6 / len(a) ** 0.5


def test_noise_is_added_to_the_vector() -> None:
    """False alarm: a discrete Gaussian of deviation 0.05 is not 0 with probability 2 exp(-200)."""
    vector = np.array([5, -7, 2**62, -(2**62)], np.int64)
    assert add_noise(vector, Noise(sensitivity=1, rho=Decimal(1_000), deviation=0.05)).tolist() == vector.tolist()
    assert vector.tolist() == [5, -7, 2**62, -(2**62)]


def test_noise_is_of_the_plans_deviation() -> None:
    """Six deviations of the variance's estimate. False alarm: 2e-9."""
    noise = plan_noise(2**30, Decimal("0.005"))
    values = add_noise(np.zeros(DRAWS, np.int64), noise)
    assert noise.deviation == pytest.approx(2**30 * 10, rel=1e-9)
    assert abs((values / noise.deviation).var() - 1) < 6 * (2 / DRAWS) ** 0.5


def test_two_processes_of_one_do_not_draw_the_same() -> None:
    code = """
import os, sys
import numpy as np
from decimal import Decimal
from sandbox.privacy import plan_noise
from sandbox.privacy.mechanism import add_noise
def draw(): return add_noise(np.zeros(2, np.int64), plan_noise(2**30, Decimal("0.5"))).tolist()
draw()
for _ in range(2):
    if os.fork() == 0:
        print(*draw(), flush=True)
        os._exit(0)
    os.wait()
print(*draw())
"""
    lines = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split("\n")
    numbers = [number for line in lines for number in line.split()]
    assert len(numbers) == len(set(numbers)) == 6  # by chance not, with probability under 1e-7


@pytest.mark.parametrize("deviation", [0.0, -1.0, float("nan"), float("inf"), 0.7, 1e-300])
def test_a_plan_that_gives_too_little_is_refused_before_anything_is_drawn(deviation: float) -> None:
    with pytest.raises(SandboxError) as caught:
        add_noise(np.array([777], np.int64), Noise(sensitivity=1, rho=Decimal(1), deviation=deviation))
    assert caught.value.code in (ErrorCode.DATA_INVALID, ErrorCode.ENGINE_FAILED)
    assert "777" not in f"{caught.value.message} {caught.value.detail}"


def test_a_plan_is_held_against_the_librarys_own_map() -> None:
    noise = plan_noise(1_000, Decimal("0.1"))
    add_noise(np.zeros(1, np.int64), noise)
    for wrong in (replace(noise, sensitivity=1_001), replace(noise, rho=Decimal("0.0999999999"))):
        with pytest.raises(InvalidRequestError):
            add_noise(np.zeros(1, np.int64), wrong)


@pytest.mark.parametrize("sensitivity", [1, 3, 1_000, 2**40, 2**53])
@pytest.mark.parametrize("rho", ["0.0000000001", "0.0003333333", "0.1", "0.5", "77.7", "1000"])
def test_the_library_agrees_to_every_plan(sensitivity: int, rho: str) -> None:
    assert add_noise(np.zeros(1, np.int64), plan_noise(sensitivity, Decimal(rho))).shape == (1,)


@pytest.mark.parametrize(
    "vector", [np.zeros(3), np.zeros(0, np.int64), np.zeros((2, 2), np.int64), np.zeros(3, np.uint64)]
)
def test_what_is_no_vector_is_refused(vector: Any) -> None:
    with pytest.raises(InvalidRequestError):
        add_noise(vector, plan_noise(1, Decimal(1)))


def test_where_nothing_can_be_drawn_nothing_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OpenDPException("FailedFunction", "CANARY-31")

    monkeypatch.setattr(mechanism, "make_gaussian", fail)
    with pytest.raises(UnavailableError) as caught:
        add_noise(np.zeros(1, np.int64), plan_noise(1, Decimal(1)))
    assert "CANARY" not in f"{caught.value.message} {caught.value.detail}"


def test_neighbours_are_as_hard_to_tell_apart_as_they_cost() -> None:
    """The two distributions themselves, without chance: every Rényi divergence is at most alpha rho."""
    noise = plan_noise(3, Decimal("0.5"))
    support = np.arange(-500, 501)
    logs = [-((support - shift) ** 2) / (2 * noise.deviation**2) for shift in (0, 3)]
    one, two = (values - logsumexp(values) for values in logs)
    costs = []
    for alpha in (1.01, 1.5, 2, 4, 10, 30):
        divergence = float(logsumexp(alpha * one + (1 - alpha) * two)) / (alpha - 1)
        costs.append(Fraction(divergence) / Fraction(alpha))
    assert all(cost <= Fraction(noise.rho) for cost in costs)
    assert all(abs(a - b) < Fraction(1, 10**4) for a, b in pairwise(costs))
