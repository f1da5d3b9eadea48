"""C2SP signed notes, verifier keys and cosignatures: published notes, round trips, and what is refused."""

import base64
import hashlib
import struct
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from hypothesis import example, given
from hypothesis import strategies as st

from ledger.checkpoint import format_checkpoint
from ledger.note import (
    MAX_NOTE_BYTES,
    MAX_NOTE_SIGNATURES,
    Cosigner,
    MlDsaCosigner,
    Note,
    NoteSignature,
    NoteSigner,
    NoteVerifier,
    SignatureType,
    TextSigner,
    format_note,
    parse_note,
    parse_signature_lines,
    sign_note,
    verify_note,
)
from tests.lib.vectors import load_vectors
from yingbi.clock import FixedClock
from yingbi.errors import ErrorCode, InvalidRequestError, SandboxError, VerificationError
from yingbi.keys import SigningKey
from yingbi.receipts import Checkpoint

PUBLISHED = load_vectors("c2sp/notes.json")
DASH = "—"

CLOCK = FixedClock(datetime(2026, 11, 21, 8, 0, 0, 999_999, tzinfo=UTC))
NOW = 1_795_248_000
LOG = TextSigner("log.example/2026", SigningKey.from_seed(b"L" * 32))
WITNESS = Cosigner("witness.example/w1", SigningKey.from_seed(b"W" * 32), CLOCK)
ML_DSA = MlDsaCosigner("witness.example/w2", MLDSA44PrivateKey.from_seed_bytes(b"M" * 32), CLOCK)
SIGNERS: list[NoteSigner] = [LOG, WITNESS, ML_DSA]
TEXT = format_checkpoint(Checkpoint(origin="log.example/2026", size=7, root=bytes(32)))


def _is_name(text: str) -> bool:
    return not any(char.isspace() or char == "+" for char in text)


names = st.text(
    st.characters(min_codepoint=0x20, exclude_categories=["Cs"], exclude_characters="+"), min_size=1, max_size=20
).filter(_is_name)
lines = st.text(st.characters(min_codepoint=0x20, exclude_categories=["Cs"]), max_size=20)
texts = (
    st.lists(lines, min_size=1, max_size=6).map(lambda rows: "\n".join(rows) + "\n").filter(lambda text: text != "\n")
)
signatures = st.builds(NoteSignature, names, st.binary(min_size=4, max_size=4), st.binary(min_size=1, max_size=80))
notes = st.builds(Note, texts.map(str.encode), st.lists(signatures, min_size=1, max_size=5).map(tuple))
keys = st.binary(min_size=32, max_size=32).map(lambda seed: SigningKey.from_seed(seed).public.raw)


def _note(*signers: NoteSigner) -> bytes:
    return sign_note(TEXT, signers)


def _vkey(name: str, data: bytes) -> str:
    key_id = hashlib.sha256(name.encode() + b"\n" + data).digest()[:4].hex()
    return f"{name}+{key_id}+{base64.b64encode(data).decode()}"


# Published notes


def test_a_published_note_verifies_with_its_published_key() -> None:
    verifier = NoteVerifier.parse(PUBLISHED["vkey"])
    note = parse_note(PUBLISHED["signed"].encode())
    (verified,) = verify_note(note, [verifier])
    assert verified.verifier == verifier
    assert verified.timestamp is None


def test_signing_with_a_published_key_gives_the_published_note() -> None:
    seed = base64.b64decode(PUBLISHED["skey_seed"])[1:]
    signer = TextSigner("PeterNeumann", SigningKey.from_seed(seed))
    assert signer.verifier.encode() == PUBLISHED["vkey"]
    text, _, _ = PUBLISHED["signed"].rpartition("\n\n")
    assert sign_note(f"{text}\n".encode(), [signer]) == PUBLISHED["signed"].encode()


@pytest.mark.parametrize("name", PUBLISHED["examples"])
def test_examples_of_the_specifications_parse_and_format_to_themselves(name: str) -> None:
    data = PUBLISHED["examples"][name].encode()
    assert format_note(parse_note(data)) == data


