"""`yingbi anchor`: keep the log's heads on an EVM chain, where its operator cannot rewrite them."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yingbi.cli.keys import PassphraseFile, read_passphrase
from yingbi.cli.log import HomeOption, import_home
from yingbi.cli.output import JsonFlag, OutFile, missing_extra, show_fields, write_bytes
from yingbi.cli.text import t
from yingbi.clock import SystemClock
from yingbi.errors import ErrorCode, InvalidRequestError, NotFoundError

if TYPE_CHECKING:
    from ledger.anchor import AnchorOutcome
    from ledger.anchor_evm import EvmAnchor
    from ledger.home import LogHome
    from ledger.store_sql import SqlStore

__all__ = ["app"]

app = typer.Typer(help=t("anchor.help"), no_args_is_help=True)


@app.command("deploy", help=t("anchor.deploy.help"))
def deploy(
    rpc: Annotated[str, typer.Option(help=t("anchor.option.rpc"))],
    chain_id: Annotated[int, typer.Option(min=1, help=t("anchor.option.chain_id"))],
    key: Annotated[Path, typer.Option(help=t("anchor.option.key"))],
    home: HomeOption = Path(),
    passphrase_file: PassphraseFile = None,
    as_json: JsonFlag = False,
) -> None:
    """Deploy the contract of this log and show what belongs into `log.toml`."""
    loaded = import_home(home)
    with _extra():
        from ledger.anchor_evm import EvmAccount, EvmAnchor
    account = EvmAccount.load(key, passphrase=_text(read_passphrase(passphrase_file)))
    address, block = EvmAnchor.deploy(rpc, chain_id=chain_id, origin=loaded.origin, account=account)
    # In `log.toml` a relative path would start from the log's folder.
    fields = {"rpc": rpc, "chain_id": chain_id, "contract": address, "deployed_at": block, "key": str(key.resolve())}
    show_fields(t("anchor.deploy.title"), fields, as_json=as_json)


@app.command("run", help=t("anchor.run.help"))
def run(
    home: HomeOption = Path(),
    once: Annotated[bool, typer.Option("--once", help=t("anchor.option.once"))] = False,
    interval_s: Annotated[float, typer.Option("--interval", min=1, help=t("anchor.option.interval"))] = 3600,
    passphrase_file: PassphraseFile = None,
    as_json: JsonFlag = False,
) -> None:
    """Bring cosigned heads onto the chain until SIGTERM, or do one step."""
    with _opened(home, read_passphrase(passphrase_file), is_writing=True) as (loaded, store, anchor):
        from ledger.anchor import AnchorWorker
        from ledger.anchor_journal import CosignedHeads, StoredJournal
        from ledger.reader import LogReader

        source = CosignedHeads(LogReader(store), loaded.load_policy())
        worker = AnchorWorker(anchor, source, StoredJournal(store), clock=SystemClock())

        def show(outcome: "AnchorOutcome") -> None:
            view = outcome.view
            fields = {
                "state": outcome.state.value,
                "size": outcome.size,
                "tip": view.tip.size,
                "confirmed": view.confirmed.size,
            }
            show_fields(t("anchor.title"), fields, as_json=as_json)

        if once:
            show(worker.run_once())
            return
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        worker.run(stop, interval_s=interval_s, on_outcome=show)


@app.command("status", help=t("anchor.status.help"))
def status(home: HomeOption = Path(), as_json: JsonFlag = False) -> None:
    """Show the head on the chain beside the log's."""
    with _opened(home, None, is_writing=False) as (_, store, anchor):
        view = anchor.latest()
        fields = {"size": store.read_head().size, "tip": view.tip.size, "confirmed": view.confirmed.size}
        show_fields(t("anchor.title"), fields, as_json=as_json)


@app.command("prove", help=t("anchor.prove.help"))
def prove(home: HomeOption = Path(), out: OutFile = None) -> None:
    """Write an offline proof that a checkpoint of this log is on the chain."""
    with _opened(home, None, is_writing=False) as (_, store, anchor):
        from ledger.reader import LogReader

        size = anchor.latest().confirmed.size
        if not size:
            raise NotFoundError(
                ErrorCode.CHECKPOINT_NOT_FOUND,
                "no head is confirmed on the chain yet",
                hint="`yingbi anchor run --once`",
            )
        write_bytes(anchor.prove(LogReader(store).signed(size).checkpoint), out)


@contextmanager
def _opened(
    home: Path, passphrase: bytes | None, *, is_writing: bool
) -> Iterator[tuple["LogHome", "SqlStore", "EvmAnchor"]]:
    loaded = import_home(home)
    with _extra():
        from ledger.anchor_evm import EvmAccount
    account = None
    if is_writing and loaded.anchor is not None:
        account = EvmAccount.load(loaded.anchor.key, passphrase=_text(passphrase))
    anchor = loaded.open_anchor(account)
    store = loaded.open_store()
    try:
        yield loaded, store, anchor
    finally:
        store.close()


def _text(passphrase: bytes | None) -> str | None:
    try:
        return None if passphrase is None else passphrase.decode()
    except UnicodeDecodeError:
        raise InvalidRequestError(ErrorCode.KEY_MALFORMED, "expected a passphrase in UTF-8") from None


@contextmanager
def _extra() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise missing_extra("chain", error) from error
