"""Participants and people's duties."""

from pydantic import ConfigDict

from api.schemas.wire import Wire

__all__ = ["DutiesOut", "ParticipantOut"]


class ParticipantOut(Wire):
    """An organisation that takes part, or asked to."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "party": "partner:bank-a",
                    "kind": "bank",
                    "state": "admitted",
                    "is_licensed": False,
                    "is_frozen": False,
                    "valid_until": None,
                }
            ]
        }
    )

    party: str
    kind: str
    state: str
    is_licensed: bool
    is_frozen: bool
    valid_until: str | None


class DutiesOut(Wire):
    """A person and the duties in that account."""

    holder: str
    employer: str | None
    duties: list[str]
