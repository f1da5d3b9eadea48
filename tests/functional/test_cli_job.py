"""`yingbi job`, `receipt`, `org`, `duty`, `request` as people meet them, against a hub that keeps to the contract."""

import json
import os
import re
import stat
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from tests.lib.command_line import run
from tests.lib.sdk_desk import BY_STREET, Desk, open_desk
from tests.lib.sdk_hub import AGREEMENT_YAML, BUREAU, FILINGS, NODE, PARTNER, SdkHub, fixed_key
from yingbi.canonical import canonical_bytes
from yingbi.client import kept
from yingbi.sealing import load_result_key
from yingbi.statement import parse_statement


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return open_desk(tmp_path, monkeypatch)


def test_job_dry_run_submit_wait_show_list_result_and_cancel(desk: Desk) -> None:
    reviewers = {"job": ["bureau-reviewer"], "output": []}
    desk.hub.decision |= {"reviewers": reviewers, "remaining": {"jobs": 40}, "cost": {"rows": 10}}
    shown = desk.run("job", "dry-run", "--sql", BY_STREET).ok().out
    for word in ("would be allowed", "the number of rows by street", "bureau-reviewer", "jobs 40", "nobody"):
        assert word in shown
    (desk.folder / "ask.sql").write_text(BY_STREET)
    name = (
        desk.run("job", "submit", desk.folder / "ask.sql", "--keep", desk.folder / "kept.json", "--json")
        .ok()
        .json["job"]
    )
    assert json.loads((desk.folder / "kept.json").read_text("utf-8"))["job"] == name
    assert "submitted" in desk.run("job", "show", name).ok().out
    assert desk.run("job", "wait", name, "--json").ok().json["state"] == "released"
    listed = desk.run("job", "list", "--json").ok().json
    assert [one["job"] for one in listed] == [name]
    assert name in desk.run("job", "list").ok().out
    table = desk.run("job", "result", name).ok().out
    for word in ("street", "120", "·", "verified against entry", "rounded to 5"):
        assert word in table
    assert desk.run("job", "result", name, "--json").ok().json["result"]["kind"] == "table"
    desk.run("job", "result", name, "-o", desk.folder / "result.json").ok()
    assert json.loads((desk.folder / "result.json").read_bytes())["v"] == 1
    other = desk.submitted()
    assert "cancelled" in desk.run("job", "cancel", other).ok().out
    assert desk.run("job", "wait", other, "--json").code == 73
    failed = desk.run("job", "result", other, "--json")
    assert (failed.code, failed.error["code"]) == (73, "transition-refused")


def test_job_submit_takes_a_plan_in_json_and_no_other_file(desk: Desk) -> None:
    plan = {
        "v": 1,
        "question": {
            "kind": "table",
            "source": {"dataset": "tax/annual_filings"},
            "aggregates": [{"function": "count"}],
        },
    }
    assert desk.run("job", "submit", "-", "--json", stdin=json.dumps(plan).encode()).ok().json["state"] == "submitted"
    model = {
        "v": 1,
        "question": {
            "kind": "regression",
            "family": "linear",
            "source": {"dataset": "tax/annual_filings"},
            "target": "tax_paid",
            "features": ["staff"],
        },
    }
    shown = desk.run("job", "dry-run", "-", stdin=json.dumps(model).encode()).ok().out
    assert "linear regression" in shown
    for stdin, code in (
        (b"{", "json-malformed"),
        (b"\xff", "sql-not-supported"),
        (b"DROP TABLE x", "sql-not-supported"),
    ):
        assert desk.run("job", "submit", "-", "--json", stdin=stdin).error["code"] == code
    assert desk.run("job", "submit", "--json").error["code"] == "usage"


def test_job_submit_that_is_refused_says_why(desk: Desk) -> None:
    grant = {"operation": "aggregate.count", "dataset": "tax/annual_filings"}
    desk.hub.decision = {"outcome": "refuse", "reasons": [{"message": "not for this", "grant": grant}]}
    asked = desk.run("job", "dry-run", "--sql", BY_STREET)
    assert asked.code == 77
    assert "would be refused" in asked.out
    assert "enough would be" in re.sub(r"[\s│]+", " ", asked.out)
    assert desk.run("job", "submit", "--sql", BY_STREET, "--json").error["code"] == "job-refused"


