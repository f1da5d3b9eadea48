"""The follower: what is accepted, what is refused, what is kept as evidence, and what a restart makes of it."""

import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from ledger.checkpoint import format_checkpoint, parse_checkpoint
from ledger.note import Note, NoteSignature, NoteSigner, TextSigner, format_note, parse_note, sign_note
from ledger.tiles import bundle_path, decode_bundle, encode_bundle
from ledger.witness_evidence import EvidenceKind, parse_evidence, verify_evidence
from policies.model import terms_digest, to_json
from policies.standing import Standing
from sandbox.database import writing
from sandbox.node.agent_home import OpenAgent
from tests.lib.agents import AGREEMENT, Scene
from tests.lib.fake_hub import ORIGIN, FakeHub
from yingbi.clock import FixedClock
from yingbi.errors import ErrorCode, SandboxError, TamperDetectedError, UnavailableError, VerificationError
from yingbi.ids import new_id, new_nonce
from yingbi.keys import SigningKey
from yingbi.receipts import Checkpoint


def cosigned(hub: FakeHub, text_: bytes, *, count: int = 2, signer: TextSigner | None = None) -> bytes:
    """Return a checkpoint signed by the log and by some of its witnesses, whatever it says."""
    signers: list[NoteSigner] = [signer or hub.signer]
    signers += [one.cosigner for one in hub.witnesses.members[:count]]
    return sign_note(text_, signers)


def head_of(hub: FakeHub) -> Checkpoint:
    return hub.log.reader.published().checkpoint


def something(hub: FakeHub) -> None:
    """Have something recorded that concerns nobody."""
    hub.say("log.audited", new_id("log"), _AUDITED, "person:approver")


_AUDITED = {
    "from_size": 1,
    "to_size": 2,
    "root": "sha256:" + "0" * 64,
    "verdict": "VERIFIED",
    "report": "sha256:" + "0" * 64,
}


def test_what_is_new_is_fetched_checked_stored_and_folded(scene: Scene) -> None:
    with scene.agent() as opened:
        head = opened.follower.follow()
        assert (head.size, head.root) == (head_of(scene.hub).size, head_of(scene.hub).root)
        assert opened.follower.standing.size == head.size
        scene.hub.asked.clear()
        assert opened.follower.follow() == head
        assert scene.hub.asked == ["GET /checkpoint"], "nothing is new"
        something(scene.hub)
        assert opened.follower.follow().size == head.size + 1


def test_a_restart_asks_for_nothing_that_is_stored(scene: Scene) -> None:
    with scene.agent() as opened:
        head = opened.follower.follow()
    scene.hub.asked.clear()
    with scene.agent() as opened:
        assert opened.follower.head == head
        assert opened.follower.standing.size == head.size
        assert opened.follower.follow() == head
    assert scene.hub.asked == ["GET /checkpoint"]


