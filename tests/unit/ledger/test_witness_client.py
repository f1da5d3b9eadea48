"""The log's side: what each answer of a witness means, what a hostile one can do, and rounds that reach a quorum."""

import gzip
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from ledger.note import Cosigner, MlDsaCosigner, Note, NoteSigner, format_note, parse_note, verify_note
from ledger.trust_policy import TrustPolicy, parse_trust_policy
from ledger.witness import SIZE_CONTENT_TYPE, MemoryWitnessStore, Witness, parse_add_checkpoint
from ledger.witness_client import WitnessClient, make_witness_clients, open_witness_http
from ledger.witness_round import HttpWitnesses, WitnessReport, collect_cosignatures
from tests.conftest import START
from tests.lib.tls import LocalCa
from tests.lib.witness_trees import ORIGIN, ListLog
from yingbi.clock import FixedClock
from yingbi.errors import (
    ErrorCode,
    InvalidRequestError,
    RefusedError,
    SandboxError,
    TamperDetectedError,
    UnavailableError,
    VerificationError,
)
from yingbi.keys import SigningKey
from yingbi.receipts import ConsistencyProof

CLOCK = FixedClock(START)
LOG = ListLog().grow(20)
Handler = Callable[[httpx.Request], httpx.Response]


def cosigner(number: int) -> Cosigner:
    return Cosigner(f"w{number}.example", SigningKey.from_seed(bytes([100 + number]) * 32), CLOCK)


def respond(content: bytes, status: int = 200, content_type: str = "text/plain", **headers: str) -> httpx.Response:
    """Answer as a server does: with a stream that can be read once."""
    return httpx.Response(status, content=iter([content]), headers={"content-type": content_type, **headers})


class SimulatedWitness:
    """The real rules behind a transport that needs no socket; it counts requests and can be told to misbehave."""

    def __init__(self, *signers: NoteSigner, log: ListLog = LOG) -> None:
        self.store = MemoryWitnessStore()
        self.witness = Witness(signers or (cosigner(1),), [log.verifier], store=self.store, clock=CLOCK)
        self.requests: list[httpx.Request] = []
        self.override: Handler | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.override is not None:
            return self.override(request)
        answer = self.witness.add_checkpoint(request.content)
        return respond(answer.body, answer.status, answer.content_type)

    @property
    def old_sizes(self) -> list[int]:
        return [parse_add_checkpoint(request.content).old_size for request in self.requests]

    def cosign(self, log: ListLog, size: int) -> None:
        """Cosign without this test's client."""
        known = self.store.load(ORIGIN).checkpoint
        self.store.advance(known, log.signed(size))


def make_client(simulated: Handler, *, url: str = "https://w1.example/log", number: int = 1) -> WitnessClient:
    http = httpx.Client(transport=httpx.MockTransport(simulated))
    return WitnessClient(url, [cosigner(number).verifier], http=http, clock=CLOCK)


def submit(client: WitnessClient, size: int, *, log: ListLog = LOG, timeout_s: float = 10.0) -> bytes:
    """Submit a checkpoint; return the note with the cosignatures."""
    signed = log.signed(size)
    lines = client.add_checkpoint(signed, lambda old: log.prove(old, size), timeout_s=timeout_s)
    note = parse_note(signed.note)
    return format_note(Note(note.text, (*note.signatures, *lines)))


def refusal(simulated: Handler, size: int = 9, *, log: ListLog = LOG) -> SandboxError:
    with pytest.raises(SandboxError) as caught:
        submit(make_client(simulated), size, log=log)
    return caught.value


# --- one witness ------------------------------------------------------------------------------------------------------


def test_a_cosignature_is_fetched_and_verifies() -> None:
    simulated = SimulatedWitness()
    note = submit(make_client(simulated), 9)
    assert [item.verifier for item in verify_note(parse_note(note), [cosigner(1).verifier])] == [cosigner(1).verifier]
    (request,) = simulated.requests
    assert (request.method, str(request.url)) == ("POST", "https://w1.example/log/add-checkpoint")
    assert request.headers["accept-encoding"] == "identity"