def test_job_receipts_are_written_to_a_folder(desk: Desk) -> None:
    name = desk.submitted()
    desk.run("job", "wait", name, "--json").ok()
    listed = desk.run("job", "receipts", name, "--folder", desk.folder / "receipts").ok().out
    assert "job.submitted" in listed
    assert "output.released" in listed
    assert len(list((desk.folder / "receipts").glob("*.receipt"))) == 3
    assert desk.run("job", "receipts", name, "--json").ok().json[0]["type"] == "job.submitted"


def test_receipt_verify_and_fetch_work_offline(desk: Desk) -> None:
    name, folder = desk.submitted(), desk.folder / "receipts"
    desk.run("job", "wait", name, "--json").ok()
    desk.run("job", "receipts", name, "--folder", folder).ok()
    desk.hub.faults = [_unplugged] * 99
    trust = ("--trust", desk.folder / "trust.json")
    verified = desk.run("receipt", "verify", folder, *trust)
    assert verified.code == 0
    assert verified.out.count("VERIFIED") == 3
    one = min(folder.glob("*.receipt"))
    entry = one.with_name(one.stem + ".entry.json")
    assert desk.run("receipt", "verify", one, "--entry", entry, *trust).code == 0
    assert desk.run("receipt", "verify", one, *trust).code == 3, "without the entry nothing is shown"
    data = entry.read_bytes()
    entry.write_bytes(data.replace(b'"seq":', b'"seq": '))
    changed = desk.run("receipt", "verify", folder, *trust, "--json")
    assert changed.code == 1
    assert {row["verdict"] for row in changed.json} == {"INVALID", "VERIFIED"}
    entry.write_bytes(data)
    first, *others = sorted((folder / kept.KEYS).glob("*.receipt"))
    first.write_bytes(others[0].read_bytes())
    assert desk.run("receipt", "verify", folder, *trust).code == 3, "a key that is not shown to be in the log is none"
    for path in (folder / kept.KEYS).iterdir():
        path.unlink()
    assert desk.run("receipt", "verify", folder, *trust).code == 3, "whose keys they are is not known any more"
    assert desk.run("receipt", "verify", desk.folder, *trust, "--json").error["code"] == "usage"
    desk.hub.faults = []
    again = desk.folder / "again"
    released = desk.hub.jobs[name].entries[-1]
    assert "output.released" in desk.run("receipt", "fetch", released, "--folder", again).ok().out
    assert desk.run("receipt", "verify", again, *trust).code == 0


def _unplugged(_: httpx.Request) -> httpx.Response:
    raise AssertionError("a verification asked the network")


def test_org_register_admit_suspend_reinstate_offboard_and_list(desk: Desk) -> None:
    desk.hub.missing = ("root",)
    about = ("--kind", "bank", "--name", "某银行", "--bureau", BUREAU, "--json")
    applied = desk.run("org", "register", *about, "--uscc", "91350100M000100Y43").ok()
    assert applied.json["missing"] == ["root"]
    path, body = desk.hub.posted[-1]
    assert path == "applications"
    types = [parse_statement(canonical_bytes(one)).type.value for one in body["statements"]]
    assert types == ["key.registered", "participant.applied"]
    assert body["openings"][0]["value"]["uscc"] == "91350100M000100Y43"
    assert "91350100M000100Y43" not in json.dumps(body["statements"])
    wrong = desk.run("org", "register", *about, "--uscc", "1")
    assert wrong.error["code"] == "usage"
    waiting = desk.run("org", "admit", "partner:bank-b", "--kind", "bank", "--days", "30").ok().out
    assert "kept as a draft" in waiting
    desk.hub.missing = ()
    for words in (
        ("suspend", "partner:bank-b", "--reason", "anomaly", "--days", 3),
        ("reinstate", "partner:bank-b", "--note", "done"),
        ("offboard", "partner:bank-b", "--reason", "request"),
    ):
        done = desk.run("org", *words, "--json").ok().json
        assert done["draft"] is None
        assert done["entries"][0]["type"].startswith("participant.")
    party = {"party": "partner:bank-b", "kind": "bank", "state": "admitted", "valid_until": None}
    desk.hub.listings["participants"] = [party] * 5
    assert desk.run("org", "list", "--json").ok().json == [party] * 5
    assert "partner:bank-b" in desk.run("org", "list").ok().out


