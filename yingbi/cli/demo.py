"""`yingbi demo`: the main story on one machine, with real processes, TLS, files and an audit that ends in verdicts."""

import json
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

from yingbi.cli.demo_story import Story
from yingbi.cli.local_ca import LocalCa
from yingbi.cli.output import missing_extra
from yingbi.cli.reports import show_report
from yingbi.cli.text import t
from yingbi.clock import SystemClock
from yingbi.commitment import Opening
from yingbi.errors import ErrorCode, SandboxError, UnavailableError
from yingbi.verify import Report, Verdict, audit_log, load_trust, verify_receipt

if TYPE_CHECKING:
    from ledger.home import LogHome
    from ledger.log import Log
    from ledger.store_sql import SqlStore

__all__ = ["demo"]

_ORIGIN: Final = "log.futian.example/demo"
_WITNESSES: Final = ("bank-a", "unit-b")
_DATABASE: Final = "sqlite:///log.sqlite"
_START_TIMEOUT_S: Final = 30.0
_STOP_TIMEOUT_S: Final = 20.0


def demo(
    folder: Annotated[Path | None, typer.Option("--folder", help=t("demo.option.folder"), file_okay=False)] = None,
) -> None:
    """Run the story in `folder`; end with 0 only if every verdict is the one that is due."""
    place = folder or Path(tempfile.mkdtemp(prefix="yingbi-demo-"))
    place.mkdir(parents=True, exist_ok=True)
    try:
        from ledger.home import create_home
    except ImportError as error:
        raise missing_extra("hub", error) from error
    console = Console(highlight=False)
    _say(console, "log")
    home, _ = create_home(place / "log", _ORIGIN, database=_DATABASE)
    console.print(home.verifiers()[0].encode(), soft_wrap=True)
    authority = LocalCa(place)
    _say(console, "witnesses")
    with _run_witnesses(place, authority, home, _WITNESSES) as witnesses:
        _write_policy(home, witnesses)
        story = Story(SystemClock())
        trust_path = _write_trust(home, story, place)
        _record(console, home, authority, story, place)
    _check(console, home, trust_path, place)
    _try_rollback(console, home, place)
    console.print(t("demo.done", folder=place), soft_wrap=True)


def _record(console: Console, home: "LogHome", authority: LocalCa, story: Story, place: Path) -> None:
    from ledger.cosigning import CosigningThread
    from ledger.publish import export_log
    from ledger.witness_client import make_witness_clients, open_witness_http
    from ledger.witness_round import HttpWitnesses

    _say(console, "story")
    policy, clock = home.load_policy(), SystemClock()
    with open_witness_http(ca_file=authority.certificate) as http:
        clients = make_witness_clients(policy, http, clock=clock)
        log, store = home.open_log(clock, cosignatures=CosigningThread(HttpWitnesses(clients, policy)))
        with log:
            _append_story(console, log, store, story, place)
        export_log(store, home.verifiers(), place / "export")
        store.close()


def _append_story(console: Console, log: "Log", store: "SqlStore", story: Story, place: Path) -> None:
    from ledger.receipt import format_receipt

    shutil.copy(place / "log" / "log.sqlite", place / "backup.sqlite")
    openings: list[Opening] = []
    for scene in (*story.keys(), *story.life_of_a_job()):
        receipt = log.append(scene.statement, openings=scene.openings)
        openings += scene.openings
        index = receipt.proof.index
        console.print(f"  {index:>2}  {scene.statement.type:<16} {scene.statement.payload.issuer}")
        (place / "result.tlog-proof").write_bytes(format_receipt(receipt))
        (place / "result.entry").write_bytes(log.reader.entry(index))
    _say(console, "erase")
    store.erase_opening(openings[-1].commitment)


def _check(console: Console, home: "LogHome", trust_path: Path, place: Path) -> None:
    trust, now = load_trust(trust_path.read_bytes()), datetime.now(UTC)
    _say(console, "receipt")
    receipt, entry = (place / "result.tlog-proof").read_bytes(), (place / "result.entry").read_bytes()
    _expect(verify_receipt(receipt, entry, trust, now=now, max_age_s=600), Verdict.VERIFIED)
    _say(console, "audit")
    _expect(audit_log(place / "export", trust, now=now), Verdict.VERIFIED)
    _say(console, "tamper")
    shutil.copytree(place / "export", place / "tampered", dirs_exist_ok=True)
    (bundle,) = (place / "tampered" / "tile" / "entries").rglob("*.p/*")
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    bundle.write_bytes(data)
    _expect(audit_log(place / "tampered", trust, now=now), Verdict.INVALID)


