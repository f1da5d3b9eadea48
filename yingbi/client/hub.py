"""What the hub is asked, step by step: catalogue, dry runs, jobs, results, statements. Blocking or not, it is this."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Protocol, TypedDict

from yingbi.canonical import JsonValue, canonical_bytes, digest_bytes, digest_json, parse_canonical
from yingbi.client.catalogue import DatasetRecord, parse_record
from yingbi.client.decisions import DryRun, parse_dry_run
from yingbi.client.evidence import EntryReceipt, Evidence, parse_receipts
from yingbi.client.exchange import Exchange, Question, list_all, malformed_answer, read_json, route
from yingbi.client.problems import plain
from yingbi.client.results import Released, parse_result
from yingbi.client.shown import fields_html, fields_text
from yingbi.client.statements import Issuer, job_cancelled, job_submitted, submission
from yingbi.client.status import JobStatus, parse_status
from yingbi.client.wire import Reply, Steps
from yingbi.commitment import Opening, verify_opening
from yingbi.errors import (
    ConflictError,
    ErrorCode,
    InvalidRequestError,
    NotFoundError,
    SandboxError,
    UnavailableError,
    VerificationError,
)
from yingbi.ids import dataset_id, new_id
from yingbi.key_files import decode_base64url
from yingbi.plan.model import Plan, TrainingQuestion
from yingbi.sealing import OVERHEAD_BYTES, ResultKey
from yingbi.statement import Statement
from yingbi.verify.entry import Entry

__all__ = ["Asked", "Filed", "Hub", "Signed", "Submitted", "Wanted"]

_MAX_RESULT_BYTES: Final = 256 << 20
_LIFETIME: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Under which agreement and for which purpose a question is asked."""

    agreement: str | None = None
    purpose: str | None = None
    intermediary: str | None = None
    certificate: str | None = None
    expires_in: timedelta | None = None


class Asked(Protocol):
    """A question that is ready to be asked."""

    @property
    def plan(self) -> Plan:
        """Return the bound plan."""
        ...

    @property
    def digest(self) -> str:
        """Return the name of the question."""
        ...

    @property
    def operations(self) -> tuple[str, ...]:
        """Return the operations that it asks for."""
        ...

    @property
    def datasets(self) -> tuple[tuple[str, int], ...]:
        """Return the ids of the data sets that it reads, each with its version."""
        ...

    def to_json(self) -> dict[str, JsonValue]:
        """Return the plan as it is sent and committed to."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A job that was signed and not handed in yet."""

    statement: Statement
    openings: tuple[Opening, ...] = field(repr=False)
    question: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """A job that was just submitted, and what its submitter should keep: the statement and what opens its plan."""

    status: JobStatus
    statement: Statement
    openings: tuple[Opening, ...] = field(repr=False)
    question: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed:
    """What became of statements: recorded as entries, or kept as a draft until others have signed."""

    entries: tuple[Mapping[str, Any], ...] = ()
    draft: str | None = None
    missing: tuple[str, ...] = ()

    @property
    def is_recorded(self) -> bool:
        """Tell whether the statements are in the log."""
        return self.draft is None

    def __str__(self) -> str:
        return fields_text(*self._said())

    def _repr_html_(self) -> str:
        return fields_html(*self._said())

    def _said(self) -> tuple[str, dict[str, object]]:
        if not self.is_recorded:
            return "waits for signatures", {"draft": self.draft, "missing": ", ".join(self.missing)}
        return "recorded", {plain(str(one.get("type"))): f"entry {one.get('index')}" for one in self.entries}


