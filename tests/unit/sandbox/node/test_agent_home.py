"""An agent's files in the node's folder, the one agent that runs, and how the node says it stands."""

import pytest

from sandbox.node.agent_home import AGENT_NAME, TRUST_NAME, AgentConfig, load_agent, load_trust, save_agent
from sandbox.node.software import software_digest
from sandbox.node.status import read_status
from sandbox.node.veto import Vetoes, VetoKind
from tests.lib.agents import Scene
from tests.lib.fake_hub import ADDRESS, NODE, ORIGIN
from yingbi.errors import ConflictError, ErrorCode, InvalidRequestError, NotFoundError, RefusedError
from yingbi.keys import SigningKey, save_signing_key


def test_what_is_written_is_what_is_read(scene: Scene) -> None:
    config = AgentConfig(hub="https://x.example", bureau="bureau:b", key="k.pem", ca="ca.pem", max_age_s=5)
    with scene.home() as home:
        save_agent(home, config, scene.hub.trust)
        assert load_agent(home) == config
        assert load_trust(home).origin == ORIGIN


def test_a_wrong_trust_file_changes_nothing(scene: Scene) -> None:
    with scene.home() as home:
        before = load_agent(home)
        with pytest.raises(InvalidRequestError):
            save_agent(home, AgentConfig(hub="https://x.example", bureau="bureau:b"), b"{}")
        with pytest.raises(InvalidRequestError):
            save_agent(home, AgentConfig(hub="https://x.example", bureau="unit:b"), scene.hub.trust)
        assert load_agent(home) == before


@pytest.mark.parametrize(
    "text",
    [
        "hub =",
        'hub = "https://h.example"',
        'hub = "https://h.example"\nbureau = "bureau:b"\nmore = 1',
        'hub = 1\nbureau = "bureau:b"',
        'hub = "https://h.example"\nbureau = "bureau:b"\nmax_age_s = 0',
        'hub = "https://h.example"\nbureau = "bureau:b"\nmax_age_s = "1"',
        'hub = "https://h.example"\nbureau = "b"',
    ],
)
def test_a_configuration_that_is_wrong_is_refused(scene: Scene, text: str) -> None:
    with scene.home() as home:
        (home.folder / AGENT_NAME).write_text(text, "utf-8")
        with pytest.raises(InvalidRequestError):
            load_agent(home)


@pytest.mark.parametrize("name", [AGENT_NAME, TRUST_NAME])
def test_a_node_that_was_told_of_no_hub_says_so(scene: Scene, name: str) -> None:
    with scene.home() as home:
        (home.folder / name).unlink()
        with pytest.raises(NotFoundError) as caught:
            read_status(home)
        assert "node trust" in str(caught.value.hint)


def test_one_agent_runs_at_a_time(scene: Scene) -> None:
    with scene.agent(), pytest.raises(ConflictError), scene.agent():
        pass
    with scene.agent():
        pass


def test_the_nodes_key_is_read_from_its_folder(scene: Scene) -> None:
    save_signing_key(scene.hub.key(NODE), scene.folder / "node" / "node-key.pem")
    with scene.agent(key=None) as opened:
        opened.agent.work()
    (scene.folder / "node" / "node-key.pem").unlink()
    save_signing_key(SigningKey.generate(), scene.folder / "node" / "node-key.pem")
    with scene.agent(key=None) as opened, pytest.raises(RefusedError):
        opened.agent.work()


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://hub.example", ErrorCode.INSECURE_TRANSPORT),
        ("hub.example", ErrorCode.CONFIG_INVALID),
        ("https://hub.example/?a", ErrorCode.CONFIG_INVALID),
        ("https://who@hub.example", ErrorCode.CONFIG_INVALID),
        ("ftp://hub.example", ErrorCode.CONFIG_INVALID),
    ],
)
def test_a_hub_is_asked_over_tls_only(scene: Scene, url: str, code: ErrorCode) -> None:
    with scene.home() as home:
        save_agent(home, AgentConfig(hub=url, bureau="bureau:futian"), scene.hub.trust)
    with pytest.raises((InvalidRequestError, RefusedError)) as caught, scene.agent():
        pass
    assert caught.value.code is code


def test_the_status_needs_neither_hub_nor_key(scene: Scene) -> None:
    job = scene.ask()
    scene.work()
    scene.hub.is_down = True
    with scene.home() as home:
        Vetoes(home.database, home.clock).set(VetoKind.HOLD)
        found = read_status(home)
    assert (found.node, found.hub, found.origin) == (NODE, ADDRESS, ORIGIN)
    assert found.size == scene.hub.standing.size
    assert [row.job for row in found.jobs] == [job]
    assert [one.kind for one in found.vetoes] == [VetoKind.HOLD]
    assert found.cosigned_at == int(scene.clock.now().timestamp())
    assert not found.is_halted


def test_the_software_has_one_digest() -> None:
    assert software_digest() == software_digest()
    assert software_digest().startswith("sha256:")
