"""A node's member, put together from an open node's parts."""

import secrets
from pathlib import Path
from typing import Final

from federated.rounds.binnings import Binnings
from federated.rounds.candidate import make_candidate
from federated.rounds.contribution import NodeCompute, RunsApp
from federated.rounds.joint import NodeJoint, course_of_job
from federated.rounds.member import Member
from federated.rounds.member_store import MemberStore
from federated.rounds.sealed_store import SealedStore
from sandbox.node.agent_home import NodeParts
from sandbox.privacy.accountant import Accountant
from yingbi.key_files import read_secret, write_secret

__all__ = ["SEALED_NAME", "SPLIT_NAME", "make_member"]

SEALED_NAME: Final = "sealed"
"""The folder of the keys of sealed checkpoints."""

SPLIT_NAME: Final = "hold-out"
"""The file of the secret by which units are held out; it lasts as long as the node, so that the same always are."""

_SECRET_BYTES: Final = 32


def make_member(parts: NodeParts, *, app: RunsApp, digest: str) -> tuple[NodeJoint, Member]:
    """Make a node's member.

    Args:
        parts: of the open node.
        app: runs the catalogue's app.
        digest: the digest of that app.
    """
    accountant = Accountant(parts.home.database, clock=parts.home.clock)
    compute = NodeCompute(
        engine=parts.engine, app=app, accountant=accountant, secret=_secret(parts.home.folder / SPLIT_NAME)
    )
    member = Member(
        node=parts.home.config.name,
        app=digest,
        follower=parts.follower,
        verifier=parts.verifier,
        recorder=parts.recorder,
        journal=parts.journal,
        maker=parts.maker,
        store=MemberStore(parts.home.database),
        course=course_of_job,
        compute=compute,
        clock=parts.home.clock,
    )
    sealed = SealedStore(parts.home.database, parts.home.folder / SEALED_NAME)
    joint = NodeJoint(
        member=member,
        compute=compute,
        sealed=sealed,
        binnings=Binnings(parts.home.database),
        follower=parts.follower,
        candidate=make_candidate,
    )
    return joint, member


def _secret(path: Path) -> bytes:
    if not path.exists():
        write_secret(path, secrets.token_bytes(_SECRET_BYTES))
    return read_secret(path)
