"""What was planted, as JSON beside the data: for tests to compare results with, never for a partner."""

from decimal import Decimal

from sandbox.catalog.literals import decimal_text
from sandbox.synth.firms import Firms, giant_rows
from sandbox.synth.planted import BANK_A, BANK_B, FEATURES, OVERLAP, POWER_PRICE, BankModel
from yingbi.canonical import JsonValue

__all__ = ["truth"]


def truth(firms: Firms, *, scale: Decimal, seed: int) -> dict[str, JsonValue]:
    """Return giants with their cells and shares, coefficients and probabilities; decimals are text."""
    return {
        "scale": decimal_text(scale),
        "seed": seed,
        "enterprises": firms.count,
        "giants": [_giant(firms, number) for number in range(len(giant_rows()))],
        "banks": {"banka/loans": _bank(BANK_A), "bankb/loans": _bank(BANK_B)},
        "overlap": {
            "bank_a": decimal_text(OVERLAP.bank_a),
            "bank_b_given_a": decimal_text(OVERLAP.bank_b_given_a),
            "bank_b_otherwise": decimal_text(OVERLAP.bank_b_otherwise),
        },
        "power": {"price": decimal_text(POWER_PRICE.price), "base": decimal_text(POWER_PRICE.base)},
    }


def _giant(firms: Firms, number: int) -> JsonValue:
    cell, place = giant_rows()[number]
    code = firms.uscc[firms.giant == number][0]
    return {
        "uscc": bytes(code).decode(),
        "street": cell.street,
        "industry": cell.industry,
        "kind": cell.kind.value,
        "share": decimal_text(cell.shares[place]),
    }


def _bank(model: BankModel) -> JsonValue:
    return {
        "intercept": decimal_text(model.intercept),
        **{name: decimal_text(number) for name, number in zip(FEATURES, model.coefficients, strict=True)},
        model.own_item: decimal_text(model.own_coefficient),
    }
