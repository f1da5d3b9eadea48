"""A node's gate in the real cage: crashes, other processes, limits, people, memory and cancelling.

Questions are asked by `yingbi node ask` in processes of their own wherever a process is what fails.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from policies.compiled import CompiledAgreement, compile_agreement
from policies.model import Approvals, JobApproval, OutputApproval, to_json
from sandbox.catalog.model import DataItem, Dataset, ItemRole, ItemType, Visibility
from sandbox.disclosure.held import HeldQueue
from sandbox.disclosure.released import ReleasedTable
from sandbox.isolation.limits import MEBIBYTE, Limits
from sandbox.node.gate import Answer, Failed, Gate, HeldBack, Refused, Released
from sandbox.node.home import CONFIG_NAME, NodeHome
from sandbox.node.judging import Asking
from sandbox.node.questions import AskedQuestion, QuestionBook, QuestionState
from sandbox.node.wiring import open_gate
from tests.lib.attack_world import new_world
from tests.lib.nodes import NOW, PARTNER, PURPOSE, broad_agreement, new_node, publish_table
from tests.lib.waiting import wait_until
from yingbi.clock import Clock, FixedClock, SystemClock
from yingbi.errors import ConflictError, ErrorCode, RefusedError
from yingbi.events.fields import Duty, Grade, PrivacyUnit

ROOT = Path(__file__).parents[2]
BY_STREET = "select street, sum(tax), count(*) from lab.firms group by street"
# Nothing of these is held back, in whichever order they come.
FIRMS_BY_SIZE = "select size, count(*) from lab.firms group by size"
FIRMS_BY_STREET = "select street, count(*) from lab.firms group by street"
# Firm 0 alone.
LONELY = "select sum(tax) from lab.firms where community = 'c00' and industry = 'F'"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published world whose node computes in the real cage; tests copy it."""
    folder = new_world(tmp_path_factory.mktemp("world"))
    config = (folder / CONFIG_NAME).read_text("utf-8")
    (folder / CONFIG_NAME).write_text(config.replace("none-for-development", "bubblewrap"), "utf-8")
    home = NodeHome.open(folder)
    datasets = list(home.catalogue.load().datasets.values())
    home.close()
    (folder.parent / "agreement.json").write_text(json.dumps(to_json(broad_agreement(datasets).agreement)), "utf-8")
    return folder


@pytest.fixture
def node(world: Path, tmp_path: Path) -> Path:
    """A copy of the world's node, with the agreement beside it."""
    for name in ("agreement.json", "firms2.parquet"):
        shutil.copy(world.parent / name, tmp_path)
    return Path(shutil.copytree(world, tmp_path / "node"))


def agreement_of(node: Path, **changes: object) -> CompiledAgreement:
    """Return the broad agreement with some terms changed."""
    home = NodeHome.open(node)
    base = broad_agreement(home.catalogue.load().datasets.values()).agreement
    home.close()
    return compile_agreement(replace(base, **changes))  # type: ignore[arg-type]


@contextmanager
def gate_of(node: Path, agreement: CompiledAgreement, *, clock: Clock | None = None) -> Iterator[Gate]:
    """Open the gate of a node in this process; computations run in the real cage."""
    home = NodeHome.open(node, clock=clock or FixedClock(NOW))
    with open_gate(home, [agreement]) as gate:
        yield gate
    home.close()


def asking(sql: str, partner: str = PARTNER) -> Asking:
    return Asking(partner=partner, purpose=PURPOSE, sql=sql)


def cells(answer: Answer) -> dict[tuple[str | None, ...], tuple[object, ...]]:
    assert isinstance(answer, Released), answer
    assert isinstance(answer.result, ReleasedTable)
    return {row.keys: row.values for row in answer.result.rows}


def asked_by(node: Path) -> list[AskedQuestion]:
    """Return the node's book."""
    home = NodeHome.open(node)
    try:
        return QuestionBook(home.database, home.clock).list_questions()
    finally:
        home.close()


