"""What the two sides of the app say to each other, as Flower's records; the same form as a governed run's messages."""

from collections.abc import Mapping
from typing import Any

from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from numpy.typing import NDArray

from federated.horizontal import State, TrainingSpec

__all__ = ["read_contribution", "read_request", "write_contribution", "write_request"]


def write_request(spec: TrainingSpec, state: State) -> RecordDict:
    """Return what every node is asked: the specification, and the state that its contribution starts from."""
    return _records(state.arrays, {"phase": state.phase, "spec": spec.to_json(), "step": state.step})


def read_request(records: RecordDict) -> tuple[TrainingSpec, State]:
    """Return what is asked."""
    values = records.config_records["values"]
    state = State(phase=str(values["phase"]), step=int(str(values["step"])), arrays=_arrays(records))
    return TrainingSpec.from_json(str(values["spec"])), state


def write_contribution(arrays: Mapping[str, NDArray[Any]]) -> RecordDict:
    """Return a node's answer."""
    return _records(arrays, {})


def read_contribution(records: RecordDict) -> dict[str, NDArray[Any]]:
    """Return what a node answered."""
    return _arrays(records)


def _records(arrays: Mapping[str, NDArray[Any]], values: Mapping[str, str | int]) -> RecordDict:
    return RecordDict(
        {
            "arrays": ArrayRecord({name: Array(array) for name, array in arrays.items()}),
            "values": ConfigRecord(dict(values)),
        }
    )


def _arrays(records: RecordDict) -> dict[str, NDArray[Any]]:
    return {name: array.numpy() for name, array in records.array_records["arrays"].items()}
