"""The command line as a user runs it: every command, both languages, exit codes, errors, and what is never shown."""

import base64
import json
import os
import shutil
import sqlite3
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from ledger.home import load_home
from ledger.note import TextSigner, sign_note
from ledger.witness_evidence import parse_evidence
from tests.lib.command_line import Done, run, serving, spawn
from tests.lib.databases import new_postgres_url
from tests.lib.local_witnesses import LocalWitnesses
from tests.lib.statements import revoked
from tests.lib.tls import LocalCa
from yingbi.clock import SystemClock
from yingbi.commitment import commit
from yingbi.errors import CATALOGUE
from yingbi.keys import SigningKey
from yingbi.statement import MAX_ENVELOPE_BYTES, parse_statement

ORIGIN = "log.example/cli"
CANARY = "canary-4711"
VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "anchor"


@dataclass(frozen=True)
class Place:
    """A folder with a key, a log, and files to give to commands."""

    folder: Path

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def key(self) -> Path:
        return self.folder / "key.pem"

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def payload(self, **overrides: object) -> bytes:
        key = SigningKey.from_seed(b"\x07" * 32)
        payload = revoked(key, **overrides)
        del payload["issued_at"], payload["nonce"]
        return json.dumps(payload, indent=1).encode()

    def statement(self, name: str = "statement.json", **overrides: object) -> Path:
        """Sign a statement by the command line into a file."""
        run("keys", "sign", "-", "--key", self.key, "-o", self / name, stdin=self.payload(**overrides)).ok()
        return self / name

    def append(self, count: int = 1, *options: object) -> Done:
        files = [self.statement(f"s{number}.json") for number in range(count)]
        return run("log", "append", *files, "--log", self.log, "--json", *options)

    def size(self) -> int:
        """Return how many entries are stored."""
        store = load_home(self.log).open_store()
        size = store.read_head().size
        store.close()
        return size


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A log of three entries."""
    place = Place(tmp_path_factory.mktemp("template"))
    run("keys", "new", place.key).ok()
    run("log", "init", ORIGIN, "--log", place.log).ok()
    place.append(3).ok()
    return place


@pytest.fixture
def place(template: Place, tmp_path: Path) -> Place:
    """A copy of it for one test."""
    shutil.copytree(template.folder, tmp_path / "place")
    return Place(tmp_path / "place")


def vkey_of(place: Place) -> str:
    return load_home(place.log).verifiers()[0].encode()


def head_of(place: Place) -> tuple[int, str]:
    lines = run("log", "checkpoint", "--log", place.log).ok().out.splitlines()
    return int(lines[1]), lines[2]


# --- keys -------------------------------------------------------------------------------------------------------------


def test_keys_new_makes_a_key_for_its_owner_only_and_shows_the_public_side(tmp_path: Path) -> None:
    shown = run("keys", "new", tmp_path / "k.pem", "--json").ok().json
    assert set(shown) == {"file", "thumbprint", "jwk"}
    assert set(json.loads(shown["jwk"])) == {"crv", "kty", "x"}
    assert stat.S_IMODE((tmp_path / "k.pem").stat().st_mode) == 0o600
    again = run("keys", "new", tmp_path / "k.pem", "--json")
    assert (again.code, again.error["code"]) == (73, "key-exists")


def test_keys_show_shows_the_same_in_both_languages(place: Place) -> None:
    shown = run("keys", "show", place.key, "--json").ok().json
    english = run("keys", "show", place.key, env={"YINGBI_LANG": "en"}).ok().out
    chinese = run("keys", "show", place.key, env={"YINGBI_LANG": "zh"}).ok().out
    assert shown["thumbprint"] in english
    assert shown["thumbprint"] in chinese
    assert english.split()[0] == "Key"
    assert not chinese.isascii()


def test_keys_sign_adds_time_and_nonce_and_keeps_what_is_given(place: Place) -> None:
    statement = parse_statement(place.statement().read_bytes())
    assert len(statement.payload.nonce) == 22
    given = revoked()
    out = run("keys", "sign", "-", "--key", place.key, stdin=json.dumps(given).encode()).ok().data
    assert parse_statement(out).payload.nonce == given["nonce"]


def test_keys_sign_with_two_keys_is_four_eyes(place: Place) -> None:
    run("keys", "new", place / "second.pem").ok()
    data = run("keys", "sign", "-", "--key", place.key, "--key", place / "second.pem", stdin=place.payload()).ok().data
    assert len(parse_statement(data).signatures) == 2
    twice = run("keys", "sign", "-", "--key", place.key, "--key", place.key, "--out", "x", stdin=place.payload())
    assert twice.code == 65


def test_keys_cosign_adds_a_second_signature(place: Place) -> None:
    run("keys", "new", place / "second.pem").ok()
    first = place.statement()
    data = run("keys", "cosign", first, "--key", place / "second.pem").ok().data
    assert len(parse_statement(data).signatures) == 2
    from_stdin = run("keys", "cosign", "-", "--key", place / "second.pem", stdin=first.read_bytes() + b"\n").ok()
    assert from_stdin.data == data
    assert run("keys", "cosign", first, "--key", place.key).code == 65


def test_keys_take_a_passphrase_from_a_file_only(tmp_path: Path) -> None:
    (tmp_path / "phrase").write_text(f"{CANARY}\n")
    run("keys", "new", tmp_path / "k.pem", "--passphrase-file", tmp_path / "phrase").ok()
    assert b"ENCRYPTED" in (tmp_path / "k.pem").read_bytes()
    run("keys", "show", tmp_path / "k.pem", "--passphrase-file", "-", stdin=CANARY.encode()).ok()
    for options, stdin in (((), b""), (("--passphrase-file", "-"), b"other")):
        refused = run("keys", "show", tmp_path / "k.pem", *options, stdin=stdin)
        assert (refused.code, refused.out) == (65, "")
        assert CANARY not in refused.err
    (tmp_path / "empty").write_text("\n")
    empty = run("keys", "new", tmp_path / "k2.pem", "--passphrase-file", tmp_path / "empty", "--json")
    assert (empty.code, empty.error["code"]) == (65, "key-malformed")
    assert not (tmp_path / "k2.pem").exists()


def test_a_key_that_others_can_read_is_refused(place: Place) -> None:
    place.key.chmod(0o644)
    refused = run("keys", "show", place.key, "--json")
    assert (refused.code, refused.error["code"]) == (77, "key-exposed")
    assert refused.error["hint"] == "chmod 600 key.pem"


# --- log: making, writing, reading ------------------------------------------------------------------------------------


def test_log_init_makes_a_log_once(tmp_path: Path) -> None:
    made = run("log", "init", ORIGIN, "--log", tmp_path / "log", "--json").ok().json
    assert made["origin"] == ORIGIN
    assert made["vkey"].startswith(f"{ORIGIN}+")
    again = run("log", "init", ORIGIN, "--log", tmp_path / "log", "--json")
    assert (again.code, again.error["code"]) == (73, "log-exists")
    assert run("log", "init", "Not An Origin", "--log", tmp_path / "other").code == 65


def test_log_init_takes_the_folder_from_the_environment(tmp_path: Path) -> None:
    run("log", "init", ORIGIN, env={"YINGBI_LOG": str(tmp_path / "log")}).ok()
    assert run("log", "checkpoint", env={"YINGBI_LOG": str(tmp_path / "log")}).ok().out.startswith(f"{ORIGIN}\n0\n")


@pytest.mark.postgres
def test_log_init_on_postgresql_by_url_and_by_environment(tmp_path: Path, postgres_folder: Path) -> None:
    url = new_postgres_url(postgres_folder)
    run("log", "init", ORIGIN, "--log", tmp_path / "log", "--database", url).ok()
    assert run("log", "audit", "--log", tmp_path / "log", "--json").json["verdict"] == "LOG-SIGNED ONLY"
    secret = {"YINGBI_LOG_DATABASE": new_postgres_url(postgres_folder).replace("postgres:@", f"postgres:{CANARY}@")}
    refused = run("log", "init", ORIGIN, "--log", tmp_path / "b", "--database", secret["YINGBI_LOG_DATABASE"])
    assert refused.code == 78
    assert CANARY not in refused.err
    run("log", "init", ORIGIN, "--log", tmp_path / "b", env=secret).ok()
    assert run("log", "audit", "--log", tmp_path / "b", env=secret).code == 2
    assert CANARY.encode() not in b"".join(path.read_bytes() for path in (tmp_path / "b").iterdir())


def test_log_append_records_files_and_standard_input_together(place: Place) -> None:
    one, two = place.statement("one.json"), place.statement("two.json")
    rows = run("log", "append", one, "-", "--log", place.log, "--json", stdin=two.read_bytes() + b"\n\n").ok().json
    assert [row["index"] for row in rows] == [3, 4]
    assert {row["type"] for row in rows} == {"key.revoked"}
    assert rows[0]["id"] != rows[1]["id"]
    table = run("log", "append", place.statement("three.json"), "--log", place.log, env={"YINGBI_LANG": "zh"}).ok()
    assert "key.revoked" in table.out


def test_log_append_with_one_key_records_once(place: Place) -> None:
    statement = place.statement()
    for _ in range(2):
        rows = run("log", "append", statement, "--log", place.log, "--idempotency-key", "k", "--json").ok().json
        assert [row["index"] for row in rows] == [3]
    other = run("log", "append", place.statement("other.json"), "--log", place.log, "--idempotency-key", "k", "--json")
    assert (other.code, other.error["code"]) == (65, "idempotency-conflict")
    assert place.size() == 4


def test_log_append_writes_a_receipt_that_verifies(place: Place) -> None:
    run("log", "append", place.statement(), "--log", place.log, "--receipt", place / "r.tlog-proof").ok()
    run("log", "entry", 3, "--log", place.log, "-o", place / "e.json").ok()
    verified = run("verify", place / "r.tlog-proof", "--entry", place / "e.json", "--trust", place.log / "policy.txt")
    assert verified.code == 2


def test_log_append_is_all_or_nothing(place: Place) -> None:
    good = place.statement("good.json").read_bytes()
    refused = run("log", "append", "-", "--log", place.log, stdin=good + b"\n" + good[:-5])
    assert refused.code == 65
    assert place.size() == 3


def test_log_checkpoint_writes_the_published_note(place: Place) -> None:
    out = run("log", "checkpoint", "--log", place.log).ok().data
    assert out.splitlines()[:2] == [ORIGIN.encode(), b"3"]
    run("log", "checkpoint", "--log", place.log, "--out", place / "checkpoint").ok()
    assert (place / "checkpoint").read_bytes() == out


def test_log_prove_and_log_entry_give_what_the_verifier_needs(place: Place) -> None:
    for index in range(3):
        run("log", "prove", index, "--log", place.log, "-o", place / "r").ok()
        run("log", "entry", index, "--log", place.log, "-o", place / "e").ok()
        assert json.loads((place / "e").read_bytes())["seq"] == index
        assert run("verify", place / "r", "--entry", place / "e", "--trust", place.log / "policy.txt").code == 2
    for command in ("prove", "entry"):
        missing = run("log", command, 3, "--log", place.log, "--out", place / "nothing")
        assert (missing.code, missing.out) == (66, "")
        assert not (place / "nothing").exists()
        assert run("log", command, -1, "--log", place.log).code == 64


def test_log_entry_of_nothing_is_an_error_in_json_where_json_is_wanted(place: Place) -> None:
    missing = run("log", "append", place / "no.json", "--log", place.log, "--json")
    assert (missing.code, missing.error["code"], missing.out) == (64, "usage", "")


def test_log_consistency_writes_hashes_that_lead_from_the_old_root_to_the_new(place: Place) -> None:
    run("log", "checkpoint", "--log", place.log, "-o", place / "old").ok()
    place.append(4).ok()
    run("log", "checkpoint", "--log", place.log, "-o", place / "new").ok()
    run("log", "consistency", 3, "--log", place.log, "-o", place / "proof").ok()
    trust = ["--trust", place.log / "policy.txt"]
    command = [sys.executable, "-m", "yingbi.verify", "consistency", place / "old", place / "new", place / "proof"]
    done = subprocess.run(list(map(str, [*command, *trust])), capture_output=True, check=False)
    assert done.returncode == 2, done.stderr
    assert run("log", "consistency", 7, "--log", place.log).ok().data == b""
    assert run("log", "consistency", 8, "--log", place.log).code == 65


# --- log: publishing and auditing -------------------------------------------------------------------------------------


def test_log_export_writes_a_folder_that_verifies(place: Place) -> None:
    shown = run("log", "export", place / "export", "--log", place.log, "--json").ok().json
    assert shown == {"origin": ORIGIN, "size": 3, "folder": str(place / "export")}
    report = run("verify", place / "export", "--trust", place.log / "policy.txt", "--json")
    assert (report.code, report.json["verdict"], report.json["good_size"]) == (2, "LOG-SIGNED ONLY", 3)
    place.append(2).ok()
    assert run("log", "export", place / "export", "--log", place.log, "--json").ok().json["size"] == 5


def test_log_export_over_something_else_is_refused(place: Place) -> None:
    refused = run("log", "export", place.folder, "--log", place.log, "--json")
    assert (refused.code, refused.error["code"]) == (64, "usage")
    assert run("log", "export", place.key, "--log", place.log).code == 64


def test_log_audit_of_the_own_log_a_folder_and_in_both_languages(place: Place) -> None:
    own = run("log", "audit", "--log", place.log, "--json")
    run("log", "export", place / "export", "--log", place.log).ok()
    folder = run("log", "audit", place / "export", "--trust", place.log / "policy.txt", "--json")
    assert own.code == folder.code == 2
    assert own.json == folder.json
    english = run("log", "audit", "--log", place.log, env={"YINGBI_LANG": "en"})
    chinese = run("log", "audit", "--log", place.log, env={"YINGBI_LANG": "zh"})
    assert english.out.splitlines()[0].startswith("LOG-SIGNED ONLY every check passed")
    assert chinese.out.splitlines()[0].startswith("LOG-SIGNED ONLY ")
    assert not chinese.out.isascii()
    without_trust = run("log", "audit", place / "export", "--log", place.log, "--json")
    assert (without_trust.code, without_trust.error["code"]) == (64, "usage")
    assert run("log", "audit", place / "nothing", "--trust", place.log / "policy.txt").code == 3


def test_log_audit_since_an_older_checkpoint(place: Place) -> None:
    run("log", "checkpoint", "--log", place.log, "-o", place / "old").ok()
    place.append(2).ok()
    report = run("log", "audit", "--log", place.log, "--since", place / "old", "--json").json
    assert next(check for check in report["checks"] if check["name"] == "history")["outcome"] == "passed"
    shutil.rmtree(place.log)
    run("log", "init", ORIGIN, "--log", place.log).ok()
    assert run("log", "audit", "--log", place.log, "--since", place / "old").code == 1


@pytest.mark.parametrize(
    "what", ["delete from ledger_entry where seq = 1", "delete from ledger_tile", "delete from ledger_signed"]
)
def test_log_audit_of_a_damaged_database_lists_what_is_missing(place: Place, what: str) -> None:
    """Regression: the store's own error ended the audit, with an exit code that is no verdict."""

    with sqlite3.connect(place.log / "log.sqlite") as database:
        database.execute(what)
    database.close()
    report = run("log", "audit", "--log", place.log, "--json")
    assert (report.code, report.json["verdict"]) == (3, "COULD NOT CHECK")


