"""The bureau's rules for deciding without people: at once, until papers follow, or on a signed declaration.

A rule makes an approval stricter, never wider: what the agreement leaves to people stays theirs. The first rule that
covers a job's purpose decides; the rule's name and route stand in the entry, so that an auditor can draw samples.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from yingbi.clock import format_time, parse_time
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.events.jobs import ApprovalRoute

__all__ = ["DECLARATION", "DEFAULT_RULE", "ApprovalRule", "find_rule", "parse_rules", "render_rule"]

DECLARATION: Final = "declaration"
"""The member of a statement's `refs` that names the declaration, by the digest of its document."""

_SLUG: Final = re.compile(r"[a-z][a-z0-9]*(?:[._-][a-z0-9]+)*")
_MAX_SLUG: Final = 64
_MAX_HOURS: Final = 24 * 365
_ROUTES: Final = (ApprovalRoute.AUTOMATIC, ApprovalRoute.PROVISIONAL, ApprovalRoute.DECLARED)
_MEMBERS: Final = {"name", "route", "purposes", "hours"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRule:
    """One rule: for which purposes (and all below them), by which route, and for how many hours an approval holds."""

    name: str
    route: ApprovalRoute = ApprovalRoute.AUTOMATIC
    purposes: tuple[str, ...] = ()
    hours: int | None = None

    def covers(self, purpose: str) -> bool:
        """Tell whether the rule is for a purpose; one without purposes is for all."""
        return not self.purposes or any(purpose == one or purpose.startswith(f"{one}.") for one in self.purposes)

    def until(self, at: str, expires_at: str) -> str:
        """Return when an approval given at a time ends, which is never after its job."""
        if self.hours is None:
            return expires_at
        return min(expires_at, format_time(parse_time(at) + timedelta(hours=self.hours)))


DEFAULT_RULE: Final = ApprovalRule(name="automatic.by-agreement")


def find_rule(rules: tuple[ApprovalRule, ...], purpose: str) -> ApprovalRule:
    """Return the first rule that covers a purpose, or the one for all others: at once, as the agreement says."""
    return next((rule for rule in rules if rule.covers(purpose)), DEFAULT_RULE)


def parse_rules(value: object) -> tuple[ApprovalRule, ...]:
    """Read the rules of a configuration, in their order.

    Raises:
        InvalidRequestError: a rule has another form, or two have one name.
    """
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise _invalid("expected `[[rules]]`")
    rules = tuple(_rule(item) for item in value)
    if len({rule.name for rule in rules}) != len(rules):
        raise _invalid("expected each rule under a name of its own")
    return rules


def render_rule(rule: ApprovalRule) -> list[str]:
    """Return the lines of a rule in TOML."""
    lines = [
        "",
        "[[rules]]",
        f"name = {json.dumps(rule.name)}",
        f"route = {json.dumps(rule.route.value)}",
        f"purposes = {json.dumps(list(rule.purposes))}",
    ]
    return lines if rule.hours is None else [*lines, f"hours = {rule.hours}"]


def _rule(item: Mapping[str, Any]) -> ApprovalRule:
    if unknown := set(item) - _MEMBERS:
        raise _invalid(f"unknown member `{min(unknown)}` of a rule")
    name, purposes, hours = item.get("name"), item.get("purposes", []), item.get("hours")
    if not _is_slug(name) or not isinstance(purposes, list) or not all(_is_slug(one) for one in purposes):
        raise _invalid("expected a rule with `name` and `purposes` such as `credit.sme`")
    if item.get("route") not in _ROUTES:
        raise _invalid(f"expected `route` as one of: {', '.join(_ROUTES)}")
    if hours is not None and (type(hours) is not int or not 1 <= hours <= _MAX_HOURS):
        raise _invalid(f"expected `hours` as a whole number from 1 to {_MAX_HOURS}")
    route = ApprovalRoute(str(item["route"]))
    if route is ApprovalRoute.PROVISIONAL and hours is None:
        raise _invalid("a provisional approval needs `hours`, after which it ends")
    return ApprovalRule(name=str(name), route=route, purposes=tuple(purposes), hours=hours)


def _is_slug(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _MAX_SLUG and _SLUG.fullmatch(value) is not None


def _invalid(what: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.CONFIG_INVALID, f"`hub.toml`: {what}")
