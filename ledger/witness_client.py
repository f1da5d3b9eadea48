"""The log's side of C2SP tlog-witness: one witness, asked over HTTPS (docs/spec/witness.md, "The log's side")."""

import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from time import monotonic
from typing import Final

import httpx

from ledger.checkpoint import parse_decimal
from ledger.note import NoteSignature, NoteVerifier, VerifiedSignature, parse_note, parse_signature_lines
from ledger.trust_policy import TrustPolicy
from ledger.witness import SIZE_CONTENT_TYPE, TEXT_CONTENT_TYPE, format_add_checkpoint
from yingbi.clock import Clock
from yingbi.errors import (
    ErrorCode,
    InvalidRequestError,
    RefusedError,
    SandboxError,
    TamperDetectedError,
    UnavailableError,
    VerificationError,
)
from yingbi.receipts import ConsistencyProof, SignedCheckpoint
from yingbi.transport import is_loopback

__all__ = ["Prove", "WitnessClient", "make_witness_clients", "open_witness_http"]

Prove = Callable[[int], ConsistencyProof]
"""Proves that the tree of an old size is a prefix of the checkpoint's tree."""

_MAX_RESPONSE_BYTES: Final = 1 << 16
_MAX_ATTEMPTS: Final = 4
_MAX_SKEW_S: Final = 300
_TIMEOUT_S: Final = 10.0
_UNAVAILABLE: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT)


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    content_type: str
    body: bytes


