"""Checkpoints against a trust file: log signature, cosignatures, quorum, age (verification.md, Receipt, 1 to 4)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from yingbi.verify.note import (
    Algorithm,
    BadSignature,
    Checkpoint,
    CheckpointNote,
    Unsupported,
    VerifierKey,
    parse_checkpoint_note,
    verify_line,
)
from yingbi.verify.report import Check, Finding, Name, failed, missing, not_checked, passed
from yingbi.verify.strict import Malformed, format_time
from yingbi.verify.trust import Trust

__all__ = ["Head", "Terms", "check_history", "describe", "examine", "latest_entry_time", "make_terms", "split_view"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the user asked for: the present time and the tolerated differences, in seconds, and the expected log."""

    now: int
    skew_s: int
    max_age_s: int | None
    origin: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A checkpoint, what was checked of it, and the keys and times that verified."""

    data: bytes
    checks: tuple[Check, ...]
    checkpoint: Checkpoint | None = None
    log_keys: tuple[VerifierKey, ...] = ()
    times: tuple[int, ...] = ()

    @property
    def failure(self) -> Check | None:
        """Return the first failed check, or `None`."""
        return next((check for check in self.checks if check.finding is not None), None)

    @property
    def about(self) -> Mapping[str, str | int]:
        """Return what the checkpoint says, for the report."""
        if self.checkpoint is None:
            return {}
        return {"origin": self.checkpoint.origin, "size": self.checkpoint.size, "root": self.checkpoint.root.hex()}


@dataclass(slots=True)
class _Signatures:
    """Signatures of one note by known keys: those that hold, those that do not, those that cannot be checked here."""

    logs: list[VerifierKey] = field(default_factory=list)
    witnesses: list[tuple[str, int]] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    bad: list[tuple[VerifierKey, str]] = field(default_factory=list)
    unsupported: list[str] = field(default_factory=list)


def make_terms(now: datetime, skew_s: int, max_age_s: int | None, origin: str | None) -> Terms:
    """Bring the user's terms into one value.

    Raises:
        ValueError: a time without its zone, or a negative difference.
    """
    if now.tzinfo is None:
        raise ValueError("expected a time with its zone")
    if skew_s < 0 or (max_age_s is not None and max_age_s < 0):
        raise ValueError("expected differences of time from 0 on")
    return Terms(now=int(now.timestamp()), skew_s=skew_s, max_age_s=max_age_s, origin=origin)


def examine(data: bytes, trust: Trust, terms: Terms) -> Head:
    """Check a signed checkpoint; the checks come in the order of verification.md."""
    rest = (Name.LOG_SIGNATURE, Name.COSIGNATURES, Name.QUORUM, Name.AGE)
    try:
        note = parse_checkpoint_note(data)
    except Malformed as error:
        wrong = failed(Name.NOTE, Finding.MALFORMED, str(error))
        return Head(data=data, checks=(wrong, *(not_checked(name, "the note cannot be read") for name in rest)))
    checkpoint = note.checkpoint
    trusted = [terms.origin] if terms.origin is not None else sorted(trust.policy.logs)
    if checkpoint.origin not in trusted or checkpoint.origin not in trust.policy.logs:
        message = "the checkpoint is not of a log that is trusted and expected"
        expected, actual = " or ".join(trusted), checkpoint.origin[:200]
        wrong = failed(Name.NOTE, Finding.WRONG_ORIGIN, message, expected=expected, actual=actual)
        checks = (wrong, *(not_checked(name, "nothing of another log is trusted") for name in rest))
        return Head(data=data, checks=checks, checkpoint=checkpoint)
    found = _verify_lines(note, trust)
    return Head(
        data=data,
        checks=(
            passed(Name.NOTE, f"a checkpoint of {checkpoint.origin} at size {checkpoint.size}"),
            _check_log_signature(found, checkpoint.origin),
            _check_cosignatures(found, trust, terms),
            _check_quorum(found, trust),
            _check_age(found, terms),
        ),
        checkpoint=checkpoint,
        log_keys=tuple(found.logs),
        times=tuple(found.times),
    )


def check_history(old: Head, new: Head, show: Callable[[Checkpoint, Checkpoint], Check | None]) -> Check:
    """Check that the log of `new` still begins with `old` (verification.md, A log, step 4).

    Args:
        old: the checkpoint that the user kept.
        new: the present checkpoint.
        show: judges checkpoints of ascending sizes that are not equal; `None` if the new tree begins with the old one.
    """
    was, now = old.checkpoint, new.checkpoint
    if old.failure is not None:
        return replace(old.failure, name=Name.HISTORY, message=f"the old checkpoint: {old.failure.message}")
    if was is None or now is None or not new.log_keys:
        return not_checked(Name.HISTORY, "the new checkpoint is not signed by the log")
    if was.origin != now.origin:
        message = "the old checkpoint is of another log"
        return failed(Name.HISTORY, Finding.WRONG_ORIGIN, message, expected=now.origin, actual=was.origin)
    if was.size > now.size:
        message, expected = "rollback: the log was larger before", f"a size from {was.size} on"
        return failed(Name.HISTORY, Finding.ROLLBACK, message, expected=expected, actual=str(now.size))
    if was.size == now.size and was.root != now.root:
        return split_view(was, now.root)
    return show(was, now) or passed(Name.HISTORY, f"the log still begins with its {was.size} entries of before")


def split_view(was: Checkpoint, root: bytes) -> Check:
    """Return the finding that the log signed another tree than `was` at the same size."""
    message = f"split view: the log signed two trees that differ within their first {was.size} entries"
    return failed(Name.HISTORY, Finding.SPLIT_VIEW, message, expected=was.root.hex(), actual=root.hex())


def latest_entry_time(head: Head, terms: Terms) -> tuple[Finding, str]:
    """Return the latest time an entry under this checkpoint may bear, and what a later one means (log.md)."""
    earliest = min(head.times, default=terms.now)
    finding = Finding.POSTDATED if earliest < terms.now else Finding.FUTURE
    # Clocks of whole seconds: the entry may be younger than the cosignature's second, but not than its end.
    return finding, format_time(min(earliest, terms.now) + terms.skew_s).replace(".000000", ".999999")


def _verify_lines(note: CheckpointNote, trust: Trust) -> _Signatures:
    logs = [key for keys in trust.policy.logs.values() for key in keys]
    names = {(key.name, key.id): name for name, key in trust.policy.witnesses.items()}
    known = {(key.name, key.id): key for key in [*logs, *trust.policy.witnesses.values()]}
    found = _Signatures()
    for line in note.lines:
        key = known.get((line.name, line.id))
        if key is None:  # C2SP signed-note: signatures of unknown keys are ignored
            continue
        try:
            time = verify_line(key, line, note)
        except BadSignature as error:
            found.bad.append((key, str(error)))
        except Unsupported as error:
            found.unsupported.append(f"{line.name}: {error}")
        else:
            if time is not None:
                found.witnesses.append((names[line.name, line.id], time))
                # C2SP tlog-cosignature: time 0 under ML-DSA-44 makes no statement about time.
                found.times += [time] if time or key.algorithm is Algorithm.COSIGNATURE_ED25519 else []
            elif key.name == note.checkpoint.origin:
                found.logs.append(key)
    return found


def _check_log_signature(found: _Signatures, origin: str) -> Check:
    for key, message in found.bad:
        if key.algorithm is Algorithm.ED25519:
            return failed(Name.LOG_SIGNATURE, Finding.BAD_SIGNATURE, message, actual=describe(key))
    if not found.logs:
        message = "no trusted key of this log signed the checkpoint"
        return failed(Name.LOG_SIGNATURE, Finding.NO_TRUSTED_SIGNATURE, message, expected=origin)
    return passed(Name.LOG_SIGNATURE, "signed by " + ", ".join(sorted(describe(key) for key in found.logs)))


def _check_cosignatures(found: _Signatures, trust: Trust, terms: Terms) -> Check:
    for key, message in found.bad:
        if key.algorithm is not Algorithm.ED25519:
            return failed(Name.COSIGNATURES, Finding.BAD_SIGNATURE, message, actual=describe(key))
    latest = terms.now + terms.skew_s
    for name, time in found.witnesses:
        if time > latest:
            message, expected = f"witness {name} cosigned at a time to come", f"at most {format_time(latest)}"
            return failed(Name.COSIGNATURES, Finding.FUTURE, message, expected=expected, actual=format_time(time))
    if found.unsupported:
        return missing(Name.COSIGNATURES, "cosignatures could not be checked here", found.unsupported)
    if not found.witnesses:
        return not_checked(Name.COSIGNATURES, f"none by the {len(trust.policy.witnesses)} known witnesses")
    cosigned = sorted({f"{name} at {format_time(time)}" for name, time in found.witnesses})
    return passed(Name.COSIGNATURES, "by " + ", ".join(cosigned))


def _check_quorum(found: _Signatures, trust: Trust) -> Check:
    if trust.policy.is_met(name for name, _ in found.witnesses):
        return passed(Name.QUORUM, f"the quorum {trust.policy.quorum} is met")
    message = f"quorum {trust.policy.quorum} not met, only the log vouches: a split view cannot be excluded"
    return not_checked(Name.QUORUM, message)


def _check_age(found: _Signatures, terms: Terms) -> Check:
    if terms.max_age_s is None:
        return not_checked(Name.AGE, "no greatest age was asked for")
    if not found.times:
        return missing(Name.AGE, "no known witness says when it saw this checkpoint", ["a cosigned checkpoint"])
    newest, earliest = max(found.times), terms.now - terms.max_age_s
    if newest < earliest:
        message, expected = "the newest cosignature is too old", f"from {format_time(earliest)} on"
        return failed(Name.AGE, Finding.STALE, message, expected=expected, actual=format_time(newest))
    return passed(Name.AGE, f"cosigned at {format_time(newest)}")


def describe(key: VerifierKey) -> str:
    """Return name and ID of a key, as C2SP vkeys begin."""
    return f"{key.name}+{key.id.hex()}"
