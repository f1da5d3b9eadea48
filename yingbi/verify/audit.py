"""The full audit of a log, from its published files alone (verification.md, A log).

Bundles stream through workers, which do all that concerns single entries; the parent joins what they found, in order:
links between bundles, key entries, upper tiles, roots. It holds the tree's right edge and the keys, never the entries.
"""

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Final

from yingbi.verify.checkpoint import (
    Head,
    Terms,
    check_history,
    describe,
    examine,
    latest_entry_time,
    make_terms,
    split_view,
)
from yingbi.verify.entry import Entry, genesis
from yingbi.verify.keyring import KEY_TYPES, LOG_KEY_TYPE, Keyring, LogKeys
from yingbi.verify.merkle import TILE_WIDTH, Tile, TileTree
from yingbi.verify.note import HASH_BYTES, Checkpoint
from yingbi.verify.report import Check, Finding, Name, Outcome, Report, failed, missing, not_checked, passed
from yingbi.verify.scan import Bounds, FoundError, Scan, check_link, map_ordered, scan_bundle, verify_bundle
from yingbi.verify.source import MAX_ABSENT, Files, Source, tile_path
from yingbi.verify.statement import StatementError
from yingbi.verify.strict import format_time
from yingbi.verify.trust import Trust

__all__ = ["Progress", "audit_log", "choose_workers"]

Progress = Callable[[int, int], None]
"""Is told how many entries are done, of how many; each pass over the log counts."""

_WORTH_PROCESSES: Final = 2048  # below, starting them takes longer than the audit
_ENTRY_CHECKS: Final = (Name.ENTRIES, Name.CHAIN, Name.TIMES, Name.TILES)
_HELD: Final = {
    Name.ENTRIES: "well formed and in sequence",
    Name.CHAIN: "each names the hash of the one before",
    Name.TIMES: "never going back, and not later than cosignatures allow",
    Name.TILES: "the hashes of entries, and the tree above them",
}
_AUDIT_CHECKS: Final = (*_ENTRY_CHECKS, Name.ROOT, Name.HISTORY, Name.LOG_KEYS, Name.STATEMENTS)


def audit_log(
    source: Source | Path,
    trust: Trust,
    *,
    now: datetime,
    since: bytes | None = None,
    max_age_s: int | None = None,
    skew_s: int = 300,
    origin: str | None = None,
    statements: bool = True,
    workers: int = 1,
    progress: Progress | None = None,
) -> Report:
    """Audit a whole log: checkpoint, entries, tiles, root, history since an older checkpoint, keys, statements.

    With more than one worker, processes are started afresh ("spawn"): a script that calls this needs the usual
    `if __name__ == "__main__"`.

    Args:
        source: a folder, or a function that reads a path of tlog-tiles.
        trust: see `load_trust`.
        now: the present time, aware.
        since: an older signed checkpoint, as the user kept it.
        max_age_s: greatest age of the newest cosignature.
        skew_s: tolerated difference between clocks.
        origin: the log that is expected; any trusted one otherwise.
        statements: whether signatures of statements are checked (needs `statement_roots`).
        workers: number of processes; 1 stays in this one, 0 takes all cores if the log is worth it.
        progress: told after each bundle.
    """
    terms = make_terms(now, skew_s, max_age_s, origin)
    files = Files(source)
    published = files.read("checkpoint")
    if published is None:
        return Report(checks=(missing(Name.NOTE, "the log's checkpoint is needed", ["checkpoint"]),))
    head = examine(published, trust, terms)
    old = None if since is None else examine(since, trust, replace(terms, max_age_s=None))
    if head.checkpoint is None or head.checks[0].finding is not None:
        rest = (not_checked(name, "no checkpoint to audit") for name in _AUDIT_CHECKS)
        return Report(checks=(*head.checks, *rest), about=head.about)
    keyring = Keyring(trust.statement_roots) if statements and trust.statement_roots else None
    walk = _Walk(files, head.checkpoint, _bounds(head, old, terms), keyring, progress)
    workers = choose_workers(workers, head.checkpoint.size)
    walk.scan(workers)
    chain = walk.log_keys.chain
    if set(chain) & set(trust.policy.logs[head.checkpoint.origin]):
        # SECURITY: each key of the chain was named in a statement that its neighbour signed, and one is trusted.
        wider = trust.with_log_keys(head.checkpoint.origin, chain)
        head = examine(published, wider, terms)
        old = None if since is None else examine(since, wider, replace(terms, max_age_s=None))
    history = _check_history(old, head, walk)
    checks = (
        *head.checks,
        *walk.entry_checks(),
        walk.root_check(),
        history,
        _check_log_keys(head, trust, walk),
        walk.verify_statements(workers) if keyring is not None else _no_statements(asked=statements),
    )
    contradicts = history.finding in (Finding.ROLLBACK, Finding.SPLIT_VIEW)
    heads = tuple(item.data.decode(errors="replace") for item in (old, head) if item is not None and contradicts)
    return Report(checks=checks, about=head.about, good_size=_good_size(checks, head, old), heads=heads)


