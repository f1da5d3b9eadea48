"""`yingbi witness`: cosign what is consistent with what was seen before."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yingbi.cli.keys import PassphraseFile, read_passphrase
from yingbi.cli.output import JsonFlag, missing_extra, show_fields, show_rows, write_bytes
from yingbi.cli.text import t
from yingbi.clock import SystemClock

if TYPE_CHECKING:
    from ledger.witness_home import WitnessHome

__all__ = ["app"]

app = typer.Typer(help=t("witness.help"), no_args_is_help=True)

HomeOption = Annotated[Path, typer.Option("--witness", envvar="YINGBI_WITNESS", help=t("witness.option.witness"))]


@app.command("init", help=t("witness.init.help"))
def init(
    name: Annotated[str, typer.Argument(help=t("witness.argument.name"))],
    log_vkeys: Annotated[list[str], typer.Option("--log-vkey", help=t("witness.option.log_vkey"))],
    home: HomeOption = Path(),
    post_quantum: Annotated[bool, typer.Option("--post-quantum", help=t("witness.option.post_quantum"))] = False,
    passphrase_file: PassphraseFile = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a new witness."""
    with _extra():
        from ledger.witness_home import create_witness_home
    passphrase = read_passphrase(passphrase_file)
    made = create_witness_home(home, name, log_vkeys, is_post_quantum=post_quantum, passphrase=passphrase)
    _show_keys(made, passphrase, as_json=as_json)


@app.command("vkey", help=t("witness.vkey.help"))
def vkey(home: HomeOption = Path(), passphrase_file: PassphraseFile = None, as_json: JsonFlag = False) -> None:
    """Show the witness's verifier keys, one for each kind."""
    _show_keys(_load(home), read_passphrase(passphrase_file), as_json=as_json)


@app.command("run", help=t("witness.run.help"))
def run(
    home: HomeOption = Path(),
    host: Annotated[str, typer.Option(help=t("option.host"))] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help=t("option.port"))] = 8441,
    certificate: Annotated[Path | None, typer.Option("--tls-cert", help=t("option.tls_cert"))] = None,
    key: Annotated[Path | None, typer.Option("--tls-key", help=t("option.tls_key"))] = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Serve `POST /add-checkpoint` until SIGTERM."""
    loaded = _load(home)
    with _extra():
        from ledger.serving import make_tls
        from ledger.serving import serve as serve_app
        from ledger.witness_http import create_witness_app
    witness, store = loaded.open_witness(SystemClock(), read_passphrase(passphrase_file))
    try:
        app_ = create_witness_app(witness)
        serve_app(app_, host=host, port=port, tls=make_tls(certificate, key), announce=typer.echo)
    finally:
        store.close()


@app.command("evidence", help=t("witness.evidence.help"))
def evidence(
    home: HomeOption = Path(),
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help=t("witness.option.evidence_out"), file_okay=False)
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """List contradictions that logs signed; with `--out` write each to a file."""
    loaded = _load(home)
    from ledger.witness_evidence import format_evidence

    store = loaded.open_store()
    try:
        found = store.list_evidence()
    finally:
        store.close()
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for number, item in enumerate(found, 1):
            write_bytes(format_evidence(item), out / f"evidence-{number:04}.json")
    rows = [
        (item.origin, item.kind.value, item.seen.checkpoint.size, item.offered.checkpoint.size, str(item.observed_at))
        for item in found
    ]
    show_rows(t("witness.evidence.title"), ("origin", "kind", "seen", "offered", "observed_at"), rows, as_json=as_json)


def _show_keys(home: "WitnessHome", passphrase: bytes | None, *, as_json: bool) -> None:
    vkeys = [signer.verifier.encode() for signer in home.load_cosigners(SystemClock(), passphrase)]
    fields = {"name": home.name, "folder": str(home.folder), "vkey": "\n".join(vkeys)}
    show_fields(t("witness.title"), fields, as_json=as_json)


def _load(folder: Path) -> "WitnessHome":
    with _extra():
        from ledger.witness_home import load_witness_home
    return load_witness_home(folder)


@contextmanager
def _extra() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise missing_extra("witness", error) from error
