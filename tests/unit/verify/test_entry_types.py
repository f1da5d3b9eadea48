"""The verifier's own list of entry types is that of the kernel."""

from yingbi.events import EntryType
from yingbi.verify.entry_types import ENTRY_TYPES


def test_both_lists_are_equal() -> None:
    assert {str(item) for item in EntryType} == ENTRY_TYPES
