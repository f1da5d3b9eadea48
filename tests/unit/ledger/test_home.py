"""A log's folder: what is made, what its configuration may say, and where passwords and keys do not get to."""

import base64
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

import ledger.home
from ledger.high_water import HighWaterMark
from ledger.home import DATABASE_VARIABLE, LogHome, create_home, load_home, replace_file, reset_high_water
from ledger.note import Cosigner, MlDsaCosigner, NoteSigner, parse_note
from ledger.store_sql import SqlStore
from tests.lib.databases import new_postgres_url
from tests.lib.statements import make_statement
from yingbi.clock import FixedClock
from yingbi.errors import (
    ConflictError,
    ErrorCode,
    InvalidRequestError,
    NotFoundError,
    RefusedError,
    SandboxError,
    TamperDetectedError,
)
from yingbi.keys import SigningKey

ORIGIN = "log.example/home"
CANARY = "canary-4711"


@pytest.fixture(autouse=True)
def _no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DATABASE_VARIABLE, raising=False)


@pytest.fixture
def home(tmp_path: Path) -> LogHome:
    return create_home(tmp_path / "log", ORIGIN)[0]


def append(home: LogHome, clock: FixedClock, count: int = 1, passphrase: bytes | None = None) -> int:
    log, store = home.open_log(clock, passphrase=passphrase)
    with log:
        done = log.append_batch([make_statement() for _ in range(count)])
    store.close()
    return done.start + done.count


def refusal_of(folder: Path) -> SandboxError:
    with pytest.raises(SandboxError) as refused:
        load_home(folder)
    return refused.value


# --- making -----------------------------------------------------------------------------------------------------------


def test_a_new_folder_is_a_whole_log_that_opens_again(home: LogHome, clock: FixedClock) -> None:
    assert append(home, clock, 3) == 3
    again = load_home(home.folder)
    assert again == home
    assert append(again, clock) == 4
    assert {path.name for path in home.folder.iterdir()} >= {
        "log.toml",
        "log-key.pem",
        "policy.txt",
        "high-water",
        "log.sqlite",
    }


def test_files_with_secrets_are_for_their_owner_only(home: LogHome, clock: FixedClock) -> None:
    old = os.umask(0)
    try:
        log, store = home.open_log(clock)
        with log:
            log.append(make_statement())
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in home.folder.iterdir()}
        store.close()
    finally:
        os.umask(old)
    assert stat.S_IMODE(home.folder.stat().st_mode) == 0o700
    secret = {name: mode for name, mode in modes.items() if name not in ("log.toml", "policy.txt")}
    assert secret.keys() >= {"log-key.pem", "high-water", "log.sqlite", "log.sqlite-wal", "log.sqlite-shm"}
    assert set(secret.values()) == {0o600}, secret


def test_a_log_is_not_made_twice(home: LogHome) -> None:
    before = {path: path.read_bytes() for path in home.folder.iterdir()}
    with pytest.raises(ConflictError) as refused:
        create_home(home.folder, ORIGIN)
    assert refused.value.code is ErrorCode.LOG_EXISTS
    assert {path: path.read_bytes() for path in home.folder.iterdir()} == before


