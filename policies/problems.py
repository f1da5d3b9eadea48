"""What is wrong with an agreement's text: every problem with its place, all at once."""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from yingbi.errors import ErrorCode, InvalidRequestError

__all__ = ["AgreementError", "AgreementProblem", "did_you_mean", "shown"]

_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:/-]{0,79}")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class AgreementProblem:
    """One problem: where (line and column from 1, and the path of the member), what, and what would be right."""

    line: int
    column: int
    path: str
    message: str
    hint: str | None = None


class AgreementError(InvalidRequestError):
    """An agreement that cannot be read, or that contradicts the catalogue: `problems` has every reason."""

    def __init__(self, code: ErrorCode, problems: Sequence[AgreementProblem]) -> None:
        self.problems = tuple(problems)
        first = self.problems[0]
        more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
        super().__init__(code, f"line {first.line} column {first.column}: {first.message}{more}", hint=first.hint)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.code, self.problems)


def shown(text: str) -> str:
    """Return `text` in backticks where it looks like a name, else a stand-in: hostile text is not repeated."""
    return f"`{text}`" if _PLAIN.fullmatch(text) else "something else"


def did_you_mean(text: str, known: Iterable[str]) -> str | None:
    """Return a hint that names the nearest known names, or nothing where none is near."""
    near = difflib.get_close_matches(text[:80], sorted(known), n=2, cutoff=0.6)
    return f"did you mean {' or '.join(f'`{name}`' for name in near)}" if near else None
