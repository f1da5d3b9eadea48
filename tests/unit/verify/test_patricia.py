"""RLP and trie proofs: published vectors, and the `rlp` and `trie` libraries as oracles."""

from typing import Any

import pytest
import rlp  # type: ignore[import-untyped]
from eth_hash.auto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lib.anchor_proofs import make_trie, prove_in_trie
from yingbi.verify.patricia import PatriciaError, decode_rlp, find_proved

# Ethereum wiki and yellow paper, appendix B.
_PUBLISHED: dict[str, tuple[str, Any]] = {
    "dog": ("83646f67", b"dog"),
    "cat and dog": ("c88363617483646f67", [b"cat", b"dog"]),
    "empty string": ("80", b""),
    "empty list": ("c0", []),
    "the byte 0": ("00", b"\x00"),
    "the byte 15": ("0f", b"\x0f"),
    "1024": ("820400", b"\x04\x00"),
    "set theory": ("c7c0c1c0c3c0c1c0", [[], [[]], [[], [[]]]]),
    "56 bytes": (
        "b8384c6f72656d20697073756d20646f6c6f722073697420616d65742c20636f6e7365637465747572206164697069736963696e6720656c6974",
        b"Lorem ipsum dolor sit amet, consectetur adipisicing elit",
    ),
}

_NOT_CANONICAL = {
    "nothing": "",
    "a small byte as a string": "8100",
    "a small byte 7f as a string": "817f",
    "a short string in long form": "b80161",
    "55 bytes in long form": "b837" + "61" * 55,
    "a length with a leading zero": "b90038" + "61" * 56,
    "a short list in long form": "f801c0",
    "a list length with a leading zero": "f90038" + "61" * 56,
    "a string cut short": "83646f",
    "a length cut short": "b9",
    "a long length cut short": "b901",
    "a list cut short": "c483646f",
    "an item longer than its list": "c3836465",
    "an item that reaches out of its list": "c283646f67",
    "an item that reaches out of an inner list": "c5c283646f67",
    "bytes after the item": "83646f6700",
    "a huge length": "bf" + "ff" * 8,
    "a huge list length": "ff" + "ff" * 8,
    "too many levels": "c0",
}
_TREES: st.SearchStrategy[Any] = st.recursive(
    st.binary(max_size=70), lambda inner: st.lists(inner, max_size=5), max_leaves=12
)


@pytest.mark.parametrize("name", _PUBLISHED)
def test_published_rlp(name: str) -> None:
    encoded, value = _PUBLISHED[name]
    assert decode_rlp(bytes.fromhex(encoded)) == value


@pytest.mark.parametrize("name", _NOT_CANONICAL)
def test_other_rlp_is_refused(name: str) -> None:
    data = bytes.fromhex(_NOT_CANONICAL[name])
    if name == "too many levels":
        for _ in range(17):
            data = bytes(rlp.codec.length_prefix(len(data), 0xC0)) + data
    with pytest.raises(PatriciaError):
        decode_rlp(data)


@given(_TREES)
def test_what_the_library_encodes_is_decoded(value: Any) -> None:
    assert decode_rlp(rlp.encode(value)) == value


@given(st.binary(max_size=80) | _TREES.map(rlp.encode).flatmap(lambda data: st.sampled_from([data[:-1], data + b"\0"])))
def test_any_bytes_are_judged_as_the_library_judges_them(data: bytes) -> None:
    try:
        expected = rlp.decode(data, strict=True)
    except rlp.DecodingError:
        with pytest.raises(PatriciaError):
            decode_rlp(data)
    else:
        assert decode_rlp(data) == expected


def test_a_large_flat_list_is_decoded_in_linear_time() -> None:
    assert decode_rlp(rlp.encode([b"\x01"] * 60_000)) == [b"\x01"] * 60_000


# --- tries ------------------------------------------------------------------------------------------------------------


# Short keys of few nibbles give values in branches and small nodes inside their parents; hashed ones are the real case.
_SHORT_KEYS = st.dictionaries(
    st.lists(st.sampled_from([0x00, 0x01, 0x10, 0x11, 0xFF]), min_size=1, max_size=3).map(bytes),
    st.binary(min_size=1, max_size=40),
    min_size=1,
    max_size=12,
)
_HASHED_KEYS = st.dictionaries(
    st.integers(0, 10_000).map(lambda n: keccak(n.to_bytes(32))),
    st.binary(min_size=1, max_size=70),
    min_size=1,
    max_size=40,
)


@settings(deadline=None)
@given(_SHORT_KEYS | _HASHED_KEYS)
def test_every_key_of_a_trie_is_found(pairs: dict[bytes, bytes]) -> None:
    trie = make_trie(pairs)
    for path, value in pairs.items():
        assert find_proved(trie.root_hash, path, prove_in_trie(trie, path)) == value


