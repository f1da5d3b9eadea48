"""`yingbi log`: make, write, read, publish and audit a log."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yingbi.cli.keys import PassphraseFile, read_passphrase
from yingbi.cli.output import (
    JsonFlag,
    OutFile,
    missing_extra,
    progress_bar,
    read_file,
    show_fields,
    show_rows,
    write_bytes,
)
from yingbi.cli.reports import show_report
from yingbi.cli.sources import is_address, read_address
from yingbi.cli.text import t
from yingbi.cli.verify import MaxAge, Origin, Since, Skew, Statements, Trust, Workers, load_trust_file, make_terms
from yingbi.clock import SystemClock
from yingbi.errors import ErrorCode, InvalidRequestError, NotFoundError
from yingbi.statement import parse_statement
from yingbi.verify import Source, audit_log

if TYPE_CHECKING:
    from ledger.cosigning import CosignatureSource
    from ledger.home import LogHome
    from ledger.log import Log
    from ledger.store_sql import SqlStore

__all__ = ["HomeOption", "RotationPhase", "app", "import_home"]

app = typer.Typer(help=t("log.help"), no_args_is_help=True)

HomeOption = Annotated[Path, typer.Option("--log", envvar="YINGBI_LOG", help=t("log.option.log"))]
CaFile = Annotated[Path | None, typer.Option("--ca", help=t("option.ca"))]
Index = Annotated[int, typer.Argument(min=0, help=t("log.argument.index"))]


class RotationPhase(StrEnum):
    """Phases of a change of the log's key."""

    BEGIN = "begin"
    FINISH = "finish"


