"""Data sets as the log knows them: whose, on which node, which versions, graded by whom (docs/spec/standing.md)."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from policies.standing.keys import KeyRegister
from policies.standing.people import PeopleRegister
from policies.standing.refusals import Rule, StatementRefusedError
from policies.standing.said import Effect, Rules, Said
from yingbi.events import EntryType
from yingbi.events.datasets import DatasetGraded, DatasetRegistered, DatasetVersioned
from yingbi.events.fields import Duty, Grade, Openness, RunningJobs

_ID: Final = re.compile(r"ds-[a-z]{26}")

__all__ = ["DatasetRegister", "DatasetStanding", "VersionStanding"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionStanding:
    """One version: what its node committed to, and whether its grades were confirmed."""

    schema_digest: str
    content: str
    is_graded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetStanding:
    """A data set: its owner, the digest of its catalogue entry, the node that holds it, its versions."""

    id: str
    owner: str
    entry: str
    openness: Openness
    node: str | None = None
    versions: Mapping[int, VersionStanding] = field(default_factory=lambda: MappingProxyType({}))
    is_withdrawn: bool = False
    running_jobs: RunningJobs | None = None

    def is_usable(self, version: int) -> bool:
        """Tell whether jobs may name a version."""
        found = self.versions.get(version)
        is_open = self.openness is not Openness.NOT_OPEN and not self.is_withdrawn
        return is_open and found is not None and found.is_graded


class DatasetRegister:
    """All data sets that were ever registered."""

    def __init__(self, keys: KeyRegister, people: PeopleRegister) -> None:
        self._keys = keys
        self._people = people
        self._all: dict[str, DatasetStanding] = {}

    def fork(self, keys: KeyRegister, people: PeopleRegister) -> "DatasetRegister":
        """Return a copy that changes by itself."""
        copy = DatasetRegister(keys, people)
        copy._all = dict(self._all)
        return copy

    def rules(self) -> Rules:
        """Return what judges the entries about data sets."""
        return {
            EntryType.DATASET_REGISTERED: self._register,
            EntryType.DATASET_VERSIONED: self._version,
            EntryType.DATASET_GRADED: self._grade,
            EntryType.DATASET_WITHDRAWN: self._withdraw,
        }

    def get(self, dataset: str) -> DatasetStanding | None:
        """Return a data set, or nothing."""
        return self._all.get(dataset)

    def items(self) -> Iterator[DatasetStanding]:
        """Yield all data sets, in the order they were registered."""
        yield from list(self._all.values())

    def _register(self, said: Said) -> Effect:
        body: DatasetRegistered = said.body
        # SECURITY: of another form it could be something else's id, and its owner would stop and free that.
        if _ID.fullmatch(said.about) is None:
            raise StatementRefusedError(Rule.TERMS, "expected the id of a data set")
        self._check_owner(body.owner, said)
        fresh = DatasetStanding(id=said.about, owner=body.owner, entry=body.catalogue_entry, openness=body.openness)
        found = self._all.get(said.about)
        if found is None:
            return self._put(fresh)
        if found.owner != body.owner:
            raise StatementRefusedError(Rule.STATE, "the data set is another unit's")
        # A changed entry; a data set that was withdrawn is there again.
        return self._put(replace(fresh, node=found.node, versions=found.versions))

    def _version(self, said: Said) -> Effect:
        body: DatasetVersioned = said.body
        found = self._there(said.about)
        if not said.issuer.startswith("node:") or self._keys.organisation(said.issuer) != found.owner:
            raise StatementRefusedError(Rule.SIGNER, "expected a node of the unit that owns the data")
        if body.version != max(found.versions, default=0) + 1:
            raise StatementRefusedError(Rule.VERSION, "expected the next version")
        version = VersionStanding(schema_digest=body.schema_digest, content=body.content)
        return self._put(replace(found, node=said.issuer, versions=_with(found.versions, body.version, version)))

    def _grade(self, said: Said) -> Effect:
        body: DatasetGraded = said.body
        found = self._there(said.about)
        self._check_owner(found.owner, said)
        if body.version not in found.versions:
            raise StatementRefusedError(Rule.VERSION, "there is no such version")
        # Core data never enter; what is on the negative list is a matter of columns, for every decision anew.
        graded = replace(found.versions[body.version], is_graded=body.grade is not Grade.CORE)
        versions = _with(found.versions, body.version, graded)
        return self._put(replace(found, versions=versions, openness=body.openness))

    def _withdraw(self, said: Said) -> Effect:
        found = self._there(said.about)
        self._check_owner(found.owner, said)
        return self._put(replace(found, is_withdrawn=True, running_jobs=said.body.running_jobs))

    def _put(self, dataset: DatasetStanding) -> Effect:
        return lambda _: self._all.update({dataset.id: dataset})

    def _there(self, dataset: str) -> DatasetStanding:
        found = self._all.get(dataset)
        if found is None or found.is_withdrawn:
            raise StatementRefusedError(Rule.STATE, "there is no such data set, or it is withdrawn")
        return found

    def _check_owner(self, owner: str, said: Said) -> None:
        officers = self._people.with_duty(said.signers, Duty.UNIT_CDO, at=said.at)
        by_officer = any(self._people.employer(one) == owner for one in officers)
        if not owner.startswith("unit:") or not (owner in said.signers.owners or by_officer):
            raise StatementRefusedError(Rule.SIGNER, "expected the unit that owns the data, or its chief data officer")


def _with(
    versions: Mapping[int, VersionStanding], number: int, version: VersionStanding
) -> Mapping[int, VersionStanding]:
    return MappingProxyType({**versions, number: version})