@settings(deadline=None)
@given(_SHORT_KEYS | _HASHED_KEYS, st.data())
def test_a_key_that_is_not_there_is_refused(pairs: dict[bytes, bytes], data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(pairs)))
    value = pairs.pop(path)
    trie = make_trie(pairs)
    nodes = prove_in_trie(trie, path)
    with pytest.raises(PatriciaError):
        find_proved(trie.root_hash, path, nodes)
    with pytest.raises(PatriciaError):
        find_proved(trie.root_hash, path, prove_in_trie(make_trie(pairs | {path: value}), path))


def _deep() -> tuple[bytes, bytes, list[bytes]]:
    pairs = {keccak(n.to_bytes(32)): b"value %d" % n + bytes(40) for n in range(400)}
    trie = make_trie(pairs)
    path = max(pairs, key=lambda key: len(prove_in_trie(trie, key)))
    return trie.root_hash, path, prove_in_trie(trie, path)


@pytest.mark.parametrize("at", range(4))
def test_every_changed_byte_of_a_node_is_refused(at: int) -> None:
    root, path, nodes = _deep()
    assert len(nodes) >= 4
    node = nodes[at]
    for position in range(0, len(node), 3):
        changed = bytearray(node)
        changed[position] ^= 1 << position % 8
        with pytest.raises(PatriciaError):
            find_proved(root, path, [*nodes[:at], bytes(changed), *nodes[at + 1 :]])


def test_missing_doubled_swapped_cut_and_further_nodes_are_refused() -> None:
    root, path, nodes = _deep()
    families = {
        "none": [],
        "first missing": nodes[1:],
        "last missing": nodes[:-1],
        "middle missing": [nodes[0], *nodes[2:]],
        "first doubled": [nodes[0], *nodes],
        "last doubled": [*nodes, nodes[-1]],
        "empty node after": [*nodes, b""],
        "swapped": [nodes[1], nodes[0], *nodes[2:]],
        "reversed": nodes[::-1],
        "last cut": [*nodes[:-1], nodes[-1][:-1]],
        "last extended": [*nodes[:-1], nodes[-1] + b"\0"],
    }
    assert find_proved(root, path, nodes)
    for name, changed in families.items():
        try:
            find_proved(root, path, changed)
        except PatriciaError:
            continue
        pytest.fail(name)


def test_another_root_and_other_paths_are_refused() -> None:
    root, path, nodes = _deep()
    with pytest.raises(PatriciaError):
        find_proved(bytes(32), path, nodes)
    for position in range(len(path)):
        for bit in (1, 16):
            other = bytearray(path)
            other[position] ^= bit
            with pytest.raises(PatriciaError):
                find_proved(root, bytes(other), nodes)
    for other_length in (path[:-1], path + b"\0", b""):
        with pytest.raises(PatriciaError):
            find_proved(root, other_length, nodes)


# A hostile prover cannot choose the root, but whoever makes a block could: nodes that no honest client would write.
_ODD_NODES: dict[str, Any] = {
    "a string": b"x" * 40,
    "a string of 17 bytes": b"x" * 17,
    "a string of 2 bytes": b" x",
    "three items": [b"\x20\xab", b"value", b"x"],
    "empty path": [b"", b"value"],
    "path as a list": [[b"\x20\xab"], b"value"],
    "unknown flag": [b"\x40\xab", b"value"],
    "stray bits in an even path": [b"\x21\xab", b"value"],
    "leaf with a list": [b"\x20\xab", [b"value"]],
    "leaf without a value": [b"\x20\xab", b""],
    "extension of nothing": [b"\x00", [b"\x20\xab", b"value"]],
    "extension to a short name": [b"\x00\xab", b"short"],
    "extension to nothing": [b"\x00\xab", b""],
    "branch with a list as its value": [*[b""] * 10, [*[b""] * 11, [*[b""] * 16, [b"v"]], *[b""] * 5], *[b""] * 6],
}


@pytest.mark.parametrize("name", _ODD_NODES)
def test_odd_nodes_are_refused(name: str) -> None:
    node = rlp.encode(_ODD_NODES[name])
    with pytest.raises(PatriciaError):
        find_proved(keccak(node), b"\xab", [node])


def test_a_leaf_an_extension_and_a_branch_value_are_found() -> None:
    leaf = [b"\x20\xab", b"value"]
    branch = [b""] * 16 + [b"value"]
    for node in (leaf, [b"\x1a", [b"\x3b", b"value"]], [b"\x00\xab", branch]):
        encoded = rlp.encode(node)
        assert find_proved(keccak(encoded), b"\xab", [encoded]) == b"value"
