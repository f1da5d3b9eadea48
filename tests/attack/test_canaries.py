"""Canaries: values planted in the data are nowhere but in the data, the registry and sealed evidence (disclosure 6.9).

Identifiers, names, free text, and amounts that no rule lets out. Everything that anybody is given is searched: results,
refusals, errors, notices, explanations, progress, logs at DEBUG, and every byte of the node's folder.
"""

import json
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from policies.explain import explain_reasons
from policies.model import to_json
from sandbox.catalog.model import DataItem, Dataset, ItemRole, ItemType, Visibility
from sandbox.disclosure.json_form import model_json, table_json
from sandbox.disclosure.released import ReleasedTable, ReleasedTraining
from sandbox.engine_duckdb.job import Job, Settings, pack_job
from sandbox.isolation.limits import Limits
from sandbox.node.gate import Answer, Failed, HeldBack, Refused, Released
from sandbox.node.home import NodeHome
from sandbox.node.judging import Asking, Explanation
from sandbox.node.wiring import open_gate
from tests.lib.command_line import Done, run
from tests.lib.in_process import InProcessCage
from tests.lib.nodes import NOW, PARTNER, PURPOSE, broad_agreement, new_node, publish_table
from yingbi.canonical import JsonValue, canonical_bytes
from yingbi.clock import FixedClock
from yingbi.events.fields import Grade, PrivacyUnit

FIRMS: Final = 300
# Amounts of firms that are alone in a cell, or own theirs; nine digits, so that no sum or digest hits them by chance.
ALONE, GIANT, SECRET_SCORE = 913_370_421, 987_654_319, 731_907_433
IDENTIFIER, NAME, REMARK = "CANARYUNIT0001X", "金丝雀秘密有限公司", "canary-free-text-4711"
ROW_KEY = "CANARYROW77"


@dataclass(frozen=True)
class Seen:
    """Everything that anybody was given."""

    texts: list[str] = field(default_factory=list)

    def see(self, value: object) -> None:
        self.texts.append(value if isinstance(value, str) else repr(value))

    def see_json(self, value: JsonValue) -> None:
        self.texts.append(canonical_bytes(value).decode())


def spellings(number: int) -> tuple[str, ...]:
    """Return how a number might be written: plain, fixed point, grouped."""
    return str(number), f"{number}00", f"{number:,}", f"{float(number):.6e}", f"{float(number)!r}"


CANARIES: Final = tuple(
    dict.fromkeys(
        [
            IDENTIFIER,
            IDENTIFIER.lower(),
            NAME,
            NAME.encode("unicode_escape").decode(),
            REMARK,
            REMARK.upper(),
            ROW_KEY,
            *(text for number in (ALONE, GIANT, SECRET_SCORE) for text in spellings(number)),
        ]
    )
)


def encodings(number: int) -> tuple[bytes, ...]:
    """Return how a number might be stored: 64 bits either way round, as text, as fixed point of two digits."""
    signed = [value.to_bytes(8, order, signed=True) for value in (number, number * 100) for order in ("little", "big")]
    return (*signed, *(text.encode() for text in spellings(number)))


STORED: Final = tuple(
    dict.fromkeys(
        [
            *(text.encode(coding) for text in (IDENTIFIER, NAME, REMARK, ROW_KEY) for coding in ("utf-8", "utf-16-le")),
            *(form for number in (ALONE, GIANT, SECRET_SCORE) for form in encodings(number)),
        ]
    )
)


# --- the node ---------------------------------------------------------------------------------------------------------


