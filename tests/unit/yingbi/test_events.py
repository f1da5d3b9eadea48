"""The closed set of entry types: complete, documented, and without a place for free text."""

import copy
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest
from pydantic import BaseModel, ValidationError

from ledger.entry import MAX_ENTRY_BYTES, encode_entry
from tests.lib.examples import minimal_body, minimal_payload
from yingbi.canonical import canonical_bytes
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.events import BODY_MODELS, NOUNS, EntryType
from yingbi.events.fields import MAX_ITEMS, MAX_PARTIES
from yingbi.ids import new_id
from yingbi.keys import SigningKey, VerifyKey
from yingbi.statement import parse_statement, sign, verify_signatures

ROOT: Final = Path(__file__).parents[3]
EVERY_TYPE: Final = pytest.mark.parametrize("entry_type", EntryType, ids=str)

# The protocol's table, written down here a second time: a type must not come or go unseen.
PROTOCOL: Final = {
    "key": "registered rotated revoked",
    "participant": "applied admitted suspended reinstated offboarded",
    "duty": "granted revoked",
    "dataset": "registered versioned graded withdrawn",
    "agreement": "proposed countered signed activated suspended resumed revoked superseded expired",
    "certificate": "submitted accepted returned reviewed rejected noticed objected approved issued presented licensed "
    "transferred changed suspended resumed revoked cancelled expired",
    "job": "submitted approved refused leased started failed cancelled interrupted",
    "output": "checked held released delivered destroyed",
    "budget": "granted reserved committed refunded",
    "federation": "joined started round_started contributed round_completed interrupted aborted completed",
    "code": "proposed reviewed approved revoked",
    "challenge": "published claimed admitted scored awarded closed",
    "lease": "granted renewed frozen destroyed",
    "access": "break_glass_opened break_glass_closed frozen unfrozen location_capability_minted "
    "location_capability_ended",
    "log": "checkpoint_anchored key_changed audited",
}

# Each could carry a name, a remark or a second meaning into a leaf.
HOSTILE_TEXTS: Final = {
    "a Chinese name": "张三",
    "a remark": "Refused: owner is Zhang San",
    "an empty text": "",
    "a space": " ",
    "a null character": "\x00",
    "a long word": "a" * 301,
    "a JSON object": '{"name":"x"}',
    "a URL": "https://example.com/?name=x",
}


def accepts(entry_type: EntryType, body: object) -> bool:
    """Tell whether the model of `entry_type` takes `body`."""
    try:
        BODY_MODELS[entry_type].model_validate(body)
    except ValidationError:
        return False
    return True


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Yield the path and the value of everything that is neither an object nor a list."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, (*path, key))
    else:
        yield path, value


