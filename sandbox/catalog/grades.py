"""Order of grades (GB/T 43697-2024) and of openness: the strictest wins, of a join and of a data set's columns.

Both orders are total, so that `strictest_grade` and `strictest_openness` are joins of a semilattice: associative,
commutative, idempotent, and never less strict than any of what is joined.
"""

from collections.abc import Iterable
from typing import Final

from sandbox.catalog.model import DataItem, Dataset, ItemRole
from yingbi.events.fields import Grade, Openness

__all__ = [
    "DRAFT_GRADE",
    "GRADE_ORDER",
    "OPENNESS_ORDER",
    "dataset_grade",
    "entering_items",
    "is_entering",
    "is_lower",
    "is_offered",
    "join_grade",
    "strictest_grade",
    "strictest_openness",
]

GRADE_ORDER: Final = (
    Grade.GENERAL_1,
    Grade.GENERAL_2,
    Grade.GENERAL_3,
    Grade.GENERAL_4,
    Grade.IMPORTANT,
    Grade.CORE,
)
OPENNESS_ORDER: Final = (Openness.OPEN, Openness.CONDITIONAL, Openness.NOT_OPEN)
# What nobody has graded yet is treated as sensitive; important and core are findings that only a person makes.
DRAFT_GRADE: Final = Grade.GENERAL_4

_GRADE_RANK: Final = {grade: rank for rank, grade in enumerate(GRADE_ORDER)}
_OPENNESS_RANK: Final = {openness: rank for rank, openness in enumerate(OPENNESS_ORDER)}


def strictest_grade(first: Grade, *others: Grade) -> Grade:
    """Return the strictest of some grades (GB/T 43697: data of several grades takes the highest)."""
    return max((first, *others), key=_GRADE_RANK.__getitem__)


def strictest_openness(first: Openness, *others: Openness) -> Openness:
    """Return the least open of some open types."""
    return max((first, *others), key=_OPENNESS_RANK.__getitem__)


def is_lower(grade: Grade, than: Grade) -> bool:
    """Return whether `grade` is less strict than `than`."""
    return _GRADE_RANK[grade] < _GRADE_RANK[than]


def dataset_grade(dataset: Dataset) -> Grade:
    """Return the strictest grade of a data set's items; without items, the strictest there is."""
    return max((item.grade for item in dataset.items), key=_GRADE_RANK.__getitem__, default=Grade.CORE)


def join_grade(datasets: Iterable[Dataset]) -> Grade:
    """Return the grade of a join of data sets; of none, the strictest there is."""
    return max(map(dataset_grade, datasets), key=_GRADE_RANK.__getitem__, default=Grade.CORE)


def is_entering(item: DataItem) -> bool:
    """Return whether an item may be computed on at all: not core, not on the negative list."""
    return item.grade is not Grade.CORE and not item.on_negative_list


def entering_items(dataset: Dataset) -> tuple[DataItem, ...]:
    """Return the items that may be computed on."""
    return tuple(item for item in dataset.items if is_entering(item))


def is_offered(dataset: Dataset) -> bool:
    """Return whether a data set may be offered to partners: what is not open never is, nor what has a core key.

    Core never enters, and without what identifies its units and rows no row of a data set can.
    """
    keys = (item for item in dataset.items if item.role is not ItemRole.ATTRIBUTE)
    return dataset.openness is not Openness.NOT_OPEN and all(item.grade is not Grade.CORE for item in keys)
