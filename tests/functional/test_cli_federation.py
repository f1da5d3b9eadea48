"""`yingbi federation` as people meet it, against a hub that keeps to the contract."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.lib.command_line import Done
from tests.lib.sdk_desk import Desk, open_desk
from tests.lib.sdk_federation import ASKED, NODES, FederationHub
from tests.lib.sdk_hub import PURPOSE

FILE: dict[str, Any] = {"recipe": "logistic_regression", **ASKED}


class Alliance:
    """A desk whose hub has federations, and a training file on it."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        assert isinstance(desk.hub, FederationHub)
        self.hub: FederationHub = desk.hub
        self.file = desk.folder / "training.json"
        self.file.write_text(json.dumps(FILE))

    def run(self, *words: object, **options: Any) -> Done:
        return self.desk.run("federation", *words, **options)

    def submitted(self) -> str:
        name: str = self.run("run", self.file, "--json").ok().json["federation"]
        return name


@pytest.fixture
def alliance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Alliance:
    monkeypatch.setattr("tests.lib.sdk_desk.SdkHub", FederationHub)
    return Alliance(open_desk(tmp_path, monkeypatch))


def plain(text: str) -> str:
    """Return what stands in tables as one line."""
    return re.sub(r"[\s│┃]+", " ", text)


def test_federation_run_status_list_nodes_model_and_stop(alliance: Alliance) -> None:
    folder = alliance.desk.folder
    shown = alliance.run("run", alliance.file, "--keep", folder / "kept.json", "--days", 3).ok().out
    for word in ("waiting", "node:futian-tax", "social/credit", "0 of 26", "yingbi federation status fed-"):
        assert word in plain(shown)
    (name,) = alliance.hub.feds
    assert json.loads((folder / "kept.json").read_text("utf-8"))["federation"] == name
    assert {job.body["purpose"] for job in alliance.hub.jobs.values()} == {PURPOSE}
    assert {job.body["expires_at"][:10] for job in alliance.hub.jobs.values()} == {"2026-11-25"}
    assert alliance.run("status", name, "--json").ok().json["state"] == "waiting"
    done = alliance.run("status", name, "--follow").ok().out
    for word in ("completed", "released", "loss 0.4801", f"yingbi federation model {name}"):
        assert word in plain(done)
    listed = alliance.run("list", "--json").ok().json
    assert [one["federation"] for one in listed] == [name]
    assert name in alliance.run("list").ok().out
    for node in NODES.values():
        assert node in alliance.run("nodes").ok().out
    assert alliance.run("nodes", "--json").ok().json[0]["is_connected"] is True
    shown = alliance.run("model", name, "--out", folder / "model.json", "--card", folder / "card.html").ok().out
    for word in ("logistic_regression", "auc", "0.77", "verified against entry", "written to"):
        assert word in plain(shown)
    assert json.loads((folder / "model.json").read_bytes())["federation"] == name
    assert '<html lang="en">' in (folder / "card.html").read_text("utf-8")
    other = alliance.submitted()
    assert "cancelled" in alliance.run("stop", other).ok().out
    assert alliance.run("status", other, "--follow", "--json").code == 73


def test_federation_run_waits_and_the_model_is_written(alliance: Alliance) -> None:
    folder = alliance.desk.folder
    told = alliance.run("run", alliance.file, "--wait", "--json").ok().json
    assert told["state"] == "completed"
    found = alliance.run("model", told["federation"], "--json").ok().json
    assert found["document"]["federation"] == told["federation"]
    assert [one["type"] for one in found["receipts"]] == ["federation.completed", "output.released"]
    alliance.run("model", told["federation"], "--card", folder / "karte.html", "--lang", "zh").ok()
    assert '<html lang="zh-CN">' in (folder / "karte.html").read_text("utf-8")
    assert alliance.run("model", told["federation"], "--lang", "fr", "--json").error["code"] == "usage"
    wrong = alliance.run("model", told["federation"], "--out", folder / "no" / "model.json", "--json")
    assert wrong.error["code"] == "usage"


def test_federation_model_says_what_onnx_needs(alliance: Alliance, monkeypatch: pytest.MonkeyPatch) -> None:
    name = alliance.run("run", alliance.file, "--wait", "--json").ok().json["federation"]
    file = alliance.desk.folder / "model.onnx"
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "onnx", None)
        assert alliance.run("model", name, "--onnx", file, "--json").error["code"] == "extra-not-installed"
    alliance.run("model", name, "--onnx", file).ok()
    assert file.stat().st_size > 100


