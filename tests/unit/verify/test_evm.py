"""Anchor proofs: recorded from a real node, made at will, and changed in every way, which is always refused."""

import itertools
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from eth_hash.auto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.contracts import load_artefact
from tests.lib.anchor_proofs import CONTRACT, Block, ProofMaker, encode, link
from yingbi.receipts import Checkpoint
from yingbi.verify.evm import (
    LOG_ANCHOR_CODE_HASHES,
    AnchoredHead,
    AnchorInvalid,
    AnchorMissing,
    TrustedBlock,
    verify_anchor,
)

_VECTORS = Path(__file__).parents[2] / "vectors" / "anchor"
_EXPECTED = json.loads((_VECTORS / "expected.json").read_text("utf-8"))
_TRUSTED = Block(
    chain_id=_EXPECTED["chain_id"],
    contract=bytes.fromhex(_EXPECTED["contract"][2:]),
    block_hash=bytes.fromhex(_EXPECTED["block_hash"][2:]),
)
_ORIGIN = "log.example/1"


def _read(name: str) -> dict[str, Any]:
    document = json.loads((_VECTORS / name).read_text("utf-8"))
    assert isinstance(document, dict)
    return document


def _head(size: int, seed: int = 0) -> Checkpoint:
    return Checkpoint(origin=_ORIGIN, size=size, root=keccak(b"%d %d" % (size, seed)))


def _refuse(proof: bytes, trusted: TrustedBlock) -> AnchorInvalid:
    with pytest.raises(AnchorInvalid) as caught:
        verify_anchor(proof, [trusted])
    return caught.value


# --- recorded from anvil ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["last.json", "older.json"])
def test_a_recorded_proof_shows_its_head(name: str) -> None:
    expected = _EXPECTED["heads"][name]
    assert verify_anchor((_VECTORS / name).read_bytes(), [_TRUSTED]) == AnchoredHead(
        chain_id=_EXPECTED["chain_id"],
        contract=_TRUSTED.contract,
        block_number=_EXPECTED["block_number"],
        block_hash=_TRUSTED.block_hash,
        block_time=datetime.fromtimestamp(_EXPECTED["block_time"], UTC),
        origin=_EXPECTED["origin"],
        size=expected["size"],
        root=bytes.fromhex(expected["root"]),
    )


def test_the_pinned_code_is_the_shipped_contract() -> None:
    assert load_artefact().runtime_code_hash in LOG_ANCHOR_CODE_HASHES


@pytest.mark.parametrize(
    ("trusted", "asks"),
    [
        ([], "whether 0x"),
        ([Block(chain_id=1, contract=_TRUSTED.contract, block_hash=_TRUSTED.block_hash)], "whether 0x"),
        ([Block(chain_id=_TRUSTED.chain_id, contract=bytes(20), block_hash=_TRUSTED.block_hash)], "whether 0x"),
        ([Block(chain_id=_TRUSTED.chain_id, contract=_TRUSTED.contract, block_hash=bytes(32))], "a source you trust"),
    ],
    ids=["nothing", "another chain", "another contract", "another block"],
)
def test_without_its_block_hash_a_proof_is_missing_something_and_never_passes(trusted: list[Block], asks: str) -> None:
    with pytest.raises(AnchorMissing) as caught:
        verify_anchor((_VECTORS / "last.json").read_bytes(), trusted)
    message = str(caught.value)
    assert message.startswith(f"ask for the hash of block {_EXPECTED['block_number']} of chain 31337")
    assert message.endswith(asks) or asks in message
    assert (caught.value.chain_id, caught.value.block_number) == (31337, _EXPECTED["block_number"])


def test_a_wrong_proof_is_invalid_even_without_trust() -> None:
    document = _read("last.json")
    document["chain_before"] = "0x" + "00" * 32
    with pytest.raises(AnchorInvalid):
        verify_anchor(encode(document), [])


# --- families of changes ----------------------------------------------------------------------------------------------


def _hex_regions(document: dict[str, Any]) -> Iterator[tuple[str, list[str | int]]]:
    """Name every hexadecimal text of a proof with the way to it."""
    stack: list[tuple[list[str | int], Any]] = [([], document)]
    while stack:
        way, value = stack.pop()
        children: list[tuple[str | int, Any]] = []
        if isinstance(value, dict):
            children = list(value.items())
        elif isinstance(value, list):
            children = list(enumerate(value))
        elif isinstance(value, str) and value.startswith("0x"):
            yield ".".join(map(str, way)), way
        stack += [([*way, name], child) for name, child in children]


