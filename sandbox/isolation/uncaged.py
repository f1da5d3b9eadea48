"""No cage: for development on machines where namespaces are forbidden, by explicit choice only."""

import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from sandbox.isolation.bubblewrap import ENVIRONMENT, setup_of, worker_command
from sandbox.isolation.cage import CagedWorker, CageSpec
from sandbox.isolation.launch import code_folders, launch, library_folders
from yingbi.errors import ErrorCode, UnavailableError

__all__ = ["UncagedForDevelopment"]

_LOG: Final = logging.getLogger(__name__)


class UncagedForDevelopment:
    """Runs workers as ordinary processes with limits but WITHOUT isolation, and says so loudly every time.

    Not protected: network, every file of the node's account, other processes. Never use it on real data.
    """

    def __init__(self, *, scratch_root: Path | None = None) -> None:
        self._scratch_root = scratch_root

    def start(self, spec: CageSpec) -> CagedWorker:
        """Start a worker that is NOT isolated (side effect: a warning in the log).

        Raises:
            UnavailableError: the process cannot be started.
        """
        _LOG.warning("UNCAGED: this computation runs without isolation; for development only, never on real data")
        scratch = Path(tempfile.mkdtemp(prefix="yingbi-uncaged-", dir=self._scratch_root))
        own = dict.fromkeys(folder.parent for folder in code_folders())
        path = [str(folder) for folder in (*spec.code, *own, *library_folders())]
        setup = setup_of(spec, path=path, scratch=str(scratch), seal=False)
        try:
            process = launch(worker_command(setup), pass_fds=(), environment=ENVIRONMENT)
        except OSError as error:
            shutil.rmtree(scratch, ignore_errors=True)
            raise UnavailableError(ErrorCode.CAGE_UNAVAILABLE, "the worker cannot be started") from error
        data = tuple(os.fspath(folder.resolve()) for folder in spec.data)
        return CagedWorker(process, spec, data=data, scratch=scratch, inner=lambda: process.pid)
