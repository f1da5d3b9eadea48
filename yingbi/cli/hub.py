"""`yingbi hub`: begin a hub with its ceremony, run it, upgrade it."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yingbi.cli.keys import PassphraseFile, read_passphrase
from yingbi.cli.output import JsonFlag, missing_extra, read_file, show_fields
from yingbi.cli.text import t
from yingbi.clock import Clock, SystemClock, format_time
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.keys import SigningKey, VerifyKey, load_signing_key, save_signing_key
from yingbi.statement import Statement, parse_statement

if TYPE_CHECKING:
    from api.federating import FederationWay
    from api.home import HubHome
    from ledger.cosigning import CosignatureSource
    from ledger.serving import ServerTls

__all__ = ["HubOption", "app"]

app = typer.Typer(help=t("hub.help"), no_args_is_help=True)

HubOption = Annotated[Path, typer.Option("--hub", envvar="YINGBI_HUB", help=t("hub.option.hub"))]
CaFile = Annotated[Path | None, typer.Option("--ca", help=t("option.ca"))]


@app.command("init", help=t("hub.init.help"))
def init(
    bureau: Annotated[str, typer.Argument(help=t("hub.argument.bureau"))],
    origin: Annotated[str, typer.Argument(help=t("hub.argument.origin"))],
    statements: Annotated[list[Path] | None, typer.Argument(help=t("hub.argument.statements"))] = None,
    hub: HubOption = Path(),
    address: Annotated[str | None, typer.Option("--address", help=t("hub.option.address"))] = None,
    database: Annotated[str, typer.Option("--database", help=t("hub.option.database"))] = "sqlite:///hub.sqlite",
    root: Annotated[list[Path] | None, typer.Option("--root", help=t("hub.option.root"))] = None,
    service_key: Annotated[Path | None, typer.Option("--service-key", help=t("hub.option.service_key"))] = None,
    develop: Annotated[Path | None, typer.Option("--develop", help=t("hub.option.develop"), file_okay=False)] = None,
    passphrase_file: PassphraseFile = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a hub and record the ceremony that begins it; a folder that holds a hub is refused."""
    with _extra():
        from api.ceremony import hold_ceremony
        from api.settings import Settings
    clock, passphrase = SystemClock(), read_passphrase(passphrase_file)
    if develop is not None:
        roots, key, spoken = _develop(develop, bureau, clock)
    else:
        roots, key, spoken = _ceremony(root or [], service_key, statements or [], passphrase)
    settings = Settings(bureau=bureau, address=address, roots=roots, database=database)
    home = hold_ceremony(hub, settings, origin, service_key=key, statements=spoken, clock=clock, passphrase=passphrase)
    vkey = home.load_log().verifiers()[0].encode()
    fields = {"name": bureau, "origin": origin, "folder": str(home.folder), "vkey": vkey}
    show_fields(t("hub.init.title"), fields, as_json=as_json)


@app.command("run", help=t("hub.run.help"))
def run(
    hub: HubOption = Path(),
    host: Annotated[str, typer.Option(help=t("option.host"))] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help=t("option.port"))] = 8441,
    certificate: Annotated[Path | None, typer.Option("--tls-cert", help=t("option.tls_cert"))] = None,
    key: Annotated[Path | None, typer.Option("--tls-key", help=t("option.tls_key"))] = None,
    ca_file: CaFile = None,
    federation_port: Annotated[
        int | None, typer.Option("--federation-port", min=0, max=65535, help=t("hub.option.federation_port"))
    ] = None,
    federation_address: Annotated[
        str | None, typer.Option("--federation-address", help=t("hub.option.federation_address"))
    ] = None,
    round_s: Annotated[int, typer.Option("--round-seconds", min=1, max=86400, help=t("hub.option.round_s"))] = 120,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Run a hub until it is told to end; with a port for federations, Flower's server runs beside it."""
    with _extra():
        from api.home import load_hub
        from api.main import create_app
        from api.wiring import open_hub
        from federated.rounds.coordinator import RoundLimits
        from ledger.serving import make_tls, serve
    home, tls = load_hub(hub), make_tls(certificate, key)
    passphrase = read_passphrase(passphrase_file)
    with (
        _cosignatures(home, ca_file) as cosignatures,
        _federation(home, host, federation_port, federation_address, tls) as federation,
        open_hub(
            home,
            SystemClock(),
            cosignatures=cosignatures,
            passphrase=passphrase,
            federation=federation,
            limits=RoundLimits(deadline=timedelta(seconds=round_s)),
        ) as opened,
    ):

        def announce(url: str) -> None:
            opened.address.announce(url)
            typer.echo(url)

        serve(create_app(opened), host=host, port=port, tls=tls, announce=announce)