def _replace(document: dict[str, Any], way: list[str | int], change: Callable[[Any], Any]) -> dict[str, Any]:
    copy: Any = json.loads(json.dumps(document))
    target = copy
    for name in way[:-1]:
        target = target[name]
    target[way[-1]] = change(target[way[-1]])
    assert isinstance(copy, dict)
    return copy


def _flip(at: int) -> Callable[[str], str]:
    def change(text: str) -> str:
        data = bytearray.fromhex(text[2:])
        data[at % len(data)] ^= 1 << at % 8
        return "0x" + data.hex()

    return change


_OLDER = _read("older.json")
_REGIONS = dict(_hex_regions(_OLDER))


def test_the_families_cover_every_region() -> None:
    assert {name.split(".")[0] for name in _REGIONS} == set(_OLDER) - {"chain_id", "checkpoint", "v"}
    assert len(_REGIONS) == 4 + 4 + 4 * 2 + 2


@pytest.mark.parametrize("name", sorted(_REGIONS))
def test_a_changed_byte_anywhere_is_refused(name: str) -> None:
    way = _REGIONS[name]
    length = (len(_replace_reads(way)) - 2) // 2
    step = 1 if length <= 32 else 11
    for at in {*range(0, length, step), length - 1}:
        _refuse(encode(_replace(_OLDER, way, _flip(at))), _TRUSTED)


def _replace_reads(way: list[str | int]) -> str:
    value: Any = _OLDER
    for name in way:
        value = value[name]
    assert isinstance(value, str)
    return value


@pytest.mark.parametrize("name", sorted(_REGIONS))
def test_a_cut_or_longer_region_is_refused(name: str) -> None:
    has_one_length = name.split(".")[0] not in ("account_proof", "header", "storage_proofs")
    for change in (lambda t: t[:-2], lambda t: t + "00", lambda t: "0x"):
        error = _refuse(encode(_replace(_OLDER, _REGIONS[name], change)), _TRUSTED)
        assert has_one_length == (error.check == "form")
    for change in (lambda t: t[:-1], lambda t: t[2:], lambda t: t + "0" * 140_000, lambda t: t + " "):
        assert _refuse(encode(_replace(_OLDER, _REGIONS[name], change)), _TRUSTED).check == "form"


