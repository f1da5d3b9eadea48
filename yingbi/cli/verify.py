"""`yingbi verify`: the offline verifier behind the command line's clothes."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, TypedDict

import typer

from yingbi.cli.output import JsonFlag, progress_bar, read_file
from yingbi.cli.reports import show_report
from yingbi.cli.text import t
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.verify import Report, TrustError, audit_log, load_trust, verify_bundle
from yingbi.verify import Trust as TrustFile
from yingbi.verify.files import verify_file

__all__ = [
    "MaxAge",
    "Origin",
    "Since",
    "Skew",
    "Statements",
    "Terms",
    "Trust",
    "Workers",
    "load_trust_file",
    "make_terms",
    "verify",
]

_ZIP: Final = b"PK"
_RECEIPT: Final = b"c2sp.org/tlog-proof@"
_ANCHORED: Final = b'"chain_id"'
_SIGNATURE: Final = "\n\N{EM DASH} ".encode()

Trust = Annotated[Path | None, typer.Option("--trust", help=t("verify.option.trust"))]
Since = Annotated[Path | None, typer.Option("--since", help=t("verify.option.since"))]
Origin = Annotated[str | None, typer.Option("--origin", help=t("verify.option.origin"))]
MaxAge = Annotated[int | None, typer.Option("--max-age", min=0, help=t("verify.option.max_age"))]
Skew = Annotated[int, typer.Option("--skew", min=0, help=t("verify.option.skew"))]
Statements = Annotated[bool, typer.Option("--statements/--no-statements", help=t("verify.option.statements"))]
Workers = Annotated[int, typer.Option("--workers", min=0, help=t("verify.option.workers"))]


class Terms(TypedDict):
    """What every verification is judged by."""

    now: datetime
    max_age_s: int | None
    skew_s: int
    origin: str | None


def make_terms(max_age_s: int | None, skew_s: int, origin: str | None) -> Terms:
    """Return the terms, at this machine's time."""
    return {"now": datetime.now(UTC), "max_age_s": max_age_s, "skew_s": skew_s, "origin": origin}


def load_trust_file(path: Path | None) -> TrustFile:
    """Load a trust file.

    Raises:
        InvalidRequestError: none was named, or it has a wrong form.
    """
    if path is None:
        raise InvalidRequestError(
            ErrorCode.USAGE, "expected `--trust FILE`", hint="a tlog-policy file, or JSON around one"
        )
    try:
        return load_trust(read_file(path))
    except TrustError as error:
        raise InvalidRequestError(ErrorCode.POLICY_MALFORMED, f"trust file: {error}") from error


def verify(
    path: Annotated[Path, typer.Argument(help=t("verify.argument.path"))],
    trust_file: Trust = None,
    entry: Annotated[Path | None, typer.Option("--entry", help=t("verify.option.entry"))] = None,
    checkpoint: Annotated[Path | None, typer.Option("--checkpoint", help=t("verify.option.checkpoint"))] = None,
    since: Since = None,
    origin: Origin = None,
    max_age_s: MaxAge = None,
    skew_s: Skew = 300,
    statements: Statements = True,
    workers: Workers = 0,
    as_json: JsonFlag = False,
) -> None:
    """Verify a receipt, a checkpoint, an anchor proof, a log or a bundle; end with the verdict's exit code."""
    trust = load_trust_file(trust_file)
    terms = make_terms(max_age_s, skew_s, origin)
    report: Report
    if path.is_dir() or _is_archive(path):
        whole = audit_log if path.is_dir() else verify_bundle
        with progress_bar(t("log.audit.progress")) as progress:
            old = read_file(since) if since else None
            report = whole(path, trust, since=old, statements=statements, workers=workers, progress=progress, **terms)
    else:
        data = read_file(path)
        # Whoever names an entry or a checkpoint has said what the file has to be.
        if entry is None and checkpoint is None and not _is_known(data):
            raise InvalidRequestError(
                ErrorCode.USAGE,
                f"file `{path}` is no receipt, checkpoint, anchor proof or bundle",
                hint="verify what shows something: a file of `receipts`, a bundle, an exported log",
            )
        others = {name: read_file(file) for name, file in (("entry", entry), ("checkpoint", checkpoint)) if file}
        report = verify_file(data, trust, statements=statements, **others, **terms)
    show_report(report, as_json=as_json)
    raise typer.Exit(report.exit_code)


def _is_archive(path: Path) -> bool:
    """Tell whether a file begins as a zip file does; bundles are, and nothing else that is verified."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_ZIP)) == _ZIP


def _is_known(data: bytes) -> bool:
    """Tell whether a file is of a kind that is verified, whatever is wrong with it: other files say nothing at all."""
    # Where every signature of a note was cut off, its lines are still those of a checkpoint.
    lines = data.split(b"\n")
    is_note = _SIGNATURE in data or (len(lines) > 2 and lines[1].isdigit())
    return is_note or data.startswith(_RECEIPT) or (data.startswith(b"{") and _ANCHORED in data)
