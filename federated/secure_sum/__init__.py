"""Sums of several parties' vectors of which nobody sees one: fixed point, pairwise masks, digests."""

from federated.secure_sum.fixed_point import FixedPoint, decode, encode, fixed_point
from federated.secure_sum.layout import Layout, Part
from federated.secure_sum.masks import MIN_PARTIES, check_public_key, mask
from federated.secure_sum.vectors import Vector, add, vector_digest

__all__ = [
    "MIN_PARTIES",
    "FixedPoint",
    "Layout",
    "Part",
    "Vector",
    "add",
    "check_public_key",
    "decode",
    "encode",
    "fixed_point",
    "mask",
    "vector_digest",
]
