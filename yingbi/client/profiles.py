"""Profiles: what a person always connects with, in a file, so that commands stay short (docs/sdk.md, "Profiles").

A profile names files of keys and never holds one. Relative paths are those beside it.
"""

import os
import tomllib
from pathlib import Path
from typing import Any, Final

from yingbi.client.settings import Settings
from yingbi.errors import ErrorCode, InvalidRequestError

__all__ = ["find_profile", "read_profile"]

_REQUIRED: Final = frozenset({"url", "party", "key"})
_TEXTS: Final = frozenset({"url", "party", "on_behalf_of", "proxy", "agreement", "purpose"})
_FILES: Final = frozenset({"key", "result_key", "trust", "ca"})
_PASSPHRASE: Final = "passphrase_file"  # noqa: S105 the name of a member
_MAX_BYTES: Final = 65_536


def find_profile(name: str | None) -> Path:
    """Return the file of a profile: a path as it is, a plain name in the user's folder of configurations."""
    if name is not None and (os.sep in name or name.endswith(".toml")):
        return Path(name)
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "yingbi" / f"{name or 'default'}.toml"


def read_profile(path: Path, **changes: Any) -> Settings:
    """Read a profile; `changes` that are given take the place of its members.

    Raises:
        InvalidRequestError: it cannot be read, or has unknown or missing members.
    """
    members = _load(path)
    unknown = set(members) - _TEXTS - _FILES - {_PASSPHRASE}
    if unknown or not set(members) >= _REQUIRED or not all(isinstance(value, str) for value in members.values()):
        wanted = ", ".join(sorted(_TEXTS | _FILES | {_PASSPHRASE}))
        raise InvalidRequestError(
            ErrorCode.CONFIG_INVALID,
            f"profile `{path.name}`: expected texts for `url`, `party` and `key`, and no unknown members",
            hint=f"members: {wanted}",
        )
    settings: dict[str, Any] = {name: value for name, value in members.items() if name in _TEXTS}
    settings |= {name: path.parent / members[name] for name in _FILES & set(members)}
    if _PASSPHRASE in members:
        settings["passphrase"] = _read(path.parent / members[_PASSPHRASE]).rstrip(b"\r\n")
    return Settings(**{**settings, **{name: value for name, value in changes.items() if value is not None}})


def _load(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_read(path).decode("utf-8"))
    except ValueError:
        raise InvalidRequestError(ErrorCode.CONFIG_INVALID, f"profile `{path.name}`: expected TOML in UTF-8") from None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_BYTES)
    except OSError as error:
        raise InvalidRequestError(
            ErrorCode.CONFIG_INVALID,
            f"file `{path.name}` cannot be read: {error.strerror}",
            hint="docs/sdk.md says what a profile is",
        ) from error
