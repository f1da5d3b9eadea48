"""The catalogue's app as bare Flower runs it: the plain loop over real messages gives the model of the pooled sums."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict

from federated.apps.horizontal.client_app import app as client_app
from federated.apps.horizontal.exchange import read_request, write_request
from federated.apps.horizontal.server_app import train
from federated.flower import caged
from federated.flower.bundle import HORIZONTAL, horizontal_bundle
from federated.flower.processes import environment
from federated.horizontal.parameters import RecipeName
from federated.horizontal.recipe import RECIPES
from federated.horizontal.table import Table
from tests.lib.product_code import ROOT
from tests.unit.federated.horizontal.examples import make_spec, make_table, split
from tests.unit.federated.horizontal.examples import train as train_without_flower
from yingbi.canonical import canonical_bytes


class Nodes:
    """What bare Flower's grid does, with every node in this process."""

    def __init__(self, folder: Path, tables: list[Table]) -> None:
        self.views = {}
        for node, table in enumerate(tables, start=10):
            caged._write_view(table, folder / str(node))
            self.views[node] = str(folder / str(node))

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        assert timeout == 5.0
        return [self._answer(message) for message in messages]

    def _answer(self, message: Message) -> Message:
        node = message.metadata.dst_node_id
        if node not in self.views:
            raise KeyError(node)
        context = Context(
            run_id=1, node_id=node, node_config={"view": self.views[node]}, state=RecordDict(), run_config={}
        )
        return client_app(message, context)


@pytest.fixture(autouse=True)
def run_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flower takes the run and the sender of a new message from the task of the process."""
    from flwr.supercore.task_identity import TaskIdentity

    for name in ("_run_id", "_node_id", "_task_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)


@pytest.mark.parametrize("recipe", [RecipeName.WOE_BINS, RecipeName.LOGISTIC_REGRESSION])
def test_the_plain_loop_trains_the_same_model(recipe: RecipeName, tmp_path: Path) -> None:
    spec, tables = make_spec(recipe), split(make_table(600), 3)
    grid: Any = Nodes(tmp_path, tables)
    state = train(grid, spec, list(grid.views), timeout_s=5.0)
    wanted, _ = train_without_flower(spec, tables)
    rules = RECIPES[str(recipe)]
    assert canonical_bytes(rules.model(spec, state)) == canonical_bytes(rules.model(spec, wanted))


LOAD = """
import sys
from pathlib import Path
from flwr.cli.build import build_fab_from_disk
from flwr.cli.config_utils import get_fab_metadata
from flwr.cli.install import install_from_fab
from flwr.clientapp.utils import get_load_client_app_fn
from flwr.supercore.utils import get_flwr_home
import hashlib
build_fab_from_disk(Path(sys.argv[2]))
content = Path(sys.argv[1]).read_bytes()
install_from_fab(content, skip_prompt=True)
load = get_load_client_app_fn(default_app_ref="", app_path=None, multi_app=True)
app = load(*get_fab_metadata(content), hashlib.sha256(content).hexdigest())
module = sys.modules["federated.apps.horizontal.client_app"]
print(type(app).__name__, Path(module.__file__).is_relative_to(get_flwr_home()))
"""


def test_flowers_own_programs_build_install_and_load_it(tmp_path: Path) -> None:
    """As `flower-supernode` does without our executor; the code that is loaded is the bundle's, not the installed."""
    (tmp_path / "app.fab").write_bytes(horizontal_bundle().content)
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path / "app.fab"), str(HORIZONTAL)],
        env={**environment(tmp_path / "home"), "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split()[-2:] == ["ClientApp", "True"], done.stderr[-2000:]


def test_a_node_that_does_not_answer_ends_the_plain_loop(tmp_path: Path) -> None:
    grid: Any = Nodes(tmp_path, split(make_table(60), 2))
    grid.send_and_receive = lambda messages, timeout: []
    with pytest.raises(RuntimeError, match="did not contribute"):
        train(grid, make_spec(RecipeName.WOE_BINS), list(grid.views), timeout_s=5.0)


def test_a_request_is_read_as_it_was_written() -> None:
    spec = make_spec(RecipeName.LOGISTIC_REGRESSION)
    state = RECIPES[str(spec.recipe)].start(spec)
    found, again = read_request(write_request(spec, state))
    assert found == spec
    assert again.digest() == state.digest()
    assert all(np.array_equal(again.arrays[name], array) for name, array in state.arrays.items())
