"""The trust file: C2SP tlog-policy and its JSON wrapper, every rule of it, and quorums against a naive evaluation."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lib.mini_log import ML_DSA_44, ORIGIN, MiniLog, NoteKey, log_key, signer, witness
from yingbi.verify import TrustError, load_trust
from yingbi.verify.trust import Policy

LOG = log_key().vkey
W1, W2, W3, W4 = (witness(f"w{number}").vkey for number in range(1, 5))


def load(text: str) -> Policy:
    return load_trust(text.encode("utf-8", "surrogateescape")).policy


EXAMPLE = f"""# two levels of groups, as in the example of tlog-policy
log {LOG}
log\t{log_key("other.example/log", seed="other").vkey}   https://other.example/log

witness X1 {W1}
  witness X2 {W2} https://w2.example/
group X-witnesses 1 X1 X2
witness Y1 {W3}
witness Y2 {W4}
group Y-witnesses any Y1 Y2
\t# comment
group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""


def test_the_example_of_the_specification() -> None:
    policy = load(EXAMPLE)
    assert set(policy.logs) == {ORIGIN, "other.example/log"}
    assert list(policy.witnesses) == ["X1", "X2", "Y1", "Y2"]
    assert policy.groups["X-and-Y"] == (2, ("X-witnesses", "Y-witnesses"))
    assert policy.is_met(["X1", "Y2"])
    assert not policy.is_met(["X1", "X2"])
    assert not policy.is_met([])


def test_no_quorum_is_never_met() -> None:
    policy = load(f"log {LOG}\nwitness a {W1}\nquorum none\n")
    assert not policy.is_met(["a"])
    assert not policy.is_met(["none"])


def test_a_single_witness_can_be_the_quorum() -> None:
    policy = load(f"witness a {W1}\nwitness b {W2}\nquorum a\n")
    assert policy.is_met(["a"])
    assert not policy.is_met(["b"])


def test_names_that_are_not_witnesses_do_not_count() -> None:
    policy = load(f"witness a {W1}\ngroup g all a\nquorum g\n")
    assert not policy.is_met(["g"])


@given(st.data())
def test_quorums_are_thresholds_of_thresholds(data: st.DataObject) -> None:
    keys = [W1, W2, W3, W4]
    lines = [f"witness w{number} {key}" for number, key in enumerate(keys)]
    free = [f"w{number}" for number in range(4)]
    rules: dict[str, tuple[int, list[str]]] = {}
    while len(free) > 1:
        members = data.draw(st.lists(st.sampled_from(free), min_size=1, unique=True))
        threshold = data.draw(st.integers(1, len(members)))
        name = f"g{len(rules)}"
        lines.append(f"group {name} {threshold} {' '.join(members)}")
        rules[name] = (threshold, members)
        free = [item for item in free if item not in members] + ([name] if len(members) > 1 or len(free) > 2 else [])
        if len(rules) > 6:
            break
    quorum = data.draw(st.sampled_from([*rules, "w0"]))
    cosigned = data.draw(st.sets(st.sampled_from(["w0", "w1", "w2", "w3"])))

    def naive(name: str) -> bool:
        if name not in rules:
            return name in cosigned
        threshold, members = rules[name]
        return sum(naive(member) for member in members) >= threshold

    policy = load("\n".join([*lines, f"quorum {quorum}", ""]))
    assert policy.is_met(cosigned) is naive(quorum)
    if policy.is_met(cosigned):
        assert policy.is_met({"w0", "w1", "w2", "w3"})


def test_names_are_opaque_octets() -> None:
    policy = load(f"witness \udcff {W1}\nwitness K {W2}\nwitness \u212a {W3}\ngroup g all \udcff \u212a\nquorum g\n")
    assert policy.is_met(["\udcff", "\u212a"])
    assert not policy.is_met(["\udcff", "K"])


