"""Federations: who says what of them, and what their members' jobs have to be."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from policies.federations import ENDED, FederationLife, FederationState
from policies.model import terms_digest
from policies.standing import JobStanding, Rule, Standing, StatementRefusedError
from tests.lib.alliance import OPERATION, OTHER, TERMS, Alliance, digest
from tests.lib.realm import BUREAU, DIGEST, PARTNER
from yingbi.events.fields import Duty
from yingbi.ids import new_id
from yingbi.sealing import ResultKey
from yingbi.statement import Statement

FREEZE = {"reason": "incident", "drill": False, "note": None}


@cache
def settled() -> Alliance:
    return Alliance().settle("abcdefghi")


@pytest.fixture
def alliance() -> Alliance:
    return settled().forked()


@pytest.fixture
def jobs(alliance: Alliance) -> dict[str, str]:
    """The jobs of three units, started."""
    return {name: alliance.start_job(name) for name in "abc"}


@pytest.fixture
def running(alliance: Alliance, jobs: dict[str, str]) -> str:
    return alliance.federate(jobs)


def refusal(alliance: Alliance, statement: Statement, match: str | None = None) -> Rule:
    before = alliance.standing.size
    with pytest.raises(StatementRefusedError, match=match) as caught:
        alliance.take(statement)
    assert alliance.standing.size == before + 1
    return caught.value.rule


def job_of(alliance: Alliance, job: str) -> JobStanding:
    found = alliance.standing.jobs.get(job)
    assert found is not None
    return found


def life_of(alliance: Alliance, federation: str) -> FederationLife:
    return alliance.of(federation).life


def private(alliance: Alliance, names: str = "abcd", epsilon: str | None = "1") -> dict[str, str]:
    """Return jobs in private mode, under agreements of their own."""
    found = {}
    for name in names:
        terms = alliance.agree_with(name, f"unit:{name}", private=True)
        found[name] = alliance.start_job(name, terms=terms, epsilon=epsilon)
    return found


def start(alliance: Alliance, names: str, **changes: object) -> str:
    return alliance.federate({name: alliance.start_job(name) for name in names}, **changes)


# --- the whole way ----------------------------------------------------------------------------------------------------


def test_from_joining_to_the_release(alliance: Alliance, jobs: dict[str, str], running: str) -> None:
    first = alliance.standing.size - 4
    for _ in range(3):
        alliance.run_round(running)
    alliance.take(alliance.completing(running))
    found = alliance.of(running)
    assert (found.state, len(found.completed), found.partner) == (FederationState.COMPLETED, 3, PARTNER)
    assert found.entries == tuple(range(first, alliance.standing.size))
    assert [len(some) for some in found.rounds] == [4 + 5, 5, 5]
    for name, job in jobs.items():
        alliance.take(alliance.release(job, name))
        assert job_of(alliance, job).ciphertext == DIGEST


def test_what_a_federation_is_says_its_start(alliance: Alliance, jobs: dict[str, str], running: str) -> None:
    found = alliance.of(running)
    assert (found.started.recipe, found.started.app, found.started.terms) == ("logistic_regression", DIGEST, TERMS)
    assert [(item.node, item.job) for item in found.members] == [(f"node:{name}", jobs[name]) for name in "abc"]
    assert [item.key for item in found.joined] == [
        one.key for job in jobs.values() if (one := alliance.standing.federations.joined(job, 1)) is not None
    ]
    assert alliance.standing.federations.of_job(jobs["a"]) == found
    assert list(alliance.standing.federations.items()) == [found]


def test_an_attempt_knows_the_entry_that_opened_it(alliance: Alliance, running: str) -> None:
    alliance.take(alliance.round_starting(running))
    index = alliance.standing.size - 1
    alliance.take(alliance.contributing(running, "a"))
    attempt = alliance.of(running).attempt
    assert attempt is not None
    assert attempt.started == index
    assert set(attempt.contributions) == {"node:a"}


def test_a_private_federation_goes_on_without_one(alliance: Alliance) -> None:
    jobs = private(alliance)
    federation = alliance.federate(jobs, epsilon="1", quorum=3)
    alliance.run_round(federation, rho="0.05")
    nodes = ["node:a", "node:b", "node:c"]
    alliance.take(alliance.round_starting(federation))
    alliance.take(alliance.contributing(federation, "a", rho="0.05"))
    alliance.take(alliance.giving_up(federation))
    alliance.take(alliance.round_starting(federation, participants=nodes))
    for name in "abc":
        alliance.take(alliance.contributing(federation, name, rho="0.05"))
    alliance.take(alliance.round_ending(federation))
    assert refusal(alliance, alliance.completing(federation)) is Rule.STATE
    alliance.take(alliance.completing(federation, rho="0.1"))
    assert alliance.of(federation).completed[-1].participants == tuple(nodes)
    alliance.take(alliance.release(jobs["d"], "d"))


# --- joining ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signer", [BUREAU, PARTNER, "node:b", "unit:a", "person:cdo-a"])
def test_nobody_joins_for_a_node(alliance: Alliance, jobs: dict[str, str], signer: str) -> None:
    body = {"job": jobs["a"], "attempt": 1, "terms": TERMS, "key": ResultKey.generate().public}
    assert refusal(alliance, alliance.statement("federation.joined", new_id("fed"), body, signer)) is Rule.SIGNER


def test_an_attempt_joins_once(alliance: Alliance, jobs: dict[str, str]) -> None:
    federation = new_id("fed")
    alliance.take(alliance.joining(federation, jobs["a"], "a"))
    assert refusal(alliance, alliance.joining(federation, jobs["a"], "a"), "joins once") is Rule.STATE


def test_a_job_is_a_member_of_one_federation(alliance: Alliance, jobs: dict[str, str]) -> None:
    first, second = new_id("fed"), new_id("fed")
    alliance.take(alliance.joining(first, jobs["a"], "a"))
    again(alliance, jobs["a"], "a")
    statement = alliance.joining(second, jobs["a"], "a", attempt=2)
    assert refusal(alliance, statement, "one federation") is Rule.STATE
    alliance.take(alliance.joining(first, jobs["a"], "a", attempt=2))


def again(alliance: Alliance, job: str, name: str) -> None:
    """Interrupt a job, and start its next attempt."""
    attempt = job_of(alliance, job).life.attempt
    body = {"attempt": attempt, "reason": "federation-interrupted", "round": None, "sealed_state": None}
    alliance.say("job.interrupted", job, body, f"node:{name}")
    alliance.start_again(job, name, attempt + 1)


@pytest.mark.parametrize("attempt", [2, 3])
def test_no_other_attempt_joins(alliance: Alliance, jobs: dict[str, str], attempt: int) -> None:
    assert refusal(alliance, alliance.joining(new_id("fed"), jobs["a"], "a", attempt=attempt)) is Rule.MEMBER


def test_an_attempt_that_is_over_does_not_join(alliance: Alliance, jobs: dict[str, str]) -> None:
    again(alliance, jobs["a"], "a")
    assert refusal(alliance, alliance.joining(new_id("fed"), jobs["a"], "a", attempt=1)) is Rule.MEMBER


def test_a_job_that_is_not_started_does_not_join(alliance: Alliance) -> None:
    job, terms = new_id("job"), alliance.terms_of("a")
    asked = alliance.submitted(agreement=terms.id, operation=OPERATION, datasets=alliance.versions("a"))
    alliance.say("job.submitted", job, asked, PARTNER)
    assert refusal(alliance, alliance.joining(new_id("fed"), job, "a")) is Rule.SIGNER
    alliance.say("job.approved", job, alliance.approval(terms), BUREAU)
    lease = {"node": "node:a", "attempt": 1, "expires_at": alliance.later(minutes=5)}
    alliance.say("job.leased", job, lease, BUREAU)
    assert refusal(alliance, alliance.joining(new_id("fed"), job, "a")) is Rule.MEMBER


@pytest.mark.parametrize("operation", ["aggregate", "train", "train.vertical.boosting", "train.horizontal"])
def test_only_what_is_trained_together_joins(alliance: Alliance, operation: str) -> None:
    job = alliance.start_job("a", operation=operation)
    assert refusal(alliance, alliance.joining(new_id("fed"), job, "a"), "operation") is Rule.TERMS


def test_a_member_brings_one_data_set(alliance: Alliance) -> None:
    found = alliance.dataset("z")
    entry = {"owner": "unit:a", "catalogue_entry": DIGEST, "privacy_unit": "enterprise", "openness": "conditional"}
    alliance.say("dataset.registered", found, entry, "unit:a")
    alliance.say("dataset.versioned", found, {"version": 1, "schema_digest": DIGEST, "content": DIGEST}, "node:a")
    alliance.say("dataset.graded", found, alliance.grades(), "unit:a")
    job = alliance.start_job("a", datasets=alliance.versions("a", "z"))
    assert refusal(alliance, alliance.joining(new_id("fed"), job, "a"), "one data set") is Rule.TERMS


def test_a_key_is_joined_with_once(alliance: Alliance, jobs: dict[str, str]) -> None:
    federation, key = new_id("fed"), ResultKey.generate().public
    alliance.take(alliance.joining(federation, jobs["a"], "a", key=key))
    assert refusal(alliance, alliance.joining(federation, jobs["b"], "b", key=key)) is Rule.KEY
    again(alliance, jobs["a"], "a")
    assert refusal(alliance, alliance.joining(federation, jobs["a"], "a", attempt=2, key=key)) is Rule.KEY


@pytest.mark.parametrize("federation", ["job-a", "ds-aaaaaaaaaaaaaaaaaaaaaaaaaa", "agr-a-1"])
def test_a_federation_has_an_id_of_its_own_kind(alliance: Alliance, jobs: dict[str, str], federation: str) -> None:
    assert refusal(alliance, alliance.joining(federation, jobs["a"], "a")) is Rule.TERMS
    assert refusal(alliance, alliance.starting(federation, jobs)) is Rule.TERMS


@pytest.mark.parametrize("end", ["aborting", "completing"])
def test_nobody_joins_what_has_ended(alliance: Alliance, jobs: dict[str, str], running: str, end: str) -> None:
    alliance.run_round(running)
    alliance.take(getattr(alliance, end)(running))
    again(alliance, jobs["a"], "a")
    assert refusal(alliance, alliance.joining(running, jobs["a"], "a", attempt=2), "ended") is Rule.STATE


# --- starting ---------------------------------------------------------------------------------------------------------


def joined(alliance: Alliance, jobs: dict[str, str], **changes: object) -> str:
    federation = new_id("fed")
    for name, job in jobs.items():
        alliance.take(alliance.joining(federation, job, name, **changes))
    return federation


@pytest.mark.parametrize("by", [PARTNER, "node:a", "person:approver", "unit:a"])
def test_only_the_bureau_moves_a_federation(alliance: Alliance, jobs: dict[str, str], by: str) -> None:
    federation = joined(alliance, jobs)
    assert refusal(alliance, alliance.starting(federation, jobs, by=by)) is Rule.SIGNER
    alliance.take(alliance.starting(federation, jobs))
    assert refusal(alliance, alliance.round_starting(federation, by=by)) is Rule.SIGNER
    alliance.take(alliance.round_starting(federation))
    for name in "abc":
        alliance.take(alliance.contributing(federation, name))
    assert refusal(alliance, alliance.round_ending(federation, by=by)) is Rule.SIGNER
    alliance.take(alliance.round_ending(federation))
    assert refusal(alliance, alliance.interrupting(federation, by=by)) is Rule.SIGNER
    assert refusal(alliance, alliance.completing(federation, by=by)) is Rule.SIGNER


@pytest.mark.parametrize("changes", [{"quorum": 2}, {"quorum": 4}, {"quorum": 2, "epsilon": "1"}])
def test_a_quorum_is_of_three_and_in_exact_mode_of_all(
    alliance: Alliance, jobs: dict[str, str], changes: dict[str, Any]
) -> None:
    assert refusal(alliance, alliance.starting(joined(alliance, jobs), jobs, **changes), "quorum") is Rule.STATE


def test_two_are_no_federation(alliance: Alliance, jobs: dict[str, str]) -> None:
    del jobs["c"]
    assert refusal(alliance, alliance.starting(joined(alliance, jobs), jobs), "quorum") is Rule.STATE


def test_members_have_joined_this_federation_on_these_terms(alliance: Alliance, jobs: dict[str, str]) -> None:
    federation = new_id("fed")
    for name in "ab":
        alliance.take(alliance.joining(federation, jobs[name], name))
    assert refusal(alliance, alliance.starting(federation, jobs), "joined") is Rule.TERMS
    alliance.take(alliance.joining(federation, jobs["c"], "c", terms=digest("others")))
    assert refusal(alliance, alliance.starting(federation, jobs), "joined") is Rule.TERMS


def test_members_have_not_joined_another_federation(alliance: Alliance, jobs: dict[str, str]) -> None:
    first, second = new_id("fed"), new_id("fed")
    for name, federation in (("a", first), ("b", first), ("c", second)):
        alliance.take(alliance.joining(federation, jobs[name], name))
    assert refusal(alliance, alliance.starting(first, jobs), "joined") is Rule.TERMS


def test_members_are_at_the_nodes_that_have_their_jobs(alliance: Alliance, jobs: dict[str, str]) -> None:
    members = alliance.members(jobs)
    members[0]["job"], members[1]["job"] = members[1]["job"], members[0]["job"]
    assert refusal(alliance, alliance.starting(joined(alliance, jobs), jobs, members=members)) is Rule.MEMBER
    members[0]["job"] = "job-none"
    assert refusal(alliance, alliance.starting(new_id("fed"), jobs, members=members)) is Rule.MEMBER


def test_one_job_is_not_two_members(alliance: Alliance, jobs: dict[str, str]) -> None:
    members = alliance.members(jobs)
    members[1]["job"] = members[0]["job"]
    assert refusal(alliance, alliance.starting(joined(alliance, jobs), jobs, members=members)) is Rule.MEMBER


def test_members_start_in_the_attempt_that_runs(alliance: Alliance, jobs: dict[str, str]) -> None:
    federation = joined(alliance, jobs)
    again(alliance, jobs["a"], "a")
    assert refusal(alliance, alliance.starting(federation, jobs)) is Rule.MEMBER
    members = alliance.members(jobs)
    members[0]["attempt"] = 2
    assert refusal(alliance, alliance.starting(federation, jobs, members=members), "joined") is Rule.TERMS
    alliance.take(alliance.joining(federation, jobs["a"], "a", attempt=2))
    alliance.take(alliance.starting(federation, jobs, members=members))


def test_two_nodes_of_one_unit_are_not_two_members(alliance: Alliance, jobs: dict[str, str]) -> None:
    alliance.add("y", "unit:a")
    jobs["y"] = alliance.start_job("y")
    assert refusal(alliance, alliance.starting(joined(alliance, jobs), jobs), "different units") is Rule.PARTICIPANT


def test_jobs_of_two_banks_are_no_federation(alliance: Alliance, jobs: dict[str, str]) -> None:
    terms = alliance.agree_with("d", "unit:d", partner=OTHER)
    jobs["d"] = alliance.start_job("d", terms=terms)
    assert refusal(alliance, alliance.starting(joined(alliance, jobs), jobs), "one partner") is Rule.PARTICIPANT


def test_all_jobs_ask_for_the_recipe_that_is_started(alliance: Alliance, jobs: dict[str, str]) -> None:
    federation = joined(alliance, jobs)
    assert refusal(alliance, alliance.starting(federation, jobs, recipe="boosted_trees"), "recipe") is Rule.TERMS
    jobs["d"] = alliance.start_job("d", operation="train.horizontal.boosted_trees")
    assert refusal(alliance, alliance.starting(joined(alliance, {"d": jobs["d"]}), jobs)) is Rule.TERMS


def test_an_exact_federation_is_not_said_to_be_private(alliance: Alliance, jobs: dict[str, str]) -> None:
    """With an epsilon that nobody asked for, the rule of sets would not hold, and a quorum would be enough."""
    statement = alliance.starting(joined(alliance, jobs), jobs, epsilon="1")
    assert refusal(alliance, statement, "this epsilon") is Rule.TERMS


@pytest.mark.parametrize("epsilon", [None, "2"])
def test_a_private_federation_has_the_epsilon_that_was_asked_for(alliance: Alliance, epsilon: str | None) -> None:
    jobs = private(alliance, "abc")
    statement = alliance.starting(joined(alliance, jobs), jobs, epsilon=epsilon)
    assert refusal(alliance, statement, "this epsilon") is Rule.TERMS


def test_where_the_agreement_says_private_nothing_is_exact(alliance: Alliance) -> None:
    jobs = private(alliance, "abc", epsilon=None)
    assert refusal(alliance, alliance.starting(joined(alliance, jobs), jobs), "mode") is Rule.TERMS


def test_without_a_budget_nothing_is_private(alliance: Alliance) -> None:
    jobs = {name: alliance.start_job(name, epsilon="1") for name in "abc"}
    assert refusal(alliance, alliance.starting(joined(alliance, jobs), jobs, epsilon="1"), "mode") is Rule.TERMS


def test_a_quorum_is_what_every_agreement_wants(alliance: Alliance, jobs: dict[str, str]) -> None:
    terms = alliance.agree_with("d", "unit:d", contributors=5)
    jobs["d"] = alliance.start_job("d", terms=terms)
    federation = joined(alliance, jobs)
    assert refusal(alliance, alliance.starting(federation, jobs), "agreement wants") is Rule.TERMS
    jobs["e"] = alliance.start_job("e")
    alliance.take(alliance.joining(federation, jobs["e"], "e"))
    alliance.take(alliance.starting(federation, jobs))


def test_a_private_quorum_is_what_every_agreement_wants(alliance: Alliance) -> None:
    jobs = private(alliance, "abc")
    terms = alliance.agree_with("d", "unit:d", private=True, contributors=4)
    jobs["d"] = alliance.start_job("d", terms=terms, epsilon="1")
    federation = joined(alliance, jobs)
    assert refusal(alliance, alliance.starting(federation, jobs, quorum=3, epsilon="1")) is Rule.TERMS
    alliance.take(alliance.starting(federation, jobs, quorum=4, epsilon="1"))


# --- the rule of sets -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "fits"),
    [
        ("abc", "abc", True),
        ("abc", "def", True),
        ("abcdef", "defghi", True),
        ("abc", "abcd", False),
        ("abcd", "abc", False),
        ("abcd", "abce", False),
        ("abc", "abcdef", False),
        ("abcde", "defgh", True),
        ("abcd", "cdef", False),
    ],
)
def test_two_exact_sums_do_not_differ_by_one_or_two(alliance: Alliance, one: str, other: str, fits: bool) -> None:
    alliance.take(alliance.aborting(start(alliance, one)))
    jobs = {name: alliance.start_job(name) for name in other}
    statement = alliance.starting(joined(alliance, jobs), jobs)
    if fits:
        alliance.take(statement)
    else:
        assert refusal(alliance, statement, "fewer than three") is Rule.SETS


def test_private_sums_may_differ_by_one(alliance: Alliance) -> None:
    start(alliance, "abcd")
    alliance.federate(private(alliance, "abc"), epsilon="1")
    start(alliance, "efg")


def test_many_exact_sums_do_not_give_one_away(alliance: Alliance) -> None:
    """Each two are far enough apart, and yet the first two less the others are one unit's data."""
    for name in "jklm":
        alliance.add(name)
    for names in ("abcdefm", "ghijkl", "abcghi"):
        start(alliance, names)
    jobs = {name: alliance.start_job(name) for name in "defjkl"}
    statement = alliance.starting(joined(alliance, jobs), jobs)
    assert refusal(alliance, statement, "with earlier sums") is Rule.SETS


