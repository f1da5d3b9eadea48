"""`yingbi receipt`: receipts that a partner keeps, verified without a network."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from yingbi.cli.job import ProfileOption, echo_json, opened_client
from yingbi.cli.output import JsonFlag, read_file, show_table
from yingbi.cli.reports import show_report
from yingbi.cli.text import t
from yingbi.cli.verify import load_trust_file
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.verify import Verdict, verify_receipt

__all__ = ["app"]

app = typer.Typer(help=t("receipt.help"), no_args_is_help=True)

# The worst first: what is wrong outweighs what is missing.
_ORDER: Final = (Verdict.INVALID, Verdict.COULD_NOT_CHECK, Verdict.LOG_SIGNED_ONLY, Verdict.VERIFIED)


@app.command("verify", help=t("receipt.verify.help"))
def verify(
    path: Annotated[Path, typer.Argument(help=t("receipt.argument.path"))],
    trust: Annotated[Path, typer.Option("--trust", help=t("receipt.option.trust"))],
    entry: Annotated[Path | None, typer.Option("--entry", help=t("receipt.option.entry"))] = None,
    as_json: JsonFlag = False,
) -> None:
    """Verify a receipt with its entry, or a folder that `yingbi job receipts --folder` wrote; end with the verdict."""
    from yingbi.client.kept import verify_kept

    known, now = load_trust_file(trust), datetime.now(UTC)
    if not path.is_dir():
        report = verify_receipt(
            read_file(path), None if entry is None else read_file(entry), known, now=now, statements=False
        )
        show_report(report, as_json=as_json)
        raise typer.Exit(report.exit_code)
    found = list(verify_kept(path, known, now=now))
    if not found:
        raise InvalidRequestError(ErrorCode.USAGE, f"folder `{path.name}` holds no receipts")
    rows = [(one.index, one.type, str(report.verdict), _why(report.first_failure)) for one, report in found]
    if as_json:
        names = ("index", "type", "verdict", "failure")
        echo_json([dict(zip(names, row, strict=True)) for row in rows])
    else:
        headings = [t("job.label.index"), t("job.label.type"), t("receipt.label.verdict"), t("receipt.label.failure")]
        show_table(t("receipt.verify.title"), headings, rows)
    worst = min((report for _, report in found), key=lambda report: _ORDER.index(report.verdict))
    raise typer.Exit(worst.exit_code)


@app.command("fetch", help=t("receipt.fetch.help"))
def fetch(
    index: Annotated[int, typer.Argument(min=0, help=t("receipt.argument.index"))],
    folder: Annotated[Path, typer.Option("--folder", file_okay=False, help=t("job.option.folder"))],
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Fetch an entry of the public log with its receipt, and the keys of its signers, to keep."""
    from yingbi.client.kept import keep

    with opened_client(profile) as client:
        found = client.run(client.hub.evidence.fetch(index))
        keep(folder, [found], client.run(client.hub.evidence.keys_of([found])))
    if as_json:
        echo_json(found.to_json())
    else:
        show_table(t("receipt.fetch.title"), [t("job.label.index"), t("job.label.type")], [(found.index, found.type)])


def _why(failure: object) -> str | None:
    return None if failure is None else str(getattr(failure, "message", ""))
