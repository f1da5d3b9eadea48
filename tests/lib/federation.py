"""Three units, a bank and a hub in this process: the real hub, real nodes with their agents, the real wire encoding.

What is left out is the network, the cage and Flower's own processes; tests of these are elsewhere.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from api.federating import JoinKit
from api.main import create_app
from api.wiring import Hub, open_hub
from federated.content import Content
from federated.flower.bundle import horizontal_bundle
from federated.flower.grid import Grid
from federated.flower.handler import Handler, Task
from federated.flower.local_grid import Fault, LocalGrid
from federated.horizontal.recipe import RECIPES
from federated.horizontal.spec import TrainingSpec
from federated.horizontal.state import State
from federated.horizontal.table import Table
from federated.rounds.assembly import make_member
from federated.rounds.coordinator import RoundLimits
from federated.rounds.course import check_recipe
from ledger.cosigning import CosigningThread
from policies.model import (
    Agreement,
    Approvals,
    ColumnGrant,
    DatasetGrant,
    Disclosure,
    JobApproval,
    Legal,
    Limits,
    OutputApproval,
    Privacy,
    Validity,
)
from policies.request import Use
from sandbox.catalog.codec import dataset_to_json
from sandbox.catalog.model import DataItem, Dataset, ItemType
from sandbox.node.agent_home import AgentConfig, OpenAgent, open_agent, save_agent
from sandbox.node.home import NodeConfig, NodeHome
from tests.lib.hubs import BUREAU, AsgiClient, HubWorld, new_hub
from tests.lib.in_process import InProcessCage
from tests.lib.items import code_item, number_item, unit_item
from tests.lib.local_witnesses import LocalWitnesses
from tests.lib.nodes import NOW, publish_table
from tests.lib.waiting import wait_until
from yingbi.clock import Clock, FixedClock, format_time
from yingbi.commitment import commit
from yingbi.errors import ErrorCode, UnavailableError
from yingbi.events.agreements import LegalBasis
from yingbi.events.fields import Duty, PrivacyUnit
from yingbi.events.outputs import DisclosureMode
from yingbi.ids import dataset_id, new_id
from yingbi.plan.codec import plan_to_json
from yingbi.plan.model import (
    CodedFeature,
    Member,
    NumericFeature,
    Plan,
    Recipe,
    Source,
    TrainingQuestion,
)
from yingbi.sealing import ResultKey

__all__ = ["PARTNER", "PURPOSE", "UNITS", "Died", "FederatedWorld", "open_federation", "terms", "training_rows"]

UNITS = ("bao", "futian", "luohu")
PARTNER, PURPOSE = "partner:bank-a", "credit.sme.research"
INDUSTRIES = ("A", "B", "C")
EDGES = ("250", "500", "750")


def loans(unit: str) -> Dataset:
    """Return the declaration of a unit's loans: the same columns everywhere."""
    return Dataset(
        name=f"{unit}/loans",
        title=f"{unit} loans",
        owner=f"unit:{unit}",
        privacy_unit=PrivacyUnit.ENTERPRISE,
        max_rows_per_unit=1,
        items=(
            unit_item(),
            number_item("tax", (0, 1000), EDGES, nullable=True),
            number_item("staff", (0, 100), ["10", "50"]),
            code_item("industry", INDUSTRIES),
            DataItem(name="bad", title="bad", type=ItemType.INTEGER, nullable=False, bounds=(Decimal(0), Decimal(1))),
        ),
    )


def training_rows(unit: str, rows: int = 1600) -> dict[str, Any]:
    """Return a unit's rows: a default that depends on tax, staff and industry."""
    random = np.random.default_rng(sum(unit.encode()))
    tax = random.integers(0, 1001, rows).astype(float)
    staff = random.integers(0, 101, rows)
    industry = random.choice(INDUSTRIES, rows)
    odds = 0.8 - tax / 400 + staff / 80 + (industry == "B") * 0.9
    bad = (random.random(rows) < 1 / (1 + np.exp(-odds))).astype(int)
    tax[random.random(rows) < 0.05] = np.nan
    names = [f"91440300{unit[:2].upper()}{number:08}" for number in range(rows)]
    return {"uscc": names, "tax": tax, "staff": staff, "industry": industry.tolist(), "bad": bad}


