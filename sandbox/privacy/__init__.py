"""Differential privacy of a node's records: noise, what it costs, and who has spent how much.

`mechanism` is imported by itself: it alone needs OpenDP.
"""

from sandbox.privacy.accountant import Accountant, Balance, Reservation, ReservationState
from sandbox.privacy.noise import Noise, plan_noise, sensitivity_in_units
from sandbox.privacy.zcdp import RHO_STEP, epsilon_of, largest_rho

__all__ = [
    "RHO_STEP",
    "Accountant",
    "Balance",
    "Noise",
    "Reservation",
    "ReservationState",
    "epsilon_of",
    "largest_rho",
    "plan_noise",
    "sensitivity_in_units",
]
