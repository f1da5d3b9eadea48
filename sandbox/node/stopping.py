"""Telling the log what the unit stopped: `access.frozen`, signed by its CDO, sent by the agent when it can."""

from sandbox.node.home import NodeHome
from sandbox.node.journal import Journal
from sandbox.node.statements import frozen_statement
from sandbox.node.veto import EVERYTHING
from yingbi.events.people import FreezeReason
from yingbi.keys import SigningKey

__all__ = ["report_stop"]


def report_stop(home: NodeHome, target: str, *, person: str, key: SigningKey) -> None:
    """Make the statement and keep it until the hub has recorded it; stopping everything freezes the node itself.

    Raises:
        InvalidRequestError: the target is nothing that the log knows by name.
    """
    statement = frozen_statement(
        home.config.name if target == EVERYTHING else target,
        person=person,
        unit=home.config.owner,
        key=key,
        clock=home.clock,
        reason=FreezeReason.WITHDRAWAL,
    )
    Journal(home.database, home.clock).post(statement)
