"""The inside of the cage in which an app runs: loads the bundle's client app, answers one message, and that is all.

It lies beside the bundle's files, which the node has checked against the digest that the run is of; the names of the
app come from the bundle's own configuration. What the app raises leaves as a code (`sandbox.isolation.worker`).
"""

import importlib
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

from federated.content import Content
from federated.flower import compat
from federated.flower.messages import from_records, to_records
from sandbox.isolation.frames import Frame, FrameKind
from sandbox.isolation.worker import Control
from yingbi.errors import ErrorCode, UnavailableError

__all__ = ["flatten", "prepare", "run", "unflatten"]

_BUNDLE: Final = Path(__file__).parents[2]
_NODE: Final = 2


def prepare() -> None:
    """Load the app while the worker waits for its job."""
    _load_app()


def run(job: Frame, control: Control, scratch: str) -> Frame:
    """Answer a job: a content, and in `view` where the view of the table is."""
    del control, scratch
    match job.value:
        case {"shapes": dict(shapes), "values": dict(values), "view": str(view)}:
            content = Content(arrays=unflatten(job, shapes), values=cast("Any", values))
        case _:
            raise UnavailableError(ErrorCode.ENGINE_FAILED, "expected a content and a view")
    message = compat.make_message(metadata=_metadata(), content=to_records(content))
    context = compat.Context(
        run_id=1, node_id=_NODE, node_config={"view": view}, state=compat.RecordDict(), run_config={}
    )
    reply = _load_app()(message, context)
    if reply.has_error():
        raise UnavailableError(ErrorCode.ENGINE_FAILED, "the app failed")
    answered = from_records(reply.content)
    shapes, arrays = flatten(answered.arrays)
    return Frame(kind=FrameKind.RESULT, value={"shapes": shapes}, arrays=arrays)


def flatten(arrays: Any) -> tuple[Any, dict[str, Any]]:
    """Return shapes and one-dimensional arrays: what frames carry."""
    return {name: list(array.shape) for name, array in arrays.items()}, {
        name: array.reshape(-1) for name, array in arrays.items()
    }


def unflatten(frame: Frame, shapes: dict[str, Any]) -> dict[str, Any]:
    """Return a frame's arrays in their shapes.

    Raises:
        UnavailableError: shapes that are not those of the arrays.
    """
    try:
        if set(shapes) != set(frame.arrays) or not all(shapes.values()):
            raise ValueError("names")
        # A size of -1 would be whatever is left.
        if any(type(size) is not int or size < 0 for sizes in shapes.values() for size in sizes):
            raise ValueError("sizes")
        return {name: array.reshape(shapes[name]) for name, array in frame.arrays.items()}
    except (TypeError, ValueError) as error:
        raise UnavailableError(ErrorCode.ENGINE_FAILED, "expected the shapes of the arrays") from error


@cache
def _load_app() -> Any:
    document = tomllib.loads((_BUNDLE / "pyproject.toml").read_text("utf-8"))
    module, _, name = document["tool"]["flwr"]["app"]["components"]["clientapp"].partition(":")
    return getattr(importlib.import_module(module), name)


def _metadata() -> compat.Metadata:
    return compat.Metadata(
        run_id=1,
        message_id="1",
        src_node_id=compat.SUPERLINK_NODE_ID,
        dst_node_id=_NODE,
        reply_to_message_id="",
        group_id="",
        created_at=0.0,
        ttl=1.0,
        message_type="train",
    )
