"""Changing the log's key: what each phase does, a crash after any step of it, and who can still verify what."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import ledger.rotation
from ledger.checkpoint import parse_checkpoint
from ledger.entry import parse_entry
from ledger.high_water import HighWaterMark
from ledger.home import LogHome, create_home, load_home, render_keys
from ledger.log import Log
from ledger.note import NoteVerifier, TextSigner, parse_note, verify_note
from ledger.publish import export_log
from ledger.receipt import format_receipt
from ledger.rotation import begin_rotation, finish_rotation
from tests.lib.statements import make_statement
from yingbi.clock import SystemClock
from yingbi.errors import ConflictError, ErrorCode, InvalidRequestError, SandboxError, TamperDetectedError
from yingbi.events import EntryType
from yingbi.keys import load_signing_key
from yingbi.verify import Check, Name, Outcome, Report, Trust, Verdict, audit_log, load_trust, verify_receipt

ORIGIN = "log.example/rotation"
CLOCK = SystemClock()
Phase = Callable[..., tuple[str, ...]]


@pytest.fixture
def home(tmp_path: Path) -> LogHome:
    return create_home(tmp_path / "log", ORIGIN)[0]


def reload(home: LogHome) -> LogHome:
    return load_home(home.folder)


def begin(home: LogHome) -> tuple[str, ...]:
    return begin_rotation(reload(home), CLOCK)


def finish(home: LogHome) -> tuple[str, ...]:
    return finish_rotation(reload(home), CLOCK)


def append(home: LogHome, count: int = 1) -> tuple[bytes, bytes]:
    """Append entries; return receipt and bytes of the first."""
    log, store = reload(home).open_log(CLOCK)
    with log:
        done = log.append_batch([make_statement() for _ in range(count)])
        receipt, entry = format_receipt(log.reader.receipt(done.start, done.signed)), log.reader.entry(done.start)
    store.close()
    return receipt, entry


def vkeys_of(home: LogHome) -> list[str]:
    return [verifier.encode() for verifier in reload(home).verifiers()]


def export(home: LogHome) -> Path:
    folder = home.folder.parent / "export"
    store = reload(home).open_store()
    export_log(store, reload(home).verifiers(), folder)
    store.close()
    return folder


def trusting(*vkeys: str) -> Trust:
    return load_trust("".join([*(f"log {vkey}\n" for vkey in vkeys), "quorum none\n"]).encode())


def audit(home: LogHome, *vkeys: str, since: bytes | None = None) -> Report:
    now = datetime.now(UTC) + timedelta(seconds=1)
    return audit_log(export(home), trusting(*vkeys), now=now, since=since)


def check_of(report: Report, name: Name) -> Check:
    return next(check for check in report.checks if check.name == name)


def phases(home: LogHome) -> list[str]:
    """The phases that the log recorded."""
    store = reload(home).open_store()
    entries = [parse_entry(data) for data in store.read_entries(0, store.read_head().size)]
    store.close()
    return [entry.statement.payload.body["phase"] for entry in entries if entry.type is EntryType.LOG_KEY_CHANGED]


def signers_by_size(home: LogHome, *vkeys: str) -> dict[int, set[str]]:
    """Which of `vkeys` signed the checkpoint of each size that was signed at all."""
    store = reload(home).open_store()
    found: dict[int, set[str]] = {}
    for size in range(store.read_head().size + 1):
        try:
            note = parse_note(store.read_signed(size))
        except SandboxError:
            continue
        assert parse_checkpoint(note.text).size == size
        verified = verify_note(note, [NoteVerifier.parse(vkey) for vkey in vkeys])
        found[size] = {item.verifier.encode() for item in verified}
    store.close()
    return found


def assert_sound(home: LogHome, old: str, new: str) -> None:
    """Both sorts of auditors can follow the whole log, and no checkpoint lacks a key of its time."""
    for vkey in (old, new):
        report = audit(home, vkey)
        assert report.verdict is Verdict.LOG_SIGNED_ONLY, report.first_failure
        assert check_of(report, Name.LOG_KEYS).outcome is Outcome.PASSED


# --- the two phases ---------------------------------------------------------------------------------------------------


def test_both_keys_sign_from_begin_to_finish_and_the_new_one_alone_afterwards(home: LogHome) -> None:
    append(home, 2)
    (old,) = vkeys_of(home)
    begun = begin(home)
    assert begun[0] == old
    new = begun[1]
    assert vkeys_of(home) == [old, new]
    append(home)
    assert finish(home) == (new,)
    assert vkeys_of(home) == [new]
    append(home)
    assert phases(home) == ["begin", "finish"]
    # Sizes: 0 empty, 2, 3 with `begin`, 4, 5 with `finish`, 6. Both are due from the one that holds `begin` on.
    assert signers_by_size(home, old, new) == {
        0: {old},
        2: {old},
        3: {old, new},
        4: {old, new},
        5: {old, new},
        6: {new},
    }


def test_the_verifier_follows_the_change_from_either_key(home: LogHome) -> None:
    append(home, 3)
    (old,) = vkeys_of(home)
    assert audit(home, old).verdict is Verdict.LOG_SIGNED_ONLY
    _, new = begin(home)
    assert_sound(home, old, new)
    append(home, 300)
    assert_sound(home, old, new)
    finish(home)
    assert_sound(home, old, new)
    append(home)
    assert_sound(home, old, new)
    assert check_of(audit(home, old), Name.LOG_KEYS).message.startswith("2 keys")


def test_every_checkpoint_on_the_way_stays_good_evidence(home: LogHome) -> None:
    kept: list[bytes] = []
    (old,) = vkeys_of(home)
    for step in (append, begin, append, finish, append):
        step(home)
        kept.append((export(home) / "checkpoint").read_bytes())
    (new,) = vkeys_of(home)
    for vkey in (old, new):
        for checkpoint in kept:
            report = audit(home, vkey, since=checkpoint)
            assert check_of(report, Name.HISTORY).outcome is Outcome.PASSED
            assert report.verdict is Verdict.LOG_SIGNED_ONLY


def test_receipts_verify_with_the_keys_of_their_time(home: LogHome) -> None:
    (old,) = vkeys_of(home)
    before = append(home)
    _, new = begin(home)
    during = append(home)
    finish(home)
    after = append(home)

    def verdict(evidence: tuple[bytes, bytes], *vkeys: str) -> Verdict:
        now = datetime.now(UTC) + timedelta(seconds=1)
        return verify_receipt(*evidence, trusting(*vkeys), now=now).verdict

    for evidence, good, bad in ((before, [old], [new]), (during, [old, new], []), (after, [new], [old])):
        for vkey in good:
            assert verdict(evidence, vkey) is Verdict.LOG_SIGNED_ONLY
        for vkey in bad:
            assert verdict(evidence, vkey) is Verdict.INVALID
        assert verdict(evidence, old, new) is Verdict.LOG_SIGNED_ONLY


def test_the_old_key_alone_opens_nothing_afterwards(home: LogHome) -> None:
    (old_path,) = reload(home).keys
    begin(home)
    finish(home)
    append(home)
    store = reload(home).open_store()
    mark = HighWaterMark(home.high_water)
    signer = TextSigner(ORIGIN, load_signing_key(old_path))
    with pytest.raises(TamperDetectedError) as refused:
        Log.open(store, [signer], clock=CLOCK, high_water=mark)
    assert refused.value.code is ErrorCode.NOTE_UNVERIFIED
    store.close()


def test_a_key_changes_as_often_as_one_likes(home: LogHome) -> None:
    (first,) = vkeys_of(home)
    names = {path.name for path in reload(home).keys}
    for _ in range(3):
        begin(home)
        append(home)
        (last,) = finish(home)
        names |= {path.name for path in reload(home).keys}
    assert len(names) == 4, "no key comes back"
    assert phases(home) == ["begin", "finish"] * 3
    assert_sound(home, first, last)


def test_phases_out_of_turn_are_refused_and_record_nothing(home: LogHome) -> None:
    with pytest.raises(ConflictError, match="no change of the key is under way"):
        finish(home)
    begin(home)
    with pytest.raises(ConflictError, match="under way"):
        begin(home)
    finish(home)
    with pytest.raises(ConflictError, match="no change of the key is under way"):
        finish(home)
    assert phases(home) == ["begin", "finish"]


def test_the_new_key_has_the_passphrase_of_the_old_one(tmp_path: Path) -> None:
    home, _ = create_home(tmp_path / "log", ORIGIN, passphrase=b"open sesame")
    with pytest.raises(InvalidRequestError):
        begin_rotation(home, CLOCK)
    assert [path.name for path in home.folder.glob("*.pem")] == ["log-key.pem"], "nothing is made before that is known"
    begin_rotation(home, CLOCK, passphrase=b"open sesame")
    assert all(b"ENCRYPTED" in path.read_bytes() for path in home.folder.glob("*.pem"))
    finish_rotation(reload(home), CLOCK, passphrase=b"open sesame")
    assert phases(home) == ["begin", "finish"]


def test_a_log_that_is_open_elsewhere_is_not_changed(home: LogHome) -> None:
    log, store = home.open_log(CLOCK)
    (old,) = vkeys_of(home)
    with log:
        with pytest.raises(ConflictError) as refused:
            begin(home)
        assert refused.value.code is ErrorCode.LOG_BUSY
        log.append(make_statement())
    store.close()
    assert phases(home) == []
    _, new = begin(home)
    finish(home)
    assert_sound(home, old, new)


# --- a crash after any step -------------------------------------------------------------------------------------------


class Crash(BaseException):
    """The process ends here."""


class Steps:
    """Counts what a run does to the disk and the log, and ends it before or after a chosen step."""

    WHAT = (
        (ledger.rotation, "save_signing_key"),
        (ledger.rotation, "replace_file"),
        (Log, "append"),
        (Path, "unlink"),
    )

    def __init__(self, stop_at: int, *, after: bool) -> None:
        self.stop_at, self.after, self.count, self.is_deaf = stop_at, after, 0, False

    def __enter__(self) -> "Steps":
        self._patch = pytest.MonkeyPatch()
        for place, name in self.WHAT:
            self._patch.setattr(place, name, self._count(getattr(place, name)))
        return self

    def __exit__(self, *_: object) -> None:
        self._patch.undo()

    def _count(self, original: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            if self.is_deaf:
                return original(*args, **kwargs)
            self.count += 1
            if self.count == self.stop_at and not self.after:
                raise Crash
            self.is_deaf = True
            done = original(*args, **kwargs)
            self.is_deaf = False
            if self.count == self.stop_at:
                raise Crash
            return done

        return call


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("between", [False, True])
def test_a_crash_at_any_step_is_repaired_by_running_the_phase_again(
    tmp_path: Path, *, after: bool, between: bool
) -> None:
    """`between`: the log goes on for a while after the crash, with the keys that its configuration then lists."""
    made, _ = create_home(tmp_path / "first", ORIGIN)
    append(made)
    stopped = 0
    for phase in ("begin", "finish"):
        step = 0
        while True:
            step += 1
            folder = tmp_path / f"{phase}-{step}"
            (folder / "log").parent.mkdir()
            shutil.copytree(made.folder, folder / "log")
            home = load_home(folder / "log")
            (old,) = vkeys_of(home)
            new = begin(home)[1] if phase == "finish" else None
            run: Phase = begin if phase == "begin" else finish
            with Steps(step, after=after) as steps:
                try:
                    run(home)
                except Crash:
                    stopped += 1
            is_complete = steps.count < step
            if between:
                append(home)
            if not is_complete:
                try:
                    again = run(home)
                except ConflictError:
                    # Everything was done but for the answer.
                    assert phases(home) == (["begin"] if phase == "begin" else ["begin", "finish"])
                    again = tuple(vkeys_of(home))
                assert again == tuple(vkeys_of(home))
            if phase == "begin":
                new = vkeys_of(home)[1]
                append(home)
                finish(home)
            assert new is not None
            append(home)
            assert phases(home) == ["begin", "finish"]
            assert not (home.folder / "rotation.json").exists()
            assert vkeys_of(home) == [new]
            assert_sound(home, old, new)
            shutil.rmtree(folder)
            if is_complete:
                break
        assert step == {"begin": 6, "finish": 5}[phase] + 1
    assert stopped == 11


def test_a_crash_late_in_one_change_does_not_spoil_the_next(home: LogHome) -> None:
    """Regression: the statement that was left over named the phase, or the key, of another change."""
    (old,) = vkeys_of(home)
    begin(home)
    finish(home)
    with Steps(6, after=False), pytest.raises(Crash):
        begin(home)
    assert (home.folder / "rotation.json").exists()
    with pytest.raises(ConflictError, match="not begun to its end"):
        finish(home)
    begin(home)
    with Steps(5, after=False), pytest.raises(Crash):
        finish(home)
    assert (home.folder / "rotation.json").exists()
    begin(home)
    append(home)
    (new,) = finish(home)
    append(home)
    assert phases(home) == ["begin", "finish"] * 3
    assert_sound(home, old, new)


# --- configuration and policy -----------------------------------------------------------------------------------------


def test_the_rest_of_configuration_and_policy_stays(home: LogHome) -> None:
    config, policy = home.folder / "log.toml", home.policy_path
    (old,) = vkeys_of(home)
    config.write_text("# by hand\n" + config.read_text() + "# the end\n")
    policy.write_text(f"# by hand\nlog {old} https://log.example/\nquorum none\n# the end\n")
    _, new = begin(home)
    keys = f'keys = ["log-key.pem", "{reload(home).keys[1].name}"]'
    assert keys in config.read_text().splitlines()
    assert policy.read_text() == (
        f"log {old} https://log.example/\nlog {new} https://log.example/\n# by hand\nquorum none\n# the end\n"
    )
    finish(home)
    assert config.read_text().startswith("# by hand\n")
    assert config.read_text().endswith("# the end\n")
    assert policy.read_text() == f"log {new} https://log.example/\n# by hand\nquorum none\n# the end\n"


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ['keys = ["log-key.pem"]'],
        ['keys=["log-key.pem"]  # one line'],
        ["# keys are elsewhere", "  keys  = [ 'log-key.pem' ]"],
    ],
)
def test_keys_are_replaced_however_they_are_written_on_one_line(home: LogHome, lines: list[str]) -> None:
    (home.folder / "log.toml").write_text("\n".join([f'origin = "{ORIGIN}"', *lines, ""]))
    begin(home)
    assert len(reload(home).keys) == 2
    finish(home)
    assert len(reload(home).keys) == 1
    assert append(home)


def test_keys_that_cannot_be_replaced_stop_the_change_before_anything_is_recorded(home: LogHome) -> None:
    config = home.folder / "log.toml"
    config.write_text(config.read_text().replace('keys = ["log-key.pem"]', 'keys = [\n  "log-key.pem",\n]'))
    with pytest.raises(InvalidRequestError, match="on one line"):
        begin(home)
    assert phases(home) == []
    assert len(vkeys_of(home)) == 1
    config.write_text(config.read_text().replace('keys = [\n  "log-key.pem",\n]', 'keys = ["log-key.pem"]'))
    begin(home)
    one_line = config.read_text()
    config.write_text(one_line.replace(", ", ",\n"))
    with pytest.raises(InvalidRequestError, match="on one line"):
        finish(home)
    assert phases(home) == ["begin"]
    config.write_text(one_line)
    finish(home)
    assert phases(home) == ["begin", "finish"]


def test_keys_outside_the_folder_and_with_odd_names_are_kept(home: LogHome, tmp_path: Path) -> None:
    away = tmp_path / 'a "key" \\ of ours.pem'
    (home.folder / "log-key.pem").rename(away)
    (home.folder / "log.toml").write_text(f"origin = \"{ORIGIN}\"\nkeys = ['{away}']\n")
    (old,) = vkeys_of(home)
    _, new = begin(home)
    assert reload(home).keys[0] == away
    finish(home)
    assert_sound(home, old, new)


def test_a_policy_of_other_bytes_is_kept(home: LogHome) -> None:
    policy = home.policy_path
    policy.write_bytes(policy.read_bytes() + b"# \xff\xfe by hand\n")
    files = render_keys(home, home.keys, home.verifiers())
    assert files[policy].encode("utf-8", "surrogateescape") == policy.read_bytes()
    begin(home)
    assert b"# \xff\xfe by hand\n" in policy.read_bytes()
