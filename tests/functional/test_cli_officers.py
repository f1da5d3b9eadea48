"""What people of the bureau and of units do by command, against the demonstration's own hub and nodes, left running."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.lib.command_line import run, serving
from tests.lib.town import BY_STREET, Town, running_town
from tests.lib.waiting import wait_until
from yingbi.cli.demo.setting import AGREEMENT, BANK, PURPOSE, TAX


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with running_town(tmp_path_factory.mktemp("town") / "here") as found:
        yield found


def test_freeze_stops_a_partner_at_once(town: Town) -> None:
    assert town.recorded("security-admin", "freeze", BANK, "--reason", "unusual-use") == ["access.frozen"]
    assert town.asked()["state"] == "refused"
    assert town.cosigned("security-admin", "approver", "unfreeze", BANK) == ["access.unfrozen"]
    assert town.asked()["state"] == "released"


def test_unfreeze_takes_two_and_something_that_is_frozen(town: Town) -> None:
    nothing = town.run("security-admin", "unfreeze", "partner:credit-bureau-1")
    assert nothing.code == 77
    assert town.recorded("approver", "freeze", "partner:credit-bureau-1", "--reason", "incident") == ["access.frozen"]
    filed = town.run("approver", "unfreeze", "partner:credit-bureau-1", "--json").ok().json
    assert filed["missing"]
    assert town.recorded("security-admin", "request", "cosign", filed["draft"]) == ["access.unfrozen"]


def test_freeze_as_a_drill_stops_nothing(town: Town) -> None:
    assert town.recorded("security-admin", "freeze", BANK, "--reason", "incident", "--drill") == ["access.frozen"]
    assert town.asked()["state"] == "released"


def test_freeze_by_somebody_who_may_not_is_refused(town: Town) -> None:
    refused = town.run("registrar", "freeze", BANK, "--reason", "incident")
    assert refused.code == 77
    assert "error: statement-refused" in refused.err


def test_incidents_lists_what_was_frozen_and_let_go(town: Town) -> None:
    town.recorded("security-admin", "freeze", "partner:credit-bureau-1", "--reason", "incident", "--drill")
    shown = town.run("approver", "incidents").ok().out
    assert "drill" in shown
    assert "still" not in shown
    (found,) = town.run("approver", "incidents", "--json").ok().json[-1:]
    assert (found["target"], found["drill"]) == ("partner:credit-bureau-1", True)
    assert found["issuer"] == "person:security-admin"


def test_agreement_impact_suspend_and_resume(town: Town) -> None:
    assert "what it would touch" in town.run("approver", "agreement", "impact", AGREEMENT).ok().out.lower()
    suspended = town.recorded("tax-cdo", "agreement", "suspend", AGREEMENT, "--reason", "objection")
    assert suspended == ["agreement.suspended"]
    assert town.asked()["state"] == "refused"
    assert town.cosigned("tax-cdo", "approver", "agreement", "resume", AGREEMENT) == ["agreement.resumed"]
    assert town.asked()["state"] == "released"


def test_agreement_revoke_ends_it_for_good(town: Town) -> None:
    name = propose(town, "agr-to-be-revoked", "automatic")
    assert town.recorded("approver", "agreement", "revoke", name, "--reason", "request") == ["agreement.revoked"]
    again = town.run("approver", "agreement", "revoke", name, "--reason", "request")
    assert again.code in (0, 77), "what has ended stays ended"
    assert town.run("approver", "request", "show", name, "--json").ok().json["state"] == "revoked"


def test_job_approve_lets_a_job_run_that_a_person_has_to_look_at(town: Town) -> None:
    name = propose(town, "agr-reviewed", "reviewed")
    asked = ("job", "submit", "--sql", BY_STREET, "--agreement", name, "--purpose", PURPOSE, "--json")
    job = town.run("partner-bank-a", *asked).ok().json["job"]
    assert town.run("partner-bank-a", "job", "approve", job).code == 77
    assert town.recorded("reviewer", "job", "approve", job) == ["job.approved"]
    waited = town.run("partner-bank-a", "job", "wait", job, "--timeout", "50", "--json").json
    assert waited["state"] == "released"


def test_output_held_and_output_check(town: Town) -> None:
    held = town.run("checker", "output", "held", "--json").ok().json
    job = held[0]["job"]
    assert "threshold" in town.run("checker", "output", "held").ok().out
    assert town.run("partner-bank-a", "output", "held", "--json").json == []
    assert town.run("partner-bank-a", "output", "check", job, "--verdict", "pass").code == 66
    shown = town.run("checker", "output", "check", job, "--verdict", "review").ok().out
    for word in (job, "review", "stays held until somebody says pass or fail"):
        assert word in re.sub(r"[\s│]+", " ", shown)
    checked = town.run("checker", "output", "check", job, "--verdict", "fail", "--json").ok().json
    assert [entry["type"] for entry in checked["entries"]] == ["output.checked"]
    assert (checked["verdict"], checked["people_missing"]) == ("fail", None)
    wait_until(lambda: town.run("checker", "output", "held", "--json").ok().json == [], seconds=40)
    assert town.run("partner-bank-a", "job", "show", job, "--json").ok().json["state"] == "rejected"


def test_data_register_grade_and_withdraw(town: Town) -> None:
    at = ("--node", town.folder / "futian-social-security")
    again = town.recorded("social-cdo", "data", "register", "social/insurance", *at)
    assert again == ["dataset.registered"]
    graded = town.recorded("social-cdo", "data", "grade", "social/insurance", "--version", "1", *at)
    assert graded == ["dataset.graded"]
    assert town.run("tax-cdo", "data", "withdraw", "social/insurance", "--reason", "incident").code == 77
    gone = town.recorded("social-cdo", "data", "withdraw", "social/insurance", "--reason", "source-ended")
    assert gone == ["dataset.withdrawn"]


def test_keys_register_waits_for_the_registration_key(town: Town, tmp_path: Path) -> None:
    run("keys", "new", tmp_path / "new.pem").ok()
    words = ("keys", "register", "person:new-analyst", "--new-key", tmp_path / "new.pem", "--bureau", "bureau:futian")
    filed = town.run("partner-bank-a", *words, "--json").ok().json
    assert filed["missing"] == ["root"]


def propose(town: Town, name: str, job: str) -> str:
    """Bring another agreement into force: the bank proposes, the unit and the bureau sign what they have read."""
    found = town.run("approver", "request", "show", AGREEMENT, "--json").ok().json
    (document,) = (
        terms
        for path in (town.folder / "documents").glob("*.json")
        if (terms := json.loads(path.read_text("utf-8"))).get("agreement") == found["id"]
    )
    terms = {**document, "agreement": name, "approvals": {**document["approvals"], "job": job}}
    path = town.folder / f"{name}.json"
    path.write_text(json.dumps(terms), encoding="utf-8")
    town.recorded("officer", "request", "create", path)
    shown = town.run("approver", "request", "show", name, "--json").ok().json
    for who, duty in (("tax-cdo", "unit-cdo"), ("approver", "bureau-approver")):
        town.recorded(who, "request", "sign", name, "--duty", duty, "--terms", shown["terms"])
    assert town.run(who, "request", "show", name, "--json").ok().json["state"] == "active"
    return name


def test_the_agreement_of_the_demo_is_of_the_unit(town: Town) -> None:
    assert town.run("approver", "request", "show", AGREEMENT, "--json").ok().json["assigner"] == TAX.party


def test_node_trust_shows_whom_it_believes_and_node_status_what_it_followed(town: Town) -> None:
    at = ("--node", town.folder / "futian-tax")
    shown = run("node", "trust", *at, "--json").ok().json
    assert shown["origin"] == "log.futian.example/demo"
    status = run("node", "status", *at, "--json").ok().json
    assert (status["node"], status["halted"], status["violations"]) == (TAX.node, False, [])
    assert status["size"] > 50


def test_node_veto_node_hold_and_node_withdraw_are_the_units_own(town: Town) -> None:
    """With the hub out of it: nothing is asked of it, and it is not told."""
    at = ("--node", town.folder / "futian-social-security")
    run("node", "veto", BANK, *at).ok()
    run("node", "hold", *at).ok()
    kinds = {row["kind"] for row in run("node", "hold", *at, "--json").ok().json}
    assert kinds == {"veto", "hold"}
    run("node", "hold", "--lift", *at).ok()
    again = run("node", "hold", "--lift", *at)
    assert (again.code, "nothing is held at this node" in again.err) == (66, True)
    run("node", "withdraw", *at).ok()
    assert [row["kind"] for row in run("node", "veto", BANK, "--lift", *at, "--json").ok().json] == ["withdraw"]


def test_node_hold_stops_answers_until_it_is_lifted(town: Town) -> None:
    at = ("--node", town.folder / "futian-tax")
    run("node", "hold", *at).ok()
    done = town.run("partner-bank-a", "job", "submit", "--sql", BY_STREET, "--json").ok().json
    waited = town.run("partner-bank-a", "job", "wait", done["job"], "--timeout", "3", "--json")
    assert (waited.code, waited.json["state"] in ("approved", "leased")) == (69, True), "nothing is answered"
    assert run("node", "status", *at, "--json").ok().json["held"] is True
    assert "held by the unit" in re.sub(r"[\s│]+", " ", run("node", "status", *at).ok().out)
    assert "Nothing is held" in run("node", "hold", "--lift", *at).ok().out
    assert run("node", "status", *at, "--json").ok().json["held"] is False
    assert (
        town.run("partner-bank-a", "job", "wait", done["job"], "--timeout", "50", "--json").json["state"] == "released"
    )


def test_demo_that_is_left_running_keeps_its_folder_and_numbers_the_steps_that_it_played(town: Town) -> None:
    refused = run("demo", "--folder", town.folder)
    assert refused.code == 73
    assert "a demonstration is running in folder" in refused.err
    town.run("approver", "request", "list").ok()
    numbers = [int(line.partition(".")[0]) for line in town.told if re.match(r"\d+\. ", line)]
    assert numbers == list(range(1, 10)), "the step that ends the node is left out here, its number is not"


def test_hub_init_hub_run_and_hub_upgrade(tmp_path: Path) -> None:
    hub, keys = tmp_path / "hub", tmp_path / "keys"
    words = ("hub", "init", "bureau:lab", "log.example/lab", "--hub", hub, "--develop", keys)
    assert run(*words, "--json").ok().json["origin"] == "log.example/lab"
    assert run(*words).code == 73, "the ceremony is held once"
    run("hub", "upgrade", "--hub", hub).ok()
    with serving("hub", "run", "--hub", hub, "--port", "0") as url:
        assert httpx.get(f"{url}/healthz").status_code == 200
        assert httpx.get(f"{url}/v1/jobs").status_code == 401


def test_node_run_needs_to_know_whom_to_believe(tmp_path: Path) -> None:
    run("node", "init", "node:lab", "--owner", "unit:lab", "--node", tmp_path / "node").ok()
    lost = run("node", "run", "--node", tmp_path / "node")
    assert lost.code == 66
    assert "yingbi node trust" in lost.err
