"""Receipts that a partner keeps: written to a folder with the keys of their signers, verified there without a network.

A folder has two files an entry, `7.entry.json` and `7.receipt`; in `keys/` the same of the entries that registered the
signers' keys, so that a trust file with the bureau's roots alone is enough.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

from yingbi.client.evidence import EntryReceipt
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.verify import Outcome, Report, Trust
from yingbi.verify.entry import Entry, parse_entry
from yingbi.verify.keyring import KEY_TYPES, Keyring
from yingbi.verify.report import Name
from yingbi.verify.statement import SignerKey, StatementError
from yingbi.verify.strict import Malformed

__all__ = ["KEYS", "keep", "read_kept", "verify_kept"]

KEYS: Final = "keys"
_ENTRY_NAME: Final = re.compile(r"(0|[1-9][0-9]{0,15})\.entry\.json")
_MAX_FILE: Final = 1 << 20


def keep(folder: Path, receipts: Iterable[EntryReceipt], keys: Iterable[EntryReceipt]) -> list[Path]:
    """Write receipts, and those of the signers' keys, and return the files of the receipts."""
    for one in keys:
        one.save(folder / KEYS)
    return [path for one in receipts for path in one.save(folder)]


def read_kept(folder: Path) -> tuple[EntryReceipt, ...]:
    """Read the receipts of a folder, in the order of the log.

    Raises:
        InvalidRequestError: there are none, or one of them is cut.
    """
    found = sorted(
        (int(match[1]), path) for path in folder.glob("*.entry.json") if (match := _ENTRY_NAME.fullmatch(path.name))
    )
    try:
        return tuple(_read(index, path) for index, path in found)
    except OSError as error:
        raise InvalidRequestError(
            ErrorCode.USAGE, f"receipts in `{folder.name}` cannot be read: {error.strerror}"
        ) from error


def verify_kept(folder: Path, trust: Trust, *, now: datetime) -> Iterator[tuple[EntryReceipt, Report]]:
    """Yield every receipt of a folder with what its verification says."""
    keys = [one for one in read_kept(folder / KEYS) if _is_in_log(one, trust, now)]
    for one in read_kept(folder):
        known = replace(trust, statement_keys={**trust.statement_keys, **_signers(one, keys, trust)})
        yield one, one.verify(known, now=now)


def _read(index: int, path: Path) -> EntryReceipt:
    entry = path.read_bytes()[:_MAX_FILE]
    receipt = path.with_name(f"{index}.receipt").read_bytes()[:_MAX_FILE]
    parsed = _parsed(entry)
    return EntryReceipt(index=index, type="" if parsed is None else parsed.type, entry=entry, receipt=receipt)


def _is_in_log(found: EntryReceipt, trust: Trust, now: datetime) -> bool:
    report = found.verify(trust, now=now, statements=False)
    held = {check.name for check in report.checks if check.outcome is Outcome.PASSED}
    return report.first_failure is None and Name.INCLUSION in held and found.type in KEY_TYPES


def _signers(found: EntryReceipt, keys: Iterable[EntryReceipt], trust: Trust) -> dict[str, SignerKey]:
    """Return the keys among those of a folder that may have signed an entry."""
    keyring, entry = Keyring(trust.statement_roots), _parsed(found.entry)
    for one in keys:
        change = _parsed(one.entry)
        try:
            if change is not None:
                keyring.apply(change)
        except StatementError:
            # A key that nobody vouches for is no key; the report then says whose key is missing.
            continue
    named = [] if entry is None else [(keyid, keyring.find(keyid, entry)) for keyid, _ in entry.signatures]
    return {keyid: key for keyid, key in named if key is not None}


def _parsed(data: bytes) -> Entry | None:
    try:
        return parse_entry(data)
    except Malformed:
        return None
