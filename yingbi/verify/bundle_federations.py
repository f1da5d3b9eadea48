"""Federations of a bundle: terms and contributions are those that entries name, sums are theirs (bundle.md, Checks).

Whether the states that were recorded follow from the sums takes the recipes, which are not here: `yingbi audit`
computes them again.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from yingbi.verify.archive import Archive
from yingbi.verify.bundle_vectors import add_vectors, is_vector, vector_digest
from yingbi.verify.entry import Entry
from yingbi.verify.report import Check, Finding, Name, failed, missing, passed
from yingbi.verify.strict import Malformed

__all__ = ["FEDERATION_TYPES", "FederationEntries", "check_federations", "note_federation"]

_FOLDER: Final = "data/federations/"
_PATH: Final = re.compile(
    rf"{_FOLDER}(?P<id>[^/]+)/(?:terms\.json|(?P<round>[0-9]+)-(?P<attempt>[0-9]+)/(?P<node>.+)\.bin)"
)
_STARTED, _CONTRIBUTED, _COMPLETED = "federation.started", "federation.contributed", "federation.round_completed"
FEDERATION_TYPES: Final = (_STARTED, _CONTRIBUTED, _COMPLETED)
"""The types of entries that a bundle's federations are held against."""

_MAX_LISTED: Final = 20

_Attempt = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sum:
    """A round that was completed: the entry that says so, whose contributions it sums, the digest of their sum."""

    index: int
    attempt: _Attempt
    nodes: tuple[str, ...]
    aggregate: str


@dataclass(slots=True, kw_only=True)
class FederationEntries:
    """What the entries of one federation say: digests of its terms, its members' jobs, who gave what, and sums."""

    terms: set[str] = field(default_factory=set)
    jobs: set[str] = field(default_factory=set)
    given: dict[tuple[str, str, str], set[str]] = field(default_factory=dict)
    sums: list[_Sum] = field(default_factory=list)


class _WrongError(Exception):
    """Carries a failed check."""

    def __init__(self, check: Check) -> None:
        super().__init__(check.message)
        self.check = check


def note_federation(found: dict[str, FederationEntries], entry: Entry) -> None:
    """Note what an entry of one of `FEDERATION_TYPES` says."""
    entries = found.setdefault(str(entry.payload["id"]), FederationEntries())
    # A body may be of any form here; as texts its members can do no harm.
    body, attempt = entry.body, (str(entry.body.get("round")), str(entry.body.get("attempt")))
    if entry.type == _STARTED:
        entries.terms.add(str(body.get("terms")))
        entries.jobs |= {str(row.get("job")) for row in _rows(body, "members")}
    elif entry.type == _CONTRIBUTED:
        key = (*attempt, str(entry.payload["issuer"]))
        entries.given.setdefault(key, set()).add(str(body.get("contribution")))
    elif isinstance(body.get("aggregate"), str):
        nodes = tuple(str(row.get("party")) for row in _rows(body, "contributions"))
        entries.sums.append(_Sum(index=entry.seq, attempt=attempt, nodes=nodes, aggregate=str(body.get("aggregate"))))


def check_federations(
    archive: Archive, paths: Iterable[str], entries: Mapping[str, FederationEntries], jobs: Collection[str] | None
) -> Check:
    """Check all terms and contributions, then the sums of completed rounds, of federations that jobs are members of.

    All federations where no jobs are chosen.
    """
    names = sorted(paths)
    try:
        for path in names:
            _check_file(archive, path, entries)
        asked = [name for name in sorted(entries) if jobs is None or not entries[name].jobs.isdisjoint(jobs)]
        sums = [(name, one) for name in asked for one in entries[name].sums]
        lacking = sorted({path for name, one in sums for path in _paths(name, one) if path not in archive.paths})
        for name, one in sums:
            _check_sum(archive, name, one)
    except _WrongError as wrong:
        return wrong.check
    if lacking:
        asked_for = [path.removeprefix("data/") for path in lacking[:_MAX_LISTED]]
        return missing(
            Name.FEDERATIONS, f"{len(lacking)} terms or contributions that entries name are missing", asked_for
        )
    return passed(Name.FEDERATIONS, f"{len(names)} terms and contributions, {len(sums)} sums; states: `yingbi audit`")


def _check_file(archive: Archive, path: str, entries: Mapping[str, FederationEntries]) -> None:
    match, data = _PATH.fullmatch(path), _read(archive, path)
    known = entries.get(match["id"]) if match is not None else None
    if match is None or known is None:
        raise _WrongError(failed(Name.FEDERATIONS, Finding.UNEXPECTED, "of a federation without a start", actual=path))
    if match["node"] is None:
        actual, expected = f"sha256:{sha256(data).hexdigest()}", known.terms
    elif not is_vector(data):
        raise _WrongError(failed(Name.FEDERATIONS, Finding.MALFORMED, f"{path}: expected 64-bit numbers"))
    else:
        key = (match["round"], match["attempt"], f"node:{match['node']}")
        actual, expected = vector_digest(data), known.given.get(key, set())
    if not expected:
        message = "terms or a contribution that no entry names"
        raise _WrongError(failed(Name.FEDERATIONS, Finding.UNEXPECTED, message, actual=path))
    if actual not in expected:
        message = f"{path} is not what the entry names"
        wrong = failed(Name.FEDERATIONS, Finding.HASH_MISMATCH, message, expected=min(expected), actual=actual)
        raise _WrongError(wrong)


def _check_sum(archive: Archive, name: str, one: _Sum) -> None:
    paths = [path for path in _paths(name, one) if path.endswith(".bin")]
    if not paths or not all(path in archive.paths for path in paths):
        return
    total = add_vectors(_read(archive, path) for path in paths)
    actual = "contributions of different lengths" if total is None else vector_digest(total)
    if actual != one.aggregate:
        message = f"round {one.attempt[0]} of {name}: the sum is not that of the contributions"
        expected = one.aggregate
        raise _WrongError(
            failed(Name.FEDERATIONS, Finding.HASH_MISMATCH, message, index=one.index, expected=expected, actual=actual)
        )


def _paths(name: str, one: _Sum) -> Iterator[str]:
    yield f"{_FOLDER}{name}/terms.json"
    for node in one.nodes:
        yield f"{_FOLDER}{name}/{one.attempt[0]}-{one.attempt[1]}/{node.removeprefix('node:')}.bin"


def _read(archive: Archive, path: str) -> bytes:
    try:
        return archive.read(path)
    except Malformed as error:
        raise _WrongError(failed(Name.FEDERATIONS, Finding.MALFORMED, f"{path}: {error}")) from None


def _rows(body: Mapping[str, object], name: str) -> list[Mapping[str, object]]:
    rows = body.get(name)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
