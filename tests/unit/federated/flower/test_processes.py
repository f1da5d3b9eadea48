"""What starts Flower's processes: wrong configurations say so, and a node that ends is started again in time."""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from federated.flower.pace import Pace
from federated.flower.processes import environment
from federated.flower.superlink import main, read_config
from federated.flower.supernode import SuperNode, SuperNodeConfig, make_node_key, node_public_key
from federated.flower.supernode_process import main as node_main
from tests.lib.flower_world import APP_KEY, SuperLinkProcess
from tests.lib.tls import LocalCa
from tests.lib.waiting import wait_until
from yingbi.errors import ConflictError, ErrorCode, ExitCode, SandboxError
from yingbi.key_files import write_secret
from yingbi.keys import SigningKey, save_signing_key


def test_the_pace_is_quick_while_something_comes_and_slow_afterwards() -> None:
    now = [100.0]
    pace = Pace(quick_s=0.1, slow_s=2.0, active_s=30.0, monotonic=lambda: now[0])
    assert pace.after(worked=False) == 2.0
    assert pace.after(worked=True) == 0.1
    now[0] += 29.0
    assert pace.after(worked=False) == 0.1
    now[0] += 2.0
    assert pace.after(worked=False) == 2.0


def test_a_process_of_flowers_gets_nothing_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("YINGBI_PASSPHRASE", "secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://there.example")
    given = environment(tmp_path)
    assert not {"YINGBI_PASSPHRASE", "HTTPS_PROXY"} & set(given)
    assert given["FLWR_HOME"] == str(tmp_path)
    assert given["FLWR_TELEMETRY_ENABLED"] == "0"


# The server's configuration.

Change = Callable[[dict[str, Any], Path], None]


def _private_everywhere(config: dict[str, Any], _: Path) -> None:
    config["private"]["host"] = "0.0.0.0"


def _short_secret(_: dict[str, Any], folder: Path) -> None:
    (folder / "secret").write_bytes(b"short")


def _open_secret(_: dict[str, Any], folder: Path) -> None:
    (folder / "secret").chmod(0o644)


def _no_certificate(config: dict[str, Any], folder: Path) -> None:
    (folder / "not.pem").write_text("x")
    config["certificate"] = "not.pem"


def _set(name: str, value: Any) -> Change:
    return lambda config, _: config.__setitem__(name, value)


WRONG: dict[str, tuple[Change, str]] = {
    "private to all": (_private_everywhere, "loopback"),
    "unknown setting": (_set("insecure", value=True), "unknown settings: insecure"),
    "no control key": (_set("control_keys", []), "at least one control key"),
    "no app key": (_set("app_keys", []), "at least one control key"),
    "no app": (_set("apps", []), "at least one control key"),
    "a private key": (_set("control_keys", [{"kty": "OKP", "crv": "Ed25519", "x": "a", "d": "b"}]), "JWK"),
    "no port": (_set("public", {"host": "127.0.0.1"}), "a host and a port"),
    "port of another kind": (_set("public", {"host": "127.0.0.1", "port": 70_000}), "a host and a port"),
    "missing app": (_set("apps", [{"bundle": "no.fab", "signatures": []}]), "cannot be read"),
    "unsigned app": (lambda config, _: config["apps"][0].__setitem__("signatures", []), "is not signed"),
    "short secret": (_short_secret, "at least 32 bytes"),
    "open secret": (_open_secret, "can be read by others"),
    "no secret": (_set("secret", "nothing"), "cannot be read"),
    "no certificate": (_no_certificate, "PEM certificate"),
    "no database": (lambda config, _: config.__delitem__("database"), "does not have the form"),
}


