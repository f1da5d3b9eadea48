"""The hub as a node talks to it: outbound HTTPS only, signed by the node's key (docs/spec/http.md).

Nothing that the hub answers is believed here: this module reads forms and sizes, the follower and the verifier judge.
Connections are kept, so that a job's few requests cost a round trip each. Any number of threads may use one client.
"""

import json
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any, Final

import httpx

from ledger.receipt import parse_receipt
from ledger.tiles import TileCoordinate, bundle_path, tile_path
from yingbi.canonical import MAX_INT, JsonValue, canonical_bytes
from yingbi.clock import Clock
from yingbi.commitment import Opening
from yingbi.errors import (
    ConflictError,
    ErrorCode,
    InvalidRequestError,
    NotFoundError,
    RefusedError,
    SandboxError,
    UnavailableError,
    VerificationError,
)
from yingbi.http_signing import sign_request
from yingbi.ids import parse_party
from yingbi.key_files import decode_base64url, encode_base64url
from yingbi.keys import SigningKey, VerifyKey
from yingbi.receipts import Receipt
from yingbi.statement import Statement, parse_statement
from yingbi.transport import is_loopback

__all__ = ["FederationKit", "HubClient", "Lease", "Polled", "Recorded", "open_hub_http", "parse_lease"]

_MAX_ANSWER: Final = 1 << 20
_MAX_BUNDLE: Final = 256 * (16_384 + 2)
_MAX_TILE: Final = 256 * 32
_TIMEOUT_S: Final = 10.0
_RECORD_TIMEOUT_S: Final = 40.0
_SERVER: Final = re.compile(r"[A-Za-z0-9.:\[\]-]{1,200}:[0-9]{1,5}")
_UINT64_DIGITS: Final = 20
_JSON: Final = "application/json"
_BYTES: Final = "application/octet-stream"
_KINDS: Final[Mapping[int, type[SandboxError]]] = {
    HTTPStatus.BAD_REQUEST: VerificationError,
    HTTPStatus.UNAUTHORIZED: RefusedError,
    HTTPStatus.FORBIDDEN: RefusedError,
    HTTPStatus.NOT_FOUND: NotFoundError,
    HTTPStatus.CONFLICT: ConflictError,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: InvalidRequestError,
    HTTPStatus.UNPROCESSABLE_ENTITY: InvalidRequestError,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A lease as the hub hands it out; nothing of it has been verified. `body`: what is read of its JSON, and kept."""

    job: str
    attempt: int
    statement: Statement
    plan: Opening
    body: JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Polled:
    """What a poll brought: a lease, or nothing; `stops` are jobs that the hub wants stopped (a hint, no order)."""

    lease: Lease | None = None
    stops: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What the hub says of a statement that it recorded: at which index, under which receipt."""

    index: int
    receipt: Receipt


def open_hub_http(*, ca_file: Path | None = None, proxy: str | None = None) -> httpx.Client:
    """Return an HTTP client for a hub: connections are kept, no redirects, no cookies, nothing of the environment.

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


def parse_lease(value: Mapping[str, Any]) -> Lease:
    """Read a lease's JSON, as it came or as it was kept; what nobody reads is left out of its `body`.

    Raises:
        InvalidRequestError: another form.
    """
    try:
        plan = value["plan"]
        opening = Opening(salt=decode_base64url(plan["salt"]), value=canonical_bytes(plan["value"]))
        statement = parse_statement(canonical_bytes(value["statement"]))
        job, attempt = value["job"], value["attempt"]
    except (KeyError, TypeError, AttributeError):
        raise _malformed("a lease") from None
    if job != statement.payload.id or not _is_number(attempt, MAX_INT) or attempt == 0:
        raise _malformed("a lease")
    body: JsonValue = {
        "attempt": attempt,
        "job": job,
        "plan": {"salt": plan["salt"], "value": plan["value"]},
        "statement": value["statement"],
    }
    return Lease(job=job, attempt=attempt, statement=statement, plan=opening, body=body)


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationKit:
    """What a node needs to take part in federations.

    `address`: `host:port` of the server. `node_id`: the node's number there. `app`: digest of the app that runs are of.
    `app_keys`: whose apps are taken. `authority`: PEM of what to trust the server by, where the hub's own is not meant.
    """

    address: str
    node_id: int
    app: str
    app_keys: tuple[VerifyKey, ...]
    authority: str | None


class HubClient:
    """Requests of one node to its hub.

    Args:
        url: the hub's base URL, HTTPS unless loopback.
        key: the node's private key.
        http: see `open_hub_http`.
        clock: dates the signatures of requests.

    Raises:
        InvalidRequestError: not an absolute URL.
        RefusedError: plain HTTP to another machine.
    """

    def __init__(self, url: str, key: SigningKey, *, http: httpx.Client, clock: Clock) -> None:
        self._base = _parse_url(url)
        self._key = key
        self._http = http
        self._clock = clock

    # --- the log -----------------------------------------------------------------------------------------------------

    def checkpoint(self) -> bytes:
        """Return the newest published checkpoint."""
        return self._get("checkpoint", most=_MAX_ANSWER)

    def bundle(self, index: int, width: int) -> bytes:
        """Return the first `width` entries of a bundle."""
        return self._get(bundle_path(index, width), most=_MAX_BUNDLE)

    def read_tile(self, tile: TileCoordinate) -> bytes:
        """Return a tile of hashes."""
        return self._get(tile_path(tile), most=_MAX_TILE)

    def document(self, digest: str) -> bytes | None:
        """Return the canonical JSON of a document, or nothing where it is not to be had."""
        try:
            return self._send("GET", f"v1/documents/{digest}", most=_MAX_ANSWER)
        except (NotFoundError, RefusedError):
            return None

    # --- work --------------------------------------------------------------------------------------------------------

    def poll(self, node: str, wait_s: float) -> Polled:
        """Ask for work, and wait for some time until there is some.

        Raises:
            UnavailableError: the hub does not answer.
            InvalidRequestError: it answers in another form.
        """
        path = f"v1/nodes/{parse_party(node)[1]}/poll"
        data = self._send("POST", path, {"wait_s": round(wait_s)}, timeout_s=wait_s + _TIMEOUT_S)
        if not data:
            return Polled()
        value = _object(data)
        stops = value.get("stops", [])
        if not isinstance(stops, list):
            raise _malformed("a poll")
        lease = parse_lease(value) if "job" in value else None
        return Polled(lease=lease, stops=tuple(str(item) for item in stops))

    def record(
        self, node: str, statements: Sequence[Statement], openings: Sequence[Opening] = ()
    ) -> tuple[Recorded, ...]:
        """Have statements about a leased job recorded, all or none; what is recorded already is answered the same.

        Raises:
            ConflictError, RefusedError: they do not fit the log as it is.
            UnavailableError: not recorded, or not known; send the same again.
        """
        return self._record(f"v1/nodes/{parse_party(node)[1]}/steps", statements, openings)

    def report_incident(self, statements: Sequence[Statement]) -> tuple[Recorded, ...]:
        """Have `access.*` statements recorded, of the unit's CDO.

        Raises:
            SandboxError: as for `record`.
        """
        return self._record("v1/incidents", statements, ())

    def declare_versions(self, statements: Sequence[Statement]) -> tuple[Recorded, ...]:
        """Have `dataset.versioned` statements recorded.

        Raises:
            SandboxError: as for `record`.
        """
        return self._record("v1/datasets", statements, ())

    def put_result(self, job: str, sealed: bytes) -> None:
        """Upload a sealed result; the same again changes nothing.

        Raises:
            ConflictError: the log does not name it.
            UnavailableError: the hub does not answer.
        """
        self._send("PUT", f"v1/jobs/{job}/result", sealed, timeout_s=_RECORD_TIMEOUT_S)

    def put_notice(self, job: str, notice: JsonValue) -> None:
        """Tell why a job was refused or is held, as the gate words it."""
        self._send("PUT", f"v1/jobs/{job}/notice", notice)

    def put_progress(self, job: str, percent: int) -> None:
        """Tell how far a job is."""
        self._send("PUT", f"v1/jobs/{job}/progress", {"percent": percent}, timeout_s=2.0)

    def join_federations(self, node: str, public_key: bytes) -> FederationKit:
        """Register a key (EC P-384, PEM) for federations; return what is needed to take part.

        Raises:
            NotFoundError: the hub runs no federations.
            UnavailableError: the hub does not answer.
        """
        body: JsonValue = {"public_key": public_key.decode("ascii")}
        return _parse_kit(_object(self._send("PUT", f"v1/nodes/{parse_party(node)[1]}/federation", body)))

    # --- requests ----------------------------------------------------------------------------------------------------

    def _record(self, path: str, statements: Sequence[Statement], openings: Sequence[Opening]) -> tuple[Recorded, ...]:
        body: dict[str, JsonValue] = {
            "statements": [json.loads(statement.envelope) for statement in statements],
            "openings": [_opening_json(opening) for opening in openings],
            "documents": [],
        }
        value = _object(self._send("POST", path, body, timeout_s=_RECORD_TIMEOUT_S))
        entries = value.get("entries")
        if not isinstance(entries, list) or len(entries) < len(statements):
            raise _malformed("what was recorded")
        return tuple(_parse_recorded(entry) for entry in entries[: len(statements)])

    def _get(self, path: str, *, most: int) -> bytes:
        """Read a public file of the log, unsigned: whoever serves it learns nothing of who reads."""
        request = self._http.build_request(
            "GET", f"{self._base}/{path}", headers={"accept-encoding": "identity"}, timeout=_TIMEOUT_S
        )
        return self._exchange(request, most)

    def _send(
        self,
        method: str,
        path: str,
        body: JsonValue | bytes = b"",
        *,
        most: int = _MAX_ANSWER,
        timeout_s: float = _TIMEOUT_S,
    ) -> bytes:
        content = body if isinstance(body, bytes) else canonical_bytes(body)
        url = f"{self._base}/{path}"
        headers = {"accept-encoding": "identity"}
        if method != "GET":
            headers["content-type"] = _BYTES if isinstance(body, bytes) else _JSON
        sign_request(method, url, headers, content, key=self._key, clock=self._clock)
        request = self._http.build_request(method, url, content=content or None, headers=headers, timeout=timeout_s)
        return self._exchange(request, most)

    def _exchange(self, request: httpx.Request, most: int) -> bytes:
        try:
            response = self._http.send(request, stream=True, follow_redirects=False)
            try:
                content = _read(response, most)
            finally:
                response.close()
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            raise UnavailableError(
                ErrorCode.HUB_UNAVAILABLE, "the hub cannot be reached", detail=type(error).__name__
            ) from None
        if response.is_success:
            return content
        raise _problem(response.status_code, content)


def _read(response: httpx.Response, most: int) -> bytes:
    content = b""
    # SECURITY: raw bytes and a bound, so that nothing unpacks itself and no answer fills the memory.
    for chunk in response.iter_raw():
        content += chunk
        if len(content) > most:
            raise VerificationError(ErrorCode.ANSWER_MALFORMED, f"the hub answered with more than {most} bytes")
    return content


def _problem(status: int, content: bytes) -> SandboxError:
    """Return the error for an answer that is none; its code is the hub's where it is one of ours, its words are not."""
    known = {code.value: code for code in ErrorCode}
    try:
        named = json.loads(content).get("code")
    except (ValueError, RecursionError, AttributeError):
        named = None
    code = known.get(str(named))
    kind = _KINDS.get(status)
    if kind is None:
        return UnavailableError(code or ErrorCode.HUB_UNAVAILABLE, f"the hub answered with status {status}")
    fallback = ErrorCode.TRANSITION_REFUSED if kind is ConflictError else ErrorCode.JSON_MALFORMED
    return kind(code or fallback, f"the hub refused with status {status}")


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise _malformed("an object")
    return value


def _parse_kit(value: Mapping[str, Any]) -> FederationKit:
    match value:
        case {
            "address": str(address),
            "node_id": str(number),
            "app": str(app),
            "app_keys": list(keys),
            "authority": None | str() as authority,
        } if _SERVER.fullmatch(address) and number.isascii() and number.isdigit() and len(number) <= _UINT64_DIGITS:
            app_keys = tuple(VerifyKey.from_jwk(key) for key in keys)
            return FederationKit(address=address, node_id=int(number), app=app, app_keys=app_keys, authority=authority)
        case _:
            raise _malformed("what is needed to take part in federations")


def _parse_recorded(value: object) -> Recorded:
    match value:
        case {"index": int(index), "receipt": str(receipt)}:
            found = parse_receipt(receipt.encode("utf-8", "surrogatepass"))
            if not _is_number(index, found.signed.checkpoint.size - 1):
                raise _malformed("an index below the size of its receipt")
            return Recorded(index=index, receipt=found)
        case _:
            raise _malformed("an entry")


def _is_number(value: object, most: int) -> bool:
    # SECURITY: JSON's integers have no end, those of databases and dates do; and `True` is one to Python.
    return type(value) is int and 0 <= value <= most


def _opening_json(opening: Opening) -> JsonValue:
    return {
        "commitment": opening.commitment,
        "salt": encode_base64url(opening.salt),
        "value": json.loads(opening.value),
    }


def _parse_url(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL()
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.userinfo or "?" in url or "#" in url:
        raise InvalidRequestError(
            ErrorCode.CONFIG_INVALID, "expected the URL of a hub such as `https://hub.futian.example`"
        )
    if parsed.scheme == "http" and not is_loopback(parsed.host):
        raise RefusedError(
            ErrorCode.INSECURE_TRANSPORT, f"hub at `{parsed.host}` would be asked without TLS", hint="use https"
        )
    return str(parsed).rstrip("/")


def _malformed(what: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.JSON_MALFORMED, f"expected {what} from the hub, got something else")
