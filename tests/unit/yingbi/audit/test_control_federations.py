"""Every damage to a federation that really ran is found, by the control that is for it and at its entries."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np
import pytest

from federated.audit import Replay
from federated.secure_sum import vector_digest
from sandbox.privacy.zcdp import epsilon_of
from tests.lib.federation_evidence import Run, digest_of, real_run
from yingbi.audit.case import Case
from yingbi.audit.contributions import Evidence
from yingbi.audit.control_federations import TRAINING
from yingbi.audit.controls import CONTROLS, run_controls
from yingbi.audit.federation_checks import MakeReplay, RoundOutcome, _epsilon
from yingbi.audit.findings import Finding

BAO, FUTIAN, LUOHU = "node:bao", "node:futian", "node:luohu"
STARTED, OPENED, GAVE = "federation.started", "federation.round_started", "federation.contributed"
CLOSED, COMPLETED = "federation.round_completed", "federation.completed"


@pytest.fixture(scope="module")
def run() -> Run:
    return real_run()


@pytest.fixture(scope="module")
def private_run() -> Run:
    return real_run(private=True)


def found(case: Case) -> dict[str, list[Finding]]:
    return {result.control.name: list(result.findings) for result in run_controls(case) if result.findings}


def told(case: Case, name: str) -> list[str]:
    return [finding.message for finding in found(case).get(name, [])]


def outcomes(run: Run, make: MakeReplay | None = Replay) -> list[RoundOutcome]:
    return list(run.case(make).federation_checks[run.federation].outcomes)


def unchecked(case: Case) -> dict[str, tuple[str, ...]]:
    return {result.control.name: result.unchecked for result in run_controls(case) if result.unchecked}


def last_round(run: Run) -> int:
    return max(int(run.rows[index].body["round"]) for index in run.all(CLOSED))


def shift(data: bytes) -> bytes:
    """Return a vector of which one number is another."""
    return bytes([data[0] ^ 1]) + data[1:]


def test_a_run_without_fault_has_no_findings_and_everything_could_be_checked(run: Run) -> None:
    case = run.case(Replay)
    assert found(case) == {}
    assert unchecked(case) == {}
    rounds = last_round(run)
    assert rounds > 2
    assert outcomes(run) == [RoundOutcome.RECOMPUTED] * rounds
    populations = {result.control.name: result.population for result in run_controls(case)}
    assert {name: populations[name] for name in populations if name.startswith("federation-")} == {
        "federation-rounds": rounds,
        "federation-sides": 3 * rounds,
        "federation-spending": 0,
        "federation-release": 3,
        "federation-members": 1,
        "federation-sums": rounds,
        "federation-states": rounds,
    }


def test_a_private_run_without_fault_has_no_findings(private_run: Run) -> None:
    case = private_run.case(Replay)
    assert (found(case), unchecked(case)) == ({}, {})
    assert set(outcomes(private_run)) == {RoundOutcome.RECOMPUTED}


# --- what stands in the log -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Damage:
    """What is done to a run, which control finds it, and in which words; `others`: what else follows from it."""

    control: str
    message: str
    do: Callable[[Run], Run]
    others: frozenset[str] = frozenset({"without-effect"})


def _round(run: Run, number: int) -> tuple[int, ...]:
    kinds = (OPENED, GAVE, CLOSED)
    return tuple(index for kind in kinds for index in run.all(kind, round=number))


def _missing_round(run: Run) -> Run:
    return run.without(*_round(run, 2))


def _extra_round(run: Run) -> Run:
    last = last_round(run)
    rows = [run.rows[index] for index in sorted(_round(run, last))]
    more = [row.saying(round=last + 1).again(f"extra{number}") for number, row in enumerate(rows)]
    more[0] = more[0].saying(round_input=run.result)
    more[1:4] = [row.saying(round_input=run.result) for row in more[1:4]]
    return run.insert(run.find(COMPLETED) + 1, *more)


def _extra_round_before_the_end(run: Run) -> Run:
    """A round that nobody computed, in time: the chain of entries is whole, and the recipe wanted no more."""
    at, last = run.find(COMPLETED), last_round(run)
    longer = _extra_round(run)
    for node in ("bao", "futian", "luohu"):
        longer = longer.with_file(f"{last + 1}-1/{node}.bin", run.file(f"{last}-1/{node}.bin"))
    moved = longer.move(at, at + 5)
    return moved.change(moved.find(COMPLETED), rounds=last_round(run) + 1)


def _other_input(run: Run) -> Run:
    return run.change(run.find(OPENED, round=3), round_input=digest_of("another state"))


def _fewer_participants(run: Run) -> Run:
    return run.change(run.find(OPENED, round=2), participants=[BAO, FUTIAN])


def _false_count(run: Run) -> Run:
    return run.change(run.find(COMPLETED), rounds=last_round(run) + 1)


def _false_result(run: Run) -> Run:
    return run.change(run.find(COMPLETED), result=digest_of("another model"))


def _attempt_left_out(run: Run) -> Run:
    for kind in (OPENED, GAVE, CLOSED):
        for index in run.all(kind, round=2):
            run = run.change(index, attempt=2)
    return run


def _round_again(run: Run) -> Run:
    index = run.find(OPENED, round=2)
    return run.insert(run.find(CLOSED, round=2) + 1, run.rows[index].again("again"))


def _never_joined(run: Run) -> Run:
    return run.without(run.find("federation.joined", issuer=LUOHU))


def _only_the_server(run: Run) -> Run:
    return run.without(run.find(GAVE, round=2, issuer=BAO))


def _recorded_too_late(run: Run) -> Run:
    return run.move(run.find(GAVE, round=2, issuer=BAO), run.find(CLOSED, round=2))


def _only_the_node(run: Run) -> Run:
    index = run.find(CLOSED, round=2)
    named = [row for row in run.rows[index].body["contributions"] if row["party"] != BAO]
    return run.change(index, contributions=named)


def _other_words(run: Run) -> Run:
    return run.change(run.find(GAVE, round=2, issuer=BAO), contribution=digest_of("something else"))


def _twice(run: Run) -> Run:
    index = run.find(GAVE, round=2, issuer=BAO)
    return run.insert(run.find(CLOSED, round=2), run.rows[index].again("twice"))


def _given_up(run: Run) -> Run:
    """The first attempt at round 2 is given up without what one node then gives to it all the same."""
    opened, closed = run.find(OPENED, round=2), run.find(CLOSED, round=2)
    given = sorted(run.all(GAVE, round=2))
    kept = [row for row in run.rows[closed].body["contributions"] if row["party"] != BAO]
    up = run.rows[closed].saying(aggregate=None, state=None, contributions=kept).again("givenup")
    first = [run.rows[index].again(f"first{index}") for index in given if run.rows[index].payload["issuer"] != BAO]
    late = run.rows[run.find(GAVE, round=2, issuer=BAO)].again("late")
    for index in (opened, *given, closed):
        run = run.change(index, attempt=2)
    return run.insert(opened, run.rows[opened].saying(attempt=1).again("firstopen"), *first, up, late)


def _to_nothing(run: Run) -> Run:
    index = run.find(GAVE, round=2, issuer=BAO)
    return run.insert(index, run.rows[index].saying(attempt=7).again("nothing"))


def _on_another_state(run: Run) -> Run:
    return run.change(run.find(GAVE, round=2, issuer=BAO), round_input=digest_of("another state"))


def _early_release(run: Run) -> Run:
    index = run.find("output.released", issuer=BAO)
    return run.move(run.find(COMPLETED), index)


def _release_of_nothing(run: Run) -> Run:
    return run.without(run.find(COMPLETED))


def _two_members(run: Run) -> Run:
    index = run.find(STARTED)
    return run.change(index, members=run.rows[index].body["members"][:2], quorum=2)


def _smaller_quorum(run: Run) -> Run:
    return run.change(run.find(STARTED), quorum=2)


def _other_epsilon(run: Run) -> Run:
    return run.change(run.find(STARTED), epsilon="1")


DAMAGES = {
    "a missing round": Damage("federation-rounds", "round 2 is missing before round 3", _missing_round),
    "a round after the end": Damage("federation-rounds", "after the federation was completed", _extra_round),
    "a round too many": Damage("federation-states", "no state follows", _extra_round_before_the_end, frozenset()),
    "a round on another state": Damage("federation-rounds", "did not begin with the state", _other_input),
    "fewer than the quorum": Damage("federation-rounds", "fewer than the quorum", _fewer_participants),
    "a false number of rounds": Damage("federation-rounds", "were completed", _false_count),
    "a false result": Damage("federation-rounds", "the result is not the state", _false_result),
    "an attempt left out": Damage("federation-rounds", "has attempt 2 where 1 was due", _attempt_left_out),
    "a round again": Damage("federation-rounds", "began again after it was completed", _round_again),
    "a member that never joined": Damage("federation-rounds", "had not joined on these terms", _never_joined),
    "only the server's entry": Damage("federation-sides", f"that {BAO} did not record", _only_the_server),
    "an entry after it was summed": Damage("federation-sides", f"that {BAO} did not record", _recorded_too_late),
    "only the node's entry": Damage("federation-sides", "that the server does not name", _only_the_node),
    "other words of both": Damage("federation-sides", f"another contribution of {BAO}", _other_words),
    "one who gave twice": Damage("federation-sides", f"{BAO} contributed twice", _twice),
    "after it was given up": Damage("federation-sides", "contributed after it was given up", _given_up),
    "to nothing": Damage("federation-sides", "of an attempt that nobody opened", _to_nothing),
    "on another state": Damage("federation-sides", "on another state", _on_another_state),
    "a release before the end": Damage("federation-release", "was completed", _early_release),
    "a release without an end": Damage("federation-release", "was completed", _release_of_nothing),
    "two members": Damage("federation-members", "started with 2 members", _two_members),
    "a quorum of fewer": Damage("federation-members", "a quorum of fewer than all", _smaller_quorum),
    "an epsilon of its own": Damage("federation-members", "another epsilon than the jobs ask", _other_epsilon),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_to_the_log_is_found(run: Run, name: str) -> None:
    damage = DAMAGES[name]
    after = found(damage.do(run).case(Replay))
    assert any(damage.message in finding.message for finding in after[damage.control]), after
    assert damage.others <= set(after)
    assert after.keys() & {"foreign-signature", "replay"} == set(), "the damage is signed and said once, as it would be"


def test_sums_that_together_show_one_unit_are_found(run: Run) -> None:
    started = run.rows[run.find(STARTED)]
    stranger = {"node": "node:zeta", "job": "job-zeta", "attempt": 1}
    second = started.saying(members=[*started.body["members"][:2], stranger]).again("second")
    bad = run.insert(len(run.rows), replace(second, payload=second.payload | {"id": "fed-second"}))
    messages = {finding.message: finding for finding in found(bad.case(Replay))["federation-members"]}
    shown = "with the exact sums of earlier federations, this one shows the data of one or two units"
    assert messages[shown].subject == "fed-second"
    assert messages[shown].indexes == (len(run.rows),)
    same = run.insert(len(run.rows), replace(started.again("same"), payload=started.payload | {"id": "fed-same"}))
    assert shown not in told(same.case(Replay), "federation-members"), "the same sum twice shows nothing more"


# --- what lies beside the log -----------------------------------------------------------------------------------------


def test_an_altered_contribution_is_found_and_nothing_after_it_is_computed_again(run: Run) -> None:
    bad = run.with_file("2-1/bao.bin", shift(run.file("2-1/bao.bin")))
    case = bad.case(Replay)
    (finding,) = found(case)["federation-sums"]
    assert f"the contribution of {BAO} that is here is not the one in the log" in finding.message
    assert finding.indexes == (run.find(GAVE, round=2, issuer=BAO), run.find(CLOSED, round=2))
    assert unchecked(case) == {"federation-states": (f"the states of {run.federation} from round 2 on",)}
    rounds = last_round(run)
    expected = [RoundOutcome.RECOMPUTED, RoundOutcome.DIFFERS, *[RoundOutcome.SUMMED] * (rounds - 2)]
    assert outcomes(bad) == expected


def test_a_contribution_that_both_sides_changed_is_found_by_the_sum(run: Run) -> None:
    data = shift(run.file("2-1/bao.bin"))
    digest = vector_digest(np.frombuffer(data, "<u8").astype(np.uint64))
    bad = run.with_file("2-1/bao.bin", data).change(run.find(GAVE, round=2, issuer=BAO), contribution=digest)
    index = bad.find(CLOSED, round=2)
    named = [row | ({"digest": digest} if row["party"] == BAO else {}) for row in bad.rows[index].body["contributions"]]
    bad = bad.change(index, contributions=named)
    assert told(bad.case(Replay), "federation-sums") == ["round 2, attempt 1: the sum is not that of the contributions"]


def test_an_altered_sum_is_found(run: Run) -> None:
    bad = run.change(run.find(CLOSED, round=2), aggregate=digest_of("another sum"))
    case = bad.case(Replay)
    (finding,) = found(case)["federation-sums"]
    assert finding.message == "round 2, attempt 1: the sum is not that of the contributions"
    assert finding.indexes == (run.find(CLOSED, round=2),)
    assert finding.had_effect, "no rule of the log can know it"
    assert set(found(case)) == {"federation-sums"}


def test_an_altered_state_is_found_although_both_sides_go_on_with_it(run: Run) -> None:
    other = digest_of("another state")
    bad = run.change(run.find(CLOSED, round=2), state=other).change(run.find(OPENED, round=3), round_input=other)
    for index in bad.all(GAVE, round=3):
        bad = bad.change(index, round_input=other)
    case = bad.case(Replay)
    assert set(found(case)) == {"federation-states"}
    (finding,) = found(case)["federation-states"]
    assert finding.message == "round 2, attempt 1: the next state is not the one that follows from the sum"
    assert outcomes(bad).count(RoundOutcome.DIFFERS) == 1


def test_another_start_than_the_terms_say_is_found(run: Run) -> None:
    other = digest_of("another start")
    bad = run.change(run.find(OPENED, round=1), round_input=other)
    for index in bad.all(GAVE, round=1):
        bad = bad.change(index, round_input=other)
    assert told(bad.case(Replay), "federation-states") == [
        "the first round began with another state than the terms say"
    ]


def test_a_federation_that_ended_too_early_is_found(run: Run) -> None:
    last = last_round(run)
    bad = run.without(*_round(run, last))
    state = bad.rows[bad.find(CLOSED, round=last - 1)].body["state"]
    bad = bad.change(bad.find(COMPLETED), rounds=last - 1, result=state)
    for node in ("bao", "futian", "luohu"):
        bad = bad.with_file(f"{last}-1/{node}.bin", None)
    assert told(bad.case(Replay), "federation-states") == ["completed although its recipe wanted more rounds"]
    assert "federation-rounds" not in found(bad.case(Replay))


def test_a_contribution_that_no_entry_names_is_found(run: Run) -> None:
    bad = run.with_file("2-2/bao.bin", run.file("2-1/bao.bin"))
    (message,) = told(bad.case(Replay), "federation-sums")
    assert message == f"round 2, attempt 2: a contribution of {BAO} is here that no entry names"


def test_what_is_no_vector_is_found(run: Run) -> None:
    for data in (b"", run.file("2-1/bao.bin")[:-1]):
        assert told(run.with_file("2-1/bao.bin", data).case(Replay), "federation-sums")


def test_other_terms_are_found(run: Run) -> None:
    terms = run.file("terms.json")
    bad = run.with_file("terms.json", terms.replace(b'"rounds":40', b'"rounds":41'))
    assert told(bad.case(Replay), "federation-sums") == ["the terms here are not those of the log"]


def test_terms_that_say_otherwise_than_the_start_are_found(run: Run) -> None:
    bad = run.change(run.find(STARTED), rounds=41)
    assert "the terms say otherwise than the start of the federation" in told(bad.case(Replay), "federation-sums")


def test_contributions_of_a_given_up_attempt_are_held_against_the_log_too(run: Run) -> None:
    bad = _given_up(run)
    for node in ("bao", "futian", "luohu"):
        bad = bad.with_file(f"2-2/{node}.bin", run.file(f"2-1/{node}.bin"))
    assert "federation-sums" not in found(bad.case(Replay))
    worse = bad.with_file("2-1/futian.bin", shift(run.file("2-1/futian.bin")))
    assert told(worse.case(Replay), "federation-sums")


# --- what is not here -------------------------------------------------------------------------------------------------


def test_without_any_evidence_nothing_is_said_to_be_right(run: Run) -> None:
    case = run.case(Replay, evidence=Evidence())
    assert found(case) == {}
    missing = unchecked(case)
    assert len(missing["federation-sums"]) == 1 + 3 * last_round(run)
    assert missing["federation-states"]
    assert set(case.federation_checks[run.federation].outcomes) == {RoundOutcome.NOT_CHECKED}
    populations = {result.control.name: result.population for result in run_controls(case)}
    assert (populations["federation-sums"], populations["federation-states"]) == (0, 0)


def test_one_contribution_that_is_missing_is_named(run: Run) -> None:
    case = run.with_file("3-1/luohu.bin", None).case(Replay)
    assert found(case) == {}
    assert unchecked(case) == {
        "federation-sums": (f"{run.federation}, round 3, attempt 1: the contribution of {LUOHU}",),
        "federation-states": (f"the states of {run.federation} from round 3 on",),
    }


def test_without_the_recipes_sums_are_checked_and_states_are_not(run: Run) -> None:
    case = run.case(None)
    assert found(case) == {}
    (text,) = unchecked(case)["federation-states"]
    assert "they take the extra `federated`" in text
    assert set(case.federation_checks[run.federation].outcomes) == {RoundOutcome.SUMMED}


# --- what was spent ---------------------------------------------------------------------------------------------------


def test_more_than_was_said_in_the_end_is_found(private_run: Run) -> None:
    bad = private_run.change(private_run.find(COMPLETED), rho="0.0000000001")
    assert "completed with another sum of rho" in told(bad.case(Replay), "federation-spending")[0]


def test_another_rho_than_the_terms_say_is_found(private_run: Run) -> None:
    bad = private_run
    for index in private_run.all(GAVE):
        bad = bad.change(index, rho="0.001")
    bad = bad.change(bad.find(COMPLETED), rho=_total("0.001", last_round(private_run)))
    messages = told(bad.case(Replay), "federation-spending")
    assert len(messages) == 3 * last_round(private_run)
    assert "spent another rho than a round costs" in messages[0]


def test_more_than_the_epsilon_of_the_jobs_is_found_without_the_recipes(private_run: Run) -> None:
    bad, rho = private_run, private_run.rows[private_run.find(GAVE)].body["rho"]
    for index in private_run.all(GAVE):
        bad = bad.change(index, rho=_total(rho, 8))
    bad = bad.change(bad.find(COMPLETED), rho=_total(rho, 8 * last_round(private_run)))
    (message,) = told(bad.case(None), "federation-spending")
    assert message == "spent more than the epsilon of its jobs, 5"


def test_spending_in_exact_mode_and_none_in_private_mode_are_found(run: Run, private_run: Run) -> None:
    bad = run.change(run.find(GAVE), rho="0.1")
    assert "than its mode has" in told(bad.case(Replay), "federation-spending")[0]
    bad = private_run.change(private_run.find(GAVE), rho=None)
    assert "than its mode has" in told(bad.case(Replay), "federation-spending")[0]


def test_an_epsilon_without_its_delta_could_not_be_checked(private_run: Run) -> None:
    case = private_run.case(Replay, evidence=Evidence())
    assert unchecked(case)["federation-spending"]


@pytest.mark.parametrize("rho", ["0.0001", "0.01", "0.3", "2", "40"])
@pytest.mark.parametrize("delta", ["0.1", "0.000001", "0.000000000001"])
def test_the_auditor_s_epsilon_is_that_of_the_nodes_accountant(rho: str, delta: str) -> None:
    theirs = float(epsilon_of(Decimal(rho), Decimal(delta)))
    assert _epsilon(float(rho), float(delta)) == pytest.approx(theirs, rel=1e-7)


def _total(rho: str, times: int) -> str:
    return format((Decimal(rho) * times).normalize(), "f")


# --- controls ---------------------------------------------------------------------------------------------------------


def test_every_control_about_federations_has_damage_done_for_it() -> None:
    controls = {control.name for control in CONTROLS if control.name.startswith("federation-")}
    beside = {"federation-sums", "federation-states", "federation-spending"}
    assert controls == {damage.control for damage in DAMAGES.values()} | beside


def test_training_is_known_by_its_operation(run: Run) -> None:
    assert run.rows[run.find("job.submitted")].body["operation"].startswith(TRAINING)