@pytest.mark.parametrize("way", [["account_proof"], *(["storage_proofs", name] for name in _OLDER["storage_proofs"])])
def test_missing_doubled_swapped_and_further_nodes_are_refused(way: list[str | int]) -> None:
    families: list[Callable[[list[str]], list[str]]] = [
        lambda nodes: nodes[1:],
        lambda nodes: nodes[:-1],
        lambda nodes: nodes[::-1],
        lambda nodes: [*nodes, nodes[-1]],
        lambda nodes: [nodes[0], *nodes],
        lambda nodes: [*nodes, "0x"],
    ]
    for change in families:
        assert _refuse(encode(_replace(_OLDER, way, change)), _TRUSTED).check != "form"
    for change in (lambda nodes: [], lambda nodes: nodes * 40, lambda nodes: [nodes[0] + "00" * 1024]):
        assert _refuse(encode(_replace(_OLDER, way, change)), _TRUSTED).check == "form"


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(sorted(_OLDER["storage_proofs"]), 2)))
def test_swapped_slots_are_refused(one: str, other: str) -> None:
    document = json.loads(json.dumps(_OLDER))
    proofs = document["storage_proofs"]
    proofs[one], proofs[other] = proofs[other], proofs[one]
    _refuse(encode(document), _TRUSTED)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("9\n", "09\n"),
        lambda text: text.replace("9\n", "0\n"),
        lambda text: text.replace("9\n", "9007199254740992\n"),
        lambda text: text.replace("=\n", "\n"),
        lambda text: text[:-3] + chr(ord(text[-3]) + 1) + text[-2:],
        lambda text: text[:-1],
        lambda text: text + "\n",
        lambda text: text + "extension\n",
        lambda text: "\n" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "",
        lambda text: 1,
        lambda text: None,
        lambda text: text.split("\n")[0],
        lambda text: "\ud800" + text,
    ],
)
def test_a_checkpoint_of_another_form_is_refused(change: Callable[[str], Any]) -> None:
    changed = _replace(_OLDER, ["checkpoint"], change)
    assert changed != _OLDER
    proof = json.dumps(changed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert _refuse(proof.encode("utf-8", "surrogatepass"), _TRUSTED).check == "form"


@pytest.mark.parametrize(
    ("old", "new", "check"),
    [("9\n", "8\n", "chain value"), ("9\n", "1000\n", "later heads"), ("futian", "nanshan", "origin")],
)
def test_another_checkpoint_is_refused(old: str, new: str, check: str) -> None:
    changed = _replace(_OLDER, ["checkpoint"], lambda text: text.replace(old, new))
    assert _refuse(encode(changed), _TRUSTED).check == check


def test_every_changed_letter_of_the_checkpoint_is_refused() -> None:
    text = _OLDER["checkpoint"]
    for at, letter in enumerate(text):
        other = "B" if letter == "A" else "A"
        _refuse(encode(_OLDER | {"checkpoint": text[:at] + other + text[at + 1 :]}), _TRUSTED)


@pytest.mark.parametrize(
    ("check", "later"),
    [
        ("size", lambda later: []),
        ("chain value", lambda later: later[1:]),
        ("size", lambda later: later[:-1]),
        ("later heads", lambda later: later[::-1]),
        ("later heads", lambda later: [*later, later[-1]]),
        ("chain value", lambda later: [{**later[0], "size": 999}, later[1]]),
        ("form", lambda later: [{**later[0], "size": "1000"}, later[1]]),
        ("form", lambda later: [{**later[0], "size": True}, later[1]]),
        ("form", lambda later: [{**later[0], "size": -1}, later[1]]),
        ("form", lambda later: [{**later[0], "more": 1}, later[1]]),
        ("form", lambda later: [{"size": 1000}, later[1]]),
        ("form", lambda later: later * 2049),
        ("form", lambda later: {}),
        ("form", lambda later: None),
    ],
)
def test_another_list_of_later_heads_is_refused(check: str, later: Callable[[Any], Any]) -> None:
    assert _refuse(encode(_replace(_OLDER, ["later"], later)), _TRUSTED).check == check


def test_parts_of_two_proofs_do_not_mix() -> None:
    mine, block = ProofMaker([_head(5), _head(9)], neighbours=8).make()
    other, _ = ProofMaker([_head(5), _head(9, seed=1)], neighbours=8).make()
    accepted = []
    different = [name for name in mine if mine[name] != other[name]]
    assert different == ["account_proof", "block_hash", "checkpoint", "header", "storage_proofs"]
    for taken in itertools.product([mine, other], repeat=len(different)):
        document = mine | {name: source[name] for name, source in zip(different, taken, strict=True)}
        try:
            verify_anchor(encode(document), [block])
        except (AnchorInvalid, AnchorMissing):
            continue
        accepted.append(document)
    assert all(document == mine for document in accepted)
    assert accepted


# --- the file's form --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "proof",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b" " + encode(_OLDER),
        encode(_OLDER) + b"\n",
        encode(_OLDER).replace(b'"v":1', b'"v":1,"v":1'),
        encode(_OLDER).replace(b'"v":1', b'"v":1.0'),
        encode(_OLDER).replace(b'"v":1', b'"v":2'),
        encode(_OLDER).replace(b'"v":1', b'"v":true'),
        encode(_OLDER).replace(b'"v":1', b'"w":1'),
        encode(_OLDER | {"more": 1}),
        encode({name: value for name, value in _OLDER.items() if name != "later"}),
        encode(_OLDER | {"chain_id": 0}),
        encode(_OLDER | {"chain_id": 2**53}),
        encode(_OLDER | {"chain_id": "31337"}),
        encode(_OLDER | {"contract": _OLDER["contract"].upper()}),
        encode(_OLDER | {"contract": _OLDER["contract"].replace("f", "F", 1)}),
        encode(_OLDER | {"storage_proofs": []}),
        encode(_OLDER | {"storage_proofs": {**_OLDER["storage_proofs"], "anchorer": ["0x80"]}}),
        encode(_OLDER | {"storage_proofs": {"size": _OLDER["storage_proofs"]["size"]}}),
        encode(_OLDER | {"account_proof": "0x80"}),
        encode(_OLDER | {"account_proof": [1]}),
        encode(_OLDER | {"header": "0x" + "00" * 70_000}),
        encode(_OLDER | {"header": "0x" + "00" * 600_000}),
    ],
)
def test_a_file_of_another_form_is_refused(proof: bytes) -> None:
    assert _refuse(proof, _TRUSTED).check in ("form", "block header")


