"""Sealed results against another implementation of RFC 9180, and every way in which one must not open."""

import pickle
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st
from pyhpke import AEADId, CipherSuite, KDFId, KEMId, KEMKey

from yingbi.canonical import JsonValue, canonical_bytes
from yingbi.errors import ConflictError, ErrorCode, InvalidRequestError, RefusedError, VerificationError
from yingbi.keys import SigningKey, save_signing_key
from yingbi.sealing import OVERHEAD_BYTES, ResultKey, load_result_key, save_result_key, seal

CONTEXT: dict[str, JsonValue] = {"job": "job-1", "recipient": "partner:bank-a"}
KEY = ResultKey.generate()
# y = 0 and y = 1 of RFC 7748, and the other points of small order with their high bit clear.
SMALL = (
    "A" * 43,
    "AQ" + "A" * 41,
    "4Ot6fDtBuK4WVuP68Z_EatoJjeucMrH9hmIFFl9JuAA",
    "X5yVvKNQjCSx0LFVnIPvWwREXMRYHI6G2CJO3dCfEVc",
)


@given(plaintext=st.binary(max_size=4000))
def test_what_is_sealed_opens_and_is_longer_by_the_overhead(plaintext: bytes) -> None:
    sealed = seal(plaintext, KEY.public, CONTEXT)
    assert len(sealed) == len(plaintext) + OVERHEAD_BYTES
    assert KEY.open(sealed, CONTEXT) == plaintext
    assert seal(plaintext, KEY.public, CONTEXT) != sealed, "a fresh ephemeral key every time"


def _suite() -> CipherSuite:
    return CipherSuite.new(KEMId.DHKEM_X25519_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.CHACHA20_POLY1305)


def _private(key: ResultKey) -> X25519PrivateKey:
    return key._key


def _info() -> bytes:
    return b"yingbi/result/v1\n" + canonical_bytes(CONTEXT)


def test_another_implementation_opens_what_this_seals() -> None:
    sealed = seal(b"result", KEY.public, CONTEXT)
    private = KEMKey.from_pyca_cryptography_key(_private(KEY))
    assert _suite().create_recipient_context(sealed[:32], private, info=_info()).open(sealed[32:]) == b"result"


def test_this_opens_what_another_implementation_seals() -> None:
    public = KEMKey.from_pyca_cryptography_key(_private(KEY).public_key())
    encapsulated, sender = _suite().create_sender_context(public, info=_info())
    assert KEY.open(encapsulated + sender.seal(b"result"), CONTEXT) == b"result"


@pytest.mark.parametrize("change", [{"job": "job-2"}, {"recipient": "partner:bank-b"}, {"more": 1}])
def test_it_opens_for_nothing_else(change: dict[str, JsonValue]) -> None:
    sealed = seal(b"result", KEY.public, CONTEXT)
    with pytest.raises(VerificationError) as raised:
        KEY.open(sealed, CONTEXT | change)
    assert raised.value.code is ErrorCode.SEAL_BROKEN


def test_it_opens_with_no_other_key() -> None:
    with pytest.raises(VerificationError):
        ResultKey.generate().open(seal(b"result", KEY.public, CONTEXT), CONTEXT)


@given(at=st.integers(0, 6 + OVERHEAD_BYTES - 1), bit=st.integers(0, 7))
def test_every_altered_bit_is_found(at: int, bit: int) -> None:
    sealed = bytearray(seal(b"result", KEY.public, CONTEXT))
    sealed[at] ^= 1 << bit
    # RFC 7748 masks the highest bit of a coordinate: the same point, which the key schedule still tells apart.
    with pytest.raises(VerificationError):
        KEY.open(bytes(sealed), CONTEXT)


@given(data=st.binary(max_size=200))
def test_garbage_does_not_open(data: bytes) -> None:
    with pytest.raises(VerificationError):
        KEY.open(data, CONTEXT)


@pytest.mark.parametrize("recipient", ["", "x", "A" * 42, "A" * 44, "!" * 43, "A" * 42 + "B", *SMALL])
def test_nothing_is_sealed_to_what_is_no_key(recipient: str) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        seal(b"result", recipient, CONTEXT)
    assert raised.value.code is ErrorCode.KEY_MALFORMED


@pytest.mark.parametrize("passphrase", [None, b"correct horse"])
def test_a_key_is_kept_in_a_file_of_its_owner(tmp_path: Path, passphrase: bytes | None) -> None:
    path = tmp_path / "result.key"
    save_result_key(KEY, path, passphrase=passphrase)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_result_key(path, passphrase=passphrase).public == KEY.public
    with pytest.raises(ConflictError):
        save_result_key(KEY, path)
    path.chmod(0o640)
    with pytest.raises(RefusedError) as raised:
        load_result_key(path, passphrase=passphrase)
    assert raised.value.code is ErrorCode.KEY_EXPOSED


def test_keys_of_another_kind_and_wrong_passphrases_are_refused(tmp_path: Path) -> None:
    save_signing_key(SigningKey.generate(), tmp_path / "sign.key")
    save_result_key(KEY, tmp_path / "locked.key", passphrase=b"a")
    for name, passphrase in (("sign.key", None), ("locked.key", None), ("locked.key", b"b"), ("missing.key", None)):
        with pytest.raises(InvalidRequestError):
            load_result_key(tmp_path / name, passphrase=passphrase)
    with pytest.raises(InvalidRequestError):
        KEY.to_pem(passphrase=b"")


def test_a_key_does_not_show_its_secret() -> None:
    secret = _private(KEY).private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    assert secret.hex() not in repr(KEY)
    assert KEY.public in repr(KEY)
    with pytest.raises(TypeError):
        pickle.dumps(KEY)