def test_duty_grant_revoke_and_list(desk: Desk) -> None:
    assert "duty.granted" in desk.run("duty", "grant", "person:wu", "partner-analyst", "--days", 90).ok().out
    revoked = desk.run("duty", "revoke", "person:wu", "partner-analyst", "--reason", "left", "--json").ok().json
    assert revoked["entries"][0]["type"] == "duty.revoked"
    held = {"holder": "person:wu", "employer": PARTNER, "duties": ["partner-analyst", "partner-key-officer"]}
    desk.hub.listings["duties"] = [held]
    shown = desk.run("duty", "list").ok().out
    assert "partner-key-officer" in shown
    assert desk.run("duty", "list", "--json").ok().json == [held]
    assert desk.run("duty", "grant", "person:wu", "emperor", "--json").error["code"] == "usage"


def test_request_create_sign_list_show_drafts_and_cosign(desk: Desk) -> None:
    (desk.folder / "agreement.yaml").write_text(AGREEMENT_YAML)
    created = desk.run("request", "create", desk.folder / "agreement.yaml", "--json").ok().json
    assert created["entries"][0]["type"] == "agreement.proposed"
    body = desk.hub.posted[-1][1]
    (document,) = body["documents"]
    (proposal,) = body["statements"]
    terms = parse_statement(canonical_bytes(proposal)).payload.body["terms"]
    desk.hub.listings["documents"] = [{**document, "digest": terms}]
    refused = desk.run("request", "sign", "agr-tax-1", "--duty", "unit-cdo", "--terms", terms, "--json")
    assert refused.error["code"] == "agreement-malformed", "a document that is more than its terms"
    desk.hub.faults = [lambda _: httpx.Response(200, json=document)]
    signed = desk.run("request", "sign", "agr-tax-1", "--duty", "unit-cdo", "--terms", terms, "--json").ok().json
    assert signed["entries"][0]["type"] == "agreement.signed"
    desk.hub.faults = [lambda _: httpx.Response(200, json=document)]
    other = "sha256:" + "0" * 64
    refused = desk.run("request", "sign", "agr-tax-1", "--duty", "unit-cdo", "--terms", other, "--json")
    assert refused.error["code"] == "agreement-malformed", "what is signed is what was asked for"
    row: dict[str, Any] = {
        "id": "agr-tax-1",
        "state": "proposed",
        "purpose": "research.aggregate",
        "assigner": "unit:futian-tax",
        "assignee": PARTNER,
        "valid_from": "2026",
        "valid_until": "2027",
        "terms": terms,
        "signatures": [{"person": "person:wu", "employer": "unit:futian-tax", "duty": "unit-cdo"}],
        "missing": ["bureau-approver"],
    }
    desk.hub.listings["agreements"] = [row]
    assert "bureau-approver" in desk.run("request", "list").ok().out
    for noun in ("request", "agreement"):
        desk.hub.faults = _answers(None, document)
        shown = desk.run(noun, "show", "agr-tax-1").ok().out
        granted = ("person:wu unit-cdo", "tax/annual_filings", "street", "group", "jobs_per_day 50", "2099-12-31")
        for word in (*granted, "min_entities 10", "contract 2026-17", "research.aggregate"):
            assert word in shown
        desk.hub.faults = _answers(None, document)
        assert desk.run(noun, "show", "agr-tax-1", "--json").ok().json == {**row, "document": document}
    desk.hub.faults = _answers(None, {**document, "purpose": "other"})
    refused = desk.run("request", "show", "agr-tax-1", "--json")
    assert refused.error["code"] == "agreement-malformed", "what is shown as granted is what was signed"
    draft = {"draft": "sha256:" + "5" * 64, "sender": NODE, "missing": ["root"], "statements": [_by_another(desk.hub)]}
    desk.hub.listings["drafts"] = [draft]
    assert "key.revoked" in desk.run("request", "drafts").ok().out
    assert '"type": "key.revoked"' in desk.run("request", "cosign", draft["draft"]).ok().out
    path, body = desk.hub.posted[-1]
    assert path == f"drafts/{draft['draft']}/signatures"
    assert [one["keyid"] for one in body["signatures"]] == [fixed_key(PARTNER).public.thumbprint]
    assert desk.run("request", "cosign", "sha256:nothing", "--json").error["code"] == "usage"