def jobs_charged(node: Path) -> int:
    home = NodeHome.open(node)
    try:
        return QuestionBook(home.database, SystemClock()).consumption(["agr-lab-2026-01"])["agr-lab-2026-01"].jobs
    finally:
        home.close()


def command(node: Path, sql: str) -> list[str]:
    """Return the arguments of `yingbi node ask`."""
    who = ["--partner", PARTNER, "--purpose", PURPOSE, "--agreement", str(node.parent / "agreement.json")]
    return ["node", "ask", sql, "--node", str(node), *who, "--json"]


def started(node: Path, sql: str, *, fault: str = "") -> "subprocess.Popen[bytes]":
    """Start `yingbi node ask` as a process; `fault` is Python that runs in it first."""
    code = f"{fault}\nfrom yingbi.cli import main\nmain()\n"
    return subprocess.Popen(
        [sys.executable, "-c", code, *command(node, sql)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "YINGBI_LANG": "en", "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def ended(process: "subprocess.Popen[bytes]") -> tuple[int, bytes, bytes]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def processes_of(node: Path) -> list[int]:
    """Return processes that have this node's folder among their arguments, this one left out."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes()
        except OSError:
            continue
        if os.fsencode(node) in arguments and int(path.parent.name) != os.getpid():
            found.append(int(path.parent.name))
    return found


# --- crashes ----------------------------------------------------------------------------------------------------------


# Where the process is killed: module, class, method, and whether before or after the method has done its work.
PLACES = {
    "before computing": ("sandbox.engine_duckdb.engine", "DuckdbEngine", "run", "before"),
    "after computing": ("sandbox.engine_duckdb.engine", "DuckdbEngine", "run", "after"),
    "before history remembers": ("sandbox.disclosure.history.history", "History", "record", "before"),
    "after history remembers": ("sandbox.disclosure.history.history", "History", "record", "after"),
    "before it is kept": ("sandbox.node.questions", "QuestionBook", "release", "before"),
}

FAULT = """
import os, signal
from {module} import {name}
real = {name}.{method}
def dying(self, *arguments, **options):
    if {is_after}:
        real(self, *arguments, **options)
    os.kill(os.getpid(), signal.SIGKILL)
{name}.{method} = dying
"""


@pytest.mark.parametrize("place", PLACES)
def test_a_killed_question_has_failed_stays_charged_and_can_be_asked_again(node: Path, place: str) -> None:
    module, name, method, when = PLACES[place]
    fault = FAULT.format(module=module, name=name, method=method, is_after=when == "after")
    code, out, _ = ended(started(node, BY_STREET, fault=fault))
    assert (code, out) == (-signal.SIGKILL, b""), "nothing was said"
    assert [row.state for row in asked_by(node)] == [QuestionState.RUNNING]
    wait_until(lambda: processes_of(node) == [])
    with gate_of(node, agreement_of(node), clock=SystemClock()) as gate:
        again = cells(gate.answer(asking(BY_STREET)))
        assert len(again) == 4
        repeated = cells(gate.answer(asking(BY_STREET)))
    assert again == repeated
    assert [(row.state, row.code) for row in asked_by(node)] == [
        (QuestionState.FAILED, "interrupted"),
        (QuestionState.RELEASED, None),
        (QuestionState.RELEASED, None),
    ]
    assert jobs_charged(node) == 3, "a crash can cost a partner a job, never give one away"


def test_a_kill_in_the_middle_of_the_cage_leaves_no_process_and_no_file(node: Path) -> None:
    process = started(node, BY_STREET)
    wait_until(lambda: list((node / "running").glob("*")) if (node / "running").exists() else [])
    wait_until(lambda: any(row.state is QuestionState.RUNNING for row in asked_by(node)))
    process.kill()
    assert ended(process)[0] == -signal.SIGKILL
    with gate_of(node, agreement_of(node), clock=SystemClock()) as gate:
        assert cells(gate.answer(asking(BY_STREET)))
    # Most end with their node; one that was not bound to it yet, when the next gate opens.
    wait_until(lambda: processes_of(node) == [])
    assert [row.state for row in asked_by(node)] == [QuestionState.FAILED, QuestionState.RELEASED]
    assert list((node / "running").iterdir()) == []


def test_an_interrupt_at_the_keyboard_ends_the_question(node: Path) -> None:
    process = started(node, BY_STREET)
    wait_until(lambda: any(row.state is QuestionState.RUNNING for row in asked_by(node)))
    process.send_signal(signal.SIGINT)
    code, out, err = ended(process)
    assert (code, out, b"Traceback" in err) == (130, b"", False), err
    # A worker that was being started when the signal came ends with its node, a moment later.
    wait_until(lambda: processes_of(node) == [])
    with gate_of(node, agreement_of(node), clock=SystemClock()) as gate:
        assert cells(gate.answer(asking(BY_STREET)))
    assert [row.state for row in asked_by(node)] == [QuestionState.CANCELLED, QuestionState.RELEASED]


# --- what the node remembers ------------------------------------------------------------------------------------------


def test_a_table_of_bins_is_remembered_like_any_other(node: Path) -> None:
    """Firm 0 is the only one of industry F: a bin, less the other industries' cells of that bin, is its tax."""
    bins = "bin(founded, 2000, 2010, 2020)"
    with gate_of(node, agreement_of(node)) as gate:
        parts = cells(gate.answer(asking(f"select industry, {bins}, sum(tax) from lab.firms group by industry, 2")))
        whole = gate.answer(asking(f"select {bins}, sum(tax) from lab.firms group by 1"))
    margins = cells(whole) if isinstance(whole, Released) else {}
    firm = pd.read_parquet(node.parent / "firms2.parquet").set_index("number").tax[0]
    for key, (total,) in margins.items():
        others = [values[0] for names, values in parts.items() if key[0] in names and "F" not in names]
        known = [int(str(value)) for value in others if value is not None]
        assert total is None or len(known) < len(others) or int(str(total)) - sum(known) != firm


# --- others at the same time ------------------------------------------------------------------------------------------


def test_processes_that_ask_at_the_same_time_all_get_answers_and_each_is_charged(node: Path) -> None:
    questions = (FIRMS_BY_STREET, FIRMS_BY_SIZE, FIRMS_BY_STREET)
    processes = [started(node, sql) for sql in questions]
    answers = [ended(process) for process in processes]
    assert [code for code, _, _ in answers] == [0, 0, 0], [err for _, _, err in answers]
    forms = [json.loads(out)["result"] for _, out, _ in answers]
    assert forms[0] == forms[2]
    assert [row.state for row in asked_by(node)] == [QuestionState.RELEASED] * 3
    assert jobs_charged(node) == 3


def test_the_last_job_of_an_agreement_goes_to_one_of_two(node: Path) -> None:
    limited = agreement_of(node)
    limited = compile_agreement(replace(limited.agreement, limits=replace(limited.agreement.limits, jobs=1)))
    answers: list[Answer] = []
    with gate_of(node, limited) as one, gate_of(node, limited) as other:
        threads = [
            threading.Thread(target=lambda gate=gate: answers.append(gate.answer(asking(BY_STREET))))
            for gate in (one, other)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(type(answer).__name__ for answer in answers) == ["Refused", "Released"]
    (refused,) = [answer for answer in answers if isinstance(answer, Refused)]
    assert refused.explanation.reasons[0].code.value == "limit-reached"


# --- limits and times -------------------------------------------------------------------------------------------------


def test_a_days_limit_is_over_at_midnight_in_the_bureaus_zone(node: Path) -> None:
    terms = agreement_of(node).agreement
    daily = compile_agreement(replace(terms, limits=replace(terms.limits, jobs=100, jobs_per_day=2)))
    evening = datetime(2026, 11, 2, 15, 58, tzinfo=UTC)  # 23:58 in the bureau
    with gate_of(node, daily, clock=FixedClock(evening)) as gate:
        answers = [gate.answer(asking(BY_STREET)) for _ in range(3)]
        assert [type(answer).__name__ for answer in answers] == ["Released", "Released", "Refused"]
        assert isinstance(answers[2], Refused)
        assert answers[2].explanation.reasons[0].code.value == "limit-reached"
    with gate_of(node, daily, clock=FixedClock(evening + timedelta(minutes=1))) as gate:
        assert isinstance(gate.answer(asking(BY_STREET)), Refused)
    with gate_of(node, daily, clock=FixedClock(evening + timedelta(minutes=2))) as gate:
        assert isinstance(gate.answer(asking(BY_STREET)), Released)


def test_an_agreement_that_is_over_or_has_not_begun_permits_nothing(node: Path) -> None:
    terms = agreement_of(node).agreement
    first, last = terms.valid.first, terms.valid.last
    assert (first, last) == (date(2026, 1, 1), date(2027, 12, 31))
    for at, is_valid in (
        (datetime(2025, 12, 31, 15, 59, tzinfo=UTC), False),
        (datetime(2025, 12, 31, 16, 0, tzinfo=UTC), True),
        (datetime(2027, 12, 31, 15, 59, tzinfo=UTC), True),
        (datetime(2027, 12, 31, 16, 0, tzinfo=UTC), False),
    ):
        with gate_of(node, agreement_of(node), clock=FixedClock(at)) as gate:
            found = gate.explain(asking(BY_STREET))
            assert (found.admitted is not None) == is_valid, at
            assert is_valid or isinstance(gate.answer(asking(BY_STREET)), Refused)
    assert jobs_charged(node) == 0


# --- people -----------------------------------------------------------------------------------------------------------


def checked(node: Path) -> CompiledAgreement:
    duties = (Duty.UNIT_CDO, Duty.BUREAU_APPROVER)
    approvals = Approvals(agreement=duties, job=JobApproval.AUTOMATIC, output=OutputApproval.CHECKED)
    return agreement_of(node, approvals=approvals)


def test_what_two_people_approve_is_what_comes_out(node: Path) -> None:
    with gate_of(node, checked(node)) as gate:
        answer = gate.answer(asking(BY_STREET))
        assert isinstance(answer, HeldBack), answer
    with gate_of(node, checked(node)) as gate:
        home = NodeHome.open(node)
        queue = HeldQueue(home.database, node / "held", home.clock)
        output = answer.output.id
        with pytest.raises(RefusedError) as error:
            queue.approve(output, PARTNER)
        assert error.value.code is ErrorCode.DUTIES_NOT_SEPARATED
        with pytest.raises(ConflictError):
            gate.release_held(output)
        assert queue.approve(output, "person:li-si").state.value == "half-checked"
        with pytest.raises(RefusedError):
            queue.approve(output, "person:li-si")
        with pytest.raises(ConflictError):
            gate.release_held(output)
        assert queue.approve(output, "person:wang-wu").state.value == "approved"
        released = gate.release_held(output)
        with pytest.raises(ConflictError):
            gate.release_held(output)
        home.close()
    truth = pd.read_parquet(node.parent / "firms2.parquet").groupby("street").tax.agg(["count", "sum"])
    found = cells(released)
    assert {key[0]: int(str(values[0])) for key, values in found.items()} == truth["count"].to_dict()
    sums = {key[0]: int(str(values[1])) for key, values in found.items() if values[1] is not None}
    assert len(sums) >= 3, "one street has a giant"
    assert all(truth["sum"][street] == value for street, value in sums.items())
    assert jobs_charged(node) == 1
    assert [row.state for row in asked_by(node)] == [QuestionState.RELEASED]


def test_what_is_rejected_never_comes_out(node: Path) -> None:
    with gate_of(node, agreement_of(node)) as gate:
        answer = gate.answer(asking(LONELY))
        assert isinstance(answer, HeldBack), answer
        home = NodeHome.open(node)
        queue = HeldQueue(home.database, node / "held", home.clock)
        queue.reject(answer.output.id, "person:li-si")
        with pytest.raises(ConflictError):
            queue.approve(answer.output.id, "person:wang-wu")
        with pytest.raises(ConflictError):
            gate.release_held(answer.output.id)
        home.close()
    assert list((node / "held").iterdir()) == [], "the key of its evidence is erased"


# --- memory, time, cancelling -----------------------------------------------------------------------------------------


ROWS = 600_000
COLUMNS = tuple("abcd")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A node with more numbers than its memory holds."""
    folder = tmp_path_factory.mktemp("large")
    random = np.random.default_rng(1)
    numbers = {name: random.integers(0, 1_000_000_000, ROWS) for name in COLUMNS}
    table = pa.table({"uscc": [f"U{at:06}" for at in range(ROWS)], **numbers})
    pq.write_table(table, folder / "large.parquet")
    home = new_node(folder / "node", isolation="bubblewrap")
    unit = DataItem(
        name="uscc",
        title="代码",
        type=ItemType.TEXT,
        role=ItemRole.UNIT,
        visibility=Visibility.PUBLIC,
        grade=Grade.GENERAL_2,
        nullable=False,
    )
    columns = [
        DataItem(
            name=name,
            title=name,
            type=ItemType.INTEGER,
            grade=Grade.GENERAL_3,
            nullable=False,
            bounds=(Decimal(0), Decimal(1_000_000_000)),
        )
        for name in COLUMNS
    ]
    dataset = Dataset(
        name="lab/large",
        title="大表",
        owner="unit:futian-bureau",
        privacy_unit=PrivacyUnit.ENTERPRISE,
        membership=Visibility.PUBLIC,
        items=(unit, *columns),
    )
    publish_table(home, dataset, folder / "large.parquet")
    home.close()
    return folder / "node"


THREE = "median({0}), quantile_cont({0}, 0.1), quantile_cont({0}, 0.9)"
HEAVY = f"select {', '.join(THREE.format(name) for name in COLUMNS)} from lab.large"


@contextmanager
def limited(node: Path, limits: Limits) -> Iterator[Gate]:
    home = NodeHome.open(node, clock=FixedClock(NOW))
    home = replace(home, config=replace(home.config, limits=limits))
    with open_gate(home, [broad_agreement(home.catalogue.load().datasets.values())]) as gate:
        yield gate
    home.close()


def test_a_question_that_needs_more_than_its_limits_fails_and_a_smaller_one_runs(large: Path) -> None:
    tight = Limits(memory_bytes=64 * MEBIBYTE, temp_bytes=MEBIBYTE, threads=1)
    for limits in (tight, Limits(wall_s=0.05, threads=1)):
        with limited(large, limits) as gate:
            answer = gate.answer(asking(HEAVY))
            assert isinstance(answer, Failed), answer
            assert answer.problem.code is ErrorCode.RESOURCE_LIMIT
    with limited(large, tight) as gate:
        assert cells(gate.answer(asking("select count(*) from lab.large")))
    with limited(large, replace(tight, temp_bytes=512 * MEBIBYTE)) as gate:
        assert cells(gate.answer(asking(HEAVY))), "with space to spill it runs in the same memory"
    assert list((large / "scratch").iterdir()) == []


def test_a_cancelled_question_ends_at_once_and_stays_charged(large: Path) -> None:
    cancel = threading.Event()
    before = jobs_charged(large)
    answers: list[Answer] = []
    with limited(large, Limits(threads=1)) as gate:
        thread = threading.Thread(target=lambda: answers.append(gate.answer(asking(HEAVY), cancel=cancel)))
        thread.start()
        wait_until(lambda: any(row.state is QuestionState.RUNNING for row in asked_by(large)))
        cancel.set()
        began = time.monotonic()
        thread.join()
        assert time.monotonic() - began < 10
        (answer,) = answers
        assert isinstance(answer, Failed), answer
        assert answer.problem.code is ErrorCode.RUN_CANCELLED
    assert [row.state for row in asked_by(large) if row.id == answer.question] == [QuestionState.CANCELLED]
    assert jobs_charged(large) == before + 1
    assert processes_of(large) == []
