"""The witness's rules: every answer of C2SP tlog-witness, the race of its example, evidence, and a log that lies."""

import base64
import hashlib
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ledger.checkpoint import format_checkpoint
from ledger.note import (
    Cosigner,
    MlDsaCosigner,
    Note,
    NoteSignature,
    NoteSigner,
    TextSigner,
    format_note,
    parse_note,
    parse_signature_lines,
    sign_note,
    verify_note,
)
from ledger.witness import (
    MAX_EVIDENCE,
    MAX_REQUEST_BYTES,
    SIZE_CONTENT_TYPE,
    AddCheckpoint,
    MemoryWitnessStore,
    Witness,
    WitnessResponse,
    WitnessStore,
    format_add_checkpoint,
    parse_add_checkpoint,
)
from ledger.witness_evidence import (
    Evidence,
    EvidenceKind,
    empty_head,
    format_evidence,
    parse_evidence,
    verify_evidence,
)
from ledger.witness_store import SqlWitnessStore
from tests.conftest import START
from tests.lib.vectors import load_vectors
from tests.lib.witness_trees import ORIGIN, ListLog
from yingbi.clock import FixedClock
from yingbi.errors import ErrorCode, InvalidRequestError, UnavailableError, VerificationError
from yingbi.keys import SigningKey
from yingbi.receipts import Checkpoint, ConsistencyProof, SignedCheckpoint

CLOCK = FixedClock(START)
ED25519 = Cosigner("witness.bank-a.example", SigningKey.from_seed(b"W" * 32), CLOCK)
ML_DSA = MlDsaCosigner("witness.bank-a.example", MLDSA44PrivateKey.from_seed_bytes(b"M" * 32), CLOCK)


def make_witness(log: ListLog, store: WitnessStore | None = None, *cosigners: NoteSigner) -> Witness:
    return Witness(cosigners or (ED25519,), [log.verifier], store=store or MemoryWitnessStore(), clock=CLOCK)


def ask(witness: Witness, log: ListLog, old_size: int, size: int) -> WitnessResponse:
    """Send an honest request: a right proof, except when there is none because `old_size` is too large."""
    proof = log.prove(min(old_size, size), size)
    body = format_add_checkpoint(proof, log.signed(size).note)
    return witness.add_checkpoint(body.replace(b"old %d\n" % proof.old_size, b"old %d\n" % old_size, 1))


def request(old_size: int, path: tuple[bytes, ...], signed: SignedCheckpoint) -> bytes:
    """Write a request by hand, whatever its proof is."""
    lines = [f"old {old_size}", *(base64.b64encode(node).decode() for node in path), "", ""]
    return "\n".join(lines).encode() + signed.note


# --- what is answered -------------------------------------------------------------------------------------------------


def test_a_new_log_is_cosigned_and_the_cosignature_verifies() -> None:
    log = ListLog().grow(5)
    answer = ask(make_witness(log), log, 0, 5)
    assert answer.status == HTTPStatus.OK
    note = parse_note(log.signed().note + answer.body)
    (verified,) = verify_note(note, [ED25519.verifier])
    assert verified.timestamp == int(START.timestamp())


def test_both_kinds_of_key_cosign() -> None:
    log = ListLog().grow(5)
    answer = ask(make_witness(log, None, ED25519, ML_DSA), log, 0, 5)
    note = parse_note(log.signed().note + answer.body)
    verified = verify_note(note, [ED25519.verifier, ML_DSA.verifier])
    assert {item.verifier for item in verified} == {ED25519.verifier, ML_DSA.verifier}


def test_the_cosignatures_sign_what_the_specification_says() -> None:
    """The messages are built here by hand, from C2SP tlog-cosignature, and checked with the bare algorithms."""
    log = ListLog().grow(5)
    body = ask(make_witness(log, None, ED25519, ML_DSA), log, 0, 5).body.decode()
    ed25519, ml_dsa = (base64.b64decode(line.split(" ")[2]) for line in body.splitlines())
    now = int(START.timestamp())
    text = f"{ORIGIN}\n5\n{base64.b64encode(log.root(5)).decode()}\n"
    name = ED25519.name.encode()
    for blob, kind, key in ((ed25519, 4, ED25519.verifier.key), (ml_dsa, 6, ML_DSA.verifier.key)):
        assert blob[:4] == hashlib.sha256(name + b"\n" + bytes([kind]) + key).digest()[:4]
        assert blob[4:12] == struct.pack(">Q", now)
    message = f"cosignature/v1\ntime {now}\n{text}".encode()
    Ed25519PublicKey.from_public_bytes(ED25519.verifier.key).verify(ed25519[12:], message)
    message = b"subtree/v1\n\0" + bytes([len(name)]) + name + struct.pack(">Q", now)
    message += bytes([len(ORIGIN)]) + ORIGIN.encode() + struct.pack(">QQ", 0, 5) + log.root(5)
    MLDSA44PublicKey.from_public_bytes(ML_DSA.verifier.key).verify(ml_dsa[12:], message)


