"""C2SP tlog-checkpoint: the three lines of a checkpoint's text. Extension lines are refused."""

import base64
import binascii
import re
from typing import Final

from ledger.tree import EMPTY_ROOT
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.receipts import MAX_TREE_SIZE, Checkpoint

__all__ = ["check_origin", "format_checkpoint", "parse_checkpoint", "parse_decimal"]

_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,15}")
_ORIGIN: Final = re.compile(r"[a-z0-9.-]+(?:/[A-Za-z0-9._-]+)*")
_MAX_ORIGIN: Final = 200


def format_checkpoint(checkpoint: Checkpoint) -> bytes:
    """Return the checkpoint's text: origin, size, base64 root, each with its newline."""
    root = base64.b64encode(checkpoint.root).decode()
    return f"{checkpoint.origin}\n{checkpoint.size}\n{root}\n".encode()


def parse_checkpoint(text: bytes) -> Checkpoint:
    """Parse a checkpoint's text; the inverse of `format_checkpoint`.

    Raises:
        InvalidRequestError: another number of lines (extension lines included), a line of another form, or an empty
            tree with the root of another.
    """
    try:
        lines = text.decode("utf-8").split("\n")
        origin, size, encoded, end = lines
        root = base64.b64decode(encoded, validate=True)
    except (UnicodeDecodeError, binascii.Error, ValueError):
        raise _malformed("expected three lines: origin, size, base64 root; extension lines are refused") from None
    if end != "" or base64.b64encode(root).decode() != encoded or not origin:
        raise _malformed("expected an origin and a root in canonical base64")
    checkpoint = Checkpoint(origin=origin, size=parse_decimal(size), root=root)
    if checkpoint.size == 0 and root != EMPTY_ROOT:
        raise _malformed("expected the root of the empty tree at size 0")
    return checkpoint


def parse_decimal(text: str) -> int:
    """Parse an ASCII decimal without sign, space or leading zero, at most 2^53 - 1.

    Raises:
        InvalidRequestError: any other form.
    """
    if not _DECIMAL.fullmatch(text) or not text.isascii() or int(text) > MAX_TREE_SIZE:
        raise _malformed("expected a decimal from 0 to 2^53 - 1 without leading zeros")
    return int(text)


def check_origin(origin: str) -> None:
    """Check the name of a new log: a URL without its scheme, such as `log.futian.example/2026`.

    Raises:
        InvalidRequestError: another form.
    """
    if len(origin) > _MAX_ORIGIN or not _ORIGIN.fullmatch(origin):
        raise _malformed("expected an origin such as `log.futian.example/2026`, at most 200 characters")


def _malformed(message: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.CHECKPOINT_MALFORMED, message)
