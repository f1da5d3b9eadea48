"""`yingbi anchor` on a real chain, and what it says where there is none."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ledger.cosigning import CosigningThread
from ledger.home import LogHome, create_home, load_home
from tests.lib.anvil import CHAIN_ID, Anvil, find_anvil, start_anvil
from tests.lib.command_line import Done, run, serving, spawn
from tests.lib.local_witnesses import LocalWitnesses
from tests.lib.statements import make_statement
from yingbi.clock import SystemClock

ORIGIN = "log.example/anchored"
SECRET = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"  # published test key, worth nothing
_ANVIL = find_anvil()
needs_anvil = [
    pytest.mark.anvil,
    pytest.mark.skipif(_ANVIL is None, reason="anvil is not here: npm package @foundry-rs/anvil, or YINGBI_ANVIL"),
]


@dataclass(frozen=True)
class Place:
    """A log with witnesses in this process, and the key of an account."""

    home: LogHome
    witnesses: LocalWitnesses

    @property
    def key(self) -> Path:
        return self.home.folder / "account.hex"

    def append(self, count: int) -> None:
        """Append to the log as it is without its anchor, which is only compared with at start."""
        log, store = self.home.open_log(SystemClock(), cosignatures=CosigningThread(self.witnesses.round()))
        with log:
            log.append_batch([make_statement() for _ in range(count)])
        store.close()

    def anchor(self, *words: object) -> Done:
        return run("anchor", *words, "--log", self.home.folder)

    def configure(self, **members: object) -> None:
        usual = {"rpc": "http://127.0.0.1:1", "chain_id": CHAIN_ID, "contract": "0x" + "11" * 20, "key": str(self.key)}
        lines = ["[anchor]", *(f"{name} = {json.dumps(value)}" for name, value in {**usual, **members}.items())]
        config = self.home.folder / "log.toml"
        config.write_text("\n".join([config.read_text().partition("[anchor]")[0].rstrip(), *lines, ""]))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    home, _ = create_home(tmp_path / "log", ORIGIN)
    witnesses = LocalWitnesses(home.verifiers(), SystemClock())
    home.policy_path.write_bytes(witnesses.text)
    made = Place(load_home(home.folder), witnesses)
    made.key.write_text(SECRET)
    made.key.chmod(0o600)
    return made


@pytest.fixture(scope="module")
def node() -> Iterator[Anvil]:
    with start_anvil(_ANVIL or "") as made:
        made.call("evm_setAutomine", True)
        yield made


class TestOnAChain:
    """From a deployed contract to an offline proof that the verifier accepts."""

    pytestmark = needs_anvil

    def test_anchor_deploy_run_status_and_prove(self, place: Place, node: Anvil, tmp_path: Path) -> None:
        place.append(3)
        shown = (
            place.anchor("deploy", "--rpc", node.url, "--chain-id", CHAIN_ID, "--key", place.key, "--json").ok().json
        )
        assert set(shown) == {"rpc", "chain_id", "contract", "deployed_at", "key"}
        assert shown["key"] == str(place.key)
        place.configure(**shown, confirmations=2)

        assert place.anchor("status", "--json").ok().json == {"size": 3, "tip": 0, "confirmed": 0}
        early = place.anchor("prove", "--out", tmp_path / "proof")
        assert (early.code, early.err.splitlines()[0][:27]) == (66, "error: checkpoint-not-found")
        assert place.anchor("run", "--once", "--json").ok().json["state"] in ("sent", "included")
        node.mine(5)
        assert place.anchor("run", "--once", "--json").ok().json == {
            "state": "confirmed",
            "size": 3,
            "tip": 3,
            "confirmed": 3,
        }
        assert "confirmed" in place.anchor("run", "--once").ok().out
        assert place.anchor("status", "--json").ok().json == {"size": 3, "tip": 3, "confirmed": 3}
        place.anchor("prove", "--out", tmp_path / "proof").ok()
        self.verify(place, node, tmp_path, str(shown["contract"]))

    def verify(self, place: Place, node: Anvil, tmp_path: Path, contract: str) -> None:
        run("log", "checkpoint", "--log", place.home.folder, "--out", tmp_path / "checkpoint").ok()
        number = json.loads((tmp_path / "proof").read_bytes())
        blocks = [node.block_hash(block).hex() for block in range(int(node.call("eth_blockNumber"), 16) + 1)]
        assert isinstance(number, dict)
        anchors = [{"chain_id": CHAIN_ID, "contract": contract, "block_hash": f"0x{block}"} for block in blocks]
        trust = {"v": 1, "policy": place.witnesses.text.decode(), "anchors": anchors}
        (tmp_path / "trust.json").write_text(json.dumps(trust))
        words = ("verify", tmp_path / "proof", "--checkpoint", tmp_path / "checkpoint")
        assert run(*words, "--trust", tmp_path / "trust.json").ok().out.startswith("VERIFIED")

    def test_anchor_run_goes_on_until_it_is_told_to_end(self, place: Place, node: Anvil) -> None:
        place.append(1)
        words = ("--rpc", node.url, "--chain-id", CHAIN_ID, "--key", place.key, "--json")
        place.configure(**place.anchor("deploy", *words).ok().json, confirmations=0)
        with serving("anchor", "run", "--log", place.home.folder, "--json") as outcome:
            assert json.loads(outcome)["state"] in ("sent", "included", "confirmed")
        assert place.anchor("status", "--json").ok().json["tip"] == 1

    def test_a_log_that_is_behind_its_anchor_does_not_append(self, place: Place, node: Anvil, tmp_path: Path) -> None:
        backup = (place.home.folder / "log.sqlite").read_bytes()
        mark = place.home.high_water.read_bytes()
        place.append(4)
        words = ("--rpc", node.url, "--chain-id", CHAIN_ID, "--key", place.key, "--json")
        place.configure(**place.anchor("deploy", *words).ok().json, confirmations=0)
        place.anchor("run", "--once").ok()
        for path in place.home.folder.glob("log.sqlite*"):
            path.unlink()
        (place.home.folder / "log.sqlite").write_bytes(backup)
        place.home.high_water.write_bytes(mark)
        place.home.policy_path.write_bytes(place.witnesses.text.replace(b"quorum quorum", b"quorum none"))
        (tmp_path / "s.json").write_bytes(make_statement().envelope)
        lines = [line.split(" https")[0] for line in place.home.policy_path.read_text().splitlines()]
        place.home.policy_path.write_text("\n".join([*lines, ""]))
        refused = run("log", "append", tmp_path / "s.json", "--log", place.home.folder, "--json")
        assert (refused.code, refused.error["code"]) == (1, "log-rolled-back")


# --- without a chain --------------------------------------------------------------------------------------------------

COMMANDS = (["run", "--once"], ["status"], ["prove"])


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_anchor_commands_need_a_configuration(place: Place, words: list[str]) -> None:
    done = place.anchor(*words)
    assert done.code == 78
    assert done.err.splitlines() == [
        "error: config-invalid `log.toml` has no `[anchor]`",
        "hint: `yingbi anchor deploy` shows what belongs there",
    ]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_chain_that_does_not_answer_is_said_without_its_address(place: Place, words: list[str]) -> None:
    place.configure(rpc="http://127.0.0.1:1/canary-4711")
    done = place.anchor(*words)
    assert done.code == 69
    assert done.err.startswith("error: anchor-unavailable ")
    assert "canary" not in done.err


def test_a_log_goes_on_while_its_chain_does_not_answer(place: Place, tmp_path: Path) -> None:
    place.configure()
    place.home.policy_path.write_text(f"log {place.home.verifiers()[0].encode()}\nquorum none\n")
    (tmp_path / "s.json").write_bytes(make_statement().envelope)
    done = spawn("log", "append", tmp_path / "s.json", "--log", place.home.folder, "--json")
    assert (done.code, len(done.json)) == (0, 1)
    assert "was not compared with its anchor" in done.err


WRONG = {
    "plain http to another machine": ({"rpc": "http://192.0.2.1/"}, 77, "insecure-transport"),
    "not an address": ({"contract": "0x11"}, 78, "config-invalid"),
    "no key": ({"key": "/nothing"}, 65, "key-malformed"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_anchor_is_said(place: Place, case: str) -> None:
    members, code, name = WRONG[case]
    place.configure(**members)
    done = place.anchor("run", "--once", "--json")
    assert (done.code, done.error["code"]) == (code, name)


def test_a_key_that_does_not_fit_or_that_others_read_is_refused_and_not_shown(place: Place) -> None:
    words = ("deploy", "--rpc", "http://127.0.0.1:1", "--chain-id", 1, "--key", place.key)
    place.key.chmod(0o644)
    assert place.anchor(*words).code == 77
    place.key.chmod(0o600)
    place.key.write_text("canary-4711")
    done = place.anchor(*words)
    assert done.code == 65
    assert "canary" not in done.err
    (place.home.folder / "phrase").write_bytes(b"\xff\xfe")
    done = place.anchor(*words, "--passphrase-file", place.home.folder / "phrase", "--json")
    assert (done.code, done.error["message"]) == (65, "expected a passphrase in UTF-8")


def test_anchor_deploy_needs_its_options(place: Place) -> None:
    assert place.anchor("deploy").code == 64
    assert place.anchor("deploy", "--rpc", "x", "--chain-id", 0, "--key", place.key).code == 64
