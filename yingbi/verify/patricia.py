"""RLP and Merkle-Patricia proofs, as far as an anchor proof needs them (Ethereum yellow paper, appendices B and D).

Decoding only, and strict: each value has one encoding, every node of a proof is used, and what a trie does not contain
is an error here, however well its absence is proved.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from yingbi.verify.keccak import keccak256

__all__ = ["PatriciaError", "RlpItem", "decode_rlp", "find_proved"]

RlpItem = bytes | list["RlpItem"]

_HASH_BYTES: Final = 32
_MAX_DEPTH: Final = 16
_BRANCH_ITEMS: Final = 17
_SHORT_ITEMS: Final = 2
_MAX_SHORT_BYTES: Final = 55


class PatriciaError(ValueError):
    """Bytes that are not canonical RLP, or nodes that do not prove what they should. The message holds no data."""


def decode_rlp(data: bytes) -> RlpItem:
    """Decode one RLP item that is all of `data` (yellow paper, appendix B).

    Raises:
        PatriciaError: cut short, followed by more bytes, nested too deeply, or not the shortest encoding.
    """
    if not data:
        raise PatriciaError("expected more bytes of RLP")
    item, end = _decode(data, 0, len(data), 0)
    if end != len(data):
        raise PatriciaError("expected one RLP item and nothing after it")
    return item


def find_proved(root: bytes, path: bytes, nodes: Sequence[bytes]) -> bytes:
    """Return the value that `nodes` prove to stand at `path` in the trie with this root (yellow paper, appendix D).

    `path` is the key as the trie has it: for Ethereum's state and storage, the Keccak-256 of the address or slot.

    Raises:
        PatriciaError: a node is missing, left over, malformed or has another hash, or nothing stands at `path`.
    """
    rest = iter(nodes)
    node = _next_node(root, rest)
    nibbles = [half for byte in path for half in (byte >> 4, byte & 15)]
    while True:
        found, is_value, used = _step(node, nibbles)
        if is_value:
            break
        nibbles = nibbles[used:]
        node = found if isinstance(found, list) else _next_node(found, rest)
    if not isinstance(found, bytes) or not found:
        raise PatriciaError("expected a value at the path, got none")
    if next(rest, None) is not None:
        raise PatriciaError("expected no nodes after the value")
    return found


def _step(node: list[RlpItem], nibbles: list[int]) -> tuple[RlpItem, bool, int]:
    """Go one node down: return what is there, whether that is the value, and how many nibbles were used."""
    if len(node) == _BRANCH_ITEMS:
        return (node[nibbles[0]], False, 1) if nibbles else (node[-1], True, 0)
    if len(node) != _SHORT_ITEMS:
        raise PatriciaError("expected a node of 2 or 17 items")
    prefix, is_leaf = _decode_prefix(node[0])
    if is_leaf:
        if prefix != nibbles:
            raise PatriciaError("expected a value at the path, got another path")
        return node[1], True, len(prefix)
    if not prefix or nibbles[: len(prefix)] != prefix:
        raise PatriciaError("expected a value at the path, got another path")
    return node[1], False, len(prefix)


def _next_node(reference: RlpItem, rest: Iterator[bytes]) -> list[RlpItem]:
    if not isinstance(reference, bytes) or len(reference) != _HASH_BYTES:
        raise PatriciaError("expected a value at the path, got none")
    encoded = next(rest, None)
    if encoded is None:
        raise PatriciaError("expected one more node")
    if keccak256(encoded) != reference:
        raise PatriciaError("expected a node with the hash that its parent names")
    node = decode_rlp(encoded)
    if not isinstance(node, list):
        raise PatriciaError("expected a node of 2 or 17 items")
    return node


def _decode_prefix(item: RlpItem) -> tuple[list[int], bool]:
    """Decode a hex-prefix path (yellow paper, appendix C): its nibbles, and whether it ends at a leaf."""
    if not isinstance(item, bytes) or not item or item[0] >> 4 > 3:
        raise PatriciaError("expected a path in hex-prefix form")
    nibbles = [half for byte in item for half in (byte >> 4, byte & 15)]
    flag = nibbles[0]
    if flag & 1:
        return nibbles[1:], flag >= 2
    if nibbles[1] != 0:
        raise PatriciaError("expected a path in hex-prefix form")
    return nibbles[2:], flag >= 2


def _decode(data: bytes, at: int, limit: int, depth: int) -> tuple[RlpItem, int]:
    """Decode the item at `at`, which must end at `limit` or before; return it and where it ends."""
    if depth > _MAX_DEPTH:
        raise PatriciaError(f"expected at most {_MAX_DEPTH} levels of RLP")
    if data[at] < 0x80:
        return data[at : at + 1], at + 1
    is_list = data[at] >= 0xC0
    start, end = _find_content(data, at, limit, data[at] - (0xC0 if is_list else 0x80))
    if not is_list:
        if end - start == 1 and data[start] < 0x80:
            raise PatriciaError("expected the shortest RLP")
        return data[start:end], end
    items: list[RlpItem] = []
    while start < end:
        item, start = _decode(data, start, end, depth + 1)
        items.append(item)
    return items, end


def _find_content(data: bytes, at: int, limit: int, tag: int) -> tuple[int, int]:
    """Return where the content of the item at `at` starts and ends; `tag` is its first byte without its kind."""
    start, length = at + 1, tag
    if tag > _MAX_SHORT_BYTES:
        start = at + 1 + tag - _MAX_SHORT_BYTES
        length = int.from_bytes(data[at + 1 : start])
        if length <= _MAX_SHORT_BYTES or data[at + 1] == 0:
            raise PatriciaError("expected the shortest RLP")
    if start + length > limit:
        raise PatriciaError("expected more bytes of RLP")
    return start, start + length
