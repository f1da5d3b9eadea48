"""A released model or its scorecard as PMML 4.4 (Data Mining Group), written with the standard library.

Regressions and trees give `log_odds` and `probability`; scorecards give `score` and reason codes, the points lost
against the best attribute. Codes that the model does not know count as missing. The bytes are the same for the same
document. Small networks have no PMML here: take ONNX.
"""

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from typing import Final

from yingbi.canonical import JsonValue, digest_json
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.models.document import LogisticModel, Role, Split, Tree, TreesModel, read_model
from yingbi.models.features import ModelFeature
from yingbi.models.numbers import write_number
from yingbi.models.scorecard import Attribute, Characteristic, Scorecard, scorecard_json

__all__ = ["scorecard_pmml", "to_pmml"]

_NAMESPACE: Final = "http://www.dmg.org/PMML-4_4"
_HEADER: Final = b'<?xml version="1.0" encoding="UTF-8"?>\n'
_KNOWN: Final = "_known"
_LINE: Final = "_line_{}"


def to_pmml(document: JsonValue) -> bytes:
    """Write a logistic regression or gradient-boosted trees as PMML.

    Raises:
        InvalidRequestError: the document is no model, or one that has no PMML here.
    """
    model = read_model(document)
    if not isinstance(model, LogisticModel | TreesModel):
        raise InvalidRequestError(ErrorCode.DATA_INVALID, "expected a logistic regression or trees")
    root = _root(digest_json(document))
    fields = {feature.name: feature.codes for feature in model.features}
    _dictionary(root, fields)
    if isinstance(model, LogisticModel):
        _regression(root, model, fields)
    else:
        _ensemble(root, model, fields)
    return _written(root)


def scorecard_pmml(card: Scorecard) -> bytes:
    """Write a scorecard as PMML: element `Scorecard`, reason codes by points below the best attribute.

    The reason code of a characteristic is its feature's name.
    """
    root = _root(digest_json(scorecard_json(card)))
    fields = {item.feature: [code for one in item.attributes for code in one.codes] for item in card.characteristics}
    _dictionary(root, fields)
    attributes = {
        "modelName": "scorecard",
        "functionName": "regression",
        "initialScore": write_number(card.base),
        "useReasonCodes": "true",
        "reasonCodeAlgorithm": "pointsBelow",
        "baselineMethod": "max",
    }
    scorecard = ET.SubElement(root, "Scorecard", attributes)
    _schema(scorecard, fields)
    output = ET.SubElement(scorecard, "Output")
    _output(output, "score", "predictedValue", "double")
    for rank in range(1, min(len(card.characteristics), 4) + 1):
        _output(output, f"reason_{rank}", "reasonCode", "string").set("rank", str(rank))
    whole = ET.SubElement(scorecard, "Characteristics")
    for item in card.characteristics:
        _characteristic(whole, card, item)
    return _written(root)


def _root(digest: str) -> ET.Element:
    root = ET.Element("PMML", {"xmlns": _NAMESPACE, "version": "4.4"})
    header = ET.SubElement(root, "Header", {"description": digest})
    ET.SubElement(header, "Application", {"name": "yingbi"})
    return root


def _dictionary(root: ET.Element, fields: Mapping[str, Sequence[str]]) -> None:
    dictionary = ET.SubElement(root, "DataDictionary", {"numberOfFields": str(len(fields))})
    for name, codes in fields.items():
        kind = ("categorical", "string") if codes else ("continuous", "double")
        field = ET.SubElement(dictionary, "DataField", {"name": name, "optype": kind[0], "dataType": kind[1]})
        for code in codes:  # any other one is invalid, and so becomes missing
            ET.SubElement(field, "Value", {"value": code})


def _schema(model: ET.Element, fields: Mapping[str, Sequence[str]]) -> None:
    schema = ET.SubElement(model, "MiningSchema")
    for name in fields:
        ET.SubElement(schema, "MiningField", {"name": name, "invalidValueTreatment": "asMissing"})


def _output(output: ET.Element, name: str, feature: str, kind: str) -> ET.Element:
    optype = "continuous" if kind == "double" else "categorical"
    return ET.SubElement(output, "OutputField", {"name": name, "optype": optype, "dataType": kind, "feature": feature})


def _outputs(model: ET.Element) -> None:
    """Add the log odds, and the probability that follows."""
    output = ET.SubElement(model, "Output")
    _output(output, "log_odds", "predictedValue", "double")
    chance = _output(output, "probability", "transformedValue", "double")
    inner = _apply(chance, "/")
    _constant(inner, 1.0)
    below = _apply(inner, "+")
    _constant(below, 1.0)
    power = _apply(below, "exp")
    turned = _apply(power, "-")
    _constant(turned, 0.0)
    _field(turned, "log_odds")


