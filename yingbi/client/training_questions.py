"""What a federation asks of its members: one question for all, over each one's own data set (docs/spec/federation.md).

Everything that can be known before anything is sent is checked here: names, declarations, what the recipe takes.
"""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final, Required, TypedDict

from sandbox.query.bind import bind
from sandbox.query.uses import operations
from yingbi.canonical import JsonValue, canonical_bytes
from yingbi.client.catalogue import DatasetRecord, catalogue_of
from yingbi.client.explain import Explanation, explain
from yingbi.client.problems import missing_extra, plain
from yingbi.client.training_features import Asked, declared_item, number_text, read_features
from yingbi.errors import ErrorCode, InvalidRequestError, NotFoundError
from yingbi.ids import new_id
from yingbi.plan.check import check_plan
from yingbi.plan.codec import common_digest, malformed_plan, plan_to_json, question_digest
from yingbi.plan.model import (
    MAX_MEMBERS,
    MAX_ROUNDS,
    MIN_MEMBERS,
    CodedFeature,
    Member,
    Plan,
    Recipe,
    Source,
    TrainingFeature,
    TrainingPrivacy,
    TrainingQuestion,
)

__all__ = ["MIN_ENTITIES", "Arguments", "MemberQuestion", "Training", "make_questions"]

MIN_ENTITIES: Final = 10
"""The fewest entities behind anything that a model shows, where nothing else is said."""

