"""The paths of bundles: those of the product's own tree, and no others."""

from itertools import product

import pytest

from ledger.tiles import TILE_WIDTH, bundle_path, tile_path, tiles_of
from yingbi.verify.bundle_paths import is_known, is_of_log

SIZES = [0, 1, 255, 256, 257, 512, 700, 65_535, 65_536, 65_537, 256 * 1003 + 7]


def paths_of(size: int) -> set[str]:
    """Return what is published of a log, as the ledger names it."""
    bundles = {bundle_path(first // TILE_WIDTH, min(TILE_WIDTH, size - first)) for first in range(0, size, TILE_WIDTH)}
    return {"checkpoint", *map(tile_path, tiles_of(size)), *bundles}


@pytest.mark.parametrize("size", SIZES)
def test_what_a_log_of_a_size_has_is_of_it(size: int) -> None:
    assert [path for path in paths_of(size) if not is_of_log(path, size)] == []
    assert all(is_known(f"data/log/{path}", ()) for path in paths_of(size))


@pytest.mark.parametrize("size", SIZES)
def test_what_logs_of_other_sizes_have_is_not(size: int) -> None:
    others = set().union(*map(paths_of, [*SIZES, size + 1, max(0, size - 1)])) - paths_of(size)
    assert [path for path in others if is_of_log(path, size)] == []


@pytest.mark.parametrize(
    "path",
    [
        "",
        "vkey",
        "checkpoint/",
        "tile/0/0",
        "tile/0/0000",
        "tile/0/x000/000",
        "tile/0/000.p/256",
        "tile/0/000.p/0",
        "tile/0/000.p/",
        "tile/0/000/",
        "tile/9/000",
        "tile/-1/000",
        "tile/00/000",
        "tile/entries/x/000",
        "tile/entries/" + "x999/" * 40 + "999",
    ],
)
def test_a_tile_has_one_spelling(path: str) -> None:
    assert not any(is_of_log(path, size) for size in (*SIZES, 2**53 - 1))


def test_a_log_of_any_size_has_its_tiles_and_its_paths_are_judged_at_once() -> None:
    assert is_of_log("tile/6/000.p/32", 2**53)
    assert is_of_log("tile/entries/x035/x184/x372/x088/831.p/255", 2**53 - 1)


PARTS = ["README.txt", "report.en.html", "report.zh.html", "report.json", "findings.csv", "1.tlog-proof", "checkpoint"]


def test_each_kind_of_file_has_its_folder() -> None:
    folders = ("report", "receipts", "receipts/kept", "log", "documents", "anchors", "other", "")
    found = {f"{folder}/{name}" for folder, name in product(folders, PARTS) if is_known(f"data/{folder}/{name}", ())}
    reports = {f"report/{name}" for name in PARTS[:5]}
    assert found == reports | {"receipts/1.tlog-proof", "receipts/kept/1.tlog-proof", "log/checkpoint"}


VECTOR = "data/federations/fed-0a/12-3/futian-tax.bin"


def test_contributions_lie_by_federation_attempt_and_node() -> None:
    for path in (VECTOR, "data/federations/fed-0a-1B/terms.json", "data/federations/fed-0a/1000000-8/a.bin"):
        assert is_known(path, ())


@pytest.mark.parametrize(
    "path",
    [
        "data/federations/terms.json",
        "data/federations/fed-/terms.json",
        "data/federations/job-0a/terms.json",
        "data/federations/fed-0a/terms.bin",
        VECTOR.replace("12-3", "0-3"),
        VECTOR.replace("12-3", "012-3"),
        VECTOR.replace("12-3", "12-03"),
        VECTOR.replace("12-3", "12"),
        VECTOR.replace("12-3", "12-3/x"),
        VECTOR.replace("12-3", "10000000-1"),
        VECTOR.replace("futian-tax", "Futian"),
        VECTOR.replace("futian-tax", "node:futian"),
        VECTOR.replace("futian-tax", "futian-"),
        VECTOR.replace("futian-tax", "a" * 64),
        VECTOR.replace("futian-tax", ".."),
        VECTOR + "/x",
    ],
)
def test_a_contribution_has_one_spelling(path: str) -> None:
    assert not is_known(path, ())


def test_a_checkpoint_stands_beside_its_anchor() -> None:
    proof, checkpoint = "data/anchors/0a.json", "data/anchors/0a.checkpoint"
    assert is_known(proof, {proof})
    assert is_known(checkpoint, {proof, checkpoint})
    assert not is_known(checkpoint, {checkpoint, "data/anchors/0b.json"})
