"""What a submission has to satisfy beyond what every follower of the log can judge, whichever way it comes in.

A follower knows digests; the hub has the documents and questions behind them, and refuses what contradicts them before
it is in the log. Nobody relies on that: nodes look for themselves.
"""

from api.agreements import check_proposals
from api.catalogue import check_registrations
from api.reviewing import check_reviewers
from api.submissions import Submission
from api.wiring import Hub

__all__ = ["check_submission"]


def check_submission(hub: Hub, submission: Submission) -> None:
    """Refuse what contradicts its documents, or lacks the signatures that a question asks for.

    Raises:
        CatalogueInvalidError, AgreementError: a document is missing or wrong.
        UnknownTermsError: proposed terms are nowhere to be read.
        MissingSignaturesError: an approval lacks duties in which somebody has to sign.
    """
    check_registrations(submission)
    check_proposals(hub.standing, hub.catalogue, hub.documents, submission, at=hub.clock.now())
    check_reviewers(hub, submission)
