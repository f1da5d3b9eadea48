"""What the hub answers when it will not: the errors that several of its parts raise, each made in one place."""

from yingbi.errors import (
    AuthenticationError,
    ConflictError,
    ErrorCode,
    InvalidRequestError,
    NotFoundError,
    RefusedError,
    UnavailableError,
)

__all__ = [
    "busy",
    "changed_since",
    "malformed",
    "not_allowed",
    "not_found",
    "not_now",
    "still_answering",
    "too_large",
    "unsigned",
]


def unsigned(message: str) -> AuthenticationError:
    """Return the error for a request of which it is not established who sent it."""
    return AuthenticationError(ErrorCode.REQUEST_UNSIGNED, message, hint="docs/spec/http.md says what is signed")


def not_found(what: str) -> NotFoundError:
    """Return the error for a thing that is not there, or that the caller may not know of: never told apart."""
    return NotFoundError(ErrorCode.THING_NOT_FOUND, f"no such {what}")


def not_allowed(message: str, hint: str | None = None) -> RefusedError:
    """Return the error for something that the caller may know of and not do."""
    return RefusedError(ErrorCode.ACCESS_REFUSED, message, hint=hint)


def not_now(message: str, hint: str | None = None) -> ConflictError:
    """Return the error for something that is not possible in the present state."""
    return ConflictError(ErrorCode.TRANSITION_REFUSED, message, hint=hint)


def changed_since(what: str) -> ConflictError:
    """Return the error for a change of something that is not any more as the caller saw it (`If-Match`)."""
    return ConflictError(ErrorCode.TRANSITION_REFUSED, f"the {what} has changed", hint="read it again")


def still_answering() -> ConflictError:
    """Return the error for a repeated request whose first one is still being answered."""
    message = "a request with this idempotency key is being answered"
    return ConflictError(ErrorCode.REQUEST_UNDER_WAY, message, hint="ask again in a moment")


def malformed(message: str, hint: str | None = None) -> InvalidRequestError:
    """Return the error for a request that cannot be read."""
    return InvalidRequestError(ErrorCode.JSON_MALFORMED, message, hint=hint)


def too_large(limit: int) -> InvalidRequestError:
    """Return the error for a body that is longer than it may be."""
    return InvalidRequestError(ErrorCode.REQUEST_TOO_LARGE, f"expected a body of at most {limit} bytes")


def busy(message: str = "the hub cannot do this now") -> UnavailableError:
    """Return the error for something that may work later."""
    return UnavailableError(ErrorCode.HUB_UNAVAILABLE, message, hint="ask again in a moment")
