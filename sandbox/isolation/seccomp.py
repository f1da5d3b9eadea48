"""System call filters of the cage: two classic BPF programs, built here (docs/cage.md, "System calls").

The first is loaded by bubblewrap before the worker starts. The second (`sealed=True`) is loaded by the worker on
itself, once it needs no further program: then nothing can be executed either. Filters add up and are never removed.

What is refused: other processes and namespaces, debugging, mounts, kernel keys, BPF, performance events, every socket,
memory that no limit counts (memfd, System V), and every system call newer than this list.
"""

import ctypes
import os
import platform
import struct
from errno import ENOSYS, EPERM
from typing import Final

from yingbi.errors import ErrorCode, UnavailableError

__all__ = ["DENIED", "denied_numbers", "program", "seal"]

_LOAD: Final = 0x20
_AND: Final = 0x54
_JUMP_EQUAL: Final = 0x15
_JUMP_AT_LEAST: Final = 0x35
_RETURN: Final = 0x06

_ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000
_KILL_PROCESS: Final = 0x80000000

_OFFSET_NUMBER: Final = 0
_OFFSET_ARCHITECTURE: Final = 4
_OFFSET_ARGUMENT: Final = 16

_CLONE_THREAD: Final = 0x00010000
_CLONE_NEW_NAMESPACES: Final = 0x7E020080
_X32: Final = 0x40000000
_CLONE3: Final = 435
_FIRST_NEWER: Final = 424
# close_range, openat2, faccessat2, epoll_pwait2, futex_waitv: newer than 423 and harmless.
_NEWER_ALLOWED: Final = (436, 437, 439, 441, 449)

_ARCHITECTURES: Final = {"x86_64": (0, 0xC000003E, 56), "aarch64": (1, 0xC00000B7, 220)}

DENIED: Final[dict[str, tuple[int | None, int | None]]] = {
    # processes (clone is checked by its flags)
    "fork": (57, None),
    "vfork": (58, None),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "personality": (135, 92),
    "modify_ldt": (154, None),
    "userfaultfd": (323, 282),
    # identities
    "setuid": (105, 146),
    "setgid": (106, 144),
    "setreuid": (113, 145),
    "setregid": (114, 143),
    "setgroups": (116, 159),
    "setresuid": (117, 147),
    "setresgid": (119, 149),
    "setfsuid": (122, 151),
    "setfsgid": (123, 152),
    # namespaces and mounts
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "quotactl": (179, 60),
    # kernel
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "syslog": (103, 116),
    "acct": (163, 89),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "iopl": (172, None),
    "ioperm": (173, None),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "lookup_dcookie": (212, 18),
    "_sysctl": (156, None),
    "uselib": (134, None),
    # sockets
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "accept": (43, 202),
    "accept4": (288, 242),
    "bind": (49, 200),
    "listen": (50, 201),
    "sendto": (44, 206),
    "sendmsg": (46, 211),
    "sendmmsg": (307, 269),
    "recvfrom": (45, 207),
    "recvmsg": (47, 212),
    "recvmmsg": (299, 243),
    # memory that rlimits do not count
    "memfd_create": (319, 279),
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "mbind": (237, 235),
    "set_mempolicy": (238, 237),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "vmsplice": (278, 75),
}
"""Refused system calls: name -> number on x86_64, number on aarch64 (absent where there is none)."""

_EXECUTION: Final[dict[str, tuple[int | None, int | None]]] = {"execve": (59, 221), "execveat": (322, 281)}


def denied_numbers(*, sealed: bool, machine: str | None = None) -> tuple[int, ...]:
    """Return the numbers of the refused system calls on this machine, ascending.

    Raises:
        UnavailableError: no list for this kind of processor.
    """
    column, _, _ = _architecture(machine)
    table = {**DENIED, **_EXECUTION} if sealed else DENIED
    return tuple(sorted(number for pair in table.values() if (number := pair[column]) is not None))


def program(*, sealed: bool, machine: str | None = None) -> bytes:
    """Return the filter as the kernel reads it: `struct sock_filter` after `struct sock_filter`.

    Raises:
        UnavailableError: no list for this kind of processor.
    """
    _, audit, clone = _architecture(machine)
    lines = [
        _line(_LOAD, _OFFSET_ARCHITECTURE),
        _line(_JUMP_EQUAL, audit, 1, 0),
        _line(_RETURN, _KILL_PROCESS),
        _line(_LOAD, _OFFSET_NUMBER),
        # SECURITY: x32 gives the same calls other numbers.
        _line(_JUMP_AT_LEAST, _X32, 0, 1),
        _line(_RETURN, _KILL_PROCESS),
    ]
    for number in denied_numbers(sealed=sealed, machine=machine):
        lines += [_line(_JUMP_EQUAL, number, 0, 1), _line(_RETURN, _ERRNO | EPERM)]
    for number in _NEWER_ALLOWED:
        lines += [_line(_JUMP_EQUAL, number, 0, 1), _line(_RETURN, _ALLOW)]
    # `clone3` hides its flags from filters; "no such call" makes the C library use `clone`.
    lines += [_line(_JUMP_AT_LEAST, _FIRST_NEWER, 0, 1), _line(_RETURN, _ERRNO | ENOSYS)]
    lines += [
        _line(_JUMP_EQUAL, clone, 1, 0),
        _line(_RETURN, _ALLOW),
        _line(_LOAD, _OFFSET_ARGUMENT),
        _line(_AND, _CLONE_THREAD | _CLONE_NEW_NAMESPACES),
        _line(_JUMP_EQUAL, _CLONE_THREAD, 0, 1),
        _line(_RETURN, _ALLOW),
        _line(_RETURN, _ERRNO | EPERM),
    ]
    return b"".join(lines)


def seal() -> None:
    """Load the second filter on every thread of this process, for good (side effect: nothing can be executed).

    Raises:
        UnavailableError: the kernel refused the filter.
    """
    code = program(sealed=True)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    number = 317 if platform.machine() == "x86_64" else 277
    if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.syscall(number, 1, 1, ctypes.c_char_p(header)) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise UnavailableError(ErrorCode.CAGE_UNAVAILABLE, "the system call filter was refused", detail=reason)


def _line(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)


def _architecture(machine: str | None) -> tuple[int, int, int]:
    name = platform.machine() if machine is None else machine
    if name not in _ARCHITECTURES:
        raise UnavailableError(ErrorCode.CAGE_UNAVAILABLE, f"no system call filter for a `{name}` processor")
    return _ARCHITECTURES[name]
