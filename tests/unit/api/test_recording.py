"""The recorder: what is judged is what is recorded, at the time that was judged; what fails leaves no doubt."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from api.ceremony import ADMINISTRATORS_IN_ORDER, sign_ceremony
from api.database import open_database, writing
from api.documents import Documents
from api.entries import EntryIndex
from api.migrations import upgrade
from api.recording import PinnedClock, Recorder
from api.replay import catch_up
from api.submissions import Submission
from ledger.cosigning import CosigningThread
from ledger.entry import parse_entry
from ledger.high_water import HighWaterMark
from ledger.log import Log, create_log
from ledger.note import TextSigner
from ledger.store_sql import SqlStore
from policies.standing import MissingSignaturesError, Standing, StatementRefusedError
from tests.lib.failing_store import STEPS, FailingStore
from tests.lib.hubs import BUREAU, fixed_key
from tests.lib.local_witnesses import LocalWitnesses
from yingbi.clock import FixedClock, format_time
from yingbi.commitment import commit
from yingbi.errors import ErrorCode, SandboxError, UnavailableError, VerificationError
from yingbi.ids import new_id, new_nonce
from yingbi.keys import SigningKey
from yingbi.statement import Statement, sign

ORIGIN = "log.example/recorder"
ROOT, SERVICE, LOG_KEY = fixed_key("root"), fixed_key("service"), fixed_key("log")
PEOPLE = {duty: (f"person:{duty.value}", fixed_key(duty.value)) for duty in ADMINISTRATORS_IN_ORDER}


class World:
    """A log in SQLite, around which things can fail, and a recorder."""

    def __init__(self, folder: Path, clock: FixedClock) -> None:
        self.clock = clock
        self.signer = TextSigner(ORIGIN, LOG_KEY)
        self.mark = HighWaterMark(folder / "mark")
        self.real = SqlStore.create(f"sqlite:///{folder}/log.sqlite", ORIGIN)
        create_log(self.real, [self.signer], self.mark)
        self.store = FailingStore(self.real)
        self.engine = open_database(f"sqlite:///{folder}/hub.sqlite")
        with writing(self.engine) as connection:
            upgrade(connection)

    def standing(self) -> Standing:
        return Standing(bureau=BUREAU, roots=[ROOT.public], find_terms=lambda _: None)

    @contextmanager
    def open(self, witnesses: LocalWitnesses | None = None, timeout_s: float = 20.0) -> Iterator[Recorder]:
        pinned = PinnedClock(self.clock)
        source = None if witnesses is None else CosigningThread(witnesses.round())
        log = Log.open(
            self.store,
            [self.signer],
            clock=pinned,
            high_water=self.mark,
            cosignatures=source,
        )
        recorder = Recorder(
            log=log,
            store=self.real,
            clock=pinned,
            documents=Documents(self.engine, self.clock),
            make_standing=lambda find: Standing(bureau=BUREAU, roots=[ROOT.public], find_terms=find),
            timeout_s=timeout_s,
        )
        with log, recorder:
            yield recorder

    def folded(self) -> Standing:
        """Return the standing of whoever reads the log from its beginning."""
        standing = self.standing()
        catch_up(self.real, standing, EntryIndex())
        return standing

    def ceremony(self) -> Submission:
        at = format_time(self.clock.now())
        return Submission(statements=sign_ceremony(BUREAU, root=ROOT, service_key=SERVICE, people=PEOPLE, at=at))

    def registration(self, owner: str, *signers: SigningKey) -> Statement:
        key = fixed_key(owner)
        at = format_time(self.clock.now())
        payload: dict[str, object] = {
            "type": "key.registered",
            "id": new_id("key"),
            "issuer": BUREAU,
            "on_behalf_of": None,
            "issued_at": at,
            "nonce": new_nonce(),
            "subject": [],
            "refs": {},
            "body": {"jwk": key.public.to_jwk(), "owner": owner, "not_before": at, "not_after": None},
        }
        return sign(payload, [key, *(signers or (ROOT,))])


@pytest.fixture
def world(tmp_path: Path, clock: FixedClock) -> Iterator[World]:
    made = World(tmp_path, clock)
    yield made
    made.real.close()
    made.engine.dispose()


def one(statement: Statement) -> Submission:
    return Submission(statements=(statement,))


def test_entries_have_the_time_that_was_judged_whatever_the_clock_does(world: World) -> None:
    with world.open() as recorder:
        recorder.record(world.ceremony())
        first = recorder.record(one(world.registration("partner:a"))).entries[0]
        world.clock.at -= timedelta(minutes=3)
        second = recorder.record(one(world.registration("partner:b"))).entries[0]
    assert first.time == second.time, "the log's time does not go back"
    for entry in (first, second):
        assert parse_entry(world.real.read_entries(entry.index, entry.index + 1)[0]).time == entry.time


def test_what_stands_is_what_anybody_folds_from_the_log(world: World) -> None:
    with world.open() as recorder:
        recorder.record(world.ceremony())
        with ThreadPoolExecutor(16) as pool:
            submissions = [one(world.registration(f"partner:p{number}")) for number in range(64)]
            done = list(pool.map(recorder.record, submissions))
        assert sorted(found.entries[0].index for found in done) == list(range(7, 71))
        folded, standing = world.folded(), recorder.standing
    assert folded.size == standing.size == 71
    at = format_time(world.clock.now())
    for number in range(64):
        keyid = fixed_key(f"partner:p{number}").public.thumbprint
        assert folded.keys.find(keyid, at=at) == standing.keys.find(keyid, at=at) is not None


def test_one_that_is_refused_is_dropped_alone(world: World) -> None:
    with world.open() as recorder:
        recorder.record(world.ceremony())
        bad = one(world.registration("partner:x", fixed_key("stranger")))
        good = [one(world.registration(f"partner:p{number}")) for number in range(8)]
        with ThreadPoolExecutor(9) as pool:
            refused = pool.submit(recorder.record, bad)
            done = list(pool.map(recorder.record, good))
            with pytest.raises(StatementRefusedError):
                refused.result()
        assert len({found.entries[0].index for found in done}) == 8
        assert recorder.standing.size == world.folded().size == 15


def test_a_refused_statement_among_several_leaves_nothing_of_the_others(world: World) -> None:
    with world.open() as recorder:
        recorder.record(world.ceremony())
        several = (world.registration("partner:a"), world.registration("partner:b", fixed_key("stranger")))
        with pytest.raises(StatementRefusedError):
            recorder.record(Submission(statements=several))
        with pytest.raises(MissingSignaturesError):
            recorder.record(one(world.registration("partner:c", fixed_key("service"))))
        assert recorder.standing.size == world.real.read_head().size == 7
        assert recorder.record(one(several[0])).entries[0].index == 7


def test_what_was_recorded_is_found_again_after_a_restart_too(world: World) -> None:
    statement = one(world.registration("partner:a"))
    with world.open() as recorder:
        recorder.record(world.ceremony())
        first = recorder.record(statement)
        again = recorder.record(statement)
    assert (first.is_new, again.is_new) == (True, False)
    with world.open() as recorder:
        found = recorder.record(statement)
    assert [entry.index for entry in found.entries] == [entry.index for entry in first.entries] == [7]


def test_an_opening_that_opens_nothing_is_refused_before_the_log_sees_it(world: World) -> None:
    with world.open() as recorder:
        recorder.record(world.ceremony())
        stray = Submission(statements=(world.registration("partner:a"),), openings=(commit("x"),))
        with pytest.raises(VerificationError):
            recorder.record(stray)
        assert recorder.is_well


def test_what_follows_is_recorded_with_it_or_nothing_is(world: World) -> None:
    second, wrong = world.registration("partner:b"), world.registration("partner:c", fixed_key("stranger"))
    with world.open() as recorder:
        recorder.record(world.ceremony())
        both = Submission(statements=(world.registration("partner:a"),), then=lambda *_: one(second))
        assert [entry.index for entry in recorder.record(both).entries] == [7, 8]
        with pytest.raises(StatementRefusedError):
            recorder.record(Submission(statements=(world.registration("partner:d"),), then=lambda *_: one(wrong)))
        assert recorder.record(Submission(then=lambda *_: Submission())).entries == ()
        assert recorder.standing.size == world.folded().size == 9


def test_an_unforeseen_error_in_what_follows_ends_only_its_own_submission(world: World) -> None:
    def broken(*_: object) -> Submission:
        raise ZeroDivisionError

    with world.open() as recorder:
        with pytest.raises(SandboxError) as caught:
            recorder.record(Submission(then=broken))
        assert caught.value.code is ErrorCode.INTERNAL
        assert len(recorder.record(world.ceremony()).entries) == 7


@pytest.mark.parametrize("step", [step for step in STEPS if step not in ("acquire", "find_submissions")])
def test_whatever_step_of_the_log_fails_the_standing_is_the_logs(world: World, step: str) -> None:
    statement = one(world.registration("partner:a"))
    with world.open() as recorder:
        recorder.record(world.ceremony())
        world.store.fail_at = step
        outcomes: list[object] = []
        for _ in range(3):
            try:
                outcomes.append(recorder.record(statement).entries[0].index)
            except UnavailableError as error:
                outcomes.append(error.code.value)
        assert outcomes[-1] == 7, outcomes
        assert recorder.standing.size == world.folded().size == 8
        assert world.store.failures == 1 or step in ("add_submissions", "add_openings"), step
        assert recorder.is_well


def test_without_a_quorum_it_is_recorded_and_said_not_to_be_published(world: World) -> None:
    witnesses = LocalWitnesses([world.signer.verifier], world.clock)
    statement = one(world.registration("partner:a"))
    with world.open(witnesses, timeout_s=1.0) as recorder:
        recorder.record(world.ceremony())
        witnesses.members[0].is_down = True
        with pytest.raises(UnavailableError) as caught:
            recorder.record(statement)
        assert caught.value.code is ErrorCode.QUORUM_NOT_MET
        assert recorder.standing.size == world.folded().size == 8, "it is recorded all the same"
        witnesses.members[0].is_down = False
        assert recorder.record(statement).entries[0].index == 7


def test_a_recorder_that_was_closed_takes_nothing(world: World) -> None:
    with world.open() as recorder:
        recorder.record(world.ceremony())
    with pytest.raises(UnavailableError) as caught:
        recorder.record(one(world.registration("partner:a")))
    assert caught.value.code is ErrorCode.LOG_CLOSED
