"""Whatever is sent to any route, signed or not, the hub answers with what it describes: never a 5xx, never a trace."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration import test_hub_jobs as jobs
from tests.lib.attack_world import firms_dataset
from tests.lib.hubs import HubWorld, new_hub, open_world
from yingbi.clock import SystemClock

# The one has nothing to be wrong; the other goes on until its job ends.
NOT_ASKED = ("/metrics", "/v1/jobs/{job}/events")
CALLERS = ("person:analyst", "partner:bank-a", "person:cdo", "person:approver", "node:futian-lab", "person:audit-admin")
SCALARS = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubWorld]:
    folder: Path = tmp_path_factory.mktemp("fuzz")
    clock = SystemClock()
    home = new_hub(folder / "hub", clock)
    with open_world(home, clock) as opened:
        opened.settle(firms_dataset(), jobs.TERMS)
        yield opened


def routes(world: HubWorld) -> list[tuple[str, str]]:
    described = world.client.request("GET", "/v1/openapi.json", headers={}).json()
    return sorted(
        (method.upper(), path)
        for path, methods in described["paths"].items()
        for method in methods
        if path not in NOT_ASKED
    )


def filled(world: HubWorld, path: str, draw: Any) -> str:
    """Return a path with its places filled: with what is there, or with anything."""
    known = {
        "job": [jobs.submit(world).json()["job"]] if "{job}" in path else [],
        "agreement": [jobs.TERMS.id],
        "dataset": [jobs.FIRMS],
        "party": ["partner:bank-a"],
        "digest": [world.hub.standing.agreements.get(jobs.TERMS.id).terms],  # type: ignore[union-attr]
        "index": ["0", "-1", "99999999999999999999"],
        "name": ["futian-lab"],
        "webhook": [],
        "federation": ["fed-00000000000000000000000000"],
        "number": ["1", "0", "-1", "99999999999999999999"],
        "attempt": ["1", "0", "-1", "99999999999999999999"],
        "node": ["node:futian-lab"],
    }
    anything = st.text(min_size=1, max_size=20)

    def fill(found: re.Match[str]) -> str:
        values = st.sampled_from(known[found[1]]) | anything if known[found[1]] else anything
        return quote(draw(values), safe=":")

    return re.sub(r"\{(\w+)\}", fill, path)


def bodies(statement: Mapping[str, Any]) -> st.SearchStrategy[bytes]:
    """Return bodies: any bytes, any JSON, and nearly right ones."""
    members = st.sampled_from(
        [
            "statements",
            "openings",
            "documents",
            "signatures",
            "url",
            "wait_s",
            "percent",
            "agreement",
            "purpose",
            "plan",
        ]
    )
    near = st.dictionaries(members, VALUES | st.just([statement]), max_size=5)
    return st.binary(max_size=40) | (VALUES | near).map(lambda value: json.dumps(value).encode())


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_request_is_answered_by_a_failure(world: HubWorld, data: st.DataObject) -> None:
    statement = json.loads(world.registration("partner:fuzz").envelope)
    method, path = data.draw(st.sampled_from(routes(world)))
    path = filled(world, path, data.draw)
    query = data.draw(st.sampled_from(["", "?limit=0", "?limit=5&cursor=x", "?cursor=%00", "?wait=1&after_state=x"]))
    body = b"" if method in ("GET", "DELETE") else data.draw(bodies(statement))
    headers = {"content-type": data.draw(st.sampled_from(["application/json", "text/plain"]))} if body else {}
    if data.draw(st.booleans()):
        headers["idempotency-key"] = data.draw(st.text("abc", max_size=3))
    if data.draw(st.integers(0, 9)) == 0:
        answer = world.client.request(method, path + query, content=body, headers=headers)
    else:
        answer = world.ask(method, path + query, by=data.draw(st.sampled_from(CALLERS)), body=body, headers=headers)
    assert answer.status_code < 500, (method, path, answer.text)
    if answer.status_code >= 400:
        problem = answer.json()
        assert {"type", "title", "status", "code", "detail", "ref"} <= set(problem)
        assert problem["status"] == answer.status_code
        assert "Traceback" not in answer.text


def test_every_route_but_the_public_ones_wants_a_signature(world: HubWorld) -> None:
    public = {"/healthz", "/v1/entries/{index}/receipt"}
    for method, path in [*routes(world), ("GET", "/v1/jobs/{job}/events")]:
        if path not in public:
            answer = world.client.request(method, re.sub(r"\{\w+\}", "x", path), headers={})
            assert (answer.status_code, answer.json()["code"]) == (401, "request-unsigned"), (method, path)


def test_a_body_that_is_too_large_is_not_read_to_its_end(world: HubWorld) -> None:
    large = b" " * (world.hub.settings.max_body_bytes + 1)
    answer = world.ask("POST", "/v1/keys", by="person:approver", body=large)
    assert answer.status_code in (413, 422)
