"""The Chinese CSV form: round trips, every problem with row and column, and hostile files."""

import csv
import io
from dataclasses import replace
from time import process_time

import pytest
from hypothesis import given, settings

from sandbox.catalog.core_metadata import MAX_CELL, format_core_metadata, parse_core_metadata
from sandbox.catalog.model import Dataset, ItemType, UpdateCycle, Visibility
from sandbox.catalog.problem import CatalogueInvalidError
from sandbox.synth.catalogue import catalogue
from tests.unit.sandbox.catalog.declarations import FILINGS, datasets, item, with_item
from yingbi.errors import InvalidRequestError
from yingbi.events.fields import Grade, Openness

HEAD = ["资源名称", "资源代码", "数源单位", "隐私单元", "信息项名称", "字段名", "数据类型", "信息项角色", "是否可空"]
UNIT_ROW = ["纳税", "tax/filings", "福田税务", "企业", "统一社会信用代码", "uscc", "字符型C", "主体标识", "否"]
DATE_ROW = ["", "", "", "", "申报日期", "filed_on", "日期型 D", "", ""]
OWNERS = {"福田税务": "unit:futian-tax"}


def table(*rows: list[str]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out).writerows(rows)
    return out.getvalue().encode("utf-8")


def problems_of(data: bytes, owners: dict[str, str] | None = None) -> list[tuple[int | None, str | None]]:
    with pytest.raises(CatalogueInvalidError) as caught:
        parse_core_metadata(data, owners=OWNERS if owners is None else owners)
    return [(problem.row, problem.column) for problem in caught.value.problems]


@settings(deadline=None)
@given(datasets())
def test_reading_gives_what_was_written(dataset: Dataset) -> None:
    assert parse_core_metadata(format_core_metadata([dataset])) == (dataset,)


def test_several_data_sets_with_keys_and_hierarchies_come_back() -> None:
    written = format_core_metadata(catalogue())
    assert written.startswith(b"\xef\xbb\xbf")
    assert parse_core_metadata(written) == catalogue()


def test_gb18030_and_utf8_without_mark_are_read() -> None:
    text = format_core_metadata(catalogue()).decode("utf-8-sig")
    assert parse_core_metadata(text.encode("utf-8")) == parse_core_metadata(text.encode("gb18030")) == catalogue()


def test_the_plain_form_is_read_with_the_strictest_defaults() -> None:
    (dataset,) = parse_core_metadata(table(HEAD, UNIT_ROW, DATE_ROW), owners=OWNERS)
    filed = item(dataset, "filed_on")
    assert (dataset.owner, dataset.membership, dataset.openness) == (
        "unit:futian-tax",
        Visibility.CONFIDENTIAL,
        Openness.CONDITIONAL,
    )
    assert (filed.type, filed.grade, filed.visibility) == (ItemType.DATE, Grade.GENERAL_4, Visibility.CONFIDENTIAL)
    assert dataset.update_cycle is UpdateCycle.IRREGULAR


def test_headers_of_the_guideline_are_understood_and_others_of_it_left_out() -> None:
    head = ["信息资源名称", "信息资源代码", "信息资源提供方", *HEAD[3:], "信息资源分类", "发布日期"]
    (dataset,) = parse_core_metadata(table(head, [*UNIT_ROW, "x", "2024"]), owners=OWNERS)
    assert dataset.name == "tax/filings"


