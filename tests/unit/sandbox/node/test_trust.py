"""The pinned trust of a node: its form, and what a node asks for beyond it."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from sandbox.node.trust import parse_trust
from tests.lib.agents import Scene
from yingbi.errors import InvalidRequestError
from yingbi.keys import SigningKey

Change = Callable[[dict[str, Any]], object]


def value(scene: Scene) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(scene.hub.trust)
    return found


def test_the_auditors_file_is_the_nodes_file(scene: Scene) -> None:
    trust = parse_trust(scene.hub.trust)
    assert trust.origin == scene.hub.signer.name
    assert trust.log_keys == (scene.hub.signer.verifier,)
    assert trust.roots == (scene.hub.key("root").public,)
    more = {**value(scene), "statement_keys": [], "anchors": []}
    assert parse_trust(json.dumps(more).encode()) == trust


def _quorum_none(found: dict[str, Any]) -> None:
    found["policy"] = found["policy"].replace("quorum quorum", "quorum none")


def _second_log(found: dict[str, Any]) -> None:
    from ledger.note import TextSigner

    other = TextSigner("log.example/other", SigningKey.from_seed(b"\x77" * 32)).verifier.encode()
    found["policy"] = f"log {other}\n{found['policy']}"


CHANGES: dict[str, Change] = {
    "no quorum": _quorum_none,
    "two logs": _second_log,
    "no log": lambda found: found.update(policy="\n".join(found["policy"].split("\n")[1:])),
    "no roots": lambda found: found.update(statement_roots=[]),
    "a root twice": lambda found: found.update(statement_roots=found["statement_roots"] * 2),
    "a root that is no key": lambda found: found.update(statement_roots=[{"kty": "OKP"}]),
    "roots that are no list": lambda found: found.update(statement_roots="all"),
    "another version": lambda found: found.update(v=2),
    "a version that is no number": lambda found: found.update(v=True),
    "an unknown member": lambda found: found.update(more=1),
    "no policy": lambda found: found.pop("policy"),
    "a policy that is no text": lambda found: found.update(policy=1),
    "a policy that is none": lambda found: found.update(policy="hello"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_node_does_not_trust(scene: Scene, name: str) -> None:
    found = value(scene)
    CHANGES[name](found)
    with pytest.raises(InvalidRequestError):
        parse_trust(json.dumps(found).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b'{"v":1,"v":1}', b"[" * 100_000, b" " * (2 << 20)])
def test_what_is_no_trust_file(data: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        parse_trust(data)
