"""The log's readers and the offline verifier's share no code, yet accept the same texts with the same meaning.

Each form is mutated at random, with a fixed seed. Entries are compared one way only: the verifier looks at the head of
a statement, the log also at its body.
"""

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import pytest

from ledger.checkpoint import format_checkpoint, parse_checkpoint
from ledger.entry import encode_entry, parse_entry
from ledger.note import Cosigner, NoteVerifier, TextSigner, parse_note, sign_note
from ledger.proof import prove_inclusion
from ledger.receipt import format_receipt, parse_receipt
from ledger.trust_policy import parse_trust_policy
from tests.lib.examples import minimal_payload
from tests.lib.trees import ListTiles, make_hashes
from yingbi.canonical import parse_canonical
from yingbi.clock import FixedClock
from yingbi.errors import SandboxError
from yingbi.events import EntryType
from yingbi.keys import SigningKey
from yingbi.receipts import Checkpoint, Receipt, SignedCheckpoint
from yingbi.statement import sign
from yingbi.verify import entry as verify_entry
from yingbi.verify import note as verify_note
from yingbi.verify import receipt as verify_receipt
from yingbi.verify import strict as verify_strict
from yingbi.verify import trust as verify_trust

MUTANTS: Final = 4_000
LOG: Final = TextSigner("log.example/2026", SigningKey.from_seed(b"L" * 32))
CLOCK: Final = FixedClock(datetime(2026, 11, 21, 8, tzinfo=UTC))
WITNESSES: Final = [Cosigner(f"w{number}", SigningKey.from_seed(bytes([number]) * 32), CLOCK) for number in (1, 2)]
HASHES: Final = make_hashes(9)
TREE: Final = ListTiles(HASHES).tree()
HEAD: Final = Checkpoint(origin=LOG.name, size=9, root=TREE.root(9))
NOTE: Final = sign_note(format_checkpoint(HEAD), [LOG, WITNESSES[0]])
RECEIPT: Final = Receipt(proof=prove_inclusion(TREE, 4, 9), signed=SignedCheckpoint(checkpoint=HEAD, note=NOTE))
STATEMENT: Final = sign(minimal_payload(EntryType.JOB_APPROVED, refs={"job": "job-1"}), [LOG.key])
POLICY: Final = "\n".join(
    [
        "# a comment",
        f"log {LOG.verifier.encode()} https://log.example/",
        *(f"witness {signer.name} {signer.verifier.encode()}" for signer in WITNESSES),
        "group both 2 w1 w2",
        "quorum both",
        "",
    ]
)

Reading = Callable[[bytes], object]


def _note_of_log(data: bytes) -> object:
    head = parse_checkpoint(parse_note(data).text)
    return head.origin, head.size, head.root


def _note_of_verifier(data: bytes) -> object:
    head = verify_note.parse_checkpoint_note(data).checkpoint
    return head.origin, head.size, head.root


def _key_of_log(data: bytes) -> object:
    key = NoteVerifier.parse(data.decode())
    return key.name, key.kind.value, key.key, key.key_id


def _key_of_verifier(data: bytes) -> object:
    key = verify_note.parse_vkey(data.decode())
    return key.name, key.algorithm.value, key.public, key.id


def _policy_of_log(data: bytes) -> object:
    policy = parse_trust_policy(data)
    logs = sorted((item.verifier.name, item.verifier.key) for item in policy.logs)
    return policy.quorum, logs, {item.name: item.verifier.key for item in policy.witnesses}


def _policy_of_verifier(data: bytes) -> object:
    policy = verify_trust.parse_policy(data)
    logs = sorted((key.name, key.public) for keys in policy.logs.values() for key in keys)
    return policy.quorum, logs, {name: key.public for name, key in policy.witnesses.items()}


def _receipt_of_log(data: bytes) -> object:
    receipt = parse_receipt(data)
    return receipt.proof.index, receipt.proof.path, receipt.signed.note


def _receipt_of_verifier(data: bytes) -> object:
    proof = verify_receipt.parse_receipt(data)
    head = verify_note.parse_checkpoint_note(proof.note).checkpoint
    if proof.index >= head.size:
        raise ValueError("the verifier says so when it follows the path")
    return proof.index, proof.path, proof.note


def _json_of_log(data: bytes) -> object:
    return repr(parse_canonical(data, max_bytes=1 << 20))


