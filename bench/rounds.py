"""Rounds of federations: in this process, over Flower's processes with its own sleeps and with ours, and governed.

Everything trains the same: a logistic regression. What is bare has the cage and Flower, and no policy, no secure sum
and no log; what is governed is the demonstration's hub and its three nodes, each with all of its processes.
"""

import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, Final

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from bench.figures import Figure
from federated.content import Content
from federated.flower.bundle import horizontal_bundle
from federated.flower.caged import CagedApp
from federated.flower.grid import Arrived, Grid
from federated.flower.handler import Task
from federated.flower.local_grid import LocalGrid
from federated.flower.supernode_process import NodePace
from federated.horizontal.parameters import LogisticParameters, RecipeName
from federated.horizontal.recipe import RECIPES
from federated.horizontal.spec import Feature, Kind, TrainingSpec
from federated.horizontal.state import Phase, State
from federated.horizontal.table import Table
from federated.secure_sum import encode, mask
from sandbox.isolation.bubblewrap import BubblewrapCage
from tests.lib.flower_world import FlowerWorld
from yingbi.canonical import canonical_bytes
from yingbi.cli.demo import federation, setting
from yingbi.cli.demo.setting import BANK
from yingbi.cli.demo.stage import Stage
from yingbi.client import Federation
from yingbi.clock import parse_time

__all__ = ["measure_rounds"]

_PARTIES: Final = ("unit:a", "unit:b", "unit:c")
_FEATURES: Final = 20
_FUND_FEATURES: Final = 4  # as many as the demonstration's funds have
_DEADLINE_S: Final = 60.0
_MIB: Final = 1 << 20
_PROCESSES: Final = {
    "flower.superlink": "Flower's server",
    "supernode_process": "Flower's node",
    "node run": "node",
    "hub run": "hub",
}


def measure_rounds(folder: Path, *, runs: int = 3) -> list[Figure]:
    """Measure all of it; `runs` trainings for each carrier, one after the other by turns."""
    figures = [_measure_local(rows=8000), _measure_masks(parties=10, size=10**6)]
    own: list[float] = []
    stock: list[float] = []
    governed: list[float] = []
    for pace, times in ((NodePace.STOCK, stock), (NodePace.QUICK, own)):
        # One after the other: processes that wait ask for work all the time.
        with _bare(folder / pace.value, pace) as world:
            for _ in range(runs):
                times += _train(world)
    with _funds(folder / "governed") as cast:
        for _ in range(runs):
            governed += _watch(federation.begin(cast.client(BANK), BANK))
        memory = _memory(folder / "governed")
    bare, slow = statistics.median(own), statistics.median(stock)
    value = statistics.median(governed)
    return [
        *figures,
        _figure("round on three real nodes, governed", governed, f"{value / bare:.2f} of the same without", "1.5 s"),
        _figure("the same without policy, secure sum and log", own, f"{bare / slow:.2f} of Flower's own sleeps"),
        _figure("the same with Flower's own sleeps", stock),
        *(Figure(name=f"memory: {name}", value=mib, unit="MiB", runs=[mib]) for name, mib in memory.items()),
    ]


def _figure(name: str, runs: Sequence[float], baseline: str = "", target: str = "") -> Figure:
    spread = [min(runs), max(runs)]
    return Figure(name=name, value=statistics.median(runs), unit="s", runs=spread, target=target, baseline=baseline)


# --- in this process --------------------------------------------------------------------------------------------------


def _measure_local(rows: int) -> Figure:
    """Measure rounds with the real encoding, beside the same sums without any carrier."""
    spec = _spec(_FEATURES)
    tables = {party: _table(rows, seed, _FEATURES) for seed, party in enumerate(_PARTIES)}
    members = {party: _Plain(spec, table) for party, table in tables.items()}
    grid = LocalGrid(members, app=horizontal_bundle().digest, is_threaded=False)
    times, direct = [], []
    for _ in range(5):
        times += list(_rounds(grid, spec))
        direct += list(_rounds(_Direct(members), spec))
    ratio = statistics.median(times) / statistics.median(direct)
    return Figure(
        name=f"round in one process, {_FEATURES} features, 3 x {rows:,} rows",
        value=statistics.median(times) * 1000,
        unit="ms",
        runs=[min(times) * 1000, max(times) * 1000],
        target="15 ms",
        baseline=f"{ratio:.2f} of the sums alone",
    )


def _measure_masks(*, parties: int, size: int) -> Figure:
    """Measure what one of several nodes does for a sum of vectors: encode, and mask against all others."""
    keys = {f"node:{number}": X25519PrivateKey.generate() for number in range(parties)}
    own, *others = keys
    peers = {name: keys[name].public_key().public_bytes_raw() for name in others}
    layout = _Layout(parts=(_Part("w", (size,), 1e6),))
    arrays = {"w": np.random.default_rng(1).normal(size=size)}
    times = []
    for _ in range(5):
        start = process_time()
        vector = encode(arrays, layout, parties=parties)
        mask(vector, own_key=keys[own], own=own, peers=peers, context=b"bench")
        times.append(process_time() - start)
    value = statistics.median(times)
    return Figure(
        name=f"secure sum of {size:,} numbers of {parties} nodes, processor of a node",
        value=value,
        unit="s",
        runs=times,
        target="1 s",
    )


@dataclass(frozen=True)
class _Part:
    name: str
    shape: tuple[int, ...]
    bound: float
    is_count: bool = False


@dataclass(frozen=True)
class _Layout:
    parts: tuple[_Part, ...]


