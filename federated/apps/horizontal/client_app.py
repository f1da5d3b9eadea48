"""The node's side: one contribution of a recipe, from the view of the table that the node gives."""

from pathlib import Path

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from federated.apps.horizontal.exchange import read_request, write_contribution
from federated.apps.horizontal.view import read_view
from federated.horizontal.recipe import RECIPES

__all__ = ["app", "contribute"]

app = ClientApp()


@app.train()
def contribute(message: Message, context: Context) -> Message:
    """Answer with the contribution of this node's records to the state that was sent; nothing is kept."""
    spec, state = read_request(message.content)
    table = read_view(Path(str(context.node_config["view"])))
    arrays = RECIPES[spec.recipe].contribute(spec, state, table)
    return Message(write_contribution(arrays), reply_to=message)
