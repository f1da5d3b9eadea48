"""The story of a result: everything it rests on, in order, with who signed in which duty."""

import pytest

from tests.lib.audited_log import BANK, NODE, AuditedLog, digest
from yingbi.audit.tracing import PHASES, find_job, trace_job
from yingbi.errors import NotFoundError
from yingbi.events import EntryType


@pytest.fixture(scope="module")
def log() -> AuditedLog:
    return AuditedLog().found().run_day()


def test_a_story_has_all_its_phases_in_order(log: AuditedLog) -> None:
    trace = trace_job(log.case(), "job-0003")
    phases = list(dict.fromkeys(step.phase for step in trace.steps))
    assert phases == [phase for phase in PHASES if phase not in ("members", "federation", "round", "end")]
    assert [step.fact.index for step in trace.steps] == sorted(step.fact.index for step in trace.steps)
    assert (trace.partner, trace.state, trace.size) == (BANK, "delivered", log.size)
    assert trace.result is not None
    assert trace.result.content == digest("content job-0003")


def test_who_signed_is_told_with_the_duties_of_that_time(log: AuditedLog) -> None:
    signers = {step.fact.type: step.signers for step in trace_job(log.case(), "job-0003").steps}
    assert signers[EntryType.JOB_SUBMITTED] == (("person:ana", ("partner-analyst",)),)
    assert signers[EntryType.OUTPUT_CHECKED] == (("person:chk", ("output-checker",)),)
    assert signers[EntryType.OUTPUT_RELEASED] == ((NODE, ()),)


@pytest.mark.parametrize("name", ["content job-0003", "sealed job-0003", "candidate job-0003"])
def test_a_job_is_found_by_any_digest_of_its_result(log: AuditedLog, name: str) -> None:
    assert find_job(log.case(), digest(name)) == "job-0003"


def test_a_job_is_found_by_its_output(log: AuditedLog) -> None:
    assert find_job(log.case(), "out-job-0004") == "job-0004"


def test_what_no_entry_names_is_not_found(log: AuditedLog) -> None:
    with pytest.raises(NotFoundError):
        find_job(log.case(), digest("nothing"))
    with pytest.raises(NotFoundError):
        trace_job(log.case(), "job-9999")


def test_a_refused_job_has_a_story_too(log: AuditedLog) -> None:
    trace = trace_job(log.case(), "job-0002")
    assert (trace.state, trace.result) == ("refused", None)
    assert [step.fact.type for step in trace.steps][-1] is EntryType.JOB_REFUSED


def test_entries_without_effect_stand_in_the_story_as_such() -> None:
    log = AuditedLog().found().run_job("job-0001")
    log.release("job-0001")
    trace = trace_job(log.case(), "job-0001")
    assert trace.steps[-1].row()["without_effect"] is not None
    assert all(step.row()["without_effect"] is None for step in trace.steps[:-1])


def test_a_signature_that_is_wrong_is_told_beside_its_owner() -> None:
    log = AuditedLog().found()
    log.submit("job-0001", "person:stranger")
    (step,) = trace_job(log.case(), "job-0001").steps
    ((name, duties),) = step.signers
    assert name.endswith("(unknown-key)")
    assert duties == ()


def test_the_json_form(log: AuditedLog) -> None:
    value = trace_job(log.case(), "job-0001").to_json()
    assert value["result"] == {"content": digest("content job-0001"), "ciphertext": digest("sealed job-0001")}
    assert value["checkpoint_size"] == log.size
    assert isinstance(value["steps"], list)
