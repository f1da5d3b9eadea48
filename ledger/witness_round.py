"""Asking many witnesses at once, until the quorum is met; one that is down or lies keeps no other from answering."""

import logging
import queue
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Final

from ledger.note import Note, NoteSignature, format_note, parse_note, verify_note
from ledger.trust_policy import TrustPolicy
from ledger.witness_client import Prove, WitnessClient
from yingbi.errors import ErrorCode, SandboxError, TamperDetectedError, UnavailableError
from yingbi.receipts import ConsistencyProof, SignedCheckpoint

__all__ = ["CollectedCosignatures", "HttpWitnesses", "WitnessReport", "collect_cosignatures"]

_DEADLINE_S: Final = 10.0
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessReport:
    """What happened with one witness: cosignatures, or why there are none."""

    name: str
    cosignatures: tuple[NoteSignature, ...] = ()
    error: SandboxError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectedCosignatures:
    """The outcome of a round: the note with every cosignature known now, and those of this round apart."""

    note: bytes
    cosignatures: tuple[NoteSignature, ...]
    is_met: bool
    reports: tuple[WitnessReport, ...]


def collect_cosignatures(
    clients: Sequence[WitnessClient],
    signed: SignedCheckpoint,
    prove: Prove,
    policy: TrustPolicy,
    *,
    deadline_s: float = _DEADLINE_S,
    wait_for_all: bool = False,
) -> CollectedCosignatures:
    """Ask all witnesses in parallel for cosignatures on a checkpoint.

    Returns when the note meets the quorum, or everybody has answered, or the deadline has passed. Cosignatures that the
    note already has count; give the log-signed note to get fresh ones. Without a quorum to meet it waits for everybody.

    Args:
        clients: whom to ask.
        signed: the checkpoint, at least with the log's signature.
        prove: is called by one thread at a time, once for each size, and no more after the return.
        policy: decides what a quorum is.
        deadline_s: for everything together.
        wait_for_all: do not return early when the quorum is met.

    Raises:
        VerificationError: a cosignature that the note already has does not verify.
        Exception: what `prove` raises, unless it is a `SandboxError`. Failures of witnesses are in `reports`.
    """
    deadline = monotonic() + deadline_s
    prover = _SharedProver(prove)
    answers: queue.SimpleQueue[tuple[int, WitnessReport | Exception]] = queue.SimpleQueue()
    for number, client in enumerate(clients):
        question = _Question(number, client, signed, prover, answers, deadline_s)
        threading.Thread(target=question.ask, name="yingbi-witness", daemon=True).start()
    reports: dict[int, WitnessReport] = {}
    is_patient = wait_for_all or not policy.has_quorum
    note = signed.note
    try:
        with suppress(queue.Empty):  # the deadline has passed; who has not answered is reported so
            while len(reports) < len(clients) and (is_patient or not _is_met(policy, note)):
                number, report = answers.get(timeout=max(0.0, deadline - monotonic()))
                if isinstance(report, Exception):
                    raise report
                reports[number] = report
                note = _merge(note, report.cosignatures)
    finally:
        prover.close()
    complete = tuple(reports.get(number) or _silent(client) for number, client in enumerate(clients))
    return CollectedCosignatures(
        note=note,
        cosignatures=tuple(line for report in complete for line in report.cosignatures),
        is_met=_is_met(policy, note),
        reports=complete,
    )


class HttpWitnesses:
    """Implements `ledger.cosigning.WitnessRound` over HTTP.

    The first round, which a log makes before it signs anything, waits for everybody: a quorum need not include the one
    witness that saw more.
    """

    def __init__(
        self, clients: Sequence[WitnessClient], policy: TrustPolicy, *, deadline_s: float = _DEADLINE_S
    ) -> None:
        self._clients = tuple(clients)
        self._policy = policy
        self._deadline_s = deadline_s
        self._has_heard_all = False

    @property
    def is_required(self) -> bool:
        """Tell whether the policy asks for a quorum."""
        return self._policy.has_quorum

    def collect(self, signed: SignedCheckpoint, prove: Prove) -> tuple[tuple[NoteSignature, ...], bool]:
        """Return the verified cosignatures, and whether they make the quorum.

        Raises:
            TamperDetectedError: a witness is ahead of the log or remembers another root.
        """
        collected = collect_cosignatures(
            self._clients,
            signed,
            prove,
            self._policy,
            deadline_s=self._deadline_s,
            wait_for_all=not self._has_heard_all,
        )
        for report in collected.reports:
            if report.error is not None:
                _logger.warning("witness gave no cosignature: %s: %s", report.error.code, report.error.message)
        # SECURITY: one witness that contradicts the log outweighs a quorum that does not.
        for report in collected.reports:
            if isinstance(report.error, TamperDetectedError):
                raise report.error
        self._has_heard_all = True
        return collected.cosignatures, collected.is_met


class _SharedProver:
    """One proof for each size, computed by whichever witness's thread needs it first; none after `close`."""

    def __init__(self, prove: Prove) -> None:
        self._prove = prove
        self._lock = threading.Lock()
        self._proofs: dict[int, ConsistencyProof] = {}
        self._is_closed = False

    def __call__(self, old_size: int) -> ConsistencyProof:
        with self._lock:
            if self._is_closed:
                raise UnavailableError(ErrorCode.WITNESS_UNAVAILABLE, "the round is over")
            if old_size not in self._proofs:
                self._proofs[old_size] = self._prove(old_size)
            return self._proofs[old_size]

    def close(self) -> None:
        with self._lock:
            self._is_closed = True


@dataclass(frozen=True, slots=True)
class _Question:
    """One witness's part of a round, in a thread of its own."""

    number: int
    client: WitnessClient
    signed: SignedCheckpoint
    prover: _SharedProver
    answers: "queue.SimpleQueue[tuple[int, WitnessReport | Exception]]"
    timeout_s: float

    def ask(self) -> None:
        try:
            lines = self.client.add_checkpoint(self.signed, self.prover, timeout_s=self.timeout_s)
            self.answers.put((self.number, WitnessReport(name=self.client.name, cosignatures=lines)))
        except SandboxError as error:
            self.answers.put((self.number, WitnessReport(name=self.client.name, error=error)))
        except Exception as error:
            self.answers.put((self.number, error))


def _is_met(policy: TrustPolicy, note: bytes) -> bool:
    """Judge the note as it would be published, by the keys of the policy and nothing else."""
    parsed = parse_note(note)
    present = {(line.name, line.key_id) for line in parsed.signatures}
    keys = [witness.verifier for witness in policy.witnesses]
    keys = [key for key in keys if (key.name, key.key_id) in present]
    return policy.is_met([item.verifier for item in verify_note(parsed, keys)] if keys else [])


def _merge(note: bytes, fresh: Iterable[NoteSignature]) -> bytes:
    """Add cosignatures; a fresh one replaces an older one by the same key."""
    parsed = parse_note(note)
    lines = {(line.name, line.key_id): line for line in (*parsed.signatures, *fresh)}
    return format_note(Note(parsed.text, tuple(lines.values())))


def _silent(client: WitnessClient) -> WitnessReport:
    error = UnavailableError(ErrorCode.WITNESS_UNAVAILABLE, f"witness `{client.name}` did not answer in time")
    return WitnessReport(name=client.name, error=error)