class Hub:
    """The steps of one party with one hub."""

    def __init__(self, exchange: Exchange, evidence: Evidence, *, result_key: ResultKey | None, usual: Wanted) -> None:
        self.exchange = exchange
        self.evidence = evidence
        self._result_key = result_key
        self._usual = usual

    @property
    def issuer(self) -> Issuer:
        """Return in whose name statements are made here."""
        own = self.exchange.identity
        return Issuer(party=own.party, on_behalf_of=own.on_behalf_of, clock=self.exchange.clock)

    # --- catalogue ----------------------------------------------------------------------------------------------------

    def search(self, words: str) -> Steps[tuple[DatasetRecord, ...]]:
        """Return the data sets whose names, titles or items have these words."""
        rows = yield from self.listing(("datasets",), {"query": words} if words else {})
        return tuple(parse_record(row) for row in rows)

    def dataset(self, name: str) -> Steps[DatasetRecord]:
        """Return a data set of the catalogue by its name.

        Raises:
            NotFoundError: there is none; the hint has the nearest names.
        """
        try:
            record = parse_record((yield from self.get(("datasets", dataset_id(name)))))
        except NotFoundError:
            known = sorted({record.name for record in (yield from self.search(""))})
            close = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
            hint = f"did you mean {', '.join(f'`{one}`' for one in close)}" if close else "catalog.search('') lists all"
            raise NotFoundError(ErrorCode.DATASET_NOT_FOUND, f"no data set `{plain(name)[:80]}`", hint=hint) from None
        if record.name != name:
            raise malformed_answer("the data set that was asked for")
        return record

    def datasets(self, names: Iterable[str]) -> Steps[tuple[DatasetRecord, ...]]:
        """Return several data sets."""
        found: dict[str, DatasetRecord] = {}
        for name in names:
            found[name] = yield from self.dataset(name)
        return tuple(found.values())

    # --- jobs ---------------------------------------------------------------------------------------------------------

    def dry_run(self, query: Asked, wanted: Wanted) -> Steps[DryRun]:
        """Return what would be decided."""
        body = {
            "agreement": self._wanted("agreement", wanted.agreement),
            "purpose": self._wanted("purpose", wanted.purpose),
            "plan": query.to_json(),
            "intermediary": wanted.intermediary or self._usual.intermediary,
        }
        question = Question(method="POST", path=route("jobs", "dry-run"), body=body, is_pure=True)
        return parse_dry_run((yield from self.exchange.ask_json(question)))

    def submit(self, query: Asked, wanted: Wanted) -> Steps[Submitted]:
        """Sign a question and submit it."""
        return (yield from self.hand_in(self.sign(query, wanted)))

    def sign(self, query: Asked, wanted: Wanted) -> Signed:
        """Sign a question; nothing is sent."""
        draft = job_submitted(
            self.issuer,
            agreement=self._wanted("agreement", wanted.agreement),
            purpose=self._wanted("purpose", wanted.purpose),
            operations=query.operations,
            datasets=query.datasets,
            plan=query.to_json(),
            result_key=self._needed_key().public,
            expires_at=self.exchange.clock.now() + (wanted.expires_in or self._usual.expires_in or _LIFETIME),
            certificate=wanted.certificate or self._usual.certificate,
            **_of_member(query.plan),
        )
        statement = draft.sign([self.exchange.identity.key])
        return Signed(statement=statement, openings=draft.openings, question=query.digest)

    def hand_in(self, signed: Signed) -> Steps[Submitted]:
        """Submit a question that was signed; the hub records it once, however often it is handed in."""
        statement = signed.statement
        try:
            body = submission([statement], openings=signed.openings)
            reply = yield from self._post(("jobs",), body, good=(200, 201, 202))
        except UnavailableError as error:
            hint = f"job `{statement.payload.id}` may have arrived: ask for it before you submit again"
            raise UnavailableError(error.code, error.message, hint=hint, detail=error.detail) from error
        status = parse_status(read_json(reply.body))
        if status.job != statement.payload.id:
            raise malformed_answer("the job that was submitted")
        return Submitted(status=status, statement=statement, openings=signed.openings, question=signed.question)

    def status(self, job: str) -> Steps[JobStatus]:
        """Return where a job is."""
        return parse_status((yield from self.get(("jobs", job))))

    def jobs(self, limit: int) -> Steps[tuple[JobStatus, ...]]:
        """Return one's own jobs."""
        return tuple(parse_status(row) for row in (yield from self.listing(("jobs",), limit=limit)))

    def cancel(self, job: str) -> Steps[Filed]:
        """Call a job off."""
        draft = job_cancelled(self.issuer, job=job)
        statement = draft.sign([self.exchange.identity.key])
        return (yield from self.file(("jobs", job, "cancellation"), [statement], openings=draft.openings))

    def receipts(self, job: str) -> Steps[tuple[EntryReceipt, ...]]:
        """Return the entries of a job with their receipts, not verified."""
        return parse_receipts((yield from self.get(("jobs", job, "receipts"))))

    def result(self, job: str, question: str | None) -> Steps[Released]:
        """Fetch a result, verify that exactly it was released and recorded, and open it.

        Raises:
            ConflictError: there is no result, or not yet.
            VerificationError: what the hub sent is not what the log says that a node released for this job.
        """
        key = self._needed_key()
        status = yield from self.status(job)
        if not status.has_result:
            raise _no_result(status)
        asked = Question(
            path=route("jobs", job, "result"), accept="application/octet-stream", max_bytes=_MAX_RESULT_BYTES
        )
        sealed = (yield from self.exchange.ask(asked)).body
        receipts = yield from self.receipts(job)
        submitted, _ = yield from self._entry_of(receipts, "job.submitted", job)
        released, found = yield from self._release_of(receipts, job, ciphertext=digest_bytes(sealed))
        agreement = submitted.body.get("agreement")
        if submitted.body.get("result_key") != key.public or not isinstance(agreement, str):
            raise _other_key()
        opened = key.open(sealed, {"job": job, "agreement": agreement})
        result = parse_result(_content(opened, str(released.body.get("content"))), job=job, evidence=found.to_json())
        if question is not None and result.question != question:
            raise VerificationError(ErrorCode.PROOF_UNVERIFIED, "the result answers another question")
        return result

    def _release_of(
        self, receipts: Sequence[EntryReceipt], job: str, *, ciphertext: str
    ) -> Steps[tuple[Entry, EntryReceipt]]:
        """Return the entry that released these bytes, by the node that had the job's lease then."""
        leases = yield from self._entries_of(receipts, "job.leased", job)
        for entry, receipt in (yield from self._entries_of(receipts, "output.released", job)):
            before = [one for one, _ in leases if one.seq < entry.seq and _is_by(one, "bureau")]
            node = max(before, key=lambda one: one.seq).body.get("node") if before else None
            is_by_node = _is_by(entry, "node") and entry.payload["issuer"] == node
            if is_by_node and entry.body.get("ciphertext") == ciphertext:
                return entry, receipt
        raise _not_said("output.released")

    def _entry_of(self, receipts: Sequence[EntryReceipt], kind: str, job: str) -> Steps[tuple[Entry, EntryReceipt]]:
        """Return the first verified entry of a kind that is about a job."""
        for found in (yield from self._entries_of(receipts, kind, job)):
            return found
        raise _not_said(kind)

    def _entries_of(
        self, receipts: Sequence[EntryReceipt], kind: str, job: str
    ) -> Steps[list[tuple[Entry, EntryReceipt]]]:
        """Return the verified entries of a kind that are about a job, each signed by whom it names as its issuer."""
        found = []
        for receipt in receipts:
            if receipt.type == kind:
                entry, _ = yield from self.evidence.verify(receipt)
                if (entry.type, entry.body.get("job", entry.payload["id"])) == (kind, job):
                    found.append((entry, receipt))
        return found

    # --- statements ---------------------------------------------------------------------------------------------------

    def file(
        self,
        path: Sequence[str],
        statements: Sequence[Statement],
        *,
        openings: Iterable[Opening] = (),
        documents: Sequence[JsonValue] = (),
    ) -> Steps[Filed]:
        """Hand statements in."""
        body = submission(statements, openings=openings, documents=documents)
        reply = yield from self._post(path, body, good=(200, 201, 202))
        return _filed(read_json(reply.body))

    def drafts(self, *, applications: bool = False) -> Steps[list[Mapping[str, Any]]]:
        """Return what waits for signatures."""
        return (yield from self.listing(("applications" if applications else "drafts",)))

    def add_signatures(self, draft: str, signatures: Sequence[Mapping[str, str]]) -> Steps[Filed]:
        """Add signatures to a draft."""
        body: dict[str, object] = {"signatures": [dict(one) for one in signatures]}
        reply = yield from self._post(("drafts", draft, "signatures"), body, good=(200, 201, 202))
        return _filed(read_json(reply.body))

    def get(self, path: Sequence[str], query: Mapping[str, str] | None = None) -> Steps[dict[str, Any]]:
        """Return one thing."""
        return (yield from self.exchange.ask_json(Question(path=route(*path), query=query or {})))

    def listing(
        self, path: Sequence[str], query: Mapping[str, str] | None = None, *, limit: int | None = None
    ) -> Steps[list[Mapping[str, Any]]]:
        """Return all things of a listing, or the first so many."""
        return (yield from list_all(self.exchange, path, query, limit=limit))

    def _post(self, path: Sequence[str], body: Mapping[str, object], *, good: Sequence[int]) -> Steps[Reply]:
        # One key for all attempts: whatever happens on the way, the hub records this once.
        question = Question(method="POST", path=route(*path), body=body, idempotency_key=new_id("idem"))
        return (yield from self.exchange.ask(question, good=good))

    def _wanted(self, name: str, given: str | None) -> str:
        value = given or getattr(self._usual, name)
        if not isinstance(value, str):
            raise InvalidRequestError(ErrorCode.USAGE, f"expected `{name}`, here or when connecting")
        return value

    def _needed_key(self) -> ResultKey:
        if self._result_key is None:
            raise InvalidRequestError(
                ErrorCode.CONFIG_INVALID,
                "expected a key for results",
                hint="connect(..., result_key='result-key.pem'); yingbi.sealing.ResultKey.generate() makes one",
            )
        return self._result_key


