"""The log, folded: entries that are not taken yet move the standing, or are passed over where they do not fit."""

import logging
from typing import Final

from api.entries import EntryIndex
from ledger.entry import parse_entry
from ledger.store import LogReads
from policies.standing import Standing, StatementRefusedError, UnknownTermsError
from yingbi.errors import ErrorCode, TamperDetectedError

__all__ = ["catch_up"]

_CHUNK: Final = 1024
_logger = logging.getLogger(__name__)


def catch_up(store: LogReads, standing: Standing, index: EntryIndex) -> str:
    """Take all entries of the log that `standing` and `index` do not know yet; return the time of the last one.

    An entry that does not fit has no effect for anybody: hub, nodes and auditors pass it over alike.

    Raises:
        TamperDetectedError: an entry needs the text of an agreement that is not there any more.
    """
    head = store.read_head()
    for start in range(standing.size, head.size, _CHUNK):
        stop = min(start + _CHUNK, head.size)
        for seq, data in enumerate(store.read_entries(start, stop), start):
            _take(standing, index, seq, data)
    return head.last_time


def _take(standing: Standing, index: EntryIndex, seq: int, data: bytes) -> None:
    entry = parse_entry(data)
    try:
        standing.take(entry.statement, index=seq, at=entry.time)
    except StatementRefusedError as error:
        _logger.warning("entry %d has no effect: %s", seq, error.rule)
        index.skip(entry.time)
    except UnknownTermsError:
        raise TamperDetectedError(
            ErrorCode.STORE_DAMAGED, f"the hub's database lacks the terms that entry {seq} names"
        ) from None
    else:
        index.add(seq, entry.time, entry.statement)
