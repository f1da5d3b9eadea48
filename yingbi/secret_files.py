"""Files of private keys: made once, durable before they are used, and readable by their owner alone."""

import os
import stat
from pathlib import Path
from typing import Final

from yingbi.errors import ConflictError, ErrorCode, InvalidRequestError, RefusedError

__all__ = ["read_secret", "write_secret"]

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_MAX_BYTES: Final = 16_384


def write_secret(path: Path, data: bytes) -> None:
    """Write a new file that only its owner can read (mode 0600), durably.

    Raises:
        ConflictError: the file exists; keys are never overwritten.
        InvalidRequestError: the folder does not take it.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ConflictError(ErrorCode.KEY_EXISTS, f"key file `{path.name}` exists", hint="choose a new name") from error
    except OSError as error:
        raise _malformed(f"key file `{path.name}` cannot be written") from error
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    _sync_folder(path.parent)


def read_secret(path: Path) -> bytes:
    """Read a file that only its owner can read.

    Raises:
        RefusedError: others can read it.
        InvalidRequestError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            # SECURITY: judged on the opened file, so that no swap between check and use is possible.
            if os.fstat(file.fileno()).st_mode & _OTHERS:
                raise RefusedError(
                    ErrorCode.KEY_EXPOSED,
                    f"key file `{path.name}` can be read by others",
                    hint=f"chmod 600 {path.name}",
                )
            return file.read(_MAX_BYTES)
    except OSError as error:
        raise _malformed(f"key file `{path.name}` cannot be read") from error


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _malformed(message: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.KEY_MALFORMED, message)
