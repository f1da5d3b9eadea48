"""A log as an auditor sees it: every entry with its body, who signed it, and whether it has an effect."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from pydantic import BaseModel

from ledger.checkpoint import parse_checkpoint
from ledger.entry import parse_entry
from ledger.note import parse_note
from ledger.tiles import TILE_WIDTH, bundle_path, decode_bundle
from policies.model import Agreement
from yingbi.audit.keybook import KeyBook, Signer
from yingbi.errors import ErrorCode, NotFoundError
from yingbi.events import BODY_MODELS, EntryType
from yingbi.events.agreements import AgreementCountered, AgreementProposed
from yingbi.events.datasets import DatasetRegistered
from yingbi.keys import VerifyKey
from yingbi.receipts import SignedCheckpoint
from yingbi.statement import Statement

__all__ = [
    "Fact",
    "FindTerms",
    "Judge",
    "Read",
    "Reading",
    "Refusal",
    "read_entries",
    "read_log",
    "read_once",
    "read_published",
]

Read = Callable[[str], bytes]
"""Returns the bytes at a path of C2SP tlog-tiles; `LookupError` or `OSError` when there are none."""

FindTerms = Callable[[str], Agreement | None]
"""Returns the agreement whose terms have a digest, where its document is known."""

Judge = Callable[[Statement, int, str], "Refusal | None"]
"""Is told each entry in order: its statement, index and time; returns why it has no effect, nothing if it has."""

_DOCUMENTS: Final = ("terms", "catalogue_entry")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why an entry has no effect for anybody: the rule of the standing that it breaks."""

    rule: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One entry.

    `signers`: in the order of the envelope. `refusal`: why the entry has no effect.
    """

    index: int
    time: str
    statement: Statement
    body: BaseModel
    signers: tuple[Signer, ...]
    refusal: Refusal | None = None

    @property
    def type(self) -> EntryType:
        """Return what was recorded."""
        return self.statement.type

    @property
    def id(self) -> str:
        """Return the object that the entry is about."""
        return self.statement.payload.id

    @property
    def job(self) -> str | None:
        """Return the job that the entry belongs to, if to one."""
        if self.type.noun == "job":
            return self.id
        job = getattr(self.body, "job", None)
        return job if isinstance(job, str) else None

    @property
    def people(self) -> frozenset[str]:
        """Return the people whose good signatures the entry bears."""
        owners = (signer.owner for signer in self.signers if signer.fault is None)
        return frozenset(owner for owner in owners if owner is not None and owner.startswith("person:"))

    @property
    def parties(self) -> frozenset[str]:
        """Return everybody in whose name the entry speaks: issuer, whom it acts for, and owners of its keys."""
        payload = self.statement.payload
        owners = {signer.owner for signer in self.signers} | {payload.issuer, payload.on_behalf_of}
        return frozenset(owner for owner in owners if owner is not None)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A whole log: its checkpoint, its entries in order, the keys that it registered, and terms that are known."""

    signed: SignedCheckpoint
    facts: tuple[Fact, ...]
    keys: KeyBook
    find_terms: FindTerms = field(default=lambda _: None)

    @property
    def origin(self) -> str:
        """Return the log's name."""
        return self.signed.checkpoint.origin

    @property
    def size(self) -> int:
        """Return the number of entries."""
        return self.signed.checkpoint.size

    @property
    def until(self) -> str:
        """Return the time of the last entry: as far as this log can tell what time it is."""
        return self.facts[-1].time if self.facts else ""

    def of(self, *types: EntryType) -> Iterator[Fact]:
        """Yield the entries of some types, in order."""
        return (fact for fact in self.facts if fact.type in types)

    @cached_property
    def jobs(self) -> Mapping[str, tuple[Fact, ...]]:
        """Return the entries of each job, in order; jobs by their first entry."""
        found: dict[str, list[Fact]] = {}
        for fact in self.facts:
            if fact.job is not None:
                found.setdefault(fact.job, []).append(fact)
        return {job: tuple(facts) for job, facts in found.items()}

    @cached_property
    def documents(self) -> Mapping[str, tuple[str, ...]]:
        """Return the digests of the documents of each agreement and data set, in the order of their entries."""
        found: dict[str, list[str]] = {}
        for fact in self.facts:
            if isinstance(fact.body, AgreementProposed | AgreementCountered | DatasetRegistered):
                digests = (getattr(fact.body, name, None) for name in _DOCUMENTS)
                found.setdefault(fact.id, []).extend(digest for digest in digests if digest is not None)
        return {name: tuple(dict.fromkeys(digests)) for name, digests in found.items()}


def read_once(read: Read) -> Read:
    """Return a reader that asks for each file once, and from then on gives the same answer.

    SECURITY: what is verified and what is read afterwards must be the same bytes, whoever serves them.
    """
    kept: dict[str, bytes | None] = {}

    def again(path: str) -> bytes:
        if path not in kept:
            try:
                kept[path] = read(path)
            except (LookupError, OSError):
                kept[path] = None
        data = kept[path]
        if data is None:
            raise LookupError(path)
        return data

    return again


def read_published(read: Read) -> SignedCheckpoint:
    """Return the checkpoint that a log publishes.

    Raises:
        NotFoundError: there is none.
        InvalidRequestError: it has a wrong form.
    """
    try:
        note = read("checkpoint")
    except (LookupError, OSError):
        raise NotFoundError(ErrorCode.CHECKPOINT_NOT_FOUND, "the log has no checkpoint") from None
    return SignedCheckpoint(checkpoint=parse_checkpoint(parse_note(note).text), note=note)


def read_log(
    read: Read, roots: Sequence[VerifyKey], *, judge: Judge = lambda *_: None, find_terms: FindTerms = lambda _: None
) -> Reading:
    """Read a log whose tree was verified already.

    Raises:
        NotFoundError: a part of it is not there.
        InvalidRequestError: an entry has a wrong form.
    """
    signed = read_published(read)
    keys = KeyBook(roots)
    facts: list[Fact] = []
    for data in read_entries(read, signed.checkpoint.size):
        entry = parse_entry(data)
        statement, index = entry.statement, len(facts)
        facts.append(
            Fact(
                index=index,
                time=entry.time,
                statement=statement,
                body=BODY_MODELS[statement.type].model_validate(statement.payload.body),
                signers=keys.read(statement, index),
                refusal=judge(statement, index, entry.time),
            )
        )
    return Reading(signed=signed, facts=tuple(facts), keys=keys, find_terms=find_terms)


def read_entries(read: Read, size: int) -> Iterator[bytes]:
    """Yield the bytes of the first so many entries.

    Raises:
        NotFoundError: they are not all there.
    """
    for first in range(0, size, TILE_WIDTH):
        width = min(TILE_WIDTH, size - first)
        yield from decode_bundle(_read_bundle(read, first // TILE_WIDTH, width))[:width]


def _read_bundle(read: Read, number: int, width: int) -> bytes:
    # A full bundle may stand for a partial one: a mirror keeps only what will not change.
    for path in dict.fromkeys((bundle_path(number, width), bundle_path(number))):
        try:
            return read(path)
        except (LookupError, OSError):
            continue
    raise NotFoundError(ErrorCode.TILE_NOT_FOUND, f"the log does not have `{bundle_path(number, width)}`")
