"""A hub that lies about a result: whatever it changes, nothing is returned."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import httpx
import pytest

from tests.lib.mini_log import Signer
from tests.lib.sdk_hub import BUREAU, NODE, PARTNER, Job, SdkHub, fixed_key, make_table
from yingbi.canonical import canonical_bytes, digest_bytes
from yingbi.client import Client
from yingbi.client import Job as ClientJob
from yingbi.errors import ConflictError, ErrorCode, InvalidRequestError, SandboxError, VerificationError
from yingbi.sealing import ResultKey
from yingbi.verify import load_trust


def released(hub: SdkHub, client: Client) -> tuple[ClientJob, Job]:
    """Return a job with a result, as the client has it and as the hub does."""
    job = client.dataset("tax/annual_filings").value_counts("street").submit().wait(progress=False)
    return job, hub.jobs[job.id]


def forge(hub: SdkHub, job: Job) -> None:
    """Seal another result to the partner: everybody can."""
    hub.answer = lambda plan: {**make_table(plan), "rows": [["A", "999"]]}
    before = list(job.entries)
    hub.release(job)
    job.entries[:] = before


def by_stranger(hub: SdkHub, job: Job) -> None:
    """Have the forged result released by a key that nobody registered."""
    job.entries.pop()
    hub.release(job, signer=fixed_key("stranger"))


def by_another_party(hub: SdkHub, job: Job) -> None:
    """Have it released by a registered key that is not the node's."""
    job.entries.pop()
    hub.release(job, signer=fixed_key("bureau:futian"))


def by_no_node(hub: SdkHub, job: Job) -> None:
    """Have it released by a party that is registered, signs for itself, and is no node."""
    job.entries.pop()
    hub.release(job, issuer="bureau:futian")


def by_the_hub_as_a_node(hub: SdkHub, job: Job) -> None:
    """Register a node's key without a root."""
    key = fixed_key("node:made-up")
    hub.register("node:made-up", signers=(key, fixed_key("bureau:futian")))
    job.entries.pop()
    hub.release(job, signer=key)


def by_a_key_out_of_the_log(hub: SdkHub, job: Job) -> None:
    """Show a registration that a root has signed, and that was never recorded."""
    node, key = "node:never-recorded", fixed_key("node:never-recorded")
    job.entries.pop()
    length, place = len(hub.log.entries), hub.key_entries[1]
    hub.register(node)
    unrecorded = json.loads(hub.log.entries[length])
    del hub.log.entries[length:], hub.key_entries[-1]
    there = hub.log.entries[place]
    shown = canonical_bytes({**unrecorded, "seq": place})
    tile, listed = hub.tile, hub.listed

    def changed_tile(path: str) -> httpx.Response:
        hub.log.entries[place] = shown
        answer = tile(path)
        hub.log.entries[place] = there
        return answer

    def changed_listing(index: int) -> dict[str, Any]:
        return {**listed(index), "statement": unrecorded["statement"]} if index == place else listed(index)

    hub.tile, hub.listed = changed_tile, changed_listing  # type: ignore[method-assign]
    hub.release(job, issuer=node, signer=key)


def by_another_node(hub: SdkHub, job: Job) -> None:
    """Have it released by a node of another unit, which is registered and never had the job."""
    hub.register("node:somewhere-else")
    job.entries.pop()
    hub.release(job, issuer="node:somewhere-else")


def by_a_node_that_got_the_job_later(hub: SdkHub, job: Job) -> None:
    """Lease the job to another node once the result is out."""
    by_another_node(hub, job)
    hub.lease(job, node="node:somewhere-else")


def by_a_node_that_leased_it_to_itself(hub: SdkHub, job: Job) -> None:
    """Have another node lease the job, in its own name and in the bureau's."""
    other = "node:somewhere-else"
    hub.register(other)
    job.entries.pop()
    hub.lease(job, node=other, issuer=other)
    hub.release(job, issuer=other)


def by_a_node_with_a_forged_lease(hub: SdkHub, job: Job) -> None:
    """Have another node lease the job in the bureau's name."""
    other = "node:somewhere-else"
    hub.register(other)
    job.entries.pop()
    hub.lease(job, node=other, signer=fixed_key(other))
    hub.release(job, issuer=other)


