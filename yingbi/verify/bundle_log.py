"""What the documents and receipts of a bundle are held against, gathered in one reading of its log.

The log itself is judged by `audit_log`; this reading takes from entries that were found whole what the rest needs:
their hashes, the digests that they name, and which documents they oblige a bundle to hold.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from yingbi.verify.bundle_federations import FEDERATION_TYPES, FederationEntries, note_federation
from yingbi.verify.entry import Entry, parse_entry, split_bundle
from yingbi.verify.keyring import LOG_KEY_TYPE, LogKeys
from yingbi.verify.merkle import EMPTY_ROOT, hash_leaf, hash_node
from yingbi.verify.source import Files, Source
from yingbi.verify.statement import StatementError
from yingbi.verify.strict import Malformed, decode_base64

__all__ = ["LogContents", "prefix_roots", "read_contents"]

_PAYLOAD: Final = re.compile(rb'"statement":\{"payload":"([A-Za-z0-9+/]+={0,2})"')
_DIGEST: Final = re.compile(rb'"sha256:([0-9a-f]{64})"')
# Which member of which type names a document that whoever judges the log has to read.
_DOCUMENTS: Final = {
    "agreement.proposed": "terms",
    "agreement.countered": "terms",
    "dataset.registered": "catalogue_entry",
}
_JOB: Final = "job.submitted"
_WANTED: Final = tuple(
    f'"type":"{name}","v":1}}'.encode() for name in (*_DOCUMENTS, *FEDERATION_TYPES, _JOB, LOG_KEY_TYPE)
)  # an entry is canonical, so it ends so


@dataclass(slots=True, kw_only=True)
class LogContents:
    """What a log holds, as far as the rest of a bundle refers to it.

    `leaves`: the hash of each entry. `named`: those of the digests asked for that some entry names. `documents`: by
    agreement and data set, the digests of their texts. `relies_on`: by job, the agreements and data sets of all of its
    submissions. `federations`: by federation, what its entries say.
    """

    log_keys: LogKeys
    leaves: list[bytes] = field(default_factory=list)
    named: set[str] = field(default_factory=set)
    documents: dict[str, set[str]] = field(default_factory=dict)
    relies_on: dict[str, set[str]] = field(default_factory=dict)
    federations: dict[str, FederationEntries] = field(default_factory=dict)

    def needed(self, jobs: Collection[str] | None) -> set[str]:
        """Return the digests of the documents that these jobs rely on; of all there are where no jobs are chosen."""
        if jobs is None:
            return set().union(*self.documents.values())
        things = set().union(*(self.relies_on.get(job, ()) for job in jobs))
        return set().union(*(self.documents.get(thing, ()) for thing in things))


def read_contents(source: Source, origin: str, size: int, digests: Collection[str]) -> LogContents | None:
    """Read the entries of a log once more; nothing if they are not all there, which the audit has said already."""
    contents = LogContents(log_keys=LogKeys(origin))
    try:
        for bundle in Files(source).bundles(size, tiles=False):
            if bundle.entries is None:
                return None
            for data in split_bundle(bundle.entries, bundle.width, exact=bundle.exact):
                _take(contents, data, digests)
    except Malformed:
        return None
    return contents if len(contents.leaves) == size else None


def prefix_roots(leaves: Sequence[bytes], sizes: Iterable[int]) -> dict[int, bytes]:
    """Return the roots of the trees of the first so many leaves (RFC 6962 §2.1), in one pass for all sizes."""
    wanted = {size for size in sizes if 0 <= size <= len(leaves)}
    roots = {0: EMPTY_ROOT} if 0 in wanted else {}
    edge: list[tuple[int, bytes]] = []  # full subtrees from left to right, with their levels, descending
    for size, leaf in enumerate(leaves, 1):
        level, node = 0, leaf
        while edge and edge[-1][0] == level:
            level, node = level + 1, hash_node(edge.pop()[1], node)
        edge.append((level, node))
        if size in wanted:
            roots[size] = _join(edge)
    return roots


def _join(edge: Sequence[tuple[int, bytes]]) -> bytes:
    root = edge[-1][1]
    for _, node in reversed(edge[:-1]):
        root = hash_node(node, root)
    return root


def _take(contents: LogContents, data: bytes, digests: Collection[str]) -> None:
    contents.leaves.append(hash_leaf(data))
    payload = _PAYLOAD.search(data)
    if payload is None:
        raise Malformed("expected an entry with a statement")
    found = {digest.decode() for digest in _DIGEST.findall(decode_base64(payload[1]))}
    contents.named |= found.intersection(digests)
    if data.endswith(_WANTED):
        _note(contents, parse_entry(data))


def _note(contents: LogContents, entry: Entry) -> None:
    if entry.type == LOG_KEY_TYPE:
        try:
            contents.log_keys.apply(entry)
        except StatementError:
            return  # the audit reports it
    elif entry.type in FEDERATION_TYPES:
        note_federation(contents.federations, entry)
    elif entry.type == _JOB:
        datasets = entry.body.get("datasets")
        rows = datasets if isinstance(datasets, list) else []
        things = [entry.body.get("agreement"), *(row.get("dataset") for row in rows if isinstance(row, dict))]
        # SECURITY: which submission of a job has an effect only the rules of the log tell; so all of them count.
        relied_on = contents.relies_on.setdefault(str(entry.payload["id"]), set())
        relied_on.update(thing for thing in things if isinstance(thing, str))
    else:
        digest = str(entry.body.get(_DOCUMENTS[entry.type])).removeprefix("sha256:")
        contents.documents.setdefault(str(entry.payload["id"]), set()).add(digest)