def test_the_size_is_learned_once_and_remembered() -> None:
    simulated = SimulatedWitness()
    simulated.cosign(LOG, 5)
    client = make_client(simulated)
    for size in (9, 12, 12, 20):
        submit(client, size)
    assert simulated.old_sizes == [0, 5, 9, 12, 12]


def test_a_witness_that_somebody_else_advanced_is_followed() -> None:
    simulated = SimulatedWitness()
    client = make_client(simulated)
    submit(client, 9)
    simulated.cosign(LOG, 12)
    submit(client, 20)
    assert simulated.old_sizes == [0, 9, 12]


def test_a_witness_that_forgot_is_followed() -> None:
    """It broke its promise, but not to us: its next cosignature still says what it says."""
    simulated = SimulatedWitness()
    client = make_client(simulated)
    submit(client, 9)
    simulated.store._heads.clear()
    submit(client, 12)
    assert simulated.old_sizes == [0, 9, 0]


def test_a_log_that_was_rolled_back_is_told() -> None:
    simulated = SimulatedWitness()
    simulated.cosign(LOG, 15)
    error = refusal(simulated, 9)
    assert (type(error), error.code) == (TamperDetectedError, ErrorCode.LOG_ROLLED_BACK)
    assert error.message == "log has 9 entries, but witness `w1.example` has cosigned 15"


def test_a_log_that_was_rolled_back_is_told_by_the_same_client() -> None:
    simulated = SimulatedWitness()
    client = make_client(simulated)
    submit(client, 15)
    with pytest.raises(TamperDetectedError) as caught:
        submit(client, 9)
    assert caught.value.code is ErrorCode.LOG_ROLLED_BACK


FORKS = {
    "at the same size": (9, 9),
    "at a smaller size": (6, 9),
    "at a smaller size that is a power of two": (8, 9),
}


@pytest.mark.parametrize("case", FORKS)
def test_a_log_that_forked_is_told(case: str) -> None:
    seen, size = FORKS[case]
    simulated = SimulatedWitness()
    simulated.cosign(LOG.fork(3, mark="b"), seen)
    error = refusal(simulated, size)
    assert (type(error), error.code) == (TamperDetectedError, ErrorCode.LOG_FORKED)


def test_cosignatures_by_unknown_keys_are_ignored() -> None:
    simulated = SimulatedWitness(cosigner(1), MlDsaCosigner("w1.example", MLDSA44PrivateKey.generate(), CLOCK))
    signed = LOG.signed(9)
    lines = make_client(simulated).add_checkpoint(signed, lambda old: LOG.prove(old, 9))
    assert [(line.name, line.key_id) for line in lines] == [("w1.example", cosigner(1).verifier.key_id)]


def test_a_witness_with_two_keys_gives_two_cosignatures() -> None:
    ml_dsa = MlDsaCosigner("w1.example", MLDSA44PrivateKey.from_seed_bytes(bytes(32)), CLOCK)
    simulated = SimulatedWitness(cosigner(1), ml_dsa)
    http = httpx.Client(transport=httpx.MockTransport(simulated))
    keys = [cosigner(1).verifier, ml_dsa.verifier]
    client = WitnessClient("https://w1.example", keys, http=http, clock=CLOCK)
    assert len(verify_note(parse_note(submit(client, 9)), keys)) == 2


def answer(content: bytes, status: int = 200, content_type: str = "text/plain", **headers: str) -> Handler:
    return lambda _: respond(content, status, content_type, **headers)


def cosign(signer: NoteSigner, size: int = 9) -> bytes:
    return (signer.sign(parse_note(LOG.signed(size).note).text).to_line() + "\n").encode()


