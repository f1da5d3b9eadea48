"""C2SP tlog-policy: the example of the specification, thresholds, every error with its line, opaque names."""

import re
from itertools import chain, combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.note import NoteVerifier, SignatureType
from ledger.trust_policy import TrustPolicy, parse_trust_policy
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.keys import SigningKey

LOG_KIND, WITNESS_KIND = SignatureType.ED25519, SignatureType.COSIGNATURE_ED25519


def _verifier(name: str, kind: SignatureType = WITNESS_KIND, *, seed: str | None = None) -> NoteVerifier:
    key = SigningKey.from_seed((seed or name).encode().ljust(32, b"."))
    return NoteVerifier(name, kind, key.public.raw)


LOG = _verifier("log.example/2026", LOG_KIND)
WITNESSES = {name: _verifier(name) for name in ("X1", "X2", "X3", "Y1", "Y2", "Y3")}
VKEY = {name: verifier.encode() for name, verifier in WITNESSES.items()}

EXAMPLE = f"""\
log {LOG.encode()}

witness X1 {VKEY["X1"]}
witness X2 {VKEY["X2"]}
witness X3 {VKEY["X3"]}
group X-witnesses 2 X1 X2 X3

witness Y1 {VKEY["Y1"]}
witness Y2 {VKEY["Y2"]}
witness Y3 {VKEY["Y3"]}
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""


def _parse(text: str) -> TrustPolicy:
    return parse_trust_policy(text.encode())


def test_the_example_of_the_specification_asks_for_two_x_and_one_y() -> None:
    policy = _parse(EXAMPLE)
    assert policy.quorum == "X-and-Y"
    assert policy.has_quorum
    names = list(WITNESSES)
    for chosen in chain.from_iterable(combinations(names, count) for count in range(7)):
        expected = sum(name.startswith("X") for name in chosen) >= 2 and any(name.startswith("Y") for name in chosen)
        assert policy.is_met([WITNESSES[name] for name in chosen]) is expected, chosen


def test_what_a_policy_lists() -> None:
    text = f"log {LOG.encode()} https://log.example/\nwitness w {VKEY['X1']} https://witness.example/\nquorum none\n"
    policy = _parse(text)
    assert [(log.verifier, log.url) for log in policy.logs] == [(LOG, "https://log.example/")]
    assert [(item.name, item.verifier, item.url) for item in policy.witnesses] == [
        ("w", WITNESSES["X1"], "https://witness.example/")
    ]
    assert policy.verifiers == (LOG, WITNESSES["X1"])
    assert policy.log_verifiers("log.example/2026") == (LOG,)
    assert policy.log_verifiers("log.example") == ()


def test_urls_may_be_left_out() -> None:
    policy = _parse(EXAMPLE)
    assert {log.url for log in policy.logs} == {None}
    assert {witness.url for witness in policy.witnesses} == {None}


def test_a_log_may_have_two_keys_while_they_change_over() -> None:
    new = _verifier(LOG.name, LOG_KIND, seed="new")
    assert _parse(f"log {LOG.encode()}\nlog {new.encode()}\nquorum none\n").log_verifiers(LOG.name) == (LOG, new)


def test_quorum_none_asks_for_nobody() -> None:
    policy = _parse("quorum none\n")
    assert not policy.has_quorum
    assert policy.is_met([])


def test_a_quorum_of_one_witness() -> None:
    policy = _parse(f"witness X1 {VKEY['X1']}\nwitness X2 {VKEY['X2']}\nquorum X1\n")
    assert policy.is_met([WITNESSES["X1"]])
    assert not policy.is_met([])
    assert not policy.is_met([WITNESSES["X2"]])


@pytest.mark.parametrize(("threshold", "needed"), [("any", 1), ("1", 1), ("2", 2), ("3", 3), ("all", 3)])
def test_thresholds(threshold: str, needed: int) -> None:
    names = ["X1", "X2", "X3"]
    lines = [f"witness {name} {VKEY[name]}" for name in names]
    policy = _parse("\n".join([*lines, f"group g {threshold} X1 X2 X3", "quorum g", ""]))
    for count in range(4):
        assert policy.is_met([WITNESSES[name] for name in names[:count]]) is (count >= needed)


def test_only_the_keys_of_the_policy_count() -> None:
    policy = _parse(EXAMPLE)
    strangers = [_verifier(name, seed=f"stranger {name}") for name in WITNESSES]
    as_logs = [NoteVerifier(item.name, LOG_KIND, item.key) for item in WITNESSES.values()]
    renamed = [NoteVerifier(f"{item.name}x", item.kind, item.key) for item in WITNESSES.values()]
    assert not policy.is_met([*strangers, *as_logs, *renamed, LOG])


def test_a_key_counts_once_however_often_it_cosigned() -> None:
    assert not _parse(EXAMPLE).is_met([WITNESSES["X1"]] * 3 + [WITNESSES["Y1"]])


def test_the_name_of_a_witness_is_the_policy_s_own() -> None:
    policy = _parse(f"witness supervisor {VKEY['X1']}\nquorum supervisor\n")
    assert policy.is_met([WITNESSES["X1"]])


# Every error, with its line

W1, W2 = f"witness w1 {VKEY['X1']}", f"witness w2 {VKEY['X2']}"
LOG_LINE = f"log {LOG.encode()}"
ERRORS: dict[str, tuple[str, int, str]] = {
    "nothing at all": ("", 0, "no `quorum` line"),
    "no quorum": (f"{W1}\n", 0, "no `quorum` line"),
    "two quorums": (f"{W1}\nquorum w1\nquorum w1\n", 3, "one `quorum` line"),
    "quorum none twice": ("quorum none\nquorum none\n", 2, "one `quorum` line"),
    "a quorum without a name": (f"{W1}\nquorum\n", 2, "one `quorum` line"),
    "a quorum of two names": (f"{W1}\n{W2}\nquorum w1 w2\n", 3, "one `quorum` line"),
    "a quorum nobody defined": (f"{W1}\nquorum w2\n", 2, "defined before it"),
    "a quorum before its witness": (f"quorum w1\n{W1}\n", 1, "defined before it"),
    "a log as quorum": (f"{LOG_LINE}\nquorum {LOG.name}\n", 2, "defined before it"),
    "an unknown keyword": ("quorum none\nwitnesses w1\n", 2, "expected `log`, `witness`, `group` or `quorum`"),
    "a keyword in upper case": ("Quorum none\n", 1, "expected `log`"),
    "a log without a key": ("log\nquorum none\n", 1, "expected `log`"),
    "a log with four words": (f"{LOG_LINE} url more\nquorum none\n", 1, "expected `log`"),
    "a witness without a key": ("witness w1\nquorum none\n", 1, "expected `log`"),
    "a witness with five words": (f"{W1} url more\nquorum none\n", 1, "expected `log`"),
    "a group without members": (f"{W1}\ngroup g any\nquorum none\n", 2, "expected `log`"),
    "a group without a threshold": (f"{W1}\ngroup g\nquorum none\n", 2, "expected `log`"),
    "a broken key": ("# comment\n\nlog log.example+00000000+AAAA\nquorum none\n", 3, "unknown signature type"),
    "no key at all": ("log key\nquorum none\n", 1, "expected a key such as"),
    "the key of a witness for a log": (f"log {VKEY['X1']}\nquorum none\n", 1, "type that this line does not take"),
    "the key of a log for a witness": (
        f"witness w {LOG.encode()}\nquorum none\n",
        1,
        "type that this line does not take",
    ),
    "a log twice": (f"{LOG_LINE}\n{LOG_LINE}\nquorum none\n", 2, "listed twice"),
    "a witness twice": (f"{W1}\n{W1}\nquorum none\n", 2, "listed twice"),
    "a key under two names": (f"{W1}\nwitness w9 {VKEY['X1']}\nquorum none\n", 2, "listed twice"),
    "a key under two key names": (
        f"{W1}\nwitness w9 {_verifier('Z', seed='X1').encode()}\nquorum none\n",
        2,
        "listed twice",
    ),
    "a log's key as a witness": (
        f"{LOG_LINE}\nwitness w {_verifier('w', seed=LOG.name).encode()}\nquorum none\n",
        2,
        "listed twice",
    ),
    "a name twice": (f"{W1}\nwitness w1 {VKEY['X2']}\nquorum none\n", 2, "a name that is taken"),
    "a witness called none": (f"witness none {VKEY['X1']}\nquorum none\n", 1, "a name that is taken"),
    "a group called none": (f"{W1}\ngroup none any w1\nquorum none\n", 2, "a name that is taken"),
    "a group with the name of a witness": (f"{W1}\n{W2}\ngroup w1 any w2\nquorum none\n", 3, "a name that is taken"),
    "a group with its own name as a member": (f"{W1}\ngroup g any w1 g\nquorum g\n", 2, "not defined before it"),
    "a group with a member of later": (f"{W1}\ngroup g any w1 w2\n{W2}\nquorum g\n", 2, "not defined before it"),
    "a group with none as a member": (f"{W1}\ngroup g any w1 none\nquorum g\n", 2, "not defined before it"),
    "a group with a member twice": (f"{W1}\ngroup g 2 w1 w1\nquorum g\n", 2, "member twice"),
    "a member of two groups": (f"{W1}\ngroup g any w1\ngroup h any w1\nquorum h\n", 3, "member twice"),
    "a witness beside its group": (f"{W1}\n{W2}\ngroup g any w1\ngroup h 2 g w1\nquorum h\n", 4, "member twice"),
    "a threshold of zero": (f"{W1}\ngroup g 0 w1\nquorum g\n", 2, "a number from 1 to 1"),
    "a threshold beyond the members": (f"{W1}\n{W2}\ngroup g 3 w1 w2\nquorum g\n", 3, "a number from 1 to 2"),
    "a negative threshold": (f"{W1}\ngroup g -1 w1\nquorum g\n", 2, "a number from 1 to 1"),
    "a threshold with a plus sign": (f"{W1}\ngroup g +1 w1\nquorum g\n", 2, "a number from 1 to 1"),
    "a threshold with a leading zero": (f"{W1}\ngroup g 01 w1\nquorum g\n", 2, "a number from 1 to 1"),
    "a threshold in words": (f"{W1}\ngroup g most w1\nquorum g\n", 2, "a number from 1 to 1"),
    "a full-width threshold": (f"{W1}\ngroup g １ w1\nquorum g\n", 2, "a number from 1 to 1"),
    "a threshold of 5,000 digits": (f"{W1}\ngroup g {'9' * 5000} w1\nquorum g\n", 2, "a number from 1 to 1"),
    "carriage returns": (f"{W1}\r\nquorum w1\r\n", 1, "control characters"),
    "a NUL in a comment": ("quorum none\n# \0\n", 2, "control characters"),
    "a DEL in a comment": ("# a\n# b\x7f\nquorum none\n", 2, "control characters"),
    "a form feed": ("quorum\x0cnone\n", 1, "control characters"),
    "a no-break space": (f"{W1}\nquorum\u00a0w1\n", 2, "expected `log`"),
    "a byte order mark": ("\ufeffquorum none\n", 1, "expected `log`"),
    "too many lines": ("\n" * 4096 + "quorum none\n", 4096, "more than 4096 lines"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_name_their_line(name: str) -> None:
    text, number, what = ERRORS[name]
    with pytest.raises(InvalidRequestError) as caught:
        _parse(text)
    assert caught.value.code is ErrorCode.POLICY_MALFORMED
    named = re.findall(r"^trust policy: line ([0-9]+): ", caught.value.message)
    assert named == ([str(number)] if number else [])
    assert what in caught.value.message
    assert "\n" not in caught.value.message


def test_a_key_name_that_is_no_utf_8_is_an_error_with_its_line() -> None:
    vkey = LOG.encode().encode().replace(b"log.example", b"log\xff.example")
    with pytest.raises(InvalidRequestError, match="trust policy: line 2: ") as caught:
        parse_trust_policy(b"quorum none\nlog " + vkey + b"\n")
    assert caught.value.code is ErrorCode.POLICY_MALFORMED


# Form


def test_white_space_comments_and_empty_lines() -> None:
    text = f"# first\n\t # second\n\n \t \n  witness\t X1 \t{VKEY['X1']}  \n\t quorum \t X1\t\n#last"
    assert _parse(text).is_met([WITNESSES["X1"]])


def test_the_last_newline_may_be_missing() -> None:
    assert _parse("quorum none") == _parse("quorum none\n")


def test_4096_lines_are_taken() -> None:
    assert _parse("\n" * 4094 + "quorum none\n").quorum == "none"


def test_a_hash_sign_inside_of_a_line_is_no_comment() -> None:
    assert _parse(f"witness w#1 {VKEY['X1']}\nquorum w#1\n").witnesses[0].name == "w#1"
    with pytest.raises(InvalidRequestError):
        _parse("quorum none # nobody\n")


def test_names_are_octets() -> None:
    """The name K is not the Kelvin sign, and names need not be UTF-8."""
    kelvin = "\u212a"
    text = f"witness K {VKEY['X1']}\nwitness {kelvin} {VKEY['X2']}\nquorum {kelvin}\n"
    assert _parse(text).is_met([WITNESSES["X2"]])
    assert not _parse(text).is_met([WITNESSES["X1"]])
    octets = b"witness \xff\xfe " + VKEY["X1"].encode() + b"\nquorum \xff\xfe\n"
    assert parse_trust_policy(octets).is_met([WITNESSES["X1"]])
    with pytest.raises(InvalidRequestError):
        parse_trust_policy(octets.replace(b"quorum \xff\xfe", b"quorum \xff\xfd"))


def test_composed_and_decomposed_names_differ() -> None:
    with pytest.raises(InvalidRequestError):
        _parse(f"witness \u00e9 {VKEY['X1']}\nquorum e\u0301\n")


def test_the_sizes_that_the_specification_recommends_and_more_are_taken() -> None:
    keys = [_verifier(f"w{number}") for number in range(1000)]
    logs = [_verifier(f"log{number}", LOG_KIND) for number in range(100)]
    lines = [f"log {log.encode()}" for log in logs]
    lines += [f"witness {key.name} {key.encode()}" for key in keys]
    lines += [f"group g{number} all w{number}" for number in range(1000)]
    lines += [f"group all 1000 {' '.join(f'g{number}' for number in range(1000))}", "quorum all", ""]
    policy = _parse("\n".join(lines))
    assert policy.is_met(keys)
    assert not policy.is_met(keys[:-1])


def test_groups_may_be_nested_as_deep_as_lines_allow() -> None:
    lines = [f"witness w {VKEY['X1']}", "group g0 all w"]
    lines += [f"group g{number} all g{number - 1}" for number in range(1, 4000)]
    policy = _parse("\n".join([*lines, "quorum g3999", ""]))
    assert policy.is_met([WITNESSES["X1"]])
    assert not policy.is_met([])


# Against an oracle

POOL = [_verifier(f"w{number}") for number in range(8)]


@st.composite
def policies(draw: st.DrawFn) -> tuple[str, dict[str, tuple[int, list[str]]], str]:
    """A policy's text, its groups and its quorum."""
    lines = [f"witness {key.name} {key.encode()}" for key in POOL]
    free, groups = [key.name for key in POOL], dict[str, tuple[int, list[str]]]()
    for number in range(draw(st.integers(0, 5))):
        members = draw(st.lists(st.sampled_from(free), min_size=1, max_size=len(free), unique=True))
        threshold = draw(st.sampled_from(["any", "all", *map(str, range(1, len(members) + 1))]))
        count = {"any": 1, "all": len(members)}.get(threshold) or int(threshold)
        free = [name for name in free if name not in members] + [f"g{number}"]
        groups[f"g{number}"] = (count, members)
        lines.append(f"group g{number} {threshold} {' '.join(members)}")
    quorum = draw(st.sampled_from(["none", *(key.name for key in POOL), *groups]))
    return "\n".join([*lines, f"quorum {quorum}", ""]), groups, quorum


@given(policies(), st.sets(st.sampled_from(POOL)))
def test_quorums_are_met_as_the_recursive_definition_says(
    policy: tuple[str, dict[str, tuple[int, list[str]]], str], present: set[NoteVerifier]
) -> None:
    text, groups, quorum = policy
    names = {verifier.name for verifier in present}

    def is_witnessed(name: str) -> bool:
        if name not in groups:
            return name in names
        count, members = groups[name]
        return len([member for member in members if is_witnessed(member)]) >= count

    assert _parse(text).is_met(present) is (quorum == "none" or is_witnessed(quorum))


@given(policies(), st.sets(st.sampled_from(POOL)), st.sampled_from(POOL))
def test_one_more_cosignature_never_unmakes_a_quorum(
    policy: tuple[str, dict[str, tuple[int, list[str]]], str], present: set[NoteVerifier], more: NoteVerifier
) -> None:
    parsed = _parse(policy[0])
    assert not parsed.is_met(present) or parsed.is_met(present | {more})


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_by_error_only(data: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        parse_trust_policy(b"witness " + data)
