"""What the hub answers when it will not (RFC 9457), as the typed errors of `yingbi.errors`.

SECURITY: a problem is the hub's text. It is cut and cleaned before it becomes part of an error, and its code chooses
among the catalogue's, never a class or a name.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from yingbi.client.wire import Reply
from yingbi.errors import (
    AuthenticationError,
    ConflictError,
    ErrorCode,
    InvalidRequestError,
    NotFoundError,
    RefusedError,
    SandboxError,
    UnavailableError,
    VerificationError,
)

__all__ = [
    "JobRefusedError",
    "OperationNotPermittedError",
    "UnknownNameError",
    "error_of",
    "grant_text",
    "missing_extra",
    "plain",
    "read_object",
    "reason_text",
]

_MAX_TEXT: Final = 600
_MAX_DEPTH: Final = 64
_MAX_REASONS: Final = 5
_BY_STATUS: Final[Mapping[int, type[SandboxError]]] = {
    400: VerificationError,
    401: AuthenticationError,
    403: RefusedError,
    404: NotFoundError,
    409: ConflictError,
    422: InvalidRequestError,
    429: UnavailableError,
    502: UnavailableError,
    503: UnavailableError,
    504: UnavailableError,
}


class JobRefusedError(RefusedError):
    """The policies refuse a job. The refusal is recorded: `job` is its id, `receipt` the evidence.

    `reasons`: one an unmet condition, with the smallest extra grant that would meet it (`grant`) where there is one.
    """

    reasons: tuple[Mapping[str, Any], ...] = ()
    job: str | None = None
    receipt: str | None = None

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}: {self.hint}"


class OperationNotPermittedError(RefusedError, AttributeError):
    """Something that no plan can ask for: rows, code, or anything else outside of the whitelist. Nothing was sent."""

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}; {self.hint}"


class UnknownNameError(InvalidRequestError, AttributeError, KeyError):
    """A column that a data set does not have. Nothing was sent."""

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}; {self.hint}"


def error_of(reply: Reply) -> SandboxError:
    """Return the error that a reply other than a success means."""
    problem = read_object(reply.body) or {}
    code = _code(problem)
    kind = _BY_STATUS.get(reply.status, SandboxError)
    message = plain(problem.get("detail")) or plain(problem.get("title")) or f"the hub answered with {reply.status}"
    reference = plain(problem.get("ref")) or None
    hint = plain(problem.get("hint")) or (None if reference is None else f"the operator finds it as {reference}")
    if code is ErrorCode.JOB_REFUSED:
        return _refused(message, hint, problem)
    return kind(code or _usual(reply.status), message, hint=hint, detail=reference)


def missing_extra(name: str, error: ImportError) -> UnavailableError:
    """Return the error for something that needs what `pip install yingbi` alone does not bring."""
    return UnavailableError(
        ErrorCode.EXTRA_NOT_INSTALLED, f"this needs `{name}`", hint="pip install 'yingbi[sdk]'", detail=error.name
    )


def read_object(data: bytes) -> dict[str, Any] | None:
    """Return a JSON object of somebody else; nothing where it is none that can be walked and written again.

    Such are values that nest deeply, and texts with half of a character.
    """
    try:
        value = json.loads(data)
        # Few brackets cannot nest deeply, and halves of characters come only by escapes.
        if data.count(b"{") + data.count(b"[") > _MAX_DEPTH and not _is_shallow(value):
            return None
        if b"\\ud" in data.lower():
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def plain(value: object) -> str:
    """Return a text of somebody else as one line that no terminal would interpret, cut where it is long."""
    text = value if isinstance(value, str) else ""
    return "".join(char if char.isprintable() else " " for char in text[:_MAX_TEXT]).strip()


def reason_text(reason: Mapping[str, Any]) -> str:
    """Return a reason of a refusal in one line, with the smallest extra grant that would be enough."""
    said = plain(reason.get("message")) or plain(reason.get("code")) or "refused"
    grant = reason.get("grant")
    return f"{said}; enough would be: {grant_text(grant)}" if isinstance(grant, dict) else said


def grant_text(grant: Mapping[str, Any]) -> str:
    """Return a grant in words."""
    words = [
        f"{name} {plain(grant.get(name))}"
        for name in ("operation", "dataset", "column", "use", "function", "agreement")
        if plain(grant.get(name))
    ]
    found = grant.get("values")
    values = [plain(one) for one in found] if isinstance(found, list) else []
    return ", ".join(words + ([f"values {', '.join(values)}"] if values else []))


def _refused(message: str, hint: str | None, problem: Mapping[str, Any]) -> JobRefusedError:
    found, job = problem.get("reasons"), plain(problem.get("job")) or None
    reasons = tuple(one for one in found if isinstance(one, dict)) if isinstance(found, list) else ()
    shown = "; ".join(reason_text(reason) for reason in reasons[:_MAX_REASONS])
    named = message if job is None else f"{message}, and recorded as `{job}`"
    error = JobRefusedError(ErrorCode.JOB_REFUSED, named, hint=shown or hint)
    error.reasons, error.job = reasons, job
    receipt = problem.get("receipt")
    error.receipt = receipt if isinstance(receipt, str) else None
    return error


def _is_shallow(value: object) -> bool:
    level = [value]
    for _ in range(_MAX_DEPTH):
        inner = (one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list))
        level = [item for items in inner for item in items]
        if not level:
            return True
    return False


def _code(problem: Mapping[str, Any]) -> ErrorCode | None:
    try:
        return ErrorCode(str(problem.get("code")))
    except ValueError:
        return None


def _usual(status: int) -> ErrorCode:
    """Return the code of a status whose problem names none that is known here, such as that of a proxy."""
    if status in (429, 502, 503, 504):
        return ErrorCode.HUB_UNAVAILABLE
    return ErrorCode.REQUEST_UNSIGNED if status == 401 else ErrorCode.INTERNAL