def audit_with(place: Place, *arguments: object) -> Done:
    return run("log", "audit", *arguments, "--trust", place.log / "policy.txt", "--json")


def test_log_serve_is_audited_over_http_and_over_tls(place: Place, tmp_path: Path) -> None:
    authority = LocalCa(tmp_path)
    certificate, key = authority.issue()
    place.append(2).ok()
    with serving("log", "serve", "--log", place.log, "--port", 0) as url:
        assert url.startswith("http://127.0.0.1:")
        plain = audit_with(place, url)
        assert (plain.code, plain.json["good_size"]) == (2, 5)
        assert audit_with(place, url + "/").json == plain.json
        assert audit_with(place, url + "/nothing").code == 3
        place.append(1).ok()
        assert audit_with(place, url).json["good_size"] == 6
    gone = audit_with(place, url)
    assert (gone.code, gone.error["code"]) == (69, "log-unavailable")
    tls = ["--tls-cert", certificate, "--tls-key", key]
    with serving("log", "serve", "--log", place.log, "--port", 0, *tls) as url:
        assert url.startswith("https://127.0.0.1:")
        assert audit_with(place, url, "--ca", authority.certificate).json["good_size"] == 6
        untrusted = audit_with(place, url)
        assert (untrusted.code, untrusted.error["code"]) == (69, "log-unavailable")
        assert audit_with(place, url.replace("https", "http")).code == 69


