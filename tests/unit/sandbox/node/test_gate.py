"""The way of a question through a node: refusals, charges, held results, what is recorded when."""

import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from policies.compiled import CompiledAgreement, compile_agreement
from policies.model import Approvals, JobApproval, OutputApproval
from sandbox.disclosure.held import HeldQueue, HeldState
from sandbox.disclosure.released import ReleasedTable
from sandbox.node.gate import Failed, Gate, HeldBack, Refused, Released, reject_held
from sandbox.node.home import NodeHome
from sandbox.node.judging import Asking, Judge
from sandbox.node.questions import QuestionBook, QuestionState
from sandbox.node.running import Running
from sandbox.node.wiring import open_gate
from tests.lib.attack_world import firms_dataset, new_world
from tests.lib.in_process import InProcessCage
from tests.lib.nodes import NOW, PARTNER, PURPOSE, broad_agreement
from yingbi.canonical import parse_canonical
from yingbi.clock import FixedClock
from yingbi.errors import ConflictError, ErrorCode, RefusedError
from yingbi.events.fields import Duty
from yingbi.events.jobs import RefusalReason

SUM = "select street, sum(tax) from lab.firms group by street"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def home(published: Path, tmp_path: Path) -> Iterator[NodeHome]:
    home = NodeHome.open(shutil.copytree(published, tmp_path / "node"), clock=FixedClock(NOW))
    yield home
    home.close()


def agreement(**changes: Any) -> CompiledAgreement:
    return compile_agreement(replace(broad_agreement([firms_dataset()]).agreement, **changes))


def approvals(job: JobApproval, output: OutputApproval) -> Mapping[str, Any]:
    return {"approvals": Approvals(agreement=(Duty.UNIT_CDO, Duty.BUREAU_APPROVER), job=job, output=output)}


@contextmanager
def gate_of(home: NodeHome, *agreements: CompiledAgreement) -> Iterator[Gate]:
    with open_gate(home, agreements, cage=InProcessCage()) as gate:
        yield gate


def asking(sql: str, **more: Any) -> Asking:
    return Asking(partner=PARTNER, purpose=PURPOSE, sql=sql, **more)


def book(home: NodeHome) -> QuestionBook:
    return QuestionBook(home.database, home.clock)


def test_a_permitted_question_is_charged_released_and_kept(home: NodeHome) -> None:
    with gate_of(home, agreement()) as gate:
        answer = gate.answer(asking(SUM))
    assert isinstance(answer, Released)
    assert isinstance(answer.result, ReleasedTable)
    row = book(home).get(answer.question)
    assert (row.state, row.output) == (QuestionState.RELEASED, answer.output)
    kept = book(home).output(answer.output)
    assert kept.digest == answer.result.digest
    assert isinstance(parse_canonical(kept.content, max_bytes=1 << 20), dict)
    assert book(home).consumption(["agr-lab-2026-01"])["agr-lab-2026-01"].jobs == 1


def test_explaining_runs_charges_and_records_nothing(home: NodeHome) -> None:
    with gate_of(home, agreement()) as gate:
        found = gate.explain(asking(SUM))
        refused = gate.explain(asking("select uscc from lab.firms"))
    assert found.admitted is not None
    assert found.cost is not None
    assert found.cost.rows == 500, "of 420 rows one digit is told, rounded up"
    assert refused.problem is not None
    assert book(home).list_questions() == []


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("select * from lab.firms", ErrorCode.SQL_NOT_SUPPORTED.value),
        ("select sum(taxes) from lab.firms", ErrorCode.NAME_UNKNOWN.value),
        ("select uscc, count(*) from lab.firms group by uscc", RefusalReason.PARAMETER_NOT_ALLOWED.value),
    ],
)
def test_a_refused_question_is_recorded_and_charges_nothing(home: NodeHome, sql: str, code: str) -> None:
    with gate_of(home, agreement()) as gate:
        answer = gate.answer(asking(sql))
    assert isinstance(answer, Refused)
    row = book(home).get(answer.question)
    assert (row.state, row.code, row.asked) == (QuestionState.REFUSED, code, None)
    assert book(home).consumption(["agr-lab-2026-01"])["agr-lab-2026-01"].jobs == 0


def test_without_an_agreement_everything_is_refused(home: NodeHome) -> None:
    with gate_of(home) as gate:
        answer = gate.answer(asking(SUM))
    assert isinstance(answer, Refused)
    assert answer.explanation.reasons[0].code is RefusalReason.AGREEMENT_NOT_ACTIVE