@pytest.mark.parametrize(("changed", "fits"), [("", True), ("a", False), ("ab", False), ("abc", True)])
def test_what_one_unit_has_changed_is_not_seen_in_the_same_sum(alliance: Alliance, changed: str, fits: bool) -> None:
    start(alliance, "abcd")
    asked = {name: alliance.versions(name) for name in "abcd"}
    for name in changed:
        body = {"version": 2, "schema_digest": DIGEST, "content": DIGEST}
        alliance.say("dataset.versioned", alliance.dataset(name), body, f"node:{name}")
        alliance.say("dataset.graded", alliance.dataset(name), alliance.grades(version=2), f"unit:{name}")
        asked[name][0]["version"] = 2
    jobs = {name: alliance.start_job(name, datasets=asked[name]) for name in "abcd"}
    statement = alliance.starting(joined(alliance, jobs), jobs)
    if fits:
        alliance.take(statement)
    else:
        assert refusal(alliance, statement) is Rule.SETS


# --- rounds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["round_starting", "round_ending", "contributing", "interrupting", "completing"])
def test_nothing_is_said_of_what_was_not_started(alliance: Alliance, running: str, step: str) -> None:
    names = ("a",) if step == "contributing" else ()
    made = getattr(alliance, step)(running, *names)
    other = alliance.statement(made.type, new_id("fed"), made.payload.body, made.payload.issuer)
    assert refusal(alliance, other, "started") is Rule.STATE


