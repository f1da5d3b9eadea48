"""Our notes, tiles and proofs against Go's own transparency logs (golang.org/x/mod/sumdb), both ways."""

import base64
import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from ledger.entry import encode_entry, genesis_hash
from ledger.note import Cosigner, MlDsaCosigner, NoteVerifier, TextSigner, parse_note, sign_note, verify_note
from ledger.proof import prove_consistency, prove_inclusion, verify_consistency, verify_inclusion
from ledger.tiles import TileCoordinate, parse_tile_path, tiles_of
from ledger.tree import hash_leaf, root_of
from tests.lib.examples import minimal_payload
from tests.lib.proof_mutations import (
    ConsistencyClaim,
    InclusionClaim,
    is_consistency_accepted,
    is_inclusion_accepted,
    mutate_consistency,
    mutate_inclusion,
)
from tests.lib.trees import ListTiles, LogFolder, make_entries, read_log_folder, write_log_folder
from yingbi.clock import FixedClock
from yingbi.events import EntryType
from yingbi.keys import SigningKey
from yingbi.receipts import ConsistencyProof, InclusionProof
from yingbi.statement import sign

pytestmark = pytest.mark.go

SOURCES: Final = Path(__file__).parents[1] / "interop" / "go"
GO: Final = shutil.which("go")
GOPATH: Final = Path("/usr/share/gocode")  # where Debian's golang-golang-x-mod-dev puts its sources
SEED: Final = b"L" * 32
ORIGIN: Final = "log.example/2026"
LOG: Final = TextSigner(ORIGIN, SigningKey.from_seed(SEED))
CLOCK: Final = FixedClock(datetime(2026, 11, 21, 8, tzinfo=UTC))
WITNESSES: Final = (
    Cosigner("witness.example/w1", SigningKey.from_seed(b"W" * 32), CLOCK),
    MlDsaCosigner("witness.example/w2", MLDSA44PrivateKey.from_seed_bytes(b"M" * 32), CLOCK),
)