def test_the_limit_of_jobs_holds_however_many_ask_at_once(home: NodeHome) -> None:
    terms = agreement()
    few = compile_agreement(replace(terms.agreement, limits=replace(terms.agreement.limits, jobs=3, jobs_per_day=3)))
    answers: list[object] = []
    with gate_of(home, few) as gate:
        threads = [
            threading.Thread(target=lambda at=at: answers.append(gate.answer(asking(f"{SUM} limit {at + 1}"))))
            for at in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(answers) == 8
    assert sum(isinstance(answer, Released) for answer in answers) == 3
    assert {type(answer) for answer in answers} == {Released, Refused}
    assert book(home).consumption([few.id])[few.id].jobs == 3


def test_a_reviewed_job_does_not_run_unapproved(home: NodeHome) -> None:
    reviewed = agreement(**approvals(JobApproval.REVIEWED, OutputApproval.AUTOMATIC))
    with gate_of(home, reviewed) as gate:
        answer = gate.answer(asking(SUM))
        assert isinstance(answer, Refused)
        assert {reason.code for reason in answer.explanation.reasons} == {RefusalReason.APPROVAL_MISSING}
        allowed = answer.explanation.decision
        assert allowed is not None
        approved = gate.answer(asking(SUM, approvals=frozenset(allowed.job_duties)))
    assert isinstance(approved, Released)


def test_a_checked_output_waits_for_two_people_and_then_leaves_as_it_was(home: NodeHome) -> None:
    checked = agreement(**approvals(JobApproval.AUTOMATIC, OutputApproval.CHECKED))
    with gate_of(home, checked) as gate:
        answer = gate.answer(asking(SUM))
        assert isinstance(answer, HeldBack)
        findings = answer.output.notice["findings"]
        assert isinstance(findings, list)
        assert {finding["rule"] for finding in findings if isinstance(finding, dict)} >= {"agreed-check"}
        output = answer.output.id
        queue = gate.held
        with pytest.raises(RefusedError):
            queue.approve(output, PARTNER)
        queue.approve(output, "person:li-si")
        with pytest.raises(ConflictError):
            gate.release_held(output)
        with pytest.raises(RefusedError):
            queue.approve(output, "person:li-si")
        queue.approve(output, "person:wang-wu")
        released = gate.release_held(output)
    assert released.question == answer.question
    assert book(home).get(answer.question).state is QuestionState.RELEASED
    with gate_of(home, agreement()) as gate:
        again = gate.answer(asking(SUM))
    assert isinstance(again, Released)
    assert again.result.digest == released.result.digest


def test_an_approval_that_could_not_be_carried_out_is_carried_out_later(home: NodeHome) -> None:
    checked = agreement(**approvals(JobApproval.AUTOMATIC, OutputApproval.CHECKED))
    with gate_of(home, checked) as gate:
        answer = gate.answer(asking(SUM))
        assert isinstance(answer, HeldBack)
        gate.approve_held(answer.output.id, "person:li-si")
    with gate_of(home) as gate, pytest.raises(RefusedError):
        gate.approve_held(answer.output.id, "person:wang-wu")
    with gate_of(home, checked) as gate:
        released = gate.approve_held(answer.output.id, "person:wang-wu")
        assert isinstance(released, Released)
        with pytest.raises(ConflictError):
            gate.approve_held(answer.output.id, "person:wang-wu")


def test_a_result_of_which_nothing_may_come_out_says_so(home: NodeHome) -> None:
    lonely = "select sum(tax) from lab.firms where community = 'c00' and industry = 'F'"
    with gate_of(home, agreement()) as gate:
        answer = gate.answer(asking(lonely))
        assert isinstance(answer, HeldBack)
        assert answer.output.notice["final"] is True
        with pytest.raises(ConflictError):
            gate.approve_held(answer.output.id, "person:li-si")


def test_an_approved_result_leaves_once_however_often_the_process_dies(
    home: NodeHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = agreement(**approvals(JobApproval.AUTOMATIC, OutputApproval.CHECKED))
    with gate_of(home, checked) as gate:
        answer = gate.answer(asking(SUM))
        assert isinstance(answer, HeldBack)
        for person in ("person:li-si", "person:wang-wu"):
            gate.held.approve(answer.output.id, person)
        with monkeypatch.context() as dying:
            dying.setattr(HeldQueue, "released", _die)
            with pytest.raises(KeyboardInterrupt):
                gate.release_held(answer.output.id)
    kept = book(home).get(answer.question)
    assert kept.state is QuestionState.RELEASED
    with gate_of(home, checked) as gate:
        released = gate.release_held(answer.output.id)
        assert gate.held.find(answer.output.id).state is HeldState.RELEASED
    assert released.output == kept.output
    assert released.result.digest == book(home).output(released.output).digest


def test_a_result_that_was_held_when_the_process_died_is_held(home: NodeHome, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = agreement(**approvals(JobApproval.AUTOMATIC, OutputApproval.CHECKED))
    with gate_of(home, checked) as gate, monkeypatch.context() as dying:
        dying.setattr(QuestionBook, "end", _die)
        with pytest.raises(KeyboardInterrupt):
            gate.answer(asking(SUM))
    with gate_of(home, checked) as gate:
        (row,) = gate.held.waiting()
        assert book(home).get(row.question).state is QuestionState.HELD
        for person in ("person:li-si", "person:wang-wu"):
            gate.held.approve(row.id, person)
        assert gate.release_held(row.id).question == row.question


def _die(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_what_is_approved_leaves_under_todays_agreements_only(home: NodeHome) -> None:
    checked = agreement(**approvals(JobApproval.AUTOMATIC, OutputApproval.CHECKED))
    with gate_of(home, checked) as gate:
        answer = gate.answer(asking(SUM))
        assert isinstance(answer, HeldBack)
        for person in ("person:li-si", "person:wang-wu"):
            gate.held.approve(answer.output.id, person)
    with gate_of(home) as gate, pytest.raises(RefusedError):
        gate.release_held(answer.output.id)
    assert book(home).get(answer.question).state is QuestionState.HELD


def test_a_rejected_result_ends_its_question(home: NodeHome) -> None:
    checked = agreement(**approvals(JobApproval.AUTOMATIC, OutputApproval.CHECKED))
    with gate_of(home, checked) as gate:
        answer = gate.answer(asking(SUM))
        assert isinstance(answer, HeldBack)
        reject_held(gate.held, book(home), answer.output.id, "person:li-si")
        with pytest.raises(ConflictError):
            gate.release_held(answer.output.id)
    assert book(home).get(answer.question).state is QuestionState.REJECTED


def test_a_failed_run_is_recorded_and_stays_charged(home: NodeHome) -> None:
    with gate_of(home, agreement()) as gate:
        for path in home.data.rglob("data.duckdb"):
            path.chmod(0o600)
            path.write_bytes(b"damaged")
        answer = gate.answer(asking(SUM))
    assert isinstance(answer, Failed)
    assert answer.problem.code is ErrorCode.SNAPSHOT_DAMAGED
    assert book(home).get(answer.question).code == ErrorCode.SNAPSHOT_DAMAGED.value
    assert book(home).consumption(["agr-lab-2026-01"])["agr-lab-2026-01"].jobs == 1


def test_questions_whose_process_died_fail_when_a_gate_opens(home: NodeHome) -> None:
    with gate_of(home, agreement()) as gate:
        answer = gate.answer(asking(SUM))
    assert isinstance(answer, Released)
    with home.database.begin() as connection:
        connection.exec_driver_sql("update node_question set state = 'running', output = null")
    with gate_of(home, agreement()):
        pass
    row = book(home).get(answer.question)
    assert (row.state, row.code) == (QuestionState.FAILED, "interrupted")


def test_a_charged_job_runs_under_its_own_id_whatever_limit_is_reached(home: NodeHome) -> None:
    terms = agreement()
    few = compile_agreement(replace(terms.agreement, limits=replace(terms.agreement.limits, jobs=1, jobs_per_day=1)))
    book(home).charge("job-own", few.id)
    with gate_of(home, few) as gate:
        answer = gate.answer_charged("job-own", asking(SUM))
        assert isinstance(answer, Released)
        assert (answer.question, book(home).consumption([few.id])[few.id].jobs) == ("job-own", 1)
        with pytest.raises(ConflictError):
            gate.answer_charged("job-own", asking(SUM))
        assert isinstance(gate.answer(asking(f"{SUM} limit 1")), Refused)


def test_a_charged_job_that_is_not_permitted_is_refused_and_leaves_no_question(home: NodeHome) -> None:
    with gate_of(home) as gate:
        answer = gate.answer_charged("job-own", asking(SUM))
    assert isinstance(answer, Refused)
    assert book(home).list_questions() == []


def test_a_job_goes_on_as_itself_and_as_no_other(home: NodeHome) -> None:
    checked = agreement(**approvals(JobApproval.AUTOMATIC, OutputApproval.CHECKED))
    mine, another = "sha256:" + "1" * 64, "sha256:" + "2" * 64
    with gate_of(home, checked) as gate:
        answer = gate.answer_charged("job-own", asking(SUM, submission=mine))
        assert isinstance(answer, HeldBack)
        for other in (asking(SUM, submission=another), asking(SUM), asking(f"{SUM} limit 1")):
            with pytest.raises(RefusedError):
                gate.answer_charged("job-own", other)
        for person in ("person:li-si", "person:wang-wu"):
            gate.held.approve(answer.output.id, person)
        with pytest.raises(RefusedError):
            gate.release_held(answer.output.id, submission=another)
        assert gate.held.find(answer.output.id).state is HeldState.APPROVED
        assert isinstance(gate.release_held(answer.output.id, submission=mine), Released)


def test_a_question_is_computed_by_one_at_a_time(home: NodeHome) -> None:
    with gate_of(home, agreement()) as gate, Running(home.folder / "running").mark("job-own"):
        with pytest.raises(ConflictError):
            gate.answer_charged("job-own", asking(SUM))
        assert Running(home.folder / "running").is_alive("job-own"), "who holds it still does"
        assert book(home).list_questions() == []


def test_a_gate_under_another_judge_shares_everything_else(home: NodeHome) -> None:
    judge = Judge(place="node:futian-lab", agreements=[agreement()], clock=home.clock)
    with gate_of(home) as gate:
        assert isinstance(gate.answer(asking(SUM)), Refused)
        assert isinstance(gate.under(judge).answer(asking(SUM)), Released)
        states = {row.state for row in gate.book.list_questions()}
        assert states == {QuestionState.REFUSED, QuestionState.RELEASED}
