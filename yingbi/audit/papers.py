"""Working papers: what an auditor fills in beside what the tests found, one section a control (docs/auditing.md)."""

from collections.abc import Iterable, Sequence
from typing import Final

from yingbi.audit.case import Case
from yingbi.audit.controls import ControlResult
from yingbi.audit.texts import Texts, load_texts

__all__ = ["working_paper"]

_BLANK: Final = "________________"
_SPECIAL: Final = str.maketrans({char: f"\\{char}" for char in "\\`*_{}[]<>()#+!|"})


def working_paper(case: Case, results: Sequence[ControlResult], language: str) -> bytes:
    """Return a working paper in Markdown: filled in as far as a machine can, with room for who signs it."""
    t, reading = load_texts(language), case.reading
    lines = [f"# {t('paper.title')}", "", f"- {t('field.origin')}: {_plain(reading.origin)}"]
    lines += [f"- {t('field.size')}: {reading.size}", f"- {t('field.root')}: {reading.signed.checkpoint.root.hex()}"]
    lines += [f"- {t('paper.auditor')}: {_BLANK}", f"- {t('paper.date')}: {_BLANK}", "", t("controls.text")]
    for result in results:
        lines += ["", *_section(t, result)]
    return ("\n".join([*lines, "", t("signature.line"), "", _BLANK]) + "\n").encode()


def _section(t: Texts, result: ControlResult) -> Iterable[str]:
    control = result.control
    yield f"## {control.id} {t('control.' + control.name)}"
    yield ""
    yield f"- {t('column.supports')}: {t('supports.' + control.name)}"
    yield f"- {t('column.severity')}: {t.code('severity', control.severity)}"
    yield f"- {t('column.population')}: {result.population}"
    yield f"- {t('column.findings')}: {len(result.findings)}"
    for finding in result.findings:
        where = ", ".join(map(str, finding.indexes))
        yield f"  - {_plain(finding.subject)} ({where}): {_plain(finding.message)}"
    for text in result.unchecked:
        yield f"  - {t('unchecked')}: {_plain(text)}"
    for name in ("paper.evidence", "paper.response", "paper.conclusion"):
        yield f"- {t(name)}: {_BLANK}"


def _plain(text: str) -> str:
    # SECURITY: a finding may quote what somebody else chose; it becomes neither a link nor a heading.
    return text.translate(_SPECIAL)