def test_a_growing_log_is_cosigned_step_by_step() -> None:
    log, size = ListLog(), 0
    witness = make_witness(log.grow(300))
    for step in (0, 1, 1, 0, 5, 1, 248, 1, 43):
        assert ask(witness, log, size, size + step).status == HTTPStatus.OK
        size += step
    assert size == 300


def conflict(size: int) -> WitnessResponse:
    return WitnessResponse(status=HTTPStatus.CONFLICT, content_type=SIZE_CONTENT_TYPE, body=b"%d\n" % size)


REFUSALS: dict[str, tuple[int, int, HTTPStatus | WitnessResponse]] = {
    "a proof from nothing when size 7 was cosigned": (0, 12, conflict(7)),
    "a proof from an older size": (5, 12, conflict(7)),
    "a proof from a newer size": (9, 12, conflict(7)),
    "an older checkpoint, replayed": (0, 5, conflict(7)),
    "an older checkpoint with itself as the old one": (5, 5, conflict(7)),
    "the same checkpoint, as if it were new": (0, 7, conflict(7)),
    "an old size beyond the checkpoint": (13, 12, HTTPStatus.BAD_REQUEST),
    "an old size beyond an older checkpoint": (7, 5, HTTPStatus.BAD_REQUEST),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refused(case: str) -> None:
    old_size, size, expected = REFUSALS[case]
    log = ListLog().grow(12)
    store = MemoryWitnessStore()
    witness = make_witness(log, store)
    assert ask(witness, log, 0, 7).status == HTTPStatus.OK
    answer = ask(witness, log, old_size, size)
    assert answer == expected if isinstance(expected, WitnessResponse) else answer.status == expected
    assert store.load(ORIGIN).checkpoint == log.checkpoint(7)
    assert store.list_evidence() == ()


def test_a_size_is_told_exactly_as_the_specification_says() -> None:
    log = ListLog().grow(12)
    witness = make_witness(log)
    ask(witness, log, 0, 7)
    answer = ask(witness, log, 0, 12)
    assert (answer.status, answer.content_type, answer.body) == (409, "text/x.tlog.size", b"7\n")
    assert ask(make_witness(log), log, 1, 12).body == b"0\n"


def test_the_same_checkpoint_is_cosigned_again_with_the_new_time() -> None:
    log, clock = ListLog().grow(5), FixedClock(START)
    cosigner = replace(ED25519, clock=clock)
    witness = make_witness(log, None, cosigner)
    first = ask(witness, log, 0, 5)
    clock.at += timedelta(seconds=60)
    second = ask(witness, log, 5, 5)
    assert second.status == HTTPStatus.OK
    assert second.body != first.body


def test_an_unknown_log_is_not_found() -> None:
    stranger = ListLog(origin="log.elsewhere.example").grow(3)
    assert ask(make_witness(ListLog()), stranger, 0, 3).status == HTTPStatus.NOT_FOUND


UNSIGNED: dict[str, Callable[[ListLog], bytes]] = {
    "signed by another key of the same name": lambda log: ListLog(seed=9, leaves=log.leaves).signed().note,
    "signed by a key of another name": lambda log: sign_note(
        format_checkpoint(log.checkpoint()), [TextSigner("other.example", log.signer.key)]
    ),
    "signed over another text": lambda log: format_note(
        replace(parse_note(log.signed(2).note), text=format_checkpoint(log.checkpoint()))
    ),
    "cosigned by the witness only": lambda log: sign_note(format_checkpoint(log.checkpoint()), [ED25519]),
    "signed once well and once badly by the same key": lambda log: (
        log.signed().note + (log.signer.sign(b"else\n").to_line() + "\n").encode()
    ),
}


@pytest.mark.parametrize("case", UNSIGNED)
def test_a_checkpoint_that_the_log_did_not_sign_is_forbidden(case: str) -> None:
    log = ListLog().grow(3)
    store = MemoryWitnessStore()
    body = b"old 0\n\n" + UNSIGNED[case](log)
    assert make_witness(log, store).add_checkpoint(body).status == HTTPStatus.FORBIDDEN
    assert store.load(ORIGIN) == empty_head(ORIGIN)


def test_signatures_of_others_are_ignored_and_not_stored() -> None:
    log = ListLog().grow(3)
    junk = [NoteSignature("someone.example", bytes(4), bytes(64))] * 20
    known = parse_note(log.signed().note)
    note = format_note(Note(known.text, (*junk, *known.signatures, *known.signatures, *junk)))
    store = MemoryWitnessStore()
    assert make_witness(log, store).add_checkpoint(b"old 0\n\n" + note).status == HTTPStatus.OK
    assert store.load(ORIGIN) == log.signed()


def test_while_its_key_changes_a_log_may_sign_with_either_key() -> None:
    log = ListLog().grow(3)
    other = ListLog(seed=2, leaves=log.leaves)
    witness = Witness([ED25519], [log.verifier, other.verifier], store=MemoryWitnessStore(), clock=CLOCK)
    assert ask(witness, other, 0, 2).status == HTTPStatus.OK
    assert ask(witness, log, 2, 3).status == HTTPStatus.OK


def test_logs_are_kept_apart() -> None:
    log, other = ListLog().grow(5), ListLog(origin="other.example", seed=2).grow(9, mark="other")
    witness = Witness([ED25519], [log.verifier, other.verifier], store=MemoryWitnessStore(), clock=CLOCK)
    assert ask(witness, log, 0, 5).status == HTTPStatus.OK
    assert ask(witness, other, 0, 9).status == HTTPStatus.OK
    assert ask(witness, log, 9, 5).status == HTTPStatus.BAD_REQUEST
    assert ask(witness, log, 5, 5).status == HTTPStatus.OK


WRONG_PROOFS: dict[str, Callable[[tuple[bytes, ...]], tuple[bytes, ...]]] = {
    "no proof": lambda _: (),
    "a hash too few": lambda path: path[:-1],
    "a hash too many": lambda path: (*path, bytes(32)),
    "hashes in another order": lambda path: path[::-1],
    "a flipped bit in the first hash": lambda path: (bytes([path[0][0] ^ 1]) + path[0][1:], *path[1:]),
    "a flipped bit in the last hash": lambda path: (*path[:-1], path[-1][:-1] + bytes([path[-1][-1] ^ 1])),
    "as many hashes as there may be": lambda path: path + (bytes(32),) * (63 - len(path)),
}


@pytest.mark.parametrize("case", WRONG_PROOFS)
@pytest.mark.parametrize("old_size", [6, 4])
def test_a_wrong_proof_is_unprocessable(case: str, old_size: int) -> None:
    log = ListLog().grow(13)
    store = MemoryWitnessStore()
    witness = make_witness(log, store)
    ask(witness, log, 0, old_size)
    path = WRONG_PROOFS[case](log.prove(old_size).path)
    assert witness.add_checkpoint(request(old_size, path, log.signed())).status == HTTPStatus.UNPROCESSABLE_ENTITY
    assert store.load(ORIGIN).checkpoint.size == old_size


@pytest.mark.parametrize("size", [0, 4])
def test_a_proof_where_none_belongs_is_unprocessable(size: int) -> None:
    log = ListLog().grow(4)
    witness = make_witness(log)
    ask(witness, log, 0, size)
    answer = witness.add_checkpoint(request(size, (bytes(32),), log.signed()))
    assert answer.status == HTTPStatus.UNPROCESSABLE_ENTITY


# --- what is read -----------------------------------------------------------------------------------------------------

GOOD = ListLog().grow(13)
GOOD_BODY = request(6, GOOD.prove(6).path, GOOD.signed())
FIRST_HASH = base64.b64encode(GOOD.prove(6).path[0])
MALFORMED: dict[str, bytes] = {
    "nothing": b"",
    "no old line": GOOD_BODY.split(b"\n", 1)[1],
    "an old line in capitals": GOOD_BODY.replace(b"old 6", b"OLD 6", 1),
    "two spaces": GOOD_BODY.replace(b"old 6", b"old  6", 1),
    "a tab": GOOD_BODY.replace(b"old 6", b"old\t6", 1),
    "a leading zero": GOOD_BODY.replace(b"old 6", b"old 06", 1),
    "a plus sign": GOOD_BODY.replace(b"old 6", b"old +6", 1),
    "a negative size": GOOD_BODY.replace(b"old 6", b"old -6", 1),
    "a size in other digits": GOOD_BODY.replace(b"old 6", "old ６".encode(), 1),
    "a size over 2^53 - 1": GOOD_BODY.replace(b"old 6", b"old 9007199254740992", 1),
    "no size": GOOD_BODY.replace(b"old 6", b"old ", 1),
    "carriage returns": GOOD_BODY.replace(b"\n", b"\r\n"),
    "a space after a hash": GOOD_BODY.replace(FIRST_HASH, FIRST_HASH + b" ", 1),
    "a hash without padding": GOOD_BODY.replace(FIRST_HASH, FIRST_HASH.rstrip(b"="), 1),
    "a hash with other bits in its padding": GOOD_BODY.replace(FIRST_HASH, FIRST_HASH[:-2] + b"/=", 1),
    "a hash in the URL alphabet": GOOD_BODY.replace(FIRST_HASH, b"_" + FIRST_HASH[1:], 1),
    "a hash of 31 bytes": GOOD_BODY.replace(FIRST_HASH, base64.b64encode(bytes(31)), 1),
    "a hash of 33 bytes": GOOD_BODY.replace(FIRST_HASH, base64.b64encode(bytes(33)), 1),
    "64 hashes": request(6, (bytes(32),) * 64, GOOD.signed()),
    "no empty line": GOOD_BODY.replace(b"\n\n", b"\n", 1),
    "two empty lines": GOOD_BODY.replace(b"\n\n", b"\n\n\n", 1),
    "no checkpoint": GOOD_BODY.partition(b"\n\n")[0] + b"\n\n",
    "no signature": GOOD_BODY.rpartition(b"\n\n")[0] + b"\n\n",
    "no newline at the end": GOOD_BODY[:-1],
    "a byte that is not UTF-8": GOOD_BODY + b"\xff",
    "an extension line": request(0, (), SignedCheckpoint(
        checkpoint=GOOD.checkpoint(), note=sign_note(format_checkpoint(GOOD.checkpoint()) + b"more\n", [GOOD.signer])
    )),
    "a root of nothing that is not the root of nothing": request(0, (), SignedCheckpoint(
        checkpoint=GOOD.checkpoint(),
        note=sign_note(b"%s\n0\n%s\n" % (ORIGIN.encode(), base64.b64encode(bytes(32))), [GOOD.signer]),
    )),
    "a root of 31 bytes": request(0, (), SignedCheckpoint(
        checkpoint=GOOD.checkpoint(),
        note=sign_note(b"%s\n13\n%s\n" % (ORIGIN.encode(), base64.b64encode(bytes(31))), [GOOD.signer]),
    )),
    "too many bytes": GOOD_BODY + (NoteSignature("w.example", bytes(4), bytes(196_608)).to_line() + "\n").encode(),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_request_is_bad(case: str) -> None:
    with pytest.raises(InvalidRequestError):
        parse_add_checkpoint(MALFORMED[case])
    assert make_witness(GOOD).add_checkpoint(MALFORMED[case]).status == HTTPStatus.BAD_REQUEST


def test_the_malformed_requests_are_wrong_in_one_place_only() -> None:
    witness = make_witness(GOOD)
    ask(witness, GOOD, 0, 6)
    assert witness.add_checkpoint(GOOD_BODY).status == HTTPStatus.OK


@given(
    old_size=st.integers(0, 2**53 - 1),
    path=st.lists(st.binary(min_size=32, max_size=32), max_size=63).map(tuple),
    size=st.integers(1, 2**53 - 1),
    root=st.binary(min_size=32, max_size=32),
)
def test_requests_survive_the_round_trip(old_size: int, path: tuple[bytes, ...], size: int, root: bytes) -> None:
    checkpoint = Checkpoint(origin=ORIGIN, size=max(size, old_size, 1), root=root)
    note = sign_note(format_checkpoint(checkpoint), [GOOD.signer])
    proof = ConsistencyProof(old_size=old_size, new_size=checkpoint.size, path=path)
    expected = AddCheckpoint(old_size=old_size, path=path, checkpoint=checkpoint, note=parse_note(note))
    assert parse_add_checkpoint(format_add_checkpoint(proof, note)) == expected


@given(st.binary(max_size=300))
def test_no_bytes_raise_or_are_cosigned(junk: bytes) -> None:
    for body in (junk, b"old 0\n\n" + junk, GOOD_BODY[:40] + junk):
        assert make_witness(GOOD).add_checkpoint(body).status in (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND)


def test_the_largest_request_is_read() -> None:
    """64 signatures of the largest kind with long names, and 63 hashes, fit the limit."""
    known = parse_note(GOOD.signed().note)
    others = [NoteSignature("w" * 200, struct.pack(">I", number), bytes(8 + 2420)) for number in range(63)]
    note = format_note(Note(known.text, (*known.signatures, *others)))
    body = format_add_checkpoint(ConsistencyProof(old_size=6, new_size=13, path=(bytes(32),) * 63), note)
    assert len(body) <= MAX_REQUEST_BYTES
    assert len(parse_add_checkpoint(body).note.signatures) == 64


def test_known_answers() -> None:
    """Our own vector: the published example of a cosignature comes without its key."""
    vector = load_vectors("witness/add_checkpoint.json")
    log = ListLog().grow(13)
    witness = make_witness(log)
    for step in vector["steps"]:
        answer = witness.add_checkpoint(step["request"].encode())
        assert answer.body.decode() == step["answer"]
        assert (answer.status, answer.content_type) == (step["status"], step["content_type"])
    note = parse_note(log.signed().note + vector["ml_dsa_cosignature"].encode())
    assert [item.timestamp for item in verify_note(note, [ML_DSA.verifier])] == [int(START.timestamp())]


# --- what is kept of a log that lies ----------------------------------------------------------------------------------


def test_two_roots_at_one_size_are_evidence() -> None:
    log = ListLog().grow(7)
    twin = log.fork(3, mark="b")
    store = MemoryWitnessStore()
    witness = make_witness(log, store)
    ask(witness, log, 0, 7)
    answer = ask(witness, twin, 7, 7)
    assert (answer.status, answer.content_type) == (HTTPStatus.CONFLICT, "text/plain; charset=utf-8")
    (evidence,) = store.list_evidence()
    assert (evidence.kind, evidence.seen, evidence.offered) == (EvidenceKind.TWO_ROOTS, log.signed(), twin.signed())
    assert evidence.observed_at == START
    verify_evidence(evidence, [log.verifier])
    with pytest.raises(VerificationError):
        verify_evidence(evidence, [ListLog(seed=9).verifier])


def test_two_roots_are_evidence_whatever_old_size_came_along() -> None:
    log = ListLog().grow(7)
    store = MemoryWitnessStore()
    witness = make_witness(log, store)
    ask(witness, log, 0, 7)
    assert ask(witness, log.fork(3, mark="b"), 2, 7) == conflict(7)
    assert [item.kind for item in store.list_evidence()] == [EvidenceKind.TWO_ROOTS]


@pytest.mark.parametrize("old_size", [3, 5, 6, 7, 9, 11])
def test_a_fork_with_its_own_proof_is_evidence(old_size: int) -> None:
    """The forked log computes an honest proof within its new tree: that proof convicts it."""
    log = ListLog().grow(13)
    twin = log.fork(2, mark="b")
    store = MemoryWitnessStore()
    witness = make_witness(log, store)
    ask(witness, log, 0, old_size)
    assert ask(witness, twin, old_size, 13).status == HTTPStatus.UNPROCESSABLE_ENTITY
    (evidence,) = store.list_evidence()
    assert (evidence.kind, evidence.proof) == (EvidenceKind.REWRITTEN, twin.prove(old_size).path)
    verify_evidence(evidence, [log.verifier])
    for bad in (replace(evidence, proof=evidence.proof[1:]), replace(evidence, proof=log.prove(old_size).path)):
        with pytest.raises(VerificationError):
            verify_evidence(bad, [log.verifier])


@pytest.mark.parametrize("old_size", [2, 4, 8])
def test_a_fork_at_a_power_of_two_is_kept_as_unproven(old_size: int) -> None:
    log = ListLog().grow(13)
    store = MemoryWitnessStore()
    witness = make_witness(log, store)
    ask(witness, log, 0, old_size)
    assert ask(witness, log.fork(1, mark="b"), old_size, 13).status == HTTPStatus.UNPROCESSABLE_ENTITY
    (evidence,) = store.list_evidence()
    assert evidence.kind is EvidenceKind.UNPROVEN
    with pytest.raises(VerificationError):
        verify_evidence(evidence, [log.verifier])


def test_an_old_root_added_to_a_proof_convicts_a_fork_but_no_honest_log() -> None:
    """RFC 6962 leaves out the old root when its size is a power of two; put there, it proves as much."""
    log = ListLog().grow(13)
    twin = log.fork(1, mark="b")
    for other, kinds in ((twin, [EvidenceKind.REWRITTEN]), (log, [])):
        store = MemoryWitnessStore()
        witness = make_witness(log, store)
        ask(witness, log, 0, 8)
        path = (other.root(8), *other.prove(8).path)
        answer = witness.add_checkpoint(request(8, path, other.signed()))
        assert answer.status == HTTPStatus.UNPROCESSABLE_ENTITY
        assert [item.kind for item in store.list_evidence()] == kinds


def test_an_innocent_log_is_never_convicted_by_wrong_proofs_of_others() -> None:
    log = ListLog().grow(13)
    store = MemoryWitnessStore()
    witness = make_witness(log, store)
    ask(witness, log, 0, 6)
    for change in WRONG_PROOFS.values():
        witness.add_checkpoint(request(6, change(log.prove(6).path), log.signed()))
    assert [item.kind for item in store.list_evidence()] == [EvidenceKind.UNPROVEN]
    assert ask(witness, log, 6, 13).status == HTTPStatus.OK


def test_wrong_proofs_do_not_take_the_places_of_real_evidence() -> None:
    log = ListLog().grow(100)
    store = MemoryWitnessStore()
    witness = make_witness(log, store)
    ask(witness, log, 0, 6)
    for size in range(7, 7 + 2 * MAX_EVIDENCE):
        witness.add_checkpoint(request(6, (), log.signed(size)))
    ask(witness, log.fork(3, mark="b"), 6, 6)
    kinds = [item.kind for item in store.list_evidence()]
    assert kinds == [EvidenceKind.UNPROVEN] * MAX_EVIDENCE + [EvidenceKind.TWO_ROOTS]


def test_the_first_evidence_stays_when_the_places_are_taken() -> None:
    log = ListLog().grow(6)
    store = MemoryWitnessStore()
    witness = make_witness(log, store)
    ask(witness, log, 0, 6)
    twins = [log.fork(3, mark=f"b{number}") for number in range(MAX_EVIDENCE + 5)]
    for twin in twins + twins[:3]:
        ask(witness, twin, 6, 6)
    assert [item.offered for item in store.list_evidence()] == [twin.signed() for twin in twins[:MAX_EVIDENCE]]


def make_evidence() -> Evidence:
    log = ListLog().grow(13)
    twin = log.fork(2, mark="b")
    return Evidence(
        kind=EvidenceKind.REWRITTEN,
        seen=log.signed(6),
        offered=twin.signed(),
        proof=twin.prove(6).path,
        observed_at=START,
    )


def test_evidence_survives_the_round_trip() -> None:
    evidence = make_evidence()
    assert parse_evidence(format_evidence(evidence)) == evidence


BAD_EVIDENCE: dict[str, tuple[bytes, bytes]] = {
    "another version": (b'"v":1', b'"v":2'),
    "a version that is true": (b'"v":1', b'"v":true'),
    "another kind": (b'"rewritten"', b'"rewritten!"'),
    "another member": (b'"v":1', b'"v":1,"w":1'),
    "a missing member": (b'"kind":"rewritten",', b""),
    "spaces": (b'"v":1', b'"v": 1'),
    "another form of time": (b"08:00:00.000000Z", b"08:00:00Z"),
    "a number in the proof": (b'"proof":[', b'"proof":[1,'),
    "a short hash": (b'"proof":[', b'"proof":["AAAA",'),
    "a note that is none": (b'"seen":"', b'"seen":"x'),
    "no note": (b'"kind":"rewritten",', b'"kind":"rewritten","seen":"",'),
}


@pytest.mark.parametrize("case", BAD_EVIDENCE)
def test_malformed_evidence_is_refused(case: str) -> None:
    old, new = BAD_EVIDENCE[case]
    data = format_evidence(make_evidence())
    assert old in data
    with pytest.raises(InvalidRequestError if case != "a note that is none" else VerificationError):
        verify_evidence(parse_evidence(data.replace(old, new, 1)), [GOOD.verifier])


def test_evidence_against_a_log_needs_the_logs_own_key() -> None:
    evidence = make_evidence()
    forged = replace(evidence, seen=replace(evidence.seen, note=ListLog(seed=5).grow(13).signed(6).note))
    with pytest.raises(VerificationError):
        verify_evidence(forged, [ListLog().verifier])
    other = ListLog(origin="other.example", seed=1).grow(6)
    with pytest.raises(VerificationError):
        verify_evidence(replace(evidence, seen=other.signed()), [ListLog().verifier, other.verifier])


def test_heads_of_two_logs_do_not_contradict_each_other() -> None:
    """Even when one log's key signed both."""
    log = ListLog()
    other = replace(log.grow(6).checkpoint(), origin="other.example", root=bytes(32))
    note = sign_note(format_checkpoint(other), [log.signer])
    seen = SignedCheckpoint(checkpoint=other, note=note)
    evidence = Evidence(kind=EvidenceKind.TWO_ROOTS, seen=seen, offered=log.signed(), proof=(), observed_at=START)
    with pytest.raises(VerificationError):
        verify_evidence(evidence, [log.verifier])


# --- races and failures -----------------------------------------------------------------------------------------------


class ParkedStore(MemoryWitnessStore):
    """Stops the first `advance` until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived, self.let_go = threading.Event(), threading.Event()

    def advance(self, old: Checkpoint, new: SignedCheckpoint) -> bool:
        if not self.arrived.is_set():
            self.arrived.set()
            assert self.let_go.wait(10)
        return super().advance(old, new)


def test_the_race_of_the_specification_does_not_roll_back() -> None:
    """C2SP tlog-witness: A (size N) is checked, B (size N + K) is checked and stored, A is stored."""
    log = ListLog().grow(12)
    store = ParkedStore()
    witness = make_witness(log, store)
    answers: list[WitnessResponse] = []
    slow = threading.Thread(target=lambda: answers.append(ask(witness, log, 0, 8)))
    slow.start()
    assert store.arrived.wait(10)
    assert ask(witness, log, 0, 12).status == HTTPStatus.OK
    store.let_go.set()
    slow.join()
    assert answers == [conflict(12)]
    assert store.load(ORIGIN).checkpoint.size == 12


def test_many_threads_agree_on_one_history() -> None:
    log = ListLog().grow(40)
    twin = log.fork(0, mark="b")
    store = MemoryWitnessStore()
    witness = make_witness(log, store)
    cosigned: list[tuple[str, int]] = []

    def submit(name: str, history: ListLog) -> None:
        old = 0
        for size in range(1, 41):
            answer = ask(witness, history, old, size)
            if answer.status == HTTPStatus.OK:
                cosigned.append((name, size))
            old = int(answer.body) if answer.content_type == SIZE_CONTENT_TYPE else size
            old = min(old, size)

    threads = [threading.Thread(target=submit, args=item) for item in (("a", log), ("b", twin)) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({name for name, _ in cosigned}) == 1


class TickingClock:
    """Tells a later second every time it is asked."""

    def __init__(self) -> None:
        self.ticks = 0

    def now(self) -> datetime:
        self.ticks += 1
        return datetime.fromtimestamp(self.ticks, UTC)


def test_the_time_of_a_cosignature_is_not_later_than_its_place_in_the_store() -> None:
    clock = TickingClock()
    stored_at: list[int] = []

    class Store(MemoryWitnessStore):
        def advance(self, old: Checkpoint, new: SignedCheckpoint) -> bool:
            stored_at.append(clock.ticks)
            return super().advance(old, new)

    log = ListLog().grow(4)
    body = ask(make_witness(log, Store(), replace(ED25519, clock=clock)), log, 0, 4).body
    (line,) = parse_signature_lines(body.decode())
    assert struct.unpack(">Q", line.blob[:8])[0] <= stored_at[0]


def test_nothing_leaves_when_the_store_fails() -> None:
    class Store(MemoryWitnessStore):
        def advance(self, old: Checkpoint, new: SignedCheckpoint) -> bool:
            raise UnavailableError(ErrorCode.WITNESS_UNAVAILABLE, "disk full")

    log = ListLog().grow(4)
    with pytest.raises(UnavailableError):
        ask(make_witness(log, Store()), log, 0, 4)


# --- configuration ----------------------------------------------------------------------------------------------------

LOG_KEY = ListLog().signer
MISCONFIGURED: dict[str, tuple[list[NoteSigner], list[NoteSigner]]] = {
    "no key": ([], [LOG_KEY]),
    "two keys of one kind": ([ED25519, replace(ED25519, name="other.example")], [LOG_KEY]),
    "a log's key to cosign with": ([TextSigner("witness.example", SigningKey.from_seed(b"x" * 32))], [LOG_KEY]),
    "a witness's key for a log": ([ED25519], [replace(ED25519, name="log.example")]),
    "the log's own key as a witness's": ([replace(ED25519, key=LOG_KEY.key)], [LOG_KEY]),
    "a name that ML-DSA cannot sign": ([ED25519], [replace(LOG_KEY, name="l" * 256)]),
}


@pytest.mark.parametrize("case", MISCONFIGURED)
def test_a_misconfigured_witness_is_not_made(case: str) -> None:
    cosigners, logs = MISCONFIGURED[case]
    with pytest.raises(InvalidRequestError) as caught:
        Witness(cosigners, [log.verifier for log in logs], store=MemoryWitnessStore(), clock=CLOCK)
    assert caught.value.code is ErrorCode.CONFIG_INVALID


# --- a log that does whatever it likes --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Head:
    """A cosigned head with the leaves that its tree really has."""

    leaves: tuple[bytes, ...]


class LyingLog(RuleBasedStateMachine):
    """A log that forks, rolls back, replays and reorders never gets cosignatures on two inconsistent heads."""

    def __init__(self) -> None:
        super().__init__()
        self.branches: list[ListLog] = [ListLog()]
        self.sent: list[tuple[bytes, tuple[bytes, ...]]] = []
        self.cosigned: list[Head] = []
        self.forks = 0

    def make_store(self) -> WitnessStore:
        return MemoryWitnessStore()

    @initialize()
    def begin(self) -> None:
        self.store = self.make_store()
        self.witness = make_witness(self.branches[0], self.store)

    @rule(branch=st.integers(0, 9), count=st.integers(1, 9))
    def grow(self, branch: int, count: int) -> None:
        log = self.branches[branch % len(self.branches)]
        log.grow(count, mark=f"{branch % len(self.branches)}.{len(log.leaves)}")

    @rule(branch=st.integers(0, 9), share=st.integers(0, 64))
    def fork(self, branch: int, share: int) -> None:
        log = self.branches[branch % len(self.branches)]
        self.forks += 1
        self.branches.append(log.fork(share % (len(log.leaves) + 1), mark=f"fork{self.forks}"))

    @rule(branch=st.integers(0, 9), drop=st.integers(1, 9))
    def roll_back(self, branch: int, drop: int) -> None:
        log = self.branches[branch % len(self.branches)]
        del log.leaves[-drop:]

    @rule(branch=st.integers(0, 9), size=st.integers(0, 64))
    def submit_well(self, branch: int, size: int) -> None:
        """Ask as a client does: learn the witness's size, prove from there within the branch."""
        log = self.branches[branch % len(self.branches)]
        size = size % (len(log.leaves) + 1)
        known = self.store.load(ORIGIN).checkpoint.size
        self.send(request(min(known, size), log.prove(min(known, size), size).path, log.signed(size)), log, size)

    @rule(
        branch=st.integers(0, 9), other=st.integers(0, 9), old=st.integers(0, 64), size=st.integers(0, 64),
        middle=st.integers(0, 64),
    )  # fmt: skip
    def submit_badly(self, branch: int, other: int, old: int, size: int, middle: int) -> None:
        """Ask with any old size and a proof between any sizes of any branch."""
        log, donor = self.branches[branch % len(self.branches)], self.branches[other % len(self.branches)]
        size, middle = size % (len(log.leaves) + 1), middle % (len(donor.leaves) + 1)
        path = donor.prove(old % (middle + 1), middle).path
        self.send(request(old % (len(log.leaves) + 1), path, log.signed(size)), log, size)

    @precondition(lambda self: bool(self.sent))
    @rule(which=st.integers(0, 999))
    def replay(self, which: int) -> None:
        """Send an earlier request again; with the others in between, this is reordering too."""
        body, leaves = self.sent[which % len(self.sent)]
        self.note_answer(self.witness.add_checkpoint(body), leaves)

    @invariant()
    def cosigned_heads_are_one_history(self) -> None:
        for older, newer in zip(self.cosigned, self.cosigned[1:], strict=False):
            assert newer.leaves[: len(older.leaves)] == older.leaves

    @invariant()
    def evidence_is_proof(self) -> None:
        for evidence in self.store.list_evidence() if hasattr(self, "store") else ():
            if evidence.kind is not EvidenceKind.UNPROVEN:
                verify_evidence(evidence, [self.branches[0].verifier])

    def send(self, body: bytes, log: ListLog, size: int) -> None:
        leaves = tuple(log.leaves[:size])
        self.sent.append((body, leaves))
        self.note_answer(self.witness.add_checkpoint(body), leaves)

    def note_answer(self, answer: WitnessResponse, leaves: tuple[bytes, ...]) -> None:
        if answer.status == HTTPStatus.OK:
            self.cosigned.append(Head(leaves))
            assert len(parse_signature_lines(answer.body.decode())) == 1


class LyingLogWithRestarts(LyingLog):
    """The same over SQLite, with a witness that restarts now and then."""

    def make_store(self) -> WitnessStore:
        self.folder = TemporaryDirectory()
        self.path = Path(self.folder.name) / "witness.sqlite"
        return SqlWitnessStore.create(self.path)

    @rule()
    def restart(self) -> None:
        self.close_store()
        self.store = SqlWitnessStore.open(self.path)
        self.witness = make_witness(self.branches[0], self.store)

    def close_store(self) -> None:
        if isinstance(self.store, SqlWitnessStore):
            self.store.close()

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.close_store()
            self.folder.cleanup()


LyingLog.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
LyingLogWithRestarts.TestCase.settings = settings(max_examples=15, stateful_step_count=30, deadline=None)
TestLyingLog = LyingLog.TestCase
TestLyingLogWithRestarts = LyingLogWithRestarts.TestCase