def in_the_nodes_name(hub: SdkHub, job: Job) -> None:
    """Have it released by the hub's own key: the node issues it on behalf of the bureau, and has not signed."""
    job.entries.pop()
    hub.release(job, signer=fixed_key("bureau:futian"), on_behalf_of="bureau:futian")


def not_leased(hub: SdkHub, job: Job) -> None:
    """Show no lease."""
    job.entries.pop(1)


def of_another_job(hub: SdkHub, job: Job) -> None:
    """Show an entry that released the same bytes for another job."""
    job.entries.pop()
    hub.release(job, name="job-other")


def not_recorded(hub: SdkHub, job: Job) -> None:
    """Show no release at all."""
    job.entries.pop()


def not_submitted(hub: SdkHub, job: Job) -> None:
    """Show no submission."""
    job.entries.pop(0)


def out_of_the_log(hub: SdkHub, job: Job) -> None:
    """Change the entry after its receipt was made."""
    evidence = hub.evidence

    def changed(index: int) -> dict[str, Any]:
        found = evidence(index)
        return {**found, "entry": {**found["entry"], "time": "2026-11-21T08:00:59.000000Z"}}

    hub.evidence = changed  # type: ignore[method-assign]


def not_cosigned(hub: SdkHub, job: Job) -> None:
    """Show a checkpoint that no witness has seen."""
    hub.receipt = lambda index: hub.log.receipt(index).decode()  # type: ignore[method-assign]


def altered(hub: SdkHub, job: Job) -> None:
    """Change one bit of the sealed bytes."""
    job.sealed = job.sealed[:-1] + bytes([job.sealed[-1] ^ 1])


def no_entries(hub: SdkHub, job: Job) -> None:
    """Send receipts of no form."""
    hub.evidence = lambda index: {"index": "1", "entry": 0.5}  # type: ignore[method-assign]


LIES = [
    forge,
    by_stranger,
    by_another_party,
    by_no_node,
    by_the_hub_as_a_node,
    by_a_key_out_of_the_log,
    by_another_node,
    by_a_node_that_got_the_job_later,
    by_a_node_that_leased_it_to_itself,
    by_a_node_with_a_forged_lease,
    in_the_nodes_name,
    not_leased,
    of_another_job,
    not_recorded,
    not_submitted,
    out_of_the_log,
    not_cosigned,
    altered,
    no_entries,
]


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_nothing_is_returned_that_the_log_does_not_say(lie: Callable[[SdkHub, Job], None]) -> None:
    hub = SdkHub()
    with hub.connect() as client:
        job, there = released(hub, client)
        lie(hub, there)
        with pytest.raises(VerificationError):
            job.result()


@pytest.mark.parametrize("lie", [forge, altered], ids=lambda lie: lie.__name__)
def test_other_bytes_are_told_from_a_key_that_does_not_fit(lie: Callable[[SdkHub, Job], None]) -> None:
    hub = SdkHub()
    with hub.connect() as client:
        job, there = released(hub, client)
        lie(hub, there)
        with pytest.raises(VerificationError) as error:
            job.result()
    assert error.value.code is ErrorCode.PROOF_UNVERIFIED
    assert error.value.hint is not None


def test_an_answer_to_another_question_is_refused_by_who_asked() -> None:
    hub = SdkHub(answer=lambda plan: {**make_table(plan), "question": "sha256:" + "9" * 64})
    with hub.connect() as client:
        job, _ = released(hub, client)
        with pytest.raises(VerificationError, match="another question"):
            job.result()


@pytest.mark.parametrize(
    "change",
    [
        lambda wrapped: wrapped.pop("content"),
        lambda wrapped: wrapped["content"].update(value="sha256:" + "0" * 64),
        lambda wrapped: wrapped["content"].update(salt="AAAA"),
        lambda wrapped: wrapped["content"].update(salt="A" * 43),
        lambda wrapped: wrapped["result"].update(rounding=1),
    ],
    ids=range(5),
)
def test_what_was_sealed_has_to_open_what_was_recorded(
    change: Callable[[dict[str, Any]], object],
) -> None:
    hub = SdkHub(change=change)
    with hub.connect() as client:
        job, _ = released(hub, client)
        with pytest.raises(VerificationError):
            job.result()


