"""Evidence bundles: what is wrong anywhere in them is found, and what could not be checked is never called good."""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.lib.anchor_proofs import ProofMaker, encode
from tests.lib.bags import bag, write_zip, zip_bytes
from tests.lib.mini_log import NOW, NOW_S, MiniLog, as_signer, canonical, log_key, signer, timestamp, tree_hash, witness
from yingbi.receipts import Checkpoint
from yingbi.verify import Check, Finding, Name, Outcome, Report, Verdict, bundle_receipts, load_trust, verify_bundle
from yingbi.verify.archive import Archive
from yingbi.verify.bundle_log import prefix_roots
from yingbi.verify.merkle import EMPTY_ROOT, hash_leaf

ROOT, BANK, W1 = signer("root", ""), signer("bank-a"), witness("w1")
COSIGN = [(W1, NOW_S - 60)]
TERMS = canonical({"agreement": "agr-1"})
ENTRY = canonical({"name": "tax/filings"})


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def make_log() -> MiniLog:
    """A log with a key, an agreement, a data set, and two jobs, of which only the first relies on them."""
    log = MiniLog()
    registered = {"jwk": BANK.jwk, "owner": "partner:bank-a", "not_before": timestamp(NOW - timedelta(days=9))}
    body = {**registered, "not_after": None}
    log.append("key.registered", [ROOT, BANK], issuer="bureau:futian", id="key-1", body=body)
    log.append("agreement.proposed", [BANK], id="agr-1", body={"terms": digest(TERMS)})
    log.append("dataset.registered", [BANK], id="ds-a", body={"catalogue_entry": digest(ENTRY)})
    log.append("job.submitted", [BANK], id="job-1", body={"agreement": "agr-1", "datasets": [{"dataset": "ds-a"}]})
    log.append("job.submitted", [BANK], id="job-2", body={"agreement": "agr-2", "datasets": []})
    return log


LOG = make_log()


def describe(log: MiniLog = LOG, **overrides: Any) -> bytes:
    value = {"v": 1, "origin": log.origin, "size": len(log.entries), "jobs": None, "documents": "included"}
    return canonical({**value, **overrides})


def documents(*texts: bytes) -> dict[str, bytes]:
    return {f"documents/{hashlib.sha256(text).hexdigest()}.json": text for text in texts}


def payload(log: MiniLog = LOG, /, **overrides: bytes) -> dict[str, bytes]:
    """Return the payload of a bundle of a log, with receipts and all documents."""
    files = {f"log/{name}": data for name, data in log.export(cosign=COSIGN).items()}
    receipts = {f"receipts/{index}.tlog-proof": log.receipt(index, cosign=COSIGN) for index in (0, 3)}
    rest = {"bundle.json": describe(log), "ro-crate-metadata.json": b"{}", "report/report.en.html": b"<p>"}
    return {**files, **receipts, **documents(TERMS, ENTRY), **rest, **overrides}


def verify(tmp_path: Path, files: Mapping[str, bytes], log: MiniLog = LOG, **options: Any) -> Report:
    path = write_zip(tmp_path / "bundle.zip", bag(files))
    trust = load_trust(log.trust(witnesses=[W1], roots=[ROOT]))
    return verify_bundle(path, trust, **{"now": NOW, **options})


def check(report: Report, name: str) -> Check:
    (found,) = (item for item in report.checks if item.name == name)
    return found


def test_a_good_bundle_is_verified(tmp_path: Path) -> None:
    report = verify(tmp_path, payload())
    assert report.verdict is Verdict.VERIFIED, report.to_text()
    assert report.about["size"] == 5
    assert {item.name for item in report.checks} >= {Name.ARCHIVE, Name.BAG, Name.DIGESTS, Name.CONTENTS, Name.ROOT}
    assert check(report, Name.RECEIPTS).message == "2 receipts under 1 checkpoints, all of this log"
    assert check(report, Name.DOCUMENTS).message == "2 documents, each named by an entry"
    assert check(report, Name.ANCHORS).outcome is Outcome.NOT_CHECKED