class _OfMember(TypedDict):
    job: str | None
    epsilon: str | None


def _of_member(plan: Plan) -> _OfMember:
    """Return what only the submission of a member job of a federation says."""
    question = plan.question
    if not isinstance(question, TrainingQuestion) or question.own is None:
        return {"job": None, "epsilon": None}
    return {"job": question.own.job, "epsilon": None if question.privacy is None else question.privacy.epsilon}


def _content(opened: bytes, commitment: str) -> JsonValue:
    """Return the result in what was sealed, which has to open the commitment of the entry that released it."""
    try:
        value = parse_canonical(opened, max_bytes=_MAX_RESULT_BYTES - OVERHEAD_BYTES)
        if not isinstance(value, dict) or not isinstance(value.get("content"), dict):
            raise malformed_answer("a sealed result")
        content = value["content"]
        if not isinstance(content, dict) or content["value"] != digest_json(value["result"]):
            raise malformed_answer("a sealed result with its digest")
        salt = decode_base64url(str(content["salt"]))
        verify_opening(commitment, Opening(salt=salt, value=canonical_bytes(content["value"])))
    except (KeyError, InvalidRequestError):
        raise malformed_answer("a sealed result") from None
    return value["result"]


def _filed(value: Mapping[str, Any]) -> Filed:
    entries, draft, missing = value.get("entries"), value.get("draft"), value.get("missing")
    if isinstance(draft, str):
        names = tuple(plain(one) for one in missing) if isinstance(missing, list) else ()
        return Filed(draft=plain(draft), missing=names)
    if not isinstance(entries, list):
        raise malformed_answer("what was recorded")
    return Filed(entries=tuple(entry for entry in entries if isinstance(entry, dict)))


def _is_by(entry: Entry, kind: str) -> bool:
    return str(entry.payload["issuer"]).startswith(f"{kind}:")


def _not_said(kind: str) -> VerificationError:
    return VerificationError(
        ErrorCode.PROOF_UNVERIFIED,
        f"no entry `{kind}` of this job says what the hub sent",
        hint="do not use the result; ask the bureau, and keep the receipts",
    )


def _no_result(status: JobStatus) -> SandboxError:
    why = "; ".join(status.why())
    message = f"job `{status.job}` is {status.state}: {status.sentence}" + (f" ({why})" if why else "")
    return ConflictError(ErrorCode.TRANSITION_REFUSED, message, hint=None if status.is_settled else "wait for it")


def _other_key() -> InvalidRequestError:
    return InvalidRequestError(
        ErrorCode.CONFIG_INVALID,
        "the job was submitted with another key for results",
        hint="connect with the key that the job names",
    )
