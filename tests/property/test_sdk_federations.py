"""Whatever a hub says of a federation is read or refused, and what is read is what was said."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.lib.sdk_federation import ASKED, FederationHub
from yingbi.client.training_file import read_training_file
from yingbi.client.training_status import parse_federation, parse_federation_nodes
from yingbi.errors import InvalidRequestError, VerificationError

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner))


def _told() -> dict[str, Any]:
    hub = FederationHub()
    with hub.connect() as client:
        run = client.train("logistic_regression", **ASKED)
        fed = hub.feds[run.id]
        for _ in range(7):
            hub.step(fed)
        return hub.told(fed)


TOLD = _told()


def _paths(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for name, one in inner for found in _paths(one, (*path, name)))]


PATHS = [path for path in _paths(TOLD) if path]


def _changed(path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    copy: Any = json.loads(json.dumps(TOLD))
    here = copy
    for step in path[:-1]:
        here = here[step]
    here[path[-1]] = value
    found: dict[str, Any] = copy
    return found


@given(path=st.sampled_from(PATHS), value=JSON)
def test_a_change_anywhere_is_read_or_refused(path: tuple[str | int, ...], value: object) -> None:
    try:
        status = parse_federation(_changed(path, value), federation=TOLD["federation"])
    except VerificationError:
        return
    shown = f"{status}{status._repr_html_()}"
    assert all(char.isprintable() or char == "\n" for char in shown)
    assert status.is_settled in (True, False)
    assert status.federation == TOLD["federation"]


@given(value=st.dictionaries(st.text(max_size=12), JSON))
def test_anything_else_is_refused(value: dict[str, Any]) -> None:
    for read in (parse_federation, parse_federation_nodes):
        try:
            read(value)
        except VerificationError:
            continue
        assert value == {"items": []}


@given(data=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_a_file_that_is_no_training_is_refused(data: bytes) -> None:
    try:
        read_training_file(data)
    except InvalidRequestError:
        return
    raise AssertionError(data)
