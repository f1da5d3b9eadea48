"""Agreements as text: what is read, every problem with its place, hostile input, one canonical form."""

import json
import time

import pytest

from policies.document import MAX_BYTES
from policies.model import terms_digest, to_json
from policies.parse import parse_agreement, read_agreement, to_yaml
from policies.problems import AgreementError
from tests.unit.policies.examples import TEXT, agreement, edited
from yingbi.canonical import canonical_bytes, parse_canonical


def problems(text: str | bytes) -> list[tuple[int, int, str]]:
    data = text if isinstance(text, bytes) else text.encode()
    reading = read_agreement(data)
    assert (reading.agreement is None) == bool(reading.problems)
    return [(item.line, item.column, item.message) for item in reading.problems]


def test_the_example_is_read_in_full() -> None:
    found = agreement()
    columns = {item.name: item for item in found.datasets[0].columns}
    assert (found.assigner, found.assignee, found.zones) == ("unit:futian-tax", "partner:bank-a", ("node:futian-tax",))
    assert columns["year"].values == ("2024", "2025")
    assert columns["tax_paid"].functions == ("sum", "mean")
    assert [str(bound) for bound in columns["tax_paid"].bounds or ()] == ["0", "5000000"]
    assert str(found.disclosure.dominance_share) == "0.85"
    assert found.privacy is not None
    assert str(found.privacy.epsilon) == "4"
    assert found.legal_basis.reference == "授权书 2026-17"


def test_days_are_of_china() -> None:
    valid = agreement().valid
    assert valid.starts_at.isoformat() == "2026-10-31T16:00:00+00:00"
    assert valid.ends_at.isoformat() == "2027-01-31T15:59:59.999999+00:00"


def test_yaml_json_and_canonical_json_are_one_agreement() -> None:
    found = agreement()
    value = to_json(found)
    for text in (
        to_yaml(found),
        json.dumps(value),
        json.dumps(value, ensure_ascii=False, indent="\t"),
        canonical_bytes(value).decode(),
    ):
        assert parse_agreement(text.encode()) == found
    assert parse_canonical(canonical_bytes(value), max_bytes=1 << 20) == value


def test_the_digest_is_over_every_term() -> None:
    digests = {
        terms_digest(agreement(edited(old, new)))
        for old, new in (
            ("version: 1", "version: 2"),
            ("jobs: 500", "jobs: 501"),
            ("授权书 2026-17", "授权书 2026-18"),
            ("[sum, mean]", "[mean, sum]"),
            ("until: 2027-01-31", "until: 2027-01-30"),
            ("[unit-cdo, bureau-approver]", "[unit-cdo]"),
            ("stop_running_jobs", "finish_running_jobs"),
            ('share: "0.85"', 'share: "0.86"'),
        )
    }
    assert len(digests | {terms_digest(agreement())}) == 9
    assert terms_digest(agreement(edited('"4.0"', '"4.00"'))) == terms_digest(agreement())


def test_what_may_be_absent_has_its_strict_default() -> None:
    text = TEXT
    for line in ("disclosure:", "privacy:", "on_revocation:", "version:"):
        text = "".join(row for row in text.splitlines(True) if not row.startswith(line))
    text = text.replace(", rounds: 100, filter_values: listed", "").replace(", job: automatic, output: automatic", "")
    found = agreement(text)
    assert (found.version, found.limits.rounds, str(found.limits.filter_values)) == (1, 0, "listed")
    assert (str(found.approvals.job), str(found.approvals.output)) == ("reviewed", "checked")
    assert found.disclosure.min_entities is None
    assert str(found.on_revocation) == "stop"


