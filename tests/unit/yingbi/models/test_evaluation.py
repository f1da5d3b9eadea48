"""The evaluation as a document: what it says, what it holds back, and the same bytes each time."""

import json
from itertools import pairwise
from typing import Any

import pytest

from tests.unit.yingbi.models.samples import drawn, evaluation, histogram
from yingbi.canonical import canonical_bytes
from yingbi.errors import InvalidRequestError
from yingbi.models.evaluation import BinCounts, EvaluationRules, evaluate
from yingbi.models.histogram import make_histogram


def small(rows: int = 60) -> Any:
    sample = histogram(*drawn(rows))
    return evaluate(sample, sample)


def test_it_is_canonical_and_the_same_each_time() -> None:
    assert canonical_bytes(evaluation()) == canonical_bytes(evaluation())


def test_it_says_what_bank_people_ask_for() -> None:
    held: Any = evaluation()["samples"]
    held = held["hold_out"]
    assert set(held["metrics"]) == {"auc", "gini", "ks", "brier", "log_loss"}
    area = {name: float(value) for name, value in held["metrics"]["auc"].items()}
    assert area["low"] < area["value"] < area["high"]
    assert 2 <= len(held["gains"]) <= 10
    assert held["roc"][0] == ["0.0000", "0.0000"]
    assert held["roc"][-1] == ["1.0000", "1.0000"]


def test_counts_are_rounded_and_no_group_is_small() -> None:
    scores, events = drawn(2003)
    found: Any = evaluate(histogram(scores, events), histogram(scores, events))
    sample = found["samples"]["training"]
    assert sample["rows"] == 2005
    assert sample["events"] % 5 == 0
    goods, bads = (~events).sum(), events.sum()
    for one, other in pairwise(sample["roc"]):
        assert round((float(other[0]) - float(one[0])) * goods) >= 10
        assert round((float(other[1]) - float(one[1])) * bads) >= 10


def test_of_few_rows_little_is_told() -> None:
    sample = small()["samples"]["training"]
    assert len(sample["roc"]) <= 4
    assert len(sample["gains"]) <= 2
    assert small()["membership"]["reasons"] == ["too_few"]


def test_of_no_rows_nothing_is_told() -> None:
    nothing = make_histogram([0] * 10, [0] * 10)
    found: Any = evaluate(nothing, nothing)
    sample = found["samples"]["hold_out"]
    assert (sample["rows"], sample["roc"], sample["gains"], sample["calibration"]) == (0, [], [], [])
    assert set(sample["metrics"].values()) == {None}
    assert found["stability"] is None
    assert found["membership"]["verdict"] == "hold"


def bins_of(*pairs: tuple[int, int]) -> list[dict[str, Any]]:
    goods, bads = zip(*pairs, strict=True)
    counts = BinCounts(labels=tuple(map(str, range(len(pairs)))), goods=goods, bads=bads, hold_out=goods)
    sample = histogram(*drawn(500))
    found: Any = evaluate(sample, sample, characteristics={"x": counts})
    return list(found["characteristics"][0]["bins"])


def test_a_small_bin_is_held_back_and_one_more_beside_it() -> None:
    assert [one["rate"] is None for one in bins_of((100, 50), (90, 40), (80, 3))] == [False, True, True]
    assert [one["rate"] is None for one in bins_of((100, 50), (90, 40), (80, 30))] == [False] * 3
    assert [one["woe"] is None for one in bins_of((100, 50), (8, 40), (80, 3), (0, 0))] == [True, True, True, False]


def test_what_sums_do_not_tell_is_named() -> None:
    assert "csi" in small()["not_computed"]
    assert "csi" not in json.dumps(evaluation()["not_computed"])
    assert "psi_between_parties" in json.dumps(evaluation()["not_computed"])


def test_samples_with_other_bins_are_refused() -> None:
    sample = histogram(*drawn(500))
    with pytest.raises(InvalidRequestError, match="same bins"):
        evaluate(sample, histogram(*drawn(500), bins=50))


def test_rules_are_kept() -> None:
    sample = histogram(*drawn(2000))
    found: Any = evaluate(sample, sample, rules=EvaluationRules(rounding=100, least=200, places=2, groups=4))
    assert found["samples"]["training"]["events"] % 100 == 0
    assert len(found["samples"]["training"]["metrics"]["ks"]["value"]) == 4
    assert len(found["samples"]["training"]["roc"]) <= 4