def test_log_serve_ends_at_once_though_a_client_keeps_its_connection(place: Place, tmp_path: Path) -> None:
    """Regression: a TLS connection that a client kept for its next request held the end up for ten seconds."""
    authority = LocalCa(tmp_path)
    certificate, key = authority.issue()
    command = ("log", "serve", "--log", place.log, "--port", 0, "--tls-cert", certificate, "--tls-key", key)
    context = ssl.create_default_context(cafile=authority.certificate)
    with httpx.Client(verify=context) as client:
        with serving(*command) as url:
            assert client.get(f"{url}/checkpoint").status_code == 200
        with pytest.raises(httpx.HTTPError):
            client.get(f"{url}/checkpoint")


def test_log_serve_ends_when_it_is_told_to_before_it_answered_anything(place: Place) -> None:
    """Regression: a signal between the announcement and the server's start was lost, and the process went on."""
    with serving("log", "serve", "--log", place.log, "--port", 0) as url:
        assert url.startswith("http://127.0.0.1:")


def test_log_serve_in_clear_is_for_this_machine_only(place: Place, tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1"):
        refused = run("log", "serve", "--log", place.log, "--host", host, "--json")
        assert (refused.code, refused.error["code"]) == (64, "usage"), "there is no --json here"
        assert run("log", "serve", "--log", place.log, "--host", host).code in (77, 69)
    certificate, key = LocalCa(tmp_path).issue()
    assert run("log", "serve", "--log", place.log, "--tls-cert", certificate).code == 64
    assert run("log", "serve", "--log", place.log, "--tls-cert", key, "--tls-key", certificate).code == 78
    assert run("log", "serve", "--log", place.log, "--host", "no such host").code == 69
    assert run("log", "serve", "--log", place.log, "--host", "x" * 70).code == 69
    assert run("log", "serve", "--log", place.log, "--port", 65536).code == 64


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("http://log.example/", 77),
        ("http://192.0.2.1/", 77),
        ("http://127.0.0.1.example/", 77),
        (f"http://{CANARY}:{CANARY}@127.0.0.1/", 64),
        (f"https://{CANARY}@log.example/", 64),
        (f"http://127.0.0.1/?{CANARY}", 64),
        (f"http://127.0.0.1/#{CANARY}", 64),
        ("http://", 64),
        ("http://[::1", 64),
        ("http://127.0.0.1:99999/", 69),
        ("https://exa mple/", 69),
        ("ftp://127.0.0.1/", 3),
    ],
)
def test_log_audit_of_an_address_that_is_none_or_not_safe(place: Place, address: str, code: int) -> None:
    done = audit_with(place, address)
    assert done.code == code
    assert CANARY not in done.err + done.out


def test_log_audit_with_a_file_that_holds_no_certificates(place: Place) -> None:
    for name in ("nothing.pem", "key.pem"):
        done = audit_with(place, "https://127.0.0.1:1", "--ca", place / name)
        assert (done.code, done.error["code"]) == (78, "config-invalid")


# --- log: keys, erasure, repair ---------------------------------------------------------------------------------------


