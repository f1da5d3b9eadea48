"""Contents as Flower's messages, and back: what Flower's own classes write is read here by a stricter reader.

A message travels as objects, each named by the SHA-256 of its bytes (`Type child,child length NUL body`), and each
object is a call of every party that it passes. Flower's records of arrays are two objects an array and more; so on the
wire a content is one record of values, arrays among them as bytes: three objects in all. Flower's reader trusts what
comes: it lets one short object name another a million times, and loads whatever numpy can load. This one checks each
name, and knows three types, three dtypes and one array format. The app itself sees Flower's records (`to_records`).
"""

import hashlib
import io
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from federated.content import Content
from federated.flower import compat
from yingbi.errors import ErrorCode, InvalidRequestError, SandboxError

__all__ = [
    "MAX_BYTES",
    "Header",
    "Opened",
    "Parcel",
    "error_reply",
    "from_records",
    "open_parcel",
    "pack",
    "reply",
    "request",
    "to_records",
    "tree_ids",
]

MAX_BYTES: Final = 48 << 20
"""Bytes of one message."""

_DTYPES: Final = frozenset({"<f8", "<i8", "<u8"})
_ARRAYS: Final = "arrays"
_VALUES: Final = "values"
_KIND: Final = "train"
_RECORD: Final = "content"
_ARRAY: Final = "array:"
_VALUE: Final = "value:"
_MAX_OBJECTS: Final = 16
_MAX_ARRAYS: Final = 4_096
_MAX_VALUES: Final = 4_096
_MAX_DIMENSIONS: Final = 8
_MAX_NAME: Final = 256
_MAX_HEAD: Final = 1 << 20
_MAX_INT: Final = 1 << 63


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a message says of itself; `id` is the digest under which it travels."""

    id: str
    run: int
    source: int
    destination: int
    reply_to: str
    created_at_s: float
    ttl_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A message that was read: with content, or with the code and reason of an error."""

    header: Header
    content: Content | None = None
    error_code: int | None = None
    error_reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A message ready to travel: its head (protobuf, without content), the tree of its objects, and the objects."""

    id: str
    head: bytes
    tree: bytes
    objects: Mapping[str, bytes]


def to_records(content: Content) -> compat.RecordDict:
    """Return the content as Flower's records.

    Raises:
        InvalidRequestError: an array without dimensions, of another dtype, or a value of another type.
    """
    arrays = {_name(name): _to_array(array) for name, array in content.arrays.items()}
    values: dict[str, Any] = {_name(name): _value(value) for name, value in content.values.items()}
    if len(arrays) > _MAX_ARRAYS or len(values) > _MAX_VALUES:
        raise _malformed(f"at most {_MAX_ARRAYS} arrays and {_MAX_VALUES} values")
    return compat.RecordDict({_ARRAYS: compat.ArrayRecord(arrays), _VALUES: compat.ConfigRecord(values)})


def from_records(records: compat.RecordDict) -> Content:
    """Return the content of Flower's records, which may come from anybody.

    Raises:
        InvalidRequestError: anything that `to_records` would not have made.
    """
    if set(records) != {_ARRAYS, _VALUES}:
        raise _malformed(f"the records `{_ARRAYS}` and `{_VALUES}`")
    arrays, values = records[_ARRAYS], records[_VALUES]
    if not isinstance(arrays, compat.ArrayRecord) or not isinstance(values, compat.ConfigRecord):
        raise _malformed("a record of arrays and one of values")
    return Content(
        arrays={_name(name): _from_array(array) for name, array in arrays.items()},
        values={_name(name): _value(value) for name, value in values.items()},
    )


def request(content: Content, *, run: int, node: int, now_s: float, ttl_s: float) -> compat.Message:
    """Return a message from the server to a node.

    Raises:
        InvalidRequestError: the content cannot be sent.
    """
    metadata = compat.Metadata(
        run_id=run,
        message_id="",
        src_node_id=compat.SUPERLINK_NODE_ID,
        dst_node_id=node,
        reply_to_message_id="",
        group_id="",
        created_at=now_s,
        ttl=ttl_s,
        message_type=_KIND,
    )
    return compat.make_message(metadata=metadata, content=_to_wire(content))


def reply(content: Content, *, to: Header, now_s: float) -> compat.Message:
    """Return a node's answer to a message; it lives as long as what it answers.

    Raises:
        InvalidRequestError: the content cannot be sent.
    """
    return compat.make_message(metadata=_reply_metadata(to, now_s), content=_to_wire(content))


def error_reply(code: ErrorCode, *, to: Header, now_s: float) -> compat.Message:
    """Return a refusal: a code of our catalogue, and not a word of text."""
    error = compat.Error(code=compat.FlowerErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason=code.value)
    return compat.make_message(metadata=_reply_metadata(to, now_s), error=error)


def pack(message: compat.Message) -> Parcel:
    """Return a message as it travels."""
    message.metadata.__dict__["_message_id"] = message.object_id
    with compat.no_object_id_recompute():
        objects = {name: item.deflate() for name, item in compat.get_all_nested_objects(message).items()}
        tree = compat.get_object_tree(message)
        head = compat.message_to_proto(compat.remove_content_from_message(message))
    return Parcel(
        id=message.metadata.message_id, head=head.SerializeToString(), tree=tree.SerializeToString(), objects=objects
    )


def tree_ids(tree: compat.message_pb2.ObjectTree) -> tuple[str, ...]:
    """Return the names of all objects of a message, leaves first, each once.

    Raises:
        InvalidRequestError: too many of them.
    """
    names: dict[str, None] = {}
    for count, node in enumerate(compat.iterate_object_tree(tree)):
        if count > _MAX_OBJECTS:
            raise _malformed(f"at most {_MAX_OBJECTS} objects")
        names[node.object_id] = None
    return tuple(names)


def open_parcel(name: str, objects: Mapping[str, bytes], *, max_bytes: int = MAX_BYTES) -> Opened:
    """Read the message `name` from objects that may come from anybody.

    Raises:
        InvalidRequestError: not a message as `pack` makes it, or more than `max_bytes`.
    """
    try:
        return _Reader(objects, max_bytes).message(name)
    except SandboxError:
        raise
    except Exception as error:
        # SECURITY: whatever else goes wrong is the sender's doing; the texts of parsers quote what was sent.
        raise _malformed("a message") from error


class _Reader:
    """Reads objects by name; each kind of object has one place, so that none is read twice."""

    def __init__(self, objects: Mapping[str, bytes], max_bytes: int) -> None:
        self._objects = objects
        if len(objects) > _MAX_OBJECTS or sum(map(len, objects.values())) > max_bytes:
            raise InvalidRequestError(ErrorCode.REQUEST_TOO_LARGE, f"expected a message of at most {max_bytes} bytes")

    def message(self, name: str) -> Opened:
        children, body = self._object(name, "Message")
        head = compat.message_pb2.Message.FromString(body)
        header = Header(
            id=name,
            run=head.metadata.run_id,
            source=head.metadata.src_node_id,
            destination=head.metadata.dst_node_id,
            reply_to=head.metadata.reply_to_message_id,
            created_at_s=head.metadata.created_at,
            ttl_s=head.metadata.ttl,
        )
        if head.HasField("error"):
            if children:
                raise _malformed("an error without content")
            return Opened(header=header, error_code=head.error.code, error_reason=head.error.reason[:_MAX_NAME])
        if len(children) != 1:
            raise _malformed("a message with one content")
        return Opened(header=header, content=self._content(children[0]))

    def _content(self, name: str) -> Content:
        children, body = self._object(name, "RecordDict")
        if len(children) != 1 or json.loads(body) != {_RECORD: children[0]}:
            raise _malformed(f"one record `{_RECORD}`")
        children, body = self._object(children[0], "ConfigRecord")
        items = compat.recorddict_pb2.ConfigRecord.FromString(body).items
        if children or len(items) > _MAX_ARRAYS + _MAX_VALUES or len({item.key for item in items}) != len(items):
            raise _malformed("each array and value once")
        return _from_wire((item.key, item.value) for item in items)

    def _object(self, name: str, kind: str) -> tuple[list[str], bytes]:
        data = self._objects.get(name)
        if data is None or hashlib.sha256(data).hexdigest() != name:
            raise _malformed("objects named by their digests")
        end = data.find(compat.HEAD_BODY_DIVIDER, 0, _MAX_HEAD)
        found, children, size = data[: max(end, 0)].decode().split(compat.HEAD_VALUE_DIVIDER)
        body = data[end + len(compat.HEAD_BODY_DIVIDER) :]
        if end < 0 or found != kind or size != str(len(body)):
            raise _malformed(f"an object of the type {kind}")
        return children.split(",") if children else [], body


def _to_wire(content: Content) -> compat.RecordDict:
    record: dict[str, Any] = {_ARRAY + _name(name): _to_bytes(array) for name, array in content.arrays.items()}
    record |= {_VALUE + _name(name): _value(value) for name, value in content.values.items()}
    if len(content.arrays) > _MAX_ARRAYS or len(content.values) > _MAX_VALUES:
        raise _malformed(f"at most {_MAX_ARRAYS} arrays and {_MAX_VALUES} values")
    if sum(len(value) for value in record.values() if not isinstance(value, int)) > MAX_BYTES - _MAX_HEAD:
        raise InvalidRequestError(ErrorCode.REQUEST_TOO_LARGE, f"expected a content of less than {MAX_BYTES} bytes")
    return compat.RecordDict({_RECORD: compat.ConfigRecord(record)})


def _from_wire(items: Iterable[tuple[str, compat.recorddict_pb2.ConfigRecordValue]]) -> Content:
    arrays: dict[str, NDArray[Any]] = {}
    values: dict[str, str | int | bytes] = {}
    for key, item in items:
        kind = item.WhichOneof("value")
        if kind not in ("string", "sint64", "bytes"):
            raise _malformed("texts, integers and bytes")
        if key.startswith(_ARRAY) and kind == "bytes":
            arrays[_name(key.removeprefix(_ARRAY))] = _from_bytes(item.bytes)
        elif key.startswith(_VALUE):
            values[_name(key.removeprefix(_VALUE))] = _value(getattr(item, kind))
        else:
            raise _malformed("arrays and values")
    return Content(arrays=arrays, values=values)


def _reply_metadata(to: Header, now_s: float) -> compat.Metadata:
    return compat.Metadata(
        run_id=to.run,
        message_id="",
        src_node_id=to.destination,
        dst_node_id=to.source,
        reply_to_message_id=to.id,
        group_id="",
        created_at=now_s,
        # Flower refuses a reply that would outlive its request.
        ttl=to.created_at_s + to.ttl_s - now_s,
        message_type=_KIND,
    )


def _to_array(array: NDArray[Any]) -> compat.Array:
    data = _to_bytes(array)
    return compat.Array(dtype=array.dtype.name, shape=tuple(array.shape), stype="numpy.ndarray", data=data)


def _from_array(array: compat.Array) -> NDArray[Any]:
    found = _from_bytes(array.data)
    if (array.stype, array.dtype, tuple(array.shape)) != ("numpy.ndarray", found.dtype.name, found.shape):
        raise _malformed("an array that is as it is said to be")
    return found


def _to_bytes(array: NDArray[Any]) -> bytes:
    _check_array(array)
    buffer = io.BytesIO()
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    np.lib.format.write_array(buffer, little, version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def _from_bytes(data: bytes) -> NDArray[Any]:
    """Read an array in numpy's format 1.0: its bytes must be exactly what its header says (NEP 1)."""
    try:
        stream = io.BytesIO(data)
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            raise _malformed("an array in numpy's format 1.0")
        # SECURITY: the header is a literal of at most so many characters; nothing of it runs, pickle is unreachable.
        shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(stream, max_header_size=1_024)
    except SandboxError:
        raise
    except Exception as error:
        raise _malformed("an array in numpy's format") from error
    body = memoryview(data)[stream.tell() :]
    if dtype.str not in _DTYPES:
        raise _malformed("an array of float64, int64 or uint64")
    if is_fortran or not 1 <= len(shape) <= _MAX_DIMENSIONS:
        raise _malformed(f"an array of one to {_MAX_DIMENSIONS} dimensions, in C order")
    # Sizes are multiplied as Python's integers: nothing wraps around, and nothing is allocated for a shape.
    if math.prod(shape) * dtype.itemsize != len(body) or min(shape) < 0:
        raise _malformed("as many bytes as the array's shape says")
    array = np.frombuffer(body, dtype=dtype).reshape(shape)
    array.flags.writeable = False
    return array


def _check_array(array: object) -> None:
    if not isinstance(array, np.ndarray) or not 1 <= array.ndim <= _MAX_DIMENSIONS:
        raise _malformed(f"arrays of one to {_MAX_DIMENSIONS} dimensions")
    if array.dtype.newbyteorder("<").str not in _DTYPES:
        raise _malformed("arrays of float64, int64 or uint64")


def _name(name: object) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= _MAX_NAME or not name.isprintable():
        raise _malformed(f"printable names of at most {_MAX_NAME} characters")
    return name


def _value(value: object) -> str | int | bytes:
    if isinstance(value, (str, bytes)):
        return value
    if type(value) is int and -_MAX_INT <= value < _MAX_INT:
        return value
    raise _malformed("texts, integers of 64 bits and bytes as values")


def _malformed(expected: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.MESSAGE_MALFORMED, f"expected {expected}")
