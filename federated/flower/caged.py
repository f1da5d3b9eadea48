"""Runs an app bundle's client app in the node's cage: no network, no other files, a table that it can only read.

The bundle's files are checked against its digest and laid out in a folder of this process; the table is written beside
them once. A worker that has loaded the app serves the messages about one table, which is one member job's: what it
remembers of a message is of rows that it can read anyway.
"""

import os
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

import federated
from federated.content import Content
from federated.flower.bundle import Bundle, open_bundle
from federated.flower.cage_entry import flatten, unflatten
from federated.horizontal.spec import TrainingSpec
from federated.horizontal.state import State
from federated.horizontal.table import Table
from sandbox.isolation.cage import Cage, CageSpec
from sandbox.isolation.frames import Frame, FrameKind
from sandbox.isolation.limits import Limits
from sandbox.isolation.pool import CagePool
from yingbi.canonical import canonical_bytes
from yingbi.errors import ErrorCode, InvalidRequestError, UnavailableError

__all__ = ["CagedApp"]

_ENTRY: Final = "federated.flower.cage_entry:run"
# What the inside needs of this package; the bundle brings the rest of it.
_OWN: Final = ("__init__.py", "compat.py", "messages.py", "cage_entry.py")
_TABLES: Final = 4
# A worker that has grown ends after so many, and gives its memory back.
_MESSAGES: Final = 64


class CagedApp:
    """An app that computes on tables in a cage. Thread-safe; use it as a context manager.

    Args:
        bundle: the app.
        cage: starts workers.
        limits: of one message.
        folder: where its files are laid out; the system's temporary folder when absent.

    Raises:
        InvalidRequestError: the bundle has files where this program's own have to be.
    """

    def __init__(self, bundle: Bundle, *, cage: Cage, limits: Limits | None = None, folder: Path | None = None) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="yingbi-app-", dir=folder))
        self._limits = limits or Limits()
        self._pool = CagePool(cage, size=1, shelves=_TABLES)
        self._lock = threading.Lock()
        # By identity: a table is written once however many rounds use it, and kept so that its number stays its own.
        self._views: OrderedDict[int, tuple[Table, CageSpec]] = OrderedDict()
        self._number = 0
        try:
            _lay_out(open_bundle(bundle.content, digest=bundle.digest), self._folder / "code")
        except BaseException:
            self.close()
            raise

    def contribute(self, spec: TrainingSpec, state: State, table: Table) -> Mapping[str, object]:
        """Return what the app gave for a state; nothing of it is checked but that it is arrays.

        Raises:
            SandboxError: it gave nothing, or exceeded a limit.
        """
        text = canonical_bytes(spec.to_json()).decode()
        values: dict[str, str | int | bytes] = {"phase": str(state.phase), "spec": text, "step": state.step}
        return self.call(Content(arrays=state.arrays, values=values), table).arrays

    def call(self, content: Content, table: Table) -> Content:
        """Have the app answer one message on a table.

        Raises:
            SandboxError: it gave nothing, or exceeded a limit.
        """
        worker = self._pool.start(self._view(table))
        shapes, arrays = flatten(content.arrays)
        value = {"shapes": shapes, "values": dict(content.values), "view": worker.data[0]}
        answered = worker.run(Frame(kind=FrameKind.JOB, value=_plain(value), arrays=arrays))
        match answered.value:
            case {"shapes": dict(shapes), **others} if not others:
                return Content(arrays=unflatten(answered, shapes), values={})
            case _:
                raise UnavailableError(ErrorCode.ENGINE_FAILED, "expected arrays of the app")

    def warm(self, table: Table) -> None:
        """Start a worker for a table ahead of its first message.

        Raises:
            UnavailableError: nothing can be isolated here.
        """
        self._pool.warm(self._view(table))

    def close(self) -> None:
        """End waiting workers and remove all files; may be called twice."""
        self._pool.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _view(self, table: Table) -> CageSpec:
        with self._lock:
            known = self._views.get(id(table))
            if known is None:
                self._number += 1
                place = self._folder / f"view-{self._number}"
                _write_view(table, place)
                code = (self._folder / "code",)
                spec = CageSpec(entry=_ENTRY, data=(place,), limits=self._limits, code=code, jobs=_MESSAGES)
                known = self._views[id(table)] = table, spec
            self._views.move_to_end(id(table))
            while len(self._views) > _TABLES:
                _, (_, old) = self._views.popitem(last=False)
                shutil.rmtree(old.data[0], ignore_errors=True)
            return known[1]


def _lay_out(files: Mapping[str, bytes], folder: Path) -> None:
    own = Path(federated.__file__).parent / "flower"
    taken = {f"federated/flower/{name}": (own / name).read_bytes() for name in _OWN}
    # SECURITY: a bundle that brings files of ours would decide what is checked about it.
    if any(name.startswith("federated/flower/") for name in files):
        raise InvalidRequestError(ErrorCode.CONFIG_INVALID, "expected an app bundle without `federated/flower`")
    for name, data in {**files, **taken}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _write_view(table: Table, folder: Path) -> None:
    folder.mkdir(mode=0o700)
    arrays: dict[str, Any] = {f"column:{name}": column for name, column in table.columns.items()}
    arrays |= {"target": table.target, "is_held_out": table.is_held_out}
    with open(os.open(folder / "table.npz", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def _plain(value: Any) -> Any:
    """Return what a frame can carry: texts and integers; bytes are not among what an app is asked."""
    if any(not isinstance(item, (str, int)) for item in value["values"].values()):
        raise InvalidRequestError(ErrorCode.CONFIG_INVALID, "expected texts and integers for an app")
    return value
