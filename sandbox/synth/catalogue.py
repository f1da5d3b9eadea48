"""What the generated data sets declare: items, bounds, domains, edges, visibility, grades.

These are declarations in the sense of `sandbox.catalog.model`: they depend on neither seed nor scale, and the generated
data keeps to them.
"""

from decimal import Decimal
from typing import Final

from sandbox.catalog.model import DataItem, Dataset, ItemRole, ItemType, UpdateCycle, Visibility
from sandbox.synth.geography import STREETS, Hierarchy, communities, grids
from yingbi.events.fields import Grade, Openness, PrivacyUnit

__all__ = [
    "AGE_BANDS",
    "COLLATERALS",
    "EMPLOYMENTS",
    "INDUSTRIES",
    "LAST_YEAR",
    "PENALTY_KINDS",
    "QUARTERS",
    "SIZES",
    "YEARS",
    "catalogue",
]

INDUSTRIES: Final = tuple("ABCDEFGHIJKLMNOPQR")
"""Sections of GB/T 4754-2017, without S (public administration) and T (international organisations)."""

SIZES: Final = ("micro", "small", "medium", "large")
YEARS: Final = ("2023", "2024", "2025")
LAST_YEAR: Final = 2025
QUARTERS: Final = tuple(f"{year}Q{quarter}" for year in (2024, 2025) for quarter in (1, 2, 3, 4))
PENALTY_KINDS: Final = ("warning", "fine", "confiscation", "suspension")
COLLATERALS: Final = ("none", "guarantee", "property")
AGE_BANDS: Final = ("00-17", "18-24", "25-34", "35-44", "45-54", "55-64", "65+")
EMPLOYMENTS: Final = ("employed", "self-employed", "unemployed", "student", "retired", "other")

_STREET_NAMES: Final = tuple(street.name for street in STREETS)
_MONEY_EDGES: Final = ("0", "1000", "10000", "100000", "1000000", "10000000", "100000000")
_DATE_EDGES: Final = ("2023-01-01", "2024-01-01", "2025-01-01", "2026-01-01")


def catalogue() -> tuple[Dataset, ...]:
    """Return the declarations of all generated data sets."""
    return (
        _enterprises(),
        _premises(),
        _filings(),
        _insurance(),
        _penalties(),
        _electricity(),
        _credit_features(),
        _loans_a(),
        _loans_b(),
        _residents(),
    )


def _enterprises() -> Dataset:
    return Dataset(
        name="market/enterprises",
        title="企业登记信息",
        owner="unit:futian-market",
        privacy_unit=PrivacyUnit.ENTERPRISE,
        openness=Openness.OPEN,
        membership=Visibility.PUBLIC,
        update_cycle=UpdateCycle.DAILY,
        description="registered enterprises: one row each",
        items=(
            _uscc(),
            _text("name", "企业名称", visibility=Visibility.PUBLIC, grade=Grade.GENERAL_1),
            _text("contact_phone", "联系电话", grade=Grade.GENERAL_4, on_negative_list=True),
            _address(),
            *_block_items(),
            _code("industry", "行业门类", INDUSTRIES, classification="GB/T 4754-2017"),
            _code("size", "企业规模", SIZES),
            DataItem(
                name="registration_year",
                title="成立年份",
                type=ItemType.INTEGER,
                visibility=Visibility.PUBLIC,
                grade=Grade.GENERAL_1,
                unit_of_measure="year",
                nullable=False,
                bounds=(Decimal(1980), Decimal(LAST_YEAR)),
                edges=("1990", "2000", "2005", "2010", "2015", "2020"),
            ),
            _money("registered_capital", "注册资本", 10_000_000_000, grade=Grade.GENERAL_2),
        ),
    )


def _premises() -> Dataset:
    return Dataset(
        name="block/premises",
        title="企业经营场所",
        owner="unit:futian-block-data",
        privacy_unit=PrivacyUnit.ENTERPRISE,
        membership=Visibility.PUBLIC,
        max_rows_per_unit=3,
        update_cycle=UpdateCycle.MONTHLY,
        description="where enterprises work, by standard address: one to three places each",
        items=(
            _uscc(),
            DataItem(
                name="premise_no",
                title="场所序号",
                type=ItemType.INTEGER,
                role=ItemRole.ROW_KEY,
                visibility=Visibility.PUBLIC,
                grade=Grade.GENERAL_1,
                nullable=False,
                bounds=(Decimal(1), Decimal(3)),
            ),
            _address(),
            *_block_items(),
            DataItem(
                name="floor_area",
                title="建筑面积",
                type=ItemType.DECIMAL,
                grade=Grade.GENERAL_2,
                unit_of_measure="m2",
                decimals=1,
                bounds=(Decimal(0), Decimal(200_000)),
                edges=("0", "50", "100", "200", "500", "1000", "5000", "20000"),
            ),
        ),
    )


