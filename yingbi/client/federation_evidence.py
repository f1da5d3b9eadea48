"""What it takes to compute a federation again, fetched for an auditor: masked contributions, and the terms.

Laid out as in an evidence bundle (docs/spec/bundle.md). Nothing of it is verified here: `yingbi audit` holds it against
the log.
"""

from collections.abc import Iterator
from typing import Final

from yingbi.client.exchange import Question, malformed_answer, route
from yingbi.client.hub import Hub
from yingbi.client.training_status import FederationStatus
from yingbi.client.training_steps import federation
from yingbi.client.wire import Steps
from yingbi.errors import NotFoundError
from yingbi.verify.bundle_paths import is_known

__all__ = ["Fetched", "fetch_evidence"]

_MAX_BYTES: Final = 1 << 26

Fetched = tuple[str, bytes | None]
"""A path below the folder of federations, and its bytes; nothing where the hub does not have it or does not give it."""


def fetch_evidence(hub: Hub, name: str) -> Steps[Iterator[Steps[Fetched]]]:
    """Return the steps that fetch, one each, the terms of a federation and the contributions to its completed rounds.

    Raises:
        NotFoundError: there is none, or it is none of one's own.
        VerificationError: the hub names what no bundle can hold.
    """
    status = yield from federation(hub, name)
    wanted = tuple(_wanted(status))
    # SECURITY: rounds and nodes are the hub's words, and become names of files.
    if any(not is_known(f"data/federations/{path}", ()) for path, _ in wanted):
        raise malformed_answer("rounds and their participants")
    return (_fetch(hub, path, parts) for path, parts in wanted)


def _wanted(status: FederationStatus) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the path of each file, and where the hub has it."""
    yield f"{status.federation}/terms.json", ("documents", status.terms)
    for one in status.rounds:
        for node in one.participants:
            path = f"{status.federation}/{one.round}-{one.attempt}/{node.removeprefix('node:')}.bin"
            yield path, ("federations", status.federation, "rounds", str(one.round), str(one.attempt), node)


def _fetch(hub: Hub, path: str, parts: tuple[str, ...]) -> Steps[Fetched]:
    question = Question(path=route(*parts), accept="application/octet-stream, application/json", max_bytes=_MAX_BYTES)
    try:
        reply = yield from hub.exchange.ask(question)
    except NotFoundError:
        return path, None
    return path, reply.body