@pytest.mark.parametrize(
    ("kind", "length", "bounds", "expected"),
    [
        ("数值型", "18,2", ("0", "1.25"), (ItemType.DECIMAL, 2)),
        ("数值型N", "10", ("0", "1"), (ItemType.INTEGER, 0)),
        ("货币型", "", ("0", "1.25"), (ItemType.DECIMAL, 2)),
        ("F", "", ("0", "1.25"), (ItemType.DECIMAL, 6)),
        ("整型", "10", ("0", "1"), (ItemType.INTEGER, 0)),
        ("逻辑型（L）", "1", ("", ""), (ItemType.BOOLEAN, 0)),
    ],
)
def test_types_of_the_guideline(
    kind: str, length: str, bounds: tuple[str, str], expected: tuple[ItemType, int]
) -> None:
    head = [*HEAD, "数据长度", "最小值", "最大值"]
    row = ["", "", "", "", "税额", "tax", kind, "", "", length, *bounds]
    (dataset,) = parse_core_metadata(table(head, [*UNIT_ROW, "", "", ""], row), owners=OWNERS)
    assert (item(dataset, "tax").type, item(dataset, "tax").decimals) == expected


def test_what_may_not_be_shared_is_not_open() -> None:
    head = [*HEAD, "共享类型", "开放类型"]
    (dataset,) = parse_core_metadata(table(head, [*UNIT_ROW, "不予共享", "无条件开放"]), owners=OWNERS)
    assert dataset.openness is Openness.NOT_OPEN


def test_every_problem_is_reported_with_its_row_and_column() -> None:
    head = [*HEAD, "分级", "更新周期", "最小值", "最大值", "每单元最多行数"]
    data = table(
        head,
        [*UNIT_ROW, "很高", "有时", "", "", "many"],
        ["", "", "", "", "日期", "filed_on", "日期时间型", "", "也许", "", "", "", "", ""],
        ["别名", "", "", "", "税额", "tax", "整型", "", "", "", "", "1e5", "", ""],
        ["", "", "", "", "税额", "tax", "整型"],
    )
    assert sorted(problems_of(data), key=str) == sorted(
        [
            (2, "分级"),
            (2, "更新周期"),
            (2, "每单元最多行数"),
            (3, "数据类型"),
            (3, "是否可空"),
            (4, "资源名称"),
            (4, "最小值"),
            (5, None),
        ],
        key=str,
    )


def test_what_is_wrong_with_the_meaning_stands_at_its_cell() -> None:
    rows = [["", "", "", "", "税额", "tax", "整型", "", ""], ["", "", "", "", "地址", "Address", "字符型", "", ""]]
    assert problems_of(table(HEAD, UNIT_ROW, *rows)) == [(3, "最小值"), (4, "字段名")]
    assert problems_of(table(HEAD, UNIT_ROW), owners={}) == [(2, "数源单位")]
    no_unit = [*UNIT_ROW[:7], "属性", "否"]
    assert problems_of(table(HEAD, no_unit)) == [(2, "信息项角色")]


def test_whose_contribution_is_protected_must_be_said() -> None:
    assert problems_of(table(HEAD, [*UNIT_ROW[:3], "", *UNIT_ROW[4:]])) == [(2, "隐私单元")]


@pytest.mark.parametrize("formula", ["=1+1", "=cmd|' /C calc'!A0", "@SUM(A1)", "+A1", "-A1", "＝1+1", "＠x"])
def test_formulas_are_refused_and_never_written(formula: str) -> None:
    row = ["", "", "", "", formula, "x", "日期型", "", ""]
    assert problems_of(table(HEAD, UNIT_ROW, row)) == [(3, "信息项名称")]
    dataset = with_item(FILINGS, "street", title=formula, description=f"'{formula}")
    written = format_core_metadata([dataset])
    cells = [cell for line in csv.reader(io.StringIO(written.decode("utf-8-sig"))) for cell in line]
    assert f"'{formula}" in cells
    assert formula not in cells
    assert parse_core_metadata(written) == (dataset,)


@pytest.mark.parametrize(
    "cell",
    ["a\0b", "a\x1b[31m", "a\u202eb", "a\u200bb", "\ufeff\ufeffx"],
    ids=["nul", "escape", "override", "zwsp", "bom"],
)
def test_what_cannot_be_shown_is_refused(cell: str) -> None:
    assert (3, "信息项名称") in problems_of(table(HEAD, UNIT_ROW, ["", "", "", "", cell, "x", "日期型", "", ""]))


