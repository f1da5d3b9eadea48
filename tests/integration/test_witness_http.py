"""Witnesses as processes: over TLS, killed at any moment, two on one store; and callers that misbehave."""

import asyncio
import json
import random
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, suppress
from dataclasses import asdict, replace
from pathlib import Path

import httpx
import pytest

from ledger.note import NoteSignature, parse_note, verify_note
from ledger.serving import ServerTls, serve
from ledger.trust_policy import parse_trust_policy
from ledger.witness import MAX_REQUEST_BYTES, MemoryWitnessStore, Witness, format_add_checkpoint
from ledger.witness_client import WitnessClient, make_witness_clients, open_witness_http
from ledger.witness_evidence import EvidenceKind, verify_evidence
from ledger.witness_http import create_witness_app
from ledger.witness_round import HttpWitnesses
from ledger.witness_store import SqlWitnessStore
from tests.lib.tls import LocalCa
from tests.lib.waiting import wait_until
from tests.lib.witness_process import WitnessConfig, WitnessProcess
from tests.lib.witness_trees import ORIGIN, ListLog
from yingbi.clock import SystemClock
from yingbi.errors import (
    ErrorCode,
    InvalidRequestError,
    RefusedError,
    SandboxError,
    TamperDetectedError,
    UnavailableError,
)
from yingbi.receipts import Checkpoint, SignedCheckpoint

