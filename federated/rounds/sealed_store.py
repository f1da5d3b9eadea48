"""Checkpoints of member jobs that are interrupted: encrypted, each with a key in a file of its own.

A federation that may go on later finds its state again; one that never will has its key erased, and nothing that was
computed for it can be read any more, whatever copies of the database there are.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Engine, delete, insert, select

from sandbox.database import reading, writing
from sandbox.node.joint_tables import JOINT_SEALED, JOINT_STATE, JOINT_VECTOR
from yingbi.canonical import canonical_bytes, digest_bytes
from yingbi.commitment import Opening, commit
from yingbi.errors import ErrorCode, TamperDetectedError
from yingbi.key_files import decode_base64url, encode_base64url, read_secret, write_secret

__all__ = ["SealedState", "SealedStore"]

_NONCE_BYTES: Final = 12
_KEY_BITS: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedState:
    """A checkpoint: of which job, after which round, and the opening of the commitment to its ciphertext."""

    job: str
    round: int
    opening: Opening


class SealedStore:
    """Seals what a job has in the node's database, and puts it back; keys are files in `folder`, mode 0600."""

    def __init__(self, database: Engine, folder: Path) -> None:
        self._database = database
        self._folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)

    def seal(self, job: str) -> SealedState | None:
        """Encrypt the state and vectors of a job in place of what is readable; return the checkpoint, if there is one.

        May be called again: what is sealed already stays as it is, and nothing is returned.
        """
        with writing(self._database) as connection:
            state = connection.execute(select(JOINT_STATE).where(JOINT_STATE.c.job == job)).mappings().one_or_none()
            vectors = connection.execute(select(JOINT_VECTOR).where(JOINT_VECTOR.c.job == job)).mappings().all()
            if state is None and not vectors:
                return None
            number = 0 if state is None else int(state["round"])
            plain = canonical_bytes(
                {
                    "state": None if state is None else encode_base64url(state["state"]),
                    "round": number,
                    "vectors": [_vector_json(row) for row in vectors],
                }
            )
            key, nonce = AESGCM.generate_key(_KEY_BITS), os.urandom(_NONCE_BYTES)
            # The key first: without it the row would be lost, with a key too many nothing is.
            self._key(job).unlink(missing_ok=True)
            write_secret(self._key(job), key)
            sealed = AESGCM(key).encrypt(nonce, plain, job.encode())
            opening = commit(digest_bytes(sealed))
            row = {"job": job, "commitment": opening.commitment, "nonce": nonce, "sealed": sealed}
            connection.execute(insert(JOINT_SEALED).values(**row))
            for table in (JOINT_STATE, JOINT_VECTOR):
                connection.execute(delete(table).where(table.c.job == job))
        return SealedState(job=job, round=number, opening=opening)

    def unseal(self, job: str) -> bool:
        """Put a job's checkpoint back; tell whether there was one.

        Raises:
            TamperDetectedError: it is not what was sealed, or its key is gone.
        """
        with writing(self._database) as connection:
            mine = JOINT_SEALED.c.job == job
            row = connection.execute(select(JOINT_SEALED).where(mine)).mappings().one_or_none()
            if row is None:
                return False
            value = self._open(job, row["nonce"], row["sealed"])
            if value["state"] is not None:
                state = decode_base64url(value["state"])
                connection.execute(insert(JOINT_STATE).values(job=job, round=value["round"], state=state))
            for item in value["vectors"]:
                kept = {**item, "job": job, "vector": decode_base64url(item["vector"])}
                connection.execute(insert(JOINT_VECTOR).values(**kept))
            connection.execute(delete(JOINT_SEALED).where(mine))
        self._key(job).unlink(missing_ok=True)
        return True

    def jobs(self) -> tuple[tuple[str, str], ...]:
        """Return the jobs that have a checkpoint, with the commitment to each."""
        query = select(JOINT_SEALED.c.job, JOINT_SEALED.c.commitment).order_by(JOINT_SEALED.c.job)
        with reading(self._database) as connection:
            return tuple((row.job, row.commitment) for row in connection.execute(query))

    def destroy(self, job: str) -> None:
        """Erase the key of a job's checkpoint, and what it would open."""
        self._key(job).unlink(missing_ok=True)
        with writing(self._database) as connection:
            connection.execute(delete(JOINT_SEALED).where(JOINT_SEALED.c.job == job))

    def _open(self, job: str, nonce: bytes, sealed: bytes) -> dict[str, Any]:
        try:
            plain = AESGCM(read_secret(self._key(job))).decrypt(nonce, sealed, job.encode())
        except (InvalidTag, OSError, ValueError) as error:
            raise TamperDetectedError(ErrorCode.STORE_DAMAGED, "a sealed checkpoint cannot be opened") from error
        value: dict[str, Any] = json.loads(plain)
        return value

    def _key(self, job: str) -> Path:
        # A job's id is the partner's choice; of letters, digits and hyphens it is made (yingbi.ids.ID_PATTERN).
        return self._folder / f"{job}.key"


def _vector_json(row: Any) -> dict[str, Any]:
    return {
        "input": row["input"],
        "rho": row["rho"],
        "round": row["round"],
        "vector": encode_base64url(row["vector"]),
    }
