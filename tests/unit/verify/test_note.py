"""Signed notes, verifier keys, checkpoints and cosignatures: published examples, and every other form refused."""

import base64
import hashlib

import pytest
from cryptography.exceptions import UnsupportedAlgorithm

from tests.lib.mini_log import ML_DSA_44, NOW_S, ORIGIN, MiniLog, NoteKey, b64, log_key, witness
from tests.lib.vectors import load_vectors
from yingbi.verify import note as module
from yingbi.verify.merkle import EMPTY_ROOT
from yingbi.verify.note import (
    Algorithm,
    BadSignature,
    Unsupported,
    VerifierKey,
    parse_checkpoint_note,
    parse_vkey,
    verify_ed25519,
    verify_line,
)
from yingbi.verify.strict import Malformed

VECTORS = load_vectors("c2sp/notes.json")
LOG = MiniLog().fill(3)
TEXT = LOG.text()
KEY = log_key()
GOOD = LOG.checkpoint()
LINE = KEY.sign(TEXT)


def parse_line(key: NoteKey, line: bytes, text: bytes = TEXT) -> int | None:
    note = parse_checkpoint_note(text + b"\n" + line)
    return verify_line(parse_vkey(key.vkey), note.lines[0], note)


def test_published_key_and_signature_verify() -> None:
    text, _, line = VECTORS["signed"].rpartition("\n\n")
    key = parse_vkey(VECTORS["vkey"])
    blob = base64.b64decode(line.strip().split(" ")[2])
    assert (key.name, key.id.hex(), key.algorithm) == ("PeterNeumann", "c74f20a3", Algorithm.ED25519)
    assert blob[:4] == key.id
    assert verify_ed25519(key.public, blob[4:], text.encode() + b"\n")
    assert not verify_ed25519(key.public, blob[4:], text.encode())