@app.command("upgrade", help=t("hub.upgrade.help"))
def upgrade(hub: HubOption = Path()) -> None:
    """Bring the tables of a hub to this version of the software; its log's are `yingbi log upgrade`'s."""
    with _extra():
        from api.home import upgrade_hub
    upgrade_hub(hub)


def _ceremony(
    roots: Sequence[Path], service_key: Path | None, files: Sequence[Path], passphrase: bytes | None
) -> tuple[tuple[VerifyKey, ...], SigningKey, Sequence[Statement]]:
    """Read what the registrar and the administrators have signed."""
    if service_key is None or not roots or not files:
        raise InvalidRequestError(
            ErrorCode.USAGE,
            "expected `--root`, `--service-key` and the ceremony's statements",
            hint="for development, `--develop FOLDER` makes them",
        )
    statements = [parse_statement(line) for file in files for line in read_file(file).split(b"\n") if line]
    return tuple(_root(path) for path in roots), load_signing_key(service_key, passphrase=passphrase), statements


def _root(path: Path) -> VerifyKey:
    try:
        return VerifyKey.from_jwk(json.loads(read_file(path)))
    except ValueError as error:
        raise InvalidRequestError(ErrorCode.KEY_MALFORMED, f"file `{path}` is not a JWK") from error


def _develop(folder: Path, bureau: str, clock: Clock) -> tuple[tuple[VerifyKey, ...], SigningKey, Sequence[Statement]]:
    """Make the keys of a ceremony in files, and sign it: one hand holds what four people should."""
    from api.ceremony import ADMINISTRATORS_IN_ORDER, sign_ceremony

    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    root, service = _new_key(folder / "root.pem"), SigningKey.generate()
    people = {
        duty: (f"person:{duty.value}", _new_key(folder / f"{duty.value}.pem")) for duty in ADMINISTRATORS_IN_ORDER
    }
    statements = sign_ceremony(bureau, root=root, service_key=service, people=people, at=format_time(clock.now()))
    return (root.public,), service, statements


def _new_key(path: Path) -> SigningKey:
    key = SigningKey.generate()
    save_signing_key(key, path)
    return key


@contextmanager
def _cosignatures(home: "HubHome", ca_file: Path | None) -> Iterator["CosignatureSource"]:
    from ledger.cosigning import CosigningThread, NoCosignatures
    from ledger.witness_client import make_witness_clients, open_witness_http
    from ledger.witness_round import HttpWitnesses

    policy = home.load_log().load_policy()
    with open_witness_http(ca_file=ca_file) as http:
        clients = make_witness_clients(policy, http, clock=SystemClock())
        yield CosigningThread(HttpWitnesses(clients, policy)) if clients or policy.has_quorum else NoCosignatures()


@contextmanager
def _federation(
    home: "HubHome", host: str, port: int | None, address: str | None, tls: "ServerTls | None"
) -> Iterator["FederationWay | None"]:
    if port is None:
        yield None
        return
    try:
        from api.federation_server import FederationServer
    except ImportError as error:
        raise missing_extra("federated", error) from error
    server = FederationServer(
        home.folder / "federation",
        host=host,
        port=port,
        tls=None if tls is None else (tls.certificate, tls.key),
        address=address,
        clock=SystemClock(),
    )
    with server:
        yield server


@contextmanager
def _extra() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise missing_extra("hub", error) from error
