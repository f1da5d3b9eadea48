"""Yingbi (影壁): compute on government data without seeing it, and prove offline what happened.

This package is the contract every party shares and what a partner or an auditor installs: canonical bytes, keys,
statements, entry types, receipts, the error catalogue, the command line and the offline verifier.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
