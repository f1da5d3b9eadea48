"""Where a client connects to, as whom, and over what: decided before anything is sent."""

import base64
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import httpx
import pytest

from tests.lib.sdk_hub import PARTNER, SdkHub, fixed_key
from tests.lib.tls import LocalCa
from yingbi.client import connect, open_client
from yingbi.client.settings import Address, Settings
from yingbi.errors import ErrorCode, InvalidRequestError, RefusedError, SandboxError, UnavailableError
from yingbi.keys import SigningKey, save_signing_key
from yingbi.sealing import ResultKey, save_result_key


@pytest.mark.parametrize(
    "url",
    ["https://hub.example", "https://hub.example:8443/", "http://127.0.0.1:8000", "http://[::1]:1", "http://localhost"],
)
def test_addresses_that_are_taken(url: str) -> None:
    assert Address(url).at("/v1/jobs") == url.rstrip("/") + "/v1/jobs"


@pytest.mark.parametrize(
    "url",
    [
        "hub.example",
        "ftp://hub.example",
        "https://user:password@hub.example",
        "https://hub.example/?token=1",
        "https://hub.example/#a",
        "https://",
        "https://hub example",
        "https://[::1",
        "https://hub.example:99999",
        "https://hub.example:",
        "http://hub.example",
        "http://127.0.0.1.hub.example",
    ],
)
def test_addresses_that_are_not(url: str) -> None:
    with pytest.raises(SandboxError) as refused:
        Address(url)
    assert refused.value.code in (ErrorCode.CONFIG_INVALID, ErrorCode.INSECURE_TRANSPORT)
    assert "password" not in refused.value.message


def test_keys_and_trust_are_read_from_files(tmp_path: Path) -> None:
    hub = SdkHub()
    key, result_key = fixed_key(PARTNER), ResultKey.generate()
    save_signing_key(key, tmp_path / "key.pem", passphrase=b"sesame")
    save_result_key(result_key, tmp_path / "result.pem", passphrase=b"sesame")
    (tmp_path / "trust.json").write_bytes(hub.trust())
    settings = Settings(
        url="https://hub.example",
        party=PARTNER,
        key=tmp_path / "key.pem",
        result_key=str(tmp_path / "result.pem"),
        trust=tmp_path / "trust.json",
        passphrase=b"sesame",
        agreement="agr-1",
        purpose="research.aggregate",
        clock=hub.clock,
    )
    with open_client(settings, hub.network) as client:
        job = client.dataset("tax/annual_filings").count().submit().wait(progress=False)
        assert job.result() is not None
    assert "sesame" not in repr(settings)


def test_what_cannot_be_used_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "open.pem").write_bytes(SigningKey.generate().to_pem())
    (tmp_path / "open.pem").chmod(0o644)
    (tmp_path / "trust.json").write_text("{}")
    (tmp_path / "ca.pem").write_text("nothing")
    key = fixed_key(PARTNER)
    url = "https://hub.example"
    wrong: list[tuple[type[SandboxError], ErrorCode, Callable[[], object]]] = [
        (RefusedError, ErrorCode.KEY_EXPOSED, lambda: connect(url, party=PARTNER, key=tmp_path / "open.pem")),
        (InvalidRequestError, ErrorCode.KEY_MALFORMED, lambda: connect(url, party=PARTNER, key=tmp_path / "none")),
        (InvalidRequestError, ErrorCode.ID_MALFORMED, lambda: connect(url, party="bank", key=key)),
        (InvalidRequestError, ErrorCode.ID_MALFORMED, lambda: connect(url, party=PARTNER, key=key, on_behalf_of="x")),
        (
            InvalidRequestError,
            ErrorCode.POLICY_MALFORMED,
            lambda: connect(url, party=PARTNER, key=key, trust=tmp_path / "trust.json"),
        ),
        (
            InvalidRequestError,
            ErrorCode.CONFIG_INVALID,
            lambda: connect(url, party=PARTNER, key=key, trust=tmp_path / "none"),
        ),
        (
            InvalidRequestError,
            ErrorCode.CONFIG_INVALID,
            lambda: connect(url, party=PARTNER, key=key, ca=tmp_path / "ca.pem"),
        ),
        (
            InvalidRequestError,
            ErrorCode.CONFIG_INVALID,
            lambda: connect(url, party=PARTNER, key=key, proxy="gopher://user:password@proxy"),
        ),
        (RefusedError, ErrorCode.INSECURE_TRANSPORT, lambda: connect("http://hub.example", party=PARTNER, key=key)),
    ]
    for kind, code, make in wrong:
        with pytest.raises(kind) as error:
            make()
        assert error.value.code is code
        assert "password" not in str(error.value)


