"""Requests and decisions as JSON: recorded requests are read back, decisions are shown."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from policies.decision import Decision, Grant, Reason, Rule
from policies.disclosure import DisclosureRules
from policies.model import decimal_text
from policies.request import ColumnUse, Request, Spending, Training, Use
from yingbi.canonical import JsonValue
from yingbi.errors import ErrorCode, InvalidRequestError

__all__ = ["decision_to_json", "grant_to_json", "parse_request", "reason_to_json", "request_to_json"]

_MANY = 4096
_Name = Annotated[str, Field(max_length=200)]
_Decimal = Annotated[str, Field(max_length=40, pattern=r"^-?[0-9]{1,15}(?:\.[0-9]{1,20})?$")]


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class _UseWire(_Wire):
    dataset: _Name
    column: _Name
    use: Annotated[Use, Field(strict=False)]
    clause: _Name
    function: _Name | None = None
    values: Annotated[list[_Name], Field(max_length=_MANY)] = []
    bounds: Annotated[list[_Name], Field(min_length=2, max_length=2)] | None = None


class _SpendingWire(_Wire):
    epsilon: _Decimal
    delta: _Decimal


class _TrainingWire(_Wire):
    agreement: _Name
    node: _Name
    quorum: int
    min_entities: int
    privacy: _SpendingWire | None = None


class _RequestWire(_Wire):
    assignee: _Name
    purpose: _Name
    operations: Annotated[list[_Name], Field(max_length=_MANY)]
    datasets: Annotated[list[_Name], Field(max_length=_MANY)]
    uses: Annotated[list[_UseWire], Field(max_length=_MANY)]
    place: _Name
    intermediary: _Name | None = None
    rounds: int = 0
    training: _TrainingWire | None = None


def parse_request(value: object) -> Request:
    """Read the JSON form of a request; members with a default may be absent.

    Raises:
        InvalidRequestError: a member is unknown, missing or of another kind.
    """
    try:
        wire = _RequestWire.model_validate(value)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False, include_context=False)[0]
        models = (_RequestWire, _UseWire, _TrainingWire, _SpendingWire)
        known = {name for model in models for name in model.model_fields}
        where = ".".join(str(part) if isinstance(part, int) or part in known else "?" for part in problem["loc"])
        message = f"request member `{where}`: {problem['type'].replace('_', ' ')}"
        raise InvalidRequestError(ErrorCode.PLAN_MALFORMED, message) from None
    return Request(
        assignee=wire.assignee,
        purpose=wire.purpose,
        operations=tuple(wire.operations),
        datasets=tuple(wire.datasets),
        uses=tuple(_use(use) for use in wire.uses),
        place=wire.place,
        intermediary=wire.intermediary,
        rounds=wire.rounds,
        training=None if wire.training is None else _training(wire.training),
    )


def _use(wire: _UseWire) -> ColumnUse:
    bounds = None if wire.bounds is None else (wire.bounds[0], wire.bounds[1])
    return ColumnUse(**{**wire.model_dump(), "values": tuple(wire.values), "bounds": bounds})


def _training(wire: _TrainingWire) -> Training:
    asked = wire.privacy
    privacy = None if asked is None else Spending(epsilon=Decimal(asked.epsilon), delta=Decimal(asked.delta))
    return Training(
        agreement=wire.agreement,
        node=wire.node,
        quorum=wire.quorum,
        min_entities=wire.min_entities,
        privacy=privacy,
    )


def request_to_json(request: Request) -> dict[str, JsonValue]:
    """Return the JSON form of a request, as it is recorded."""
    return {
        "assignee": request.assignee,
        "purpose": request.purpose,
        "operations": _texts(request.operations),
        "datasets": _texts(request.datasets),
        "uses": [_use_json(use) for use in request.uses],
        "place": request.place,
        "intermediary": request.intermediary,
        "rounds": request.rounds,
        "training": None if request.training is None else _training_json(request.training),
    }


def decision_to_json(decision: Decision) -> dict[str, JsonValue]:
    """Return the JSON form of a decision."""
    return {
        "outcome": str(decision.outcome),
        "determining": [_rule_json(rule) for rule in decision.determining],
        "reasons": [reason_to_json(reason) for reason in decision.reasons],
        "job_duties": _texts(decision.job_duties),
        "output_duties": _texts(decision.output_duties),
        "disclosure": None if decision.disclosure is None else _rules_json(decision.disclosure),
        "terms": _texts(decision.terms),
    }


def reason_to_json(reason: Reason) -> dict[str, JsonValue]:
    """Return the JSON form of a reason."""
    return {
        "code": str(reason.code),
        "rule": None if reason.rule is None else _rule_json(reason.rule),
        "clause": reason.clause,
        "dataset": reason.dataset,
        "column": reason.column,
        "missing": None if reason.missing is None else str(reason.missing),
        "grant": None if reason.grant is None else grant_to_json(reason.grant),
        "allowed": _texts(reason.allowed),
        "message": reason.message,
    }


def grant_to_json(grant: Grant) -> dict[str, JsonValue]:
    """Return the JSON form of the smallest extra grant."""
    return {
        "agreement": grant.agreement,
        "operation": grant.operation,
        "dataset": grant.dataset,
        "column": grant.column,
        "use": None if grant.use is None else str(grant.use),
        "function": grant.function,
        "values": _texts(grant.values),
    }


def _use_json(use: ColumnUse) -> dict[str, JsonValue]:
    return {
        "dataset": use.dataset,
        "column": use.column,
        "use": str(use.use),
        "clause": use.clause,
        "function": use.function,
        "values": _texts(use.values),
        "bounds": None if use.bounds is None else _texts(use.bounds),
    }


def _training_json(training: Training) -> JsonValue:
    privacy: JsonValue = None
    if training.privacy is not None:
        spent = training.privacy
        privacy = {"epsilon": decimal_text(spent.epsilon), "delta": decimal_text(spent.delta)}
    return {
        "agreement": training.agreement,
        "node": training.node,
        "quorum": training.quorum,
        "min_entities": training.min_entities,
        "privacy": privacy,
    }


def _rule_json(rule: Rule) -> dict[str, JsonValue]:
    return {"agreement": rule.agreement, "path": rule.path}


def _rules_json(rules: DisclosureRules) -> dict[str, JsonValue]:
    return {
        "min_units": rules.min_units,
        "dominance_top": rules.dominance_top,
        "dominance_share": decimal_text(rules.dominance_share),
        "p_percent": rules.p_percent,
        "zeros": str(rules.zeros),
        "rounding": rules.rounding,
        "min_degrees_of_freedom": rules.min_degrees_of_freedom,
        "min_contributors": rules.min_contributors,
        "mode": str(rules.mode),
    }


def _texts(items: Iterable[Any]) -> list[JsonValue]:
    return [str(item) for item in items]
