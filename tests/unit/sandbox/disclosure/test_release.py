"""The release door: order, suppression, what is held, what is recorded and when, and that nothing hidden gets out."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.disclosure import DisclosureRules, Zeros
from sandbox.candidate import RegressionCandidate
from sandbox.disclosure.approval import Approval
from sandbox.disclosure.history_gate import HistoryGate, NoHistoryControlBuild, Proposal
from sandbox.disclosure.json_form import held_json, table_json
from sandbox.disclosure.release import ReleaseContext, release
from sandbox.disclosure.released import Held, Outgoing, ReleasedModel, ReleasedTable
from sandbox.disclosure.verdict import Finding, RuleId
from sandbox.operations.measure import Measure
from tests.unit.sandbox.disclosure.tables import (
    RecordingHistory,
    Rows,
    aggregate,
    candidate_of,
    catalogue,
    condition,
    firms,
    question,
)
from tests.unit.sandbox.disclosure.test_regression import model
from yingbi.canonical import digest_json
from yingbi.errors import ErrorCode, InvalidRequestError, RefusedError, UnavailableError
from yingbi.events.outputs import CheckVerdict, DisclosureMode, Remedy, Risk, RiskVerdict
from yingbi.plan.codec import question_digest
from yingbi.plan.model import Comparison, Direction, Function, OrderBy, Presentation, ReleasedCondition, TableQuestion

COUNT, SUM = aggregate(Function.COUNT), aggregate(Function.SUM, "tax")
ROWS = [
    *firms("a", range(100, 130)),
    *firms("b", [987654321, 5, 5], start=100),
    *firms("c", [50] * 25 + [777777777], start=200),
]
NAMES = Presentation(names=("street", "firms", "tax"))


def _release(
    rows: Rows = ROWS,
    asked: TableQuestion | None = None,
    rules: DisclosureRules | None = None,
    history: HistoryGate | None = None,
    presentation: Presentation | None = None,
    approval: Approval | None = None,
) -> Outgoing | Held:
    asked = asked or question(COUNT, SUM, by=["street"])
    context = ReleaseContext(catalogue=catalogue(), presentation=presentation, approval=approval)
    return release(
        candidate_of(asked, rows), rules or DisclosureRules(), history or RecordingHistory(), context=context
    )


def _table(**asked: Any) -> ReleasedTable:
    table = _release(**asked)
    assert isinstance(table, ReleasedTable)
    return table


def _cells(table: ReleasedTable) -> dict[tuple[str | None, ...], tuple[str | None, ...]]:
    return {row.keys: row.values for row in table.rows}


def test_what_may_come_out_comes_out_and_nothing_else() -> None:
    table = _table(presentation=NAMES)
    assert _cells(table) == {("a",): ("30", str(sum(range(100, 130)))), ("b",): (None, None), ("c",): ("26", None)}
    assert [row.suppressed for row in table.rows] == [(False, False), (True, True), (False, True)]
    # What looks at confidential values is told as one.
    assert table.risks == (Risk.CLASS_DISCLOSURE, Risk.DOMINANCE, Risk.THRESHOLD, Risk.ZEROS)
    assert table.question == question_digest(question(COUNT, SUM, by=["street"]))


def test_the_digest_is_of_the_canonical_form() -> None:
    table = _table(presentation=NAMES)
    assert table.digest == digest_json(table_json(table))
    assert json.loads(json.dumps(table_json(table)))["rows"] == [
        ["a", "30", str(sum(range(100, 130)))],
        ["b", {"suppressed": True}, {"suppressed": True}],
        ["c", "26", {"suppressed": True}],
    ]


def test_an_answer_is_recorded_before_it_is_returned() -> None:
    history = RecordingHistory()
    _table(history=history)
    assert len(history.recorded) == 1

    class Failing(RecordingHistory):
        def record(self, token: str) -> None:
            raise UnavailableError(ErrorCode.STORE_DAMAGED, "disk full")

    with pytest.raises(UnavailableError):
        _release(history=Failing())


def test_history_is_asked_again_when_another_answer_came_between() -> None:
    history = RecordingHistory(busy=2)
    _release(history=history)
    assert (len(history.proposals), len(history.recorded)) == (3, 1)
    with pytest.raises(UnavailableError) as caught:
        _release(history=RecordingHistory(busy=100))
    assert caught.value.code is ErrorCode.HISTORY_BUSY


def test_history_gets_what_rules_failed_as_targets() -> None:
    history = RecordingHistory()
    _release(history=history)
    proposed = {m.kind.value: one for m, one in history.proposals[0].measures.items()}
    assert proposed["sum"].publishable.tolist() == [True, False, False]
    assert proposed["sum"].primary.tolist() == [False, True, True]
    assert proposed["rows"].primary.tolist() == [False, True, False]


def test_what_history_holds_back_is_held_back() -> None:
    def suppress(proposal: Proposal) -> dict[Measure, list[bool]]:
        return {measure: [measure.kind == "rows", False, False] for measure in proposal.measures}

    history = RecordingHistory(suppress)
    history.findings = (Finding(risk=Risk.DIFFERENCING, rule="history.cell", verdict=CheckVerdict.PASS),)
    table = _table(history=history)
    assert _cells(table)[("a",)] == (None, str(sum(range(100, 130))))
    assert Risk.DIFFERENCING in table.risks


def test_history_cannot_give_back_what_a_rule_failed() -> None:
    table = _table(history=RecordingHistory(lambda p: {m: [False] * 3 for m in p.measures}))
    assert _cells(table)[("b",)] == (None, None)


@pytest.mark.parametrize("mask", [[False] * 2, [False] * 4])
def test_a_mask_of_another_table_is_an_error(mask: list[bool]) -> None:
    with pytest.raises(UnavailableError):
        _release(history=RecordingHistory(lambda p: dict.fromkeys(p.measures, mask)))


def test_a_mean_is_suppressed_with_any_of_its_measures() -> None:
    def suppress(proposal: Proposal) -> dict[Measure, list[bool]]:
        return {measure: [measure.kind == "values", False, False] for measure in proposal.measures}

    asked = question(COUNT, aggregate(Function.MEAN, "tax"), by=["street"])
    table = _table(asked=asked, history=RecordingHistory(suppress))
    assert _cells(table) == {("a",): ("30", None), ("b",): (None, None), ("c",): ("26", None)}
    assert [row.suppressed for row in table.rows] == [(False, True), (True, True), (False, True)]


def test_little_left_is_for_a_person() -> None:
    rows = firms("a", [5] * 30) + [row for grid in range(20) for row in firms("a", [5] * 2, start=1000 + 10 * grid)]
    rows = [dict(row, grid=0 if row["unit"] < 1000 else row["unit"] // 10) for row in rows]
    asked = question(COUNT, by=["grid"])
    held = _release(rows=rows, asked=asked)
    assert isinstance(held, Held)
    assert RuleId.TABLE_EMPTY.value in {one.rule for one in held.findings if one.verdict is CheckVerdict.REVIEW}
    table = _table(rows=rows, asked=asked, approval=Approval(candidate=held.candidate, findings=held.findings))
    assert [row.values for row in table.rows if not row.suppressed[0]] == [("30",)]


def test_a_table_without_anything_left_is_held_with_remedies() -> None:
    history = RecordingHistory()
    held = _release(rows=firms("a", [1, 2, 3]) + firms("b", [1], start=50), history=history)
    assert isinstance(held, Held)
    assert history.recorded == []
    assert len(history.discarded) == 1
    notice = held_json(held)
    assert notice["remedies"] == [
        Remedy.COARSER_LEVEL.value,
        Remedy.FEWER_DIMENSIONS.value,
        Remedy.LONGER_PERIOD.value,
        Remedy.PRIVATE_MODE.value,
    ]


@pytest.mark.parametrize("suppresses", [False, True])
def test_a_notice_names_what_history_did_and_not_what_it_only_looked_at(suppresses: bool) -> None:
    history = RecordingHistory(lambda p: {m: [suppresses] * 3 for m in p.measures})
    history.findings = (Finding(risk=Risk.DIFFERENCING, rule="history", verdict=CheckVerdict.PASS),)
    rows = firms("a", [1, 2, 3]) + firms("b", [1] * (40 if suppresses else 3), start=50)
    held = _release(rows=rows, history=history)
    assert isinstance(held, Held)
    assert ("history" in {one.rule for one in held.findings}) is suppresses


def test_nothing_left_cannot_be_approved() -> None:
    rows = firms("a", [1, 2, 3]) + firms("b", [1], start=50)
    held = _release(rows=rows)
    assert isinstance(held, Held)
    again = _release(rows=rows, approval=Approval(candidate=held.candidate, findings=held.findings))
    assert isinstance(again, Held)


PROFIT = question(COUNT, aggregate(Function.SUM, "profit"), by=["street"])
LOSSES = [
    *(dict(row, profit=row["tax"]) for row in firms("a", [-13579, *list(range(10000, 10030))])),
    *(dict(row, profit=row["tax"]) for row in firms("b", range(2000, 2040), start=300)),
]


def test_a_review_holds_and_its_evidence_stays_inside() -> None:
    held = _release(rows=LOSSES, asked=PROFIT)
    assert isinstance(held, Held)
    assert {one.rule for one in held.findings if one.verdict is CheckVerdict.REVIEW} == {RuleId.NEGATIVE.value}
    total = str(sum(range(10000, 10030)) - 13579)
    assert total in json.dumps(held.evidence)
    assert total not in json.dumps(held_json(held))
    assert total not in repr(held)
    assert held.candidate not in repr(held)
    assert Remedy.SUPPRESS_CELLS in held.remedies


@pytest.mark.parametrize("suppress_reviewed", [False, True])
def test_people_let_a_reviewed_table_out(suppress_reviewed: bool) -> None:
    held = _release(rows=LOSSES, asked=PROFIT)
    assert isinstance(held, Held)
    approval = Approval(candidate=held.candidate, findings=held.findings, suppress_reviewed=suppress_reviewed)
    history = RecordingHistory()
    table = _table(rows=LOSSES, asked=PROFIT, approval=approval, history=history)
    total = None if suppress_reviewed else str(sum(range(10000, 10030)) - 13579)
    assert _cells(table)[("a",)] == ("31", total)
    sums = next(one for m, one in history.proposals[0].measures.items() if m.kind == "sum")
    # What is under review is so by declaration, whoever has a loss; street c is empty.
    assert sums.primary.tolist() == [suppress_reviewed, suppress_reviewed, True]


def test_an_approval_is_of_one_candidate_and_of_what_was_seen() -> None:
    held = _release(rows=LOSSES, asked=PROFIT)
    assert isinstance(held, Held)
    approval = Approval(candidate=held.candidate, findings=held.findings)
    others = [dict(LOSSES[0], profit=-1), *LOSSES[1:]]
    assert isinstance(_release(rows=others, asked=PROFIT, approval=approval), Held)
    assert isinstance(_release(rows=LOSSES, asked=PROFIT, approval=replace(approval, findings=())), Held)
    history = RecordingHistory()
    history.findings = (Finding(risk=Risk.DIFFERENCING, rule="history.world", verdict=CheckVerdict.REVIEW),)
    assert isinstance(_release(rows=LOSSES, asked=PROFIT, approval=approval, history=history), Held)


def test_a_failure_of_history_is_never_approved() -> None:
    history = RecordingHistory()
    history.findings = (Finding(risk=Risk.DIFFERENCING, rule="history.unit", verdict=CheckVerdict.FAIL),)
    held = _release(history=history)
    assert isinstance(held, Held)
    again = _release(history=history, approval=Approval(candidate=held.candidate, findings=held.findings))
    assert isinstance(again, Held)
    assert history.recorded == []


# --- layout -----------------------------------------------------------------------------------------------------------


def _having(output: str, comparison: Comparison, value: str | int) -> Presentation:
    return replace(NAMES, having=(ReleasedCondition(output=output, comparison=comparison, value=value),))


@pytest.mark.parametrize(
    ("comparison", "value", "expected"),
    [
        (Comparison.GT, "26", ["a"]),
        (Comparison.GE, "26", ["a", "c"]),
        (Comparison.LT, 1000, ["a", "c"]),
        (Comparison.NE, 30, ["c"]),
    ],
)
def test_having_sees_released_values_only(comparison: Comparison, value: str | int, expected: list[str]) -> None:
    table = _table(presentation=_having("firms", comparison, value))
    assert [row.keys[0] for row in table.rows] == expected


@pytest.mark.parametrize("comparison", [Comparison.LT, Comparison.GT, Comparison.NE, Comparison.EQ, Comparison.LE])
@pytest.mark.parametrize("value", ["987654331", "777779027", "0", "-1"])
def test_no_condition_selects_a_suppressed_value(comparison: Comparison, value: str) -> None:
    table = _table(presentation=_having("tax", comparison, value))
    assert {row.keys[0] for row in table.rows} <= {"a"}


@pytest.mark.parametrize("direction", list(Direction))
def test_suppressed_values_come_last_in_every_order(direction: Direction) -> None:
    order = replace(NAMES, order_by=(OrderBy(output="tax", direction=direction),))
    assert [row.keys[0] for row in _table(presentation=order).rows] == ["a", "b", "c"]
    counts = replace(NAMES, order_by=(OrderBy(output="firms", direction=direction),))
    expected = ["c", "a", "b"] if direction is Direction.ASC else ["a", "c", "b"]
    assert [row.keys[0] for row in _table(presentation=counts).rows] == expected


def test_numbers_are_ordered_as_numbers() -> None:
    rows = [dict(row, grid=grid) for grid in (9, 10, 100) for row in firms("a", [5] * 20, start=1000 * grid)]
    table = _table(rows=rows, asked=question(COUNT, by=["grid"]))
    assert [row.keys[0] for row in table.rows] == ["9", "10", "100"]


def test_released_values_are_ordered_as_numbers() -> None:
    rows = firms("a", [5] * 100) + firms("b", [5] * 20, start=500) + firms("c", [5] * 30, start=900)
    order = Presentation(names=("street", "n"), order_by=(OrderBy(output="n"),))
    table = _table(rows=rows, asked=question(COUNT, by=["street"]), presentation=order)
    assert [row.values[0] for row in table.rows] == ["20", "30", "100"]


def test_limit_is_applied_last() -> None:
    order = replace(NAMES, order_by=(OrderBy(output="firms", direction=Direction.DESC),), limit=1)
    assert [row.keys[0] for row in _table(presentation=order).rows] == ["a"]


def test_an_unknown_output_is_refused_before_anything_is_recorded() -> None:
    history = RecordingHistory()
    with pytest.raises(InvalidRequestError):
        _release(presentation=_having("nothing", Comparison.GT, 1), history=history)
    assert history.recorded == []


@pytest.mark.parametrize(
    "wrong",
    [
        Presentation(names=("street", "firms")),
        Presentation(names=("street", "firms", "firms")),
        Presentation(names=("street", "firms", "tax", "more")),
        Presentation(names=("street", "firms", "tax"), columns=("street", "firms")),
    ],
)
def test_names_that_do_not_fit_are_refused_before_anything_is_recorded(wrong: Presentation) -> None:
    history = RecordingHistory()
    with pytest.raises(InvalidRequestError):
        _release(presentation=wrong, history=history)
    assert history.recorded == []


def test_an_allowed_zero_may_be_all_there_is() -> None:
    asked = question(COUNT, where=(condition("street", "c"),))
    rows = firms("a", [5] * 30)
    assert isinstance(_release(rows=rows, asked=asked), Held)
    assert _table(rows=rows, asked=asked, rules=DisclosureRules(zeros=Zeros.ALLOW)).rows[0].values == ("0",)


def test_evidence_of_a_model_survives_another_run_of_the_engine() -> None:
    one = _release_model(model(leverage=0.9))
    other = _release_model(model(leverage=0.9, coefficients=np.array([1.234567890001, -0.5, 1e-7])))
    assert isinstance(one, Held)
    assert isinstance(other, Held)
    assert one.candidate == other.candidate


def test_a_category_that_only_a_suppressed_cell_has_is_not_told() -> None:
    rows = [dict(row, secret=1) for row in firms("a", [5] * 30)]
    rows += [dict(row, secret=2) for row in firms("a", [5] * 30, start=100)]
    rows += [dict(row, secret=424242) for row in firms("a", [5] * 3, start=500)]
    table = _table(rows=rows, asked=question(COUNT, by=["secret"]))
    assert "424242" not in json.dumps(table_json(table))
    assert all(finding.cells is None for finding in table.findings)


# --- the door ---------------------------------------------------------------------------------------------------------


def test_released_values_have_one_constructor() -> None:
    table = _table()
    with pytest.raises(TypeError):
        replace(table, rows=(), door=object())


def test_private_mode_does_not_pass_here() -> None:
    with pytest.raises(RefusedError):
        _release(rules=DisclosureRules(mode=DisclosureMode.PRIVATE))


def test_findings_fit_the_log() -> None:
    held = _release(rows=LOSSES, asked=PROFIT)
    assert isinstance(held, Held)
    for one in held.findings:
        RiskVerdict(risk=one.risk, rule=one.rule, dimension=one.dimension, verdict=one.verdict)


@pytest.mark.parametrize(
    "change",
    [
        {"units": np.array([40, 3, 26])},
        {"keys": (("a",), ("a",), ("c",))},
        {"keys": (("a",), ("b",))},
        {"measures": {}},
        {"is_total": np.zeros((3, 0), dtype=np.bool_)},
        {"rows": np.array([30, 3, 2600])},
    ],
)
def test_a_candidate_of_another_form_is_an_error(change: dict[str, Any]) -> None:
    candidate = replace(candidate_of(question(COUNT, SUM, by=["street"]), ROWS), **change)
    with pytest.raises(UnavailableError) as caught:
        release(candidate, DisclosureRules(), RecordingHistory(), context=ReleaseContext(catalogue=catalogue()))
    assert caught.value.code is ErrorCode.ENGINE_FAILED


def test_the_control_build_is_loud(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(TypeError):
        NoHistoryControlBuild(i_know_that_differencing_will_succeed=1)  # type: ignore[arg-type]
    history = NoHistoryControlBuild(i_know_that_differencing_will_succeed=True)
    assert isinstance(_release(history=history), ReleasedTable)
    assert [record.levelname for record in caplog.records] == ["CRITICAL", "CRITICAL"]


def test_differencing_by_one_unit_is_what_rules_alone_do_not_see() -> None:
    # The control: with history off, two tables give one firm's tax; catching it is history's part.
    history = NoHistoryControlBuild(i_know_that_differencing_will_succeed=True)
    rows = [dict(row, size="s" if place == 7 else "l") for place, row in enumerate(firms("a", range(100, 200)))]
    rows += [dict(row, size="s") for row in firms("b", range(300, 340), start=500)]
    everybody = _table(rows=rows, asked=question(SUM, by=["street"]), history=history)
    large = _table(rows=rows, asked=question(SUM, by=["street"], where=(condition("size", "l"),)), history=history)
    assert isinstance(large, ReleasedTable)
    assert int(_cells(everybody)[("a",)][0] or 0) - int(_cells(large)[("a",)][0] or 0) == 107


def test_rounding_is_of_everything_that_is_released() -> None:
    table = _table(asked=question(COUNT, SUM, by=["street"]), rules=DisclosureRules(rounding=5))
    numbers = [int(value) for row in table.rows for value in row.values if value is not None]
    assert numbers
    assert all(number % 5 == 0 for number in numbers)


CANARY = 31_415_926_535

streets = st.lists(st.integers(0, 40), min_size=1, max_size=3)


@settings(max_examples=60)
@given(streets, st.integers(0, 2), st.sampled_from(list(Zeros)), st.booleans())
def test_no_suppressed_value_is_in_what_leaves(sizes: list[int], place: int, zeros: Zeros, margins: bool) -> None:
    rows = [row for number, size in enumerate(sizes) for row in firms("abc"[number], [10] * size, start=1000 * number)]
    if place < len(sizes):
        rows += firms("abc"[place], [CANARY], start=90_000)
    asked = question(COUNT, SUM, aggregate(Function.MEAN, "tax"), by=["street"], margins=margins)
    result = _release(rows=rows, asked=asked, rules=DisclosureRules(zeros=zeros))
    notice = held_json(result) if isinstance(result, Held) else table_json(result)  # type: ignore[arg-type]
    text = json.dumps(notice) + repr(result)
    assert str(CANARY)[:6] not in text
    if isinstance(result, ReleasedTable):
        hidden = [v for row in result.rows for v, gone in zip(row.values, row.suppressed, strict=True) if gone]
        assert set(hidden) <= {None}
        counts = [Decimal(row.values[0]) for row in result.rows if row.values[0] is not None]
        assert all(count >= 10 or (count == 0 and zeros is Zeros.ALLOW) for count in counts)


# --- models -----------------------------------------------------------------------------------------------------------


def _release_model(candidate: RegressionCandidate, history: RecordingHistory | None = None) -> Outgoing | Held:
    return release(
        candidate, DisclosureRules(), history or RecordingHistory(), context=ReleaseContext(catalogue=catalogue())
    )


def test_a_model_is_released_with_few_digits() -> None:
    history = RecordingHistory()
    released = _release_model(model(rows=103, units=103, selected=model(rows=103).selected), history)
    assert isinstance(released, ReleasedModel)
    assert released.terms[0].coefficient == "1.23457"
    assert released.terms[2].coefficient == "0.0000001"
    assert released.observations == "100"
    assert len(history.recorded) == 2  # the table by its code, and the model


def test_a_model_whose_tables_give_something_away_is_held() -> None:
    history = RecordingHistory(
        lambda asked: {one: [True] * len(asked.keys) for one in asked.measures if asked.keys != ((),)}
    )
    assert isinstance(_release_model(model(), history), Held)
    assert history.recorded == []


def test_a_model_that_fails_is_held_and_not_recorded() -> None:
    history = RecordingHistory()
    held = _release_model(model(leverage=0.9), history)
    assert isinstance(held, Held)
    assert history.recorded == []
    assert "1.2345" not in json.dumps(held_json(held))


def test_a_model_that_history_fails_is_held() -> None:
    history = RecordingHistory()
    history.findings = (Finding(risk=Risk.DIFFERENCING, rule="history.unit", verdict=CheckVerdict.FAIL),)
    assert isinstance(_release_model(model(), history), Held)
