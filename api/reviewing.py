"""Whose signatures an approval by people needs, by what the question asks for."""

from api.submissions import Submission
from api.wiring import Hub
from policies.standing import MissingSignaturesError, Standing
from yingbi.clock import format_time
from yingbi.events import EntryType
from yingbi.events.fields import Duty
from yingbi.statement import Statement

__all__ = ["check_reviewers"]


def check_reviewers(hub: Hub, submission: Submission) -> None:
    """Require a signature in every duty that the decision about an approved job asks for.

    Raises:
        MissingSignaturesError: duties in which nobody has signed yet.
    """
    standing, at = hub.standing, format_time(hub.clock.now())
    for statement in submission.statements:
        job = standing.jobs.get(statement.payload.id)
        if statement.type is not EntryType.JOB_APPROVED or job is None:
            continue
        judged = hub.decider.judge_job(standing, job, hub.decider.plan_of(job), at=at)
        signed = _signed_in(standing, statement, at=at)
        missing = tuple(duty.value for duty in judged.job_duties if duty not in signed)
        if missing:
            # Whoever has signed has to be one who may: a stranger's draft would wait for ever.
            standing.judge(statement, at=at)
            raise MissingSignaturesError(missing)


def _signed_in(standing: Standing, statement: Statement, *, at: str) -> frozenset[Duty]:
    """Return the duties of whoever signed; whether they may is judged where it is recorded."""
    holders = (standing.keys.find(signature.keyid, at=at) for signature in statement.signatures)
    owners = {holder.owner for holder in holders if holder is not None and holder.owner is not None}
    return frozenset[Duty]().union(*(standing.people.duties(owner, at=at) for owner in owners))
