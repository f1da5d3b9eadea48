"""What runs in the cage: one job on one locked connection; numbers go out, texts of errors do not."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from numpy.typing import NDArray

from sandbox.engine_duckdb.atoms import compute_atoms
from sandbox.engine_duckdb.job import AtomsJob, Job, TableJob, ViewJob, unpack_job
from sandbox.engine_duckdb.regressions import compute_regression
from sandbox.engine_duckdb.session import Session, prepare_engine
from sandbox.engine_duckdb.tables import compute_table
from sandbox.engine_duckdb.views import compute_view
from sandbox.isolation.frames import Frame, FrameKind
from sandbox.isolation.worker import Control
from yingbi.canonical import JsonValue

__all__ = ["prepare", "serve"]

_EVERY_S: Final = 0.2


def prepare() -> None:
    """Let libraries load what they load at the first use, before there is a job."""
    prepare_engine()


def serve(job: Frame, control: Control, scratch: str) -> Frame:
    """Run one job (docs/cage.md, "A job")."""
    work, settings = unpack_job(job.value)
    with Session(settings, scratch) as session:
        control.on_cancel(session.interrupt)
        with _reporting(session, control):
            value, arrays = _compute(session, work, control)
    return Frame(kind=FrameKind.RESULT, value=value, arrays=arrays)


def _compute(session: Session, job: Job, control: Control) -> tuple[JsonValue, dict[str, NDArray[Any]]]:
    if isinstance(job, TableJob):
        return compute_table(session, job, control.progress)
    if isinstance(job, AtomsJob):
        return compute_atoms(session, job)
    if isinstance(job, ViewJob):
        return compute_view(session, job)
    return compute_regression(session, job, control.progress)


@contextmanager
def _reporting(session: Session, control: Control) -> Iterator[None]:
    """Report what the engine says of its progress while a statement runs; it stays at the node."""
    done = threading.Event()

    def report() -> None:
        while not done.wait(_EVERY_S):
            percent = session.progress()
            if percent >= 0:
                control.progress(int(percent) // 2)

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
