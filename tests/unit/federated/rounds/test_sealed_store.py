"""Sealed checkpoints: what goes in comes out bit for bit, and nothing of it is readable or opens without its key."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, Table, delete, event, insert, select, update

from federated.horizontal.state import Phase, State
from federated.rounds.member_store import Computed, MemberStore
from federated.rounds.sealed_store import SealedStore
from sandbox.database import reading, writing
from sandbox.node.joint_tables import JOINT_SEALED, JOINT_STATE, JOINT_VECTOR
from tests.lib.nodes import new_node
from yingbi.canonical import digest_bytes, digest_json
from yingbi.commitment import commit, verify_opening
from yingbi.errors import ErrorCode, SandboxError, TamperDetectedError, VerificationError

JOB: Final = "job-tax-1"
OTHER: Final = "job-tax-2"
INPUT: Final = digest_json("state")

Rows = list[dict[str, Any]]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    home = new_node(tmp_path / "node")
    yield home.database
    home.close()


@pytest.fixture
def sealed(database: Engine, tmp_path: Path) -> SealedStore:
    return SealedStore(database, tmp_path / "sealed")


@pytest.fixture
def members(database: Engine) -> MemberStore:
    return MemberStore(database)


def state_of(step: int) -> State:
    arrays = {"weights": np.array([0.1, -0.0, 5e-324, 1 / 3]), "counts": np.array([[2**63 - 1, -1]], dtype=np.int64)}
    return State(phase=Phase.TRAIN, step=step, arrays=arrays)


def computed(values: list[int], rho: str | None = None) -> Computed:
    return Computed(input=INPUT, vector=np.array(values, dtype=np.uint64), rho=rho)


def fill(members: MemberStore, job: str, *, number: int = 3) -> None:
    """Let a job have a state and the vector of the round after it."""
    members.put_state(job, number, state_of(number))
    members.put_computed(job, number + 1, computed([0, 1, 2**64 - 1], "0.05"))


def rows(database: Engine, table: Table) -> Rows:
    with reading(database) as connection:
        return [dict(row) for row in connection.execute(select(table).order_by(*table.primary_key)).mappings()]


def readable(database: Engine) -> tuple[Rows, Rows]:
    return rows(database, JOINT_STATE), rows(database, JOINT_VECTOR)


def change(database: Engine, job: str, **values: object) -> None:
    with writing(database) as connection:
        connection.execute(update(JOINT_SEALED).where(JOINT_SEALED.c.job == job).values(**values))


def row_of(database: Engine, job: str) -> Mapping[str, Any]:
    return next(row for row in rows(database, JOINT_SEALED) if row["job"] == job)


def refused(sealed: SealedStore, database: Engine, job: str = JOB) -> None:
    """Expect that a checkpoint does not open, that nothing of it is put back, and that it stays as it is."""
    before = readable(database), rows(database, JOINT_SEALED)
    with pytest.raises(TamperDetectedError) as caught:
        sealed.unseal(job)
    assert caught.value.code is ErrorCode.STORE_DAMAGED
    assert (readable(database), rows(database, JOINT_SEALED)) == before


# --- there and back ---------------------------------------------------------------------------------------------------


def test_state_and_vector_come_back_as_they_were(
    sealed: SealedStore, members: MemberStore, database: Engine, tmp_path: Path
) -> None:
    fill(members, JOB)
    before = readable(database)
    checkpoint = sealed.seal(JOB)
    assert checkpoint is not None
    assert (checkpoint.job, checkpoint.round) == (JOB, 3)
    assert readable(database) == ([], [])
    assert members.state(JOB) is None
    assert sealed.unseal(JOB)
    assert readable(database) == before
    found = members.state(JOB)
    assert found is not None
    assert (found[0], found[1].digest()) == (3, state_of(3).digest())
    assert np.signbit(found[1].arrays["weights"][1]), "bit for bit, the sign of a zero too"
    vector = members.computed(JOB, 4)
    assert vector is not None
    assert (vector.vector.tolist(), vector.rho, vector.input) == ([0, 1, 2**64 - 1], "0.05", INPUT)
    assert sealed.jobs() == ()
    assert list((tmp_path / "sealed").iterdir()) == [], "the key is gone with what it opened"


def test_a_job_that_had_no_state_yet_comes_back_with_its_vector(
    sealed: SealedStore, members: MemberStore, database: Engine
) -> None:
    members.put_computed(JOB, 1, computed([7]))
    before = readable(database)
    checkpoint = sealed.seal(JOB)
    assert checkpoint is not None
    assert checkpoint.round == 0, "before the first round"
    sealed.unseal(JOB)
    assert readable(database) == before == ([], before[1])
    assert members.state(JOB) is None


def test_a_job_that_has_a_state_and_no_vector_comes_back_so(
    sealed: SealedStore, members: MemberStore, database: Engine
) -> None:
    members.put_state(JOB, 12, state_of(12))
    before = readable(database)
    checkpoint = sealed.seal(JOB)
    assert checkpoint is not None
    assert checkpoint.round == 12
    sealed.unseal(JOB)
    assert readable(database) == before


KEPT = st.tuples(st.binary(max_size=40), st.none() | st.sampled_from(["0", "0.05", "1.25"]), st.integers(0, 9))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    state=st.none() | st.tuples(st.integers(0, 2**31 - 1), st.binary(max_size=60)),
    vectors=st.dictionaries(st.integers(1, 10**6), KEPT, max_size=5),
)
def test_whatever_a_job_has_comes_back(
    sealed: SealedStore,
    database: Engine,
    state: tuple[int, bytes] | None,
    vectors: dict[int, tuple[bytes, str | None, int]],
) -> None:
    with writing(database) as connection:
        for table in (JOINT_STATE, JOINT_VECTOR):
            connection.execute(delete(table))
        if state is not None:
            connection.execute(insert(JOINT_STATE).values(job=JOB, round=state[0], state=state[1]))
        for number, (vector, rho, of) in vectors.items():
            row = {"round": number, "input": digest_json(of), "vector": vector, "rho": rho}
            connection.execute(insert(JOINT_VECTOR).values(job=JOB, **row))
    before = readable(database)
    checkpoint = sealed.seal(JOB)
    assert readable(database) == ([], [])
    if checkpoint is None:
        assert (state, vectors) == (None, {})
    else:
        assert checkpoint.round == (0 if state is None else state[0])
    assert sealed.unseal(JOB) is (checkpoint is not None)
    assert readable(database) == before


def test_other_jobs_keep_what_they_have(sealed: SealedStore, members: MemberStore, database: Engine) -> None:
    fill(members, OTHER, number=1)
    before = readable(database)
    fill(members, JOB)
    sealed.seal(JOB)
    assert readable(database) == before
    assert sealed.seal("job-nothing") is None
    assert not sealed.unseal("job-nothing")
    assert readable(database) == before


def test_a_process_that_starts_anew_opens_what_another_sealed(
    sealed: SealedStore, members: MemberStore, database: Engine, tmp_path: Path
) -> None:
    fill(members, JOB)
    before = readable(database)
    sealed.seal(JOB)
    assert SealedStore(database, tmp_path / "sealed").unseal(JOB)
    assert readable(database) == before


# --- what is left to read ---------------------------------------------------------------------------------------------


def test_nothing_is_left_to_read_in_the_files_of_the_database(
    sealed: SealedStore, members: MemberStore, database: Engine, tmp_path: Path
) -> None:
    # A SQLite that was not built to overwrite what it deletes.
    event.listen(database, "connect", lambda connection, _: connection.execute("pragma secure_delete=off"), insert=True)
    database.dispose()
    marker = os.urandom(4096)
    vector = np.frombuffer(marker, dtype=np.uint64)
    members.put_computed(JOB, 1, Computed(input=INPUT, vector=vector, rho=None))
    state = State(phase=Phase.TRAIN, step=1, arrays={"weights": vector})
    members.put_state(JOB, 1, state)
    parts = (marker[:64], marker[2048:2112])
    assert all(_finds(tmp_path / "node", part) for part in parts), "the search finds what is there"
    sealed.seal(JOB)
    assert not any(_finds(tmp_path / "node", part) for part in parts)


def _finds(folder: Path, part: bytes) -> bool:
    return any(part in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_the_row_has_neither_key_nor_plain_text(
    sealed: SealedStore, members: MemberStore, database: Engine, tmp_path: Path
) -> None:
    fill(members, JOB)
    sealed.seal(JOB)
    row = row_of(database, JOB)
    key = (tmp_path / "sealed" / f"{JOB}.key").read_bytes()
    assert len(key) == 32
    assert key not in bytes(row["sealed"]) + bytes(row["nonce"])
    assert b"vectors" not in bytes(row["sealed"])


def test_a_key_is_a_file_of_its_own_that_only_the_owner_reads(
    sealed: SealedStore, members: MemberStore, tmp_path: Path
) -> None:
    for job in (JOB, OTHER):
        fill(members, job)
        sealed.seal(job)
    folder = tmp_path / "sealed"
    files = {path.name: path for path in folder.iterdir()}
    assert set(files) == {f"{JOB}.key", f"{OTHER}.key"}
    assert {path.stat().st_mode & 0o777 for path in files.values()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len({path.read_bytes() for path in files.values()}) == 2


def test_each_sealing_has_a_key_of_its_own(
    sealed: SealedStore, members: MemberStore, database: Engine, tmp_path: Path
) -> None:
    fill(members, JOB)
    keys, ciphertexts, commitments = set(), set(), set()
    for _ in range(3):
        checkpoint = sealed.seal(JOB)
        assert checkpoint is not None
        keys.add((tmp_path / "sealed" / f"{JOB}.key").read_bytes())
        ciphertexts.add(bytes(row_of(database, JOB)["sealed"]))
        commitments.add(checkpoint.opening.commitment)
        sealed.unseal(JOB)
    assert (len(keys), len(ciphertexts), len(commitments)) == (3, 3, 3)


def test_a_key_that_a_dead_process_left_is_not_used(
    sealed: SealedStore, members: MemberStore, database: Engine, tmp_path: Path
) -> None:
    fill(members, JOB)
    before = readable(database)
    left = tmp_path / "sealed" / f"{JOB}.key"
    left.write_bytes(b"k" * 32)
    assert sealed.seal(JOB) is not None
    assert left.read_bytes() != b"k" * 32
    assert left.stat().st_mode & 0o777 == 0o600
    sealed.unseal(JOB)
    assert readable(database) == before


# --- again ------------------------------------------------------------------------------------------------------------


def test_what_is_sealed_already_stays_as_it_is(
    sealed: SealedStore, members: MemberStore, database: Engine, tmp_path: Path
) -> None:
    fill(members, JOB)
    before = readable(database)
    sealed.seal(JOB)
    key, row = (tmp_path / "sealed" / f"{JOB}.key").read_bytes(), row_of(database, JOB)
    assert sealed.seal(JOB) is None
    assert ((tmp_path / "sealed" / f"{JOB}.key").read_bytes(), row_of(database, JOB)) == (key, row)
    assert sealed.unseal(JOB)
    assert not sealed.unseal(JOB)
    assert readable(database) == before


@pytest.mark.parametrize("is_sealed_again", [True, False])
def test_what_came_since_costs_neither_itself_nor_the_checkpoint(
    sealed: SealedStore, members: MemberStore, database: Engine, is_sealed_again: bool
) -> None:
    fill(members, JOB)
    first = sealed.seal(JOB)
    # A round that still ran while its job was interrupted, and one that was asked once more.
    with writing(database) as connection:
        for number in (5, 4):
            row = {"job": JOB, "round": number, "input": INPUT, "vector": bytes(8), "rho": None}
            connection.execute(insert(JOINT_VECTOR).values(**row))
    members.put_state(JOB, 1, state_of(1))
    if is_sealed_again:
        second = sealed.seal(JOB)
        assert first is not None
        assert second is not None
        assert second.opening.commitment != first.opening.commitment
        assert sealed.jobs() == ((JOB, second.opening.commitment),)
        assert second.round == 3
        assert readable(database) == ([], [])
    assert sealed.unseal(JOB)
    kept = [members.computed(JOB, number) for number in (4, 5)]
    assert [None if one is None else one.vector.tolist() for one in kept] == [[0, 1, 2**64 - 1], [0]], (
        "the first stands"
    )
    state = members.state(JOB)
    assert state is not None
    assert state[0] == 3, "an earlier state does not replace a later one"
    assert sealed.jobs() == ()


def test_a_later_state_that_came_since_stands(sealed: SealedStore, members: MemberStore) -> None:
    fill(members, JOB)
    sealed.seal(JOB)
    members.put_state(JOB, 4, state_of(4))
    sealed.unseal(JOB)
    state = members.state(JOB)
    assert state is not None
    assert (state[0], state[1].step) == (4, 4)


# --- what does not open -----------------------------------------------------------------------------------------------


def test_without_its_key_nothing_opens(
    sealed: SealedStore, members: MemberStore, database: Engine, tmp_path: Path
) -> None:
    fill(members, JOB)
    sealed.seal(JOB)
    (tmp_path / "sealed" / f"{JOB}.key").unlink()
    refused(sealed, database)
    assert [job for job, _ in sealed.jobs()] == [JOB]


@pytest.mark.parametrize("key", [b"", b"short", b"\0" * 32, b"\0" * 64], ids=len)
def test_another_key_opens_nothing(
    sealed: SealedStore, members: MemberStore, database: Engine, tmp_path: Path, key: bytes
) -> None:
    fill(members, JOB)
    sealed.seal(JOB)
    (tmp_path / "sealed" / f"{JOB}.key").write_bytes(key)
    refused(sealed, database)


def test_a_key_that_others_can_read_is_not_used(
    sealed: SealedStore, members: MemberStore, database: Engine, tmp_path: Path
) -> None:
    fill(members, JOB)
    sealed.seal(JOB)
    (tmp_path / "sealed" / f"{JOB}.key").chmod(0o644)
    with pytest.raises(SandboxError) as caught:
        sealed.unseal(JOB)
    assert caught.value.code is ErrorCode.KEY_EXPOSED
    assert readable(database) == ([], [])


@pytest.mark.parametrize("place", [0, 30, -1])
@pytest.mark.parametrize("column", ["sealed", "nonce"])
def test_one_changed_bit_is_found(
    sealed: SealedStore, members: MemberStore, database: Engine, column: str, place: int
) -> None:
    fill(members, JOB)
    sealed.seal(JOB)
    data = bytearray(row_of(database, JOB)[column])
    data[place % len(data)] ^= 1
    change(database, JOB, **{column: bytes(data)})
    refused(sealed, database)


@pytest.mark.parametrize("kept", [0, 10, -1])
def test_less_than_all_of_it_is_found(sealed: SealedStore, members: MemberStore, database: Engine, kept: int) -> None:
    fill(members, JOB)
    sealed.seal(JOB)
    change(database, JOB, sealed=bytes(row_of(database, JOB)["sealed"])[:kept])
    refused(sealed, database)


def test_another_jobs_checkpoint_is_not_this_jobs(
    sealed: SealedStore, members: MemberStore, database: Engine, tmp_path: Path
) -> None:
    fill(members, JOB)
    fill(members, OTHER, number=8)
    sealed.seal(JOB)
    sealed.seal(OTHER)
    theirs = row_of(database, OTHER)
    change(database, JOB, sealed=theirs["sealed"], nonce=theirs["nonce"])
    refused(sealed, database)
    # With the other's key as well, it is still the other's.
    (tmp_path / "sealed" / f"{JOB}.key").write_bytes((tmp_path / "sealed" / f"{OTHER}.key").read_bytes())
    refused(sealed, database)
    assert sealed.unseal(OTHER)


def test_an_older_checkpoint_of_the_same_job_does_not_come_back(
    sealed: SealedStore, members: MemberStore, database: Engine
) -> None:
    fill(members, JOB, number=1)
    sealed.seal(JOB)
    older = row_of(database, JOB)
    sealed.unseal(JOB)
    members.put_state(JOB, 2, state_of(2))
    sealed.seal(JOB)
    change(database, JOB, **{name: older[name] for name in ("sealed", "nonce", "commitment")})
    refused(sealed, database)


# --- destroying and listing -------------------------------------------------------------------------------------------


def test_what_is_destroyed_is_gone_with_its_key(
    sealed: SealedStore, members: MemberStore, database: Engine, tmp_path: Path
) -> None:
    for job in (JOB, OTHER):
        fill(members, job)
        sealed.seal(job)
    for _ in range(2):
        sealed.destroy(JOB)
        assert [path.name for path in (tmp_path / "sealed").iterdir()] == [f"{OTHER}.key"]
        assert [row["job"] for row in rows(database, JOINT_SEALED)] == [OTHER]
    assert not sealed.unseal(JOB)
    assert readable(database) == ([], [])
    assert sealed.unseal(OTHER)
    sealed.destroy("job-nothing")


def test_what_was_copied_before_it_was_destroyed_does_not_open(
    sealed: SealedStore, members: MemberStore, database: Engine
) -> None:
    fill(members, JOB)
    sealed.seal(JOB)
    copy = row_of(database, JOB)
    sealed.destroy(JOB)
    with writing(database) as connection:
        connection.execute(insert(JOINT_SEALED).values(**copy))
    refused(sealed, database)


def test_jobs_are_listed_with_their_commitments(sealed: SealedStore, members: MemberStore) -> None:
    assert sealed.jobs() == ()
    made = {}
    for job in (OTHER, JOB):
        fill(members, job)
        checkpoint = sealed.seal(job)
        assert checkpoint is not None
        made[job] = checkpoint.opening.commitment
    assert sealed.jobs() == ((JOB, made[JOB]), (OTHER, made[OTHER]))
    sealed.unseal(JOB)
    assert sealed.jobs() == ((OTHER, made[OTHER]),)


def test_the_commitment_is_to_the_digest_of_the_ciphertext(
    sealed: SealedStore, members: MemberStore, database: Engine
) -> None:
    fill(members, JOB)
    checkpoint = sealed.seal(JOB)
    assert checkpoint is not None
    row = row_of(database, JOB)
    digest = digest_bytes(bytes(row["sealed"]))
    assert checkpoint.opening.value == f'"{digest}"'.encode()
    verify_opening(row["commitment"], checkpoint.opening)
    with pytest.raises(VerificationError):
        verify_opening(row["commitment"], commit(digest))
    assert digest not in repr(checkpoint), "the opening shows nothing of itself"