def test_log_rotate_key_in_two_phases(place: Place) -> None:
    old = vkey_of(place)
    (place / "old-trust").write_text(f"log {old}\nquorum none\n")
    begun = run("log", "rotate-key", "begin", "--log", place.log, "--json").ok().json
    assert begun[0] == {"vkey": old}
    place.append(1).ok()
    again = run("log", "rotate-key", "begin", "--log", place.log, "--json")
    assert (again.code, again.error["code"]) == (73, "log-busy")
    finished = run("log", "rotate-key", "finish", "--log", place.log, "--json").ok().json
    assert finished == begun[1:]
    place.append(1).ok()
    assert run("log", "rotate-key", "sideways", "--log", place.log).code == 64
    run("log", "export", place / "export", "--log", place.log).ok()
    for trust in (place / "old-trust", place.log / "policy.txt"):
        assert run("verify", place / "export", "--trust", trust).code == 2


def test_log_erase_erases_once(place: Place) -> None:
    opening = commit({"name": CANARY})
    home = load_home(place.log)
    log, store = home.open_log(SystemClock())
    subject = [{"id": "person:p1", "digest": opening.commitment}]
    with log:
        statement = parse_statement(place.statement(subject=subject).read_bytes())
        log.append(statement, openings=[opening])
    store.close()
    assert any(CANARY.encode() in path.read_bytes() for path in place.log.iterdir())
    assert run("log", "erase", opening.commitment, "--log", place.log).ok().out == ""
    assert not any(CANARY.encode() in path.read_bytes() for path in place.log.iterdir())
    for unknown in (opening.commitment, "sha256:" + "0" * 64, "nonsense", "\udcff"):
        assert run("log", "erase", unknown, "--log", place.log).code == 66
    assert run("log", "audit", "--log", place.log).code == 2


def test_log_reset_mark_needs_the_head_that_is_known_elsewhere(place: Place) -> None:
    size, root = head_of(place)
    exists = run("log", "reset-mark", "--log", place.log, "--size", size, "--root", root)
    assert exists.code == 73
    (place.log / "high-water").unlink()
    refused = place.append(1)
    assert (refused.code, refused.error["code"]) == (66, "log-not-found")
    assert run("log", "reset-mark", "--log", place.log, "--size", size - 1, "--root", root).code == 1
    run("log", "reset-mark", "--log", place.log, "--size", size, "--root", root).ok()
    place.append(1).ok()


def test_log_upgrade_of_a_log_that_is_up_to_date_and_of_none(place: Place, tmp_path: Path) -> None:
    run("log", "upgrade", "--log", place.log).ok()
    assert run("log", "audit", "--log", place.log).code == 2
    assert run("log", "upgrade", "--log", tmp_path).code == 66
    (place.log / "log.sqlite").unlink()
    assert run("log", "upgrade", "--log", place.log).code == 66
    assert not (place.log / "log.sqlite").exists()


def test_a_log_whose_backup_was_restored_does_not_sign(place: Place) -> None:
    shutil.copy(place.log / "log.sqlite", place / "backup")
    place.append(1).ok()
    for path in place.log.glob("log.sqlite-*"):
        path.unlink()
    shutil.copy(place / "backup", place.log / "log.sqlite")
    refused = place.append(1)
    assert (refused.code, refused.error["code"]) == (1, "log-rolled-back")


# --- witnesses --------------------------------------------------------------------------------------------------------


def init_witness(place: Place, *options: object) -> dict[str, str]:
    arguments = ("witness", "init", "w1.example", "--log-vkey", vkey_of(place), "--witness", place / "w")
    shown: dict[str, str] = run(*arguments, "--json", *options).ok().json
    return shown


def test_witness_init_and_witness_vkey_show_the_same_keys(place: Place) -> None:
    made = init_witness(place, "--post-quantum")
    assert len(made["vkey"].splitlines()) == 2
    assert run("witness", "vkey", "--witness", place / "w", "--json").ok().json == made
    assert run("witness", "vkey", env={"YINGBI_WITNESS": str(place / "w")}).ok().out.split()[0] == "Witness"
    again = run("witness", "init", "w1.example", "--log-vkey", vkey_of(place), "--witness", place / "w", "--json")
    assert (again.code, again.error["code"]) == (73, "key-exists")
    assert run("witness", "init", "w1", "--log-vkey", "nonsense", "--witness", place / "w2").code == 65
    assert run("witness", "init", "w1", "--witness", place / "w2").code == 64
    assert run("witness", "vkey", "--witness", place / "w2").code == 66


def test_witness_run_over_tls_makes_receipts_that_verify(place: Place, tmp_path: Path) -> None:
    authority = LocalCa(tmp_path)
    certificate, key = authority.issue()
    vkey = init_witness(place)["vkey"]
    command = ("witness", "run", "--witness", place / "w", "--port", 0, "--tls-cert", certificate, "--tls-key", key)
    receipt, entry, ca = place / "r", place / "e", ("--ca", authority.certificate)
    with serving(*command) as url:
        policy = f"log {vkey_of(place)}\nwitness w1 {vkey} {url}\nquorum w1\n"
        (place.log / "policy.txt").write_text(policy)
        place.append(1, "--receipt", receipt, *ca).ok()
        run("log", "entry", 3, "--log", place.log, "-o", entry).ok()
        trust = ("--trust", place.log / "policy.txt")
        assert run("verify", receipt, "--entry", entry, *trust, "--max-age", 60).ok().out.startswith("VERIFIED")
        assert run("log", "audit", "--log", place.log, "--max-age", 60).code == 0
    # The witness is down now: the entry is recorded, nobody gets a receipt, and nothing is published.
    env = {"YINGBI_LOG_LEVEL": "CRITICAL"}
    assert run("log", "prove", 4, "--log", place.log, env=env).code == 66
    assert run("log", "checkpoint", "--log", place.log).ok().out.splitlines()[1] == "4"


def test_witness_evidence_lists_and_writes_what_logs_did(place: Place) -> None:
    init_witness(place)
    assert run("witness", "evidence", "--witness", place / "w", "--json").ok().json == []
    from ledger.witness import format_add_checkpoint
    from ledger.witness_home import load_witness_home
    from tests.lib.witness_trees import ListLog
    from yingbi.keys import load_signing_key

    one, two = ListLog(origin=ORIGIN).grow(2), ListLog(origin=ORIGIN).grow(2, mark="other")
    for log in (one, two):
        log.signer = TextSigner(ORIGIN, load_signing_key(place.log / "log-key.pem"))
    witness, store = load_witness_home(place / "w").open_witness(SystemClock())
    assert witness.add_checkpoint(format_add_checkpoint(one.prove(0), one.signed().note)).status == 200
    assert witness.add_checkpoint(format_add_checkpoint(two.prove(2), two.signed().note)).status == 409
    store.close()
    (row,) = run("witness", "evidence", "--witness", place / "w", "--out", place / "found", "--json").ok().json
    assert (row["origin"], row["kind"], row["seen"], row["offered"]) == (ORIGIN, "two-roots", 2, 2)
    (path,) = (place / "found").iterdir()
    assert parse_evidence(path.read_bytes()).origin == ORIGIN