@dataclass(frozen=True)
class Go:
    """Programs in Go, built."""

    folder: Path

    def run(self, program: str, *args: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run a program to its end."""
        command = [str(self.folder / program), *args]
        return subprocess.run(command, input=data, capture_output=True, check=False, timeout=60)

    def ask(self, program: str, *args: str, data: bytes = b"") -> Any:
        """Run a program that must succeed; return the JSON it printed."""
        done = self.run(program, *args, data=data)
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)


@pytest.fixture(scope="session")
def go(tmp_path_factory: pytest.TempPathFactory) -> Go:
    if GO is None:
        pytest.skip("needs Go: apt-get install golang-go")
    if not (GOPATH / "src/golang.org/x/mod/sumdb/tlog").is_dir():
        pytest.skip("needs golang.org/x/mod: apt-get install golang-golang-x-mod-dev")
    folder = tmp_path_factory.mktemp("go")
    environment = {
        **os.environ,
        "GO111MODULE": "off",
        "GOFLAGS": "",
        "GOPATH": str(GOPATH),
        "GOCACHE": str(folder / "cache"),
        "GOTOOLCHAIN": "local",
    }
    for program in ("note", "tlog"):
        command = [GO, "build", "-o", str(folder / program), str(SOURCES / program / "main.go")]
        subprocess.run(command, env=environment, check=True, timeout=300)
    return Go(folder)


def _real_entries(count: int) -> list[bytes]:
    """Entries as the log makes them, each with the hash of the one before."""
    types, key = list(EntryType), SigningKey.from_seed(b"S" * 32)
    statements = [sign(minimal_payload(entry_type), [key]) for entry_type in types]
    prev, entries = genesis_hash(ORIGIN), list[bytes]()
    for seq in range(count):
        time = f"2026-11-21T08:00:00.{seq:06d}Z"
        entries.append(encode_entry(seq=seq, prev=prev, time=time, statement=statements[seq % len(types)]))
        prev = hash_leaf(entries[-1])
    return entries


@pytest.fixture(scope="module", params=[1, 2, 255, 256, 257, 600, 70_000])
def log_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LogFolder:
    """A log as files, cosigned by two witnesses."""
    size: int = request.param
    entries = _real_entries(size) if size <= 600 else make_entries(size)
    return write_log_folder(tmp_path_factory.mktemp("log"), ORIGIN, entries, [LOG, *WITNESSES])


def _hash(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _path(items: Iterable[str] | None) -> tuple[bytes, ...]:
    return tuple(_hash(item) for item in items or ())


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


# Notes


def test_go_opens_our_checkpoint_and_ignores_cosignatures(go: Go, log_folder: LogFolder) -> None:
    seen = go.ask("note", "open", log_folder.vkey, data=log_folder.note)
    assert seen["text"].encode() == parse_note(log_folder.note).text
    assert seen["signed"] == [ORIGIN]
    assert seen["unverified"] == [witness.name for witness in WITNESSES]


def test_while_keys_change_over_go_opens_a_checkpoint_with_either(go: Go) -> None:
    new = TextSigner(ORIGIN, SigningKey.from_seed(b"N" * 32))
    note = sign_note(b"log.example/2026\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n", [LOG, new])
    for signer in (LOG, new):
        seen = go.ask("note", "open", signer.verifier.encode(), data=note)
        assert (seen["signed"], seen["unverified"]) == ([ORIGIN], [ORIGIN])


def test_go_refuses_what_we_refuse(go: Go) -> None:
    note = sign_note(b"text\n", [LOG])
    vkey = LOG.verifier.encode()
    assert go.run("note", "open", vkey, data=note).returncode == 0
    for wrong in (note.replace(b"text", b"Text"), note[:-1], note.replace("—".encode(), b"-"), b"\t" + note):
        assert go.run("note", "open", vkey, data=wrong).returncode == 1
    stranger = TextSigner(ORIGIN, SigningKey.from_seed(b"X" * 32)).verifier.encode()
    assert go.run("note", "open", stranger, data=note).returncode == 1
    for witness in WITNESSES:  # Go knows plain Ed25519 keys only
        assert go.run("note", "open", witness.verifier.encode(), data=note).returncode == 1


@pytest.mark.parametrize("text", ["text\n", "a\n\nb\n", "影壁 — è\u2028😀\n", " \n", "-\n+\n", "x" * 10_000 + "\n"])
def test_go_signs_notes_as_we_do(go: Go, text: str) -> None:
    keys = go.ask("note", "key", ORIGIN, SEED.hex())
    assert keys["verifier"] == LOG.verifier.encode()
    signed = go.run("note", "sign", keys["signer"], data=text.encode()).stdout
    assert signed == sign_note(text.encode(), [LOG])
    (verified,) = verify_note(parse_note(signed), [NoteVerifier.parse(keys["verifier"])])
    assert verified.verifier == LOG.verifier
    assert go.ask("note", "open", keys["verifier"], data=signed)["text"] == text


@pytest.mark.parametrize("name", ["a", "影壁.example/日志", "PeterNeumann", "x" * 300, "a/b?c=d#e"])
def test_go_makes_the_same_verifier_keys(go: Go, name: str) -> None:
    for seed in (b"\x00" * 32, b"\xff" * 32, SEED):
        ours = TextSigner(name, SigningKey.from_seed(seed)).verifier
        assert go.ask("note", "key", name, seed.hex())["verifier"] == ours.encode()


# Folders of tiles


def test_go_checks_every_record_and_size_of_our_tiles(go: Go, log_folder: LogFolder) -> None:
    size, root = log_folder.checkpoint.size, log_folder.checkpoint.root
    step = 1 if size <= 600 else 1_999
    seen = go.ask("tlog", "folder", str(log_folder.path), log_folder.vkey, str(step))
    tree = log_folder.tree()
    assert (seen["size"], _hash(seen["root"])) == (size, root) == (size, tree.root(size))
    assert len(seen["records"]) == len(seen["trees"]) == len({*range(0, size, step), size - 1})
    for found in seen["records"]:
        proof = InclusionProof(index=found["index"], size=size, path=_path(found["path"]))
        assert proof == prove_inclusion(tree, found["index"], size)
        assert _hash(found["leaf"]) == hash_leaf(log_folder.entries[found["index"]])
        verify_inclusion(proof, _hash(found["leaf"]), root)
    for found in seen["trees"]:
        between = ConsistencyProof(old_size=found["index"], new_size=size, path=_path(found["path"]))
        assert between == prove_consistency(tree, found["index"], size)
        assert _hash(found["leaf"]) == tree.range_root(0, found["index"], size)
        verify_consistency(between, _hash(found["leaf"]), root)


def _flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


TAMPERINGS: Final[dict[str, Callable[[Path], object]]] = {
    "a leaf hash": lambda folder: _flip(folder / "tile/0/001", 777),
    "a leaf hash of the last tile": lambda folder: _flip(folder / "tile/0/002.p/88", 777),
    "a hash above": lambda folder: _flip(folder / "tile/1/000.p/2", 7),
    "an entry": lambda folder: _flip(folder / "tile/entries/001", 777),
    "the root": lambda folder: _flip(folder / "checkpoint", len(ORIGIN) + 10),
    "the signature": lambda folder: _flip(
        folder / "checkpoint", (folder / "checkpoint").read_bytes().index(b"=\n") - 3
    ),
    "a missing tile": lambda folder: (folder / "tile/0/001").unlink(),
    "a missing bundle": lambda folder: (folder / "tile/entries/001").unlink(),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_go_notices_tampering_with_a_folder(go: Go, tmp_path: Path, name: str) -> None:
    folder = write_log_folder(tmp_path, ORIGIN, make_entries(600), [LOG])
    assert go.run("tlog", "folder", str(tmp_path), folder.vkey, "50").returncode == 0
    TAMPERINGS[name](tmp_path)
    assert go.run("tlog", "folder", str(tmp_path), folder.vkey, "1").returncode == 1


def test_reading_a_folder_gives_what_was_written(log_folder: LogFolder) -> None:
    assert read_log_folder(log_folder.path) == log_folder
    assert len(log_folder.entries) == log_folder.checkpoint.size
    assert log_folder.checkpoint.root == root_of([hash_leaf(entry) for entry in log_folder.entries])


# Proofs


def _is_for_go(path: tuple[bytes, ...], *hashes: bytes) -> bool:
    return all(len(item) == 32 for item in (*path, *hashes))  # its hashes are arrays of 32 bytes


def _claim(index: int, size: int, leaf: bytes, root: bytes, path: tuple[bytes, ...]) -> dict[str, Any]:
    return {
        "index": index,
        "size": size,
        "leaf": _text(leaf),
        "root": _text(root),
        "path": [_text(item) for item in path],
    }


def test_go_accepts_our_proofs_and_refuses_the_same_mutations(go: Go) -> None:
    entries = make_entries(300)
    hashes = [hash_leaf(entry) for entry in entries]
    tree = ListTiles(hashes).tree()
    sizes = [*range(1, 21), 255, 256, 257, 300]
    choose = random.Random(6962)
    records: list[InclusionClaim] = []
    trees: list[ConsistencyClaim] = []
    for size in sizes:
        root = tree.root(size)
        for index in range(size) if size <= 20 else choose.sample(range(size), 5):
            path = prove_inclusion(tree, index, size).path
            records.append(InclusionClaim(index, size, hashes[index], root, path))
        for old in range(1, size) if size <= 20 else choose.sample(range(1, size), 5):
            between = prove_consistency(tree, old, size).path
            trees.append(ConsistencyClaim(old, size, tree.root(old), root, between))
    honest = len(records), len(trees)
    records += [wrong for claim in records for _, wrong in mutate_inclusion(claim)]
    trees += [wrong for claim in trees for _, wrong in mutate_consistency(claim)]
    records = [claim for claim in records if _is_for_go(claim.path, claim.leaf, claim.root)]
    trees = [claim for claim in trees if _is_for_go(claim.path, claim.old_root, claim.new_root)]
    claims = {
        "records": [_claim(item.index, item.size, item.leaf, item.root, item.path) for item in records],
        "trees": [_claim(item.old_size, item.new_size, item.old_root, item.new_root, item.path) for item in trees],
    }
    seen = go.ask("tlog", "verify", data=json.dumps(claims).encode())
    assert seen["records"] == [is_inclusion_accepted(claim) for claim in records]
    assert seen["trees"] == [is_consistency_accepted(claim) for claim in trees]
    assert (sum(seen["records"]), sum(seen["trees"])) == honest
    assert len(records) > 5_000
    assert len(trees) > 5_000


@pytest.mark.parametrize("size", [1, 2, 70, 256, 257, 1_000, 5_000])
def test_a_tree_that_go_builds_is_ours(go: Go, size: int) -> None:
    entries = make_entries(size)
    tiles = ListTiles(hash_leaf(entry) for entry in entries)
    tree = tiles.tree()
    if size <= 70:
        leaves = [(index, upto) for upto in range(1, size + 1) for index in range(upto)]
    else:
        choose = random.Random(size)
        leaves = [(choose.randrange(upto), upto) for upto in choose.sample(range(1, size + 1), 100)]
    pairs = [(index + 1, upto) for index, upto in leaves]
    wanted = {"records": [_text(entry) for entry in entries], "leaves": leaves, "pairs": pairs}
    seen = go.ask("tlog", "build", data=json.dumps(wanted).encode())
    assert _path(seen["roots"]) == tuple(tree.root(upto) for upto in range(1, size + 1))
    for found, (index, upto) in zip(seen["leaves"], leaves, strict=True):
        assert _path(found["path"]) == prove_inclusion(tree, index, upto).path
    for found, (old, new) in zip(seen["pairs"], pairs, strict=True):
        assert _path(found["path"]) == prove_consistency(tree, old, new).path
    theirs = {parse_tile_path(name): _hash(data) for name, data in map(str.split, seen["tiles"])}
    assert theirs == {tile: tiles.read_tile(tile) for tile in theirs}
    widest = {tile for tile in theirs if tile.width == max(_widths(theirs, tile))}  # Go lists narrower ones too
    assert widest == set(tiles_of(size))


def _widths(tiles: Iterable[TileCoordinate], like: TileCoordinate) -> list[int]:
    return [tile.width for tile in tiles if (tile.level, tile.index) == (like.level, like.index)]
