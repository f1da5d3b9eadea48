"""What the hub is asked about federations, step by step; a federation is handed in as its member jobs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from time import monotonic
from typing import Any, Final

from yingbi.canonical import JsonValue
from yingbi.client.decisions import DryRun, reason_text
from yingbi.client.exchange import malformed_answer
from yingbi.client.hub import Filed, Hub, Signed, Submitted, Wanted
from yingbi.client.problems import JobRefusedError, plain
from yingbi.client.results import TrainingResult
from yingbi.client.shown import list_html, table_html, table_text
from yingbi.client.statements import federation_aborted
from yingbi.client.status import JobStatus
from yingbi.client.training_model import TrainedModel, read_document, releasing_node
from yingbi.client.training_questions import MemberQuestion, Training, make_questions
from yingbi.client.training_status import (
    FederationMember,
    FederationNode,
    FederationStatus,
    parse_federation,
    parse_federation_nodes,
)
from yingbi.client.watching import Followed, check_time, follow, watch
from yingbi.client.wire import Steps
from yingbi.errors import ConflictError, ErrorCode, RefusedError, SandboxError, VerificationError

__all__ = [
    "Asking",
    "FederationDryRun",
    "HandedIn",
    "Tell",
    "dry_run",
    "federation",
    "federation_nodes",
    "federations",
    "hand_in",
    "job_statuses",
    "result",
    "stop",
    "training_questions",
    "watch_federation",
]

Tell = Callable[[FederationStatus], None]
"""Is told of every change of a federation."""

_COMPLETED: Final = "federation.completed"
_ENDED: Final = frozenset({"completed", "aborted"})
_GOING: Final = frozenset({"submitted", "approved", "leased", "started", "interrupted"})
_OVERTAKEN: Final = frozenset({ErrorCode.STATEMENT_REFUSED, ErrorCode.TRANSITION_REFUSED})
_TRIES: Final = 5
_HEADINGS: Final = ("data set", "agreement", "decision", "cost", "reviewers", "remaining")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """For what all member jobs are asked, besides what is trained."""

    purpose: str | None = None
    certificate: str | None = None
    expires_in: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationDryRun:
    """What would be decided about each member job; nothing was recorded."""

    questions: tuple[MemberQuestion, ...] = field(repr=False)
    decisions: tuple[DryRun, ...]

    @property
    def is_permitted(self) -> bool:
        """Tell whether every member's policies would allow it."""
        return all(one.is_permitted for one in self.decisions)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Return every reason of every member, with the smallest grant that would be enough."""
        return tuple(
            f"{question.member.dataset}: {reason_text(reason)}"
            for question, decision in zip(self.questions, self.decisions, strict=True)
            for reason in decision.reasons
        )

    @property
    def grants(self) -> dict[str, tuple[Mapping[str, Any], ...]]:
        """Return the grants that are missing, by agreement."""
        pairs = zip(self.questions, self.decisions, strict=True)
        return {question.member.agreement: one.grants for question, one in pairs if one.grants}

    def to_json(self) -> list[dict[str, JsonValue]]:
        """Return the decisions as the hub sent them, each with its member."""
        return [
            {"agreement": one.member.agreement, "dataset": one.member.dataset, "decision": decision.to_json()}
            for one, decision in zip(self.questions, self.decisions, strict=True)
        ]

    def rows(self) -> list[tuple[object, ...]]:
        """Return the decisions as a table has them."""
        return [
            (
                question.member.dataset,
                question.member.agreement,
                "allowed" if one.is_permitted else "refused",
                one.cost_text,
                ", ".join(dict.fromkeys((*one.job_reviewers, *one.output_reviewers))) or "nobody: by rule",
                ", ".join(f"{plain(name)} {plain(str(left))}" for name, left in one.remaining.items()),
            )
            for question, one in zip(self.questions, self.decisions, strict=True)
        ]

    def __bool__(self) -> bool:
        return self.is_permitted

    def __str__(self) -> str:
        return "\n".join([self._title, table_text(_HEADINGS, self.rows()), *(f"  - {line}" for line in self.reasons)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return table_html(_HEADINGS, self.rows(), title=self._title) + list_html(self.reasons)

    @property
    def _title(self) -> str:
        return "would be allowed by all members" if self.is_permitted else "would be refused"


@dataclass(slots=True)
class HandedIn:
    """What was signed of a federation and what of it was handed in: asked for again, it goes on where it was."""

    signed: dict[str, Signed] = field(default_factory=dict)
    submitted: dict[str, Submitted] = field(default_factory=dict)


def training_questions(hub: Hub, training: Training) -> Steps[tuple[MemberQuestion, ...]]:
    """Return the questions of a training to all its members; nothing but the catalogue is asked for."""
    records = yield from hub.datasets(training.members.values())
    return make_questions(records, training)


def dry_run(hub: Hub, questions: Sequence[MemberQuestion], asking: Asking) -> Steps[FederationDryRun]:
    """Return what would be decided about each member job."""
    decisions = []
    for question in questions:
        wanted = Wanted(agreement=question.member.agreement, purpose=asking.purpose)
        decisions.append((yield from hub.dry_run(question, wanted)))
    return FederationDryRun(questions=tuple(questions), decisions=tuple(decisions))


def hand_in(hub: Hub, questions: Sequence[MemberQuestion], asking: Asking, done: HandedIn) -> Steps[FederationStatus]:
    """Submit all member jobs, or none: where one would be refused, nothing is recorded.

    What was handed in before is not signed again, so that somebody who was cut off calls it once more.

    Raises:
        JobRefusedError: a member's policies refuse its job.
    """
    waiting = [one for one in questions if one.member.job not in done.submitted]
    decided = yield from dry_run(hub, waiting, asking)
    if not decided.is_permitted:
        raise _refused(decided)
    for question in waiting:
        job = question.member.job
        if job not in done.signed:
            done.signed[job] = hub.sign(question, _wanted(question, asking))
        done.submitted[job] = yield from hub.hand_in(done.signed[job])
    return (yield from federation(hub, questions[0].question.federation))


def federation(hub: Hub, name: str) -> Steps[FederationStatus]:
    """Return where a federation is."""
    return parse_federation((yield from hub.get(("federations", name))), federation=name)


def federations(hub: Hub, limit: int) -> Steps[tuple[FederationStatus, ...]]:
    """Return the federations that one may know of, oldest first."""
    rows = yield from hub.listing(("federations",), limit=limit)
    return tuple(parse_federation(row) for row in rows)


def federation_nodes(hub: Hub) -> Steps[tuple[FederationNode, ...]]:
    """Return the nodes that take part in federations."""
    return parse_federation_nodes((yield from hub.get(("federations", "nodes"))))


def job_statuses(hub: Hub, status: FederationStatus) -> Steps[tuple[JobStatus, ...]]:
    """Return where the member jobs are that were submitted."""
    found: dict[str, JobStatus] = {}
    for member in status.members:
        if member.state is not None:
            found[member.job] = yield from hub.status(member.job)
    return tuple(found.values())


def watch_federation(hub: Hub, name: str, *, timeout_s: float | None, tell: Tell) -> Steps[FederationStatus]:
    """Follow a federation until there is a model to fetch, or nothing more comes without a person.

    Raises:
        UnavailableError: it takes longer than `timeout_s`; the federation goes on.
    """
    end = None if timeout_s is None else monotonic() + timeout_s
    followed = Followed(
        name=f"federation `{name}`",
        path=("federations", name),
        read=lambda value: parse_federation(value, federation=name),
        read_event=lambda _, value: parse_federation(value, federation=name),
        is_settled=lambda status: status.is_settled,
        seen=lambda status: status.raw,
        # What members' jobs do is no entry of the federation: nobody is woken by it.
        waiting=lambda status: ({"after": str(len(status.entries))}, status.state != "completed"),
    )
    status = yield from follow(hub.exchange, followed, timeout_s=timeout_s, tell=tell)
    if status.released:
        # The release is recorded first: for a moment the sealed model is not at the hub yet.
        left = check_time(end, followed.name)
        yield from watch(hub.exchange, status.released[0].job, timeout_s=left, tell=lambda _: None)
    return status


def stop(hub: Hub, name: str) -> Steps[FederationStatus]:
    """Stop a federation for good; one that has not started is stopped by calling off its jobs.

    Raises:
        ConflictError: it has ended.
    """
    for attempt in range(1, _TRIES + 1):
        status = yield from federation(hub, name)
        if status.state in _ENDED:
            raise ConflictError(ErrorCode.TRANSITION_REFUSED, f"federation `{name}` is {status.state}")
        try:
            yield from _call_off(hub, status) if status.state == "waiting" else _abort(hub, status)
            break
        except (ConflictError, RefusedError) as error:
            # A round was completed, or the federation started, between looking and stopping: then look again.
            if error.code not in _OVERTAKEN or attempt == _TRIES:
                raise
    return (yield from federation(hub, name))


def result(hub: Hub, name: str, questions: Mapping[str, str]) -> Steps[TrainedModel]:
    """Fetch what was trained, from every member that has released it, and verify that it is one and the same.

    `questions`: digests of what the member jobs ask, where this process has asked it.

    Raises:
        ConflictError: there is no model, or not yet.
        VerificationError: members have released different models, or the log names another one.
    """
    status = yield from federation(hub, name)
    if status.state != "completed" or not status.released:
        raise _no_model(status)
    found = yield from _completion(hub, status)
    completion, completed_at, body = found
    releases: list[TrainingResult] = []
    late: SandboxError | None = None
    for member in status.released:
        try:
            releases.append((yield from _release(hub, member, questions.get(member.job))))
        except ConflictError as error:
            late = error
    if not releases:
        raise late or _no_model(status)
    documents = [read_document(one) for one in releases]
    if any(one.document != other.document for one, other in pairwise(releases)):
        raise _untrue("the members have released different models")
    document = documents[0]
    told = (document["federation"], document["terms"], document["state"], document["rounds"])
    if told != (name, status.terms, body.get("result"), body.get("rounds")):
        raise _untrue("the model is not the one that the log says this federation has trained")
    _check_members(document, status)
    return TrainedModel(
        document=document,
        status=status,
        releases=tuple(releases),
        completion=completion,
        completed_at=completed_at,
    )


def _release(hub: Hub, member: FederationMember, question: str | None) -> Steps[TrainingResult]:
    released = yield from hub.result(member.job, question)
    if not isinstance(released, TrainingResult):
        raise malformed_answer("what a federation has trained")
    if releasing_node(released) != member.node:
        raise _untrue("a model was released by another node than the member's")
    return released


def _completion(hub: Hub, status: FederationStatus) -> Steps[tuple[Mapping[str, JsonValue], str, Mapping[str, object]]]:
    """Return the verified entry with which the federation was completed: nothing comes after it."""
    if not status.entries:
        raise malformed_answer("the entries of a federation")
    found = yield from hub.evidence.fetch(status.entries[-1])
    entry, _ = yield from hub.evidence.verify(found)
    is_by_bureau = str(entry.payload["issuer"]).startswith("bureau:")
    if (entry.type, entry.payload["id"]) != (_COMPLETED, status.federation) or not is_by_bureau:
        raise _untrue(f"no entry `{_COMPLETED}` of this federation says what the hub sent")
    if entry.body.get("result") != status.result:
        raise _untrue("the log names another final state than the hub")
    return found.to_json(), entry.time, entry.body


def _check_members(document: Mapping[str, Any], status: FederationStatus) -> None:
    """Refuse a model of other members than the hub names: agreements and jobs are shown beside them."""
    told = sorted((one.dataset, one.node) for one in status.members)
    if [{"dataset": dataset, "node": node} for dataset, node in told] != sorted(
        document["members"], key=lambda one: str(one.get("dataset")) if isinstance(one, dict) else ""
    ):
        raise _untrue("the model has other members than the hub says")


def _abort(hub: Hub, status: FederationStatus) -> Steps[Filed]:
    draft = federation_aborted(hub.issuer, federation=status.federation, rounds=len(status.rounds))
    statement = draft.sign([hub.exchange.identity.key])
    return (yield from hub.file(("federations", status.federation, "stop"), [statement], openings=draft.openings))


def _call_off(hub: Hub, status: FederationStatus) -> Steps[None]:
    for member in status.members:
        if member.state in _GOING:
            try:
                yield from hub.cancel(member.job)
            except (ConflictError, RefusedError):
                # The bureau calls off the others as soon as one is; then there is nothing left to do here.
                if (yield from hub.status(member.job)).state in _GOING:
                    raise


def _wanted(question: MemberQuestion, asking: Asking) -> Wanted:
    return Wanted(
        agreement=question.member.agreement,
        purpose=asking.purpose,
        certificate=asking.certificate,
        expires_in=asking.expires_in,
    )


def _refused(decided: FederationDryRun) -> JobRefusedError:
    names = [
        question.member.dataset
        for question, one in zip(decided.questions, decided.decisions, strict=True)
        if not one.is_permitted
    ]
    message = f"refused for {', '.join(f'`{name}`' for name in names)}; no job was submitted"
    error = JobRefusedError(ErrorCode.JOB_REFUSED, message, hint="; ".join(decided.reasons[:5]) or None)
    error.reasons = tuple(reason for one in decided.decisions for reason in one.reasons)
    return error


def _no_model(status: FederationStatus) -> SandboxError:
    why = "; ".join(status.why())
    message = f"federation `{status.federation}` is {status.state}: {status.sentence}" + (f" ({why})" if why else "")
    return ConflictError(ErrorCode.TRANSITION_REFUSED, message, hint=None if status.is_settled else "wait for it")


def _untrue(message: str) -> VerificationError:
    return VerificationError(
        ErrorCode.PROOF_UNVERIFIED, message, hint="do not use it; ask the bureau, and keep the receipts"
    )