@app.command("init", help=t("log.init.help"))
def init(
    origin: Annotated[str, typer.Argument(help=t("log.argument.origin"))],
    home: HomeOption = Path(),
    database: Annotated[str | None, typer.Option("--database", help=t("log.option.database"))] = None,
    passphrase_file: PassphraseFile = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a new log."""
    with _extra():
        from ledger.home import create_home
    made, signer = create_home(home, origin, database=database, passphrase=read_passphrase(passphrase_file))
    fields = {"origin": made.origin, "folder": str(made.folder), "vkey": signer.verifier.encode()}
    show_fields(t("log.init.title"), fields, as_json=as_json)


@app.command("append", help=t("log.append.help"))
def append(
    files: Annotated[list[Path], typer.Argument(help=t("log.argument.files"))],
    home: HomeOption = Path(),
    idempotency_key: Annotated[str | None, typer.Option("--idempotency-key", help=t("log.option.key"))] = None,
    receipt: Annotated[Path | None, typer.Option("--receipt", help=t("log.option.receipt"))] = None,
    ca_file: CaFile = None,
    passphrase_file: PassphraseFile = None,
    as_json: JsonFlag = False,
) -> None:
    """Record statements; they stand together or not at all."""
    lines = [line for file in files for line in read_file(file).split(b"\n") if line]
    statements = [parse_statement(line) for line in lines]
    loaded = import_home(home)
    with _open_log(loaded, passphrase_file, ca_file) as (log, _):
        done = log.append_batch(statements, idempotency_key=idempotency_key)
        entries = [(done.start + at, statement.type, statement.payload.id) for at, statement in enumerate(statements)]
        if receipt is not None:
            from ledger.receipt import format_receipt

            write_bytes(format_receipt(log.reader.receipt(done.start, done.signed)), receipt)
    show_rows(t("log.append.title"), ("index", "type", "id"), entries, as_json=as_json)


@app.command("checkpoint", help=t("log.checkpoint.help"))
def checkpoint(home: HomeOption = Path(), out: OutFile = None) -> None:
    """Write the newest published checkpoint with its cosignatures."""
    with _open_store(home) as store:
        from ledger.reader import LogReader

        write_bytes(LogReader(store).published().note, out)


@app.command("prove", help=t("log.prove.help"))
def prove(index: Index, home: HomeOption = Path(), out: OutFile = None) -> None:
    """Write the receipt of an entry."""
    with _open_store(home) as store:
        from ledger.reader import LogReader
        from ledger.receipt import format_receipt

        write_bytes(format_receipt(LogReader(store).receipt(index)), out)


@app.command("entry", help=t("log.entry.help"))
def entry(index: Index, home: HomeOption = Path(), out: OutFile = None) -> None:
    """Write the bytes of an entry, as a receipt's verifier needs them."""
    with _open_store(home) as store:
        from ledger.reader import LogReader

        write_bytes(LogReader(store).entry(index), out)


@app.command("consistency", help=t("log.consistency.help"))
def consistency(
    old_size: Annotated[int, typer.Argument(min=0, help=t("log.argument.old_size"))],
    home: HomeOption = Path(),
    out: OutFile = None,
) -> None:
    """Write the hashes that connect an older size to the published checkpoint, one a line in base64."""
    with _open_store(home) as store:
        from ledger.reader import LogReader

        reader = LogReader(store)
        proof = reader.consistency(old_size, reader.published().checkpoint.size)
        write_bytes(b"".join(base64.b64encode(node) + b"\n" for node in proof.path), out)


@app.command("export", help=t("log.export.help"))
def export(
    folder: Annotated[Path, typer.Argument(help=t("log.argument.folder"), file_okay=False)],
    home: HomeOption = Path(),
    as_json: JsonFlag = False,
) -> None:
    """Publish the log into a folder as C2SP tlog-tiles."""
    loaded = import_home(home)
    with _open_store(home) as store, progress_bar(t("log.export.progress")) as progress:
        from ledger.publish import export_log

        signed = export_log(store, loaded.verifiers(), folder, progress=progress)
    fields = {"origin": loaded.origin, "size": signed.checkpoint.size, "folder": str(folder)}
    show_fields(t("log.export.title"), fields, as_json=as_json)


@app.command("audit", help=t("log.audit.help"))
def audit(
    source: Annotated[str | None, typer.Argument(help=t("log.argument.source"))] = None,
    home: HomeOption = Path(),
    trust_file: Trust = None,
    since: Since = None,
    origin: Origin = None,
    max_age_s: MaxAge = None,
    skew_s: Skew = 300,
    statements: Statements = True,
    workers: Workers = 0,
    ca_file: CaFile = None,
    as_json: JsonFlag = False,
) -> None:
    """Check a whole log; ends with the exit code of the verdict."""
    terms = make_terms(max_age_s, skew_s, origin)
    if source is not None and trust_file is None:
        raise InvalidRequestError(ErrorCode.USAGE, "expected `--trust FILE` for a log that is not one's own")
    trust = load_trust_file(trust_file or import_home(home).policy_path)
    with _audited(source, home, ca_file) as read, progress_bar(t("log.audit.progress")) as progress:
        report = audit_log(
            read,
            trust,
            since=read_file(since) if since else None,
            statements=statements,
            workers=workers,
            progress=progress,
            **terms,
        )
    show_report(report, as_json=as_json)
    raise typer.Exit(report.exit_code)


@app.command("serve", help=t("log.serve.help"))
def serve(
    home: HomeOption = Path(),
    host: Annotated[str, typer.Option(help=t("option.host"))] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help=t("option.port"))] = 8440,
    certificate: Annotated[Path | None, typer.Option("--tls-cert", help=t("option.tls_cert"))] = None,
    key: Annotated[Path | None, typer.Option("--tls-key", help=t("option.tls_key"))] = None,
) -> None:
    """Serve the published log over HTTP, for anyone to read."""
    loaded = import_home(home)
    with _open_store(home) as store:
        from ledger.http import create_log_app
        from ledger.serving import make_tls
        from ledger.serving import serve as serve_app

        app_ = create_log_app(store, loaded.verifiers())
        serve_app(app_, host=host, port=port, tls=make_tls(certificate, key), announce=_announce)


