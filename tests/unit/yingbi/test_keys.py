"""Ed25519 keys: published vectors, files only their owner reads, no secret shown, no key under which anybody signs."""

import base64
import copy
import os
import pickle
import stat
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, x25519
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from tests.lib.vectors import load_vectors
from yingbi.errors import ConflictError, ErrorCode, InvalidRequestError, RefusedError, SandboxError
from yingbi.keys import SigningKey, VerifyKey, load_signing_key, save_signing_key

VECTORS = load_vectors("ed25519/rfc8032.json")["vectors"]
SEED: Final = bytes.fromhex(VECTORS[0]["seed"])
# RFC 8037 A.1 and A.2
JWK: Final = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
PRIVATE: Final = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"

KEY = SigningKey.from_seed(SEED)


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


# Published vectors


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_vectors_of_rfc_8032(vector: dict[str, str]) -> None:
    key = SigningKey.from_seed(bytes.fromhex(vector["seed"]))
    message, signature = bytes.fromhex(vector["message"]), bytes.fromhex(vector["signature"])
    assert key.public.raw.hex() == vector["public"]
    assert key.sign(message) == signature
    assert key.public.is_valid(signature, message)
    assert not key.public.is_valid(signature, message + b"\0")


def test_the_key_of_rfc_8037_is_that_of_rfc_8032() -> None:
    assert SigningKey.from_seed(_decode(PRIVATE)).public == VerifyKey.from_jwk(JWK) == KEY.public
    assert KEY.public.to_jwk() == JWK


def test_the_thumbprint_of_rfc_8037_a_3() -> None:
    assert KEY.public.thumbprint == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_the_signature_of_rfc_8037_a_4() -> None:
    message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
    signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    assert KEY.sign(message) == _decode(signature)


# Signatures


@given(st.binary(max_size=64), st.integers(0, 63), st.integers(0, 7))
def test_no_flipped_bit_of_a_signature_verifies(message: bytes, at: int, bit: int) -> None:
    signature = bytearray(KEY.sign(message))
    signature[at] ^= 1 << bit
    assert not KEY.public.is_valid(bytes(signature), message)


@pytest.mark.parametrize("length", [0, 1, 32, 63, 65, 128])
def test_signatures_of_another_length_do_not_verify(length: int) -> None:
    signature = (KEY.sign(b"message") * 2)[:length]
    assert not KEY.public.is_valid(signature, b"message")


def test_a_signature_cannot_be_written_differently() -> None:
    """S + L is the same number modulo L: RFC 8032 §5.1.7 refuses it."""
    order = 2**252 + 27_742_317_777_372_353_535_851_937_790_883_648_493
    signature = KEY.sign(b"message")
    scalar = int.from_bytes(signature[32:], "little")
    for more in range(1, 8):
        changed = signature[:32] + (scalar + more * order).to_bytes(32, "little")
        assert not KEY.public.is_valid(changed, b"message")


def test_another_key_does_not_verify() -> None:
    assert not SigningKey.from_seed(b"\x01" * 32).public.is_valid(KEY.sign(b"message"), b"message")


def test_bytes_that_are_no_point_verify_nothing() -> None:
    no_point = VerifyKey((2).to_bytes(32, "little"))  # no x belongs to y = 2
    assert not no_point.is_valid(KEY.sign(b"message"), b"message")


def test_new_keys_differ() -> None:
    assert len({SigningKey.generate().public for _ in range(20)}) == 20


# Keys under which anybody signs

