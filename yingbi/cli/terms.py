"""The terms of an agreement as rows for people: what is granted, for what, within which limits, under which rules."""

from typing import TYPE_CHECKING

from yingbi.cli.text import t

if TYPE_CHECKING:
    from policies.model import Agreement, ColumnGrant, DatasetGrant, Prohibition

__all__ = ["grant_headings", "grant_rows", "terms_rows"]


def terms_rows(terms: "Agreement") -> list[tuple[str, object]]:
    """Return what an agreement says besides what it grants of which columns; codes are those of its text."""
    basis = terms.legal_basis
    rows: list[tuple[str, object]] = [
        (t("request.label.basis"), " ".join(filter(None, (str(basis.kind), basis.reference)))),
        (t("request.label.valid"), f"{terms.valid.first} - {terms.valid.last}"),
        (t("request.label.operations"), "\n".join(terms.operations)),
        (t("request.label.limits"), _limits(terms)),
        (t("request.label.rules"), _rules(terms)),
        (t("request.label.approvals"), f"job {terms.approvals.job}\noutput {terms.approvals.output}"),
        (t("request.label.place"), "\n".join(terms.zones)),
    ]
    if terms.intermediary is not None:
        rows.append((t("request.label.intermediary"), terms.intermediary))
    if terms.prohibitions:
        rows.append((t("request.label.prohibited"), "\n".join(map(_prohibited, terms.prohibitions))))
    return rows


def grant_headings() -> list[str]:
    """Return the headings of `grant_rows`."""
    names = [t("request.label.column"), t("request.label.uses"), t("request.label.functions")]
    return [*names, t("request.label.values")]


def grant_rows(dataset: "DatasetGrant") -> list[tuple[object, ...]]:
    """Return what is granted of the columns of a data set."""
    return [
        (one.name, "\n".join(map(str, one.uses)), _functions(one), "\n".join(one.values) or None)
        for one in dataset.columns
    ]


def _functions(column: "ColumnGrant") -> str | None:
    if "aggregate" not in column.uses:
        return None
    return t("request.word.all") if column.functions is None else "\n".join(column.functions)


def _limits(terms: "Agreement") -> str:
    limits = terms.limits
    lines = [f"jobs {limits.jobs}", f"jobs_per_day {limits.jobs_per_day}", f"filter_values {limits.filter_values}"]
    return "\n".join([*lines, *([f"rounds {limits.rounds}"] if limits.rounds else [])])


def _rules(terms: "Agreement") -> str:
    from policies.model import decimal_text

    rules = terms.disclosure
    lines = [
        f"mode {rules.mode}",
        f"min_entities {t('request.word.usual') if rules.min_entities is None else rules.min_entities}",
        f"dominance {rules.dominance_top} {decimal_text(rules.dominance_share)}",
        f"p_percent {rules.p_percent}",
        f"zeros {rules.zeros}",
        f"rounding {rules.rounding}",
    ]
    if terms.privacy is not None:
        lines.append(f"epsilon {decimal_text(terms.privacy.epsilon)}, delta {decimal_text(terms.privacy.delta)}")
    return "\n".join(lines)


def _prohibited(item: "Prohibition") -> str:
    return " ".join(filter(None, (item.dataset, item.column, item.use, item.operation)))
