"""Messages: what is sent comes back, and nothing else does."""

import hashlib
import io
import json
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from numpy.typing import NDArray

from federated.content import Content
from federated.flower import compat
from federated.flower.messages import (
    MAX_BYTES,
    Opened,
    Parcel,
    error_reply,
    from_records,
    open_parcel,
    pack,
    reply,
    request,
    to_records,
    tree_ids,
)
from yingbi.errors import ErrorCode, SandboxError

NOW = 1_790_000_000.0
RUN, NODE = 2**64 - 5, 2**63 + 1
NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=0x4FFF, exclude_categories=["Cs"]), min_size=1).filter(
    lambda text: text.isprintable() and len(text) < 50
)
ARRAYS = st.sampled_from(["<f8", "<i8", "<u8"]).flatmap(
    lambda kind: arrays_of.arrays(kind, arrays_of.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4))
)
VALUES = st.one_of(st.text(max_size=20), st.binary(max_size=20), st.integers(-(2**63), 2**63 - 1))
CONTENTS = st.builds(
    lambda arrays, values: Content(arrays=arrays, values=values),
    st.dictionaries(NAMES, ARRAYS, max_size=3),
    st.dictionaries(NAMES, VALUES, max_size=3),
)


def content(**arrays: NDArray[Any]) -> Content:
    return Content(arrays=arrays or {"w": np.arange(3.0)}, values={"phase": "train", "step": 4, "salt": b"\x00\xff"})


def sent(given_content: Content) -> Parcel:
    return pack(request(given_content, run=RUN, node=NODE, now_s=NOW, ttl_s=60.0))


def equal(left: Content, right: Content) -> bool:
    return (
        dict(left.values) == dict(right.values)
        and set(left.arrays) == set(right.arrays)
        and all(
            left.arrays[name].dtype == right.arrays[name].dtype
            and left.arrays[name].shape == right.arrays[name].shape
            and left.arrays[name].tobytes() == right.arrays[name].tobytes()
            for name in left.arrays
        )
    )


@given(CONTENTS)
def test_content_survives_the_wire_bit_for_bit(original: Content) -> None:
    parcel = sent(original)
    opened = open_parcel(parcel.id, parcel.objects)
    assert opened.content is not None
    assert equal(opened.content, original)
    assert equal(from_records(to_records(original)), original)


def test_a_message_says_where_it_comes_from_and_a_reply_what_it_answers() -> None:
    header = open_parcel(*_named(sent(content()))).header
    assert (header.run, header.source, header.destination) == (RUN, compat.SUPERLINK_NODE_ID, NODE)
    answer = open_parcel(*_named(pack(reply(content(), to=header, now_s=NOW + 10)))).header
    assert (answer.reply_to, answer.source, answer.destination, answer.ttl_s) == (
        header.id,
        NODE,
        compat.SUPERLINK_NODE_ID,
        50.0,
    )


def test_a_refusal_carries_a_code_and_nothing_else() -> None:
    header = open_parcel(*_named(sent(content()))).header
    opened = open_parcel(*_named(pack(error_reply(ErrorCode.JOB_REFUSED, to=header, now_s=NOW))))
    assert opened.content is None
    assert (opened.error_code, opened.error_reason) == (
        compat.FlowerErrorCode.CLIENT_APP_RAISED_EXCEPTION,
        "job-refused",
    )


def test_big_endian_and_strided_arrays_are_sent_as_little_endian_ones() -> None:
    original = np.arange(12, dtype=">i8").reshape(3, 4)[:, ::2]
    opened = open_parcel(*_named(sent(content(w=original))))
    assert opened.content is not None
    arrived = opened.content.arrays["w"]
    assert arrived.dtype.str == "<i8"
    assert arrived.tolist() == original.tolist()
    assert not arrived.flags.writeable


@pytest.mark.parametrize(
    "array",
    [
        np.float64(3.0),
        np.array(3.0),
        np.array(["a"]),
        np.array([None]),
        np.array([1 + 2j]),
        np.array([1], dtype="<i4"),
        np.array([True]),
        [1.0],
    ],
    ids=str,
)
def test_other_arrays_are_not_sent(array: Any) -> None:
    with pytest.raises(SandboxError):
        to_records(Content(arrays={"w": array}, values={}))