@pytest.mark.parametrize("by", [BUREAU, PARTNER, "node:b", "unit:a", "person:cdo-a"])
def test_only_its_own_node_contributes(alliance: Alliance, running: str, by: str) -> None:
    alliance.take(alliance.round_starting(running))
    assert refusal(alliance, alliance.contributing(running, "a", by=by)) is Rule.SIGNER


def test_a_stranger_contributes_nothing(alliance: Alliance, running: str) -> None:
    job = alliance.start_job("d")
    alliance.take(alliance.joining(running, job, "d"))
    alliance.take(alliance.round_starting(running))
    assert refusal(alliance, alliance.contributing(running, "d", job=job), "takes part") is Rule.STATE
    assert refusal(alliance, alliance.contributing(running, "d", job="job-none")) is Rule.SIGNER


def test_a_contribution_counts_once(alliance: Alliance, running: str) -> None:
    alliance.take(alliance.round_starting(running))
    alliance.take(alliance.contributing(running, "a"))
    assert refusal(alliance, alliance.contributing(running, "a", contribution=digest("other"))) is Rule.STATE
    attempt = alliance.of(running).attempt
    assert attempt is not None
    assert attempt.contributions == {"node:a": digest(("a", 1, 1))}


def test_a_contribution_after_its_time_has_no_effect(alliance: Alliance, running: str) -> None:
    alliance.take(alliance.round_starting(running))
    alliance.pass_time(minutes=10)
    alliance.take(alliance.contributing(running, "a"))
    alliance.pass_time(seconds=1)
    assert refusal(alliance, alliance.contributing(running, "b"), "time is over") is Rule.STATE


