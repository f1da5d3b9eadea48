"""Where `yingbi audit` reads a log from: a folder, an address, a log's own home, or an evidence bundle.

A bundle brings its documents, and its evidence of federations, along.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yingbi.cli.log import import_home
from yingbi.cli.sources import Read, is_address, read_address
from yingbi.errors import ErrorCode, InvalidRequestError, NotFoundError
from yingbi.verify import read_folder
from yingbi.verify.archive import Archive, open_archive
from yingbi.verify.strict import Malformed

if TYPE_CHECKING:
    from yingbi.audit.contributions import Evidence
    from yingbi.audit.federation_checks import MakeReplay

__all__ = ["AuditSource", "import_replay", "open_source"]


@dataclass(frozen=True, kw_only=True)
class AuditSource:
    """A log that can be read, with what came along."""

    read: Read
    texts: tuple[bytes, ...] = ()
    evidence: "Evidence | None" = None


@contextmanager
def open_source(log: str, ca_file: Path | None) -> Iterator[AuditSource]:
    """Open a log for reading.

    Raises:
        InvalidRequestError: it is a file, and no evidence bundle.
    """
    if is_address(log):
        with read_address(log, ca_file) as read:
            yield AuditSource(read=read)
    elif (Path(log) / "log.toml").exists():
        store = import_home(Path(log)).open_store()
        try:
            yield AuditSource(read=partial(_read_own, store))
        finally:
            store.close()
    elif Path(log).is_file():
        with _open_bundle(Path(log)) as archive:
            yield _bundle_source(archive)
    else:
        yield AuditSource(read=read_folder(Path(log)))


def _open_bundle(path: Path) -> Archive:
    try:
        return open_archive(path)
    except Malformed as error:
        raise InvalidRequestError(ErrorCode.USAGE, f"expected a log or an evidence bundle: {error}") from None


def _bundle_source(archive: Archive) -> AuditSource:
    """Return what a bundle holds. Nothing of it is believed: the log is checked, and all else by what that names."""
    from yingbi.audit.contributions import Evidence

    def read(folder: str, path: str) -> bytes:
        try:
            return archive.read(f"data/{folder}/{path}")
        except Malformed:
            raise LookupError(path) from None

    def read_evidence(path: str) -> bytes | None:
        try:
            return read("federations", path)
        except LookupError:
            return None

    def below(folder: str) -> list[str]:
        return [path.removeprefix(f"data/{folder}/") for path in archive.paths if path.startswith(f"data/{folder}/")]

    evidence = Evidence(paths=frozenset(below("federations")), read=read_evidence)
    return AuditSource(
        read=partial(read, "log"),
        texts=tuple(read("documents", path) for path in below("documents")),
        evidence=evidence if evidence.paths else None,
    )


def _read_own(store: Any, path: str) -> bytes:
    from ledger.publish import read_published

    try:
        return read_published(store, path)
    except NotFoundError as error:
        raise LookupError(path) from error


def import_replay() -> "MakeReplay | None":
    """Return what computes federations again, where that is installed."""
    try:
        from federated.audit import Replay
    except ImportError:
        return None
    return Replay