def _filings() -> Dataset:
    return Dataset(
        name="tax/annual_filings",
        title="企业年度纳税申报",
        owner="unit:futian-tax",
        privacy_unit=PrivacyUnit.ENTERPRISE,
        membership=Visibility.PUBLIC,
        max_rows_per_unit=3,
        update_cycle=UpdateCycle.YEARLY,
        description="annual filings; a firm that does not file is published as abnormal, so that membership is public",
        items=(
            _uscc(),
            _code("year", "申报年度", YEARS, role=ItemRole.ROW_KEY),
            _code("street", "街道", _STREET_NAMES),
            _code("industry", "行业门类", INDUSTRIES, classification="GB/T 4754-2017"),
            _code("size", "企业规模", SIZES),
            _money("revenue", "营业收入", 200_000_000_000),
            _money("tax_paid", "实缴税额", 50_000_000_000, nullable=False),
            DataItem(
                name="adjustment",
                title="查补退税调整额",
                type=ItemType.DECIMAL,
                grade=Grade.GENERAL_3,
                unit_of_measure="CNY",
                decimals=2,
                bounds=(Decimal(-100_000_000), Decimal(100_000_000)),
                edges=("-1000000", "-10000", "0", "10000", "1000000"),
                description="later correction, often negative; null where there was none",
            ),
            _flag("adjusted", "是否调整"),
            DataItem(
                name="filed_on",
                title="申报日期",
                type=ItemType.DATE,
                grade=Grade.GENERAL_2,
                nullable=False,
                edges=("2024-01-01", "2024-04-01", "2025-01-01", "2025-04-01", "2026-01-01", "2026-04-01"),
            ),
        ),
    )


def _insurance() -> Dataset:
    return Dataset(
        name="social/insurance",
        title="企业社保缴纳信息",
        owner="unit:futian-social-security",
        privacy_unit=PrivacyUnit.ENTERPRISE,
        membership=Visibility.CONFIDENTIAL,
        max_rows_per_unit=len(QUARTERS),
        update_cycle=UpdateCycle.QUARTERLY,
        description="insured staff and arrears by quarter; firms without staff are not in it",
        items=(
            _uscc(),
            _code("quarter", "季度", QUARTERS, role=ItemRole.ROW_KEY),
            DataItem(
                name="headcount",
                title="参保人数",
                type=ItemType.INTEGER,
                grade=Grade.GENERAL_3,
                unit_of_measure="persons",
                nullable=False,
                bounds=(Decimal(0), Decimal(50_000)),
                edges=("1", "5", "10", "20", "50", "100", "300", "1000"),
            ),
            _money("contribution", "缴费金额", 1_000_000_000),
            _flag("arrears", "是否欠缴"),
            _money("arrears_amount", "欠缴金额", 1_000_000_000, nullable=False),
        ),
    )


def _penalties() -> Dataset:
    return Dataset(
        name="justice/penalties",
        title="行政处罚信息",
        owner="unit:futian-justice",
        privacy_unit=PrivacyUnit.ENTERPRISE,
        membership=Visibility.CONFIDENTIAL,
        max_rows_per_unit=16,
        update_cycle=UpdateCycle.WEEKLY,
        description="penalties as reported; some were reported twice, under two case numbers",
        items=(
            _uscc(),
            _text("case_no", "案号", role=ItemRole.ROW_KEY, nullable=False),
            _code("kind", "处罚种类", PENALTY_KINDS, visibility=Visibility.CONFIDENTIAL, grade=Grade.GENERAL_3),
            DataItem(
                name="decided_on",
                title="决定日期",
                type=ItemType.DATE,
                grade=Grade.GENERAL_3,
                nullable=False,
                edges=_DATE_EDGES,
            ),
            _money("amount", "处罚金额", 10_000_000),
            _flag("reported_twice", "是否重复报送"),
        ),
    )


