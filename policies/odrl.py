"""Agreements as ODRL 2.2 in JSON-LD: a view for others, one way (docs/spec/agreement.md, "ODRL").

The five factors map one to one: time to `dateTime`, place to `spatial`, subject to assigner and assignee, action to
`action`, object to `target`. What ODRL has no word for is in our profile, under our own namespace. ODRL knows nothing
of disclosure control or history: who reads the ODRL alone knows less than was signed, so it names the terms' digest.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from policies.model import Agreement, ColumnGrant, DatasetGrant, Prohibition, terms_digest
from yingbi.canonical import JsonValue
from yingbi.clock import format_time

__all__ = ["CONTEXT", "NAMESPACE", "PROFILE", "check_odrl", "to_odrl"]

CONTEXT: Final = "http://www.w3.org/ns/odrl.jsonld"
NAMESPACE: Final = "urn:yingbi:odrl#"
PROFILE: Final = "urn:yingbi:odrl"

# W3C ODRL Vocabulary 2.2, section 4: what a constraint may compare, and how.
_LEFT_OPERANDS: Final = frozenset({"dateTime", "purpose", "spatial", "count"})
_OPERATORS: Final = frozenset(
    {"eq", "gt", "gteq", "lt", "lteq", "neq", "isAnyOf", "isAllOf", "isNoneOf", "isA", "isPartOf", "hasPart"}
)


def to_odrl(agreement: Agreement) -> dict[str, JsonValue]:
    """Return an agreement as an ODRL 2.2 `Agreement`."""
    policy: dict[str, JsonValue] = {
        "@context": [CONTEXT, {"yb": NAMESPACE}],
        "@type": "Agreement",
        "uid": f"urn:yingbi:agreement:{agreement.id}:{agreement.version}",
        "profile": PROFILE,
        "conflict": "prohibit",
        "assigner": _party(agreement.assigner),
        "assignee": _party(agreement.assignee),
        "yb:terms": terms_digest(agreement),
        "permission": [_permission(agreement, dataset) for dataset in agreement.datasets],
        "obligation": [_duty(duty) for duty in agreement.approvals.agreement],
    }
    if agreement.prohibitions:
        policy["prohibition"] = [item for denied in agreement.prohibitions for item in _prohibition(agreement, denied)]
    if agreement.intermediary is not None:
        policy["yb:intermediary"] = _party(agreement.intermediary)
    return policy


def check_odrl(policy: Mapping[str, JsonValue]) -> list[str]:
    """Return what an ODRL 2.2 policy of ours lacks of what the W3C information model asks for."""
    found = [f"member `{name}` is missing" for name in ("@context", "@type", "uid", "permission") if name not in policy]
    if policy.get("@type") == "Agreement":
        found += [f"member `{name}` is missing" for name in ("assigner", "assignee") if name not in policy]
    for kind in ("permission", "prohibition", "obligation"):
        rules = policy.get(kind, [])
        for at, rule in enumerate(rules if isinstance(rules, list) else [None]):
            found += [f"{kind}[{at}]: {problem}" for problem in _check_rule(rule, kind)]
    return found


def _check_rule(rule: JsonValue, kind: str) -> Iterator[str]:
    if not isinstance(rule, dict):
        yield "expected an object"
        return
    for name in ("action",) if kind == "obligation" else ("target", "action"):
        if name not in rule:
            yield f"member `{name}` is missing"
    constraints = rule.get("constraint", [])
    for constraint in constraints if isinstance(constraints, list) else [None]:
        if not isinstance(constraint, dict) or not {"leftOperand", "operator", "rightOperand"} <= set(constraint):
            yield "expected constraints with leftOperand, operator and rightOperand"
            continue
        left = constraint["leftOperand"]
        if left not in _LEFT_OPERANDS and not str(left).startswith("yb:"):
            yield "a leftOperand that neither ODRL nor the profile has"
        if constraint["operator"] not in _OPERATORS:
            yield "an operator that ODRL does not have"


def _permission(agreement: Agreement, dataset: DatasetGrant) -> JsonValue:
    return {
        "target": {
            "@type": "Asset",
            "uid": f"urn:yingbi:dataset:{dataset.name}",
            "yb:privacyUnit": dataset.privacy_unit,
            "yb:columns": [_column(column) for column in dataset.columns],
        },
        "action": [f"yb:{name}" for name in agreement.operations],
        "constraint": list(_constraints(agreement)),
    }


def _column(column: ColumnGrant) -> JsonValue:
    found: dict[str, JsonValue] = {"yb:name": column.name, "yb:uses": [f"yb:{use}" for use in column.uses]}
    if column.functions is not None:
        found["yb:functions"] = list(column.functions)
    if column.values:
        found["yb:values"] = list(column.values)
    return found


def _constraints(agreement: Agreement) -> Iterator[JsonValue]:
    yield _constraint("dateTime", "gteq", _time(format_time(agreement.valid.starts_at)))
    yield _constraint("dateTime", "lteq", _time(format_time(agreement.valid.ends_at)))
    yield _constraint("spatial", "isAnyOf", [_party(zone) for zone in agreement.zones])
    yield _constraint("purpose", "eq", f"urn:yingbi:purpose:{agreement.purpose}")
    yield _constraint("count", "lteq", agreement.limits.jobs)
    yield _constraint("yb:jobsPerDay", "lteq", agreement.limits.jobs_per_day)


def _constraint(left: str, operator: str, right: JsonValue) -> JsonValue:
    return {"leftOperand": left, "operator": operator, "rightOperand": right}


def _prohibition(agreement: Agreement, denied: Prohibition) -> Iterator[JsonValue]:
    names = [denied.dataset] if denied.dataset is not None else [item.name for item in agreement.datasets]
    for name in names:
        target: dict[str, JsonValue] = {"@type": "Asset", "uid": f"urn:yingbi:dataset:{name}"}
        if denied.column is not None:
            target["yb:columns"] = [{"yb:name": denied.column}]
        yield {"target": target, "action": _denied_action(denied)}


def _denied_action(denied: Prohibition) -> JsonValue:
    if denied.operation is not None and denied.use is not None:
        # Both must be met: the operation, on a column that is used so.
        use = _constraint("yb:use", "eq", f"yb:{denied.use}")
        return [{"rdf:value": {"@id": f"yb:{denied.operation}"}, "refinement": [use]}]
    if denied.operation is not None:
        return f"yb:{denied.operation}"
    return "use" if denied.use is None else f"yb:{denied.use}"


def _duty(duty: str) -> JsonValue:
    return {"action": "yb:sign", "yb:duty": duty}


def _party(party: str) -> str:
    return f"urn:yingbi:party:{party}"


def _time(text: str) -> JsonValue:
    return {"@value": text, "@type": "http://www.w3.org/2001/XMLSchema#dateTime"}
