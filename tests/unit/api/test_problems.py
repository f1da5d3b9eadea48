"""Problems: what was foreseen says what it is, what was not says nothing but a reference."""

import logging
from typing import Annotated

import pytest
from fastapi import FastAPI, Query

from api.problems import PROBLEM_TYPE, install_problems
from policies.standing import MissingSignaturesError, Rule, StatementRefusedError
from tests.lib.hubs import AsgiClient
from yingbi.errors import ErrorCode, NotFoundError, SandboxError, UnavailableError

SECRET = "91440300MA5FUTIAN1"


def make_app() -> FastAPI:
    app = FastAPI()
    install_problems(app)
    errors: dict[str, Exception] = {
        "missing": NotFoundError(ErrorCode.ENTRY_NOT_FOUND, "no such thing", hint="look elsewhere"),
        "detailed": SandboxError(ErrorCode.JSON_MALFORMED, "wrong", detail=SECRET),
        "later": UnavailableError(ErrorCode.LOG_UNAVAILABLE, "not now"),
        "refused": StatementRefusedError(Rule.SEPARATION, "not both"),
        "incomplete": MissingSignaturesError(("unit-cdo",)),
        "unforeseen": ValueError(SECRET),
    }

    @app.get("/fail/{name}")
    def fail(name: str) -> None:
        raise errors[name]

    @app.get("/number")
    def number(value: Annotated[int, Query()]) -> int:
        return value

    return app


@pytest.fixture
def client() -> AsgiClient:
    return AsgiClient(make_app())


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/fail/missing", 404, "entry-not-found"),
        ("/fail/detailed", 422, "json-malformed"),
        ("/fail/later", 503, "log-unavailable"),
        ("/fail/refused", 403, "statement-refused"),
        ("/fail/unforeseen", 500, "internal"),
        ("/number?value=91440300MA", 422, "json-malformed"),
        ("/nothing", 404, "usage"),
    ],
)
def test_every_error_is_a_problem(client: AsgiClient, path: str, status: int, code: str) -> None:
    answer = client.request("GET", path, headers={})
    client.close()
    problem = answer.json()
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert answer.headers["content-type"] == PROBLEM_TYPE
    assert problem["type"] == f"https://yingbi.example/errors/{code}"
    assert {"title", "detail", "hint", "ref"} <= set(problem)
    for quoted in (SECRET, "91440300MA", "Traceback", "ValueError"):
        assert quoted not in answer.text


def test_the_operators_log_has_what_the_caller_has_not(client: AsgiClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        reference = client.request("GET", "/fail/unforeseen", headers={}).json()["ref"]
        detailed = client.request("GET", "/fail/detailed", headers={}).json()["ref"]
    client.close()
    assert reference in caplog.text
    assert f"{detailed} json-malformed" in caplog.text
    assert SECRET in caplog.text


def test_a_problem_says_more_where_its_kind_does(client: AsgiClient) -> None:
    assert client.request("GET", "/fail/refused", headers={}).json()["rule"] == "separation"
    assert client.request("GET", "/fail/later", headers={}).headers["retry-after"] == "1"
    invalid = client.request("GET", "/number?value=x", headers={}).json()
    client.close()
    assert invalid["problems"] == [{"where": "query.value", "problem": "int parsing"}]
