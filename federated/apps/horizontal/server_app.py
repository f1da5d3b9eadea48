"""The plain loop of bare Flower: ask all nodes, add up, advance. UNGOVERNED: no agreement, mask, noise or log.

In a governed run it is never executed: the bureau's coordinator does these steps, and every node does them again.
"""

import json
import logging
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from flwr.app import Context, Message
from flwr.serverapp import Grid, ServerApp
from numpy.typing import NDArray

from federated.apps.horizontal.exchange import read_contribution, read_spec, write_request
from federated.horizontal.recipe import RECIPES, Phase, State, TrainingSpec

__all__ = ["app", "main", "train"]

_LOG: Final = logging.getLogger(__name__)
_POLL_S: Final = 0.5

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train by the specification in the run's configuration and write the model to its `output`."""
    config = context.run_config
    spec = read_spec(str(config["spec"]))
    nodes = _wait_for_nodes(grid, int(str(config["min-nodes"])))
    state = train(grid, spec, nodes, timeout_s=float(str(config["timeout-s"])))
    model = RECIPES[spec.recipe].model(spec, state)
    if config["output"]:
        Path(str(config["output"])).write_text(json.dumps(model, sort_keys=True))


def train(grid: Grid, spec: TrainingSpec, nodes: list[int], *, timeout_s: float) -> State:
    """Exchange with all nodes until the recipe is done.

    Raises:
        RuntimeError: a node did not answer, or answered with an error.
    """
    recipe = RECIPES[spec.recipe]
    state = recipe.start(spec)
    while state.phase is not Phase.DONE:
        content = write_request(spec, state)
        requests = [Message(content, dst_node_id=node, message_type="train") for node in nodes]
        replies = sorted(
            grid.send_and_receive(requests, timeout=timeout_s), key=lambda reply: reply.metadata.src_node_id
        )
        if len(replies) != len(nodes) or any(reply.has_error() for reply in replies):
            raise RuntimeError("a node did not contribute")
        sums = _add(read_contribution(reply.content) for reply in replies)
        state = recipe.advance(spec, state, sums, len(nodes))
        _LOG.info("step %d done", state.step)
    return state


def _add(contributions: Iterable[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    total: dict[str, NDArray[Any]] = {}
    for arrays in contributions:
        for name, array in arrays.items():
            total[name] = total[name] + array if name in total else array
    return total


def _wait_for_nodes(grid: Grid, count: int) -> list[int]:
    while len(nodes := sorted(grid.get_node_ids())) < count:
        time.sleep(_POLL_S)
    return nodes
