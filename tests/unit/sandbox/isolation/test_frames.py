import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.isolation.frames import Frame, FrameKind, FrameReader, encode_frame
from yingbi.canonical import MAX_INT, canonical_bytes
from yingbi.errors import ErrorCode, SandboxError

texts = st.text(st.characters(codec="utf-8"), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INT, MAX_INT) | texts,
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=10,
)
dtypes = st.sampled_from([np.int32, np.int64, np.uint64, np.float64, np.bool_])


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    names = draw(st.lists(st.text("abc.0123", min_size=1, max_size=5), unique=True, max_size=4))
    arrays: dict[str, Any] = {
        name: np.array(draw(st.lists(st.integers(0, 1), max_size=9)), dtype=draw(dtypes)) for name in names
    }
    return Frame(kind=draw(st.sampled_from(FrameKind)), value=draw(values), arrays=arrays)


@given(st.lists(frames(), max_size=4), st.integers(1, 50))
def test_frames_come_back_however_the_pipe_cuts_them(sent: list[Frame], size: int) -> None:
    data = b"".join(map(encode_frame, sent))
    reader = FrameReader(len(data) or 1)
    got = [frame for start in range(0, len(data), size) for frame in reader.feed(data[start : start + size])]
    assert [(frame.kind, frame.value) for frame in got] == [(frame.kind, frame.value) for frame in sent]
    for one, other in zip(got, sent, strict=True):
        assert list(one.arrays) == list(other.arrays)
        for name, array in other.arrays.items():
            assert one.arrays[name].dtype == array.dtype
            assert np.array_equal(one.arrays[name], array)


@given(st.binary(max_size=80))
def test_noise_is_refused_or_waits_for_more(data: bytes) -> None:
    try:
        assert FrameReader(1000).feed(data) == ()
    except SandboxError as error:
        assert error.code in (ErrorCode.ENGINE_FAILED, ErrorCode.RESOURCE_LIMIT)  # noqa: PT017 - either is right


def raw(header: Any, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else canonical_bytes(header)
    return struct.pack("<4sIQ", b"YBF1", len(text), len(body)) + text + body


def header(arrays: Any = (), kind: str = "result", **more: Any) -> dict[str, Any]:
    return {"arrays": list(arrays), "kind": kind, "value": None, **more}


HOSTILE = {
    "other magic": b"NOPE" + raw(header())[4:],
    "not json": raw(b"{"),
    "not canonical": raw(b'{ "arrays":[],"kind":"result","value":null}'),
    "unknown kind": raw(header(kind="shell")),
    "a further member": raw(header(code="x")),
    "an unknown type": raw(header([["a", "O8", 1]]), bytes(8)),
    "an object type": raw(header([["a", "|O", 1]]), bytes(8)),
    "beyond the body": raw(header([["a", "i8", 2]]), bytes(8)),
    "negative count": raw(header([["a", "i8", -1]])),
    "boolean count": raw(header([["a", "i8", True]]), bytes(8)),
    "one name twice": raw(header([["a", "i8", 1], ["a", "i8", 1]]), bytes(16)),
    "bytes left over": raw(header(), bytes(1)),
    "an array that is no list": raw(header(["a"])),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_frame_that_is_not_one_is_refused(name: str) -> None:
    with pytest.raises(SandboxError) as raised:
        FrameReader(10_000).feed(HOSTILE[name])
    assert raised.value.code is ErrorCode.ENGINE_FAILED


def test_an_announced_length_beyond_the_limit_is_refused_before_it_arrives() -> None:
    with pytest.raises(SandboxError) as raised:
        FrameReader(1000).feed(struct.pack("<4sIQ", b"YBF1", 10, 2**40))
    assert raised.value.code is ErrorCode.RESOURCE_LIMIT


def test_the_limit_is_of_all_frames_together() -> None:
    frame = encode_frame(Frame(kind=FrameKind.PROGRESS, value=1))
    reader = FrameReader(2 * len(frame))
    assert len(reader.feed(frame + frame)) == 2
    with pytest.raises(SandboxError):
        reader.feed(frame)


def test_floats_and_objects_are_never_written() -> None:
    for frame in (
        Frame(kind=FrameKind.RESULT, value=[0.5]),  # type: ignore[list-item]
        Frame(kind=FrameKind.RESULT, arrays={"a": np.array([object()])}),
        Frame(kind=FrameKind.RESULT, arrays={"a": np.zeros((2, 2))}),
    ):
        with pytest.raises(SandboxError):
            encode_frame(frame)
