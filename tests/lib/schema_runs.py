"""Schemathesis against a hub in this process: requests made of the hub's own description, each signed by a caller.

Only what runs it imports this module, and late: Schemathesis changes how Hypothesis prints the examples of all tests
of its process, which `hypothesis_as_it_was` undoes.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import requests
import requests.auth
from hypothesis import core

_PRINTER: Final = vars(core)["RepresentationPrinter"]

import schemathesis  # noqa: E402  (its import is what changes the printer)
from schemathesis.auths import AuthContext  # noqa: E402
from schemathesis.engine import Status, events, from_schema  # noqa: E402
from schemathesis.engine.recorder import ScenarioRecorder  # noqa: E402

from tests.lib.hubs import ADDRESS  # noqa: E402
from yingbi.clock import Clock  # noqa: E402
from yingbi.http_signing import sign_request  # noqa: E402
from yingbi.keys import SigningKey  # noqa: E402

__all__ = ["Made", "Run", "Signer", "hypothesis_as_it_was", "run"]

Made = Mapping[str, Sequence[Mapping[str, Any]]]
"""Requests that are made by hand, as arguments of `Case`, by operation (`POST /v1/keys`)."""

_CHECKS: Final = {
    # What is well formed is refused all the same: nobody draws signatures, commitments and plans that fit.
    "positive_data_acceptance": {"enabled": False},
}


@contextmanager
def hypothesis_as_it_was() -> Iterator[None]:
    """Give Hypothesis its printer back in the end."""
    try:
        yield
    finally:
        vars(core)["RepresentationPrinter"] = _PRINTER


@dataclass(frozen=True)
class Signer(requests.auth.AuthBase):
    """Signs a request as it is sent."""

    key: SigningKey
    clock: Clock

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        body = request.body or b""
        content = body.encode() if isinstance(body, str) else body
        assert isinstance(content, bytes)
        headers = {name: str(value) for name, value in request.headers.items()}
        sign_request(str(request.method), str(request.url), headers, content, key=self.key, clock=self.clock)
        request.headers.update(headers)
        return request


@dataclass
class Run:
    """What came of a run: what is wrong, and with which statuses each operation was answered."""

    findings: list[str] = field(default_factory=list)
    answered: dict[str, dict[int, int]] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        """Return how many requests were sent."""
        return sum(sum(counted.values()) for counted in self.answered.values())

    @property
    def never_succeeded(self) -> set[str]:
        """Return the operations that were never answered 2xx."""
        return {name for name, counted in self.answered.items() if not any(200 <= status < 300 for status in counted)}

    def take(self, event: events.EngineEvent) -> None:
        """Take what an event says."""
        if isinstance(event, events.ScenarioFinished):
            self._count(event.recorder)
            self._collect(event.recorder)
        elif isinstance(event, events.NonFatalError):
            self.findings.append(f"{event.label}: {event.info.title}: {event.info}")
        elif isinstance(event, events.FatalError):
            raise event.exception

    def _count(self, recorder: ScenarioRecorder) -> None:
        for name, interaction in recorder.interactions.items():
            counted = self.answered.setdefault(recorder.cases[name].value.operation.label, {})
            status = interaction.response.status_code if interaction.response is not None else 0
            counted[status] = counted.get(status, 0) + 1

    def _collect(self, recorder: ScenarioRecorder) -> None:
        for name, checks in recorder.checks.items():
            for check in checks:
                if check.status is Status.SUCCESS:
                    continue
                label = recorder.cases[name].value.operation.label
                found = check.failure_info
                title = f"{label}: {check.name}: {found.failure.title if found else check.status}"
                if not any(one.startswith(title) for one in self.findings):
                    self.findings.append(f"{title}\n{found.failure.message}\n{found.code_sample}" if found else title)


def run(
    app: Any,
    *,
    signer: Signer | None,
    known: Mapping[str, Sequence[str | int]],
    made: Made,
    tags: Sequence[str] = (),
    phases: Sequence[str] = ("examples", "coverage", "fuzzing", "stateful"),
    examples: int,
) -> Run:
    """Send an application what its description allows and what it does not, and check every answer against it.

    Args:
        app: the application.
        signer: signs every request, but those that are to be refused without it.
        known: values of parameters that name something, by `path.job`, `body.agreement`.
        made: requests that nobody draws, because they are signed.
        tags: of which operations; all where there are none.
        phases: which of Schemathesis' phases.
        examples: how many requests are drawn for an operation.
    """
    made_of = schemathesis.openapi.from_asgi("/v1/openapi.json", _served(app), config=_config(known, phases, examples))
    schema = made_of.include(tag=list(tags)) if tags else made_of
    if signer is not None:
        schema.auth.set_from_requests(signer)

    def before_add_examples(context: Any, examples: list[Any]) -> None:
        for one in made.get(context.operation.label, ()):
            case = context.operation.Case(**one)
            if schema.auth.is_defined:
                schema.auth.set(case, AuthContext(operation=context.operation, app=None))
            examples.append(case)

    schema.hook("before_add_examples")(before_add_examples)
    done = Run()
    for event in from_schema(schema).execute():
        done.take(event)
    return done


def _config(known: Mapping[str, Sequence[str | int]], phases: Sequence[str], examples: int) -> schemathesis.Config:
    every = ("examples", "coverage", "fuzzing", "stateful")
    return schemathesis.Config.from_dict(
        {
            "seed": 1,
            "base-url": ADDRESS,
            "continue-on-failure": True,
            "checks": _CHECKS,
            "phases": {name: {"enabled": name in phases} for name in every},
            "generation": {"deterministic": True, "database": "none", "max-examples": examples},
            # A stream goes on until its job ends: one event of it is enough.
            "max-stream-events": 1,
            "dictionaries": {name: {"values": list(values)} for name, values in known.items()},
            "parameters": {name: {"dictionary": name, "probability": 0.7} for name in known},
        }
    )


def _served(app: Any) -> Any:
    """Return an application as a server runs it: what it raises after it has answered is the server's."""

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        with suppress(Exception):
            await app(scope, receive, send)

    return serve