GOOD_LINE = cosign(cosigner(1))
LATE = Cosigner("w1.example", cosigner(1).key, FixedClock(START + timedelta(seconds=301)))
EARLY = Cosigner("w1.example", cosigner(1).key, FixedClock(START - timedelta(seconds=301)))
UNACCEPTABLE: dict[str, Handler] = {
    "nothing": answer(b""),
    "an unknown key's cosignature": answer(cosign(cosigner(2))),
    "the log's own signature": answer(cosign(LOG.signer)),
    "a cosignature on another checkpoint": answer(cosign(cosigner(1), 8)),
    "a good cosignature and a bad one by the same key": answer(GOOD_LINE + cosign(cosigner(1), 8)),
    "a cosignature without a newline": answer(GOOD_LINE[:-1]),
    "a cosignature and a line of text": answer(GOOD_LINE + b"welcome\n"),
    "a whole note": answer(LOG.signed(9).note + GOOD_LINE),
    "bytes that are not UTF-8": answer(GOOD_LINE + b"\xff\n"),
    "a packed cosignature": answer(gzip.compress(GOOD_LINE), 200, "text/plain", **{"content-encoding": "gzip"}),
    "65 lines": answer(GOOD_LINE * 65),
    "a cosignature from the future": answer(cosign(LATE)),
    "a cosignature from the past": answer(cosign(EARLY)),
    "a redirect": answer(b"", 307, location="https://w2.example/add-checkpoint"),
    "no content": answer(b"", 204),
    "bad request": answer(b"no", 400),
    "forbidden": answer(b"no", 403),
    "not found": answer(b"no", 404),
    "too large": answer(b"no", 413),
    "a conflict with nothing": answer(b"no", 409),
    "a conflict with the size that was sent": answer(b"0\n", 409, SIZE_CONTENT_TYPE),
    "a conflict with a size that is none": answer(b"many\n", 409, SIZE_CONTENT_TYPE),
    "a conflict with a negative size": answer(b"-1\n", 409, SIZE_CONTENT_TYPE),
    "a conflict with bytes": answer(b"\xff", 409, SIZE_CONTENT_TYPE),
}


@pytest.mark.parametrize("case", UNACCEPTABLE)
def test_an_unacceptable_answer_is_a_refusal(case: str) -> None:
    simulated = SimulatedWitness()
    simulated.override = UNACCEPTABLE[case]
    error = refusal(simulated)
    assert (type(error), error.code) == (VerificationError, ErrorCode.WITNESS_REFUSED)
    assert len(simulated.requests) == 1
    assert "w1.example" in error.message
    assert "\n" not in error.message


def test_a_time_within_300_seconds_is_accepted() -> None:
    clock = FixedClock(START + timedelta(seconds=300))
    simulated = SimulatedWitness(Cosigner("w1.example", cosigner(1).key, clock))
    submit(make_client(simulated), 9)


def test_an_answer_that_does_not_end_is_cut_off() -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield GOOD_LINE * 10

    error = refusal(lambda _: httpx.Response(200, content=endless()))
    assert error.code is ErrorCode.WITNESS_REFUSED
    assert sent < 100


def test_an_answer_that_drips_is_cut_off() -> None:
    def drip() -> Iterator[bytes]:
        while True:
            time.sleep(0.02)
            yield b"x"

    started = time.monotonic()
    with pytest.raises(UnavailableError):
        submit(make_client(lambda _: httpx.Response(200, content=drip())), 9, timeout_s=0.2)
    assert time.monotonic() - started < 5


def fail(error: Exception) -> Handler:
    def handler(_: httpx.Request) -> httpx.Response:
        raise error

    return handler


UNAVAILABLE: dict[str, Handler] = {
    "nobody listens": fail(httpx.ConnectError("refused by 10.0.0.1")),
    "it takes too long": fail(httpx.ReadTimeout("slow")),
    "the connection breaks": fail(httpx.ReadError("broken")),
    "something that is not HTTP": fail(httpx.RemoteProtocolError("odd")),
    "a proxy that fails": fail(httpx.ProxyError("odd")),
    "the system refuses": fail(OSError("no route")),
    "it is overloaded": answer(b"", 503),
    "it is broken": answer(b"Traceback", 500),
    "it wants fewer requests": answer(b"", 429),
}


