"""What the JSON forms share: strict objects, pages, problems."""

from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["PROBLEMS", "JsonObject", "PageOut", "ProblemOut", "Wire"]

_Item = TypeVar("_Item")
JsonObject = dict[str, Any]


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


PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    "default": {
        "description": "A problem (RFC 9457)",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemOut"}}},
    }
}
"""What every route may answer instead."""
