"""The followed log in the node's database: entries, the head that covers them, documents, entries without effect."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine, delete, insert, select

from ledger.entry import Entry, genesis_hash
from ledger.tree import EMPTY_ROOT, Frontier
from sandbox.database import reading, writing
from sandbox.node.agent_tables import DOCUMENT, FOLLOWED_ENTRY, FOLLOWED_HEAD, VIOLATION
from yingbi.canonical import canonical_bytes
from yingbi.receipts import HASH_BYTES

__all__ = ["FollowedHead", "FollowerStore", "Violation", "subject_of"]

_ID: Final = 1
_CHUNK: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowedHead:
    """The newest head that a node accepted: all entries below `size` are stored and hash to `root`.

    `nodes`: the compact tree. `last_leaf`, `last_time`: of the last entry, for the next one's chain. `cosigned_at`: the
    POSIX time that a quorum of witnesses vouches for; 0 before anything was accepted.
    """

    size: int
    root: bytes
    nodes: tuple[bytes, ...]
    last_leaf: bytes
    last_time: str
    note: bytes
    cosigned_at: int

    @property
    def frontier(self) -> Frontier:
        """Return the compact tree, to append to."""
        return Frontier(self.size, self.nodes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """An entry of the log that has no effect, and the rule that it breaks."""

    seq: int
    type: str
    subject: str
    rule: str


def subject_of(entry: Entry) -> str:
    """Return what an entry is found by: the job that its body names, else the id of its statement."""
    job = entry.statement.payload.body.get("job")
    return job if isinstance(job, str) else entry.statement.payload.id


class FollowerStore:
    """The follower's tables."""

    def __init__(self, database: Engine, origin: str) -> None:
        self._database = database
        self._origin = origin

    def head(self) -> FollowedHead:
        """Return the head, that of an empty log before anything was accepted."""
        with reading(self._database) as connection:
            row = connection.execute(select(FOLLOWED_HEAD).where(FOLLOWED_HEAD.c.id == _ID)).mappings().first()
        if row is None:
            return FollowedHead(
                size=0,
                root=EMPTY_ROOT,
                nodes=(),
                last_leaf=genesis_hash(self._origin),
                last_time="",
                note=b"",
                cosigned_at=0,
            )
        values = {name: value for name, value in row.items() if name != "id"}
        nodes = values.pop("nodes")
        split = tuple(nodes[at : at + HASH_BYTES] for at in range(0, len(nodes), HASH_BYTES))
        return FollowedHead(nodes=split, **values)

    def extend(self, first: int, entries: Sequence[tuple[bytes, str]], head: FollowedHead) -> None:
        """Store entries (data and subject) from sequence number `first` on, and the head over them, all or nothing."""
        rows = [{"seq": first + at, "data": data, "subject": subject} for at, (data, subject) in enumerate(entries)]
        values = {name: getattr(head, name) for name in (column.name for column in FOLLOWED_HEAD.c) if name != "id"}
        values["nodes"] = b"".join(head.nodes)
        with writing(self._database) as connection:
            if rows:
                connection.execute(insert(FOLLOWED_ENTRY), rows)
            connection.execute(delete(FOLLOWED_HEAD))
            connection.execute(insert(FOLLOWED_HEAD).values(id=_ID, **values))

    def entries(self, start: int = 0) -> Iterator[tuple[int, bytes]]:
        """Yield sequence number and bytes of all entries from `start` on, in order."""
        while True:
            query = select(FOLLOWED_ENTRY.c.seq, FOLLOWED_ENTRY.c.data).where(FOLLOWED_ENTRY.c.seq >= start)
            with reading(self._database) as connection:
                rows = connection.execute(query.order_by(FOLLOWED_ENTRY.c.seq).limit(_CHUNK)).all()
            if not rows:
                return
            yield from ((seq, data) for seq, data in rows)
            start = rows[-1][0] + 1

    def entries_of(self, subject: str) -> list[tuple[int, bytes]]:
        """Return sequence number and bytes of the entries about a job or thing, in order."""
        query = select(FOLLOWED_ENTRY.c.seq, FOLLOWED_ENTRY.c.data).where(FOLLOWED_ENTRY.c.subject == subject)
        with reading(self._database) as connection:
            return [(seq, data) for seq, data in connection.execute(query.order_by(FOLLOWED_ENTRY.c.seq))]

    def entry(self, seq: int) -> bytes | None:
        """Return the bytes of one entry, or nothing where the followed log has none of this number."""
        query = select(FOLLOWED_ENTRY.c.data).where(FOLLOWED_ENTRY.c.seq == seq)
        with reading(self._database) as connection:
            return connection.execute(query).scalar_one_or_none()

    def add_document(self, digest: str, value: object) -> None:
        """Keep a document that was checked against its digest."""
        with writing(self._database) as connection:
            known = connection.execute(select(DOCUMENT.c.digest).where(DOCUMENT.c.digest == digest)).first()
            if known is None:
                connection.execute(insert(DOCUMENT).values(digest=digest, body=canonical_bytes(value)))

    def documents(self) -> dict[str, object]:
        """Return all documents by digest."""
        with reading(self._database) as connection:
            return {digest: json.loads(body) for digest, body in connection.execute(select(DOCUMENT))}

    def set_violations(self, violations: Iterable[Violation]) -> None:
        """Keep what the fold of all entries found; it replaces what was kept before."""
        rows = [{"seq": one.seq, "type": one.type, "subject": one.subject, "rule": one.rule} for one in violations]
        with writing(self._database) as connection:
            connection.execute(delete(VIOLATION))
            if rows:
                connection.execute(insert(VIOLATION), rows)

    def violations(self) -> tuple[Violation, ...]:
        """Return the entries without effect, in order."""
        with reading(self._database) as connection:
            rows = connection.execute(select(VIOLATION).order_by(VIOLATION.c.seq)).mappings()
            return tuple(Violation(**row) for row in rows)
