"""The discrete Gaussian mechanism, by OpenDP's core: exact sampling, no floating point in what comes out.

*Guarantee.* One release of a vector of integers is rho-zCDP for the record: whoever sees it, whatever else he knows
(Canonne, Kamath, Steinke 2020, on the multivariate discrete Gaussian: independent N_Z(0, sigma^2) on each entry and an
L2 distance of at most D between integer vectors of neighbours cost D^2 / (2 sigma^2); sampling by their algorithm for
it, which is exact). OpenDP's own privacy map is asked before anything is drawn, and must agree with the plan.

*Assumes.* The sensitivity holds for any two data sets that differ by one record (`sandbox.privacy.noise` says what of
it is this package's part); the operating system seeds OpenSSL's generator, from which OpenDP draws; each release is
made once and debited before (`sandbox.privacy.accountant`).

*Not protected.* Time: how long drawing takes depends a little on the noise, so that a release's time must not be shown
more finely than a round is. Memory of the process. What a unit's other records say of it, where a record is not the
unit (group privacy: k records cost k^2 rho). Facts that hold without the record too.

Floating point is what naive mechanisms leak through (Mironov 2012): here it is left before noise is drawn.
"""

from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from opendp.domains import atom_domain, vector_domain
from opendp.measurements import make_gaussian
from opendp.metrics import l2_distance
from opendp.mod import OpenDPException, enable_features

from sandbox.privacy.noise import Noise
from yingbi.errors import ErrorCode, InvalidRequestError, UnavailableError

__all__ = ["add_noise"]

_TYPE: Final = "i64"

# OpenDP asks for this before it lets itself be used: parts of it are not proved yet. That of `make_gaussian` is.
enable_features("contrib")


def add_noise(vector: NDArray[np.int64], noise: Noise) -> NDArray[np.int64]:
    """Return the vector with independent discrete Gaussian noise on every entry; see the module for what that gives.

    A release beyond 64 bits is cut to them, which costs nothing: it is computed from the noised number.

    Args:
        vector: one dimension of integers, in units of the fixed point.
        noise: its plan; its sensitivity must be the vector's.

    Raises:
        InvalidRequestError: it is no vector, or the plan gives less noise than its cost asks for.
        UnavailableError: no noise could be drawn; nothing may be released (`engine-failed`).
    """
    if vector.dtype != np.int64 or vector.ndim != 1 or not vector.size:
        raise InvalidRequestError(ErrorCode.DATA_INVALID, "expected one dimension of int64 that is not empty")
    try:
        domain = vector_domain(atom_domain(T=_TYPE), size=vector.size)
        measurement: Any = make_gaussian(domain, l2_distance(T=_TYPE), scale=noise.deviation)
        cost = measurement.map(noise.sensitivity)
        # SECURITY: at a deviation of zero OpenDP adds nothing, and its map says infinity.
        if not 0 <= cost < float("inf") or Fraction(cost) > Fraction(noise.rho):
            raise InvalidRequestError(ErrorCode.DATA_INVALID, "expected a deviation that is enough for its rho")
        return np.array(measurement(vector.tolist()), dtype=np.int64)
    except OpenDPException as error:
        # SECURITY: its texts may hold values.
        raise UnavailableError(
            ErrorCode.ENGINE_FAILED, "no noise could be drawn", detail=type(error).__name__
        ) from None