@given(st.integers(0, 6000), st.integers(1, 255))
@settings(max_examples=100, deadline=None)
def test_any_changed_byte_of_the_file_is_refused(at: int, mask: int) -> None:
    data = bytearray((_VECTORS / "older.json").read_bytes())
    data[at % len(data)] ^= mask
    with pytest.raises((AnchorInvalid, AnchorMissing)):
        verify_anchor(bytes(data), [_TRUSTED])


@pytest.mark.parametrize("length", [0, 1, 2, 100, 3000, -2, -1])
def test_a_cut_file_is_refused(length: int) -> None:
    _refuse((_VECTORS / "older.json").read_bytes()[:length], _TRUSTED)


# --- chains made at will ----------------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(1, 2**53 - 1), min_size=1, max_size=6, unique=True).map(sorted),
    st.integers(0, 5),
    st.integers(0, 30),
    st.integers(15, 30),
)
@settings(max_examples=25, deadline=None)
def test_every_head_of_any_chain_is_shown(sizes: list[int], proved: int, neighbours: int, header_items: int) -> None:
    heads = [_head(size) for size in sizes]
    maker = ProofMaker(heads, proved=proved % len(heads), neighbours=neighbours, header_items=header_items)
    document, block = maker.make()
    shown = verify_anchor(encode(document), [block])
    wanted = heads[proved % len(heads)]
    assert (shown.size, shown.root, shown.origin) == (wanted.size, wanted.root, _ORIGIN)


def test_other_code_at_the_address_is_refused() -> None:
    document, block = ProofMaker([_head(5)], code_hash=keccak(b"other code")).make()
    assert _refuse(encode(document), block).check == "contract code"


def test_an_account_without_code_or_of_another_shape_is_refused() -> None:
    empty_root, empty_code = keccak(b"\x80"), keccak(b"")
    accounts: list[list[Any]] = [
        [b"\x01", b"", empty_root],
        [b"\x01", b"", b"short", next(iter(LOG_ANCHOR_CODE_HASHES))],
        [b"\x01", b"", [b"\x01"] * 32, next(iter(LOG_ANCHOR_CODE_HASHES))],
        [b"\x01", b"", empty_root, []],
    ]
    for account in accounts:
        document, block = ProofMaker([_head(5)], account=account).make()
        assert _refuse(encode(document), block).check == "account"
    document, block = ProofMaker([_head(5)], account=[b"\x01", b"", empty_root, empty_code]).make()
    assert _refuse(encode(document), block).check == "contract code"


def test_an_account_that_does_not_exist_is_refused() -> None:
    document, block = ProofMaker([_head(5)]).make()
    document["contract"] = "0x" + "77" * 20
    other = Block(chain_id=block.chain_id, contract=b"\x77" * 20, block_hash=block.block_hash)
    assert _refuse(encode(document), other).check == "account"


@pytest.mark.parametrize(
    ("slot", "value", "check"),
    [
        (1, (6).to_bytes(32), "size"),
        (1, bytes(32), "slot size"),
        (2, b"\x01" * 32, "root"),
        (2, bytes(32), "slot root"),
        (3, b"\x01" * 32, "chain value"),
        (4, b"\x01" * 32, "origin"),
        (4, bytes(32), "slot origin_hash"),
    ],
)
def test_a_contract_that_holds_something_else_is_refused(slot: int, value: bytes, check: str) -> None:
    document, block = ProofMaker([_head(3), _head(5)], slots={slot: value}).make()
    error = _refuse(encode(document), block)
    assert error.check == check
    assert check.startswith("slot") != (error.expected is not None)


def test_a_contract_that_was_never_anchored_to_shows_nothing() -> None:
    document, block = ProofMaker([_head(5)], slots={1: bytes(32), 2: bytes(32)}).make()
    assert _refuse(encode(document), block).check == "slot root"


def test_the_contract_of_another_log_is_refused() -> None:
    document, block = ProofMaker([_head(5)], origin="log.example/other").make()
    assert _refuse(encode(document), block).check == "origin"


