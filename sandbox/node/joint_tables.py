"""Tables of a node's part in federations: what it joined with, how far it is, what it computed and what it sent."""

from typing import Final

from sqlalchemy import Column, Integer, LargeBinary, String, Table

from sandbox.database import METADATA

__all__ = ["JOINT_BINS", "JOINT_MEMBER", "JOINT_SEALED", "JOINT_SENT", "JOINT_STATE", "JOINT_VECTOR"]

JOINT_BINS: Final = Table(
    "node_joint_bins",
    METADATA,
    Column("dataset", String(128), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("feature", String(64), primary_key=True),
    Column("question", String(71), nullable=False),
)
"""How a feature of a version was counted in bins without noise: once in one way, and then in no other."""

JOINT_MEMBER: Final = Table(
    "node_joint_member",
    METADATA,
    Column("job", String(80), primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("federation", String(80), nullable=False),
    Column("public_key", LargeBinary(32), nullable=False),
    Column("private_key", LargeBinary(32)),
)
"""One row an attempt of a member job: the key of the secure sum; the private one is erased when the attempt ends."""

JOINT_STATE: Final = Table(
    "node_joint_state",
    METADATA,
    Column("job", String(80), primary_key=True),
    Column("round", Integer, nullable=False),
    Column("state", LargeBinary, nullable=False),
)
"""The newest state that the node has verified, by itself, and the round that left it (0 before the first)."""

JOINT_VECTOR: Final = Table(
    "node_joint_vector",
    METADATA,
    Column("job", String(80), primary_key=True),
    Column("round", Integer, primary_key=True, autoincrement=False),
    Column("input", String(71), nullable=False),
    Column("vector", LargeBinary, nullable=False),
    Column("rho", String(21)),
)
"""What the node computed for a round, with its noise and without a mask: computed once, and never sent as it is."""

JOINT_SEALED: Final = Table(
    "node_joint_sealed",
    METADATA,
    Column("job", String(80), primary_key=True),
    Column("commitment", String(71), nullable=False),
    Column("nonce", LargeBinary(12), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
"""States and vectors of member jobs that are interrupted, encrypted; each key is a file of its own."""

JOINT_SENT: Final = Table(
    "node_joint_sent",
    METADATA,
    Column("job", String(80), primary_key=True),
    Column("round", Integer, primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("envelope", LargeBinary, nullable=False),
)
"""The statement of a contribution, made once and kept before it was sent."""