def _electricity() -> Dataset:
    return Dataset(
        name="power/electricity",
        title="企业用电信息",
        owner="unit:futian-power",
        privacy_unit=PrivacyUnit.ENTERPRISE,
        membership=Visibility.CONFIDENTIAL,
        max_rows_per_unit=len(QUARTERS),
        update_cycle=UpdateCycle.QUARTERLY,
        description="electricity by quarter; readings are missing now and then",
        items=(
            _uscc(),
            _code("quarter", "季度", QUARTERS, role=ItemRole.ROW_KEY),
            DataItem(
                name="kwh",
                title="用电量",
                type=ItemType.INTEGER,
                grade=Grade.GENERAL_3,
                unit_of_measure="kWh",
                bounds=(Decimal(0), Decimal(100_000_000)),
                edges=("0", "500", "1000", "5000", "10000", "50000", "100000", "1000000"),
            ),
            _money("charge", "电费", 100_000_000),
        ),
    )


def _credit_features() -> Dataset:
    return Dataset(
        name="bureau/credit_features",
        title="企业信用特征",
        owner="unit:futian-bureau",
        privacy_unit=PrivacyUnit.ENTERPRISE,
        membership=Visibility.PUBLIC,
        update_cycle=UpdateCycle.YEARLY,
        description="derived from tax, social insurance, penalties and electricity: one row a firm, nothing missing",
        items=(
            _uscc(),
            _number("tax_level", "纳税水平", 4, (0, 11), ("1", "2", "3", "4", "5", "6", "7"), "log10 CNY"),
            _number("arrears_quarters", "欠缴季度数", 0, (0, 8), ("1", "2", "4"), "quarters"),
            _number("penalty_count", "处罚次数", 0, (0, 16), ("1", "2", "3"), "cases"),
            _number("power_drop", "用电降幅", 4, (-1, 1), ("-0.5", "-0.25", "0", "0.25", "0.5"), "share"),
            _flag("power_known", "有无用电记录"),
        ),
    )


def _loans_a() -> Dataset:
    return Dataset(
        name="banka/loans",
        title="甲银行企业贷款",
        owner="partner:bank-a",
        privacy_unit=PrivacyUnit.ENTERPRISE,
        membership=Visibility.CONFIDENTIAL,
        update_cycle=UpdateCycle.MONTHLY,
        description="loans of bank A: one a firm",
        items=(
            _uscc(),
            _money("loan_amount", "贷款金额", 100_000_000, nullable=False),
            _number("term_months", "期限", 0, (6, 60), ("12", "24", "36"), "months"),
            _number("rate", "年利率", 4, (0, 1), ("0.03", "0.04", "0.05", "0.06", "0.08"), "share"),
            _code("collateral", "担保方式", COLLATERALS, visibility=Visibility.CONFIDENTIAL, grade=Grade.GENERAL_3),
            _flag("defaulted", "是否违约"),
        ),
    )


def _loans_b() -> Dataset:
    return Dataset(
        name="bankb/loans",
        title="乙银行授信",
        owner="partner:bank-b",
        privacy_unit=PrivacyUnit.ENTERPRISE,
        membership=Visibility.CONFIDENTIAL,
        update_cycle=UpdateCycle.MONTHLY,
        description="credit lines of bank B: one a firm",
        items=(
            _uscc(),
            _money("credit_line", "授信额度", 100_000_000, nullable=False),
            _number("utilisation", "额度使用率", 4, (0, 1), ("0.25", "0.5", "0.75", "0.9"), "share"),
            _number("opened_year", "开户年份", 0, (2010, LAST_YEAR), ("2015", "2020", "2023"), "year"),
            _flag("defaulted", "是否违约"),
        ),
    )