@pytest.mark.parametrize("case", UNAVAILABLE)
def test_no_answer_is_unavailable(case: str) -> None:
    error = refusal(UNAVAILABLE[case])
    assert (type(error), error.code) == (UnavailableError, ErrorCode.WITNESS_UNAVAILABLE)
    assert "10.0.0.1" not in error.message


def test_a_witness_that_keeps_naming_other_sizes_is_given_up() -> None:
    simulated = SimulatedWitness()

    def confuse(request: httpx.Request) -> httpx.Response:
        size = (parse_add_checkpoint(request.content).old_size + 1) % 8
        return respond(b"%d\n" % size, 409, SIZE_CONTENT_TYPE)

    simulated.override = confuse
    assert refusal(simulated).code is ErrorCode.WITNESS_REFUSED
    assert len(simulated.requests) == 4


def test_the_type_of_a_size_may_have_parameters() -> None:
    simulated = SimulatedWitness()
    simulated.override = answer(b"15\n", 409, "text/x.tlog.size; charset=utf-8")
    assert refusal(simulated).code is ErrorCode.LOG_ROLLED_BACK


def test_requests_to_one_witness_wait_for_each_other() -> None:
    simulated = SimulatedWitness()
    arrived, let_go = threading.Event(), threading.Event()

    def wait(_: httpx.Request) -> httpx.Response:
        arrived.set()
        assert let_go.wait(10)
        return respond(GOOD_LINE)

    simulated.override = wait
    client = make_client(simulated)
    slow = threading.Thread(target=submit, args=(client, 9))
    slow.start()
    assert arrived.wait(10)
    with pytest.raises(UnavailableError):
        submit(client, 12, timeout_s=0.05)
    let_go.set()
    slow.join()
    assert len(simulated.requests) == 1


# --- where requests go ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8080", "http://localhost/x", "http://[::1]:1/", "https://w.example", "https://10.0.0.1/a/"],
)
def test_a_safe_url_is_taken(url: str) -> None:
    simulated = SimulatedWitness()
    submit(make_client(simulated, url=url), 9)
    assert str(simulated.requests[0].url) == url.rstrip("/") + "/add-checkpoint"


@pytest.mark.parametrize(
    "url", ["http://w.example", "http://10.0.0.1", "http://0.0.0.0:1", "http://localhost.example", "HTTP://w.example"]
)
def test_plain_http_to_elsewhere_is_refused(url: str) -> None:
    with pytest.raises(RefusedError) as caught:
        make_client(SimulatedWitness(), url=url)
    assert caught.value.code is ErrorCode.INSECURE_TRANSPORT


@pytest.mark.parametrize(
    "url",
    [
        "",
        "w.example",
        "ftp://w.example",
        "https://",
        "https://user:secret@w.example",
        "https://w.example/?a=b",
        "https://w.example/?",
        "https://w.example/#a",
        "https://w.example:port/",
        "https://w.example\n",
    ],
)
def test_something_that_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        make_client(SimulatedWitness(), url=url)
    assert caught.value.code is ErrorCode.CONFIG_INVALID
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("keys", [[], [LOG.verifier]])
def test_a_client_needs_keys_that_cosign(keys: list[object]) -> None:
    with pytest.raises(InvalidRequestError):
        WitnessClient("https://w.example", keys, http=httpx.Client(), clock=CLOCK)  # type: ignore[arg-type]


def test_the_http_client_takes_nothing_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent")
    with open_witness_http() as http:
        assert not http.trust_env
        assert not http.follow_redirects
        assert http._mounts == {}


