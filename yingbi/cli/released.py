"""How commands show a released table or model: a rich table for people, canonical JSON for programs and files."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from yingbi.canonical import canonical_bytes
from yingbi.cli.output import show_fields, show_table, write_bytes
from yingbi.cli.text import t

if TYPE_CHECKING:
    from sandbox.disclosure.released import ReleasedModel, ReleasedTable, ReleasedTraining

__all__ = ["show_result"]


def show_result(
    output: str, result: "ReleasedTable | ReleasedModel | ReleasedTraining", *, out: Path | None, as_json: bool
) -> None:
    """Show a result, or write it to a file in the form that its digest is over."""
    from sandbox.disclosure.json_form import model_json, table_json, training_json
    from sandbox.disclosure.released import ReleasedModel, ReleasedTable

    if isinstance(result, ReleasedTable):
        form = table_json(result)
    else:
        form = model_json(result) if isinstance(result, ReleasedModel) else training_json(result)
    if out is not None:
        write_bytes(canonical_bytes(form) + b"\n", out)
    elif as_json:
        typer.echo(json.dumps({"outcome": "released", "output": output, "digest": result.digest, "result": form}))
    elif isinstance(result, ReleasedTable):
        _show_table(output, result)
    elif isinstance(result, ReleasedModel):
        names = [t("field.term"), t("field.coefficient"), t("field.standard_error")]
        rows = [(term.name, term.coefficient, term.standard_error) for term in result.terms]
        show_table(t("released.model"), names, rows)
        fields = {"output": output, "digest": result.digest}
        show_fields(t("released.title"), fields, as_json=False)
    else:
        fields = {"output": output, "digest": result.digest, "recipe": str(result.document.get("recipe"))}
        show_fields(t("released.title"), fields, as_json=False)


def _show_table(output: str, table: "ReleasedTable") -> None:
    places = [[column.name for column in table.columns].index(name) for name in table.order]
    rows = []
    for row in table.rows:
        keys = [t("released.total") if total else key for key, total in zip(row.keys, row.totals, strict=True)]
        values = [
            t("released.suppressed") if gone else value for value, gone in zip(row.values, row.suppressed, strict=True)
        ]
        cells = [*keys, *values]
        rows.append([cells[place] for place in places])
    show_table(t("released.table"), table.order, rows)
    suppressed = ", ".join(risk.value for risk in table.risks) or None
    fields = {"output": output, "digest": table.digest, "suppressed_for": suppressed}
    show_fields(t("released.title"), fields, as_json=False)
