"""History: is there another world that gives every answer ever released?"""

from sandbox.disclosure.history.history import History
from sandbox.disclosure.history.limits import HistoryLimits
from sandbox.disclosure.history.store import HistoryStore

__all__ = ["History", "HistoryLimits", "HistoryStore"]