def test_the_http_client_keeps_no_cookies() -> None:
    with open_witness_http() as http:
        response = httpx.Response(
            200, headers={"set-cookie": "a=b"}, request=httpx.Request("GET", "https://w1.example/")
        )
        http.cookies.extract_cookies(response)
        assert list(http.cookies.jar) == []


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_a_wrong_ca_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidRequestError):
        open_witness_http(ca_file=path)


def test_a_wrong_proxy_is_refused() -> None:
    with pytest.raises(InvalidRequestError):
        open_witness_http(proxy="nonsense://x")


def test_only_the_given_authority_is_trusted(tmp_path: Path) -> None:
    with open_witness_http(ca_file=LocalCa(tmp_path).certificate) as http:
        context = http._transport._pool._ssl_context  # type: ignore[attr-defined]
        assert len(context.get_ca_certs()) == 1


# --- rounds -----------------------------------------------------------------------------------------------------------


def make_policy(quorum: str, count: int = 3) -> TrustPolicy:
    lines = [f"log {LOG.verifier.encode()}"]
    lines += [f"witness w{n} {cosigner(n).verifier.encode()} https://w{n}.example" for n in range(1, count + 1)]
    names = " ".join(f"w{n}" for n in range(1, count + 1))
    lines += [f"group all-of-them {quorum} {names}", "quorum all-of-them"] if quorum != "none" else ["quorum none"]
    return parse_trust_policy(("\n".join(lines) + "\n").encode())


class Fleet:
    """Witnesses 1 to 3, each behind its own URL."""

    def __init__(self, quorum: str = "2") -> None:
        self.policy = make_policy(quorum)
        self.members = [SimulatedWitness(cosigner(n)) for n in (1, 2, 3)]
        http = httpx.Client(transport=httpx.MockTransport(self.dispatch))
        self.clients = make_witness_clients(self.policy, http, clock=CLOCK)

    def dispatch(self, request: httpx.Request) -> httpx.Response:
        return self.members[int(request.url.host[1]) - 1](request)

    def break_down(self, *numbers: int, handler: Handler | None = None) -> None:
        for number in numbers:
            self.members[number - 1].override = handler or fail(httpx.ConnectError("down"))


def names(note: bytes) -> list[str]:
    return [line.name for line in parse_note(note).signatures]


def codes(reports: Sequence[WitnessReport]) -> list[ErrorCode | None]:
    return [report.error.code if report.error else None for report in reports]


def prove(size: int) -> Callable[[int], ConsistencyProof]:
    return lambda old: LOG.prove(old, size)


def test_everybody_is_asked_and_the_cosignatures_are_added() -> None:
    fleet = Fleet("all")
    collected = collect_cosignatures(fleet.clients, LOG.signed(9), prove(9), fleet.policy)
    assert collected.is_met
    assert sorted(names(collected.note)) == [ORIGIN, "w1.example", "w2.example", "w3.example"]
    assert len(verify_note(parse_note(collected.note), fleet.policy.verifiers)) == 4
    assert codes(collected.reports) == [None, None, None]
    assert sorted(line.name for line in collected.cosignatures) == ["w1.example", "w2.example", "w3.example"]


def test_one_witness_that_is_down_stops_nobody() -> None:
    fleet = Fleet("2")
    fleet.break_down(2)
    collected = collect_cosignatures(fleet.clients, LOG.signed(9), prove(9), fleet.policy)
    assert collected.is_met
    assert names(collected.note)[0] == ORIGIN
    assert "w2.example" not in names(collected.note)


def test_without_a_quorum_the_reports_say_why() -> None:
    fleet = Fleet("2")
    fleet.break_down(1)
    fleet.break_down(3, handler=answer(b"no", 403))
    collected = collect_cosignatures(fleet.clients, LOG.signed(9), prove(9), fleet.policy)
    assert not collected.is_met
    assert names(collected.note) == [ORIGIN, "w2.example"]
    assert [report.name for report in collected.reports] == ["w1.example", "w2.example", "w3.example"]
    assert codes(collected.reports) == [ErrorCode.WITNESS_UNAVAILABLE, None, ErrorCode.WITNESS_REFUSED]