_BINNED: Final = frozenset({Recipe.GRADIENT_BOOSTED_TREES, Recipe.WOE_BINS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What is to be trained: `members` has the data set of each agreement; `None` stands for what is usual."""

    recipe: str
    members: Mapping[str, str]
    target: str
    positive: str | int | bool
    features: Sequence[Asked]
    parameters: Mapping[str, object] = field(default_factory=dict)
    rounds: int | None = None
    quorum: int | None = None
    min_entities: int | None = None
    epsilon: str | float | None = None
    delta: str | float | None = None
    clip: str | float | None = None
    versions: Mapping[str, int] = field(default_factory=dict)


class Arguments(TypedDict, total=False):
    """What a client's `train` takes: the arguments of its `training`."""

    members: Required[Mapping[str, str]]
    target: Required[str]
    positive: Required[str | int | bool]
    features: Required[Sequence[Asked]]
    parameters: Mapping[str, object] | None
    rounds: int | None
    quorum: int | None
    min_entities: int | None
    epsilon: str | float | None
    delta: str | float | None
    clip: str | float | None
    versions: Mapping[str, int] | None
    purpose: str | None
    certificate: str | None
    expires_in: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberQuestion:
    """One member's part of a federation: its bound plan, and the data set that it is about."""

    record: DatasetRecord
    plan: Plan
    question: TrainingQuestion = field(repr=False)
    member: Member

    @property
    def digest(self) -> str:
        """Return the name of the question in caches, histories and released results."""
        return question_digest(self.question)

    @property
    def operations(self) -> tuple[str, ...]:
        """Return the operation of the whitelist that it asks for."""
        return operations(self.plan)

    @property
    def datasets(self) -> tuple[tuple[str, int], ...]:
        """Return the id of the data set that it reads, with its version."""
        version = self.question.source.version
        return () if version is None else ((self.record.id, version),)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the plan as it is sent and committed to."""
        return plan_to_json(self.plan)

    def explain(self) -> Explanation:
        """Return what is asked, in words and as a table of columns; nothing is sent."""
        return explain(self.plan, (self.record,))


def make_questions(records: Sequence[DatasetRecord], training: Training) -> tuple[MemberQuestion, ...]:
    """Return the questions to all members, in the order in which the plan names them.

    Ids of the federation and of its jobs are made here, since every plan names them all.

    Raises:
        InvalidRequestError: something is not as it must be; the hint says what would be.
        UnavailableError: what checks recipes is not installed.
    """
    _check_members(records, training)
    question = _question(records, training)
    problems = check_plan(Plan(question=question))
    if problems:
        raise malformed_plan(problems)
    question = _with_rounds(question, training.rounds)
    by_dataset = {record.name: record for record in records}
    return tuple(_bound(question, member, by_dataset[member.dataset], training) for member in question.members)


def _bound(question: TrainingQuestion, member: Member, record: DatasetRecord, training: Training) -> MemberQuestion:
    source = Source(dataset=record.name, version=_version(record, training))
    plan = bind(Plan(question=replace(question, source=source)), catalogue_of([record]))
    if not isinstance(plan.question, TrainingQuestion) or common_digest(plan.question) != common_digest(question):
        raise malformed_plan(["$.question: expected the same question to all members"])
    return MemberQuestion(record=record, plan=plan, question=plan.question, member=member)


def _question(records: Sequence[DatasetRecord], training: Training) -> TrainingQuestion:
    recipe = _recipe(training.recipe)
    members = _members(records, training)
    return TrainingQuestion(
        source=Source(dataset=members[0].dataset),
        federation=new_id("fed"),
        members=members,
        quorum=len(members) if training.quorum is None else training.quorum,
        rounds=1 if training.rounds is None else training.rounds,
        min_entities=MIN_ENTITIES if training.min_entities is None else training.min_entities,
        recipe=recipe,
        parameters=_parameters(training.parameters),
        target=_target(records, training.target),
        positive=_positive(training.positive),
        features=read_features(records, training.features, with_edges=recipe in _BINNED),
        privacy=_privacy(training),
    )


def _recipe(name: str) -> Recipe:
    if name in tuple(Recipe):
        return Recipe(name)
    close = difflib.get_close_matches(name[:64], [str(one) for one in Recipe], n=1, cutoff=0.4)
    known = f"did you mean `{close[0]}`" if close else "there are " + ", ".join(f"`{one}`" for one in Recipe)
    raise InvalidRequestError(ErrorCode.NAME_UNKNOWN, f"no recipe `{plain(name)[:64]}`", hint=known)


def _check_members(records: Sequence[DatasetRecord], training: Training) -> None:
    if not MIN_MEMBERS <= len(training.members) <= MAX_MEMBERS:
        raise InvalidRequestError(
            ErrorCode.PLAN_MALFORMED,
            f"expected {MIN_MEMBERS} to {MAX_MEMBERS} members, got {len(training.members)}",
            hint="members={agreement: data set, ...}, each of another unit: sums of fewer would show one unit's part",
        )
    if len(records) != len(training.members):
        raise InvalidRequestError(ErrorCode.PLAN_MALFORMED, "expected each data set once among the members")
    for what, places in (("node", [record.node for record in records]), ("unit", _owners(records))):
        for number, place in enumerate(places):
            if place is None:
                message = f"no node of `{records[number].name}` is known"
                raise InvalidRequestError(ErrorCode.PLAN_MALFORMED, message, hint="its unit has to publish a version")
            if place in places[:number]:
                one, other = records[places.index(place)].name, records[number].name
                message = f"`{one}` and `{other}` are of one {what}, `{place}`: expected members of different ones"
                raise InvalidRequestError(ErrorCode.PLAN_MALFORMED, message)


def _owners(records: Sequence[DatasetRecord]) -> list[str | None]:
    return [record.dataset.owner for record in records]


def _members(records: Sequence[DatasetRecord], training: Training) -> tuple[Member, ...]:
    nodes = {record.name: record.node or "" for record in records}
    found = [
        Member(agreement=agreement, dataset=dataset, job=new_id("job"), node=nodes[dataset])
        for agreement, dataset in training.members.items()
    ]
    return tuple(sorted(found, key=lambda member: member.node))


def _version(record: DatasetRecord, training: Training) -> int:
    wanted = training.versions.get(record.name, record.current)
    if wanted not in record.versions:
        shown = ", ".join(str(version) for version in record.versions[-6:])
        raise NotFoundError(
            ErrorCode.VERSION_NOT_FOUND, f"`{record.name}` has no version {wanted}", hint=f"there are {shown}"
        )
    return wanted


def _target(records: Sequence[DatasetRecord], name: str) -> str:
    for record in records:
        declared_item(record, name)
    return name


def _positive(value: str | int | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _parameters(given: Mapping[str, object]) -> str:
    """Return parameters in canonical JSON; fractions become decimal texts, which are what recipes read."""
    found = {
        name: number_text(value, f"parameters.{plain(name)[:40]}") if isinstance(value, float | Decimal) else value
        for name, value in given.items()
    }
    return canonical_bytes(found).decode()


def _privacy(training: Training) -> TrainingPrivacy | None:
    if training.epsilon is None:
        if training.delta is not None or training.clip is not None:
            raise InvalidRequestError(ErrorCode.PLAN_MALFORMED, "expected `epsilon` with `delta` and `clip`")
        return None
    if training.delta is None:
        hint = "such as delta='1e-6', well below one in the number of all entities"
        raise InvalidRequestError(ErrorCode.PLAN_MALFORMED, "expected `delta` with `epsilon`", hint=hint)
    return TrainingPrivacy(
        epsilon=number_text(training.epsilon, "epsilon"),
        delta=number_text(training.delta, "delta"),
        clip=None if training.clip is None else number_text(training.clip, "clip"),
    )


def _with_rounds(question: TrainingQuestion, wanted: int | None) -> TrainingQuestion:
    """Return the question with so many rounds as its recipe can take, unless somebody asks for more.

    Raises:
        InvalidRequestError: the recipe does not take the question, or needs more rounds than are asked for.
    """
    try:
        from federated.horizontal.recipe import RECIPES
        from federated.horizontal.spec import TrainingSpec
    except ImportError as error:
        raise missing_extra("numpy", error) from error
    try:
        spec = TrainingSpec.from_json(_spec_json(question))
        most = RECIPES[str(question.recipe)].max_rounds(spec)
    except InvalidRequestError as error:
        message = f"recipe `{question.recipe}` does not take this: {error.message}"
        raise InvalidRequestError(ErrorCode.PLAN_MALFORMED, message, hint="docs/spec/recipes.md") from error
    if wanted is not None and wanted < most:
        raise InvalidRequestError(
            ErrorCode.PLAN_MALFORMED,
            f"the recipe may take {most} rounds with these parameters, got rounds={wanted}",
            hint=f"rounds={most}, or parameters that need fewer",
        )
    if most > MAX_ROUNDS:
        raise InvalidRequestError(
            ErrorCode.PLAN_MALFORMED, f"the recipe would take {most} rounds: {MAX_ROUNDS} at most"
        )
    return replace(question, rounds=most if wanted is None else wanted)


def _spec_json(question: TrainingQuestion) -> dict[str, Any]:
    """Return the question as recipes read it, but for what no question says: the same for every training.

    `federated.rounds.course` reads it so at hub and nodes.
    """
    return {
        "form": "yingbi-training/1",
        "recipe": str(question.recipe),
        "parameters": json.loads(question.parameters),
        "target": question.target,
        "positive": question.positive,
        "features": [_feature_json(feature) for feature in question.features],
        "min_entities": question.min_entities,
        "privacy": None if question.privacy is None else {"clip": question.privacy.clip},
    }


def _feature_json(feature: TrainingFeature) -> dict[str, Any]:
    if isinstance(feature, CodedFeature):
        return {"name": feature.name, "kind": "coded", "codes": list(feature.codes)}
    bounds, edges = list(feature.bounds), list(feature.edges)
    return {"name": feature.name, "kind": "numeric", "bounds": bounds, "edges": edges, "special": []}