@app.command("rotate-key", help=t("log.rotate.help"))
def rotate_key(
    phase: Annotated[RotationPhase, typer.Argument(help=t("log.argument.phase"))],
    home: HomeOption = Path(),
    ca_file: CaFile = None,
    passphrase_file: PassphraseFile = None,
    as_json: JsonFlag = False,
) -> None:
    """Change the log's key in two phases: `begin` (both sign), later `finish` (the new one alone)."""
    loaded = import_home(home)
    with _extra():
        from ledger.rotation import begin_rotation, finish_rotation
    run = begin_rotation if phase is RotationPhase.BEGIN else finish_rotation
    passphrase = read_passphrase(passphrase_file)
    with _cosignatures(loaded, ca_file) as cosignatures, _extra("chain"):
        vkeys = run(loaded, SystemClock(), passphrase=passphrase, cosignatures=cosignatures)
    show_rows(t("log.rotate.title"), ("vkey",), [(vkey,) for vkey in vkeys], as_json=as_json)


@app.command("erase", help=t("log.erase.help"))
def erase(
    commitment: Annotated[str, typer.Argument(help=t("log.argument.commitment"))], home: HomeOption = Path()
) -> None:
    """Erase the opening of a commitment for good."""
    with _open_store(home) as store:
        store.erase_opening(commitment)


@app.command("reset-mark", help=t("log.reset.help"))
def reset_mark(
    size: Annotated[int, typer.Option(min=0, help=t("log.option.size"))],
    root: Annotated[str, typer.Option(help=t("log.option.root"))],
    home: HomeOption = Path(),
) -> None:
    """Make a lost high-water mark anew at the stored head, whose size and root are known from elsewhere."""
    loaded = import_home(home)
    with _extra():
        from ledger.home import reset_high_water
    reset_high_water(loaded, size=size, root=root)


@app.command("upgrade", help=t("log.upgrade.help"))
def upgrade(home: HomeOption = Path()) -> None:
    """Bring the log's tables to this version of the software."""
    loaded = import_home(home)
    with _extra():
        from ledger.store_sql import upgrade_database
    upgrade_database(loaded.database)


def import_home(folder: Path) -> "LogHome":
    """Load a log's configuration, or say which extra is not installed."""
    with _extra():
        from ledger.home import load_home
    return load_home(folder)


@contextmanager
def _extra(name: str = "hub") -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise missing_extra(name, error) from error


@contextmanager
def _open_store(folder: Path) -> Iterator["SqlStore"]:
    store = import_home(folder).open_store()
    try:
        yield store
    finally:
        store.close()


@contextmanager
def _open_log(
    loaded: "LogHome", passphrase_file: Path | None, ca_file: Path | None
) -> Iterator[tuple["Log", "SqlStore"]]:
    passphrase = read_passphrase(passphrase_file)
    with _cosignatures(loaded, ca_file) as cosignatures:
        with _extra("chain"):  # where an anchor is configured, the log is compared with it
            log, store = loaded.open_log(SystemClock(), passphrase=passphrase, cosignatures=cosignatures)
        try:
            with log:
                yield log, store
        finally:
            store.close()


@contextmanager
def _cosignatures(loaded: "LogHome", ca_file: Path | None) -> Iterator["CosignatureSource"]:
    from ledger.cosigning import CosigningThread, NoCosignatures
    from ledger.witness_client import make_witness_clients, open_witness_http
    from ledger.witness_round import HttpWitnesses

    policy = loaded.load_policy()
    with open_witness_http(ca_file=ca_file) as http:
        clients = make_witness_clients(policy, http, clock=SystemClock())
        yield CosigningThread(HttpWitnesses(clients, policy)) if clients or policy.has_quorum else NoCosignatures()


@contextmanager
def _audited(source: str | None, home: Path, ca_file: Path | None) -> Iterator[Source | Path]:
    if source is None:
        with _open_store(home) as store:
            yield partial(_read_own, store)
    elif is_address(source):
        with read_address(source, ca_file) as read:
            yield read
    else:
        yield Path(source)


def _read_own(store: "SqlStore", path: str) -> bytes:
    from ledger.publish import read_published

    try:
        return read_published(store, path)
    except NotFoundError as error:
        raise LookupError(path) from error  # for the audit to list as missing


def _announce(url: str) -> None:
    typer.echo(url)