P: Final = 2**255 - 19
D: Final = -121_665 * pow(121_666, -1, P) % P
ROOT_OF_MINUS_ONE: Final = pow(2, (P - 1) // 4, P)
Point = tuple[int, int]


def _add(one: Point, other: Point) -> Point:
    """RFC 8032 §5.1.4, in affine coordinates."""
    (x1, y1), (x2, y2) = one, other
    k = D * x1 * x2 * y1 * y2
    return (x1 * y2 + x2 * y1) * pow(1 + k, -1, P) % P, (y1 * y2 + x1 * x2) * pow(1 - k, -1, P) % P


def _x_of(y: int) -> int | None:
    """RFC 8032 §5.1.3."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    candidates = (x, x * ROOT_OF_MINUS_ONE % P)
    return next((value for value in candidates if value * value % P == square), None)


def _times_group_order(point: Point) -> Point:
    order, total = 2**252 + 27_742_317_777_372_353_535_851_937_790_883_648_493, (0, 1)
    while order:
        if order & 1:
            total = _add(total, point)
        point = _add(point, point)
        order >>= 1
    return total


def _small_order_points() -> set[Point]:
    """A point times the group's order has an order that divides 8; enough points give all eight."""
    found: set[Point] = set()
    y = 2
    while len(found) < 8:
        y += 1
        x = _x_of(y)
        if x is not None:
            small = _times_group_order((x, y))
            found |= {small, (-small[0] % P, small[1])}
    return found


def _encodings_of(point: Point) -> set[bytes]:
    """Every spelling that a lax decoder takes: y or y + p, with the right sign bit, or any where x is 0."""
    x, y = point
    signs = {0, 1} if x == 0 else {x & 1}
    ys = [y, y + P] if y + P < 2**255 else [y]
    return {(value | sign << 255).to_bytes(32, "little") for value in ys for sign in signs}


def test_keys_of_small_order_are_refused_in_every_spelling() -> None:
    points = _small_order_points()
    assert len(points) == 8
    spellings = {raw for point in points for raw in _encodings_of(point)}
    assert len(spellings) == 14
    identity = (1).to_bytes(32, "little")
    forged = identity + bytes(32)
    for raw in spellings:
        with pytest.raises(InvalidRequestError, match="not of small order"):
            VerifyKey(raw)
    # The reason: the library itself accepts a signature that nobody made.
    Ed25519PublicKey.from_public_bytes(identity).verify(forged, b"any message")


@given(st.integers(0, 18), st.booleans())
def test_a_key_has_one_spelling(small: int, sign: bool) -> None:
    raw = (P + small | sign << 255).to_bytes(32, "little")
    with pytest.raises(InvalidRequestError, match="canonical"):
        VerifyKey(raw)


@given(st.binary(min_size=32, max_size=32))
def test_every_real_key_is_taken(seed: bytes) -> None:
    key = SigningKey.from_seed(seed)
    assert VerifyKey(key.public.raw) == key.public


# JWK


@given(st.binary(min_size=32, max_size=32))
def test_jwks_round_trip(seed: bytes) -> None:
    key = SigningKey.from_seed(seed).public
    assert VerifyKey.from_jwk(key.to_jwk()) == key
    assert len(key.thumbprint) == 43


BROKEN_JWKS: dict[str, Any] = {
    "nothing": None,
    "a string": JWK["x"],
    "a list": [JWK],
    "an empty object": {},
    "no x": {"kty": "OKP", "crv": "Ed25519"},
    "no crv": {"kty": "OKP", "x": JWK["x"]},
    "no kty": {"crv": "Ed25519", "x": JWK["x"]},
    "a private key": {**JWK, "d": PRIVATE},
    "a key id": {**JWK, "kid": "1"},
    "a use": {**JWK, "use": "sig"},
    "an elliptic curve": {**JWK, "kty": "EC"},
    "Ed448": {**JWK, "crv": "Ed448"},
    "X25519": {**JWK, "crv": "X25519"},
    "lower case": {**JWK, "kty": "okp"},
    "x that is a number": {**JWK, "x": 1},
    "x that is null": {**JWK, "x": None},
    "x that is bytes": {**JWK, "x": JWK["x"].encode()},
    "x that is empty": {**JWK, "x": ""},
    "x with padding": {**JWK, "x": JWK["x"] + "="},
    "x with a space": {**JWK, "x": JWK["x"] + " "},
    "x with a newline": {**JWK, "x": JWK["x"] + "\n"},
    "x in plain base64": {**JWK, "x": JWK["x"].replace("_", "/")},
    "x with trailing bits": {**JWK, "x": JWK["x"][:-1] + "p"},
    "x of 31 bytes": {**JWK, "x": JWK["x"][:-2]},
    "x of 33 bytes": {**JWK, "x": JWK["x"] + "A"},
    "x that is no ASCII": {**JWK, "x": "é" + JWK["x"][1:]},
    "x in full-width letters": {**JWK, "x": "Ａ" + JWK["x"][1:]},
    "x of small order": {**JWK, "x": "AQ" + "A" * 41},
}


@pytest.mark.parametrize("name", BROKEN_JWKS)
def test_broken_jwks_are_refused(name: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        VerifyKey.from_jwk(BROKEN_JWKS[name])
    assert caught.value.code is ErrorCode.KEY_MALFORMED
    assert PRIVATE not in caught.value.message


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_keys_and_seeds_have_32_bytes(length: int) -> None:
    with pytest.raises(InvalidRequestError):
        VerifyKey(bytes([9]) * length)
    with pytest.raises(InvalidRequestError):
        SigningKey.from_seed(bytes([9]) * length)


# Files


def test_a_saved_key_is_loaded_again_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    old = os.umask(0)  # the mode must not rest on the umask
    try:
        save_signing_key(KEY, path)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_signing_key(path).public == KEY.public
    assert load_signing_key(path).sign(b"message") == KEY.sign(b"message")


def test_a_saved_key_and_its_folder_are_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[str, int]] = []

    def fsync(handle: int) -> None:
        path = os.readlink(f"/proc/self/fd/{handle}")
        synced.append((path, os.fstat(handle).st_size if os.path.isfile(path) else 0))

    monkeypatch.setattr(os, "fsync", fsync)
    path = tmp_path / "key.pem"
    save_signing_key(KEY, path)
    assert synced == [(str(path), len(KEY.to_pem())), (str(tmp_path), 0)]


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    save_signing_key(KEY, path)
    before = path.read_bytes()
    with pytest.raises(ConflictError) as caught:
        save_signing_key(SigningKey.generate(), path)
    assert caught.value.code is ErrorCode.KEY_EXISTS
    assert path.read_bytes() == before


def test_a_link_is_not_followed_to_write(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "key.pem"
    link.symlink_to(target)
    with pytest.raises(ConflictError):
        save_signing_key(KEY, link)
    assert not target.exists()


def test_a_passphrase_encrypts(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    save_signing_key(KEY, path, passphrase=b"correct horse")
    data = path.read_bytes()
    assert data.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    assert load_signing_key(path, passphrase=b"correct horse").public == KEY.public
    for passphrase in (None, b"", b"wrong horse"):
        with pytest.raises(InvalidRequestError) as caught:
            load_signing_key(path, passphrase=passphrase)
        assert caught.value.code is ErrorCode.KEY_MALFORMED
        assert "horse" not in caught.value.message


def test_an_empty_passphrase_does_not_pass_for_none(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    with pytest.raises(InvalidRequestError):
        save_signing_key(KEY, path, passphrase=b"")
    assert not path.exists()


def test_a_passphrase_for_a_key_that_has_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    save_signing_key(KEY, path)
    with pytest.raises(InvalidRequestError):
        load_signing_key(path, passphrase=b"correct horse")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o666, 0o777])
def test_a_key_that_others_can_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key.pem"
    save_signing_key(KEY, path)
    path.chmod(mode)
    with pytest.raises(RefusedError) as caught:
        load_signing_key(path)
    assert caught.value.code is ErrorCode.KEY_EXPOSED
    assert caught.value.hint == "chmod 600 key.pem"


def test_the_mode_that_counts_is_that_of_the_file_behind_a_link(tmp_path: Path) -> None:
    path, link = tmp_path / "key.pem", tmp_path / "link.pem"
    save_signing_key(KEY, path)
    link.symlink_to(path)
    assert load_signing_key(link).public == KEY.public
    path.chmod(0o644)
    with pytest.raises(RefusedError):
        load_signing_key(link)


def _pem(key: Any) -> bytes:
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert isinstance(pem, bytes)
    return pem


# PKCS #8 of a key type that nobody knows (object identifier 1.3.101.127).
STRANGE = base64.b64encode(bytes.fromhex("302e020100300506032b657f04220420") + bytes(32))
BROKEN_FILES = {
    "nothing": b"",
    "text": b"this is no key\n",
    "raw bytes": SEED,
    "a public key": Ed25519PrivateKey.from_private_bytes(SEED)
    .public_key()
    .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    "an elliptic curve key": _pem(ec.generate_private_key(ec.SECP256R1())),
    "an Ed448 key": _pem(ed448.Ed448PrivateKey.generate()),
    "an X25519 key": _pem(x25519.X25519PrivateKey.generate()),
    "a key of an unknown type": b"-----BEGIN PRIVATE KEY-----\n" + STRANGE + b"\n-----END PRIVATE KEY-----\n",
    "half a key": KEY.to_pem()[:60],
    "a changed key": KEY.to_pem().replace(b"MC4C", b"MC4D"),
}


@pytest.mark.parametrize("name", BROKEN_FILES)
def test_files_that_hold_no_ed25519_key_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(BROKEN_FILES[name])
    path.chmod(0o600)
    with pytest.raises(InvalidRequestError) as caught:
        load_signing_key(path)
    assert caught.value.code is ErrorCode.KEY_MALFORMED
    assert str(tmp_path) not in caught.value.message


def test_files_that_are_not_there_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pem", tmp_path, tmp_path / "no" / "folder.pem"):
        with pytest.raises(InvalidRequestError):
            load_signing_key(path)
    with pytest.raises(InvalidRequestError):
        save_signing_key(KEY, tmp_path / "no" / "folder.pem")


# Secrets


def test_a_private_key_is_not_shown() -> None:
    shown = [repr(KEY), str(KEY), f"{KEY}", f"{KEY!r:>80}", repr([KEY]), repr({"key": KEY})]
    secrets = [SEED.hex(), PRIVATE, base64.b64encode(SEED).decode(), repr(SEED)]
    for text in shown:
        assert KEY.public.thumbprint in text
        assert not any(secret in text for secret in secrets)
    assert not hasattr(KEY, "__dict__")


def test_a_private_key_is_neither_pickled_nor_copied() -> None:
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            attempt(KEY)
    with pytest.raises(TypeError):
        pickle.dumps({"key": KEY})


def test_errors_about_files_show_no_key(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(KEY.to_pem() + b"trailing")
    path.chmod(0o600)
    with pytest.raises(SandboxError) as caught:
        load_signing_key(path, passphrase=b"secret passphrase")
    shown = f"{caught.value!r} {caught.value.hint} {caught.value.detail}"
    assert "secret" not in shown
    assert "MC4C" not in shown
