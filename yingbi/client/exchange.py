"""One request and its answer: signed anew for every attempt, repeated only where that is the same as asking once."""

import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

from yingbi.canonical import JsonValue, canonical_bytes
from yingbi.client.problems import error_of, read_object
from yingbi.client.settings import Address, Identity, Patience
from yingbi.client.wire import Listen, LostError, Reply, Send, Steps, Wait
from yingbi.clock import Clock
from yingbi.errors import ErrorCode, InvalidRequestError, SandboxError, UnavailableError, VerificationError
from yingbi.http_signing import sign_request

__all__ = ["JSON_BYTES", "Exchange", "Question", "list_all", "malformed_answer", "read_json", "route"]

JSON_BYTES: Final = 64 << 20
"""The longest JSON that a hub may send."""

_MAX_PAGES: Final = 1000
_PAGE: Final = 200
_MAX_PAUSE_ASKED: Final = 60.0
_LATER: Final = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
_Sent = TypeVar("_Sent", bound=Send)
_IDEMPOTENT: Final = frozenset({"GET", "PUT", "DELETE"})
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of the hub. A POST that changes something and has no idempotency key is sent once.

    `is_pure`: it changes nothing, although it is a POST. `wait_s`: for how long it asks the hub to hold the answer.
    """

    method: str = "GET"
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: JsonValue | Mapping[str, object] = field(default=None, repr=False)
    idempotency_key: str | None = None
    accept: str = "application/json"
    max_bytes: int = JSON_BYTES
    wait_s: float = 0.0
    is_pure: bool = False

    @property
    def is_repeatable(self) -> bool:
        """Tell whether asking twice is asking once."""
        return self.is_pure or self.method in _IDEMPOTENT or self.idempotency_key is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """How one party talks to one hub."""

    address: Address
    identity: Identity
    patience: Patience
    clock: Clock

    def ask(self, question: Question, *, good: Sequence[int] = (200,)) -> Steps[Reply]:
        """Ask until there is an answer, or patience ends; an answer that is not `good` is raised as its error."""
        times = self.patience.attempts - 1
        for attempt in range(1, self.patience.attempts + 1):
            try:
                reply: Reply = yield self._sent(Send, question)
            except LostError as lost:
                if attempt == self.patience.attempts or (lost.was_sent and not question.is_repeatable):
                    raise _unreachable(lost, self.address.base) from None
                # Somebody may be looking on: where nothing answers, all attempts together take minutes.
                _logger.warning("no answer from %s, trying again (%d of %d)", self.address.base, attempt, times)
                yield Wait(self._pause(attempt, None))
                continue
            if reply.status in good:
                return reply
            error = error_of(reply)
            if attempt == self.patience.attempts or not _may_work_later(reply, error, question):
                raise error
            yield Wait(self._pause(attempt, reply.headers.get("retry-after")))
        raise UnavailableError(ErrorCode.HUB_UNAVAILABLE, "the hub does not answer")

    def ask_json(self, question: Question, *, good: Sequence[int] = (200,)) -> Steps[dict[str, Any]]:
        """Ask for a JSON object."""
        reply = yield from self.ask(question, good=good)
        return read_json(reply.body)

    def listen(self, question: Question) -> Listen:
        """Return the effect that listens to an answer that goes on."""
        return self._sent(Listen, question)

    def _sent(self, kind: type[_Sent], question: Question) -> _Sent:
        url = self.address.at(question.path) + (f"?{urlencode(question.query)}" if question.query else "")
        body = b"" if question.body is None else canonical_bytes(question.body)
        headers = {"Accept": question.accept, "User-Agent": "yingbi"}
        if body:
            headers["Content-Type"] = "application/json"
        if question.idempotency_key is not None:
            headers["Idempotency-Key"] = question.idempotency_key
        # A nonce is good once: every attempt has its own signature.
        sign_request(question.method, url, headers, body, key=self.identity.key, clock=self.clock)
        return kind(
            method=question.method,
            url=url,
            headers=headers,
            body=body,
            max_bytes=question.max_bytes,
            timeout_s=self.patience.read_s + question.wait_s,
            connect_s=self.patience.connect_s,
        )

    def _pause(self, attempt: int, asked: str | None) -> float:
        """Return how long to wait: twice as long as last time, a part of it random; longer where the hub asks so."""
        longest: float = min(self.patience.first_pause_s * 2 ** (attempt - 1), self.patience.longest_pause_s)
        pause = longest * (0.5 + secrets.randbelow(1000) / 2000)
        if asked is None or not (asked.isascii() and asked.isdigit()):
            return pause
        return max(pause, min(float(asked), _MAX_PAUSE_ASKED))


def route(*parts: str) -> str:
    """Return a path of the hub's interface; what callers name cannot lead elsewhere.

    Raises:
        InvalidRequestError: a part is empty, or only points.
    """
    if any(not part.strip(".") for part in parts):
        raise InvalidRequestError(ErrorCode.ID_MALFORMED, "expected an id such as `job-01hz...`")
    return "/v1/" + "/".join(quote(part, safe=":") for part in parts)


def list_all(
    exchange: Exchange,
    path: Sequence[str],
    query: Mapping[str, str] | None = None,
    *,
    limit: int | None = None,
) -> Steps[list[Mapping[str, Any]]]:
    """Return all things of a listing, page by page, or the first so many."""
    found: list[Mapping[str, Any]] = []
    cursor: str | None = None
    for _ in range(_MAX_PAGES):
        wanted = {**(query or {}), "limit": str(min(limit or _PAGE, _PAGE))}
        page = yield from exchange.ask_json(
            Question(path=route(*path), query=wanted if cursor is None else {**wanted, "cursor": cursor})
        )
        items, cursor = page.get("items"), page.get("next")
        if not isinstance(items, list) or len(items) > _PAGE or not (cursor is None or isinstance(cursor, str)):
            raise malformed_answer("a page of a listing")
        found += [item for item in items if isinstance(item, dict)]
        if cursor is None or (limit is not None and len(found) >= limit):
            return found[:limit]
    raise UnavailableError(ErrorCode.HUB_UNAVAILABLE, f"the hub's listing has more than {_MAX_PAGES} pages")


def read_json(body: bytes) -> dict[str, Any]:
    """Read a JSON object that the hub sent.

    Raises:
        VerificationError: it is none.
    """
    value = read_object(body)
    if value is None:
        raise malformed_answer("a JSON object")
    return value


def malformed_answer(expected: str) -> VerificationError:
    """Return the error for an answer of the hub that does not say what it should."""
    return VerificationError(ErrorCode.ANSWER_MALFORMED, f"the hub sent something else than {expected}")


def _may_work_later(reply: Reply, error: SandboxError, question: Question) -> bool:
    if not question.is_repeatable:
        return False
    # The same request is still being answered: the next attempt gets that answer.
    return reply.status in _LATER or (reply.status == HTTPStatus.CONFLICT and error.code is ErrorCode.REQUEST_UNDER_WAY)


def _unreachable(lost: LostError, address: str) -> UnavailableError:
    outcome = "did not answer; the request may have arrived" if lost.was_sent else "cannot be reached"
    message = f"the hub at {address} {outcome}"
    return UnavailableError(
        ErrorCode.HUB_UNAVAILABLE, message, hint="address, proxy and firewall are the usual causes", detail=lost.reason
    )
