"""A flood of one organisation does not keep the others out."""

import pytest

from api.turnstile import Turnstile
from yingbi.errors import UnavailableError


def test_only_so_many_of_one_are_inside() -> None:
    turnstile = Turnstile(2)
    with turnstile.pass_through("partner:a"), turnstile.pass_through("partner:a"):
        with pytest.raises(UnavailableError), turnstile.pass_through("partner:a"):
            pytest.fail("a third came in")
        with turnstile.pass_through("partner:b"):
            pass
    with turnstile.pass_through("partner:a"):
        pass


def test_who_fails_inside_is_outside_again() -> None:
    turnstile = Turnstile(1)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), turnstile.pass_through("partner:a"):
            raise ZeroDivisionError
