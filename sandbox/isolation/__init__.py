"""The cage: where computations run, without network, other files or a way out."""

from sandbox.isolation.bubblewrap import BubblewrapCage
from sandbox.isolation.cage import Cage, CagedWorker, CageSpec, Cancel, Worker
from sandbox.isolation.check import CageReport, check_cage, require_cage
from sandbox.isolation.limits import Limits
from sandbox.isolation.pool import CagePool
from sandbox.isolation.uncaged import UncagedForDevelopment

__all__ = [
    "BubblewrapCage",
    "Cage",
    "CagePool",
    "CageReport",
    "CageSpec",
    "CagedWorker",
    "Cancel",
    "Limits",
    "UncagedForDevelopment",
    "Worker",
    "check_cage",
    "require_cage",
]