def test_after_a_second_attempt_nobody_contributes_to_the_first(alliance: Alliance, running: str) -> None:
    alliance.take(alliance.round_starting(running))
    alliance.take(alliance.contributing(running, "a"))
    late = alliance.contributing(running, "b")
    alliance.take(alliance.giving_up(running))
    assert refusal(alliance, late) is Rule.STATE
    alliance.take(alliance.round_starting(running))
    assert refusal(alliance, alliance.contributing(running, "b", attempt=1)) is Rule.STATE
    alliance.take(alliance.contributing(running, "b"))


def test_the_sum_of_an_exact_round_is_of_all(alliance: Alliance, running: str) -> None:
    alliance.take(alliance.round_starting(running))
    alliance.take(alliance.contributing(running, "a"))
    alliance.take(alliance.contributing(running, "b"))
    assert refusal(alliance, alliance.round_ending(running), "everybody") is Rule.STATE
    made_up = [{"party": f"node:{name}", "digest": digest((name, 1, 1))} for name in "abc"]
    assert refusal(alliance, alliance.round_ending(running, contributions=made_up)) is Rule.STATE
    statement = alliance.round_starting(running, attempt=1, participants=["node:a", "node:b"])
    assert refusal(alliance, statement) is Rule.STATE


# --- what members' jobs rely on ---------------------------------------------------------------------------------------