# --- verify -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def witnessed(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A log with a quorum of two witnesses in this process: receipt, entry, checkpoints, export and trust file."""
    from ledger.cosigning import CosigningThread
    from ledger.publish import export_log
    from ledger.receipt import format_receipt

    place = Place(tmp_path_factory.mktemp("witnessed"))
    run("keys", "new", place.key).ok()
    run("log", "init", ORIGIN, "--log", place.log).ok()
    home = load_home(place.log)
    witnesses = LocalWitnesses(home.verifiers(), SystemClock())
    home.policy_path.write_bytes(witnesses.text)
    log, store = home.open_log(SystemClock(), cosignatures=CosigningThread(witnesses.round()))
    with log:
        for number in range(5):
            statement = parse_statement(place.statement().read_bytes())
            receipt = log.append(statement)
            (place / f"{number}.tlog-proof").write_bytes(format_receipt(receipt))
            (place / f"{number}.json").write_bytes(log.reader.entry(number))
            (place / f"checkpoint-{number + 1}").write_bytes(receipt.signed.note)
    export_log(store, home.verifiers(), place / "export")
    store.close()
    shutil.copy(home.policy_path, place / "policy")
    (place / "log-only").write_text(f"log {vkey_of(place)}\nquorum none\n")
    trust = {"v": 1, "policy": witnesses.text.decode()}
    (place / "trust.json").write_text(json.dumps(trust))
    return place


VERDICTS: dict[str, tuple[list[str], int]] = {
    "receipt": (["@3.tlog-proof", "--entry", "@3.json"], 0),
    "receipt, JSON trust": (["@3.tlog-proof", "--entry", "@3.json", "--trust", "@trust.json"], 0),
    "receipt, fresh": (["@3.tlog-proof", "--entry", "@3.json", "--max-age", "600"], 0),
    "receipt, log only": (["@3.tlog-proof", "--entry", "@3.json", "--trust", "@log-only"], 2),
    "receipt of the origin": (["@3.tlog-proof", "--entry", "@3.json", "--origin", ORIGIN], 0),
    "receipt of another origin": (["@3.tlog-proof", "--entry", "@3.json", "--origin", "log.example/other"], 1),
    "receipt of another entry": (["@3.tlog-proof", "--entry", "@4.json"], 1),
    "receipt without entry": (["@3.tlog-proof"], 3),
    "receipt, no cosignature to be fresh": (
        ["@3.tlog-proof", "--entry", "@3.json", "--trust", "@log-only", "--max-age", "5"],
        3,
    ),
    "checkpoint": (["@checkpoint-3"], 0),
    "checkpoint, log only": (["@checkpoint-3", "--trust", "@log-only"], 2),
    "checkpoint that is stale": (["@checkpoint-3", "--max-age", "0", "--skew", "0"], 1),
    "folder": (["@export"], 0),
    "folder since": (["@export", "--since", "@checkpoint-2"], 0),
    "folder since itself": (["@export", "--since", "@checkpoint-5", "--max-age", "600"], 0),
    "folder, two workers": (["@export", "--workers", "2"], 0),
    "folder, no statements": (["@export", "--no-statements"], 0),
    "folder of another origin": (["@export", "--origin", "log.example/other"], 1),
    "not a log's folder": (["@log"], 3),
}


@pytest.mark.parametrize("case", VERDICTS)
def test_verify_ends_with_its_verdict(witnessed: Place, case: str) -> None:
    words, code = VERDICTS[case]
    arguments: list[object] = [witnessed / word[1:] if word.startswith("@") else word for word in words]
    if "--trust" not in words:
        arguments += ["--trust", witnessed / "policy"]
    if case == "checkpoint that is stale":
        cosigned_at = int((witnessed / "checkpoint-3").stat().st_mtime)
        time.sleep(max(0, cosigned_at + 1.1 - time.time()))
    report = run("verify", *arguments, "--json")
    assert report.code == code, report.out
    assert report.json["exit_code"] == code
    assert run("verify", *arguments, env={"YINGBI_LANG": "zh"}).code == code


@pytest.mark.parametrize("name", ["3.json", "policy"])
def test_verify_of_a_file_that_is_no_evidence_is_no_verdict(witnessed: Place, name: str) -> None:
    refused = run("verify", witnessed / name, "--trust", witnessed / "policy", "--json")
    assert (refused.code, refused.error["code"], refused.out) == (64, "usage", "")
    assert "no receipt, checkpoint, anchor proof or bundle" in refused.error["message"]


def test_verify_finds_one_edited_byte(witnessed: Place, tmp_path: Path) -> None:
    shutil.copytree(witnessed / "export", tmp_path / "export")
    (bundle,) = (tmp_path / "export" / "tile" / "entries").rglob("*.p/*")
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    bundle.write_bytes(data)
    report = run("verify", tmp_path / "export", "--trust", witnessed / "policy")
    assert report.code == 1
    assert report.out.startswith("INVALID something is wrong")
    assert "nothing wrong was found in the first" in report.out


def test_verify_shows_both_heads_of_a_split_view_whole(witnessed: Place, tmp_path: Path) -> None:
    other = Place(tmp_path)
    shutil.copytree(witnessed.log, other.log)
    shutil.copy(witnessed.key, other.key)
    (other.log / "policy.txt").write_text((witnessed / "log-only").read_text())
    for name in ("log.sqlite", "high-water"):
        for path in other.log.glob(f"{name}*"):
            path.unlink()
    from ledger.high_water import HighWaterMark
    from ledger.log import create_log
    from ledger.store_sql import SqlStore

    home = load_home(other.log)
    store = SqlStore.create(home.database, ORIGIN)
    create_log(store, home.load_signers(), HighWaterMark(home.high_water))
    store.close()
    other.append(5).ok()
    run("log", "export", other / "export", "--log", other.log).ok()
    report = run("verify", other / "export", "--trust", witnessed / "policy", "--since", witnessed / "checkpoint-2")
    assert report.code == 1
    for note in ((witnessed / "checkpoint-2").read_text(), (other / "export" / "checkpoint").read_text()):
        for line in note.splitlines():
            assert f"  {line}".rstrip() in [shown.rstrip() for shown in report.out.splitlines()]


