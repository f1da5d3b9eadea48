"""A released result on its way out: wrapped with the opening of its content's commitment, sealed to its recipient."""

import json
from dataclasses import dataclass

from sandbox.node.questions import StoredOutput
from yingbi.canonical import canonical_bytes, digest_json
from yingbi.commitment import commit
from yingbi.errors import ErrorCode, TamperDetectedError
from yingbi.key_files import encode_base64url
from yingbi.sealing import seal

__all__ = ["SealedResult", "seal_result"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedResult:
    """What leaves, and what its statement says: the commitment to its digest, and the rules it was judged by."""

    sealed: bytes
    content: str
    rules: str


def seal_result(kept: StoredOutput, *, job: str, agreement: str, recipient: str) -> SealedResult:
    """Seal a result that the gate released; only its recipient can open it, and only as this job's.

    Raises:
        TamperDetectedError: what is kept is not what was released.
    """
    result = json.loads(kept.content)
    if digest_json(result) != kept.digest:
        raise TamperDetectedError(ErrorCode.STORE_DAMAGED, "a kept result is not what was released")
    opening = commit(kept.digest)
    plaintext = canonical_bytes(
        {"result": result, "content": {"salt": encode_base64url(opening.salt), "value": kept.digest}}
    )
    sealed = seal(plaintext, recipient, {"job": job, "agreement": agreement})
    return SealedResult(sealed=sealed, content=opening.commitment, rules=str(result["rules"]))
