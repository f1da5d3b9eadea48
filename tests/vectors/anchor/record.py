"""Record the anchor proofs of this folder from a real anvil: `python -m tests.vectors.anchor.record`.

Times, accounts and heads are fixed, so that the same anvil (1.7.1) writes the same files again.
"""

import hashlib
import json
from pathlib import Path

from ledger.anchor_evm import EvmAnchor
from tests.lib.anvil import ACCOUNTS, CHAIN_ID, Anvil, find_anvil, start_anvil
from yingbi.receipts import Checkpoint

ORIGIN = "log.futian.example/2026"
SIZES = (5, 9, 1000, 70_000)
_PROVED = {"older.json": 9, "last.json": 70_000}
_START = 1_800_000_000
_NEIGHBOURS = 300


def make_checkpoint(size: int) -> Checkpoint:
    """Return the head of this size."""
    return Checkpoint(origin=ORIGIN, size=size, root=hashlib.sha256(b"root %d" % size).digest())


def record(node: Anvil, folder: Path) -> None:
    """Anchor all sizes on `node` and write the proofs and what they prove."""
    node.call("anvil_setBlockTimestampInterval", 12)
    for number in range(_NEIGHBOURS):
        # Other accounts, so that the state trie has several levels.
        node.call("anvil_setBalance", "0x" + hashlib.sha256(b"neighbour %d" % number).hexdigest()[:40], "0x1")
    node.call("evm_setAutomine", True)
    contract, _ = EvmAnchor.deploy(node.url, chain_id=CHAIN_ID, origin=ORIGIN, account=ACCOUNTS[0])
    node.call("evm_setAutomine", False)
    anchor = EvmAnchor(
        node.url, contract=contract, chain_id=CHAIN_ID, origin=ORIGIN, account=ACCOUNTS[0], confirmations=0
    )
    for size in SIZES:
        anchor.submit(anchor.prepare(make_checkpoint(size), anchor.latest().tip))
        node.mine()
    for name, size in _PROVED.items():
        (folder / name).write_bytes(anchor.prove(make_checkpoint(size)))
    number = anchor.latest().confirmed.block_number
    expected = {
        "chain_id": CHAIN_ID,
        "contract": contract.lower(),
        "block_hash": "0x" + node.block_hash(number).hex(),
        "block_number": number,
        "block_time": int(node.call("eth_getBlockByNumber", hex(number), False)["timestamp"], 16),
        "origin": ORIGIN,
        "heads": {name: {"size": size, "root": make_checkpoint(size).root.hex()} for name, size in _PROVED.items()},
    }
    (folder / "expected.json").write_text(json.dumps(expected, indent=2) + "\n", "utf-8")


def main() -> None:
    """Record beside this file."""
    path = find_anvil()
    if path is None:
        raise SystemExit("anvil is not here: see find_anvil")
    with start_anvil(path, "--timestamp", str(_START)) as node:
        record(node, Path(__file__).parent)


if __name__ == "__main__":
    main()
