"""Flower as the carrier of federated runs: messages, launchers of its server and nodes, executors, and a local grid.

The only package that imports `flwr`, and in it the one module `federated.flower.compat`.
"""

import os
from typing import Final

__all__ = ["QUIET"]

QUIET: Final = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
"""Environment of every process in which Flower runs: nothing is told to anybody outside."""

# SECURITY: Flower reads these when it is imported, so they are set before any module here can import it.
os.environ.update(QUIET)