def test_the_same_bundle_gets_the_same_report(tmp_path: Path) -> None:
    assert verify(tmp_path, payload()).to_json() == verify(tmp_path, payload()).to_json()


def test_without_a_quorum_only_the_log_vouches(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "bundle.zip", bag(payload()))
    report = verify_bundle(path, load_trust(LOG.trust(roots=[ROOT])), now=NOW)
    assert report.verdict is Verdict.LOG_SIGNED_ONLY


def test_an_archive_that_cannot_be_read_is_invalid_and_nothing_else_is_said_of_it(tmp_path: Path) -> None:
    path = tmp_path / "bundle.zip"
    path.write_bytes(b"PK\x03\x04 and nothing more")
    report = verify_bundle(path, load_trust(LOG.trust()), now=NOW)
    assert report.verdict is Verdict.INVALID
    assert {item.outcome for item in report.checks[1:]} == {Outcome.NOT_CHECKED}


def test_an_edited_entry_is_found_at_its_index_although_the_bag_was_made_anew(tmp_path: Path) -> None:
    files = payload()
    name = next(path for path in files if "entries" in path)
    edited = files[name].replace(base64.b64encode(b'"id":"job-2"')[:8], base64.b64encode(b'"id":"job-9"')[:8])
    edited = edited if edited != files[name] else files[name][:-20] + b"9" + files[name][-19:]
    report = verify(tmp_path, {**files, name: edited})
    assert report.verdict is Verdict.INVALID
    assert check(report, Name.DIGESTS).outcome is Outcome.PASSED
    assert report.first_failure is not None
    assert report.first_failure.index == 4


def test_a_damaged_bundle_accuses_nobody(tmp_path: Path) -> None:
    """Receipts contradict entries that somebody changed since: that is no evidence against the log."""
    files = payload()
    name = next(path for path in files if "entries" in path)
    data = files[name]
    report = verify(tmp_path, {**files, name: data[:40] + bytes([data[40] ^ 1]) + data[41:]})
    assert report.verdict is Verdict.INVALID
    assert report.heads == ()
    assert check(report, Name.ROOT).outcome is not Outcome.PASSED
    assert check(report, Name.RECEIPTS).outcome is Outcome.NOT_CHECKED
    assert all(item.finding not in (Finding.SPLIT_VIEW, Finding.ROLLBACK) for item in report.checks)


def test_an_edited_bundle_is_found_by_its_digests_too(tmp_path: Path) -> None:
    files = bag(payload())
    files["data/report/report.en.html"] = b"<p>all is well"
    path = write_zip(tmp_path / "bundle.zip", files)
    report = verify_bundle(path, load_trust(LOG.trust(witnesses=[W1], roots=[ROOT])), now=NOW)
    assert report.verdict is Verdict.INVALID
    assert check(report, Name.DIGESTS).finding is Finding.HASH_MISMATCH


def test_a_damaged_tile_is_missing_for_the_log_and_wrong_for_the_bag(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "bundle.zip", bag(payload()))
    data = bytearray(path.read_bytes())
    at = data.index(b"data/log/tile/0/000.p/5") + 40
    data[at] ^= 0xFF
    path.write_bytes(bytes(data))
    report = verify_bundle(path, load_trust(LOG.trust(witnesses=[W1], roots=[ROOT])), now=NOW)
    assert report.verdict is Verdict.INVALID
    assert check(report, Name.DIGESTS).finding is Finding.MALFORMED


def test_an_older_checkpoint_is_compared(tmp_path: Path) -> None:
    old = LOG.checkpoint(3)
    assert verify(tmp_path, payload(), since=old).verdict is Verdict.VERIFIED
    other = make_log()
    other.append("job.submitted", [BANK], id="job-3", body={"agreement": "agr-1", "datasets": []})
    report = verify(tmp_path, payload(), since=other.checkpoint())
    assert (report.verdict, check(report, Name.HISTORY).finding) == (Verdict.INVALID, Finding.ROLLBACK)
    assert len(report.heads) == 2


