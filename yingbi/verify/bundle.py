"""Evidence bundles: one zip file with all that an auditor needs, checked without unpacking it (docs/spec/bundle.md).

Four things are checked, each by what is known to be good before it: the archive is harmless, the bag is whole, the log
in it is a log (`audit_log`, with everything that it says), and receipts, documents and anchors belong to that log. What
the bundle tells people, its report and its description, is under the digests of the bag and is judged by nobody.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

from yingbi.verify.archive import Archive, open_archive
from yingbi.verify.audit import Progress, audit_log
from yingbi.verify.bag import PAYLOAD, check_bag
from yingbi.verify.bundle_federations import check_federations
from yingbi.verify.bundle_log import LogContents, prefix_roots, read_contents
from yingbi.verify.bundle_paths import is_known, is_of_log
from yingbi.verify.bundle_receipts import AskedFor, check_anchors, check_receipts
from yingbi.verify.checkpoint import make_terms
from yingbi.verify.report import Check, Finding, Name, Outcome, Report, failed, missing, not_checked, passed
from yingbi.verify.source import Source
from yingbi.verify.strict import Malformed, parse_canonical
from yingbi.verify.trust import Trust

__all__ = ["verify_bundle"]

_DESCRIPTION: Final = "data/bundle.json"
_LOG: Final = "data/log/"
_RECEIPTS: Final = "data/receipts/"
_DOCUMENTS: Final = "data/documents/"
_ANCHORS: Final = "data/anchors/"
_FEDERATIONS: Final = "data/federations/"
_FILES: Final = (_DESCRIPTION, "data/ro-crate-metadata.json")
_MEMBERS: Final = {"v", "origin", "size", "jobs", "documents"}
_MAY: Final = {"federations"}
_INCLUDED, _LEFT_OUT = "included", "left-out"
_PARTS: Final = (Name.RECEIPTS, Name.DOCUMENTS, Name.ANCHORS, Name.FEDERATIONS)
_LOG_CHECKS: Final = (Name.CONTENTS, Name.NOTE, Name.LOG_SIGNATURE, *_PARTS)
_IN_THIS_PROCESS: Final = 50_000  # entries below which starting further processes takes longer than the audit
_MAX_LISTED: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Description:
    """What a bundle says that it holds: of which log, for which jobs (all if none are named), with which parts."""

    origin: str
    size: int
    jobs: tuple[str, ...] | None
    has_documents: bool
    has_federations: bool


def verify_bundle(
    path: Path,
    trust: Trust,
    *,
    now: datetime,
    since: bytes | None = None,
    max_age_s: int | None = None,
    skew_s: int = 300,
    origin: str | None = None,
    statements: bool = True,
    workers: int = 0,
    progress: Progress | None = None,
) -> Report:
    """Verify an evidence bundle; the parameters are those of `audit_log`.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        archive = open_archive(path)
    except Malformed as error:
        rest = (not_checked(name, "the archive is not read") for name in (Name.BAG, Name.DIGESTS, *_LOG_CHECKS))
        return Report(checks=(failed(Name.ARCHIVE, Finding.MALFORMED, str(error)), *rest))
    with archive:
        bag = (passed(Name.ARCHIVE, f"{len(archive.paths)} plain files in one folder"), *check_bag(archive))
        description, contents = _read_description(archive)
        if description is None:
            rest = (not_checked(name, "it is not known what the bundle holds") for name in _LOG_CHECKS[1:])
            return Report(checks=(*bag, contents, *rest))
        log = audit_log(
            _log_source(archive),
            trust,
            now=now,
            since=since,
            max_age_s=max_age_s,
            skew_s=skew_s,
            origin=origin,
            statements=statements,
            workers=workers or (1 if description.size < _IN_THIS_PROCESS else 0),
            progress=progress,
        )
        if log.about and _is_of(description, log.about):
            checks, heads = _check_parts(archive, description, log, trust, (now, skew_s, origin))
        else:
            checks, heads = _unread("the log is not the one that the bundle describes"), ()
            contents = _describe_mismatch(description, log.about)
    # What is known of the contents only after reading the log stands in the place of what was known before.
    later = next((check for check in checks if check.name == Name.CONTENTS), contents)
    rest = (check for check in checks if check.name != Name.CONTENTS)
    return replace(log, checks=(*bag, later, *log.checks, *rest), heads=log.heads or heads)


