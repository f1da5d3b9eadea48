"""The standing of everybody and everything, folded from the log's entries (docs/spec/standing.md)."""

from policies.standing.agreements import AgreementStanding
from policies.standing.datasets import DatasetStanding, VersionStanding
from policies.standing.federations import FederationStanding, Joined
from policies.standing.jobs import Check, JobStanding
from policies.standing.keys import Holder, Signers
from policies.standing.participants import Participant, ParticipantState
from policies.standing.refusals import (
    MissingSignaturesError,
    Rule,
    StatementRefusedError,
    UnknownTermsError,
)
from policies.standing.standing import MAX_AHEAD, REPLAY_WINDOW, Standing

__all__ = [
    "MAX_AHEAD",
    "REPLAY_WINDOW",
    "AgreementStanding",
    "Check",
    "DatasetStanding",
    "FederationStanding",
    "Holder",
    "JobStanding",
    "Joined",
    "MissingSignaturesError",
    "Participant",
    "ParticipantState",
    "Rule",
    "Signers",
    "Standing",
    "StatementRefusedError",
    "UnknownTermsError",
    "VersionStanding",
]
