"""`yingbi synth`: make a folder of made-up data that is shaped like a district's (docs/synth.md)."""

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer

from yingbi.cli.output import JsonFlag, missing_extra, progress_bar, show_rows
from yingbi.cli.text import t
from yingbi.errors import ErrorCode, InvalidRequestError

__all__ = ["synth"]


def synth(
    folder: Annotated[Path, typer.Option("--out", "-o", help=t("synth.option.out"), file_okay=False)],
    scale: Annotated[str, typer.Option("--scale", help=t("synth.option.scale"))] = "0.01",
    seed: Annotated[int, typer.Option("--seed", min=0, help=t("synth.option.seed"))] = 1,
    as_json: JsonFlag = False,
) -> None:
    """Write the tables of a scale and a seed into a new folder."""
    try:
        from sandbox.synth.generate import generate
    except ImportError as error:
        raise missing_extra("node", error) from error
    with progress_bar(t("synth.progress")) as on_progress:
        written = generate(folder, scale=_parse_scale(scale), seed=seed, on_progress=on_progress)
    rows = [(table.name, table.rows, table.size_bytes, str(table.path)) for table in written]
    show_rows(t("synth.title"), ("name", "rows", "size_bytes", "file"), rows, as_json=as_json)


def _parse_scale(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise InvalidRequestError(ErrorCode.USAGE, "expected a scale such as `0.01`") from error
