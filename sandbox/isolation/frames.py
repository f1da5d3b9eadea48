"""Frames on the pipes of a cage: canonical JSON and raw arrays, never pickle (docs/cage.md, "The pipes").

`magic(4) | header length(u32) | body length(u64) | header | body`, little-endian. The header is canonical JSON:
`{"arrays": [[name, type, count], ...], "kind": ..., "value": ...}`; the body is the arrays, one after the other.
Both sides treat what they read as hostile: lengths are capped before anything is allocated.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from yingbi.canonical import JsonValue, canonical_bytes, parse_canonical
from yingbi.errors import ErrorCode, RefusedError, UnavailableError

__all__ = ["Arrays", "Frame", "FrameKind", "FrameReader", "encode_frame"]

Arrays = Mapping[str, NDArray[Any]]

_MAGIC: Final = b"YBF1"
_PREFIX: Final = struct.Struct("<4sIQ")
_TYPES: Final = {"i4": "<i4", "i8": "<i8", "u8": "<u8", "f8": "<f8", "b1": "|b1"}
_MAX_ARRAYS: Final = 4096


class FrameKind(StrEnum):
    """What a frame says."""

    READY = "ready"
    JOB = "job"
    CANCEL = "cancel"
    PROGRESS = "progress"
    RESULT = "result"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """One message: a JSON value (no floats) and named one-dimensional arrays."""

    kind: FrameKind
    value: JsonValue = None
    arrays: Arrays = field(default_factory=dict)


def encode_frame(frame: Frame) -> bytes:
    """Encode a frame (docs/cage.md, "The pipes")."""
    listed: list[JsonValue] = []
    parts: list[bytes] = []
    for name, array in frame.arrays.items():
        kind = _type_of(array)
        listed.append([name, kind, len(array)])
        parts.append(np.ascontiguousarray(array, dtype=_TYPES[kind]).tobytes())
    header = canonical_bytes({"arrays": listed, "kind": frame.kind.value, "value": frame.value})
    body = b"".join(parts)
    return _PREFIX.pack(_MAGIC, len(header), len(body)) + header + body


class FrameReader:
    """Puts frames together from the bytes of a pipe, at most `max_bytes` of them in all."""

    def __init__(self, max_bytes: int) -> None:
        self._left = max_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> tuple[Frame, ...]:
        """Take the next bytes and return the frames that are complete now.

        Raises:
            UnavailableError: not a frame, or more bytes than allowed.
        """
        self._buffer += data
        frames: list[Frame] = []
        while (frame := self._next()) is not None:
            frames.append(frame)
        return tuple(frames)

    def _next(self) -> Frame | None:
        if len(self._buffer) < _PREFIX.size:
            return None
        magic, header, body = _PREFIX.unpack_from(self._buffer)
        if magic != _MAGIC:
            raise _malformed("a frame")
        size = _PREFIX.size + header + body
        if size > self._left:
            # SECURITY: refused on the announced length, before memory is spent on it.
            raise RefusedError(ErrorCode.RESOURCE_LIMIT, "the result is larger than its limit")
        if len(self._buffer) < size:
            return None
        raw = bytes(memoryview(self._buffer)[_PREFIX.size : size])
        del self._buffer[:size]
        self._left -= size
        return _decode(raw[:header], raw[header:])


def _decode(header: bytes, body: bytes) -> Frame:
    try:
        value = parse_canonical(header, max_bytes=len(header))
        match value:
            case {"arrays": list(listed), "kind": str(kind), "value": content, **others} if not others:
                return Frame(kind=FrameKind(kind), value=content, arrays=_arrays(listed, body))
            case _:
                raise _malformed("a header of a frame")
    except UnavailableError:
        raise
    except Exception as error:
        # SECURITY: whatever a worker sends that is not a frame is an engine failure, and its text goes nowhere.
        raise _malformed("a frame") from error


def _arrays(listed: list[JsonValue], body: bytes) -> dict[str, NDArray[Any]]:
    if len(listed) > _MAX_ARRAYS:
        raise _malformed(f"at most {_MAX_ARRAYS} arrays")
    arrays: dict[str, NDArray[Any]] = {}
    offset = 0
    for entry in listed:
        name, kind, count = cast("tuple[str, str, int]", tuple(cast("list[JsonValue]", entry)))
        dtype = np.dtype(_TYPES[kind])
        if type(count) is not int or count < 0 or name in arrays or offset + count * dtype.itemsize > len(body):
            raise _malformed("an array within its frame")
        arrays[name] = np.frombuffer(body, dtype=dtype, count=count, offset=offset)
        offset += count * dtype.itemsize
    if offset != len(body):
        raise _malformed("no bytes after the last array")
    return arrays


def _type_of(array: NDArray[Any]) -> str:
    kind = f"{array.dtype.kind}{array.dtype.itemsize}"
    if array.ndim != 1 or kind not in _TYPES:
        raise _malformed("a one-dimensional array of a known type")
    return kind


def _malformed(expected: str) -> UnavailableError:
    return UnavailableError(ErrorCode.ENGINE_FAILED, f"expected {expected}")