SAME_AS_LOG = NoteKey("w.example", 4, log_key().private)
W1_OTHER_NAME = NoteKey("other.example", 4, witness("w1").private)
BAD_POLICIES = {
    "nothing": "",
    "no quorum": f"log {LOG}\n",
    "two quorums": f"witness a {W1}\nquorum a\nquorum a\n",
    "quorum of two": f"witness a {W1}\nwitness b {W2}\nquorum a b\n",
    "unknown quorum": f"witness a {W1}\nquorum b\n",
    "quorum before its definition": f"quorum a\nwitness a {W1}\n",
    "unknown keyword": f"log {LOG}\nmirror {W1}\nquorum none\n",
    "keyword in capitals": f"LOG {LOG}\nquorum none\n",
    "log without key": "log\nquorum none\n",
    "log with too much": f"log {LOG} https://a b\nquorum none\n",
    "witness without name": f"witness {W1}\nquorum none\n",
    "witness named none": f"witness none {W1}\nquorum none\n",
    "group named none": f"witness a {W1}\ngroup none all a\nquorum none\n",
    "none as a member": f"witness a {W1}\ngroup g any none a\nquorum g\n",
    "name twice": f"witness a {W1}\nwitness a {W2}\nquorum a\n",
    "group named as a witness": f"witness a {W1}\ngroup a all a\nquorum a\n",
    "group of nobody": f"witness a {W1}\ngroup g all\nquorum g\n",
    "group of itself": f"witness a {W1}\ngroup g any a g\nquorum g\n",
    "member defined later": f"group g any a\nwitness a {W1}\nquorum g\n",
    "member twice": f"witness a {W1}\ngroup g 2 a a\nquorum g\n",
    "member of two groups": f"witness a {W1}\nwitness b {W2}\ngroup g any a b\ngroup h any a\nquorum g\n",
    "threshold 0": f"witness a {W1}\ngroup g 0 a\nquorum g\n",
    "threshold above": f"witness a {W1}\ngroup g 2 a\nquorum g\n",
    "threshold with a leading zero": f"witness a {W1}\ngroup g 01 a\nquorum g\n",
    "threshold with a sign": f"witness a {W1}\ngroup g +1 a\nquorum g\n",
    "threshold with other digits": f"witness a {W1}\ngroup g ١ a\nquorum g\n",
    "log twice": f"log {LOG}\nlog {LOG}\nquorum none\n",
    "same key under two origins": f"log {LOG}\nlog {NoteKey('b', 1, log_key().private).vkey}\nquorum none\n",
    "same witness under two names": f"witness a {W1}\nwitness b {W1}\ngroup g all a b\nquorum g\n",
    "same witness key under two key names": f"witness a {W1}\nwitness b {W1_OTHER_NAME.vkey}\nquorum a\n",
    "log key as a witness": f"log {LOG}\nwitness a {SAME_AS_LOG.vkey}\nquorum a\n",
    "witness key as a log": f"witness a {SAME_AS_LOG.vkey}\nlog {LOG}\nquorum a\n",
    "witness type in a log line": f"log {W1}\nquorum none\n",
    "log type in a witness line": f"witness a {LOG}\nquorum a\n",
    "ML-DSA-44 in a log line": f"log {witness('w', kind=ML_DSA_44).vkey}\nquorum none\n",
    "wrong key id": f"log {LOG.replace('+', '+00000000+', 1)}\nquorum none\n",
    "key name that is not UTF-8": f"log \udcff{LOG}\nquorum none\n",
    "carriage return": f"log {LOG}\r\nquorum none\r\n",
    "vertical tab between words": f"log\v{LOG}\nquorum none\n",
    "no-break space between words": f"log\u00a0{LOG}\nquorum none\n",
    "delete": f"# \x7f\nlog {LOG}\nquorum none\n",
    "too many groups": f"witness a {W1}\n"
    + "".join(f"group g{number} all {f'g{number - 1}' if number else 'a'}\n" for number in range(257))
    + "quorum a\n",
}


@pytest.mark.parametrize("text", BAD_POLICIES.values(), ids=BAD_POLICIES.keys())
def test_other_policies_are_refused(text: str) -> None:
    with pytest.raises(TrustError):
        load(text)


def test_errors_name_the_line() -> None:
    with pytest.raises(TrustError, match="policy line 2"):
        load(f"witness a {W1}\nwitness a {W2}\nquorum a\n")


