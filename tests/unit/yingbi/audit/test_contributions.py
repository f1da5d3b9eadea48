"""Evidence from a folder: what is laid out as in a bundle is read, and everything else is passed over."""

from pathlib import Path

import pytest

from yingbi.audit import contributions
from yingbi.audit.contributions import Evidence, read_evidence_folder, terms_path, vector_path
from yingbi.verify.bundle_paths import is_known

FEDERATION = "fed-01hz"


def put(folder: Path, name: str, data: bytes = b"12345678") -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def test_terms_and_contributions_are_found_by_what_they_are_of(tmp_path: Path) -> None:
    put(tmp_path, f"{FEDERATION}/terms.json", b"{}")
    put(tmp_path, f"{FEDERATION}/12-3/bao.bin")
    put(tmp_path, f"{FEDERATION}/2-1/luohu.bin")
    evidence = read_evidence_folder(tmp_path)
    assert evidence.terms(FEDERATION) == b"{}"
    assert evidence.vector(FEDERATION, 12, 3, "node:bao") == b"12345678"
    assert evidence.vectors(FEDERATION) == ((2, 1, "node:luohu"), (12, 3, "node:bao"))
    assert evidence.vector(FEDERATION, 12, 3, "node:luohu") is None
    assert evidence.terms("fed-other") is None


@pytest.mark.parametrize(
    "name",
    ["readme.txt", "fed-01hz/2-1/bao.txt", "fed-01hz/02-1/bao.bin", "fed-01hz/2-1/Bao.bin", "job-01hz/terms.json"],
)
def test_what_is_named_otherwise_is_passed_over(tmp_path: Path, name: str) -> None:
    put(tmp_path, name)
    assert read_evidence_folder(tmp_path).paths == frozenset()


def test_what_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contributions, "MAX_VECTOR_BYTES", 7)
    put(tmp_path, f"{FEDERATION}/2-1/bao.bin")
    assert read_evidence_folder(tmp_path).vector(FEDERATION, 2, 1, "node:bao") is None


def test_without_evidence_there_is_none() -> None:
    assert Evidence().terms(FEDERATION) is None
    assert Evidence().vectors(FEDERATION) == ()


def test_paths_are_those_that_verifiers_know() -> None:
    for path in (terms_path(FEDERATION), vector_path(FEDERATION, 12, 3, "node:futian-tax")):
        assert is_known(f"data/federations/{path}", ())
        assert Evidence(paths={path}, read=lambda _: b"x").read(path) == b"x"
