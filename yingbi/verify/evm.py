"""Offline check of an anchor proof: an EVM chain committed to a log's head (docs/spec/anchor.md, "Proof").

Standard library only; no node is asked. What has to be believed is one block hash, which the user gives: from there on,
header, account, code, storage and chain value follow by hashes. Nothing here checks the chain's own consensus.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from yingbi.verify.keccak import keccak256
from yingbi.verify.patricia import PatriciaError, RlpItem, decode_rlp, find_proved

__all__ = [
    "LOG_ANCHOR_CODE_HASHES",
    "AnchorInvalid",
    "AnchorMissing",
    "AnchoredHead",
    "TrustedBlock",
    "verify_anchor",
]

# Runtime code of every published LogAnchor: only its anchorer adds heads, sizes only grow, the chain value extends.
LOG_ANCHOR_CODE_HASHES: Final = frozenset(
    {bytes.fromhex("cf8cce7f6901c87b27fae7ad0d0eb85bed993461087b8c379aeb0fe3a8ca1a53")}
)
_SLOTS: Final = {"chain_value": 3, "origin_hash": 4, "root": 2, "size": 1}

_MAX_PROOF_BYTES: Final = 1 << 20
_MAX_HEADER_BYTES: Final = 1 << 16
_MAX_NODE_BYTES: Final = 1 << 10
_MAX_NODES: Final = 65
_MAX_LATER_HEADS: Final = 4096
_MAX_INT: Final = 2**53 - 1
_LAST_SECOND: Final = 253_402_300_799  # 9999-12-31T23:59:59Z
_WORD: Final = 32
_ADDRESS_BYTES: Final = 20
_ACCOUNT_ITEMS: Final = 4

_MEMBERS: Final = {
    *("account_proof", "block_hash", "chain_before", "chain_id", "checkpoint", "contract", "header", "later"),
    *("storage_proofs", "v"),
}
# Yellow paper §4.4: later forks only appended members.
_HEADER_MIN_ITEMS: Final = 15
_STATE_ROOT, _NUMBER, _TIMESTAMP = 3, 8, 11

_HEX: Final = re.compile(r"0x((?:[0-9a-f]{2})*)")
_CHECKPOINT: Final = re.compile(r"([^\n]+)\n([1-9][0-9]{0,15})\n([A-Za-z0-9+/]{43}=)\n")


class TrustedBlock(Protocol):
    """One item of the trust file's `anchors`: the log's contract, and a block hash from a source the user trusts."""

    @property
    def chain_id(self) -> int:
        """Which chain (EIP-155)."""
        ...

    @property
    def contract(self) -> bytes:
        """Address of the contract, 20 bytes."""
        ...

    @property
    def block_hash(self) -> bytes:
        """Hash of a block of that chain, 32 bytes."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchoredHead:
    """A head that a chain committed to: the log `origin` had it no later than `block_time`."""

    chain_id: int
    contract: bytes
    block_number: int
    block_hash: bytes
    block_time: datetime
    origin: str
    size: int
    root: bytes


class AnchorInvalid(Exception):  # noqa: N818 - named after the verdict it leads to
    """The proof is wrong: `check` says in which step, and the message what was expected."""

    def __init__(self, check: str, message: str, *, expected: str | None = None, actual: str | None = None) -> None:
        super().__init__(message)
        self.check = check
        self.expected = expected
        self.actual = actual


