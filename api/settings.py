"""What an operator sets: members of `hub.toml`, read strictly, and the limits that follow."""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final
from urllib.parse import urlsplit

from api.rules import ApprovalRule, parse_rules, render_rule
from yingbi.errors import ErrorCode, InvalidRequestError, SandboxError
from yingbi.ids import parse_party
from yingbi.key_files import decode_base64url, encode_base64url
from yingbi.keys import VerifyKey
from yingbi.transport import is_loopback

__all__ = ["CONFIG_NAME", "Settings", "parse_settings", "render_settings"]

CONFIG_NAME: Final = "hub.toml"
_ADDRESS: Final = re.compile(r"https?://[^/?#\s@]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A hub's configuration.

    `bureau`: whose hub it is. `address`: its public address, which requests are signed for; None takes the address
    that it listens on. `roots`: the bureau's registration keys. `database`: a URL without a password. The rest are
    limits: bytes of a body and of a sealed result, seconds of a lease and of a poll that waits, drafts of one party
    and its requests at a time. `rules`: by which jobs are approved without people.
    """

    bureau: str
    address: str | None
    roots: tuple[VerifyKey, ...]
    database: str = "sqlite:///hub.sqlite"
    max_body_bytes: int = 1 << 20
    max_result_bytes: int = 64 << 20
    lease_s: int = 60
    max_wait_s: int = 25
    max_drafts: int = 100
    max_in_flight: int = 32
    rules: tuple[ApprovalRule, ...] = ()


_LIMITS: Final = tuple(item.name for item in fields(Settings) if item.type in (int, "int"))


def parse_settings(text: str) -> Settings:
    """Read `hub.toml`.

    Raises:
        InvalidRequestError: not TOML, or a member that is unknown, missing or of another kind.
    """
    try:
        members = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _invalid("not TOML") from error
    if unknown := set(members) - {item.name for item in fields(Settings)}:
        raise _invalid(f"unknown member `{min(unknown)}`")
    limits = {name: _count(members, name) for name in _LIMITS if name in members}
    return Settings(
        bureau=_bureau(members),
        address=_address(members.get("address")),
        roots=_roots(members.get("roots")),
        database=_text(members, "database", "sqlite:///hub.sqlite"),
        rules=parse_rules(members.get("rules", [])),
        **limits,
    )


def render_settings(settings: Settings) -> str:
    """Return the text of `hub.toml`: every member, so that an operator sees what there is to set."""
    roots = [encode_base64url(root.raw) for root in settings.roots]
    lines = [f"bureau = {json.dumps(settings.bureau)}"]
    lines += [] if settings.address is None else [f"address = {json.dumps(settings.address)}"]
    lines += [f"roots = {json.dumps(roots)}", f"database = {json.dumps(settings.database)}"]
    lines += [f"{name} = {getattr(settings, name)}" for name in _LIMITS]
    lines += [line for rule in settings.rules for line in render_rule(rule)]
    return "\n".join([*lines, ""])


def _bureau(members: Mapping[str, object]) -> str:
    name = _text(members, "bureau", "")
    try:
        kind = parse_party(name)[0]
    except SandboxError:
        kind = ""
    if kind != "bureau":
        raise _invalid("expected `bureau` as a party such as `bureau:futian`")
    return name


def _address(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not _ADDRESS.fullmatch(value):
        raise _invalid("expected `address` as `https://` and a name, without a path")
    try:
        parts = urlsplit(value)
    except ValueError:
        raise _invalid("expected `address` with the name of a machine") from None
    # SECURITY: what is signed for a plain address can be read, and answered, by whoever is on the way.
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise _invalid("expected `address` with `https://`")
    return value


def _roots(value: object) -> tuple[VerifyKey, ...]:
    if not isinstance(value, list) or not value:
        raise _invalid("expected `roots` as a list of public keys")
    try:
        return tuple(VerifyKey(decode_base64url(str(item))) for item in value)
    except SandboxError as error:
        raise _invalid("expected `roots` as public keys of 43 characters of base64url") from error


def _text(members: Mapping[str, object], name: str, default: str) -> str:
    value = members.get(name, default)
    if not isinstance(value, str) or not value:
        raise _invalid(f"expected `{name}` as text")
    return value


def _count(members: Mapping[str, object], name: str) -> int:
    value = members[name]
    if type(value) is not int or value < 1:
        raise _invalid(f"expected `{name}` as a whole number from 1 on")
    return value


def _invalid(what: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.CONFIG_INVALID, f"`{CONFIG_NAME}`: {what}")
