"""Total tables: nothing is left open, and the drawing has what the table has."""

from enum import StrEnum

import pytest

from policies.tables import draw, total


class Light(StrEnum):
    RED = "red"
    GREEN = "green"
    OUT = "out"


class Act(StrEnum):
    GO = "go"
    STOP = "stop"
    FAIL = "fail"
    CUT = "cut"


TABLE = total(
    Light,
    Act,
    {
        (Light.RED, Act.GO): Light.GREEN,
        (Light.GREEN, Act.STOP): Light.RED,
        (Light.RED, Act.FAIL): Light.OUT,
        (Light.RED, Act.CUT): Light.OUT,
    },
)


def test_every_step_in_every_state_has_its_answer() -> None:
    assert set(TABLE) == {(state, step) for state in Light for step in Act}
    assert TABLE[Light.RED, Act.GO] is Light.GREEN
    assert [TABLE[Light.OUT, act] for act in Act] == [None] * len(Act)


def test_nobody_changes_a_table() -> None:
    with pytest.raises(TypeError):
        TABLE[Light.OUT, Act.GO] = Light.RED  # type: ignore[index]  # that is the point


def test_it_is_drawn_with_one_arrow_for_all_steps_between_two_states() -> None:
    assert draw(TABLE, begins="red", ended={Light.OUT}).splitlines() == [
        "stateDiagram-v2",
        "    [*] --> red",
        "    red --> green: go",
        "    red --> out: fail, cut",
        "    green --> red: stop",
        "    out --> [*]",
    ]