def choose_workers(asked: int, size: int) -> int:
    """Return how many processes to use for a log of this size; 0 asked for leaves the choice."""
    return asked or (1 if size < _WORTH_PROCESSES else os.cpu_count() or 1)


class _Walk:
    """One way through the entries of a log, in order, up to the first that is wrong."""

    def __init__(
        self, files: Files, checkpoint: Checkpoint, bounds: Bounds, keyring: Keyring | None, progress: Progress | None
    ) -> None:
        self._files, self._checkpoint, self._bounds = files, checkpoint, bounds
        self._keyring, self._progress = keyring, progress
        self.log_keys = LogKeys(checkpoint.origin)
        self.log_key_failure: Check | None = None
        self._key_failure: Check | None = None
        self._failure: Check | None = None
        self._root: bytes | None = None
        self._prefix_root: bytes | None = None
        self._before = (genesis(checkpoint.origin), "")
        self._tree = TileTree()
        self._rest: list[bytes] = []
        self._joined = 0

    @property
    def complete(self) -> bool:
        """Tell whether every entry was read and nothing wrong was found in any; nothing passes otherwise."""
        return self._failure is None and self._joined == self._checkpoint.size

    def scan(self, workers: int) -> None:
        """Check entries and tiles, and replay the keys, up to the first failure."""
        bundles = self._files.bundles(self._checkpoint.size, tiles=True)
        with closing(map_ordered(partial(scan_bundle, self._bounds), bundles, workers)) as scans:
            for scan in scans:
                if scan.first == self._joined:
                    self._join(scan)
                else:  # beyond a missing bundle, nothing can be joined
                    self._failure = scan.failure
                if self._failure is not None:
                    return
                self._tell(min(scan.first + TILE_WIDTH, self._checkpoint.size))
        if self.complete:
            self._compare_tiles(self._tree.partial_tiles())
            self._root = self._tree.root(self._rest)

    def entry_checks(self) -> tuple[Check, ...]:
        """Return the checks of entries, chain, times and tiles."""
        return tuple(self._entry_check(name) for name in _ENTRY_CHECKS)

    def root_check(self) -> Check:
        """Return the check that the entries are those of the checkpoint."""
        if not self.complete or self._root is None:
            return not_checked(Name.ROOT, "not all entries could be joined")
        if self._root != self._checkpoint.root:
            message, expected = "the entries have another root than the checkpoint", self._checkpoint.root.hex()
            return failed(Name.ROOT, Finding.ROOT_MISMATCH, message, expected=expected, actual=self._root.hex())
        return passed(Name.ROOT, f"the root of all {self._joined} entries is that of the checkpoint")

    def judge_history(self, was: Checkpoint, now: Checkpoint) -> Check | None:
        """Judge whether the entries begin with the tree of an older checkpoint: `None` if they do."""
        if was.size == now.size or self._prefix_root == was.root:
            return None
        if self._prefix_root is None:
            return not_checked(Name.HISTORY, "the tree at the old size could not be built")
        if self._root == now.root:
            return split_view(was, self._prefix_root)
        # The entries are not those that the log signed, so that they say nothing against the log.
        message, actual = "the entries have another root at the old size", self._prefix_root.hex()
        return failed(Name.HISTORY, Finding.ROOT_MISMATCH, message, expected=was.root.hex(), actual=actual)

    def verify_statements(self, workers: int) -> Check:
        """Return the check of all statement signatures: a second way through, with the keys of the first."""
        if not self.complete or self._keyring is None:
            return not_checked(Name.STATEMENTS, "the keys could not be followed through the whole log")
        limit = self._joined if self._key_failure is None else self._key_failure.index or 0
        bundles = takewhile(lambda item: item.first < limit, self._files.again().bundles(self._joined, tiles=False))
        tree, rest = TileTree(), list[bytes]()
        with closing(map_ordered(partial(verify_bundle, self._keyring, limit), bundles, workers)) as results:
            for result in results:
                if result.failure is not None:
                    return result.failure
                if result.root:
                    tree.add(result.root)
                else:
                    rest = result.leaves
                self._tell(self._joined + min(result.first + TILE_WIDTH, self._joined))
        if self._key_failure is not None:
            return self._key_failure
        # SECURITY: the files were read twice; the root says that they were the same both times.
        if tree.root(rest) != self._root:
            return failed(Name.STATEMENTS, Finding.HASH_MISMATCH, "the entries changed while they were being checked")
        return passed(Name.STATEMENTS, f"all signatures of {self._joined} entries, by keys valid at their time")

    def _join(self, scan: Scan) -> None:
        if scan.prefix is not None:
            self._prefix_root = self._tree.root(scan.prefix)
        try:
            if scan.prev:
                check_link(scan.first, self._before, (scan.prev, scan.first_time))
        except FoundError as found:
            self._failure = found.check
            return
        for entry in scan.key_entries:
            self._replay(entry)
        self._failure = scan.failure
        self._joined += scan.count
        self._before = (scan.last_leaf, scan.last_time)
        self._rest = scan.leaves
        if scan.root and scan.failure is None:
            self._compare_tiles(self._tree.add(scan.root))

    def _replay(self, entry: Entry) -> None:
        try:
            if entry.type == LOG_KEY_TYPE and self.log_key_failure is None:
                self.log_keys.apply(entry)
            elif entry.type in KEY_TYPES and self._keyring is not None and self._key_failure is None:
                self._keyring.apply(entry)
        except StatementError as error:
            if entry.type == LOG_KEY_TYPE:
                self.log_key_failure = error.to_check(Name.LOG_KEYS, entry.seq)
            else:
                self._key_failure = error.to_check(Name.STATEMENTS, entry.seq)

    def _compare_tiles(self, tiles: list[Tile]) -> None:
        for level, number, hashes in tiles:
            data = self._files.read_hashes(level, number, len(hashes))
            if data is None or data == b"".join(hashes):
                continue
            listed = [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]
            place = next((i for i, pair in enumerate(zip(hashes, listed, strict=False)) if pair[0] != pair[1]), None)
            path = tile_path(level, number, len(hashes))
            self._failure = failed(
                Name.TILES,
                Finding.MALFORMED if place is None else Finding.HASH_MISMATCH,
                f"{path} does not hold the hashes of the tree below it",
                index=(number * TILE_WIDTH + (place or 0)) * TILE_WIDTH**level,
                expected=None if place is None else hashes[place].hex(),
                actual=None if place is None else listed[place].hex(),
            )
            return

    def _entry_check(self, name: Name) -> Check:
        if self._failure is not None:
            stopped = not_checked(name, f"stopped at entry {self._failure.index}")
            return self._failure if self._failure.name == name else stopped
        absent = [path for path in self._files.absent if path.startswith("tile/entries/") is (name is Name.ENTRIES)]
        if absent and name in (Name.ENTRIES, Name.TILES):
            more = "files of the log are missing" + (", perhaps more" if len(absent) >= MAX_ABSENT else "")
            return missing(name, more, absent)
        if not self.complete:
            return not_checked(name, "not all entries could be read")
        return passed(name, f"{_HELD[name]}, in all {self._joined} entries")

    def _tell(self, done: int) -> None:
        if self._progress is not None:
            passes = 1 if self._keyring is None else 2
            self._progress(done, passes * self._checkpoint.size)