def _read_description(archive: Archive) -> tuple[_Description | None, Check]:
    payload = [path for path in archive.paths if path.startswith(PAYLOAD)]
    if strange := [path for path in payload if not is_known(path, archive.paths)]:
        return None, _strange("the bundle holds what no bundle holds", strange)
    if absent := [path for path in _FILES if path not in archive.paths]:
        return None, missing(Name.CONTENTS, "what describes the bundle is missing", absent)
    try:
        description = _parse_description(parse_canonical(archive.read(_DESCRIPTION)))
    except Malformed as error:
        return None, failed(Name.CONTENTS, Finding.MALFORMED, f"{_DESCRIPTION}: {error}")
    log = [path for path in payload if path.startswith(_LOG)]
    if strange := [path for path in log if not is_of_log(path.removeprefix(_LOG), description.size)]:
        return None, _strange(f"the bundle holds what no log of size {description.size} has", strange)
    if not description.has_federations and (strange := [path for path in payload if path.startswith(_FEDERATIONS)]):
        return None, _strange("the bundle holds contributions, and says that it was made without", strange)
    jobs = "all jobs" if description.jobs is None else f"{len(description.jobs)} chosen jobs"
    return description, passed(Name.CONTENTS, f"the evidence of {jobs} up to size {description.size}")


def _strange(message: str, paths: list[str]) -> Check:
    return failed(Name.CONTENTS, Finding.UNEXPECTED, message, actual=min(paths))


def _parse_description(value: object) -> _Description:
    if not isinstance(value, dict) or value.keys() - _MAY != _MEMBERS:
        raise Malformed(f"expected exactly {', '.join(sorted(_MEMBERS))}")
    if type(value["v"]) is not int or value["v"] != 1:
        raise Malformed("expected version 1")
    origin, size, jobs = value["origin"], value["size"], value["jobs"]
    if not isinstance(origin, str) or type(size) is not int or size < 0:
        raise Malformed("expected an origin and a size")
    if jobs is not None and not (isinstance(jobs, list) and all(isinstance(job, str) for job in jobs)):
        raise Malformed("expected `jobs` as a list of ids, or null")
    if value["documents"] not in (_INCLUDED, _LEFT_OUT):
        raise Malformed(f"expected `documents` as {_INCLUDED} or {_LEFT_OUT}")
    if value.get("federations", _LEFT_OUT) not in (_INCLUDED, _LEFT_OUT):
        raise Malformed(f"expected `federations` as {_INCLUDED} or {_LEFT_OUT}")
    return _Description(
        origin=origin,
        size=size,
        jobs=None if jobs is None else tuple(str(job) for job in jobs),
        has_documents=value["documents"] == _INCLUDED,
        has_federations=value.get("federations") == _INCLUDED,
    )


def _check_parts(
    archive: Archive,
    description: _Description,
    log: Report,
    trust: Trust,
    terms: tuple[datetime, int, str | None],
) -> tuple[tuple[Check, ...], tuple[str, ...]]:
    """Check receipts, documents and anchors; return the checks, and any heads that contradict each other."""
    documents = set(_below(archive, _DOCUMENTS))
    digests = {_name_of(path) for path in documents}
    contents = read_contents(_log_source(archive), description.origin, description.size, digests)
    if contents is None:
        return _unread("not all entries could be read"), ()
    if not _held(log, Name.ROOT):
        # A receipt that these entries contradict says nothing of the log: somebody may have damaged them since.
        return _unread("the entries here are not those of the checkpoint"), ()
    if _root_of(contents) != log.about.get("root"):
        # SECURITY: the file was read once more; the root says that it was the same each time.
        message = "the entries changed while they were being checked"
        changed = failed(Name.CONTENTS, Finding.HASH_MISMATCH, message)
        return (changed, *_unread(message)), ()
    if _held(log, Name.LOG_KEYS):
        trust = trust.with_log_keys(description.origin, contents.log_keys.chain)
    now, skew_s, expected = terms
    asked = AskedFor(
        trust=trust,
        terms=make_terms(now, skew_s, None, expected),
        published=archive.read(_LOG + "checkpoint"),
        contents=contents,
    )
    receipts, heads = check_receipts(archive, _below(archive, _RECEIPTS), asked)
    texts = _check_documents(archive, documents, description, contents)
    anchors = check_anchors(archive, _below(archive, _ANCHORS), asked)
    federations = _check_federations(archive, description, contents)
    return (*_check_jobs(description, contents), receipts, texts, anchors, federations), heads


