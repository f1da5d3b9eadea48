"""What can be said of one bundle by itself, in any process: entries, hashes, signatures; and the pool that runs it."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Final, TypeVar

from yingbi.verify.entry import Entry, parse_entry, split_bundle
from yingbi.verify.keyring import KEY_TYPES, LOG_KEY_TYPE, Keyring
from yingbi.verify.merkle import TILE_WIDTH, fold, hash_leaf
from yingbi.verify.note import HASH_BYTES
from yingbi.verify.report import Check, Finding, Name, failed
from yingbi.verify.source import Bundle
from yingbi.verify.statement import StatementError
from yingbi.verify.strict import Malformed

__all__ = ["Bounds", "FoundError", "Scan", "Signatures", "check_link", "map_ordered", "scan_bundle", "verify_bundle"]

_AHEAD: Final = 4
_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What the times of entries are held against, from the cosignatures of the new and the old checkpoint."""

    latest: str
    late: Finding
    earliest: str
    old_size: int | None


@dataclass(slots=True, kw_only=True)
class Scan:
    """What one bundle holds.

    `leaves` are the leaf hashes of a partial bundle, `root` the hash of a full one; `prefix` are the leaf hashes below
    the old size, where that falls into this bundle. `prev` is empty if not even the first entry can be read.
    """

    first: int
    prev: bytes = b""
    first_time: str = ""
    last_leaf: bytes = b""
    last_time: str = ""
    root: bytes = b""
    leaves: list[bytes] = field(default_factory=list)
    prefix: list[bytes] | None = None
    key_entries: list[Entry] = field(default_factory=list)
    failure: Check | None = None

    @property
    def count(self) -> int:
        """Return the number of entries that were read."""
        return TILE_WIDTH if self.root else len(self.leaves)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signatures:
    """What came of the signatures of one bundle, with the hashes of what was read."""

    first: int
    root: bytes
    leaves: list[bytes]
    failure: Check | None


class FoundError(Exception):
    """Carries a failed check out of the loop over entries."""

    def __init__(self, check: Check) -> None:
        super().__init__(check.message)
        self.check = check


def scan_bundle(bounds: Bounds, bundle: Bundle) -> Scan:
    """Check everything about the entries of one bundle but signatures (verification.md, A log, steps 2, 3 and 5)."""
    scan = Scan(first=bundle.first)
    leaves: list[bytes] = []
    if bundle.entries is None:
        return scan
    try:
        if bundle.tile is not None and len(bundle.tile) != HASH_BYTES * bundle.width:
            message = f"expected a tile of {bundle.width} hashes"
            raise FoundError(failed(Name.TILES, Finding.MALFORMED, message, index=bundle.first))
        for data in split_bundle(bundle.entries, bundle.width, exact=bundle.exact):
            leaves.append(_scan_entry(scan, leaves, data, bounds, bundle.tile))
    except Malformed as error:
        scan.failure = failed(Name.ENTRIES, Finding.MALFORMED, str(error), index=bundle.first + len(leaves))
    except FoundError as found:
        scan.failure = found.check
    scan.last_leaf = leaves[-1] if leaves else b""
    inside = -1 if bounds.old_size is None else bounds.old_size - bundle.first
    if 0 <= inside <= min(len(leaves), TILE_WIDTH - 1):
        scan.prefix = leaves[:inside]
    if len(leaves) == TILE_WIDTH:
        scan.root = fold(leaves)
    else:
        scan.leaves = leaves
    return scan


def verify_bundle(keyring: Keyring, limit: int, bundle: Bundle) -> Signatures:
    """Check the statement signatures of the entries below index `limit` (verification.md, A log, step 6)."""
    leaves: list[bytes] = []
    failure = None
    try:
        for data in split_bundle(bundle.entries or b"", bundle.width, exact=False):
            leaves.append(hash_leaf(data))
            if bundle.first + len(leaves) <= limit:
                keyring.check(parse_entry(data))
    except StatementError as error:
        failure = error.to_check(Name.STATEMENTS, bundle.first + len(leaves) - 1)
    except Malformed as error:
        failure = failed(Name.STATEMENTS, Finding.MALFORMED, str(error), index=bundle.first + len(leaves))
    full = len(leaves) == TILE_WIDTH
    return Signatures(
        first=bundle.first, root=fold(leaves) if full else b"", leaves=[] if full else leaves, failure=failure
    )


def map_ordered(
    work: Callable[[_Task], _Result], tasks: Iterable[_Task], workers: int
) -> Generator[_Result, None, None]:
    """Yield `work(task)` for all tasks in their order, reading only a few ahead; one worker means this process."""
    if workers <= 1:
        yield from map(work, tasks)
        return
    # Fresh processes: a fork would copy the locks of whatever threads the caller has.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        ahead: deque[Future[_Result]] = deque()
        try:
            for task in tasks:
                ahead.append(pool.submit(work, task))
                if len(ahead) >= _AHEAD * workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def check_link(index: int, before: tuple[bytes, str], entry: tuple[bytes, str]) -> None:
    """Check that an entry's `prev` and time follow from the leaf hash and time of the one before (log.md, Entry).

    Raises:
        FoundError: they do not.
    """
    (leaf, then), (prev, time) = before, entry
    if prev != leaf:
        message = "the entry does not name the hash of the one before"
        raise _found(Name.CHAIN, Finding.CHAIN_BROKEN, message, index, leaf.hex(), prev.hex())
    if time < then:
        message = "the entry is dated before the one before"
        raise _found(Name.TIMES, Finding.TIME_WENT_BACK, message, index, f"from {then} on", time)


def _scan_entry(scan: Scan, leaves: list[bytes], data: bytes, bounds: Bounds, tile: bytes | None) -> bytes:
    place = len(leaves)
    index = scan.first + place
    entry = parse_entry(data)
    if entry.seq != index:
        message = "the entry bears another index"
        raise _found(Name.ENTRIES, Finding.WRONG_INDEX, message, index, str(index), str(entry.seq))
    if not leaves:
        scan.prev, scan.first_time = entry.prev, entry.time
    else:
        check_link(index, (leaves[-1], scan.last_time), (entry.prev, entry.time))
    scan.last_time = entry.time
    if entry.time > bounds.latest:
        message = "the entry bears a time later than it can be"
        raise _found(Name.TIMES, bounds.late, message, index, f"at most {bounds.latest}", entry.time)
    if bounds.old_size is not None and index >= bounds.old_size and entry.time < bounds.earliest:
        message = "the entry is dated before a checkpoint that did not hold it"
        raise _found(Name.TIMES, Finding.BACKDATED, message, index, f"from {bounds.earliest} on", entry.time)
    leaf = hash_leaf(data)
    if tile is not None and (listed := tile[place * HASH_BYTES : (place + 1) * HASH_BYTES]) != leaf:
        message = "the entry does not have the hash in its tile"
        raise _found(Name.TILES, Finding.HASH_MISMATCH, message, index, listed.hex(), leaf.hex())
    if entry.type in KEY_TYPES or entry.type == LOG_KEY_TYPE:
        scan.key_entries.append(entry)
    return leaf


def _found(name: Name, finding: Finding, message: str, index: int, expected: str, actual: str) -> FoundError:
    return FoundError(failed(name, finding, message, index=index, expected=expected, actual=actual))
