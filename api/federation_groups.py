"""Which federations there are: member jobs that ask the same, found by their plans.

A federation exists because its member jobs do: nothing else has to be kept, and a hub that starts anew finds all of
them again. What a plan says is read once a job; plans are committed to and never change.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from api.usage import TRAINING
from ledger.store import LogReads
from policies.federations import FederationState
from policies.jobs import JobState
from policies.standing import JobStanding, Standing
from policies.standing.federations import FederationStanding
from yingbi.errors import SandboxError
from yingbi.plan.codec import common_digest, parse_plan
from yingbi.plan.model import TrainingQuestion

__all__ = ["FederationGroups", "Group"]

_WAITING: Final = frozenset({JobState.APPROVED, JobState.LEASED, JobState.INTERRUPTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A federation as its member jobs ask for it: `question` is one member's, `terms` the digest of what all share.

    SECURITY: ids are the asker's choice: that of the federation, and those of the jobs that he names as its members.
    What is another partner's is none of his.
    """

    id: str
    terms: str
    partner: str
    question: TrainingQuestion

    @property
    def key(self) -> tuple[str, str, str]:
        """Return what tells it from all others."""
        return (self.id, self.terms, self.partner)

    def jobs(self, standing: Standing) -> tuple[JobStanding, ...]:
        """Return the member jobs that its partner has submitted, in the order of the members."""
        found = (standing.jobs.get(member.job) for member in self.question.members)
        return tuple(job for job in found if job is not None and job.partner == self.partner)

    def started(self, standing: Standing) -> FederationStanding | None:
        """Return it as it stands since it was started, or nothing."""
        found = standing.federations.get(self.id)
        is_this = found is not None and (found.started.terms, found.partner) == (self.terms, self.partner)
        return found if is_this else None

    def left(self, standing: Standing) -> Mapping[str, int]:
        """Return the attempts, by job, with which it was last started: interrupted, they take no part again."""
        started = self.started(standing)
        return {} if started is None else {one.job: one.attempt for one in started.life.started.members}

    def is_taken(self, standing: Standing) -> bool:
        """Tell whether another federation was started under its id, so that this one never will be."""
        return standing.federations.get(self.id) is not None and self.started(standing) is None


class FederationGroups:
    """Finds federations. Thread-safe: what it remembers is only ever added."""

    def __init__(self, store: LogReads) -> None:
        self._store = store
        self._questions: dict[str, tuple[str, TrainingQuestion] | None] = {}

    def of_job(self, job: JobStanding) -> Group | None:
        """Return the federation that a job is a member of, or nothing; its other members may not have been asked."""
        if not job.submitted.operation.startswith(TRAINING):
            return None
        if job.id not in self._questions:
            question = self.read(job)
            self._questions[job.id] = None if question is None else (common_digest(question), question)
        found = self._questions[job.id]
        return (
            None
            if found is None
            else Group(id=found[1].federation, terms=found[0], partner=job.partner, question=found[1])
        )

    def read(self, job: JobStanding) -> TrainingQuestion | None:
        """Return what a job asks as its plan says it now: nothing where that was erased, or asks for no training."""
        try:
            question = parse_plan(json.loads(self._store.read_opening(job.submitted.plan).value)).question
        except SandboxError:
            return None  # erased, or never a plan
        return question if isinstance(question, TrainingQuestion) else None

    def rounds_of(self, job: JobStanding) -> int:
        """Return how many rounds a job may take of its agreement's: none where it is no member of a federation."""
        group = self.of_job(job)
        return 0 if group is None else group.question.rounds

    def all(self, standing: Standing) -> Iterator[Group]:
        """Yield every federation once, in the order in which their first members were submitted."""
        seen: set[tuple[str, str, str]] = set()
        for job in standing.jobs.items():
            group = self.of_job(job)
            if group is not None and group.key not in seen:
                seen.add(group.key)
                yield group

    def find(self, standing: Standing, federation: str) -> tuple[Group, ...]:
        """Return the federations of an id: the one that was started first, the others as they were submitted."""
        found = [group for group in self.all(standing) if group.id == federation]
        return tuple(sorted(found, key=lambda group: group.started(standing) is None))

    def is_agreed(self, group: Group, standing: Standing) -> bool:
        """Tell whether all members ask the same, for the same partner, each over its own data at its own node."""
        jobs = group.jobs(standing)
        if len(jobs) != len(group.question.members):
            return False
        for member, job in zip(group.question.members, jobs, strict=True):
            other = self.of_job(job)
            if other is None or other.terms != group.terms or other.question.own != member:
                return False
        return True

    def may_lease(self, job: JobStanding, standing: Standing) -> bool:
        """Tell whether a job may be leased for all that its federation needs: one that waits for others holds no node.

        All members have to be ready to run, and none may still be in an attempt that the federation has left.
        """
        group = self.of_job(job)
        if group is None:
            return not job.submitted.operation.startswith(TRAINING)
        started = group.started(standing)
        if group.is_taken(standing) or (started is not None and started.state is not FederationState.INTERRUPTED):
            return False
        if not self.is_agreed(group, standing):
            return False
        left = group.left(standing)
        return all(
            one.state in _WAITING or (one.state is JobState.STARTED and one.life.attempt != left.get(one.id))
            for one in group.jobs(standing)
        )
