"""Who may know of what. What the log publishes is everybody's; terms, drafts and jobs are their parties'."""

from api.drafts import Draft, DraftKind
from api.signing import Caller
from policies.model import Agreement
from policies.standing import JobStanding, Standing
from yingbi.events.fields import Duty

__all__ = ["is_of_bureau", "may_check", "may_see_agreement", "may_see_draft", "may_see_job"]


def is_of_bureau(caller: Caller) -> bool:
    """Tell whether the caller works for the bureau."""
    return caller.kind == "bureau"


def may_see_agreement(caller: Caller, terms: Agreement) -> bool:
    """Tell whether the caller may read these terms: their parties, units and auditors, and the bureau."""
    parties = {terms.assigner, terms.assignee, terms.intermediary}
    return caller.organisation in parties or (caller.is_admitted and caller.kind in ("bureau", "unit", "auditor"))


def may_see_job(caller: Caller, standing: Standing, job: JobStanding) -> bool:
    """Tell whether the caller may know of a job: its partner, units whose data it asks for, auditors, the bureau."""
    if caller.organisation == job.partner or (caller.is_admitted and caller.kind in ("bureau", "auditor")):
        return True
    listed = (standing.datasets.get(one.dataset) for one in job.submitted.datasets)
    return caller.organisation in {one.owner for one in listed if one is not None}


def may_check(caller: Caller, standing: Standing, job: JobStanding) -> bool:
    """Tell whether the caller may check a job's held result: the bureau's checkers, and people of the data's unit."""
    if caller.kind == "bureau":
        return Duty.OUTPUT_CHECKER in caller.duties
    unit = None if job.node is None else standing.keys.organisation(job.node)
    return caller.organisation == unit


def may_see_draft(caller: Caller, draft: Draft) -> bool:
    """Tell whether the caller may see a draft: whom it names, who sent it, and the bureau."""
    if is_of_bureau(caller):
        return True
    if draft.kind is DraftKind.APPLICATION:
        return caller.name == draft.sender
    return not draft.parties.isdisjoint({caller.name, caller.organisation})