LOG = ListLog().grow(60)
CLOCK = SystemClock()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> LocalCa:
    return LocalCa(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def config(tmp_path: Path, authority: LocalCa) -> WitnessConfig:
    """A new store, and a witness that is asked over TLS."""
    SqlWitnessStore.create(tmp_path / "witness.sqlite").close()
    certificate, key = authority.issue()
    return WitnessConfig(
        store=str(tmp_path / "witness.sqlite"),
        log=LOG.verifier.encode(),
        certificate=str(certificate),
        key=str(key),
    )


@pytest.fixture
def plain(config: WitnessConfig) -> WitnessConfig:
    """The same without TLS, on loopback."""
    return replace(config, certificate=None, key=None)


@pytest.fixture
def http(authority: LocalCa) -> Iterator[httpx.Client]:
    with open_witness_http(ca_file=authority.certificate) as client:
        yield client


def connect(process: WitnessProcess, config: WitnessConfig, http: httpx.Client) -> WitnessClient:
    return WitnessClient(process.url, [config.verifier], http=http, clock=CLOCK)


def submit(client: WitnessClient, size: int, log: ListLog = LOG) -> tuple[NoteSignature, ...]:
    return client.add_checkpoint(log.signed(size), lambda old: log.prove(old, size))


def stored(config: WitnessConfig) -> SignedCheckpoint:
    with closing(SqlWitnessStore.open(Path(config.store))) as store:
        return store.load(ORIGIN)


# --- TLS --------------------------------------------------------------------------------------------------------------


def test_checkpoints_are_cosigned_over_tls(config: WitnessConfig, http: httpx.Client) -> None:
    with WitnessProcess(config) as process:
        assert process.url.startswith("https://127.0.0.1:")
        client = connect(process, config, http)
        for size in (5, 9, 9, 60):
            lines = submit(client, size)
            note = replace(parse_note(LOG.signed(size).note), signatures=lines)
            assert [item.verifier for item in verify_note(note, [config.verifier])] == [config.verifier]
        assert http.get(f"{process.url}/vkey").text == config.verifier.encode() + "\n"
    assert stored(config).checkpoint.size == 60


def test_a_certificate_of_another_authority_is_not_trusted(
    config: WitnessConfig, tmp_path: Path, authority: LocalCa
) -> None:
    stranger = LocalCa(tmp_path, "another authority")
    other_address = authority.issue("127.0.0.2")
    with WitnessProcess(config) as process, open_witness_http(ca_file=stranger.certificate) as http:
        client = connect(process, config, http)
        with pytest.raises(UnavailableError):
            submit(client, 5)
    config = replace(config, certificate=str(other_address[0]), key=str(other_address[1]))
    with WitnessProcess(config) as process, open_witness_http(ca_file=authority.certificate) as http:
        client = connect(process, config, http)
        with pytest.raises(UnavailableError):
            submit(client, 5)
    assert stored(config).checkpoint.size == 0


def test_plain_http_to_a_tls_port_is_not_answered(config: WitnessConfig) -> None:
    with WitnessProcess(config) as process, httpx.Client() as http, pytest.raises(httpx.HTTPError):
        http.get(f"http://127.0.0.1:{process.port}/vkey")


def make_witness() -> Witness:
    cosigner = WitnessConfig(store="", log="").cosigner
    return Witness([cosigner], [LOG.verifier], store=MemoryWitnessStore(), clock=CLOCK)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3"])
def test_plain_http_is_not_served_where_others_can_reach_it(host: str) -> None:
    with pytest.raises(RefusedError) as caught:
        serve(create_witness_app(make_witness()), host=host, port=0, announce=pytest.fail)
    assert caught.value.code is ErrorCode.INSECURE_TRANSPORT


def test_an_encrypted_or_missing_key_is_refused(tmp_path: Path, authority: LocalCa) -> None:
    certificate, _ = authority.issue()
    encrypted, key = authority.issue(passphrase=b"secret")
    for tls in (
        ServerTls(certificate=encrypted, key=key),
        ServerTls(certificate=certificate, key=tmp_path / "missing"),
        ServerTls(certificate=certificate, key=key),
    ):
        with pytest.raises(InvalidRequestError) as caught:
            serve(create_witness_app(make_witness()), host="127.0.0.1", port=0, tls=tls, announce=pytest.fail)
        assert caught.value.code is ErrorCode.CONFIG_INVALID


def test_a_service_does_not_ask_its_terminal_for_a_passphrase(config: WitnessConfig, authority: LocalCa) -> None:
    certificate, key = authority.issue(passphrase=b"secret")
    config = replace(config, certificate=str(certificate), key=str(key))
    arguments = [sys.executable, "-m", "tests.lib.witness_process", json.dumps(asdict(config))]
    on_terminal = [sys.executable, "-c", "import pty, sys; pty.spawn(sys.argv[1:])", *arguments]
    root = Path(__file__).parents[2]
    done = subprocess.run(on_terminal, cwd=root, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    assert b"expected a PEM certificate" in done.stdout
    assert b"pass phrase" not in done.stdout


def test_an_address_in_use_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UnavailableError):
        serve(create_witness_app(make_witness()), host="127.0.0.1", port=taken.getsockname()[1])


# --- ends and begins --------------------------------------------------------------------------------------------------


def test_a_killed_witness_goes_on_where_it_was(config: WitnessConfig, http: httpx.Client) -> None:
    twin = LOG.fork(20, mark="b")
    with WitnessProcess(config) as process:
        client = connect(process, config, http)
        submit(client, 30)
        process.kill()
        with pytest.raises(UnavailableError):
            submit(client, 40)
        with WitnessProcess(replace(config, port=process.port)):
            with pytest.raises(TamperDetectedError) as caught:
                submit(client, 30, twin)
            assert caught.value.code is ErrorCode.LOG_FORKED
            with pytest.raises(TamperDetectedError) as caught:
                submit(client, 25)
            assert caught.value.code is ErrorCode.LOG_ROLLED_BACK
            submit(client, 40)
    with closing(SqlWitnessStore.open(Path(config.store))) as store:
        (evidence,) = store.list_evidence()
    assert evidence.kind is EvidenceKind.TWO_ROOTS
    verify_evidence(evidence, [LOG.verifier])


def test_a_witness_killed_at_any_moment_never_forgets_what_it_cosigned(
    plain: WitnessConfig, http: httpx.Client
) -> None:
    log, chance, head = ListLog().grow(1000), random.Random(20261121), 0
    for _ in range(4):
        asked = head
        with WitnessProcess(plain) as process:
            client = connect(process, plain, http)
            killer = threading.Timer(chance.uniform(0.0, 0.2), process.kill)
            killer.start()
            with suppress(UnavailableError):
                for asked in range(head + 1, 1001):
                    submit(client, asked, log)
            killer.join()
        # What was under way may have been committed without an answer; all before it was answered.
        before, head = head, stored(plain).checkpoint.size
        assert before <= asked - 1 <= head <= asked < 1000
        assert stored(plain).checkpoint == log.checkpoint(head)


def is_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_stopped_witness_answers_what_it_was_asked_and_ends_well(plain: WitnessConfig) -> None:
    body = format_add_checkpoint(LOG.prove(0, 9), LOG.signed(9).note)
    head = b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
    with WitnessProcess(plain) as process, socket.create_connection(("127.0.0.1", process.port)) as connection:
        connection.sendall(head)
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n", "it has begun to read the body"
        connection.sendall(body[:20])
        stopper = threading.Thread(target=process.stop)
        stopper.start()
        wait_until(lambda: not is_listening(process.port))
        connection.sendall(body[20:])
        assert read_all(connection).startswith(b"HTTP/1.1 200 ")
        stopper.join()
        assert process.stop() == 0
    assert stored(plain).checkpoint.size == 9


def read_all(connection: socket.socket) -> bytes:
    connection.settimeout(10)
    data = b""
    while chunk := connection.recv(65536):
        data += chunk
    return data


def test_a_witness_without_its_store_does_not_start(plain: WitnessConfig) -> None:
    Path(plain.store).unlink()
    with pytest.raises(RuntimeError):
        WitnessProcess(plain)


# --- two processes on one store ---------------------------------------------------------------------------------------


def test_two_processes_on_one_store_cosign_one_history(plain: WitnessConfig, http: httpx.Client) -> None:
    """Two histories race through two processes; every cosigned head belongs to the same one."""
    histories = {"a": LOG, "b": LOG.fork(0, mark="b")}
    cosigned: list[tuple[str, int]] = []
    with WitnessProcess(plain) as first, WitnessProcess(plain) as second:
        start = threading.Barrier(4)
        refusals: set[ErrorCode] = set()

        def race(process: WitnessProcess, name: str) -> None:
            client = connect(process, plain, http)
            start.wait()
            for size in range(1, 41):
                try:
                    submit(client, size, histories[name])
                    cosigned.append((name, size))
                except SandboxError as error:
                    refusals.add(error.code)

        threads = [threading.Thread(target=race, args=(p, name)) for p in (first, second) for name in histories]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert refusals <= {ErrorCode.LOG_FORKED, ErrorCode.LOG_ROLLED_BACK, ErrorCode.WITNESS_REFUSED}
    assert len({name for name, _ in cosigned}) == 1
    winner = histories[cosigned[0][0]]
    assert stored(plain).checkpoint == winner.checkpoint(max(size for _, size in cosigned))


def test_the_race_of_the_specification_through_two_processes(plain: WitnessConfig, http: httpx.Client) -> None:
    """Requests for N and N + K from the same old size, at the same moment: one is cosigned, the other told the size."""
    outcomes: list[tuple[int, bytes]] = []
    with WitnessProcess(plain) as first, WitnessProcess(plain) as second:
        for old in range(0, 24, 2):
            start = threading.Barrier(2)

            def ask(url: str, size: int, old: int = old, start: threading.Barrier = start) -> None:
                body = format_add_checkpoint(LOG.prove(old, size), LOG.signed(size).note)
                start.wait()
                answer = http.post(f"{url}/add-checkpoint", content=body)
                outcomes.append((answer.status_code, answer.content))

            threads = [threading.Thread(target=ask, args=a) for a in ((first.url, old + 1), (second.url, old + 2))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            reached = stored(plain).checkpoint.size
            assert sorted(status for status, _ in outcomes) == [200, 409]
            assert [content for status, content in outcomes if status == 409] == [b"%d\n" % reached]
            if reached == old + 1:
                submit(connect(first, plain, http), old + 2)
            outcomes.clear()


# --- a round over the network -----------------------------------------------------------------------------------------


def test_a_quorum_over_tls_with_one_witness_down(config: WitnessConfig, http: httpx.Client, tmp_path: Path) -> None:
    configs = [replace(config, seed=n, name=f"w{n}.example", store=str(tmp_path / f"w{n}")) for n in (11, 12, 13)]
    for item in configs:
        SqlWitnessStore.create(Path(item.store)).close()
    processes = [WitnessProcess(item) for item in configs]
    try:
        lines = [f"log {LOG.verifier.encode()}"]
        lines += [
            f"witness w{n} {item.verifier.encode()} {process.url}"
            for n, (item, process) in enumerate(zip(configs, processes, strict=True))
        ]
        policy = parse_trust_policy("\n".join([*lines, "group g 2 w0 w1 w2", "quorum g", ""]).encode())
        witnesses = HttpWitnesses(make_witness_clients(policy, http, clock=CLOCK), policy)
        cosignatures, is_met = witnesses.collect(LOG.signed(5), lambda old: LOG.prove(old, 5))
        assert (len(cosignatures), is_met) == (3, True)
        processes[1].kill()
        cosignatures, is_met = witnesses.collect(LOG.signed(9), lambda old: LOG.prove(old, 9))
        assert (sorted(line.name for line in cosignatures), is_met) == (["w11.example", "w13.example"], True)
        processes[2].kill()
        assert witnesses.collect(LOG.signed(12), lambda old: LOG.prove(old, 12))[1] is False
    finally:
        for process in processes:
            process.kill()


# --- callers that misbehave -------------------------------------------------------------------------------------------


def test_a_body_that_is_too_large_is_cut_off(plain: WitnessConfig) -> None:
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    with WitnessProcess(plain) as process, socket.create_connection(("127.0.0.1", process.port)) as connection:
        connection.sendall(b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(MAX_REQUEST_BYTES // 0x8000 + 1):
            connection.sendall(chunk)
        assert read_all(connection).startswith(b"HTTP/1.1 413 ")


def test_many_connections_are_answered_or_turned_away(plain: WitnessConfig, http: httpx.Client) -> None:
    with WitnessProcess(plain) as process:
        held = [socket.create_connection(("127.0.0.1", process.port)) for _ in range(300)]
        wait_until(lambda: http.get(f"{process.url}/vkey").status_code == 503)
        for connection in held:
            connection.close()
        wait_until(lambda: http.get(f"{process.url}/vkey").status_code == 200)


Messages = list[dict[str, object]]


async def request(
    witness: Witness, path: str, *, method: str = "POST", body: Callable[[], AsyncIterator[bytes]] | bytes = b""
) -> httpx.Response:
    transport = httpx.ASGITransport(create_witness_app(witness))
    async with httpx.AsyncClient(transport=transport, base_url="http://witness") as client:
        return await client.request(method, path, content=body if isinstance(body, bytes) else body())


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("POST", "/add-checkpoints", 404), ("GET", "/add-checkpoint", 405), ("POST", "/vkey", 405)],
)
def test_other_paths_and_methods_are_not_served(method: str, path: str, status: int) -> None:
    assert asyncio.run(request(make_witness(), path, method=method)).status_code == status


def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.witness_http._BODY_TIMEOUT_S", 0.05)

    async def stall() -> AsyncIterator[bytes]:
        yield b"old 0\n"
        await asyncio.sleep(5)

    answer = asyncio.run(request(make_witness(), "/add-checkpoint", body=stall))
    assert (answer.status_code, answer.headers["connection"]) == (408, "close")


class FailingStore(MemoryWitnessStore):
    """Fails with a text that nobody may see."""

    def advance(self, old: Checkpoint, new: SignedCheckpoint) -> bool:
        raise UnavailableError(ErrorCode.WITNESS_UNAVAILABLE, "canary-message", detail="canary-detail")


def test_a_failing_store_says_nothing_to_the_caller() -> None:
    cosigner = WitnessConfig(store="", log="").cosigner
    witness = Witness([cosigner], [LOG.verifier], store=FailingStore(), clock=CLOCK)
    body = format_add_checkpoint(LOG.prove(0, 5), LOG.signed(5).note)
    answer = asyncio.run(request(witness, "/add-checkpoint", body=body))
    assert (answer.status_code, answer.content) == (503, b"service unavailable\n")


def test_the_type_of_a_size_is_exact() -> None:
    body = format_add_checkpoint(LOG.prove(3, 5), LOG.signed(5).note)
    answer = asyncio.run(request(make_witness(), "/add-checkpoint", body=body))
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (409, "text/x.tlog.size", b"0\n")
