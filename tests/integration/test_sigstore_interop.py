"""Our receipts against sigstore's verifier (npm @sigstore/verify), which reads notes and proofs of its own logs."""

import base64
import json
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ledger.checkpoint import format_checkpoint
from ledger.note import Cosigner, TextSigner, sign_note
from ledger.proof import prove_inclusion
from ledger.receipt import format_receipt
from ledger.tree import hash_leaf
from tests.lib.proof_mutations import InclusionClaim, is_inclusion_accepted, mutate_inclusion
from tests.lib.trees import ListTiles, make_entries
from yingbi.clock import FixedClock
from yingbi.keys import SigningKey
from yingbi.receipts import Checkpoint, InclusionProof, Receipt, SignedCheckpoint

FOLDER: Final = Path(__file__).parents[1] / "interop" / "node"
NODE: Final = shutil.which("node")
LOG: Final = TextSigner("log.example/2026", SigningKey.from_seed(b"L" * 32))
WITNESS: Final = Cosigner(
    "witness.example/w1", SigningKey.from_seed(b"W" * 32), FixedClock(datetime(2026, 11, 21, tzinfo=UTC))
)
ENTRIES: Final = make_entries(300)
HASHES: Final = [hash_leaf(entry) for entry in ENTRIES]
TREE: Final = ListTiles(HASHES).tree()
SIZES: Final = (1, 2, 3, 7, 8, 20, 255, 256, 257, 300)


@pytest.fixture(scope="module")
def node() -> str:
    if NODE is None:
        pytest.skip("needs Node.js: apt-get install nodejs")
    look = [NODE, "-e", "require.resolve('@sigstore/verify/package.json')"]
    if subprocess.run(look, cwd=FOLDER, capture_output=True, check=False).returncode:
        pytest.skip("needs @sigstore/verify: npm ci --ignore-scripts --prefix tests/interop/node")
    return NODE


def _ask(node: str, claims: list[tuple[bytes, bytes]]) -> list[str | None]:
    """Return for each receipt and entry why sigstore refuses them, or nothing."""
    public = Ed25519PublicKey.from_public_bytes(LOG.key.public.raw)
    question = {
        "name": LOG.name,
        "keyId": _text(LOG.verifier.key_id),
        "publicKey": _text(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)),
        "claims": [{"receipt": _text(receipt), "entry": _text(entry)} for receipt, entry in claims],
    }
    command = [node, str(FOLDER / "receipt.js")]
    data = json.dumps(question).encode()
    done = subprocess.run(command, cwd=FOLDER, input=data, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    answer: Any = json.loads(done.stdout)
    assert isinstance(answer, list)
    assert len(answer) == len(claims)
    return answer


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _signed(size: int, *, root: bytes | None = None) -> SignedCheckpoint:
    head = Checkpoint(origin=LOG.name, size=size, root=TREE.root(size) if root is None else root)
    return SignedCheckpoint(checkpoint=head, note=sign_note(format_checkpoint(head), [LOG, WITNESS]))


def _receipt(index: int, size: int) -> Receipt:
    return Receipt(proof=prove_inclusion(TREE, index, size), signed=_signed(size))


def _indexes(size: int) -> list[int]:
    return [index for index in range(size) if size <= 20 or index % 23 == 0 or index == size - 1]


def test_sigstore_accepts_our_receipts(node: str) -> None:
    claims = [(format_receipt(_receipt(index, size)), ENTRIES[index]) for size in SIZES for index in _indexes(size)]
    assert set(_ask(node, claims)) == {None}


def test_sigstore_refuses_another_entry_another_log_and_a_changed_checkpoint(node: str) -> None:
    good = _receipt(5, 7)
    stranger = TextSigner(LOG.name, SigningKey.from_seed(b"X" * 32))
    text = format_checkpoint(good.signed.checkpoint)
    forged = replace(good, signed=replace(good.signed, note=sign_note(text, [stranger, WITNESS])))
    changed = replace(good, signed=replace(good.signed, note=good.signed.note.replace(b"\n7\n", b"\n8\n")))
    claims = [
        (format_receipt(good), ENTRIES[5]),
        (format_receipt(good), ENTRIES[4]),
        (format_receipt(forged), ENTRIES[5]),
        (format_receipt(changed), ENTRIES[5]),
    ]
    accepted, *refused = _ask(node, claims)
    assert accepted is None
    assert refused == [
        "calculated root hash does not match inclusion proof",
        "invalid checkpoint signature",
        "invalid checkpoint signature",
    ]


def test_sigstore_refuses_the_mutations_that_we_refuse(node: str) -> None:
    """Each wrong claim stands under a checkpoint that the log signed, so that only the proof can be at fault."""
    claims: list[tuple[bytes, bytes]] = []
    for size in SIZES:
        for index in _indexes(size):
            honest = InclusionClaim(
                index, size, HASHES[index], TREE.root(size), prove_inclusion(TREE, index, size).path
            )
            for _, wrong in mutate_inclusion(honest):
                assert not is_inclusion_accepted(wrong)
                if wrong.leaf == honest.leaf and _is_writable(wrong):
                    proof = InclusionProof(index=wrong.index, size=wrong.size, path=wrong.path)
                    receipt = Receipt(proof=proof, signed=_signed(wrong.size, root=wrong.root))
                    claims.append((format_receipt(receipt), ENTRIES[index]))
    assert len(claims) > 1_000
    assert None not in _ask(node, claims)


def _is_writable(claim: InclusionClaim) -> bool:
    return 0 <= claim.index < claim.size and all(len(item) == 32 for item in (claim.root, *claim.path))
