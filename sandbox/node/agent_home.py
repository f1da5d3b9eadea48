"""What a node's folder holds for its agent, and the agent's composition root.

```
agent.toml      the hub's address, the bureau, the node's key, certificate authorities, how old a head may be
trust.json      whom the node believes: pinned by a person, from a file that came another way than through the hub
node-key.pem    the node's private key (mode 0600), unless `key` names another file
evidence/       signed notes that contradict each other
agent.lock      held by the one agent that runs
```
"""

import fcntl
import json
import os
import tomllib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import Final

import httpx

from policies.standing import Standing
from sandbox.isolation.cage import Cage
from sandbox.node.agent import Agent
from sandbox.node.declaring import Declarer
from sandbox.node.follower_store import FollowerStore
from sandbox.node.following import FindTerms, Follower
from sandbox.node.home import NodeHome
from sandbox.node.hub_client import HubClient, open_hub_http
from sandbox.node.joint import AnswersAlone, JointSlot, JointWork
from sandbox.node.journal import Journal
from sandbox.node.recording import Recorder
from sandbox.node.reports import Reports
from sandbox.node.software import software_digest
from sandbox.node.statements import StatementMaker
from sandbox.node.stopping import Outbox
from sandbox.node.trust import NodeTrust, parse_trust
from sandbox.node.verifying import JobVerifier
from sandbox.node.versions import Versions
from sandbox.node.veto import Vetoes
from sandbox.node.wiring import open_gate
from sandbox.query.recipes import RecipeCheck, refuse_recipes
from yingbi.errors import ConflictError, ErrorCode, InvalidRequestError, NotFoundError
from yingbi.ids import parse_party
from yingbi.keys import SigningKey, load_signing_key

__all__ = [
    "AGENT_NAME",
    "TRUST_NAME",
    "AgentConfig",
    "NodeParts",
    "OpenAgent",
    "load_agent",
    "load_trust",
    "open_agent",
    "save_agent",
]

AGENT_NAME: Final = "agent.toml"
TRUST_NAME: Final = "trust.json"
_LOCK: Final = "agent.lock"
_DEFAULT_AGE_S: Final = 900
# A question runs up to four times in a cage: itself, and what history asks about it. Each waits for nothing then.
_WORKERS_AHEAD: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """Where the hub is and as whom the node speaks to it.

    `bureau`: the party whose key the hub holds. `key`, `ca`: files, relative to the node's folder. `max_age_s`: how old
    the witnesses' cosignatures of a head may be for the node to work on it.
    """

    hub: str
    bureau: str
    key: str = "node-key.pem"
    ca: str = ""
    proxy: str = ""
    max_age_s: int = _DEFAULT_AGE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeParts:
    """The parts of an open node that whoever takes part in federations for it needs."""

    home: NodeHome
    hub: HubClient
    follower: Follower
    verifier: JobVerifier
    recorder: Recorder
    journal: Journal
    maker: StatementMaker
    engine: AnswersAlone
    cage: Cage


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAgent:
    """An agent and the parts of it that people ask about."""

    agent: Agent
    follower: Follower
    journal: Journal
    reports: Reports
    vetoes: Vetoes


def save_agent(home: NodeHome, config: AgentConfig, trust: bytes) -> NodeTrust:
    """Write configuration and trust file into a node's folder, in place of what is there; return whom it believes.

    Raises:
        InvalidRequestError: one of them is wrong; nothing is written.
    """
    parsed = parse_trust(trust)
    _check(config)
    lines = [f"{item.name} = {json.dumps(getattr(config, item.name))}" for item in fields(AgentConfig)]
    _replace(home.folder / TRUST_NAME, trust)
    _replace(home.folder / AGENT_NAME, ("\n".join(lines) + "\n").encode())
    return parsed


def load_agent(home: NodeHome) -> AgentConfig:
    """Read the agent's configuration.

    Raises:
        NotFoundError: the node has no hub yet.
        InvalidRequestError: it is wrong.
    """
    try:
        members = tomllib.loads((home.folder / AGENT_NAME).read_text("utf-8"))
    except FileNotFoundError:
        raise NotFoundError(
            ErrorCode.NODE_NOT_FOUND, "the node has no hub yet", hint="`yingbi node trust FILE --hub URL` names it"
        ) from None
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _invalid("cannot be read as TOML") from error
    known = {item.name: item.type for item in fields(AgentConfig)}
    if not set(members) <= set(known):
        raise _invalid(f"unknown member `{min(set(members) - set(known))}`")
    if any(not isinstance(value, int if known[name] is int else str) for name, value in members.items()):
        raise _invalid("expected texts, and `max_age_s` as a number")
    try:
        config = AgentConfig(**members)
    except TypeError as error:
        raise _invalid("expected `hub` and `bureau`") from error
    _check(config)
    return config


