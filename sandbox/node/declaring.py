"""Telling the log which versions were published here, so that jobs can name them.

A version is said in the order of its number, once its data set is registered by the unit; the unit's chief data officer
then confirms its grades (`dataset.graded`), and only after that jobs may use it (docs/spec/standing.md, "Data sets").
"""

import logging
from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Final, Protocol

from sandbox.catalog.model import DatasetVersion
from sandbox.catalog.store import CatalogueStore
from sandbox.node.following import Follower
from sandbox.node.statements import Made, StatementMaker
from sandbox.node.versions import Versions
from yingbi.errors import ConflictError, RefusedError
from yingbi.ids import dataset_id
from yingbi.statement import Statement

__all__ = ["Declarer", "TakesVersions"]

_LOG: Final = logging.getLogger(__name__)
_SAME_FOR_S: Final = 86_400.0


class TakesVersions(Protocol):
    """The hub, as versions are told to it."""

    def declare_versions(self, statements: Sequence[Statement]) -> object:
        """Have `dataset.versioned` statements recorded, all or none."""


class Declarer:
    """Compares the node's catalogue with the followed log.

    Args:
        unit: the party whose node this is.
        catalogue: what was published here.
        versions: makes commitments to contents and keeps what opens them.
        follower: the log.
        hub: has statements recorded.
        maker: makes and signs them.
    """

    def __init__(
        self,
        *,
        unit: str,
        catalogue: CatalogueStore,
        versions: Versions,
        follower: Follower,
        hub: TakesVersions,
        maker: StatementMaker,
    ) -> None:
        self._unit = unit
        self._catalogue = catalogue
        self._versions = versions
        self._follower = follower
        self._hub = hub
        self._maker = maker
        self._made: dict[tuple[str, int], tuple[Made, float]] = {}

    def declare(self) -> int:
        """Have recorded what the log does not know yet, one version of each data set; return how many.

        Cost: one read of the catalogue and O(data sets).

        Raises:
            UnavailableError: the hub does not answer; to be called again.
        """
        declared = 0
        for version in self._missing():
            made = self._make(version)
            try:
                self._hub.declare_versions([made.statement])
            except (ConflictError, RefusedError) as error:
                _LOG.warning("a version was not recorded: %s", error.code)
            else:
                declared += 1
        if declared:
            self._follower.follow()
        return declared

    def _make(self, version: DatasetVersion) -> Made:
        """Return the statement of a version, the same for a day: a hub that records none gathers no openings here."""
        name, now = (version.dataset, version.version), monotonic()
        made, made_at = self._made.get(name, (None, now))
        if made is None or now - made_at > _SAME_FOR_S:
            # A process that dies before it is recorded leaves an opening that nothing names, and begins anew.
            made = self._versions.declare(version, self._maker)
            self._made[name] = made, now
        return made

    def _missing(self) -> Iterator[DatasetVersion]:
        datasets = self._follower.standing.datasets
        for name in self._catalogue.load().datasets:
            found = datasets.get(dataset_id(name))
            if found is None or found.is_withdrawn or found.owner != self._unit:
                continue
            following = max(found.versions, default=0) + 1
            yield from (one for one in self._catalogue.versions(name) if one.version == following)