@pytest.mark.parametrize(
    "origin", ["", "Log.example", "log example", 'log"example', "log.example\n", "日志", "a" * 201]
)
def test_an_origin_of_another_form_makes_nothing(tmp_path: Path, origin: str) -> None:
    with pytest.raises(InvalidRequestError):
        create_home(tmp_path / "log", origin)
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "log.sqlite",
        "mysql://host/name",
        "sqlite://",
        "sqlite:///",
        "sqlite:////x%00y",
        "postgresql://host:port/name",
        "postgresql://[::1/name",
        "postgresql+nothing",
    ],
)
def test_a_database_url_of_another_form_makes_nothing(tmp_path: Path, url: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        SqlStore.create(url, ORIGIN)
    assert refused.value.code is ErrorCode.CONFIG_INVALID
    if url:
        with pytest.raises(InvalidRequestError):
            create_home(tmp_path / "log", ORIGIN, database=url)
        assert not (tmp_path / "log").exists()


def test_a_database_that_fails_leaves_nothing_in_the_way_of_the_next_attempt(tmp_path: Path) -> None:
    (tmp_path / "other.sqlite").write_bytes(b"not a database, but long enough to look at" * 100)
    for _ in range(2):
        with pytest.raises(SandboxError) as refused:
            create_home(tmp_path / "log", ORIGIN, database=f"sqlite:///{tmp_path}/other.sqlite")
        assert refused.value.code is ErrorCode.LOG_UNAVAILABLE
    assert create_home(tmp_path / "log", ORIGIN)[0].origin == ORIGIN


def test_a_run_that_stopped_half_way_is_no_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Crash(BaseException):
        pass

    def stop(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(ledger.home, "replace_file", stop)
        with pytest.raises(Crash):
            create_home(tmp_path / "log", ORIGIN)
    assert refusal_of(tmp_path / "log").code is ErrorCode.LOG_NOT_FOUND


def test_an_existing_key_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "log-key.pem").write_text("mine")
    with pytest.raises(ConflictError) as refused:
        create_home(tmp_path / "log", ORIGIN)
    assert refused.value.code is ErrorCode.KEY_EXISTS
    assert (tmp_path / "log" / "log-key.pem").read_text() == "mine"


# --- databases and passwords ------------------------------------------------------------------------------------------


def test_a_relative_database_stands_in_the_folder_wherever_one_calls_from(
    tmp_path: Path, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    home, _ = create_home(Path("log"), ORIGIN, database="sqlite:///data.sqlite")
    assert (tmp_path / "log" / "data.sqlite").exists()
    assert append(home, clock) == 1
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert append(load_home(tmp_path / "log"), clock) == 2


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://user:{CANARY}@127.0.0.1/name",
        f"postgresql://:{CANARY}@127.0.0.1/name",
        f"postgresql://127.0.0.1/name?password={CANARY}",
        f"postgresql://127.0.0.1/name?user=u&p%61ssword={CANARY}",
        f"postgresql://127.0.0.1/name?sslpassword={CANARY}",
    ],
)
def test_a_password_is_neither_taken_as_an_option_nor_written_nor_shown(tmp_path: Path, url: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        create_home(tmp_path / "log", ORIGIN, database=url)
    error = refused.value
    assert error.code is ErrorCode.CONFIG_INVALID
    assert DATABASE_VARIABLE in str(error.hint)
    assert CANARY not in f"{error.message} {error.hint} {error.detail} {error!r}"
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize("url", [f"postgresql://u:{CANARY}@127.0.0.1:1/n", f"postgresql://u:x@{CANARY}:y@/n"])
def test_no_error_shows_a_database_url(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(DATABASE_VARIABLE, url)
    with pytest.raises(SandboxError) as refused:
        create_home(tmp_path / "log", ORIGIN)
    error = refused.value
    assert CANARY not in f"{error.message} {error.hint} {error.detail} {error!r} {caplog.text}"
    assert list((tmp_path / "log").iterdir()) == []


@pytest.mark.postgres
def test_the_environment_names_the_database_and_nothing_of_it_is_written(
    tmp_path: Path, postgres_folder: Path, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = new_postgres_url(postgres_folder).replace("postgres:@", f"postgres:{CANARY}@")
    monkeypatch.setenv(DATABASE_VARIABLE, url)
    home, _ = create_home(tmp_path / "log", ORIGIN)
    assert append(home, clock, 2) == 2
    assert not (tmp_path / "log" / "log.sqlite").exists()
    for path in home.folder.iterdir():
        assert CANARY.encode() not in path.read_bytes()
    assert CANARY not in repr(home)
    monkeypatch.delenv(DATABASE_VARIABLE)
    with pytest.raises(NotFoundError):
        load_home(home.folder).open_store()


def test_an_option_and_an_environment_that_disagree_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DATABASE_VARIABLE, f"sqlite:///{tmp_path}/a.sqlite")
    with pytest.raises(InvalidRequestError) as refused:
        create_home(tmp_path / "log", ORIGIN, database=f"sqlite:///{tmp_path}/b.sqlite")
    assert refused.value.code is ErrorCode.CONFIG_INVALID
    assert create_home(tmp_path / "log", ORIGIN, database=f"sqlite:///{tmp_path}/a.sqlite")


def test_the_database_of_another_log_is_refused(home: LogHome, tmp_path: Path, clock: FixedClock) -> None:
    other, _ = create_home(tmp_path / "other", "log.example/other")
    shutil.copy(other.folder / "log.sqlite", home.folder / "log.sqlite")
    with pytest.raises(InvalidRequestError, match="holds another log"):
        home.open_store()
    with pytest.raises(InvalidRequestError, match="holds another log"):
        home.open_log(clock)


# --- configuration ----------------------------------------------------------------------------------------------------

ANCHOR = '[anchor]\nrpc = "https://n.example"\nchain_id = 1\ncontract = "0x00"\nkey = "k.json"\n'
LINE = f'origin = "{ORIGIN}"\n'
WRONG: dict[str, tuple[bytes, str]] = {
    "not TOML": (b"origin", "`log.toml`: not TOML"),
    "not UTF-8": (b'origin = "\xff"', "`log.toml`: not TOML"),
    "repeated": ((LINE + LINE).encode(), "`log.toml`: not TOML"),
    "unknown": ((LINE + "colour = 1").encode(), "`log.toml`: unknown member `colour`"),
    "no origin": (b"", "`log.toml`: expected `origin` as text"),
    "number": (b"origin = 5", "`log.toml`: expected `origin` as text"),
    "empty path": ((LINE + 'high_water = ""').encode(), "`log.toml`: expected `high_water` as text"),
    "policy list": ((LINE + "policy = []").encode(), "`log.toml`: expected `policy` as text"),
    "key text": ((LINE + 'keys = "a"').encode(), "`log.toml`: expected `keys` as a list of one file, or of two"),
    "no keys": ((LINE + "keys = []").encode(), "`log.toml`: expected `keys` as a list of one file, or of two"),
    "three keys": ((LINE + 'keys = ["a", "b", "c"]').encode(), "`log.toml`: expected `keys` as a list of one file"),
    "key number": ((LINE + "keys = [1]").encode(), "`log.toml`: expected `keys` as a list of one file"),
    "anchor text": ((LINE + 'anchor = "x"').encode(), "`log.toml`: expected `anchor` as a table"),
    "anchor unknown": ((LINE + ANCHOR + "x = 1").encode(), "`log.toml`: unknown member `anchor.x`"),
    "anchor short": ((LINE + "[anchor]").encode(), "`log.toml`: expected `rpc` as text"),
    "anchor chain": ((LINE + ANCHOR.replace("= 1", '= "1"')).encode(), "`log.toml`: expected `chain_id` as a whole"),
    "anchor truth": ((LINE + ANCHOR.replace("= 1", "= true")).encode(), "`log.toml`: expected `chain_id` as a whole"),
    "anchor below 0": ((LINE + ANCHOR + "confirmations = -1").encode(), "`log.toml`: expected `confirmations` as a"),
    "anchor fraction": ((LINE + ANCHOR + "deployed_at = 1.5").encode(), "`log.toml`: expected `deployed_at` as a"),
    "origin": (b'origin = "Nothing like it"', "expected an origin such as"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_configuration_is_named(tmp_path: Path, case: str) -> None:
    data, message = WRONG[case]
    (tmp_path / "log.toml").write_bytes(data)
    error = refusal_of(tmp_path)
    assert isinstance(error, InvalidRequestError)
    assert error.message.startswith(message)
    assert "\n" not in error.message


def test_the_database_is_text(tmp_path: Path) -> None:
    (tmp_path / "log.toml").write_text(LINE + "database = 5")
    with pytest.raises(InvalidRequestError, match="expected `database` as text"):
        load_home(tmp_path).open_store()


def test_no_folder_or_configuration_is_no_log(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nothing"):
        error = refusal_of(folder)
        assert (error.code, error.hint) == (ErrorCode.LOG_NOT_FOUND, "`yingbi log init` makes one")
    (tmp_path / "file").write_text("x")
    assert refusal_of(tmp_path / "file").code is ErrorCode.CONFIG_INVALID
    (tmp_path / "log.toml").mkdir()
    assert refusal_of(tmp_path).code is ErrorCode.CONFIG_INVALID


def test_everything_can_be_elsewhere(home: LogHome, tmp_path: Path, clock: FixedClock) -> None:
    away = tmp_path / "away"
    away.mkdir()
    for name in ("log-key.pem", "high-water", "policy.txt"):
        (home.folder / name).rename(away / name)
    (home.folder / "log.toml").write_text(
        f'{LINE}keys = ["{away}/log-key.pem"]\nhigh_water = "../away/high-water"\npolicy = "{away}/policy.txt"\n'
    )
    assert append(load_home(home.folder), clock) == 1


def test_an_anchor_is_configured_with_what_is_needed(home: LogHome) -> None:
    with (home.folder / "log.toml").open("a") as file:
        file.write(ANCHOR)
    moved = load_home(home.folder)
    assert moved.anchor is not None
    assert (moved.anchor.chain_id, moved.anchor.confirmations, moved.anchor.deployed_at) == (1, 12, 0)
    assert moved.anchor.key == home.folder / "k.json"


@pytest.mark.parametrize("policy", [None, b"", b"quorum none\n", b"log nonsense\nquorum none\n", b"\xff\x00"])
def test_a_policy_that_does_not_list_the_log_is_refused(home: LogHome, policy: bytes | None) -> None:
    home.policy_path.unlink()
    if policy is not None:
        home.policy_path.write_bytes(policy)
    with pytest.raises(InvalidRequestError) as refused:
        home.load_policy()
    assert refused.value.code in (ErrorCode.CONFIG_INVALID, ErrorCode.POLICY_MALFORMED)
    assert refused.value.spec.exit_code == 78


# --- keys -------------------------------------------------------------------------------------------------------------


def test_a_passphrase_protects_the_key(tmp_path: Path, clock: FixedClock) -> None:
    home, _ = create_home(tmp_path / "log", ORIGIN, passphrase=b"open sesame")
    assert b"ENCRYPTED" in (home.folder / "log-key.pem").read_bytes()
    for wrong in (None, b"", b"open barley"):
        with pytest.raises(InvalidRequestError) as refused:
            append(home, clock, passphrase=wrong)
        assert refused.value.code is ErrorCode.KEY_MALFORMED
        assert "sesame" not in f"{refused.value!r}"
    assert append(home, clock, passphrase=b"open sesame") == 1


def test_an_empty_passphrase_makes_no_key(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError):
        create_home(tmp_path / "log", ORIGIN, passphrase=b"")
    assert list((tmp_path / "log").iterdir()) == []


def test_a_key_that_others_can_read_is_refused(home: LogHome, clock: FixedClock) -> None:
    (home.folder / "log-key.pem").chmod(0o640)
    with pytest.raises(RefusedError) as refused:
        home.open_log(clock)
    assert refused.value.code is ErrorCode.KEY_EXPOSED


def test_a_failed_opening_lets_go_of_the_log(home: LogHome, clock: FixedClock) -> None:
    (home.folder / "high-water").rename(home.folder / "lost")
    for _ in range(2):
        with pytest.raises(NotFoundError) as refused:
            home.open_log(clock)
        assert refused.value.code is ErrorCode.LOG_NOT_FOUND
    (home.folder / "lost").rename(home.folder / "high-water")
    assert append(home, clock) == 1


# --- a lost mark ------------------------------------------------------------------------------------------------------


def head_of(home: LogHome) -> tuple[int, str]:
    store = home.open_store()
    head = store.read_head()
    store.close()
    return head.size, base64.b64encode(head.root).decode()


def test_a_lost_mark_is_made_anew_only_at_the_head_that_is_known_from_elsewhere(
    home: LogHome, clock: FixedClock
) -> None:
    append(home, clock, 5)
    size, root = head_of(home)
    with pytest.raises(ConflictError):
        reset_high_water(home, size=size, root=root)
    home.high_water.unlink()
    for wrong in ((4, root), (6, root), (5, root.swapcase()), (5, ""), (0, head_of(home)[1])):
        with pytest.raises(TamperDetectedError) as refused:
            reset_high_water(home, size=wrong[0], root=wrong[1])
        assert refused.value.code is ErrorCode.LOG_ROLLED_BACK
        assert not home.high_water.exists()
    reset_high_water(home, size=size, root=root)
    assert append(home, clock) == 6


def test_a_mark_holds_the_logs_own_signature_only(home: LogHome, clock: FixedClock) -> None:
    append(home, clock)
    size, root = head_of(home)
    store = home.open_store()
    text = parse_note(store.read_signed(size)).text
    signers: list[NoteSigner] = [Cosigner("w.example", SigningKey.generate(), clock)]
    signers += [MlDsaCosigner(f"w{number}.example", MLDSA44PrivateKey.generate(), clock) for number in range(2)]
    store.publish(size, [signer.sign(text) for signer in signers])
    store.close()
    home.high_water.unlink()
    reset_high_water(home, size=size, root=root)
    assert b"w.example" not in home.high_water.read_bytes()
    assert HighWaterMark(home.high_water).read(home.verifiers()).size == size


# --- replacing files --------------------------------------------------------------------------------------------------


@pytest.fixture
def crashing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        yield


def test_a_file_is_replaced_as_a_whole_or_not(tmp_path: Path, crashing: None) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(OSError, match="No space"):
        replace_file(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old"


def test_a_replaced_file_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "a").chmod(0o600)
    replace_file(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "new"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