class _Plain:
    """A member that computes here what the app computes in its cage."""

    def __init__(self, spec: TrainingSpec, table: Table) -> None:
        self._spec = spec
        self._table = table

    def handle(self, task: Task) -> Content:
        return self.answer(task.content)

    def answer(self, content: Content) -> Content:
        """Return the contribution to a state."""
        values = content.values
        state = State(phase=Phase(str(values["phase"])), step=int(str(values["step"])), arrays=content.arrays)
        return Content(arrays=RECIPES[self._spec.recipe].contribute(self._spec, state, self._table), values={})


class _Direct:
    """A grid that encodes nothing."""

    def __init__(self, members: Mapping[str, _Plain]) -> None:
        self._members = members

    def exchange(self, requests: Mapping[str, Content], *, deadline_s: float) -> Iterator[Arrived]:
        del deadline_s
        for party, content in requests.items():
            yield Arrived(party=party, content=self._members[party].answer(content))


# --- over Flower's processes ------------------------------------------------------------------------------------------


class _Caged:
    """A member that has the app compute in its cage, and nothing else."""

    def __init__(self, app: CagedApp, table: Table) -> None:
        self._app = app
        self._table = table
        app.warm(table)

    def handle(self, task: Task) -> Content:
        return self._app.call(task.content, self._table)


@contextmanager
def _bare(folder: Path, pace: NodePace) -> Iterator[FlowerWorld]:
    folder.mkdir()
    bundle = horizontal_bundle()
    with ExitStack() as stack:
        world = FlowerWorld(folder, _PARTIES, pace=pace, app=bundle)
        for seed, party in enumerate(_PARTIES):
            app = stack.enter_context(CagedApp(bundle, cage=BubblewrapCage(), folder=folder))
            world.members[party].do = _Caged(app, _table(1500, seed, _FUND_FEATURES)).handle
        yield stack.enter_context(world)


def _train(world: FlowerWorld) -> list[float]:
    with world.run() as grid:
        # The first round of a run is its start: processes are told of it.
        return list(_rounds(grid, _spec(_FUND_FEATURES)))[1:]


def _rounds(grid: Any, spec: TrainingSpec) -> Iterator[float]:
    """Train over a grid; yield the seconds of each round."""
    recipe = RECIPES[spec.recipe]
    state, text = recipe.start(spec), canonical_bytes(spec.to_json()).decode()
    while state.phase is not Phase.DONE:
        start = perf_counter()
        values: dict[str, str | int | bytes] = {"phase": str(state.phase), "spec": text, "step": state.step}
        content = Content(arrays=state.arrays, values=values)
        found = _arrived(grid, content)
        sums = {name: np.sum([one.arrays[name] for one in found], axis=0) for name in found[0].arrays}
        state = recipe.advance(spec, state, sums, len(found))
        yield perf_counter() - start


def _arrived(grid: Grid, content: Content) -> list[Content]:
    outcomes = list(grid.exchange(dict.fromkeys(_PARTIES, content), deadline_s=_DEADLINE_S))
    found = [outcome.content for outcome in outcomes if isinstance(outcome, Arrived)]
    if len(found) != len(_PARTIES):
        raise RuntimeError(f"a member was lost: {outcomes}")
    return found


# --- governed ---------------------------------------------------------------------------------------------------------


@contextmanager
def _funds(folder: Path) -> Iterator[Any]:
    folder.mkdir()
    with Stage(folder) as stage:
        setting.found_hub(stage)
        cast, url = setting.start_hub(stage)
        try:
            setting.admit_partners(cast)
            federation.open_funds(stage, cast, url)
            yield cast
        finally:
            cast.close()


def _watch(run: Federation) -> list[float]:
    """Return the seconds between completed rounds, by the hub's clock; the first is the start of the run.

    Who waits for events is told of them; asking again and again would be a load of its own.
    """
    run.wait(progress=False)
    if run.status.state != "completed":
        raise RuntimeError(f"the federation is `{run.status.state}`")
    ends = [parse_time(one.ended_at) for one in run.status.rounds if one.ended_at is not None]
    return [(later - earlier).total_seconds() for earlier, later in pairwise(ends)]


def _memory(folder: Path) -> dict[str, float]:
    """Return the resident memory of the largest process of each kind that runs in a folder, in MiB."""
    found: dict[str, float] = {}
    for process in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            if not process.name.isdigit() or not (process / "cwd").readlink().is_relative_to(folder):
                continue
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            mib = int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / _MIB
            for mark, name in _PROCESSES.items():
                if mark in words:
                    found[name] = max(found.get(name, 0.0), mib)
    return found


# --- what is trained --------------------------------------------------------------------------------------------------


def _spec(features: int) -> TrainingSpec:
    edges = (-1.0, 0.0, 1.0)
    columns = tuple(
        Feature(name=f"f{number:02}", kind=Kind.NUMERIC, bounds=(-8.0, 8.0), edges=edges) for number in range(features)
    )
    return TrainingSpec(
        recipe=RecipeName.LOGISTIC_REGRESSION,
        parameters=LogisticParameters(),
        target="bad",
        positive="1",
        features=columns,
        min_entities=10,
        max_rows=1 << 16,
    )


def _table(rows: int, seed: int, features: int) -> Table:
    random = np.random.default_rng(seed)
    columns = {f"f{number:02}": random.normal(size=rows) for number in range(features)}
    margin = sum(column * (0.1 + 0.02 * place) for place, column in enumerate(columns.values())) - 1.0
    target = (random.random(rows) < 1.0 / (1.0 + np.exp(-margin))).astype(np.int64)
    return Table(columns=columns, target=target, is_held_out=random.random(rows) < 0.2)