def _answers(*values: Any) -> list[Any]:
    """Return faults that answer the next requests with these values, and let those through that have none."""
    return [lambda _, value=value: None if value is None else httpx.Response(200, json=value) for value in values]


def test_agreement_show_is_what_request_show_is(desk: Desk) -> None:
    missing = [desk.run(noun, "show", "agr-none", "--json").error["code"] for noun in ("request", "agreement")]
    assert missing == ["thing-not-found"] * 2


def test_catalog_search_lists_the_hubs_data_sets_with_their_columns_and_codes(desk: Desk) -> None:
    shown = desk.run("catalog", "search", "tax").ok().out
    for word in ("tax/annual_filings", "unit:futian-tax", "street", "莲花, 福田", "2, 3", "0 - 1000"):
        assert word in shown
    assert "market/enterprises" not in shown
    found = desk.run("catalog", "search", "--json").ok().json
    assert [one["dataset"] for one in found] == ["tax/annual_filings", "market/enterprises"]
    assert found[0]["document"]["items"][1]["name"] == "industry"
    assert desk.run("catalog", "search", "nothing", "of", "it").ok().out == "Data sets at the hub: none\n"
    desk.hub.datasets = tuple(replace(FILINGS, name=f"tax/filings_{number}") for number in range(4))
    assert "莲花" not in desk.run("catalog", "search").ok().out, "many data sets are listed without columns"
    assert desk.run("catalog", "search", "--columns").ok().out.count("莲花") == 4


def test_job_submit_keeps_what_only_the_submitter_has_in_a_new_private_file(desk: Desk) -> None:
    kept = desk.folder / "kept.json"
    said = desk.run("job", "submit", "--sql", BY_STREET, "--keep", kept).ok().out
    assert re.sub(r"\s", "", str(kept)) in re.sub(r"\s", "", said)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    before = kept.read_bytes()
    refused = desk.run("job", "submit", "--sql", BY_STREET, "--keep", kept, "--json")
    assert refused.error["code"] == "usage"
    assert "exists; nothing was submitted" in refused.error["message"]
    assert kept.read_bytes() == before
    nowhere = desk.run("job", "submit", "--sql", BY_STREET, "--keep", desk.folder / "none" / "kept.json", "--json")
    assert "cannot be written" in nowhere.error["message"]
    assert len(desk.hub.jobs) == 1
    desk.hub.decision = {"outcome": "refuse", "reasons": [{"message": "not for this"}]}
    other = desk.folder / "other.json"
    assert desk.run("job", "submit", "--sql", BY_STREET, "--keep", other, "--json").code == 77
    assert not other.exists(), "what was not submitted has nothing to keep"
    assert [path.name for path in desk.folder.iterdir() if path.name.startswith(".yingbi")] == []


def test_job_submit_says_how_to_go_on_and_may_wait(desk: Desk) -> None:
    said = desk.run("job", "submit", "--sql", BY_STREET).ok().out
    (name,) = desk.hub.jobs
    assert said.endswith(f"next: yingbi job wait {name}\n")
    named = run("job", "submit", "--sql", BY_STREET, "--profile", desk.profile).ok().out
    assert named.endswith(f" --profile {desk.profile}\n"), "it goes on with the same profile"
    assert desk.run("job", "submit", "--sql", BY_STREET, "--wait", "--json").ok().json["state"] == "released"
    waited = desk.run("job", "wait", name).ok().out
    assert waited.endswith(f"next: yingbi job result {name}\n")