def terms(unit: str, *, private: bool = False, **changes: Any) -> Agreement:
    """Return a unit's agreement with the bank on training."""
    uses = dict.fromkeys(("tax", "staff", "industry", "bad"), (Use.TRAIN,))
    agreement = Agreement(
        id=f"agr-{unit}",
        assigner=f"unit:{unit}",
        assignee=PARTNER,
        purpose="research.credit",
        legal_basis=Legal(kind=LegalBasis.STATUTE, reference="test"),
        valid=Validity(first=date(2026, 1, 1), last=date(2027, 12, 31)),
        zones=(f"node:{unit}",),
        datasets=(
            DatasetGrant(
                name=f"{unit}/loans",
                privacy_unit="uscc",
                columns=tuple(ColumnGrant(name=name, uses=some) for name, some in sorted(uses.items())),
            ),
        ),
        operations=("train.horizontal",),
        disclosure=Disclosure(min_entities=10, mode=DisclosureMode.PRIVATE if private else DisclosureMode.EXACT),
        privacy=Privacy(epsilon=Decimal(8), delta=Decimal("0.000001")) if private else None,
        limits=Limits(jobs=100, jobs_per_day=100, rounds=4000),
        approvals=Approvals(
            agreement=(Duty.UNIT_CDO, Duty.BUREAU_APPROVER),
            job=JobApproval.AUTOMATIC,
            output=OutputApproval.AUTOMATIC,
        ),
    )
    return replace(agreement, **changes)


class Died(BaseException):
    """What a test raises where a node's process is killed."""


class _Bridge(httpx.BaseTransport):
    """Carries a node's requests to the hub's application in this process, while there is one."""

    def __init__(self, world: "FederatedWorld", unit: str) -> None:
        self._world = world
        self._unit = unit

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        path, body = request.url.raw_path.decode(), request.read()
        self._world.note(self._unit, path.encode(), *(part for pair in request.headers.raw for part in pair), body)
        self._world.asking.add(request)
        try:
            if self._world.hub_stack is None:
                raise httpx.ConnectError("no hub", request=request)
            client = self._world.hub.client
            answer = client.request(request.method, path, content=body, headers=dict(request.headers))
        finally:
            self._world.asking.discard(request)
        headers = [(name, value) for name, value in answer.headers.items() if name != "content-length"]
        return httpx.Response(answer.status_code, headers=headers, content=iter([answer.content]))


@dataclass
class _App:
    """The app without its cage; `lies` changes what it gives."""

    table: Table | None = None
    runs: int = 0
    lies: Callable[[dict[str, Any]], Mapping[str, object]] = lambda arrays: arrays

    def contribute(self, spec: TrainingSpec, state: State, table: Table) -> Mapping[str, object]:
        self.table, self.runs = table, self.runs + 1
        return self.lies(RECIPES[spec.recipe].contribute(spec, state, table))


@dataclass
class _Handles(Handler):
    world: "FederatedWorld"
    unit: str

    def handle(self, task: Task) -> Content:
        member = self.world.members.get(self.unit)
        if member is None:
            raise UnavailableError(ErrorCode.NODE_UNAVAILABLE, "nobody is here")
        try:
            answer: Content = member.handle(task.content, app=task.app)
        except Died:
            self.world.die(self.unit)
            raise UnavailableError(ErrorCode.NODE_UNAVAILABLE, "nobody is here any more") from None
        self.world.note(self.unit, *(array.tobytes() for array in answer.arrays.values()), str(answer.values).encode())
        return self.world.on_the_way(self.unit, answer)


@dataclass
class _Way:
    """The way to members in this process, where it is not shut; `fault` says what happens to requests."""

    world: "FederatedWorld"
    app: str
    is_shut: bool = False
    fault: Callable[[str, int], Fault | None] = lambda _node, _exchange: None
    grids: list[LocalGrid] = field(default_factory=list)

    @contextmanager
    def open(self, federation: str, nodes: Sequence[str]) -> Iterator[Grid]:
        if self.is_shut:
            raise UnavailableError(ErrorCode.NODE_UNAVAILABLE, "the way is shut")
        handlers = {node: _Handles(self.world, node.partition(":")[2]) for node in nodes}
        grid = LocalGrid(handlers, app=self.app, fault=lambda node, number: self.fault(node, number))
        self.grids.append(grid)
        yield grid

    def register(self, node: str, public_key: bytes) -> JoinKit:
        number = self.world.units.index(node.partition(":")[2]) + 1
        return JoinKit(address="127.0.0.1:1", node_id=str(number), app=self.app, app_keys=(), authority=None)

    def connected(self) -> Mapping[str, bool]:
        return {f"node:{unit}": unit in self.world.members for unit in self.world.units}


