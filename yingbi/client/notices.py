"""What a notice of a held result means, in words (docs/disclosure.md)."""

from typing import Final

__all__ = ["remedy_text", "rule_text"]

_RULES: Final = {
    "values": "too little is left that is safe to show",
    "table.empty": "nearly nothing of the table may be shown",
    "threshold.outside": "the filter leaves only a few units aside",
    "negative": "a person looks at sums of what can be below zero",
    "quantile.fraction": "only the fractions 0.1, 0.25, 0.5, 0.75 and 0.9 can be asked for",
    "quantile.sides": "too few units lie below or above",
    "regression.freedom": "too few units for so many parameters",
    "regression.parameters": "too many parameters",
    "regression.levels": "a level of a category has too few units",
    "regression.events": "a class of the target has too few units",
    "regression.fit": "the fit is perfect, or has no end",
    "regression.leverage": "one unit determines its own prediction",
    "training.entities": "a bin, a leaf or a class of the model has too few entities",
    "training.contributors": "too few units gave to the model",
    "training.membership": "the model tells who it was trained on from others; a person looks at it",
    "history": "together with what was released before, too much would be known",
    "agreed-check": "the agreement has a person look at every result",
}
_REMEDIES: Final = {
    "coarser-level": "a coarser level, such as districts for streets",
    "fewer-dimensions": "fewer dimensions",
    "longer-period": "a longer period",
    "private-mode": "private mode, once it is offered",
    "suppress-cells": "the table without the cells in question, if a reviewer lets it out",
}


def rule_text(rule: str) -> str:
    """Return what a rule is about; nothing for one that is not known here."""
    return _RULES.get(rule, "")


def remedy_text(remedy: str) -> str:
    """Return what could be asked instead."""
    return _REMEDIES.get(remedy, remedy)
