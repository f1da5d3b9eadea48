"""A node's composition root: from its folder to a gate over a real engine, cage and history."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from policies.compiled import CompiledAgreement
from sandbox.disclosure.held import HeldQueue
from sandbox.disclosure.history.history import History
from sandbox.disclosure.history.store import HistoryStore
from sandbox.disclosure.history_gate import HistoryGate
from sandbox.engine_duckdb.engine import DuckdbEngine
from sandbox.engine_duckdb.snapshots import FolderSnapshots
from sandbox.isolation.cage import Cage
from sandbox.isolation.pool import CagePool
from sandbox.node.gate import Gate
from sandbox.node.home import NodeHome
from sandbox.node.joint import JointEngine, JointSlot
from sandbox.node.judging import Judge
from sandbox.node.questions import QuestionBook
from sandbox.node.running import Running
from sandbox.query.recipes import RecipeCheck, refuse_recipes

__all__ = ["open_gate"]


@contextmanager
def open_gate(
    home: NodeHome,
    agreements: Sequence[CompiledAgreement],
    *,
    licensed: frozenset[str] = frozenset(),
    frozen: frozenset[str] = frozenset(),
    cage: Cage | None = None,
    history: HistoryGate | None = None,
    joint: JointSlot | None = None,
    check_recipe: RecipeCheck = refuse_recipes,
    workers_ahead: int = 1,
) -> Iterator[Gate]:
    """Open the gate of a node under the agreements that are active at it; what a dead process left is cleared away.

    `workers_ahead`: workers that are started before they are needed, for a gate that will be asked again.

    `joint` is where whoever takes part in federations for it is put, whose recipes `check_recipe` knows. `cage` and
    `history` replace the node's own: for tests and for the control build of attacks.

    Raises:
        UnavailableError: computations cannot be isolated here.
    """
    book = QuestionBook(home.database, home.clock)
    running = Running(home.folder / "running")
    held = HeldQueue(home.database, home.folder / "held", home.clock)

    def sweep() -> None:
        # What a dead process left: nobody else is computing or holding something back now.
        home.clear_scratch()
        held.sweep()

    with (
        running.share_node(sweep),
        CagePool(cage if cage is not None else home.open_cage(), size=workers_ahead) as pool,
    ):
        book.end_dead(running.is_alive, held.holds)
        snapshots = FolderSnapshots(home.data)
        engine = DuckdbEngine(cage=pool, snapshots=snapshots, catalogue=home.catalogue.load, limits=home.config.limits)
        yield Gate(
            judge=Judge(
                place=home.config.name,
                agreements=agreements,
                clock=home.clock,
                licensed=licensed,
                frozen=frozen,
                check_recipe=check_recipe,
            ),
            catalogue=home.catalogue,
            engine=JointEngine(engine, joint or JointSlot()),
            history=history if history is not None else _history(home, engine),
            book=book,
            held=held,
            running=running,
            limits=home.config.limits,
        )


def _history(home: NodeHome, engine: DuckdbEngine) -> History:
    store = HistoryStore(home.database, home.clock)
    store.prepare()
    return History(store, engine)
