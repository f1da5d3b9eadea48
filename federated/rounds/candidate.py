"""What a finished federation would release: the model, its evaluation, and what a gate has to know of it.

Every member makes it of the same log, terms and final state, and so byte for byte the same.
"""

from typing import Final

from federated.horizontal.evaluation import evaluation_of
from federated.horizontal.state import State
from federated.rounds.chain import Course
from federated.scorecard.sums import check_sums, evaluate_sums, read_scores
from policies.standing.federations import FederationStanding
from sandbox.candidate import TrainedCandidate
from yingbi.canonical import JsonValue
from yingbi.models.evaluation import EvaluationRules
from yingbi.plan.codec import common_digest
from yingbi.plan.model import TrainingQuestion

__all__ = ["DOCUMENT_VERSION", "make_candidate"]

DOCUMENT_VERSION: Final = 1


def make_candidate(
    question: TrainingQuestion, course: Course, state: State, federation: FederationStanding
) -> TrainedCandidate:
    """Return what the gate of a member judges; `state` is the one that the federation ended with."""
    model = course.recipe.model(course.spec, state)
    is_exact = course.rho is None
    document: dict[str, JsonValue] = {
        "v": DOCUMENT_VERSION,
        "recipe": question.recipe.value,
        "federation": federation.id,
        "terms": common_digest(question),
        "app": federation.started.app,
        "state": state.digest(),
        "members": [{"dataset": one.dataset, "node": one.node} for one in question.members],
        "rounds": len(federation.completed),
        "contributors": _contributors(federation),
        "privacy": _privacy(question, course, federation),
        "model": model,
        "evaluation": _evaluation(state, course) if evaluation_of(state) else None,
    }
    return TrainedCandidate(
        question=question,
        document=document,
        smallest=_smallest(model, state) if is_exact else None,
        contributors=_contributors(federation),
        advantage=_advantage(state) if is_exact and evaluation_of(state) else None,
    )


def _contributors(federation: FederationStanding) -> int:
    return min(len(one.participants) for one in federation.completed)


def _privacy(question: TrainingQuestion, course: Course, federation: FederationStanding) -> JsonValue:
    privacy = question.privacy
    if privacy is None:
        return None
    spent = course.spent(len(federation.completed))
    return {"epsilon": privacy.epsilon, "delta": privacy.delta, "clip": privacy.clip, "rho": spent}


def _evaluation(state: State, course: Course) -> JsonValue:
    return evaluate_sums(evaluation_of(state), EvaluationRules(least=course.spec.min_entities))


def _advantage(state: State) -> float:
    """Return the advantage of the attack by loss; with too few rows to tell, that of an attack that always wins."""
    found = check_sums(evaluation_of(state))
    return 1.0 if found.reasons and found.advantage <= found.rule.most else found.advantage


def _smallest(model: JsonValue, state: State) -> int:
    """Return the fewest entities in a class of the target or in a bin; leaves are held to it while trees grow."""
    counts: list[float] = []
    if "target_counts" in state.arrays:
        counts += state.arrays["target_counts"].tolist()
    if evaluation_of(state):
        training, _ = read_scores(evaluation_of(state))
        counts += [training.good, training.bad]
    variables = model.get("variables") if isinstance(model, dict) else None
    for variable in variables if isinstance(variables, list) else []:
        bins = variable.get("bins") if isinstance(variable, dict) else None
        counts += [float(str(one["rows"])) for one in bins if isinstance(one, dict)] if isinstance(bins, list) else []
    return int(min(counts))
