"""What a node remembers: across restarts, processes and partners; repeats, bounds, damage, and what it never reads."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, create_engine, delete, select, update

from sandbox.disclosure.atoms import AtomTable, Facet, Sameness
from sandbox.disclosure.history import History, HistoryLimits, HistoryStore
from sandbox.disclosure.history.tables import ANSWER, HEAD, PART
from sandbox.disclosure.history_gate import HistoryGate
from sandbox.operations.measure import Measure, MeasureKind
from tests.lib.atoms import ArraySource, ask, column, equations, in_span, propose
from tests.unit.sandbox.history.firms import FIRMS, RULES, Node, make_node
from yingbi.clock import SystemClock
from yingbi.errors import ErrorCode, RefusedError, TamperDetectedError, UnavailableError
from yingbi.events.outputs import CheckVerdict, Risk
from yingbi.plan.model import Comparison, Condition, Function, TableQuestion

NOT_7 = Condition(column=column("staff"), comparison=Comparison.NE, values=(7,))


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    made = create_engine(f"sqlite:///{tmp_path / 'node.db'}", connect_args={"timeout": 0.2})
    HistoryStore(made, SystemClock()).prepare()
    return made


def _history(node: Node, engine: Engine) -> History:
    return History(HistoryStore(engine, SystemClock()), ArraySource(data=node.data, catalogue=node.catalogue))


def _suppressed(node: Node, history: History, question: TableQuestion) -> int:
    verdict = history.judge(propose(node.data, node.catalogue, question, RULES))
    return sum(int(mask.sum()) for mask in verdict.suppress.values())


def _tell(node: Node, history: History, question: TableQuestion) -> None:
    history.record(history.judge(propose(node.data, node.catalogue, question, RULES)).token)


def test_history_is_the_gate(engine: Engine) -> None:
    gate: HistoryGate = _history(make_node(), engine)
    gate.discard("unknown")


def test_judging_alone_changes_nothing(engine: Engine) -> None:
    node = make_node()
    history = _history(node, engine)
    for _ in range(2):
        history.judge(propose(node.data, node.catalogue, ask("street"), RULES))
    assert _suppressed(node, history, ask("street", where=[NOT_7])) == 0


def test_answers_outlive_the_process(engine: Engine) -> None:
    node = make_node()
    _tell(node, _history(node, engine), ask("street"))
    assert _suppressed(node, _history(node, engine), ask("street", where=[NOT_7])) > 0


def test_what_another_process_recorded_counts(engine: Engine) -> None:
    node = make_node()
    first, second = _history(node, engine), _history(node, engine)
    assert _suppressed(node, second, ask("street", where=[NOT_7])) == 0
    _tell(node, first, ask("street"))
    assert _suppressed(node, second, ask("street", where=[NOT_7])) > 0


def test_a_judgement_that_was_overtaken_is_not_recorded(engine: Engine) -> None:
    node = make_node()
    first, second = _history(node, engine), _history(node, engine)
    late = second.judge(propose(node.data, node.catalogue, ask("street", where=[NOT_7]), RULES))
    _tell(node, first, ask("street"))
    with pytest.raises(UnavailableError) as caught:
        second.record(late.token)
    assert caught.value.code is ErrorCode.HISTORY_BUSY
    assert HistoryStore(engine, SystemClock()).sequence() == 1


def test_two_judgements_of_one_process_are_not_both_recorded(engine: Engine) -> None:
    node = make_node()
    history = _history(node, engine)
    tokens = [
        history.judge(propose(node.data, node.catalogue, question, RULES)).token
        for question in (ask("street"), ask("street", where=[NOT_7]))
    ]
    history.record(tokens[0])
    with pytest.raises(UnavailableError):
        history.record(tokens[1])


def test_a_token_is_good_once(engine: Engine) -> None:
    node = make_node()
    history = _history(node, engine)
    token = history.judge(propose(node.data, node.catalogue, ask("street"), RULES)).token
    history.record(token)
    with pytest.raises(UnavailableError):
        history.record(token)


def test_a_repeat_gets_the_same_mask_and_adds_nothing(engine: Engine) -> None:
    node = make_node()
    history = _history(node, engine)
    _tell(node, history, ask("street", where=[NOT_7]))
    question = ask("street", "sector", margins=True)
    first = history.judge(propose(node.data, node.catalogue, question, RULES))
    history.record(first.token)
    for again in (history, _history(node, engine)):
        verdict = again.judge(propose(node.data, node.catalogue, question, RULES))
        again.record(verdict.token)
        assert verdict.repeated
        for measure, mask in first.suppress.items():
            assert mask.any()
            assert (verdict.suppress[measure] == mask).all()
    assert HistoryStore(engine, SystemClock()).sequence() == 2


def test_a_repeat_in_another_order_gets_the_mask_cell_by_cell(engine: Engine) -> None:
    node = make_node()
    history = _history(node, engine)
    _tell(node, history, ask("street", where=[NOT_7]))
    question = ask("street", "sector", margins=True)
    proposal = propose(node.data, node.catalogue, question, RULES)
    first = history.judge(proposal)
    history.record(first.token)
    order = np.arange(len(proposal.keys))[::-1]
    turned = replace(
        proposal,
        question=replace(question, group_by=question.group_by[::-1]),
        keys=tuple(proposal.keys[place][::-1] for place in order),
        is_total=proposal.is_total[order][:, ::-1],
        measures={
            measure: replace(one, publishable=one.publishable[order], primary=one.primary[order])
            for measure, one in proposal.measures.items()
        },
    )
    verdict = history.judge(turned)
    assert verdict.repeated
    for measure, mask in first.suppress.items():
        assert (verdict.suppress[measure] == mask[order]).all()


def test_verdicts_are_the_same_everywhere(tmp_path: Path) -> None:
    node, masks = make_node(), []
    for name in ("one", "two"):
        engine = create_engine(f"sqlite:///{tmp_path / name}.db")
        HistoryStore(engine, SystemClock()).prepare()
        history = _history(node, engine)
        for question in (ask("street", where=[NOT_7]), ask("sector")):
            _tell(node, history, question)
        verdict = history.judge(propose(node.data, node.catalogue, ask("street", "sector", margins=True), RULES))
        masks.append({measure.kind: mask.tolist() for measure, mask in verdict.suppress.items()})
        assert verdict.evidence["earlier_answers"] == 2
    assert masks[0] == masks[1]


def test_what_is_public_is_no_answer(engine: Engine) -> None:
    node = make_node()
    history = _history(node, engine)
    for question in (ask("street", measure=Function.COUNT), ask("street", measure=Function.COUNT, where=[NOT_7])):
        assert _suppressed(node, history, question) == 0
        _tell(node, history, question)


def test_different_columns_are_different_histories() -> None:
    node = make_node(secret=["penalised"])
    node.ask(ask("street", measure=Function.COUNT, where=[_penalised()]))
    verdict = node.ask(ask("street", where=[NOT_7]))
    assert not any(mask.any() for mask in verdict.suppress.values())


def _penalised() -> Condition:
    return Condition(column=column("penalised"), comparison=Comparison.EQ, values=(True,))


def test_a_table_that_would_be_empty_fails_with_its_risk() -> None:
    node = make_node()
    node.ask(ask())
    verdict = node.ask(ask(where=[NOT_7]))
    found = {finding.risk: finding for finding in verdict.findings}
    assert found[Risk.DIFFERENCING].verdict is CheckVerdict.FAIL
    assert found[Risk.SECONDARY_DISCLOSURE].verdict is CheckVerdict.PASS


def test_a_large_cell_that_dominance_held_back_stays_unknown() -> None:
    node = make_node()
    proposal = propose(node.data, node.catalogue, ask("street", "sector", margins=True), RULES)
    held = np.array([key == ("a", "x") for key in proposal.keys])
    measure, one = next(iter(proposal.measures.items()))
    proposal = replace(proposal, measures={measure: replace(one, primary=held, publishable=~held)})
    verdict = node.history.judge(proposal)
    released = ~held & ~verdict.suppress[measure]
    known = equations(node.data, node.catalogue, proposal, released, (), FIRMS)
    cell = equations(node.data, node.catalogue, proposal, held, (), FIRMS)
    assert not in_span(known, cell).any()
    assert 0 < verdict.suppress[measure].sum() <= 3


def test_what_one_measure_of_a_column_must_not_tell_no_other_tells() -> None:
    node = make_node()
    proposal = propose(node.data, node.catalogue, ask("street", measure=Function.VARIANCE), RULES)
    held = np.array([True, False])
    squares = next(measure for measure in proposal.measures if measure.kind is MeasureKind.SQUARES)
    one = replace(proposal.measures[squares], primary=held, publishable=~held)
    verdict = node.history.judge(replace(proposal, measures={**proposal.measures, squares: one}))
    assert {measure.kind: mask.tolist() for measure, mask in verdict.suppress.items()} == {
        MeasureKind.SUM: [True, False],
        MeasureKind.SQUARES: [False, False],
        MeasureKind.VALUES: [False, False],
    }


def test_what_earlier_answers_gave_away_does_not_hold_a_new_one() -> None:
    node = make_node()
    node.ask(ask("street", "sector"), replace(RULES, min_units=2))
    # Under the stricter rules each inner cell is held back, and everybody has it already.
    verdict = node.ask(ask("street", "sector", margins=True), replace(RULES, min_units=8))
    assert not any(mask.any() for mask in verdict.suppress.values())
    assert {finding.verdict for finding in verdict.findings} == {CheckVerdict.PASS}


def test_secondary_suppression_is_told_apart() -> None:
    node = make_node()
    few = Condition(column=column("staff"), comparison=Comparison.IN, values=(1, 3, *range(2, 26, 2)))
    verdict = node.ask(ask("street", where=[few], margins=True))
    found = {finding.risk: finding for finding in verdict.findings}
    assert found[Risk.SECONDARY_DISCLOSURE].cells == 1
    assert found[Risk.DIFFERENCING].cells == 1
    assert sum(int(mask.sum()) for mask in verdict.suppress.values()) == 1


@pytest.mark.parametrize(
    "limits",
    [
        HistoryLimits(cells=2),
        HistoryLimits(new_cells=2),
        HistoryLimits(variables=10),
        HistoryLimits(tables=0),
        HistoryLimits(sets=1),
    ],
    ids=["cells", "new-cells", "variables", "tables", "blocks"],
)
def test_beyond_a_bound_is_refused(limits: HistoryLimits) -> None:
    node = make_node(secret=["penalised"], limits=limits)
    with pytest.raises(RefusedError) as caught:
        node.ask(ask("sector", "penalised"))
    assert caught.value.code is ErrorCode.HISTORY_LIMIT


def test_grouping_by_a_confidential_column_without_classes_is_refused() -> None:
    node = make_node()
    with pytest.raises(RefusedError):
        node.ask(ask("tax", measure=Function.COUNT))


@pytest.mark.parametrize("harm", ["missing", "torn", "ahead"])
def test_damaged_answers_stop_everything(engine: Engine, harm: str) -> None:
    node = make_node()
    for question in (ask("street"), ask("sector")):
        _tell(node, _history(node, engine), question)
    with engine.begin() as connection:
        if harm == "missing":
            connection.execute(delete(ANSWER).where(ANSWER.c.sequence == 1))
        elif harm == "torn":
            connection.execute(update(PART).values(released=b""))
        else:
            connection.execute(update(HEAD).values(sequence=5))
    with pytest.raises(TamperDetectedError) as caught:
        _suppressed(node, _history(node, engine), ask("street", where=[NOT_7]))
    assert caught.value.code is ErrorCode.STORE_DAMAGED


def test_an_answer_is_stored_whole_or_not_at_all(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    node = make_node()
    history = _history(node, engine)
    token = history.judge(propose(node.data, node.catalogue, ask("street"), RULES)).token

    def crash(*_: object) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr("sandbox.disclosure.history.store._pack", crash)
    with pytest.raises(KeyboardInterrupt):
        history.record(token)
    with engine.connect() as connection:
        assert connection.execute(select(ANSWER)).all() == []
        assert connection.execute(select(HEAD.c.sequence)).scalar_one() == 0


def test_a_locked_database_is_busy(engine: Engine) -> None:
    node = make_node()
    history = _history(node, engine)
    token = history.judge(propose(node.data, node.catalogue, ask("street"), RULES)).token
    with engine.connect() as other:
        other.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(UnavailableError) as caught:
            history.record(token)
        other.rollback()
    assert caught.value.code is ErrorCode.HISTORY_BUSY


class _BlindSource(ArraySource):
    """A source that gives no totals: determination needs none."""

    def totals(self, table: AtomTable, dataset: str, version: int, measure: Measure) -> tuple[int, ...]:
        raise AssertionError("determination must not look at values")


def test_determination_sees_no_value_and_asks_for_atoms_once(engine: Engine) -> None:
    node = make_node()
    source = _BlindSource(data=node.data, catalogue=node.catalogue)
    history = History(HistoryStore(engine, SystemClock()), source)
    for question in (ask("street"), ask("street", measure=Function.MEAN)):
        _tell(node, history, question)
    assert source.calls == 1


def test_atoms_over_other_facets_are_no_answer(engine: Engine) -> None:
    class Wrong(ArraySource):
        def atoms(
            self,
            dataset: str,
            versions: Sequence[int],
            facets: Sequence[Facet],
            *,
            cap: int,
            same: Sameness | None = None,
        ) -> AtomTable:
            return replace(super().atoms(dataset, versions, facets, cap=cap, same=same), facets=())

    node = make_node()
    history = History(HistoryStore(engine, SystemClock()), Wrong(data=node.data, catalogue=node.catalogue))
    with pytest.raises(Exception, match="facets"):
        _suppressed(node, history, ask("street"))


def test_rows_that_count_several_times_are_for_a_person(engine: Engine) -> None:
    node = make_node(rows=2, public_members=False)
    dataset = node.catalogue.datasets["unit/licences"]
    grade = dataset.items[1]
    secret = replace(
        dataset,
        items=(dataset.items[0], replace(grade, visibility=node.catalogue.datasets["unit/firms"].items[-1].visibility)),
    )
    catalogue = replace(node.catalogue, datasets={**node.catalogue.datasets, "unit/licences": secret})
    question = ask(
        measure=Function.COUNT,
        joins=["unit/licences"],
        where=[Condition(column=column("grade", "unit/licences"), comparison=Comparison.EQ, values=("g",))],
    )
    history = History(HistoryStore(engine, SystemClock()), ArraySource(data=node.data, catalogue=catalogue))
    verdict = history.judge(propose(node.data, catalogue, question, RULES))
    assert CheckVerdict.REVIEW in {finding.verdict for finding in verdict.findings}