WRONG = {
    "unknown member": ("version: 1", "verzion: 1", 2, 1, "unknown member `verzion`"),
    "missing member": ("assignee: partner:bank-a\n", "", 1, 1, "member `assignee` is missing"),
    "wrong use": ("[join]", "[jion]", 14, 14, "expected one of `join`, `filter`"),
    "use twice": ("[join]", "[join, join]", 14, 20, "stands in the list twice"),
    "no use": ("[join]", "[]", 14, 13, "expected at least 1 in the list"),
    "party": ("unit:futian-tax\n", "futian-tax\n", 3, 11, "expected a party"),
    "id": ("agr-tax-credit-2026-01", "agr", 1, 12, "expected an id"),
    "day": ("2026-11-01", "2026-11-31", 8, 15, "expected a day"),
    "backwards": ("2027-01-31", "2026-01-31", 8, 34, "expected a day that is not before `from`"),
    "fraction": ('share: "0.85"', "share: 0.85", 19, 59, "expected a decimal"),
    "share": ('share: "0.85"', 'share: "1.85"', 19, 59, "expected a share"),
    "epsilon": ('"4.0"', '"0"', 20, 20, "expected epsilon"),
    "float limit": ("jobs: 500", "jobs: 5e2", 21, 16, "expected a whole number"),
    "quoted limit": ("jobs: 500", 'jobs: "500"', 21, 16, "expected a whole number"),
    "octal limit": ("jobs: 500", "jobs: 0500", 21, 16, "expected a whole number"),
    "huge limit": ("jobs: 500", f"jobs: {'9' * 5000}", 21, 16, "expected a whole number"),
    "norway": ("[2024, 2025]", "[2024, NO]", 15, 52, "expected a literal"),
    "leading zero": ("[2024, 2025]", "[2024, 01]", 15, 52, "expected a literal"),
    "sexagesimal": ("[2024, 2025]", "[2024, 12:30:00]", 15, 52, "expected a literal"),
    "bounds": ("bounds: [0, 5000000]", "bounds: [5, 0]", 17, 76, "expected two bounds"),
    "dataset": ("tax/annual_filings:", "annual_filings:", 11, 3, "expected a data set"),
    "column": ("      uscc: [join]", "      Uscc: [join]", 14, 7, "expected a column"),
    "ambiguous column": ("      uscc: [join]", "      on: [join]", 14, 7, "expected a column"),
    "twice": ("version: 1", "version: 1\nversion: 2", 3, 1, "member `version` stands here twice"),
    "list for text": ("purpose: credit.sme.pre-loan", "purpose: [a]", 6, 10, "expected one value"),
    "text for list": (
        "operations: [aggregate, psi, train.vertical_logistic, score]",
        "operations: all",
        18,
        13,
        "expected a list",
    ),
    "nothing denied": ("on_revocation", "prohibitions: [{}]\non_revocation", 23, 16, "expected a data set, column"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_problem_names_its_line_and_column(name: str) -> None:
    old, new, line, column, message = WRONG[name]
    found = problems(edited(old, new))
    assert any((row[0], row[1]) == (line, column) and row[2].startswith(message) for row in found), found


def test_all_problems_are_told_at_once() -> None:
    text = edited("[join]", "[jion]", edited("jobs: 500", "jobs: x", edited("version: 1", "version: 0")))
    assert [row[0] for row in problems(text)] == [2, 14, 21]
    with pytest.raises(AgreementError) as caught:
        parse_agreement(text.encode())
    assert len(caught.value.problems) == 3
    assert caught.value.message.endswith("and 2 more")


def test_a_missing_member_does_not_hide_other_problems() -> None:
    text = edited("assignee: partner:bank-a\n", "", edited("[join]", "[jion]"))
    assert [row[2][:20] for row in problems(text)] == ["member `assignee` is", "expected one of `joi"]


def test_hints_say_what_was_meant() -> None:
    reading = read_agreement(edited("[join]", "[jion]").encode())
    assert reading.problems[0].hint == "did you mean `join`"


HOSTILE = {
    "nothing": b"",
    "nul": b"\x00",
    "not utf-8": b"agreement: \xff",
    "utf-16": "agreement: a".encode("utf-16"),
    "alias bomb": b"a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]",
    "alias": b"a: *x",
    "anchor": b"agreement: &x a",
    "tag": b"agreement: !!python/object/apply:os.system [id]",
    "plain tag": b"agreement: !!str a",
    "local tag": b"agreement: ! a",
    "two documents": b"a: 1\n---\nb: 2",
    "directive": b"%YAML 9.9\n---\na: 1",
    "huge directive": b"%YAML 1." + b"9" * 6000 + b"\n---\na: 1",
    "deep list": b"[" * 5000,
    "deep mapping": b"{a: " * 5000,
    "deep block": b"\n".join(b" " * at + b"a:" for at in range(300)),
    "complex key": b"? [a, b]\n: c",
    "merge key": b"<<: {agreement: a}",
    "too long": b"#" * (MAX_BYTES + 1),
    "many nodes": b"[" + b"a," * 20_000 + b"]",
    "escape beyond unicode": b'agreement: "\\U7FFFFFFF"',
    "lone surrogate": b'agreement: "\\ud800"',
    "bidi": 'agreement: "agr-a\u202eb"'.encode(),
    "newline in text": b'purpose: "a\\nb"',
    "terminal escape": b'agreement: "\\e[31m"',
    "list": b"[]",
    "number": b"7",
    "unclosed": b"{",
    "tab": b"a:\n\tb: 1",
    "homoglyph": TEXT.replace("uscc: [join]", "usсс: [join]").encode(),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_refused_and_not_repeated(name: str) -> None:
    started = time.monotonic()
    found = read_agreement(HOSTILE[name]).problems
    assert found
    assert time.monotonic() - started < 5
    for problem in found:
        told = f"{problem.message} {problem.hint or ''}"
        assert told.isascii()
        assert told.isprintable()
        assert len(told) < 400
        assert problem.line >= 1
        assert problem.column >= 1
