"""`yingbi keys`: make, show and use Ed25519 keys."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from yingbi.cli.job import ProfileOption, opened_client, show_filed
from yingbi.cli.output import JsonFlag, OutFile, read_file, show_fields, write_bytes
from yingbi.cli.text import t
from yingbi.clock import SystemClock, format_time
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.ids import new_nonce
from yingbi.keys import SigningKey, load_signing_key, save_signing_key
from yingbi.statement import Statement, add_signature, parse_statement, sign

__all__ = ["PassphraseFile", "app", "read_passphrase"]

app = typer.Typer(help=t("keys.help"), no_args_is_help=True)

KeyFile = Annotated[Path, typer.Argument(help=t("keys.argument.file"))]
PassphraseFile = Annotated[Path | None, typer.Option("--passphrase-file", help=t("keys.option.passphrase"))]


@app.command("new", help=t("keys.new.help"))
def new(
    path: KeyFile,
    passphrase_file: PassphraseFile = None,
    results: Annotated[bool, typer.Option("--results", help=t("keys.option.results"))] = False,
    as_json: JsonFlag = False,
) -> None:
    """Make a key in a new file that only its owner can read."""
    if results:
        from yingbi.sealing import ResultKey, save_result_key

        opener = ResultKey.generate()
        save_result_key(opener, path, passphrase=read_passphrase(passphrase_file))
        fields = {"file": str(path), "key": opener.public}
        show_fields(t("keys.title"), fields, as_json=as_json)
        return
    key = SigningKey.generate()
    save_signing_key(key, path, passphrase=read_passphrase(passphrase_file))
    _show(key, path, as_json=as_json)


@app.command("show", help=t("keys.show.help"))
def show(path: KeyFile, passphrase_file: PassphraseFile = None, as_json: JsonFlag = False) -> None:
    """Show the public side of a key."""
    _show(load_signing_key(path, passphrase=read_passphrase(passphrase_file)), path, as_json=as_json)


@app.command("sign", help=t("keys.sign.help"))
def sign_payload(
    payload: Annotated[Path, typer.Argument(help=t("keys.argument.payload"))],
    key: Annotated[list[Path], typer.Option("--key", help=t("keys.option.key"))],
    passphrase_file: PassphraseFile = None,
    out: OutFile = None,
) -> None:
    """Sign a payload (JSON; `issued_at` and `nonce` are added when missing) into a statement."""
    passphrase = read_passphrase(passphrase_file)
    value = _load_object(read_file(payload))
    value.setdefault("issued_at", format_time(SystemClock().now()))
    value.setdefault("nonce", new_nonce())
    statement = sign(value, [load_signing_key(path, passphrase=passphrase) for path in key])
    write_bytes(statement.envelope, out)


@app.command("cosign", help=t("keys.cosign.help"))
def cosign(
    statement: Annotated[Path, typer.Argument(help=t("keys.argument.statement"))],
    key: Annotated[Path, typer.Option("--key", help=t("keys.option.key"))],
    passphrase_file: PassphraseFile = None,
    out: OutFile = None,
) -> None:
    """Add a second person's signature to a statement."""
    parsed: Statement = parse_statement(read_file(statement).rstrip(b"\n"))
    signer = load_signing_key(key, passphrase=read_passphrase(passphrase_file))
    write_bytes(add_signature(parsed, signer).envelope, out)


@app.command("register", help=t("keys.register.help"))
def register(
    owner: Annotated[str, typer.Argument(help=t("keys.argument.owner"))],
    new_key: Annotated[Path, typer.Option("--new-key", help=t("keys.option.new_key"))],
    bureau: Annotated[str, typer.Option("--bureau", help=t("keys.option.bureau"))],
    days: Annotated[int | None, typer.Option("--days", min=1, help=t("client.option.days"))] = None,
    passphrase_file: PassphraseFile = None,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Register the first key of a person or node of one's organisation; the bureau's root has to sign it too."""
    from yingbi.client.statements import Issuer, key_registered

    key = load_signing_key(new_key, passphrase=read_passphrase(passphrase_file))
    with opened_client(profile) as client:
        own, clock = client.hub.exchange.identity, client.hub.exchange.clock
        issuer = Issuer(party=bureau, on_behalf_of=own.organisation, clock=clock)
        until = None if days is None else clock.now() + timedelta(days=days)
        draft = key_registered(issuer, key.public, owner=owner, not_before=clock.now(), not_after=until)
        # The bureau's key is the hub's: whom it employs, its root alone says.
        also = () if own.organisation == bureau else (own.key,)
        filed = client.run(client.hub.file(("keys",), [draft.sign([key, *also])]))
    show_filed(t("keys.register.title"), filed, as_json=as_json)


def read_passphrase(path: Path | None) -> bytes | None:
    """Read a passphrase from a file (never from an argument, which other processes can see)."""
    return None if path is None else read_file(path).rstrip(b"\r\n")


def _show(key: SigningKey, path: Path, *, as_json: bool) -> None:
    fields = {"file": str(path), "thumbprint": key.public.thumbprint, "jwk": json.dumps(key.public.to_jwk())}
    show_fields(t("keys.title"), fields, as_json=as_json)


def _load_object(data: bytes) -> dict[str, object]:
    try:
        value = json.loads(data, object_pairs_hook=_refuse_duplicates)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InvalidRequestError(ErrorCode.JSON_MALFORMED, "expected a JSON object in UTF-8")
    return value


def _refuse_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    # SECURITY: of two members with one name a reader sees one and a signature might cover the other.
    value = dict(pairs)
    if len(value) != len(pairs):
        raise InvalidRequestError(ErrorCode.JSON_MALFORMED, "expected each member once in an object")
    return value