@pytest.mark.parametrize(("change", "words"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_configuration_is_refused_in_words(
    change: Change, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process = SuperLinkProcess(tmp_path / "link", LocalCa(tmp_path))
    change(process.config, process.folder)
    path = process.folder / "config.json"
    path.write_text(json.dumps(process.config))
    mask = os.umask(0o077)
    try:
        code = main([str(path)])
    finally:
        os.umask(mask)
    said = capsys.readouterr()
    assert code in (ExitCode.CONFIG, ExitCode.REFUSED, ExitCode.DATA)
    assert words in said.err
    assert said.out == ""
    assert "Traceback" not in said.err
    assert not (process.folder / "state.db").exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"database": 1}', "\x00"])
def test_a_file_of_another_form_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(SandboxError) as caught:
        read_config(tmp_path / "config.json")
    assert caught.value.code is ErrorCode.CONFIG_INVALID


def test_without_a_file_the_use_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == ExitCode.USAGE
    assert "usage:" in capsys.readouterr().err
    assert main(["/nowhere/config.json"]) == ExitCode.CONFIG


# The node.


def test_a_nodes_key_is_made_once_and_kept_from_others(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    public = make_node_key(path)
    assert public.startswith(b"-----BEGIN PUBLIC KEY-----")
    assert node_public_key(path) == public
    with pytest.raises(ConflictError):
        make_node_key(path)
    path.chmod(0o644)
    with pytest.raises(SandboxError):
        node_public_key(path)


def test_other_keys_are_no_nodes_keys(tmp_path: Path) -> None:
    save_signing_key(SigningKey.from_seed(bytes(32)), tmp_path / "signing.key")
    write_secret(tmp_path / "text.key", b"x")
    for name in ("signing.key", "text.key", "nothing.key"):
        with pytest.raises(SandboxError):
            node_public_key(tmp_path / name)


class Scripted(SuperNode):
    """A node whose process is a few lines of Python, and whose waiting is noted instead of done."""

    def __init__(self, folder: Path, lines: str, *, is_disconnected: bool = False) -> None:
        make_node_key(folder / "node.key")
        config = SuperNodeConfig(
            superlink="127.0.0.1:9",
            authority=folder / "ca.pem",
            key=folder / "node.key",
            app_keys=(APP_KEY.public,),
            home=folder / "flower",
        )
        self.waited: list[float] = []
        self.lines = lines
        self.is_disconnected = is_disconnected
        super().__init__(config, wait=self._note)

    def _note(self, event: threading.Event, seconds: float) -> bool:
        self.waited.append(seconds)
        if len(self.waited) >= 4:
            event.wait(10)
        return False

    def _command(self) -> list[str]:
        return [sys.executable, "-c", self.lines]

    def _disconnect(self) -> bool:
        return self.is_disconnected


def test_a_node_that_ends_is_started_again_later_and_later(tmp_path: Path) -> None:
    with Scripted(tmp_path, "raise SystemExit(1)") as node:
        wait_until(lambda: len(node.waited) == 4)
    assert node.waited == [2.0, 4.0, 8.0, 16.0]


def test_a_node_that_is_taken_for_connected_waits_a_minute(tmp_path: Path) -> None:
    with Scripted(tmp_path, "print('Exit Code: 305'); raise SystemExit(1)") as node:
        wait_until(lambda: len(node.waited) == 4)
    assert node.waited == [60.0] * 4


def test_a_node_whose_old_connection_could_be_ended_need_not_wait(tmp_path: Path) -> None:
    with Scripted(tmp_path, "print('Exit Code: 305'); raise SystemExit(1)", is_disconnected=True) as node:
        wait_until(lambda: len(node.waited) == 4)
    assert node.waited == [2.0, 4.0, 8.0, 16.0]


def test_a_node_that_is_told_to_start_again_does_so_at_once(tmp_path: Path) -> None:
    with Scripted(tmp_path, "import time; time.sleep(60)") as node:
        for _ in range(2):
            wait_until(lambda: node.pid is not None)
            node.restart()
        wait_until(lambda: len(node.waited) == 2)
    assert node.waited == [0.0, 0.0]
    assert node.pid is None


def test_a_node_that_does_not_listen_to_signals_is_ended_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("federated.flower.supernode._STOP_S", 0.2)
    sign = tmp_path / "is-deaf"
    lines = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        f"open({str(sign)!r}, 'x').close(); time.sleep(60)"
    )
    node = Scripted(tmp_path, lines)
    node.start()
    wait_until(sign.exists)
    began = time.monotonic()
    node.stop()
    node.stop()
    assert time.monotonic() - began < 30
    assert node.pid is None


def test_each_start_has_its_own_secret_which_nobody_else_reads(tmp_path: Path) -> None:
    node = Scripted(tmp_path, "")
    (tmp_path / "other").mkdir()
    other = Scripted(tmp_path / "other", "")
    assert len(node.secret) == 32
    assert node.secret != other.secret
    assert (tmp_path / "flower").stat().st_mode & 0o077 == 0


def test_a_node_whose_parent_has_gone_does_not_begin() -> None:
    assert node_main(["1", "quick", "--version"]) == ExitCode.UNAVAILABLE