def test_published_cosigned_checkpoint_is_read() -> None:
    note = parse_checkpoint_note(VECTORS["examples"]["tlog-cosignature"].encode())
    assert (note.checkpoint.origin, note.checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert [line.name for line in note.lines] == ["example.com/behind-the-sofa", "witness.example.com/w1"]
    assert [len(line.signature) for line in note.lines] == [64, 72]
    assert int.from_bytes(note.lines[1].signature[:8]) == 1679315147


def test_a_note_that_is_no_checkpoint_is_refused() -> None:
    with pytest.raises(Malformed, match="three lines"):
        parse_checkpoint_note(VECTORS["examples"]["signed-note"].encode())


@pytest.mark.parametrize("key", [KEY, witness("w1"), witness("w6", kind=ML_DSA_44)], ids=lambda key: f"type {key.kind}")
def test_signatures_of_each_type_verify(key: NoteKey) -> None:
    vkey = parse_vkey(key.vkey)
    assert vkey == VerifierKey(name=key.name, id=key.id, algorithm=Algorithm(key.kind), public=key.public)
    assert parse_line(key, key.sign(TEXT, 77)) == (None if key.kind == 1 else 77)


@pytest.mark.parametrize("key", [KEY, witness("w1"), witness("w6", kind=ML_DSA_44)], ids=lambda key: f"type {key.kind}")
def test_signatures_bind_text_time_and_length(key: NoteKey) -> None:
    line = key.sign(TEXT, 77)
    blob = base64.b64decode(line.split(b" ")[2])[4:]
    wrong = {
        "another text": key.sign(LOG.text(2), 77),
        "cut short": key.line(blob[:-1]),
        "too long": key.line(blob + b"\0"),
        "another first byte": key.line(bytes([blob[0] ^ 1]) + blob[1:]),
        "time beyond 2^63": key.line(b"\xff" * 8 + blob[8:]),
        "type of another key": key.line(b"\0" * 8 + KEY.private.sign(TEXT)),
    }
    for name, bad in wrong.items():
        with pytest.raises(BadSignature):
            pytest.fail(f"{name}: {parse_line(key, bad)}")


def test_a_cosignature_under_ml_dsa_binds_the_witness_name() -> None:
    key = witness("w6", kind=ML_DSA_44)
    other = NoteKey("other.example", ML_DSA_44, key.private)
    line = key.sign(TEXT)
    blob = base64.b64decode(line.split(b" ")[2])[4:]
    with pytest.raises(BadSignature):
        parse_line(other, other.line(blob))


def test_long_names_cannot_be_cosigned_under_ml_dsa() -> None:
    key = NoteKey("w" * 256, ML_DSA_44, witness("w6", kind=ML_DSA_44).private)
    with pytest.raises(BadSignature, match="255"):
        parse_line(key, key.line(bytes(8 + 2420)))


def test_a_library_without_ml_dsa_is_not_a_bad_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lacking:
        @staticmethod
        def from_public_bytes(_: bytes) -> None:
            raise UnsupportedAlgorithm("no")

    key = witness("w6", kind=ML_DSA_44)
    line = key.sign(TEXT)
    monkeypatch.setattr(module, "MLDSA44PublicKey", Lacking)
    with pytest.raises(Unsupported):
        parse_line(key, line)


def vkey_of(name: str, data: bytes, key_id: str | None = None) -> str:
    computed = hashlib.sha256(name.encode() + b"\n" + data).hexdigest()[:8]
    return f"{name}+{key_id or computed}+{b64(data)}"


PUBLIC = KEY.public
BAD_KEYS = {
    "nothing": "",
    "no parts": "name",
    "no key": "name+0123abcd+",
    "no name": vkey_of("", b"\x01" + PUBLIC),
    "space in the name": vkey_of("a b", b"\x01" + PUBLIC),
    "no-break space in the name": vkey_of("a\u00a0b", b"\x01" + PUBLIC),
    "wrong id": vkey_of("name", b"\x01" + PUBLIC, "00000000"),
    "upper-case id": vkey_of("name", b"\x01" + PUBLIC).replace("+", "+ABCDEF01+", 1),
    "ECDSA": vkey_of("name", b"\x02" + PUBLIC),
    "RFC 6962 tree head": vkey_of("name", b"\x05" + PUBLIC),
    "unassigned type": vkey_of("name", b"\x07" + PUBLIC),
    "private type": vkey_of("name", b"\xff" + PUBLIC),
    "short key": vkey_of("name", b"\x01" + PUBLIC[:-1]),
    "long key": vkey_of("name", b"\x01" + PUBLIC + b"\0"),
    "Ed25519 key as ML-DSA-44": vkey_of("name", b"\x06" + PUBLIC),
    "unpadded base64": vkey_of("name", b"\x06" + bytes(1312)).rstrip("="),
    "trailing space": vkey_of("name", b"\x01" + PUBLIC) + " ",
}


@pytest.mark.parametrize("text", BAD_KEYS.values(), ids=BAD_KEYS.keys())
def test_other_verifier_keys_are_refused(text: str) -> None:
    with pytest.raises(Malformed):
        parse_vkey(text)


ROOT = b64(b"r" * 32)


def note_of(text: str, line: bytes = LINE) -> bytes:
    return text.encode() + b"\n" + line


BAD_NOTES = {
    "nothing": b"",
    "no signature": TEXT,
    "empty signature block": TEXT + b"\n",
    "no blank line": TEXT + LINE,
    "no newline at the end": GOOD[:-1],
    "line after the signatures": GOOD + b"x\n",
    "blank line after the signatures": GOOD + b"\n",
    "carriage returns": GOOD.replace(b"\n", b"\r\n"),
    "tab": note_of(f"{ORIGIN}\t\n3\n{ROOT}\n"),
    "null": note_of(f"{ORIGIN}\0\n3\n{ROOT}\n"),
    "not UTF-8": GOOD.replace(b"futian", b"\xff"),
    "extension line": note_of(f"{ORIGIN}\n3\n{ROOT}\nextension\n"),
    "empty fourth line": note_of(f"{ORIGIN}\n3\n{ROOT}\n\n"),
    "two lines": note_of(f"{ORIGIN}\n3\n"),
    "no origin": note_of(f"\n3\n{ROOT}\n"),
    "leading zero": note_of(f"{ORIGIN}\n03\n{ROOT}\n"),
    "plus sign": note_of(f"{ORIGIN}\n+3\n{ROOT}\n"),
    "space before the size": note_of(f"{ORIGIN}\n 3\n{ROOT}\n"),
    "other digits": note_of(f"{ORIGIN}\n٣\n{ROOT}\n"),
    "size 2^53": note_of(f"{ORIGIN}\n{2**53}\n{ROOT}\n"),
    "short root": note_of(f"{ORIGIN}\n3\n{b64(b'r' * 31)}\n"),
    "long root": note_of(f"{ORIGIN}\n3\n{b64(b'r' * 33)}\n"),
    "root with stray bits": note_of(f"{ORIGIN}\n3\n{ROOT[:-2]}J=\n"),
    "root without padding": note_of(f"{ORIGIN}\n3\n{ROOT[:-1]}\n"),
    "root at size 0": note_of(f"{ORIGIN}\n0\n{ROOT}\n"),
    "hyphen for the em dash": TEXT + b"\n" + LINE.replace("\u2014".encode(), b"-"),
    "two spaces": TEXT + b"\n" + LINE.replace(b" ", b"  ", 1),
    "no name": TEXT + b"\n" + "\u2014  AAAAAAA=\n".encode(),
    "plus in a name": TEXT + b"\n" + "\u2014 a+b AAAAAAA=\n".encode(),
    "no-break space in a name": TEXT + b"\n" + "\u2014 a\u00a0b AAAAAAA=\n".encode(),
    "no signature bytes": TEXT + b"\n" + "\u2014 a AAAAAA==\n".encode(),
    "stray bits in a signature": TEXT + b"\n" + "\u2014 a AAAAAAB=\n".encode(),
    "65 signatures": TEXT + b"\n" + LINE * 65,
    "larger than 1 MiB": TEXT + b"\n" + LINE * 30 + f"\u2014 a {b64(bytes(2**20))}\n".encode(),
}


@pytest.mark.parametrize("data", BAD_NOTES.values(), ids=BAD_NOTES.keys())
def test_other_notes_are_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse_checkpoint_note(data)


def test_notes_at_the_limits_are_read() -> None:
    assert len(parse_checkpoint_note(TEXT + b"\n" + LINE * 64).lines) == 64
    assert parse_checkpoint_note(note_of(f"{ORIGIN}\n{2**53 - 1}\n{ROOT}\n")).checkpoint.size == 2**53 - 1
    assert parse_checkpoint_note(note_of(f"{ORIGIN}\n0\n{b64(EMPTY_ROOT)}\n")).checkpoint.root == EMPTY_ROOT
    assert parse_checkpoint_note(GOOD).text == TEXT


def test_the_time_of_a_cosignature_may_be_any_below_2_to_63() -> None:
    for time in (0, NOW_S, 2**63 - 1):
        assert parse_line(witness("w1"), witness("w1").sign(TEXT, time)) == time