class AnchorMissing(Exception):  # noqa: N818 - named after the outcome it leads to
    """The proof is sound in itself, but a block hash to believe is missing; the message says what to ask for."""

    def __init__(self, message: str, *, chain_id: int, block_number: int) -> None:
        super().__init__(message)
        self.chain_id = chain_id
        self.block_number = block_number


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    size: int
    root: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Proof:
    chain_id: int
    contract: bytes
    block_hash: bytes
    header: bytes
    account_proof: tuple[bytes, ...]
    storage_proofs: dict[str, tuple[bytes, ...]]
    origin: str
    head: _Head
    chain_before: bytes
    later: tuple[_Head, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    state_root: bytes
    number: int
    time: datetime


def verify_anchor(proof: bytes, trusted: Iterable[TrustedBlock]) -> AnchoredHead:
    """Verify an anchor proof file and return the head that was anchored (docs/spec/anchor.md, "Proof").

    Trusts the block hashes in `trusted`, and that their contracts are this log's.

    Raises:
        AnchorInvalid: the file has a wrong form, or one of its steps does not follow from the one before.
        AnchorMissing: all steps hold, but `trusted` does not name the block.
    """
    parsed = _parse(proof)
    header = _verify_header(parsed)
    storage_root = _verify_account(parsed, header.state_root)
    slots = {name: _verify_slot(name, storage_root, nodes) for name, nodes in parsed.storage_proofs.items()}
    _verify_head(parsed, slots)
    _require_trust(parsed, header, trusted)
    return AnchoredHead(
        chain_id=parsed.chain_id,
        contract=parsed.contract,
        block_number=header.number,
        block_hash=parsed.block_hash,
        block_time=header.time,
        origin=parsed.origin,
        size=parsed.head.size,
        root=parsed.head.root,
    )


def _verify_header(proof: _Proof) -> _Header:
    actual = keccak256(proof.header)
    if actual != proof.block_hash:
        raise AnchorInvalid(
            "block header",
            "expected a header with the block's hash",
            expected=proof.block_hash.hex(),
            actual=actual.hex(),
        )
    items = _decode_list("block header", proof.header)
    if len(items) < _HEADER_MIN_ITEMS:
        raise AnchorInvalid("block header", f"expected at least {_HEADER_MIN_ITEMS} members, got {len(items)}")
    state_root = items[_STATE_ROOT]
    if not isinstance(state_root, bytes) or len(state_root) != _WORD:
        raise AnchorInvalid("block header", "expected a state root of 32 bytes")
    seconds = _decode_integer("block header", items[_TIMESTAMP], _LAST_SECOND)
    return _Header(
        state_root=state_root,
        number=_decode_integer("block header", items[_NUMBER], _MAX_INT),
        time=datetime.fromtimestamp(seconds, UTC),
    )


def _verify_account(proof: _Proof, state_root: bytes) -> bytes:
    """Return the contract's storage root, once its code is known to be that of a LogAnchor."""
    account = _decode_list("account", _find("account", state_root, proof.contract, proof.account_proof))
    if len(account) != _ACCOUNT_ITEMS:
        raise AnchorInvalid("account", f"expected an account of {_ACCOUNT_ITEMS} members, got {len(account)}")
    storage_root, code_hash = account[2], account[3]
    if not isinstance(storage_root, bytes) or not isinstance(code_hash, bytes) or len(storage_root) != _WORD:
        raise AnchorInvalid("account", "expected a storage root and a code hash of 32 bytes")
    if code_hash not in LOG_ANCHOR_CODE_HASHES:
        # SECURITY: any other code may forget, replace or make up heads.
        raise AnchorInvalid("contract code", "expected the code of a LogAnchor contract", actual=code_hash.hex())
    return storage_root


def _verify_slot(name: str, storage_root: bytes, nodes: Sequence[bytes]) -> bytes:
    """Return a slot's value, 32 bytes; a slot that was never written is not in the trie, and is an error."""
    what = f"slot {name}"
    encoded = _find(what, storage_root, _SLOTS[name].to_bytes(_WORD), nodes)
    try:
        value = decode_rlp(encoded)
    except PatriciaError as error:
        raise AnchorInvalid(what, str(error)) from None
    if not isinstance(value, bytes) or not 0 < len(value) <= _WORD or value[0] == 0:
        raise AnchorInvalid(what, "expected a number of 1 to 32 bytes without leading zeros")
    return value.rjust(_WORD, b"\0")


def _verify_head(proof: _Proof, slots: dict[str, bytes]) -> None:
    _expect("origin", _hash_origin(proof.origin), slots["origin_hash"])
    chain_value = proof.chain_before
    last = _Head(size=0, root=b"")
    for head in (proof.head, *proof.later):
        if head.size <= last.size:
            raise AnchorInvalid("later heads", "expected sizes that grow")
        chain_value = keccak256(chain_value + head.size.to_bytes(_WORD) + head.root)
        last = head
    _expect("size", last.size.to_bytes(_WORD), slots["size"])
    _expect("root", last.root, slots["root"])
    _expect("chain value", chain_value, slots["chain_value"])


def _require_trust(proof: _Proof, header: _Header, trusted: Iterable[TrustedBlock]) -> None:
    mine = {item.block_hash for item in trusted if (item.chain_id, item.contract) == (proof.chain_id, proof.contract)}
    if proof.block_hash in mine:
        return
    contract = "" if mine else f", and whether 0x{proof.contract.hex()} is this log's contract there"
    raise AnchorMissing(
        f"ask for the hash of block {header.number} of chain {proof.chain_id} from a source you trust{contract}",
        chain_id=proof.chain_id,
        block_number=header.number,
    )


def _find(check: str, root: bytes, key: bytes, nodes: Sequence[bytes]) -> bytes:
    try:
        return find_proved(root, keccak256(key), nodes)
    except PatriciaError as error:
        raise AnchorInvalid(check, str(error)) from None


def _expect(check: str, claimed: bytes, proved: bytes) -> None:
    if claimed != proved:
        raise AnchorInvalid(
            check, "expected the value that the chain committed to", expected=proved.hex(), actual=claimed.hex()
        )


def _hash_origin(origin: str) -> bytes:
    return hashlib.sha256(f"yingbi.anchor.origin.v1\n{origin}\n".encode()).digest()


def _decode_list(check: str, data: bytes) -> list[RlpItem]:
    try:
        items = decode_rlp(data)
    except PatriciaError as error:
        raise AnchorInvalid(check, str(error)) from None
    if not isinstance(items, list):
        raise AnchorInvalid(check, "expected an RLP list")
    return items


def _decode_integer(check: str, item: RlpItem, most: int) -> int:
    if not isinstance(item, bytes) or item[:1] == b"\0" or int.from_bytes(item) > most:
        raise AnchorInvalid(check, f"expected a number from 0 to {most} without leading zeros")
    return int.from_bytes(item)


def _parse(data: bytes) -> _Proof:
    value = _parse_json(data)
    if set(value) != _MEMBERS or not _is_integer(value["v"], 1, 1):
        raise _malformed("expected version 1 with exactly the members of the specification")
    storage_proofs = value["storage_proofs"]
    if not isinstance(storage_proofs, dict) or set(storage_proofs) != set(_SLOTS):
        raise _malformed(f"expected storage_proofs of exactly {', '.join(_SLOTS)}")
    if not _is_integer(value["chain_id"], 1, _MAX_INT):
        raise _malformed("expected chain_id from 1 to 2^53 - 1")
    origin, head = _parse_checkpoint(value["checkpoint"])
    return _Proof(
        chain_id=value["chain_id"],
        contract=_parse_hex("contract", value["contract"], _ADDRESS_BYTES),
        block_hash=_parse_hex("block_hash", value["block_hash"], _WORD),
        header=_parse_hex("header", value["header"], None, _MAX_HEADER_BYTES),
        account_proof=_parse_nodes("account_proof", value["account_proof"]),
        storage_proofs={name: _parse_nodes("storage_proofs", nodes) for name, nodes in storage_proofs.items()},
        origin=origin,
        head=head,
        chain_before=_parse_hex("chain_before", value["chain_before"], _WORD),
        later=_parse_later(value["later"]),
    )


def _parse_json(data: bytes) -> dict[str, Any]:
    if len(data) > _MAX_PROOF_BYTES:
        raise _malformed(f"expected at most {_MAX_PROOF_BYTES} bytes, got {len(data)}")
    try:
        text = data.decode()
        value = json.loads(text)
        encoded = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    except (ValueError, RecursionError):
        raise _malformed("expected one JSON value in UTF-8") from None
    # Equal text also means: no doubled names, no spaces, one spelling of each number and string.
    if encoded != text or not isinstance(value, dict):
        raise _malformed("expected a canonical JSON object (RFC 8785)")
    return value


def _parse_checkpoint(value: object) -> tuple[str, _Head]:
    match = _CHECKPOINT.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match[2]) > _MAX_INT:
        raise _malformed("expected a checkpoint of three lines: origin, size, base64 root")
    try:
        match[1].encode()
        root = base64.b64decode(match[3], validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise _malformed("expected an origin in UTF-8 and a root in base64") from None
    if base64.b64encode(root).decode() != match[3]:
        raise _malformed("expected a root in canonical base64")
    return match[1], _Head(size=int(match[2]), root=root)


def _parse_later(value: object) -> tuple[_Head, ...]:
    if not isinstance(value, list) or len(value) > _MAX_LATER_HEADS:
        raise _malformed(f"expected later as a list of at most {_MAX_LATER_HEADS} heads")
    heads = []
    for item in value:
        if not isinstance(item, dict) or set(item) != {"root", "size"} or not _is_integer(item["size"], 1, _MAX_INT):
            raise _malformed("expected later heads with exactly root and size")
        heads.append(_Head(size=item["size"], root=_parse_hex("later", item["root"], _WORD)))
    return tuple(heads)


def _parse_nodes(name: str, value: object) -> tuple[bytes, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= _MAX_NODES:
        raise _malformed(f"expected {name} as a list of 1 to {_MAX_NODES} nodes")
    return tuple(_parse_hex(name, node, None, _MAX_NODE_BYTES) for node in value)


def _parse_hex(name: str, value: object, size: int | None, most: int = _MAX_NODE_BYTES) -> bytes:
    match = _HEX.fullmatch(value) if isinstance(value, str) and len(value) <= 2 + 2 * most else None
    data = bytes.fromhex(match[1]) if match is not None else None
    if data is None or size not in (None, len(data)):
        raise _malformed(f"expected {name} as 0x and lower-case hexadecimal digits of the right length")
    return data


def _is_integer(value: object, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _malformed(message: str) -> AnchorInvalid:
    return AnchorInvalid("form", message)
