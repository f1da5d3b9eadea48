"""The digest of disclosure rules, as log entries and released tables name them."""

from policies.disclosure import DisclosureRules
from yingbi.canonical import JsonValue, digest_json

__all__ = ["rules_digest", "rules_json"]


def rules_json(rules: DisclosureRules) -> dict[str, JsonValue]:
    """Return the rules as JSON: the share as a decimal text without trailing zeros, all else as it is."""
    return {
        "min_units": rules.min_units,
        "dominance_top": rules.dominance_top,
        "dominance_share": f"{rules.dominance_share.normalize():f}",
        "p_percent": rules.p_percent,
        "zeros": rules.zeros.value,
        "rounding": rules.rounding,
        "min_degrees_of_freedom": rules.min_degrees_of_freedom,
        "min_contributors": rules.min_contributors,
        "mode": rules.mode.value,
    }


def rules_digest(rules: DisclosureRules) -> str:
    """Return the digest of `rules_json`."""
    return digest_json(rules_json(rules))
