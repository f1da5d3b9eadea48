"""A state as bytes, for a party's own database: canonical JSON in front, then the arrays' little-endian bytes."""

import json
import math
from typing import Final

import numpy as np

from federated.horizontal.state import Phase, State
from yingbi.canonical import JsonValue, canonical_bytes
from yingbi.errors import ErrorCode, TamperDetectedError

__all__ = ["read_state", "write_state"]

_TYPES: Final = {"float64": "<f8", "int64": "<i8", "uint64": "<u8"}
_END: Final = b"\n"


def write_state(state: State) -> bytes:
    """Return a state as bytes, which `read_state` reads back bit for bit."""
    arrays: list[JsonValue] = []
    parts: list[bytes] = []
    for name in sorted(state.arrays):
        array = state.arrays[name]
        arrays.append({"name": name, "dtype": array.dtype.name, "shape": list(array.shape)})
        parts.append(np.ascontiguousarray(array, dtype=_TYPES[array.dtype.name]).tobytes())
    head: JsonValue = {"arrays": arrays, "phase": state.phase.value, "step": state.step}
    return b"".join([canonical_bytes(head), _END, *parts])


def read_state(data: bytes) -> State:
    """Read what `write_state` wrote.

    Raises:
        TamperDetectedError: it is something else; a database was damaged.
    """
    try:
        head, _, rest = data.partition(_END)
        members = json.loads(head)
        arrays = {}
        place = 0
        for item in members["arrays"]:
            count = math.prod(item["shape"])
            array = np.frombuffer(rest, dtype=_TYPES[item["dtype"]], count=count, offset=place)
            arrays[item["name"]] = array.reshape(item["shape"]).astype(item["dtype"])
            place += array.nbytes
        if place != len(rest):
            raise ValueError("more bytes than arrays")
        return State(phase=Phase(members["phase"]), step=members["step"], arrays=arrays)
    except (ValueError, KeyError, TypeError) as error:
        raise TamperDetectedError(ErrorCode.STORE_DAMAGED, "a kept state of a federation cannot be read") from error
