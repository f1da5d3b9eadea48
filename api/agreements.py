"""Proposed terms are checked against the catalogue before they are recorded; deciding never relies on it."""

from datetime import datetime
from typing import Final

from api.catalogue import HubCatalogue
from api.documents import Documents
from api.submissions import Submission
from policies.parse import read_agreement
from policies.problems import AgreementError
from policies.standing import Standing, UnknownTermsError
from policies.validate import Surroundings, require_valid
from sandbox.catalog.view import CatalogueFacts
from yingbi.clock import format_time
from yingbi.errors import ErrorCode
from yingbi.events import EntryType

__all__ = ["check_proposals"]

_WITH_TERMS: Final = frozenset({EntryType.AGREEMENT_PROPOSED, EntryType.AGREEMENT_COUNTERED})


def check_proposals(
    standing: Standing, catalogue: HubCatalogue, documents: Documents, submission: Submission, *, at: datetime
) -> None:
    """Refuse terms that contradict the catalogue, the bureau's rules or themselves.

    Raises:
        AgreementError: with every problem.
        UnknownTermsError: the terms are neither brought nor kept.
    """
    proposed = [one.payload.body["terms"] for one in submission.statements if one.type in _WITH_TERMS]
    if not proposed:
        return
    known = catalogue.catalogue(standing)
    around = Surroundings(
        catalogue=CatalogueFacts(known),
        datasets=frozenset(known.datasets),
        licensed_intermediaries=standing.participants.licensed(at=format_time(at)),
        at=at,
    )
    for digest in proposed:
        # SECURITY: that a text is kept says nothing of it; it may have come for another reason, unchecked.
        content = submission.documents.get(digest) or documents.find(digest)
        if content is None:
            raise UnknownTermsError(digest)
        reading = read_agreement(content)
        if reading.agreement is None:
            raise AgreementError(ErrorCode.AGREEMENT_MALFORMED, reading.problems)
        require_valid(reading.agreement, around, marks=reading.marks)
