"""Making an evidence bundle: the log whole, and what belongs to it (docs/spec/bundle.md).

The same log, documents and choices make the same bytes, whoever makes the bundle, wherever and whenever.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final
from uuid import NAMESPACE_URL, uuid5

from ledger.proof import prove_inclusion
from ledger.receipt import format_receipt, parse_receipt
from ledger.tiles import TILE_WIDTH, TileCoordinate, TiledTree, bundle_path, decode_bundle, encode_bundle, tile_path
from ledger.tiles import tiles_of as list_tiles
from yingbi import __version__
from yingbi.audit.bag import BagWriter
from yingbi.audit.case import Case
from yingbi.audit.contributions import Evidence
from yingbi.audit.controls import ControlResult
from yingbi.audit.crate import describe_crate
from yingbi.audit.facts import Read
from yingbi.audit.federation_files import bundle_paths
from yingbi.audit.folding import Documents
from yingbi.audit.pages import render_page
from yingbi.audit.report import make_report
from yingbi.audit.stories import Story
from yingbi.audit.texts import LANGUAGES
from yingbi.canonical import canonical_bytes
from yingbi.errors import ErrorCode, NotFoundError
from yingbi.events import EntryType
from yingbi.events.jobs import JobSubmitted
from yingbi.receipts import HASH_BYTES, Receipt

__all__ = ["Built", "Contents", "build_bundle", "chosen_jobs"]

_README: Final = """\
How to check this bundle / 如何核验

  unzip, then in the folder "evidence":   sha512sum -c manifest-sha512.txt
  with keys that you had before:          yingbi verify bundle.zip --trust roots.json [--since old-checkpoint]

The report is no evidence: the log is. Nothing in this bundle tells you whose keys to trust.
本报告不是证据，账本才是。应信任哪些密钥，须由其他渠道取得，本证据包不能证明。
"""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What goes into a bundle beside the log.

    `documents`: nothing where they are left out on purpose. `receipts`: as somebody kept them. `anchors`: proofs, each
    with the signed checkpoint that it is about, if it is not that of the log. `evidence`: terms of federations and
    contributions to them; nothing where they are left out on purpose.
    """

    documents: Documents | None
    jobs: frozenset[str] | None = None
    receipts: Sequence[bytes] = ()
    anchors: Sequence[tuple[bytes, bytes | None]] = field(default=())
    evidence: Evidence | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A bundle that was made: how many files and jobs it holds, and what it should hold and does not.

    `absent`: digests of documents, and paths of terms and contributions.
    """

    files: int
    jobs: int
    identifier: str
    absent: tuple[str, ...]


def chosen_jobs(case: Case, *, job: str | None, since: int | None) -> frozenset[str] | None:
    """Return the jobs that a bundle is about: one, or those of which an entry stands at `since` or later; or all.

    Raises:
        NotFoundError: the log does not speak of that job.
    """
    if job is not None:
        if job not in case.stories:
            raise NotFoundError(ErrorCode.OUTPUT_NOT_FOUND, "no entry of the log names this job")
        return frozenset({job})
    if since is None:
        return None
    return frozenset(story.job for story in case.stories.values() if story.facts[-1].index >= since)


def build_bundle(out: Path, case: Case, results: Sequence[ControlResult], read: Read, contents: Contents) -> Built:
    """Write the bundle of a log that was read; `results` are those of its controls.

    Raises:
        NotFoundError: a tile of the log is not there.
        InvalidRequestError: something that was given as a receipt is none.
        OSError: the file cannot be written.
    """
    stories = [story for story in case.stories.values() if contents.jobs is None or story.job in contents.jobs]
    identifier = _identifier(case, contents)
    tiles = _Tiles(read)
    with BagWriter(out) as bag:
        bag.add("bundle.json", canonical_bytes(_describe(case, contents)))
        bag.add("log/checkpoint", case.reading.signed.note)
        for path, data in tiles.files(case.reading.size):
            bag.add(f"log/{path}", data)
        for name, data in _receipts(case, stories, tiles, contents):
            bag.add(f"receipts/{name}.tlog-proof", data)
        texts, absent = _documents(case, stories, contents)
        for digest, data in texts.items():
            bag.add(f"documents/{digest.removeprefix('sha256:')}.json", data)
        for proof, checkpoint in sorted(contents.anchors, key=lambda item: item[0]):
            name = sha256(proof).hexdigest()[:16]
            bag.add(f"anchors/{name}.json", proof)
            if checkpoint is not None:
                bag.add(f"anchors/{name}.checkpoint", checkpoint)
        kept, lost = bundle_paths(case, contents.evidence, contents.jobs)
        for path, data in kept:
            bag.add(f"federations/{path}", data)
        for name, data in _report(case, results, contents.jobs):
            bag.add(f"report/{name}", data)
        crate = describe_crate(case, stories, bag.paths, identifier)
        bag.add("ro-crate-metadata.json", (json.dumps(crate, indent=1, ensure_ascii=False) + "\n").encode())
        files = len(bag.paths)
        bag.finish({"Bag-Software-Agent": f"yingbi {__version__}", "External-Identifier": identifier})
    return Built(files=files, jobs=len(stories), identifier=identifier, absent=(*absent, *lost))


class _Tiles:
    """The tiles of a log as they are published; a full one is cut where a partial one is not kept."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._cache: dict[TileCoordinate, bytes] = {}

    def read_tile(self, tile: TileCoordinate) -> bytes:
        """Return `32 * tile.width` bytes of hashes.

        Raises:
            NotFoundError: there is no such tile.
        """
        if tile not in self._cache:
            full = TileCoordinate(tile.level, tile.index)
            data = self._first(tile_path(tile), tile_path(full))
            self._cache[tile] = data[: tile.width * HASH_BYTES]
        return self._cache[tile]

    def files(self, size: int) -> Iterator[tuple[str, bytes]]:
        """Yield the paths and bytes of all tiles and entry bundles of a tree."""
        for tile in list_tiles(size):
            yield tile_path(tile), self.read_tile(tile)
        for first in range(0, size, TILE_WIDTH):
            number, width = first // TILE_WIDTH, min(TILE_WIDTH, size - first)
            data = self._first(bundle_path(number, width), bundle_path(number))
            yield bundle_path(number, width), encode_bundle(decode_bundle(data)[:width])

    def _first(self, *paths: str) -> bytes:
        for path in dict.fromkeys(paths):
            try:
                return self._read(path)
            except (LookupError, OSError):
                continue
        raise NotFoundError(ErrorCode.TILE_NOT_FOUND, f"the log does not have `{paths[0]}`")


