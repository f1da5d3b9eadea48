"""How the verifier's reports look on a terminal."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from yingbi.cli.output import printable
from yingbi.cli.text import t
from yingbi.verify import Outcome, Report, Verdict

__all__ = ["show_report"]

_COLOURS = {
    Verdict.VERIFIED: "bold green",
    Verdict.LOG_SIGNED_ONLY: "bold yellow",
    Verdict.COULD_NOT_CHECK: "bold magenta",
    Verdict.INVALID: "bold red",
}
_MARKS = {
    Outcome.PASSED: "[green]✓[/]",
    Outcome.FAILED: "[red]✗[/]",
    Outcome.MISSING: "[magenta]?[/]",
    Outcome.NOT_CHECKED: "[dim]–[/]",
}


def show_report(report: Report, *, as_json: bool) -> None:
    """Show a report: the verdict and what it means, then every check; or as JSON."""
    console = Console(highlight=False, emoji=False)
    if as_json:
        console.file.write(report.to_json() + "\n")
        return
    meaning = t(f"verdict.{report.verdict.name.lower()}")
    console.print(f"[{_COLOURS[report.verdict]}]{report.verdict}[/] {meaning}")
    for name, value in report.about.items():
        console.print(f"  {name}: {_clean(str(value))}")
    table = Table(show_header=False, box=None, padding=(0, 1))
    for check in report.checks:
        where = {"index": check.index, "expected": check.expected, "actual": check.actual}
        lines = [_clean(check.message)]
        lines += [f"{t(f'field.{name}')}: {_clean(str(value))}" for name, value in where.items() if value is not None]
        lines += [f"{t('word.needed')}: {_clean(item)}" for item in check.ask_for]
        table.add_row(_MARKS[check.outcome], t(f"check.{check.name.replace(' ', '_')}"), "\n".join(lines))
    console.print(table)
    if report.good_size is not None and report.verdict is Verdict.INVALID:
        console.print(t("verify.good_size", size=report.good_size))
    for number, head in enumerate(report.heads, 1):
        console.print(t("verify.head", number=number))
        console.print("\n".join(f"  {_clean(line)}" for line in head.splitlines()), soft_wrap=True)


def _clean(text: str) -> str:
    # SECURITY: texts may quote what an attacker wrote; neither control characters nor markup reach the terminal.
    return escape(printable(text))