def freeze(target: str) -> Callable[[Alliance, dict[str, str]], None]:
    return lambda alliance, _: stop(alliance, target)


def stop(alliance: Alliance, target: str) -> None:
    alliance.say("access.frozen", new_id("access"), {**FREEZE, "target": target}, "person:sec")


def suspend_agreement(alliance: Alliance, _: dict[str, str]) -> None:
    terms = alliance.terms_of("c")
    body = {"terms": terms_digest(terms), "running_jobs": "stop", "reason": "incident", "until": None, "note": None}
    alliance.say("agreement.suspended", terms.id, body, "person:sec")


def suspend_unit(alliance: Alliance, _: dict[str, str]) -> None:
    body = {"party": "unit:c", "reason": "incident", "until": None, "note": None}
    alliance.say("participant.suspended", new_id("par"), body, "person:sec")


def withdraw(alliance: Alliance, _: dict[str, str]) -> None:
    body = {"reason": "incident", "running_jobs": "stop", "note": None}
    alliance.say("dataset.withdrawn", alliance.dataset("c"), body, "unit:c")


def fail(alliance: Alliance, jobs: dict[str, str]) -> None:
    alliance.say("job.failed", jobs["c"], {"attempt": 1, "reason": "engine-error", "retryable": True}, "node:c")


def cancel(alliance: Alliance, jobs: dict[str, str]) -> None:
    alliance.say("job.cancelled", jobs["c"], {"reason": "request", "note": None}, PARTNER)


def try_again(alliance: Alliance, jobs: dict[str, str]) -> None:
    again(alliance, jobs["c"], "c")


STOPS: dict[str, tuple[Callable[[Alliance, dict[str, str]], None], Rule]] = {
    "frozen partner": (freeze(PARTNER), Rule.FROZEN),
    "frozen unit": (freeze("unit:c"), Rule.FROZEN),
    "frozen node": (freeze("node:c"), Rule.FROZEN),
    "frozen data": (freeze(Alliance.dataset("c")), Rule.FROZEN),
    "frozen agreement": (freeze("agr-c-bank-a-exact-3"), Rule.FROZEN),
    "suspended agreement": (suspend_agreement, Rule.AGREEMENT),
    "suspended unit": (suspend_unit, Rule.PARTICIPANT),
    "withdrawn data": (withdraw, Rule.VERSION),
    "failed job": (fail, Rule.MEMBER),
    "cancelled job": (cancel, Rule.MEMBER),
    "another attempt": (try_again, Rule.MEMBER),
}


@pytest.mark.parametrize("what", STOPS)
@pytest.mark.parametrize("step", ["starting", "round_starting", "contributing"])
def test_one_member_that_is_stopped_stops_all(alliance: Alliance, jobs: dict[str, str], what: str, step: str) -> None:
    """The step is another member's or the bureau's: `c` is not who says it."""
    act, rule = STOPS[what]
    federation = joined(alliance, jobs)
    if step != "starting":
        alliance.take(alliance.starting(federation, jobs))
    if step == "contributing":
        alliance.take(alliance.round_starting(federation))
    act(alliance, jobs)
    statements = {
        "starting": lambda: alliance.starting(federation, jobs),
        "round_starting": lambda: alliance.round_starting(federation),
        "contributing": lambda: alliance.contributing(federation, "a"),
    }
    assert refusal(alliance, statements[step]()) is rule


