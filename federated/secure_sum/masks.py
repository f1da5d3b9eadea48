"""Pairwise masks: what a party sends is uniform by itself, and only the sum of all of them means something.

Each two parties share a secret (X25519, RFC 7748), from which HKDF-SHA256 (RFC 5869) makes a key for this context and
this pair; the stream of ChaCha20 (RFC 8439) under that key, read as little-endian 64-bit numbers, is the mask of the
pair. The party whose name is smaller adds it, the other one subtracts it, modulo 2^64.

*Guarantee.* To whoever misses the private keys of at least two parties that are left after all colluding ones, the
vectors of these are together as good as uniform, but for their sum. *Assumes.* The keys of the others are theirs (they
come from the log, signed); a context is used for **one** vector; X25519 and ChaCha20 are what they are believed to be.
*Not protected.* The sum itself, and what follows from it and from one's own vector; whether somebody gave at all; that
somebody gives a wrong vector.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from federated.secure_sum.vectors import MIN_PARTIES, Vector, check_vector
from yingbi.errors import ErrorCode, InvalidRequestError

__all__ = ["MIN_PARTIES", "check_public_key", "mask", "pair_key", "stream"]

_KEY_BYTES: Final = 32
_MAX_NAME: Final = 255
_LABEL: Final = b"yingbi/secure-sum/mask/v1\n"
# RFC 8439, section 2.4: a block counter of 32 bits over blocks of 64 bytes.
_MAX_ENTRIES: Final = 2**32 * 64 // 8
# One piece of the stream at a time stays in the processor's cache.
_PIECE: Final = 2**14
_ZEROS: Final = bytes(8 * _PIECE)

# The field of RFC 7748, section 4.1, and the u coordinates of all points, of curve or twist, whose order divides 8.
_P: Final = 2**255 - 19
_SMALL_ORDER: Final = frozenset(
    {
        0,
        1,
        _P - 1,
        0x00B8495F16056286FDB1329CEB8D09DA6AC49FF1FAE35616AEB8413B7C7AEBE0,
        0x57119FD0DD4E22D8868E1C58C45C44045BEF839C55B1D0B1248C50A3BC959C5F,
    }
)


def mask(vector: Vector, *, own_key: X25519PrivateKey, own: str, peers: Mapping[str, bytes], context: bytes) -> Vector:
    """Return the vector under the masks of all pairs that this party is in.

    SECURITY: under one context only ever one vector; the difference of two would be the difference of what is under the
    masks. What has to be sent again is kept and sent as it was.

    Args:
        vector: what is to be summed.
        own_key: the private key of this party.
        own: the name of this party.
        peers: names and public keys of all the others.
        context: names the run, the round and the attempt, and nothing else ever.

    Raises:
        InvalidRequestError: fewer than three parties, this party among the others, one key twice, a key that is not
            canonical or of small order, a name that is not printable ASCII, no context, or no vector.
    """
    check_vector(vector)
    if vector.size > _MAX_ENTRIES:
        raise _invalid(f"expected at most {_MAX_ENTRIES} entries")
    _check_parties(own_key, own, peers)
    if not context:
        raise _invalid("expected a context")
    masked = vector.copy()
    for peer in sorted(peers):
        apply = np.add if own < peer else np.subtract
        key = pair_key(own_key, peers[peer], context=context, own=own, peer=peer)
        for start, piece in stream(key, vector.size):
            part = masked[start : start + piece.size]
            apply(part, piece, out=part)
    return masked


def pair_key(own_key: X25519PrivateKey, peer_key: bytes, *, context: bytes, own: str, peer: str) -> bytes:
    """Return the key of a pair for one context; both of the pair get the same one.

    Raises:
        InvalidRequestError: the peer's key is of small order.
    """
    try:
        secret = own_key.exchange(X25519PublicKey.from_public_bytes(peer_key))
    except ValueError:
        # SECURITY: all zeros, which everybody knows (RFC 7748, section 6.1).
        raise _malformed(f"expected a key of `{peer}` that is not of small order") from None
    ends = sorted([(own, own_key.public_key().public_bytes_raw()), (peer, peer_key)])
    fields = [context, *(name.encode() for name, _ in ends), *(public for _, public in ends)]
    info = _LABEL + b"".join(len(field).to_bytes(4, "little") + field for field in fields)
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=info).derive(secret)


def stream(key: bytes, size: int) -> Iterator[tuple[int, Vector]]:
    """Yield the first `size` numbers of a key's stream in pieces, each with its place; a piece is good until the next.

    The nonce and the counter begin at zero: a key is used once.
    """
    encryptor = Cipher(ChaCha20(key, bytes(16)), mode=None).encryptor()
    piece = np.empty(min(size, _PIECE), "<u8")
    raw = piece.data.cast("B")
    for start in range(0, size, _PIECE):
        count = min(_PIECE, size - start)
        encryptor.update_into(memoryview(_ZEROS)[: 8 * count], raw)
        yield start, piece[:count]


def check_public_key(key: bytes) -> None:
    """Refuse what is not the one encoding of an X25519 public key that gives a secret.

    Raises:
        InvalidRequestError: it has another length, is not canonical, or is of small order.
    """
    u = int.from_bytes(key, "little")
    # SECURITY: X25519 takes other spellings for the same key; with them, one key would pass for two.
    if len(key) != _KEY_BYTES or u >= _P or u in _SMALL_ORDER:
        raise _malformed(f"expected an X25519 public key of {_KEY_BYTES} bytes, canonical and not of small order")


def _check_parties(own_key: X25519PrivateKey, own: str, peers: Mapping[str, bytes]) -> None:
    if len(peers) + 1 < MIN_PARTIES:
        raise _invalid(f"expected at least {MIN_PARTIES} parties, got {len(peers) + 1}")
    for name in (own, *peers):
        if not (name.isascii() and name.isprintable() and 0 < len(name) <= _MAX_NAME):
            raise _invalid(f"expected names of 1 to {_MAX_NAME} printable ASCII characters")
    if own in peers:
        raise _invalid("expected the other parties without this one")
    for key in peers.values():
        check_public_key(key)
    if len({own_key.public_key().public_bytes_raw(), *peers.values()}) <= len(peers):
        raise _malformed("expected each party to have a key of its own")


def _invalid(message: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.DATA_INVALID, message)


def _malformed(message: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.KEY_MALFORMED, message)
