"""Write docs/errors.md from the catalogue in yingbi/errors.py: `python docs/tools/errors.py [--check]`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # a checkout needs no installation

from yingbi.errors import CATALOGUE, ErrorCode, ExitCode  # noqa: E402

PAGE: Final = ROOT / "docs" / "errors.md"
COMMAND: Final = "python docs/tools/errors.py"

HEAD: Final = f"""# Errors

Generated from `yingbi/errors.py` by `{COMMAND} > docs/errors.md`; do not edit. With `--check` it compares.

A refusal is an answer with reasons; an error has a code. Codes are stable: a code is never reused for another meaning.
The HTTP status is that of the problem document (RFC 9457), the exit code that of the command line. The message of an
error is one line of plain words and names no data value; what only operators may know stays in their log.
"""

EXIT_HEAD: Final = """## Exit codes

0 to 3 are verdicts of the verifier ([verification.md](spec/verification.md)); the others follow BSD's `sysexits`.
An error with exit code 1 says that evidence does not hold.
"""


def render() -> str:
    """Return the whole page."""
    codes = [
        (f'<a id="{code}"></a>`{code}`', str(spec.status), spec.title, _exit(spec.exit_code))
        for code, spec in CATALOGUE.items()
    ]
    exits = [(str(int(code)), code.name.replace("_", " ").lower(), _codes_of(code)) for code in ExitCode]
    return "\n".join(
        [
            HEAD,
            "## Codes\n",
            _table(("code", "HTTP status", "title", "exit code"), codes),
            EXIT_HEAD,
            _table(("exit code", "name", "errors"), exits),
        ]
    )


def main() -> int:
    """Print the page, or tell whether the file is current."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with docs/errors.md; exit 1 if it differs")
    page = render()
    if not parser.parse_args().check:
        sys.stdout.write(page)
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page:
        return 0
    sys.stderr.write(f"{PAGE.name} is out of date: run `{COMMAND} > docs/errors.md`\n")
    return 1


def _exit(code: ExitCode) -> str:
    return f"{int(code)} ({code.name.replace('_', ' ').lower()})"


def _codes_of(exit_code: ExitCode) -> str:
    return " · ".join(f"[`{code}`](#{code})" for code in ErrorCode if CATALOGUE[code].exit_code is exit_code)


def _table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in [columns, ("---",) * len(columns), *rows]]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
