"""What a hub counts, in Prometheus' text format: numbers of its own doing, no data and no partner's name."""

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Final

__all__ = ["Labels", "Metrics", "Samples", "render_metrics"]

_HELP: Final = {
    "yingbi_requests_total": ("counter", "Requests by method and status."),
    "yingbi_log_entries": ("gauge", "Entries of the log."),
    "yingbi_log_published": ("gauge", "Entries under the published checkpoint."),
    "yingbi_drafts": ("gauge", "Drafts and applications that wait for signatures."),
    "yingbi_jobs": ("gauge", "Jobs by state."),
    "yingbi_participants": ("gauge", "Participants by state."),
    "yingbi_frozen": ("gauge", "Parties and things that are frozen."),
}

# Anybody may send any word as a method; only these are told apart.
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})

Labels = tuple[tuple[str, str], ...]
Samples = Mapping[tuple[str, Labels], float]


class Metrics:
    """Counts requests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()

    def count_request(self, method: str, status: int) -> None:
        """Count an answered request."""
        with self._lock:
            self._requests[method if method in _METHODS else "OTHER", status] += 1

    def samples(self) -> dict[tuple[str, Labels], float]:
        """Return what was counted."""
        with self._lock:
            counted = dict(self._requests)
        return {
            ("yingbi_requests_total", (("method", method), ("status", str(status)))): number
            for (method, status), number in counted.items()
        }


def render_metrics(samples: Samples) -> str:
    """Return samples in the text format 0.0.4, in the order of their names."""
    lines: list[str] = []
    for name, (kind, words) in _HELP.items():
        lines += [f"# HELP {name} {words}", f"# TYPE {name} {kind}"]
        own = sorted((labels, value) for (sample, labels), value in samples.items() if sample == name)
        lines += [f"{name}{_labels(labels)} {value:g}" for labels, value in own]
    return "\n".join([*lines, ""])


def _labels(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels) + "}" if labels else ""