def test_job_wait_that_ends_before_the_job_says_that_the_job_goes_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = desk.submitted()
    monkeypatch.setattr(SdkHub, "advance", lambda *_: None)
    watch = Watch(monkeypatch)
    over = desk.run("job", "wait", name, "--timeout", "0.2")
    assert over.code == 69
    assert "submitted" in over.out
    assert over.err == f"Not settled within 0.2 s; the job goes on: yingbi job wait {name}\n"
    asked = desk.run("job", "wait", name, "--timeout", "0.2", "--json")
    assert (asked.code, asked.json["state"], asked.err) == (69, "submitted", "")
    for timeout, is_over in (("0.2", True), ("600", False)):
        desk.hub.faults = [lambda _: None, *[_unreachable] * 99]
        began = watch.seconds
        gone = desk.run("job", "wait", name, "--timeout", timeout, "--json")
        assert (watch.seconds - began > float(timeout)) is is_over
        assert gone.error["code"] == "hub-unavailable", "a hub that cannot be reached is something else"
        assert "cannot be reached" in gone.error["message"]
    desk.hub.faults = []
    monkeypatch.setattr("yingbi.client.jobs.Job.wait", _interrupted)
    stopped = desk.run("job", "wait", name)
    assert (stopped.code, stopped.err) == (130, f"The job goes on: yingbi job wait {name}\n")


def _interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


