"""Checkpoints of member jobs that are interrupted: encrypted, each with a key in a file of its own.

A federation that may go on later finds its state again; one that never will has its key erased, and nothing that was
computed for it can be read any more, whatever copies of the database there are.
"""

import json
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, Engine, RowMapping, Table, delete, insert, select
from sqlalchemy.exc import SQLAlchemyError

from sandbox.database import reading, writing
from sandbox.node.joint_tables import JOINT_SEALED, JOINT_STATE, JOINT_VECTOR
from yingbi.canonical import canonical_bytes, digest_bytes
from yingbi.commitment import Opening, commit
from yingbi.errors import ErrorCode, InvalidRequestError, TamperDetectedError
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

        May be called again: what is sealed already stays as it is, and nothing is returned. What came since is sealed
        together with it.

        Raises:
            TamperDetectedError: as for `unseal`, of what was sealed before.
        """
        with writing(self._database) as connection:
            if not any(_rows(connection, table, job) for table in (JOINT_STATE, JOINT_VECTOR)):
                return None
            # The key first: without it the row would be lost, with a key too many nothing is.
            key = self._put_back(connection, job) or self._make_key(job)
            states, vectors = _rows(connection, JOINT_STATE, job), _rows(connection, JOINT_VECTOR, job)
            number = int(states[0]["round"]) if states else 0
            plain = canonical_bytes(
                {
                    "state": encode_base64url(states[0]["state"]) if states else None,
                    "round": number,
                    "vectors": [_vector_json(row) for row in vectors],
                }
            )
            nonce = os.urandom(_NONCE_BYTES)
            sealed = AESGCM(key).encrypt(nonce, plain, job.encode())
            opening = commit(digest_bytes(sealed))
            row = {"job": job, "commitment": opening.commitment, "nonce": nonce, "sealed": sealed}
            connection.execute(insert(JOINT_SEALED).values(**row))
            for table in (JOINT_STATE, JOINT_VECTOR):
                connection.execute(delete(table).where(table.c.job == job))
        self._empty_log()
        return SealedState(job=job, round=number, opening=opening)

    def unseal(self, job: str) -> bool:
        """Put a job's checkpoint back; tell whether there was one.

        Raises:
            TamperDetectedError: it is not what was sealed, or its key is gone.
            RefusedError: others can read its key.
        """
        with writing(self._database) as connection:
            if self._put_back(connection, job) is None:
                return False
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

    def _put_back(self, connection: Connection, job: str) -> bytes | None:
        """Put a job's checkpoint back beside what came since; return its key, or nothing where there was none."""
        rows = _rows(connection, JOINT_SEALED, job)
        if not rows:
            return None
        key, value = self._open(job, rows[0]["nonce"], rows[0]["sealed"])
        if value["state"] is not None and not _has_later_state(connection, job, value["round"]):
            state = decode_base64url(value["state"])
            connection.execute(delete(JOINT_STATE).where(JOINT_STATE.c.job == job))
            connection.execute(insert(JOINT_STATE).values(job=job, round=value["round"], state=state))
        for item in value["vectors"]:
            kept = {**item, "job": job, "vector": decode_base64url(item["vector"])}
            # SECURITY: of a round that was computed twice, the first stands: noise that was debited once is drawn once.
            mine = (JOINT_VECTOR.c.job == job, JOINT_VECTOR.c.round == item["round"])
            connection.execute(delete(JOINT_VECTOR).where(*mine))
            connection.execute(insert(JOINT_VECTOR).values(**kept))
        connection.execute(delete(JOINT_SEALED).where(JOINT_SEALED.c.job == job))
        return key

    def _make_key(self, job: str) -> bytes:
        key = AESGCM.generate_key(_KEY_BITS)
        self._key(job).unlink(missing_ok=True)
        write_secret(self._key(job), key)
        return key

    def _open(self, job: str, nonce: bytes, sealed: bytes) -> tuple[bytes, dict[str, Any]]:
        try:
            key = read_secret(self._key(job))
            plain = AESGCM(key).decrypt(nonce, sealed, job.encode())
        except (InvalidTag, InvalidRequestError, ValueError) as error:
            raise TamperDetectedError(ErrorCode.STORE_DAMAGED, "a sealed checkpoint cannot be opened") from error
        value: dict[str, Any] = json.loads(plain)
        return key, value

    def _empty_log(self) -> None:
        """Write what is in SQLite's log of changes into the database, so that the log has nothing readable any more.

        Where somebody reads or writes all the time, it is left for the next time.
        """
        with suppress(sqlite3.Error, SQLAlchemyError), closing(self._database.raw_connection()) as connection:
            connection.cursor().execute("pragma wal_checkpoint(truncate)")

    def _key(self, job: str) -> Path:
        # A job's id is the partner's choice; of letters, digits and hyphens it is made (yingbi.ids.ID_PATTERN).
        return self._folder / f"{job}.key"


def _rows(connection: Connection, table: Table, job: str) -> Sequence[RowMapping]:
    return connection.execute(select(table).where(table.c.job == job)).mappings().all()


def _has_later_state(connection: Connection, job: str, number: int) -> bool:
    return any(row["round"] > number for row in _rows(connection, JOINT_STATE, job))


def _vector_json(row: RowMapping) -> dict[str, Any]:
    return {
        "input": row["input"],
        "rho": row["rho"],
        "round": row["round"],
        "vector": encode_base64url(row["vector"]),
    }
