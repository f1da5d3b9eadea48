"""A node that lies, stalls, redirects or talks too much: it gets an error out of the client, and nothing else.

What it says of the log is checked against the log (`tests/unit/ledger/test_anchor.py`) and by the offline verifier.
"""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

import pytest
from eth_hash.auto import keccak
from eth_tester import EthereumTester, PyEVMBackend  # type: ignore[import-untyped]
from web3 import EthereumTesterProvider
from web3.types import RPCEndpoint, RPCResponse

from ledger.anchor import ChainHead, Submission
from ledger.anchor_evm import EvmAccount, EvmAnchor, EvmLimits, hash_origin
from tests.lib.anchor_proofs import link
from tests.lib.chain import ORIGIN, make_checkpoint
from yingbi.errors import ErrorCode, SandboxError, UnavailableError

_CONTRACT = "0x5fbdb2315678afecb367f032d93f642f64180aa3"
_CANARY = "canary-8c1f"


# --- transport --------------------------------------------------------------------------------------------------------


class _Server(ThreadingHTTPServer):
    """Answers every request by `respond`; counts them."""

    daemon_threads = True

    def __init__(self, respond: Callable[[BaseHTTPRequestHandler], None]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.respond = respond
        self.requests = 0

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing when the client hangs up."""


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = cast("_Server", self.server)
        server.requests += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        server.respond(self)

    def do_GET(self) -> None:
        cast("_Server", self.server).requests += 1
        self.send_error(405)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def _serve(respond: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[_Server]:
    server = _Server(respond)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _send(body: bytes, status: int = 200, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return respond


def _client(server: _Server, timeout_s: float = 5.0) -> EvmAnchor:
    url = f"http://127.0.0.1:{server.server_port}/"
    limits = EvmLimits(timeout_s=timeout_s)
    return EvmAnchor(url, contract=_CONTRACT, chain_id=1, origin=ORIGIN, limits=limits)


def _read(server: _Server, timeout_s: float = 5.0) -> UnavailableError:
    with pytest.raises(UnavailableError) as caught:
        _client(server, timeout_s).latest()
    error = caught.value
    assert error.code is ErrorCode.ANCHOR_UNAVAILABLE
    assert error.__cause__ is None
    assert _CANARY not in f"{error.message}{error.hint}{error.detail}"
    return error


def _answer(**members: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 0} | members).encode()


_BODIES = {
    "nothing": b"",
    "null": b"null",
    "a list": b"[]",
    "a number": b"1",
    "an empty object": b"{}",
    "a page": f"<html>{_CANARY}</html>".encode(),
    "not UTF-8": b'{"jsonrpc":"2.0","id":0,"result":"\xff"}',
    "deep": b"[" * 200_000,
    "no version": b'{"id":0,"result":"0x1"}',
    "no id": b'{"jsonrpc":"2.0","result":"0x1"}',
    "result and error": _answer(result="0x1", error={"code": 1, "message": _CANARY}),
    "an error": _answer(error={"code": -32000, "message": _CANARY}),
    "an error of another form": _answer(error=_CANARY),
    "an error without code": _answer(error={"message": _CANARY}),
    "a limit": _answer(error={"code": -32005, "message": f"rate limit exceeded {_CANARY}"}),
    "null result": _answer(result=None),
    "text": _answer(result=_CANARY),
    "an object": _answer(result={"chainId": _CANARY}),
    "a float": b'{"jsonrpc":"2.0","id":0,"result":1e999}',
    "a huge number": b'{"jsonrpc":"2.0","id":0,"result":' + b"9" * 10_000 + b"}",
}


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("name", _BODIES)
def test_an_answer_that_is_none_is_unavailable(name: str, status: int) -> None:
    with _serve(_send(_BODIES[name], status)) as server:
        _read(server)


def test_what_a_node_says_is_told_by_a_closed_list() -> None:
    with _serve(_send(_BODIES["a limit"])) as server:
        assert _read(server).detail == "rate limit"
    with _serve(_send(_BODIES["a page"], 401)) as server:
        assert _read(server).detail == "no JSON, HTTP status 401"


def test_an_endless_answer_is_cut() -> None:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(64):
            handler.wfile.write(b" " * (1 << 20))

    with _serve(respond) as server:
        assert "bytes" in str(_read(server).detail)


def test_a_dripping_answer_ends_at_the_deadline() -> None:
    stop = threading.Event()

    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not stop.wait(0.05):
            handler.wfile.write(b" ")

    with _serve(respond) as server:
        started = time.monotonic()
        try:
            assert "deadline" in str(_read(server, timeout_s=0.3).detail)
        finally:
            stop.set()
        assert time.monotonic() - started < 3


def test_a_silent_node_times_out() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        anchor = EvmAnchor(url, contract=_CONTRACT, chain_id=1, origin=ORIGIN, limits=EvmLimits(timeout_s=0.2))
        with pytest.raises(UnavailableError):
            anchor.latest()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with _serve(_send(_answer(result="0x1"))) as target:
        location = f"http://127.0.0.1:{target.server_port}/"
        with _serve(_send(b"", status, Location=location)) as server:
            _read(server)
        assert (server.requests, target.requests) == (1, 0)


def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with _serve(_send(b"")) as proxy, _serve(_send(b"")) as server:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.server_port}")
        _read(server)
        assert (server.requests, proxy.requests) == (1, 0)


# --- answers ----------------------------------------------------------------------------------------------------------


# py-evm has no proofs; something of the right shape lets the steps after it be reached.
_PROOF: Any = {
    "jsonrpc": "2.0",
    "id": 1,
    "result": {"address": _CONTRACT, "accountProof": ["0xc0"], "storageProof": [{"key": "0x1", "proof": ["0xc0"]}]},
}


class _Liar(EthereumTesterProvider):
    """A sound node, but for some methods."""

    def __init__(self) -> None:
        self.tester = EthereumTester(PyEVMBackend())
        super().__init__(self.tester)
        self.lies: dict[str, RPCResponse] = {}
        self.calls: list[str] = []

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """Answer, or lie."""
        self.calls.append(method)
        return self.lies.get(method) or (_PROOF if method == "eth_getProof" else super().make_request(method, params))


# Every method that the client calls, and the steps that call it.
_METHODS = {
    "eth_chainId": ["latest", "prepare"],
    "eth_blockNumber": ["latest", "prove"],
    "eth_call": ["latest", "prove"],
    "eth_getCode": ["latest"],
    "eth_getTransactionCount": ["prepare", "status"],
    "eth_getBlockByNumber": ["prepare", "prove"],
    "eth_gasPrice": ["prepare"],
    "eth_estimateGas": ["prepare"],
    "eth_sendRawTransaction": ["submit"],
    "eth_getTransactionReceipt": ["status"],
    "eth_getTransactionByHash": ["status"],
    "eth_getLogs": ["prove"],
    "eth_getProof": ["prove"],
}
_RESULTS: dict[str, Any] = {
    "null": None,
    "empty": "0x",
    "one byte": "0x00",
    "one word": "0x" + "11" * 32,
    "three words": "0x" + "ff" * 96,
    "huge": "0x" + "ff" * 10_000,
    "negative": -1,
    "text": _CANARY,
    "a list": [_CANARY],
    "an object": {_CANARY: _CANARY},
    "true": True,
    "a large number": 2**300,
}


@dataclass(frozen=True)
class _Setting:
    node: _Liar
    anchor: EvmAnchor
    ready: Submission
    tip: ChainHead

    def take(self, step: str) -> object:
        if step == "prepare":
            return self.anchor.prepare(make_checkpoint(9), self.tip)
        if step == "prove":
            return self.anchor.prove(make_checkpoint(5))
        if step == "latest":
            return self.anchor.latest()
        return getattr(self.anchor, step)(self.ready)


@pytest.fixture(scope="module")
def setting() -> _Setting:
    """A node with a contract and one head, and a client that has a transaction ready."""
    node = _Liar()
    account = EvmAccount.from_secret(node.tester.backend.account_keys[0].to_bytes())
    contract, _ = EvmAnchor.deploy(node, chain_id=131277322940537, origin=ORIGIN, account=account)
    anchor = EvmAnchor(
        node, contract=contract, chain_id=131277322940537, origin=ORIGIN, account=account, confirmations=0
    )
    anchor.submit(anchor.prepare(make_checkpoint(5), anchor.latest().tip))
    tip = anchor.latest().tip
    return _Setting(node=node, anchor=anchor, ready=anchor.prepare(make_checkpoint(9), tip), tip=tip)


@pytest.mark.parametrize("name", _RESULTS)
@pytest.mark.parametrize("method", _METHODS)
def test_any_lie_gives_a_value_or_an_error_of_ours(setting: _Setting, method: str, name: str) -> None:
    lie: Any = {"jsonrpc": "2.0", "id": 1, "result": _RESULTS[name]}
    for step in _METHODS[method]:
        setting.anchor._is_checked = False
        setting.node.lies = {method: lie}
        setting.node.calls.clear()
        try:
            said = _outcome(lambda step=step: setting.take(step))  # type: ignore[misc]
        finally:
            setting.node.lies = {}
        assert _CANARY not in said
        assert step != "latest" or said.startswith(("ChainView", "anchor-unavailable", "config-invalid"))
        assert method in setting.node.calls


def _outcome(step: Callable[[], object]) -> str:
    try:
        return repr(step())
    except SandboxError as error:
        return f"{error.code} {error.message} {error.hint} {error.detail} {error.__cause__}"


def test_a_node_that_changes_its_chain_gets_nothing_signed(setting: _Setting) -> None:
    setting.anchor.latest()
    setting.node.lies = {"eth_chainId": {"jsonrpc": "2.0", "id": 1, "result": cast("Any", "0x1")}}
    setting.node.calls.clear()
    with pytest.raises(SandboxError) as caught:
        setting.take("prepare")
    setting.node.lies = {}
    assert caught.value.code is ErrorCode.CONFIG_INVALID
    assert setting.node.calls == ["eth_chainId"]


def test_a_node_that_deploys_other_code_is_noticed(setting: _Setting) -> None:
    account = setting.anchor._signer()
    setting.node.lies = {"eth_getCode": {"jsonrpc": "2.0", "id": 1, "result": cast("Any", "0x6000")}}
    with pytest.raises(SandboxError) as caught:
        EvmAnchor.deploy(setting.node, chain_id=131277322940537, origin=ORIGIN, account=account)
    setting.node.lies = {}
    assert caught.value.code is ErrorCode.ANCHOR_REFUSED


def test_a_transaction_that_failed_after_its_trial_is_no_success(setting: _Setting) -> None:
    receipt: Any = {"status": 0, "transaction_hash": "0x" + "11" * 32, "logs": []}
    setting.node.lies = {"eth_getTransactionReceipt": {"jsonrpc": "2.0", "id": 1, "result": receipt}}
    with pytest.raises(SandboxError) as caught:
        setting.anchor.propose_anchorer(_CONTRACT, wait_s=5)
    setting.node.lies = {}
    assert caught.value.code is ErrorCode.ANCHOR_REFUSED
    assert "included and failed" in caught.value.message


def test_other_code_at_the_address_is_not_used(setting: _Setting) -> None:
    setting.anchor._is_checked = False
    setting.node.lies = {"eth_getCode": {"jsonrpc": "2.0", "id": 1, "result": cast("Any", "0x6000")}}
    with pytest.raises(SandboxError) as caught:
        setting.take("latest")
    setting.node.lies = {}
    assert caught.value.code is ErrorCode.CONFIG_INVALID


def _event(size: int, root: bytes, chain_value: bytes, previous: bytes) -> dict[str, Any]:
    topics = [keccak(b"Anchored(uint256,bytes32,bytes32,bytes32)"), size.to_bytes(32), root, chain_value]
    return {
        "address": _CONTRACT,
        "block_number": 2,
        "log_index": 0,
        "data": "0x" + previous.hex(),
        "topics": ["0x" + topic.hex() for topic in topics],
    }


def test_events_that_do_not_lead_to_the_head_are_refused(setting: _Setting) -> None:
    """A node that makes up the history gets no proof file written, which only a verifier would find wrong."""
    good = make_checkpoint(5)
    before = keccak(hash_origin(ORIGIN))
    head = link(before, good)
    other = b"\x07" * 32
    answers = {
        "the true event": [_event(5, good.root, head, before)],
        "another root": [_event(5, other, head, before)],
        "another size": [_event(6, good.root, head, before)],
        "another value before": [_event(5, good.root, head, other)],
        "a history of its own": [_event(5, good.root, link(other, good), other)],
        "no event": [],
    }
    said = {}
    for name, events in answers.items():
        setting.node.lies = {"eth_getLogs": cast("Any", {"jsonrpc": "2.0", "id": 1, "result": tuple(events)})}
        said[name] = _outcome(lambda: setting.take("prove"))
    setting.node.lies = {}
    assert "does not have the hash of its header" in said.pop("the true event")
    assert "not among the anchored heads" in said.pop("no event")
    assert all("do not make up the chain value" in text for text in said.values())


def test_an_off_chain_lookup_is_not_followed(setting: _Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """EIP-3668: by this answer to a call, a node makes a trusting client fetch a URL of the node's choice."""
    followed: list[object] = []
    monkeypatch.setattr("web3.eth.eth.handle_offchain_lookup", lambda *args, **_: followed.append(args))
    data = _off_chain_lookup(setting.anchor._address, "https://node.example/{sender}/{data}")
    error: Any = {"code": 3, "message": "execution reverted", "data": data}
    setting.node.lies = {"eth_call": {"jsonrpc": "2.0", "id": 1, "error": error}}
    with pytest.raises(SandboxError):
        setting.take("latest")
    setting.node.lies = {}
    assert followed == []


def _off_chain_lookup(sender: str, url: str) -> str:
    from eth_abi.abi import encode

    arguments = encode(["address", "string[]", "bytes", "bytes4", "bytes"], [sender, [url], b"", bytes(4), b""])
    return "0x556f1830" + arguments.hex()