def test_federation_run_dry_run_says_what_every_member_would_decide(alliance: Alliance) -> None:
    shown = alliance.run("run", alliance.file, "--dry-run").ok().out
    for word in ("would be allowed by all members", "train logistic_regression of defaulted = 1", "agr-social-1"):
        assert word in plain(shown)
    grant = {"dataset": "tax/credit", "column": "tax_paid", "use": "train"}
    alliance.hub.decision = {"outcome": "refuse", "reasons": [{"message": "not granted", "grant": grant}]}
    refused = alliance.run("run", alliance.file, "--dry-run")
    assert refused.code == 77
    assert "tax/credit: not granted; enough would be: dataset tax/credit" in plain(refused.out)
    told = alliance.run("run", alliance.file, "--dry-run", "--json")
    assert told.code == 77
    assert [one["decision"]["outcome"] for one in told.json["members"]] == ["refuse"] * 3
    assert alliance.run("run", alliance.file, "--json").error["code"] == "job-refused"
    assert alliance.hub.jobs == {}


def test_federation_run_takes_a_purpose_from_option_file_and_profile(alliance: Alliance) -> None:
    alliance.file.write_text(json.dumps({**FILE, "purpose": "credit.model"}))
    alliance.submitted()
    assert {job.body["purpose"] for job in alliance.hub.jobs.values()} == {"credit.model"}
    alliance.hub.jobs.clear()
    alliance.run("run", alliance.file, "--purpose", "credit.other", "--json").ok()
    assert {job.body["purpose"] for job in alliance.hub.jobs.values()} == {"credit.other"}


def test_federation_run_refuses_files_that_say_something_else(alliance: Alliance) -> None:
    for stdin, code in (
        (b"{", "json-malformed"),
        (json.dumps({**FILE, "code": "x"}).encode(), "plan-malformed"),
        (json.dumps({**FILE, "features": ["tax_payed"]}).encode(), "name-unknown"),
    ):
        assert alliance.run("run", "-", "--json", stdin=stdin).error["code"] == code
    kept = alliance.desk.folder / "kept.json"
    kept.write_text("mine")
    assert alliance.run("run", alliance.file, "--keep", kept, "--json").error["code"] == "usage"
    assert kept.read_text() == "mine"
    assert alliance.hub.jobs == {}


def test_federation_status_ends_with_the_code_of_the_end(alliance: Alliance, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = alliance.hub
    hub.is_stuck, hub.has_events = True, False
    name = alliance.submitted()
    over = alliance.run("status", name, "--follow", "--timeout", "0.05")
    assert over.code == 69
    assert f"the federation goes on: yingbi federation status {name} --follow" in over.err
    assert alliance.run("status", name, "--follow", "--timeout", "0.05", "--json").json["state"] == "waiting"
    hub.jobs[hub.feds[name].question.members[1].job].state = "refused"
    refused = alliance.run("status", name, "--follow")
    assert refused.code == 77
    assert "is refused" in plain(refused.out)
    hub.is_stuck, hub.released = False, 0
    held = alliance.submitted()
    assert alliance.run("status", held, "--follow", "--json").code == 77
    failed = alliance.run("model", held, "--json")
    assert (failed.code, failed.error["code"]) == (73, "transition-refused")
    assert alliance.run("status", "fed-none", "--json").error["code"] == "thing-not-found"

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("yingbi.client.training.watch_federation", interrupt)
    stopped = alliance.run("status", held, "--follow")
    assert stopped.code == 130
    assert "The federation goes on" in stopped.err


def test_federation_stop_ends_one_that_runs(alliance: Alliance) -> None:
    alliance.hub.total = 9
    name = alliance.submitted()
    fed = alliance.hub.feds[name]
    for _ in range(7):
        alliance.hub.step(fed)
    shown = plain(alliance.run("status", name).ok().out)
    for word in ("running", "1 of 26", "waits for", "2 of 3", "open until"):
        assert word in shown
    assert "aborted" in alliance.run("stop", name).ok().out
    assert alliance.run("status", name, "--follow", "--json").code == 73
    assert alliance.run("stop", name, "--json").error["code"] == "transition-refused"


def test_federation_in_chinese(alliance: Alliance) -> None:
    name = alliance.submitted()
    shown = alliance.run("status", name, "--follow", lang="zh").ok().out
    for word in ("联邦详情", "成员", "轮次"):
        assert word in shown
    assert "评估指标" in alliance.run("model", name, lang="zh").ok().out
    result = alliance.desk.run("job", "result", alliance.hub.feds[name].question.members[0].job).ok().out
    assert name in plain(result)
