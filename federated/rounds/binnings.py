"""Counts in bins, without noise: a feature of a version is counted in one way, and then in no other.

SECURITY: bins that are too small are merged with a neighbour, and with which one depends on edges, target, thresholds
and parameters. Two ways to merge, each of them safe, tell of the small bin between them by their difference. Who wants
other bins asks for noise, or waits for another version.
"""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Engine, insert, select

from sandbox.database import reading, writing
from sandbox.node.joint_tables import JOINT_BINS
from yingbi.canonical import JsonValue, digest_json
from yingbi.plan.codec import common_json
from yingbi.plan.model import Recipe, TrainingQuestion

__all__ = ["Binnings"]

_ASKED: Final = ("target", "positive", "min_entities", "parameters")


class Binnings:
    """How features were counted at this node."""

    def __init__(self, database: Engine) -> None:
        self._database = database

    def find_other(self, question: TrainingQuestion) -> tuple[str, ...]:
        """Return the features of a question that were counted in another way before."""
        asked = _ways(question)
        query = select(JOINT_BINS.c.feature, JOINT_BINS.c.question).where(
            JOINT_BINS.c.dataset == question.source.dataset, JOINT_BINS.c.version == (question.source.version or 0)
        )
        with reading(self._database) as connection:
            known = {row.feature: row.question for row in connection.execute(query)}
        return tuple(name for name, way in asked.items() if known.get(name, way) != way)

    def note(self, question: TrainingQuestion) -> None:
        """Note how a question counts, before anything of it is counted; what was noted first stands."""
        source = question.source
        with writing(self._database) as connection:
            for name, way in _ways(question).items():
                key = {"dataset": source.dataset, "version": source.version or 0, "feature": name}
                known = select(JOINT_BINS.c.question).where(
                    *(JOINT_BINS.c[part] == value for part, value in key.items())
                )
                if connection.execute(known).first() is None:
                    connection.execute(insert(JOINT_BINS).values(question=way, **key))


def _ways(question: TrainingQuestion) -> Mapping[str, str]:
    """Return of each feature the digest of all that its bins depend on; nothing where there is noise, or no bins."""
    if question.recipe is not Recipe.WOE_BINS or question.privacy is not None:
        return {}
    common = common_json(question)
    asked: dict[str, JsonValue] = {name: common[name] for name in _ASKED}
    features = common["features"]
    found = {}
    for feature in features if isinstance(features, list) else []:
        if isinstance(feature, dict):
            found[str(feature["name"])] = digest_json({**asked, "feature": feature})
    return found
