"""A hub as a process: made and run by the command line over TLS, killed, started again; witnesses cosign its log."""

import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from api.ceremony import ADMINISTRATORS_IN_ORDER, sign_ceremony
from ledger.home import load_home
from ledger.witness_home import create_witness_home
from tests.lib.waiting import wait_until
from yingbi.cli.local_ca import LocalCa
from yingbi.clock import SystemClock, format_time
from yingbi.http_signing import sign_request
from yingbi.keys import SigningKey, load_signing_key, save_signing_key

COMMAND = [sys.executable, "-c", "from yingbi.cli.hub import app; app()"]
ORIGIN = "log.futian.example/process"


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=60)


@contextmanager
def running(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a hub on a free port; yield the process and its address."""
    process = subprocess.Popen(
        [*COMMAND, "run", "--hub", str(folder), "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address, process.communicate()[1]
        yield process, address
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def ask(address: str, path: str, key_file: Path, **options: object) -> httpx.Response:
    headers: dict[str, str] = {}
    sign_request("GET", address + path, headers, b"", key=load_signing_key(key_file), clock=SystemClock())
    return httpx.get(address + path, headers=headers, trust_env=False, timeout=20, **options)  # type: ignore[arg-type]


@pytest.fixture
def made(tmp_path: Path) -> Path:
    done = run("init", "bureau:futian", ORIGIN, "--hub", "hub", "--develop", "keys", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["origin"] == ORIGIN
    return tmp_path


def test_a_hub_answers_over_tls_to_whoever_signs(made: Path) -> None:
    authority = LocalCa(made)
    certificate, key = authority.issue("hub")
    with running(made / "hub", "--tls-cert", str(certificate), "--tls-key", str(key)) as (process, address):
        assert address.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=authority.certificate)
        answer = ask(address, "/v1/duties?limit=5", made / "keys" / "audit-admin.pem", verify=context)
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["items"]) == 3
        assert httpx.get(address + "/v1/duties", verify=context, trust_env=False).status_code == 401
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_a_hub_that_was_killed_knows_all_when_it_starts_again(made: Path) -> None:
    key = made / "keys" / "audit-admin.pem"
    with running(made / "hub") as (process, address):
        before = ask(address, "/v1/duties", key).json()
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)
    with running(made / "hub") as (_, address):
        assert ask(address, "/v1/duties", key).json() == before


def test_two_hubs_do_not_write_one_log(made: Path) -> None:
    with running(made / "hub"):
        second = run("run", "--hub", "hub", "--port", "0", cwd=made)
    assert second.returncode != 0


def test_the_ceremony_is_held_once(made: Path) -> None:
    again = run("init", "bureau:futian", ORIGIN, "--hub", "hub", "--develop", "others", cwd=made)
    assert again.returncode != 0
    assert run("upgrade", "--hub", "hub", cwd=made).returncode == 0


def test_a_ceremony_of_several_hands_comes_in_files(tmp_path: Path) -> None:
    root, service = SigningKey.generate(), SigningKey.generate()
    people = {duty: (f"person:{duty.value}", SigningKey.generate()) for duty in ADMINISTRATORS_IN_ORDER}
    statements = sign_ceremony(
        "bureau:futian", root=root, service_key=service, people=people, at=format_time(SystemClock().now())
    )
    save_signing_key(service, tmp_path / "service.pem")
    (tmp_path / "root.json").write_text(json.dumps(root.public.to_jwk()))
    (tmp_path / "ceremony.jsonl").write_bytes(b"\n".join(one.envelope for one in statements) + b"\n")
    options = ["--root", "root.json", "--service-key", "service.pem", "--hub", "hub", "ceremony.jsonl"]
    done = run("init", "bureau:futian", ORIGIN, *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    bare = run("init", "bureau:futian", ORIGIN, "--hub", "third", cwd=tmp_path)
    assert bare.returncode != 0
    assert not (tmp_path / "third").exists()


def test_its_log_is_published_only_with_its_witnesses(made: Path) -> None:
    log = load_home(made / "hub" / "log")
    home = create_witness_home(made / "witness", "w.example/witness", [item.encode() for item in log.verifiers()])
    vkey = home.load_cosigners(SystemClock())[0].verifier.encode()
    command = [sys.executable, "-m", "yingbi", "witness", "run", "--port", "0", "--witness", str(made / "witness")]
    witness = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert witness.stdout is not None
        url = witness.stdout.readline().strip()
        lines = [f"log {item.encode()}" for item in log.verifiers()]
        lines += [f"witness w {vkey} {url}", "group all all w", "quorum all", ""]
        log.policy_path.write_text("\n".join(lines))
        with running(made / "hub") as (_, address):

            def notes() -> str:
                return httpx.get(address + "/checkpoint", trust_env=False).text

            wait_until(lambda: "— w.example/witness " in notes())
    finally:
        witness.terminate()
        witness.communicate(timeout=20)
