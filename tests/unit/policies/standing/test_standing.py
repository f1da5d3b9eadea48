"""The fold: replays, time, types without a rule, the same from the same entries."""

import pickle
from datetime import timedelta

import pytest

from policies.model import terms_digest
from policies.standing import (
    MAX_AHEAD,
    REPLAY_WINDOW,
    MissingSignaturesError,
    Rule,
    Standing,
    StatementRefusedError,
    UnknownTermsError,
)
from tests.lib.realm import BUREAU, DATASET, DIGEST, PARTNER, Realm
from yingbi.clock import format_time, parse_time
from yingbi.events import EntryType
from yingbi.events.fields import Duty
from yingbi.ids import new_id

# Types that later parts of the product bring rules for; until then they have no effect, whoever signs.
WITHOUT_RULE = ("code", "challenge", "lease")


def summary(standing: Standing, realm: Realm) -> tuple[object, ...]:
    """Return all that a standing says, but for participants, which other tests look at."""
    return (
        standing.size,
        list(standing.jobs.items()),
        standing.jobs.charged("agr-tax-2026-01"),
        list(standing.agreements.items()),
        list(standing.datasets.items()),
        standing.people.holders(at=realm.at),
        standing.keys.of("partner:new", at=realm.at),
        standing.frozen,
    )


def refusal(realm: Realm, statement: object, at: str | None = None) -> Rule:
    with pytest.raises(StatementRefusedError) as caught:
        realm.standing.take(statement, index=realm.standing.size, at=at or realm.at)  # type: ignore[arg-type]
    return caught.value.rule


def test_a_statement_is_taken_once(realm: Realm) -> None:
    statement = realm.say("job.submitted", new_id("job"), realm.submitted(), PARTNER)
    assert refusal(realm, statement) is Rule.REPLAY


def test_a_replay_is_refused_as_long_as_the_statement_is_not_too_old_anyway(realm: Realm) -> None:
    body = {"target": PARTNER, "reason": "incident", "drill": False, "note": None}
    first = realm.say("access.frozen", new_id("access"), body, "person:sec")
    for days in (1, 3, 6.99):
        at = format_time(parse_time(realm.at) + timedelta(days=days))
        other = realm.statement("access.frozen", new_id("access"), body, "person:sec")
        realm.standing.take(other, index=realm.standing.size, at=at)
        assert refusal(realm, first, at) is Rule.REPLAY
    assert refusal(realm, first, format_time(parse_time(realm.at) + REPLAY_WINDOW + timedelta(seconds=1))) is Rule.TIME


@pytest.mark.parametrize(
    ("shift", "fits"),
    [
        (timedelta(), True),
        (-MAX_AHEAD, True),
        (-MAX_AHEAD - timedelta(microseconds=1), False),
        (REPLAY_WINDOW, True),
        (REPLAY_WINDOW + timedelta(microseconds=1), False),
    ],
)
def test_a_statement_is_recorded_near_the_time_it_was_issued(realm: Realm, shift: timedelta, fits: bool) -> None:
    statement = realm.statement(
        "job.submitted", new_id("job"), realm.submitted(expires_at=realm.later(days=30)), PARTNER
    )
    at = format_time(parse_time(realm.at) + shift)
    if fits:
        realm.standing.take(statement, index=realm.standing.size, at=at)
    else:
        assert refusal(realm, statement, at) is Rule.TIME


def test_every_type_has_a_rule_or_is_known_to_have_none(realm: Realm) -> None:
    judged = set(realm.standing._rules) | {kind for kind in EntryType if kind.split(".")[0] in ("key", "log")}
    without = {kind for kind in EntryType if kind not in judged}
    known = {
        EntryType.BUDGET_GRANTED,
        EntryType.ACCESS_LOCATION_CAPABILITY_MINTED,
        EntryType.ACCESS_LOCATION_CAPABILITY_ENDED,
        *(kind for kind in EntryType if kind.split(".")[0] in WITHOUT_RULE),
    }
    assert without == known


def test_a_type_without_a_rule_has_no_effect(realm: Realm) -> None:
    body = {"holder": PARTNER, "dataset": "ds-x", "measure": "jobs", "amount": "1", "delta": None}
    statement = realm.statement("budget.granted", new_id("budget"), {**body, "valid_until": realm.at}, BUREAU)
    assert refusal(realm, statement) is Rule.TYPE


def test_judging_changes_nothing(realm: Realm) -> None:
    statement = realm.statement("job.submitted", new_id("job"), realm.submitted(), PARTNER)
    size = realm.standing.size
    realm.standing.judge(statement, at=realm.at)
    realm.standing.judge(statement, at=realm.at)
    assert (realm.standing.size, list(realm.standing.jobs.items())) == (size, [])


@pytest.mark.parametrize("index", [0, 10_000])
def test_entries_are_taken_in_order(realm: Realm, index: int) -> None:
    statement = realm.statement("job.submitted", new_id("job"), realm.submitted(), PARTNER)
    with pytest.raises(ValueError, match="expected entry"):
        realm.standing.take(statement, index=index, at=realm.at)
    with pytest.raises(ValueError, match="expected entry"):
        realm.standing.skip(index)


def test_the_same_entries_make_the_same_standing(realm: Realm) -> None:
    terms = realm.agree()
    job = realm.submit()
    realm.run(job, terms)
    again = Standing(bureau=BUREAU, roots=[realm.key("root").public], find_terms=lambda digest: realm.texts.get(digest))
    for index, statement in enumerate(realm.entries):
        again.take(statement, index=index, at=realm.at)
    assert summary(realm.standing, realm) == summary(again, realm)


def test_a_fork_goes_its_own_way_and_knows_what_the_first_knew(realm: Realm) -> None:
    terms = realm.agree()
    job = realm.submit()
    first, realm.standing = realm.standing, realm.standing.fork()
    before = summary(first, realm)
    assert summary(realm.standing, realm) == before
    realm.run(job, terms)
    realm.register("partner:new")
    realm.grant("person:cdo", Duty.OUTPUT_CHECKER, "unit:tax")
    realm.say("dataset.withdrawn", DATASET, {"reason": "incident", "running_jobs": "stop", "note": None}, "person:cdo")
    body = {"terms": terms_digest(terms), "reason": "request", "running_jobs": "finish", "note": None}
    realm.say("agreement.revoked", terms.id, body, PARTNER)
    freeze = {"target": PARTNER, "reason": "incident", "drill": False, "note": None}
    realm.say("access.frozen", new_id("access"), freeze, "person:sec")
    after = summary(realm.standing, realm)
    assert summary(first, realm) == before
    assert all(one != other for one, other in zip(before, after, strict=True))


def test_a_fork_remembers_what_must_not_come_again(realm: Realm) -> None:
    statement = realm.say("job.submitted", new_id("job"), realm.submitted(), PARTNER)
    realm.standing = realm.standing.fork()
    assert refusal(realm, statement) is Rule.REPLAY


@pytest.mark.parametrize(
    "error",
    [
        StatementRefusedError(Rule.DUTY, "no", hint="yes"),
        MissingSignaturesError(("root",)),
        UnknownTermsError(DIGEST),
    ],
)
def test_refusals_pass_between_processes(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
