"""Anchor proofs made without a chain: state and storage tries by the `trie` library, headers by `rlp`."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import rlp  # type: ignore[import-untyped]
from eth_hash.auto import keccak
from trie.hexary import HexaryTrie

from ledger.checkpoint import format_checkpoint
from yingbi.receipts import Checkpoint
from yingbi.verify.evm import LOG_ANCHOR_CODE_HASHES

__all__ = ["CONTRACT", "Block", "ProofMaker", "encode", "hash_origin", "link", "make_trie", "prove_in_trie"]

CONTRACT = bytes(range(20))
_CODE_HASH = next(iter(LOG_ANCHOR_CODE_HASHES))
_ZERO = bytes(32)


@dataclass(frozen=True, kw_only=True)
class Block:
    """A trusted block, as the trust file names it."""

    chain_id: int
    contract: bytes
    block_hash: bytes


def encode(document: Mapping[str, Any]) -> bytes:
    """Write a proof file."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def hash_origin(origin: str) -> bytes:
    """Return the contract's name for a log."""
    return hashlib.sha256(f"yingbi.anchor.origin.v1\n{origin}\n".encode()).digest()


def link(value: bytes, head: Checkpoint) -> bytes:
    """Return the chain value after `head`."""
    return keccak(value + head.size.to_bytes(32) + head.root)


def make_trie(pairs: Mapping[bytes, bytes]) -> Any:
    """Return the `trie` library's trie of these pairs; the library has no annotations."""
    trie: Any = HexaryTrie({})
    for path, value in pairs.items():
        trie.set(path, value)
    return trie


def prove_in_trie(trie: Any, path: bytes) -> list[bytes]:
    """Return the encoded nodes on the way to `path`, as `eth_getProof` does: small nodes stand in their parents."""
    nodes = [bytes(rlp.encode(node)) for node in trie.get_proof(path)]
    return [node for at, node in enumerate(nodes) if at == 0 or len(node) >= 32]


@dataclass
class ProofMaker:
    """What a chain would hold after `heads`; every member may be bent before `make`."""

    heads: Sequence[Checkpoint]
    origin: str = "log.example/1"
    proved: int = -1
    code_hash: bytes = _CODE_HASH
    neighbours: int = 20
    number: int = 7
    timestamp: int = 1_800_000_000
    chain_id: int = 31337
    slots: dict[int, bytes] = field(default_factory=dict)
    encoded_slots: dict[int, bytes] = field(default_factory=dict)
    header: dict[int, Any] = field(default_factory=dict)
    header_items: int = 21
    account: Sequence[Any] | None = None

    def make(self) -> tuple[dict[str, Any], Block]:
        """Return the document of a proof, and the block that makes it trusted."""
        values = [keccak(hash_origin(self.origin))]
        for head in self.heads:
            values.append(link(values[-1], head))
        storage = self._storage(values[-1])
        state = self._state(storage)
        header = rlp.encode(self._header(state.root_hash))
        at = self.proved % len(self.heads)
        document = {
            "account_proof": [_hex(node) for node in prove_in_trie(state, keccak(CONTRACT))],
            "block_hash": _hex(keccak(header)),
            "chain_before": _hex(values[at]),
            "chain_id": self.chain_id,
            "checkpoint": format_checkpoint(self.heads[at]).decode(),
            "contract": _hex(CONTRACT),
            "header": _hex(header),
            "later": [{"root": _hex(head.root), "size": head.size} for head in self.heads[at + 1 :]],
            "storage_proofs": {
                name: [_hex(node) for node in prove_in_trie(storage, keccak(slot.to_bytes(32)))]
                for name, slot in {"size": 1, "root": 2, "chain_value": 3, "origin_hash": 4}.items()
            },
            "v": 1,
        }
        return document, Block(chain_id=self.chain_id, contract=CONTRACT, block_hash=keccak(header))

    def _storage(self, chain_value: bytes) -> Any:
        last = self.heads[-1]
        slots = {1: last.size.to_bytes(32), 2: last.root, 3: chain_value, 4: hash_origin(self.origin), 5: CONTRACT}
        written = {slot: value.lstrip(b"\0") for slot, value in (slots | self.slots).items()}
        encoded = {slot: rlp.encode(value) for slot, value in written.items() if value} | self.encoded_slots
        return make_trie({keccak(slot.to_bytes(32)): value for slot, value in encoded.items()})

    def _state(self, storage: Any) -> Any:
        account = rlp.encode(self.account or [b"\x01", b"", storage.root_hash, self.code_hash])
        other = rlp.encode([b"", b"\x01", _ZERO, _ZERO])
        neighbours = {keccak(b"neighbour" + bytes([number])): other for number in range(self.neighbours)}
        return make_trie(neighbours | {keccak(CONTRACT): account})

    def _header(self, state_root: bytes) -> list[Any]:
        items: list[Any] = [b"\xaa" * 32] * self.header_items
        known = {3: state_root, 8: _integer(self.number), 11: _integer(self.timestamp)}
        for at, value in (known | self.header).items():
            if at < len(items):
                items[at] = value
        return items


def _integer(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8)


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