def test_a_log_that_changes_while_it_is_read_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = make_log()
    other.append("job.submitted", [BANK], id="job-9", body={"agreement": "agr-2", "datasets": []})
    other.entries[4] = other.entries[5]
    other.entries.pop()
    other.rechain(4)
    forged = other.export()
    read = Archive.read
    seen: list[str] = []

    def changing(archive: Archive, path: str) -> bytes:
        seen.append(path)
        # The audit reads entries twice, the second time for their signatures.
        return forged[path.removeprefix("data/log/")] if seen.count(path) > 2 else read(archive, path)

    monkeypatch.setattr(Archive, "read", changing)
    report = verify(tmp_path, payload())
    assert (report.verdict, check(report, Name.CONTENTS).finding) == (Verdict.INVALID, Finding.HASH_MISMATCH)


# --- what the bundle says of itself -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "description",
    [
        b"{}",
        b"[]",
        b"not JSON",
        describe() + b"\n",
        describe(v=2),
        describe(v=True),
        describe(size="5"),
        describe(jobs="job-1"),
        describe(jobs=[1]),
        describe(documents="some"),
        describe(more=1),
    ],
)
def test_a_description_has_one_form(tmp_path: Path, description: bytes) -> None:
    report = verify(tmp_path, payload(**{"bundle.json": description}))
    assert report.verdict is Verdict.INVALID
    assert check(report, Name.CONTENTS).finding is Finding.MALFORMED


@pytest.mark.parametrize("overrides", [{"size": 4}, {"origin": "log.example/other"}])
def test_a_description_is_of_the_log_that_is_there(tmp_path: Path, overrides: dict[str, Any]) -> None:
    report = verify(tmp_path, payload(**{"bundle.json": describe(**overrides)}))
    assert report.verdict is Verdict.INVALID
    assert check(report, Name.CONTENTS).finding is Finding.UNEXPECTED


STRANGE = [
    "extra.txt",
    "logs/checkpoint",
    "report.html",
    "bundle.json.exe",
    "log/index.html",
    "log/vkey",
    "log/tile/0/evil.html",
    "log/tile/0/001",
    "log/tile/entries/000",
    "receipts/run-me.exe",
    "receipts/other/1.tlog-proof",
    "documents/terms.json",
    "documents/README.html",
    "anchors/0001.checkpoint",
    "anchors/0001.exe",
    "report/run-me.exe",
    "report/report.en.html.js",
    "report/a/b",
]


@pytest.mark.parametrize("name", STRANGE)
def test_strange_files_are_found(tmp_path: Path, name: str) -> None:
    report = verify(tmp_path, payload(**{name: b"x"}))
    found = check(report, Name.CONTENTS)
    assert (report.verdict, found.finding, found.actual) == (Verdict.INVALID, Finding.UNEXPECTED, f"data/{name}")


def test_a_full_tile_does_not_stand_for_a_partial_one_in_a_bundle(tmp_path: Path) -> None:
    files = payload()
    files["log/tile/0/000"] = files.pop("log/tile/0/000.p/5") + bytes(251 * 32)
    report = verify(tmp_path, files)
    assert (report.verdict, check(report, Name.CONTENTS).actual) == (Verdict.INVALID, "data/log/tile/0/000")


def test_a_bundle_is_one_archive_for_every_reader(tmp_path: Path) -> None:
    """Who unpacks from the front would see another bundle."""
    other = zip_bytes(bag(payload(**{"report/report.en.html": b"<p>another report"})))
    path = tmp_path / "bundle.zip"
    path.write_bytes(other + zip_bytes(bag(payload())))
    report = verify_bundle(path, load_trust(LOG.trust(witnesses=[W1], roots=[ROOT])), now=NOW)
    assert (report.verdict, check(report, Name.ARCHIVE).finding) == (Verdict.INVALID, Finding.MALFORMED)


