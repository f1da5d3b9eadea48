"""Keccak-256 as Ethereum uses it: Keccak[512] before FIPS 202 gave SHA-3 its two further padding bits.

The standard library has SHA-3 but not this, and an auditor's installation has no Ethereum library. It is slow (about
0.2 ms a block of 136 bytes) and hashes only public bytes, so that its timing tells nothing.
"""

from typing import Final

__all__ = ["keccak256"]

_LANES: Final = 25
_ROUNDS: Final = 24
_RATE_BYTES: Final = 136
_DIGEST_BYTES: Final = 32
_MASK: Final = 2**64 - 1


def keccak256(data: bytes) -> bytes:
    """Return the 32-byte Keccak-256 digest of `data` (The Keccak reference 3.0, §1; Ethereum yellow paper, `KEC`)."""
    # pad10*1 without a domain suffix: the one difference from SHA3-256.
    padded = bytearray(data) + b"\x01" + bytes(-(len(data) + 1) % _RATE_BYTES)
    padded[-1] |= 0x80
    state = [0] * _LANES
    for start in range(0, len(padded), _RATE_BYTES):
        for lane in range(_RATE_BYTES // 8):
            at = start + 8 * lane
            state[lane] ^= int.from_bytes(padded[at : at + 8], "little")
        state = _permute(state)
    return b"".join(lane.to_bytes(8, "little") for lane in state)[:_DIGEST_BYTES]


def _permute(state: list[int]) -> list[int]:
    """Apply Keccak-f[1600] (FIPS 202 §3.2 and §3.3); lane (x, y) is item `x + 5 * y`."""
    for constant in _ROUND_CONSTANTS:
        columns = [state[x] ^ state[x + 5] ^ state[x + 10] ^ state[x + 15] ^ state[x + 20] for x in range(5)]
        parity = [columns[x - 1] ^ _rotate(columns[(x + 1) % 5], 1) for x in range(5)]
        moved = [0] * _LANES
        for source, target, offset in _RHO_AND_PI:
            moved[target] = _rotate(state[source] ^ parity[source % 5], offset)
        state = [moved[i] ^ (~moved[after] & moved[second]) for i, after, second in _CHI]
        state[0] ^= constant
    return state


def _rotate(lane: int, offset: int) -> int:
    return (lane << offset | lane >> (64 - offset)) & _MASK


def _make_rho_and_pi() -> list[tuple[int, int, int]]:
    """Return (from, to, offset) of every lane (FIPS 202 §3.2.2 and §3.2.3)."""
    offsets = {(0, 0): 0}
    x, y = 1, 0
    for t in range(_LANES - 1):
        offsets[x, y] = (t + 1) * (t + 2) // 2 % 64
        x, y = y, (2 * x + 3 * y) % 5
    return [(x + 5 * y, y + 5 * ((2 * x + 3 * y) % 5), offset) for (x, y), offset in offsets.items()]


def _make_round_constants() -> list[int]:
    """Return the constants of iota (FIPS 202 §3.2.5): bits of a shift register, at positions 2^j - 1."""
    constants, register = [], 1
    for _ in range(_ROUNDS):
        constant = 0
        for j in range(7):
            constant |= (register & 1) << (2**j - 1)
            register = register << 1 ^ (0x171 if register & 0x80 else 0)
        constants.append(constant)
    return constants


_RHO_AND_PI: Final = _make_rho_and_pi()
_CHI: Final = [(i, i - i % 5 + (i + 1) % 5, i - i % 5 + (i + 2) % 5) for i in range(_LANES)]
_ROUND_CONSTANTS: Final = _make_round_constants()
