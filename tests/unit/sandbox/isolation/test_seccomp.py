"""The filter, interpreted by a small machine of the test's own, for both kinds of processor."""

import struct

import pytest

from sandbox.isolation.seccomp import DENIED, denied_numbers, program
from yingbi.errors import ErrorCode, UnavailableError

MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026


def verdict(code: bytes, number: int, *, audit: int, argument: int = 0) -> int:
    data = struct.pack("<IIQQ", number, audit, 0, argument)
    lines = list(struct.iter_unpack("<HBBI", code))
    place, register = 0, 0
    while True:
        kind, yes, no, value = lines[place]
        place += 1
        match kind:
            case 0x20:
                register = struct.unpack_from("<I", data, value)[0]
            case 0x54:
                register &= value
            case 0x15:
                place += yes if register == value else no
            case 0x35:
                place += yes if register >= value else no
            case 0x06:
                return int(value)
            case _:
                raise AssertionError(kind)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("sealed", [False, True])
def test_exactly_the_listed_calls_are_refused(machine: str, sealed: bool) -> None:
    audit, column = MACHINES[machine]
    code = program(sealed=sealed, machine=machine)
    denied = set(denied_numbers(sealed=sealed, machine=machine))
    clone = (56, 220)[column]
    for number in set(range(424)) - {clone}:
        assert verdict(code, number, audit=audit) == (EPERM if number in denied else ALLOW)
    named = {pair[column] for pair in DENIED.values()} - {None}
    assert named <= denied
    assert len(denied - named) == (2 if sealed else 0)


@pytest.mark.parametrize("machine", MACHINES)
def test_newer_calls_do_not_exist_but_for_a_few(machine: str) -> None:
    audit, _ = MACHINES[machine]
    code = program(sealed=False, machine=machine)
    allowed = {n for n in range(424, 700) if verdict(code, n, audit=audit) == ALLOW}
    assert allowed == {436, 437, 439, 441, 449}
    assert verdict(code, 435, audit=audit) == ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
def test_clone_makes_threads_only(machine: str) -> None:
    audit, column = MACHINES[machine]
    code, clone = program(sealed=False, machine=machine), (56, 220)[column]
    thread, new_user = 0x10000, 0x10000000
    flags = {0: EPERM, thread: ALLOW, thread | 0x3D0F00: ALLOW, thread | new_user: EPERM, 0x4111: EPERM}
    for value, expected in flags.items():
        assert verdict(code, clone, audit=audit, argument=value) == expected


def test_other_architectures_are_killed() -> None:
    code = program(sealed=False, machine="x86_64")
    assert verdict(code, 1, audit=0x40000003) == KILL
    assert verdict(code, 0x40000000 | 59, audit=MACHINES["x86_64"][0]) == KILL


def test_an_unknown_machine_has_no_cage() -> None:
    with pytest.raises(UnavailableError) as raised:
        program(sealed=False, machine="pdp11")
    assert raised.value.code is ErrorCode.CAGE_UNAVAILABLE
