"""C2SP tlog-tiles: paths, which tiles a tree has, bundles, and trees read from tiles."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledger.proof import prove_consistency, prove_inclusion
from ledger.tiles import (
    TILE_WIDTH,
    TileCoordinate,
    TiledTree,
    bundle_path,
    decode_bundle,
    encode_bundle,
    parse_tile_path,
    tile_path,
    tiles_of,
)
from ledger.tree import EMPTY_ROOT
from tests.lib.naive_tree import NaiveTree
from tests.lib.trees import ListTiles, make_hashes
from yingbi.errors import ErrorCode, InvalidRequestError, NotFoundError, TamperDetectedError
from yingbi.receipts import MAX_TREE_SIZE

BIG = 70_000
HASHES = make_hashes(BIG)
TILES = ListTiles(HASHES)
ORACLE = NaiveTree(HASHES)

coordinates = st.builds(
    TileCoordinate, st.integers(-1, 63), st.integers(0, MAX_TREE_SIZE // TILE_WIDTH), st.integers(1, TILE_WIDTH)
)


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (TileCoordinate(0, 0), "tile/0/000"),
        (TileCoordinate(0, 999), "tile/0/999"),
        (TileCoordinate(0, 1000), "tile/0/x001/000"),
        (TileCoordinate(0, 1_234_067), "tile/0/x001/x234/067"),
        (TileCoordinate(63, 1_000_000), "tile/63/x001/x000/000"),
        (TileCoordinate(2, 0, 1), "tile/2/000.p/1"),
        (TileCoordinate(0, 273, 112), "tile/0/273.p/112"),
        (TileCoordinate(-1, 0), "tile/entries/000"),
        (TileCoordinate(-1, 1_234_067, 255), "tile/entries/x001/x234/067.p/255"),
    ],
)
def test_paths_are_those_of_the_specification(tile: TileCoordinate, path: str) -> None:
    assert tile_path(tile) == path
    assert parse_tile_path(path) == tile


@given(coordinates)
@example(TileCoordinate(63, 10**18 - 1, 255))
def test_parsing_a_path_gives_the_tile_back(tile: TileCoordinate) -> None:
    assert parse_tile_path(tile_path(tile)) == tile


def test_a_bundle_is_a_tile_of_level_entries() -> None:
    assert bundle_path(7) == "tile/entries/007"
    assert bundle_path(1007, 3) == "tile/entries/x001/007.p/3"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile",
        "tile/0",
        "tile/0/",
        "/tile/0/000",
        "tile/0/000/",
        "tile/0/000\n",
        " tile/0/000",
        "Tile/0/000",
        "tile/00/000",
        "tile/01/000",
        "tile/64/000",
        "tile/100/000",
        "tile/-1/000",
        "tile/+1/000",
        "tile//000",
        "tile/entry/000",
        "tile/data/000",
        "tile/8/0/000",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/x001",
        "tile/0/001/000",
        "tile/0/001/x000",
        "tile/0/x000/001",
        "tile/0/x000/x001/000",
        "tile/0/X001/000",
        "tile/0/x1/000",
        "tile/0/../000",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/-1",
        "tile/0/000.p/256",
        "tile/0/000.p/257",
        "tile/0/000.p/300",
        "tile/0/000.p/999",
        "tile/0/000.p/1000",
        "tile/0/000.p/1/",
        "tile/0/000.P/1",
        "tile/0/００１",
        "tile/0/00１",
        "tile/0/000.p/１",
        "tile/٠/000",
        "tile/0/" + "x001/" * 6 + "000",
        "tile/0/" + "x001/" * 2000 + "000",
        "tile/0/000?x=1",
        "tile/0/000%2e",
    ],
)
def test_no_other_spelling_is_a_path(path: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_tile_path(path)
    assert caught.value.code is ErrorCode.TILE_MALFORMED


def test_a_tree_of_70000_has_the_tiles_of_the_specification() -> None:
    tiles = list(tiles_of(70_000))
    assert tiles == [
        *(TileCoordinate(0, index) for index in range(273)),
        TileCoordinate(0, 273, 112),
        TileCoordinate(1, 0),
        TileCoordinate(1, 1, 17),
        TileCoordinate(2, 0, 1),
    ]


def test_a_tree_of_256_has_a_full_tile_and_one_hash_above() -> None:
    assert list(tiles_of(256)) == [TileCoordinate(0, 0), TileCoordinate(1, 0, 1)]
    assert list(tiles_of(255)) == [TileCoordinate(0, 0, 255)]
    assert list(tiles_of(0)) == []


@given(st.integers(0, MAX_TREE_SIZE))
def test_only_the_last_tile_of_a_level_is_partial(size: int) -> None:
    since = max(0, size - 300)
    for tile in tiles_of(size, since=since):
        count = size >> 8 * tile.level
        assert 1 <= tile.width <= TILE_WIDTH
        assert tile.index * TILE_WIDTH + tile.width <= count
        assert tile.width == TILE_WIDTH or tile.index == count // TILE_WIDTH
        assert tile.width == TILE_WIDTH or tile.width == count % TILE_WIDTH


@given(st.integers(0, 140_000), st.integers(0, 70_000))
@example(0, 0)
@example(65_536, 65_536)
@example(65_535, 1)
def test_since_lists_exactly_the_tiles_that_are_new_or_wider(old: int, more: int) -> None:
    new = old + more
    assert set(tiles_of(new, since=old)) == set(tiles_of(new)) - set(tiles_of(old))


@given(st.lists(st.binary(max_size=100), min_size=1, max_size=TILE_WIDTH))
@example([b""])
@example([b"\x00" * 65_535])
def test_bundles_round_trip(entries: list[bytes]) -> None:
    assert decode_bundle(encode_bundle(entries)) == entries


def test_a_bundle_has_big_endian_lengths() -> None:
    assert encode_bundle([b"ab", b"x" * 258]) == b"\x00\x02ab\x01\x02" + b"x" * 258


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00", b"\x00\x01", b"\x00\x02a", b"\x00\x01a\x00", b"\x00\x01ab", b"\xff\xff", b"\x00\x00" * 257],
    ids=[
        "empty",
        "half a length",
        "no entry",
        "short entry",
        "half a next length",
        "long entry",
        "huge",
        "257 entries",
    ],
)
def test_malformed_bundles_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        decode_bundle(data)
    assert caught.value.code is ErrorCode.TILE_MALFORMED


@given(st.binary(max_size=600))
def test_a_bundle_that_parses_encodes_to_itself(data: bytes) -> None:
    try:
        entries = decode_bundle(data)
    except InvalidRequestError:
        return
    assert encode_bundle(entries) == data


def test_roots_of_all_small_sizes_are_those_of_the_oracle() -> None:
    tree = TILES.tree()
    for size in range(71):
        assert tree.root(size) == ORACLE.root(size), size


@pytest.mark.parametrize("size", [255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 69_999, BIG])
def test_roots_around_the_edges_of_tiles_are_those_of_the_oracle(size: int) -> None:
    assert TILES.tree().root(size) == ORACLE.root(size)


@given(st.integers(0, BIG))
def test_roots_of_random_sizes_are_those_of_the_oracle(size: int) -> None:
    assert TILES.tree().root(size) == ORACLE.root(size)


@given(st.data())
def test_any_complete_subtree_is_a_node(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, BIG))
    height = data.draw(st.integers(0, size.bit_length() - 1))
    index = data.draw(st.integers(0, (size >> height) - 1))
    start, end = index << height, index + 1 << height
    assert TILES.tree().node(height, index, size) == ORACLE.mth(start, end)


def test_an_empty_tree_reads_no_tile() -> None:
    tiles = ListTiles()
    assert tiles.tree().root(0) == EMPTY_ROOT
    assert tiles.reads == []


def test_one_tree_follows_a_growing_log() -> None:
    tiles = ListTiles()
    tree = tiles.tree()
    for size in [1, 2, 255, 256, 257, 300, 511, 512, 513, 1024]:
        tiles.extend(HASHES[tiles.size : size])
        assert tree.root(size) == ORACLE.root(size), size


def test_a_tile_of_a_given_width_is_read_once() -> None:
    tiles = ListTiles(HASHES[:300])
    tree = tiles.tree()
    for leaf in [0, 1, 256, 257, 0]:
        assert tree.node(0, leaf, 300) == HASHES[leaf]
    tiles.extend(HASHES[300:301])
    assert tree.node(0, 300, 301) == HASHES[300]
    assert tiles.reads == [TileCoordinate(0, 0), TileCoordinate(0, 1, 44), TileCoordinate(0, 1, 45)]


def test_a_proof_reads_a_few_tiles_only() -> None:
    for index in random.Random(1).sample(range(BIG), 20):
        tiles = ListTiles()
        tiles.levels = TILES.levels
        prove_inclusion(tiles.tree(), index, BIG)
        assert len(set(tiles.reads)) <= 6, index
        tiles.reads.clear()
        prove_consistency(tiles.tree(), index + 1, BIG)
        assert len(set(tiles.reads)) <= 6, index


class _SameTile:
    """Returns the same hashes for every tile."""

    def __init__(self) -> None:
        self.count = 0

    def read_tile(self, tile: TileCoordinate) -> bytes:
        self.count += 1
        return bytes(32 * tile.width)


def test_the_cache_is_bounded() -> None:
    reader, size = _SameTile(), 256 * 1100
    tree = TiledTree(reader)
    for _ in range(2):
        for index in range(1100):
            tree.node(0, 256 * index, size)
    assert 1100 < reader.count <= 2200


def test_threads_that_want_the_same_tile_read_it_once() -> None:
    reader = _SameTile()
    tree = TiledTree(reader)
    with ThreadPoolExecutor(16) as pool:
        hashes = set(pool.map(lambda index: tree.node(0, index, 256), range(256)))
    assert hashes == {bytes(32)}
    assert reader.count == 1


class _ShortTile:
    def __init__(self, change: int) -> None:
        self.change = change

    def read_tile(self, tile: TileCoordinate) -> bytes:
        return bytes(32 * tile.width + self.change)


@pytest.mark.parametrize("change", [-32, -1, 1, 32])
def test_a_stored_tile_of_another_length_is_tampering(change: int) -> None:
    with pytest.raises(TamperDetectedError):
        TiledTree(_ShortTile(change)).root(5)


def test_a_tile_that_is_missing_is_said_to_be_missing() -> None:
    with pytest.raises(NotFoundError):
        ListTiles(HASHES[:3]).tree().root(4)