def open_witness_http(*, ca_file: Path | None = None, proxy: str | None = None) -> httpx.Client:
    """Return an HTTP client for witnesses: no redirects, no cookies, no settings from the environment.

    Args:
        ca_file: the only certificate authorities to trust; by default the system's.
        proxy: URL of an HTTP proxy.

    Raises:
        InvalidRequestError: the file holds no certificates, or the proxy is no URL.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
        jar = CookieJar(DefaultCookiePolicy(allowed_domains=()))
        return httpx.Client(verify=context, proxy=proxy, trust_env=False, follow_redirects=False, cookies=jar)
    except (OSError, ValueError, httpx.InvalidURL) as error:
        raise InvalidRequestError(
            ErrorCode.CONFIG_INVALID, "expected a PEM file of certificates and the URL of a proxy", detail=str(error)
        ) from None


def make_witness_clients(policy: TrustPolicy, http: httpx.Client, *, clock: Clock) -> tuple["WitnessClient", ...]:
    """Return one client for each URL in the `witness` lines of a policy; witnesses without a URL are not asked."""
    keys: dict[str, list[NoteVerifier]] = {}
    for witness in policy.witnesses:
        if witness.url is not None:
            keys.setdefault(witness.url, []).append(witness.verifier)
    return tuple(WitnessClient(url, verifiers, http=http, clock=clock) for url, verifiers in keys.items())


class WitnessClient:
    """Asks one witness for cosignatures. Thread-safe: one request at a time, in the order of the calls.

    Args:
        url: its submission prefix, HTTPS unless loopback.
        verifiers: its keys, from the trust policy; signatures by others are ignored.
        http: see `open_witness_http`; may be shared.
        clock: cosignatures must be of its time, give or take 300 s.

    Raises:
        InvalidRequestError: not an absolute URL, or no keys.
        RefusedError: plain HTTP to another machine.
    """

    def __init__(self, url: str, verifiers: Sequence[NoteVerifier], *, http: httpx.Client, clock: Clock) -> None:
        self._url = _parse_url(url)
        self._verifiers = {(verifier.name, verifier.key_id): verifier for verifier in verifiers}
        if not verifiers or not all(verifier.is_cosigner for verifier in verifiers):
            raise InvalidRequestError(ErrorCode.CONFIG_INVALID, "expected keys that make cosignatures")
        self.name = verifiers[0].name
        self._http = http
        self._clock = clock
        self._turn = threading.Lock()
        self._known_size = 0

    def add_checkpoint(
        self, signed: SignedCheckpoint, prove: Prove, *, timeout_s: float = _TIMEOUT_S
    ) -> tuple[NoteSignature, ...]:
        """Submit a checkpoint; return the witness's cosignatures, verified.

        Args:
            signed: the checkpoint with the log's signature.
            prove: is called with the size at which the witness stands, and once more if it stands elsewhere.
            timeout_s: for everything together; a single silent read may take as long again.

        Raises:
            TamperDetectedError: the witness is ahead of the log (LOG_ROLLED_BACK) or saw another history (LOG_FORKED).
            VerificationError: it refused, or its answer is not acceptable (WITNESS_REFUSED).
            UnavailableError: no answer (WITNESS_UNAVAILABLE).
        """
        deadline = monotonic() + timeout_s
        if not self._turn.acquire(timeout=timeout_s):
            raise self._unavailable("is still busy with an earlier checkpoint")
        try:
            return self._submit(signed, prove, deadline)
        finally:
            self._turn.release()

    def _submit(self, signed: SignedCheckpoint, prove: Prove, deadline: float) -> tuple[NoteSignature, ...]:
        size = signed.checkpoint.size
        # INVARIANT: what is remembered saves a round trip and decides nothing; only the witness says that it is ahead.
        old_size = min(self._known_size, size)
        for _ in range(_MAX_ATTEMPTS):
            answer = self._post(format_add_checkpoint(prove(old_size), signed.note), deadline)
            if answer.status == HTTPStatus.OK:
                cosignatures = self._read_cosignatures(answer, signed)
                self._known_size = size
                return cosignatures
            old_size = self._read_refusal(answer, old_size, size)
        raise self._refused("keeps answering with other sizes")

    def _post(self, body: bytes, deadline: float) -> _Answer:
        remaining = deadline - monotonic()
        if remaining <= 0:
            raise self._unavailable("did not answer in time")
        request = self._http.build_request(
            "POST",
            self._url,
            content=body,
            headers={"content-type": TEXT_CONTENT_TYPE, "accept-encoding": "identity"},
            timeout=remaining,
        )
        try:
            response = self._http.send(request, stream=True, follow_redirects=False)
            try:
                content = self._read(response, deadline)
            finally:
                response.close()
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            raise self._unavailable("cannot be reached", detail=type(error).__name__) from None
        return _Answer(response.status_code, response.headers.get("content-type", ""), content)

    def _read(self, response: httpx.Response, deadline: float) -> bytes:
        content = b""
        # SECURITY: raw bytes, so that nothing unpacks itself; the deadline stops a witness that drips them.
        for chunk in response.iter_raw():
            content += chunk
            if len(content) > _MAX_RESPONSE_BYTES:
                raise self._refused(f"answered with more than {_MAX_RESPONSE_BYTES} bytes")
            if monotonic() > deadline:
                raise self._unavailable("did not answer in time")
        return content

    def _read_cosignatures(self, answer: _Answer, signed: SignedCheckpoint) -> tuple[NoteSignature, ...]:
        text = parse_note(signed.note).text
        try:
            lines = parse_signature_lines(answer.body.decode("utf-8"))
            known = {(line.name, line.key_id): line for line in lines if (line.name, line.key_id) in self._verifiers}
            verified = [self._verifiers[key].verify(text, line.blob) for key, line in known.items()]
        except (SandboxError, UnicodeDecodeError) as error:
            raise self._refused("answered with something that is not its cosignature") from error
        if not verified:
            raise self._refused("did not cosign with a key of the trust policy")
        self._check_times(verified)
        return tuple(known.values())

    def _check_times(self, verified: Sequence[VerifiedSignature]) -> None:
        now = self._clock.now().timestamp()
        # A cosignature bounds the times of entries: with a wrong time it would make verifiers call the log a liar.
        if any(item.timestamp is None or abs(item.timestamp - now) > _MAX_SKEW_S for item in verified):
            raise self._refused(f"cosigned at a time that differs by more than {_MAX_SKEW_S} s from this machine's")

    def _read_refusal(self, answer: _Answer, old_size: int, size: int) -> int:
        """Return the size to prove from next, or raise what the refusal means."""
        if answer.status == HTTPStatus.UNPROCESSABLE_ENTITY:
            raise self._forked(old_size)
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status in _UNAVAILABLE:
            raise self._unavailable(f"answered with status {answer.status}")
        if answer.status != HTTPStatus.CONFLICT:
            raise self._refused(f"answered with status {answer.status}")
        known_size = self._read_size(answer)
        if known_size is not None and known_size > size:
            raise TamperDetectedError(
                ErrorCode.LOG_ROLLED_BACK,
                f"log has {size} entries, but witness `{self.name}` has cosigned {known_size}",
                hint="an old backup was restored; bring the newer database back, this one will not sign",
            )
        if known_size is None or known_size == old_size:
            if old_size == size:
                raise self._forked(size)
            raise self._refused("answered with a conflict that is none")
        return known_size

    def _read_size(self, answer: _Answer) -> int | None:
        if answer.content_type.partition(";")[0].strip().lower() != SIZE_CONTENT_TYPE:
            return None
        try:
            return parse_decimal(answer.body.decode("ascii").removesuffix("\n"))
        except (SandboxError, UnicodeDecodeError) as error:
            raise self._refused("answered with something that is not a size") from error

    def _forked(self, size: int) -> TamperDetectedError:
        return TamperDetectedError(
            ErrorCode.LOG_FORKED,
            f"witness `{self.name}` has cosigned another history of the log at size {size}",
            hint="stop, keep the files, compare with the witness's evidence",
        )

    def _refused(self, what: str) -> VerificationError:
        return VerificationError(ErrorCode.WITNESS_REFUSED, f"witness `{self.name}` {what}")

    def _unavailable(self, what: str, *, detail: str | None = None) -> UnavailableError:
        return UnavailableError(ErrorCode.WITNESS_UNAVAILABLE, f"witness `{self.name}` {what}", detail=detail)


def _parse_url(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL()
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.userinfo or "?" in url or "#" in url:
        raise InvalidRequestError(
            ErrorCode.CONFIG_INVALID, "expected the URL of a witness such as `https://witness.bank.example`"
        )
    if parsed.scheme == "http" and not is_loopback(parsed.host):
        raise RefusedError(
            ErrorCode.INSECURE_TRANSPORT, f"witness at `{parsed.host}` would be asked without TLS", hint="use https"
        )
    return parsed.copy_with(raw_path=parsed.raw_path.rstrip(b"/") + b"/add-checkpoint")
