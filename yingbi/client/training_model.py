"""What a federation has trained, in an analyst's hands: scores, metrics, the scorecard, the card, portable forms.

Nothing here asks anybody: a model is a document, which every member's node has released alike.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from yingbi.canonical import JsonValue, canonical_bytes, digest_json
from yingbi.client.exchange import malformed_answer
from yingbi.client.problems import missing_extra, plain
from yingbi.client.results import TrainingResult
from yingbi.client.shown import fields_html, fields_text, table_html, table_text
from yingbi.client.training_status import FederationStatus
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.verify.entry import parse_entry
from yingbi.verify.strict import Malformed

if TYPE_CHECKING:
    from yingbi.models.scaling import Scaling
    from yingbi.models.scorecard import Scorecard

__all__ = ["TrainedModel", "read_document", "releasing_node"]

_VERSION: Final = 1
_NUMBER: Final = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{1,40})?(?:e[+-]?[0-9]{1,3})?")
_METRICS: Final = ("metric", "training", "hold-out", "interval")
_FLAGS: Final = {"False": "false", "True": "true"}
_SAMPLES: Final = ("training", "hold_out")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedModel:
    """A released model.

    `document`: what the members' nodes have released, all the same; `model` and `evaluation` are parts of it.
    `releases`: each member's release with its evidence. `completion`: the entry that names the final state, and its
    receipt.
    """

    document: Mapping[str, Any] = field(repr=False)
    status: FederationStatus = field(repr=False)
    releases: tuple[TrainingResult, ...] = field(repr=False)
    completion: Mapping[str, JsonValue] = field(repr=False)
    completed_at: str

    @property
    def federation(self) -> str:
        """Return the id of the federation."""
        return self.status.federation

    @property
    def recipe(self) -> str:
        """Return the recipe."""
        return plain(self.document["recipe"])

    @property
    def model(self) -> Mapping[str, Any]:
        """Return the model document (docs/spec/recipes.md)."""
        model: Mapping[str, Any] = self.document["model"]
        return model

    @property
    def evaluation(self) -> Mapping[str, Any] | None:
        """Return the evaluation: metrics with intervals, curves, gains; nothing for bins, which predict nothing."""
        found: Mapping[str, Any] | None = self.document["evaluation"]
        return found

    @property
    def digest(self) -> str:
        """Return the digest of the document."""
        return digest_json(dict(self.document))

    @property
    def released_by(self) -> tuple[str, ...]:
        """Return the nodes whose releases were fetched and compared."""
        return tuple(releasing_node(one) for one in self.releases)

    @property
    def metrics(self) -> dict[str, float]:
        """Return AUC, KS, Gini, Brier score and log loss over the entities that were held out."""
        return {name: value for name, (value, _, _) in self._estimates("hold_out").items()}

    @property
    def learning_curve(self) -> dict[str, tuple[tuple[int, float], ...]]:
        """Return what the hub told of each round, by figure: pairs of round and value, ready for a plot."""
        return {name: self.status.curve(name) for name in self.status.figures}

    def score(self, frame: Any, *, is_lenient: bool = False) -> Any:
        """Return the probability of the event for each row of a pandas frame, or of a mapping of columns.

        Booleans may be Python's, or texts. With `is_lenient`, a code that the model does not know counts as missing.

        Raises:
            InvalidRequestError: the frame does not fit, or the recipe has no model to score with.
            UnavailableError: numpy is not installed.
        """
        try:
            from yingbi.models.scoring import score
        except ImportError as error:
            raise missing_extra("numpy", error) from error
        return score(dict(self.model), self._columns(frame), is_lenient=is_lenient)

    def scorecard(self, scaling: "Scaling | None" = None) -> "Scorecard":
        """Return the scorecard of a logistic regression, in whole points.

        Raises:
            InvalidRequestError: the model is of another kind.
        """
        try:
            from yingbi.models.scaling import USUAL_SCALING
            from yingbi.models.scoring import scorecard_of
        except ImportError as error:
            raise missing_extra("numpy", error) from error
        return scorecard_of(dict(self.model), USUAL_SCALING if scaling is None else scaling)

    def card(self, path: Path | str | None = None, *, language: str = "zh", **facts: JsonValue) -> str:
        """Return the model card as one HTML page, and write it to a file where one is named.

        Args:
            path: of the file.
            language: `zh` or `en`.
            facts: what only people know: `purpose`, `intended_use`, `not_for`, `limits`, `period`, `approvals`, ...;
                what is not said, the card calls missing.

        Raises:
            InvalidRequestError: a fact that no card has, or another language.
        """
        try:
            from yingbi.models.card import card_html
            from yingbi.models.card_document import make_card_document
        except ImportError as error:
            raise missing_extra("numpy", error) from error
        known = {**self._known(), **facts}
        made = card_html(make_card_document(dict(self.model), _or_empty(self.evaluation), known), language)
        if path is not None:
            _write(path, made.encode())
        return made

    def to_onnx(self, path: Path | str) -> Path:
        """Write the model as ONNX, which scores the same in any runtime.

        Raises:
            InvalidRequestError: the recipe has no model to score with, or the file cannot be written.
            UnavailableError: `onnx` is not installed.
        """
        try:
            from yingbi.models.onnx_form import to_onnx
        except ImportError as error:
            raise missing_extra("numpy", error) from error
        return _write(path, to_onnx(dict(self.model)))

    def to_pmml(self, path: Path | str) -> Path:
        """Write a logistic regression or trees as PMML 4.4.

        Raises:
            InvalidRequestError: the model is of another kind, or the file cannot be written.
        """
        try:
            from yingbi.models.pmml_form import to_pmml
        except ImportError as error:
            raise missing_extra("numpy", error) from error
        return _write(path, to_pmml(dict(self.model)))

    def save(self, path: Path | str) -> Path:
        """Write the whole document as canonical JSON, byte for byte what its digest is over.

        Raises:
            InvalidRequestError: the file cannot be written.
        """
        return _write(path, canonical_bytes(dict(self.document)))

    def metric_rows(self) -> list[tuple[object, ...]]:
        """Return the metrics as a table has them."""
        trained, held = (self._estimates(sample) for sample in _SAMPLES)
        return [
            (name, f"{trained[name][0]:.4f}" if name in trained else None, f"{at:.4f}", f"{low:.4f} to {high:.4f}")
            for name, (at, low, high) in held.items()
        ]

    def __str__(self) -> str:
        shown = fields_text(self._title, self._facts())
        return f"{shown}\n{table_text(_METRICS, self.metric_rows())}" if self.evaluation is not None else shown

    __repr__ = __str__

    def _repr_html_(self) -> str:
        shown = fields_html(self._title, self._facts()) + self.status.curve_svg()
        return shown + table_html(_METRICS, self.metric_rows()) if self.evaluation is not None else shown

    @property
    def _title(self) -> str:
        return f"{self.recipe} of {len(self.status.members)} members"

    def _facts(self) -> dict[str, object]:
        model = self.model
        return {
            "federation": self.federation,
            "event": f"{plain(model.get('target'))} = {plain(model.get('positive'))}",
            "features": ", ".join(plain(one.get("name")) for one in _rows(model.get("features"))),
            "rounds": self.document["rounds"],
            "privacy": self._privacy_text(),
            "released by": ", ".join(self.released_by),
            "digest": self.digest,
        }

    def _columns(self, frame: Any) -> dict[str, Any]:
        """Return the columns that the model takes, those of booleans as the texts that it knows them by."""
        codes = {str(one.get("name")): one.get("codes") for one in _rows(self.model.get("features"))}
        found = {name: frame[name] for name in codes if name in frame}
        flags = [name for name in found if codes[name] in (["false", "true"], ["true", "false"])]
        return {**found, **{name: [_FLAGS.get(str(value), value) for value in found[name]] for name in flags}}

    def _privacy_text(self) -> str:
        privacy = self.document["privacy"]
        if not isinstance(privacy, dict):
            return "exact: without noise"
        return f"epsilon {plain(privacy.get('epsilon'))}, delta {plain(privacy.get('delta'))}"

    def _estimates(self, sample: str) -> dict[str, tuple[float, float, float]]:
        """Return the metrics over a sample: value, and both ends of its interval."""
        found = _or_empty(self.evaluation)
        for name in ("samples", sample, "metrics"):
            found = _or_empty(found.get(name))
        numbers = {
            plain(name): tuple(_number(_or_empty(one).get(end)) for end in ("value", "low", "high"))
            for name, one in found.items()
        }
        return {
            name: (value, low, high)
            for name, (value, low, high) in numbers.items()
            if value is not None and low is not None and high is not None
        }

    def _known(self) -> dict[str, JsonValue]:
        """Return what federation and evidence say, for the card."""
        status, privacy = self.status, self.document["privacy"]
        return {
            "partner": status.partner,
            "made_at": self.completed_at,
            "members": [
                {
                    "unit": one.unit,
                    "node": one.node,
                    "agreement": one.agreement,
                    "job": one.job,
                    "dataset": one.dataset,
                }
                for one in status.members
            ],
            "rounds": {
                "completed": len(status.rounds),
                "most": status.max_rounds,
                "attempts": sum(one.attempt for one in status.rounds),
                "quorum": status.quorum,
                "curve": [{"round": one.round, **one.figures} for one in status.rounds if one.figures],
            },
            "privacy": {"mode": "private", **privacy} if isinstance(privacy, dict) else None,
            "evidence": {
                "federation": status.federation,
                "terms": status.terms,
                "app": self.document["app"],
                "final_state": self.document["state"],
                "entries": [_entry(self.completion), *(_entry(one.evidence) for one in self.releases)],
            },
        }


def read_document(released: TrainingResult) -> Mapping[str, Any]:
    """Return the document of a release.

    Raises:
        VerificationError: it has another form.
    """
    document: Mapping[str, Any] = released.document
    texts = all(isinstance(document.get(name), str) for name in ("recipe", "federation", "terms", "app", "state"))
    numbers = all(type(document.get(name)) is int for name in ("rounds", "contributors"))
    evaluation, privacy = document.get("evaluation", ""), document.get("privacy", "")
    parts = isinstance(document.get("model"), dict) and isinstance(document.get("members"), list)
    is_whole = isinstance(evaluation, dict | None) and isinstance(privacy, dict | None)
    if document.get("v") != _VERSION or not (texts and numbers and parts and is_whole):
        raise malformed_answer("what a federation has trained")
    return document


def releasing_node(released: TrainingResult) -> str:
    """Return the node that has released, as the verified entry says.

    Raises:
        VerificationError: the evidence is no entry.
    """
    try:
        return str(parse_entry(str(released.evidence.get("entry")).encode()).payload["issuer"])
    except Malformed:
        raise malformed_answer("the entry of a release") from None


def _entry(evidence: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return {"index": evidence.get("index"), "type": evidence.get("type")}


def _number(value: object) -> float | None:
    # SECURITY: a node's numbers are short decimal texts; nothing else is made a number of.
    return float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else None


def _rows(value: object) -> Sequence[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _or_empty(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _write(path: Path | str, data: bytes) -> Path:
    try:
        Path(path).write_bytes(data)
    except OSError as error:
        message = f"file `{Path(path).name}` cannot be written: {error.strerror}"
        raise InvalidRequestError(ErrorCode.USAGE, message) from error
    return Path(path)
