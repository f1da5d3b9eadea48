"""The queue of held candidates: people look at the evidence and let a result out, less what fails, or reject it.

A held candidate is not kept: its evidence is, encrypted, with a key of its own in a file of its own, until the decision
is carried out. Versions of data sets never change, so that an approved question is computed again, and the release door
compares its digest with what was approved. When a candidate ends, its key is erased and the record says so.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, Engine, RowMapping, delete, insert, select, update

from sandbox.database import reading, writing
from sandbox.disclosure.approval import Approval
from sandbox.disclosure.evidence import finding_json
from sandbox.disclosure.json_form import held_json
from sandbox.disclosure.released import Held
from sandbox.disclosure.tables import CHECK, HELD
from sandbox.disclosure.verdict import Finding
from yingbi.canonical import JsonValue, canonical_bytes
from yingbi.clock import Clock, format_time
from yingbi.commitment import commit
from yingbi.errors import ConflictError, ErrorCode, NotFoundError, RefusedError, TamperDetectedError
from yingbi.events.outputs import CheckVerdict, Risk
from yingbi.ids import new_id, parse_party

__all__ = ["TRANSITIONS", "HeldEvent", "HeldOutput", "HeldQueue", "HeldState", "transition"]

_NONCE_BYTES: Final = 12


class HeldState(StrEnum):
    """Where a held candidate stands."""

    WAITING = "waiting"
    HALF_CHECKED = "half-checked"
    APPROVED = "approved"
    REJECTED = "rejected"
    RELEASED = "released"


class HeldEvent(StrEnum):
    """What happens to a held candidate; the last approval is the one that makes enough of them."""

    APPROVE = "approve"
    APPROVE_LAST = "approve-last"
    REJECT = "reject"
    RELEASE = "release"


TRANSITIONS: Final[Mapping[tuple[HeldState, HeldEvent], HeldState | None]] = {
    (HeldState.WAITING, HeldEvent.APPROVE): HeldState.HALF_CHECKED,
    (HeldState.WAITING, HeldEvent.APPROVE_LAST): HeldState.APPROVED,
    (HeldState.WAITING, HeldEvent.REJECT): HeldState.REJECTED,
    (HeldState.WAITING, HeldEvent.RELEASE): None,
    (HeldState.HALF_CHECKED, HeldEvent.APPROVE): None,
    (HeldState.HALF_CHECKED, HeldEvent.APPROVE_LAST): HeldState.APPROVED,
    (HeldState.HALF_CHECKED, HeldEvent.REJECT): HeldState.REJECTED,
    (HeldState.HALF_CHECKED, HeldEvent.RELEASE): None,
    (HeldState.APPROVED, HeldEvent.APPROVE): None,
    (HeldState.APPROVED, HeldEvent.APPROVE_LAST): None,
    (HeldState.APPROVED, HeldEvent.REJECT): HeldState.REJECTED,
    (HeldState.APPROVED, HeldEvent.RELEASE): HeldState.RELEASED,
    (HeldState.REJECTED, HeldEvent.APPROVE): None,
    (HeldState.REJECTED, HeldEvent.APPROVE_LAST): None,
    (HeldState.REJECTED, HeldEvent.REJECT): None,
    (HeldState.REJECTED, HeldEvent.RELEASE): None,
    (HeldState.RELEASED, HeldEvent.APPROVE): None,
    (HeldState.RELEASED, HeldEvent.APPROVE_LAST): None,
    (HeldState.RELEASED, HeldEvent.REJECT): None,
    (HeldState.RELEASED, HeldEvent.RELEASE): None,
}
"""Total: every state and event; `None` is refused."""

_FINAL: Final = frozenset({HeldState.REJECTED, HeldState.RELEASED})


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutput:
    """One row of the queue. `notice` is what the partner is told; `commitment` is of the evidence, salted."""

    id: str
    question: str
    requesters: tuple[str, ...]
    checkers_needed: int
    state: HeldState
    question_digest: str
    rules: str
    commitment: str
    notice: Mapping[str, JsonValue]
    held_at: str
    ended_at: str | None
    destroyed_at: str | None


def transition(state: HeldState, event: HeldEvent) -> HeldState:
    """Return the state after an event.

    Raises:
        ConflictError: not possible in this state.
    """
    after = TRANSITIONS[state, event]
    if after is None:
        raise ConflictError(ErrorCode.TRANSITION_REFUSED, f"expected another state than `{state}` for `{event}`")
    return after


class HeldQueue:
    """The queue in the node's database; keys of evidence are files in `folder`, mode 0600."""

    def __init__(self, database: Engine, folder: Path, clock: Clock) -> None:
        self._database = database
        self._folder = folder
        self._clock = clock
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def hold(self, held: Held, *, question: str, requesters: tuple[str, ...], is_checked: bool) -> HeldOutput:
        """Keep the evidence of a held candidate; `requesters` may not check it, and `is_checked` asks for two people.

        Raises:
            ConflictError: this question is held already.
        """
        output = new_id("output")
        opening = commit(dict(held.evidence))
        content: dict[str, JsonValue] = {
            "candidate": held.candidate,
            "evidence": dict(held.evidence),
            "findings": [finding_json(finding) for finding in held.findings],
            "salt": opening.salt.hex(),
        }
        row = {
            "id": output,
            "question": question,
            "requesters": json.dumps(sorted(requesters)),
            "checkers_needed": 2 if is_checked else 1,
            "state": HeldState.WAITING.value,
            "question_digest": held.question,
            "rules": held.rules,
            "commitment": opening.commitment,
            "notice": canonical_bytes(held_json(held)).decode(),
            "sealed": self._seal(output, canonical_bytes(content)),
            "held_at": format_time(self._clock.now()),
        }
        with writing(self._database) as connection:
            if connection.execute(select(HELD.c.id).where(HELD.c.question == question)).first() is not None:
                self._erase_key(output)
                raise ConflictError(ErrorCode.TRANSITION_REFUSED, "expected a question that is not held already")
            connection.execute(insert(HELD).values(**row))
        return self.find(output)

    def find(self, output: str) -> HeldOutput:
        """Return a row of the queue.

        Raises:
            NotFoundError: there is none.
        """
        with reading(self._database) as connection:
            return _output(_row(connection, output))

    def holds(self, question: str) -> bool:
        """Return whether a candidate of a question is in the queue, decided or not."""
        with reading(self._database) as connection:
            return connection.execute(select(HELD.c.id).where(HELD.c.question == question)).first() is not None

    def waiting(self) -> tuple[HeldOutput, ...]:
        """Return what waits for a person or, approved, for its release, oldest first."""
        states = [state.value for state in HeldState if state not in _FINAL]
        query = select(HELD).where(HELD.c.state.in_(states)).order_by(HELD.c.held_at, HELD.c.id)
        with reading(self._database) as connection:
            return tuple(_output(row) for row in connection.execute(query).mappings())

    def evidence(self, output: str) -> JsonValue:
        """Return what a reviewer at the node sees. Confidential: it must not leave the node.

        Raises:
            NotFoundError: no such output, or its evidence was destroyed.
        """
        return self._open(output)["evidence"]

    def approve(self, output: str, person: str, *, suppress_reviewed: bool = False) -> HeldOutput:
        """Let a candidate out, in the name of `person`; with `suppress_reviewed`, without the values under review.

        Raises:
            RefusedError: a requester, or somebody who has checked it already (`duties-not-separated`).
            ConflictError: it was decided already, or nothing of it may come out.
        """
        with writing(self._database) as connection:
            row = _row(connection, output)
            if json.loads(row["notice"])["final"]:
                raise ConflictError(
                    ErrorCode.TRANSITION_REFUSED,
                    "nothing of this result may come out, whoever approves it",
                    hint="reject it, so that its evidence is destroyed",
                )
            checks = self._check(connection, row, person, approves=True, suppress_reviewed=suppress_reviewed)
            is_last = checks >= row["checkers_needed"]
            self._move(connection, row, HeldEvent.APPROVE_LAST if is_last else HeldEvent.APPROVE)
        return self.find(output)

    def reject(self, output: str, person: str) -> HeldOutput:
        """Reject a candidate, in the name of `person`, and destroy its evidence; who had approved it may.

        Raises:
            RefusedError: a requester (`duties-not-separated`).
            ConflictError: it has ended already.
        """
        with writing(self._database) as connection:
            row = _row(connection, output)
            self._check(connection, row, person, approves=False, suppress_reviewed=True)
            self._move(connection, row, HeldEvent.REJECT)
        self._erase_key(output)
        return self.find(output)

    def approval(self, output: str) -> Approval:
        """Return what the release door needs to let an approved candidate out.

        Raises:
            ConflictError: it is not approved.
        """
        with reading(self._database) as connection:
            row = _row(connection, output)
            query = select(CHECK.c.suppress_reviewed).where(CHECK.c.held == output)
            wishes = connection.execute(query).scalars().all()
        transition(HeldState(row["state"]), HeldEvent.RELEASE)
        content = self._open(output)
        findings = content["findings"]
        if not isinstance(findings, list):
            raise _damaged()
        return Approval(
            candidate=str(content["candidate"]),
            findings=tuple(_finding(one) for one in findings),
            # The stricter of two wishes.
            suppress_reviewed=any(wishes),
        )

    def released(self, output: str) -> HeldOutput:
        """Record that an approved candidate went through the release door, and destroy its evidence."""
        with writing(self._database) as connection:
            self._move(connection, _row(connection, output), HeldEvent.RELEASE)
        self._erase_key(output)
        return self.find(output)

    def sweep(self) -> int:
        """Erase keys that a crash left behind (candidates that ended, or were never recorded); return how many."""
        with reading(self._database) as connection:
            query = select(HELD.c.id).where(HELD.c.sealed.is_not(None))
            needed = set(connection.execute(query).scalars())
        stale = [path for path in self._folder.glob("output-*.key") if path.stem not in needed]
        for path in stale:
            self._erase_key(path.stem)
        return len(stale)

    def _check(
        self, connection: Connection, row: RowMapping, person: str, *, approves: bool, suppress_reviewed: bool
    ) -> int:
        """Record one person's decision; return how many people approve now."""
        parse_party(person)
        # What has ended is refused as that, whoever asks.
        if HeldState(row["state"]) in _FINAL:
            transition(HeldState(row["state"]), HeldEvent.APPROVE)
        mine = select(CHECK.c.person).where(CHECK.c.held == row["id"], CHECK.c.person == person)
        if person in json.loads(row["requesters"]):
            raise RefusedError(ErrorCode.DUTIES_NOT_SEPARATED, "expected a checker who did not ask for this output")
        if connection.execute(mine).first() is not None:
            if approves:
                raise RefusedError(ErrorCode.DUTIES_NOT_SEPARATED, "expected a second person, got the same one")
            connection.execute(delete(CHECK).where(CHECK.c.held == row["id"], CHECK.c.person == person))
        connection.execute(
            insert(CHECK).values(
                held=row["id"],
                person=person,
                approves=approves,
                suppress_reviewed=suppress_reviewed,
                checked_at=format_time(self._clock.now()),
            )
        )
        query = select(CHECK.c.person).where(CHECK.c.held == row["id"], CHECK.c.approves)
        return len(connection.execute(query).all())

    def _move(self, connection: Connection, row: RowMapping, event: HeldEvent) -> None:
        state = transition(HeldState(row["state"]), event)
        values: dict[str, object] = {"state": state.value}
        if state in _FINAL:
            now = format_time(self._clock.now())
            values |= {"sealed": None, "ended_at": now, "destroyed_at": now}
        connection.execute(update(HELD).where(HELD.c.id == row["id"]).values(**values))

    def _seal(self, output: str, content: bytes) -> bytes:
        key = AESGCM.generate_key(bit_length=256)
        # SECURITY: exclusive, so that no link or older file is written through; on the disk before the row is.
        descriptor = os.open(self._key_path(output), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            os.write(descriptor, key)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + AESGCM(key).encrypt(nonce, content, output.encode())

    def _open(self, output: str) -> dict[str, JsonValue]:
        with reading(self._database) as connection:
            sealed = _row(connection, output)["sealed"]
        path = self._key_path(output)
        if sealed is None or not path.exists():
            raise NotFoundError(ErrorCode.OUTPUT_NOT_FOUND, "the evidence of this output was destroyed")
        try:
            content = AESGCM(path.read_bytes()).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], output.encode())
        except (InvalidTag, ValueError) as error:
            raise _damaged() from error
        found = json.loads(content)
        if not isinstance(found, dict):
            raise _damaged()
        return found

    def _erase_key(self, output: str) -> None:
        self._key_path(output).unlink(missing_ok=True)

    def _key_path(self, output: str) -> Path:
        return self._folder / f"{output}.key"