def test_verify_of_an_anchor_proof_with_its_checkpoint(tmp_path: Path) -> None:
    expected = json.loads((VECTORS / "expected.json").read_text())
    signer = TextSigner(expected["origin"], SigningKey.generate())
    head = expected["heads"]["last.json"]
    root = base64.b64encode(bytes.fromhex(head["root"])).decode()
    text = f"{expected['origin']}\n{head['size']}\n{root}\n".encode()
    (tmp_path / "checkpoint").write_bytes(sign_note(text, [signer]))
    anchor = {name: expected[name] for name in ("chain_id", "contract", "block_hash")}
    policy = f"log {signer.verifier.encode()}\nquorum none\n"

    def verify(*options: object, anchors: list[dict[str, Any]], name: str = "last.json") -> tuple[int, list[str]]:
        trust = tmp_path / "trust.json"
        trust.write_text(json.dumps({"v": 1, "policy": policy, "anchors": anchors}))
        done = run("verify", VECTORS / name, "--trust", trust, "--json", *options)
        checks = {check["name"]: check for check in done.json["checks"]}
        return done.code, [checks["anchor"]["outcome"], *checks["anchor"].get("ask_for", [])]

    checkpoint = ("--checkpoint", tmp_path / "checkpoint")
    assert verify(*checkpoint, anchors=[anchor]) == (2, ["passed"])
    assert verify(anchors=[anchor])[0] == 3
    code, asked = verify(*checkpoint, anchors=[])
    assert code == 3
    assert asked[1].startswith(f"the hash of block {expected['block_number']} of chain")
    assert verify(*checkpoint, anchors=[{**anchor, "block_hash": "0x" + "11" * 32}])[0] in (1, 3)
    assert verify(*checkpoint, anchors=[{**anchor, "contract": "0x" + "11" * 20}])[0] in (1, 3)
    assert verify(*checkpoint, anchors=[anchor], name="older.json")[0] in (1, 3)


@pytest.mark.parametrize(
    ("trust", "code", "name"),
    [
        (b"", 78, "policy-malformed"),
        (b"log nonsense\nquorum none\n", 78, "policy-malformed"),
        (b"\xff\xfe", 78, "policy-malformed"),
        (b"{", 78, "policy-malformed"),
        (b'{"v":1,"v":1,"policy":"quorum none\\n"}', 78, "policy-malformed"),
        (b'{"v":2,"policy":"quorum none\\n"}', 78, "policy-malformed"),
        (b'{"v":1,"policy":"quorum none\\n","more":1}', 78, "policy-malformed"),
        (b'{"v":1,"policy":"quorum none\\n","statement_roots":[{}]}', 78, "policy-malformed"),
        (b"[" * 100_000, 78, "policy-malformed"),
        (None, 64, "usage"),
    ],
)
def test_an_unusable_trust_file_is_no_verdict(
    witnessed: Place, tmp_path: Path, trust: bytes | None, code: int, name: str
) -> None:
    if trust is not None:
        (tmp_path / "trust").write_bytes(trust)
    for command in (("verify", witnessed / "checkpoint-3"), ("log", "audit", witnessed / "export")):
        done = run(*command, "--trust", tmp_path / "trust", "--json")
        assert (done.code, done.error["code"], done.out) == (code, name, "")


def test_verify_without_a_trust_file_says_so(witnessed: Place) -> None:
    done = run("verify", witnessed / "checkpoint-3", "--json")
    assert (done.code, done.error["message"]) == (64, "expected `--trust FILE`")


MALFORMED: dict[str, bytes] = {
    "empty": b"",
    "zeros": bytes(100),
    "not UTF-8": b"\xff\xfe\xfd",
    "text": b"hello\n",
    "note without signature": b"log.example\n1\nAAAA\n\n",
    "note with extension": b"log.example\n1\n" + base64.b64encode(bytes(32)) + b"\nmore\n\n\xe2\x80\x94 x AAAAAAAA\n",
    "receipt header only": b"c2sp.org/tlog-proof@v1\n",
    "receipt with extra": b"c2sp.org/tlog-proof@v1\nextra AAAA\nindex 0\n\n",
    "receipt of another version": b"c2sp.org/tlog-proof@v2\nindex 0\n\n",
    "receipt, index": b"c2sp.org/tlog-proof@v1\nindex 007\n\n",
    "JSON": b"{}",
    "JSON of an anchor": b'{"v":1,"chain_id":1}',
    "JSON, deep": b"{" + b'"a":[' * 5000,
    "JSON, duplicate keys": b'{"v":1,"v":1}',
    "terminal codes": b"\x1b[2J\x1b[31mVERIFIED\n",
    "huge": b"A" * (3 << 20),
}
OF_A_KIND = {case for case in MALFORMED if case.startswith(("note", "receipt"))} | {"JSON of an anchor"}


@pytest.mark.parametrize("case", MALFORMED)
def test_verify_of_something_malformed_is_a_clear_verdict(witnessed: Place, tmp_path: Path, case: str) -> None:
    (tmp_path / "file").write_bytes(MALFORMED[case])
    for options in ((), ("--entry", tmp_path / "file"), ("--checkpoint", tmp_path / "file")):
        done = run("verify", tmp_path / "file", "--trust", witnessed / "policy", *options)
        assert done.code in ((1, 3) if options or case in OF_A_KIND else (64,)), "what is of no kind has no verdict"
        assert "\x1b" not in done.out
        assert "VERIFIED" not in done.out
    done = run("verify", witnessed / "3.tlog-proof", "--entry", tmp_path / "file", "--trust", witnessed / "policy")
    assert done.code == 1
    done = run("verify", witnessed / "export", "--since", tmp_path / "file", "--trust", witnessed / "policy")
    assert done.code == 1
    piped = run("verify", "-", "--trust", witnessed / "policy", stdin=MALFORMED[case])
    assert piped.code in ((1, 3) if case in OF_A_KIND else (64,))


@pytest.mark.parametrize("damaged", ["tile/0/000.p/5", "tile/entries/000.p/5", "checkpoint"])
@pytest.mark.parametrize("data", [b"", b"\x00", b"\xff" * 160, None], ids=["empty", "short", "other", "gone"])
def test_verify_of_a_damaged_folder_is_never_good(
    witnessed: Place, tmp_path: Path, damaged: str, data: bytes | None
) -> None:
    shutil.copytree(witnessed / "export", tmp_path / "export")
    (tmp_path / "export" / damaged).unlink()
    if data is not None:
        (tmp_path / "export" / damaged).write_bytes(data)
    done = run("verify", tmp_path / "export", "--trust", witnessed / "policy", "--json")
    assert done.code == (3 if data is None else 1)


# --- malformed statements ---------------------------------------------------------------------------------------------


def envelope(place: Place) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(place.statement().read_bytes())
    return value