def test_without_a_trust_file_nothing_is_verified_and_nothing_opened() -> None:
    hub = SdkHub()
    with hub.connect(trust=None) as client:
        job, _ = released(hub, client)
        with pytest.raises(InvalidRequestError) as missing:
            job.result()
    assert missing.value.code is ErrorCode.CONFIG_INVALID
    assert missing.value.hint is not None


def test_a_trust_file_without_roots_names_no_node() -> None:
    hub = SdkHub()
    with hub.connect(trust=load_trust(hub.trust(roots=False))) as client:
        job, _ = released(hub, client)
        with pytest.raises(VerificationError, match="roots"):
            job.result()


def test_a_named_key_registers_nobody() -> None:
    hub = SdkHub()
    with hub.connect(trust=load_trust(hub.trust(named="bureau:futian"))) as client:
        job, there = released(hub, client)
        assert job.result() is not None
        by_the_hub_as_a_node(hub, there)
        with pytest.raises(VerificationError, match="roots"):
            job.result()


def test_a_log_alone_is_enough_only_for_those_who_say_so() -> None:
    hub = SdkHub()
    with hub.connect(trust=load_trust(hub.trust(quorum=False))) as client:
        job, _ = released(hub, client)
        assert job.result() is not None


def test_a_node_whose_key_was_revoked_before_releases_nothing() -> None:
    hub = SdkHub()
    with hub.connect() as client:
        keyid = fixed_key(NODE).public.thumbprint
        body = {"keyid": keyid, "reason": "compromised"}
        hub.key_entries.append(hub.record("key.revoked", body, issuer="bureau:futian", keys=(hub.root,)))
        job, _ = released(hub, client)
        with pytest.raises(VerificationError, match="roots"):
            job.result()


def test_a_key_that_ends_between_two_results_is_noticed() -> None:
    hub = SdkHub()
    with hub.connect() as client:
        first, _ = released(hub, client)
        assert first.result() is not None
        body = {"keyid": fixed_key(NODE).public.thumbprint, "reason": "compromised"}
        hub.key_entries.append(hub.record("key.revoked", body, issuer="bureau:futian", keys=(hub.root,)))
        second, _ = released(hub, client)
        with pytest.raises(VerificationError, match="roots"):
            second.result()
        assert first.result() is not None, "it was good then"


def test_a_node_whose_key_was_rotated_releases() -> None:
    hub = SdkHub()
    old, new = fixed_key(NODE), fixed_key("new")
    body = {"old": old.public.thumbprint, "jwk": new.public.to_jwk(), "owner": NODE, "not_after": None}
    hub.key_entries.append(hub.record("key.rotated", body, issuer=NODE, keys=(old, new)))
    with hub.connect() as client:
        job, there = released(hub, client)
        there.entries.pop()
        hub.release(there, signer=new)
        assert job.result() is not None
        there.entries.pop()
        hub.release(there, signer=old)
    with hub.connect() as client, pytest.raises(VerificationError):
        client.job(job.id).result()


def test_the_node_that_had_the_job_last_releases_it() -> None:
    hub = SdkHub()
    hub.register("node:somewhere-else")
    with hub.connect() as client:
        job, there = released(hub, client)
        there.entries.pop()
        hub.lease(there, node="node:somewhere-else")
        hub.release(there, issuer="node:somewhere-else")
        assert job.result() is not None
        there.entries.pop()
        hub.release(there)
        with pytest.raises(VerificationError, match=r"output\.released"):
            job.result()


@pytest.mark.parametrize("on_behalf_of", [None, "bureau:futian"])
def test_an_entry_that_its_issuer_has_not_signed_is_none(on_behalf_of: str | None) -> None:
    hub = SdkHub()
    with hub.connect() as client:
        job, there = released(hub, client)
        there.entries.pop()
        hub.release(there, signer=fixed_key("bureau:futian"), on_behalf_of=on_behalf_of)
        with pytest.raises(VerificationError):
            client.run(client.hub.evidence.verify(job.receipts()[-1]))