def test_nobody_relies_on_a_standing_that_lacks_entries(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    with scene.agent() as opened:
        opened.follower.follow()
        something(scene.hub)
        with monkeypatch.context() as patch:
            patch.setattr(Standing, "take", _breaking)
            with pytest.raises(LookupError):
                opened.follower.follow()
            with pytest.raises(LookupError):
                opened.follower.follow()
        for require in (opened.follower.require_sound, opened.follower.require_current):
            with pytest.raises(UnavailableError):
                require()
        assert opened.follower.follow().size == head_of(scene.hub).size
        assert opened.follower.standing.size == head_of(scene.hub).size
        opened.follower.require_current()


def _breaking(self: Standing, *_: object, **__: object) -> None:
    raise LookupError


def test_a_store_that_was_changed_is_found_at_the_start(scene: Scene) -> None:
    scene.work()
    with scene.home() as home, writing(home.database) as connection:
        connection.execute(text("update node_followed_entry set data = (select data from node_followed_entry limit 1)"))
    with pytest.raises(TamperDetectedError) as caught, scene.agent():
        pass
    assert caught.value.code is ErrorCode.STORE_DAMAGED


Alter = Callable[[FakeHub, bytes], bytes]


def _unsigned(hub: FakeHub, note: bytes) -> bytes:
    parsed = parse_note(note)
    return format_note(Note(parsed.text, tuple(one for one in parsed.signatures if one.name != ORIGIN)))


def _by_another_key(hub: FakeHub, note: bytes) -> bytes:
    other = TextSigner(ORIGIN, SigningKey.from_seed(b"\x55" * 32))
    return cosigned(hub, parse_note(note).text, signer=other)


def _without_witness(hub: FakeHub, note: bytes) -> bytes:
    return cosigned(hub, parse_note(note).text, count=1)


def _another_log(hub: FakeHub, note: bytes) -> bytes:
    head = parse_checkpoint(parse_note(note).text)
    other = TextSigner("log.example/other", hub.signer.key)
    return cosigned(hub, format_checkpoint(Checkpoint(origin=other.name, size=head.size, root=head.root)), signer=other)


def _broken_cosignature(hub: FakeHub, note: bytes) -> bytes:
    parsed = parse_note(note)
    lines = [
        one if one.name == ORIGIN else NoteSignature(one.name, one.key_id, one.blob[:-1] + bytes([one.blob[-1] ^ 1]))
        for one in parsed.signatures
    ]
    return format_note(Note(parsed.text, tuple(lines)))


def _another_root(hub: FakeHub, note: bytes) -> bytes:
    head = parse_checkpoint(parse_note(note).text)
    return cosigned(hub, format_checkpoint(Checkpoint(origin=ORIGIN, size=head.size, root=bytes(32))))


REFUSED: dict[str, tuple[Alter, ErrorCode]] = {
    "not signed by the log": (_unsigned, ErrorCode.NOTE_UNVERIFIED),
    "signed by another key": (_by_another_key, ErrorCode.NOTE_UNVERIFIED),
    "one witness too few": (_without_witness, ErrorCode.QUORUM_NOT_MET),
    "another log's": (_another_log, ErrorCode.NOTE_UNVERIFIED),
    "a cosignature that does not verify": (_broken_cosignature, ErrorCode.NOTE_UNVERIFIED),
    "another root": (_another_root, ErrorCode.PROOF_UNVERIFIED),
    "no note": (lambda hub, note: b"nothing", ErrorCode.NOTE_MALFORMED),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("is_first", [True, False])
def test_a_checkpoint_that_is_not_good_is_refused_and_stops_work(scene: Scene, name: str, is_first: bool) -> None:
    alter, code = REFUSED[name]
    with scene.agent() as opened:
        if not is_first:
            opened.follower.follow()
        something(scene.hub)
        before = opened.follower.head
        read = scene.hub.read
        scene.hub.read = lambda path: alter(scene.hub, read(path)) if path == "checkpoint" else read(path)  # type: ignore[method-assign]
        with pytest.raises(SandboxError) as caught:
            opened.follower.follow()
        assert caught.value.code is code
        assert opened.follower.head == before
        with pytest.raises(SandboxError):
            opened.follower.require_current()
        scene.hub.read = read  # type: ignore[method-assign]
        assert opened.follower.follow().size == head_of(scene.hub).size, "it passes"
        opened.follower.require_current()


def test_cosignatures_that_are_old_or_of_the_future_do_not_count(scene: Scene) -> None:
    assert isinstance(scene.clock, FixedClock)
    now = scene.clock.at
    with scene.agent() as opened:
        for there in (now + timedelta(hours=1), now - timedelta(hours=1)):
            scene.clock.at = there
            with pytest.raises(UnavailableError) as caught:
                opened.follower.follow()
            assert caught.value.code is ErrorCode.QUORUM_NOT_MET
        assert opened.follower.head.size == 0


def test_a_head_that_was_accepted_grows_old(scene: Scene) -> None:
    assert isinstance(scene.clock, FixedClock)
    with scene.agent() as opened:
        opened.follower.follow()
        scene.clock.at += timedelta(hours=1)
        opened.follower.follow()
        with pytest.raises(UnavailableError):
            opened.follower.require_current()


def altered(hub: FakeHub, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Have the hub serve other entries than it recorded."""
    read = hub.read
    hub.read = lambda path: (  # type: ignore[method-assign]
        encode_bundle(change(decode_bundle(read(path)))) if path.startswith("tile/entries") else read(path)
    )


CHANGES: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "hidden": lambda entries: entries[:-1],
    "swapped": lambda entries: [*entries[:-2], entries[-1], entries[-2]],
    "altered": lambda entries: [*entries[:-1], entries[-1].replace(b'"v":1', b'"v":2')],
}


@pytest.mark.parametrize("name", CHANGES)
def test_entries_that_are_not_the_checkpoints_are_refused(scene: Scene, name: str) -> None:
    altered(scene.hub, CHANGES[name])
    with scene.agent() as opened:
        with pytest.raises(VerificationError):
            opened.follower.follow()
        assert opened.follower.head.size == 0


def test_an_old_checkpoint_is_refused_and_passes(scene: Scene) -> None:
    with scene.agent() as opened:
        opened.follower.follow()
        old = scene.hub.log.reader.published().note
        something(scene.hub)
        opened.follower.follow()
        with pytest.raises(VerificationError) as caught:
            opened.follower.advance(old)
        assert caught.value.code is ErrorCode.CHECKPOINT_OLD
        with pytest.raises(VerificationError):
            opened.follower.require_current()
        opened.follower.follow()
        opened.follower.require_current()
        assert opened.reports.unresolved() == ()


def test_a_checkpoint_that_another_thread_has_passed_meanwhile_is_no_trouble(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scene.agent() as opened:
        follower = opened.follower
        follower.follow()
        old = scene.hub.log.reader.published().note
        something(scene.hub)

        def late() -> bytes:
            monkeypatch.undo()
            follower.follow()
            return old

        monkeypatch.setattr(follower._source, "checkpoint", late)
        assert follower.follow().size == head_of(scene.hub).size
        assert follower.trouble is None
        # Served when nothing went on meanwhile, it is an old copy.
        monkeypatch.setattr(follower._source, "checkpoint", lambda: old)
        with pytest.raises(VerificationError):
            follower.follow()


def expect_fork(scene: Scene, opened: OpenAgent, note: bytes, kind: EvidenceKind) -> None:
    with pytest.raises(TamperDetectedError) as caught:
        opened.follower.advance(note)
    assert caught.value.code is ErrorCode.LOG_FORKED
    (report,) = opened.reports.unresolved()
    assert report.is_halting
    assert report.evidence is not None
    evidence = parse_evidence((scene.folder / "node" / report.evidence).read_bytes())
    assert evidence.kind is kind
    if kind is not EvidenceKind.UNPROVEN:
        verify_evidence(evidence, [scene.hub.signer.verifier])
    with pytest.raises(TamperDetectedError):
        opened.follower.follow()


def test_another_root_at_the_same_size_is_evidence_and_halts(scene: Scene) -> None:
    with scene.agent() as opened:
        head = opened.follower.follow()
        note = cosigned(
            scene.hub, format_checkpoint(Checkpoint(origin=ORIGIN, size=head.size, root=bytes(32))), count=0
        )
        expect_fork(scene, opened, note, EvidenceKind.TWO_ROOTS)
    with scene.agent() as opened:
        with pytest.raises(TamperDetectedError):
            opened.agent.work()
        assert opened.reports.resolve() == 1
        opened.agent.work()


@pytest.mark.parametrize("more", [1, 5])
def test_a_fork_that_the_hub_serves_is_evidence_and_halts(scene: Scene, tmp_path: Path, more: int) -> None:
    fork = forked(scene, tmp_path, more)
    with scene.agent() as opened:
        opened.follower.follow()
        scene.hub.read = fork.read  # type: ignore[method-assign]
        note = fork.read("checkpoint")
        expect_fork(scene, opened, note, EvidenceKind.REWRITTEN)
    fork.close()


def forked(scene: Scene, folder: Path, more: int) -> FakeHub:
    """Return another history of the same log, as long and `more`, which the same witnesses have never seen."""
    import shutil

    shutil.copytree(scene.folder / "hub", folder / "fork")
    fork = FakeHub(folder / "fork", scene.clock)
    something(scene.hub)
    for _ in range(1 + more):
        something(fork)
    return fork


def test_a_shorter_fork_is_known_by_the_nodes_own_entries(scene: Scene, tmp_path: Path) -> None:
    fork = forked(scene, tmp_path, 0)
    for _ in range(3):
        something(scene.hub)
    with scene.agent() as opened:
        opened.follower.follow()
        expect_fork(scene, opened, fork.read("checkpoint"), EvidenceKind.REWRITTEN)
    fork.close()


def test_a_fork_without_quorum_is_evidence_too(scene: Scene, tmp_path: Path) -> None:
    fork = forked(scene, tmp_path, 3)
    with scene.agent() as opened:
        opened.follower.follow()
        scene.hub.read = fork.read  # type: ignore[method-assign]
        alone = cosigned(fork, parse_note(fork.read("checkpoint")).text, count=0)
        expect_fork(scene, opened, alone, EvidenceKind.REWRITTEN)
    fork.close()


def test_an_entry_that_does_not_fit_has_no_effect_and_is_kept_as_a_violation(scene: Scene) -> None:
    forged = scene.hub.statement(
        "access.frozen",
        new_id("freeze"),
        {"target": "partner:bank-a", "reason": "incident", "drill": False, "note": None},
        "bureau:futian",
    )
    (index,) = scene.hub.record([forged], is_judged=False)
    with scene.agent() as opened:
        opened.follower.follow()
        assert opened.follower.standing.frozen == frozenset()
        assert opened.follower.entry(index) is None
    with scene.home() as home:
        from sandbox.node.follower_store import FollowerStore

        (violation,) = FollowerStore(home.database, ORIGIN).violations()
    assert (violation.seq, violation.type, violation.rule) == (index, "access.frozen", "duty")


def test_terms_that_come_late_are_folded_in(scene: Scene) -> None:
    documents, scene.hub.documents = scene.hub.documents, {}
    job = scene.ask()
    with scene.agent() as opened:
        opened.follower.follow()
        assert opened.follower.standing.jobs.get(job) is not None
        assert opened.follower.standing.agreements.get("agr-lab-2026-01") is None
        scene.hub.documents = documents
        assert opened.follower.fetch_missing()
        assert opened.follower.standing.agreements.get("agr-lab-2026-01") is not None
        assert not opened.follower.fetch_missing()


def counter(hub: FakeHub, *, is_hidden: bool = True) -> None:
    """Record that the partner answered the terms in force with others, whether or not that fits."""
    old = hub.texts[next(iter(hub.texts))]
    terms = replace(old, version=2, limits=replace(old.limits, jobs=1, jobs_per_day=1))
    hub.texts[terms_digest(terms)] = terms
    if not is_hidden:
        hub.documents[terms_digest(terms)] = to_json(terms)
    body = {"version": 2, "terms": terms_digest(terms), "previous_terms": terms_digest(old), "note": None}
    said = hub.statement("agreement.countered", old.id, body, "person:officer", on_behalf_of="partner:bank-a")
    hub.record([said], is_judged=False)


def test_an_agreement_whose_terms_are_withheld_is_relied_on_by_nobody(scene: Scene) -> None:
    with scene.agent() as opened:
        follower = opened.follower
        follower.follow()
        assert follower.standing.agreements.get(AGREEMENT) is not None
        counter(scene.hub)
        follower.follow()
        assert (follower.standing.agreements.get(AGREEMENT), follower.lacks_terms(AGREEMENT)) == (None, True)
        assert follower.standing.size == follower.head.size
        assert not follower.fetch_missing()
    with scene.agent() as opened:
        assert opened.follower.lacks_terms(AGREEMENT), "a restart changes nothing"
        assert opened.follower.standing.agreements.get(AGREEMENT) is None


def test_terms_that_come_with_later_entries_are_folded_in(scene: Scene) -> None:
    with scene.agent() as opened:
        follower = opened.follower
        follower.follow()
        counter(scene.hub)
        follower.follow()
        scene.hub.documents |= {digest: to_json(terms) for digest, terms in scene.hub.texts.items()}
        something(scene.hub)
        follower.follow()
        assert not follower.lacks_terms(AGREEMENT)
        found = follower.standing.agreements.get(AGREEMENT)
        assert found is not None
        assert found.agreement.version == 1, "the answer came too late to be one"
        assert follower.standing.size == follower.head.size


def test_terms_of_another_digest_are_not_taken(scene: Scene) -> None:
    (digest,) = scene.hub.documents
    document = scene.hub.documents[digest]
    assert isinstance(document, dict)
    scene.hub.documents = {digest: {**document, "limits": {**document["limits"], "jobs": 2_000_000}}}  # type: ignore[dict-item]
    with scene.agent() as opened:
        opened.follower.follow()
        assert opened.follower.find_terms(digest) is None


def test_the_logs_key_changes_by_its_own_entries_only(scene: Scene) -> None:
    hub = scene.hub
    old, new = hub.signer, TextSigner(ORIGIN, SigningKey.from_seed(b"\x66" * 32))

    def change(phase: str, *signers: SigningKey) -> None:
        from yingbi.statement import sign

        payload: dict[str, object] = {
            "type": "log.key_changed",
            "id": new_id("log"),
            "issuer": "log:fake",
            "on_behalf_of": None,
            "issued_at": hub.tick(),
            "nonce": new_nonce(),
            "subject": [],
            "refs": {},
            "body": {"phase": phase, "old_vkey": old.verifier.encode(), "new_vkey": new.verifier.encode()},
        }
        hub.record([sign(payload, signers)])

    junk = {"phase": "begin", "old_vkey": "a+00000000+AAAA", "new_vkey": "b+00000000+AAAA"}
    with scene.agent() as opened:
        change("begin", new.key)
        hub.say("log.key_changed", new_id("log"), junk, "person:approver")
        opened.follower.follow()
        text_ = parse_note(hub.read("checkpoint")).text
        read = hub.read

        def resigned(path: str) -> bytes:
            data = read(path)
            return cosigned(hub, parse_note(data).text, signer=new) if path == "checkpoint" else data

        hub.read = resigned  # type: ignore[method-assign]
        with pytest.raises(VerificationError):
            opened.follower.advance(cosigned(hub, text_, signer=new))
        change("begin", old.key, new.key)
        change("finish", old.key, new.key)
        opened.follower.follow()
        something(hub)
        opened.follower.follow()
        something(hub)
        ended = cosigned(hub, parse_note(read("checkpoint")).text, signer=old)
        with pytest.raises(VerificationError):
            opened.follower.advance(ended)
    with scene.agent() as opened:
        opened.follower.follow()


def test_bundles_that_are_full_are_followed_too(scene: Scene) -> None:
    count = 260 - head_of(scene.hub).size
    hub = scene.hub
    hub.record([hub.statement("log.audited", new_id("log"), _AUDITED, "person:approver") for _ in range(count)])
    with scene.agent() as opened:
        assert opened.follower.follow().size == 260
        assert base64.b64encode(opened.follower.head.root) == base64.b64encode(head_of(hub).root)
        assert f"GET /{bundle_path(0)}" in hub.asked
        hub.record([hub.statement("log.audited", new_id("log"), _AUDITED, "person:approver") for _ in range(3)])
        hub.asked.clear()
        opened.follower.follow()
        assert hub.asked == ["GET /checkpoint", f"GET /{bundle_path(1, 7)}"]
