"""`python -m yingbi.verify`: the verifier on the command line, with nothing but the standard library around it.

Exit codes 0 to 3 are verdicts (verification.md). A command, file or trust file that cannot be used gives 64, 65, 66 or
78 (BSD sysexits), a report that cannot be written 74, a defect of the verifier 70: none of these is a verdict.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NoReturn

from yingbi.verify import (
    Malformed,
    Report,
    TrustError,
    audit_log,
    load_trust,
    parse_path,
    verify_bundle,
    verify_checkpoint,
    verify_consistency,
    verify_receipt,
)
from yingbi.verify.anchored import verify_anchored_checkpoint

__all__ = ["main"]

_USAGE: Final = 64
_DATA: Final = 65
_NO_INPUT: Final = 66
_INTERNAL: Final = 70
_IO: Final = 74
_CONFIG: Final = 78
_MAX_FILE_BYTES: Final = 2**21


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # argparse would exit with 2, which is a verdict.
        self.exit(_USAGE, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verification, write its report and return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        report = _run(options)
    except OSError as error:
        return _complain(_NO_INPUT, f"{error.filename}: {error.strerror}")
    except TrustError as error:
        return _complain(_CONFIG, f"trust file: {error}")
    except Malformed as error:
        return _complain(_DATA, str(error))
    except Exception as error:  # SECURITY: a defect must not look like the verdict that Python's exit code 1 would be
        return _complain(_INTERNAL, f"internal error ({type(error).__name__}): nothing was verified")
    try:
        _write(report.to_json() + "\n" if options.json else report.to_text())
    except OSError:
        return _complain(_IO, "the report cannot be written")
    return report.exit_code


def _run(options: argparse.Namespace) -> Report:
    trust = load_trust(_read(options.trust))
    terms = {"now": options.now, "max_age_s": options.max_age, "skew_s": options.skew, "origin": options.origin}
    if options.command == "receipt":
        entry = None if options.entry is None else _read(options.entry)
        return verify_receipt(_read(options.receipt), entry, trust, statements=not options.no_statements, **terms)
    if options.command == "checkpoint":
        return verify_checkpoint(_read(options.checkpoint), trust, **terms)
    if options.command == "anchor":
        signed = None if options.checkpoint is None else _read(options.checkpoint)
        return verify_anchored_checkpoint(_read(options.proof), signed, trust, **terms)
    if options.command == "consistency":
        return verify_consistency(
            _read(options.old), _read(options.new), parse_path(_read(options.proof)), trust, **terms
        )
    audit = {
        "since": None if options.since is None else _read(options.since),
        "statements": not options.no_statements,
        "workers": options.workers,
        "progress": _show if sys.stderr.isatty() else None,
    }
    if options.command == "bundle":
        return verify_bundle(options.bundle, trust, **audit, **terms)
    if not options.folder.is_dir():
        raise NotADirectoryError(None, "not a folder", str(options.folder))
    return audit_log(options.folder, trust, **audit, **terms)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m yingbi.verify", description="Verify receipts, checkpoints and whole logs offline.")
    common = _Parser(add_help=False)
    common.add_argument(
        "--trust", type=Path, required=True, help="trust file: C2SP tlog-policy, or JSON that carries one"
    )
    common.add_argument("--origin", help="the log that is expected (default: any log of the trust file)")
    common.add_argument("--max-age", type=_number, metavar="SECONDS", help="greatest age of the newest cosignature")
    common.add_argument(
        "--skew", type=_number, default=300, metavar="SECONDS", help="tolerated difference of clocks (300)"
    )
    common.add_argument("--now", type=_time, default=datetime.now(UTC), help="time to judge by (default: now)")
    common.add_argument("--json", action="store_true", help="write the report as JSON")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    receipt = commands.add_parser("receipt", parents=[common], help="a receipt (.tlog-proof) with its entry")
    receipt.add_argument("receipt", type=Path)
    receipt.add_argument("--entry", type=Path, help="the bytes of the entry")
    checkpoint = commands.add_parser("checkpoint", parents=[common], help="a signed checkpoint")
    checkpoint.add_argument("checkpoint", type=Path)
    consistency = commands.add_parser("consistency", parents=[common], help="two checkpoints and their proof")
    for name in ("old", "new", "proof"):
        consistency.add_argument(name, type=Path)
    anchor = commands.add_parser("anchor", parents=[common], help="an anchor proof with its signed checkpoint")
    anchor.add_argument("proof", type=Path)
    anchor.add_argument("--checkpoint", type=Path, help="the signed checkpoint that was anchored")
    log = commands.add_parser("log", parents=[common], help="a whole log, exported to a folder")
    log.add_argument("folder", type=Path)
    bundle = commands.add_parser("bundle", parents=[common], help="an evidence bundle (zip)")
    bundle.add_argument("bundle", type=Path)
    for command in (log, bundle):
        command.add_argument("--since", type=Path, help="an older checkpoint that the log must still begin with")
        command.add_argument("--workers", type=_number, default=0, help="processes (default: as many as it is worth)")
    for command in (receipt, log, bundle):
        command.add_argument("--no-statements", action="store_true", help="leave out the signatures of statements")
    return parser


def _number(text: str) -> int:
    if not re.fullmatch("[0-9]{1,10}", text):
        raise argparse.ArgumentTypeError("expected a whole number from 0 on")
    return int(text)


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MAX_FILE_BYTES)


def _write(text: str) -> None:
    encoding = sys.stdout.encoding or "ascii"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()


def _show(done: int, total: int) -> None:
    sys.stderr.write(f"\r{done}/{total}" + ("\n" if done == total else ""))


def _complain(code: int, message: str) -> int:
    sys.stderr.write(f"yingbi.verify: {message}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