def test_an_empty_line_may_stand_in_the_text() -> None:
    note = parse_note(PUBLISHED["examples"]["signed-note"].encode())
    assert note.text.count(b"\n\n") == 1
    assert note.text.endswith("è subito sera.\n".encode())


def test_a_published_cosignature_carries_its_time() -> None:
    note = parse_note(PUBLISHED["examples"]["tlog-cosignature"].encode())
    assert [signature.name for signature in note.signatures] == [
        "example.com/behind-the-sofa",
        "witness.example.com/w1",
    ]
    assert struct.unpack(">Q", note.signatures[1].blob[:8]) == (1_679_315_147,)
    assert len(note.signatures[1].blob) == 8 + 64


# Round trips


@given(notes)
def test_formatting_and_parsing_a_note_gives_it_back(note: Note) -> None:
    assert parse_note(format_note(note)) == note


@given(st.binary(max_size=60), st.integers(0, 200), st.integers(0, 255))
@example(b"", 0, 0)
def test_whatever_parses_formats_to_itself(junk: bytes, at: int, byte: int) -> None:
    data = bytearray(_note(LOG))
    data[at : at + 1] = bytes([byte]) + junk
    try:
        note = parse_note(bytes(data))
    except InvalidRequestError:
        return
    assert format_note(note) == bytes(data)


@given(names, keys, st.sampled_from([SignatureType.ED25519, SignatureType.COSIGNATURE_ED25519]))
def test_verifier_keys_round_trip(name: str, key: bytes, kind: SignatureType) -> None:
    verifier = NoteVerifier(name, kind, key)
    vkey = verifier.encode()
    assert NoteVerifier.parse(vkey) == verifier
    assert vkey == _vkey(name, bytes([kind]) + key)
    assert verifier.key_id.hex() == vkey[len(name) + 1 :][:8]


@pytest.mark.parametrize("signer", SIGNERS, ids=["log", "Ed25519 witness", "ML-DSA-44 witness"])
def test_what_a_signer_signs_its_verifier_verifies(signer: NoteSigner) -> None:
    verifier = NoteVerifier.parse(signer.verifier.encode())
    (verified,) = verify_note(parse_note(_note(signer)), [verifier])
    assert verified.verifier == signer.verifier
    assert verified.timestamp == (NOW if verifier.is_cosigner else None)


# Forms of the signed messages (C2SP tlog-cosignature)


def test_a_cosignature_signs_a_header_the_time_and_the_text() -> None:
    blob = WITNESS.sign(TEXT).blob
    assert blob[:8] == struct.pack(">Q", NOW)
    assert WITNESS.key.public.is_valid(blob[8:], b"cosignature/v1\ntime %d\n" % NOW + TEXT)


def test_an_ml_dsa_cosignature_signs_the_structure_of_the_specification() -> None:
    blob = ML_DSA.sign(TEXT).blob
    name, origin = b"witness.example/w2", b"log.example/2026"
    message = b"subtree/v1\n\0" + bytes([len(name)]) + name + struct.pack(">Q", NOW)
    message += bytes([len(origin)]) + origin + struct.pack(">QQ", 0, 7) + bytes(32)
    assert len(blob) == 8 + 2420
    ML_DSA.key.public_key().verify(blob[8:], message)


@pytest.mark.parametrize("signer", [WITNESS, ML_DSA], ids=["Ed25519", "ML-DSA-44"])
@pytest.mark.parametrize("timestamp", [0, NOW - 1, NOW + 1, 2**63 - 1, 2**63, 2**64 - 1])
def test_a_cosignature_with_another_time_does_not_verify(signer: NoteSigner, timestamp: int) -> None:
    signature = signer.sign(TEXT)
    changed = replace(signature, blob=struct.pack(">Q", timestamp) + signature.blob[8:])
    with pytest.raises(VerificationError):
        verify_note(Note(TEXT, (changed,)), [signer.verifier])


def test_no_cosignature_is_from_beyond_the_range_of_times() -> None:
    timestamp = 2**63
    blob = struct.pack(">Q", timestamp) + WITNESS.key.sign(b"cosignature/v1\ntime %d\n" % timestamp + TEXT)
    changed = NoteSignature(WITNESS.name, WITNESS.verifier.key_id, blob)
    with pytest.raises(VerificationError):
        verify_note(Note(TEXT, (changed,)), [WITNESS.verifier])


