"""A sealed result: only its recipient opens it, only as this job's, and its commitment opens to its digest."""

import json
from dataclasses import replace

import pytest

from sandbox.node.questions import StoredOutput
from sandbox.node.results import seal_result
from sandbox.node.statements import StatementMaker
from sandbox.node.versions import Versions
from tests.lib.agents import Scene
from tests.lib.fake_hub import NODE
from yingbi.canonical import canonical_bytes, digest_json
from yingbi.commitment import Opening
from yingbi.errors import TamperDetectedError, VerificationError
from yingbi.ids import dataset_id
from yingbi.key_files import decode_base64url
from yingbi.sealing import ResultKey

FORM = {"v": 1, "kind": "table", "rules": "sha256:" + "3" * 64}
KEPT = StoredOutput(
    id="out-1", question="job-1", digest=digest_json(FORM), content=canonical_bytes(FORM), released_at=""
)


def test_a_result_is_sealed_with_the_opening_of_its_commitment() -> None:
    key = ResultKey.generate()
    found = seal_result(KEPT, job="job-1", agreement="agr-1", recipient=key.public)
    plain = json.loads(key.open(found.sealed, {"job": "job-1", "agreement": "agr-1"}))
    assert plain["result"] == FORM
    salt = decode_base64url(plain["content"]["salt"])
    assert Opening(salt=salt, value=canonical_bytes(plain["content"]["value"])).commitment == found.content
    assert (plain["content"]["value"], found.rules) == (KEPT.digest, FORM["rules"])


@pytest.mark.parametrize("context", [{"job": "job-2", "agreement": "agr-1"}, {"job": "job-1", "agreement": "agr-2"}])
def test_it_opens_as_no_other_jobs(context: dict[str, str]) -> None:
    key = ResultKey.generate()
    found = seal_result(KEPT, job="job-1", agreement="agr-1", recipient=key.public)
    with pytest.raises(VerificationError):
        key.open(found.sealed, dict(context))
    with pytest.raises(VerificationError):
        ResultKey.generate().open(found.sealed, {"job": "job-1", "agreement": "agr-1"})


def test_what_was_changed_at_the_node_is_not_sealed() -> None:
    changed = replace(KEPT, content=canonical_bytes({**FORM, "kind": "model"}))
    with pytest.raises(TamperDetectedError):
        seal_result(changed, job="job-1", agreement="agr-1", recipient=ResultKey.generate().public)


def test_a_version_is_committed_to_and_only_the_node_can_tell_which(scene: Scene) -> None:
    maker = StatementMaker(NODE, scene.hub.key(NODE), scene.clock)
    with scene.home() as home:
        catalogue = home.catalogue.load()
        first, second = (catalogue.versions["lab/firms", number] for number in (1, 2))
        made = Versions(home.database).declare(second, maker).statement.payload
        again = Versions(home.database).declare(second, maker).statement.payload
        assert made.id == dataset_id("lab/firms")
        assert made.body["content"] != again.body["content"], "salted"
        assert Versions(home.database).is_content(made.body["content"], second)
        assert not Versions(home.database).is_content(made.body["content"], first)
        assert not Versions(home.database).is_content("sha256:" + "0" * 64, second)