def test_a_huge_cell_is_refused() -> None:
    row = ["", "", "", "", "x" * (MAX_CELL + 1), "x", "日期型", "", ""]
    assert problems_of(table(HEAD, UNIT_ROW, row)) == [(3, None)]


def test_a_domain_too_long_for_a_cell_is_not_written() -> None:
    dataset = with_item(FILINGS, "street", domain=tuple(f"{n:0100}" for n in range(2000)))
    with pytest.raises(InvalidRequestError) as caught:
        format_core_metadata([dataset])
    assert caught.value.hint == "export JSON"


def test_two_headers_of_one_meaning_and_unknown_and_missing_ones_are_named() -> None:
    assert problems_of(table([*HEAD, "资源名称"], [*UNIT_ROW, "other"])) == [(1, "资源名称")]
    assert problems_of(table([*HEAD, "信息资源名称"], [*UNIT_ROW, "other"])) == [(1, "资源名称")]
    assert problems_of(table([*HEAD, "級別"], [*UNIT_ROW, "x"])) == [(1, "#10")]
    assert (1, "字段名") in problems_of(table(["资源名称", "资源代码"], ["a", "b"]))


@pytest.mark.parametrize(
    "data", [b"", b"\xef\xbb\xbf", b"\n\n", b"\x00", b'"', b"PK\x03\x04", b"\xff\xfe\x00\x00", b"a,b\n"]
)
def test_what_is_no_table_is_refused(data: bytes) -> None:
    assert problems_of(data)


def test_a_flood_of_columns_is_refused_quickly() -> None:
    started = process_time()
    assert problems_of(b"," * 1_000_000 + "分级,".encode() * 1_000_000) == [(1, None)]
    assert problems_of(table(HEAD, UNIT_ROW, ["x"] * 300)) == [(3, None)]
    assert process_time() - started < 10


def test_mixed_encodings_are_refused() -> None:
    rows = [row.encode("utf-8") for row in table(HEAD, UNIT_ROW).decode("utf-8").splitlines()]
    chinese = ",".join(["", "", "", "", "申报日期", "filed_on", "日期型", "", ""])
    assert problems_of(b"\r\n".join([*rows, chinese.encode("gb18030")])) == [(1, None), (2, None)]
    other = [row.decode("utf-8").encode("gb18030") for row in rows]
    assert problems_of(b"\r\n".join([*other, chinese.encode("utf-8"), "福".encode("gb18030")])) == [(3, None)]
    assert problems_of(b"\xef\xbb\xbf" + b"\r\n".join(other)) == [(None, None)]


def test_an_unclosed_quote_is_a_problem_and_not_a_data_set() -> None:
    assert problems_of(table(HEAD, UNIT_ROW) + b'"open') == [(3, None)]


def test_messages_quote_no_cell() -> None:
    row = ["", "", "", "", "=CANARY", "CANARY", "CANARY", "CANARY", "CANARY"]
    with pytest.raises(CatalogueInvalidError) as caught:
        parse_core_metadata(table([*HEAD, "CANARY"], [*UNIT_ROW, ""], [*row, "CANARY"]), owners=OWNERS)
    assert "CANARY" not in " ".join(map(str, caught.value.problems))


def test_a_hundred_thousand_rows_are_read_in_seconds_good_or_bad() -> None:
    started = process_time()
    assert len(problems_of(table(HEAD, UNIT_ROW, *[DATE_ROW] * 100_000))) == 1
    many = [
        replace(
            FILINGS,
            name=f"tax/filings{number}",
            items=(FILINGS.items[0], *(replace(FILINGS.items[2], name=f"c{at}") for at in range(499))),
        )
        for number in range(20)
    ]
    data = format_core_metadata(many)
    assert parse_core_metadata(data) == tuple(many)
    broken = table(HEAD, *[["", "x/y", "", "", "", "", "", "", ""]] * 20_000)
    assert len(problems_of(broken)) == 10_000
    assert process_time() - started < 30