class Gate:
    """Holds requests until it is opened."""

    def __init__(self) -> None:
        self.is_open = threading.Event()

    def __call__(self, _: httpx.Request) -> httpx.Response:
        self.is_open.wait(10)
        return respond(b"", 503)


def test_the_quorum_is_enough_and_nobody_waits_for_the_slow() -> None:
    fleet, gate = Fleet("2"), Gate()
    fleet.break_down(3, handler=gate)
    started = time.monotonic()
    collected = collect_cosignatures(fleet.clients, LOG.signed(9), prove(9), fleet.policy, deadline_s=9)
    assert time.monotonic() - started < 5
    gate.is_open.set()
    assert collected.is_met
    assert codes(collected.reports) == [None, None, ErrorCode.WITNESS_UNAVAILABLE]


def test_the_deadline_ends_a_round_without_a_quorum() -> None:
    fleet, gate = Fleet("all"), Gate()
    fleet.break_down(3, handler=gate)
    started = time.monotonic()
    collected = collect_cosignatures(fleet.clients, LOG.signed(9), prove(9), fleet.policy, deadline_s=1.0)
    assert 0.9 < time.monotonic() - started < 5
    gate.is_open.set()
    assert not collected.is_met
    assert sorted(names(collected.note)) == [ORIGIN, "w1.example", "w2.example"]


@pytest.mark.parametrize("quorum", ["any", "none"])
def test_a_round_can_wait_for_everybody(quorum: str) -> None:
    fleet = Fleet(quorum)
    collected = collect_cosignatures(fleet.clients, LOG.signed(9), prove(9), fleet.policy, wait_for_all=quorum == "any")
    assert collected.is_met
    assert len(collected.cosignatures) == 3


def test_cosignatures_that_the_note_has_count_and_fresh_ones_replace_them() -> None:
    fleet = Fleet("all")
    old = Cosigner("w1.example", cosigner(1).key, FixedClock(START - timedelta(days=1)))
    text = parse_note(LOG.signed(9).note)
    signed = replace(LOG.signed(9), note=format_note(Note(text.text, (*text.signatures, old.sign(text.text)))))
    fleet.break_down(1)
    collected = collect_cosignatures(fleet.clients, signed, prove(9), fleet.policy)
    assert collected.is_met
    assert [line.name for line in collected.cosignatures] != []
    assert "w1.example" not in [line.name for line in collected.cosignatures]
    fleet = Fleet("all")
    again = collect_cosignatures(
        fleet.clients, replace(signed, note=collected.note), prove(9), fleet.policy, wait_for_all=True
    )
    assert sorted(names(again.note)) == [ORIGIN, "w1.example", "w2.example", "w3.example"]
    times = {item.timestamp for item in verify_note(parse_note(again.note), [cosigner(1).verifier])}
    assert times == {int(START.timestamp())}


def test_a_cosignature_in_the_note_that_does_not_verify_is_not_counted() -> None:
    fleet = Fleet("any")
    note = LOG.signed(9).note + cosign(cosigner(1), 8)
    with pytest.raises(VerificationError):
        collect_cosignatures(fleet.clients, replace(LOG.signed(9), note=note), prove(9), fleet.policy)


def test_nobody_to_ask_is_no_quorum() -> None:
    policy = make_policy("any")
    collected = collect_cosignatures([], LOG.signed(9), prove(9), policy)
    assert not collected.is_met
    assert collected.note == LOG.signed(9).note


