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

__all__ = ["JobRefusedError", "OperationNotPermittedError", "UnknownNameError", "error_of", "missing_extra", "plain"]

_MAX_TEXT: Final = 600
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
    problem = _read(reply.body)
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


def plain(value: object) -> str:
    """Return a text of somebody else as one line that no terminal would interpret, cut where it is long."""
    text = value if isinstance(value, str) else ""
    return "".join(char if char.isprintable() else " " for char in text[:_MAX_TEXT]).strip()


def _refused(message: str, hint: str | None, problem: Mapping[str, Any]) -> JobRefusedError:
    error = JobRefusedError(ErrorCode.JOB_REFUSED, message, hint=hint)
    reasons = problem.get("reasons")
    error.reasons = tuple(one for one in reasons if isinstance(one, dict)) if isinstance(reasons, list) else ()
    error.job = plain(problem.get("job")) or None
    receipt = problem.get("receipt")
    error.receipt = receipt if isinstance(receipt, str) else None
    return error


def _read(body: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _code(problem: Mapping[str, Any]) -> ErrorCode | None:
    try:
        return ErrorCode(str(problem.get("code")))
    except ValueError:
        return None


def _usual(status: int) -> ErrorCode:
    """Return the code of a status whose problem names none that is known here, such as that of a proxy."""
    if status in (429, 502, 503, 504):
        return ErrorCode.LOG_UNAVAILABLE
    return ErrorCode.REQUEST_UNSIGNED if status == 401 else ErrorCode.INTERNAL
