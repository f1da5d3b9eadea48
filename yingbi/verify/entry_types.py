"""The closed set of entry types (docs/spec/entry-types.md), kept a second time so that the verifier stands alone."""

from typing import Final

__all__ = ["ENTRY_TYPES"]

_VERBS: Final = {
    "key": "registered rotated revoked",
    "participant": "applied admitted suspended reinstated offboarded",
    "duty": "granted revoked",
    "dataset": "registered versioned graded withdrawn",
    "agreement": "proposed countered signed activated suspended resumed revoked superseded expired",
    "certificate": "submitted accepted returned reviewed rejected noticed objected approved issued presented licensed "
    "transferred changed suspended resumed revoked cancelled expired",
    "job": "submitted approved refused leased started failed cancelled interrupted",
    "output": "checked held released delivered destroyed",
    "budget": "granted reserved committed refunded",
    "federation": "joined started round_started contributed round_completed interrupted aborted completed",
    "code": "proposed reviewed approved revoked",
    "challenge": "published claimed admitted scored awarded closed",
    "lease": "granted renewed frozen destroyed",
    "access": "break_glass_opened break_glass_closed frozen unfrozen location_capability_minted "
    "location_capability_ended",
    "log": "checkpoint_anchored key_changed audited",
}

ENTRY_TYPES: Final = frozenset(f"{noun}.{verb}" for noun, verbs in _VERBS.items() for verb in verbs.split())