@pytest.mark.parametrize("value", [True, 1.5, 2**63, -(2**63) - 1, None, [1]], ids=str)
def test_other_values_are_not_sent(value: Any) -> None:
    with pytest.raises(SandboxError):
        to_records(Content(arrays={}, values={"v": value}))


@pytest.mark.parametrize("name", ["", "a" * 257, "a\nb"])
def test_other_names_are_not_sent(name: str) -> None:
    with pytest.raises(SandboxError):
        to_records(Content(arrays={name: np.zeros(1)}, values={}))


def test_so_many_are_sent_and_no_more() -> None:
    arrays, values = ({f"n{number}": np.zeros(1) for number in range(5000)}, {f"n{n}": n for n in range(5000)})
    for many in (Content(arrays=arrays, values={}), Content(arrays={}, values=values)):
        for make in (to_records, sent):
            with pytest.raises(SandboxError, match=r"at most [0-9]+ arrays"):
                make(many)


ARRAY_RECORD, VALUE_RECORD = compat.ArrayRecord(), compat.ConfigRecord()


@pytest.mark.parametrize(
    ("records", "told"),
    [
        ({}, "the records"),
        ({"arrays": ARRAY_RECORD}, "the records"),
        ({"arrays": ARRAY_RECORD, "values": VALUE_RECORD, "more": VALUE_RECORD}, "the records"),
        ({"arrays": VALUE_RECORD, "values": VALUE_RECORD}, "a record of arrays"),
        ({"arrays": ARRAY_RECORD, "values": ARRAY_RECORD}, "a record of arrays"),
    ],
)
def test_other_records_are_refused(records: dict[str, Any], told: str) -> None:
    with pytest.raises(SandboxError, match=told):
        from_records(compat.RecordDict(records))