@pytest.mark.parametrize("name", ["bundle.json", "ro-crate-metadata.json", "log/checkpoint"])
def test_what_every_bundle_holds_is_missing_where_it_is_not(tmp_path: Path, name: str) -> None:
    files = {path: data for path, data in payload().items() if path != name}
    report = verify(tmp_path, files)
    assert report.verdict is Verdict.COULD_NOT_CHECK
    wanted = [path for item in report.checks for path in item.ask_for]
    assert [path for path in wanted if name.endswith(path.removeprefix("data/"))]


# --- documents --------------------------------------------------------------------------------------------------------


def without_documents(**overrides: bytes) -> dict[str, bytes]:
    return {path: data for path, data in payload(**overrides).items() if not path.startswith("documents/")}


def test_documents_that_entries_name_are_missing_with_their_digests(tmp_path: Path) -> None:
    report = verify(tmp_path, {**without_documents(), **documents(TERMS)})
    assert report.verdict is Verdict.COULD_NOT_CHECK
    assert check(report, Name.DOCUMENTS).ask_for == (f"the document {digest(ENTRY)}",)


def test_a_bundle_without_documents_says_so_and_they_are_not_checked(tmp_path: Path) -> None:
    report = verify(tmp_path, without_documents(**{"bundle.json": describe(documents="left-out")}))
    assert report.verdict is Verdict.VERIFIED
    assert check(report, Name.DOCUMENTS).outcome is Outcome.NOT_CHECKED


def test_only_what_chosen_jobs_rely_on_is_needed(tmp_path: Path) -> None:
    report = verify(tmp_path, without_documents(**{"bundle.json": describe(jobs=["job-2"])}))
    assert report.verdict is Verdict.VERIFIED
    assert check(report, Name.CONTENTS).message == "the evidence of 1 chosen jobs up to size 5"
    other = verify(tmp_path, without_documents(**{"bundle.json": describe(jobs=["job-1"])}))
    assert other.verdict is Verdict.COULD_NOT_CHECK
    assert len(check(other, Name.DOCUMENTS).ask_for) == 2


def test_a_bundle_about_a_job_that_nobody_submitted_could_not_be_checked(tmp_path: Path) -> None:
    report = verify(tmp_path, without_documents(**{"bundle.json": describe(jobs=["job-2", "job-404"])}))
    assert report.verdict is Verdict.COULD_NOT_CHECK
    assert check(report, Name.CONTENTS).ask_for == ("the submission of job-404",)


@pytest.mark.parametrize(
    "body", [{"agreement": "agr-none", "datasets": []}, {"agreement": {}, "datasets": [{"dataset": []}]}]
)
def test_a_second_submission_takes_no_document_of_a_job_away(tmp_path: Path, body: dict[str, Any]) -> None:
    """It has no effect, as there is a job of its id; a verifier does not know such rules, so that both count."""
    log = make_log()
    log.append("job.submitted", [BANK], id="job-1", body=body)
    description = describe(log, jobs=["job-1"])
    files = {name: data for name, data in payload(log).items() if not name.startswith("documents/")}
    report = verify(tmp_path, {**files, "bundle.json": description}, log)
    assert check(report, Name.DOCUMENTS).outcome is Outcome.MISSING, report.to_text()
    assert len(check(report, Name.DOCUMENTS).ask_for) == 2
    assert verify(tmp_path, payload(log, **{"bundle.json": description}), log).verdict is Verdict.VERIFIED


def test_of_two_submissions_the_documents_of_both_are_needed(tmp_path: Path) -> None:
    log, other = make_log(), canonical({"agreement": "agr-2"})
    log.append("agreement.proposed", [BANK], id="agr-2", body={"terms": digest(other)})
    log.append("job.submitted", [BANK], id="job-1", body={"agreement": "agr-2", "datasets": []})
    files = payload(log, **{"bundle.json": describe(log, jobs=["job-1"])})
    report = verify(tmp_path, files, log)
    assert check(report, Name.DOCUMENTS).ask_for == (f"the document {digest(other)}",)
    assert verify(tmp_path, {**files, **documents(other)}, log).verdict is Verdict.VERIFIED


