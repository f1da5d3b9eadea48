"""What the bureau adds by itself to what others submit, in the same batch: it signs nothing that people decide."""

from api.bureau import Bureau
from api.submissions import Follow, Submission
from policies.approvals import State
from policies.jobs import JobState
from policies.sign import activated_payload
from policies.standing import Standing
from yingbi.clock import parse_time
from yingbi.events import EntryType
from yingbi.ids import new_id
from yingbi.statement import Statement, sign

__all__ = ["deliver", "follow"]


def follow(bureau: Bureau, submission: Submission) -> Follow | None:
    """Return what follows from a submission, if anything can."""
    signed = [one.payload.id for one in submission.statements if one.type is EntryType.AGREEMENT_SIGNED]
    if not signed:
        return None
    return lambda standing, at: Submission(
        statements=tuple(found for name in signed if (found := _activate(bureau, standing, name, at)) is not None)
    )


def deliver(bureau: Bureau, job: str) -> Follow:
    """Return the delivery of a job's result, or nothing where it is delivered already."""

    def then(standing: Standing, at: str) -> Submission:
        found = standing.jobs.get(job)
        if found is None or found.state is not JobState.RELEASED:
            return Submission()
        body = {"job": job, "ciphertext": found.ciphertext, "recipient": found.partner}
        return Submission(statements=(bureau.state(EntryType.OUTPUT_DELIVERED, new_id("out"), body, at=at),))

    return then


def _activate(bureau: Bureau, standing: Standing, name: str, at: str) -> Statement | None:
    """Return the activation of an agreement whose last signature was just given."""
    found = standing.agreements.get(name)
    if found is None or found.life.state is not State.SIGNED:
        return None
    payload = activated_payload(found.life.agreement, issuer=bureau.party, on_behalf_of=None, at=parse_time(at))
    return sign(payload, [bureau.key])
