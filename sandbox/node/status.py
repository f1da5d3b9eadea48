"""How a node stands, read from its folder alone: no hub, no key, and whether or not its agent runs."""

from dataclasses import dataclass

from sandbox.node.agent_home import load_agent, load_trust
from sandbox.node.follower_store import FollowerStore, Violation
from sandbox.node.home import NodeHome
from sandbox.node.journal import JobRow, Journal
from sandbox.node.reports import Report, Reports
from sandbox.node.veto import Veto, Vetoes

__all__ = ["NodeStatus", "read_status"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """What a node followed, did and has to report.

    `cosigned_at`: the POSIX time that a quorum of witnesses vouches for. `reports`: what nobody has resolved.
    """

    node: str
    hub: str
    origin: str
    size: int
    root: str
    cosigned_at: int
    jobs: tuple[JobRow, ...]
    vetoes: tuple[Veto, ...]
    reports: tuple[Report, ...]
    violations: tuple[Violation, ...]

    @property
    def is_halted(self) -> bool:
        """Tell whether a contradiction of the log keeps the node from working until a person resolves it."""
        return any(report.is_halting for report in self.reports)


def read_status(home: NodeHome) -> NodeStatus:
    """Read how a node stands.

    Raises:
        NotFoundError: it has no hub yet.
    """
    config, trust = load_agent(home), load_trust(home)
    store = FollowerStore(home.database, trust.origin)
    head = store.head()
    return NodeStatus(
        node=home.config.name,
        hub=config.hub,
        origin=trust.origin,
        size=head.size,
        root=f"sha256:{head.root.hex()}",
        cosigned_at=head.cosigned_at,
        jobs=Journal(home.database, home.clock).jobs(),
        vetoes=Vetoes(home.database, home.clock).standing(),
        reports=Reports(home.database, home.folder, home.clock).unresolved(),
        violations=store.violations(),
    )