@pytest.mark.parametrize("later", ["agreement.proposed", "agreement.countered"])
def test_later_terms_take_no_former_ones_away(tmp_path: Path, later: str) -> None:
    log, other = make_log(), canonical({"agreement": "agr-1", "version": 2})
    log.append(later, [BANK], id="agr-1", body={"terms": digest(other)})
    files = {name: data for name, data in payload(log).items() if not name.startswith("documents/")}
    report = verify(tmp_path, {**files, **documents(other, ENTRY)}, log)
    assert check(report, Name.DOCUMENTS).ask_for == (f"the document {digest(TERMS)}",)


def test_a_changed_document_is_found(tmp_path: Path) -> None:
    (name,) = documents(TERMS)
    report = verify(tmp_path, payload(**{name: canonical({"agreement": "agr-1", "more": "rights"})}))
    assert (report.verdict, check(report, Name.DOCUMENTS).finding) == (Verdict.INVALID, Finding.HASH_MISMATCH)


def test_a_document_that_no_entry_names_is_found(tmp_path: Path) -> None:
    report = verify(tmp_path, payload(**documents(canonical({"agreement": "agr-9"}))))
    assert (report.verdict, check(report, Name.DOCUMENTS).finding) == (Verdict.INVALID, Finding.UNEXPECTED)


# --- receipts ---------------------------------------------------------------------------------------------------------


def with_receipt(data: bytes, log: MiniLog = LOG) -> dict[str, bytes]:
    return payload(log, **{"receipts/kept/0123.tlog-proof": data})


def test_receipts_of_older_checkpoints_are_held_against_the_log(tmp_path: Path) -> None:
    for size in (2, 3, 5):
        assert verify(tmp_path, with_receipt(LOG.receipt(1, size))).verdict is Verdict.VERIFIED


def test_a_bundle_without_receipts_or_anchors_has_none_checked(tmp_path: Path) -> None:
    files = {name: data for name, data in payload().items() if not name.startswith("receipts/")}
    block = {"chain_id": 1337, "contract": "0x" + "11" * 20, "block_hash": "0x" + "22" * 32}
    trust = json.loads(LOG.trust(witnesses=[W1], roots=[ROOT])) | {"anchors": [block]}
    path = write_zip(tmp_path / "bundle.zip", bag(files))
    report = verify_bundle(path, load_trust(json.dumps(trust).encode()), now=NOW)
    assert report.verdict is Verdict.VERIFIED
    for name in (Name.RECEIPTS, Name.ANCHORS):
        assert check(report, name).outcome is Outcome.NOT_CHECKED


def test_receipts_under_a_key_that_the_log_has_given_up_are_believed(tmp_path: Path) -> None:
    log, new = make_log(), log_key(seed="new")
    (old,) = log.keys
    kept = log.receipt(1)
    for phase in ("begin", "finish"):
        body = {"phase": phase, "old_vkey": old.vkey, "new_vkey": new.vkey}
        log.append("log.key_changed", [as_signer(old), as_signer(new)], id="log-key", body=body)
    log.keys = [new]
    log.append("job.submitted", [BANK], id="job-3", body={"agreement": "agr-1", "datasets": []})
    report = verify(tmp_path, payload(log, **{"receipts/kept/0123.tlog-proof": kept}), log)
    assert report.verdict is Verdict.VERIFIED, report.to_text()
    assert check(report, Name.RECEIPTS).outcome is Outcome.PASSED


def test_of_a_log_that_is_not_all_there_nothing_else_is_judged(tmp_path: Path) -> None:
    files = {name: data for name, data in payload().items() if "entries" not in name}
    report = verify(tmp_path, files)
    assert report.verdict is Verdict.COULD_NOT_CHECK
    for name in (Name.RECEIPTS, Name.DOCUMENTS, Name.ANCHORS):
        assert check(report, name).outcome is Outcome.NOT_CHECKED


