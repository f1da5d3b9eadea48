"""The specification: one canonical text, and nothing in it that is not understood."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from federated.horizontal.parameters import LogisticParameters, Missing, RecipeName, WoeParameters
from federated.horizontal.spec import Feature, Kind, PrivacySpec, TrainingSpec
from tests.unit.federated.horizontal.examples import AGE, DEBT, FEATURES, TRADE, make_spec, private
from yingbi.canonical import canonical_bytes, parse_canonical
from yingbi.errors import InvalidRequestError


@pytest.mark.parametrize("recipe", list(RecipeName))
@pytest.mark.parametrize("is_private", [False, True])
def test_a_specification_reads_back(recipe: RecipeName, is_private: bool) -> None:
    spec = make_spec(recipe, privacy=private(recipe) if is_private else None)
    data = canonical_bytes(spec.to_json())
    again = TrainingSpec.from_json(parse_canonical(data, max_bytes=10_000))
    assert again == spec
    assert again.digest == spec.digest


def test_spellings_of_a_number_are_one_specification() -> None:
    spec = make_spec(RecipeName.LOGISTIC_REGRESSION)
    value: Any = spec.to_json()
    value["hold_out"] = "0.20"
    value["features"][0]["bounds"] = ["0", "5e1"]
    assert TrainingSpec.from_json(value).digest == spec.digest


def test_the_digest_is_that_of_the_form_of_version_1() -> None:
    assert make_spec(RecipeName.WOE_BINS).digest == GOLDEN


GOLDEN = "sha256:46d4c567420c5a0e05314b605aba3e7a063600696370271d37cd57d335eaa048"

Change = Callable[[Any], object]


def feature(n: int, **members: Any) -> Change:
    return lambda value: value["features"][n].update(members)


MUTATIONS: dict[str, tuple[Change, str]] = {
    "another form": (lambda v: v.update(form="yingbi-training/2"), "form"),
    "no recipe": (lambda v: v.pop("recipe"), "recipe"),
    "unknown recipe": (lambda v: v.update(recipe="deep"), "recipe"),
    "parameters of another recipe": (lambda v: v.update(parameters={"trees": 1}), "parameters"),
    "a float": (lambda v: v.update(hold_out=0.2), "hold_out"),
    "all held out": (lambda v: v.update(hold_out="1"), "hold_out"),
    "target is a list": (lambda v: v.update(target=["bad"]), "target"),
    "target with a blank": (lambda v: v.update(target="b ad"), "target"),
    "empty event": (lambda v: v.update(positive=""), "positive"),
    "no features": (lambda v: v.update(features=[]), "features"),
    "too many features": (lambda v: v.update(features=v["features"] * 22), "features"),
    "twice the same feature": (lambda v: v["features"].append(v["features"][0]), "different names"),
    "the target as a feature": (feature(0, name="bad"), "without the target"),
    "no entities": (lambda v: v.update(min_entities=0), "min_entities"),
    "too many rows": (lambda v: v.update(max_rows=2**22 + 1), "max_rows"),
    "no clip": (lambda v: v.update(privacy={}), "privacy.clip"),
    "a clip of nothing": (lambda v: v.update(privacy={"clip": "0"}), "privacy.clip"),
    "more in privacy": (lambda v: v.update(privacy={"clip": "1", "epsilon": "1"}), "privacy"),
    "more members": (lambda v: v.update(code="print"), "no other members"),
    "unknown kind": (feature(0, kind="text"), "features[0].kind"),
    "one bound": (feature(0, bounds=["0"]), "features[0].bounds"),
    "bounds turned round": (feature(0, bounds=["1", "0"]), "features[0].bounds"),
    "equal bounds": (feature(0, bounds=["1", "1"]), "features[0].bounds"),
    "boundless bounds": (feature(0, bounds=["0", "1e31"]), "features[0].bounds"),
    "edges out of order": (feature(0, edges=["2", "1"]), "features[0].edges"),
    "32 edges": (feature(0, edges=[str(n) for n in range(32)]), "features[0].edges"),
    "an edge that is no number": (feature(0, edges=["nan"]), "features[0].edges"),
    "special twice": (feature(0, special=["1", "1.0"]), "features[0].special"),
    "codes of a number": (feature(0, codes=["A", "B"]), "features[0]"),
    "one code": (feature(2, codes=["A"]), "features[2].codes"),
    "a code twice": (feature(2, codes=["A", "A"]), "features[2].codes"),
    "65 codes": (feature(2, codes=[str(n) for n in range(65)]), "features[2].codes"),
    "a control character": (feature(2, codes=["A", "B\n"]), "features[2].codes"),
    "bounds of codes": (feature(2, bounds=["0", "1"]), "features[2]"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_what_is_not_as_it_must_be_is_named(name: str) -> None:
    value: Any = make_spec(RecipeName.LOGISTIC_REGRESSION).to_json()
    change, expected = MUTATIONS[name]
    change(value)
    with pytest.raises(InvalidRequestError) as caught:
        TrainingSpec.from_json(value)
    assert expected in caught.value.message


def test_all_problems_are_told_at_once() -> None:
    value: Any = make_spec(RecipeName.LOGISTIC_REGRESSION).to_json()
    for name in ("another form", "target is a list", "one bound", "one code", "no clip"):
        MUTATIONS[name][0](value)
    with pytest.raises(InvalidRequestError) as caught:
        TrainingSpec.from_json(value)
    assert caught.value.message.count("expected") == 5


@pytest.mark.parametrize("value", [None, [], "spec", 1])
def test_a_specification_is_an_object(value: Any) -> None:
    with pytest.raises(InvalidRequestError):
        TrainingSpec.from_json(value)


def test_a_specification_that_could_not_be_read_cannot_be_made() -> None:
    spec = make_spec(RecipeName.LOGISTIC_REGRESSION)
    for changes in ({"min_entities": 0}, {"privacy": PrivacySpec(clip=None)}, {"parameters": WoeParameters()}):
        with pytest.raises(InvalidRequestError):
            replace(spec, **changes)


def test_bins_need_edges_and_no_clip() -> None:
    bare = replace(AGE, edges=())
    for recipe in (RecipeName.GRADIENT_BOOSTED_TREES, RecipeName.WOE_BINS):
        with pytest.raises(InvalidRequestError, match="at least one edge"):
            make_spec(recipe, features=(bare,))
        with pytest.raises(InvalidRequestError, match="null"):
            make_spec(recipe, privacy=PrivacySpec(clip=1.0))
    make_spec(RecipeName.LOGISTIC_REGRESSION, features=(bare,))


def test_designs_have_at_most_128_columns() -> None:
    codes = tuple(str(n) for n in range(64))
    features = (*(Feature(name=f"c{n}", kind=Kind.CODED, codes=codes) for n in range(2)), AGE)
    neutral = LogisticParameters(missing=Missing.NEUTRAL)
    make_spec(RecipeName.LOGISTIC_REGRESSION, neutral, features=features)
    with pytest.raises(InvalidRequestError, match="128 columns, got 129"):
        make_spec(RecipeName.LOGISTIC_REGRESSION, neutral, features=(*features, DEBT))
    with pytest.raises(InvalidRequestError, match="128 columns, got 131"):
        make_spec(RecipeName.LOGISTIC_REGRESSION, LogisticParameters(), features=features)


def test_examples_are_what_they_seem() -> None:
    assert FEATURES == (AGE, DEBT, TRADE)
