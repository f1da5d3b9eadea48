"""Which federations there are: member jobs that ask the same, found by their plans.

A federation exists because its member jobs do: nothing else has to be kept, and a hub that starts anew finds all of
them again. What a plan says is read once a job; plans are committed to and never change.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from api.usage import TRAINING
from ledger.store import LogReads
from policies.federations import FederationState
from policies.jobs import JobState
from policies.standing import JobStanding, Standing
from yingbi.errors import SandboxError
from yingbi.plan.codec import common_digest, parse_plan
from yingbi.plan.model import TrainingQuestion

__all__ = ["FederationGroups", "Group"]

_WAITING: Final = frozenset({JobState.APPROVED, JobState.LEASED, JobState.INTERRUPTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A federation as its member jobs ask for it: `question` is one member's, `terms` the digest of what all share."""

    id: str
    terms: str
    question: TrainingQuestion

    def jobs(self, standing: Standing) -> tuple[JobStanding, ...]:
        """Return the member jobs that were submitted, in the order of the members."""
        found = (standing.jobs.get(member.job) for member in self.question.members)
        return tuple(job for job in found if job is not None)


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
            self._questions[job.id] = self._read(job)
        found = self._questions[job.id]
        return None if found is None else Group(id=found[1].federation, terms=found[0], question=found[1])

    def rounds_of(self, job: JobStanding) -> int:
        """Return how many rounds a job may take of its agreement's: none where it is no member of a federation."""
        group = self.of_job(job)
        return 0 if group is None else group.question.rounds

    def all(self, standing: Standing) -> Iterator[Group]:
        """Yield every federation once, in the order in which their first members were submitted."""
        seen: set[tuple[str, str]] = set()
        for job in standing.jobs.items():
            group = self.of_job(job)
            if group is not None and (group.id, group.terms) not in seen:
                seen.add((group.id, group.terms))
                yield group

    def find(self, standing: Standing, federation: str) -> Group | None:
        """Return a federation: the one that was started where one was, else the first of this id; or nothing."""
        started = standing.federations.get(federation)
        found = [group for group in self.all(standing) if group.id == federation]
        if started is not None:
            found = [group for group in found if group.terms == started.life.started.terms]
        return found[0] if found else None

    def is_agreed(self, group: Group, standing: Standing) -> bool:
        """Tell whether all members ask the same, for the same partner, each over its own data at its own node."""
        jobs = group.jobs(standing)
        if len(jobs) != len(group.question.members) or len({job.partner for job in jobs}) != 1:
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
        started = standing.federations.get(group.id)
        if started is not None and started.state is not FederationState.INTERRUPTED:
            return False
        if not self.is_agreed(group, standing):
            return False
        left = {} if started is None else {one.job: one.attempt for one in started.life.started.members}
        return all(
            one.state in _WAITING or (one.state is JobState.STARTED and one.life.attempt != left.get(one.id))
            for one in group.jobs(standing)
        )

    def _read(self, job: JobStanding) -> tuple[str, TrainingQuestion] | None:
        try:
            question = parse_plan(json.loads(self._store.read_opening(job.submitted.plan).value)).question
        except SandboxError:
            return None  # erased, or never a plan
        return (common_digest(question), question) if isinstance(question, TrainingQuestion) else None
