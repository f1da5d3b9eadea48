"""Which entries of a log have an effect: the fold that hub and nodes follow (`policies.standing`), from outside."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from ledger.entry import parse_entry
from policies.model import Agreement, terms_digest, to_json
from policies.parse import read_agreement
from policies.standing import Standing, StatementRefusedError
from yingbi.audit.facts import FindTerms, Read, Reading, Refusal, read_entries, read_log, read_published
from yingbi.canonical import canonical_bytes, digest_bytes
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.events import EntryType
from yingbi.keys import VerifyKey
from yingbi.statement import Statement

__all__ = ["Documents", "fold_log", "load_documents", "missing_terms", "name_bureau"]

_MAX_DOCUMENT: Final = 4 << 20
_PROPOSALS: Final = (EntryType.AGREEMENT_PROPOSED, EntryType.AGREEMENT_COUNTERED)


class Documents:
    """Documents by the digest that entries name them with; of agreements also what they say."""

    def __init__(self, texts: Mapping[str, bytes]) -> None:
        self._texts = dict(texts)
        self._terms: dict[str, Agreement | None] = {}

    def get(self, digest: str) -> bytes | None:
        """Return the canonical bytes of a document, where it is known."""
        return self._texts.get(digest)

    def find_terms(self, digest: str) -> Agreement | None:
        """Return the agreement whose terms have this digest; nothing where it is unknown or no agreement."""
        if digest not in self._terms:
            data = self._texts.get(digest)
            agreement = None if data is None else read_agreement(data).agreement
            is_it = agreement is not None and terms_digest(agreement) == digest
            self._terms[digest] = agreement if is_it else None
        return self._terms[digest]


def load_documents(paths: Sequence[Path], texts: Iterable[bytes] = ()) -> Documents:
    """Read documents from files and folders, and from texts: JSON of any kind, and agreements as YAML or JSON.

    A document is known by the digest of its canonical JSON. What is neither is passed over.
    """
    found: dict[str, bytes] = {}
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and file.stat().st_size <= _MAX_DOCUMENT:
                found.update(_read_document(file.read_bytes()))
    for text in texts:
        found.update(_read_document(text))
    return Documents(found)


def fold_log(read: Read, roots: Sequence[VerifyKey], *, find_terms: FindTerms, bureau: str | None = None) -> Reading:
    """Read a log whose tree was verified already, and work out which of its entries have an effect.

    Raises:
        NotFoundError: a part of the log, or the text of terms that it names, is not there.
        InvalidRequestError: an entry has a wrong form, or the log does not say which bureau it is of.
    """
    standing = Standing(bureau=bureau or name_bureau(read), roots=roots, find_terms=find_terms)

    def judge(statement: Statement, index: int, at: str) -> Refusal | None:
        try:
            standing.take(statement, index=index, at=at)
        except StatementRefusedError as error:
            return Refusal(rule=str(error.rule), message=error.message)
        return None

    return read_log(read, roots, judge=judge, find_terms=find_terms)


def missing_terms(read: Read, find_terms: FindTerms) -> tuple[str, ...]:
    """Return the digests of agreements that a log names and nobody has the text of."""
    named: dict[str, None] = {}
    for statement in _statements_of(read, *_PROPOSALS):
        named[str(statement.payload.body["terms"])] = None
    return tuple(digest for digest in named if find_terms(digest) is None)


def name_bureau(read: Read) -> str:
    """Return the one bureau whose key a log registers.

    Raises:
        InvalidRequestError: there is none, or more than one.
    """
    owners = {str(item.payload.body["owner"]) for item in _statements_of(read, EntryType.KEY_REGISTERED)}
    bureaus = sorted(owner for owner in owners if owner.startswith("bureau:"))
    if len(bureaus) != 1:
        raise InvalidRequestError(
            ErrorCode.USAGE, f"the log registers keys of {len(bureaus)} bureaus", hint="name it: --bureau bureau:NAME"
        )
    return bureaus[0]


def _statements_of(read: Read, *types: EntryType) -> list[Statement]:
    # An entry is canonical: its last members tell its type before anything is parsed.
    ends = tuple(f'"type":"{kind}","v":1}}'.encode() for kind in types)
    size = read_published(read).checkpoint.size
    return [parse_entry(data).statement for data in read_entries(read, size) if data.endswith(ends)]


def _read_document(data: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    agreement = read_agreement(data).agreement
    if agreement is not None:
        text = canonical_bytes(to_json(agreement))
        found[digest_bytes(text)] = text
    try:
        text = canonical_bytes(json.loads(data))
    except (InvalidRequestError, ValueError, RecursionError):
        return found
    found[digest_bytes(text)] = text
    return found