def dataset() -> Dataset:
    def item(name: str, kind: ItemType, **members: object) -> DataItem:
        usual: dict[str, object] = {"title": name, "grade": Grade.GENERAL_3, "nullable": False}
        return DataItem(name=name, type=kind, **(usual | members))  # type: ignore[arg-type]

    number = {"bounds": (Decimal(0), Decimal(1_000_000_000)), "edges": ("1000", "1000000", "900000000")}
    return Dataset(
        name="lab/canaries",
        title="金丝雀",
        owner="unit:futian-bureau",
        privacy_unit=PrivacyUnit.ENTERPRISE,
        membership=Visibility.PUBLIC,
        max_rows_per_unit=3,
        items=(
            item("uscc", ItemType.TEXT, role=ItemRole.UNIT, visibility=Visibility.PUBLIC),
            item("filing", ItemType.TEXT, role=ItemRole.ROW_KEY),
            item("name", ItemType.TEXT),
            item("remark", ItemType.TEXT),
            item("street", ItemType.CODE, visibility=Visibility.PUBLIC, domain=("s0", "s1", "s2")),
            item("industry", ItemType.CODE, visibility=Visibility.PUBLIC, domain=("A", "B", "Z")),
            item("tax", ItemType.INTEGER, **number),
            item("revenue", ItemType.DECIMAL, decimals=2, **number),
            item("score", ItemType.INTEGER, on_negative_list=True, **number),
            item("defaulted", ItemType.BOOLEAN),
        ),
    )


def write(path: Path, **changes: dict[int, object]) -> Path:
    """Write the rows, two a firm; `changes` are values by row."""
    random = np.random.default_rng(4711)
    firms = np.repeat(np.arange(FIRMS), 2)
    rows = len(firms)
    columns: dict[str, list[object]] = {
        "uscc": [f"U{at:05}" for at in firms],
        "filing": [f"F{at:06}" for at in range(rows)],
        "name": [f"企业{at}" for at in firms],
        "remark": ["nothing"] * rows,
        "street": [f"s{at % 3}" for at in firms],
        "industry": ["AB"[at % 2] for at in firms],
        "tax": [int(value) for value in random.integers(1_000, 50_000, rows)],
        "revenue": [int(value) for value in random.integers(1_000, 50_000, rows)],
        "score": [int(value) for value in random.integers(0, 100, rows)],
        "defaulted": [bool(value) for value in random.random(rows) < 0.3],
    }
    # Firm 0 is alone in industry Z, firm 2 owns the cell of s2 and A.
    planted: dict[str, dict[int, object]] = {
        "uscc": {0: IDENTIFIER, 1: IDENTIFIER},
        "filing": {0: ROW_KEY},
        "name": {0: NAME, 1: NAME},
        "remark": {0: REMARK},
        "industry": {0: "Z", 1: "Z"},
        "tax": {0: ALONE, 1: 0, 4: GIANT},
        "revenue": {0: ALONE, 1: 0, 4: GIANT},
        "score": {0: SECRET_SCORE},
    }
    for source in (planted, changes):
        for name, values in source.items():
            for at, value in values.items():
                columns[name][at] = value
    table = {name: pa.array(values) for name, values in columns.items()}
    table["revenue"] = table["revenue"].cast(pa.decimal128(21, 2))
    pq.write_table(pa.table(table), path)
    return path


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("canaries")
    home = new_node(folder / "node", isolation="bubblewrap")
    publish_table(home, dataset(), write(folder / "rows.parquet"))
    home.close()
    (folder / "agreement.json").write_text(json.dumps(to_json(broad_agreement([dataset()]).agreement)), "utf-8")
    return folder / "node"


# --- what is asked ----------------------------------------------------------------------------------------------------


