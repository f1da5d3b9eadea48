"""SD-JWT: the examples of RFC 9901, an independent library, and what must not be taken for a certificate."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.certificates.jose import parse_jws, sign_jws, verify_jws
from policies.certificates.sd_jwt import (
    MAX_BYTES,
    Disclosure,
    Hidden,
    KeyBinding,
    SdJwt,
    conceal,
    parse_sd_jwt,
    present,
    reveal,
    verify_key_binding,
)
from yingbi.errors import ErrorCode, InvalidRequestError, SandboxError, VerificationError
from yingbi.key_files import encode_base64url
from yingbi.keys import SigningKey

VECTORS = Path(__file__).parents[3] / "vectors" / "rfc9901"
# RFC 9901, appendix A.5.
ISSUER_JWK = {
    "kty": "EC",
    "crv": "P-256",
    "x": "b28d4MwZMjw8-00CG4xfnn9SLMVMM19SlqZpVb_uNtQ",
    "y": "Xv5zWwuoaTgdS6hV43yI6gBwTnjukmFQQnJ_kCxzqk8",
}
HOLDER_JWK = {
    "kty": "EC",
    "crv": "P-256",
    "x": "TCAER19Zvu3OHF4j4W4vfSVoHIP1ILilDls7vCeGemc",
    "y": "ZxjiWWbZMQGHVWKVQ4hbSIirsVfuecCE6t4jT9F2HZQ",
}
ISSUED = {"iss": "https://issuer.example.com", "iat": 1683000000, "exp": 1883000000}
AUDIENCE, NONCE = "https://verifier.example.org", "1234567890"

ISSUER = SigningKey.from_seed(b"i" * 32)
HOLDER = SigningKey.from_seed(b"h" * 32)


def vector(name: str) -> SdJwt:
    return parse_sd_jwt("".join((VECTORS / f"{name}.txt").read_text().split()))


RFC: dict[str, dict[str, Any]] = {
    "5.1": {
        **ISSUED,
        "sub": "user_42",
        "given_name": "John",
        "family_name": "Doe",
        "email": "johndoe@example.com",
        "phone_number": "+1-202-555-0101",
        "phone_number_verified": True,
        "address": {"street_address": "123 Main St", "locality": "Anytown", "region": "Anystate", "country": "US"},
        "birthdate": "1940-01-01",
        "updated_at": 1570000000,
        "nationalities": ["US", "DE"],
        "cnf": {"jwk": HOLDER_JWK},
    },
    "8": {**ISSUED, "family_name": "Doe", "given_name": "John", "cnf": {"jwk": HOLDER_JWK}},
    "a1": {**ISSUED, "address": {"region": "港区", "country": "JP"}},
    "a2": {
        **ISSUED,
        "verified_claims": {
            "verification": {
                "trust_framework": "de_aml",
                "evidence": [{"method": "pipp"}],
                "time": "2012-04-23T18:25Z",
            },
            "claims": {
                "given_name": "Max",
                "family_name": "Müller",
                "address": {
                    "locality": "Maxstadt",
                    "postal_code": "12344",
                    "country": "DE",
                    "street_address": "Weidenstraße 22",
                },
            },
        },
    },
}


@pytest.mark.parametrize("name", RFC)
def test_the_examples_of_the_rfc(name: str) -> None:
    found = vector(name)
    verify_jws(found.jws, ISSUER_JWK, type_="example+sd-jwt")
    assert found.claims() == RFC[name]
    assert parse_sd_jwt(found.text) == found


def test_the_rfcs_digests_are_those_of_its_disclosures() -> None:
    (given_name, *_) = vector("5.1").disclosures
    assert (given_name.name, given_name.value) == ("given_name", "John")
    assert given_name.digest() == "jsu9yVulwQQlhFlM_3JlzMaSFzglhQG0DpfayQwLUK4"


def test_the_rfcs_holder_has_signed_what_he_shows() -> None:
    found = vector("8")
    bound = verify_key_binding(found, HOLDER_JWK, audience=AUDIENCE, nonce=NONCE)
    assert bound == KeyBinding(audience=AUDIENCE, nonce=NONCE, issued_at=1748537244)


def test_what_is_not_disclosed_is_not_there() -> None:
    found = vector("5.1")
    assert found.choose([]).claims() == {**ISSUED, "sub": "user_42", "nationalities": [], "cnf": {"jwk": HOLDER_JWK}}
    (german,) = [one.text for one in found.disclosures if one.value == "DE"]
    assert found.choose([german]).claims()["nationalities"] == ["DE"]


CLAIMS: dict[str, Any] = {
    "iss": "https://hub.example",
    "subject": Hidden({"name": Hidden("Ltd"), "id": "9144"}),
    "items": ["a", Hidden("b"), Hidden({"c": Hidden([Hidden(1), 2])})],
    "cnf": {"jwk": HOLDER.public.to_jwk()},
}
PLAIN = {
    "iss": "https://hub.example",
    "subject": {"name": "Ltd", "id": "9144"},
    "items": ["a", "b", {"c": [1, 2]}],
    "cnf": {"jwk": HOLDER.public.to_jwk()},
}


def issued(claims: dict[str, Any] = CLAIMS) -> SdJwt:
    made = conceal(claims)
    jws = parse_jws(sign_jws({"typ": "dc+sd-jwt"}, json.dumps(made.payload).encode(), ISSUER), max_bytes=MAX_BYTES)
    return SdJwt(jws=jws, disclosures=tuple(made.disclosures.values()))


def test_hidden_parts_are_where_they_were() -> None:
    made = conceal(CLAIMS)
    assert set(made.disclosures) == {
        ("subject", "name"),
        ("subject",),
        ("items", 1),
        ("items", 2, "c", 0),
        ("items", 2, "c"),
        ("items", 2),
    }
    assert "Ltd" not in json.dumps(made.payload)
    assert reveal(made.payload, list(made.disclosures.values())) == PLAIN
    assert reveal(made.payload, [made.disclosures[("subject",)]]) == {
        "iss": "https://hub.example",
        "subject": {"id": "9144"},
        "items": ["a"],
        "cnf": PLAIN["cnf"],
    }


NAMES = st.text(max_size=4).filter(lambda name: name not in ("_sd", "...", "_sd_alg"))


def hidden(value: Any) -> Hidden:
    return value if isinstance(value, Hidden) else Hidden(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3) | inner.map(hidden),
    max_leaves=12,
)


def plain(value: Any) -> Any:
    if isinstance(value, Hidden):
        return plain(value.value)
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


@given(st.dictionaries(NAMES, JSON, max_size=4))
def test_all_that_is_disclosed_is_all_there_was(claims: dict[str, Any]) -> None:
    made = conceal(claims)
    assert reveal(made.payload, list(made.disclosures.values())) == plain(claims)
    assert reveal(json.loads(json.dumps(made.payload)), list(made.disclosures.values())) == plain(claims)


@given(st.dictionaries(NAMES, JSON, max_size=4), st.data())
def test_some_of_it_never_shows_more(claims: dict[str, Any], data: st.DataObject) -> None:
    """Whatever is left out, what is shown is a part of what there was; without a parent, a part shows nothing."""
    made = conceal(claims)
    chosen = data.draw(st.sets(st.sampled_from(sorted(made.disclosures, key=repr)))) if made.disclosures else set()
    shown = [made.disclosures[path] for path in made.disclosures if path in chosen]
    try:
        found = reveal(made.payload, shown)
    except InvalidRequestError:
        # One of them stands within another that is not shown.
        parents = {path[:end] for path in chosen for end in range(len(path))}
        assert (parents & made.disclosures.keys()) - chosen
    else:
        assert is_part(found, plain(claims))


def is_part(found: Any, whole: Any) -> bool:
    if isinstance(found, dict):
        return isinstance(whole, dict) and all(
            name in whole and is_part(item, whole[name]) for name, item in found.items()
        )
    if isinstance(found, list):
        rest: Iterator[Any] = iter(whole if isinstance(whole, list) else ())
        return isinstance(whole, list) and all(any(is_part(item, other) for other in rest) for item in found)
    return bool(found == whole)


def test_equal_values_have_other_digests() -> None:
    made = conceal({"a": Hidden("x"), "b": [Hidden("x"), Hidden("x")]})
    assert len({one.digest() for one in made.disclosures.values()}) == 3


def test_digests_do_not_stand_in_the_order_of_names() -> None:
    for _ in range(20):
        digests = conceal({name: Hidden(name) for name in "abcdef"}).payload["_sd"]
        assert digests == sorted(digests)  # type: ignore[arg-type, type-var]  # texts


@pytest.mark.parametrize("name", ["_sd", "...", "_sd_alg"])
def test_names_of_the_format_are_nobodys(name: str) -> None:
    for claims in ({name: 1}, {"a": {name: 1}}, {"a": Hidden({name: 1})}, {name: Hidden(1)}):
        with pytest.raises(InvalidRequestError):
            conceal(claims)


@pytest.mark.parametrize("value", [1.5, b"x", object(), Hidden(1), {1, 2}])
def test_what_json_does_not_have_is_not_issued(value: Any) -> None:
    for claims in ({"a": Hidden(value)}, {"a": Hidden([Hidden(value)])}):
        with pytest.raises(InvalidRequestError):
            conceal(claims)


def disclosure(*parts: Any) -> Disclosure:
    text = encode_base64url(json.dumps(parts).encode())
    return Disclosure(text=text, name=parts[1] if len(parts) == 3 else None, value=parts[-1])


A = disclosure("salt", "a", 1)
ELEMENT = disclosure("salt", "e")
OTHER = disclosure("other", "a", 2)


@pytest.mark.parametrize(
    ("payload", "disclosures"),
    [
        ({"_sd": [A.digest()]}, [A, A]),
        ({"_sd": []}, [A]),
        ({"_sd": [A.digest(), A.digest()]}, [A]),
        ({"_sd": [A.digest()], "b": {"_sd": [A.digest()]}}, [A]),
        ({"_sd": [A.digest()], "b": [{"...": A.digest()}]}, []),
        ({"_sd": [A.digest()], "a": 1}, [A]),
        ({"_sd": [A.digest(), OTHER.digest()]}, [A, OTHER]),
        ({"_sd": [ELEMENT.digest()]}, [ELEMENT]),
        ({"b": [{"...": A.digest()}]}, [A]),
        ({"b": [{"...": ELEMENT.digest(), "c": 1}]}, [ELEMENT]),
        ({"b": {"...": ELEMENT.digest()}}, [ELEMENT]),
        ({"_sd": A.digest()}, [A]),
        ({"_sd": [1]}, []),
        ({"b": [{"...": 1}]}, []),
        ({"_sd_alg": "md5", "_sd": [A.digest()]}, [A]),
        ({"_sd_alg": None}, []),
        ({"_sd": [disclosure("s", "_sd", []).digest()]}, [disclosure("s", "_sd", [])]),
        ({"_sd": [disclosure("s", "...", "x").digest()]}, [disclosure("s", "...", "x")]),
    ],
    ids=[
        *("shown twice", "stands for nothing", "digest twice", "in two places", "member and element", "is there"),
        *("two of a name", "element as member", "member as element", "beside an element", "element outside"),
        *("one digest", "no text", "no text in a list", "hash", "no hash", "names digests", "names an element"),
    ],
)
def test_what_would_show_something_else_is_refused(payload: dict[str, Any], disclosures: list[Disclosure]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        reveal(payload, disclosures)
    assert caught.value.code is ErrorCode.CERTIFICATE_MALFORMED


@pytest.mark.parametrize("algorithm", ["sha-384", "sha-512"])
def test_other_hashes_are_read(algorithm: str) -> None:
    payload = {"_sd_alg": algorithm, "_sd": [A.digest(algorithm)]}
    assert reveal(payload, [A]) == {"a": 1}  # type: ignore[arg-type]  # JSON


def shown(data: bytes) -> str:
    return f"e30.e30.AA~{encode_base64url(data)}~"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.b.c",
        "~",
        "e30.e30.AA~!~",
        shown(b"[]"),
        shown(b"[1, 2]"),
        shown(b'[1, "a", 2]'),
        shown(b'["s", 1, 2]'),
        shown(b'["s", "a", 2, 3]'),
        shown(b"{}"),
        "e30.e30.AA~~",
        "e30.e30.AA~x",
        "e30.e30.AA~" + "A" * MAX_BYTES,
    ],
)
def test_what_is_no_sd_jwt_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError):
        parse_sd_jwt(text)


BOUND = KeyBinding(audience="partner:bank-a", nonce="n-1", issued_at=1_795_000_000)


def test_a_presentation_is_bound_to_whom_it_is_for() -> None:
    everything = issued()
    shown = present(everything.choose([everything.disclosures[1].text]), BOUND, HOLDER)
    read = parse_sd_jwt(shown.text)
    assert verify_key_binding(read, HOLDER.public.to_jwk(), audience="partner:bank-a", nonce="n-1") == BOUND
    assert read.claims()["subject"] == {"id": "9144"}


def test_a_presentation_is_nobody_elses() -> None:
    everything = issued()
    shown = present(everything.choose([everything.disclosures[1].text]), BOUND, HOLDER)
    more = SdJwt(jws=shown.jws, disclosures=everything.disclosures, binding=shown.binding)
    fewer = SdJwt(jws=shown.jws, binding=shown.binding)
    elsewhere = SdJwt(jws=issued().jws, disclosures=shown.disclosures, binding=shown.binding)
    jwk = HOLDER.public.to_jwk()
    for wrong in (more, fewer, elsewhere):
        with pytest.raises(VerificationError, match="other disclosures"):
            verify_key_binding(wrong, jwk, audience="partner:bank-a", nonce="n-1")
    with pytest.raises(VerificationError, match="somebody else"):
        verify_key_binding(shown, jwk, audience="partner:bank-b", nonce="n-1")
    with pytest.raises(VerificationError, match="another nonce"):
        verify_key_binding(shown, jwk, audience="partner:bank-a", nonce="n-2")
    with pytest.raises(VerificationError):
        verify_key_binding(shown, ISSUER.public.to_jwk(), audience="partner:bank-a", nonce="n-1")
    with pytest.raises(VerificationError, match="has signed"):
        verify_key_binding(everything, jwk, audience="partner:bank-a", nonce="n-1")


@pytest.mark.parametrize(
    ("header", "change"),
    [
        ({"typ": "dc+sd-jwt"}, {}),
        ({}, {}),
        ({"typ": "kb+jwt"}, {"iat": None}),
        ({"typ": "kb+jwt"}, {"iat": True}),
        ({"typ": "kb+jwt"}, {"nonce": None}),
        ({"typ": "kb+jwt"}, {"sd_hash": None}),
        ({"typ": "kb+jwt"}, {"aud": ["partner:bank-a"]}),
    ],
)
def test_a_binding_says_all_that_is_needed(header: dict[str, str], change: dict[str, Any]) -> None:
    good = present(issued(), BOUND, HOLDER)
    assert good.binding is not None
    body = {**json.loads(good.binding.payload), **change}
    made = parse_jws(sign_jws({**header}, json.dumps(body).encode(), HOLDER), max_bytes=MAX_BYTES)
    with pytest.raises(SandboxError):
        verify_key_binding(
            SdJwt(jws=good.jws, disclosures=good.disclosures, binding=made),
            HOLDER.public.to_jwk(),
            audience="partner:bank-a",
            nonce="n-1",
        )
