"""The node's registry: which number stands for which privacy unit, and for which row of a data set (docs/data.md).

Snapshots hold numbers, never identifiers, so that no identifier enters the cage, and data sets of a node still join.
The registry is one DuckDB file in the node's folder, outside of snapshots and cage. It only grows: a number once given
stands for the same unit for ever, which makes versions comparable.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import duckdb

from sandbox.engine_duckdb.sources import guarded, literal
from yingbi.errors import ConflictError, ErrorCode, TamperDetectedError
from yingbi.events.fields import PrivacyUnit
from yingbi.uscc import ALPHABET, WEIGHTS

__all__ = ["HeldRegistry", "UnitRegistry", "is_valid", "normalised"]

# Full-width letters and digits, which Chinese input methods leave behind, become plain ones.
_PLAIN: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_WIDE: Final = "".join(chr(ord(char) + 0xFEE0) for char in _PLAIN)
_BLANKS: Final = " \t\r\n\u00a0\u3000\ufeff"

# Alphabet, weights, form, and the check character by the weighted sum modulo the number of check characters.
_CHECKS: Final[Mapping[PrivacyUnit, tuple[str, tuple[int, ...], str, str]]] = {
    PrivacyUnit.ENTERPRISE: (ALPHABET, WEIGHTS, f"[{ALPHABET}]{{18}}", ALPHABET[0] + ALPHABET[:0:-1]),
    PrivacyUnit.PERSON: (
        "0123456789",
        tuple(pow(2, 17 - place, 11) for place in range(17)),
        "[1-9][0-9]{16}[0-9X]",
        "10X98765432",
    ),
}


def normalised(expression: str) -> str:
    """Return SQL for the one spelling of an identifier: trimmed, upper case, plain digits; empty becomes NULL."""
    plain = f"translate(upper(trim({expression}, {literal(_BLANKS)})), {literal(_WIDE)}, {literal(_PLAIN)})"
    return f"nullif({plain}, '')"


def is_valid(kind: PrivacyUnit, expression: str) -> str:
    """Return SQL that tells whether a normalised identifier has its right check character.

    Enterprises: GB 32100-2015, modulo 31. Persons: GB 11643-1999, modulo 11.
    """
    alphabet, weights, pattern, checks = _CHECKS[kind]
    terms = (
        f"{weight} * (strpos({literal(alphabet)}, substr({expression}, {at + 1}, 1)) - 1)"
        for at, weight in enumerate(weights)
    )
    check = f"substr({literal(checks)}, 1 + CAST(({' + '.join(terms)}) % {len(checks)} AS INTEGER), 1)"
    return f"(regexp_full_match({expression}, {literal(pattern)}) AND {check} = substr({expression}, 18, 1))"


class UnitRegistry:
    """The registry's file; `hold` opens it for one publication."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def path(self) -> Path:
        """Return where the registry is kept."""
        return self._path

    @contextmanager
    def hold(self, connection: duckdb.DuckDBPyConnection) -> Iterator["HeldRegistry"]:
        """Attach the registry to `connection`, and keep other publications out meanwhile.

        Raises:
            ConflictError: another publication holds it.
            TamperDetectedError: its file is damaged.
        """
        with _locked(self._path.with_name(self._path.name + ".lock")):
            guarded(
                lambda: connection.execute(f"ATTACH {literal(str(self._path))} AS registry (TYPE duckdb)"),
                code=ErrorCode.STORE_DAMAGED,
                message="the unit registry cannot be opened",
                kind=TamperDetectedError,
            )
            try:
                os.chmod(self._path, 0o600)
                yield HeldRegistry(connection)
            finally:
                connection.execute("DETACH registry")


class HeldRegistry:
    """The registry while one publication holds it; tables of the connection go in, numbers come out."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def number_units(self, kind: PrivacyUnit, table: str) -> str:
        """Give a number to every `_id` of `table` that has none, and return the table (`_id`, `number`) of all.

        Numbers are dense, and their order says nothing: new identifiers are shuffled with a salt that is thrown away.
        """
        name = f"registry.units_{kind.value}"
        self._connection.execute(f"CREATE TABLE IF NOT EXISTS {name} (_id VARCHAR NOT NULL, number BIGINT NOT NULL)")
        salt = os.urandom(32).hex()
        self._connection.execute(
            f"""INSERT INTO {name}
                SELECT _id, (SELECT coalesce(max(number) + 1, 0) FROM {name})
                    + row_number() OVER (ORDER BY sha256({literal(salt)} || _id)) - 1
                FROM (SELECT DISTINCT _id FROM {table} ANTI JOIN {name} USING (_id))"""  # noqa: S608 names are ours
        )
        return name

    def number_rows(self, dataset: str, table: str) -> str:
        """Give a number to every (`_unit`, `_key`) of `table` that has none in the data set.

        Returns the table (`_unit`, `_key`, `number`) of all.
        """
        name = f"registry.rows_{self._dataset_number(dataset)}"
        self._connection.execute(
            f"CREATE TABLE IF NOT EXISTS {name} (_unit BIGINT NOT NULL, _key VARCHAR NOT NULL, number BIGINT NOT NULL)"
        )
        self._connection.execute(
            f"""INSERT INTO {name}
                SELECT _unit, _key, (SELECT coalesce(max(number) + 1, 0) FROM {name})
                    + row_number() OVER (ORDER BY _unit, _key) - 1
                FROM (SELECT DISTINCT _unit, _key FROM {table} ANTI JOIN {name} USING (_unit, _key))"""  # noqa: S608 names are ours
        )
        return name

    def _dataset_number(self, dataset: str) -> int:
        execute = self._connection.execute
        execute("CREATE TABLE IF NOT EXISTS registry.datasets (name VARCHAR PRIMARY KEY, number BIGINT NOT NULL)")
        execute(
            "INSERT INTO registry.datasets SELECT ?, count(*) FROM registry.datasets ON CONFLICT DO NOTHING", [dataset]
        )
        rows = execute("SELECT number FROM registry.datasets WHERE name = ?", [dataset]).fetchall()
        return int(rows[0][0])


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    # The lock goes with the process, so that one that was killed leaves nothing held.
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(
                ErrorCode.TRANSITION_REFUSED,
                "another publication holds the unit registry",
                hint="try again when it ends",
            ) from None
        yield
    finally:
        os.close(handle)