def test_a_profile_that_names_somebody_else_is_told_from_a_forgery() -> None:
    hub = SdkHub()
    with hub.connect() as client:
        job, _ = released(hub, client)
    with hub.connect(party="partner:another") as client:
        with pytest.raises(VerificationError, match=f"as `{PARTNER}`") as refused:
            client.job(job.id).result()
        assert "profile" in str(refused.value.hint)


def test_keys_are_looked_up_once() -> None:
    hub = SdkHub()
    with hub.connect() as client:
        job, _ = released(hub, client)
        job.result()
        asked = len([request for request in hub.seen if request.url.path == "/v1/keys"])
        job.result()
        assert len([request for request in hub.seen if request.url.path == "/v1/keys"]) == asked


def test_another_key_for_results_is_told_from_a_broken_seal() -> None:
    hub = SdkHub()
    with hub.connect() as client:
        job, _ = released(hub, client)
    with (
        hub.connect(result_key=ResultKey.generate()) as client,
        pytest.raises(InvalidRequestError, match="another key"),
    ):
        client.job(job.id).result()


@pytest.mark.parametrize("state", ["submitted", "refused", "failed", "destroyed", "of-a-newer-hub"])
def test_there_is_no_result_in_any_other_state(state: str) -> None:
    hub = SdkHub()
    with hub.connect() as client:
        job, there = released(hub, client)
        there.state = state
        with pytest.raises(ConflictError, match=state):
            job.result()


def _answer(body: bytes, _: httpx.Request) -> httpx.Response:
    return httpx.Response(200, content=body)


def test_an_entry_of_the_public_log_comes_with_its_receipt() -> None:
    hub = SdkHub()
    with hub.connect() as client:
        found = client.run(client.hub.evidence.fetch(1))
        assert found.entry == hub.log.entries[1]
        for wrong in (b"", b"c2sp.org/tlog-proof@v1\nindex 0\n\nx", b"c2sp.org/tlog-proof@v1\nindex 0\n\nlog\nx\n"):
            hub.faults = [partial(_answer, wrong)]
            with pytest.raises(SandboxError):
                client.run(client.hub.evidence.fetch(0))


def envelope(payload: object) -> dict[str, Any]:
    data = base64.b64encode(json.dumps(payload).encode()).decode()
    return {"payload": data, "payloadType": "x", "signatures": []}


STATEMENTS: dict[str, object] = {
    "none": None,
    "text": "text",
    "no-payload": {},
    "payload-of-a-number": {"payload": 5, "signatures": []},
    "no-base64": {"payload": "A" * 5, "signatures": []},
    "deep": {"payload": base64.b64encode(b"[" * 100_000).decode(), "signatures": []},
    "deep-object": {"payload": base64.b64encode(b'{"body":' * 900 + b"1" + b"}" * 900).decode(), "signatures": []},
    "list": envelope([]),
    "body-of-text": envelope({"body": "jwk"}),
    "body-of-a-list": envelope({"body": []}),
    "body-with-a-list": envelope({"body": {"old": []}}),
    "body-with-an-object": envelope({"body": {"keyid": {}}}),
    "jwk-of-text": envelope({"body": {"jwk": "text"}}),
    "jwk-of-numbers": envelope({"body": {"jwk": {"kty": 1, "crv": 2, "x": 3}}}),
    "signatures-of-a-number": {**envelope({"body": {}}), "signatures": 5},
    "signature-of-a-list": {**envelope({"body": {}}), "signatures": [{"keyid": []}]},
}


def refused_by_listing(change: Callable[[int], dict[str, Any]], *, match: str) -> SdkHub:
    """Ask for a result while the hub lists its keys with other members; it must be refused. Return the hub."""
    hub = SdkHub()
    with hub.connect() as client:
        job, _ = released(hub, client)
        listed = hub.listed
        hub.listed = lambda index: {**listed(index), **change(index)}  # type: ignore[method-assign]
        with pytest.raises(VerificationError, match=match):
            job.result()
    return hub


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
def test_a_listing_of_keys_of_another_form_says_nothing(statement: object) -> None:
    refused_by_listing(lambda _: {"statement": statement}, match="roots")


