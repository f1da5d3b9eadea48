"""Submissions, what is answered to them, drafts."""

from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field

from api.schemas.wire import JsonObject, Wire

__all__ = ["DraftOut", "EntryOut", "IncompleteOut", "RecordedOut", "SignatureIn", "SignaturesIn", "SubmissionIn"]

_ENVELOPE: Final[JsonObject] = {
    "payload": "eyJib2R5Ijp7fX0=",
    "payloadType": "application/vnd.yingbi.statement.v1+json",
    "signatures": [{"keyid": "poqkLGiymh_W0uP6PZFw-dvez3QJT5SolqXBCW38r0U", "sig": "…"}],
}


class SubmissionIn(Wire):
    """Statements that are recorded together or not at all, with what their commitments and digests stand for."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"statements": [_ENVELOPE], "openings": []}]})

    statements: Annotated[list[JsonObject], Field(min_length=1, max_length=16, description="DSSE envelopes")]
    openings: Annotated[list[JsonObject], Field(max_length=64, default_factory=list)]
    documents: Annotated[list[Any], Field(max_length=16, default_factory=list)]


class EntryOut(Wire):
    """An entry of the log and its receipt (C2SP tlog-proof)."""

    index: int
    id: str
    type: str
    time: str
    receipt: str


class RecordedOut(Wire):
    """What was recorded."""

    entries: list[EntryOut]


class IncompleteOut(Wire):
    """Others have to sign as well: whose signatures are missing, by duty or party."""

    draft: str
    missing: list[str]


class DraftOut(Wire):
    """A submission that waits for signatures."""

    draft: str
    kind: str
    sender: str
    missing: list[str]
    made_at: str
    expires_at: str
    statements: list[JsonObject]
    openings: list[JsonObject]
    documents: list[Any]


class SignatureIn(Wire):
    """One signature of a statement's bytes."""

    keyid: Annotated[str, Field(max_length=43)]
    sig: Annotated[str, Field(max_length=88)]


class SignaturesIn(Wire):
    """Signatures for a draft, each over one of its statements."""

    signatures: Annotated[list[SignatureIn], Field(min_length=1, max_length=16)]
