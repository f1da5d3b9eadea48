"""Documents by their digests, the bureau that a log is of, and what is missing before a log can be folded."""

import json
from pathlib import Path

import pytest

from policies.model import terms_digest
from tests.lib.audited_log import BUREAU, CATALOGUE, TERMS, AuditedLog
from yingbi.audit.folding import Documents, fold_log, load_documents, missing_terms, name_bureau
from yingbi.canonical import canonical_bytes, digest_json
from yingbi.errors import InvalidRequestError, NotFoundError


def test_agreements_are_known_from_yaml_and_from_json(tmp_path: Path) -> None:
    log = AuditedLog()
    digest = terms_digest(log.terms)
    (tmp_path / "terms.yaml").write_text(TERMS)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "canonical.json").write_bytes(log.texts[digest])
    for path in (tmp_path / "terms.yaml", tmp_path / "folder"):
        documents = load_documents([path])
        assert documents.find_terms(digest) == log.terms
        assert documents.get(digest) == log.texts[digest]


def test_any_json_is_known_by_the_digest_of_its_canonical_form(tmp_path: Path) -> None:
    (tmp_path / "entry.json").write_text(json.dumps(CATALOGUE, indent=4))
    documents = load_documents([tmp_path])
    assert documents.get(digest_json(CATALOGUE)) == canonical_bytes(CATALOGUE)
    assert documents.find_terms(digest_json(CATALOGUE)) is None


def test_what_is_no_document_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(bytes(range(256)))
    (tmp_path / "float.json").write_text("1.5")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    assert load_documents([tmp_path]).get(digest_json(None)) is None


def test_a_text_under_another_digest_is_no_agreement() -> None:
    log = AuditedLog()
    wrong = Documents({digest_json("other"): log.texts[terms_digest(log.terms)]})
    assert wrong.find_terms(digest_json("other")) is None


def test_terms_that_nobody_has_are_named_before_anything_is_folded() -> None:
    log = AuditedLog().found()
    assert missing_terms(log.read_file, Documents({}).find_terms) == (terms_digest(log.terms),)
    assert missing_terms(log.read_file, log.documents.find_terms) == ()
    with pytest.raises(NotFoundError):
        fold_log(log.read_file, log.roots, find_terms=Documents({}).find_terms)


def test_the_bureau_is_the_one_whose_key_is_registered() -> None:
    log = AuditedLog()
    with pytest.raises(InvalidRequestError, match="0 bureaus"):
        name_bureau(log.read_file)
    log.found()
    assert name_bureau(log.read_file) == BUREAU
    log.register("bureau:other")
    with pytest.raises(InvalidRequestError, match="2 bureaus"):
        name_bureau(log.read_file)
    assert fold_log(log.read_file, log.roots, find_terms=log.documents.find_terms, bureau=BUREAU).size == log.size


def test_under_another_root_nothing_has_an_effect() -> None:
    log = AuditedLog().found()
    reading = fold_log(log.read_file, [log.key("another root")], find_terms=log.documents.find_terms)
    assert all(fact.refusal is not None for fact in reading.facts)