def _row(connection: Connection, output: str) -> RowMapping:
    row = connection.execute(select(HELD).where(HELD.c.id == output)).mappings().first()
    if row is None:
        raise NotFoundError(ErrorCode.OUTPUT_NOT_FOUND, "expected a held output of this node")
    return row


def _output(row: RowMapping) -> HeldOutput:
    return HeldOutput(
        id=row["id"],
        question=row["question"],
        requesters=tuple(json.loads(row["requesters"])),
        checkers_needed=row["checkers_needed"],
        state=HeldState(row["state"]),
        question_digest=row["question_digest"],
        rules=row["rules"],
        commitment=row["commitment"],
        notice=json.loads(row["notice"]),
        held_at=row["held_at"],
        ended_at=row["ended_at"],
        destroyed_at=row["destroyed_at"],
    )


def _finding(value: JsonValue) -> Finding:
    if not isinstance(value, dict):
        raise _damaged()
    dimension, cells = value["dimension"], value["cells"]
    return Finding(
        risk=Risk(str(value["risk"])),
        rule=str(value["rule"]),
        verdict=CheckVerdict(str(value["verdict"])),
        dimension=None if dimension is None else str(dimension),
        cells=cells if isinstance(cells, int) else None,
    )


def _damaged() -> TamperDetectedError:
    return TamperDetectedError(ErrorCode.STORE_DAMAGED, "the evidence of a held output has another form")
