"""A member's plan of a federation before the hub: dry runs and decisions, with the smallest grant that is missing."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.deciding import Decider
from api.submissions import opening_json
from policies.model import Agreement, ColumnGrant
from policies.request import Use
from tests.lib.attack_world import firms_dataset
from tests.lib.hubs import NODE, HubWorld, lab_terms, new_hub, open_world
from tests.lib.nodes import PURPOSE
from yingbi.canonical import JsonValue
from yingbi.clock import FixedClock, format_time
from yingbi.commitment import commit
from yingbi.ids import dataset_id
from yingbi.plan.codec import plan_to_json
from yingbi.plan.model import CodedFeature, Member, NumericFeature, Plan, Recipe, Source, TrainingQuestion
from yingbi.sealing import ResultKey


def terms() -> Agreement:
    """Return terms under which everything but `staff` is trained on."""
    usual = lab_terms()
    (dataset,) = usual.datasets
    columns = tuple(_without_training(one) if one.name == "staff" else one for one in dataset.columns)
    return replace(
        usual,
        datasets=(replace(dataset, columns=columns),),
        operations=("aggregate", "train.horizontal"),
        limits=replace(usual.limits, rounds=50),
    )


def _without_training(column: ColumnGrant) -> ColumnGrant:
    return replace(column, uses=tuple(use for use in column.uses if use is not Use.TRAIN))


TERMS = terms()
STAFF = NumericFeature(name="staff", bounds=("0", "1000"))
OTHERS = tuple(
    Member(agreement="agr-x", dataset=f"{name}/firms", job=f"job-{name}", node=f"node:{name}") for name in ("a1", "zz")
)


def plan(name: str = "job-own", **changes: Any) -> JsonValue:
    own = Member(agreement=TERMS.id, dataset="lab/firms", job=name, node=NODE)
    usual = TrainingQuestion(
        source=Source(dataset="lab/firms", version=1),
        federation="fed-1",
        members=tuple(sorted((*OTHERS, own), key=lambda one: one.node)),
        quorum=3,
        rounds=20,
        min_entities=10,
        recipe=Recipe.LOGISTIC_REGRESSION,
        target="penalised",
        positive="true",
        features=(
            NumericFeature(name="tax", bounds=("0", "100000000"), edges=("1000", "5000")),
            CodedFeature(name="size", codes=("small", "medium", "large")),
        ),
    )
    return plan_to_json(Plan(question=replace(usual, **changes)))


@pytest.fixture
def world(tmp_path: Path, clock: FixedClock) -> Iterator[HubWorld]:
    home = new_hub(tmp_path / "hub", clock)
    with open_world(home, clock) as opened:
        opened.settle(firms_dataset(), TERMS)
        hub = opened.hub
        decider = Decider(
            hub.bureau,
            hub.catalogue,
            hub.store,
            hub.recorder.usage,
            groups=hub.federation_groups,
            rules=hub.settings.rules,
            check_recipe=lambda question: (),
        )
        object.__setattr__(hub, "decider", decider)
        yield opened


def ask(world: HubWorld, asked: JsonValue) -> dict[str, Any]:
    body: dict[str, Any] = {"agreement": TERMS.id, "purpose": PURPOSE, "plan": asked, "intermediary": None}
    found: dict[str, Any] = world.ask("POST", "/v1/jobs/dry-run", by="person:analyst", body=body).json()
    return found


def submit(world: HubWorld, name: str, asked: JsonValue, **changes: Any) -> httpx.Response:
    opening = commit(asked)
    body = {
        "agreement": TERMS.id,
        "certificate": None,
        "purpose": PURPOSE,
        "operation": "train.horizontal",
        "datasets": [{"dataset": dataset_id("lab/firms"), "version": 1}],
        "plan": opening.commitment,
        "code": None,
        "epsilon": None,
        "result_key": ResultKey.generate().public,
        "expires_at": format_time(world.clock.now() + timedelta(days=1)),
    }
    by = {"issuer": "person:analyst", "on_behalf_of": "partner:bank-a", "name": name}
    statement = world.state("job.submitted", body | changes, **by)
    sent = {"statements": [json.loads(statement.envelope)], "openings": [opening_json(opening)]}
    return world.ask("POST", "/v1/jobs", by="person:analyst", body=sent, headers={"Idempotency-Key": name})


def test_a_dry_run_finds_the_node_and_permits(world: HubWorld) -> None:
    size = world.hub.standing.size
    found = ask(world, plan())
    assert (found["outcome"], found["reasons"]) == ("permit", [])
    assert found["operations"] == ["train.horizontal.logistic_regression"]
    assert found["cost"] == {"passes": 21}
    assert world.hub.standing.size == size


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "a use that is missing": (
        {"features": (NumericFeature(name="staff", bounds=("0", "1000")),)},
        "features[0]",
        "staff",
    ),
    "too many rounds": ({"rounds": 51}, "None", "the limit `rounds`"),
    "a quorum of all but one": ({"quorum": 4}, "None", "quorum: expected all 3 members"),
    "an edge of one's own": (
        {"features": (NumericFeature(name="tax", bounds=("0", "100000000"), edges=("1001",)),)},
        "features[0]",
        "may not be cut at these edges",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_dry_run_says_why_not(world: HubWorld, name: str) -> None:
    changes, clause, message = REFUSED[name]
    found = ask(world, plan(**changes))
    assert found["outcome"] == "refuse"
    assert [(str(one["clause"]), message in one["message"]) for one in found["reasons"]] == [(clause, True)]


def test_the_smallest_grant_is_named(world: HubWorld) -> None:
    (reason,) = ask(world, plan(features=(STAFF,)))["reasons"]
    assert reason["missing"] == "train"
    assert (reason["grant"]["column"], reason["grant"]["use"], reason["grant"]["agreement"]) == (
        "staff",
        "train",
        TERMS.id,
    )


def test_a_member_job_is_submitted_under_the_id_that_its_plan_names(world: HubWorld) -> None:
    answer = submit(world, "job-own", plan())
    assert answer.status_code == 202, answer.text


CONTRADICTIONS: dict[str, tuple[str, dict[str, Any], str]] = {
    "another job's plan": ("job-other", {}, "another job"),
    "another epsilon": ("job-own", {"epsilon": "1"}, "another epsilon"),
    "another operation": ("job-own", {"operation": "aggregate"}, "another operation"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_a_statement_that_says_something_else_than_its_plan_is_refused(world: HubWorld, case: str) -> None:
    name, changes, message = CONTRADICTIONS[case]
    answer = submit(world, name, plan(), **changes)
    assert answer.status_code == 403
    assert [message in reason["message"] for reason in answer.json()["reasons"]] == [True]
