"""The list of rules is complete: modules, names, documentation, and findings that stay within it."""

import ast
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sandbox.disclosure as package
from policies.disclosure import DisclosureRules, Zeros
from sandbox.disclosure.facts import facts_of
from sandbox.disclosure.rules import MODEL_STAGE, TABLE_STAGES, judge_table
from sandbox.disclosure.verdict import Judgement, RuleId
from tests.unit.sandbox.disclosure.tables import Rows, aggregate, candidate_of, catalogue, condition, firms, question
from yingbi.plan.model import Function

FOLDER = Path(str(package.__file__)).parent
DOCS = Path(__file__).parents[4] / "docs" / "disclosure.md"
Entry = tuple[str, str, int, bool]
OF_THE_DOOR = {RuleId.TABLE_EMPTY, RuleId.HISTORY, RuleId.AGREED_CHECK}


def test_every_rule_belongs_to_one_stage() -> None:
    of_tables = [rule for stage in TABLE_STAGES for rule in stage.rules]
    of_models = [rule for rule in RuleId if rule.value.startswith(MODEL_STAGE)]
    of_trainings = [rule for rule in RuleId if rule.value.startswith("training")]
    assert sorted([*of_tables, *of_models, *of_trainings, *OF_THE_DOOR]) == sorted(RuleId)


def test_every_stage_is_a_module_with_a_test() -> None:
    for name in [*(stage.name for stage in TABLE_STAGES), MODEL_STAGE]:
        assert (FOLDER / f"{name}.py").is_file()
        assert list(Path(__file__).parent.glob(f"test_{name}.py"))


@pytest.mark.parametrize("rule", list(RuleId))
def test_every_rule_is_documented_and_has_a_name_for_the_log(rule: RuleId) -> None:
    assert f"`{rule.value}`" in DOCS.read_text(encoding="utf-8")
    assert re.fullmatch(r"[a-z][a-z0-9]*(?:[._-][a-z0-9]+)*", rule.value)


def test_the_door_is_opened_in_one_module() -> None:
    users = {
        path.name
        for path in FOLDER.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Name) and node.id == "RELEASE_DOOR"
    }
    assert users == {"released.py", "release.py"}
    outside = [
        path
        for folder in ("sandbox", "api", "federated", "yingbi")
        for path in (FOLDER.parents[1] / folder).rglob("*.py")
        if FOLDER not in path.parents and "RELEASE_DOOR" in path.read_text(encoding="utf-8")
    ]
    assert outside == []


tables = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("ls"), st.integers(0, 200), st.booleans()), max_size=80
)
ASKED = question(
    aggregate(Function.COUNT),
    aggregate(Function.SUM, "tax"),
    aggregate(Function.COUNT, where=(condition("penalised", True),)),
    by=["size", "street"],
    margins=True,
)


def _judge(rows: Rows, rules: DisclosureRules) -> Judgement:
    candidate = candidate_of(ASKED, rows)
    return judge_table(candidate, rules, facts_of(ASKED, catalogue()))


@given(tables, st.integers(1, 15))
def test_findings_stay_within_their_stage_and_masks_cover_every_measure(entries: list[Entry], min_units: int) -> None:
    rows = [
        {"unit": place, "street": street, "size": size, "tax": tax, "penalised": penalised}
        for place, (street, size, tax, penalised) in enumerate(entries)
    ]
    candidate = candidate_of(ASKED, rows)
    rules, facts = DisclosureRules(min_units=min_units), facts_of(ASKED, catalogue())
    for stage in TABLE_STAGES:
        names = {finding.rule for finding in stage.check(candidate, rules, facts).findings}
        assert names <= {rule.value for rule in stage.rules}
    judgement = judge_table(candidate, rules, facts)
    assert set(judgement.suppress) == set(judgement.protect) == set(candidate.measures)
    for measure, mask in judgement.suppress.items():
        assert not (judgement.protect[measure] & ~mask).any()


@given(tables, st.integers(1, 15), st.integers(0, 5), st.integers(0, 50), st.booleans())
def test_stricter_rules_never_release_more(
    entries: list[Entry], min_units: int, more: int, p: int, zeros: bool
) -> None:
    rows = [
        {"unit": place, "street": street, "size": size, "tax": tax, "penalised": penalised}
        for place, (street, size, tax, penalised) in enumerate(entries)
    ]
    mild = DisclosureRules(min_units=min_units, zeros=Zeros.ALLOW, p_percent=10)
    strict = DisclosureRules(min_units=min_units + more, zeros=Zeros.REFUSE if zeros else Zeros.ALLOW, p_percent=10 + p)
    before, after = _judge(rows, mild), _judge(rows, strict)
    for measure, mask in before.suppress.items():
        assert not (mask & ~after.suppress[measure]).any()


def test_what_fails_needs_no_review() -> None:
    rows = [dict(row, profit=-row["tax"]) for row in firms("a", [5, 6, 7])]
    rows += [dict(row, profit=row["tax"]) for row in firms("b", range(50, 90), start=100)]
    asked = question(aggregate(Function.SUM, "profit"), by=["street"])
    judgement = judge_table(candidate_of(asked, rows), DisclosureRules(), facts_of(asked, catalogue()))
    assert RuleId.NEGATIVE.value not in {finding.rule for finding in judgement.findings}