def receipt_failure(tmp_path: Path, data: bytes) -> tuple[Finding | None, Report]:
    report = verify(tmp_path, with_receipt(data))
    assert report.verdict is Verdict.INVALID, report.to_text()
    return check(report, Name.RECEIPTS).finding, report


def test_a_receipt_that_contradicts_the_log_is_a_split_view_with_both_heads(tmp_path: Path) -> None:
    other = make_log()
    other.append("job.refused", [BANK], id="job-1", body={})
    other.entries[4] = other.entries[5]
    other.entries.pop()
    other.rechain(4)
    finding, report = receipt_failure(tmp_path, other.receipt(4, 5))
    assert finding is Finding.SPLIT_VIEW
    assert len(report.heads) == 2
    assert all("log.example/futian" in head for head in report.heads)


def test_a_receipt_of_a_larger_log_is_a_rollback(tmp_path: Path) -> None:
    longer = make_log()
    longer.append("job.submitted", [BANK], id="job-3", body={"agreement": "agr-1", "datasets": []})
    finding, report = receipt_failure(tmp_path, longer.receipt(5))
    assert finding is Finding.ROLLBACK
    assert len(report.heads) == 2


def test_a_receipt_that_the_log_did_not_sign_shows_nothing(tmp_path: Path) -> None:
    stranger = MiniLog(keys=[witness("mallory")], entries=list(LOG.entries))
    finding, _ = receipt_failure(tmp_path, stranger.receipt(1))
    assert finding in (Finding.NO_TRUSTED_SIGNATURE, Finding.BAD_SIGNATURE)


def test_a_receipt_of_another_entry_is_not_included(tmp_path: Path) -> None:
    moved = LOG.receipt(1).replace(b"index 1\n", b"index 2\n")
    assert receipt_failure(tmp_path, moved)[0] is Finding.NOT_INCLUDED
    beyond = LOG.receipt(1).replace(b"index 1\n", b"index 9\n")
    assert receipt_failure(tmp_path, beyond)[0] is Finding.NOT_INCLUDED


@pytest.mark.parametrize("data", [b"", b"receipt", bytes(3 << 20)])
def test_what_is_no_receipt_is_malformed(tmp_path: Path, data: bytes) -> None:
    assert receipt_failure(tmp_path, data)[0] is Finding.MALFORMED


# --- anchors ----------------------------------------------------------------------------------------------------------


def test_anchors_are_not_checked_without_a_trusted_block(tmp_path: Path) -> None:
    report = verify(tmp_path, payload(**{"anchors/0001.json": b"{}"}))
    assert report.verdict is Verdict.VERIFIED
    assert check(report, Name.ANCHORS).outcome is Outcome.NOT_CHECKED


def test_an_anchor_that_proves_nothing_is_found(tmp_path: Path) -> None:
    block = {"chain_id": 1337, "contract": "0x" + "11" * 20, "block_hash": "0x" + "22" * 32}
    trust = json.loads(LOG.trust(witnesses=[W1], roots=[ROOT])) | {"anchors": [block]}
    path = write_zip(tmp_path / "bundle.zip", bag(payload(**{"anchors/0001.json": b"{}"})))
    report = verify_bundle(path, load_trust(json.dumps(trust).encode()), now=NOW)
    assert (report.verdict, check(report, Name.ANCHORS).finding) == (Verdict.INVALID, Finding.NOT_ANCHORED)


def anchored(tmp_path: Path, log: MiniLog, size: int, *, beside: bool = True, copies: int = 1) -> Report:
    """Verify a bundle of `LOG` with a proof that the head of `log` at a size stands on a trusted chain."""
    head = Checkpoint(origin=log.origin, size=size, root=tree_hash(log.leaves[:size]))
    document, block = ProofMaker(heads=[head], origin=log.origin, timestamp=NOW_S - 60).make()
    anchor = {"chain_id": block.chain_id, "contract": _hex(block.contract), "block_hash": _hex(block.block_hash)}
    trust = json.loads(LOG.trust(witnesses=[W1], roots=[ROOT])) | {"anchors": [anchor]}
    files = payload()
    for number in range(1, copies + 1):
        files[f"anchors/{number:04}.json"] = encode(document)
        if beside:
            files[f"anchors/{number:04}.checkpoint"] = log.checkpoint(size)
    path = write_zip(tmp_path / "bundle.zip", bag(files))
    return verify_bundle(path, load_trust(json.dumps(trust).encode()), now=NOW)


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


