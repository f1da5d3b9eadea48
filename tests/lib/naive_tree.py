"""RFC 6962 §2.1 word for word: slow, recursive, and sharing no line with `ledger`."""

import hashlib
from collections.abc import Sequence

__all__ = ["NaiveTree"]


class NaiveTree:
    """MTH, PATH and PROOF over a list of leaf hashes; `[lo:hi]` stands for D[lo:hi]."""

    def __init__(self, leaf_hashes: Sequence[bytes]) -> None:
        self._leaves = list(leaf_hashes)
        self._known: dict[tuple[int, int], bytes] = {}

    @classmethod
    def over(cls, entries: Sequence[bytes]) -> "NaiveTree":
        """MTH({d(0)}) = SHA-256(0x00 || d(0))."""
        return cls([hashlib.sha256(b"\x00" + entry).digest() for entry in entries])

    def root(self, size: int) -> bytes:
        """MTH(D[0:size])."""
        return self.mth(0, size)

    def mth(self, lo: int, hi: int) -> bytes:
        """MTH(D[lo:hi]): of nothing SHA-256(), of one leaf its hash, else SHA-256(0x01 || MTH || MTH) split at k."""
        count = hi - lo
        if count == 0:
            return hashlib.sha256().digest()
        if count == 1:
            return self._leaves[lo]
        if (lo, hi) not in self._known:
            k = _split(count)
            pair = self.mth(lo, lo + k) + self.mth(lo + k, hi)
            self._known[lo, hi] = hashlib.sha256(b"\x01" + pair).digest()
        return self._known[lo, hi]

    def path(self, index: int, size: int) -> tuple[bytes, ...]:
        """PATH(index, D[0:size])."""
        return tuple(self._path(index, 0, size))

    def _path(self, m: int, lo: int, hi: int) -> list[bytes]:
        n = hi - lo
        if n == 1:
            return []
        k = _split(n)
        if m < k:
            return [*self._path(m, lo, lo + k), self.mth(lo + k, hi)]
        return [*self._path(m - k, lo + k, hi), self.mth(lo, lo + k)]

    def proof(self, old_size: int, new_size: int) -> tuple[bytes, ...]:
        """PROOF(old_size, D[0:new_size]), which RFC 6962 defines for 0 < old_size < new_size."""
        return tuple(self._subproof(old_size, 0, new_size, True))

    def _subproof(self, m: int, lo: int, hi: int, b: bool) -> list[bytes]:
        n = hi - lo
        if m == n:
            return [] if b else [self.mth(lo, hi)]
        k = _split(n)
        if m <= k:
            return [*self._subproof(m, lo, lo + k, b), self.mth(lo + k, hi)]
        return [*self._subproof(m - k, lo + k, hi, False), self.mth(lo, lo + k)]


def _split(n: int) -> int:
    """Return the largest power of two smaller than n."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k