@dataclass
class FederatedWorld:
    """The hub, the units' nodes, and what a test does with them."""

    folder: Path
    clock: Clock
    hub: HubWorld
    way: Any
    result_key: ResultKey = field(default_factory=ResultKey.generate)
    homes: dict[str, NodeHome] = field(default_factory=dict)
    agents: dict[str, OpenAgent] = field(default_factory=dict)
    members: dict[str, Any] = field(default_factory=dict)
    apps: dict[str, _App] = field(default_factory=dict)
    threads: dict[str, tuple[threading.Thread, threading.Event]] = field(default_factory=dict)
    stacks: dict[str, ExitStack] = field(default_factory=dict)
    units: tuple[str, ...] = UNITS
    rows: Callable[[str, int], dict[str, Any]] = lambda unit, rows: training_rows(unit, rows)
    on_the_way: Callable[[str, Content], Content] = lambda _unit, content: content
    sent: dict[str, list[bytes]] | None = None
    make_hub: Callable[[], AbstractContextManager[Hub]] | None = None
    hub_stack: ExitStack | None = None
    asking: set[httpx.Request] = field(default_factory=set)

    @property
    def standing(self) -> Any:
        """Return what stands at the hub."""
        return self.hub.hub.standing

    def note(self, unit: str, *parts: bytes) -> None:
        """Keep what leaves a unit's node, where a test wants to look at it."""
        if self.sent is not None:
            self.sent.setdefault(unit, []).extend(parts)

    def found(self, private: bool = False, rows: int = 1600) -> None:
        """Bring in everybody, publish, and agree."""
        self.hub.staff()
        self.hub.admit(PARTNER, "bank")
        for unit in self.units:
            self.hub.admit(f"unit:{unit}", "source-unit")
            self.hub.employ(f"person:cdo-{unit}", Duty.UNIT_CDO, employer=f"unit:{unit}")
            node = f"node:{unit}"
            registration = self.hub.registration(node, employer=f"unit:{unit}")
            self.hub.recorded("/v1/keys", registration, by=f"unit:{unit}")
            self._publish(unit, rows)
        for unit in self.units:
            self.agree(terms(unit, private=private), unit)

    def _publish(self, unit: str, rows: int) -> None:
        dataset, home = loans(unit), self.homes[unit]
        table = pa.table(self.rows(unit, rows))
        table = table.set_column(1, "tax", pa.array(self.rows(unit, rows)["tax"], pa.int64(), from_pandas=True))
        path = self.folder / f"{unit}.parquet"
        pq.write_table(table, path)
        publish_table(home, dataset, path)
        name, document = dataset_id(dataset.name), dataset_to_json(dataset)
        body = {
            "owner": dataset.owner,
            "catalogue_entry": home.catalogue.entry(dataset.name).digest,
            "privacy_unit": dataset.privacy_unit.value,
            "openness": dataset.openness.value,
        }
        registered = self.hub.state("dataset.registered", body, issuer=dataset.owner, name=name)
        self.hub.recorded("/v1/datasets", registered, by=dataset.owner, documents=[document])
        self.start(unit)
        self.agents[unit].agent.resume()
        grades = {
            "version": 1,
            "grade": "general-3",
            "openness": dataset.openness.value,
            "column_grades": "sha256:" + "3" * 64,
            "on_negative_list": False,
        }
        person = f"person:cdo-{unit}"
        graded = self.hub.state("dataset.graded", grades, issuer=person, name=name, on_behalf_of=dataset.owner)
        self.hub.recorded("/v1/datasets", graded, by=person)

    def agree(self, agreement: Agreement, unit: str) -> None:
        """Bring an agreement of a unit into force."""
        from policies.model import to_json

        proposal = self.hub.propose(agreement)
        self.hub.recorded("/v1/agreements", proposal, by="person:registrar", documents=[to_json(agreement)])
        for person, duty in ((f"person:cdo-{unit}", Duty.UNIT_CDO), ("person:approver", Duty.BUREAU_APPROVER)):
            self.hub.recorded("/v1/agreements", self.hub.sign_terms(agreement, person, duty), by=person)

    # --- the hub

    def open_hub(self) -> None:
        """Open the hub over its folder, as its process does when it starts."""
        assert self.make_hub is not None
        with ExitStack() as stack:
            hub = stack.enter_context(self.make_hub())
            client = AsgiClient(create_app(hub))
            stack.callback(client.close)
            self.hub = HubWorld(hub=hub, clock=self.clock, client=client)
            self.hub_stack = stack.pop_all()

    def close_hub(self) -> None:
        """End the hub; nodes do not reach it until it is opened again."""
        stack, self.hub_stack = self.hub_stack, None
        wait_until(lambda: not self.asking)
        if stack is not None:
            stack.close()

    # --- nodes

    def start(self, unit: str, *, runs: bool = False) -> OpenAgent:
        """Start a unit's agent, as a process would; with `runs` it works by itself."""
        if unit not in self.agents:
            self.stop(unit)  # of what has died
            stack = ExitStack()
            home = self.homes.get(unit) or self.open_home(unit)
            http = stack.enter_context(httpx.Client(transport=_Bridge(self, unit), base_url=self.hub.address))
            agent = stack.enter_context(
                open_agent(
                    home,
                    key=self.hub.key(f"node:{unit}"),
                    http=http,
                    cage=InProcessCage(),
                    workers_ahead=0,
                    make_joint=lambda parts: self._member(unit, parts),
                    check_recipe=check_recipe,
                )
            )
            self.agents[unit], self.stacks[unit] = agent, stack
        if runs and unit not in self.threads:
            stop = threading.Event()
            run = self.agents[unit].agent.run
            thread = threading.Thread(target=run, args=(stop,), kwargs={"wait_s": 1.0}, daemon=True)
            thread.start()
            self.threads[unit] = (thread, stop)
        return self.agents[unit]

    @contextmanager
    def _member(self, unit: str, parts: Any) -> Iterator[Any]:
        joint, self.members[unit] = make_member(parts, app=self.apps[unit], digest=self.way.app)
        yield joint
        self.members.pop(unit, None)

    def stop(self, unit: str) -> None:
        """End a unit's agent."""
        found = self.threads.pop(unit, None)
        if found is not None:
            found[1].set()
            found[0].join(30)
        self.agents.pop(unit, None)
        stack = self.stacks.pop(unit, None)
        if stack is not None:
            stack.close()

    def die(self, unit: str) -> None:
        """End a unit's agent as a process that is killed: it does nothing more, and only its lock is free."""
        self.members.pop(unit, None)
        found = self.threads.get(unit)
        if found is not None:
            found[1].set()
        self.agents.pop(unit, None)

    def run_all(self) -> None:
        """Let all units' agents work by themselves."""
        for unit in self.units:
            self.start(unit, runs=True)

    def open_home(self, unit: str) -> NodeHome:
        """Open a unit's folder."""
        self.homes[unit] = NodeHome.open(self.folder / unit, clock=self.clock)
        return self.homes[unit]

    def tables(self) -> list[Table]:
        """Return the rows that the nodes' apps were given."""
        tables = [self.apps[unit].table for unit in self.units]
        return [table for table in tables if table is not None]

    def state(self, question: TrainingQuestion) -> State:
        """Return the newest state that the hub has."""
        kept = self.hub.hub.federation_store.state(question.federation)
        assert kept is not None
        return kept.state

    # --- the bank

    def question(self, recipe: Recipe = Recipe.LOGISTIC_REGRESSION, **changes: Any) -> TrainingQuestion:
        """Return what the bank asks, of the first member."""
        members = tuple(
            Member(agreement=f"agr-{unit}", dataset=f"{unit}/loans", job=new_id("job"), node=f"node:{unit}")
            for unit in self.units
        )
        parts: dict[str, Any] = {
            "source": Source(dataset=members[0].dataset, version=1),
            "federation": new_id("fed"),
            "members": members,
            "quorum": 3,
            "rounds": 40,
            "min_entities": 10,
            "recipe": recipe,
            "target": "bad",
            "positive": "1",
            "features": (
                NumericFeature(name="tax", bounds=("0", "1000"), edges=EDGES),
                NumericFeature(name="staff", bounds=("0", "100"), edges=("10", "50")),
                CodedFeature(name="industry", codes=INDUSTRIES),
            ),
        }
        return TrainingQuestion(**(parts | changes))

    def submit(self, question: TrainingQuestion, *, by: str = PARTNER) -> list[httpx.Response]:
        """Submit all member jobs; return the hub's answers."""
        return [self.submit_member(question, member, by=by) for member in question.members]

    def submit_member(
        self, question: TrainingQuestion, member: Member, *, by: str = PARTNER, **changes: Any
    ) -> httpx.Response:
        """Submit one member job."""
        own = replace(question, source=Source(dataset=member.dataset, version=1))
        opening = commit(plan_to_json(Plan(question=own)))
        body = {
            "agreement": member.agreement,
            "certificate": None,
            "purpose": "research.credit",
            "operation": f"train.horizontal.{question.recipe.value}",
            "datasets": [{"dataset": dataset_id(member.dataset), "version": 1}],
            "plan": opening.commitment,
            "code": None,
            "epsilon": None if question.privacy is None else question.privacy.epsilon,
            "result_key": self.result_key.public,
            "expires_at": format_time(self.clock.now() + timedelta(days=2)),
        }
        statement = self.hub.state("job.submitted", body | changes, issuer=by, name=member.job)
        openings = [
            {
                "commitment": opening.commitment,
                "salt": _text(opening.salt),
                "value": json.loads(opening.value),
            }
        ]
        return self.hub.post("/v1/jobs", statement, by=by, openings=openings, headers={"idempotency-key": member.job})

    def wait_for(self, question: TrainingQuestion, state: str, *, seconds: float = 60.0) -> Any:
        """Wait until a federation is in a state, and return it."""

        def is_there() -> bool:
            found = self.standing.federations.get(question.federation)
            return found is not None and found.state.value == state

        wait_until(is_there, seconds=seconds)
        return self.standing.federations.get(question.federation)

    def wait_for_jobs(self, question: TrainingQuestion, *states: str, seconds: float = 60.0) -> None:
        """Wait until all member jobs are in one of these states."""
        wait_until(
            lambda: all(self.standing.jobs.get(one.job).state.value in states for one in question.members),
            seconds=seconds,
        )


