"""Requests to the hub that were signed beforehand: reads beside `/healthz`, submissions beside the bare log."""

import http.client
import ssl
import statistics
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from time import perf_counter
from typing import Any, Final
from urllib.parse import urlsplit

from bench.figures import Figure
from bench.logs import make_statements, new_log
from bench.scene import Partner, Scene
from yingbi.canonical import canonical_bytes
from yingbi.client.query import Query
from yingbi.client.statements import Issuer, job_submitted, submission
from yingbi.clock import SystemClock
from yingbi.http_signing import sign_request
from yingbi.ids import new_id
from yingbi.keys import SigningKey

__all__ = ["measure_reads", "measure_submissions"]

_READERS: Final = 8
_TIMEOUT_S: Final = 60.0
_CLOCK: Final = SystemClock()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A request that is ready to be sent."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def measure_reads(scene: Scene, url: str, key: SigningKey, job: str, *, count: int, runs: int) -> Figure:
    """Measure reads of one job by its partner."""
    signed, plain, spent = [], [], 0.0
    for _ in range(runs):
        shares = [[_sign(url, key, f"/v1/jobs/{job}") for _ in range(count // _READERS)] for _ in range(_READERS)]
        before = scene.spent_s("hub")
        signed.append(_drive(url, scene.ca, shares, good=200))
        spent += scene.spent_s("hub") - before
        unsigned = [[_Asked(method="GET", path="/healthz")] * len(share) for share in shares]
        plain.append(_drive(url, scene.ca, unsigned, good=200))
    value, other = statistics.median(signed), statistics.median(plain)
    return Figure(
        name=f"signed reads of a job, {_READERS} connections, hub on one core",
        value=value,
        unit="/s",
        runs=signed,
        target="at least 200/s",
        baseline=f"/healthz, unsigned {other:,.0f}/s; ours is {value / other:.2f} of it; "
        f"{spent * 1000 / (count * runs):.1f} ms of the hub's processor each",
    )


def measure_submissions(
    scene: Scene, url: str, partners: Sequence[Partner], query: Query[Any, Any], *, each: int, runs: int
) -> Figure:
    """Measure how fast partners that all submit at once are answered that their jobs are recorded and approved."""
    (scene.folder / "plain-log").mkdir()
    log, store = new_log(scene.folder / "plain-log")
    statements = make_statements(each)
    ours, appends, spent = [], [], 0.0
    for _ in range(runs):
        shares = [[_submission(url, partner, query) for _ in range(each)] for partner in partners]
        before = scene.spent_s("hub")
        ours.append(_drive(url, scene.ca, shares, good=202))
        spent += scene.spent_s("hub") - before
        appends.append(_in_threads([lambda: [log.append(one) for one in statements]] * len(partners)) * each)
    log.close()
    store.close()
    value, other = statistics.median(ours), statistics.median(appends)
    return Figure(
        name=f"submissions, durable and cosigned, {len(partners)} partners at once, hub on one core",
        value=value,
        unit="/s",
        runs=ours,
        target="at least 100/s",
        baseline=f"Log.append, as many callers, no witness {other:,.0f}/s; ours is {value / other:.3f} of it; "
        f"{spent * 1000 / (each * len(partners) * runs):.1f} ms of the hub's processor each",
    )


def _submission(url: str, partner: Partner, query: Query[Any, Any]) -> _Asked:
    draft = job_submitted(
        Issuer(party=partner.party),
        agreement=partner.terms.id,
        purpose=partner.terms.purpose,
        operations=query.operations,
        datasets=query.datasets,
        plan=query.to_json(),
        result_key=partner.key.public.to_jwk()["x"],
        expires_at=_CLOCK.now() + timedelta(days=1),
    )
    body = canonical_bytes(submission([draft.sign([partner.key])], openings=draft.openings))
    return _sign(url, partner.key, "/v1/jobs", body)


def _sign(url: str, key: SigningKey, path: str, body: bytes = b"") -> _Asked:
    headers = {"Accept": "application/json"}
    if body:
        headers |= {"Content-Type": "application/json", "Idempotency-Key": new_id("idem")}
    method = "POST" if body else "GET"
    sign_request(method, url + path, headers, body, key=key, clock=_CLOCK)
    return _Asked(method=method, path=path, headers=headers, body=body)


def _drive(url: str, ca: Path, shares: Sequence[Sequence[_Asked]], *, good: int) -> float:
    """Send every share over a connection of its own, all at once; return requests a second."""
    place, context = urlsplit(url), ssl.create_default_context(cafile=str(ca))
    connections = [http.client.HTTPSConnection(place.netloc, timeout=_TIMEOUT_S, context=context) for _ in shares]
    answers: list[int] = []

    def send(connection: http.client.HTTPSConnection, share: Sequence[_Asked]) -> None:
        for one in share:
            connection.request(one.method, one.path, one.body or None, one.headers)
            response = connection.getresponse()
            response.read()
            answers.append(response.status)

    for connection in connections:
        connection.connect()
    rounds = [
        lambda connection=connection, share=share: send(connection, share)
        for connection, share in zip(connections, shares, strict=True)
    ]
    calls = _in_threads(rounds)
    for connection in connections:
        connection.close()
    count = sum(map(len, shares))
    if answers != [good] * count:
        raise RuntimeError(f"expected {count} answers {good}, not {sorted(set(answers))} ({len(answers)})")
    return calls * count / len(shares)


def _in_threads(calls: Sequence[Callable[[], object]]) -> float:
    """Make all calls at once, each in a thread; return calls a second."""
    threads = [threading.Thread(target=call) for call in calls]
    start = perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(calls) / (perf_counter() - start)
