"""Errors as RFC 9457 problems. What was foreseen says what it is; what was not says nothing but a reference."""

import json
import logging
import re
from collections.abc import Mapping
from typing import Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from yingbi.canonical import JsonValue
from yingbi.errors import CATALOGUE, ErrorCode, SandboxError
from yingbi.ids import new_id

__all__ = ["PROBLEM_TYPE", "answer_problem", "install_problems"]

PROBLEM_TYPE: Final = "application/problem+json"
_BASE: Final = "https://yingbi.example/errors/"
_PLAIN_NAME: Final = re.compile(r"[a-z][a-z_]{0,39}|[0-9]{1,4}")
_MAX_PROBLEMS: Final = 20
_ROUTING: Final = {404: "no such route", 405: "this route does not take the method"}
_logger = logging.getLogger(__name__)


def install_problems(app: FastAPI) -> None:
    """Make an application answer every error with a problem."""
    app.add_exception_handler(SandboxError, _answer_foreseen)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_routing)
    app.add_exception_handler(Exception, _answer_unforeseen)


def answer_problem(error: SandboxError, *, more: Mapping[str, JsonValue] | None = None) -> Response:
    """Return a problem; `more` are members of its own kind."""
    reference = new_id("ref")
    spec = error.spec
    if error.detail is not None or spec.status >= 500:
        _logger.warning("%s %s %s %s", reference, error.code, error.message, error.detail)
    headers = {"Retry-After": "1"} if spec.status == 503 else None
    return _problem(error.code, spec.status, error.message, error.hint, reference, more=more, headers=headers)


def _answer_foreseen(_: Request, error: Exception) -> Response:
    if not isinstance(error, SandboxError):
        raise error
    rule = getattr(error, "rule", None)
    return answer_problem(error, more=None if rule is None else {"rule": str(rule)})


def _answer_invalid(_: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    return _answer_malformed([_describe(found) for found in error.errors()[:_MAX_PROBLEMS]])


def _answer_malformed(problems: list[JsonValue]) -> Response:
    message = "the request does not have the form that this route takes"
    status = CATALOGUE[ErrorCode.JSON_MALFORMED].status
    return _problem(ErrorCode.JSON_MALFORMED, status, message, None, new_id("ref"), more={"problems": problems})


def _answer_routing(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == 400:  # all that the framework cannot decode
        return _answer_malformed([])
    # SECURITY: what the router itself refuses may quote the path.
    message = _ROUTING.get(error.status_code, "the request cannot be read")
    headers = dict(error.headers or {})
    if error.status_code == 405:
        # Each method of a path may be a route of its own; the router names only those of the first.
        path = request.app.openapi()["paths"].get(getattr(request.scope.get("route"), "path", None), {})
        headers |= {"Allow": ", ".join(sorted(method.upper() for method in path))} if path else {}
    return _problem(ErrorCode.USAGE, error.status_code, message, None, new_id("ref"), headers=headers)


def _answer_unforeseen(_: Request, error: Exception) -> Response:
    reference = new_id("ref")
    # SECURITY: an unforeseen error's text may hold anything; it goes to the operator's log, not to the caller.
    _logger.error("%s unforeseen error", reference, exc_info=error)
    return _problem(ErrorCode.INTERNAL, 500, "unforeseen error", None, reference)


def _describe(found: Mapping[str, object]) -> JsonValue:
    location = found.get("loc", ())
    names = location if isinstance(location, (list, tuple)) else ()
    # SECURITY: a name that no schema has may be a value; only names of the usual form are shown.
    where = ".".join(str(name) if _PLAIN_NAME.fullmatch(str(name)) else "?" for name in names)
    return {"where": where, "problem": str(found.get("type", "")).replace("_", " ")}


def _problem(
    code: ErrorCode,
    status: int,
    message: str,
    hint: str | None,
    reference: str,
    *,
    more: Mapping[str, JsonValue] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    body: dict[str, JsonValue] = {
        **(more or {}),
        "type": _BASE + code.value,
        "title": CATALOGUE[code].title,
        "status": status,
        "code": code.value,
        "detail": message,
        "hint": hint,
        "ref": reference,
    }
    content = json.dumps(body, ensure_ascii=False).encode()
    return Response(content, status_code=status, media_type=PROBLEM_TYPE, headers=dict(headers or {}))