def _text(data: bytes) -> str:
    from yingbi.key_files import encode_base64url

    return encode_base64url(data)


@contextmanager
def open_federation(
    folder: Path,
    *,
    private: bool = False,
    rows: int = 1600,
    clock: Clock | None = None,
    limits: RoundLimits | None = None,
    fault: Callable[[str, int], Fault | None] | None = None,
    units: tuple[str, ...] = UNITS,
    table: Callable[[str, int], dict[str, Any]] | None = None,
    shut: bool = False,
) -> Iterator[FederatedWorld]:
    """Open the whole world below a folder.

    So many `rows` are usual that chance never holds a model: the membership check looks at who was held out, and with
    few rows that differs by more than its bound now and then.

    With `shut` nobody is reached by the hub's own coordinators: a test says what a hub says, and asks members itself.
    """
    clock = clock or FixedClock(NOW)
    home = new_hub(folder / "hub", clock)
    log_home = home.load_log()
    witnesses = LocalWitnesses(log_home.verifiers(), clock)
    bundle = horizontal_bundle()
    with ExitStack() as stack:
        world = FederatedWorld(folder=folder, clock=clock, hub=None, way=None, units=units)  # type: ignore[arg-type]
        world.way = _Way(world, bundle.digest, is_shut=shut)
        world.apps = {unit: _App() for unit in units}
        if fault is not None:
            world.way.fault = fault
        if table is not None:
            world.rows = table
        world.make_hub = lambda: open_hub(
            home,
            clock,
            cosignatures=CosigningThread(witnesses.round()),
            federation=world.way,
            limits=limits or RoundLimits(deadline=timedelta(seconds=20)),
        )
        stack.callback(world.close_hub)
        world.open_hub()
        trust = {
            "v": 1,
            "policy": witnesses.text.decode(),
            "statement_roots": [world.hub.key("root").public.to_jwk()],
        }
        for unit in units:
            config = NodeConfig(name=f"node:{unit}", owner=f"unit:{unit}", isolation="none-for-development")
            node = NodeHome.create(folder / unit, config, clock=clock)
            world.homes[unit] = node
            save_agent(node, AgentConfig(hub=world.hub.address, bureau=BUREAU), json.dumps(trust).encode())
        try:
            world.found(private=private, rows=rows)
            yield world
        finally:
            for unit in units:
                world.stop(unit)
