"""Federations in the report, on its pages, in tables and in stories: who, what, which rounds, what was shown."""

import csv
import io
import re
from typing import Any

import pytest

from federated.audit import Replay
from policies.federations import FederationState
from tests.lib.federation import PARTNER
from tests.lib.federation_evidence import Run, real_run
from yingbi.audit.case import Case
from yingbi.audit.contributions import Evidence
from yingbi.audit.controls import run_controls
from yingbi.audit.crate import describe_crate
from yingbi.audit.federation_checks import RoundOutcome
from yingbi.audit.pages import render_page, render_story
from yingbi.audit.papers import working_paper
from yingbi.audit.report import Report, make_report
from yingbi.audit.texts import LANGUAGES, load_texts
from yingbi.audit.tracing import PHASES, find_job, trace_job


@pytest.fixture(scope="module")
def run() -> Run:
    return real_run()


@pytest.fixture(scope="module")
def case(run: Run) -> Case:
    return run.case(Replay)


@pytest.fixture(scope="module")
def report(case: Case) -> Report:
    return make_report(case, run_controls(case))


def rounds_of(run: Run) -> int:
    return sum(1 for _ in run.all("federation.round_completed"))


def row_of(report: Report) -> Any:
    rows: Any = report.value["federations"]
    (row,) = rows
    return row


def test_the_report_tells_who_trained_what_in_which_rounds_and_at_what_cost(run: Run, report: Report) -> None:
    row = row_of(report)
    assert (row["federation"], row["partner"], row["recipe"]) == (run.federation, PARTNER, "logistic_regression")
    assert (row["mode"], row["epsilon"], row["rho"], row["state"]) == ("exact", None, None, "completed")
    assert (row["rounds"], row["contributors"], row["recomputed"]) == (rounds_of(run), 3, rounds_of(run))
    assert row["result"] == run.result
    assert [item["unit"] for item in row["members"]] == ["unit:bao", "unit:futian", "unit:luohu"]
    assert [item["job"] for item in row["members"]] == list(run.jobs)
    assert [item["agreement"] for item in row["members"]] == ["agr-bao", "agr-futian", "agr-luohu"]
    assert all(item["released"] is not None for item in row["members"])
    assert [item["round"] for item in row["attempts"]] == list(range(1, rounds_of(run) + 1))
    assert {item["outcome"] for item in row["attempts"]} == {"recomputed"}
    assert row["unchecked"] == []


def test_a_private_federation_tells_what_it_spent() -> None:
    private = real_run(private=True)
    case = private.case(Replay)
    row = row_of(make_report(case, run_controls(case)))
    assert (row["mode"], row["epsilon"]) == ("private", "5")
    assert row["rho"] == private.rows[private.find("federation.completed")].body["rho"]
    for language in LANGUAGES:
        assert f"rho {row['rho']}" in render_page(make_report(case, ()), language).decode()


def test_tables_have_a_line_a_federation_and_a_line_an_attempt(run: Run, report: Report) -> None:
    federations, rounds = (
        list(csv.DictReader(io.StringIO(report.tables[name].decode(), newline="")))
        for name in ("federations", "rounds")
    )
    assert [line["federation"] for line in federations] == [run.federation]
    assert federations[0]["nodes"] == "node:bao node:futian node:luohu"
    assert [line["outcome"] for line in rounds] == ["recomputed"] * rounds_of(run)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_has_both_tables_and_says_what_was_computed_again(run: Run, report: Report, language: str) -> None:
    page, texts = render_page(report, language).decode(), load_texts(language)
    assert f'id="{run.federation}"' in page
    assert texts("federations.rounds", rounds=rounds_of(run), most=40, again=rounds_of(run)) in page
    assert page.count(texts("outcome.recomputed")) == rounds_of(run)
    assert texts("unchecked.text") not in page
    assert "{" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_could_not_be_checked_is_told_and_is_not_good(run: Run, language: str) -> None:
    case = run.case(Replay, evidence=Evidence())
    results = run_controls(case)
    page, texts = render_page(make_report(case, results), language).decode(), load_texts(language)
    assert texts("unchecked.text") in page
    assert page.count(texts("outcome.not-checked")) == rounds_of(run)
    assert f"the terms of {run.federation}" in page
    assert texts("unchecked") in working_paper(case, results, language).decode()


def test_a_report_of_chosen_jobs_has_their_federations(run: Run, case: Case) -> None:
    row_of(make_report(case, (), {run.jobs[1]}))
    assert make_report(case, (), {"job-other"}).value["federations"] == []


def test_stories_in_the_report_are_brief(run: Run, report: Report) -> None:
    traces: Any = report.value["traces"]
    steps = next(trace["steps"] for trace in traces if trace["job"] == run.jobs[0])
    assert {step["phase"] for step in steps} == set(PHASES) - {"members", "delivery", "end"}
    assert {step["issuer"] for step in steps if step["phase"] == "round"} == {"node:bao"}


def test_the_description_for_machines_names_the_folder(run: Run, case: Case) -> None:
    graph = describe_crate(case, [], [f"data/federations/{run.federation}/terms.json"], "urn:uuid:0")["@graph"]
    assert any(entity["@id"] == "federations/" for entity in graph)


# --- stories ----------------------------------------------------------------------------------------------------------


def test_a_model_is_traced_to_rounds_members_agreements_and_approvals(run: Run, case: Case) -> None:
    trace = trace_job(case, run.jobs[0])
    phases = {phase: [step for step in trace.steps if step.phase == phase] for phase in PHASES}
    kinds = {phase: {str(step.fact.type) for step in steps} for phase, steps in phases.items()}
    assert kinds["round"] == {f"federation.{name}" for name in ("round_started", "contributed", "round_completed")}
    assert len(phases["round"]) == 5 * rounds_of(run)
    assert {step.fact.id for step in phases["round"]} == {run.federation}
    assert kinds["federation"] == {"federation.joined", "federation.started", "federation.completed"}
    assert kinds["members"] >= {"agreement.signed", "agreement.activated", "job.approved", "output.released"}
    others = {step.fact.id for step in phases["members"] if step.fact.type.noun == "agreement"}
    assert others == {"agr-futian", "agr-luohu"}
    assert {step.fact.job for step in phases["members"] if step.fact.type.noun == "job"} == set(run.jobs[1:])
    assert trace.federation is not None
    assert trace.federation["recomputed"] == rounds_of(run)
    own = [step.fact.index for step in trace.steps if step.phase in PHASES[3:]]
    assert own == sorted(set(own)), "each entry once, in the order of the log"


def test_a_model_is_found_by_its_federation_and_by_its_final_state(run: Run, case: Case) -> None:
    released = run.rows[run.find("output.released")]
    assert find_job(case, released.body["content"]) == released.body["job"]
    assert find_job(case, run.result) == find_job(case, run.federation) == run.jobs[0]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_story_of_a_model_is_told_in_both_languages(run: Run, case: Case, language: str) -> None:
    story = render_story(trace_job(case, run.jobs[0]).to_json(), language)
    for phase in ("federation", "members", "round"):
        assert load_texts(language)(f"phase.{phase}") in story


# --- texts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_word_for_outcomes_and_states_is_there(language: str) -> None:
    keys = load_texts(language).keys
    assert {f"outcome.{outcome}" for outcome in (*RoundOutcome, "given-up", "open")} <= keys
    assert {f"federation.{state}" for state in (*FederationState, "joined")} <= keys
    assert {f"phase.{phase}" for phase in PHASES} <= keys