def objects(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the paths of all objects, the outermost first."""
    if isinstance(value, dict):
        yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from objects(item, (*path, key))


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    """Return what stands at a path."""
    for key in path:
        value = value[key]
    return value


def replaced(body: dict[str, Any], path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    """Return a copy of `body` with another value at `path`."""
    changed = copy.deepcopy(body)
    at(changed, path[:-1])[path[-1]] = value
    return changed


def schema_nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield every node of a JSON schema that says what a value is."""
    if isinstance(schema, dict):
        if "type" in schema:
            yield schema
        for item in schema.values():
            yield from schema_nodes(item)
    elif isinstance(schema, list):
        for item in schema:
            yield from schema_nodes(item)


# --- completeness


def test_types_are_those_of_the_protocol() -> None:
    expected = {f"{noun}.{verb}" for noun, verbs in PROTOCOL.items() for verb in verbs.split()}
    assert {str(item) for item in EntryType} == expected
    assert set(NOUNS) == set(PROTOCOL)


def test_every_type_has_a_model_of_its_own() -> None:
    assert set(BODY_MODELS) == set(EntryType)
    assert len(set(BODY_MODELS.values())) == len(EntryType)


def test_models_cannot_be_replaced() -> None:
    with pytest.raises(TypeError):
        BODY_MODELS[EntryType.JOB_REFUSED] = BaseModel  # type: ignore[index]


@EVERY_TYPE
def test_model_is_named_after_its_type_and_says_what_it_records(entry_type: EntryType) -> None:
    model = BODY_MODELS[entry_type]
    assert model.__name__ == "".join(word.capitalize() for word in re.split("[._]", entry_type))
    assert re.fullmatch(r"[A-Z].{20,115}\.", (model.__doc__ or "").strip().splitlines()[0])


@EVERY_TYPE
def test_model_is_strict_frozen_and_silent(entry_type: EntryType) -> None:
    config = BODY_MODELS[entry_type].model_config
    assert (config["extra"], config["frozen"], config["strict"], config["hide_input_in_errors"]) == (
        "forbid",
        True,
        True,
        True,
    )


@EVERY_TYPE
def test_statement_round_trip(entry_type: EntryType, signing_key: SigningKey) -> None:
    payload = minimal_payload(entry_type)
    statement = parse_statement(sign(payload, [signing_key]).envelope)
    assert statement.type is entry_type
    assert statement.payload_bytes == canonical_bytes(payload)
    assert statement.payload.body == payload["body"]
    assert verify_signatures(statement, [signing_key.public]) == (signing_key.public.thumbprint,)


@pytest.fixture(scope="module")
def signing_key() -> SigningKey:
    return SigningKey.from_seed(bytes(range(32)))


def test_statement_refuses_a_body_of_another_type(signing_key: SigningKey) -> None:
    payload = minimal_payload(EntryType.JOB_LEASED, body=minimal_body(EntryType.JOB_FAILED))
    with pytest.raises(InvalidRequestError) as caught:
        sign(payload, [signing_key])
    assert caught.value.code is ErrorCode.STATEMENT_MALFORMED


# --- no free text, no second form


@EVERY_TYPE
def test_no_member_is_unconstrained(entry_type: EntryType) -> None:
    for node in schema_nodes(BODY_MODELS[entry_type].model_json_schema()):
        match node["type"]:
            case "string":
                assert "enum" in node or "const" in node or ("pattern" in node and node["maxLength"] <= 300), node
            case "integer":
                assert "minimum" in node, node
                assert node["maximum"] <= 2**53 - 1, node
            case "array":
                assert node["maxItems"] <= max(MAX_ITEMS, MAX_PARTIES), node
            case "object":
                assert node["additionalProperties"] is False, node
                assert set(node.get("required", [])) == set(node.get("properties", {})), node
            case other:
                assert other in {"boolean", "null"}, node


@EVERY_TYPE
@pytest.mark.parametrize("text", HOSTILE_TEXTS.values(), ids=HOSTILE_TEXTS)
def test_no_text_member_takes_free_text(entry_type: EntryType, text: str) -> None:
    body = minimal_body(entry_type)
    for path, value in leaves(body):
        if isinstance(value, str | None):
            assert not accepts(entry_type, replaced(body, path, text)), path


@EVERY_TYPE
def test_no_member_takes_another_type(entry_type: EntryType) -> None:
    body = minimal_body(entry_type)
    for path, value in leaves(body):
        others: list[object] = [0.5, True, b"7", [], {}] if value is None else [0.5, 7, "7", True, b"7", [], {}, None]
        for other in others:
            if type(other) is not type(value):
                assert not accepts(entry_type, replaced(body, path, other)), (path, other)


@EVERY_TYPE
def test_texts_have_no_second_spelling(entry_type: EntryType) -> None:
    body = minimal_body(entry_type)
    for path, value in leaves(body):
        if isinstance(value, str):
            for other in (value + "\n", " " + value, value + " ", value + "\x00"):
                assert not accepts(entry_type, replaced(body, path, other)), (path, other)


@EVERY_TYPE
def test_every_member_is_required_and_none_is_added(entry_type: EntryType) -> None:
    body = minimal_body(entry_type)
    assert accepts(entry_type, body)
    for path in objects(body):
        assert not accepts(entry_type, _with_member(body, path, "remark")), path
        for name in at(body, path):
            assert not accepts(entry_type, _without(body, (*path, name))), (path, name)


def _with_member(body: dict[str, Any], path: tuple[str | int, ...], name: str) -> dict[str, Any]:
    changed = copy.deepcopy(body)
    at(changed, path)[name] = None
    return changed


def _without(body: dict[str, Any], path: tuple[str | int, ...]) -> dict[str, Any]:
    changed = copy.deepcopy(body)
    del at(changed, path[:-1])[path[-1]]
    return changed


@EVERY_TYPE
def test_errors_do_not_show_what_was_given(entry_type: EntryType) -> None:
    body = minimal_body(entry_type)
    for path, value in leaves(body):
        if isinstance(value, str):
            with pytest.raises(ValidationError) as caught:
                BODY_MODELS[entry_type].model_validate(replaced(body, path, "CANARY 7f3a"))
            assert "CANARY" not in str(caught.value)


def test_models_do_not_change() -> None:
    model = BODY_MODELS[EntryType.CERTIFICATE_EXPIRED].model_validate(minimal_body(EntryType.CERTIFICATE_EXPIRED))
    with pytest.raises(ValidationError):
        model.valid_until = "2027-01-01T00:00:00.000000Z"  # type: ignore[attr-defined]


# --- members with rules of their own


ACCEPTED: Final = {
    "a key without an end": (EntryType.KEY_REGISTERED, {"not_after": None}),
    "a key with an end": (EntryType.KEY_REGISTERED, {"not_after": "2027-11-21T08:00:00.000000Z"}),
    "a new key without an end": (EntryType.KEY_ROTATED, {"not_after": None}),
    "a checksummed contract address": (
        EntryType.LOG_CHECKPOINT_ANCHORED,
        {"contract": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"},
    ),
    "a finished change of the log's key": (EntryType.LOG_KEY_CHANGED, {"phase": "finish"}),
    "an audit of growth": (EntryType.LOG_AUDITED, {"from_size": 7, "to_size": 9}),
    "every verdict": (EntryType.LOG_AUDITED, {"verdict": "COULD_NOT_CHECK"}),
    "a whole epsilon": (EntryType.JOB_SUBMITTED, {"epsilon": "4"}),
    "a small epsilon": (EntryType.JOB_SUBMITTED, {"epsilon": "0.0000000001"}),
    "a leap day": (EntryType.CERTIFICATE_EXPIRED, {"valid_until": "2028-02-29T23:59:59.999999Z"}),
    "a negative score": (EntryType.CHALLENGE_SCORED, {"score": "-0.1234567891"}),
    "parties in order": (EntryType.FEDERATION_ROUND_STARTED, {"participants": ["node:a", "node:b", "node:c"]}),
    "a round that is given up": (EntryType.FEDERATION_ROUND_COMPLETED, {"aggregate": None, "state": None}),
    "a round with its sum": (
        EntryType.FEDERATION_ROUND_COMPLETED,
        {"aggregate": "sha256:" + "0" * 64, "state": "sha256:" + "1" * 64},
    ),
    "a period of no length": (
        EntryType.LEASE_GRANTED,
        {"valid_from": "2026-11-21T08:00:00.000000Z", "valid_until": "2026-11-21T08:00:00.000000Z"},
    ),
}

_JWK: Final = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
_DIGEST: Final = "sha256:" + "0" * 64
_ITEM: Final = {"dataset": "ds-1", "version": 1}
_MEMBER: Final = {"node": "node:a", "job": "job-1", "attempt": 1}

REFUSED: Final = {
    "a private key": (EntryType.KEY_REGISTERED, {"jwk": {**_JWK, "d": _JWK["x"]}}),
    "a key of another curve": (EntryType.KEY_REGISTERED, {"jwk": {**_JWK, "crv": "X25519"}}),
    "a key in a second spelling": (EntryType.KEY_REGISTERED, {"jwk": {**_JWK, "x": _JWK["x"][:-1] + "p"}}),
    "a key with padding": (EntryType.KEY_REGISTERED, {"jwk": {**_JWK, "x": _JWK["x"] + "="}}),
    "a key that ends before it begins": (EntryType.KEY_REGISTERED, {"not_after": "2025-11-21T08:00:00.000000Z"}),
    "an owner without a kind": (EntryType.KEY_REGISTERED, {"owner": "bank-a"}),
    "a thumbprint that is too short": (EntryType.KEY_REVOKED, {"keyid": _JWK["x"][:-1]}),
    "an unknown reason": (EntryType.KEY_REVOKED, {"reason": "because"}),
    "a reason in capitals": (EntryType.KEY_REVOKED, {"reason": "LOST"}),
    "a chain id in hexadecimal": (EntryType.LOG_CHECKPOINT_ANCHORED, {"chain_id": "0x539"}),
    "a chain id with a leading zero": (EntryType.LOG_CHECKPOINT_ANCHORED, {"chain_id": "01337"}),
    "a contract without prefix": (EntryType.LOG_CHECKPOINT_ANCHORED, {"contract": "5e" * 20}),
    "a short transaction hash": (EntryType.LOG_CHECKPOINT_ANCHORED, {"transaction": "0x" + "7d" * 31}),
    "a negative block": (EntryType.LOG_CHECKPOINT_ANCHORED, {"block": -1}),
    "a size beyond 2^53 - 1": (EntryType.LOG_CHECKPOINT_ANCHORED, {"size": 2**53}),
    "a root in capitals": (EntryType.LOG_CHECKPOINT_ANCHORED, {"root": "sha256:" + "A" * 64}),
    "a verifier key without hash": (EntryType.LOG_KEY_CHANGED, {"new_vkey": "log.example+AdYA"}),
    "a verifier key with a space": (EntryType.LOG_KEY_CHANGED, {"new_vkey": "log example+1a2b3c4d+AdYA"}),
    "an unknown phase": (EntryType.LOG_KEY_CHANGED, {"phase": "middle"}),
    "an audit of a shrinking log": (EntryType.LOG_AUDITED, {"from_size": 9, "to_size": 7}),
    "an unknown verdict": (EntryType.LOG_AUDITED, {"verdict": "OK"}),
    "an epsilon as a number": (EntryType.JOB_SUBMITTED, {"epsilon": 0.5}),
    "an epsilon with an exponent": (EntryType.JOB_SUBMITTED, {"epsilon": "1e-6"}),
    "a negative epsilon": (EntryType.JOB_SUBMITTED, {"epsilon": "-0.5"}),
    "an epsilon that is not a number": (EntryType.JOB_SUBMITTED, {"epsilon": "NaN"}),
    "an epsilon with a leading zero": (EntryType.JOB_SUBMITTED, {"epsilon": "00.5"}),
    "an epsilon without a whole part": (EntryType.JOB_SUBMITTED, {"epsilon": ".5"}),
    "a decimal as long as a phone number": (EntryType.BUDGET_GRANTED, {"amount": "13800138000"}),
    "a fraction as long as a phone number": (EntryType.BUDGET_GRANTED, {"amount": "0.13800138000"}),
    "a day that does not exist": (EntryType.CERTIFICATE_EXPIRED, {"valid_until": "2026-02-29T08:00:00.000000Z"}),
    "an hour that does not exist": (EntryType.CERTIFICATE_EXPIRED, {"valid_until": "2026-11-21T24:00:00.000000Z"}),
    "a time in Arabic digits": (EntryType.CERTIFICATE_EXPIRED, {"valid_until": "٢٠٢٦-11-21T08:00:00.000000Z"}),
    "a time with an offset": (EntryType.CERTIFICATE_EXPIRED, {"valid_until": "2026-11-21T08:00:00.000000+08:00"}),
    "a lease that ends before it begins": (EntryType.LEASE_GRANTED, {"valid_until": "2026-11-21T07:59:59.999999Z"}),
    "a notice that ends before it begins": (
        EntryType.CERTIFICATE_NOTICED,
        {"valid_until": "2026-11-21T07:59:59.999999Z"},
    ),
    "a party counted twice": (EntryType.FEDERATION_ROUND_STARTED, {"participants": ["node:a", "node:a"]}),
    "parties out of order": (EntryType.FEDERATION_ROUND_STARTED, {"participants": ["node:b", "node:a"]}),
    "no parties": (EntryType.FEDERATION_ROUND_STARTED, {"participants": []}),
    "too many parties": (EntryType.FEDERATION_ROUND_STARTED, {"participants": [f"node:n{i:03}" for i in range(65)]}),
    "no members": (EntryType.FEDERATION_STARTED, {"members": []}),
    "a member counted twice": (EntryType.FEDERATION_STARTED, {"members": [_MEMBER, {**_MEMBER, "job": "job-2"}]}),
    "members out of order": (EntryType.FEDERATION_STARTED, {"members": [{**_MEMBER, "node": "node:b"}, _MEMBER]}),
    "too many members": (
        EntryType.FEDERATION_STARTED,
        {"members": [{**_MEMBER, "node": f"node:n{i:03}"} for i in range(65)]},
    ),
    "a sum without a state": (EntryType.FEDERATION_ROUND_COMPLETED, {"aggregate": _DIGEST}),
    "a state without a sum": (EntryType.FEDERATION_ROUND_COMPLETED, {"state": _DIGEST}),
    "a contribution counted twice": (
        EntryType.FEDERATION_ROUND_COMPLETED,
        {"contributions": [{"party": "node:a", "digest": _DIGEST}] * 2},
    ),
    "round zero": (EntryType.FEDERATION_ROUND_COMPLETED, {"round": 0}),
    "no data set": (EntryType.JOB_SUBMITTED, {"datasets": []}),
    "too many data sets": (EntryType.JOB_SUBMITTED, {"datasets": [_ITEM] * 33}),
    "a refusal without a reason": (EntryType.JOB_REFUSED, {"refusals": []}),
    "a held output without a finding": (EntryType.OUTPUT_HELD, {"findings": []}),
    "a slug of 65 characters": (EntryType.JOB_SUBMITTED, {"purpose": "a" * 65}),
    "a slug that begins with a digit": (EntryType.JOB_SUBMITTED, {"purpose": "1a"}),
    "a note in clear": (EntryType.JOB_CANCELLED, {"note": "asked by phone"}),
}


@pytest.mark.parametrize(("entry_type", "members"), ACCEPTED.values(), ids=ACCEPTED)
def test_accepts(entry_type: EntryType, members: dict[str, Any]) -> None:
    BODY_MODELS[entry_type].model_validate({**minimal_body(entry_type), **members})


@pytest.mark.parametrize(("entry_type", "members"), REFUSED.values(), ids=REFUSED)
def test_refuses(entry_type: EntryType, members: dict[str, Any]) -> None:
    body = minimal_body(entry_type)
    assert accepts(entry_type, body)
    assert not accepts(entry_type, {**body, **members})


_NODES: Final = [f"node:{'n' * 61}{i:02}" for i in range(MAX_PARTIES)]
_OF_ALL: Final[dict[EntryType, dict[str, Any]]] = {
    EntryType.FEDERATION_STARTED: {
        "members": [{"node": node, "job": new_id("job"), "attempt": 999} for node in _NODES],
    },
    EntryType.FEDERATION_ROUND_STARTED: {"participants": _NODES},
    EntryType.FEDERATION_ROUND_COMPLETED: {
        "contributions": [{"party": node, "digest": _DIGEST} for node in _NODES],
        "aggregate": _DIGEST,
        "state": _DIGEST,
    },
    EntryType.FEDERATION_COMPLETED: {"participants": _NODES},
}


@pytest.mark.parametrize("entry_type", _OF_ALL, ids=str)
def test_an_entry_has_place_for_as_many_members_as_there_may_be(entry_type: EntryType, signing_key: SigningKey) -> None:
    """Names as long as they may be, ids as they are made, two signatures."""
    body = {**minimal_body(entry_type), **_OF_ALL[entry_type], "epsilon": "1.0000000001"}
    if entry_type is not EntryType.FEDERATION_STARTED:
        del body["epsilon"]
    payload = minimal_payload(entry_type, id=new_id("fed"), issuer="bureau:" + "b" * 63, body=body)
    statement = sign(payload, [signing_key, SigningKey.generate()])
    entry = encode_entry(seq=2**53 - 1, prev=bytes(32), time=payload["issued_at"], statement=statement)
    assert len(entry) <= MAX_ENTRY_BYTES


def test_key_entries_have_exactly_the_members_that_verifiers_read() -> None:
    assert set(minimal_body(EntryType.KEY_REGISTERED)) == {"jwk", "owner", "not_before", "not_after"}
    assert set(minimal_body(EntryType.KEY_ROTATED)) == {"old", "jwk", "owner", "not_after"}
    assert set(minimal_body(EntryType.KEY_REVOKED)) == {"keyid", "reason"}
    assert set(minimal_body(EntryType.LOG_KEY_CHANGED)) == {"phase", "old_vkey", "new_vkey"}
    anchored = {"chain_id", "contract", "transaction", "block", "size", "root"}
    assert set(minimal_body(EntryType.LOG_CHECKPOINT_ANCHORED)) == anchored
    assert set(minimal_body(EntryType.LOG_AUDITED)) == {"from_size", "to_size", "root", "verdict", "report"}


def test_keys_of_bodies_are_keys_of_the_kernel() -> None:
    jwk = SigningKey.generate().public.to_jwk()
    BODY_MODELS[EntryType.KEY_REGISTERED].model_validate({**minimal_body(EntryType.KEY_REGISTERED), "jwk": jwk})
    assert (
        VerifyKey.from_jwk(minimal_body(EntryType.KEY_REGISTERED)["jwk"]).thumbprint
        == (minimal_body(EntryType.KEY_REVOKED)["keyid"])
    )


# --- the page


@pytest.fixture(scope="module")
def page_tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("entry_types_page", ROOT / "docs" / "tools" / "entry_types.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = before
    return module


def test_page_is_current(page_tool: ModuleType) -> None:
    written = (ROOT / "docs" / "spec" / "entry-types.md").read_text(encoding="utf-8")
    assert written == page_tool.render(), f"run `{page_tool.COMMAND} > docs/spec/entry-types.md`"


@EVERY_TYPE
def test_page_names_every_type_and_its_members(entry_type: EntryType) -> None:
    lines = (ROOT / "docs" / "spec" / "entry-types.md").read_text(encoding="utf-8").splitlines()
    (line,) = [item for item in lines if item.startswith(f"| `{entry_type}` |")]
    assert all(f"`{name}`: " in line for name in minimal_body(entry_type))


def test_page_tool_checks_and_prints(
    page_tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "entry-types.md"
    monkeypatch.setattr(page_tool, "PAGE", page)
    monkeypatch.setattr(sys, "argv", ["entry_types.py", "--check"])
    assert page_tool.main() == 1
    page.write_text(page_tool.render() + " ", encoding="utf-8")
    assert page_tool.main() == 1
    page.write_text(page_tool.render(), encoding="utf-8")
    assert page_tool.main() == 0
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["entry_types.py"])
    assert page_tool.main() == 0
    assert capsys.readouterr().out == page.read_text(encoding="utf-8")