@pytest.mark.parametrize("what", STOPS)
def test_what_is_stopped_does_not_join(alliance: Alliance, jobs: dict[str, str], what: str) -> None:
    act, _ = STOPS[what]
    act(alliance, jobs)
    assert refusal(alliance, alliance.joining(new_id("fed"), jobs["c"], "c")) in {
        Rule.FROZEN,
        Rule.AGREEMENT,
        Rule.PARTICIPANT,
        Rule.VERSION,
        Rule.MEMBER,
    }


def test_one_who_was_left_out_is_relied_on_too(alliance: Alliance) -> None:
    jobs = private(alliance)
    federation = alliance.federate(jobs, epsilon="1", quorum=3)
    alliance.take(alliance.round_starting(federation, participants=["node:a", "node:b", "node:c"]))
    stop(alliance, "unit:d")
    assert refusal(alliance, alliance.contributing(federation, "a", rho="0.1")) is Rule.FROZEN


def test_after_an_interruption_it_goes_on_where_it_was(alliance: Alliance, jobs: dict[str, str], running: str) -> None:
    alliance.run_round(running)
    alliance.take(alliance.round_starting(running))
    alliance.take(alliance.contributing(running, "a"))
    alliance.take(alliance.interrupting(running, reason="member-interrupted"))
    assert refusal(alliance, alliance.round_starting(running)) is Rule.STATE
    for name, job in jobs.items():
        again(alliance, job, name)
    assert refusal(alliance, alliance.starting(running, jobs)) is Rule.MEMBER
    for name, job in jobs.items():
        alliance.take(alliance.joining(running, job, name, attempt=2))
    assert refusal(alliance, alliance.starting(running, jobs, attempt=2, app=digest("other"))) is Rule.STATE
    alliance.take(alliance.starting(running, jobs, attempt=2))
    found = alliance.of(running)
    assert (found.state, len(found.completed), found.life.attempts) == (FederationState.RUNNING, 1, 1)
    assert [item.attempt for item in found.joined] == [2, 2, 2]
    assert refusal(alliance, alliance.round_starting(running, attempt=1)) is Rule.STATE
    alliance.run_round(running)
    assert [item.attempt for item in alliance.of(running).completed] == [1, 2]
    entries = alliance.of(running).entries
    kinds = [alliance.recorded[index] for index in entries]
    assert kinds.count("federation.joined") == 6
    assert set(kinds) - {"federation.joined"} == {
        f"federation.{verb}" for verb in ("started", "round_started", "contributed", "round_completed", "interrupted")
    }


# --- ends -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("by", "is_right"),
    [
        (BUREAU, True),
        (PARTNER, True),
        ("person:approver", True),
        ("person:cdo-a", True),
        ("person:cdo-c", True),
        ("person:cdo-d", False),
        (OTHER, False),
        ("node:a", False),
        ("person:reviewer", False),
        ("person:sec", False),
    ],
)
def test_who_ends_a_federation_for_good(alliance: Alliance, running: str, by: str, is_right: bool) -> None:
    statement = alliance.aborting(running, by=by)
    if is_right:
        alliance.take(statement)
        assert alliance.of(running).state is FederationState.ABORTED
    else:
        assert refusal(alliance, statement) is Rule.SIGNER


def test_the_submitter_ends_a_federation(alliance: Alliance) -> None:
    alliance.register("person:analyst", PARTNER)
    alliance.grant("person:analyst", Duty.PARTNER_ANALYST, PARTNER)
    terms, job = alliance.terms_of("a"), new_id("job")
    asked = alliance.submitted(agreement=terms.id, operation=OPERATION, datasets=alliance.versions("a"))
    alliance.say("job.submitted", job, asked, "person:analyst", on_behalf_of=PARTNER)
    alliance.say("job.approved", job, alliance.approval(terms), BUREAU)
    alliance.start_again(job, "a", 1)
    running = alliance.federate({"a": job, "b": alliance.start_job("b"), "c": alliance.start_job("c")})
    alliance.take(alliance.aborting(running, by="person:analyst"))


@pytest.mark.parametrize("end", ["interrupting", "aborting"])
def test_an_end_may_be_said_of_what_is_frozen(alliance: Alliance, running: str, end: str) -> None:
    for target in (PARTNER, "node:a", "unit:b", alliance.dataset("c"), BUREAU):
        stop(alliance, target)
    alliance.take(getattr(alliance, end)(running))


def test_a_frozen_partner_may_end_what_it_began(alliance: Alliance, running: str) -> None:
    stop(alliance, PARTNER)
    alliance.take(alliance.aborting(running, by=PARTNER))


@pytest.mark.parametrize("end", ["interrupting", "aborting"])
def test_an_end_says_after_how_many_rounds(alliance: Alliance, running: str, end: str) -> None:
    alliance.run_round(running)
    assert refusal(alliance, getattr(alliance, end)(running, rounds=0)) is Rule.STATE
    alliance.take(getattr(alliance, end)(running))