def test_one_proof_is_computed_for_many_witnesses_and_none_after_the_round() -> None:
    fleet, gate = Fleet("2"), Gate()
    asked: list[int] = []

    def count(old: int) -> ConsistencyProof:
        asked.append(old)
        return LOG.prove(old, 9)

    def late(_: httpx.Request) -> httpx.Response:
        gate.is_open.wait(10)
        return respond(b"5\n", 409, SIZE_CONTENT_TYPE)

    fleet.break_down(3, handler=late)
    collect_cosignatures(fleet.clients, LOG.signed(9), count, fleet.policy)
    gate.is_open.set()
    fleet.clients[2]._turn.acquire()  # the late thread has ended when this is free
    assert asked == [0]


def test_a_fault_of_the_prover_is_not_a_fault_of_a_witness() -> None:
    fleet = Fleet("any")

    def broken(_: int) -> ConsistencyProof:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        collect_cosignatures(fleet.clients, LOG.signed(9), broken, fleet.policy)


def test_clients_are_made_for_urls_with_all_their_keys() -> None:
    ml_dsa = MlDsaCosigner("w1.example", MLDSA44PrivateKey.from_seed_bytes(bytes(32)), CLOCK)
    lines = [
        f"log {LOG.verifier.encode()}",
        f"witness a {cosigner(1).verifier.encode()} https://w1.example",
        f"witness b {ml_dsa.verifier.encode()} https://w1.example",
        f"witness c {cosigner(2).verifier.encode()}",
        "group both all a b",
        "quorum both",
    ]
    policy = parse_trust_policy(("\n".join(lines) + "\n").encode())
    simulated = SimulatedWitness(cosigner(1), ml_dsa)
    http = httpx.Client(transport=httpx.MockTransport(simulated))
    clients = make_witness_clients(policy, http, clock=CLOCK)
    assert [client.name for client in clients] == ["w1.example"]
    assert collect_cosignatures(clients, LOG.signed(9), prove(9), policy).is_met
    assert len(simulated.requests) == 1


# --- what the log calls -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("quorum", "is_required"), [("any", True), ("none", False)])
def test_witnesses_are_required_when_the_policy_says_so(quorum: str, is_required: bool) -> None:
    fleet = Fleet(quorum)
    assert HttpWitnesses(fleet.clients, fleet.policy).is_required is is_required


def test_a_round_returns_the_cosignatures_and_whether_they_suffice() -> None:
    fleet = Fleet("2")
    fleet.break_down(1)
    witnesses = HttpWitnesses(fleet.clients, fleet.policy)
    lines, is_met = witnesses.collect(LOG.signed(9), prove(9))
    assert (sorted(line.name for line in lines), is_met) == (["w2.example", "w3.example"], True)
    fleet.break_down(2)
    lines, is_met = witnesses.collect(LOG.signed(12), prove(12))
    assert ([line.name for line in lines], is_met) == (["w3.example"], False)


def test_one_witness_that_saw_more_outweighs_a_quorum_at_the_start() -> None:
    """The log was restored from a backup; the witness that saw more answers last."""
    fleet = Fleet("2")
    fleet.members[2].cosign(LOG, 15)
    real = fleet.members[2].witness

    def slow(request: httpx.Request) -> httpx.Response:
        time.sleep(0.2)
        answered = real.add_checkpoint(request.content)
        return respond(answered.body, answered.status, answered.content_type)

    fleet.break_down(3, handler=slow)
    witnesses = HttpWitnesses(fleet.clients, fleet.policy)
    with pytest.raises(TamperDetectedError) as caught:
        witnesses.collect(LOG.signed(9), prove(9))
    assert caught.value.code is ErrorCode.LOG_ROLLED_BACK


def test_later_rounds_do_not_wait_for_the_slow() -> None:
    fleet, gate = Fleet("2"), Gate()
    witnesses = HttpWitnesses(fleet.clients, fleet.policy, deadline_s=9)
    witnesses.collect(LOG.signed(9), prove(9))
    fleet.break_down(3, handler=gate)
    started = time.monotonic()
    _, is_met = witnesses.collect(LOG.signed(12), prove(12))
    assert time.monotonic() - started < 5
    gate.is_open.set()
    assert is_met
