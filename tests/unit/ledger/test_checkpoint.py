"""C2SP tlog-checkpoint: three lines, nothing else."""

import base64

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledger.checkpoint import check_origin, format_checkpoint, parse_checkpoint, parse_decimal
from ledger.tree import EMPTY_ROOT
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.receipts import MAX_TREE_SIZE, Checkpoint

ROOT = base64.b64encode(bytes(range(32))).decode()

origins = st.text(st.characters(min_codepoint=0x20, exclude_categories=["Cs"]), min_size=1, max_size=40)
checkpoints = st.builds(
    Checkpoint, origin=origins, size=st.integers(1, MAX_TREE_SIZE), root=st.binary(min_size=32, max_size=32)
) | st.builds(Checkpoint, origin=origins, size=st.just(0), root=st.just(EMPTY_ROOT))


@given(checkpoints)
@example(Checkpoint(origin="影壁.example/日志", size=MAX_TREE_SIZE, root=b"\xff" * 32))
def test_parsing_the_text_of_a_checkpoint_gives_it_back(checkpoint: Checkpoint) -> None:
    assert parse_checkpoint(format_checkpoint(checkpoint)) == checkpoint


def test_the_text_is_that_of_the_specification() -> None:
    root = base64.b64decode("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=")
    checkpoint = Checkpoint(origin="example.com/behind-the-sofa", size=20_852_163, root=root)
    text = b"example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    assert format_checkpoint(checkpoint) == text
    assert parse_checkpoint(text) == checkpoint


BROKEN_TEXTS = {
    "nothing": "",
    "one line": "log.example\n",
    "two lines": "log.example\n5\n",
    "no newline at the end": f"log.example\n5\n{ROOT}",
    "no origin": f"\n5\n{ROOT}\n",
    "no size": f"log.example\n\n{ROOT}\n",
    "no root": "log.example\n5\n\n",
    "an empty line before": f"\nlog.example\n5\n{ROOT}\n",
    "an empty line after": f"log.example\n5\n{ROOT}\n\n",
    "an extension line": f"log.example\n5\n{ROOT}\nextension\n",
    "an extension line without newline": f"log.example\n5\n{ROOT}\nextension",
    "two extension lines": f"log.example\n5\n{ROOT}\none\ntwo\n",
    "carriage returns": f"log.example\r\n5\r\n{ROOT}\r\n",
    "a carriage return in the origin": f"log.example\r\n5\n{ROOT}\n",
    "a tab in the origin": f"log\texample\n5\n{ROOT}\n",
    "a NUL in the origin": f"log\0example\n5\n{ROOT}\n",
    "a leading zero": f"log.example\n05\n{ROOT}\n",
    "two zeros": f"log.example\n00\n{ROOT}\n",
    "a plus sign": f"log.example\n+5\n{ROOT}\n",
    "a negative size": f"log.example\n-5\n{ROOT}\n",
    "minus zero": f"log.example\n-0\n{ROOT}\n",
    "a space before the size": f"log.example\n 5\n{ROOT}\n",
    "a space after the size": f"log.example\n5 \n{ROOT}\n",
    "a tab after the size": f"log.example\n5\t\n{ROOT}\n",
    "an underscore": f"log.example\n1_000\n{ROOT}\n",
    "a comma": f"log.example\n1,000\n{ROOT}\n",
    "a fraction": f"log.example\n5.0\n{ROOT}\n",
    "an exponent": f"log.example\n1e3\n{ROOT}\n",
    "hexadecimal": f"log.example\n0x5\n{ROOT}\n",
    "a full-width digit": f"log.example\n５\n{ROOT}\n",
    "an Arabic digit": f"log.example\n٥\n{ROOT}\n",
    "a superscript digit": f"log.example\n²\n{ROOT}\n",
    "a size of 2^53": f"log.example\n{2**53}\n{ROOT}\n",
    "a size of 5,000 digits": f"log.example\n{'9' * 5000}\n{ROOT}\n",
    "an empty tree with another root": f"log.example\n0\n{ROOT}\n",
    "a root of 31 bytes": f"log.example\n5\n{base64.b64encode(bytes(31)).decode()}\n",
    "a root of 33 bytes": f"log.example\n5\n{base64.b64encode(bytes(33)).decode()}\n",
    "a root without padding": f"log.example\n5\n{ROOT[:-1]}\n",
    "a root with trailing bits": f"log.example\n5\n{ROOT[:-2]}9=\n",
    "a root in base64url": f"log.example\n5\n{'_' * 42}8=\n",
    "a root in hexadecimal": f"log.example\n5\n{'00' * 32}\n",
    "a space after the root": f"log.example\n5\n{ROOT} \n",
    "a full-width letter in the root": f"log.example\n5\nＡ{ROOT[1:]}\n",
}


@pytest.mark.parametrize("name", BROKEN_TEXTS)
def test_broken_texts_are_refused(name: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_checkpoint(BROKEN_TEXTS[name].encode())
    assert caught.value.code is ErrorCode.CHECKPOINT_MALFORMED


def test_the_parts_of_the_broken_texts_make_a_good_text() -> None:
    assert parse_checkpoint(f"log.example\n5\n{ROOT}\n".encode()).size == 5
    assert parse_checkpoint(f"log.example\n0\n{base64.b64encode(EMPTY_ROOT).decode()}\n".encode()).size == 0


def test_a_text_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(InvalidRequestError):
        parse_checkpoint(b"log\xff.example\n5\n" + ROOT.encode() + b"\n")


@given(st.binary(max_size=120))
def test_whatever_parses_formats_to_itself(text: bytes) -> None:
    try:
        checkpoint = parse_checkpoint(text)
    except InvalidRequestError:
        return
    assert format_checkpoint(checkpoint) == text


@given(st.integers(0, MAX_TREE_SIZE))
def test_decimals_round_trip(number: int) -> None:
    assert parse_decimal(str(number)) == number


@pytest.mark.parametrize("text", ["", str(2**53), "9" * 16, "9" * 17, "-0", "00", "1\n"])
def test_what_is_no_decimal_or_too_large(text: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_decimal(text)
    assert caught.value.code is ErrorCode.CHECKPOINT_MALFORMED


@given(st.text(max_size=20))
@example("0" * 17)
@example("5\n")
def test_a_decimal_has_one_spelling(text: str) -> None:
    try:
        number = parse_decimal(text)
    except InvalidRequestError:
        return
    assert str(number) == text


@pytest.mark.parametrize(
    "origin", ["log.futian.example/2026", "log.example", "a", "127.0.0.1/x", "log.example/A-b_c.d/2", "l" * 200]
)
def test_origins_of_new_logs(origin: str) -> None:
    check_origin(origin)


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "/",
        "/log",
        "log.example/",
        "log.example//2026",
        "https://log.example",
        "log.example:443/2026",
        "Log.example",
        "log example",
        "log+example",
        "log.example/2026\n",
        "log.example/2026\t",
        "log.example/20%32",
        "log.example/?x",
        "影壁.example",
        "log.example/２０２６",
        "l" * 201,
        "none\x00",
    ],
)
def test_other_origins_are_refused_for_new_logs(origin: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        check_origin(origin)
    assert caught.value.code is ErrorCode.CHECKPOINT_MALFORMED