def load_trust(home: NodeHome) -> NodeTrust:
    """Read whom the node believes.

    Raises:
        NotFoundError: nobody was pinned yet.
        InvalidRequestError: the file is wrong.
    """
    try:
        return parse_trust((home.folder / TRUST_NAME).read_bytes())
    except FileNotFoundError:
        raise NotFoundError(
            ErrorCode.NODE_NOT_FOUND, "the node believes nobody yet", hint="`yingbi node trust FILE --hub URL`"
        ) from None


@contextmanager
def open_agent(
    home: NodeHome,
    *,
    key: SigningKey | None = None,
    passphrase: bytes | None = None,
    http: httpx.Client | None = None,
    cage: Cage | None = None,
    workers_ahead: int = _WORKERS_AHEAD,
    make_joint: Callable[["NodeParts"], AbstractContextManager[JointWork]] | None = None,
    check_recipe: RecipeCheck = refuse_recipes,
) -> Iterator[OpenAgent]:
    """Open the agent of a node: one at a time.

    Args:
        home: the node.
        key: its key, else that of the configuration.
        passphrase: of that key's file.
        http: the HTTP client to use, else one of the configuration.
        cage: the cage to compute in, else the node's own.
        workers_ahead: workers that are started before they are needed.
        make_joint: makes whoever takes part in federations for the node, of its parts.
        check_recipe: knows the recipes of these.

    Raises:
        ConflictError: another agent runs.
        TamperDetectedError: the node's copy of the log is damaged.
        SandboxError: configuration, key or cage do not do.
    """
    config, trust = load_agent(home), load_trust(home)
    used = key or load_signing_key(home.folder / config.key, passphrase=passphrase)
    with ExitStack() as stack:
        stack.enter_context(_alone(home.folder / _LOCK))
        ca_file = home.folder / config.ca if config.ca else None
        client = http or stack.enter_context(open_hub_http(ca_file=ca_file, proxy=config.proxy or None))
        slot = JointSlot()
        used_cage = cage if cage is not None else home.open_cage()
        gate = stack.enter_context(
            open_gate(home, (), cage=used_cage, joint=slot, check_recipe=check_recipe, workers_ahead=workers_ahead)
        )
        hub = HubClient(config.hub, used, http=client, clock=home.clock)
        reports = Reports(home.database, home.folder, home.clock)
        vetoes, journal = Vetoes(home.database, home.clock), Journal(home.database, home.clock)

        def make_standing(find_terms: FindTerms) -> Standing:
            return Standing(bureau=config.bureau, roots=trust.roots, find_terms=find_terms)

        follower = Follower(
            FollowerStore(home.database, trust.origin),
            hub,
            trust,
            make_standing=make_standing,
            reports=reports,
            clock=home.clock,
            max_age=timedelta(seconds=config.max_age_s),
        )
        versions = Versions(home.database)
        verifier = JobVerifier(
            node=home.config.name,
            unit=home.config.owner,
            follower=follower,
            gate=gate,
            catalogue=home.catalogue,
            versions=versions,
            vetoes=vetoes,
            clock=home.clock,
        )
        maker = StatementMaker(home.config.name, used, home.clock)
        recorder = Recorder(follower, hub, home.config.name, home.clock)
        if make_joint is not None and slot.engine is not None:
            parts = NodeParts(
                home=home,
                hub=hub,
                follower=follower,
                verifier=verifier,
                recorder=recorder,
                journal=journal,
                maker=maker,
                engine=slot.engine,
                cage=used_cage,
            )
            slot.work = stack.enter_context(make_joint(parts))
        agent = Agent(
            node=home.config.name,
            hub=hub,
            follower=follower,
            verifier=verifier,
            recorder=recorder,
            gate=gate,
            journal=journal,
            outbox=Outbox(journal, hub, follower=follower, reports=reports, clock=home.clock),
            reports=reports,
            maker=maker,
            software=software_digest(),
            joint=slot.work,
            declarer=Declarer(
                unit=home.config.owner,
                catalogue=home.catalogue,
                versions=versions,
                follower=follower,
                hub=hub,
                maker=maker,
            ),
        )
        yield OpenAgent(agent=agent, follower=follower, journal=journal, reports=reports, vetoes=vetoes)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock of the one agent; it ends with the process, however that ends."""
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(ErrorCode.LOG_BUSY, "another agent runs for this node", hint="let it end") from None
        yield
    finally:
        os.close(handle)


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _check(config: AgentConfig) -> None:
    try:
        kind = parse_party(config.bureau)[0]
    except InvalidRequestError:
        kind = ""
    if kind != "bureau":
        raise _invalid("expected `bureau` as a party such as `bureau:futian`")
    if config.max_age_s <= 0:
        raise _invalid("expected `max_age_s` as a positive number")


def _invalid(what: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.CONFIG_INVALID, f"`{AGENT_NAME}`: {what}")