def _residents() -> Dataset:
    return Dataset(
        name="population/residents",
        title="人口基础信息",
        owner="unit:futian-population",
        privacy_unit=PrivacyUnit.PERSON,
        membership=Visibility.PUBLIC,
        update_cycle=UpdateCycle.MONTHLY,
        description="residents by grid; neighbours are assumed to know who lives where",
        items=(
            _text("person_id", "公民身份号码", role=ItemRole.UNIT, nullable=False),
            _address(grade=Grade.GENERAL_4),
            *_block_items(Grade.GENERAL_2),
            _code("age_band", "年龄段", AGE_BANDS, grade=Grade.GENERAL_2),
            _code("sex", "性别", ("female", "male"), grade=Grade.GENERAL_2),
            _code(
                "employment",
                "就业状态",
                EMPLOYMENTS,
                visibility=Visibility.CONFIDENTIAL,
                grade=Grade.GENERAL_3,
                nullable=True,
            ),
            _text("employer_uscc", "用人单位", grade=Grade.GENERAL_4),
            DataItem(
                name="monthly_income",
                title="月收入",
                type=ItemType.DECIMAL,
                grade=Grade.GENERAL_4,
                unit_of_measure="CNY",
                decimals=2,
                bounds=(Decimal(0), Decimal(1_000_000)),
                edges=("0", "3000", "5000", "8000", "12000", "20000", "50000"),
                description="of those who work; null for the others",
            ),
        ),
    )


def _uscc() -> DataItem:
    return DataItem(
        name="uscc",
        title="统一社会信用代码",
        type=ItemType.TEXT,
        role=ItemRole.UNIT,
        visibility=Visibility.PUBLIC,
        grade=Grade.GENERAL_2,
        classification="GB 32100-2015",
        nullable=False,
    )


def _address(grade: Grade = Grade.GENERAL_2) -> DataItem:
    return _text("address", "标准地址编码", grade=grade, visibility=Visibility.PUBLIC, nullable=False)


def _block_items(grade: Grade = Grade.GENERAL_1) -> tuple[DataItem, ...]:
    """Return the block data items, in both versions of the hierarchy."""
    new = Hierarchy.Y2025
    return (
        _code("street", "街道", _STREET_NAMES, grade=grade),
        _code("community", "社区", communities(), grade=grade, parent="street"),
        _code("grid", "网格", grids(), grade=grade, parent="community"),
        _code("community_2025", "社区（2025版）", communities(new), grade=grade, parent="street"),
        _code("grid_2025", "网格（2025版）", grids(new), grade=grade, parent="community_2025"),
    )


def _text(
    name: str,
    title: str,
    *,
    role: ItemRole = ItemRole.ATTRIBUTE,
    visibility: Visibility = Visibility.CONFIDENTIAL,
    grade: Grade = Grade.GENERAL_4,
    nullable: bool = True,
    on_negative_list: bool = False,
) -> DataItem:
    return DataItem(
        name=name,
        title=title,
        type=ItemType.TEXT,
        role=role,
        visibility=visibility,
        grade=grade,
        nullable=nullable,
        on_negative_list=on_negative_list,
    )


def _code(
    name: str,
    title: str,
    domain: tuple[str, ...],
    *,
    role: ItemRole = ItemRole.ATTRIBUTE,
    visibility: Visibility = Visibility.PUBLIC,
    grade: Grade = Grade.GENERAL_1,
    classification: str | None = None,
    nullable: bool = False,
    parent: str | None = None,
) -> DataItem:
    return DataItem(
        name=name,
        title=title,
        type=ItemType.CODE,
        role=role,
        visibility=visibility,
        grade=grade,
        classification=classification,
        nullable=nullable,
        domain=domain,
        parent=parent,
    )


def _money(name: str, title: str, most: int, *, nullable: bool = True, grade: Grade = Grade.GENERAL_3) -> DataItem:
    return DataItem(
        name=name,
        title=title,
        type=ItemType.DECIMAL,
        grade=grade,
        unit_of_measure="CNY",
        decimals=2,
        nullable=nullable,
        bounds=(Decimal(0), Decimal(most)),
        edges=tuple(edge for edge in _MONEY_EDGES if int(edge) <= most),
    )


def _number(
    name: str, title: str, decimals: int, bounds: tuple[int, int], edges: tuple[str, ...], unit_of_measure: str
) -> DataItem:
    return DataItem(
        name=name,
        title=title,
        type=ItemType.DECIMAL if decimals else ItemType.INTEGER,
        grade=Grade.GENERAL_3,
        unit_of_measure=unit_of_measure,
        decimals=decimals,
        nullable=False,
        bounds=(Decimal(bounds[0]), Decimal(bounds[1])),
        edges=edges,
    )


def _flag(name: str, title: str) -> DataItem:
    return DataItem(name=name, title=title, type=ItemType.BOOLEAN, grade=Grade.GENERAL_3, nullable=False)
