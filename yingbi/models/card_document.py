"""The document that a model card is made from: a released model, its evaluation, and what is known around them.

Canonical JSON; decimals are strings. All members but `v` and `kind` may be absent.

- `title`, `purpose`, `partner`, `intermediary`, `made_at`: texts. `intended_use`, `not_for`, `exclusions`, `limits`,
  `monitoring`, `retirement`: lists of texts.
- `model` (digest), `recipe`, `target`, `positive`, `features`: of the model document; `parameters`: of its recipe.
- `members`: `{unit, node, agreement, job, dataset, version, certificate, period}`; `period`: `{from, until}`.
- `rounds`: `{completed, most, attempts, quorum, curve}`, the curve `{round, loss, gradient_norm}`.
- `privacy`: `null` in exact mode, else `{mode, epsilon, delta, clip, unit, spent}`, spent `{node, epsilon, delta}`.
- `characteristics`: of a document of `woe_bins`, its bins; an evaluation has its own.
- `evaluation`: what `yingbi.models.evaluation.evaluate` makes. `scorecard`: what `scorecard_json` makes, or `null`.
- `checks`: `{check, threshold, found, verdict}`; codes that the card has words for: `min_entities`, `min_units`,
  `membership_inference`; verdicts `pass` and `hold`.
- `approvals`: `{by, duty, decision, time, index}`. `evidence`: `{federation, log, checkpoint, terms, app, final_state,
  entries}`, entries `{index, type, round, digest}`.
"""

from collections.abc import Mapping
from typing import Final

from yingbi.canonical import JsonValue, digest_json
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.models.numbers import rounded
from yingbi.models.scaling import USUAL_SCALING, Scaling
from yingbi.models.scorecard import scorecard_json
from yingbi.models.scoring import scorecard_of
from yingbi.models.tolerant import Row, number, objects, row
from yingbi.models.woe import judge_strength

__all__ = ["FACTS", "make_card_document"]

_PARTS: Final = ("codes", "is_range", "from", "to", "special", "missing")

FACTS: Final = frozenset(
    {
        "approvals",
        "checks",
        "evidence",
        "exclusions",
        "intended_use",
        "intermediary",
        "limits",
        "made_at",
        "members",
        "monitoring",
        "not_for",
        "parameters",
        "partner",
        "period",
        "privacy",
        "purpose",
        "retirement",
        "rounds",
        "title",
    }
)
"""What a card may say beside the model and its evaluation; what is not given, the card calls missing."""


def make_card_document(
    model: JsonValue,
    evaluation: JsonValue,
    facts: Mapping[str, JsonValue],
    scaling: Scaling = USUAL_SCALING,
) -> dict[str, JsonValue]:
    """Put a card's document together; a logistic regression gets its scorecard, in whole points, and bins theirs.

    Raises:
        InvalidRequestError: a fact that no card has, or a model that cannot be read.
    """
    if unknown := set(facts) - FACTS:
        raise InvalidRequestError(ErrorCode.DATA_INVALID, f"expected facts of a card, got {len(unknown)} others")
    head = row(model)
    is_bins = head.get("recipe") == "woe_bins"
    card = scorecard_json(scorecard_of(model, scaling)) if head.get("recipe") == "logistic_regression" else None
    return {
        **facts,
        "v": 1,
        "kind": "model_card",
        "model": digest_json(model),
        **{name: head.get(name) for name in ("recipe", "target", "positive", "features")},
        "evaluation": evaluation,
        "scorecard": card,
        "characteristics": [_characteristic(item) for item in objects(head, "variables")] if is_bins else [],
    }


def _characteristic(variable: Row) -> JsonValue:
    """Return a feature's bins as a card shows them: shares and rates for the rows and events of the document."""
    bins = objects(variable, "bins")
    sizes = [(number(item.get("rows")) or 0.0, number(item.get("events")) or 0.0) for item in bins]
    whole = sum(size for size, _ in sizes)
    told: list[JsonValue] = []
    for item, (size, events) in zip(bins, sizes, strict=True):
        shares = {"share": size / whole if whole > 0 else 0.0, "rate": events / size if size > 0 else 0.0}
        values = {"woe": number(item.get("woe")), "iv": number(item.get("iv"))}
        written = {name: None if value is None else rounded(value, 4) for name, value in {**shares, **values}.items()}
        told.append({**{name: item[name] for name in _PARTS if name in item}, **written})
    value = number(variable.get("iv"))
    return {
        "feature": variable.get("feature"),
        "iv": None if value is None else rounded(value, 4),
        "strength": None if value is None else str(judge_strength(value)),
        "bins": told,
    }