def _bounds(head: Head, old: Head | None, terms: Terms) -> Bounds:
    late, latest = latest_entry_time(head, terms)
    if old is None or old.checkpoint is None:
        return Bounds(latest=latest, late=late, earliest="", old_size=None)
    earliest = format_time(max(old.times) - terms.skew_s) if old.times else ""
    return Bounds(latest=latest, late=late, earliest=earliest, old_size=old.checkpoint.size)


def _check_history(old: Head | None, head: Head, walk: _Walk) -> Check:
    if old is None:
        return not_checked(Name.HISTORY, "no older checkpoint was given to compare with")
    history = check_history(old, head, walk.judge_history)
    if history.outcome is Outcome.PASSED and old.checkpoint is not None:
        required = walk.log_keys.required(old.checkpoint.size)
        if set(required) - set(old.log_keys):
            return failed(Name.HISTORY, Finding.WRONG_SIGNER, "the old checkpoint lacks a log key of its time")
    return history


def _check_log_keys(head: Head, trust: Trust, walk: _Walk) -> Check:
    if walk.log_key_failure is not None:
        return walk.log_key_failure
    if not walk.complete or head.checkpoint is None:
        return not_checked(Name.LOG_KEYS, "changes of the log's key could not be followed through the whole log")
    chain = walk.log_keys.chain
    if not chain:
        return passed(Name.LOG_KEYS, "the log's key never changed")
    if not set(chain) & set(trust.policy.logs[head.checkpoint.origin]):
        return failed(Name.LOG_KEYS, Finding.UNKNOWN_KEY, "no key of the log's changes is trusted")
    required = walk.log_keys.required(head.checkpoint.size)
    if set(required) - set(head.log_keys):
        expected = ", ".join(describe(key) for key in required)
        message = "the checkpoint lacks a signature by a key that is the log's at this size"
        return failed(Name.LOG_KEYS, Finding.WRONG_SIGNER, message, expected=expected)
    return passed(Name.LOG_KEYS, f"{len(chain)} keys, each named by the one before")


def _no_statements(*, asked: bool) -> Check:
    reason = "the trust file names no statement roots" if asked else "not asked for"
    return not_checked(Name.STATEMENTS, reason)


def _good_size(checks: tuple[Check, ...], head: Head, old: Head | None) -> int | None:
    """Return up to where nothing wrong was found; with no entry to blame, what the old checkpoint vouches for."""
    outcomes = {check.name: check.outcome for check in checks}
    wrong = [check.index for check in checks if check.index is not None]
    if outcomes[Name.HISTORY] is Outcome.FAILED:
        return None
    if wrong:
        return min(wrong)
    if outcomes[Name.ROOT] is Outcome.PASSED and head.checkpoint is not None:
        return head.checkpoint.size
    return old.checkpoint.size if old and old.checkpoint and outcomes[Name.HISTORY] is Outcome.PASSED else None