FROM = "from lab.canaries"
QUESTIONS: Final = (
    # released, with cells that are held back
    f"select street, count(*), sum(tax) {FROM} group by street",
    f"select industry, sum(tax), avg(revenue), count(*) {FROM} group by industry",
    f"select street, industry, sum(tax) {FROM} group by cube (street, industry)",
    f"select street, median(tax), quantile_cont(revenue, 0.9), variance(tax) {FROM} group by street",
    f"select bin(tax, 1000, 1000000, 900000000), count(*) {FROM} group by 1",
    f"select histogram(revenue) {FROM}",
    f"select street, count(distinct uscc) {FROM} where industry = 'A' group by street",
    # held
    f"select sum(tax) {FROM} where industry = 'Z'",
    f"select street, sum(revenue) {FROM} where industry = 'Z' group by street",
    f"select count(*) {FROM} where tax >= 900000000",
    # refused: not granted, on the negative list, free text, an identifier
    f"select sum(score) {FROM}",
    f"select name, count(*) {FROM} group by name",
    f"select remark, count(*) {FROM} where remark = '{REMARK}' group by remark",
    f"select count(*) {FROM} where uscc = '{IDENTIFIER}'",
    f"select count(*) {FROM} where name = '{NAME}'",
    f"select count(*) {FROM} where street = '{REMARK}'",
    f"select count(*) {FROM} where tax = {ALONE}",
    f"select count(*) {FROM} where tax between {ALONE} and {GIANT}",
    f"select cast(name as integer) {FROM}",
    f"select {REMARK} {FROM}",
    "select * from read_parquet('rows.parquet')",
)
MODELS: Final[tuple[tuple[str, str, list[JsonValue]], ...]] = (
    ("linear", "tax", ["revenue"]),
    ("linear", "tax", ["industry", "revenue"]),
    ("logistic", "defaulted", ["street", "tax"]),
)
REGRESSIONS: Final[tuple[JsonValue, ...]] = tuple(
    {
        "v": 1,
        "question": {
            "kind": "regression",
            "family": family,
            "target": target,
            "features": features,
            "source": {"dataset": "lab/canaries"},
        },
    }
    for family, target, features in MODELS
)


def askings() -> list[Asking]:
    asked = [Asking(partner=PARTNER, purpose=PURPOSE, sql=sql) for sql in QUESTIONS]
    return [*asked, *(Asking(partner=PARTNER, purpose=PURPOSE, plan=plan) for plan in REGRESSIONS)]


def own_words(asking: Asking) -> str:
    """Return what the partner wrote: that it says it back would be no leak, though it does not either."""
    return asking.sql or ""


@contextmanager
def watched(caplog: pytest.LogCaptureFixture) -> Iterator[Seen]:
    """Collect what is seen; at the end, everything that was logged belongs to it."""
    seen = Seen()
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("sqlalchemy.engine").setLevel(logging.DEBUG)
        try:
            yield seen
        finally:
            logging.getLogger("sqlalchemy.engine").setLevel(logging.WARNING)
    for record in caplog.records:
        seen.see(record.getMessage())
        seen.see({name: value for name, value in vars(record).items() if name not in ("exc_info", "args")})
        seen.see(str(record.exc_info))


def see_answer(seen: Seen, answer: Answer) -> None:
    seen.see(answer.question)
    match answer:
        case Released(result=result, output=output):
            seen.see(output)
            assert not isinstance(result, ReleasedTraining), "this world has no federations"
            seen.see_json(table_json(result) if isinstance(result, ReleasedTable) else model_json(result))
            seen.see(result)
        case HeldBack(output=output):
            seen.see_json(dict(output.notice))
            seen.see(output)
        case Failed(problem=problem):
            see_error(seen, problem)
        case Refused(explanation=found):
            see_explanation(seen, found)


def see_error(seen: Seen, error: BaseException | None) -> None:
    """See an error and everything that it came from."""
    while error is not None:
        seen.see(f"{error!r} {error} {vars(error)}")
        error = error.__cause__ or error.__context__


def see_explanation(seen: Seen, found: Explanation) -> None:
    see_error(seen, found.problem)
    seen.see(found.cost)
    if found.reasons:
        seen.see("\n".join(explain_reasons(found.reasons)))
    if found.decision is not None and found.plan is None:
        seen.see(found.decision)