def _json_of_verifier(data: bytes) -> object:
    return repr(verify_strict.parse_canonical(data))


FORMS: Final[dict[str, tuple[Sequence[bytes], Reading, Reading]]] = {
    "checkpoints": ([NOTE], _note_of_log, _note_of_verifier),
    "verifier keys": ([LOG.verifier.encode().encode()], _key_of_log, _key_of_verifier),
    "trust policies": ([POLICY.encode()], _policy_of_log, _policy_of_verifier),
    "receipts": ([format_receipt(RECEIPT)], _receipt_of_log, _receipt_of_verifier),
    "canonical JSON": (
        [
            '{"a":[1,2,{"b":null}],"c":"€\\n\\u001f"}'.encode(),
            b'[-1,0,9007199254740991,true,"\\\\\\""]',
            b'{"":{"":[]}}',
        ],
        _json_of_log,
        _json_of_verifier,
    ),
}
TOKENS: Final = [
    *(b" ", b"\n", b"\t", b"\r", b"\x00", b"\x7f", b"\xff", b"\xed\xa0\x80", b"\xc2\xa0", b"\xc2\x85", b"\xe2\x80\xa8"),
    *(
        b"\xe2\x80\x93",
        b"\xe2\x80\x94",
        b"\xef\xbb\xbf",
        b"\xd9\xa2",
        b"0",
        b"00",
        b"1",
        b"9" * 17,
        b".",
        b"e1",
        b"1.0",
    ),
    *(b"+", b"-", b"=", b"A", b"/", b"_", b"x", b"#", b'"', b"\\", b"\\u0041", b",", b"{}", b"[]", b"null", b"true"),
    *(b'"a":1', b"any", b"all", b"none", b"none ", b"quorum none\n", b"group g any both\n", b"index ", b"extra x\n"),
]


def _mutate(data: bytes, choose: random.Random) -> bytes:
    """Change one to three places: a bit, an inserted or replaced token, a cut, a copy, or the order of lines."""
    for _ in range(choose.choice([1, 1, 1, 2, 3])):
        at, end = sorted((choose.randrange(len(data) + 1), choose.randrange(len(data) + 1)))
        lines = data.split(b"\n")
        line = choose.randrange(len(lines))
        token = choose.choice(TOKENS)
        data = choose.choice(
            [
                data[:at] + bytes([data[at] ^ 1 << choose.randrange(8)]) + data[at + 1 :] if at < len(data) else b"",
                data[:at] + token + data[at:],
                data[:at] + token + data[at + 1 :],
                data[:at] + data[at + choose.choice([1, 2, 5, 44]) :],
                data[:at] + data[at:end][:80] + data[at:],
                b"\n".join([*lines[:line], lines[line], *lines[line:]]),
                b"\n".join([*lines[:line], *lines[line + 1 :]]),
                b"\n".join(choose.sample(lines, len(lines))),
            ]
        )
    return data


def _read(reading: Reading, data: bytes) -> object:
    try:
        return reading(data)
    except (SandboxError, ValueError):
        return None


@pytest.mark.parametrize("form", FORMS)
def test_both_accept_the_same_texts(form: str) -> None:
    samples, ours, theirs = FORMS[form]
    choose = random.Random(form)
    for data in samples:
        assert ours(data) == theirs(data)
    for _ in range(MUTANTS):
        data = _mutate(choose.choice(samples), choose)
        assert _read(ours, data) == _read(theirs, data), data


def test_the_verifier_accepts_every_entry_that_the_log_accepts() -> None:
    choose = random.Random("entries")
    entry = encode_entry(seq=3, prev=HASHES[0], time="2026-11-21T08:00:00.000000Z", statement=STATEMENT)
    accepted = 0
    for number in range(MUTANTS):
        data = _mutate(entry, choose) if number else entry
        try:
            ours = parse_entry(data)
        except SandboxError:
            continue
        theirs = verify_entry.parse_entry(data)
        accepted += 1
        assert (theirs.seq, theirs.prev, theirs.time, theirs.type) == (ours.seq, ours.prev, ours.time, ours.type)
        assert theirs.payload_bytes == ours.statement.payload_bytes
        assert theirs.signatures == [(item.keyid, item.sig) for item in ours.statement.signatures]
    assert accepted > 20
