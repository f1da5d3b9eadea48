"""Training files: what they may say, in both forms, and what is wrong with those that say something else."""

import json
from typing import Any

import pytest

from tests.lib.sdk_federation import ASKED, FederationHub
from yingbi.client.training_file import read_training_file
from yingbi.errors import InvalidRequestError

TOML = b"""
recipe = "logistic_regression"
target = "defaulted"
positive = "1"
features = ["tax_paid", { name = "industry", codes = ["B", "A"] }]
min_entities = 20
purpose = "credit.model"

[members]
agr-tax-1 = "tax/credit"
agr-market-1 = "market/credit"
agr-social-1 = "social/credit"

[parameters]
l2 = 0.01
max_steps = 5

[privacy]
epsilon = 1.0
delta = "1e-6"
clip = 2
"""
FILE: dict[str, Any] = {"recipe": "logistic_regression", **ASKED}


def test_both_forms_say_the_same() -> None:
    found = read_training_file(TOML)
    assert found.pop("purpose") == "credit.model"
    with FederationHub().connect() as client:
        plan = client.training(**found)
    question = plan.questions[0].question
    assert (question.min_entities, question.quorum) == (20, 3)
    assert json.loads(question.parameters) == {"l2": "0.01", "max_steps": 5}
    assert question.privacy is not None
    assert (question.privacy.epsilon, question.privacy.delta, question.privacy.clip) == ("1", "0.000001", "2")
    assert read_training_file(json.dumps(FILE).encode()) == FILE
    assert read_training_file(b" \n" + json.dumps({**FILE, "versions": {"tax/credit": 2}}).encode())["versions"]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown member": ({"epsilon": 1}, "unknown member `epsilon`"),
    "members as a list": ({"members": ["tax/credit"]}, "expected a table of agreements and data sets in `members`"),
    "a data set that is no text": ({"members": {"agr-1": 7}}, "`members`"),
    "a recipe that is no text": ({"recipe": 1}, "expected a text in `recipe`"),
    "an event that is a fraction": ({"positive": 0.5}, "`positive`"),
    "features as a text": ({"features": "tax_paid"}, "expected a list of names and tables in `features`"),
    "a feature that is a number": ({"features": [1]}, "`features`"),
    "rounds as a text": ({"rounds": "3"}, "expected a whole number in `rounds`"),
    "rounds as a boolean": ({"rounds": True}, "`rounds`"),
    "privacy of another kind": ({"privacy": {"sigma": 1}}, "expected a table of epsilon, delta, clip in `privacy`"),
    "an epsilon that is a boolean": ({"privacy": {"epsilon": True}}, "`privacy`"),
    "versions as a list": ({"versions": [1]}, "`versions`"),
}


@pytest.mark.parametrize(("changes", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequestError, match="got 1 problems") as error:
        read_training_file(json.dumps({**FILE, **changes}).encode())
    assert message in error.value.message
    assert "members: recipe, members" in (error.value.hint or "")


@pytest.mark.parametrize("name", ["recipe", "members", "target", "positive", "features"])
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(InvalidRequestError, match=rf"got 1 problems: expected `{name}`"):
        read_training_file(json.dumps({key: value for key, value in FILE.items() if key != name}).encode())


@pytest.mark.parametrize("data", [b"{", b"\xff", b"recipe = ", b"[" * 2000, b"{" * 100_000])
def test_what_is_no_file_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="TOML or JSON"):
        read_training_file(data)