def test_proxies_of_the_environment_are_used_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    for wanted in (False, True):
        with connect("https://hub.example", party=PARTNER, key=fixed_key(PARTNER), trust_env=wanted) as client:
            mounts = client._transport._http._mounts
        assert bool(mounts) is wanted


@contextmanager
def served(hub: SdkHub, certificate: Path, key: Path) -> Iterator[int]:
    """Serve a hub over TLS; yield its port."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            url = f"https://127.0.0.1:{self.server.server_port}{self.path}"  # type: ignore[attr-defined]
            answer = hub.handle(httpx.Request(self.command, url, headers=dict(self.headers.items()), content=body))
            content = answer.read()
            self.send_response(answer.status_code)
            self.send_header("Content-Type", answer.headers.get("content-type", "application/json"))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _answer  # noqa: N815 the library's names

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def test_over_a_socket_with_a_private_authority_and_with_nobody_elses(tmp_path: Path) -> None:
    hub = SdkHub()
    ours, other = LocalCa(tmp_path), LocalCa(tmp_path, "another authority")
    with served(hub, *ours.issue()) as port:
        url = f"https://127.0.0.1:{port}"
        with open_client(hub.settings(url=url, ca=ours.certificate)) as client:
            job = client.dataset("tax/annual_filings").count().submit().wait(progress=False)
            assert job.result() is not None
        with open_client(hub.settings(url=url, ca=other.certificate)) as client, pytest.raises(RefusedError) as refused:
            client.catalog.search()
        assert refused.value.code is ErrorCode.INSECURE_TRANSPORT
        with open_client(hub.settings(url=url)) as client, pytest.raises(RefusedError):
            client.catalog.search()


class Tunnel(BaseHTTPRequestHandler):
    """A proxy that connects and passes bytes on; it asks for a password."""

    asked: ClassVar[list[str]] = []

    def do_CONNECT(self) -> None:
        expected = "Basic " + base64.b64encode(b"bank:secret").decode()
        if self.headers.get("proxy-authorization") != expected:
            self.send_error(407)
            return
        self.asked.append(self.path)
        host, _, port = self.path.partition(":")
        with socket.create_connection((host, int(port))) as upstream:
            self.send_response(200)
            self.end_headers()
            ends = {self.connection: upstream, upstream: self.connection}
            while ready := select.select(list(ends), [], [], 10)[0]:
                for end in ready:
                    data = end.recv(65536)
                    if not data:
                        return
                    ends[end].sendall(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def proxied() -> Iterator[int]:
    """Run the proxy; yield its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Tunnel)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def test_through_a_proxy_which_sees_nothing_and_whose_password_is_never_said(tmp_path: Path) -> None:
    hub, authority = SdkHub(), LocalCa(tmp_path)
    with served(hub, *authority.issue()) as port, proxied() as between:
        url = f"https://127.0.0.1:{port}"
        settings = hub.settings(url=url, ca=authority.certificate, proxy=f"http://bank:secret@127.0.0.1:{between}")
        with open_client(settings) as client:
            job = client.dataset("tax/annual_filings").count().submit().wait(progress=False)
            assert job.result() is not None
        assert set(Tunnel.asked) == {f"127.0.0.1:{port}"}
        wrong = hub.settings(url=url, ca=authority.certificate, proxy=f"http://bank:guess@127.0.0.1:{between}")
        with open_client(wrong) as client, pytest.raises(UnavailableError) as error:
            client.catalog.search()
    assert "guess" not in f"{error.value} {error.value.hint} {error.value.detail} {error.value.__cause__}"