@pytest.mark.parametrize(
    "change", [{"result": DIGEST}, {"rounds": 2}, {"participants": ["node:a", "node:b"]}, {"rho": "0.1"}]
)
def test_a_result_is_what_the_last_round_left(alliance: Alliance, running: str, change: dict[str, Any]) -> None:
    alliance.run_round(running)
    assert refusal(alliance, alliance.completing(running, **change)) is Rule.STATE


def test_without_a_round_there_is_no_result(alliance: Alliance, running: str) -> None:
    assert refusal(alliance, alliance.completing(running)) is Rule.STATE
    alliance.run_round(running)
    statement = alliance.completing(running)
    alliance.take(alliance.round_starting(running))
    assert refusal(alliance, statement, "open") is Rule.STATE


# --- releases ---------------------------------------------------------------------------------------------------------


def test_a_model_is_released_when_its_federation_is_completed(
    alliance: Alliance, jobs: dict[str, str], running: str
) -> None:
    alliance.run_round(running)
    assert refusal(alliance, alliance.release(jobs["a"], "a"), "completed") is Rule.MEMBER
    alliance.take(alliance.interrupting(running))
    assert refusal(alliance, alliance.release(jobs["a"], "a"), "completed") is Rule.MEMBER
    alliance.take(alliance.starting(running, jobs))
    alliance.take(alliance.completing(running))
    alliance.take(alliance.release(jobs["a"], "a"))


def test_of_an_aborted_federation_nothing_is_released(alliance: Alliance, jobs: dict[str, str], running: str) -> None:
    alliance.run_round(running)
    alliance.take(alliance.aborting(running))
    assert refusal(alliance, alliance.release(jobs["a"], "a"), "completed") is Rule.MEMBER


@pytest.mark.parametrize("operation", [OPERATION, "train", "train.vertical.boosting"])
def test_a_model_of_no_federation_is_not_released(alliance: Alliance, operation: str) -> None:
    job = alliance.start_job("a", operation=operation)
    assert refusal(alliance, alliance.release(job, "a"), "member") is Rule.MEMBER


def test_who_has_joined_and_is_no_member_releases_nothing(
    alliance: Alliance, jobs: dict[str, str], running: str
) -> None:
    job = alliance.start_job("d")
    alliance.take(alliance.joining(running, job, "d"))
    alliance.run_round(running)
    alliance.take(alliance.completing(running))
    assert alliance.standing.federations.of_job(job) is None
    assert refusal(alliance, alliance.release(job, "d"), "member") is Rule.MEMBER


@pytest.mark.parametrize("by", ["node:b", BUREAU, PARTNER])
def test_a_release_is_still_judged_as_a_jobs(alliance: Alliance, jobs: dict[str, str], running: str, by: str) -> None:
    alliance.run_round(running)
    alliance.take(alliance.completing(running))
    assert refusal(alliance, alliance.released(jobs["a"], by="node:a")) is Rule.CHECK
    alliance.release(jobs["a"], "a")
    assert refusal(alliance, alliance.released(jobs["a"], by=by)) is Rule.SIGNER


def test_what_is_not_trained_needs_no_federation(alliance: Alliance) -> None:
    job = alliance.start_job("a", operation="training.hours")
    alliance.take(alliance.release(job, "a"))


# --- the fold ---------------------------------------------------------------------------------------------------------


def test_a_fork_goes_its_own_way(alliance: Alliance, jobs: dict[str, str], running: str) -> None:
    alliance.take(alliance.round_starting(running))
    first = alliance.of(running)
    other = alliance.forked()
    other.take(other.contributing(running, "a"))
    other.take(other.aborting(running))
    assert alliance.of(running) == first
    alliance.take(alliance.contributing(running, "b"))
    attempt = alliance.of(running).attempt
    assert attempt is not None
    assert set(attempt.contributions) == {"node:b"}
    key = ResultKey.generate().public
    again(other, jobs["a"], "a")
    job = other.start_job("d")
    other.take(other.joining(new_id("fed"), job, "d", key=key))
    assert other.standing.federations.joined(job, 1) is not None
    assert alliance.standing.federations.joined(job, 1) is None


def test_a_fork_knows_the_sums_that_were_shown(alliance: Alliance) -> None:
    start(alliance, "abcd")
    other = alliance.forked()
    jobs = {name: other.start_job(name) for name in "abc"}
    assert refusal(other, other.starting(joined(other, jobs), jobs)) is Rule.SETS
    start(other, "fgh")
    jobs = {name: alliance.start_job(name) for name in "fghi"}
    alliance.take(alliance.starting(joined(alliance, jobs), jobs))


def test_the_same_entries_make_the_same_federations(alliance: Alliance, running: str) -> None:
    alliance.run_round(running)
    alliance.take(alliance.interrupting(running))
    roots = [alliance.key("root").public]
    standing = Standing(bureau=BUREAU, roots=roots, find_terms=lambda name: alliance.texts.get(name))
    for index, statement in enumerate(alliance.entries):
        standing.take(statement, index=index, at=alliance.at)
    assert list(standing.federations.items()) == list(alliance.standing.federations.items())


# --- any sequence of entries ------------------------------------------------------------------------------------------


@cache
def with_jobs(is_exact: bool) -> tuple[Alliance, dict[str, str]]:
    alliance = settled().forked()
    return alliance, {name: alliance.start_job(name) for name in "abcd"} if is_exact else private(alliance)


