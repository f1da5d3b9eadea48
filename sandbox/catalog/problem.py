"""What is wrong with a catalogue entry: every problem with its place, all at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from yingbi.errors import ErrorCode, InvalidRequestError

__all__ = ["MAX_PROBLEMS", "CatalogueInvalidError", "Problem"]

MAX_PROBLEMS: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem: `path` is the member (`items[3].bounds`), or in a table its row (1 is the header) and column."""

    message: str
    path: str = ""
    row: int | None = None
    column: str | None = None

    @property
    def place(self) -> str:
        """Return the place in words."""
        if self.row is None:
            return self.path
        return f"row {self.row}" if self.column is None else f"row {self.row}, column {self.column}"

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


class CatalogueInvalidError(InvalidRequestError):
    """A catalogue entry is wrong; `problems` lists everything that is (422)."""

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        hint: str | None = None,
        detail: str | None = None,
        problems: Sequence[Problem] = (),
    ) -> None:
        super().__init__(code, message, hint=hint, detail=detail)
        self.problems = tuple(problems)

    @classmethod
    def of(cls, problems: Sequence[Problem]) -> "CatalogueInvalidError":
        """Return the error that reports `problems`, of which there is at least one."""
        others = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        return cls(ErrorCode.CATALOGUE_INVALID, f"{problems[0]}{others}", problems=problems)

    def __reduce__(self) -> tuple[object, ...]:
        state = {"hint": self.hint, "detail": self.detail, "problems": self.problems}
        return type(self), (self.code, self.message), state