@pytest.mark.parametrize("signer", SIGNERS, ids=["log", "Ed25519 witness", "ML-DSA-44 witness"])
@pytest.mark.parametrize("length", [1, 7, 8, 63, 71, 73, 3000])
def test_signatures_of_another_length_do_not_verify(signer: NoteSigner, length: int) -> None:
    blob = (signer.sign(TEXT).blob * 2)[:length]
    with pytest.raises(VerificationError):
        verify_note(Note(TEXT, (NoteSignature(signer.verifier.name, signer.verifier.key_id, blob),)), [signer.verifier])


def test_ml_dsa_cosigns_nothing_but_checkpoints() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        ML_DSA.sign(b"a text\nthat is no checkpoint\n")
    assert caught.value.code is ErrorCode.CHECKPOINT_MALFORMED


@pytest.mark.parametrize("length", [1, 255, 256])
def test_ml_dsa_takes_names_of_up_to_255_bytes(length: int) -> None:
    name = "é" * (length // 2) + "w" * (length % 2)
    origin = format_checkpoint(Checkpoint(origin=name, size=7, root=bytes(32)))
    for signer, text in ((replace(ML_DSA, name=name), TEXT), (ML_DSA, origin)):
        if length <= 255:
            assert len(signer.sign(text).blob) == 8 + 2420
            continue
        with pytest.raises(InvalidRequestError) as caught:
            signer.sign(text)
        assert caught.value.code is ErrorCode.NOTE_MALFORMED


def test_the_numbers_are_those_of_the_specifications() -> None:
    assert [(kind.name, kind.value) for kind in SignatureType] == [
        ("ED25519", 0x01),
        ("COSIGNATURE_ED25519", 0x04),
        ("COSIGNATURE_ML_DSA_44", 0x06),
    ]
    key = ML_DSA.key.public_key().public_bytes_raw()
    assert ML_DSA.verifier.key_id == hashlib.sha256(b"witness.example/w2\n\x06" + key).digest()[:4]
    assert MAX_NOTE_BYTES == 2**20


# Who signed


def test_known_keys_are_listed_once_and_unknown_ones_are_ignored() -> None:
    note = parse_note(_note(LOG, WITNESS, ML_DSA, LOG))
    everyone = [signer.verifier for signer in SIGNERS]
    assert [item.verifier for item in verify_note(note, everyone)] == everyone
    assert [item.verifier for item in verify_note(note, [WITNESS.verifier])] == [WITNESS.verifier]


def test_a_note_without_a_known_key_is_refused() -> None:
    stranger = TextSigner(LOG.name, SigningKey.from_seed(b"S" * 32))
    for verifiers in ([], [stranger.verifier], [WITNESS.verifier]):
        with pytest.raises(VerificationError, match="no known key signed"):
            verify_note(parse_note(_note(LOG)), verifiers)


def test_one_bad_signature_of_a_known_key_spoils_the_note() -> None:
    good, bad = LOG.sign(TEXT), replace(LOG.sign(TEXT), blob=bytes(64))
    cosigned = WITNESS.sign(TEXT)
    for signatures in ((bad,), (good, bad), (bad, good), (good, cosigned, bad)):
        with pytest.raises(VerificationError, match=r"signature of `log\.example/2026` does not verify"):
            verify_note(Note(TEXT, signatures), [LOG.verifier, WITNESS.verifier])


def test_signatures_that_share_only_a_name_or_only_an_id_with_a_known_key_are_ignored() -> None:
    good = LOG.sign(TEXT)
    same_name = NoteSignature(LOG.name, b"\0\0\0\0", bytes(64))
    same_id = NoteSignature("other.example", good.key_id, bytes(64))
    (verified,) = verify_note(Note(TEXT, (same_name, same_id, good)), [LOG.verifier])
    assert verified.verifier == LOG.verifier


def test_a_key_is_bound_to_its_type() -> None:
    """A log's plain signature never counts as a cosignature by the same key, nor the other way round."""
    as_witness = Cosigner(LOG.name, LOG.key, CLOCK)
    assert as_witness.verifier.key_id != LOG.verifier.key_id
    plain, cosigned = LOG.sign(TEXT), as_witness.sign(TEXT)
    swapped = (
        replace(plain, key_id=as_witness.verifier.key_id),
        replace(plain, key_id=as_witness.verifier.key_id, blob=struct.pack(">Q", NOW) + plain.blob),
        replace(cosigned, key_id=LOG.verifier.key_id),
        replace(cosigned, key_id=LOG.verifier.key_id, blob=cosigned.blob[8:]),
    )
    for signature in swapped:
        with pytest.raises(VerificationError):
            verify_note(Note(TEXT, (signature,)), [LOG.verifier, as_witness.verifier])


def test_two_known_keys_of_one_name_and_id_are_ambiguous() -> None:
    first, second = _colliding_keys("log.example")
    assert first != second
    assert first.key_id == second.key_id
    with pytest.raises(VerificationError, match="same name and key id"):
        verify_note(parse_note(_note(LOG)), [LOG.verifier, first, second])
    verify_note(parse_note(_note(LOG)), [LOG.verifier, first, first])  # the same key twice is one key


def _colliding_keys(name: str) -> tuple[NoteVerifier, NoteVerifier]:
    seen: dict[bytes, bytes] = {}
    number = 2**200
    while True:
        key = number.to_bytes(32, "big")
        key_id = hashlib.sha256(name.encode() + b"\n\x01" + key).digest()[:4]
        if key_id in seen:
            return tuple(NoteVerifier(name, SignatureType.ED25519, item) for item in (seen[key_id], key))  # type: ignore[return-value]
        seen[key_id] = key
        number += 1


def test_no_flipped_bit_of_a_note_goes_unseen() -> None:
    data = _note(LOG)
    for at in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[at] ^= 1 << bit
            with pytest.raises(SandboxError):
                verify_note(parse_note(bytes(flipped)), [LOG.verifier])


def test_no_flipped_bit_adds_a_signer() -> None:
    data, known = _note(LOG, WITNESS), [LOG.verifier, WITNESS.verifier]
    for at in range(len(data)):
        flipped = bytearray(data)
        flipped[at] ^= 1 << at % 8
        try:
            verified = verify_note(parse_note(bytes(flipped)), known)
        except SandboxError:
            continue
        assert parse_note(bytes(flipped)).text == TEXT
        assert len(verified) == 1


# What is no note

LINE = LOG.sign(TEXT).to_line() + "\n"
HEAD = TEXT.decode() + "\n"
BASE64 = LINE.split(" ")[2].strip()
BROKEN_NOTES = {
    "nothing": "",
    "no signatures": HEAD,
    "no separating line": TEXT.decode() + LINE,
    "no text": "\n" + LINE,
    "an empty text": "\n\n" + LINE,
    "no newline at the end": HEAD + LINE[:-1],
    "an empty line at the end": HEAD + LINE + "\n",
    "an empty line between signatures": HEAD + LINE + "\n" + LINE[:-1],
    "text after the signatures": HEAD + LINE + "text\n",
    "text between the signatures": HEAD + LINE + "text\n" + LINE,
    "no dash": HEAD + LINE[2:],
    "a hyphen": HEAD + "-" + LINE[1:],
    "two hyphens": HEAD + "--" + LINE[1:],
    "an en dash": HEAD + "\u2013" + LINE[1:],
    "a horizontal bar": HEAD + "\u2015" + LINE[1:],
    "a minus sign": HEAD + "\u2212" + LINE[1:],
    "a Chinese dash": HEAD + "\u2014\u2014" + LINE[1:],
    "a space before the dash": HEAD + " " + LINE,
    "no space after the dash": HEAD + DASH + LINE[2:],
    "two spaces after the dash": HEAD + DASH + "  " + LINE[2:],
    "a no-break space after the dash": HEAD + DASH + "\u00a0" + LINE[2:],
    "a tab after the dash": HEAD + DASH + "\t" + LINE[2:],
    "no name": f"{HEAD}{DASH} {BASE64}\n",
    "an empty name": f"{HEAD}{DASH}  {BASE64}\n",
    "a plus sign in the name": f"{HEAD}{DASH} a+b {BASE64}\n",
    "an ideographic space in the name": f"{HEAD}{DASH} a\u3000b {BASE64}\n",
    "a line separator in the name": f"{HEAD}{DASH} a\u2028b {BASE64}\n",
    "a next line character in the name": f"{HEAD}{DASH} a\u0085b {BASE64}\n",
    "two spaces before the signature": f"{HEAD}{DASH} a  {BASE64}\n",
    "a space after the signature": f"{HEAD}{DASH} a {BASE64} \n",
    "no signature in the line": f"{HEAD}{DASH} a\n",
    "an empty signature": f"{HEAD}{DASH} a \n",
    "a signature of four bytes": f"{HEAD}{DASH} a AAAAAA==\n",
    "base64 without padding": f"{HEAD}{DASH} a {BASE64.rstrip('=')}\n",
    "base64 with too much padding": f"{HEAD}{DASH} a {BASE64}=\n",
    "base64 with trailing bits": f"{HEAD}{DASH} a AAAAAAB=\n",
    "base64url": f"{HEAD}{DASH} a AAAAAA-_\n",
    "full-width base64": f"{HEAD}{DASH} a ＡAAAAAAA\n",
    "carriage returns": (HEAD + LINE).replace("\n", "\r\n"),
    "a carriage return in the text": "a\r\n\n" + LINE,
    "a tab in the text": "a\tb\n\n" + LINE,
    "a NUL in the text": "a\0b\n\n" + LINE,
    "an escape in the text": "a\x1bb\n\n" + LINE,
    "a vertical tab in the name": f"{HEAD}{DASH} a\x0bb {BASE64}\n",
}


@pytest.mark.parametrize("name", BROKEN_NOTES)
def test_broken_notes_are_refused(name: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_note(BROKEN_NOTES[name].encode())
    assert caught.value.code is ErrorCode.NOTE_MALFORMED


def test_the_parts_of_the_broken_notes_make_a_good_note() -> None:
    assert (HEAD + LINE).encode() == _note(LOG)
    parse_note(f"{HEAD}{DASH} a {BASE64}\n".encode())


@pytest.mark.parametrize(
    "junk", [b"\xff", b"\xc3", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"], ids=lambda junk: junk.hex()
)
@pytest.mark.parametrize("where", ["text", "name"])
def test_notes_are_utf_8(junk: bytes, where: str) -> None:
    head, line = (junk + HEAD.encode(), LINE.encode()) if where == "text" else (HEAD.encode(), b"\xe2\x80\x94 " + junk)
    with pytest.raises(InvalidRequestError):
        parse_note(head + line + (f" {BASE64}\n".encode() if where == "name" else b""))


@pytest.mark.parametrize("control", [code for code in range(0x20) if code != 0x0A])
def test_no_control_character_is_taken_anywhere(control: int) -> None:
    for data in (f"a{chr(control)}b\n\n{LINE}", f"{HEAD}{DASH} a{chr(control)} {BASE64}\n", HEAD + LINE + chr(control)):
        with pytest.raises(InvalidRequestError):
            parse_note(data.encode())


def test_up_to_64_signatures_are_taken() -> None:
    assert len(parse_note((HEAD + LINE * MAX_NOTE_SIGNATURES).encode()).signatures) == MAX_NOTE_SIGNATURES == 64
    with pytest.raises(InvalidRequestError):
        parse_note((HEAD + LINE * 65).encode())


def test_up_to_one_mebibyte_is_taken() -> None:
    tail = "\n" + LINE
    filler = "x" * (MAX_NOTE_BYTES - len(tail.encode()) - 1) + "\n"
    assert len((filler + tail).encode()) == MAX_NOTE_BYTES
    parse_note((filler + tail).encode())
    with pytest.raises(InvalidRequestError):
        parse_note(("x" + filler + tail).encode())


def test_the_text_ends_at_the_last_empty_line() -> None:
    note = parse_note(f"first\n\n{LINE}\n{LINE}".encode())
    assert note.text == f"first\n\n{LINE}".encode()
    assert len(note.signatures) == 1


@pytest.mark.parametrize("text", ["", "\n", LINE[:-1], LINE + "\n", "\n" + LINE, LINE.replace("\n", "\r\n"), LINE * 65])
def test_signature_lines_alone_are_parsed_as_strictly(text: str) -> None:
    assert len(parse_signature_lines(LINE * 2)) == 2
    with pytest.raises(InvalidRequestError):
        parse_signature_lines(text)


# What is no verifier key

POINT = LOG.key.public.raw
BROKEN_VKEYS = {
    "nothing": "",
    "a name": "log.example",
    "no key": "log.example+01234567",
    "no id": f"log.example+{base64.b64encode(POINT).decode()}",
    "no name": _vkey("", b"\x01" + POINT),
    "a space in the name": _vkey("log example", b"\x01" + POINT),
    "a newline in the name": _vkey("log\nexample", b"\x01" + POINT),
    "a plus sign in the name": _vkey("log+example", b"\x01" + POINT),
    "an ideographic space in the name": _vkey("log\u3000example", b"\x01" + POINT),
    "a control character in the name": _vkey("log\x00example", b"\x01" + POINT),
    "an id in upper case": "log.example+ABCDEF01+" + base64.b64encode(b"\x01" + POINT).decode(),
    "the id of another key": "log.example+01234567+" + base64.b64encode(b"\x01" + POINT).decode(),
    "the id of another name": _vkey("log.example", b"\x01" + POINT).replace("log.example", "log.other"),
    "an empty key": _vkey("log.example", b""),
    "a type alone": _vkey("log.example", b"\x01"),
    "type 0": _vkey("log.example", b"\x00" + POINT),
    "ECDSA": _vkey("log.example", b"\x02" + POINT),
    "the reserved type": _vkey("log.example", b"\x03" + POINT),
    "an RFC 6962 tree head": _vkey("log.example", b"\x05" + POINT),
    "a type of the future": _vkey("log.example", b"\xff" + POINT),
    "a key of 31 bytes": _vkey("log.example", b"\x01" + POINT[:-1]),
    "a key of 33 bytes": _vkey("log.example", b"\x01" + POINT + b"\0"),
    "a witness key of 33 bytes": _vkey("log.example", b"\x04" + POINT + b"\0"),
    "an ML-DSA key of 32 bytes": _vkey("log.example", b"\x06" + POINT),
    "an ML-DSA key of 1313 bytes": _vkey("log.example", b"\x06" + bytes(1313)),
    "a key of small order": _vkey("log.example", b"\x01\x01" + bytes(31)),
    "a witness key of small order": _vkey("log.example", b"\x04\x01" + bytes(31)),
    "base64 without padding": _vkey("log.example", b"\x06" + bytes(1312)).rstrip("="),
    "base64 with trailing bits": _vkey("log.example", b"\x06" + bytes(1312))[:-2] + "B=",
    "a newline at the end": _vkey("log.example", b"\x01" + POINT) + "\n",
    "a space at the end": _vkey("log.example", b"\x01" + POINT) + " ",
    "a fourth part": _vkey("log.example", b"\x01" + POINT) + "+",
    "a private key": PUBLISHED["vkey"].replace("PeterNeumann", "PRIVATE+KEY+PeterNeumann"),
}


@pytest.mark.parametrize("name", BROKEN_VKEYS)
def test_broken_verifier_keys_are_refused(name: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        NoteVerifier.parse(BROKEN_VKEYS[name])
    assert caught.value.code in {ErrorCode.KEY_MALFORMED, ErrorCode.NOTE_MALFORMED}


@pytest.mark.parametrize("kind", [SignatureType.ED25519, SignatureType.COSIGNATURE_ED25519])
def test_names_that_are_no_unicode_make_no_verifier(kind: SignatureType) -> None:
    with pytest.raises(InvalidRequestError):
        NoteVerifier("log\ud800", kind, POINT)


@given(st.text(max_size=80))
@example("a+00000000+")
@example("+++")
def test_nothing_but_a_verifier_key_parses_as_one(text: str) -> None:
    try:
        verifier = NoteVerifier.parse(text)
    except InvalidRequestError:
        return
    assert verifier.encode() == text


@given(st.binary(max_size=80))
def test_random_bytes_are_refused_by_error_only(data: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        parse_note(data)
