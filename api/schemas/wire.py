"""What the JSON forms share: strict objects, pages, problems."""

from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["NOT_FOUND", "NOT_NOW", "PROBLEMS", "JsonObject", "PageOut", "ProblemOut", "Responses", "Wire", "problems"]

_Item = TypeVar("_Item")
JsonObject = dict[str, Any]
Responses = dict[int | str, dict[str, Any]]


class Wire(BaseModel):
    """A JSON object with exactly these members; messages about it quote no input."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class PageOut(Wire, Generic[_Item]):
    """A part of a listing; `next` is the cursor of the part after it."""

    items: list[_Item]
    next: str | None = None


class ProblemOut(BaseModel):
    """A problem (RFC 9457); `code` is of docs/errors.md, `ref` names the line in the hub's log."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "https://yingbi.example/errors/request-unsigned",
                    "title": "request is not signed as it must be",
                    "status": 401,
                    "code": "request-unsigned",
                    "detail": "the request's signature does not verify",
                    "hint": "docs/spec/http.md says what is signed",
                    "ref": "ref-0123456789abcdefghjkmnpqrs",
                }
            ]
        },
    )

    type: str = Field(description="address of the problem's kind")
    title: str
    status: int
    code: str
    detail: str
    hint: str | None = None
    ref: str


_MEANINGS: Final = {
    400: "What was sent does not verify",
    401: "Not signed as it must be",
    403: "Refused",
    404: "Not there, or not for the caller to know of",
    409: "Not possible now",
    422: "Not of the form that this route takes, or too large",
    503: "Not at the moment; to be asked again",
}


def problems(*statuses: int) -> Responses:
    """Return the description of the problems that a route may answer; 500 is none of them: it is a fault of the hub."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemOut"}}}
    described: Responses = {status: {"description": _MEANINGS[status], "content": content} for status in statuses}
    if 503 in described:
        seconds = {"description": "seconds to wait", "schema": {"type": "integer", "minimum": 0}}
        described[503]["headers"] = {"Retry-After": seconds}
    return described


PROBLEMS: Final = problems(401, 403, 422, 503)
"""What every signed route may answer instead."""

NOT_FOUND: Final = problems(404)
"""What a route about one thing may answer instead."""

NOT_NOW: Final = problems(409)
"""What a route that changes something may answer instead; also while the first of two equal requests is answered."""