@pytest.mark.parametrize(
    "encoded", [b"\x82\x00\x05", b"\xa1" + b"\x01" * 33, b"\x80", b"\xc1\x05", b"\x81\x05", b"\x05\x05"]
)
def test_a_slot_that_holds_no_canonical_number_is_refused(encoded: bytes) -> None:
    document, block = ProofMaker([_head(5)], encoded_slots={1: encoded}).make()
    assert _refuse(encode(document), block).check == "slot size"


@pytest.mark.parametrize("sizes", [(9, 5), (5, 5)])
def test_sizes_that_do_not_grow_are_refused_though_their_chain_value_fits(sizes: tuple[int, int]) -> None:
    """No such chain exists under the pinned code; a forged `later` must not rest on that."""
    heads = [_head(size, seed) for seed, size in enumerate(sizes)]
    document, block = ProofMaker(heads, proved=0).make()
    assert _refuse(encode(document), block).check == "later heads"


def test_a_file_over_the_limit_is_refused_though_everything_in_it_fits() -> None:
    for length, is_shown in ((1000, True), (1 << 20, False)):
        origin = "x" * length
        heads = [Checkpoint(origin=origin, size=5, root=bytes(31) + b"\x05")]
        document, block = ProofMaker(heads, origin=origin).make()
        if is_shown:
            assert verify_anchor(encode(document), [block]).origin == origin
        else:
            assert _refuse(encode(document), block).check == "form"


def test_a_head_before_the_first_is_refused() -> None:
    document, block = ProofMaker([_head(5)]).make()
    document["chain_before"] = "0x" + link(bytes(32), _head(3)).hex()
    assert _refuse(encode(document), block).check == "chain value"


@pytest.mark.parametrize(
    "header",
    [
        {3: b"\xaa" * 31},
        {3: [b"\xaa"] * 32},
        {8: b"\x00"},
        {8: b"\x00\x07"},
        {8: b"\xff" * 8},
        {8: []},
        {11: b"\x00\x07"},
        {11: b"\xff" * 5},
        {11: []},
    ],
)
def test_a_header_of_another_form_is_refused(header: dict[int, Any]) -> None:
    document, block = ProofMaker([_head(5)], header=header).make()
    assert _refuse(encode(document), block).check == "block header"


def test_a_header_with_too_few_members_is_refused() -> None:
    document, block = ProofMaker([_head(5)], header_items=14).make()
    assert _refuse(encode(document), block).check == "block header"


def test_a_header_that_is_no_list_is_refused() -> None:
    document, _ = ProofMaker([_head(5)]).make()
    header = b"\xb8\x40" + b"\xaa" * 64
    document |= {"header": "0x" + header.hex(), "block_hash": "0x" + keccak(header).hex()}
    block = Block(chain_id=31337, contract=CONTRACT, block_hash=keccak(header))
    assert _refuse(encode(document), block).check == "block header"


def test_the_genesis_time_and_the_last_second_are_read() -> None:
    for seconds, year in ((0, 1970), (253_402_300_799, 9999)):
        document, block = ProofMaker([_head(5)], timestamp=seconds, number=0).make()
        shown = verify_anchor(encode(document), [block])
        assert (shown.block_time.year, shown.block_time.tzinfo, shown.block_number) == (year, UTC, 0)


def test_many_later_heads_are_followed() -> None:
    heads = [_head(size) for size in range(1, 400)]
    document, block = ProofMaker(heads, proved=0).make()
    assert verify_anchor(encode(document), [block]).size == 1


def test_a_published_block_hash() -> None:
    """Ethereum's first block: 15 members, as published with the genesis file."""
    import rlp  # type: ignore[import-untyped]

    from yingbi.verify.keccak import keccak256
    from yingbi.verify.patricia import decode_rlp

    header = [
        bytes(32),
        bytes.fromhex("1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347"),
        bytes(20),
        bytes.fromhex("d7f8974fb5ac78d9ac099b9ad5018bedc2ce0a72dad1827a1709da30580f0544"),
        bytes.fromhex("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"),
        bytes.fromhex("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"),
        bytes(256),
        bytes.fromhex("0400000000"),
        b"",
        bytes.fromhex("1388"),
        b"",
        b"",
        bytes.fromhex("11bbe8db4e347b4e8c937c1c8370e4b5ed33adb3db69cbdb7a38e1e50b1b82fa"),
        bytes(32),
        bytes.fromhex("0000000000000042"),
    ]
    encoded = rlp.encode(header)
    assert keccak256(encoded).hex() == "d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"
    assert decode_rlp(encoded) == header