class AnyOrder(RuleBasedStateMachine):
    """A bureau and nodes that say whatever they like; what has an effect is held against a plain record of it."""

    @initialize(is_exact=st.booleans())
    def begin(self, is_exact: bool) -> None:
        base, self.jobs = with_jobs(is_exact)
        self.alliance = base.forked()
        self.options: dict[str, Any] = {} if is_exact else {"epsilon": "1", "quorum": 3}
        self.rho = None if is_exact else "0.1"
        self.is_exact = is_exact
        self.federation = joined(self.alliance, self.jobs)
        self.alliance.take(self.alliance.starting(self.federation, self.jobs, **self.options))
        self.before = life_of(self.alliance, self.federation)
        # Whatever was ever taken as a contribution: to which round and attempt, by whom.
        self.given: list[tuple[int, int, str]] = []

    def tell(self, statement: Statement) -> bool:
        """Record something, and tell whether it had an effect."""
        self.before = life_of(self.alliance, self.federation)
        try:
            self.alliance.take(statement)
        except StatementRefusedError:
            assert life_of(self.alliance, self.federation) == self.before
            return False
        assert self.before.state not in ENDED
        return True

    @rule(
        wrong=st.sampled_from([*[None] * 6, "round", "attempt", "round_input"]),
        left_out=st.sampled_from([*[""] * 6, "a", "b"]),
    )
    def open_round(self, wrong: str | None, left_out: str) -> None:
        present = [node for node in life_of(self.alliance, self.federation).present if node != f"node:{left_out}"]
        changes: dict[str, Any] = {"participants": present}
        if wrong is not None:
            changes[wrong] = digest("wrong") if wrong == "round_input" else 7
        if present and self.tell(self.alliance.round_starting(self.federation, **changes)):
            assert self.before.open is None
            assert set(present) <= set(self.before.present)
            assert len(present) == 4 or (not self.is_exact and len(present) == 3)

    @rule(
        name=st.sampled_from("abcd"), by=st.sampled_from([None, None, "node:b"]), attempt=st.sampled_from([0, 0, 1, 2])
    )
    def contribute(self, name: str, by: str | None, attempt: int) -> None:
        changes: dict[str, Any] = {"attempt": attempt} if attempt else {}
        statement = self.alliance.contributing(self.federation, name, by=by, rho=self.rho, **changes)
        if self.tell(statement):
            body = statement.payload.body
            self.given.append((body["round"], body["attempt"], f"node:{name}"))
            assert self.before.open is not None
            assert (self.before.open.round, self.before.open.number) == (body["round"], body["attempt"])

    @rule(closes=st.booleans())
    def do_as_one_should(self, closes: bool) -> None:
        self.open_round(None, "")
        for name in "abcd":
            self.contribute(name, None, 0)
        if closes:
            self.close_round(None, False)

    @rule(names=st.sampled_from([None, None, None, "abcd", "abc"]), gives_up=st.sampled_from([False, False, True]))
    def close_round(self, names: str | None, gives_up: bool) -> None:
        changes: dict[str, Any] = {}
        if names is not None:
            changes["contributions"] = [{"party": f"node:{name}", "digest": digest(name)} for name in names]
        say = self.alliance.giving_up if gives_up else self.alliance.round_ending
        if self.tell(say(self.federation, **changes)) and not gives_up:
            done = life_of(self.alliance, self.federation).completed[-1]
            came = {node for number, attempt, node in self.given if (number, attempt) == (done.number, done.attempt)}
            assert came == set(done.participants)
            assert self.before.open is not None
            assert came == set(self.before.open.contributions)

    @precondition(lambda self: len(self.given) % 4 == 1)
    @rule()
    def interrupt(self) -> None:
        self.tell(self.alliance.interrupting(self.federation))

    @rule(recipe=st.sampled_from([None, None, "boosted_trees"]))
    def go_on(self, recipe: str | None) -> None:
        changes = {**self.options, **({"recipe": recipe} if recipe else {})}
        if self.tell(self.alliance.starting(self.federation, self.jobs, **changes)):
            assert self.before.state is FederationState.INTERRUPTED
            assert recipe is None

    @precondition(lambda self: len(self.given) > 10)
    @rule(rounds=st.integers(0, 1))
    def abort(self, rounds: int) -> None:
        self.tell(self.alliance.aborting(self.federation, rounds=rounds))

    @precondition(lambda self: len(self.given) > 6)
    @rule()
    def complete(self) -> None:
        if self.tell(self.alliance.completing(self.federation, rho=self.rho)):
            assert self.before.open is None
            assert self.before.completed

    @rule(name=st.sampled_from("abcd"))
    def release(self, name: str) -> None:
        job = job_of(self.alliance, self.jobs[name])
        if job.ciphertext is None and self.tell_release(name):
            assert self.alliance.of(self.federation).state is FederationState.COMPLETED

    def tell_release(self, name: str) -> bool:
        try:
            self.alliance.take(self.alliance.release(self.jobs[name], name))
        except StatementRefusedError:
            return False
        return True

    @invariant()
    def nothing_is_counted_twice(self) -> None:
        assert len(self.given) == len(set(self.given))

    @invariant()
    def it_only_goes_forward(self) -> None:
        after = life_of(self.alliance, self.federation)
        assert after.completed[: len(self.before.completed)] == self.before.completed
        assert set(after.present) <= set(self.before.present)
        if self.is_exact:
            assert len(after.present) == 4
            assert all(len(done.participants) == 4 for done in after.completed)
        if self.before.state in ENDED:
            assert after == self.before
        entries = self.alliance.of(self.federation).entries
        assert list(entries) == sorted(set(entries))


AnyOrder.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestAnyOrder = AnyOrder.TestCase