# What a hostile sender can put in the place of an array's bytes.
def npy(array: NDArray[Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, **options)
    return buffer.getvalue()


def header(text: str, body: bytes = b"") -> bytes:
    line = text.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(line).to_bytes(2, "little") + line + body


class Bomb:
    """Unpickling it would end the process."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return exit, (77,)


FLOATS = "'descr': '<f8', 'fortran_order': False"
HOSTILE = {
    "nothing": b"",
    "pickle": pickle.dumps(Bomb()),
    "pickled objects": npy(np.array([Bomb()], dtype=object), version=(1, 0), allow_pickle=True),
    "another version": npy(np.zeros(3), version=(2, 0)),
    "cut short": npy(np.zeros(3))[:-1],
    "too long": npy(np.zeros(3)) + b"\x00",
    "huge shape": header(f"{{{FLOATS}, 'shape': (9223372036854775807,)}}", b"\x00" * 24),
    "shape that wraps to nothing": header(f"{{{FLOATS}, 'shape': (4294967296, 4294967296)}}"),
    "negative shape": header(f"{{{FLOATS}, 'shape': (-3, -1)}}", b"\x00" * 24),
    "no dimension": header(f"{{{FLOATS}, 'shape': ()}}", b"\x00" * 8),
    "thirty dimensions": header(f"{{{FLOATS}, 'shape': ({'1,' * 30})}}", b"\x00" * 8),
    "padded header": header(f"{{{FLOATS}, 'shape': (1,)}}" + " " * 5_000, b"\x00" * 8),
    "huge header": header("{" + "'a': 1, " * 2_000 + "}"),
    "header that is code": header("__import__('os').abort()"),
    "half floats": npy(np.zeros(3, dtype="<f2")),
    "texts": npy(np.array(["abc"])),
    "fields": npy(np.zeros(3, dtype=[("a", "<f8")])),
    "columns first": npy(np.asfortranarray(np.zeros((2, 3)))),
    "big endian": npy(np.zeros(3, dtype=">f8")),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.filterwarnings("ignore::UserWarning")  # numpy's, of objects
def test_bytes_that_are_no_array_are_refused(data: bytes) -> None:
    array = compat.Array(dtype="float64", shape=(3,), stype="numpy.ndarray", data=data)
    records = compat.RecordDict(
        {"arrays": compat.ArrayRecord({"w": array}), "values": compat.ConfigRecord({"phase": "train"})}
    )
    with pytest.raises(SandboxError) as local:
        from_records(records)
    assert local.value.code is ErrorCode.MESSAGE_MALFORMED
    with pytest.raises(SandboxError) as remote:
        open_parcel(*_named(wired({"array:w": data})))
    assert remote.value.code is ErrorCode.MESSAGE_MALFORMED


@pytest.mark.parametrize(
    ("field", "value"), [("dtype", "int64"), ("shape", (4,)), ("shape", (1, 3)), ("stype", "pickle")]
)
def test_a_description_that_differs_from_the_bytes_is_refused(field: str, value: Any) -> None:
    given_fields: dict[str, Any] = {"dtype": "float64", "shape": (3,), "stype": "numpy.ndarray"} | {field: value}
    array = compat.Array(data=npy(np.zeros(3)), **given_fields)
    records = compat.RecordDict({"arrays": compat.ArrayRecord({"w": array}), "values": compat.ConfigRecord()})
    with pytest.raises(SandboxError):
        from_records(records)


def test_one_changed_byte_anywhere_is_refused() -> None:
    parcel = sent(content())
    for name, data in parcel.objects.items():
        for place in range(0, len(data), 7):
            changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
            with pytest.raises(SandboxError):
                open_parcel(parcel.id, {**parcel.objects, name: changed})


def test_a_missing_object_is_refused() -> None:
    parcel = sent(content())
    for name in parcel.objects:
        with pytest.raises(SandboxError):
            open_parcel(parcel.id, {other: data for other, data in parcel.objects.items() if other != name})


def made(kind: str, children: list[str], body: bytes) -> tuple[str, bytes]:
    data = f"{kind} {','.join(children)} {len(body)}".encode() + b"\x00" + body
    return hashlib.sha256(data).hexdigest(), data


def forged(record: tuple[str, bytes], *others: tuple[str, bytes]) -> tuple[str, dict[str, bytes]]:
    """Return a message around a record that was made by hand, with right digests all the way up."""
    content_ = made("RecordDict", [record[0]], json.dumps({"content": record[0]}).encode())
    head = made("Message", [content_[0]], compat.message_pb2.Message().SerializeToString())
    return head[0], dict([head, content_, record, *others])


def wired(record: dict[str, Any]) -> Parcel:
    """Return a message of Flower's own making, with any record in the place of a content."""
    content_ = compat.RecordDict({"content": compat.ConfigRecord(record)})
    return pack(compat.make_message(metadata=_metadata(), content=content_))


def items(*keys: str, **value: Any) -> bytes:
    proto = compat.recorddict_pb2
    record = proto.ConfigRecord(
        items=[proto.ConfigRecord.Item(key=key, value=proto.ConfigRecordValue(**value)) for key in keys]
    )
    return bytes(record.SerializeToString())


def test_a_forged_message_with_an_honest_record_is_read() -> None:
    """The attacks around it fail for what they forge, not for how the test forges."""
    opened = open_parcel(*forged(made("ConfigRecord", [], items("value:a", sint64=7))))
    assert opened.content is not None
    assert dict(opened.content.values) == {"a": 7}


@pytest.mark.parametrize(
    "body",
    [
        items("value:a", "value:a", sint64=1),
        items("a", sint64=1),
        items("value:", sint64=1),
        items("array:a", string="x"),
        items("value:a", double=1.5),
        items("value:a", bool=True),
        items("value:a"),
        items("value:a", sint_list=compat.recorddict_pb2.SintList(vals=[1])),
        b"\xff\xff\xff",
    ],
    ids=["twice", "no kind", "no name", "text array", "float", "bool", "nothing", "list", "no protobuf"],
)
def test_a_record_of_other_things_is_refused(body: bytes) -> None:
    with pytest.raises(SandboxError):
        open_parcel(*forged(made("ConfigRecord", [], body)))


def test_a_message_has_one_content_and_an_error_none() -> None:
    record = made("ConfigRecord", [], items("value:a", sint64=7))
    content_ = made("RecordDict", [record[0]], json.dumps({"content": record[0]}).encode())
    failed = compat.message_pb2.Message()
    failed.error.code = 1
    for children, body, told in (
        ([content_[0]] * 2, b"", "one content"),
        ([], b"", "one content"),
        ([content_[0]], failed.SerializeToString(), "without content"),
    ):
        head = made("Message", children, body)
        with pytest.raises(SandboxError, match=told):
            open_parcel(head[0], dict([head, content_, record]))


@pytest.mark.parametrize(("key", "value"), [("value:a", {"double": 1.5}), ("value:a", {"bool": True}), ("value:a", {})])
def test_values_are_texts_integers_and_bytes(key: str, value: dict[str, Any]) -> None:
    with pytest.raises(SandboxError, match="texts, integers and bytes"):
        open_parcel(*forged(made("ConfigRecord", [], items(key, **value))))


def test_a_newer_format_of_arrays_is_named() -> None:
    with pytest.raises(SandboxError, match=r"format 1\.0"):
        open_parcel(*_named(wired({"array:w": HOSTILE["another version"]})))


def test_a_body_of_another_length_than_is_said_is_refused() -> None:
    body = items("value:a", sint64=7)
    data = f"ConfigRecord  {len(body) + 1}".encode() + b"\x00" + body
    with pytest.raises(SandboxError):
        open_parcel(*forged((hashlib.sha256(data).hexdigest(), data)))


def test_a_chunk_that_is_named_a_million_times_is_not_even_read() -> None:
    """Flower's own reader would put a terabyte together from this."""
    chunk = made("ArrayChunk", [], b"\x00" * 1_000_000)
    fields = {"dtype": "float64", "shape": [1], "stype": "numpy.ndarray", "arraychunk_ids": [0] * 1_000_000}
    array = made("Array", [chunk[0]], json.dumps(fields).encode())
    with pytest.raises(SandboxError):
        open_parcel(*forged(made("ArrayRecord", [array[0]], json.dumps({"w": array[0]}).encode()), array, chunk))


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b"null", b"{}", b'{"content": 1}', b"\xff"], ids=lambda b: repr(b[:9])
)
def test_references_to_something_else_are_refused(body: bytes) -> None:
    record = made("ConfigRecord", [], items("value:a", sint64=7))
    content_ = made("RecordDict", [record[0]], body)
    head = made("Message", [content_[0]], compat.message_pb2.Message().SerializeToString())
    with pytest.raises(SandboxError):
        open_parcel(head[0], dict([head, content_, record]))