def _regression(root: ET.Element, model: LogisticModel, fields: Mapping[str, Sequence[str]]) -> None:
    whole = ET.SubElement(root, "RegressionModel", {"modelName": "model", "functionName": "regression"})
    _schema(whole, fields)
    _outputs(whole)
    transformations = ET.SubElement(whole, "LocalTransformations")
    table = ET.SubElement(whole, "RegressionTable", {"intercept": write_number(model.intercept)})
    for number, (column, coefficient) in enumerate(zip(model.columns, model.coefficients, strict=True)):
        feature, name = model.features[column.feature], _LINE.format(number)
        derived = _derived(transformations, name, "continuous")
        if column.role is Role.LEVEL:
            _constant(_unless_missing(derived, feature, 0.0, equal=feature.codes[column.code]), 0.0)
        elif column.role is Role.MISSING:
            _constant(_unless_missing(derived, feature, 1.0), 0.0)
        else:
            _scaled(_unless_missing(derived, feature, 0.0), feature)
        ET.SubElement(table, "NumericPredictor", {"name": name, "coefficient": write_number(coefficient)})


def _scaled(parent: ET.Element, feature: ModelFeature) -> None:
    """Add (x - middle) / half width, x within its bounds."""
    quotient = _apply(parent, "/")
    difference = _apply(quotient, "-")
    _clamped(difference, feature.name, *feature.bounds)
    _constant(difference, feature.middle)
    _constant(quotient, feature.half)


def _clamped(parent: ET.Element, name: str, low: float, high: float) -> None:
    least = _apply(parent, "min")
    _constant(least, high)
    most = _apply(least, "max")
    _constant(most, low)
    _field(most, name)


def _unless_missing(parent: ET.Element, feature: ModelFeature, value: float, *, equal: str | None = None) -> ET.Element:
    """Add a choice: `value` for missing and special values, 1 for the code `equal`; return where the rest goes.

    One question inside of the other: a comparison with a missing value is an error to some programs.
    """
    parent = _apply(parent, "if")
    _field(_apply(parent, "isMissing"), feature.name)
    _constant(parent, value)
    for special in feature.special:
        parent = _asked(parent, feature, write_number(special), "double")
        _constant(parent, value)
    if equal is not None:
        parent = _asked(parent, feature, equal, "string")
        _constant(parent, 1.0)
    return parent


def _asked(parent: ET.Element, feature: ModelFeature, value: str, kind: str, function: str = "equal") -> ET.Element:
    """Add a choice by whether a feature is (or is not) equal to a value."""
    choice = _apply(parent, "if")
    comparison = _apply(choice, function)
    _field(comparison, feature.name)
    ET.SubElement(comparison, "Constant", {"dataType": kind}).text = value
    return choice


def _ensemble(root: ET.Element, model: TreesModel, fields: Mapping[str, Sequence[str]]) -> None:
    whole = ET.SubElement(root, "MiningModel", {"modelName": "model", "functionName": "regression"})
    _schema(whole, fields)
    _outputs(whole)
    targets = ET.SubElement(whole, "Targets")
    ET.SubElement(targets, "Target", {"rescaleConstant": write_number(model.base)})
    transformations = ET.SubElement(whole, "LocalTransformations")
    for feature in model.features:
        if not feature.is_coded:
            _known(transformations, feature)
    segmentation = ET.SubElement(whole, "Segmentation", {"multipleModelMethod": "sum"})
    for number, tree in enumerate(model.trees or (Tree(splits={}, values={0: 0.0}),)):
        segment = ET.SubElement(segmentation, "Segment", {"id": str(number)})
        ET.SubElement(segment, "True")
        attributes = {
            "functionName": "regression",
            "missingValueStrategy": "defaultChild",
            "splitCharacteristic": "binarySplit",
        }
        one = ET.SubElement(segment, "TreeModel", attributes)
        used = sorted({split.feature for split in tree.splits.values()})
        names = [_input(model.features[place]) for place in used]
        schema = ET.SubElement(one, "MiningSchema")
        for name in names:
            ET.SubElement(schema, "MiningField", {"name": name})
        _node(one, model, tree, 0, None)


def _known(transformations: ET.Element, feature: ModelFeature) -> None:
    """Add the field that a numeric feature's splits look at: its number, nothing for a special one."""
    derived = _derived(transformations, _input(feature), "continuous")
    if not feature.special:
        _field(derived, feature.name)
        return
    choice = _apply(derived, "if")
    _field(_apply(choice, "isNotMissing"), feature.name)
    for value in feature.special:
        choice = _asked(choice, feature, write_number(value), "double", "notEqual")
    _field(choice, feature.name)


def _input(feature: ModelFeature) -> str:
    return feature.name if feature.is_coded else feature.name + _KNOWN