def _try_rollback(console: Console, home: "LogHome", place: Path) -> None:
    _say(console, "rollback")
    restored = place / "restored"
    shutil.copytree(home.folder, restored, dirs_exist_ok=True)
    for name in ("log.sqlite-wal", "log.sqlite-shm"):
        (restored / name).unlink(missing_ok=True)
    shutil.copy(place / "backup.sqlite", restored / "log.sqlite")
    from ledger.home import load_home

    try:
        log, _ = load_home(restored).open_log(SystemClock())
    except SandboxError as error:
        if error.code is not ErrorCode.LOG_ROLLED_BACK:
            raise
        console.print(t("demo.refused", message=error.message), style="green")
    else:
        log.close()
        raise SandboxError(ErrorCode.INTERNAL, "a restored backup was allowed to sign")


def _expect(report: Report, verdict: Verdict) -> None:
    show_report(report, as_json=False)
    if report.verdict is not verdict:
        raise SandboxError(ErrorCode.INTERNAL, f"expected the verdict {verdict}, got {report.verdict}")


@contextmanager
def _run_witnesses(
    place: Path, authority: LocalCa, home: "LogHome", names: tuple[str, ...]
) -> Iterator[list[tuple[str, str, str]]]:
    """Run witnesses as processes of their own; yield their names, verifier keys and addresses."""
    vkeys: list[str] = []
    processes: list[subprocess.Popen[str]] = []
    try:
        for name in names:
            vkeys.append(_make_witness(place, home, name))
            processes.append(_start_witness(place, authority, name))
        yield [
            (name, vkey, _read_url(name, process)) for name, vkey, process in zip(names, vkeys, processes, strict=True)
        ]
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.communicate(timeout=_STOP_TIMEOUT_S)


def _make_witness(place: Path, home: "LogHome", name: str) -> str:
    from ledger.witness_home import create_witness_home

    logs = [item.encode() for item in home.verifiers()]
    made = create_witness_home(place / f"witness-{name}", f"{name}.example/witness", logs)
    return made.load_cosigners(SystemClock())[0].verifier.encode()


def _start_witness(place: Path, authority: LocalCa, name: str) -> "subprocess.Popen[str]":
    certificate, key = authority.issue(name)
    command = [sys.executable, "-m", "yingbi", "witness", "run", "--port", "0"]
    command += ["--witness", str(place / f"witness-{name}"), "--tls-cert", str(certificate), "--tls-key", str(key)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 our own interpreter


def _read_url(name: str, process: "subprocess.Popen[str]") -> str:
    is_ready = process.stdout is not None and select.select([process.stdout], [], [], _START_TIMEOUT_S)[0]
    url = process.stdout.readline().strip() if process.stdout is not None and is_ready else ""
    if not url:
        raise UnavailableError(ErrorCode.WITNESS_UNAVAILABLE, f"witness `{name}` did not start")
    return url


def _write_policy(home: "LogHome", witnesses: Sequence[tuple[str, str, str]]) -> None:
    lines = [f"log {verifier.encode()}" for verifier in home.verifiers()]
    lines += [f"witness {name} {vkey} {url}" for name, vkey, url in witnesses]
    lines += [f"group both all {' '.join(name for name, _, _ in witnesses)}", "quorum both", ""]
    home.policy_path.write_text("\n".join(lines), encoding="utf-8")


def _write_trust(home: "LogHome", story: Story, place: Path) -> Path:
    path = place / "trust.json"
    trust = {
        "v": 1,
        "policy": home.policy_path.read_text("utf-8"),
        "statement_roots": [story.root.public.to_jwk()],
        "statement_keys": [{"jwk": story.node.public.to_jwk(), "owner": "node:futian-tax"}],
    }
    path.write_text(json.dumps(trust, indent=1), encoding="utf-8")
    return path


def _say(console: Console, step: str) -> None:
    console.print()
    console.print(t(f"demo.step.{step}"), style="bold")