def test_a_content_over_the_limit_is_not_sent() -> None:
    with pytest.raises(SandboxError) as caught:
        sent(content(w=np.zeros(MAX_BYTES // 8)))
    assert caught.value.code is ErrorCode.REQUEST_TOO_LARGE


def test_a_message_over_the_limit_is_refused_before_it_is_read() -> None:
    parcel = sent(content(w=np.zeros(1_000)))
    with pytest.raises(SandboxError) as caught:
        open_parcel(parcel.id, parcel.objects, max_bytes=8_000)
    assert caught.value.code is ErrorCode.REQUEST_TOO_LARGE


@given(st.dictionaries(st.text(max_size=64), st.binary(max_size=80), max_size=4), st.text(max_size=64))
def test_any_objects_are_read_or_refused(objects: dict[str, bytes], name: str) -> None:
    with pytest.raises(SandboxError):
        open_parcel(name, objects)


@given(st.sampled_from(["Message", "RecordDict", "ArrayRecord", "Array", "ConfigRecord"]), st.binary(max_size=60))
def test_any_body_is_read_or_refused(kind: str, body: bytes) -> None:
    name, data = made(kind, [], body)
    try:
        opened = open_parcel(name, {name: data})
    except SandboxError:
        return
    assert isinstance(opened, Opened)


def test_the_tree_names_every_object_once() -> None:
    parcel = sent(content(a=np.zeros(2), b=np.zeros(2)))
    tree = compat.message_pb2.ObjectTree.FromString(parcel.tree)
    assert set(tree_ids(tree)) == set(parcel.objects)
    assert tree_ids(tree)[-1] == parcel.id


def test_a_tree_of_too_many_objects_is_refused() -> None:
    leaf = compat.message_pb2.ObjectTree(object_id="a")
    with pytest.raises(SandboxError):
        tree_ids(compat.message_pb2.ObjectTree(object_id="b", children=[leaf] * 17))


def _named(parcel: Parcel) -> tuple[str, dict[str, bytes]]:
    return parcel.id, dict(parcel.objects)


def _metadata() -> compat.Metadata:
    return compat.Metadata(
        run_id=1,
        message_id="",
        src_node_id=1,
        dst_node_id=2,
        reply_to_message_id="",
        group_id="",
        created_at=NOW,
        ttl=1.0,
        message_type="train",
    )
