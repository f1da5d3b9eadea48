"""`yingbi demo`: the main job on one machine: real processes, TLS, data, signatures, an offline audit."""

from yingbi.cli.demo.command import demo

__all__ = ["demo"]
