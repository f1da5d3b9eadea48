"""What the two sides of the app say to each other, as Flower's records; the same form as a governed run's messages."""

from collections.abc import Mapping
from typing import Any, Final

from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from numpy.typing import NDArray

from federated.horizontal.recipe import Phase, State, TrainingSpec
from yingbi.canonical import canonical_bytes, parse_canonical

__all__ = ["read_contribution", "read_request", "read_spec", "write_contribution", "write_request"]

_MAX_SPEC: Final = 1 << 20


def write_request(spec: TrainingSpec, state: State) -> RecordDict:
    """Return what every node is asked: the specification, and the state that its contribution starts from."""
    text = canonical_bytes(spec.to_json()).decode()
    return _records(state.arrays, {"phase": str(state.phase), "spec": text, "step": state.step})


def read_request(records: RecordDict) -> tuple[TrainingSpec, State]:
    """Return what is asked."""
    values = records.config_records["values"]
    state = State(phase=Phase(str(values["phase"])), step=int(str(values["step"])), arrays=_arrays(records))
    return read_spec(str(values["spec"])), state


def read_spec(text: str) -> TrainingSpec:
    """Return the specification of a canonical JSON text."""
    return TrainingSpec.from_json(parse_canonical(text.encode(), max_bytes=_MAX_SPEC))


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
