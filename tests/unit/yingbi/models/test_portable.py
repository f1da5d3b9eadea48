"""ONNX and PMML: the same scores in other programs, the same bytes each time, and nothing of a document is markup."""

import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import onnx
import pytest
from onnxruntime import InferenceSession

from tests.unit.yingbi.models.samples import LOGISTIC, MODELS, NETWORK, TREES, frame
from tests.unit.yingbi.models.test_scoring import bent
from yingbi.canonical import JsonValue, digest_json
from yingbi.errors import ErrorCode, InvalidRequestError, UnavailableError
from yingbi.models.onnx_form import to_onnx
from yingbi.models.pmml_form import scorecard_pmml, to_pmml
from yingbi.models.scoring import log_odds, score, scorecard_of

NAMESPACE = {"p": "http://www.dmg.org/PMML-4_4"}


def run(model: bytes, rows: dict[str, list[Any]]) -> tuple[Any, Any]:
    """Score rows with ONNX Runtime."""
    session = InferenceSession(model, providers=["CPUExecutionProvider"])
    inputs = {name: np.array(rows[name], dtype=np.float64).reshape(-1, 1) for name in ("tax", "age")}
    codes = [code or "" for code in rows["industry"]]
    inputs["industry"] = np.array(codes, dtype=object).reshape(-1, 1)
    chances, margins = session.run(["probability", "log_odds"], inputs)
    return chances, margins


@pytest.mark.parametrize("document", [*MODELS.values(), {**TREES, "trees": []}], ids=[*MODELS, "no trees"])
def test_onnx_runtime_scores_as_we_do(document: dict[str, JsonValue]) -> None:
    rows = frame(500)
    chances, margins = run(to_onnx(document), rows)
    assert chances.shape == (500, 1)
    # Sums over trees are floats there, all else double.
    within = 1e-6 if document["recipe"] == "gradient_boosted_trees" else 1e-14
    assert np.abs(chances[:, 0] - score(document, rows)).max() <= within
    assert np.abs(margins[:, 0] - log_odds(document, rows)).max() <= within


def test_a_code_that_onnx_does_not_know_is_missing() -> None:
    rows: dict[str, list[Any]] = {"tax": [5.0, 5.0], "age": [1.0, 1.0], "industry": ["Z", None]}
    for document in MODELS.values():
        chances, _ = run(to_onnx(document), rows)
        assert chances[0] == chances[1]
        assert chances[:, 0] == pytest.approx(score(document, rows, is_lenient=True), abs=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_onnx_bytes_are_the_same_each_time_and_name_their_document(name: str) -> None:
    data = to_onnx(MODELS[name])
    assert data == to_onnx(MODELS[name])
    model = onnx.load_model_from_string(data)
    assert model.doc_string == digest_json(MODELS[name])
    versions = {item.domain: item.version for item in model.opset_import}
    assert (model.ir_version, versions) == (8, {"": 17, "ai.onnx.ml": 3})


def test_a_feature_named_like_an_output_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="no feature called"):
        to_onnx(bent(TREES, "features", 1, "name", value="probability") | {"trees": []})


def test_onnx_needs_its_extra_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("yingbi.models.onnx_form.importlib.import_module", absent)
    with pytest.raises(UnavailableError) as caught:
        to_onnx(LOGISTIC)
    assert (caught.value.code, caught.value.hint) == (ErrorCode.EXTRA_NOT_INSTALLED, "pip install 'yingbi[models]'")


def parsed(data: bytes) -> ET.Element:
    return ET.fromstring(data)


# The numbers of these three forms were compared with those of the JPMML evaluator (jpmml-evaluator 0.16.0, which needs
# Java and so is no part of the tests): equal within 1e-12, reason codes included.


def test_a_regression_in_pmml() -> None:
    root = parsed(to_pmml(LOGISTIC))
    assert root.get("version") == "4.4"
    table = root.find(".//p:RegressionTable", NAMESPACE)
    assert table is not None
    assert table.get("intercept") == "-1.25"
    assert [item.get("coefficient") for item in table] == ["-1.5", "0.25", "0.5", "0.0", "0.75", "-0.125", "0.375"]
    assert [item.get("name") for item in table] == [f"_line_{place}" for place in range(7)]
    values = [item.get("value") for item in root.findall(".//p:DataField/p:Value", NAMESPACE)]
    assert values == ["A", "B", "餐饮"], "others become missing"


def test_trees_in_pmml() -> None:
    root = parsed(to_pmml(TREES))
    target = root.find(".//p:Target", NAMESPACE)
    assert target is not None
    assert target.get("rescaleConstant") == "-1.0"
    trees = root.findall(".//p:TreeModel", NAMESPACE)
    assert len(trees) == 3
    nodes = {node.get("id"): node for node in trees[0].iter(f"{{{NAMESPACE['p']}}}Node")}
    assert {number: node.get("score") for number, node in nodes.items() if node.get("score")} == {
        "1": "0.7",
        "5": "0.30000001",
        "13": "-0.2",
        "14": "0.1",
    }
    assert [nodes[number].get("defaultChild") for number in ("0", "2", "6")] == ["2", "6", "14"]
    others = {node.get("id"): node.get("defaultChild") for node in trees[1].iter(f"{{{NAMESPACE['p']}}}Node")}
    assert others == {"0": "2", "1": None, "2": "5", "5": None, "6": None}, (
        "missing ones go left where the split says so"
    )
    first = nodes["1"].find("p:SimplePredicate", NAMESPACE)
    assert first is not None
    assert first.attrib == {"field": "tax_known", "operator": "lessThan", "value": "10.0"}


def test_a_scorecard_in_pmml() -> None:
    card = scorecard_of(LOGISTIC)
    root = parsed(scorecard_pmml(card))
    scorecard = root.find("p:Scorecard", NAMESPACE)
    assert scorecard is not None
    assert scorecard.get("initialScore") == "523.0"
    assert scorecard.get("reasonCodeAlgorithm") == "pointsBelow"
    whole = scorecard.findall(".//p:Characteristic", NAMESPACE)
    assert [item.get("reasonCode") for item in whole] == ["tax", "age", "industry"]
    assert [float(item.get("baselineScore", "")) for item in whole] == [card.most(one) for one in card.characteristics]
    assert len(scorecard.findall(".//p:ComplexPartialScore", NAMESPACE)) == 2


def test_pmml_bytes_are_the_same_each_time() -> None:
    assert to_pmml(TREES) == to_pmml(TREES)
    assert scorecard_pmml(scorecard_of(LOGISTIC)) == scorecard_pmml(scorecard_of(LOGISTIC))


def test_a_code_with_markup_stays_text() -> None:
    evil = '"/><Extension name="x'
    document = bent(TREES, "features", 2, "codes", value=["A", "B", evil])
    root = parsed(to_pmml(document))
    assert evil in [item.get("value") for item in root.findall(".//p:Value", NAMESPACE)]
    assert root.find(".//p:Extension", NAMESPACE) is None


def test_a_network_has_no_pmml() -> None:
    with pytest.raises(InvalidRequestError, match="logistic regression or trees"):
        to_pmml(NETWORK)
