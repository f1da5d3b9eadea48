"""Words of the Chinese core metadata form: headers and the values of closed columns, with their usual variants.

Of several words for one thing the first is written, and all are read.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeVar

from sandbox.catalog.model import ItemRole, ItemType, UpdateCycle
from yingbi.events.fields import Grade, Openness, PrivacyUnit

__all__ = [
    "AGREED",
    "COLUMNS",
    "CYCLES",
    "GRADES",
    "IGNORED",
    "OPENNESS",
    "RESOURCE_COLUMNS",
    "ROLES",
    "SHARING",
    "TYPES",
    "UNITS",
    "Header",
    "first_word",
]

_Value = TypeVar("_Value")


class Header(StrEnum):
    """Headers of the columns that are read and written."""

    TITLE = "资源名称"
    NAME = "资源代码"
    DESCRIPTION = "资源摘要"
    OWNER = "数源单位"
    SHARING = "共享类型"
    OPENNESS = "开放类型"
    CYCLE = "更新周期"
    PRIVACY_UNIT = "隐私单元"
    MEMBERSHIP = "成员是否公开"
    MAX_ROWS = "每单元最多行数"
    ITEM_TITLE = "信息项名称"
    ITEM_NAME = "字段名"
    TYPE = "数据类型"
    LENGTH = "数据长度"
    IS_CODE = "是否字典项"
    DOMAIN = "字典值"
    CLASSIFICATION = "分类"
    GRADE = "分级"
    ROLE = "信息项角色"
    VISIBILITY = "是否公开项"
    NULLABLE = "是否可空"
    LEAST = "最小值"
    GREATEST = "最大值"
    EDGES = "分组界值"
    PARENT = "上级字段"
    UNIT_OF_MEASURE = "计量单位"
    NEGATIVE = "是否负面清单"
    ITEM_DESCRIPTION = "信息项说明"


COLUMNS: Final = tuple(Header)
RESOURCE_COLUMNS: Final = COLUMNS[: COLUMNS.index(Header.ITEM_TITLE)]

_VARIANTS: Final[Mapping[Header, tuple[str, ...]]] = {
    Header.TITLE: ("信息资源名称", "数据资源名称", "目录名称"),
    Header.NAME: ("信息资源代码", "数据资源代码", "目录代码"),
    Header.DESCRIPTION: ("信息资源摘要", "数据资源摘要", "目录摘要"),
    Header.OWNER: ("信息资源提供方", "数源部门", "提供单位"),
    Header.OPENNESS: ("开放属性", "是否向社会开放"),
    Header.ITEM_TITLE: ("信息项", "数据项名称"),
    Header.ITEM_NAME: ("信息项英文名", "信息项英文名称", "数据项英文名", "字段名称", "字段英文名"),
    Header.LENGTH: ("长度",),
    Header.CLASSIFICATION: ("数据分类", "信息项分类"),
    Header.GRADE: ("数据分级", "安全级别"),
    Header.ITEM_DESCRIPTION: ("数据项说明", "备注"),
}
AGREED: Final[Mapping[str, Header]] = {
    word: header for header in Header for word in (header.value, *_VARIANTS.get(header, ()))
}
# Columns of the guideline that say nothing that is needed here.
IGNORED: Final = frozenset(
    {
        "序号",
        "信息资源分类",
        "信息资源提供方代码",
        "信息资源格式",
        "信息资源格式分类",
        "信息资源格式类型",
        "共享条件",
        "共享方式",
        "共享方式分类",
        "共享方式类型",
        "开放条件",
        "发布日期",
        "关联资源代码",
    }
)

OPENNESS: Final[Mapping[str, Openness]] = {
    "无条件开放": Openness.OPEN,
    "有条件开放": Openness.CONDITIONAL,
    "不予开放": Openness.NOT_OPEN,
    "是": Openness.OPEN,
    "否": Openness.NOT_OPEN,
}
SHARING: Final[Mapping[str, Openness]] = {
    "无条件共享": Openness.OPEN,
    "有条件共享": Openness.CONDITIONAL,
    "不予共享": Openness.NOT_OPEN,
}
CYCLES: Final[Mapping[str, UpdateCycle]] = {
    "实时": UpdateCycle.REAL_TIME,
    "每日": UpdateCycle.DAILY,
    "每周": UpdateCycle.WEEKLY,
    "每月": UpdateCycle.MONTHLY,
    "每季度": UpdateCycle.QUARTERLY,
    "每年": UpdateCycle.YEARLY,
    "不定期": UpdateCycle.IRREGULAR,
    "其他": UpdateCycle.IRREGULAR,
}
UNITS: Final[Mapping[str, PrivacyUnit]] = {"企业": PrivacyUnit.ENTERPRISE, "个人": PrivacyUnit.PERSON}
ROLES: Final[Mapping[str, ItemRole]] = {
    "主体标识": ItemRole.UNIT,
    "行标识": ItemRole.ROW_KEY,
    "属性": ItemRole.ATTRIBUTE,
}
GRADES: Final[Mapping[str, Grade]] = {
    word: grade
    for number, grade in enumerate((Grade.GENERAL_1, Grade.GENERAL_2, Grade.GENERAL_3, Grade.GENERAL_4), 1)
    for word in (f"一般{number}级", f"一般数据{number}级", f"{number}级", f"{number}")
} | {
    "重要数据": Grade.IMPORTANT,
    "重要": Grade.IMPORTANT,
    "核心数据": Grade.CORE,
    "核心": Grade.CORE,
}
# Types of the guideline with their letters. Date with time (T) and general (G) have no counterpart and are refused.
TYPES: Final[Mapping[str, ItemType]] = {
    word: kind
    for name, letter, kind in (
        ("字符型", "C", ItemType.TEXT),
        ("备注型", "M", ItemType.TEXT),
        ("整型", "I", ItemType.INTEGER),
        ("数值型", "N", ItemType.DECIMAL),
        ("货币型", "Y", ItemType.DECIMAL),
        ("双精度型", "B", ItemType.DECIMAL),
        ("浮点型", "F", ItemType.DECIMAL),
        ("日期型", "D", ItemType.DATE),
        ("逻辑型", "L", ItemType.BOOLEAN),
    )
    for word in (name, f"{name}{letter}", f"{name} {letter}", f"{name}({letter})", f"{name}（{letter}）", letter)
}


def first_word(words: Mapping[str, _Value], value: _Value) -> str:
    """Return the word that is written for a value."""
    return next(word for word, meant in words.items() if meant == value)