class Watch:
    """The time that commands see pass: they wait in no other."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 0.0
        for place in ("yingbi.cli.job", "yingbi.client.watching"):
            monkeypatch.setattr(f"{place}.monotonic", lambda: self.seconds)
        monkeypatch.setattr("yingbi.client.transports.time", SimpleNamespace(sleep=self._sleep))

    def _sleep(self, seconds: float) -> None:
        self.seconds += seconds


def _unreachable(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("no", request=request)


def test_job_list_says_under_which_agreement_and_empty_lists_say_so(desk: Desk) -> None:
    assert desk.run("job", "list").ok().out == "Jobs: none\n"
    assert desk.run("job", "list", lang="zh").ok().out.endswith("：无\n")
    name = desk.submitted()
    shown = desk.run("job", "list").ok().out
    for word in (name, "agr-tax-1", "aggregate"):
        assert word in shown
    desk.hub.listings["agreements"] = []
    assert desk.run("request", "list").ok().out == "Agreements: none\n"


def test_incidents_say_what_was_stopped_by_whom_and_what_is_frozen_still(desk: Desk) -> None:
    def said(kind: str, body: dict[str, Any]) -> dict[str, Any]:
        index = desk.hub.record(kind, {**body, "note": None}, issuer="person:li", on_behalf_of=BUREAU)
        entry = json.loads(desk.hub.log.entries[index])
        return {"index": index, "id": "inc-1", "type": kind, "time": entry["time"], "statement": entry["statement"]}

    freeze = {"reason": "unusual-use", "drill": False}
    opened = {"holder": "person:wu", "duty": "bureau-approver", "reason": "legal-order", "drill": False}
    desk.hub.listings["incidents"] = rows = [
        said("access.frozen", {"target": PARTNER, **freeze}),
        said("access.frozen", {"target": NODE, **freeze, "drill": True}),
        said("access.unfrozen", {"target": PARTNER, "drill": True}),
        said("access.frozen", {"target": NODE, **freeze, "reason": "incident"}),
        said("access.unfrozen", {"target": NODE, "drill": False}),
        said("access.break_glass_opened", {**opened, "expires_at": "2026-11-21T08:00:00.000000Z"}),
    ]
    found = desk.run("incidents", "--json").ok().json
    assert [one["is_frozen"] for one in found] == [True, False, False, False, False, False]
    assert [one["drill"] for one in found] == [False, True, True, False, False, False]
    assert {name: found[0][name] for name in rows[0]} == rows[0]
    assert (found[0]["target"], found[0]["reason"], found[0]["issuer"]) == (PARTNER, "unusual-use", "person:li")
    assert (found[5]["target"], found[5]["duty"]) == ("person:wu", "bureau-approver")
    shown = re.sub(r"[\s│]+", "", desk.run("incidents").ok().out)
    for word in (PARTNER, "unusual-use", "person:li", "frozen(drill)", "stillfrozen", "letgoon", "emergency"):
        assert word in shown


def test_freeze_and_unfreeze_say_what_follows_in_a_sentence(desk: Desk) -> None:
    said = desk.run("freeze", "partner:bank-b", "--reason", "incident").ok().out
    assert "partner:bank-b is frozen" in said
    assert "goes on as before" in desk.run("freeze", "partner:bank-b", "--reason", "incident", "--drill").ok().out
    assert "partner:bank-b is not frozen any more" in desk.run("unfreeze", "partner:bank-b").ok().out
    desk.hub.missing = ("person",)
    waits = desk.run("unfreeze", "partner:bank-b").ok().out
    assert "partner:bank-b stays frozen until a second person signs: yingbi request cosign sha256:" in waits


def test_what_a_profile_lacks_is_named_as_the_command_line_has_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(desk.folder))
    none = run("job", "list", "--json").error
    assert str(desk.folder / "yingbi" / "default.toml") in none["message"]
    for word in ("--profile", "YINGBI_PROFILE", 'party = "partner:bank-a"'):
        assert word in none["hint"]
    lines = desk.profile.read_text().splitlines()
    for member, words, named in (
        ("agreement", ("job", "submit", "--sql", BY_STREET), "`--agreement`"),
        ("purpose", ("job", "dry-run", "--sql", BY_STREET), "`--purpose`"),
        ("result_key", ("job", "submit", "--sql", BY_STREET), "yingbi keys new result-key.pem --results"),
        ("trust", ("job", "result", "job-x"), "get it from the bureau"),
    ):
        desk.profile.write_text("\n".join(line for line in lines if not line.startswith(member)))
        error = desk.run(*words, "--json").error
        assert named in error["message"] + error["hint"]
        assert "(" not in error["message"] + error["hint"], "no code"
    desk.profile.write_text("\n".join(line for line in lines if not line.startswith("agreement")))
    desk.run("job", "submit", "--sql", BY_STREET, "--agreement", "agr-tax-1").ok()


def test_keys_new_makes_a_key_that_opens_results(tmp_path: Path) -> None:
    made = run("keys", "new", tmp_path / "result-key.pem", "--results", "--json").ok().json
    assert load_result_key(tmp_path / "result-key.pem").public == made["key"]
    assert run("keys", "new", tmp_path / "result-key.pem", "--results").code == 73


def _by_another(hub: SdkHub) -> dict[str, Any]:
    index = hub.record("key.revoked", {"keyid": fixed_key(NODE).public.thumbprint, "reason": "lost"}, issuer=NODE)
    statement: dict[str, Any] = json.loads(hub.log.entries[index])["statement"]
    return statement


def test_commands_speak_chinese(desk: Desk) -> None:
    shown = desk.run("job", "dry-run", "--sql", BY_STREET, lang="zh").ok().out
    assert "可获准" in shown
    assert "无须人工" in shown


def test_a_profile_is_a_file_or_a_name_and_has_known_members_only(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ('url = "https://x"\n', "party = [", desk.profile.read_text() + 'secret = "x"\n', "key = 5\n"):
        (desk.folder / "wrong.toml").write_text(text)
        wrong = run("job", "list", "--profile", desk.folder / "wrong.toml", "--json")
        assert wrong.error["code"] == "config-invalid"
    configured = desk.folder / "config" / "yingbi"
    configured.mkdir(parents=True)
    text = desk.profile.read_text()
    for name in ("key.pem", "result.pem", "trust.json"):
        text = text.replace(f'"{name}"', f'"{desk.folder / name}"')
    (configured / "bank.toml").write_text(text)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(desk.folder / "config"))
    assert run("job", "list", "--profile", "bank", "--json").ok().json == []
    missing = run("job", "list", "--json")
    assert missing.error["code"] == "config-invalid"
    assert "default.toml" in missing.error["message"]
    (desk.folder / "secret").write_bytes(b"sesame\n")
    os.chmod(desk.folder / "key.pem", 0o600)
    desk.profile.write_text(desk.profile.read_text() + 'passphrase_file = "secret"\n')
    assert desk.run("job", "list", "--json").error["code"] == "key-malformed"