@pytest.mark.parametrize("claimed", [-1, 2**53, 2**80, True, 1.0, "1", None])
def test_a_key_has_a_place_in_the_log(claimed: object) -> None:
    refused_by_listing(lambda _: {"index": claimed}, match="places in the log")


def test_keys_after_an_entry_are_not_asked_for() -> None:
    hub = refused_by_listing(lambda index: {"index": 2**52 + index}, match="roots")
    assert not [request for request in hub.seen if request.url.path.endswith("/receipt")]


def test_no_key_is_looked_up_for_an_entry_that_is_not_in_the_log() -> None:
    hub = SdkHub()
    with hub.connect() as client:
        job, _ = released(hub, client)
        found = job.receipts()[-1]
        claimed = json.loads(found.entry) | {"seq": 2**52}
        with pytest.raises(VerificationError, match="does not verify"):
            client.run(client.hub.evidence.verify(replace(found, entry=canonical_bytes(claimed))))
    assert not [request for request in hub.seen if request.url.path == "/v1/keys"]


def test_a_receipt_of_a_smaller_log_is_not_that_of_the_entry() -> None:
    hub = SdkHub()
    with hub.connect() as client:
        small = hub.receipt(0).encode()
        hub.faults = [partial(_answer, small)]
        with pytest.raises(VerificationError, match="asked for"):
            client.run(client.hub.evidence.fetch(len(hub.log.entries)))
    assert not [request for request in hub.seen if "tile" in request.url.path]


def test_a_key_is_believed_at_its_own_place_alone() -> None:
    """The hub answers with the entry of another key, which is in the log and signed by a root."""
    hub = SdkHub()
    with hub.connect() as client:
        job, _ = released(hub, client)
        tile, receipt = hub.tile, hub.receipt

        def shifted(path: str) -> httpx.Response:
            entries = hub.log.entries
            hub.log.entries = [entries[2], *entries[1:]]
            answer = tile(path)
            hub.log.entries = entries
            return answer

        hub.tile = shifted  # type: ignore[method-assign]
        hub.receipt = lambda index: receipt(2 if index == 0 else index)  # type: ignore[method-assign]
        with pytest.raises(VerificationError, match="roots"):
            job.result()


def record_as_it_is(hub: SdkHub, kind: str, issuer: str, name: str, body: dict[str, Any]) -> int:
    """Record what nobody here would sign, signed by its issuer."""
    by = [Signer(fixed_key(issuer)._key, issuer)]
    return hub.log.append(kind, by, id=name, issuer=issuer, on_behalf_of=None, body=body)


@pytest.mark.parametrize("body", [{}, {"agreement": []}, {"result_key": 5}])
def test_a_submission_of_another_form_opens_nothing(body: dict[str, Any]) -> None:
    hub = SdkHub()
    with hub.connect() as client:
        job, there = released(hub, client)
        there.entries[0] = record_as_it_is(hub, "job.submitted", BUREAU, job.id, body)
        with pytest.raises(InvalidRequestError, match="another key"):
            job.result()


def test_a_release_without_content_opens_nothing() -> None:
    hub = SdkHub()
    with hub.connect() as client:
        job, there = released(hub, client)
        body = {"job": job.id, "ciphertext": digest_bytes(there.sealed)}
        there.entries[-1] = record_as_it_is(hub, "output.released", NODE, "out-1", body)
        with pytest.raises(VerificationError):
            job.result()


@pytest.mark.parametrize(
    "change",
    [{"receipt": "\ud800"}, {"entry": {"a": "\ud800"}}, {"entry": {"a": 2**80}}, {"index": True}, {"receipt": 5}],
)
def test_receipts_of_another_form_are_an_error_of_ours(change: dict[str, Any]) -> None:
    hub = SdkHub()
    with hub.connect() as client:
        job, _ = released(hub, client)
        answer_to = hub.answer_to

        def changed(request: httpx.Request) -> httpx.Response:
            answer = answer_to(request)
            if not request.url.path.endswith("/receipts"):
                return answer
            rows = [{**row, **change} for row in answer.json()["entries"]]
            return httpx.Response(200, content=json.dumps({"entries": rows}).encode())

        hub.answer_to = changed  # type: ignore[method-assign]
        with pytest.raises(SandboxError):
            job.receipts()