def _describe(case: Case, contents: Contents) -> dict[str, object]:
    return {
        "v": 1,
        "origin": case.reading.origin,
        "size": case.reading.size,
        "jobs": None if contents.jobs is None else sorted(contents.jobs),
        "documents": "left-out" if contents.documents is None else "included",
        **({} if contents.evidence is None else {"federations": "included"}),
    }


def _identifier(case: Case, contents: Contents) -> str:
    """Return a UUID URN of what the bundle is about: the same for everybody who bundles the same."""
    about = canonical_bytes({**_describe(case, contents), "root": case.reading.signed.checkpoint.root.hex()})
    return uuid5(NAMESPACE_URL, about.decode()).urn


def _receipts(case: Case, stories: Iterable[Story], tiles: _Tiles, contents: Contents) -> Iterator[tuple[str, bytes]]:
    """Yield receipts: of every entry of chosen jobs, or of all releases, and those that somebody kept."""
    reading = case.reading
    tree = TiledTree(tiles)
    facts = [fact for story in stories for fact in story.facts]
    if contents.jobs is None:
        facts = [fact for fact in facts if fact.type is EntryType.OUTPUT_RELEASED]
    for index in sorted({fact.index for fact in facts}):
        proof = prove_inclusion(tree, index, reading.size)
        yield f"{index:08}", format_receipt(Receipt(proof=proof, signed=reading.signed))
    for name, data in sorted({sha256(data).hexdigest()[:16]: data for data in contents.receipts}.items()):
        parse_receipt(data)  # one that contradicts the log is evidence; one that is none would only spoil the bundle
        yield f"kept/{name}", data


def _documents(case: Case, stories: Iterable[Story], contents: Contents) -> tuple[Mapping[str, bytes], tuple[str, ...]]:
    """Return the documents that jobs rely on, all of them where no jobs were chosen, and those that are not here."""
    if contents.documents is None:
        return {}, ()
    wanted = _wanted(case, stories, contents.jobs)
    found = {digest: contents.documents.get(digest) for digest in sorted(wanted)}
    texts = {digest: data for digest, data in found.items() if data is not None}
    return texts, tuple(digest for digest in found if digest not in texts)


def _wanted(case: Case, stories: Iterable[Story], jobs: Collection[str] | None) -> set[str]:
    things = set(case.reading.documents)
    if jobs is not None:
        # Submissions without an effect count too: a verifier does not know the rules by which they have none.
        submitted = (fact.body for story in stories for fact in story.recorded(EntryType.JOB_SUBMITTED))
        requests = [body for body in submitted if isinstance(body, JobSubmitted)]
        used = {row.dataset for request in requests for row in request.datasets}
        things &= used | {request.agreement for request in requests}
    return {digest for thing in things for digest in case.reading.documents[thing]}


def _report(case: Case, results: Sequence[ControlResult], jobs: Collection[str] | None) -> Iterator[tuple[str, bytes]]:
    report = make_report(case, results, jobs)
    for language in LANGUAGES:
        yield f"report.{language}.html", render_page(report, language)
    yield "report.json", report.to_json()
    for name, table in report.tables.items():
        yield f"{name}.csv", table
    yield "README.txt", _README.encode()