def _held(log: Report, name: Name) -> bool:
    return any(check.name == name and check.outcome is Outcome.PASSED for check in log.checks)


def _root_of(contents: LogContents) -> str:
    size = len(contents.leaves)
    return prefix_roots(contents.leaves, [size])[size].hex()


def _check_jobs(description: _Description, contents: LogContents) -> tuple[Check, ...]:
    """Return what is missing where the bundle says that it is about jobs that nobody submitted."""
    unknown = [job for job in description.jobs or () if job not in contents.relies_on]
    if not unknown:
        return ()
    asked_for = [f"the submission of {job}" for job in unknown[:_MAX_LISTED]]
    return (missing(Name.CONTENTS, "the log does not know jobs that the bundle is about", asked_for),)


def _log_source(archive: Archive) -> Source:
    def read(path: str) -> bytes:
        try:
            return archive.read(_LOG + path)
        except Malformed:
            raise LookupError(path) from None  # the check of digests says what is wrong with it

    return read


def _is_of(description: _Description, about: Mapping[str, str | int]) -> bool:
    return (about.get("origin"), about.get("size")) == (description.origin, description.size)


def _describe_mismatch(description: _Description, about: Mapping[str, str | int]) -> Check:
    if not about:
        return not_checked(Name.CONTENTS, "there is no checkpoint to compare with")
    message, expected = "the bundle's log is not the one that it describes", f"{description.origin} {description.size}"
    actual = f"{about.get('origin')} {about.get('size')}"
    return failed(Name.CONTENTS, Finding.UNEXPECTED, message, expected=expected, actual=actual)


def _unread(why: str) -> tuple[Check, ...]:
    return tuple(not_checked(name, why) for name in _PARTS)


def _name_of(path: str) -> str:
    return path.removeprefix(_DOCUMENTS).removesuffix(".json")


def _below(archive: Archive, folder: str) -> list[str]:
    return [path for path in archive.paths if path.startswith(folder)]


def _check_federations(archive: Archive, description: _Description, contents: LogContents) -> Check:
    if not description.has_federations:
        return not_checked(Name.FEDERATIONS, "the bundle was made without contributions to federations")
    return check_federations(archive, _below(archive, _FEDERATIONS), contents.federations, description.jobs)


def _check_documents(archive: Archive, documents: set[str], description: _Description, contents: LogContents) -> Check:
    for path in sorted(documents):
        name = _name_of(path)
        try:
            actual = sha256(archive.read(path)).hexdigest()
        except Malformed as error:
            return failed(Name.DOCUMENTS, Finding.MALFORMED, str(error))
        if actual != name:
            message = f"{path} is not the document of its name"
            return failed(Name.DOCUMENTS, Finding.HASH_MISMATCH, message, expected=name, actual=actual)
        if name not in contents.named:
            message = "a document that no entry of the log names"
            return failed(Name.DOCUMENTS, Finding.UNEXPECTED, message, actual=path)
    if not description.has_documents:
        return not_checked(Name.DOCUMENTS, "the bundle was made without documents")
    if absent := sorted(contents.needed(description.jobs) - {_name_of(path) for path in documents}):
        asked_for = [f"the document sha256:{digest}" for digest in absent[:_MAX_LISTED]]
        return missing(Name.DOCUMENTS, f"{len(absent)} documents that entries name are missing", asked_for)
    return passed(Name.DOCUMENTS, f"{len(documents)} documents, each named by an entry")
