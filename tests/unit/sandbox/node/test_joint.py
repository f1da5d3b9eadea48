"""An engine that a gate asks: what one node answers alone, and what was trained together once it is there."""

from types import SimpleNamespace
from typing import Any

import pytest

from sandbox.isolation.limits import Limits
from sandbox.node.joint import JointEngine, JointSlot
from sandbox.query.admit import Admitted, AdmittedTraining
from yingbi.errors import ErrorCode, UnavailableError

LIMITS = Limits()


class Alone:
    """Answers alone, and notes what it was told."""

    def __init__(self) -> None:
        self.told: dict[str, object] = {}

    def run(self, admitted: object, **how: object) -> Any:
        self.told = how
        return ("alone", admitted)

    def view(self, *_: object, **__: object) -> Any:
        raise AssertionError("nobody reads a view")


def of(kind: type) -> Any:
    """Return an admitted question of which nothing is looked at."""
    found: Any = object.__new__(kind)
    if kind is AdmittedTraining:
        object.__setattr__(found, "question", "what is asked")
    return found


def test_what_a_node_answers_alone_is_answered_by_its_engine() -> None:
    alone, slot = Alone(), JointSlot()
    asked = of(Admitted)
    engine: Any = JointEngine(alone, slot)
    assert slot.engine is alone
    on_progress, cancel = (lambda part: None), (lambda: False)
    assert engine.run(asked, limits=LIMITS, on_progress=on_progress, cancel=cancel) == ("alone", asked)
    assert alone.told == {"limits": LIMITS, "on_progress": on_progress, "cancel": cancel}


def test_what_is_a_federations_is_answered_by_who_takes_part() -> None:
    alone, slot = Alone(), JointSlot()
    engine: Any = JointEngine(alone, slot)
    work: Any = SimpleNamespace(result=lambda question: ("together", question))
    slot.work = work
    assert engine.run(of(AdmittedTraining), limits=LIMITS) == ("together", "what is asked")
    assert alone.told == {}


def test_a_node_that_takes_no_part_has_no_such_answer() -> None:
    with pytest.raises(UnavailableError) as caught:
        JointEngine(Alone(), JointSlot()).run(of(AdmittedTraining), limits=LIMITS)
    assert caught.value.code is ErrorCode.ENGINE_FAILED