def hits(seen: Seen, *, own: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Return canaries and where they were seen."""
    allowed = {canary for canary in CANARIES for text in own if canary in text}
    return [
        (canary, text[:200]) for text in seen.texts for canary in CANARIES if canary in text and canary not in allowed
    ]


def files_with_canaries(node: Path) -> list[tuple[str, bytes]]:
    """Return files that hold a canary, but what may: snapshots and the registry."""
    found = []
    for path in node.rglob("*"):
        if path.is_file() and path.relative_to(node).parts[0] not in ("data", "registry"):
            data = path.read_bytes()
            found += [(str(path.relative_to(node)), form) for form in STORED if form in data]
    return found


# --- the tests --------------------------------------------------------------------------------------------------------


def test_the_canaries_are_in_the_data(node: Path) -> None:
    """The control: the search would find them."""
    for path in (node / "data").rglob("data.duckdb"):
        with duckdb.connect(str(path), read_only=True) as plain:
            assert plain.sql("select max(tax) from rows").fetchall() == [(GIANT,)]
            assert plain.sql(f"select count(*) from rows where tax = {ALONE}").fetchall() == [(1,)]
            columns = plain.sql("select column_name from (describe rows)").fetchall()
            assert not {"uscc", "name", "remark", "score", "filing"} & {name for (name,) in columns}
    registry = b"".join(path.read_bytes() for path in (node / "registry").rglob("*") if path.is_file())
    assert IDENTIFIER.encode() in registry
    snapshot = b"".join(path.read_bytes() for path in (node / "data").rglob("*") if path.is_file())
    assert not [form for form in (IDENTIFIER, NAME, REMARK, ROW_KEY) if form.encode() in snapshot]
    assert not [form for form in encodings(SECRET_SCORE) if form in snapshot], "on the negative list: not published"
    seen = Seen()
    seen.see(f"the answer is {ALONE}")
    assert hits(seen)


def test_nothing_that_a_partner_is_given_holds_a_canary(node: Path, caplog: pytest.LogCaptureFixture) -> None:
    kinds: set[str] = set()
    with watched(caplog) as seen:
        home = NodeHome.open(node, clock=FixedClock(NOW))
        # In this process, so that what a worker logs is seen too.
        with open_gate(home, [broad_agreement([dataset()])], cage=InProcessCage()) as gate:
            for asking in askings():
                mine = Seen()
                see_explanation(mine, gate.explain(asking))
                progress: list[int] = []
                answer = gate.answer(asking, on_progress=progress.append)
                kinds.add(type(answer).__name__)
                see_answer(mine, answer)
                mine.see(progress)
                assert hits(mine) == [], own_words(asking)
                assert all(0 <= percent <= 100 for percent in progress)
        home.close()
    assert kinds >= {"Released", "HeldBack", "Refused"}
    # What a partner wrote into a filter is in the plan that the book keeps, and nowhere else.
    assert hits(seen, own=QUESTIONS) == []
    assert files_with_canaries(node) == []


def test_nothing_that_the_command_line_says_holds_a_canary(node: Path, caplog: pytest.LogCaptureFixture) -> None:
    who = ("--partner", PARTNER, "--purpose", PURPOSE, "--agreement", node.parent / "agreement.json", "--node", node)
    with watched(caplog) as seen:
        for sql in QUESTIONS[::4]:
            mine = Seen()
            for words in (["explain"], ["ask", "--json"], ["ask"]):
                see_done(mine, run("node", words[0], sql, *who, *words[1:]))
            # The smallest grant that would be enough names the literal that the partner wrote.
            assert hits(mine, own=[sql]) == [], sql
        for words in (["questions"], ["questions", "--json"], ["held", "list"], ["held", "list", "--json"]):
            see_done(seen, run("node", *words, "--node", node))
        see_done(seen, run("catalog", "show", "lab/canaries", "--node", node, "--json"))
        see_done(seen, run("data", "versions", "lab/canaries", "--node", node, "--json"))
        see_done(seen, run("data", "profile", node.parent / "rows.parquet", "--json"))
        see_done(seen, run("data", "twin", "lab/canaries", node.parent / "twin.csv", "--node", node))
        seen.see((node.parent / "twin.csv").read_text("utf-8"))
    assert hits(seen) == []
    assert files_with_canaries(node) == []


def see_done(seen: Seen, done: Done) -> None:
    seen.see(done.out)
    seen.see(done.err)


def test_what_the_reviewer_sees_is_sealed_and_its_notice_is_not_evidence(node: Path) -> None:
    """The control of the search in the database: opened, the evidence holds what nothing else may."""
    held = run("node", "held", "list", "--node", node, "--json").ok().json
    assert held
    opened = [run("node", "held", "show", row["output"], "--node", node).ok().out for row in held]
    assert any(str(ALONE) in text for text in opened)
    assert files_with_canaries(node) == []


@pytest.mark.parametrize("fault", ["limits", "cancelled", "engine"])
def test_runs_that_fail_tell_nothing(node: Path, caplog: pytest.LogCaptureFixture, fault: str) -> None:
    limits = Limits(wall_s=0.001) if fault == "limits" else Limits()
    cancel = threading.Event()
    if fault == "cancelled":
        cancel.set()
    with watched(caplog) as seen:
        home = NodeHome.open(node, clock=FixedClock(NOW))
        home = replace(home, config=replace(home.config, limits=limits))
        with open_gate(home, [broad_agreement([dataset()])]) as gate, pytest.MonkeyPatch.context() as patch:
            if fault == "engine":
                # A job whose sums are of a column that has none: DuckDB fails, inside the cage.
                patch.setattr("sandbox.engine_duckdb.engine.pack_job", _broken)
            for asking in askings()[:4]:
                answer = gate.answer(asking, cancel=cancel)
                assert isinstance(answer, Failed), answer
                see_answer(seen, answer)
        home.close()
    assert hits(seen) == []
    assert files_with_canaries(node) == []


def _broken(job: Job, settings: Settings) -> JsonValue:
    text = json.dumps(pack_job(job, settings)).replace('"tax"', '"street"').replace('"revenue"', '"street"')
    found: JsonValue = json.loads(text)
    return found


FAULTS: Final[dict[str, dict[str, dict[int, object]]]] = {
    "out of bounds": {"tax": {0: 1_913_370_421}},
    "duplicate rows": {"filing": {0: "F000001", 1: "F000001"}},
    "outside the domain": {"street": {0: REMARK}},
    "no identifier": {"uscc": {7: None}},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_data_that_cannot_be_published_are_told_as_counts(
    node: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    source = write(tmp_path / "rows.parquet", **FAULTS[fault])
    with watched(caplog) as seen:
        for flags in ([], ["--json"]):
            done = run("data", "publish", "lab/canaries", source, "--node", node, *flags)
            assert done.code == 65, done.err
            see_done(seen, done)
    assert "1913370421" not in "".join(seen.texts)
    assert hits(seen) == []
    assert files_with_canaries(node) == []
    staged = node / "data" / ".staging"
    assert not staged.exists() or not [path for path in staged.rglob("*") if path.is_file()]


def test_the_folder_of_questions_that_run_holds_no_data(node: Path) -> None:
    names = {path.relative_to(node).parts[0] for path in node.rglob("*") if path.is_file()}
    assert names - {"data", "registry", "running", "scratch", "held", "node.toml", "node.sqlite"} <= {
        "node.sqlite-wal",
        "running.lock",
        "node.sqlite-shm",
    }
    assert list((node / "scratch").iterdir()) == []


def test_a_stranger_is_told_nothing_either(node: Path) -> None:
    seen = Seen()
    home = NodeHome.open(node)
    with open_gate(home, [broad_agreement([dataset()])], cage=InProcessCage()) as gate:
        for asking in askings():
            see_explanation(seen, gate.explain(replace(asking, partner="partner:nobody")))
    home.close()
    assert hits(seen) == []