def _node(parent: ET.Element, model: TreesModel, tree: Tree, number: int, predicate: ET.Element | None) -> None:
    own = {"id": str(number)}
    split = tree.splits.get(number)
    if split is None:
        own["score"] = write_number(tree.values[number])
    else:
        goes_left = split.is_missing_left and not model.features[split.feature].is_coded
        own["defaultChild"] = str(2 * number + (1 if goes_left else 2))
    node = ET.SubElement(parent, "Node", own)
    node.append(ET.Element("True") if predicate is None else predicate)
    if split is not None:
        left, right = _predicates(model.features[split.feature], split)
        _node(node, model, tree, 2 * number + 1, left)
        _node(node, model, tree, 2 * number + 2, right)


def _predicates(feature: ModelFeature, split: Split) -> tuple[ET.Element, ET.Element]:
    name = _input(feature)
    if feature.is_coded and split.equal >= 0:
        code = feature.codes[split.equal]
        return _predicate(name, "equal", code), _predicate(name, "notEqual", code)
    if feature.is_coded:
        return _predicate(name, "isMissing"), _predicate(name, "isNotMissing")
    if split.below is not None:
        edge = write_number(split.below)
        return _predicate(name, "lessThan", edge), _predicate(name, "greaterOrEqual", edge)
    if split.is_missing_left:
        return ET.Element("True"), ET.Element("False")
    return _predicate(name, "isNotMissing"), _predicate(name, "isMissing")


def _predicate(name: str, operator: str, value: str | None = None) -> ET.Element:
    own = {"field": name, "operator": operator}
    return ET.Element("SimplePredicate", own if value is None else {**own, "value": value})


def _characteristic(parent: ET.Element, card: Scorecard, item: Characteristic) -> None:
    own = {"name": item.feature, "reasonCode": item.feature, "baselineScore": write_number(card.most(item))}
    whole = ET.SubElement(parent, "Characteristic", own)
    # The first attribute that holds is taken: what is no quantity before ranges, which would hold it too.
    for one in sorted(item.attributes, key=lambda attribute: attribute.is_range):
        if one.slope is None:
            attribute = ET.SubElement(whole, "Attribute", {"partialScore": write_number(card.points(one.log_odds))})
            attribute.append(_holds(item.feature, one))
        else:
            attribute = ET.SubElement(whole, "Attribute")
            attribute.append(_holds(item.feature, one))
            _partial(ET.SubElement(attribute, "ComplexPartialScore"), card, item.feature, one)


def _holds(name: str, item: Attribute) -> ET.Element:
    if item.is_missing:
        return _predicate(name, "isMissing")
    if item.codes or item.special:
        values = item.codes or tuple(map(write_number, item.special))
        each = [_predicate(name, "equal", value) for value in values]
        return each[0] if len(each) == 1 else _compound("or", each)
    if item.slope is not None or (item.lower is None and item.upper is None):
        return _predicate(name, "isNotMissing")
    each = []
    if item.lower is not None:
        each.append(_predicate(name, "greaterOrEqual", write_number(item.lower)))
    if item.upper is not None:
        each.append(_predicate(name, "lessThan", write_number(item.upper)))
    return each[0] if len(each) == 1 else _compound("and", each)


def _compound(operator: str, parts: Sequence[ET.Element]) -> ET.Element:
    compound = ET.Element("CompoundPredicate", {"booleanOperator": operator})
    compound.extend(parts)
    return compound


def _partial(parent: ET.Element, card: Scorecard, name: str, item: Attribute) -> None:
    """Add points that go along a line: each less the factor times what is added, rounded as the card is."""
    step, lower, upper = 10.0 ** (card.places or 0), item.lower or 0.0, item.upper or 0.0
    if card.places is not None:
        parent = _apply(parent, "/")
        rounded = _apply(parent, "round")
        _constant(parent, step)
        parent = _apply(rounded, "*")
        _constant(parent, step)
    total = _apply(parent, "-")
    _constant(total, card.each - card.scaling.factor * item.log_odds)
    product = _apply(total, "*")
    _constant(product, card.scaling.factor * (item.slope or 0.0))
    difference = _apply(product, "-")
    _clamped(difference, name, lower, upper)
    _constant(difference, lower)


def _derived(parent: ET.Element, name: str, optype: str) -> ET.Element:
    return ET.SubElement(parent, "DerivedField", {"name": name, "optype": optype, "dataType": "double"})


def _apply(parent: ET.Element, function: str) -> ET.Element:
    return ET.SubElement(parent, "Apply", {"function": function})


def _field(parent: ET.Element, name: str) -> None:
    ET.SubElement(parent, "FieldRef", {"field": name})


def _constant(parent: ET.Element, value: float) -> None:
    ET.SubElement(parent, "Constant", {"dataType": "double"}).text = write_number(value)


def _written(root: ET.Element) -> bytes:
    ET.indent(root)
    return _HEADER + bytes(ET.tostring(root, encoding="utf-8", xml_declaration=False)) + b"\n"