def compact(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


BAD_STATEMENTS: dict[str, tuple[Callable[[Place], bytes], str]] = {
    "nothing": (lambda _: b"", "entry-malformed"),
    "text": (lambda _: b"hello", "json-malformed"),
    "not UTF-8": (lambda _: b'{"a":"\xff"}', "json-malformed"),
    "number": (lambda _: b"5", "statement-malformed"),
    "not canonical": (lambda place: json.dumps(envelope(place)).encode(), "json-not-canonical"),
    "duplicate members": (
        lambda place: place.statement().read_bytes().replace(b'"signatures":', b'"payload":"","signatures":'),
        "json-not-canonical",
    ),
    "member too many": (lambda place: compact({**envelope(place), "z": 1}), "statement-malformed"),
    "no signatures": (lambda place: compact({**envelope(place), "signatures": []}), "statement-malformed"),
    "payload not base64": (lambda place: compact({**envelope(place), "payload": "*"}), "statement-malformed"),
    "other payload type": (lambda place: compact({**envelope(place), "payloadType": "x"}), "statement-malformed"),
    "cut": (lambda place: place.statement().read_bytes()[:-10], "json-malformed"),
    "oversized": (lambda _: b'{"payload":"' + b"A" * MAX_ENVELOPE_BYTES + b'"}', "entry-too-large"),
    "deep": (lambda _: b"[" * 10_000, "json-malformed"),
    "fraction": (lambda _: b'{"a":1.5}', "json-not-canonical"),
}


@pytest.mark.parametrize("case", BAD_STATEMENTS)
def test_a_malformed_statement_is_one_clear_error_and_nothing_is_stored(place: Place, case: str) -> None:
    make, name = BAD_STATEMENTS[case]
    data = make(place)
    refused = run("log", "append", "-", "--log", place.log, "--json", stdin=data)
    assert (refused.code, refused.error["code"], refused.out) == (65, name, "")
    plain = run("log", "append", "-", "--log", place.log, stdin=data)
    first, *more = plain.err.splitlines()
    assert first.startswith(f"error: {name} ")
    assert len(more) <= 1
    assert all(line.startswith("hint: ") for line in more)
    assert place.size() == 3


BAD_PAYLOADS: dict[str, tuple[Callable[[Place], bytes], str]] = {
    "nothing": (lambda _: b"", "json-malformed"),
    "list": (lambda _: b"[]", "json-malformed"),
    "duplicate members": (lambda _: b'{"type":"key.revoked","type":"job.submitted"}', "json-malformed"),
    "duplicate members inside": (lambda _: b'{"body":{"a":1,"a":2}}', "json-malformed"),
    "not UTF-8": (lambda _: b'{"a":"\xff\xff"}', "json-malformed"),
    "not a number": (lambda _: b'{"type":NaN}', "json-not-canonical"),
    "fraction": (lambda _: b'{"type":1.5}', "json-not-canonical"),
    "deep": (lambda _: b'{"a":' * 5000, "json-malformed"),
    "unknown type": (lambda place: place.payload(type="key.lost"), "statement-malformed"),
    "unknown member": (lambda place: place.payload(colour=CANARY), "statement-malformed"),
    "body of another type": (lambda place: place.payload(body={CANARY: 1}), "statement-malformed"),
    "identifying": (lambda place: place.payload(id="key-13912345678"), "statement-identifying"),
}


@pytest.mark.parametrize("case", BAD_PAYLOADS)
def test_a_malformed_payload_is_not_signed(place: Place, case: str) -> None:
    make, name = BAD_PAYLOADS[case]
    refused = run("keys", "sign", "-", "--key", place.key, "--out", place / "signed", stdin=make(place))
    assert refused.code == 65
    assert refused.err.startswith(f"error: {name} ")
    assert CANARY not in refused.err
    assert "13912345678" not in refused.err
    assert not (place / "signed").exists()


# --- errors -----------------------------------------------------------------------------------------------------------

USAGE: dict[str, list[str]] = {
    "unknown command": ["lock"],
    "unknown subcommand": ["log", "lock"],
    "unknown option": ["log", "checkpoint", "--colour"],
    "missing argument": ["log", "init"],
    "missing option": ["keys", "sign", "x"],
    "not a number": ["log", "prove", "one"],
    "number below": ["log", "prove", "-1"],
    "argument too many": ["keys", "show", "a", "b"],
    "option without value": ["log", "init", "x", "--log"],
    "value of a flag": ["verify", "x", "--json=1"],
    "unknown phase": ["log", "rotate-key", "end"],
    "file that is not there": ["verify", "nothing-here", "--trust", "nothing-there"],
    "output into a folder": ["log", "checkpoint", "--out", "/"],
}


@pytest.mark.parametrize("case", USAGE)
def test_a_usage_error_is_one_line_and_a_hint_and_never_a_verdict(place: Place, case: str) -> None:
    env = {"YINGBI_LOG": str(place.log)}
    done = run(*USAGE[case], env=env)
    assert (done.code, done.out) == (64, "")
    first, *more = done.err.splitlines()
    assert first.startswith("error: usage ")
    assert len(more) <= 1
    assert all(line.startswith("hint: ") for line in more)
    if case not in ("value of a flag", "option without value"):
        machine = run(*USAGE[case], "--json", env=env)
        assert (machine.code, machine.error["code"]) == (64, "usage")


@pytest.mark.parametrize("words", [[], ["log"], ["keys"], ["witness"], ["anchor"]])
def test_a_command_without_a_subcommand_shows_its_help_and_is_a_usage_error(words: list[str]) -> None:
    done = run(*words)
    assert done.code == 64
    assert "--help" in done.err + done.out


def test_version_and_help_are_successes() -> None:
    assert run("--version").ok().out.startswith("yingbi ")
    for words in (["-h"], ["log", "--help"], ["log", "audit", "-h"], ["verify", "--help"]):
        assert run(*words).ok().out


def test_a_folder_without_a_log_says_what_makes_one(tmp_path: Path) -> None:
    for words in (["checkpoint"], ["prove", "0"], ["export", str(tmp_path / "x")], ["audit"], ["serve"], ["upgrade"]):
        done = run("log", *words, "--log", tmp_path)
        assert done.code == 66
        assert done.err.splitlines() == [
            f"error: log-not-found no log in folder `{tmp_path}`",
            "hint: `yingbi log init` makes one",
        ]


def test_an_error_stays_one_line_however_long_it_is(tmp_path: Path) -> None:
    """Regression: long paths were broken at 80 columns, in the middle of a word."""
    long = tmp_path / ("x" * 200)
    done = run("log", "checkpoint", "--log", long)
    assert done.err.splitlines()[0] == f"error: log-not-found no log in folder `{long}`"


def test_an_error_does_not_pass_on_what_a_terminal_would_interpret(tmp_path: Path) -> None:
    for name in ("x\x1b[31m\x07y", "x\ny", "x\u202ey", "x\udcffy"):
        for words in (["keys", "show", name], ["verify", name, "--trust", name], ["log", "checkpoint", "--log", name]):
            done = run(*words)
            assert done.code in (64, 65, 66)
            assert len(done.err.splitlines()) <= 2
            assert all(line.isprintable() for line in done.err.splitlines())
            assert "x" in done.err


def test_a_name_that_no_terminal_can_show_is_no_defect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = os.fsdecode(b"key-\xff.pem")
    assert "key-?.pem" in run("keys", "new", path).ok().out
    assert json.loads(run("keys", "show", path, "--json").ok().data)["file"] == path


def test_errors_are_english_and_their_words_are_the_users(tmp_path: Path) -> None:
    done = run("log", "checkpoint", "--log", tmp_path, env={"YINGBI_LANG": "zh"})
    assert "log-not-found no log in folder" in done.err
    assert not done.err.startswith("error:")


def test_the_locale_chooses_the_language_unless_it_is_said(place: Place) -> None:
    chinese = run("keys", "show", place.key, env={"YINGBI_LANG": "zh"}).out
    english = run("keys", "show", place.key, env={"YINGBI_LANG": "en"}).out
    usual = {"LC_ALL": "", "LC_MESSAGES": "", "LANG": ""}
    for env, wanted in (
        ({"LC_ALL": "zh_CN.UTF-8"}, chinese),
        ({"LANG": "zh_CN.UTF-8"}, chinese),
        ({"LC_ALL": "en_GB.UTF-8", "LANG": "zh_CN.UTF-8"}, english),
        ({"LC_ALL": "fr_FR.UTF-8"}, english),
        ({"LC_ALL": "zh_CN.UTF-8", "YINGBI_LANG": "en"}, english),
        ({}, english),
    ):
        assert run("keys", "show", place.key, env={**usual, **env}).out == wanted


@pytest.mark.parametrize(("code", "level"), [(0, "warning"), (0, "DEBUG"), (78, "LOUD"), (78, "")])
def test_a_log_level_that_is_none_is_said(place: Place, code: int, level: str) -> None:
    done = run("keys", "show", place.key, "--json", env={"YINGBI_LOG_LEVEL": level})
    assert done.code == code
    if code:
        assert done.error["code"] == "config-invalid"


def test_what_cannot_be_written_is_said(place: Place) -> None:
    for path in (place / "no" / "folder", Path("/dev/full")):
        done = run("log", "checkpoint", "--log", place.log, "--out", path)
        assert (done.code, done.out) == (64, "")
        assert done.err.startswith(f"error: usage file `{path}` cannot be written: ")


def test_an_input_larger_than_any_should_be_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yingbi.cli.output._MAX_INPUT", 1000)
    for path, stdin in (("-", b"A" * 1001), (place / "big", b"")):
        (place / "big").write_bytes(b"A" * 1001)
        done = run("log", "append", path, "--log", place.log, stdin=stdin)
        assert done.code == 64
        assert "larger than 1000 bytes" in done.err
    done = run("log", "append", place.folder, "--log", place.log)
    assert (done.code, done.err) == (64, f"error: usage file `{place.folder}` cannot be read: Is a directory\n")


def test_an_unforeseen_error_says_nothing_of_itself(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(CANARY)

    monkeypatch.setattr("yingbi.cli.keys.load_signing_key", fail)
    done = run("keys", "show", place.key)
    assert done.code == 70
    assert done.err.splitlines() == [
        "error: internal unforeseen error",
        "hint: YINGBI_LOG_LEVEL=DEBUG shows it",
    ]


def test_ending_by_the_keyboard_is_no_verdict(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("yingbi.cli.keys.load_signing_key", interrupt)
    done = run("keys", "show", place.key)
    assert (done.code, done.out, done.err) == (130, "", "")


def test_every_exit_code_of_an_error_is_no_verdict_but_for_evidence_that_failed() -> None:
    for code, spec in CATALOGUE.items():
        assert spec.exit_code not in (0, 2, 3), code


# --- processes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("language", "text"), [("en", "Verify a receipt"), ("zh", "验证")])
def test_help_is_in_the_users_language(language: str, text: str) -> None:
    done = spawn("verify", "--help", env={"YINGBI_LANG": language, "COLUMNS": "200"})
    assert done.code == 0
    assert text in done.out


def test_a_process_answers_as_the_command_does(place: Place) -> None:
    done = spawn("log", "audit", "--log", place.log, "--json")
    assert done.code == 2
    assert done.data == run("log", "audit", "--log", place.log, "--json").data
    assert spawn("log", "prove").code == 64
    piped = spawn("log", "append", "-", "--log", place.log, "--json", stdin=place.statement().read_bytes())
    assert [row["index"] for row in piped.ok().json] == [3]


@pytest.mark.parametrize("words", [["verify"], ["verify", "--json"], ["log", "entry", "0"], ["--help"]])
def test_a_reader_that_went_away_is_no_verdict(witnessed: Place, words: list[str]) -> None:
    """Regression: click and rich end the process with 1 then, which is `INVALID`."""
    if "verify" in words:
        words = [*words, str(witnessed / "export"), "--trust", str(witnessed / "policy")]
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = spawn(*words, env={"YINGBI_LOG": str(witnessed.log)}, stdout=writing)
    finally:
        os.close(writing)
    assert (done.code, done.err) == (74, "")


def test_a_full_disk_behind_standard_output_is_no_verdict(witnessed: Place) -> None:
    with Path("/dev/full").open("wb") as full:
        done = spawn("verify", witnessed / "export", "--trust", witnessed / "policy", "--json", stdout=full)
    assert done.code == 69
    assert done.err.splitlines()[0].startswith('{"code": "log-unavailable"')


class WithoutExtras:
    """Blocks the import of what an extra brings."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def find_spec(self, name: str, *_: object) -> None:
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in ("ledger", "sqlalchemy", "web3")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [WithoutExtras("sqlalchemy", "web3"), *sys.meta_path])


@pytest.mark.parametrize(
    "words",
    [
        ["log", "init", ORIGIN],
        ["log", "append", "@s0.json"],
        ["log", "checkpoint"],
        ["log", "audit"],
        ["log", "serve"],
        ["log", "rotate-key", "begin"],
        ["log", "reset-mark", "--size", "0", "--root", "x"],
        ["log", "upgrade"],
        ["witness", "init", "w", "--log-vkey", "x"],
        ["witness", "vkey"],
        ["witness", "run"],
        ["witness", "evidence"],
        ["anchor", "status"],
        ["demo", "--folder", "@demo"],
    ],
    ids=" ".join,
)
def test_a_command_whose_extra_is_not_installed_says_which(place: Place, no_hub: None, words: list[str]) -> None:
    arguments = [str(place / word[1:]) if word.startswith("@") else word for word in words]
    done = run(*arguments, env={"YINGBI_LOG": str(place.log), "YINGBI_WITNESS": str(place / "w")})
    extra = "witness" if words[0] == "witness" else "hub"
    assert done.code == 78
    assert done.err.splitlines() == [
        f"error: extra-not-installed this command needs the extra `{extra}`",
        f"hint: pip install 'yingbi[{extra}]'",
    ]
