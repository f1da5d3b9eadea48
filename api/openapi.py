"""What the hub says of itself (OpenAPI), where its routes do not say it: the form of problems, how to sign."""

from typing import Any, Final

from fastapi import FastAPI

from api.routes import SIGNATURE
from api.schemas.wire import ProblemOut

__all__ = ["describe"]

_SIGNED: Final = {
    "type": "apiKey",
    "in": "header",
    "name": "Signature",
    "description": "RFC 9421, with `Signature-Input` and `Content-Digest`, by a key that the log knows",
}


def describe(app: FastAPI) -> None:
    """Put into an application's description what no single route says."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        described = make()
        components = described.setdefault("components", {})
        # No route returns it, every route may answer it.
        components.setdefault("schemas", {}).setdefault("ProblemOut", ProblemOut.model_json_schema())
        components.setdefault("securitySchemes", {}).setdefault(SIGNATURE, _SIGNED)
        return described

    app.openapi = openapi  # type: ignore[method-assign]
