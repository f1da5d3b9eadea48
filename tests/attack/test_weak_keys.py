"""Keys of small order, under which signatures that nobody made verify: both implementations refuse them."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from yingbi.errors import InvalidRequestError
from yingbi.keys import VerifyKey
from yingbi.verify.note import verify_ed25519

FIELD = 2**255 - 19
ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
WEAK = [0, 1, FIELD - 1, ORDER_8, FIELD - ORDER_8, FIELD, FIELD + 1]
# R = the neutral element, S = 0: it verifies under the neutral element as key, whatever the message.
FORGED = (1).to_bytes(32, "little") + bytes(32)


@pytest.mark.parametrize("sign_bit", [0, 1])
@pytest.mark.parametrize("y", WEAK, ids=range(len(WEAK)))
def test_both_implementations_refuse_a_weak_key(y: int, sign_bit: int) -> None:
    key = (y | sign_bit << 255).to_bytes(32, "little")
    assert not verify_ed25519(key, FORGED, b"anything")
    with pytest.raises(InvalidRequestError):
        VerifyKey(key)


def test_the_attack_works_without_the_check() -> None:
    weak = Ed25519PublicKey.from_public_bytes((1).to_bytes(32, "little"))
    for message in (b"job.approved", json.dumps({"any": "thing"}).encode()):
        weak.verify(FORGED, message)  # raises when the library itself begins to refuse