@pytest.mark.parametrize(("size", "beside"), [(5, False), (5, True), (3, True)])
def test_an_anchored_head_of_the_log_passes(tmp_path: Path, size: int, beside: bool) -> None:
    report = anchored(tmp_path, LOG, size, beside=beside)
    assert report.verdict is Verdict.VERIFIED, report.to_text()
    assert check(report, Name.ANCHORS).outcome is Outcome.PASSED


def test_many_anchors_cost_one_reading_of_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[int]] = []

    def counted(leaves: Sequence[bytes], sizes: Iterable[int]) -> dict[int, bytes]:
        asked.append(list(sizes))
        return prefix_roots(leaves, asked[-1])

    monkeypatch.setattr(bundle_receipts, "prefix_roots", counted)
    report = anchored(tmp_path, LOG, 3, copies=40)
    assert check(report, Name.ANCHORS).message == "40 anchored heads, all of this log"
    assert asked == [[5, 5], [3]], "once for receipts and once for anchors"


def test_a_checkpoint_beside_an_anchor_has_a_bounded_size(tmp_path: Path) -> None:
    block = {"chain_id": 1337, "contract": "0x" + "11" * 20, "block_hash": "0x" + "22" * 32}
    trust = json.loads(LOG.trust(witnesses=[W1], roots=[ROOT])) | {"anchors": [block]}
    files = payload(**{"anchors/0001.json": b"{}", "anchors/0001.checkpoint": bytes(2 << 20)})
    report = verify_bundle(write_zip(tmp_path / "b.zip", bag(files)), load_trust(json.dumps(trust).encode()), now=NOW)
    assert (report.verdict, check(report, Name.ANCHORS).finding) == (Verdict.INVALID, Finding.MALFORMED)


def test_an_anchor_of_another_size_needs_its_checkpoint(tmp_path: Path) -> None:
    report = anchored(tmp_path, LOG, 3, beside=False)
    assert report.verdict is Verdict.COULD_NOT_CHECK
    assert "size 3" in check(report, Name.ANCHORS).ask_for[0]


def test_an_anchored_head_that_the_log_does_not_have_is_a_split_view(tmp_path: Path) -> None:
    other = make_log()
    other.append("job.refused", [BANK], id="job-1", body={})
    assert check(anchored(tmp_path, other, 6), Name.ANCHORS).finding is Finding.ROLLBACK
    del other.entries[4]
    other.rechain(4)
    assert check(anchored(tmp_path, other, 5), Name.ANCHORS).finding is Finding.SPLIT_VIEW


def test_an_anchor_needs_a_checkpoint_that_the_log_signed(tmp_path: Path) -> None:
    stranger = MiniLog(keys=[witness("mallory")], entries=list(LOG.entries))
    report = anchored(tmp_path, stranger, 5)
    assert report.verdict is Verdict.INVALID


# --- one pass for all sizes -------------------------------------------------------------------------------------------


def test_the_roots_of_all_prefixes_are_those_of_the_definition() -> None:
    leaves = [hash_leaf(bytes([number])) for number in range(70)]
    roots = prefix_roots(leaves, range(-1, 72))
    assert roots == {size: tree_hash(leaves[:size]) for size in range(71)}
    assert roots[0] == EMPTY_ROOT


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    verify(tmp_path, payload(), progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1]


def test_a_time_needs_its_zone(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="zone"):
        verify(tmp_path, payload(), now=datetime(2026, 11, 22))  # noqa: DTZ001 - that is what is tested