JWK = signer("a").jwk
KEY: dict[str, Any] = {"jwk": signer("b").jwk, "owner": "partner:bank-a"}
ANCHOR: dict[str, Any] = {"chain_id": 1337, "contract": "0x" + "aB" * 20, "block_hash": "0x" + "01" * 32}
GOOD: dict[str, Any] = {
    "v": 1,
    "policy": f"log {LOG}\nquorum none\n",
    "statement_roots": [JWK],
    "statement_keys": [KEY],
    "anchors": [ANCHOR],
}


def test_json_with_everything() -> None:
    trust = load_trust(json.dumps(GOOD, indent=1).encode())
    assert {keyid: key.owner for keyid, key in trust.statement_roots.items()} == {signer("a").thumbprint: None}
    assert {keyid: key.owner for keyid, key in trust.statement_keys.items()} == {
        signer("b").thumbprint: "partner:bank-a"
    }
    assert trust.statement_keys[signer("b").thumbprint].public == signer("b").public
    assert (trust.anchors[0].chain_id, trust.anchors[0].contract) == (1337, bytes.fromhex("ab" * 20))


def test_json_with_a_policy_alone() -> None:
    trust = load_trust(MiniLog().trust())
    assert (trust.statement_roots, trust.statement_keys, trust.anchors) == ({}, {}, ())


BAD_TRUST: dict[str, object] = {
    "unknown member": {**GOOD, "extra": 1},
    "no version": {"policy": GOOD["policy"]},
    "version 2": {**GOOD, "v": 2},
    "version true": {**GOOD, "v": True},
    "version as text": {**GOOD, "v": "1"},
    "no policy": {"v": 1},
    "policy as list": {**GOOD, "policy": []},
    "bad policy": {**GOOD, "policy": "quorum a\n"},
    "roots as object": {**GOOD, "statement_roots": {}},
    "root twice": {**GOOD, "statement_roots": [JWK, JWK]},
    "root with a private part": {**GOOD, "statement_roots": [{**JWK, "d": JWK["x"]}]},
    "root of another curve": {**GOOD, "statement_roots": [{**JWK, "crv": "X25519"}]},
    "root with a short key": {**GOOD, "statement_roots": [{**JWK, "x": JWK["x"][:-1]}]},
    "root with stray bits": {**GOOD, "statement_roots": [{**JWK, "x": "A" * 42 + "B"}]},
    "key without owner": {**GOOD, "statement_keys": [{"jwk": JWK}]},
    "owner of no kind": {**GOOD, "statement_keys": [{"jwk": JWK, "owner": "bank-a"}]},
    "owner with a newline": {**GOOD, "statement_keys": [{"jwk": JWK, "owner": "partner:bank-a\n"}]},
    "key twice with two owners": {**GOOD, "statement_keys": [KEY, {**KEY, "owner": "partner:bank-b"}]},
    "anchor without block": {**GOOD, "anchors": [{"chain_id": 1, "contract": ANCHOR["contract"]}]},
    "anchor of chain 0": {**GOOD, "anchors": [{**ANCHOR, "chain_id": 0}]},
    "anchor of chain true": {**GOOD, "anchors": [{**ANCHOR, "chain_id": True}]},
    "anchor with a short contract": {**GOOD, "anchors": [{**ANCHOR, "contract": "0x01"}]},
    "anchor without 0x": {**GOOD, "anchors": [{**ANCHOR, "block_hash": "01" * 33}]},
    "a list": [],
}


@pytest.mark.parametrize("value", BAD_TRUST.values(), ids=BAD_TRUST.keys())
def test_other_trust_files_are_refused(value: object) -> None:
    with pytest.raises(TrustError):
        load_trust(json.dumps(value).encode())


@pytest.mark.parametrize(
    "data", [b'{"v":1,"v":1,"policy":""}', b'{"v":1', b"{", b" " * (2**20 + 1), b"[" * 10], ids=lambda data: data[:12]
)
def test_files_that_are_not_read_are_refused(data: bytes) -> None:
    with pytest.raises(TrustError):
        load_trust(data)


def test_learned_log_keys_are_added_once() -> None:
    trust = load_trust(MiniLog().trust())
    known = trust.policy.logs[ORIGIN]
    other = load(f"log {log_key(seed='new').vkey}\nquorum none\n").logs[ORIGIN]
    assert trust.with_log_keys(ORIGIN, [*known, *other]).policy.logs[ORIGIN] == (*known, *other)
    assert trust.policy.logs[ORIGIN] == known
