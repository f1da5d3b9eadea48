"""Federations: where each is, round by round, and which nodes take part in any."""

from typing import Annotated

from pydantic import ConfigDict, Field

from api.schemas.wire import JsonObject, Wire

__all__ = [
    "FederationJoinIn",
    "FederationKitOut",
    "FederationMemberOut",
    "FederationNodeOut",
    "FederationOut",
    "OpenRoundOut",
    "RoundOut",
]


class FederationMemberOut(Wire):
    """A member: its job, where that is, and whether it has given to the round that is open."""

    node: str
    unit: str | None
    job: str
    agreement: str
    dataset: str
    state: str | None
    has_given: bool


class RoundOut(Wire):
    """A completed round: when, who took part, the digests in the log, and what its state says of itself."""

    round: int
    attempt: int
    participants: list[str]
    aggregate: str
    state: str
    began_at: str | None
    ended_at: str | None
    figures: dict[str, str]


class OpenRoundOut(Wire):
    """The attempt that is open: who has given, and until when the others may."""

    round: int
    attempt: int
    participants: list[str]
    given: list[str]
    expires_at: str


class FederationOut(Wire):
    """Where a federation is. `waiting`: its members are not all ready; the other states are the log's."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "federation": "fed-0123456789abcdefghjkmnpqrs",
                    "state": "waiting",
                    "reason": None,
                    "partner": "partner:bank-a",
                    "recipe": "logistic_regression",
                    "terms": "sha256:" + "0" * 64,
                    "mode": "exact",
                    "quorum": 3,
                    "max_rounds": 30,
                    "members": [],
                    "rounds": [],
                    "open": None,
                    "result": None,
                    "entries": [],
                }
            ]
        }
    )

    federation: str
    state: str
    reason: str | None
    partner: str
    recipe: str
    terms: str
    mode: str
    quorum: int
    max_rounds: int
    members: list[FederationMemberOut]
    rounds: list[RoundOut]
    open: OpenRoundOut | None
    result: str | None
    entries: list[int]


class FederationNodeOut(Wire):
    """A node that takes part in federations: its unit, and whether it is connected now."""

    node: str
    unit: str | None
    is_connected: bool


class FederationJoinIn(Wire):
    """A node's public key for Flower: EC P-384, PEM."""

    public_key: Annotated[str, Field(min_length=1, max_length=2000)]


class FederationKitOut(Wire):
    """What a node needs to take part in federations; `authority` is absent where the hub's own is meant."""

    address: str
    node_id: str
    app: str
    app_keys: list[JsonObject]
    authority: str | None
